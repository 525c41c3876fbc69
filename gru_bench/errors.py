"""The two ways in which a command ends badly, and what the shell is told.

Every message says what is wrong, the rule, the value found, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST_SHOWN = 100
"""Characters of a value that an error shows."""


class GruBenchError(Exception):
    """A failure the user can act on: shown as one message, without a traceback."""

    exit_code = 1


class UsageError(GruBenchError):
    """What was typed cannot be meant: an unknown name, or a value outside its range."""

    exit_code = 2


class ChangedStudyError(UsageError):
    """A study is to go on otherwise than it began."""


class DataError(GruBenchError):
    """A file is not what it should be: damaged, empty, or without what was asked of it."""


class RunError(GruBenchError):
    """A run, a store or the machine failed: a loss that is not finite, a server that does not answer."""


class MachineError(RunError):
    """The machine failed a run that is not to blame, such as by a full disk; what was trained is kept."""


def unknown(
    kind: str, name: str, known: Iterable[str], remedy: str = "", near: Sequence[str] | None = None
) -> UsageError:
    """Return the error for a name that is not among the `known` ones; what may have been meant comes first.

    Args:
        kind: what it should be the name of.
        name: as it was typed.
        known: all that there are.
        remedy: what else could be done.
        near: what may have been meant; None means the nearest in spelling.
    """
    names = sorted(known)
    near = get_close_matches(name[:LONGEST_SHOWN], names, n=1) if near is None else near
    guess = f". Did you mean {' or '.join(map(repr, near))}? It" if near else ": it"
    tail = f" {remedy}" if remedy else ""
    return UsageError(f"unknown {kind} {shown(name)}{guess} must be one of {', '.join(names)}.{tail}")


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


def _repr(value: object) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or what is nested too deep
        return f"a value of type {type(value).__name__}"
