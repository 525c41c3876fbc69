"""The command `gru-bench gru-check`, which is also `python -m gru_bench.gru_check`: is a GRU right?"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli, platforms
from gru_bench.errors import DataError, ExitCode, IncompleteError, RunError, UsageError, shown

if TYPE_CHECKING:
    from gru_bench.gru_check.folder import Row
    from gru_bench.gru_check.sandbox import Options

app = cli.app()
HELP = """Check a GRU implementation and name its convention. It can be a cell, forward(x, h), or a layer, forward(x) or
forward(x, h0).

  [bold]gru-bench gru-check homework.py[/bold]
  [bold]gru-bench gru-check homework.py:GRU --make "GRU(E, H, 2)"[/bold]
  [bold]gru-bench gru-check submissions --csv checked.csv[/bold]

Parameters can have any names and layout: the check compares results with those of reference cells in float64.
Exit code 0: all are GRUs, in any convention; 4: some are not; 3: a file was not identified or not checked; 2: there is
no such file or class.

Each file is copied and executed in its own process, with limits on time, memory and the size of files. Check only
files that you trust."""


@app.command(help=HELP)
def gru_check(
    target: Annotated[str, typer.Argument(
        metavar="FILE[:NAME]|FOLDER", help="Python file or notebook, with the class to check; or a folder "
        "of files.", show_default=False)],
    make: Annotated[str | None, typer.Option(
        help="Expression that constructs it, from E (input size), H (hidden size), C (number of classes) and V "
        "(vocabulary size).", show_default="guessed from argument names")] = None,
    timeout: Annotated[float, typer.Option(help="Time limit per file, in seconds.", min=1, max=1_000_000)] = 120,
    csv: Annotated[Path | None, typer.Option(
        help="Table of results to write.", show_default=False, rich_help_panel="Folder")] = None,
    jobs: Annotated[int | None, typer.Option(
        help="Number of files to check in parallel.", min=1, show_default="one per core",
        rich_help_panel="Folder")] = None,
) -> None:
    """Check one GRU, or a folder of them."""
    file, colon, name = target.rpartition(":")
    if not (colon and file and name.isidentifier()):
        file, name = target, ""
    from gru_bench.gru_check.sandbox import Options

    path = Path(file)
    options = Options(name or None, make, timeout)
    if path.is_dir():
        _check_folder(path, options, csv, jobs or platforms.worker_per_core())
    elif csv is not None or jobs is not None:
        raise UsageError(f"--csv and --jobs need a folder, but {shown(file)} is not one: leave them out")
    else:
        _check_file(path, options)


# ---------------------------------------------------------------- one file


def _check_file(path: Path, options: Options) -> None:
    from gru_bench.gru_check.sandbox import run
    from gru_bench.gru_check.submission import ENDINGS, MEMORY, read

    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix in ENDINGS)[:8]
        wrong = (f"FILE must be a Python file, a notebook or a folder, but got {shown(str(path))}"
                 if path.is_file() else f"No such file: {shown(str(path))}")
        raise UsageError(f"{wrong}. That folder contains {', '.join(near)}" if near else wrong)
    console = cli.out()
    console.print(f"Executing {path.name} in a separate process: at most {options.timeout:g} s and {MEMORY} GB.",
                  style="dim", markup=False)
    try:
        with console.status(f"checking {options.name or path.name}"):
            verdict = run(path, options)
    except (RunError, DataError) as error:
        raise IncompleteError(str(error)) from error
    color = {ExitCode.DONE: "green", ExitCode.NO: "red"}.get(verdict.exit_code, "yellow")
    console.print(f"{verdict.name}: {verdict.words}", style=f"bold {color}", markup=False)
    console.print(f"  {verdict.form}", style="dim", markup=False)
    code = read(path)
    for finding in verdict.findings:
        console.print(f"\\[{finding.code}] {finding.kind.meaning}")
        place = f"at {path.name}, {code.place(finding.line)}" if finding.line else ""
        for text in filter(None, (finding.detail, place, indent(finding.kind.equation, "  "))):
            console.print(indent(text, "  "), markup=False)
    for note in verdict.notes:
        console.print(note, style="dim", markup=False)
    raise typer.Exit(verdict.exit_code)


# ---------------------------------------------------------------- a folder


def _check_folder(folder: Path, options: Options, table: Path | None, jobs: int) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from gru_bench.data.files import check_table
    from gru_bench.gru_check.folder import COLUMNS, entries, rows, write_rows
    from gru_bench.gru_check.submission import MEMORY
    from gru_bench.wording import several

    names = entries(folder, table)
    if table is not None:
        check_table(table, COLUMNS)
        write_rows(table, ())  # what cannot be written is known before the first file
    done: dict[str, Row] = {}
    console = cli.out()
    console.print(f"Checking {several(len(names), 'submission')}, each in a separate process: at most "
                  f"{options.timeout:g} s and {MEMORY} GB, {jobs} at a time.", style="dim", markup=False)
    bar = Progress(TextColumn("checking"), BarColumn(bar_width=32), MofNCompleteColumn(), console=console,
                   transient=True, disable=not console.is_terminal)
    with bar, closing(rows(folder, names, options, jobs)) as checked:
        for row in bar.track(checked, len(names)):
            done[row.file] = row
            if table is not None:
                write_rows(table, (done[name] for name in names if name in done))
            said = "; ".join(filter(None, (row.codes, row.line, row.convention, row.note if not row.name else "")))
            console.print(f"{row.file}: {row.verdict}{said and f' ({said})'}, {row.seconds} s", markup=False)
    counts = Counter(row.verdict for row in done.values())
    found = ", ".join(f"{count} {words}" for words, count in counts.most_common())
    console.print(f"{several(len(names), 'submission')}: {found}", style="bold", markup=False)
    if table is not None:
        console.print(f"wrote {table}", markup=False)
    raise typer.Exit(max(row.exit_code for row in done.values()))


if __name__ == "__main__":
    cli.run(app)
