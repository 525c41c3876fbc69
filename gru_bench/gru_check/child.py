"""The process that runs a student's file. `sandbox` starts it and ends it.

It answers with one line of JSON, the verdict or an error. Its working folder is a temporary one, which holds a copy of
the file.
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
from gru_bench.gru_check.sandbox import GIGABYTE, MEMORY, MOST_WRITTEN, Options


def main(order: str) -> None:
    """Check one file.

    Args:
        order: Path of the copy, of the folder that the file is in, of the file for the answer, and `Options`, in JSON.
    """
    request = json.loads(order)
    path, options = Path(request["path"]), Options(**request["options"])
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(Path.cwd())))
    platforms.limit_processor_time(options.timeout + 10)
    platforms.limit_file_size(MOST_WRITTEN)

    from gru_bench.gru_check import check

    sys.path.insert(0, request["folder"])  # as Python does when it runs the file itself
    sys.dont_write_bytecode = True
    reason = platforms.limit_memory(MEMORY * GIGABYTE)
    try:
        with check.prepared():
            verdict = check.check_file(path, options.name, options.make)
        notes = [*verdict.notes, *([f"Memory was not limited: {reason}."] if reason else [])]
        answer: dict[str, Any] = {"verdict": asdict(replace(verdict, notes=tuple(notes)))}
    except GruBenchError as error:
        answer = {"error": str(error), "code": error.exit_code}
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)  # a thread of the student's file may still run


if __name__ == "__main__":
    main(sys.argv[1])
