"""Which columns of a table hold the texts, the labels, the categories, the splits, the groups and the names of rows.

Where the table lacks a column of the default name, the one column of a usual name stands in, such as `review` for
`text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from gru_bench.data.groups import SEVERAL_USUAL, plain_name, usual_groups
from gru_bench.errors import DataError, UsageError, argument, shown, unknown

USUAL = {
    "text": "text review reviewtext reviewbody sentence content body comment document message tweet post utterance "
            "description",
    "label": "label sentiment class classindex classname target category topic star starrating rating score polarity",
}
"""Role -> usual names of its column, in lower case, without `_`, `-`, spaces and a plural s."""
_IDS = ("id", "example_id", "review_id", "text_id")
"""Usual names of the column that identifies a row, in lower case."""
_SHOWN = 15
"""Most columns that an error lists."""
_CUT = 24
"""Most characters of a name in such a list."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read. Pickles and folders of texts have no columns and ignore them."""

    text: str = "text"
    label: str | None = "label"
    category: str | None = None
    split: str | None = None
    id: str | None = None
    """The column that identifies a row. Empty: the column of a usual name, if there is one."""
    group: str | None = None
    """The column of groups. Empty: the one column of a usual name, if there is one."""

    @property
    def names(self) -> dict[str, str]:
        """Return role -> name of each column that is read."""
        return {role: name for role, name in vars(self).items() if name}

    def found_in(self, known: Sequence[str], path: Path) -> Columns:
        """Return the columns to read of a table. If it lacks a default column, one with a usual name is read instead.

        Args:
            known: The columns of the table.
            path: Its file, for error messages.

        Raises:
            UsageError: for a column that the table lacks.
            DataError: for two columns of one name.
        """
        found = self._usual(known)
        for role, name in found.names.items():
            if found._is_missing_default(role, known):
                fits = found._candidates(role, USUAL[role], known)
                listed = ", ".join(shown(one, most=_CUT) for one in (fits or known)[:_SHOWN])
                why = (f"several columns of {path.name} have a usual name for it ({listed})" if fits else
                       f"none of the {len(known):,} columns of {path.name} has a usual name for it ({listed})")
                raise UsageError(f"the {role} column is unknown, because {why}: specify it "
                                 f"({argument(role)}), or, if these are values, add a header line")
            if name not in known:
                near = get_close_matches(name[:100], known[:1000], n=1)
                raise unknown(f"{role} column", name, [shown(one, "", _CUT) for one in known[:_SHOWN]],
                              f"{path.name} has {len(known):,} columns.", near)
            if known.count(name) > 1:
                raise DataError(f"{path} must have one column {shown(name)}, but it has {known.count(name)} of that "
                                "name: rename the others")
        return found

    def _usual(self, known: Sequence[str]) -> Columns:
        """Return the columns with those of usual names in place of default ones."""
        found = self
        for role, usual in USUAL.items():
            fits = found._candidates(role, usual, known)
            if found._is_missing_default(role, known) and len(fits) == 1:
                found = replace(found, **{role: fits[0]})
        if found.id == "":
            found = replace(found, id=next((name for name in known if name.lower() in _IDS), None))
        if found.group == "":
            fits = usual_groups(known, [name for role, name in found.names.items() if role != "group"])
            found = replace(found, group=fits[0] if len(fits) == 1 else "" if fits else None)
        return found

    def note(self, found: Columns) -> str | None:
        """Return a sentence on the columns that are read in place of the default ones, and on those of groups."""
        others = {role: name for role, name in found.names.items()
                  if role in (*USUAL, "group") and name != getattr(self, role)}
        several = SEVERAL_USUAL if found.group == "" else None
        if not others:
            return several
        read = " and ".join(f"the {role}s are in column {shown(name)}" for role, name in others.items())
        by_name = (f"{read}, by {'its name' if len(others) == 1 else 'their names'}; to use others, specify "
                   f"{' and '.join(f'the {role} column' for role in others)}")
        return f"{by_name}. {several[0].upper()}{several[1:]}" if several else by_name

    def _is_missing_default(self, role: str, known: Sequence[str]) -> bool:
        return role in USUAL and getattr(self, role) == role and role not in known

    def _candidates(self, role: str, names: str, known: Sequence[str]) -> list[str]:
        """Return the columns whose name is usual for a role, without those that have another role."""
        taken = [name for other, name in self.names.items() if other != role]
        usual = {plain_name(name) for name in names.split()}
        return [name for name in known if plain_name(name) in usual and name not in taken]
