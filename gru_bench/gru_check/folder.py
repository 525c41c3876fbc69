"""A folder of submissions: each is checked in a process of its own, several at once, and has a row in a table."""

from __future__ import annotations

import codecs
import csv
import os
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from threading import Event

from gru_bench import platforms
from gru_bench.errors import DataError, ExitCode, GruBenchError, UsageError, shown
from gru_bench.gru_check import submission
from gru_bench.gru_check.codes import Verdict
from gru_bench.gru_check.sandbox import Options, run
from gru_bench.wording import csv_cell

NOT_CHECKED = "not checked"
"""The verdict on a file for which there is none. Its note says why."""


@dataclass(frozen=True)
class Row:
    """A file and its verdict."""

    student: str
    """Whose it is: the name of the file without its ending, or of the folder that it is in."""
    file: str
    """Its path below the folder, with / between the parts."""
    verdict: str
    """`Verdict.words`, or `NOT_CHECKED`."""
    codes: str = ""
    """Mistakes and warnings, the most important one first."""
    line: str = ""
    """Where the first of them with a line is: `line 22`, or `cell 3, line 5` of a notebook."""
    statement: str = ""
    """What is written there."""
    convention: str = ""
    """Codes of a right GRU."""
    form: str = ""
    """What it is and how it is called, with the order of batch and time."""
    seconds: str = ""
    """How long the check took."""
    name: str = ""
    """The class or function that was checked."""
    note: str = ""
    """What was seen, as sentences."""

    @classmethod
    def of(cls, file: str, verdict: Verdict, code: submission.Code) -> Row:
        """Return the row of a verdict."""
        faults = [one for one in verdict.findings if not one.kind.right or one.kind.warning]
        line = next((one.line for one in faults if one.line), 0)
        return cls(
            student_of(file), file, verdict.words, ", ".join(one.code for one in faults), code.place(line),
            code.text.splitlines()[line - 1].strip() if line else "",
            ", ".join(one.code for one in verdict.findings if one not in faults), verdict.form, name=verdict.name,
            note=" ".join(filter(None, (*(one.detail for one in verdict.findings), *verdict.notes))))

    @property
    def exit_code(self) -> ExitCode:
        """Return 0 for a GRU, 4 for none, 3 for what could not be judged."""
        return (ExitCode.DONE if self.verdict.startswith("a GRU") else
                ExitCode.NO if self.verdict == "not a GRU" else ExitCode.INCOMPLETE)


def student_of(file: str) -> str:
    """Return whose a file is, by its path below the folder of all submissions."""
    return file.partition("/")[0] if "/" in file else Path(file).stem


COLUMNS = tuple(field.name for field in fields(Row))


def entries(folder: Path, table: Path | None = None) -> list[str]:
    """Return what is in a folder, by name: the Python files and notebooks in and below it, and each other file and
    folder in it, unless one of them is there. Hidden ones, environments of Python, and the table that is written are
    left out.

    Raises:
        UsageError: Nothing is in it.
    """
    seen: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not (_is_hidden(name) or Path(parent, name, "pyvenv.cfg").is_file())]
        seen += [Path(parent, name).relative_to(folder) for name in (*folders, *files) if not _is_hidden(name)
                 and (table is None or Path(parent, name).absolute() != table.absolute())]
    code = [path for path in seen if _is_code(folder / path)]
    others = {path.parts[0] for path in seen} - {path.parts[0] for path in code}
    if not seen:
        raise UsageError(f"a folder of submissions must contain files that end in {' or '.join(submission.ENDINGS)}, "
                         f"but {shown(str(folder))} is empty")
    return sorted([*(path.as_posix() for path in code), *others])


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "__")) or name in ("node_modules", "site-packages")


def _is_code(path: Path) -> bool:
    return path.suffix.lower() in submission.ENDINGS and path.is_file()


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a table, all of it or nothing."""
    with platforms.replacing(path) as file:
        table = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([csv_cell(value) for value in asdict(row).values()] for row in rows)


def rows(folder: Path, names: Sequence[str], options: Options, jobs: int) -> Generator[Row, None, None]:
    """Check what `entries` returned, some files at the same time, and yield each row as soon as it is there."""
    stopped = Event()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_row, folder, name, options, stopped) for name in names]
        try:
            while waiting:  # with a timeout, because on Windows Ctrl-C does not end a wait
                finished = wait(waiting, 0.1, FIRST_COMPLETED).done
                yield from (one.result() for one in waiting if one in finished)
                waiting = [one for one in waiting if one not in finished]
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _row(folder: Path, name: str, options: Options, stopped: Event) -> Row:
    path, begin = folder / name, time.monotonic()
    try:
        if not _is_code(path):
            raise DataError(f"{name} {'contains' if path.is_dir() else 'is'} neither a Python file nor a notebook")
        row = Row.of(name, run(path, options, stopped), submission.read(path))
    except GruBenchError as error:
        row = Row(student_of(name), name, NOT_CHECKED, note=str(error))
    return replace(row, seconds=f"{time.monotonic() - begin:.1f}")
