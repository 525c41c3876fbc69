"""Which columns of a file of predictions have the ids, the labels, the predictions and all else, found by their names.

A file that lm-eval writes (`samples_*.jsonl`) is known by its keys: `doc_id` is its id, and `acc` or
`exact_match` says whether the answer is right. A column that is named may be a key inside one, such as `doc.id`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gru_bench.data.columns import USUAL
from gru_bench.data.groups import SEVERAL_USUAL, plain_name, usual_groups
from gru_bench.errors import UsageError, shown, unknown

NAMES: Mapping[str, str] = {
    "id": "id example uid idx",
    "label": "label truth gold",
    "prediction": "prediction predicted pred output",
    "probability": "probability",
    "seed": "seed",
    "model": "model",
    "study": "study",
    "text": USUAL["text"],
    "category": "category",
    "tokens": "tokens",
    "filter": "filter",
}
"""Role -> usual names of its column, the likeliest first, as `plain_name` spells them. `data.groups` has those of
groups."""
ROLES = ("id", "label", "prediction", "group")
"""Roles whose column a user can name."""
OF_CLASS = re.compile(r"(?:probability|proba|prob|p)(?:_|-| of | )(.+)", re.IGNORECASE | re.DOTALL)
"""The name of a column with the probability of one class."""
LM_EVAL = {"doc_id", "target", "resps", "filtered_resps"}
"""Keys of each line of a file that lm-eval writes."""
LM_EVAL_RIGHT = ("acc", "exact_match")
"""Those of them that are 1 for a right answer and 0 for a wrong one."""
PREDICT = {"label", "known_words"}
"""Columns of each file that `gru-bench predict` writes, next to the probabilities: its label is what it predicts."""
DOC = "doc"
"""Key of the dictionary with the text of an example of lm-eval."""


@dataclass(frozen=True)
class PredictionColumns:
    """The columns of a file of predictions, or of a file of true labels."""

    asked: Mapping[str, str] = field(default_factory=dict)
    """Role -> the column that an option names."""
    is_truth: bool = False
    """Whether the file has true labels, and no predictions are looked for."""
    truth_is_given: bool = False
    """Whether another file or a study has the true labels, so that a column of labels alone is of predictions."""
    has_groups: bool = True
    """Whether the file may have a column of groups. In a comparison with a study, the study's data have the groups."""
    found: Mapping[str, str] = field(default_factory=dict)
    """Role -> column of the file. The role of the probability of a class is `p:` and the name of the class."""
    has_several_groups: bool = False
    """Whether several columns of the file have a usual name of groups, of which none is read."""
    inside: Mapping[str, str] = field(default_factory=dict)
    """Role -> the column of dictionaries that holds its values, where `found` names a key of these: `doc` of `doc.id`.
    """

    @property
    def is_lm_eval(self) -> bool:
        """Return whether lm-eval wrote the file."""
        return self.found.get("text") == DOC

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the classes that have a column of probabilities each."""
        return tuple(role.removeprefix("p:") for role in self.found if role.startswith("p:"))

    @property
    def names(self) -> list[str]:
        """Return the columns to read, in the order of `found`."""
        return [self.inside.get(role, name) for role, name in self.found.items()]

    def values_in(self, role: str, value_N: Sequence[Any], path: Path) -> Sequence[Any]:
        """Return the values of a role: those of its column, or of a key of the dictionaries in it. The one answer in a
        list of lm-eval stands for the list.

        Raises:
            UsageError: for a key that the first dictionary lacks.
        """
        if role == "prediction" and self.is_lm_eval:
            return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in value_N]
        if role not in self.inside:
            return value_N
        key = self.found[role].removeprefix(f"{self.inside[role]}.")
        known = list(value_N[0]) if isinstance(value_N[0], dict) else []
        if key not in known:
            raise unknown(f"key in column {shown(self.inside[role])} of {path.name}", key, map(str, known),
                          f"It was named as the {role} column.")
        return [value.get(key) if isinstance(value, dict) else None for value in value_N]

    def found_in(self, known: Sequence[str], path: Path) -> PredictionColumns:
        """Return the columns to read of a file with these columns.

        Raises:
            UsageError: for a column that the file lacks, or two of one name.
        """
        inside = {role: DOC for role, name in self.asked.items()
                  if set(known) >= LM_EVAL and name not in known and name.startswith(f"{DOC}.")}
        asked = self._asked_of([*known, *(self.asked[role] for role in inside)])
        found = replace(self, inside=inside)._usual(known, asked)
        may_find = self.has_groups and "group" not in found and not set(known) >= LM_EVAL
        fits = usual_groups(known, (*found.values(), *inside.values())) if may_find else []
        if len(fits) == 1:
            found["group"] = fits[0]
        for role, name in asked.items():
            if name not in known and role not in inside:
                raise unknown(f"column in {path.name}", name, known, f"It was named as the {role} column.")
        for name in found.values():
            if known.count(name) > 1:
                raise UsageError(f"{path} must have one column {shown(name)}, but it has {known.count(name)}: rename "
                                 "the others")
        return replace(self, found=found, has_several_groups=len(fits) > 1,
                       inside={role: outer for role, outer in inside.items() if role in found})

    def _asked_of(self, known: Sequence[str]) -> dict[str, str]:
        """Return role -> column of a file with these columns, for the roles that are not found by usual names."""
        asked = dict(self.asked)
        if asked.get("id") not in known and (self.is_truth or self.truth_is_given):
            asked.pop("id", None)  # it is the column of another file
        of_predict = set(known) >= PREDICT and any(name.startswith("probability_") for name in known)
        if of_predict and not self.is_truth and asked.get("label") != "label":
            asked.setdefault("prediction", "label")
        return asked

    def _usual(self, known: Sequence[str], asked: Mapping[str, str]) -> dict[str, str]:
        """Return role -> column of the file, for the columns that are asked for and those of usual names."""
        if set(known) >= LM_EVAL:
            right = next((name for name in LM_EVAL_RIGHT if name in known), None)
            keys = {"id": "doc_id", "filter": "filter", "text": DOC, "question": "doc_hash"}
            if right is not None and "prediction" not in asked:
                keys["right"] = right
            return {**{role: name for role, name in keys.items() if name in known}, **asked}
        roles = ("id", "label", "text", "category", "tokens") if self.is_truth else tuple(NAMES)
        found: dict[str, str | None] = {}
        for role in roles:
            taken = [*asked.values(), *self.inside.values(), *filter(None, found.values())]
            found[role] = asked.get(role) or next(
                (name for usual in NAMES[role].split() for name in known
                 if plain_name(name) == plain_name(usual) and name not in taken), None)
        found["group"] = asked.get("group")
        if not self.is_truth:
            found |= self._predictions(known, found)
        return {role: name for role, name in found.items() if name is not None}

    def _predictions(self, known: Sequence[str], found: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return the columns of the predictions."""
        single = found["probability"]
        taken = [name for name in found.values() if name not in (None, single)]
        by_class: dict[str, str | None] = {
            f"p:{match[1].strip()}": name for name in known
            if name not in taken and (match := OF_CLASS.fullmatch(name.strip()))}
        if single in by_class.values():  # `p_positive` is of a class
            by_class["probability"] = None
        if found["prediction"] is not None or found["probability"] is not None or by_class:
            return by_class
        if self.truth_is_given and found["label"] is not None and "label" not in self.asked:
            return {"prediction": found["label"], "label": None}
        return {}

    @property
    def note(self) -> str | None:
        """Return which columns are read, where their names are not the roles themselves."""
        others = {role: name for role, name in self.found.items()
                  if role in ROLES and role != name and role not in self.asked}
        read = ", ".join(f"{role} in {shown(name)}" for role, name in others.items())
        by_name = (f"columns were found by their names: {read}; to use others, specify "
                   f"{' and '.join(f'the {role} column' for role in others)}") if others else ""
        return ". ".join(filter(None, (by_name, SEVERAL_USUAL if self.has_several_groups else ""))) or None
