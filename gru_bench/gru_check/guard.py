"""The process between the command and a student's file: it starts the file's process, and ends all that this starts.

The command, this guard and the file's process each run in a session of their own. The guard ends everything below it
when the answer is there, when a limit is exceeded, and when the command ends in whatever way. It never runs anything
of the student's folder, and its answer begins with a word that only the command knows. Several files may be checked
at once: each has a guard of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from gru_bench import platforms
from gru_bench.errors import DataError, ExitCode, RunError, UsageError, shown
from gru_bench.gru_check import submission
from gru_bench.gru_check.child import GIGABYTE, OUT_OF_MEMORY, Options
from gru_bench.gru_check.claim import holds
from gru_bench.gru_check.codes import Finding, Verdict

MOST_PROCESSES = 64
"""Most processes that a file may have at once."""
KEPT_BYTES = 64 * 1024
"""Bytes of the end of its output that are kept."""
MOST_OUTPUT = 100 * 2 ** 20
"""Most bytes that it may print."""
MOST_ANSWERED = 32 * 2 ** 20
"""Most bytes of the answers."""
COPIES = "gru-check-"
"""How the name of the folder begins that holds the copies."""
PAUSE = 0.1
"""Seconds between two looks at time, memory and the number of processes."""
GRACE = 20.0
"""Seconds beyond the limit after which the command no longer waits for the guard."""

_START = """
import importlib.util, json, runpy, sys
folder, paths, module, *sys.argv[1:] = sys.argv[1:]
sys.path += [path for path in json.loads(paths) if path not in sys.path]
spec = importlib.util.spec_from_file_location("gru_bench", folder + "/__init__.py",
                                              submodule_search_locations=[folder])
package = sys.modules["gru_bench"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
runpy.run_module(module, run_name="__main__")
"""
"""Runs a module of this package in an isolated Python. No module comes from the working directory."""


@dataclass
class Outcome:
    """What the guard found out."""

    answer: dict[str, Any] = field(default_factory=dict)
    """What the file's process has answered. Of two answers to one question it is the first."""
    code: int | None = None
    """Exit code of the file's process. None: the guard ended it."""
    limit: str = ""
    """Limit that was exceeded: time, memory, processes, output or answers. Empty: none."""
    output: str = ""
    """The end of what it printed."""
    dropped: int = 0
    """Bytes of its output before this end."""
    confirmed: bool = False
    """Whether the states that it computed are those of the GRUs that it claims."""
    strays: int = 0
    """Number of processes that still ran besides its own."""
    left: int = 0
    """Number of processes that could not be ended."""
    fault: str = ""
    """What failed in the guard."""


def command(module: str, *words: str, away_from: Path | None = None) -> list[str]:
    """Return the command that runs a module of this package in a Python to which nothing of the user's comes in.

    Args:
        module: The module.
        words: Its arguments.
        away_from: Folder from which nothing is imported, besides the working directory.
    """
    package = Path(__file__).resolve().parents[1]
    avoided = {Path.cwd(), *([] if away_from is None else [away_from])}
    paths = [path for path in sys.path if Path(path).is_absolute() and Path(path).resolve() not in avoided]
    return [sys.executable, "-I", "-c", _START, str(package), json.dumps(paths), module, *words]


# ---------------------------------------------------------------- in the command


class Guards:
    """The guards that run below this process. At the end of the context, all that is left below it is ended."""

    def __init__(self) -> None:
        """Start none yet."""
        self._below = platforms.Descendants()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Guards:
        """Take over what guards leave that are ended by force."""
        platforms.adopt_orphans()
        return self

    def __exit__(self, *_: object) -> None:
        """End all that is left."""
        self._below.end()
        platforms.adopt_orphans(False)

    def start(self, words: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        """Start a guard in a folder."""
        with self._lock:
            if self._stopped:
                raise RunError("no further file is checked")
            guard = subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, start_new_session=True)
            self._running[guard.pid] = guard
            self._below.leave(guard.pid)
        return guard

    def ended(self, guard: subprocess.Popen[bytes]) -> None:
        """End what a guard has left that was itself ended by force."""
        with self._lock:
            self._below.take(guard.pid)
            del self._running[guard.pid]
            self._below.end()

    def stop(self) -> None:
        """Let all guards end what they watch, and start no others."""
        with self._lock:
            self._stopped = True
            for guard in self._running.values():
                assert guard.stdin is not None
                with suppress(OSError):
                    guard.stdin.close()


def run(path: Path, options: Options, guards: Guards | None = None) -> Verdict:
    """Run a copy of a student's file in a process of its own, and return the verdict.

    Args:
        path: The file.
        options: How it is checked.
        guards: The guards among which this one is. None: it is the only one.

    Raises:
        GruBenchError: When the file cannot be checked, or takes too much time or memory.
    """
    path = path.resolve()
    with tempfile.TemporaryDirectory(prefix=COPIES, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        _copy(path, folder)
        with nullcontext(guards) if guards is not None else Guards() as all_guards:
            outcome = _guarded(path, folder, options, all_guards)
    if outcome.fault:
        raise RunError(f"{path.name} could not be run: {outcome.fault}")
    notes = []
    if outcome.dropped:
        notes.append(f"Its output was cut: only the last {KEPT_BYTES // 1024} of {outcome.dropped // 1024 + 64:,} KB "
                     "were kept.")
    if outcome.strays:
        notes.append(f"It left {outcome.strays} {'process' if outcome.strays == 1 else 'processes'} running, which "
                     "this check ended.")
    if outcome.left:
        notes.append(f"{outcome.left} of its processes could not be ended: look for them in the system's list.")
    answer = outcome.answer
    if "verdict" not in answer:
        if "error" in answer:
            raise (UsageError if answer["code"] == ExitCode.MISTYPED else RunError)(str(answer["error"]))
        raise RunError(" ".join([_failure(path, outcome, options), *notes]))
    verdict = _verdict(answer["verdict"])
    if verdict.exit_code == ExitCode.DONE and not outcome.confirmed:
        raise RunError(f"{path.name} must compute the GRU that it was found to be, but its states for other inputs are "
                       "not those of a GRU, or it ended before: the file may change the check that runs it")
    if options.speed and ("speed" not in answer or "reason" in answer):
        reason = answer.get("reason") or {"time": "it took too long", "memory": "it took too much memory"}.get(
            outcome.limit, "the file ended its process")
        notes.append(f"Its speed could not be measured: {reason}.")
    return replace(verdict, notes=(*verdict.notes, *notes), speed=tuple(
        (str(name), float(median), float(least), float(most)) for name, median, least, most in answer.get("speed", ())))


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


def _guarded(path: Path, folder: Path, options: Options, guards: Guards) -> Outcome:
    """Run the copy of a file in a folder below a guard. If the guard is ended by force, this process ends what it has
    left."""
    text, own_word = b"", secrets.token_hex()
    order = {"word": own_word, "path": str(folder / path.name), "options": asdict(options)}
    guard = guards.start(command(__name__, away_from=path.parent), folder)
    try:
        assert guard.stdin is not None
        assert guard.stdout is not None
        reader = _Reader(guard.stdout, 2 * MOST_ANSWERED)
        try:
            guard.stdin.write(json.dumps(order).encode() + b"\n")
            guard.stdin.flush()
            reader.join(options.timeout + GRACE)
            text = reader.take()
        except (BrokenPipeError, ValueError):  # it has ended, or was told to
            pass
        finally:
            with suppress(BrokenPipeError):
                guard.stdin.close()  # which tells it to end
            try:
                reader.join(GRACE)
                guard.wait(GRACE)
            except subprocess.TimeoutExpired:
                guard.kill()
                guard.wait()
            guard.stdout.close()
    finally:
        guards.ended(guard)
    word, _, answer = text.decode(errors="replace").partition("\n")
    if not secrets.compare_digest(word.encode(), own_word.encode()):
        raise RunError(f"{path.name} ended the process that watches over it, or kept it from its work: no verdict")
    return Outcome(**json.loads(answer))


def _failure(path: Path, outcome: Outcome, options: Options) -> str:
    last = outcome.output.strip().splitlines()[-1] if outcome.output.strip() else ""
    if outcome.limit == "time":
        return (f"{path.name} must be checked within {options.timeout:g} s, but was not: it may train when it is "
                "imported (move that under if __name__ == \"__main__\":), or be slow (give more with --timeout).")
    if outcome.limit == "processes":
        return (f"{path.name} must have at most {MOST_PROCESSES} processes at once, but has more: move what starts "
                "them under if __name__ == \"__main__\":.")
    if outcome.limit == "output":
        return (f"{path.name} must print at most {MOST_OUTPUT // 2 ** 20} MB, but printed more: remove what prints in "
                "a loop.")
    if outcome.limit == "answers":
        return f"{path.name} must not write into the check's own files, but did: no verdict."
    if outcome.limit == "memory" or (outcome.code is not None and platforms.was_killed(outcome.code)) or (
            outcome.code == OUT_OF_MEMORY or "bad_alloc" in outcome.output or "MemoryError" in outcome.output):
        return f"{path.name} must do with {options.memory:g} GB of memory, but took more: give more with --memory."
    said = f": {shown(last, '', 300)}" if last else ""
    return f"{path.name} ended the process that ran it, with code {outcome.code}{said}."


def _verdict(answer: Mapping[str, Any]) -> Verdict:
    try:
        return Verdict(tuple(Finding(**finding) for finding in answer["findings"]), answer["form"],
                       tuple(map(str, answer["notes"])), name=str(answer["name"]),
                       fitting=str(answer.get("fitting", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"no verdict can be read in the answer: {error}") from error


# ---------------------------------------------------------------- in the guard


class _Reader(threading.Thread):
    """Reads a pipe to its end, and keeps only so many of its last bytes."""

    def __init__(self, pipe: IO[bytes], most: int, wake: threading.Event | None = None) -> None:
        super().__init__(daemon=True)
        self._pipe, self._most, self._wake = pipe, most, wake
        self._kept = bytearray()
        self._lock = threading.Lock()
        self.size = self.dropped = 0
        self.start()

    def run(self) -> None:
        while True:
            try:
                piece = os.read(self._pipe.fileno(), 65536)
            except (OSError, ValueError):
                piece = b""
            with self._lock:
                self._kept += piece
                self.size += len(piece)
                over = len(self._kept) - self._most
                if over > self._most or (over > 0 and not piece):
                    del self._kept[:over]
                    self.dropped += over
            if self._wake is not None:
                self._wake.set()
            if not piece:
                return

    def take(self, *, lines: bool = False) -> bytes:
        """Return what was read since the last call, with `lines` only up to the last end of a line."""
        with self._lock:
            over = max(0, len(self._kept) - self._most)
            del self._kept[:over]
            self.dropped += over
            size = self._kept.rfind(b"\n") + 1 if lines else len(self._kept)
            piece = bytes(self._kept[:size])
            del self._kept[:size]
        return piece


def main() -> None:
    """Take one order, and answer with the outcome."""
    platforms.protect_memory()
    platforms.adopt_orphans()
    below = platforms.Descendants()
    order = json.loads(sys.stdin.buffer.readline())
    path = Path(order["path"])
    try:
        outcome = _watched(path, Options(**order["options"]), below)
    except Exception as error:
        outcome = Outcome(fault=f"{type(error).__name__}: {error}")
    outcome.left = below.end()
    if path.parent.name.startswith(COPIES):  # the command may have ended
        shutil.rmtree(path.parent, ignore_errors=True)
    sys.stdout.write(f"{order['word']}\n{json.dumps(asdict(outcome))}")
    sys.stdout.flush()
    os._exit(0)


def _watched(path: Path, options: Options, below: platforms.Descendants) -> Outcome:
    """Run a file until it has answered, has ended, or exceeds a limit, or until the command ends."""
    deadline = time.monotonic() + options.timeout
    wake = threading.Event()
    command_ended = _Reader(sys.stdin.buffer, 1, wake)
    words = command("gru_bench.gru_check.child", str(os.getpid()), away_from=path.parent)
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             start_new_session=True)
    stdin, stdout, stderr = child.stdin, child.stdout, child.stderr
    assert stdin is not None
    assert stdout is not None
    assert stderr is not None
    answers, errors = _Reader(stdout, MOST_ANSWERED, wake), _Reader(stderr, KEPT_BYTES)
    outcome = Outcome()
    seed: int | None = None
    most = None
    own = {child.pid}  # on Windows, Python may start another Python
    claims: list[Any] = []
    looked = 0.0

    def say(value: Mapping[str, Any]) -> None:
        try:
            stdin.write(json.dumps(value).encode() + b"\n")
            stdin.flush()
        except OSError:  # it has ended
            pass

    say({"path": str(path), "options": asdict(options)})
    done = False
    while not done:
        wake.wait(PAUSE)
        wake.clear()
        outcome.code = child.poll()
        if outcome.code is not None:
            answers.join(PAUSE)  # whoever else holds the pipe does not matter
            errors.join(PAUSE)
        done = outcome.code is not None or not command_ended.is_alive()
        for line in answers.take(lines=True).splitlines():
            value = _answer(line)
            if value is None:
                continue
            if "ready" in value and most is None:
                own.add(int(value["ready"]))
                most = platforms.taken_memory(own) + int(options.memory * GIGABYTE)
            elif "states" in value and seed is not None:
                outcome.confirmed = holds(claims, seed, value["states"])
            elif "done" in value:
                done = True
            elif "verdict" in value and seed is None:
                claims, seed = value.pop("claims", []), secrets.randbits(64)
                say({"seed": seed})
            outcome.answer = value | outcome.answer
        if answers.size > MOST_ANSWERED:
            outcome.limit, done = "answers", True
        if errors.size > MOST_OUTPUT:
            outcome.limit, done = "output", True
        if not done and time.monotonic() > deadline:
            outcome.limit, done = "time", True
        if not done and time.monotonic() > looked + PAUSE:
            pids = below.running(child.pid)
            if len(pids) > MOST_PROCESSES:
                outcome.limit, done = "processes", True
            elif most is not None and platforms.memory_beyond(pids, most):
                outcome.limit, done = "memory", True
            looked = time.monotonic()
    outcome.strays = len(set(below.running(child.pid)) - own)
    outcome.output, outcome.dropped = errors.take().decode(errors="replace"), errors.dropped
    return outcome


def _answer(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


if __name__ == "__main__":
    main()
