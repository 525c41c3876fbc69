"""The child process that runs a student's file, within limits of time and memory.

The parent writes a request in JSON to the child's input, and the child answers with one line of JSON for each stage:
the verdict, then the speed. What the student's file prints is thrown away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gru_bench.errors import ExitCode, GruBenchError, RunError, UsageError
from gru_bench.teach.codes import Finding, Verdict

GIGABYTE = 2 ** 30


@dataclass(frozen=True)
class Request:
    """What is asked of the child."""

    path: str
    name: str
    make: str | None
    defines: dict[str, str]
    memory: float
    """Gigabytes beyond what torch takes by itself."""
    speed: bool


def limit_memory(gigabytes: float) -> str | None:
    """Limit the memory that this process may still take. Return None, or the reason why the system cannot."""
    try:
        import resource
    except ImportError:
        return "this system has no limit for the memory of a process"
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        taken = pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        taken = 8 * GIGABYTE  # address space that torch reserves
    try:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = taken + int(gigabytes * GIGABYTE)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    except (OSError, ValueError) as error:
        return f"this system does not limit the memory of a process: {error}"
    return None


def run(request: Request, timeout: float) -> Verdict:
    """Run a student's file in a child process, and return the verdict.

    Raises:
        GruBenchError: When the file cannot be checked, or takes too much time or memory.
    """
    path = Path(request.path)
    command = [sys.executable, "-m", "gru_bench.teach.child"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, encoding="utf-8", start_new_session=os.name == "posix")
    late = False
    try:
        out, err = process.communicate(json.dumps(asdict(request)), timeout=timeout)
    except subprocess.TimeoutExpired:
        late = True
        _end(process)
        out, err = process.communicate()
    except BaseException:
        _end(process)
        raise
    answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if not answers:
        if late:
            raise RunError(f"{path.name} must be checked within {timeout:g} s, but was not: it may train when it is "
                           "imported (move that under if __name__ == \"__main__\":), or be slow (give more with "
                           "--timeout)")
        raise RunError(_ended(path, process.returncode, err, request.memory))
    if "error" in answers[0]:
        kind = UsageError if answers[0]["code"] == ExitCode.MISTYPED else RunError
        raise kind(answers[0]["error"])
    verdict = _verdict(answers[0])
    speed: dict[str, Any] = answers[1] if len(answers) > 1 else {"speed": [], "reason": "it took too long"}
    if request.speed and "reason" in speed:
        verdict = replace(verdict, notes=(*verdict.notes, f"Its speed could not be measured: {speed['reason']}."))
    return replace(verdict, speed=tuple((name, value) for name, value in speed["speed"]))


def _ended(path: Path, code: int, err: str, memory: float) -> str:
    last = err.strip().splitlines()[-1] if err.strip() else ""
    if code in (-signal.SIGKILL if hasattr(signal, "SIGKILL") else -9, 137) or "bad_alloc" in err or (
            "MemoryError" in err):
        return f"{path.name} must do with {memory:g} GB of memory, but took more: give more with --memory"
    return f"{path.name} ended the process that ran it, with code {code}{f': {last}' if last else ''}"


def _end(process: subprocess.Popen[str]) -> None:
    if os.name == "posix":
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
    else:
        process.kill()


def _verdict(answer: dict[str, Any]) -> Verdict:
    return Verdict(tuple(Finding(**finding) for finding in answer["findings"]), answer["form"],
                   tuple(answer["notes"]))


def main() -> None:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # also what is printed below Python

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    request = Request(**json.load(sys.stdin))

    from gru_bench.teach import check, load

    reason = limit_memory(request.memory)
    path = Path(request.path)
    try:
        with check.prepared():
            module = load.load(path, request.name, request.defines)
            verdict, form = check.check_loaded(module, path, request.name, request.make)
        notes = (*verdict.notes, f"Memory was not limited: {reason}.") if reason else verdict.notes
        answer(asdict(replace(verdict, notes=notes)))
        if request.speed:
            from gru_bench.teach.speed import speed

            try:
                answer({"speed": speed(module, path, request.name, request.make, form)})
            except Exception as error:
                answer({"speed": [], "reason": (str(error) or type(error).__name__).splitlines()[0][:200]})
    except GruBenchError as error:
        answer({"error": str(error), "code": error.exit_code})
    except MemoryError:
        answer({"error": f"{path.name} must do with {request.memory:g} GB of memory, but took more: give more with "
                "--memory", "code": ExitCode.FAILED})


if __name__ == "__main__":
    main()
