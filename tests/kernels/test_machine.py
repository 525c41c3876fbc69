"""The registers of a machine, and the numbers of the kernel on machines with others than this one's."""

from __future__ import annotations

import platform
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from gru_bench.kernels.machine import registers
from tests.support.commands import printed


@pytest.mark.parametrize(("features", "processor", "expected"), [
    (("avx2", "avx512f"), "x86_64", (64, 32)),
    (("avx2",), "AMD64", (32, 16)),
    (("sse2",), "x86_64", (16, 16)),
    (("neon",), "aarch64", (16, 32)),
    ((), "arm64", (16, 32)),
    ((), "ARM64", (16, 32)),
])
def test_registers_follow_from_features_and_processor(
    features: tuple[str, ...], processor: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: dict.fromkeys(features, True))
    monkeypatch.setattr(platform, "machine", lambda: processor)
    assert registers() == expected


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles everything
@pytest.mark.parametrize(("vector_bytes", "number"), [(16, 32), (32, 16)])
def test_numbers_are_right_with_other_registers(vector_bytes: int, number: int, tmp_path: Path) -> None:
    """The machine is set before any other module of the kernel reads it. LLVM may use narrower vectors than it has."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    said = printed(
        f"""
        from gru_bench.kernels import machine
        machine.VECTOR_BYTES, machine.REGISTERS = {vector_bytes}, {number}
        import torch
        from gru_bench.kernels import fused
        from tests.support.batches import BOUND_32, by_kernel, by_torch, error, make_batch
        fused.LEAST_WORK = 1
        fused.set_threads(2)
        torch.set_num_threads(1)
        for shape in ((7, 25, 60, 21, 16, 2, True), (5, 12, 20, 7, 130, 1, True), (3, 9, 5, 3, 3)):
            batch = make_batch(*shape)
            assert error(by_kernel(batch), by_torch(batch)) < BOUND_32, shape
        from gru_bench.kernels.tiles import TILE_ROWS
        print(TILE_ROWS)
        """,
        # It is compiled for this process alone: nothing can be written below a file.
        NUMBA_OPT="0", NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache"),
        NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator",
    )
    assert int(said) == {16: 6, 32: 8}[number]
