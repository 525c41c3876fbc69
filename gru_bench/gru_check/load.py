"""A student's file -> its module, and what is said where it fails."""

from __future__ import annotations

import ast
import errno
import linecache
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from gru_bench.errors import DataError, RunError, first_line
from gru_bench.gru_check import submission
from gru_bench.gru_check.watch import Watch, settings_kept


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
    with settings_kept(), Watch(path, random=True):
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
        needed = f"A file may take {submission.MEMORY} GB of memory, and write files of 100 MB"
    where = place(path, (lines_of(error, path) or [0])[-1])
    return RunError(f"{where}: {did} raised {type(error).__name__}: {first_line(error).rstrip('.')}. {needed}")


def defined(module: ModuleType) -> list[str]:
    """Return the names of the classes, functions and objects that a student's file defines."""
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
