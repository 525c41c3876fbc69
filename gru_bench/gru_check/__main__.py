"""The command `gru-bench gru-check`, which is also `python -m gru_bench.gru_check`: is a GRU right?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.errors import ExitCode, UsageError, shown

if TYPE_CHECKING:
    from gru_bench.gru_check.codes import Verdict

app = cli.app()
MOST = 1_000_000
"""Most seconds and most gigabytes that may be allowed."""
HELP = """Say whether a GRU that you wrote is one, and which: FILE.py:NAME is a cell, forward(x, h), or a layer,
forward(x) or forward(x, h0).

  [bold]gru-bench gru-check homework.py:GRU[/bold]
  [bold]gru-bench gru-check homework.py:GRU --make "GRU(E, H, 2)"[/bold]
  [bold]gru-bench gru-check notebook.py:GRU --define batch_size=1[/bold]

No names and no layout of parameters are needed. The check compares states and gradients with reference cells in
float64. It ends with 0 for a GRU in whatever convention, 4 for none, 3 for what was not identified.

The file is executed, in a process of its own with limits of time and memory. Check only files that you trust."""


@app.command(help=HELP)
def gru_check(
    target: Annotated[str, typer.Argument(
        metavar="FILE.py:NAME", help="The file, and the class or function in it.", show_default=False)],
    make: Annotated[str | None, typer.Option(
        help="Expression that builds it, for other constructors. E is the input width, H the hidden width, C the "
        "number of classes, V the number of words.", show_default="sizes by the names of its arguments")] = None,
    define: Annotated[list[str] | None, typer.Option(
        metavar="NAME=VALUE", help="A global that the file lacks, such as batch_size=1. May be repeated.",
        show_default=False)] = None,
    timeout: Annotated[float, typer.Option(help="Most seconds that the check may take.", min=1)] = 120,
    memory: Annotated[float, typer.Option(help="Most gigabytes that the file may take beside torch.", min=0.1)] = 4,
    speed: Annotated[bool, typer.Option(
        "--speed/--no-speed", help="Measure its speed beside nn.GRU and the fused kernel.")] = True,
) -> None:
    """Check one GRU."""
    file, colon, name = target.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise UsageError(f"FILE.py:NAME must be a file and a name in it, such as homework.py:GRU, but got "
                         f"{shown(target)}")
    for option, value in (("--timeout", timeout), ("--memory", memory)):
        if not value <= MOST:
            raise UsageError(f"{option} must be at most {MOST:,}, but got {value:g}")
    path = Path(file)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.py"))[:8] if path.parent.is_dir() else []
        raise UsageError(f"FILE.py must be a file, but there is no {shown(file)}: "
                         + (f"that folder holds {', '.join(near)}" if near else "check the path"))
    defines = dict(_assignment(text) for text in define or ())
    from gru_bench.gru_check.child import Request
    from gru_bench.gru_check.guard import run

    console = cli.out()
    console.print(f"This executes {path.name} in a process of its own: at most {timeout:g} s and {memory:g} GB.",
                  style="dim", markup=False)
    with console.status(f"checking {name}"):
        verdict = run(Request(str(path.resolve()), name, make, defines, memory, speed), timeout)
    _show(console, path, name, verdict)
    raise typer.Exit(verdict.exit_code)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier() or not value:
        raise UsageError(f"--define must be NAME=VALUE, such as batch_size=1, but got {shown(text)}")
    return name, value


def _show(console: Any, path: Path, name: str, verdict: Verdict) -> None:
    heading = {ExitCode.DONE: ("a GRU", "green"), ExitCode.NO: ("not a GRU", "red"),
               ExitCode.INCOMPLETE: ("not identified", "yellow")}
    words, color = heading[verdict.exit_code]
    console.print(f"{name}: {words}", style=f"bold {color}", markup=False)
    console.print(f"  {verdict.form}", style="dim", markup=False)
    for finding in verdict.findings:
        console.print(f"\\[{finding.code}] {finding.kind.meaning}")
        place = f"{path.name}, line {finding.line}" if finding.line else ""
        for line in (finding.detail, finding.kind.remedy, place and f"at {place}", f"see {finding.page}"):
            if line:
                console.print(f"  {line}", markup=False)
    for note in verdict.notes:
        console.print(note, style="dim", markup=False)
    if verdict.speed:
        from gru_bench.gru_check.codes import REVIEW

        console.print(f"speed, {REVIEW}:", markup=False)
        for implementation, milliseconds in verdict.speed:
            console.print(f"  {implementation:<28} {milliseconds:8.2f} ms", markup=False)


if __name__ == "__main__":
    cli.run(app)
