"""The process that runs a student's file. `sandbox` starts it, watches it and ends it.

It answers with lines of JSON: the memory that it takes before it runs the file, and then the verdict or an error. Its
working folder is a temporary one, which holds a copy of the file.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gru_bench import platforms
from gru_bench.errors import GruBenchError
from gru_bench.gru_check.sandbox import GIGABYTE, MEMORY, MOST_WRITTEN, OUT_OF_MEMORY, Options

MOST_STARTED = 1000
"""Most processes and threads that the user may have more than at the start. Other programs need some of them."""
NOT_CUT_OFF = "This system does not let the check cut a file off from"
"""What a note begins with where a file may use the network, or write outside its folder."""


def main(order: str) -> None:
    """Check one file.

    Args:
        order: Path of the file, of the file for the answers, process id of the command, and `Options`, in JSON.
    """
    request = json.loads(order)
    path, options = Path(request["path"]), Options(**request["options"])
    answers = Path(request["answers"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - until the end
    left = platforms.go_below(request["parent"], Path.cwd())
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(Path.cwd())))
    platforms.limit_processor_time(options.timeout + 10)
    platforms.limit_processes(MOST_STARTED)
    platforms.give_way()  # the command must have its turn, however many processes the file starts
    platforms.limit_file_size(MOST_WRITTEN)

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")

    from gru_bench.gru_check import check, load, submission

    load.output = sys.stdout
    reason = platforms.limit_memory(MEMORY * GIGABYTE)
    answer({"ready": platforms.peak_memory()})
    try:
        with check.prepared():
            verdict = check.check_file(path, options.name, options.make)
        notes = [*verdict.notes, *([note] if (note := submission.read(path).note) else []),
                 *([f"Memory was not limited: {reason}."] if reason else []),
                 *([f"{NOT_CUT_OFF} {' and '.join(left)}."] if left else [])]
        answer({"verdict": asdict(replace(verdict, notes=tuple(notes)))})
    except GruBenchError as error:
        answer({"error": str(error), "code": error.exit_code})
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    os._exit(0)  # a thread of the student's file may still run


if __name__ == "__main__":
    main(sys.argv[1])
