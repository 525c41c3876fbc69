"""The evaluation: scores, costs and baselines, recomputed from the predictions and from what the runs logged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.evaluation import statistics
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, correct, summarized, three_models
from tests.support.renderings import Built, Rendered, all_said, column_of, said, section_of, table_of
from tests.support.values import present


def below_baseline(studies: list[LoggedStudy], store: FakeStore) -> str:
    """Return what the summary says of baselines."""
    return all_said(section_of(build(studies, store), "evaluation").summary)


def test_tables_hold_what_the_predictions_say(built: Built) -> None:
    store, studies, report = built
    assert column_of(report, "scores", "Model") == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for place, study in enumerate(studies):
        def cell(table: str, heading: str, place: int = place) -> Any:
            return column_of(report, table, heading)[place]

        right_RN = correct(store, study.confirms)
        runs = [run for run in study.confirms if run.complete]
        expected = statistics.accuracy_interval(right_RN)
        accuracy = cell("evaluation", "Accuracy")
        assert accuracy.value == expected.estimate
        assert (accuracy.low, accuracy.high) == (expected.low, expected.high)
        assert accuracy.runs == tuple(run.run_id for run in runs)
        assert accuracy.examples == 2000
        assert cell("evaluation", "Seeds").value == 5
        # Below the deviation stand the lowest and the highest seed.
        deviation, below = cell("evaluation", "Seed deviation")
        assert deviation.value == statistics.seed_deviation(right_RN)
        lowest, _, highest = below.parts
        assert (lowest.value, highest.value) == (right_RN.mean(1).min(), right_RN.mean(1).max())
        assert lowest.method == "lowest of 5 seeds"
        for table, heading, key, scale in (
            ("evaluation", "F1", "score/test_f1", 1), ("scores", "Precision", "score/test_precision", 1),
            ("scores", "ROC area", "score/test_roc_auc", 1), ("scores", "PR area", "score/test_average_precision", 1),
            ("scores", "Loss", "score/test_loss", 1), ("scores", "Calibration", "score/test_calibration_error", 1),
            ("cost", "Training", "time/train_seconds", 1), ("cost", "Tokens/s", "time/tokens_per_second", 1),
            ("cost", "Memory", "size/peak_memory_bytes", 1e6),
        ):
            values = [run.metrics[key] / scale for run in runs]
            shown = cell(table, heading)
            assert shown.value == pytest.approx(np.mean(values), abs=1e-6), heading
            if heading != "F1":
                assert (shown.low, shown.high) == pytest.approx((min(values), max(values)), abs=1e-6)
        # Times and sizes stand with their lowest and highest in the table of costs alone.
        assert cell("evaluation", "Training") == (cell("cost", "Training"),)
        assert cell("evaluation", "Parameters") == cell("cost", "Parameters")
        assert cell("cost", "Backend") == cell("evaluation", "Backend") == runs[0].backend


def test_times_stand_at_their_decimal_points_on_paper(three: Rendered) -> None:
    table = three.files["tables/evaluation.tex"]
    assert "S[table-format=<3.1]" in table
    assert "& {Train{,}" in table


def test_one_seed_has_no_lowest_and_highest() -> None:
    store, studies = three_models(seeds=1, test_set=TestSet.draw(300))
    deviations = column_of(build(studies, store), "evaluation", "Seed deviation")
    assert [deviation.text for deviation in deviations] == [MISSING] * 3


def test_a_baseline_above_is_said(built: Built) -> None:
    store, studies, report = built
    text = below_baseline(studies, store)
    assert text in all_said(report.summary)
    assert "Scratch GRU (86.1 %), Torch GRU (86.4 %) are below the baseline TF-IDF + logistic regression" in text
    assert "Bidirectional" not in text
    assert "majority" not in text
    context = table_of(report, "evaluation").context
    assert [row[0] for row in context] == ["majority class (baseline)", "TF-IDF + logistic regression (baseline)"]
    assert [row[2].text for row in context] == ["50.1", "87.3"]


def test_a_baseline_inside_or_beyond_the_interval_is_said() -> None:
    store = FakeStore()
    low, even, under = (add_study(store, name, {"torch": skill})
                        for name, skill in (("low", -0.3), ("even", 0.08), ("under", 0.03)))
    text = below_baseline([low], store)
    assert "is below the baseline TF-IDF + logistic regression (87.3 %)" in text
    assert "its whole interval lies below" in text
    accuracy = build([even], store).numbers()["even-torch.accuracy"]
    assert present(accuracy.low) < 0.8731 < present(accuracy.value)
    assert "is above the baseline TF-IDF + logistic regression (87.3 %) on the same split, but the" in below_baseline(
        [even], store)
    accuracy = build([under], store).numbers()["under-torch.accuracy"]
    assert present(accuracy.value) < 0.8731 < present(accuracy.high)
    assert "is below the baseline TF-IDF + logistic regression (87.3 %) on the same split, but the" in below_baseline(
        [under], store)


def test_a_model_that_shows_the_same_as_a_baseline_is_neither_above_nor_below() -> None:
    store = FakeStore()
    study = add_study(store, "even", {"torch": 0.08}, test_set=TestSet.draw(400))
    level = build([study], store).numbers()["even-torch.accuracy"]
    for shift in (-0.0003, 0.0, 0.0003):
        shown = round(present(level.value), 3)
        baselines = (replace(present(study.summary).baselines[1], test_accuracy=shown + shift),)
        assert below_baseline([summarized(study, baselines=baselines)], store) == (
            f"Torch GRU ({level.text} %) is level with the baseline TF-IDF + logistic regression ({level.text} %) on "
            "the same split."
        )


def test_missing_metrics_are_dashes_and_never_zero() -> None:
    store, (study, *_) = three_models()
    bare = tuple(replace(run, metrics={}) for run in study.confirms)
    report = build([replace(study, confirms=bare)], store)
    (parameters,), (seconds,), (speed,) = (
        column_of(report, "evaluation", heading)[0] for heading in ("Parameters", "Training", "Tokens/s"))
    assert [n.text for n in (parameters, seconds, speed)] == [MISSING] * 3
    assert column_of(report, "evaluation", "Accuracy")[0].value is not None
    # Without times there is nothing to set against accuracy.
    assert "cost" not in [figure.name for figure in report.figures]


def test_tuned_settings_are_shown_as_they_ran(built: Built) -> None:
    label, settings = column_of(built.report, "evaluation", "Model")[0]
    assert label == "Scratch GRU"
    assert said((settings,)) == "learning rate 0.00137 · hidden size 250 · pooling meanmax · dropout 0.31"
    assert built.report.numbers()["scratch-scratch.setting.training-lr"].value == BEST["training.lr"]


def test_of_a_model_that_was_not_tuned_the_main_settings_are_shown() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0}, search=False, test_set=TestSet.draw(300))
    _, settings = column_of(build([study], store), "evaluation", "Model")[0]
    assert said((settings,)).startswith("learning rate 0.001 · hidden size 100 · layers 1 · pooling ")


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
