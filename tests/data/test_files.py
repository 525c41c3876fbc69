"""Folders -> files: texts by class, tables, splits, and what is left out or refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gru_bench.config import DataConfig
from gru_bench.data.cache import content_digest
from gru_bench.data.corpus import SPLITS, Corpus, load_corpus
from gru_bench.errors import DataError, UsageError
from tests.support.commands import mentions
from tests.support.reviews import load, reviews, write


def texts(folder: Path, names: Iterable[str], count: int = 30, first: int = 0) -> Path:
    """Write `count` distinct texts into the folder of each class."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for n in range(first, first + count):
            (folder / name / f"{n}_7.txt").write_text(f"Review {n} of {number}, quite {name}", encoding="utf-8")
    return folder


def classes_of(corpus: Corpus) -> dict[str, str]:
    """Return text -> its class."""
    return {text: corpus.classes[label] for name in SPLITS
            for text, label in zip(corpus.texts(name), corpus.split(name).label_N.tolist(), strict=True)}


# ---------------------------------------------------------------- texts


def test_a_folder_for_each_class_gives_a_review_for_each_text_file(tmp_path: Path) -> None:
    folder = texts(tmp_path / "mine", ["good", "bad", "so so"], 40)
    (folder / "README.md").write_text("x", encoding="utf-8")
    (folder / "urls.txt").write_text("x", encoding="utf-8")
    (folder / "good" / "notes.md").write_text("x", encoding="utf-8")
    (folder / "good" / ".hidden.txt").write_text("x", encoding="utf-8")
    corpus = load(str(folder), tmp_path / "cache", validation_share=0.3)
    assert (corpus.name, corpus.classes, corpus.notes) == ("mine", ("bad", "good", "so so"), ())
    assert classes_of(corpus) == {f"Review {n} of {number}, quite {name}": name
                                  for number, name in enumerate(("good", "bad", "so so")) for n in range(40)}


def test_the_layout_of_imdb_keeps_its_splits_and_leaves_out_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "aclImdb"
    texts(folder / "train", ["neg", "pos"])
    texts(folder / "test", ["neg", "pos"], first=100)
    (folder / "train" / "labeledBow.feat").write_text("x", encoding="utf-8")
    corpus = load(str(folder), tmp_path / "cache")
    assert (corpus.name, corpus.classes, corpus.notes) == ("aclImdb", ("neg", "pos"), ())
    assert np.bincount(corpus.test.label_N).tolist() == [30, 30]
    assert len(corpus.train) + len(corpus.validation) == 60
    # The same, by two folders.
    two = load(str(folder / "train"), tmp_path / "cache", test_name=str(folder / "test"))
    assert (two.name, two.fingerprint) == ("aclImdb", corpus.fingerprint)


def test_a_validation_folder_is_kept(tmp_path: Path) -> None:
    for first, part in enumerate(("train", "dev", "test")):
        texts(tmp_path / "mine" / part, ["a", "b"], first=100 * first)
    corpus = load(str(tmp_path / "mine"), tmp_path / "cache")
    assert {len(corpus.split(name)) for name in SPLITS} == {60}
    assert {text.split()[1][0] for text in corpus.texts("validation")} == {"1"}


def test_folders_beside_splits_and_folders_without_texts_are_left_out_each_with_its_reason(tmp_path: Path) -> None:
    folder = texts(tmp_path / "mine" / "train", ["a", "b"]).parent
    texts(folder, ["extra"], first=100)
    (folder / "train" / "empty").mkdir()
    (folder / "docs").mkdir()
    corpus = load(str(folder), tmp_path / "cache")
    assert corpus.classes == ("a", "b")
    assert corpus.notes == ("left out, because they contain no labeled texts: docs, train/empty",
                            "left out, because they are not in the folder of a split: extra")


def test_a_folder_that_holds_only_a_train_split_is_split(tmp_path: Path) -> None:
    texts(tmp_path / "mine" / "train", ["a", "b"])
    corpus = load(str(tmp_path / "mine"), tmp_path / "cache")
    assert min(len(corpus.split(name)) for name in SPLITS) > 0


def test_the_order_of_the_reviews_is_that_of_the_names_of_their_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one" / "mine", tmp_path / "two" / "mine"
    texts(one, ["a", "b"])
    texts(two, ["b", "a"])
    for folder in (one, two):
        for name in ("a", "b"):
            for file in (folder / name).iterdir():
                file.write_text(f"{file.name} {name}", encoding="utf-8")
    assert load(str(one), tmp_path / "x").fingerprint == load(str(two), tmp_path / "y").fingerprint


def test_text_files_are_read_in_their_encoding(tmp_path: Path) -> None:
    folder = texts(tmp_path / "mine", ["a", "b"])
    for file in folder.glob("*/*.txt"):
        file.write_bytes(f"caf\u00e9 {file}".encode("cp1252"))
    with pytest.raises(DataError, match=r"_7\.txt .*UTF-8.*0xe9.*data.encoding=cp1252"):
        load(str(folder), tmp_path / "cache")
    corpus = load(str(folder), tmp_path / "cache", encoding="cp1252")
    assert all(text.startswith("caf\u00e9") for text in corpus.texts("train"))


def test_a_text_file_without_a_text_is_refused(tmp_path: Path) -> None:
    folder = texts(tmp_path / "mine", ["a", "b"])
    (folder / "a" / "3_7.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(DataError, match=r"3_7\.txt .*white space"):
        load(str(folder), tmp_path / "cache")
    (folder / "a" / "3_7.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"3_7\.txt .*empty"):
        load(str(folder), tmp_path / "cache")


def test_a_class_may_be_called_after_a_split_beside_other_classes(tmp_path: Path) -> None:
    corpus = load(str(texts(tmp_path / "mine", ["valid", "dev", "broken"])), tmp_path / "cache")
    assert corpus.classes == ("broken", "dev", "valid")


# ---------------------------------------------------------------- tables


def shards(folder: Path, names: Iterable[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names):
        write(folder / name, reviews(40, first=40 * place), ("review", "sentiment"))
    return folder


def test_tables_of_a_folder_are_one_data_set_by_name(tmp_path: Path) -> None:
    folder = shards(tmp_path / "mine", ["part-0.csv", "part-1.csv", "part-2.csv"])
    whole = load(write(tmp_path / "whole.csv", reviews(120)), tmp_path / "cache")
    corpus = load(str(folder), tmp_path / "cache")
    assert (corpus.fingerprint, corpus.name) == (whole.fingerprint, "mine")
    (note,) = corpus.notes
    mentions(note, "'review'", "'sentiment'", "text column", "label column")
    assert load(str(folder), tmp_path / "cache").notes == (note,)  # from the cache


def test_names_of_tables_may_begin_with_their_split(tmp_path: Path) -> None:
    folder = shards(tmp_path / "mine", ["train-0.csv", "train-1.csv", "test-0.csv"])
    corpus = load(str(folder), tmp_path / "cache")
    assert set(corpus.texts("test")) == {text for text, _ in reviews(40, first=80)}
    shards(folder, ["other.csv"])
    with pytest.raises(UsageError, match=r"split.*test-0\.csv.*other\.csv.*rename"):
        load(str(folder), tmp_path / "cache")


def test_folders_of_tables_may_be_the_splits(tmp_path: Path) -> None:
    shards(tmp_path / "mine" / "train", ["0.csv", "1.csv"])
    write(shards(tmp_path / "mine" / "test", []) / "0.csv", reviews(20, first=500), ("review", "sentiment"))
    corpus = load(str(tmp_path / "mine"), tmp_path / "cache")
    assert set(corpus.texts("test")) == {text for text, _ in reviews(20, first=500)}


def test_numbers_are_named_over_all_files(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for part, labels in (("0", ("1.0", "2.0")), ("1", ("10", "2"))):
        write(tmp_path / "mine" / f"{part}.csv", [(f"{text} {part}", labels[label]) for text, label in reviews(40)])
    corpus = load(str(tmp_path / "mine"), tmp_path / "cache")
    assert corpus.classes == ("1", "2", "10")
    assert sum((np.bincount(corpus.split(name).label_N, minlength=3) for name in SPLITS),
               start=np.zeros(3, int)).tolist() == [20, 40, 20]


def test_another_content_class_or_file_name_is_read_again(tmp_path: Path) -> None:
    folder = texts(tmp_path / "mine", ["a", "b"])
    first = load(str(folder), tmp_path / "cache")
    assert load(str(folder), tmp_path / "cache").folder == first.folder
    (folder / "a" / "3_7.txt").write_text("Another review", encoding="utf-8")
    second = load(str(folder), tmp_path / "cache")
    (folder / "a").rename(folder / "c")
    third = load(str(folder), tmp_path / "cache")
    (folder / "c" / "3_7.txt").unlink()
    fourth = load(str(folder), tmp_path / "cache")
    assert len({corpus.folder for corpus in (first, second, third, fourth)}) == 4
    assert (second.classes, third.classes) == (("a", "b"), ("b", "c"))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("where", [".", "train"])
def test_a_folder_of_texts_and_tables_is_refused(tmp_path: Path, where: str) -> None:
    folder = texts(tmp_path / "mine" / where, ["a", "b"])
    write(folder / "x.csv", reviews(10))
    with pytest.raises(UsageError, match=r"both.* \S*a/0_7\.txt and \S*x\.csv"):
        load(str(tmp_path / "mine"), tmp_path / "cache")


def test_tables_beside_folders_of_splits_are_refused(tmp_path: Path) -> None:
    texts(tmp_path / "mine" / "train", ["a", "b"])
    write(tmp_path / "mine" / "x.csv", reviews(10))
    with pytest.raises(UsageError, match=r"both.* train/a/0_7\.txt and x\.csv"):
        load(str(tmp_path / "mine"), tmp_path / "cache")


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"\.csv.*\.txt.*mine"):
        load(str(tmp_path / "mine"), tmp_path / "cache")
    (tmp_path / "x.zip").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"CSV.*'x\.zip': unpack"):
        load(str(tmp_path / "x.zip"), tmp_path / "cache")


def test_a_split_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        texts(tmp_path / "mine" / part, ["a", "b"])
    folder, table = str(tmp_path / "mine"), write(tmp_path / "x.csv", reviews(10))
    with pytest.raises(UsageError, match=r"test split.*mine.*data.test_name.*x\.csv"):
        load(folder, tmp_path / "cache", test_name=table)
    with pytest.raises(UsageError, match=r"one split.*mine"):
        load(table, tmp_path / "cache", test_name=folder)
    shards(tmp_path / "tables", ["train.csv", "test.csv"])
    with pytest.raises(UsageError, match=r"splits.*once.*data\.split_column='part'"):
        load_corpus(DataConfig(name=str(tmp_path / "tables"), split_column="part"), tmp_path / "cache")


@pytest.mark.parametrize("setting", ["category_column", "split_column"])
def test_a_folder_of_texts_has_no_columns(tmp_path: Path, setting: str) -> None:
    folder = texts(tmp_path / "mine", ["a", "b"])
    with pytest.raises(UsageError, match=rf"data\.{setting} .*folder of texts.*mine"):
        load(str(folder), tmp_path / "cache", **{setting: "kind"})


def test_a_text_file_that_is_a_device_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts(tmp_path, ["good", "bad"])

    def of_a_file(path: Path, cache: Path) -> str:
        assert path.is_file()  # opening a pipe would wait for ever
        return content_digest(path, cache)

    monkeypatch.setattr("gru_bench.data.corpus.content_digest", of_a_file)
    odd = tmp_path / "bad" / "2.txt"
    no_file = r"2\.txt' is a link that leads to no file"
    for target, message in ((os.devnull, r"2\.txt' is a pipe or a device"), ("nowhere", no_file), ("2.txt", no_file)):
        odd.symlink_to(target)
        with pytest.raises(UsageError, match=message):
            load_corpus(DataConfig(name=str(tmp_path)))
        odd.unlink()


@pytest.mark.parametrize("folder", [False, True])
def test_a_table_that_is_a_pipe_or_a_link_to_itself_is_named(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "mine.csv"
    name = str(tmp_path if folder else path)
    path.symlink_to(path)
    with pytest.raises(UsageError, match=r"mine\.csv' is a link that leads to no file"):
        load(name, tmp_path / "cache")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match=r"mine\.csv' is a pipe or a device"):
        load(name, tmp_path / "cache")
