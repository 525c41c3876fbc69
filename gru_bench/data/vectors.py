"""Word vectors for the words of a corpus: trained on it, drawn at random, downloaded, or from a file.

Only the vectors of the words in the corpus are kept, and files are read as a stream. A word must match exactly: the
words of a corpus are lower case unless its data came as tokens.

The table is cached as .npy before `scale` is applied. It is memory-mapped where `scale` is 1.

Shapes: `V` rows of the table (row 0 is padding), `E` dimension, `W` words of the corpus.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import importlib.util
import itertools
import json
import math
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import EmbeddingConfig
from gru_bench.data.cache import cached_folder, content_digest, default_cache, reading_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.data.files import named_path, opened, reading
from gru_bench.errors import DataError, RunError, UsageError, shown, unknown

_FORMAT = "2"
"""Part of every cache key. Raise it when the training or the files of a folder change."""

CORPUS = "corpus"
RANDOM = "random"
GENSIM_DATA = (
    "fasttext-wiki-news-subwords-300",
    "glove-twitter-25", "glove-twitter-50", "glove-twitter-100", "glove-twitter-200",
    "glove-wiki-gigaword-50", "glove-wiki-gigaword-100", "glove-wiki-gigaword-200", "glove-wiki-gigaword-300",
    "word2vec-google-news-300",
)
_ENDINGS = (".bin", ".txt", ".vec", ".bin.gz", ".txt.gz", ".vec.gz", ".gz")
_REFUSED = (".kv", ".model", ".pkl", ".pickle", ".npy", ".npz", ".pt")
_BLOCK = 1 << 22
"""Number of bytes that are read at once."""
_HEADER = re.compile(rb"\s*(\d{1,9})\s+(\d{1,6})\s*")
"""First line of a word2vec file: the number of words, and that of the numbers of each."""
_CONTROL = bytes({*range(32)} - {*b"\t\n\r"})

Progress = Callable[[str], None]
Found = dict[int, NDArray[np.float32]]
"""Position of a word in the corpus -> its vector of length E."""


@dataclass(frozen=True)
class Vectors:
    """The vectors of the words of a corpus."""

    name: str
    table_VE: NDArray[np.float32]
    """Row 0 is zero and stands for padding. The known words follow in the order of the corpus. Read-only."""
    row_of_word: NDArray[np.int32]
    """For each word of the corpus its row, or -1 where the word has no vector."""
    words_V: list[str]
    """The word of each row. Row 0 has the empty word."""
    passes: int | None = None
    """How often word2vec read the training texts. None for vectors that were not trained on the corpus."""

    @cached_property
    def fingerprint(self) -> str:
        """Return a digest of the vectors, which differs where a vector or the words that have one differ."""
        whole = hashlib.sha256(np.ascontiguousarray(self.table_VE).data)
        whole.update(np.ascontiguousarray(self.row_of_word).data)
        return whole.hexdigest()

    @property
    def dimension(self) -> int:
        """Return E."""
        return int(self.table_VE.shape[1])

    @property
    def mean_norm(self) -> float:
        """Return the mean norm of the vectors."""
        return float(self._norm_V.mean())

    @property
    def mean_cosine(self) -> float | None:
        """Return the mean cosine of the vectors of two distinct words. None with fewer than two vectors.

        Of n unit vectors, the squared norm of their sum is n plus the cosines of all ordered pairs. A vector of norm 0
        has no direction and is left out.
        """
        norm_V = self._norm_V
        inverse_V = np.divide(1, norm_V, out=np.zeros_like(norm_V), where=norm_V > 0)
        sum_E = (inverse_V @ self.table_VE[1:]).astype(np.float64)
        count = int(np.count_nonzero(norm_V))
        return float(sum_E @ sum_E - count) / (count * (count - 1)) if count > 1 else None

    @property
    def _norm_V(self) -> NDArray[np.float32]:
        known_VE = self.table_VE[1:]
        squared_V: NDArray[np.float32] = np.einsum("ve,ve->v", known_VE, known_VE)
        return np.sqrt(squared_V)


def load_vectors(config: EmbeddingConfig, corpus: Corpus, cache: Path | None = None, *,
                 on_progress: Progress | None = None) -> Vectors:
    """Return the word vectors of a corpus. They are built once and then read from the cache.

    Args:
        config: Settings of the vectors. `trainable` is not used.
        corpus: Corpus whose words are looked up. Vectors of the kind `corpus` are trained on its training split, and
            vectors are drawn for words of its training split.
        cache: Root folder of the caches. None: `default_cache()`.
        on_progress: Function that is called with a short text before each step that takes long.

    Raises:
        UsageError: for an unknown name, a missing file, or an unsupported kind of file.
        DataError: for a file that is damaged, holds a value that is not finite, or has none of the words.
        RunError: where a download fails or the cache cannot be written.
    """
    tell: Progress = on_progress or (lambda _: None)
    cache = default_cache() if cache is None else cache
    source = _source(config, corpus, cache, tell)
    drawn = [] if config.unknown == "drop" else [
        "drawn", repr(_DRAWN_NORM), corpus.fingerprint, repr(config.min_count), repr(config.seed)]
    key = hashlib.sha256("\n".join([_FORMAT, *source.key, *drawn]).encode()).hexdigest()[:32]
    folder = cached_folder(cache, "vectors", key, lambda begun: _build(begun, source, corpus, config))
    with reading_cache(folder):
        row_of_word = np.load(folder / "row_of_word.npy")
        table_VE: NDArray[np.float32] = np.load(folder / "table.npy", mmap_mode="r")
    if config.scale != 1.0:
        table_VE = table_VE * np.float32(config.scale)
        table_VE.flags.writeable = False
    return Vectors(config.name, table_VE, row_of_word,
                   ["", *(corpus.words[place] for place in np.flatnonzero(row_of_word >= 0).tolist())],
                   _passes(corpus) if config.name == CORPUS else None)


@dataclass(frozen=True)
class _Source:
    key: tuple[str, ...]
    """Everything that the vectors depend on."""
    read: Callable[[], Found]


def _source(config: EmbeddingConfig, corpus: Corpus, cache: Path, tell: Progress) -> _Source:
    name = config.name
    if name == CORPUS:
        _need_gensim(name)
        return _Source((CORPUS, corpus.fingerprint, repr(config.dimension), repr(config.min_count), repr(config.seed),
                        repr(_passes(corpus))), lambda: _trained(config, corpus, tell))
    words = hashlib.sha256(json.dumps(corpus.words).encode()).hexdigest()
    if name == RANDOM:
        return _Source((RANDOM, repr(config.dimension), repr(config.seed), words),
                       lambda: _drawn(config.seed, config.dimension, dict(enumerate(corpus.words))))
    path = named_path(name, "the word vectors")
    if path.is_file():
        _refuse_other_kinds(path)
    elif name in GENSIM_DATA:
        _need_gensim(name)
        path = _downloaded(name, tell)
    elif path.is_dir():
        raise UsageError(f"the word vectors must be a file, but {name} is a folder: give a file in it")
    elif path.name != name or name.lower().endswith((*_ENDINGS, *_REFUSED)):
        raise UsageError(f"No such file: {name!r}")
    else:
        raise unknown("word vectors", name, [CORPUS, RANDOM, *GENSIM_DATA],
                      "Or give the path of a word2vec .bin or .txt file (may be .gz), or of a GloVe .txt file.")
    return _Source(("file", content_digest(path, cache), words), lambda: _from_file(path, corpus.words, tell))


def _need_gensim(name: str) -> None:
    """Raise a UsageError where gensim is not installed: its releases do not cover the newest versions of Python."""
    if importlib.util.find_spec("gensim") is None:
        raise UsageError(f"the word vectors {name!r} need gensim, which is not installed (it has no release for Python "
                         f"3.14 and later; this is {platform.python_version()}): use Python 3.11 to 3.13, or set "
                         f"embedding.name to other vectors: {RANDOM}, or a file")


def _build(folder: Path, source: _Source, corpus: Corpus, config: EmbeddingConfig) -> None:
    vector_of = source.read()
    if not vector_of:
        raise DataError(f"the word vectors contain none of the {len(corpus.words)} words of the data "
                        f"({', '.join(map(shown, corpus.words[:3]))}, ...): are they for another language?")
    table_VE, row_of_word = _table(vector_of, len(corpus.words))
    finite_V = np.isfinite(table_VE).all(axis=1)
    if not finite_V.all():
        wrong = corpus.words[int(np.flatnonzero(row_of_word == np.argmin(finite_V))[0])]
        raise DataError(f"word vectors must be finite numbers, but that of {shown(wrong)} contains a NaN or an "
                        f"infinity ({int((~finite_V).sum())} of {len(vector_of)} vectors do): repair or replace the "
                        "file")
    if config.unknown == "draw":
        unknown = np.flatnonzero((row_of_word < 0) & (_counts(corpus) >= config.min_count)).tolist()
        norm = np.float32(_DRAWN_NORM * float(np.linalg.norm(table_VE[1:], axis=1).mean()))
        drawn = _drawn(config.seed, table_VE.shape[1], {place: corpus.words[place] for place in unknown})
        del table_VE  # it may be large
        table_VE, row_of_word = _table(
            vector_of | {place: vector_E * norm for place, vector_E in drawn.items()}, len(corpus.words))
    np.save(folder / "table.npy", table_VE)
    np.save(folder / "row_of_word.npy", row_of_word)


def _table(vector_of: Found, words: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the vectors as rows of a table whose first one is zero, and for each word its row, or -1."""
    places = sorted(vector_of)
    row_of_word = np.full(words, -1, np.int32)
    row_of_word[places] = np.arange(1, len(places) + 1, dtype=np.int32)
    vectors_VE = [vector_of[place] for place in places]
    return np.stack([np.zeros_like(vectors_VE[0]), *vectors_VE]), row_of_word


# ---------------------------------------------------------------- trained on the corpus


_TRAINING: Mapping[str, int | float] = {"sg": 0, "window": 8, "sample": 3e-5, "alpha": 0.15}
"""Settings of gensim's continuous bag of words. Frequent words are dropped more often than by default, and the learning
rate is higher.

On the default texts, four passes of this take half the time of gensim's defaults and give better vectors: a
bidirectional GRU on the frozen vectors (mean and max pooling, 200 tokens, 2 epochs, one seed) reached an accuracy of
84.6 % on the 3,256 validation texts, against 82.9 % with gensim's defaults. One pass of skip-gram takes as long as
four passes of this, and a linear model on the mean vector of a text was no better with one or two passes of
skip-gram.
"""
LARGE = 5_000_000
"""Number of words in the training texts from which on `LEAST_PASSES` suffice."""
LEAST_PASSES, MOST_PASSES = 4, 500


def _passes(corpus: Corpus) -> int:
    """Return how often word2vec reads the training texts: more often where they have fewer words.

    After fewer passes, the vectors of all words are still nearly parallel (measured in benchmarks/NOTES.md). The
    exponent is below 1 because a smaller corpus also has fewer distinct words to train.
    """
    passes = round(LEAST_PASSES * math.pow(LARGE / max(1, len(corpus.train.ids)), 0.75))
    return min(MOST_PASSES, max(LEAST_PASSES, passes))


class _Texts:
    """The training texts as lists of words. It can be iterated several times, as gensim needs."""

    def __init__(self, split: Split, words: list[str]) -> None:
        self._split = split
        self._words = np.array(words, dtype=object)

    def __iter__(self) -> Iterator[list[str]]:
        ends = self._split.offsets_N1.tolist()
        for start, end in itertools.pairwise(ends):
            yield self._words[self._split.ids[start:end]].tolist()


def _trained(config: EmbeddingConfig, corpus: Corpus, tell: Progress) -> Found:
    from gensim.models import Word2Vec

    count_W = _counts(corpus)
    known = np.flatnonzero(count_W >= config.min_count).tolist()
    if not known:
        raise DataError(f"embedding.min_count is too high: no word occurs {config.min_count} times in the training "
                        "split")
    passes = _passes(corpus)
    tell(f"training {config.dimension}-d word vectors on {len(corpus.train):,} texts in {passes:,} passes")
    # With more than one worker the order of the updates, and so the vectors, would differ between runs.
    model = Word2Vec(vector_size=config.dimension, min_count=config.min_count, seed=config.seed, workers=1,
                     epochs=passes, **_TRAINING)
    model.build_vocab_from_freq({corpus.words[place]: int(count_W[place]) for place in known},
                                corpus_count=len(corpus.train))
    model.train(_Texts(corpus.train, corpus.words), total_examples=len(corpus.train),
                total_words=len(corpus.train.ids), epochs=model.epochs)
    return {place: model.wv[corpus.words[place]] for place in known}


# ---------------------------------------------------------------- drawn at random


_DRAWN_NORM = 0.25
"""Mean norm of vectors drawn for unknown words, as a share of the mean norm of the others."""


def _drawn(seed: int, dimension: int, word_of: Mapping[int, str]) -> Found:
    """Draw the vector of each word from its own seed, so that it is the same in every corpus. The mean norm is 1."""
    scale = 1 / math.sqrt(dimension)
    return {
        place: np.random.default_rng([seed, *word.encode("utf-8", "surrogatepass")]).normal(
            scale=scale, size=dimension).astype(np.float32)
        for place, word in word_of.items()
    }


def _counts(corpus: Corpus) -> NDArray[np.int64]:
    return np.bincount(corpus.train.ids, minlength=len(corpus.words))


# ---------------------------------------------------------------- downloaded


def _downloaded(name: str, tell: Progress) -> Path:
    """Return the file of a gensim-data name. gensim downloads it if it is not there yet."""
    from gensim import downloader

    present = Path(downloader.BASE_DIR) / name / f"{name}.gz"
    if present.is_file():
        return present
    tell(f"downloading {name}")
    downloader.logger.disabled = True  # it logs tracebacks
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for results, not for gensim's progress
            return Path(downloader.load(name, return_path=True))
    except Exception as error:
        # The network, the server or a wrong checksum make gensim raise errors of many kinds.
        raise RunError(f"the word vectors {name!r} could not be downloaded ({type(error).__name__}: {error}): check "
                       "the connection, or use a file") from error


# ---------------------------------------------------------------- files


def _refuse_other_kinds(path: Path) -> None:
    name = path.name.lower()
    if name.endswith((".kv", ".model", ".pkl", ".pickle", ".pt")):
        raise UsageError(f"word vectors must be a word2vec .bin or .txt or a GloVe .txt file, but {path.name} is a "
                         "pickle, which may run any code while it is read: save it by gensim's "
                         "save_word2vec_format")
    if not name.endswith(_ENDINGS):
        raise UsageError(f"word vectors must be a word2vec .bin or .txt or a GloVe .txt file (may be .gz), but got "
                         f"{path.name!r}: convert or rename it")


def _from_file(path: Path, words: list[str], tell: Progress) -> Found:
    """Read the vectors of `words` from a word2vec or GloVe file. Its first bytes show the format.

    If a word stands there twice, the first row counts.
    """
    tell(f"reading {path.name}")
    wanted = {word.encode("utf-8", "surrogatepass"): place for place, word in enumerate(words)}
    with reading(path), opened(path) as file:
        first = file.readline()
        begin = len(codecs.BOM_UTF8) if first.startswith(codecs.BOM_UTF8) else 0
        if not first.strip():
            raise DataError(f"{path} must contain word vectors, but its first line is empty: download or create the "
                            "file again")
        header = _HEADER.fullmatch(first[begin:])
        if header is None:
            file.seek(begin)
            return _text(path, file, wanted, len(first.split()) - 1, None)
        count, dimension = map(int, header.groups())
        head = file.read(1 << 16)
        file.seek(len(first))
        is_text = len(head.translate(None, _CONTROL)) == len(head)  # among raw floats, some hold control characters
        return (_text if is_text else _binary)(path, file, wanted, dimension, count)


def _text(path: Path, lines: Iterable[bytes], wanted: Mapping[bytes, int], dimension: int, count: int | None) -> Found:
    """Read lines of a word and its numbers. A GloVe file has no first line with a count, so `count` is None."""
    if dimension < 1:
        raise DataError(f"{path} must contain a word and its numbers on each line, but line 1 has no numbers")
    rows: Found = {}
    found = 0
    for number, line in enumerate(lines, start=1 if count is None else 2):
        found += not line.isspace()
        word, _, numbers = line.replace(b"\t", b" ").rstrip(b" \r\n").partition(b" ")
        if (place := wanted.get(word)) is None or place in rows:
            continue
        fields = numbers.split(b" ")
        if len(fields) > dimension and not _is_number(fields[0]):
            continue  # the word contains a space, as a few words of the large GloVe files do
        try:
            if len(fields) != dimension:
                raise ValueError(f"{len(fields)} of them")
            with np.errstate(over="ignore"):
                rows[place] = np.array([*map(float, fields)], np.float32)
        except ValueError as error:
            raise DataError(f"each line of {path} must contain a word and {dimension} numbers, but line {number} does "
                            f"not ({shown(str(error), '')}): download or create the file again") from error
    if count is not None and found != count:
        raise DataError(f"{path} must contain {count} words, as its first line says, but it contains {found}: "
                        f"{'it is cut off; ' if found < count else ''}download or create it again")
    return rows


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _binary(path: Path, file: BinaryIO, wanted: Mapping[bytes, int], dimension: int, count: int) -> Found:
    """Read rows of a word, a space and `dimension` little-endian float32; a line break may follow each."""
    size = 4 * dimension
    rows: Found = {}
    held, start = b"", 0
    for number in range(count):
        while (space := held.find(b" ", start)) < 0 or len(held) - space - 1 < size:
            if not (more := file.read(_BLOCK)):
                raise _other_size(path, count, dimension, f"only {number} of them are complete")
            held, start = held[start:] + more, 0
        place = wanted.get(held[start:space].lstrip(b"\n"))
        start = space + 1 + size
        if place is not None and place not in rows:
            rows[place] = np.frombuffer(held, dtype="<f4", count=dimension, offset=space + 1).astype(np.float32)
    if (held[start:] + file.read(_BLOCK)).strip():
        raise _other_size(path, count, dimension, "more bytes follow them")
    return rows


def _other_size(path: Path, count: int, dimension: int, found: str) -> DataError:
    return DataError(f"{path} must contain {count} words of {dimension} numbers, as its first line says, but {found}: "
                     "it is cut off or damaged; download or create it again")
