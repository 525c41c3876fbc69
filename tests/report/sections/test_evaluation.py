"""The rows of the evaluation: scores, baselines, evidence levels and cautions, recomputed from the predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.evaluation import statistics
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, correct, three_models
from tests.support.renderings import Built, all_said
from tests.support.values import present


def test_rows_hold_what_the_predictions_say(built: Built) -> None:
    store, studies, report = built
    assert [row.label for row in report.rows] == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for study, row in zip(studies, report.rows, strict=True):
        right_RN = correct(store, study.confirms)
        expected = statistics.accuracy_interval(right_RN)
        assert row.accuracy.value == expected.estimate
        assert (row.accuracy.low, row.accuracy.high) == (expected.low, expected.high)
        assert row.deviation.value == statistics.seed_deviation(right_RN)
        runs = [run for run in study.confirms if run.complete]
        assert row.seeds.value == 5
        assert row.accuracy.runs == tuple(run.run_id for run in runs)
        assert row.accuracy.examples == 2000
        assert row.f1.value == pytest.approx(np.mean([run.metrics["score/test_f1"] for run in runs]), abs=1e-6)
        assert row.train_seconds.value == pytest.approx(np.mean([run.metrics["time/train_seconds"] for run in runs]))
        for cell, name in zip(
            row.confusion, ("true_negative", "false_positive", "false_negative", "true_positive"), strict=True
        ):
            assert cell.value == pytest.approx(np.mean([run.metrics[f"score/test_{name}"] for run in runs]))
        assert sum(present(cell.value) for cell in row.confusion) == pytest.approx(2000)


def test_a_baseline_above_is_said(built: Built) -> None:
    _, _, report = built
    text = all_said(report.below_baseline)
    assert "Scratch GRU (86.1 %), Torch GRU (86.4 %) are below the baseline TF-IDF + logistic regression" in text
    assert "Bidirectional" not in text
    assert "majority" not in text


def test_a_baseline_inside_or_beyond_the_interval_is_said() -> None:
    store = FakeStore()
    low = add_study(store, "low", {"torch": -0.3})
    even = add_study(store, "even", {"torch": 0.08})
    text = all_said(build([low], store).below_baseline)
    assert "is below the baseline TF-IDF + logistic regression (87.3 %)" in text
    assert "its whole interval lies below" in text
    row = build([even], store).rows[0].accuracy
    assert present(row.low) < 0.8731 < present(row.value)
    text = all_said(build([even], store).below_baseline)
    assert "is above the baseline TF-IDF + logistic regression (87.3 %) on the same split, but the" in text
    under = add_study(store, "under", {"torch": 0.03})
    row = build([under], store).rows[0].accuracy
    assert present(row.value) < 0.8731 < present(row.high)
    text = all_said(build([under], store).below_baseline)
    assert "is below the baseline TF-IDF + logistic regression (87.3 %) on the same split, but the" in text


def test_a_model_that_shows_the_same_as_a_baseline_is_neither_above_nor_below() -> None:
    store = FakeStore()
    study = add_study(store, "even", {"torch": 0.08}, test_set=TestSet.draw(400))
    level = build([study], store).rows[0].accuracy
    for shift in (-0.0003, 0.0, 0.0003):
        shown = round(present(level.value), 3)
        baselines = (replace(present(study.summary).baselines[1], test_accuracy=shown + shift),)
        even = replace(study, summary=replace(present(study.summary), baselines=baselines))
        text = all_said(build([even], store).below_baseline)
        assert text.replace("\u00a0", " ") == (
            f"Torch GRU ({level.text} %) is level with the baseline TF-IDF + logistic regression ({level.text} %) on "
            "the same split."
        )


@pytest.mark.parametrize(("seeds", "words"), [
    ((5, 10), "Scratch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at least 10). Torch "
              "GRU: enough seeds to publish a claim (at least 10)."),
    ((9, 3), "Scratch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at least 10)."),
    ((5, 6), "Scratch GRU and Torch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at "
             "least 10)."),
])
def test_it_is_said_whether_seeds_carry_a_verdict_or_a_claim(seeds: tuple[int, ...], words: str) -> None:
    store = FakeStore()
    for (name, count) in zip(("scratch", "torch"), seeds, strict=True):
        add_study(store, name, {name: 0.0}, seeds=count, test_set=TestSet.draw(300))
    assert words in all_said(build(store.by_experiment["movie-reviews"], store).summary)
    few, studies = three_models(seeds=3, test_set=TestSet.draw(300))
    assert "enough seeds" not in all_said(build(studies, few).summary)


def test_missing_metrics_are_dashes_and_never_zero() -> None:
    store, (study, *_) = three_models()
    bare = tuple(replace(run, metrics={}) for run in study.confirms)
    report = build([replace(study, confirms=bare)], store)
    row = report.rows[0]
    assert [n.text for n in (row.parameters, row.train_seconds, row.tokens_per_second)] == [MISSING] * 3
    assert row.accuracy.value is not None
    assert report.curves[0].best.text == MISSING


@pytest.mark.parametrize("size", [199, 200])
def test_few_test_reviews_are_said_up_to_two_hundred(size: int) -> None:
    store, studies = three_models(test_set=TestSet.draw(size))
    assert ("There are few test reviews: 199" in all_said(build(studies, store).cautions)) == (size == 199)


def test_the_seeds_stand_beside_their_deviation(built: Built) -> None:
    store, studies, report = built
    for study, row in zip(studies, report.rows, strict=True):
        accuracies = correct(store, study.confirms).mean(1)
        assert [end.value for end in row.extremes] == [accuracies.min(), accuracies.max()]
        assert row.extremes[0].method == "lowest of 5 seeds"
    store, studies = three_models(seeds=1)
    assert all(row.extremes == () for row in build(studies, store).rows)


def test_tuned_settings_are_shown_as_they_ran(built: Built) -> None:
    _, _, report = built
    shown = {s.name: s.value if isinstance(s.value, str) else s.value.value for s in report.rows[0].settings}
    assert shown == {
        "learning rate": BEST["training.lr"], "hidden size": 250, "pooling": "meanmax", "dropout": 0.31,
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logged_value_that_is_not_a_number_is_shown_as_missing(value: float) -> None:
    store, studies = three_models(test_set=TestSet.draw(200))
    odd = {"size/parameters": value, "score/best_epoch": value, "time/train_seconds": value}
    studies = [replace(study, confirms=tuple(
        replace(run, metrics={
            key: value for key, value in {**run.metrics, **odd}.items() if key != "score/val_accuracy"})
        for run in study.confirms)) for study in studies]
    found = build(studies, store).numbers()
    assert {number.text for key, number in found.items() if key.endswith(".parameters")} == {MISSING}
