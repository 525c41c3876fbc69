"""Word vectors of every kind: exactly the rows that are needed; damage is refused; nothing is fetched twice."""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gru_bench.data.vectors as vectors_module
from gru_bench.config import DataConfig, EmbeddingConfig
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.vectors import GENSIM_DATA, MOST_PASSES, Vectors, _from_file, load_vectors
from gru_bench.errors import DataError, RunError, UsageError
from tests.support.files import write
from tests.support.values import present

REVIEWS = [(f"the {['good', 'fine', 'dull', 'poor'][n % 4]} film number {n} is {['long', 'short'][n % 3 > 0]}", n % 2)
           for n in range(120)]


TABLE: dict[str, Sequence[float]] = {
    "the": [1, 2, 3], "zebra": [7, 7, 7], "film": [0.5, -0.25, 1e-3], "is": [-1, 0, 4], "The": [9, 9, 9],
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def corpus(tmp_path: Path, cache: Path) -> Corpus:
    return corpus_of(tmp_path / "reviews.csv", REVIEWS, cache)


@pytest.fixture
def all_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train vectors in as many passes as for a user, which other tests do without (tests/conftest.py)."""
    monkeypatch.setattr(vectors_module, "MOST_PASSES", MOST_PASSES)


def corpus_of(path: Path, rows: Iterable[tuple[str, int]], cache: Path, **settings: Any) -> Corpus:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return load_corpus(DataConfig(name=str(path), **settings), cache)


def load(name: str | Path, corpus: Corpus, cache: Path, **settings: Any) -> Vectors:
    return load_vectors(EmbeddingConfig(name=str(name), **settings), corpus, cache)


def vector_of(vectors: Vectors, corpus: Corpus, word: str) -> np.ndarray:
    vector_E: np.ndarray = vectors.table_VE[vectors.row_of_word[corpus.words.index(word)]]
    return vector_E


def write_text(path: Path, table: Mapping[str, Sequence[float]] = TABLE, header: bool = True, end: str = "\n") -> Path:
    lines = [f"{len(table)} 3"] if header else []
    lines += [" ".join([word, *map(str, numbers)]) for word, numbers in table.items()]
    content = (end.join(lines) + end).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def binary(
    table: Mapping[str, Sequence[float]] = TABLE, count: int | None = None, dimension: int = 3, end: bytes = b"\n"
) -> bytes:
    rows = b"".join(word.encode() + b" " + np.array(numbers, "<f4").tobytes() + end
                    for word, numbers in table.items())
    return f"{len(table) if count is None else count} {dimension}\n".encode() + rows


def write_binary(path: Path, **how: Any) -> Path:
    content = binary(**how)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("write", [
    lambda folder: write_text(folder / "v.txt"),
    lambda folder: write_text(folder / "v.vec"),
    lambda folder: write_text(folder / "v.txt.gz"),
    lambda folder: write_text(folder / "v.txt", end=" \n"),
    lambda folder: write_text(folder / "v.txt", end="\r\n"),
    lambda folder: write_text(folder / "v.txt", header=False),
    lambda folder: write_text(folder / "v.gz", header=False),
    lambda folder: write_binary(folder / "v.bin"),
    lambda folder: write_binary(folder / "v.bin.gz"),
    lambda folder: write_binary(folder / "v.gz"),
    lambda folder: write_binary(folder / "v.bin", end=b""),
])
def test_every_form_of_file_gives_the_rows_that_are_needed(
    tmp_path: Path, corpus: Corpus, cache: Path, write: Callable[[Path], Path]
) -> None:
    vectors = load(write(tmp_path), corpus, cache)
    assert vectors.dimension == 3
    assert vectors.table_VE.dtype == np.float32
    assert vectors.row_of_word.dtype == np.int32
    assert vectors.words_V == ["", *(word for word in corpus.words if word in TABLE)]
    assert vectors.table_VE.shape == (4, 3)
    assert not vectors.table_VE[0].any()
    for place, word in enumerate(corpus.words):
        row = vectors.row_of_word[place]
        if word in TABLE:
            assert vectors.table_VE[row].tolist() == np.array(TABLE[word], np.float32).tolist()
            assert vectors.words_V[row] == word
        else:
            assert row == -1


def test_gensim_reads_the_same_from_what_it_wrote(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    from gensim.models import KeyedVectors

    keyed = KeyedVectors(5)
    numbers = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    words = [*corpus.words[:20], *(f"other{n}" for n in range(20))]
    keyed.add_vectors(words, numbers)
    for name, is_binary in (("a.bin", True), ("a.txt", False), ("b.bin.gz", True)):
        keyed.save_word2vec_format(str(tmp_path / name), binary=is_binary)
        vectors = load(tmp_path / name, corpus, cache)
        assert np.array_equal(vectors.table_VE[1:], numbers[:20])


@given(table=st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters=" \n\r\t", exclude_categories=["Z", "C"]), min_size=1),
    st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=1, max_size=30),
    block=st.integers(13, 90))
def test_any_table_is_read_in_blocks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Sequence[float]], block: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = write_binary(folder / "v.bin", table=table | {"the": [1, 2, 3]})
    words = ["the", *table]
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(vectors_module, "_BLOCK", block)
    try:
        found = vectors_module._from_file(path, words, lambda _: None)
        text = vectors_module._from_file(write_text(folder / "v.txt", table), list(table), lambda _: None)
    finally:
        monkeypatch.undo()
    for place, word in enumerate(table):
        assert text[place].tolist() == table[word]
    for place, word in enumerate(words):
        assert found[place].tolist() == (table | {"the": [1.0, 2.0, 3.0]})[word]


def test_a_binary_float_that_looks_like_a_digit_is_not_taken_for_text(
    tmp_path: Path, corpus: Corpus, cache: Path
) -> None:
    number = np.frombuffer(b"3\n\x80B", "<f4")[0]
    vectors = load(write_binary(tmp_path / "v.bin", table={"the": [number, 0, 0]}), corpus, cache)
    assert vectors.table_VE[1].tolist() == [number, 0, 0]


def test_the_first_of_two_rows_of_a_word_counts(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("the 1 2\nthe 3 4\n", encoding="utf-8")
    assert vector_of(load(path, corpus, cache), corpus, "the").tolist() == [1, 2]


def test_words_that_contain_spaces_are_ignored(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\n. . . 3 4\nat name@domain.com 5 6\nfilm 7 8\n", encoding="utf-8")
    assert load(path, corpus, cache).table_VE.tolist() == [[0, 0], [1, 2], [7, 8]]


@pytest.mark.parametrize("header", [True, False])
def test_tabs_and_a_byte_order_mark_are_read(tmp_path: Path, corpus: Corpus, cache: Path, header: bool) -> None:
    path = write_text(tmp_path / "v.txt", header=header)
    plain = load(path, corpus, cache)
    path.write_text("\ufeff" + path.read_text("utf-8").replace(" ", "\t"), "utf-8")
    assert load(path, corpus, cache).fingerprint == plain.fingerprint


def test_the_scale_multiplies_every_vector(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    path = write_text(tmp_path / "v.txt")
    plain, scaled = load(path, corpus, cache), load(path, corpus, cache, scale=2.5)
    assert np.array_equal(scaled.table_VE, plain.table_VE * np.float32(2.5))
    assert isinstance(plain.table_VE, np.memmap)
    for vectors in (plain, scaled):
        with pytest.raises(ValueError, match="read-only"):
            vectors.table_VE[1] = 0


@pytest.mark.parametrize(("content", "message"), [
    ("", r"first line"),
    ("\nthe 1 2\n", r"first line"),
    ("the\nfilm\n", r"line 1 has no numbers"),
    ("the 1 2\nfilm 1\n", r" 2 numbers.* line 2 .*1"),
    ("the 1 2\nfilm 1 2 3\n", r" 2 numbers.* line 2 .*3"),
    ("2 2\nthe 1 2\nfilm 1 2 3\n", r" 2 numbers.* line 3 .*3"),
    ("2 3\nthe 1 2\nfilm 1 2\n", r" 3 numbers.* line 2 .*2"),
    ("the 1 2\nfilm 1 x\n", r" 2 numbers.* line 2 .*'x'"),
    ("3 2\nthe 1 2\nfilm 1 2\n", r" 3 words.* 2: .*cut off"),
    ("1 2\nthe 1 2\nfilm 1 2\n", r" 1 words.* 2: "),
    ("the 1 nan\n", r"finite.*'the'.*1 of 1"),
    ("is 1 2\nfilm inf 1\nthe -inf 2\n", r"finite.*'(the|film)'.*2 of 3"),
    ("zebra 1 2\n", r"none of the \d+ words of the data \('.*, \.\.\.\)"),
])
def test_a_damaged_text_file_is_refused(
    tmp_path: Path, corpus: Corpus, cache: Path, content: str, message: str
) -> None:
    path = tmp_path / "v.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load(path, corpus, cache)
    assert not (cache / "vectors").exists() or list((cache / "vectors").iterdir()) == []


@pytest.mark.parametrize(("content", "message"), [
    (binary()[:-6], r" 5 words of 3 numbers.* 4 .*cut off"),
    (binary(count=9), r" 9 words.* 5 .*cut off"),
    (binary(count=2), r" 2 words.* more bytes"),
    (binary(dimension=2), r" 5 words of 2 numbers.*cut off or damaged"),
    (binary(dimension=4), r" 5 words of 4 numbers.*cut off or damaged"),
    (b"2 3\n" + bytes(100_000), r" 2 words.* 0 "),
    (binary({"the": [1, 2, float("nan")]}), r"finite.*'the'"),
], ids=range(7))
def test_a_damaged_binary_file_is_refused(
    tmp_path: Path, corpus: Corpus, cache: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "v.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(path, corpus, cache)


@pytest.mark.parametrize("whole", [binary(), b"the 1 2\nfilm 3 4\n"])
def test_gzip_that_is_cut_off_is_refused(tmp_path: Path, corpus: Corpus, cache: Path, whole: bytes) -> None:
    path = tmp_path / "v.gz"
    path.write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(DataError, match=r"v\.gz .*truncated.*gzip"):
        load(path, corpus, cache)


@pytest.mark.parametrize("name", ["v.kv", "v.model", "v.pkl"])
def test_a_file_that_is_a_pickle_is_refused(tmp_path: Path, corpus: Corpus, cache: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UsageError, match=rf"{name} .*pickle.*save_word2vec_format"):
        load(tmp_path / name, corpus, cache)


@pytest.mark.parametrize(("name", "message"), [
    ("glove-wiki-gigaword-51", r"'glove-wiki-gigaword-50'.*corpus.*word2vec-google-news-300.*path"),
    ("none.bin", r"No such file: 'none\.bin'"), ("none.kv", r"No such file: 'none\.kv'"),
    ("folder/none", r"No such file: 'folder/none'"),
    (".", r"\. is a folder"),
])
def test_an_unknown_name_or_file_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Corpus, cache: Path, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        load(name, corpus, cache)


def test_another_kind_of_file_is_a_usage_error(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    (tmp_path / "v.npy").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"word2vec.*'v\.npy'"):
        load(tmp_path / "v.npy", corpus, cache)


# ---------------------------------------------------------------- trained on the corpus


SMALL = {"dimension": 8, "min_count": 2}


def test_trained_vectors_are_those_of_the_words_seen_often_enough(corpus: Corpus, cache: Path) -> None:
    vectors = load("corpus", corpus, cache, **SMALL)
    counts = np.bincount(corpus.train.ids, minlength=len(corpus.words))
    assert ((vectors.row_of_word >= 0) == (counts >= 2)).all()
    assert vectors.dimension == 8
    assert np.abs(vectors.table_VE[1:]).max(axis=1).min() > 0
    assert vectors.table_VE.shape[0] == (counts >= 2).sum() + 1


@pytest.mark.usefixtures("all_passes")
@pytest.mark.parametrize(("words", "passes"), [
    (0, 500), (4_000, 500), (16_314, 293), (88_835, 82), (362_138, 29), (1_800_000, 9), (4_922_854, 4), (9_000_000, 4)])
def test_word2vec_reads_a_small_corpus_more_often(corpus: Corpus, words: int, passes: int) -> None:
    train = replace(corpus.train, ids=np.zeros(words, np.int32))
    assert vectors_module._passes(replace(corpus, train=train)) == passes


@pytest.mark.usefixtures("all_passes")
def test_vectors_of_a_small_corpus_are_not_parallel(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    words = np.array([f"word{n}" for n in range(140)])
    corpus = corpus_of(tmp_path / "tickets.csv", [
        (" ".join(words[(generator.geometric(0.02, 20) + 15 * (n % 4)) % 140]), n % 2) for n in range(600)], cache)
    enough = load("corpus", corpus, cache, dimension=16)
    monkeypatch.setattr(vectors_module, "MOST_PASSES", 40)
    few = load("corpus", corpus, cache, dimension=16)
    assert (few.passes, enough.passes) == (40, 450)
    assert present(enough.mean_cosine) < 0.4
    assert present(few.mean_cosine) > 0.9


def test_the_mean_cosine_is_that_of_all_pairs_of_words_with_a_direction() -> None:
    table_VE = np.random.default_rng(0).normal(0.3, 1, (9, 5)).astype(np.float32)
    table_VE[4] = 0
    vectors = Vectors("made up", table_VE, np.arange(1, 9, dtype=np.int32), [""] * 9)
    unit_VE = np.delete(table_VE[1:], 3, axis=0).astype(np.float64)
    unit_VE /= np.linalg.norm(unit_VE, axis=1, keepdims=True)
    pairs = [float(a @ b) for a, b in itertools.combinations(unit_VE, 2)]
    assert vectors.mean_cosine == pytest.approx(np.mean(pairs), abs=1e-6)
    assert vectors.mean_norm == pytest.approx(np.linalg.norm(table_VE[1:], axis=1).mean(), rel=1e-6)
    assert replace(vectors, table_VE=table_VE[:2]).mean_cosine is None
    assert replace(vectors, table_VE=np.zeros((4, 5), np.float32)).mean_cosine is None


def test_a_random_vector_depends_on_its_word_and_the_seed_only(tmp_path: Path, cache: Path) -> None:
    corpora = [corpus_of(tmp_path / f"{count}.csv", REVIEWS[:count], cache) for count in (100, 120)]
    some, more = (load("random", corpus, cache, min_count=1) for corpus in corpora)
    rows = {word: more.table_VE[row] for row, word in enumerate(more.words_V)}
    assert len(rows) > len(some.words_V)
    for row, word in enumerate(some.words_V):
        np.testing.assert_array_equal(some.table_VE[row], rows[word])
    norms = np.linalg.norm(some.table_VE[1:], axis=1)
    assert some.dimension == 300
    np.testing.assert_allclose(norms, 1, atol=0.25)  # of 300 normal draws; 1 / sqrt(600) = 0.04
    other = load("random", corpora[0], cache, min_count=1, seed=1)
    assert not np.allclose(other.table_VE[1:], some.table_VE[1:])


@pytest.mark.usefixtures("all_passes")
def test_words_that_occur_together_have_similar_vectors(tmp_path: Path, cache: Path) -> None:
    generator = np.random.default_rng(0)
    groups = [["sun", "beach", "sea"], ["snow", "ice", "ski"]]
    rows = [(" ".join([*generator.choice(groups[n % 2], 20), f"number{n}"]), n % 2) for n in range(600)]
    corpus = corpus_of(tmp_path / "r.csv", rows, cache)
    vectors = load("corpus", corpus, cache, dimension=16)

    def likeness(one: str, other: str) -> float:
        a, b = vector_of(vectors, corpus, one), vector_of(vectors, corpus, other)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert likeness("sun", "beach") > likeness("sun", "ice")
    assert likeness("snow", "ski") > likeness("snow", "sea")


def test_training_sees_the_training_split_only(tmp_path: Path, cache: Path) -> None:
    tables = []
    for number, change in enumerate(("", " extra words only here")):
        probe = corpus_of(tmp_path / "probe.csv", REVIEWS, cache)
        outside = set(probe.texts("test") + probe.texts("validation"))
        rows = [(text + change * (text in outside), label, "test" if text in outside else "train")
                for text, label in REVIEWS]
        with (tmp_path / f"{number}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label", "part"), *rows])
        corpus = load_corpus(DataConfig(name=str(tmp_path / f"{number}.csv"), split_column="part",
                                        validation_share=0), cache)
        vectors = load("corpus", corpus, cache, **SMALL)
        tables.append(dict(zip(vectors.words_V, vectors.table_VE.tolist(), strict=True)))
    assert set(tables[0]) == set(tables[1])


def test_the_seed_and_nothing_else_decides_trained_vectors(corpus: Corpus, cache: Path, tmp_path: Path) -> None:
    first = load("corpus", corpus, cache, **SMALL).table_VE
    again = load("corpus", corpus, tmp_path / "other cache", **SMALL).table_VE
    other = load("corpus", corpus, cache, **SMALL, seed=1).table_VE
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
@pytest.mark.usefixtures("all_passes")
def test_trained_vectors_are_the_same_in_another_process(corpus: Corpus, cache: Path, tmp_path: Path) -> None:
    program = ("import sys; from pathlib import Path; import numpy as np;"
               "from gru_bench.config import *; from gru_bench.data.corpus import load_corpus;"
               "from gru_bench.data.vectors import load_vectors;"
               "c = load_corpus(DataConfig(name=sys.argv[1]), Path(sys.argv[2]));"
               "v = load_vectors(EmbeddingConfig(dimension=8), c, Path(sys.argv[2]));"
               "sys.stdout.buffer.write(np.ascontiguousarray(v.table_VE).tobytes())")
    # It has its own order of sets and threads.
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "reviews.csv"), str(tmp_path / "other cache")],
                          env=os.environ | {"PYTHONHASHSEED": "1"}, capture_output=True, check=True)
    assert done.stdout == np.ascontiguousarray(load("corpus", corpus, cache, dimension=8).table_VE).tobytes()
    assert done.stderr == b""


def test_words_without_a_vector_get_one_if_training_sees_them_often_enough(
    tmp_path: Path, corpus: Corpus, cache: Path
) -> None:
    path = write_text(tmp_path / "vectors.txt", TABLE)
    plain = load(path, corpus, cache, scale=2.0)
    full = load(path, corpus, cache, scale=2.0, unknown="draw", min_count=3)
    count_W = np.bincount(corpus.train.ids, minlength=len(corpus.words))
    assert (full.row_of_word >= 0).tolist() == ((plain.row_of_word >= 0) | (count_W >= 3)).tolist()
    assert not full.table_VE[0].any()
    assert full.words_V == ["", *(word for word, row in zip(corpus.words, full.row_of_word, strict=True) if row >= 0)]
    of_word = dict(zip(full.words_V, full.table_VE, strict=True))
    for word, vector_E in zip(plain.words_V, plain.table_VE, strict=True):
        np.testing.assert_array_equal(of_word[word], vector_E)
    # The definition, as a plain computation: normal components whose mean norm is a quarter of that of the others.
    norm = np.linalg.norm(plain.table_VE[1:], axis=1).mean() / 4
    assert "dull" in of_word
    assert "dull" not in plain.words_V
    drawn_E = np.random.default_rng([0, *b"dull"]).normal(scale=norm / np.sqrt(3), size=3)
    np.testing.assert_allclose(of_word["dull"], drawn_E, rtol=1e-5)
    other = load(path, corpus, cache, scale=2.0, unknown="draw", min_count=3, seed=1)
    assert other.words_V == full.words_V
    assert (other.table_VE != full.table_VE).any()
    assert (load(path, corpus, cache, scale=2.0).table_VE == plain.table_VE).all()  # the cache keeps them apart


def test_a_min_count_that_leaves_no_word_is_refused(corpus: Corpus, cache: Path) -> None:
    with pytest.raises(DataError, match=r"embedding\.min_count.*9999"):
        load("corpus", corpus, cache, min_count=9999)


# ---------------------------------------------------------------- downloaded


def serve(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, checksum: str | None = None) -> Path:
    """Make gensim's downloader fetch from a folder, and keep what it fetches in another."""
    downloader = pytest.importorskip("gensim.downloader")
    name = "glove-wiki-gigaword-50"
    zipped = gzip.compress(content)
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.gz").write_bytes(zipped)
    (folder / name / "__init__.py").write_text("", encoding="utf-8")
    about = {"parts": 1, "file_name": f"{name}.gz", "checksum": checksum or hashlib.md5(zipped).hexdigest()}
    (folder / "list.json").write_text(json.dumps({"corpora": {}, "models": {name: about}}), encoding="utf-8")
    monkeypatch.setattr(downloader._load_info, "__defaults__", ((folder / "list.json").as_uri(), "utf-8"))
    monkeypatch.setattr(downloader, "DOWNLOAD_BASE_URL", folder.as_uri())
    monkeypatch.setattr(downloader, "BASE_DIR", str(folder / "kept"))
    return folder / "kept"


def test_a_gensim_data_name_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Corpus, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = serve(tmp_path / "server", monkeypatch, b"2 3\nthe 1 2 3\nfilm 4 5 6\n")
    told: list[str] = []
    config = EmbeddingConfig(name="glove-wiki-gigaword-50")
    vectors = load_vectors(config, corpus, cache, on_progress=told.append)
    assert vectors.table_VE.tolist() == [[0, 0, 0], [1, 2, 3], [4, 5, 6]] or vectors.words_V[1] == "film"
    assert vector_of(vectors, corpus, "the").tolist() == [1, 2, 3]
    assert told[0] == "downloading glove-wiki-gigaword-50"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "downloaded" in shown.err
    assert (kept / "glove-wiki-gigaword-50" / "glove-wiki-gigaword-50.gz").is_file()
    # From now on there need be no server.
    for path in sorted((tmp_path / "server" / "glove-wiki-gigaword-50").iterdir()):
        path.unlink()
    assert np.array_equal(load_vectors(config, corpus, tmp_path / "new cache").table_VE, vectors.table_VE)


@pytest.mark.parametrize("failure", ["no list", "no file", "wrong checksum"])
def test_a_failed_download_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Corpus, cache: Path, caplog: pytest.LogCaptureFixture,
    failure: str
) -> None:
    server = tmp_path / "server"
    serve(server, monkeypatch, b"2 3\nthe 1 2 3\n", "0" * 32 if failure == "wrong checksum" else None)
    if failure == "no list":
        (server / "list.json").unlink()
    elif failure == "no file":
        (server / "glove-wiki-gigaword-50" / "glove-wiki-gigaword-50.gz").unlink()
    with pytest.raises(RunError, match=r"'glove-wiki-gigaword-50'.*download.*connection"):
        load("glove-wiki-gigaword-50", corpus, cache)
    assert caplog.records == []


def test_the_names_offered_are_sorted_and_all_have_a_dimension() -> None:
    assert list(GENSIM_DATA) == sorted(GENSIM_DATA, key=lambda name: (name.rsplit("-", 1)[0], int(name.split("-")[-1])))


# ---------------------------------------------------------------- the cache


def test_a_second_start_reads_nothing_but_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Corpus, cache: Path
) -> None:
    first = load("corpus", corpus, cache, **SMALL)
    monkeypatch.setattr(vectors_module, "_trained", lambda *_: pytest.fail("trained again"))
    second = load("corpus", corpus, cache, **SMALL)
    assert np.array_equal(first.table_VE, second.table_VE)
    assert second.words_V == first.words_V
    # Neither the scale nor training the vectors along makes other ones.
    load("corpus", corpus, cache, **SMALL, scale=3.0, trainable=True)
    assert len(list((cache / "vectors").iterdir())) == 1


def test_the_content_of_a_file_and_each_setting_of_training_have_rows_of_their_own(
    tmp_path: Path, corpus: Corpus, cache: Path
) -> None:
    path = write_text(tmp_path / "v.txt")
    load(path, corpus, cache)
    write_text(path, TABLE | {"the": [4, 5, 6]})
    assert vector_of(load(path, corpus, cache), corpus, "the").tolist() == [4, 5, 6]
    for changed in ({"dimension": 4}, {"min_count": 3}, {"seed": 1}, {}):
        load("corpus", corpus, cache, **(SMALL | changed))
    other = corpus_of(tmp_path / "other.csv", REVIEWS[:100], cache)
    load("corpus", other, cache, **SMALL)
    load(path, other, cache)
    assert len(list((cache / "vectors").iterdir())) == 2 + 4 + 2


def test_another_split_of_the_same_words_shares_the_rows_of_a_file(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    path = write_text(tmp_path / "v.txt")
    load(path, corpus, cache)
    load(path, corpus_of(tmp_path / "reviews.csv", REVIEWS, cache, validation_share=0.2), cache)
    assert len(list((cache / "vectors").iterdir())) in (1, 2)


def test_reading_from_a_file_holds_no_more_than_is_needed(tmp_path: Path, corpus: Corpus, cache: Path) -> None:
    table = {f"word{n}": [n] * 200 for n in range(20_000)} | {"the": [1] * 200}
    path = tmp_path / "v.bin"
    path.write_bytes(binary(table, dimension=200))
    size = path.stat().st_size
    del table
    tracemalloc.start()
    load(path, corpus, cache)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Three blocks of 4 MiB at most: the last, the next, and both joined without what was used.
    assert peak < 13e6 < size


@pytest.mark.parametrize(("content", "message"), [
    (b"a 1\0 2\n", r"line 1 .*x00"), (b"a x 2\nb 1 2\n", r"line 1 .*'x'"),
    (b"1 999999\na \0\0\0\0", " 1 words of 999999 numbers.* 0 ")])
def test_what_is_no_vector_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _from_file(write(tmp_path / "v.txt", content), ["a"], lambda _: None)


def test_a_number_beyond_float32_is_an_infinity_without_a_warning(tmp_path: Path) -> None:
    # A warning would be an error here; what is infinite is refused when the table is built.
    rows = _from_file(write(tmp_path / "v.txt", b"a 1e39 2\n"), ["a"], lambda _: None)
    assert rows[0].tolist() == [np.inf, 2]
