"""Words that every package says alike: counts, durations, lists of names, and the cells of tables of text."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.config import as_number

FEW = 6
"""Most things of a kind that a sentence names."""


def several(count: int, what: str) -> str:
    """Return a count with its noun in the singular or plural: `1 trial`, `1,200 trials`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration as text: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + list(names[-1:]))


def first_few(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - FEW
    return listed([*names[:FEW], *([f"{more:,} more"] if more > 0 else [])])


def csv_cell(value: str | float | None) -> str:
    """Return a value for a table of text; a name that a spreadsheet would compute is quoted, unless it is a number."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in set("=+-@\t\r") and as_number(value) is None else value
    return repr(int(value)) if float(value).is_integer() else repr(float(value))
