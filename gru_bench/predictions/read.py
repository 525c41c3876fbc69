"""Files of predictions -> runs: what each run answers on the examples of its file, in the order of the file.

A file has one run or, with columns of models and seeds, several. Ids and class names are kept once, and rows as
numbers.

Shapes: `N` rows of a run, `K` columns of probabilities.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MOST_NAME, as_number
from gru_bench.data.files import TABLES, digest, kind_of, named_path
from gru_bench.data.groups import too_few
from gru_bench.data.labels import label_of
from gru_bench.data.tables import open_table, storable
from gru_bench.errors import UsageError, argument, no_file, shown
from gru_bench.predictions.columns import PredictionColumns
from gru_bench.wording import listed

SEED = re.compile(r"(.+?)[-_. ]?seed[-_ ]?(\d{1,9})", re.IGNORECASE)
"""The name of a file of one seed, such as `bert-seed3`: the model and the seed."""
_WHOLE = re.compile(r"(-?\d+)\.0+")


@dataclass(frozen=True)
class FileRun:
    """One run of one model as its file tells it. An array is None where the file has no such column."""

    path: Path
    model: str
    seed: int | None
    classes: tuple[str, ...]
    """Classes that have a column of probabilities each. Empty for one column of probabilities, or none."""
    has: frozenset[str]
    """The roles that the file has columns for; `p:` stands for the probabilities of several classes."""
    place_N: NDArray[np.int_]
    """Position of each row's id in `Read.ids`."""
    label_N: NDArray[np.int_] | None = None
    """Position of its true label in `Read.spellings`."""
    prediction_N: NDArray[np.int_] | None = None
    """The same of its predicted class."""
    right_N: NDArray[np.float64] | None = None
    """1 where a file of lm-eval counts its answer as right, else 0."""
    probability_NK: NDArray[np.float64] | None = None
    study: str = ""
    """What its column of studies says."""
    filter: str = ""
    """The filter of lm-eval that its answers are of."""

    @property
    def name(self) -> str:
        """Return what messages and tables call the run."""
        model = self.model if "model" in self.has and self.model != self.path.stem else ""
        seed = "" if self.seed is None else f"seed {self.seed}"
        return ", ".join(filter(None, (self.path.name, model, seed)))

    @property
    def key(self) -> tuple[str, str, int | None]:
        """Return what no other run may have."""
        return self.study, self.model, self.seed

    @property
    def answers(self) -> tuple[bytes, ...]:
        """Return what is equal for runs that answer alike on the same examples in the same order."""
        return tuple(values_N.tobytes() for values_N in (self.prediction_N, self.right_N, self.probability_NK)
                     if values_N is not None)

    def select(self, row_K: NDArray[np.int_] | Sequence[int]) -> FileRun:
        """Return the run with the rows at these positions, in this order."""
        return replace(self, place_N=self.place_N[row_K], **{
            name: values[row_K] for name in ("label_N", "prediction_N", "right_N", "probability_NK")
            if (values := getattr(self, name)) is not None})


class Names:
    """Positions of names, each kept once."""

    def __init__(self) -> None:
        """Begin without names."""
        self.names: list[str] = []
        self._place: dict[str, int] = {}

    def place(self, name: str) -> int:
        """Return the position of a name, which is added where it is new."""
        if name not in self._place:
            self._place[name] = len(self.names)
            self.names.append(name)
        return self._place[name]


@dataclass
class Read:
    """What files contain about the examples, apart from their runs."""

    ids: Names = field(default_factory=Names)
    spellings: Names = field(default_factory=Names)
    about: dict[str, dict[int, str]] = field(default_factory=dict)
    """Role (text, category, group, tokens, question) -> position of an id -> what the first file that has it tells."""
    notes: list[str] = field(default_factory=list)
    digests: dict[Path, str] = field(default_factory=dict)
    """SHA-256 of each file."""
    id_columns: set[str] = field(default_factory=set)
    """The columns of ids of the files."""
    group_columns: dict[str, None] = field(default_factory=dict)
    """The columns of groups of the files."""
    _sources: dict[str, list[tuple[str, NDArray[np.int_]]]] = field(default_factory=dict)
    """Role -> the files that have it, and their ids."""

    def tell(self, role: str, name: str, place_N: NDArray[np.int_], values: Sequence[str]) -> None:
        """Take what a file tells of the examples.

        Raises:
            UsageError: for a group or a question that differs from what is known.
        """
        known = self.about.setdefault(role, {})
        self._sources.setdefault(role, []).append((name, place_N))
        odd = {place: value for place, value in zip(place_N.tolist(), values, strict=True)
               if known.setdefault(place, value) != value}
        if not odd or role not in ("text", "group", "question"):
            return
        place, value = next(iter(odd.items()))
        first = next(source for source, own_N in self._sources[role] if place in own_N)
        differ = (f"in {listed(list(dict.fromkeys((first, name))))} differ for {len(odd):,} of {len(values):,} rows, "
                  f"such as {shown(self.ids.names[place], most=40)} ({shown(known[place])} and {shown(value)})")
        if role == "text":
            self.notes.append(f"the texts {differ}; the report shows the first")
        elif role == "group":
            raise UsageError(f"each example must be in one group, but the groups {differ}: check the group column")
        else:
            raise UsageError(f"rows of one id must answer the same question, but the values of doc_hash {differ}: "
                             "compare files of the same task")


def read_all(
    files: Sequence[str], truth: str | None, asked: Mapping[str, str], read: Read, *,
    has_study: bool = False, has_groups: bool = True,
) -> tuple[list[FileRun], list[FileRun]]:
    """Read files of predictions and one of true labels. Return the runs, and the true labels, if any.

    Args:
        files: The files of predictions.
        truth: The file of true labels. None: each file has its own, or a study has them.
        asked: Role -> the column that was named. Columns of labels and groups are those of the file of true labels.
        read: Takes the ids, class names and what the files say of the examples.
        has_study: Whether a study has the true labels.
        has_groups: Whether columns of groups are looked for.

    Raises:
        UsageError: for what `read_files` refuses, and for an option that does not fit the files.
        DataError: for a damaged file.
    """
    of_truth = PredictionColumns({role: name for role, name in asked.items() if role in ("id", "label", "group")},
                                 is_truth=True, has_groups=has_groups)
    own = {role: name for role, name in asked.items() if truth is None or role not in ("label", "group")}
    of_files = PredictionColumns(own, truth_is_given=truth is not None or has_study,
                                 has_groups=has_groups and not has_study)
    truths = read_files([truth], of_truth, read) if truth is not None else []
    runs = read_files(files, of_files, read)
    if "id" in asked and asked["id"] not in read.id_columns:
        raise UsageError(f"no file has the id column {shown(asked['id'])}: leave it out to use columns with usual "
                         "names")
    return runs, truths


def read_files(paths: Sequence[str], columns: PredictionColumns, read: Read) -> list[FileRun]:
    """Read files and return their runs.

    Args:
        paths: The files.
        columns: The columns that are asked for.
        read: Takes the ids, class names and what the files say of the examples.

    Raises:
        UsageError: for a file that lacks a column, of another kind, or with a value that cannot be.
        DataError: for a damaged file.
    """
    files = [named_path(name, "the predictions") for name in paths]
    for path in files:
        if not path.is_file():
            raise no_file(path)
        if kind_of(path) not in TABLES:
            raise UsageError(f"predictions must be CSV, TSV, JSON Lines or Parquet, but got {shown(path.name)}: "
                             "convert it")
    runs: list[FileRun] = []
    for path in files:
        content = digest(path)
        own = _runs(path, columns, read)
        for same in {run.path: None for run in runs if read.digests[run.path] == content}:
            if not _are_other_seeds(own, [run for run in runs if run.path == same]):
                raise UsageError(f"each file must contain a different run, but {path} and {same} are identical: leave "
                                 "one out")
        read.digests[path] = content
        runs += own
    return _of_one_filter(sorted(runs, key=lambda run: files.index(run.path)), read)


def _are_other_seeds(own: Sequence[FileRun], others: Sequence[FileRun]) -> bool:
    """Return whether two files have different seeds of the same models. Such runs may answer alike."""
    models, other_models = ({run.key[:2] for run in some} for some in (own, others))
    return models == other_models and {run.key for run in own}.isdisjoint(run.key for run in others)


def _of_one_filter(runs: list[FileRun], read: Read) -> list[FileRun]:
    """Return the runs of one filter of lm-eval: the alphabetically first that all files have."""
    filters: dict[Path, set[str]] = {}
    for run in runs:
        if "filter" in run.has:
            filters.setdefault(run.path, set()).add(run.filter)
    if not filters:
        return runs
    common = set.intersection(*filters.values())
    if not common:
        each = "; ".join(f"{_in_folder(path)} has {listed(sorted(own))}" for path, own in filters.items())
        raise UsageError(f"all files must have a filter in common, but {each}: run lm-eval with the same filters")
    chosen = min(common)
    read.notes += [f"{_in_folder(path)}: using filter {chosen} of several"
                   for path, own in filters.items() if len(own) > 1]
    return [run for run in runs if run.filter == chosen or "filter" not in run.has]


def _in_folder(path: Path) -> str:
    """Return the name of a file of lm-eval, which is the same for all models, with its folder, which tells them apart.
    """
    return f"{path.resolve().parent.name}/{path.name}"


def _runs(path: Path, asked: PredictionColumns, read: Read) -> list[FileRun]:
    """Return the runs of one file."""
    with open_table(path) as table:
        columns = asked.found_in(table.names, path)
        _require(path, columns)
        values: dict[str, Sequence[Any]] = {
            role: columns.values_in(role, value_N, path)
            for role, value_N in zip(columns.found, table.columns(columns.names), strict=True)}
    name = _in_folder(path) if columns.is_lm_eval else path.name
    read.id_columns.add(columns.found.get("id", ""))
    if (note := columns.note) is not None:
        read.notes.append(f"{name}: {note}")
    total = len(next(iter(values.values())))
    whole = _Rows(path, columns, values).run(read)
    for role in ("text", "category", "group", "tokens", "question"):
        if role in values:
            told = list(map(_text, values[role]))
            if role != "group" or _are_groups(whole, told, columns, name, read):
                read.tell(role, name, whole.place_N, told)
    rows_of: dict[tuple[str, ...], list[int]] = {}
    named = [list(map(_text, values[role])) if role in values else [""] * total
             for role in ("study", "model", "seed", "filter")]
    for row, key in enumerate(zip(*named, strict=True)):
        rows_of.setdefault(key, []).append(row)
    return [_named(whole.select(some), columns, *key) for key, some in rows_of.items()]


def _are_groups(run: FileRun, value_N: Sequence[str], columns: PredictionColumns, name: str, read: Read) -> bool:
    """Return whether a column is one of groups: if the user did not name it, it must have enough different values.

    An example without a value is a group of its own.
    """
    column = columns.found["group"]
    if "group" not in columns.asked:
        groups = {value or place for place, value in zip(run.place_N.tolist(), value_N, strict=True)}
        if (note := too_few(column, len(groups))) is not None:
            read.notes.append(f"{name}: {note}")
            return False
    read.group_columns[column] = None
    return True


def _require(path: Path, columns: PredictionColumns) -> None:
    """Check that a file has ids, and predictions unless it has true labels."""
    found = columns.found
    if "id" not in found:
        named = "is the one that was named, or " if "id" in columns.asked else ""
        raise UsageError(f"{path} must have a column of ids to align rows by, but none {named}has a usual name: "
                         f"specify the id column ({argument('id')}), or add it")
    if columns.is_truth:
        if "label" not in found:
            raise UsageError(f"{path} must have a column of true labels, but none has a usual name: specify the label "
                             f"column ({argument('label')})")
    elif not ({"prediction", "probability", "right"} & found.keys() or columns.classes):
        raise UsageError(f"{path} must have a column of predictions or probabilities, but none has a usual name: "
                         f"specify the prediction column ({argument('prediction')})")


def _named(
    run: FileRun, columns: PredictionColumns, study: str, model: str, seed: str, kept: str
) -> FileRun:
    """Return a run with its model and seed: those of the columns, or of the name of the file."""
    stem = re.sub(r"(\.(csv|tsv|jsonl|ndjson|parquet|gz))+$", "", run.path.name, flags=re.IGNORECASE)
    match = SEED.fullmatch(stem)
    if columns.is_lm_eval:
        stem = run.path.resolve().parent.name or stem
    of_name = int(match[2]) if match and "seed" not in columns.found else None
    number = as_number(_WHOLE.sub(r"\1", seed)) if seed else of_name
    if isinstance(number, float) or (seed and number is None):
        raise UsageError(f"the seeds in {run.path} must be whole numbers, but got {shown(seed)}: correct the column")
    return replace(run, model=model or (match[1] if match else stem), seed=number, study=study, filter=kept)


@dataclass(frozen=True)
class _Rows:
    """The rows of a file, column by column."""

    path: Path
    columns: PredictionColumns
    values: Mapping[str, Sequence[Any]]
    """Role -> values of its column."""

    def run(self, read: Read) -> FileRun:
        """Return all rows as one run."""
        place_N = self._places("id", id_of, f"a name of at most {MOST_NAME} characters", read.ids)
        assert place_N is not None
        label_N, prediction_N = (self._places(role, class_of, "a word, a number, true or false", read.spellings)
                                 for role in ("label", "prediction"))
        right_N = None if "right" not in self.values else self._column(
            "right", lambda value_N: np.isin(value_N, (0, 1)), "0 or 1")
        roles = [f"p:{name}" for name in self.columns.classes] or [
            role for role in ("probability",) if role in self.values]
        probability_KN = [self._column(role, lambda value_N: ~((value_N < 0) | (value_N > 1)),
                                       "a probability between 0 and 1") for role in roles]
        has = frozenset({*self.columns.found, *(["p:"] if self.columns.classes else [])})
        return FileRun(self.path, "", None, self.columns.classes, has, place_N, label_N, prediction_N, right_N,
                       np.stack(probability_KN, axis=1) if roles else None)

    def _places(
        self, role: str, spell: Callable[[Any], str], rule: str, names: Names
    ) -> NDArray[np.int_] | None:
        """Return the positions of the values among names, as `spell` writes them. It writes nothing for a wrong one."""
        if role not in self.values:
            return None
        texts = list(map(spell, self.values[role]))
        if "" in texts:
            wrong = next((row for row, text in enumerate(texts) if not text and not (
                role == "prediction" and _is_empty(self.values[role][row]))), None)
            if wrong is not None:
                raise self._wrong(role, rule, wrong)
        return np.array(list(map(names.place, texts)))

    def _column(
        self, role: str, is_right: Callable[[NDArray[np.float64]], NDArray[np.bool_]], rule: str
    ) -> NDArray[np.float64]:
        """Return the numbers of a column; NaN for an empty cell."""
        try:
            value_N = np.array(self.values[role], dtype=np.float64)
        except (TypeError, ValueError):
            value_N = np.array([self._number(role, row) for row in range(len(self.values[role]))])
        if (odd := np.flatnonzero(~is_right(value_N))).size:
            raise self._wrong(role, rule, odd[0])
        return value_N

    def _number(self, role: str, row: int) -> float:
        value = self.values[role][row]
        if value is None or (isinstance(value, str) and not value.strip()):
            return math.nan
        try:
            return float(value)
        except (TypeError, ValueError):
            raise self._wrong(role, "a number", row) from None

    def _wrong(self, role: str, rule: str, row: int) -> UsageError:
        column = self.columns.found.get(role, role)
        return UsageError(f"column {shown(column)} of {self.path} must have {rule} in each row, but row {row + 1:,} "
                          f"has {shown(self.values[role][row])}: correct it, or specify another column")


def id_of(value: Any) -> str:
    """Return the id of a row, as a whole number if it is one; empty where it has none."""
    if value is None or value != value:
        return ""
    text = storable(str(value).replace("\0", "").strip())
    text = _WHOLE.sub(r"\1", text) if _WHOLE.fullmatch(text) else text
    return text if len(text) <= MOST_NAME else ""


def class_of(value: Any) -> str:
    """Return a class as it is spelled: equal numbers are one class."""
    spelling = label_of(storable(value) if isinstance(value, str) else value)
    number = as_number(spelling)
    return spelling if number is None else str(number)


def _is_empty(value: Any) -> bool:
    """Return whether a cell has no value, or one of the words that stand for none."""
    return value is None or isinstance(value, str) or value != value


def _text(value: Any) -> str:
    """Return a value as text: of a dictionary, such as a document of lm-eval, its longest text."""
    if isinstance(value, dict):
        return storable(max((one for one in value.values() if isinstance(one, str)), key=len, default=""))
    return "" if value is None or value != value else storable(str(value).strip())

