"""What all commands share: exit codes, consoles, and the options that mean the same in each command.

A command declares its options with the aliases below (`data: Data = None`) and reads their values from its typer
context. Each table such as `SETTING_OPTIONS` says which setting an option sets; `given` returns those that were typed.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status

from gru_bench.errors import (
    FULL_DISK,
    NO_MEMORY,
    ExitCode,
    GruBenchError,
    InterruptedCommandError,
    UsageError,
    at_the_command_line,
    out_of_memory,
    shown,
    visible,
    without_passwords,
)
from gru_bench.platforms import WINDOWS, is_reserved, most_workers

PIPE_WIDTH = 140
"""Columns of the output when it does not go to a terminal."""
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Error numbers of the system for files and folders that must not be written."""
LONGEST = 2000
"""Most characters of an error message. The middle of a longer one is left out."""
_UNTYPABLE = str.maketrans({"−": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "±": "+/-", "→": "->", "·": ".",
                            "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "\u202f": " ", "\u00a0": " "})
"""Characters that have a likeness in ASCII, for streams whose encoding lacks them."""
_NUMBERS = {"valid integer": "a whole number", "valid number": "a number", "valid float": "a number"}
"""Part of typer's message about a word that is no number -> what an option must be."""
INTERRUPTED = "interrupted; the same command continues from here"

# ---------------------------------------------------------------- shared options

Data = Annotated[str | None, typer.Option(
    "--data", help="Data set: a name, a file (CSV, TSV, JSON Lines, Parquet, or the homework's gzipped pickle), or a "
    "folder of such files or of one folder of .txt files per class.",
    show_default="movie-reviews", rich_help_panel="Data")]
TestData = Annotated[str | None, typer.Option(
    "--test-data", help="Test data in the same format. By default, 10 % of the data are held out for testing.",
    show_default=False, rich_help_panel="Data")]
TextColumn = Annotated[str | None, typer.Option(
    "--text-column", help="Column of the texts.", show_default="text, or another usual name",
    rich_help_panel="Data")]
LabelColumn = Annotated[str | None, typer.Option(
    "--label-column", help="Column of the classes (words, numbers, true or false).",
    show_default="label, or another usual name", rich_help_panel="Data")]
Encoding = Annotated[str | None, typer.Option(
    "--encoding", help="Encoding of text files, such as cp1252 or utf-16.", show_default="utf-8",
    rich_help_panel="Data")]
CategoryColumn = Annotated[str | None, typer.Option(
    "--category-column", help="Column of categories, by which the report breaks down accuracy.",
    show_default=False, rich_help_panel="Data")]
SplitColumn = Annotated[str | None, typer.Option(
    "--split-column", help="Column that assigns each row to train, validation or test.", show_default=False,
    rich_help_panel="Data")]
GroupColumn = Annotated[str | None, typer.Option(
    "--group-column", help="Column of groups, such as the product. Texts of a group stay in the same split, and "
    "intervals account for groups. none turns groups off.", show_default="a column with a usual name, if any",
    rich_help_panel="Data")]
IdColumn = Annotated[str | None, typer.Option(
    "--id-column", help="Column that identifies each row, to join predictions to the file.",
    show_default="the row number", rich_help_panel="Data")]
Embedding = Annotated[str | None, typer.Option(
    "--embedding", help="Word vectors: corpus (word2vec, trained on the training texts), random, a "
    "gensim-data name, or a .bin or .txt file (.gz too).", show_default="corpus", rich_help_panel="Data")]
Limit = Annotated[int | None, typer.Option(
    "--limit", help="Use at most this many texts, for a quick test.", show_default="all", rich_help_panel="Data")]
Device = Annotated[str | None, typer.Option(
    "--device", help="auto (an NVIDIA GPU, otherwise the CPU), cpu, cuda, cuda:N or mps.", show_default="auto",
    rich_help_panel="Training")]
Epochs = Annotated[int | None, typer.Option(
    "--epochs", help="Passes over the training texts.", rich_help_panel="Training",
    show_default="3; of a study, its own, or by the number of texts")]
Metric = Annotated[str | None, typer.Option(
    "--metric", help="Metric to optimize, to select epochs by and to compare: accuracy, macro_f1 or log_loss.",
    show_default="accuracy, or the study's", rich_help_panel="Training")]
Settings = Annotated[list[str] | None, typer.Option(
    "--set", metavar="SECTION.KEY=VALUE", help="Any other setting, such as training.clip_norm=5. May be repeated.",
    show_default=False, rich_help_panel="Training")]
TrackingUri = Annotated[str | None, typer.Option(
    "--tracking-uri", help="MLflow tracking URI: sqlite:///FILE or http(s)://SERVER.",
    show_default="sqlite:///mlflow.db in this directory", rich_help_panel="Stores")]
Storage = Annotated[str | None, typer.Option(
    "--storage", help="Optuna storage of the search: a .journal file or a PostgreSQL URL.",
    show_default="optuna.journal in this directory", rich_help_panel="Stores")]
RunCode = Annotated[bool, typer.Option(
    "--run-code", help="Allow the Python code of a model's class to run, now and later on this machine. Read the code "
    "first: it runs with your permissions.", rich_help_panel="Stores")]
NoTexts = Annotated[bool, typer.Option(
    "--no-texts", help="Store no texts.", rich_help_panel="Stores")]

SETTING_OPTIONS = {
    "data.name": "--data", "data.test_name": "--test-data", "data.text_column": "--text-column",
    "data.label_column": "--label-column", "data.category_column": "--category-column",
    "data.split_column": "--split-column", "data.group_column": "--group-column", "data.id_column": "--id-column",
    "data.encoding": "--encoding", "embedding.name": "--embedding", "data.limit": "--limit",
    "training.epochs": "--epochs", "training.device": "--device", "training.metric": "--metric",
}
"""Setting -> the option that sets it, for all commands that train."""


def given(context: typer.Context, options: Mapping[str, str]) -> dict[str, Any]:
    """Return setting -> value for those of the `options` that were typed.

    Args:
        context: The context of the command, which holds the values of its options.
        options: Setting -> the option that sets it.
    """
    values = {setting: context.params[option.removeprefix("--").replace("-", "_")]
              for setting, option in options.items()}
    return {setting: value for setting, value in values.items() if value is not None}


def checked_workers(workers: int | None) -> int | None:
    """Return the number of worker processes that was typed.

    Raises:
        UsageError: This system does not allow so many.
    """
    most = most_workers()
    if workers is not None and most is not None and workers > most:
        raise UsageError(f"workers must be at most {most} on Windows, where a process can wait for only {most + 3} "
                         f"others, but got {workers}: to use more, start the command several times")
    return workers


# ---------------------------------------------------------------- applications, consoles, exit codes


def app(**options: Any) -> typer.Typer:
    """Return a typer application with the settings that all commands share, and more `options` for typer."""
    settings: dict[str, Any] = {
        "add_completion": False, "no_args_is_help": False, "pretty_exceptions_enable": False,
        "rich_markup_mode": "rich", "context_settings": {"help_option_names": ["-h", "--help"]}}
    return typer.Typer(**settings | options)


def command_of(application: typer.Typer) -> Any:
    """Return the command of an application. Its help page shows a name for a value only where that helps."""
    command = typer.main.get_command(application)
    _prepare_help(command)
    return command


def out(*, quiet: bool = False, stderr: bool = False) -> Console:
    """Return the console for results. In a pipe, lines are not wrapped and tables are `PIPE_WIDTH` wide.

    Args:
        quiet: Whether nothing is printed.
        stderr: Whether it prints to standard error, because standard output is for data.
    """
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return _Console(highlight=False, width=None if terminal else PIPE_WIDTH, soft_wrap=not terminal, quiet=quiet,
                    force_jupyter=False, stderr=stderr)


class _Console(Console):
    """A console that shows names and texts from files without obeying any control character in them."""

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Return a status whose spinner the encoding of the terminal has."""
        return super().status(status, **{"spinner": "line" if self.options.ascii_only else "dots"} | options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the printed segments. Control and direction characters appear as escapes such as `\\x1b`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def _set_streams() -> None:
    """Let no text end a command because a stream is closed, or because its encoding lacks a character of the text.

    On Windows, the encoding of a file or a pipe is often cp1252, but names of files and words may be of any script.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # its number would go to the next file that is opened, such as a database
            null = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - it is open to the end
            os.set_inheritable(null.fileno(), True)
            setattr(sys, name, null)
    codecs.register_error("gru_bench", _likeness)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="gru_bench")


def _likeness(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the likeness in ASCII of characters that cannot be encoded, or their escapes such as `\\u0416`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start:error.end].translate(_UNTYPABLE)
    return text.encode("ascii", "backslashreplace").decode(), error.end


def run(application: typer.Typer, name: str | None = None) -> None:
    """Run a command and end the process with its exit code (see `ExitCode`)."""
    sys.exit(ended(application, name))


def ended(application: typer.Typer, name: str | None = None) -> int:
    """Run a command, print an error if there is one, and return the exit code.

    Args:
        application: The command.
        name: The program's name on help pages. By default it is the one that was typed.
    """
    _set_streams()
    command = command_of(application)
    try:
        with _sigterm_as_ctrl_c(), at_the_command_line():
            # On Windows, click would put files in the place of a word such as *, even of a text.
            code = command(standalone_mode=False, prog_name=name or line(program()), windows_expand_args=False)
            sys.stdout.flush()
    except GruBenchError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return ExitCode.FAILED
    except OSError as error:
        if (message := _failing_folder(error)) is None:
            raise
        _complain(message)
        return ExitCode.FAILED
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and not out_of_memory(error):
            raise
        _complain(NO_MEMORY)
        return ExitCode.FAILED
    except Exception as error:
        # typer's own usage errors can print themselves. Their class differs between typer's versions.
        show, exit_code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if show is None or exit_code is None:
            raise
        if sentence := _not_a_number(error):
            _complain(sentence)
            return int(exit_code)
        if "unexpected extra argument" in getattr(error, "message", ""):
            extra: Any = error
            extra.message += ": check that each option that takes a value has one, and that no flag does"
        show()
        return int(exit_code)
    if code == ExitCode.INTERRUPTED:  # what typer returns after Ctrl-C
        _complain("interrupted")
    return code if isinstance(code, int) else ExitCode.DONE


def _prepare_help(command: Any, parent: Any = None) -> None:
    """Let help pages show no value for a flag, and the option's name as the value of a repeatable option.

    Line breaks within a paragraph are removed, but not those of a list: its lines begin with a space or markup.
    """
    command.help = re.sub(r"(?<!\n)\n(?=[^\s\[])", " ", command.help or "")
    context = command.context_class(command, parent=parent, **command.context_settings)
    for option in (*command.params, command.get_help_option(context)):
        if option.metavar is None and getattr(option, "is_flag", False):
            option.metavar = ""
        elif option.metavar is None and getattr(option, "multiple", False):
            option.metavar = option.name.upper()
    for inner in getattr(command, "commands", {}).values():
        _prepare_help(inner, context)


@contextmanager
def continued() -> Iterator[None]:
    """Say after Ctrl-C or SIGTERM that the same command continues; for a command that does so."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedCommandError(INTERRUPTED) from error


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end any command as Ctrl-C does: by a KeyboardInterrupt, which closes runs and files in order.

    While a sweep trains, `gru_bench.sweep.console.interrupt.Interrupt` takes both signals in its place.
    """
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def reading_texts(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show that the texts are read. The function that is yielded shows how many are compared with the others."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console, transient=True,
                  disable=not console.is_terminal) as progress:
        task = progress.add_task("reading texts", total=None)

        def compared(done: int, total: int) -> None:
            progress.update(task, description="finding near-duplicates", completed=done, total=total)

        yield compared


# ---------------------------------------------------------------- the command as it was typed


def program() -> list[str]:
    """Return the words that started this program, such as gru-bench or python -m gru_bench.sweep."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is not None and module.name.startswith("gru_bench."):
        return ["python", "-m", module.name.removesuffix(".__main__")]
    if sys.argv[0].endswith(".py"):
        return ["python", sys.argv[0]]
    return [Path(sys.argv[0]).name.removesuffix(".exe")]


def command_line() -> str:
    """Return the command for the record, as it was typed and quoted as `shlex.split` reads it, but without passwords.

    For a script or module it holds only the file's name; `evidence.progress.typed` restores the full command.
    """
    return shlex.join([Path(sys.argv[0]).name.removesuffix(".exe"), *map(without_passwords, sys.argv[1:])])


def line(words: Sequence[str]) -> str:
    """Return a command as the user's shell reads it."""
    return subprocess.list2cmdline(words) if WINDOWS else shlex.join(words)


def check_folder(option: str, folder: Path | None) -> None:
    """Check that an option names a folder, which may be new.

    Raises:
        UsageError: for a file, a folder in one, or a name that Windows reserves.
    """
    devices = [part for part in folder.parts if is_reserved(part)] if WINDOWS and folder is not None else []
    if devices:
        raise UsageError(f"{option} must be a folder, but Windows reserves the name {devices[0]!r} for a device: "
                         "choose another")
    for place in (folder, *folder.parents) if folder is not None else ():
        if place.exists():
            if not place.is_dir():
                raise UsageError(f"{option} must be a folder, but {place} is a file: choose another")
            return


def _failing_folder(error: OSError) -> str | None:
    """Return a sentence that says what is wrong with the disk or the folder, or None for any other error."""
    where = f" {error.filename}" if error.filename else ""
    match error.errno:
        case errno.EFBIG:
            return (f"a file{where} must not grow any more ({error.strerror}): raise the limit of file sizes (ulimit "
                    "-f), and run the same command again")
        case code if code in FULL_DISK:
            return (f"no space left on the disk{where and f', needed to write{where}'}: free some and run the same "
                    "command again")
        case code if code in UNWRITABLE:
            return (f"cannot read and write{where or ' here'} ({error.strerror}): run this in a folder that you own, "
                    "such as a copy of this one")
    return None


def _not_a_number(error: Exception) -> str:
    """Return a sentence for an option that takes a number and was given something else; empty for another error."""
    message, option = getattr(error, "message", ""), getattr(error, "param", None)
    kind = next((words for part, words in _NUMBERS.items() if part in message), None)
    if kind is None or option is None:
        return ""
    name = option.opts[0]
    given = next((after if word == name else word.partition("=")[2] for word, after in zip(
        sys.argv, [*sys.argv[1:], ""], strict=True) if word.partition("=")[0] == name), "")
    return f"{name} must be {kind}, but got {shown(given)}"


def _reader_has_left() -> bool:
    """Return whether the program that reads standard output has ended, such as head. Nothing more is written then."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _complain(message: str) -> None:
    if len(message) > LONGEST:
        half = LONGEST // 2
        message = f"{message[:half]} ... ({len(message) - 2 * half:,} characters left out) ... {message[-half:]}"
    _Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"error: {message}", style="red", markup=False)
