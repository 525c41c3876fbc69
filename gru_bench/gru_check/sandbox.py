"""A student's file, run as a copy in a process of its own, within limits of time, memory and the size of files.

The limits stop accidents: a file that trains when it is imported, or prints in a loop. They stop no attack. The process
writes its answer into one file and what the student's file prints into another, both beside the folder with the copy.
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
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gru_bench import platforms
from gru_bench.errors import DataError, ExitCode, GruBenchError, RunError, UsageError, shown
from gru_bench.gru_check.codes import Finding, Verdict
from gru_bench.gru_check.submission import MEMORY

MOST_WRITTEN = 100 * 2 ** 20
"""Most bytes that each file may have which it writes, and its output."""
_KEPT_BYTES = 64 * 1024
"""Bytes of the end of its output that are read."""


@dataclass(frozen=True)
class Options:
    """How a file is checked."""

    name: str | None
    """The class or object. None: the one class with GRU in its name."""
    make: str | None
    """Expression that builds it. None: by the names of its arguments."""
    timeout: float
    """Seconds that the check may take."""


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
        folder.mkdir()
        try:
            shutil.copyfile(path, folder / path.name)
        except OSError as error:
            raise DataError(f"{path.name} must be readable, but: {shown(error.strerror or str(error), '')}") from error
        said = _answer(path, folder, options, stopped or threading.Event())
    if "error" in said:
        raise (UsageError if said["code"] == ExitCode.MISTYPED else RunError)(str(said["error"]))
    verdict = said["verdict"]
    return Verdict(**verdict | {"findings": tuple(Finding(**finding) for finding in verdict["findings"]),
                                "notes": tuple(verdict["notes"])})


def _answer(path: Path, folder: Path, options: Options, stopped: threading.Event) -> Any:
    """Run the copy of a file until it has ended or its time is over, and return its answer."""
    answered, output = folder.with_name("answer"), folder.with_name("output")
    order = json.dumps({"path": str(folder / path.name), "folder": str(path.parent), "answer": str(answered),
                        "options": asdict(options)})
    modules = os.pathsep.join(filter(os.path.isabs, sys.path))
    with output.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "gru_bench.gru_check.sandbox", order], cwd=folder,
            env={**os.environ, "PYTHONPATH": modules}, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True)
    deadline = time.monotonic() + options.timeout
    try:
        while child.poll() is None:
            if stopped.wait(0.1):
                raise RunError("no further file is checked")
            if time.monotonic() > deadline:
                raise RunError(f"{path.name} was not checked within {options.timeout:g} s: it may train on import "
                               "(move that under if __name__ == \"__main__\":), or be slow or hang.")
    finally:
        platforms.end_group(child)
    with suppress(OSError, ValueError):
        return json.loads(answered.read_bytes())
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _KEPT_BYTES))
        printed = file.read().decode(errors="replace").strip()
    if "bad_alloc" in printed or "MemoryError" in printed:
        raise RunError(f"{path.name} used more than {MEMORY} GB of memory: use a smaller GRU.")
    said = f": {shown(printed.splitlines()[-1], '', 300)}" if printed else ""
    raise RunError(f"{path.name} ended the process that ran it, with code {child.returncode}{said}.")


def answer(order: str) -> None:
    """Check one file in this process, and write the verdict or an error where the order says.

    Args:
        order: Path of the copy, of the folder that the file is in, of the file for the answer, and `Options`, in JSON.
    """
    request = json.loads(order)
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(Path.cwd())))
    platforms.limit_processor_time(request["options"]["timeout"] + 10)
    platforms.limit_file_size(MOST_WRITTEN)

    from gru_bench.gru_check import check

    sys.path.insert(0, request["folder"])  # as Python does when it runs the file itself
    sys.dont_write_bytecode = True
    reason = platforms.limit_memory(MEMORY * 2 ** 30)
    try:
        with check.prepared():
            verdict = check.check_file(Path(request["path"]), request["options"]["name"], request["options"]["make"])
        notes = (*verdict.notes, *([f"Memory was not limited: {reason}."] if reason else []))
        said: dict[str, Any] = {"verdict": asdict(replace(verdict, notes=notes))}
    except GruBenchError as error:
        said = {"error": str(error), "code": error.exit_code}
    Path(request["answer"]).write_text(json.dumps(said), encoding="utf-8")
    os._exit(0)  # a thread of the student's file may still run


if __name__ == "__main__":
    answer(sys.argv[1])
