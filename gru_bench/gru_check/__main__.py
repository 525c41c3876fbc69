"""The command `gru-bench gru-check`, which is also `python -m gru_bench.gru_check`: is a GRU right?"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli, platforms
from gru_bench.errors import DataError, ExitCode, NotJudgedError, RunError, UsageError, shown

if TYPE_CHECKING:
    from gru_bench.gru_check.folder import Row
    from gru_bench.gru_check.sandbox import Options

app = cli.app()
MOST = 1_000_000
"""Most seconds and most gigabytes that may be allowed."""
HELP = """Say whether a GRU that you wrote is one, and which: a cell, forward(x, h), or a layer, forward(x) or
forward(x, h0).

  [bold]gru-bench gru-check homework.py[/bold]
  [bold]gru-bench gru-check homework.py:GRU --make "GRU(E, H, 2)"[/bold]
  [bold]gru-bench gru-check notebook.ipynb --define batch_size=1[/bold]
  [bold]gru-bench gru-check submissions --csv checked.csv --feedback feedback[/bold]

No names and no layout of parameters are needed. The check compares states and gradients with reference cells in
float64. It ends with 0 if each GRU is one, in whatever convention, 3 if one is none, and 4 if a file could not be
judged. With --csv, the same command continues where it was stopped.

Each file is executed: a copy in a process of its own with limits of time, memory, processes and output. Check only
files that you trust."""


@app.command(help=HELP)
def gru_check(
    target: Annotated[str, typer.Argument(
        metavar="FILE[:NAME]|FOLDER", help="A Python file or a notebook, and the class or function in it; or a folder "
        "of them.", show_default=False)],
    name: Annotated[str | None, typer.Option(
        help="The class or function to check in each file.", show_default="found by trying")] = None,
    make: Annotated[str | None, typer.Option(
        help="Expression that builds it, for other constructors. E is the input width, H the hidden width, C the "
        "number of classes, V the number of words.", show_default="sizes by the names of its arguments")] = None,
    define: Annotated[list[str] | None, typer.Option(
        metavar="NAME=VALUE", help="Value of a name at the top level of the file, such as batch_size=1, in place of "
        "the file's own. May be repeated.", show_default=False)] = None,
    timeout: Annotated[float, typer.Option(help="Most seconds that the check of a file may take.", min=1)] = 120,
    memory: Annotated[float, typer.Option(
        help="Most gigabytes that a file may take in addition to torch.", min=0.1)] = 4,
    csv: Annotated[Path | None, typer.Option(
        help="File for the table of a folder. A row of it stays where file, options and version are the same.",
        show_default=False, rich_help_panel="Folder")] = None,
    feedback: Annotated[Path | None, typer.Option(
        help="Folder for a text for each student: what it is, where, why, and the equations as they should be.",
        show_default=False, rich_help_panel="Folder")] = None,
    jobs: Annotated[int | None, typer.Option(
        help="Files that are checked at the same time.", min=1, show_default="one less than the cores",
        rich_help_panel="Folder")] = None,
) -> None:
    """Check one GRU, or a folder of them."""
    file, colon, last = target.rpartition(":")
    if colon and file and last.isidentifier():
        if name is not None:
            raise UsageError(f"the name must be given once, but it is {last} in {shown(target)} and {name} in --name: "
                             "leave one out")
        name = last
    else:
        file = target
    for option, value in (("--timeout", timeout), ("--memory", memory)):
        if not value <= MOST:
            raise UsageError(f"{option} must be at most {MOST:,}, but got {value:g}")
    if name is not None and not name.isidentifier():
        raise UsageError(f"--name must be a name of Python, such as GRU, but got {shown(name)}")
    defines = dict(_assignment(text) for text in define or ())
    from gru_bench.gru_check.sandbox import Options

    path = Path(file)
    options = Options(name, make, defines, memory, timeout)
    if path.is_dir():
        _check_folder(path, options, csv, feedback, jobs or max(1, platforms.cores() - 1))
    elif csv is not None or feedback is not None or jobs is not None:
        raise UsageError(f"--csv, --feedback and --jobs are for a folder, but {shown(file)} is none: leave them out")
    else:
        _check_file(path, options)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier() or not value:
        raise UsageError(f"--define must be NAME=VALUE, such as batch_size=1, but got {shown(text)}")
    return name, value


# ---------------------------------------------------------------- one file


def _check_file(path: Path, options: Options) -> None:
    from gru_bench.gru_check.codes import FITTING
    from gru_bench.gru_check.feedback import explained
    from gru_bench.gru_check.sandbox import run
    from gru_bench.gru_check.submission import ENDINGS, read

    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        near = sorted(p.name for p in path.parent.glob("*") if p.suffix in ENDINGS)[:8] if path.parent.is_dir() else []
        raise UsageError(f"FILE must be a Python file, a notebook or a folder, but {shown(str(path))} is none: "
                         + (f"that folder contains {', '.join(near)}" if near else "check the path"))
    console = cli.out()
    console.print(f"This executes {path.name} in a process of its own: at most {options.timeout:g} s and "
                  f"{options.memory:g} GB.", style="dim", markup=False)
    try:
        with console.status(f"checking {options.name or path.name}"):
            verdict = run(path, options)
    except (RunError, DataError) as error:
        raise NotJudgedError(str(error)) from error
    color = {ExitCode.DONE: "green", ExitCode.NOT_FINE: "red"}.get(verdict.exit_code, "yellow")
    console.print(f"{verdict.name}: {verdict.words}", style=f"bold {color}", markup=False)
    console.print(f"  {verdict.form}", style="dim", markup=False)
    code = read(path)
    for finding in verdict.findings:
        console.print(f"\\[{finding.code}] {finding.kind.meaning}")
        place = f"at {path.name}, {code.place(finding.line)}" if finding.line else ""
        for line in filter(None, (finding.detail, place, *explained(finding.code))):
            console.print(f"  {line}", markup=False)
    for note in filter(None, (*verdict.notes, verdict.outlook)):
        console.print(note, style="dim", markup=False)
    if verdict.fitting:
        console.print(f"{FITTING} {path.name}:\n{verdict.fitting}", style="dim", markup=False)
    raise typer.Exit(verdict.exit_code)


# ---------------------------------------------------------------- a folder


def _check_folder(
    folder: Path, options: Options, table: Path | None, feedback: Path | None, jobs: int
) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from gru_bench.gru_check.child import NOT_CUT_OFF
    from gru_bench.gru_check.feedback import check_feedback, write_feedback
    from gru_bench.gru_check.folder import check_folder, files, read_rows, state, write_rows
    from gru_bench.sweep.console.progress import several

    names, helpers = files(folder)
    if feedback is not None:
        check_feedback(feedback, names)
    before = {} if table is None else read_rows(table)
    rows = {name: row for name in names if (row := before.get(name)) and row.digest == state(folder / name, options)}
    left = [name for name in names if name not in rows]
    console = cli.out()
    known = f" {len(rows)} of {len(names)} are in {table} already." if rows else ""
    console.print(f"This executes {several(len(left), 'file')}, each in a process of its own: at most "
                  f"{options.timeout:g} s and {options.memory:g} GB, {jobs} at a time.{known}", style="dim",
                  markup=False)
    if helpers:
        console.print(f"Checked with the files that import them: {', '.join(helpers)}.", style="dim", markup=False)
    if table is not None:
        write_rows(table, rows.values())  # what cannot be written is known before the first file
    bar = Progress(TextColumn("checking"), BarColumn(bar_width=32), MofNCompleteColumn(), console=console,
                   transient=True, disable=not console.is_terminal)
    with nullcontext() if table is None else cli.continued(), bar:
        task = bar.add_task("", total=len(left))

        def done(row: Row) -> None:
            rows[row.file] = row
            if table is not None:
                write_rows(table, (rows[name] for name in names if name in rows))
            bar.advance(task)
            said = "; ".join(filter(None, (row.codes, row.line, row.convention, row.note if not row.name else "")))
            console.print(f"{row.file}: {row.verdict}{said and f' ({said})'}, {row.seconds} s", markup=False)

        check_folder(folder, left, options, jobs, done)
    counts = Counter(rows[name].verdict for name in names)
    found = ", ".join(f"{count} {words}" for words, count in counts.most_common())
    console.print(f"{several(len(names), 'file')}: {found}", style="bold", markup=False)
    notes = [row.note for row in rows.values() if NOT_CUT_OFF in row.note]
    for note in {note[note.index(NOT_CUT_OFF):] for note in notes}:
        console.print(note, style="dim", markup=False)
    if table is not None:
        console.print(f"wrote {table}", markup=False)
    if feedback is not None:
        count = write_feedback(feedback, (rows[name] for name in names))
        console.print(f"wrote {several(count, 'text')} to {feedback}", markup=False)
    raise typer.Exit(max(rows[name].exit_code for name in names))


if __name__ == "__main__":
    cli.run(app)
