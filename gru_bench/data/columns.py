"""Which columns of a file hold the texts, the labels, the categories, the splits, the groups and the names of rows.

Where the file lacks a column of the default name, the one column of a usual name stands in, such as `review` for
`text`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice, zip_longest
from pathlib import Path
from typing import Protocol, Self

from gru_bench.config import as_number
from gru_bench.errors import DataError, UsageError, shown, unknown

USUAL = {
    "text": "text review reviewtext reviewbody sentence content body comment document message tweet post utterance "
            "description",
    "label": "label sentiment class classindex classname target category topic star starrating rating score polarity",
}
"""Role -> usual names of its column, in lower case, without `_`, `-`, spaces and a plural s."""
GROUPS = "group movie product author user doc groupid movieid productid authorid userid docid"
"""The same for the column of groups."""
_IDS = ("id", "example_id", "review_id", "text_id")
"""Usual names of the column that identifies a row, in lower case."""
_SHOWN_NAMES = 40
"""Most columns that an error lists without examples."""
_SHOWN_EXAMPLES = 10
"""Most columns that an error lists with an example of each."""
_CUT = 24
"""Most characters of a name, and of an example, in such a list."""
_LONG = 60
"""Fewest characters of what is a text rather than the name of a column."""
_WORDS = 7
"""Fewest words of what is a text rather than the name of a column."""


class Choice(Protocol):
    """Which columns of a table are read."""

    @property
    def label(self) -> str | None:
        """Return the column of the labels."""

    def roles(self) -> Sequence[tuple[str, str | None]]:
        """Return the role and the name of each column, in the order of a row."""

    def found_in(self, known: Sequence[str], path: Path, examples: Callable[[], Iterable[object]]) -> Self:
        """Return the columns to read of a file with these columns."""

    def note(self, found: Self) -> str | None:
        """Return a sentence on the columns that were found by their names."""

    def require_header(self, first: Sequence[str], path: Path, separator: str) -> None:
        """Check that the first line of a file holds the names of columns."""


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

    def roles(self) -> list[tuple[str, str | None]]:
        """Return the role and the name of each column, in the order of a row."""
        return [("text", self.text), ("label", self.label), ("category", self.category), ("split", self.split),
                ("id", self.id), ("group", self.group or None)]

    def found_in(self, known: Sequence[str], path: Path, examples: Callable[[], Iterable[object]]) -> Columns:
        """Return the columns to read of a file. If it lacks a default column, one with a usual name is read instead.

        Args:
            known: The columns of the file.
            path: The file.
            examples: Function that returns a value of each column, for error messages.

        Raises:
            UsageError: for a column that the file lacks.
            DataError: for two columns of one name.
        """
        found = self._usual(known)
        for role, name in found.roles():
            if found._is_missing_default(role, known):
                raise found._unclear(role, known, path, examples)
            if name is not None and name not in known:
                names = [shown(other, "") for other in known[:1000]]
                near = get_close_matches(name, names, n=1)
                more = len(known) - _SHOWN_NAMES
                raise unknown(f"{role} column", name, {*names[:_SHOWN_NAMES], *near},
                              f"{path.name} has {f'{more:,} more' if more > 0 else 'no other'}.")
            if name is not None and known.count(name) > 1:
                raise DataError(f"{path} must have one column {shown(name)}, but it has {known.count(name)} of that "
                                "name: rename the others")
        return found

    def _usual(self, known: Sequence[str]) -> Columns:
        """Return the columns with those of usual names in place of default ones."""
        found = self
        for role in USUAL:
            fits = self._candidates(role, USUAL[role], known)
            if self._is_missing_default(role, known) and len(fits) == 1:
                found = replace(found, **{role: fits[0]})
        if found.id == "":
            found = replace(found, id=next((name for name in known if name.lower() in _IDS), None))
        if found.group == "":
            fits = found._candidates("group", GROUPS, known)
            found = replace(found, group=fits[0] if len(fits) == 1 else "" if fits else None)
        return found

    def note(self, found: Columns) -> str | None:
        """Return a sentence on the columns that are read in place of the default ones, and on those of groups."""
        wanted = dict(self.roles())
        others = [(role, name) for role, name in found.roles()
                  if role in (*USUAL, "group") and name not in (None, wanted[role])]
        if self.group == found.group == "" and not others:
            return "several columns have a usual name of groups, so that none is read as such; name the group column"
        if not others:
            return None
        read = " and ".join(f"the {role}s are in column {shown(name)}" for role, name in others)
        return (f"{read}, by {'its name' if len(others) == 1 else 'their names'}; to read others, name "
                f"{' and '.join(f'the {role} column' for role, _ in others)}")

    def require_header(self, first: Sequence[str], path: Path, separator: str) -> None:
        """Check that the first line of a file holds the names of columns, unless those to read are in it.

        Raises:
            DataError: where the line looks like a row.
        """
        found = self._usual(first)
        if not any(found._is_missing_default(role, first) for role in USUAL):
            return
        if any(as_number(cell.strip()) is not None or len(cell) >= _LONG or len(cell.split()) >= _WORDS
               for cell in first):
            cells = ", ".join(shown(cell, most=_CUT) for cell in first[:_SHOWN_EXAMPLES])
            raise DataError(f"{path} must begin with a line of column names, but its first line looks like a row "
                            f"({cells}): write a line of names above it, such as {separator.join(USUAL)!r}; if these "
                            "are names, name two of them as text column and label column")

    def _is_missing_default(self, role: str, known: Sequence[str]) -> bool:
        return role in USUAL and dict(self.roles())[role] == role and role not in known

    def _candidates(self, role: str, names: str, known: Sequence[str]) -> list[str]:
        """Return the columns whose name is usual for a role, without those that have another role."""
        taken = [name for other, name in self.roles() if other != role]
        usual = {plain_name(name) for name in names.split()}
        return [name for name in known if plain_name(name) in usual and name not in taken]

    def _unclear(
        self, role: str, known: Sequence[str], path: Path, examples: Callable[[], Iterable[object]]
    ) -> UsageError:
        fits = self._candidates(role, USUAL[role], known)
        several = ", ".join(shown(name, most=_CUT) for name in fits[:_SHOWN_EXAMPLES])
        why = (f"several columns of {path.name} have a usual name for it ({several})" if fits else
               f"no column of {path.name} has a usual name for it")
        values = [f" (such as {shown(value, most=_CUT)})" for value in islice(examples(), _SHOWN_EXAMPLES)]
        listed = "; ".join(shown(name, most=_CUT) + value for name, value in
                           zip_longest(known[:_SHOWN_EXAMPLES], values, fillvalue=""))
        more = len(known) - _SHOWN_EXAMPLES
        return UsageError(
            f"the {role} column must be named, because {why}. "
            f"{f'Its columns are {listed}' if known else 'It has no columns'}"
            f"{f' and {more:,} more' if more > 0 else ''}")


def plain_name(name: str) -> str:
    """Return the name of a column without what its spellings differ in: case, `_`, `-`, spaces and a plural s."""
    return re.sub(r"[ _-]", "", name[:_LONG]).lower().removesuffix("s")
