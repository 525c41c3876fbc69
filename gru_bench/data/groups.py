"""Which column of a table holds the groups of its rows: the one rule of all commands.

A column of groups says which rows belong together, such as those of one product or customer. It is the column that is
named, or else the one column of a usual name, if it has at least `LEAST_GROUPS` different values. `none` is no column:
it turns groups off.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from gru_bench.errors import shown

NONE = "none"
"""What is named as the column where groups are turned off."""
LEAST_GROUPS = 20
"""Fewest groups in a column that is found by its name. A column of fewer values holds something else, such as the arms
of an experiment, and no verdict could rest on them."""
SEVERAL_USUAL = "several columns have a usual name for groups, so none is used; specify the group column"
TURNED_OFF = "Groups are turned off: if texts belong together, intervals are too narrow."
_NAMES = ("group", "movie", "product", "author", "user", "doc", "customer", "client", "account", "patient")
_USUAL = frozenset(name + ending for name in _NAMES for ending in ("", "id"))
_LONG_NAME = 60
"""Most characters of the name of a column."""


def plain_name(name: str) -> str:
    """Return the name of a column without what its spellings differ in: case, `_`, `-`, spaces and a plural s."""
    return re.sub(r"[ _-]", "", name[:_LONG_NAME]).lower().removesuffix("s")


def usual_groups(known: Sequence[str], taken: Collection[str | None]) -> list[str]:
    """Return the columns that have a usual name of groups, without those that have another role."""
    return [name for name in known if plain_name(name) in _USUAL and name not in taken]


def too_few(column: str, count: int) -> str | None:
    """Return why a column of a usual name is not read, if it has too few groups."""
    if count >= LEAST_GROUPS:
        return None
    return (f"column {shown(column)}, which has a usual name for groups, is not used, because it has only {count} "
            "different values; to use it, specify it as the group column")


def described(count: int | str, column: str) -> str:
    """Return what groups there are, such as `184 groups of column 'product'`."""
    number = f"{count:,}" if isinstance(count, int) else count
    return f"{number} groups{f' of column {shown(column)}' if column else ''}"


def strata_of(rows: Iterable[tuple[str, int, str]]) -> Mapping[str, tuple[int, str]]:
    """Return the stratum of each group: the class and the category of most of its texts. A split that draws groups
    draws the same share of each stratum.

    Args:
        rows: Group, class and category of each text.
    """
    counts_of: defaultdict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for name, label, category in rows:
        counts_of[name][label, category] += 1
    return {name: min(counts, key=lambda stratum: (-counts[stratum], stratum)) for name, counts in counts_of.items()}
