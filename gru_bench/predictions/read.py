"""Files of predictions -> runs: what each run answers on the examples of its file, in the order of the file.

A file has one run or, with columns of models and seeds, several. Millions of rows fit into memory: ids and class
names are kept once, and rows as numbers.

Shapes: `N` rows of a run, `K` columns of probabilities.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MOST_NAME, as_number
from gru_bench.data.files import TABLES, kind_of, named_path, reading
from gru_bench.data.labels import label_of
from gru_bench.data.tables import Table, storable
from gru_bench.errors import IN_PYTHON, UsageError, shown
from gru_bench.predictions.columns import PredictionColumns, asked_as

BLOCK = 8192
"""Rows that are read at once."""
SEED = re.compile(r"(.+?)[-_. ]?seed[-_ ]?(\d{1,9})", re.IGNORECASE)
"""The name of a file of one seed, such as `bert-seed3`: the model and the seed."""
_WHOLE = re.compile(r"(-?\d+)\.0+")
_TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass
class FileRun:
    """One run of one model as its file tells it."""

    path: Path
    model: str
    seed: int | None
    classes: tuple[str, ...]
    """Classes that have a column of probabilities each. Empty for one column of probabilities, or none."""
    has: frozenset[str]
    """The roles that the file has columns for; `p:` stands for the probabilities of several classes."""
    study: str = ""
    """What its column of studies says."""
    place_N: array[int] = field(default_factory=lambda: array("q"))
    """Position of each row's id in `Read.ids`."""
    label_N: array[int] = field(default_factory=lambda: array("q"))
    """Position of its true label in `Read.spellings`."""
    prediction_N: array[int] = field(default_factory=lambda: array("q"))
    """The same of its predicted class."""
    score_N: array[float] = field(default_factory=lambda: array("d"))
    probability_NK: array[float] = field(default_factory=lambda: array("f"))
    """Probabilities, row by row."""

    @property
    def name(self) -> str:
        """Return what messages and tables call the run."""
        return self.path.name if self.seed is None else f"{self.path.name}, seed {self.seed}"

    def probabilities(self) -> NDArray[np.float32]:
        """Return the probabilities, N x K."""
        return np.frombuffer(self.probability_NK, np.float32).reshape(len(self.place_N), -1)


class Names:
    """Positions of names, each kept once: equal names of other types or spellings are one."""

    def __init__(self) -> None:
        """Begin without names."""
        self.names: list[str] = []
        self._place: dict[str, int] = {}
        self._seen: dict[Any, int] = {}

    def place(self, name: str) -> int:
        """Return the position of a name, which is added where it is new."""
        if name not in self._place:
            self._place[name] = len(self.names)
            self.names.append(name)
        return self._place[name]

    def places(self, values: Sequence[Any], spell: Callable[[Any], str]) -> list[int]:
        """Return the positions of values as `spell` writes them; -1 where it writes nothing."""
        seen = self._seen
        found = []
        for value in values:
            key = value if isinstance(value, str | int) else repr(value)
            place = seen.get(key)
            if place is None or isinstance(value, bool):
                text = spell(value)
                place = self.place(text) if text else -1
                if not isinstance(value, bool):
                    seen[key] = place
            found.append(place)
        return found


@dataclass
class Read:
    """All runs of some files, and what the files tell of the examples."""

    ids: Names = field(default_factory=Names)
    spellings: Names = field(default_factory=Names)
    runs: list[FileRun] = field(default_factory=list)
    about: dict[str, dict[int, str]] = field(default_factory=dict)
    """Role (text, category, group, tokens) -> position of an id -> what the first file with such a column tells."""
    notes: list[str] = field(default_factory=list)
    digests: dict[Path, str] = field(default_factory=dict)
    """SHA-256 of each file."""


def read_files(
    paths: Sequence[str], columns: PredictionColumns, read: Read, *, by_order: bool = False
) -> list[FileRun]:
    """Read files and return their runs.

    Args:
        paths: The files.
        columns: The columns that are asked for.
        read: Takes the ids, class names and what the files say of the examples.
        by_order: Whether rows are examples by their order, because the files have no ids.

    Raises:
        UsageError: for a file that lacks a column, of another kind, or with a value that cannot be.
        DataError: for a damaged file.
    """
    runs: list[FileRun] = []
    for path in (named_path(name, "the predictions") for name in paths):
        if not path.is_file():
            raise UsageError(f"predictions must be files, but {shown(str(path))} "
                             f"{'is a folder' if path.is_dir() else 'does not exist'}: name files")
        if kind_of(path) not in TABLES:
            raise UsageError(f"predictions must be in CSV, TSV, JSON Lines or Parquet files, but got {shown(path.name)}"
                             ": convert it")
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        same = next((other for other, known in read.digests.items() if known == digest), None)
        if same is not None:
            raise UsageError(f"each file must have a run that no other has, but {path} has the same content as {same}: "
                             "leave one out")
        read.digests[path] = digest
        with reading(path):
            runs += _runs(path, columns, read, by_order)
    return runs


def _runs(path: Path, asked: PredictionColumns, read: Read, by_order: bool) -> list[FileRun]:
    """Return the runs of one file."""
    table = Table(path, asked)
    runs: dict[tuple[str, str, str], FileRun] = {}
    start, first_filter = 0, None
    for block in _blocks(table):
        columns = table.columns
        values: dict[str, Sequence[Any]] = dict(
            zip((role for role, _ in columns.roles()), zip(*block, strict=True), strict=True))
        if not start:
            _require(path, columns, by_order)
            about = [role for role in ("text", "category", "group", "tokens")
                     if role in values and role not in read.about]
            read.about |= {role: {} for role in about}
            if (note := table.note) is not None:
                read.notes.append(f"{path.name}: {note}")
        if by_order:
            values["id"] = range(start + 1, start + len(block) + 1)
        rows = _Rows(path, columns, values, start)
        start += len(block)
        keep: Sequence[int] = range(len(block))
        if "filter" in values:
            first_filter = values["filter"][0] if first_filter is None else first_filter
            keep = [row for row, one in enumerate(values["filter"]) if one == first_filter]
            if len(keep) < len(block) and (said := f"{path.name}: of several filters, {first_filter} is read"
                                           ) not in read.notes:
                read.notes.append(said)
        place_N = rows.ids(read.ids, keep)
        for role in about:
            texts = read.about[role]
            for place, row in zip(place_N, keep, strict=True):
                texts.setdefault(place, _text(values[role][row]))
        for key, some in _by_run(values, keep).items():
            if key not in runs:
                runs[key] = rows.begun(key)
            chosen = [row for _, row in some]
            run = runs[key]
            run.place_N.extend(place_N[place] for place, _ in some)
            rows.extend(run, chosen, read.spellings)
    if not start:
        raise UsageError(f"{path} must contain predictions, but it has no rows: write or copy it again")
    return list(runs.values())


def _blocks(table: Table[PredictionColumns]) -> Iterator[list[tuple[Any, ...]]]:
    rows = iter(table)
    while block := list(islice(rows, BLOCK)):
        yield block


def _require(path: Path, columns: PredictionColumns, by_order: bool) -> None:
    """Check that a file has ids, and predictions unless it has true labels.

    Raises:
        UsageError: it has not.
    """
    found = columns.found
    if "id" not in found and not by_order:
        other = "" if IN_PYTHON.get() else ", or give --by-order if all files have the same examples in the same order"
        raise UsageError(f"{path} must have a column of ids, by which rows are aligned, but none has a usual name for "
                         f"it: name it by {asked_as('--id-column')}{other}")
    if columns.is_truth:
        if "label" not in found:
            raise UsageError(f"{path} must have a column of true labels, but none has a usual name for it: name it by "
                             f"{asked_as('--label-column')}")
    elif not ({"prediction", "probability", "score"} & found.keys() or columns.classes):
        raise UsageError(f"{path} must have a column of predictions, of probabilities or of scores, but none has a "
                         f"usual name for it: name it by {asked_as('--prediction-column')} or "
                         f"{asked_as('--score-column')}")


def _by_run(
    values: Mapping[str, Sequence[Any]], keep: Sequence[int]
) -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    """Return study, model and seed -> the rows of the run, each as its position among those kept and in the block."""
    named = [values.get(role) for role in ("study", "model", "seed")]
    if not any(named):
        return {("", "", ""): list(enumerate(keep))}
    found: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for place, row in enumerate(keep):
        study, model, seed = ("" if one is None else _text(one[row]) for one in named)
        found.setdefault((study, model, seed), []).append((place, row))
    return found


@dataclass
class _Rows:
    """Some rows of a file, column by column."""

    path: Path
    columns: PredictionColumns
    values: Mapping[str, Sequence[Any]]
    start: int
    """Number of rows before them."""

    def ids(self, names: Names, keep: Sequence[int]) -> list[int]:
        found = names.places([self.values["id"][row] for row in keep], _id)
        if -1 in found:
            raise self._wrong("id", f"a name of at most {MOST_NAME} characters", keep[found.index(-1)])
        return found

    def begun(self, key: tuple[str, str, str]) -> FileRun:
        """Return a run without rows: its model and seed are those of the columns, or of the name of the file."""
        study, model, seed = key
        stem = re.sub(r"(\.(csv|tsv|jsonl|ndjson|parquet|gz))+$", "", self.path.name, flags=re.IGNORECASE)
        match = SEED.fullmatch(stem) if not model and not seed else None
        if self.columns.is_lm_eval:
            stem = self.path.resolve().parent.name or stem
        named = model or (match[1] if match else stem)
        number = as_number(_WHOLE.sub(r"\1", seed)) if seed else int(match[2]) if match else None
        if seed and not isinstance(number, int):
            raise UsageError(f"the seeds in {self.path} must be whole numbers, but got {shown(seed)}: correct the "
                             "column")
        has = frozenset({*self.columns.found, *(["p:"] if self.columns.classes else [])})
        return FileRun(self.path, named, number if isinstance(number, int) else None, self.columns.classes, has, study)

    def extend(self, run: FileRun, chosen: Sequence[int], spellings: Names) -> None:
        """Add rows to a run."""
        for role, into in (("label", run.label_N), ("prediction", run.prediction_N)):
            if role in self.values:
                found = spellings.places([self.values[role][row] for row in chosen], class_of)
                if -1 in found:
                    raise self._wrong(role, "a word, a number, true or false", chosen[found.index(-1)])
                into.extend(found)
        if "score" in self.values:
            score_N = self.numbers("score", chosen)
            if (odd := np.flatnonzero(~np.isfinite(score_N))).size:
                raise self._wrong("score", "a finite number", chosen[odd[0]])
            run.score_N.extend(score_N.tolist())
        roles = [f"p:{name}" for name in run.classes] or [role for role in ("probability",) if role in self.values]
        if roles:
            value_NK = np.stack([self.numbers(role, chosen) for role in roles], axis=1)
            for place, role in enumerate(roles):
                odd = np.flatnonzero((value_NK[:, place] < 0) | (value_NK[:, place] > 1))
                if odd.size:
                    raise self._wrong(role, "a probability between 0 and 1", chosen[odd[0]])
            run.probability_NK.frombytes(value_NK.astype(np.float32).tobytes())

    def numbers(self, role: str, chosen: Sequence[int]) -> NDArray[np.float64]:
        """Return the numbers of a column; NaN for an empty cell."""
        values = self.values[role]
        try:
            return np.array([values[row] for row in chosen], dtype=np.float64)
        except (TypeError, ValueError):
            return np.array([self._number(role, row) for row in chosen])

    def _number(self, role: str, row: int) -> float:
        value = self.values[role][row]
        if value is None or (isinstance(value, str) and not value.strip()):
            return math.nan
        if isinstance(value, str) and value.strip().lower() in _TRUTHS:
            return _TRUTHS[value.strip().lower()]
        try:
            return float(value)
        except (TypeError, ValueError):
            raise self._wrong(role, "a number", row) from None

    def _wrong(self, role: str, rule: str, row: int) -> UsageError:
        column = self.columns.found.get(role, role)
        return UsageError(f"column {shown(column)} of {self.path} must have {rule} in each row, but row "
                          f"{self.start + row + 1:,} has {shown(self.values[role][row])}: correct it, or name "
                          "another column")


def _id(value: Any) -> str:
    """Return the id of a row; empty where it has none."""
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


def _text(value: Any) -> str:
    """Return a value as text: of a dictionary, such as a document of lm-eval, its longest text."""
    if isinstance(value, dict):
        return storable(max((one for one in value.values() if isinstance(one, str)), key=len, default=""))
    return "" if value is None or value != value else storable(str(value).strip())

