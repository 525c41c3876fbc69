"""The command `gru-bench`, which is also `python -m gru_bench`: one program with a subcommand for each step."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gru_bench import cli
from gru_bench._version import __version__
from gru_bench.errors import ExitCode

PROGRAM = "gru-bench"


@dataclass(frozen=True)
class Subcommand:
    """One subcommand, as the help page lists it."""

    module: str
    """The module below gru_bench whose `app` is the command. It is imported when the command runs."""
    panel: str
    help: str


START, MORE = "Getting started", "More commands"
SUBCOMMANDS = {
    "sweep": Subcommand(
        "sweep.__main__", START, "Search for the best settings of a model, then confirm them on fresh seeds."),
    "report": Subcommand(
        "report.__main__", START, "Write a report on studies: web page, LaTeX, Markdown and all numbers."),
    "predict": Subcommand("inference.predict", START, "Classify texts with the model that a study takes."),
    "save-model": Subcommand("inference.save_model", MORE, "Save the model that a study takes, or register it in "
        "MLflow."),
    "compare": Subcommand(
        "predictions.__main__", MORE, "Compare any classifiers from files of their predictions."),
    "data": Subcommand(
        "predictions.parts", MORE, "Export the exact training, validation and test texts for other models."),
    "gru-check": Subcommand("gru_check.__main__", MORE, "Check a GRU implementation and name its convention."),
    "train": Subcommand("train.__main__", MORE, "Train one model with settings of your choice."),
}

HELP = """Tune and compare recurrent text classifiers, with tests and confidence intervals.

Three commands to start with. They take two minutes and need no download:

  [bold]gru-bench sweep --study smoke[/bold]   trains two small GRUs on movie reviews
  [bold]gru-bench report[/bold]                writes reports/movie-reviews/report.html
  [bold]mlflow ui[/bold]                       shows all runs and their curves

For full-size models, run gru-bench sweep --study bidirectional."""
EXIT_CODES = f"Exit codes of all commands: {', '.join(f'{code} {code.meaning}' for code in ExitCode)}."


class LazyGroup(TyperGroup):
    """A group that imports the module of a subcommand only when that subcommand is typed.

    The help page needs the names and the help texts alone, which `SUBCOMMANDS` holds.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and remaining arguments, where the command is the one of its own module."""
        name, listed, rest = super().resolve_command(ctx, args)
        if name is None or listed is None:
            return name, listed, rest
        module = import_module(f"gru_bench.{SUBCOMMANDS[name].module}")
        return name, cli.command_of(module.app), rest


app = cli.app(cls=LazyGroup, add_completion=True, no_args_is_help=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit(ExitCode.DONE)


@app.callback(help=HELP, epilog=EXIT_CODES)
def gru_bench(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True,
                                          callback=_show_version)] = False,
) -> None:
    """Take the options that stand before a subcommand."""


def _listed() -> None:
    """Stand for a subcommand on the help page. `LazyGroup` runs the real one."""


for _name, _subcommand in SUBCOMMANDS.items():
    app.command(_name, help=_subcommand.help, rich_help_panel=_subcommand.panel)(_listed)


def main() -> None:
    """Run the command and end the process with its exit code."""
    cli.run(app, PROGRAM)


if __name__ == "__main__":
    main()
