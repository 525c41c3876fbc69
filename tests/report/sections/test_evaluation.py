"""The results: scores, costs and baselines, recomputed from the predictions and from what the runs logged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gru_bench.config import MetricName
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.sections.evaluation import _f1_columns, evaluation
from gru_bench.report.sections.methods import methods
from gru_bench.results.runs import Predictions
from gru_bench.stats import metrics
from gru_bench.stats.estimate import Values, accuracy_interval
from gru_bench.stats.estimate import deviation as without_noise
from tests.support.commands import mentions
from tests.support.fake_store import (
    BEST,
    FakeStore,
    TestSet,
    add_study,
    correct,
    of_classes,
    three_models,
    with_params,
)
from tests.support.renderings import Built, all_said, column_of, said, table_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only

LINEAR = "TF-IDF + logistic regression"


def test_the_tables_contain_the_scores_of_the_predictions(built: Built) -> None:
    store, studies, report = built
    assert column_of(report, "scores", "Model") == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for place, study in enumerate(studies):
        def cell(table: str, heading: str, place: int = place) -> Any:
            return column_of(report, table, heading)[place]

        right_RN = correct(store, study.confirms)
        runs = [run for run in study.confirms if run.complete]
        expected = accuracy_interval(right_RN)
        accuracy = cell("results", "Accuracy")
        assert accuracy.value == expected.estimate
        assert (accuracy.low, accuracy.high) == (expected.low, expected.high)
        assert accuracy.runs == tuple(run.run_id for run in runs)
        assert accuracy.examples == 2000
        seeds, tier = cell("results", "Seeds")
        assert (seeds.value, said(tier.parts)) == (5, "for a verdict")
        # Below the deviation stand the lowest and the highest seed.
        deviation, below = cell("results", "Between-seed SD")
        assert deviation.value == without_noise(Values.of_correct(right_RN))
        lowest, _, highest = below.parts
        assert (lowest.value, highest.value) == (right_RN.mean(1).min(), right_RN.mean(1).max())
        assert lowest.method == "lowest of 5 seeds"
        for table, heading, key, scale in (
            ("results", "F1", "score/test_f1", 1), ("scores", "Precision", "score/test_precision", 1),
            ("scores", "ROC AUC", "score/test_roc_auc", 1),
            ("scores", "Average precision", "score/test_average_precision", 1),
            ("scores", "Loss", "score/test_loss", 1), ("scores", "Calibration", "score/test_calibration_error", 1),
            ("results", "Training", "time/train_seconds", 1), ("cost", "Tokens/s", "time/tokens_per_second", 1),
            ("cost", "Memory", "size/peak_memory_bytes", 1e6),
        ):
            values = [run.metrics[key] / scale for run in runs]
            shown = cell(table, heading)
            if isinstance(shown, tuple):  # a cost, without its lowest and highest
                (shown,) = shown
            assert shown.value == pytest.approx(np.mean(values), abs=1e-6), heading
            if heading != "F1":
                assert (shown.low, shown.high) == pytest.approx((min(values), max(values)), abs=1e-6)
        assert cell("results", "Backend") == runs[0].backend


def test_one_seed_has_no_lowest_and_highest() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(50))
    (deviation,) = column_of(build_only([study], store, evaluation), "results", "Between-seed SD")
    assert deviation.text == MISSING


def test_baselines_stand_below_the_models(built: Built) -> None:
    context = table_of(built.report, "results").context
    assert [row[0] for row in context] == ["majority class (baseline)", "TF-IDF + logistic regression (baseline)"]
    assert [row[2].text for row in context] == ["51.1", "87.5"]
    assert all(row[2].low < row[2].value < row[2].high for row in context)


def test_missing_metrics_are_dashes_and_never_zero() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    bare = tuple(replace(run, metrics={}) for run in study.confirms)
    report = build_only([replace(study, confirms=bare)], store, evaluation)
    ((training,),) = column_of(report, "results", "Training")
    assert training.text == MISSING
    assert [column_of(report, "cost", heading)[0].text for heading in ("Tokens/s", "Memory")] == [MISSING] * 2
    assert column_of(report, "results", "Accuracy")[0].value is not None


def test_tuned_settings_that_all_models_have_are_shown_once_as_they_ran(built: Built) -> None:
    mentions(words_of(built.report, "results"), "Settings of all models: ", "learning rate 0.00137", "hidden size 250",
             "pooling meanmax", "dropout 0.31")
    assert column_of(built.report, "results", "Model") == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    assert built.report.numbers["scratch-scratch.setting.training-lr"].value == BEST["training.lr"]


def test_settings_that_differ_between_models_are_shown_below_their_names() -> None:
    store = FakeStore()
    studies = [add_study(store, name, {name: 0.0}, seeds=2, test_set=TestSet.draw(50), best={**BEST, **own})
               for name, own in (("scratch", {}), ("torch", {"model.dropout": 0.2}))]
    report = build_only(studies, store, evaluation)
    assert [(label, said((below,))) for label, below in column_of(report, "results", "Model")] == [
        ("Scratch GRU", "dropout 0.31"), ("Torch GRU", "dropout 0.2")]
    words = words_of(report, "results")
    mentions(words, "hidden size 250")
    assert "dropout" not in words


def test_the_main_settings_are_shown_of_a_model_that_was_not_tuned() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0}, seeds=2, search=False, test_set=TestSet.draw(50))
    mentions(words_of(build_only([study], store, evaluation), "results"), "Settings: ", "learning rate 0.001",
             "hidden size 100", "layers 1", "pooling")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_logged_value_that_is_not_a_number_is_shown_as_missing(value: float) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    odd = {"size/parameters": value, "score/best_epoch": value, "time/train_seconds": value}
    odd_study = replace(study, confirms=tuple(
        replace(run, metrics={
            key: value for key, value in {**run.metrics, **odd}.items() if key != "score/val_accuracy"})
        for run in study.confirms))
    found = build([odd_study], store).numbers
    assert {number.text for key, number in found.items() if key.endswith(".parameters")} == {MISSING}


# ---------------------------------------------------------------- the ensemble of the seeds


def scored_slowly(predictions: Sequence[Predictions]) -> dict[str, float]:
    """Return the scores of the mean probability, example by example, with the interval of the accuracy.

    The closed form of one model with one seed: theta +- t_{N-1} sqrt(sum_i (Y_i - theta)^2 / (N - 1) / N).
    """
    label_N = predictions[0].label_N.tolist()
    classes = predictions[0].probability_NC.shape[1]
    right, losses = [], []
    bins: dict[int, list[tuple[float, bool]]] = {}
    for i, label in enumerate(label_N):
        if classes == 2:
            one = fmean(float(run.probability_NC[i, 1]) for run in predictions)
            mean_C = [1 - one, one]
            found = 1 if one >= 0.5 else 0
        else:
            mean_C = [fmean(float(run.probability_NC[i, c]) for run in predictions) for c in range(classes)]
            found = mean_C.index(max(mean_C))
        right.append(found == label)
        losses.append(-math.log(max(mean_C[label], 1e-7)))
        bins.setdefault(math.ceil((mean_C[found] - 1 / classes) / (1 - 1 / classes) * 10), []).append(
            (mean_C[found], found == label))
    size, theta = len(right), fmean(right)
    half = stats.t.ppf(0.975, size - 1) * math.sqrt(sum((y - theta) ** 2 for y in right) / (size - 1) / size)
    return {"accuracy": theta, "low": theta - half, "high": theta + half, "loss": fmean(losses),
            "calibration": sum(abs(fmean(y for _, y in bin_) - fmean(p for p, _ in bin_)) * len(bin_) / size
                               for bin_ in bins.values())}


@pytest.mark.parametrize("classes", [2, 5])
def test_the_ensemble_of_the_seeds_is_scored_by_their_mean_probability(classes: int) -> None:
    store, studies = (three_models(test_set=TestSet.draw(300)) if classes == 2 else
                      of_classes(classes, size=900, seeds=3))
    report = build_only(studies, store, evaluation, methods)
    table = table_of(report, "together")
    assert [row[0] for row in table.rows] == column_of(report, "scores", "Model")
    mentions(said(table.captioned()), "but not fresh seeds", "No verdict")
    for place, study in enumerate(studies):
        runs = [run for run in study.confirms if run.complete]
        expected = scored_slowly([store.predicted[run.run_id, "test"] for run in runs])
        _, score, (single,), loss, calibration = table.rows[place]
        assert (score.value, score.low, score.high) == pytest.approx(
            [expected[name] for name in ("accuracy", "low", "high")], rel=1e-12)
        assert (loss.value, calibration.value) == pytest.approx((expected["loss"], expected["calibration"]), rel=1e-5)
        assert score.runs == loss.runs == tuple(run.run_id for run in runs)
        assert score.examples == store.predicted[runs[0].run_id, "test"].label_N.size
        mentions(score.method, "95 %", "test examples only", f"{len(runs)} seeds")
        assert single == column_of(report, "results", "Accuracy")[place]
        assert loss.value < column_of(report, "scores", "Loss")[place].value
    assert "An ensemble predicts" in words_of(report, "methods")


@pytest.mark.parametrize("metric", ["log_loss", "macro_f1", "f1", "roc_auc"])
def test_the_ensemble_is_scored_by_the_metric_of_the_study(metric: MetricName) -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.0, "scratch": 0.0}, seeds=5, test_set=TestSet.draw(100))
    report = build_only([with_params(study, metric=metric)], store, evaluation)
    table = table_of(report, "together")
    headings = [column.heading for column in table.columns]
    assert headings[1] == {"log_loss": "Log loss", "macro_f1": "Macro F1", "f1": "F1", "roc_auc": "ROC AUC"}[metric]
    assert ("Loss" in headings) == (metric != "log_loss")
    for row, model in zip(table.rows, ("torch", "scratch"), strict=True):
        read = [store.predicted[run.run_id, "test"] for run in study.confirms if run.model == model]
        mean_NC = np.mean([one.probability_NC.astype(float) for one in read], axis=0).astype(np.float32)
        expected = metrics.value_of(metric, read[0].label_N, mean_NC)
        assert row[1].value == pytest.approx(expected, rel=1e-7)  # F1 is computed in float32
        assert row[1].low < row[1].value < row[1].high
        assert "the ensemble of these 5 seeds" in row[1].method
        assert row[1].kind == ("percent" if metric in ("f1", "macro_f1") else "score")
        assert row[2][0].value == pytest.approx(np.mean(
            [metrics.value_of(metric, one.label_N, one.probability_NC) for one in read]))


def test_the_table_of_ensembles_has_no_row_of_one_seed() -> None:
    store = FakeStore()
    several = add_study(store, "several", {"torch": 0.0}, test_set=TestSet.draw(100), seeds=2)
    one = add_study(store, "one", {"scratch": 0.0}, test_set=TestSet.draw(100), seeds=1)
    report = build_only([one], store, evaluation, methods)
    assert "together" not in [table.key for table in report.tables]
    assert "nsemble" not in words_of(report, "results") + words_of(report, "methods")
    report = build_only([several, one], store, evaluation)
    assert column_of(report, "together", "Model") == ["Torch GRU"]
    # Of two seeds there is no interval over seeds; that of these two together is over reviews alone.
    assert column_of(report, "results", "Accuracy")[0].low is None
    assert column_of(report, "together", "Accuracy")[0].low is not None


def test_models_of_many_classes_have_no_ensemble_and_the_report_says_why() -> None:
    store, (study,) = of_classes(60, seeds=2, size=300)
    few = add_study(store, "few", {"scratch": 0.0}, test_set=TestSet.draw(100, seed=3), seeds=2)
    report = build_only([study], store, evaluation, methods)
    assert "together" not in [table.key for table in report.tables]
    why = ("Torch GRU: there is no ensemble of the seeds", "more than 50 classes")
    mentions(words_of(report, "results"), *why)
    assert "nsemble" not in words_of(report, "methods")
    report = build_only([study, few], store, evaluation)
    assert column_of(report, "together", "Model") == ["Scratch GRU"]
    mentions(words_of(report, "results"), *why)


def test_no_verdict_depends_on_the_ensembles(monkeypatch: pytest.MonkeyPatch) -> None:
    store, studies = three_models(test_set=TestSet.draw(100))
    before = build(studies, store)
    monkeypatch.setattr(metrics, "mean_probability", lambda probability_RNC: 1 - probability_RNC[0])
    after = build(studies, store)
    numbers, changed = before.numbers, after.numbers
    assert numbers.keys() == changed.keys()
    differ = {key for key in numbers if numbers[key] != changed[key]}
    assert differ == {f"{name}-{name}.together.{what}" for name in ("scratch", "torch", "bidirectional")
                      for what in ("accuracy", "loss", "calibration")}
    for name in ("summary", "comparisons", "methods"):
        assert words_of(before, name) == words_of(after, name)
    assert all_said(before.in_short) == all_said(after.in_short)
    assert all_said(before.warnings) == all_said(after.warnings)


@pytest.mark.parametrize(("unused", "told"), [((), True), ((2,), False)])
def test_a_note_says_that_classes_without_test_texts_count_as_0_in_macro_f1(
    unused: tuple[int, ...], told: bool
) -> None:
    group: Any = SimpleNamespace(
        has_classes=True, is_binary=False, classes=("a", "b", "c"), label_N=np.array([0, 1, 1]), unused=unused)
    ((column, _),) = _f1_columns([group])
    assert ("0 for those" in column.note) == told
