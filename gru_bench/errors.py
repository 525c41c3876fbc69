"""The two ways in which a command ends badly, and what the shell is told.

Every message says what is wrong, the rule, the value found, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class GruBenchError(Exception):
    """A failure the user can act on: shown as one message, without a traceback."""

    exit_code = 1


class UsageError(GruBenchError):
    """What was typed cannot be meant: an unknown name, or a value outside its range."""

    exit_code = 2


class DataError(GruBenchError):
    """A file is not what it should be: damaged, empty, or without what was asked of it."""


class RunError(GruBenchError):
    """A run, a store or the machine failed: a loss that is not finite, a server that does not answer."""


class MachineError(RunError):
    """The machine failed a run that is not to blame, such as by a full disk; what was trained is kept."""


def unknown(kind: str, name: str, known: Iterable[str], remedy: str = "") -> UsageError:
    """Return the error for a name that is not among the `known` ones, with the nearest of them first."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    tail = f" {remedy}" if remedy else ""
    return UsageError(f"unknown {kind} {name!r}: it must be one of {', '.join(names)}.{guess}{tail}")
