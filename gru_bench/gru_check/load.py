"""A student's file -> the object that it names, built with small sizes where its constructor takes sizes."""

from __future__ import annotations

import ast
import contextlib
import errno
import inspect
import io
import linecache
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import torch
from torch import nn

from gru_bench.errors import DataError, RunError, UsageError, first_line, unknown
from gru_bench.gru_check import submission
from gru_bench.gru_check.devices import OnCpu
from gru_bench.gru_check.forms import arguments_of, constructor, size_of

SIZES: Mapping[str, int] = {"E": 5, "H": 4, "C": 3, "V": 61, "L": 1, "B": 1, "T": 6}
"""Names for --make: input width, hidden width, classes, vocabulary, layers, batch, steps."""

_NOTEBOOK = {"get_ipython", "display"}
"""Names that only a notebook has."""
CHANGES_WEIGHTS = ("changes its weights in forward, so each call computes a different function: leave weight updates "
                   "to the optimizer")
_NO_CUDA = re.compile(r"cuda|nvidia|cudnn", re.IGNORECASE)


class _Nowhere(io.TextIOBase):
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        """Take a text."""
        return len(text)


output: IO[str] | _Nowhere = _Nowhere()
"""Where texts go that a student's code prints. The process that runs a file sets it to what the sandbox watches."""


@dataclass(frozen=True)
class Source:
    """The file and what was run of it."""

    path: Path
    name: str
    built: Any
    """The object: a module of torch, or a function."""
    sizes: Mapping[str, int]
    """Sizes with which it was built, by the names of `SIZES`. Empty: it has its own."""


def load(path: Path) -> tuple[ModuleType, str]:
    """Run a file, and return its module and a sentence on what was left out of it; empty where nothing was.

    Of a notebook, its definitions are run, and one that fails is left out.

    Raises:
        DataError: When the file is no Python.
        RunError: When the file fails.
    """
    path = path.resolve()
    try:
        code = submission.read(path)
        body = ast.parse(code.text).body
        parts: list[list[ast.stmt]] = [body]
        if code.cells:
            parts = [[node] for node in body if isinstance(node, submission.DEFINITIONS)]
    except (*submission.UNREADABLE, OSError) as error:
        line = f" at line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        said = getattr(error, "msg", None) or str(error) or type(error).__name__
        raise DataError(f"{path.name} must be Python, but it cannot be read{line}: {said}") from error
    module = ModuleType(f"_student_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    linecache.cache[str(path)] = len(code.text), None, code.text.splitlines(keepends=True), str(path)
    flags, left_out = 0, []
    with settings_kept(), OnCpu():
        for part in parts:
            try:
                compiled = compile(ast.Module(part, []), str(path), "exec", flags, dont_inherit=True)
                flags |= compiled.co_flags & annotations.compiler_flag
                exec(compiled, module.__dict__)
            except (Exception, SystemExit) as error:
                if not code.cells:
                    raise failure(error, path, "to run the file") from error
                left_out.append(f"{code.place(part[0].lineno)} ({type(error).__name__}: {first_line(error)})")
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return module, f"Left out of the notebook, because they fail: {'; '.join(left_out[:3])}{more}." if left_out else ""


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Undo what a student's code does to settings of torch and Python that the check depends on.

    What it prints meanwhile goes to `output`.
    """
    dtype, grad, device, depth = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device(),
                                  sys.getrecursionlimit())
    try:
        with contextlib.redirect_stdout(output):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        sys.setrecursionlimit(depth)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)


def place(path: Path, line: int) -> str:
    """Return the name of a file with a line of its text: its own, or that in a cell of a notebook."""
    code = submission.read(path) if path.suffix.lower() == ".ipynb" and path.is_file() else submission.Code("")
    return ", ".join(filter(None, (path.name, code.place(line))))


def failure(error: BaseException, path: Path, doing: str) -> RunError:
    """Return the error for what a student's code raised, with the line and a remedy."""
    line = next((frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__))
                 if frame.filename == str(path)), None)
    where = place(path, line or 0)
    said = first_line(error)
    if _NO_CUDA.search(str(error)) and isinstance(error, (RuntimeError, AssertionError)):
        return RunError(f"{path.name} needs CUDA ({where}), and the check runs on the CPU: choose the device by "
                        "torch.cuda.is_available(), or remove .cuda()")
    if isinstance(error, NameError) and (missing := getattr(error, "name", None)):
        if missing in _NOTEBOOK:
            return RunError(f"{where}: {missing} exists only in a notebook: remove this line, or put it under "
                            f"if \"{missing}\" in globals():")
        return RunError(f"{where}: the name {missing!r} is not defined: give it a value in the file")
    if isinstance(error, RuntimeError) and "leaf Variable that requires grad" in said:
        return RunError(f"{where}: it {CHANGES_WEIGHTS}")
    if isinstance(error, ModuleNotFoundError):
        return RunError(f"{where}: {said}: install it, or move the GRU to a file of its own")
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return RunError(f"{where}: {said}: code at the top level of the file reads files; move it under "
                        "if __name__ == \"__main__\":")
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return RunError(f"{where}: a file that it writes, or what it prints, is larger than 100 MB: remove what writes "
                        "in a loop")
    if isinstance(error, MemoryError) or "not enough memory" in said or "can't allocate memory" in said:
        return RunError(f"{where}: out of memory: use a smaller GRU")
    if isinstance(error, SystemExit):
        return RunError(f"{where}: the file ends the program (exit {error.code}): move that code under if __name__ == "
                        "\"__main__\":")
    return RunError(f"{where}: {type(error).__name__} {doing}: {said}")


# ---------------------------------------------------------------- building


def defined(module: ModuleType) -> list[str]:
    """Return the names of the classes, functions and objects that a student's file defines."""
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]


def build(
    module: ModuleType, path: Path, name: str, make: str | None = None, sizes: Mapping[str, int] = SIZES
) -> Source:
    """Build what NAME stands for.

    Args:
        module: The module.
        path: Its file.
        name: The class, the function or the object.
        make: An expression that builds it.
        sizes: Sizes to build it with.
    """
    path = path.resolve()
    target = getattr(module, name, None)
    torch.manual_seed(0)
    with settings_kept(), OnCpu():
        if make is not None:
            space = {**sizes, "torch": torch, "nn": nn, **module.__dict__}
            try:
                code = compile(make, "--make", "eval")
                used = {key: size for key, size in sizes.items() if key in code.co_names and key not in module.__dict__}
                built = eval(code, space)
            except SyntaxError as error:
                raise UsageError(f"--make must be a Python expression, but got {make!r}: {error.msg}") from error
            except Exception as error:
                raise failure(error, path, f"to build {make}") from error
            return Source(path, name, built, used)
        if target is None:
            raise unknown(f"name in {path.name}", name, defined(module), "Write FILE:NAME.")
        if isinstance(target, nn.Module) or not callable(target):
            built, used = target, {}
        else:
            built, used = _call(target, path, name, module, sizes)
    if _computes_with_numpy(built):
        raise RunError(f"{path.name}: {name} must compute with torch tensors, because the check compares gradients, "
                       "but its weights are NumPy arrays: make each a tensor, and use torch.tanh instead of np.tanh")
    if not callable(built):
        raise UsageError(f"{name} must be a class or a function that builds a GRU, but it is a {type(built).__name__}: "
                         "give another name, or construct it with --make")
    return Source(path, name, built, used)


def _computes_with_numpy(built: Any) -> bool:
    """Return whether the weights of an object, or those that a function finds in its module, are arrays of NumPy."""
    if isinstance(built, nn.Module):
        return False
    held = (inspect.getclosurevars(built).globals if inspect.isfunction(built) else vars(built)
            if hasattr(built, "__dict__") else {})
    values = [inner for value in held.values() for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value])]
    return any(isinstance(value, np.ndarray) for value in values) and not any(
        isinstance(value, torch.Tensor) for value in values)


def _call(
    target: Any, path: Path, name: str, module: ModuleType, sizes: Mapping[str, int]
) -> tuple[Any, dict[str, int]]:
    arguments, used, guessed = arguments_of(target, sizes, vars(module))
    if guessed:
        names = [p.name for p in constructor(target)]
        call = ", ".join(size_of(own) or "..." for own in names)
        raise RunError(f"{name}({', '.join(names)}) has arguments that cannot be guessed, {', '.join(guessed)}: add "
                       f"--make \"{name}({call})\", where E is the input size and H the hidden size")
    try:
        return target(**arguments), used
    except Exception as error:
        raise failure(error, path, f"to build {name}({', '.join(map(str, arguments.values()))}); --make "
                      f"\"{name}(E, H, ...)\" gives other arguments") from error
