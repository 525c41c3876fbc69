"""Groups: each split keeps whole groups and its share of the classes, and every row keeps its name and its group."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gru_bench.data.corpus import SPLITS, Corpus
from gru_bench.data.groups import LEAST_GROUPS, TURNED_OFF
from gru_bench.errors import DataError, UsageError
from tests.support.reviews import load, reviews, write

HEADER = ("text", "label", "film")


def films(count: int = 1_200, size: int = 12) -> list[tuple[str, int, str]]:
    """Return reviews of films, each of one class."""
    return [(text, n // size % 2, f"film {n // size}") for n, (text, _) in enumerate(reviews(count))]


def by_film(tmp_path: Path, rows: list[tuple[Any, ...]] | None = None, **settings: Any) -> Corpus:
    return load(write(tmp_path / "films.csv", rows or films(), HEADER), tmp_path / "cache",
                **{"group_column": "film"} | settings)


def groups(corpus: Corpus, split: str) -> set[str]:
    found = corpus.split(split).group_N
    assert found is not None
    return set(found.tolist())


def test_a_group_is_on_one_side_of_every_split(tmp_path: Path) -> None:
    corpus = by_film(tmp_path)
    train, validation, test = (groups(corpus, split) for split in SPLITS)
    assert not train & validation
    assert not test & (train | validation)
    assert len(train | validation | test) == 100
    assert corpus.groups == {"train": len(train), "validation": len(validation), "test": len(test)}
    assert corpus.seen_groups == (0, 0)
    assert corpus.has_strata
    label_of = {text: (label, film) for text, label, film in films()}
    for split in SPLITS:
        part, texts = corpus.split(split), corpus.texts(split)
        assert part.group_N is not None
        found = zip(part.label_N.tolist(), part.group_N.tolist(), strict=True)
        assert list(found) == [label_of[text] for text in texts]


def test_the_shares_of_the_splits_and_of_the_classes_are_kept(tmp_path: Path) -> None:
    sizes = np.random.default_rng(0).integers(1, 30, 200)
    group_N = np.repeat(np.arange(200), sizes)
    label_N = (group_N % 4 == 0).astype(int)
    rows = [(text, label, f"film {group}") for (text, _), label, group in zip(
        reviews(len(group_N)), label_N.tolist(), group_N.tolist(), strict=True)]
    corpus = by_film(tmp_path, rows, test_share=0.2, validation_share=0.1)
    for split, share in (("test", 0.2), ("validation", 0.1)):
        counts = np.bincount(corpus.split(split).label_N, minlength=2)
        wanted = share * np.bincount(label_N)
        assert (abs(counts - wanted) <= 15).all()  # half the largest group


@pytest.mark.parametrize("seed", range(8))
def test_a_group_larger_than_a_split_leaves_no_class_without_its_share(tmp_path: Path, seed: int) -> None:
    rows = [(text, n % 2, f"film {n % 2} {max(0, n - 600) // 12}") for n, (text, _) in enumerate(reviews(1_200))]
    corpus = by_film(tmp_path, rows, split_seed=seed)
    for split in ("validation", "test"):
        assert (abs(np.bincount(corpus.split(split).label_N, minlength=2) - 60) <= 6).all()


def test_a_category_of_one_group_loses_no_class_and_the_whole_keeps_its_share(tmp_path: Path) -> None:
    rows = [(text, n % 2, f"film {n // 10}", f"kind {n // 10}") for n, (text, _) in enumerate(reviews(1_000))]
    path = write(tmp_path / "kinds.csv", rows, ("text", "label", "film", "kind"))
    corpus = load(path, tmp_path / "cache", group_column="film", category_column="kind")
    assert [len(corpus.split(split)) for split in SPLITS] == [800, 100, 100]


def test_the_split_seed_draws_other_groups_and_the_order_of_the_rows_none(tmp_path: Path) -> None:
    one, other = by_film(tmp_path), by_film(tmp_path, split_seed=1)
    assert groups(one, "test") != groups(other, "test")
    again = by_film(tmp_path, films()[::-1])
    assert {split: groups(again, split) for split in SPLITS} == {split: groups(one, split) for split in SPLITS}


def test_another_test_share_moves_no_group_between_train_and_validation(tmp_path: Path) -> None:
    few, many = by_film(tmp_path, test_share=0.1), by_film(tmp_path, test_share=0.3)
    assert groups(few, "test") < groups(many, "test")
    assert groups(few, "validation") == groups(many, "validation")


def test_groups_are_part_of_the_identity_of_the_data(tmp_path: Path) -> None:
    grouped, plain = by_film(tmp_path), by_film(tmp_path, group_column=None)
    assert grouped.fingerprint != plain.fingerprint
    assert plain.test.group_N is None
    assert plain.groups == {}
    renamed = by_film(tmp_path, [(text, label, f"{film}!") for text, label, film in films()])
    assert renamed.fingerprint != grouped.fingerprint


def test_groups_of_one_text_each_are_none(tmp_path: Path) -> None:
    alone = [(text, label, f"film {n}") for n, (text, label) in enumerate(reviews(200))]
    grouped = by_film(tmp_path, [*alone, alone[0]])
    assert grouped.test.group_N is None
    assert grouped.fingerprint == by_film(tmp_path, [*alone, alone[0]], group_column=None).fingerprint


def test_a_row_without_a_group_stands_alone(tmp_path: Path) -> None:
    rows = [(text, label, film if n % 2 else ("", "NaN", " ")[n % 3]) for n, (text, label, film) in enumerate(films())]
    corpus = by_film(tmp_path, rows)
    sizes = Counter(name for split in SPLITS for name in corpus.split(split).group_N.tolist())  # type: ignore[union-attr]
    assert sum(size == 1 for size in sizes.values()) == 600
    assert sum(size == 6 for size in sizes.values()) == 100


@pytest.mark.parametrize("name", ["group", "Movie", "products", "author_id", "user", "doc_id",
                                  *(one for name in ("customer", "client", "account", "patient")
                                    for one in (name, f"{name}_id"))])
def test_the_column_of_a_usual_name_is_found_and_said(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.csv", films(), ("text", "label", name))
    corpus = load(path, tmp_path / "cache")
    assert corpus.groups["test"] == len(groups(corpus, "test"))
    assert any(repr(name) in note and "group column" in note for note in corpus.notes)
    assert f"{corpus.groups['test']} groups of column {name!r}" in corpus.sizes
    assert load(path, tmp_path / "cache", group_column=name).notes == ()


@pytest.mark.parametrize("off", [None, "none"])
def test_groups_that_are_turned_off_are_warned_of(tmp_path: Path, off: str | None) -> None:
    path = write(tmp_path / "a.csv", films(), ("text", "label", "movie"))
    corpus = load(path, tmp_path / "cache", group_column=off)
    assert (corpus.groups, corpus.group_column, corpus.notes) == ({}, "", (f"warning: {TURNED_OFF}",))


def test_a_found_column_of_few_values_or_one_of_several_is_not_read(tmp_path: Path) -> None:
    few = [(text, label, f"arm {n % (LEAST_GROUPS - 1)}") for n, (text, label) in enumerate(reviews(400))]
    path = write(tmp_path / "few.csv", few, ("text", "label", "group"))
    corpus = load(path, tmp_path / "cache")
    assert corpus.groups == {}
    assert any("19" in note and "group column" in note for note in corpus.notes)
    assert load(path, tmp_path / "cache", group_column="group").groups != {}
    both = write(tmp_path / "both.csv", [(*row, "x") for row in films()], ("text", "label", "product", "user"))
    corpus = load(both, tmp_path / "cache")
    assert corpus.groups == {}
    assert any("several" in note and "group column" in note for note in corpus.notes)


def test_rows_without_a_group_are_no_groups_that_are_counted(tmp_path: Path) -> None:
    few = [(text, label, f"arm {n % 8}" if n % 3 else "") for n, (text, label) in enumerate(reviews(400))]
    corpus = load(write(tmp_path / "few.csv", few, ("text", "label", "group")), tmp_path / "cache")
    assert corpus.groups == {}
    assert any("only 8" in note for note in corpus.notes)


def test_a_test_file_without_groups_leaves_the_column_of_the_others(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", reviews(20, 5_000))
    path = write(tmp_path / "a.csv", films(), ("text", "label", "product"))
    assert load(path, tmp_path / "cache", test_name=test).group_column == "product"


def test_a_column_of_another_role_is_no_column_of_groups(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", films(), ("text", "label", "product"))
    corpus = load(path, tmp_path / "cache", category_column="product")
    assert corpus.groups == {}
    assert set(corpus.test.category_N) != {""}


def test_a_given_test_split_keeps_its_groups_and_shared_ones_are_counted(tmp_path: Path) -> None:
    train = films()
    test = [(f"{text} again", label, film) for text, label, film in train[:24]]
    test += [(f"{text} anew", label, f"new {film}") for text, label, film in train[:36]]
    path = write(tmp_path / "test.csv", test, HEADER)
    corpus = by_film(tmp_path, train, test_name=path)
    assert len(corpus.test) == 60
    assert corpus.seen_groups == (2, 24)
    assert not corpus.has_strata
    assert not groups(corpus, "train") & groups(corpus, "validation")


def test_a_split_of_a_single_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at least 2 groups.*'film 0'.*group column"):
        by_film(tmp_path, [(text, label, "film 0") for text, label in reviews(100)])
    path = write(tmp_path / "test.csv", [(f"{text} new", label, "one") for text, label in reviews(20)], HEADER)
    with pytest.raises(DataError, match=r"test.*at least 2 groups.*'one'.*group column"):
        by_film(tmp_path, films(), test_name=path)


def test_an_unknown_column_and_a_name_too_long_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"group column 'fim'.*film"):
        by_film(tmp_path, group_column="fim")
    with pytest.raises(DataError, match=r" of 1,200\): .*group column"):
        by_film(tmp_path, [(text, label, "x" * 251) for text, label, _ in films()])
    with pytest.raises(DataError, match=r"row 2 contains.*id column"):
        by_film(tmp_path, [(text, label, f"x{n}" if n != 1 else "") for n, (text, label, _) in enumerate(films())],
                group_column=None, id_column="film")


# ---------------------------------------------------------------- names of rows


def names(corpus: Corpus) -> dict[str, str]:
    return {text: name for split in SPLITS
            for text, name in zip(corpus.texts(split), corpus.split(split).name_N.tolist(), strict=True)}


def test_rows_are_counted_in_their_file(tmp_path: Path) -> None:
    rows = reviews(100)
    corpus = load(write(tmp_path / "a.csv", [rows[0], *rows]), tmp_path / "cache")
    assert names(corpus) == {text: str(1 if n == 0 else n + 2) for n, (text, _) in enumerate(rows)}
    test = write(tmp_path / "test.csv", reviews(20, 500))
    both = load(str(tmp_path / "a.csv"), tmp_path / "cache", test_name=test)
    assert both.test.name_N.tolist() == [str(n) for n in range(1, 21)]


def test_rows_of_several_files_and_texts_of_a_folder_are_called_by_their_file(tmp_path: Path) -> None:
    rows = reviews(100)
    folder = tmp_path / "tables"
    folder.mkdir()
    write(folder / "a.csv", rows[:60])
    write(folder / "b.csv", rows[60:])
    assert names(load(str(folder), tmp_path / "cache")) == {
        text: f"a.csv:{n + 1}" if n < 60 else f"b.csv:{n - 59}" for n, (text, _) in enumerate(rows)}
    for n, (text, label) in enumerate(rows):
        (tmp_path / "texts" / str(label)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / str(label) / f"{n}.txt").write_text(text, encoding="utf-8")
    assert names(load(str(tmp_path / "texts"), tmp_path / "cache")) == {
        text: f"{label}/{n}.txt" for n, (text, label) in enumerate(rows)}


def test_renamed_files_rename_their_rows(tmp_path: Path) -> None:
    rows = reviews(100)
    for n, (text, label) in enumerate(rows):
        (tmp_path / "texts" / str(label)).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / str(label) / f"{n}.txt").write_text(text, encoding="utf-8")
    before = load(str(tmp_path / "texts"), tmp_path / "cache")
    for path in list((tmp_path / "texts").rglob("*.txt")):
        path.rename(path.with_name(f"new-{path.name}"))
    after = load(str(tmp_path / "texts"), tmp_path / "cache")
    assert after.fingerprint == before.fingerprint
    assert names(after) == {text: f"{label}/new-{n}.txt" for n, (text, label) in enumerate(rows)}


def test_rows_are_called_by_paths_in_the_folder_where_each_side_was_found(tmp_path: Path) -> None:
    rows = reviews(200)
    for n, (text, label) in enumerate(rows):
        folder = tmp_path / ("train" if n < 150 else "held-out") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n // 2}.txt").write_text(text, encoding="utf-8")
    corpus = load(str(tmp_path / "train"), tmp_path / "cache", test_name=str(tmp_path / "held-out"))
    assert names(corpus) == {text: f"{label}/{n // 2}.txt" for n, (text, label) in enumerate(rows)}
    for name, some in (("a", rows[:100]), ("b", rows[100:])):
        (tmp_path / "shops").mkdir(exist_ok=True)
        write(tmp_path / "shops" / f"{name}.csv", some)
    corpus = load(str(tmp_path / "shops"), tmp_path / "cache")
    assert names(corpus) == {text: f"{'ab'[n // 100]}.csv:{n % 100 + 1}" for n, (text, _) in enumerate(rows)}
    assert corpus.notes == ()


def test_a_column_names_the_rows_and_changes_nothing_else(tmp_path: Path) -> None:
    rows = [(text, label, f"r{n:03}") for n, (text, label) in enumerate(reviews(100))]
    path = write(tmp_path / "a.csv", rows, ("text", "label", "key"))
    corpus = load(path, tmp_path / "cache", id_column="key")
    assert names(corpus) == {text: key for text, _, key in rows}
    assert corpus.fingerprint == load(path, tmp_path / "cache").fingerprint
    with Path(path).open(encoding="utf-8") as file:
        of_file = {row["key"]: row["text"] for row in csv.DictReader(file)}
    assert [of_file[name] for name in corpus.test.name_N.tolist()] == corpus.texts("test")


def test_reviews_of_a_split_with_the_same_id_are_counted(tmp_path: Path) -> None:
    rows = [(text, label, f"r{n // 2:03}") for n, (text, label) in enumerate(reviews(100))]
    corpus = load(write(tmp_path / "a.csv", rows, ("text", "label", "key")), tmp_path / "cache", id_column="key")
    expected = sum(corpus.split(split).name_N.tolist().count(name) > 1
                   for split in SPLITS for name in corpus.split(split).name_N.tolist())
    (note,) = corpus.notes
    assert note.startswith(f"{expected} texts share an id")
    of_each = [(text, label, f"r{n:03}") for n, (text, label) in enumerate(reviews(100))]
    test = write(tmp_path / "test.csv", [(f"other {text}", *rest) for text, *rest in of_each[:20]],
                 ("text", "label", "key"))
    path = write(tmp_path / "b.csv", [*of_each, of_each[0]], ("text", "label", "key"))
    assert load(path, tmp_path / "cache", id_column="key", test_name=test).notes == ()  # each split has its own


def test_what_is_in_no_split_is_counted_where_the_sizes_are_printed(tmp_path: Path) -> None:
    rows = [*reviews(100), ("Review 0 is word0 word0", 1), (reviews(1)[0][0], 1)]
    corpus = load(write(tmp_path / "a.csv", rows), tmp_path / "cache", limit=60)
    assert corpus.held_back == 41
    assert "1 exact repeats removed" in corpus.sizes
    assert "1 of the removed rows had another label" in corpus.sizes
    assert "41 left out by data.limit" in corpus.sizes
    assert "groups" in by_film(tmp_path).sizes
