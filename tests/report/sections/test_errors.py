"""Errors by label, category and length, recomputed from the predictions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gru_bench.document.blocks import Details, Heading, parts_in
from gru_bench.document.report import Report
from gru_bench.evidence.collect import collect
from gru_bench.report.sections.errors import errors
from gru_bench.results.runs import Predictions
from gru_bench.stats.estimate import accuracy_interval
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_validation
from tests.support.renderings import Built, column_of, figure_of, said, section_of, table_of
from tests.support.sections import build_only


def predictions(store: FakeStore, study: LoggedStudy) -> list[Predictions]:
    return [store.predicted[run.run_id, "test"] for run in study.confirms if run.complete]


def right(runs: list[Predictions]) -> np.ndarray:
    return np.stack([(p.probability_NC[:, 1] >= 0.5) == (p.label_N == 1) for p in runs])


def table_keys(report: Report) -> list[str]:
    return [table.key for table in section_of(report, "errors").tables]


def headings(report: Report) -> list[str]:
    return [block.key for block in parts_in(section_of(report, "errors").blocks) if isinstance(block, Heading)]


def test_confusion_counts_are_means_over_seeds(built: Built) -> None:
    _, studies, report = built
    models = figure_of(report, "confusion").values.groups("model").values()
    for study, found in zip(studies, models, strict=True):
        runs = [run for run in study.confirms if run.complete]
        names = ("true_negative", "false_positive", "false_negative", "true_positive")
        for row, name in zip(found.records(), names, strict=True):
            logged = [run.metrics[f"score/test_{name}"] for run in runs]
            assert row["mean count"].value == pytest.approx(np.mean(logged))
            assert row["standard deviation"].value == pytest.approx(np.std(logged, ddof=1))
        assert sum(row["mean count"].value for row in found.records()) == pytest.approx(2000)


def test_confusion_counts_of_one_seed_have_no_deviation() -> None:
    store = FakeStore()
    study = add_study(store, "alone", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(50))
    values = figure_of(build_only([study], store, errors), "confusion").values
    assert {number.value for number in values.column("standard deviation")} == {None}


def test_accuracies_by_category_add_up_to_that_of_all_reviews(built: Built) -> None:
    store, studies, report = built
    assert column_of(report, "categories-1", "Category") == ["imdb", "rotten_tomatoes"]
    sizes = [size.value for size in column_of(report, "categories-1", "Texts")]
    assert sum(sizes) == 2000
    for study, column in zip(studies, table_of(report, "categories-1").columns[2:], strict=True):
        found = [number.value for number in column_of(report, "categories-1", column.heading)]
        assert np.dot(sizes, found) / 2000 == pytest.approx(right(predictions(store, study)).mean())


@pytest.mark.parametrize(("categories", "opened"), [(6, True), (7, False)])
def test_a_long_table_of_categories_is_folded(categories: int, opened: bool) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2,
                      test_set=TestSet.draw(200, [f"part {i}" for i in range(categories)]))
    report = build_only([study], store, errors)
    (folded,) = (block for block in section_of(report, "errors").blocks
                 if isinstance(block, Details) and block.summary == "Values by category")
    assert folded.opened == opened


def test_lengths_hold_every_review_once_and_agree_with_the_predictions(built: Built) -> None:
    store, studies, report = built
    table = table_of(report, "lengths-1")
    ends = [(low.value, high.value) for low, _, high in column_of(report, "lengths-1", "Tokens")]
    assert all(low == before + 1 for (_, before), (low, _) in pairwise(ends))
    assert sum(size.value for size in column_of(report, "lengths-1", "Texts")) == 2000
    assert [column.heading for column in table.columns[2:]] == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    mentions(said(table.caption), "that Scratch GRU reads", "95 %")
    for place, study in enumerate(studies):
        runs = predictions(store, study)
        for (low, high), (_, size, *accuracies) in zip(ends, table.rows, strict=True):
            inside_N = (runs[0].tokens_N >= low) & (runs[0].tokens_N <= high)
            assert inside_N.sum() == size.value
            expected = accuracy_interval(right(runs)[:, inside_N])
            assert (accuracies[place].value, accuracies[place].low) == (expected.estimate, expected.low)


def test_reviews_of_one_length_make_no_table() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        store.predicted[key] = replace(p, tokens_N=np.full_like(p.tokens_N, 30))
    assert table_keys(build_only([study], store, errors)) == ["categories-1"]


def test_errors_are_of_the_classifiers_that_can_be_taken_where_one_is_chosen() -> None:
    store = FakeStore()
    study = with_validation(store, add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(300)))
    evidence = collect([study], store)
    report = build_only([study], store, errors)
    labels = ["Torch GRU (all seeds)", "TF-IDF", "average"]
    for key in ("categories-1", "lengths-1"):
        assert [column.heading for column in table_of(report, key).columns[2:]] == labels
    sizes = [size.value for size in column_of(report, "categories-1", "Texts")]
    for one in evidence.candidates.every:
        found = [number.value for number in column_of(report, "categories-1", one.label)]
        assert np.dot(sizes, found) / 300 == pytest.approx(one.accuracy.value)
    models = figure_of(report, "confusion").values.groups("model")
    assert len(models) == len(labels)
    for one, rows in zip(evidence.candidates.every, models.values(), strict=True):
        assert [row["mean count"].value for row in rows.records()] == one.counts_RCC[0].ravel().tolist()
