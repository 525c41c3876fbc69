"""The process that runs a student's file, within limits of time and memory. `guard` starts and ends it.

It reads a request in JSON, and answers with one line of JSON for each stage: that it is ready, the verdict, new states
for inputs that the guard draws, and the speed. Its working folder is a temporary one, which holds a copy of the file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gru_bench import platforms
from gru_bench.errors import ExitCode, GruBenchError, first_line
from gru_bench.gru_check.claim import DRAWN, drawn

GIGABYTE = 2 ** 30
MOST_STARTED = 1000
"""Most processes and threads that the user may have more than at the start. Other programs need some of them."""
NOT_CUT_OFF = "This system does not let the check cut a file off from"
"""What a note begins with where a file may use the network, or write outside its folder."""
MOST_WRITTEN = 100 * 2 ** 20
"""Most bytes of a file that is written."""


OUT_OF_MEMORY = 137
"""Exit code of a process that needs more memory."""


@dataclass(frozen=True)
class Options:
    """How a file is checked."""

    name: str | None
    """The class, function or object. None: it is found by trying."""
    make: str | None
    """Expression that builds it. None: by the names of its arguments."""
    defines: dict[str, str]
    """Values of names that the file lacks."""
    memory: float
    """Gigabytes beyond what torch takes by itself."""
    timeout: float
    """Seconds that the check may take."""
    speed: bool = False
    """Whether its speed is measured."""


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


def main(guard: int) -> None:
    """Answer one request.

    Args:
        guard: Process id of the process that started this one.
    """
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    request = json.loads(requests.readline())
    path, options = Path(request["path"]), Options(**request["options"])
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # the guard counts what is printed
    # The kernel that speed is measured of keeps its compiled code on disk.
    left = platforms.isolate(None if options.speed else Path.cwd())
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(Path.cwd())))
    platforms.end_with_parent(guard)
    platforms.limit_processor_time(options.timeout + 10)
    platforms.limit_processes(MOST_STARTED)
    platforms.give_way()  # the guard must have its turn, however many processes the file starts
    platforms.limit_file_size(MOST_WRITTEN)

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    from gru_bench.gru_check import check, load, submission
    from gru_bench.gru_check.cell.examine import claimed

    load.output = sys.stdout
    reason = limit_memory(options.memory)
    answer({"ready": os.getpid()})
    try:
        with check.prepared():
            module, checked = check.check_file(path, options.name, options.make, options.defines)
            verdict = checked.verdict
            limits = [f"Memory was not limited: {reason}."] if reason else []
            limits += [f"{NOT_CUT_OFF} {' and '.join(left)}."] if left else []
            notes = (*verdict.notes, *([note] if (note := submission.read(path).note) else []), *limits)
            claims = [asdict(claimed(cell)) for cell in checked.cells] if verdict.exit_code == ExitCode.DONE else []
            answer({"verdict": asdict(replace(verdict, notes=notes)), "claims": claims})
            if claims:
                answer({"states": _states(checked.cells, int(json.loads(requests.readline())["seed"]))})
        if options.speed:
            from gru_bench.gru_check.speed import speed

            try:
                answer({"speed": speed(module, path, verdict.name, options.make, checked.form)})
            except Exception as error:
                answer({"speed": [], "reason": first_line(error)})
    except GruBenchError as error:
        answer({"error": str(error), "code": error.exit_code})
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    answer({"done": True})
    os._exit(0)  # a thread of the student's file may still run


def _states(cells: Sequence[Any], seed: int) -> list[Any]:
    """Return the states that cells make of inputs and states drawn from a seed."""
    import torch

    found = []
    for number, cell in enumerate(cells):
        step = cell.equal
        x, h = map(torch.from_numpy, drawn(seed, number, step.batch, step.width, step.hidden))
        with torch.no_grad():
            found.append([step.run(x[m], h[m], False).tolist() for m in range(DRAWN)])
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]))
