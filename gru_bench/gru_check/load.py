"""A student's file -> the object that it names, built with small sizes where its constructor takes sizes."""

from __future__ import annotations

import ast
import contextlib
import errno
import linecache
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gru_bench.errors import DataError, RunError, UsageError, first_line, unknown
from gru_bench.gru_check import submission
from gru_bench.gru_check.forms import arguments_of, constructor, size_of, weights_of
from gru_bench.gru_check.sandbox import MEMORY

SIZES: Mapping[str, int] = {"E": 5, "H": 4, "C": 3, "V": 61, "L": 1, "B": 1, "T": 6}
"""Names for --make: input width, hidden width, classes, vocabulary, layers, batch, steps."""


@dataclass(frozen=True)
class Source:
    """The file and what was run of it."""

    path: Path
    written: str
    """What was built, as it is written in Python, such as `GRU(5, 4)`."""
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
        parts: list[list[ast.stmt]] = [ast.parse(code.text).body]
        if code.cells:
            parts = [[node] for node in parts[0] if isinstance(node, submission.DEFINITIONS)]
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
                    raise failure(error, path, "running the file", "All of it is run: move what its classes do not "
                                  "need, such as training, under if __name__ == \"__main__\":") from error
                left_out.append(f"{code.place(part[0].lineno)} ({type(error).__name__}: {first_line(error)})")
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return module, f"Left out of the notebook, because they fail: {'; '.join(left_out[:3])}{more}." if left_out else ""


class OnCpu(TorchFunctionMode):
    """A mode under which tensors stay on the CPU, where the check runs, whatever device the code names."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function."""
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        return func(*map(on_cpu, args), **{key: on_cpu(value) for key, value in (kwargs or {}).items()})


def on_cpu(arg: Any) -> Any:
    """Return an argument with the CPU in place of another device."""
    if isinstance(arg, torch.device):
        return torch.device("cpu")
    return "cpu" if isinstance(arg, str) and re.fullmatch(r"(cuda|mps|xpu)(:\d+)?", arg) else arg


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Undo what a student's code does to settings of torch that the check depends on."""
    dtype, grad, device = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)


def place(path: Path, line: int) -> str:
    """Return the name of a file with a line of its text: its own, or that in a cell of a notebook."""
    code = submission.read(path) if path.suffix.lower() == ".ipynb" and path.is_file() else submission.Code("")
    return ", ".join(filter(None, (path.name, code.place(line))))


def lines_of(error: BaseException, path: Path) -> list[int]:
    """Return the lines of a file that ran when an error was raised, the innermost one last."""
    return [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]


def failure(error: BaseException, path: Path, did: str, needed: str) -> RunError:
    """Return the error for what a student's code raised: what was done, what came back, and what is needed."""
    if isinstance(error, (RuntimeError, AssertionError)) and re.search("cuda|nvidia|cudnn", str(error), re.IGNORECASE):
        needed = "The check runs on the CPU: choose the device by torch.cuda.is_available(), or remove .cuda()"
    elif isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.EFBIG:
        needed = f"A file may take {MEMORY} GB of memory, and write files of 100 MB"
    where = place(path, (lines_of(error, path) or [0])[-1])
    return RunError(f"{where}: {did} raised {type(error).__name__}: {first_line(error).rstrip('.')}. {needed}")


# ---------------------------------------------------------------- building


def defined(module: ModuleType) -> list[str]:
    """Return the names of the classes, functions and objects that a student's file defines."""
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]


def build(module: ModuleType, path: Path, name: str, make: str | None = None) -> Source:
    """Build what NAME stands for.

    Args:
        module: The module.
        path: Its file.
        name: The class, the function or the object.
        make: An expression that builds it.

    Raises:
        GruBenchError: When there is no such name, or it cannot be built, or is nothing to check.
    """
    path = path.resolve()
    torch.manual_seed(0)
    written, made, sizes = _expression(module, path, name) if make is None else _made(module, make)
    with settings_kept(), OnCpu():
        try:
            built = made()
        except Exception as error:
            raise failure(error, path, written, f"--make \"{name}(E, H, ...)\" builds it with other arguments, where E "
                          "is the input size and H the hidden size") from error
    if not weights_of(built):
        raise RunError(f"{path.name}: {written} must compute with weights that are tensors of torch, but it has none: "
                       "make each array of NumPy a tensor, and use torch.tanh in place of np.tanh")
    return Source(path, written, built, sizes)


def _made(module: ModuleType, make: str) -> tuple[str, Callable[[], Any], dict[str, int]]:
    """Return an expression, what evaluates it, and the sizes that it uses."""
    try:
        code = compile(make, "--make", "eval")
    except SyntaxError as error:
        raise UsageError(f"--make must be a Python expression, but got {make!r}: {error.msg}") from error
    used = {key: size for key, size in SIZES.items() if key in code.co_names and key not in vars(module)}
    return make, lambda: eval(code, {**SIZES, "torch": torch, "nn": nn, **vars(module)}), used


def _expression(module: ModuleType, path: Path, name: str) -> tuple[str, Callable[[], Any], dict[str, int]]:
    """Return the expression that builds what a name stands for, what evaluates it, and the sizes that it uses."""
    target = getattr(module, name, None)
    if target is None:
        raise unknown(f"name in {path.name}", name, defined(module), "Write FILE:NAME.")
    if isinstance(target, nn.Module) or not callable(target):
        return name, lambda: target, {}
    arguments, used, guessed = arguments_of(target, SIZES, vars(module))
    if guessed:
        names = [p.name for p in constructor(target)]
        call = ", ".join(size_of(own) or "..." for own in names)
        raise RunError(f"{name}({', '.join(names)}) has arguments that cannot be guessed, {', '.join(guessed)}: add "
                       f"--make \"{name}({call})\", where E is the input size and H the hidden size")
    values = ("vectors" if isinstance(value, Tensor) else str(value) for value in arguments.values())
    return f"{name}({', '.join(values)})", lambda: target(**arguments), used
