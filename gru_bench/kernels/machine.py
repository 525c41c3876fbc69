"""The vector registers of this machine, which the compiled code is written for."""

from __future__ import annotations

import platform

import llvmlite.binding as llvm


def registers() -> tuple[int, int]:
    """Return the size of a vector register in bytes, and their number."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx2"):
        return 32, 16
    # By its name, because LLVM may list no features of such a processor.
    return 16, 32 if platform.machine().lower() in ("arm64", "aarch64") else 16


VECTOR_BYTES, REGISTERS = registers()
