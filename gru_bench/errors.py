"""The exit codes of all commands, the errors that lead to them, and the words that error messages share.

A message says what is wrong, the value found and, where that helps, the rule and what to do about it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from enum import IntEnum
from pathlib import Path

LONGEST_SHOWN = 100
"""Most characters of a value that an error shows."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of the system for a file that cannot grow: the disk is full, a quota or a limit of file sizes reached.
"""
_SECRET = r"[^=&#?\s]*(?:passw|pwd|passphrase|token|secret|credential|api_?key)[^=&#?\s]*=[^&#\s]*"
"""A parameter of a URL that holds a password."""
_PASSWORDS = (
    (re.compile(r"(://[^:/?#\s]*):[^/?#\s]*@"), r"\1@"),
    # A password that holds / or ? as it is, against the rules. Digits before the / are a port.
    (re.compile(r"(://[^:/?#\s]*):(?!\d+(?:[/?#]|$))\S*@"), r"\1@"),
    (re.compile(rf"([?&])(?:{_SECRET}&)+", re.IGNORECASE), r"\1"),
    (re.compile(rf"[?&]{_SECRET}", re.IGNORECASE), ""),
    (re.compile(r"((?:pwd|password)(?:=|%3D))(?:(?!%3B)[^;&\s])+", re.IGNORECASE), r"\1"),
)
"""Where passwords are in a URL -> what stays. The last one is for ODBC's own texts within a URL."""

_RAW = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal, change the direction of a text, or cannot be written."""
_COLUMNS = ("text", "label", "category", "split", "group", "id", "prediction")
"""Arguments that name a column. Their options end in `-column`."""
_is_command = False
"""Whether the user is at the command line, and not in Python."""


class ExitCode(IntEnum):
    """How a command ended, as the shell sees it. All commands use this one table.

    A script may repeat a sweep or a training that ended with 3 or 130: the same command goes on where it was left. Of
    a folder that `gru-check` has checked, the highest code applies.
    """

    DONE = 0
    """The command did what was asked, or the answer to a check is yes."""
    FAILED = 1
    """Something failed: a file, a run, a store, a server or this machine."""
    MISTYPED = 2
    """The command was typed wrongly: an unknown name, or a value outside its range."""
    INCOMPLETE = 3
    """Nothing failed, but something is not done or not decided: a study has trials left, nothing is complete that a
    report or a prediction needs, MLflow lacks runs, a `--claim` is open, or `gru-check` could not judge a file."""
    NO = 4
    """The answer to a check is no: stores disagree, a report differs from its runs, a `--claim` is refuted, or
    `gru-check` found no GRU."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM ended the command in order."""

    @property
    def meaning(self) -> str:
        """Return what the code means, in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "success, or yes",
    ExitCode.FAILED: "failed",
    ExitCode.MISTYPED: "usage error",
    ExitCode.INCOMPLETE: "incomplete or undecided",
    ExitCode.NO: "no",
    ExitCode.INTERRUPTED: "interrupted",
}


NO_MEMORY = "out of memory: close other programs, or use less data"


def out_of_memory(error: RuntimeError | ImportError) -> bool:
    """Return whether torch had no memory left, on a card or on the CPU, or a library could not be loaded into it."""
    return any(words in str(error) for words in (
        "out of memory", "DefaultCPUAllocator", "failed to map segment", "annot allocate memory"))


class GruBenchError(Exception):
    """A failure that the user can act on. It is shown as one message, without a traceback."""

    exit_code = ExitCode.FAILED

    def __str__(self) -> str:
        """Return the message, whose names of files and of columns a terminal prints and does not obey."""
        return visible(super().__str__())


class UsageError(GruBenchError):
    """The command was typed wrongly: an unknown name, or a value outside its range."""

    exit_code = ExitCode.MISTYPED


class DataError(GruBenchError):
    """A file is damaged or empty, or lacks what was asked of it."""


class RunError(GruBenchError):
    """A run, a store or the machine failed: a loss that is not finite, a server that does not answer."""


class MachineError(RunError):
    """The machine failed a run, for example with a full disk or a data file that was changed meanwhile.

    The run is not to blame, and its training is kept.
    """


class IncompleteError(RunError):
    """What was asked for needs something that is not complete yet, such as a study without confirmation runs, or could
    not be decided."""

    exit_code = ExitCode.INCOMPLETE


class InterruptedCommandError(GruBenchError):
    """Ctrl-C or SIGTERM ended a command that continues from there the next time."""

    exit_code = ExitCode.INTERRUPTED


class DifferenceError(RunError):
    """A check found a difference: the answer is no."""

    exit_code = ExitCode.NO


@contextmanager
def at_the_command_line() -> Iterator[None]:
    """Let messages name options, and not arguments of Python."""
    global _is_command  # a process has one user, who is at one of two doors
    before, _is_command = _is_command, True
    try:
        yield
    finally:
        _is_command = before


def argument(name: str, value: str = "") -> str:
    """Return an argument as the user types it: `--run-code` at the command line, `run_code` in Python.

    Args:
        name: The argument in Python.
        value: Value to give it. Empty names the argument alone.
    """
    if not _is_command:
        return f"{name}={value!r}" if value else name
    option = "study-name" if name == "name" else f"{name}-column" if name in _COLUMNS else name.replace("_", "-")
    return f"--{option} {value}".rstrip()


def unknown(
    kind: str, name: str, known: Iterable[str], remedy: str = "", near: Sequence[str] | None = None
) -> UsageError:
    """Return the error for a name that is not among the `known` ones. It begins with the names that may be meant.

    Args:
        kind: What the name should name, such as "study".
        name: The name as it was typed.
        known: All names that exist.
        remedy: A sentence that says what else the user can do.
        near: The names that may be meant. None means the one nearest in spelling.
    """
    names = sorted(known)
    near = get_close_matches(name[:LONGEST_SHOWN], names, n=1) if near is None else near
    guess = f". Did you mean {' or '.join(map(repr, near))}? It" if near else ": it"
    tail = f" {remedy}" if remedy else ""
    return UsageError(f"unknown {kind} {shown(name)}{guess} must be one of {', '.join(names)}.{tail}")


def no_file(path: Path) -> UsageError:
    """Return the error for a path that is not a file."""
    name = shown(str(path), most=300)
    if path.is_dir():
        return UsageError(f"{name} is a folder: give a file")
    if path.exists():
        return UsageError(f"{name} is a pipe or a device: give a file")
    return UsageError(f"{name} is a link that leads to no file: give a file" if path.is_symlink() else
                      f"No such file: {name}")


def shown(value: object, quote: str = "'", most: int = LONGEST_SHOWN) -> str:
    """Return a value as an error message shows it: a long value is cut, and its length is added.

    Args:
        value: Any value.
        quote: Quotation mark around text. "" shows a text without quotes and escapes control characters in it.
        most: Number of characters that are shown.
    """
    if isinstance(value, (list, dict)) and len(value) > LONGEST_SHOWN:
        return f"a {'list' if isinstance(value, list) else 'table'} of {len(value):,} entries"
    text = value if isinstance(value, str) and not quote else _repr(value)
    text = text if text.isprintable() else repr(text[:most + 1])[1:-1]
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(value if isinstance(value, str) else text):,} characters)"


def first_line(error: BaseException) -> str:
    """Return the first line of an error of a library, shortened to 300 characters; its type where it has no words."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def visible(text: str) -> str:
    """Return a text that a terminal prints and does not obey: control and direction characters appear as escapes.

    Line breaks and tabs stay. Half a character (a lone surrogate), which no stream can write, becomes an escape, too.
    """
    return _RAW.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def without_passwords(text: str) -> str:
    """Return a text without the passwords of the URLs in it, to be shown or stored."""
    if "://" not in text:
        return text
    for password, rest in _PASSWORDS:
        text = password.sub(rest, text)
    return text


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or what is nested too deep
        return f"a value of type {type(value).__name__}"
