"""How the functions of the kernel are compiled by numba, and where their code is kept on disk.

numba keeps the code of a function until the file of this function changes. That is not enough here: code also depends
on the functions that it calls in other files, and on the vector registers. So it is kept in a folder whose name is a
digest of them all. The folder lies where numba would put the code: in `NUMBA_CACHE_DIR`, in `__pycache__`, or in the
user's cache where the first two cannot be written. Where none can, the code is kept in memory.

numba has no public way to name the folder of some functions alone: its settings hold for all of a process. So this
module, and no other, uses private parts of numba. If they change, these tests in tests/kernels/test_compiler.py fail:

    FunctionCache, with _cache_path and _impl     test_a_change_in_another_file_of_the_kernel_is_compiled_again
    IndexDataCacheFile                            the same
    _cache of a compiled function                 test_code_is_kept_where_numba_is_told_to_put_it
    CFunc (cfunc would compile before `_keep`)    every test of the kernel: no tile could be called
"""

# Parts of numba have no types.
# mypy: allow-untyped-calls

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc

from gru_bench.kernels.machine import REGISTERS, VECTOR_BYTES

# Without "nnan": a NaN must stay a NaN.
FAST = {"contract", "nsz"}
INLINE: Any = {"fastmath": FAST, "forceinline": True}

_UNUSED_SECONDS = 7 * 24 * 3600
"""Age in seconds since its last use from which a folder of other code is removed."""


def _digest() -> str:
    """Return a digest of the kernel's sources and of the registers. numba checks its own version and the processor."""
    digest = hashlib.sha256(repr((VECTOR_BYTES, REGISTERS)).encode())
    plain = ("__init__.py", "fused.py", "module.py", "threads.py")  # hold no compiled code
    for file in sorted(resources.files("gru_bench.kernels").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py") and file.name not in plain:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


_DIGEST = _digest()


class _Cache(FunctionCache):
    """The cache of one function in the folder of this digest."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_path = _folder(Path(self._cache_path))
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, _DIGEST)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save compiled code, also where the folder has been removed in the meantime."""
        Path(self._cache_path).mkdir(parents=True, exist_ok=True)
        super().save_overload(sig, data)


@lru_cache
def _folder(parent: Path) -> str:
    """Return the folder of this digest in `parent`, and remove those of other digests that are no longer used."""
    folder = parent / f"gru_bench-{_DIGEST}"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # what fails here is done by a later start
        os.utime(folder)
        for other in parent.glob("gru_bench-*"):
            if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return str(folder)


def _keep(compiled: Any, function: Callable[..., Any]) -> Any:
    """Let a compiled function keep its code on disk, or in memory if no folder can be written, and return it."""
    with suppress(RuntimeError, OSError):  # numba raises RuntimeError where it finds no folder
        compiled._cache = _Cache(function)
    return compiled


def jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function with numba and keeps its code."""
    return lambda function: _keep(njit(**options)(function), function)


def callback(signature: Any, function: Callable[..., None]) -> Any:
    """Compile a function for callers that know its address, as `numba.cfunc` does, and keep its code."""
    compiled = _keep(CFunc(function, (signature.args, signature.return_type), {}, {}), function)
    compiled.compile()
    return compiled
