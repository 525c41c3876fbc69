"""What the commands share: how they end, where they print, and the options that mean the same in each."""

from __future__ import annotations

import errno
import re
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gru_bench.errors import GruBenchError, UsageError

INTERRUPTED = 130
PIPE_WIDTH = 140
"""Columns, where there is no terminal to ask."""
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says of files and folders that may not be written."""
LONGEST = 2000
"""Characters of a complaint, whose middle is left out beyond."""
_PASSWORD = re.compile(r"(://[^:/@]+):[^@/]*(?=@)")
_RAW = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, or what turns the direction of a text, or cannot be written."""

Data = Annotated[str | None, typer.Option(
    "--data", help="A data set's name or a file: CSV, TSV, JSON Lines, Parquet, or the homework's gzipped pickle; "
    "recall:k=50 makes sequences whose label is one token, 50 steps before the end.",
    show_default="movie-reviews", rich_help_panel="Data")]
TestData = Annotated[str | None, typer.Option(
    "--test-data", help="A test file in the same format; without it 10 % of the data, drawn by hash.",
    show_default=False, rich_help_panel="Data")]
TextColumn = Annotated[str | None, typer.Option(
    "--text-column", help="Column that holds the review.", show_default="text", rich_help_panel="Data")]
LabelColumn = Annotated[str | None, typer.Option(
    "--label-column", help="Column that holds 0 or 1.", show_default="label", rich_help_panel="Data")]
CategoryColumn = Annotated[str | None, typer.Option(
    "--category-column", help="Column that holds a category, to report accuracy by it.", show_default=False,
    rich_help_panel="Data")]
Embedding = Annotated[str | None, typer.Option(
    "--embedding", help="Word vectors: corpus, random, glove-6b-50d, a gensim-data name, or a .bin/.txt file (.gz "
    "allowed).", show_default="corpus; random for recall data, whose words mean nothing", rich_help_panel="Data")]
Limit = Annotated[int | None, typer.Option(
    "--limit", help="Use this many reviews, drawn by hash, for a quick look.", show_default="all",
    rich_help_panel="Data")]
Device = Annotated[str | None, typer.Option(
    "--device", help="auto, cpu, cuda, cuda:N or mps.", show_default="auto", rich_help_panel="Training")]
Epochs = Annotated[int | None, typer.Option(
    "--epochs", help="Passes over the training reviews.", show_default="3, or the study's", rich_help_panel="Training")]
TrackingUri = Annotated[str | None, typer.Option(
    "--tracking-uri", help="Where MLflow keeps runs.", show_default="sqlite:///mlflow.db in this directory",
    rich_help_panel="Stores")]
NoTexts = Annotated[bool, typer.Option(
    "--no-texts", help="Store no reviews: neither texts beside their predictions, nor one that models are looked into "
    "with.", rich_help_panel="Stores")]
Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="SECTION.KEY=VALUE", help="Any other setting, such as training.clip_norm=5; may be repeated.",
    show_default=False, rich_help_panel="Training")]


def app(**options: Any) -> typer.Typer:
    """Return a typer application with the settings that all commands share."""
    return typer.Typer(
        add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]}, **options)


def out() -> Console:
    """Return the console for results; in a pipe, whose width nobody knows, tables get room."""
    terminal = sys.stdout.isatty()
    return _Console(highlight=False, width=None if terminal else PIPE_WIDTH, soft_wrap=not terminal)


class _Console(Console):
    """Shows names and texts from files as they are, and obeys none of them."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is printed, control and direction characters of texts as escapes such as `\\x1b`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=_RAW.sub(_escape, segment.text))


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()


def run(application: typer.Typer) -> None:
    """Run a command and end the process: 0 done, 1 failed, 2 wrongly typed, 130 interrupted."""
    sys.exit(ended(application))


def ended(application: typer.Typer) -> int:
    """Run a command and return its exit code, having said what went wrong."""
    command = typer.main.get_command(application)
    _name_values(command)
    try:
        code = command(standalone_mode=False)
    except GruBenchError as error:
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        if (told := _failing_folder(error)) is None:
            raise
        _complain(told)
        return 1
    except Exception as error:
        # typer's own usage errors know how to show themselves; their class has moved between its versions.
        show, exit_code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is None or exit_code is None:
            raise
        if "unexpected extra argument" in getattr(error, "message", ""):
            typed: Any = error
            typed.message += ": a value must follow an option that takes one, and a flag takes none"
        show()
        return int(exit_code)
    if code == INTERRUPTED:  # typer's answer to Ctrl-C
        _complain("interrupted; the same command goes on from here")
    return code if isinstance(code, int) else 0


def _name_values(command: Any) -> None:
    """Let help pages show no value for a flag, and for an option that may be repeated its name."""
    for option in command.params:
        if option.metavar is None and getattr(option, "is_flag", False):
            option.metavar = ""
        elif option.metavar is None and getattr(option, "multiple", False):
            option.metavar = option.name.upper()
    for inner in getattr(command, "commands", {}).values():
        _name_values(inner)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a request to terminate end a command as Ctrl-C does, so that it leaves everything in order."""
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


OPTIONS = {
    "model.name": "--model", "model.hidden_size": "--hidden-size", "model.layers": "--layers",
    "model.pooling": "--pooling", "training.epochs": "--epochs", "training.batch_size": "--batch-size",
    "training.lr": "--lr", "training.device": "--device", "data.name": "--data", "data.test_name": "--test-data",
    "data.text_column": "--text-column", "data.label_column": "--label-column",
    "data.category_column": "--category-column", "data.limit": "--limit", "embedding.name": "--embedding",
    "name": "--study-name", "trials": "--trials", "confirm": "--confirm", "seed": "--seed", "sampler": "--sampler",
    "seeds_per_trial": "--seeds-per-trial",
}
"""Setting, or key of a study file -> the option that sets it."""


def typed(options: Iterable[str], assigned: Iterable[str]) -> dict[str, str]:
    """Return setting -> the option that it was typed as, less those that `--set` has `assigned` by their names."""
    assigned = set(assigned)
    return {setting: OPTIONS[setting] for setting in options if setting not in assigned}


def named_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings among `options` (setting -> value) that were given."""
    return {setting: value for setting, value in options.items() if value is not None}


def data_settings(
    data: str | None, test_data: str | None, text_column: str | None, label_column: str | None,
    category_column: str | None, embedding: str | None, limit: int | None, device: str | None, epochs: int | None,
) -> dict[str, Any]:
    """Return the settings that the shared options set.

    Raises:
        UsageError: for a device of no kind that there is; whether this machine has it takes torch to say.
    """
    from gru_bench.data.recall_task import is_recall

    if device is not None and not _DEVICE.fullmatch(device):
        raise UsageError(f"--device must be auto, cpu, cuda (an NVIDIA card), cuda:N or mps (Apple's), but got "
                         f"{device!r}")

    if data is not None and is_recall(data) and embedding is None:
        embedding = "random"
    return named_settings({
        "data.name": data, "data.test_name": test_data, "data.text_column": text_column,
        "data.label_column": label_column, "data.category_column": category_column, "data.limit": limit,
        "embedding.name": embedding, "training.device": device, "training.epochs": epochs,
    })


def command_line() -> str:
    """Return the command as it was typed, for the record, quoted so that it can be typed again; no password."""
    return shlex.join([Path(sys.argv[0]).name, *(_PASSWORD.sub(r"\1", word) for word in sys.argv[1:])])


def command_with(option: str, value: str) -> str:
    """Return the command as it was typed, with another value of an option, to be typed again; no password."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    words = shlex.split(command_line())[1:]
    kept = [word for before, word in zip(["", *words], words, strict=False)
            if before != option and word.partition("=")[0] != option]
    program = (["python", "-m", module.name.removesuffix(".__main__")] if module is not None
               else ["python", sys.argv[0]] if sys.argv[0].endswith(".py") else [Path(sys.argv[0]).name])
    return shlex.join([*program, *kept, option, value])


def _failing_folder(error: OSError) -> str | None:
    """Return in a sentence what is wrong with the disk or the folder; None where it is something else."""
    where = f" {error.filename}" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return (f"there must be free space on the disk{where and f' to write{where}'}, but none is left: free some "
                    "and run this again")
        case code if code in UNWRITABLE:
            return (f"this command must be able to read and write{where or ' here'}, but may not ({error.strerror}): "
                    "run it in a folder of your own, or copy the stores to one (mlflow.db, mlartifacts, optuna.journal "
                    "and .gru-bench, all together)")
    return None


def _complain(message: str) -> None:
    if len(message) > LONGEST:
        half = LONGEST // 2
        message = f"{message[:half]} ... ({len(message) - 2 * half:,} characters left out) ... {message[-half:]}"
    _Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"error: {message}", style="red", markup=False)
