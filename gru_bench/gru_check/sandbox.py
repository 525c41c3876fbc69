"""A student's file, run as a copy in a process of its own, within limits of time, memory, processes and output.

The limits stop accidents: a file that trains when it is imported, prints in a loop, or starts programs. They stop no
attack. The process writes its answer into one file and what the student's file prints into another. Both are beside the
folder with the copy, and this process watches them and the clock.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gru_bench import platforms
from gru_bench.errors import DataError, ExitCode, RunError, UsageError, shown
from gru_bench.gru_check import submission
from gru_bench.gru_check.codes import Finding, Verdict

MEMORY = 4
"""Gigabytes that a file may take beyond what torch takes by itself."""
GIGABYTE = 2 ** 30
MOST_PROCESSES = 64
"""Most processes that a file may have at once."""
MOST_WRITTEN = 100 * 2 ** 20
"""Most bytes that it may print, and that each file may have which it writes."""
OUT_OF_MEMORY = 137
"""Exit code of a process that needs more memory."""
_KEPT_BYTES = 64 * 1024
"""Bytes of the end of its output that are read."""
_PAUSE = 0.1
"""Seconds between two looks."""


@dataclass(frozen=True)
class Options:
    """How a file is checked."""

    name: str | None
    """The class or object. None: the one class with GRU in its name."""
    make: str | None
    """Expression that builds it. None: by the names of its arguments."""
    timeout: float
    """Seconds that the check may take."""


@dataclass(frozen=True)
class _Outcome:
    """What became of the process."""

    answer: Mapping[str, Any]
    code: int | None
    """Exit code. None: this process ended it."""
    limit: str
    """Limit that was exceeded: time, processes, memory or output. Empty: none."""
    output: str
    """The end of what it printed."""


def run(path: Path, options: Options, stopped: threading.Event | None = None) -> Verdict:
    """Run a copy of a student's file in a process of its own, and return the verdict.

    Args:
        path: The file.
        options: How it is checked.
        stopped: What is set to end the check.

    Raises:
        GruBenchError: When the file cannot be checked, or takes too much time or memory.
    """
    path = path.resolve()
    with tempfile.TemporaryDirectory(prefix="gru-check-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve() / "copy"
        _copy(path, folder)
        outcome = _watched(path, folder, options, stopped or threading.Event())
    answer = outcome.answer
    if "error" in answer:
        raise (UsageError if answer["code"] == ExitCode.MISTYPED else RunError)(str(answer["error"]))
    if "verdict" not in answer:
        raise RunError(_failure(path, outcome, options))
    try:
        verdict = answer["verdict"]
        return Verdict(tuple(Finding(**finding) for finding in verdict["findings"]), str(verdict["form"]),
                       tuple(map(str, verdict["notes"])), str(verdict["name"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path.name} wrote into the check's own files: no verdict") from error


def _copy(path: Path, folder: Path) -> None:
    """Copy a file into a folder, and the modules beside it that it imports, with what these import."""
    for source in submission.parts(path):
        target = folder / source.relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise DataError(f"{source.name} must be readable, but: {shown(error.strerror or str(error), '')}"
                            ) from error


def command(order: str, away_from: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs `child`, and its environment. No module of the user's comes in.

    Args:
        order: What it reads.
        away_from: Folder from which nothing is imported, besides the working directory.
    """
    package = Path(__file__).resolve().parents[2]
    avoided = {Path.cwd().resolve(), away_from.resolve()} - {package}
    paths = [path for path in sys.path if Path(path).is_absolute() and Path(path).resolve() not in avoided]
    return ([sys.executable, "-P", "-s", "-m", "gru_bench.gru_check.child", order],
            {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


def _watched(path: Path, folder: Path, options: Options, stopped: threading.Event) -> _Outcome:
    """Run the copy of a file until it has answered, has ended, or exceeds a limit. Nothing that it starts is left."""
    answers, output = folder.with_name("answers"), folder.with_name("output")
    words, environment = command(json.dumps({
        "path": str(folder / path.name), "answers": str(answers), "options": asdict(options), "parent": os.getpid()}),
        path.parent)
    with output.open("wb") as file:
        child = subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=file,
                                 stderr=file, start_new_session=True)
    deadline, limit = time.monotonic() + options.timeout, ""
    answer: dict[str, Any] = {}
    try:
        while child.poll() is None and not limit:
            if stopped.wait(_PAUSE):
                raise RunError("no further file is checked")
            answer = _answer(answers)
            below = platforms.processes_below(child.pid)
            limit = ("time" if time.monotonic() > deadline else
                     "processes" if len(below) > MOST_PROCESSES else
                     "output" if output.stat().st_size >= MOST_WRITTEN else
                     "memory" if "ready" in answer and platforms.memory_beyond(
                         [child.pid, *below], int(answer["ready"] + MEMORY * GIGABYTE)) else "")
    finally:
        code = child.poll()
        platforms.end_below(child, folder)
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _KEPT_BYTES))
        return _Outcome(_answer(answers), code, limit, file.read().decode(errors="replace"))


def _answer(path: Path) -> dict[str, Any]:
    """Return what the process has answered so far."""
    answer: dict[str, Any] = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError, TypeError):  # a line that is not complete
            answer |= json.loads(line)
    return answer


def _failure(path: Path, outcome: _Outcome, options: Options) -> str:
    last = outcome.output.strip().splitlines()[-1] if outcome.output.strip() else ""
    if outcome.limit == "time":
        return (f"{path.name} was not checked within {options.timeout:g} s: it may train on import (move that under if "
                "__name__ == \"__main__\":), or be slow or hang.")
    if outcome.limit == "processes":
        return (f"{path.name} started more than {MOST_PROCESSES} processes: move that code under if __name__ == "
                "\"__main__\":.")
    if outcome.limit == "output":
        return (f"{path.name} must print at most {MOST_WRITTEN // 2 ** 20} MB, but printed more: remove what prints in "
                "a loop.")
    if outcome.limit == "memory" or outcome.code == OUT_OF_MEMORY or "bad_alloc" in outcome.output or (
            "MemoryError" in outcome.output):
        return f"{path.name} used more than {MEMORY} GB of memory: use a smaller GRU."
    if outcome.code is not None and platforms.was_killed(outcome.code):
        return f"{path.name} killed its monitoring process: remove the code that ends other processes."
    said = f": {shown(last, '', 300)}" if last else ""
    return f"{path.name} ended the process that ran it, with code {outcome.code}{said}."
