"""The results: scores, costs and baselines, recomputed from the predictions and from what the runs logged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gru_bench.config import MetricName
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.results.runs import Predictions
from gru_bench.stats import metrics
from gru_bench.stats.estimate import accuracy_interval
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
from tests.support.renderings import Built, all_said, column_of, number_in, said, table_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only

LINEAR = "TF-IDF + logistic regression"


def test_the_tables_contain_the_scores_of_the_predictions(built: Built) -> None:
    store, studies, report = built
    assert column_of(report, "scores", "Model") == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for study, label in zip(studies, column_of(report, "scores", "Model"), strict=True):
        def cell(table: str, heading: str, label: str = label) -> Any:
            names = [said(name if isinstance(name, tuple) else (name,)) for name in column_of(report, table, "Model")]
            (place,) = (place for place, name in enumerate(names) if name.startswith(label))
            return column_of(report, table, heading)[place]

        right_RN = correct(store, study.confirms)
        runs = [run for run in study.confirms if run.complete]
        expected = accuracy_interval(right_RN)
        accuracy = cell("results", "Accuracy")
        assert accuracy.value == expected.estimate
        assert (accuracy.low, accuracy.high) == (expected.low, expected.high)
        assert accuracy.runs == tuple(run.run_id for run in runs)
        assert accuracy.examples == 2000
        # Below the number of seeds stand the lowest and the highest.
        seeds, below = cell("results", "Seeds")
        lowest, _, highest = below.parts
        assert (seeds.value, lowest.value, highest.value) == (5, right_RN.mean(1).min(), right_RN.mean(1).max())
        assert lowest.method == "lowest of 5 seeds"
        for table, heading, key, scale in (
            ("results", "F1", "score/test_f1", 1), ("scores", "Precision", "score/test_precision", 1),
            ("scores", "ROC AUC", "score/test_roc_auc", 1),
            ("scores", "Average precision", "score/test_average_precision", 1),
            ("scores", "Loss", "score/test_loss", 1),
            ("scores", "Calibration error", "score/test_calibration_error", 1),
            ("cost", "Training", "time/train_seconds", 1), ("cost", "Tokens/s", "time/tokens_per_second", 1),
            ("cost", "Memory", "size/peak_memory_bytes", 1e6),
        ):
            values = [run.metrics[key] / scale for run in runs]
            shown = number_in(cell(table, heading))
            middle = np.median if heading == "Training" else np.mean
            assert shown.value == pytest.approx(middle(values), abs=1e-6), heading
            assert shown.is_range == (heading != "F1")
            if shown.is_range:
                assert (shown.low, shown.high) == pytest.approx((min(values), max(values)), abs=1e-6)
                if shown.low != shown.high:
                    assert said(cell(table, heading)[1:]) == " to ".join(end.text for end in shown.ends)
        assert cell("cost", "Backend") == runs[0].backend


def test_the_processor_of_the_runs_stands_with_their_times() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    assert column_of(build_only([study], store, evaluation), "cost", "Processor")[0] == "not logged"
    tagged = replace(study, confirms=tuple(
        replace(run, tags={**run.tags, "gru_bench.machine": name})
        for run, name in zip(study.confirms, ("Old", "New"), strict=True)))
    assert column_of(build_only([tagged], store, evaluation), "cost", "Processor")[0] == "New, Old"


def test_one_seed_has_no_lowest_and_highest() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(50))
    report = build_only([replace(study, baselines=())], store, evaluation)
    (seeds,) = column_of(report, "results", "Seeds")
    assert seeds.value == 1
    (training,) = column_of(report, "cost", "Training")
    assert not training.is_range


def test_all_models_stand_in_order_of_their_scores_and_the_baselines_say_what_they_are(built: Built) -> None:
    table = table_of(built.report, "results")
    scores = [row[2].value for row in table.rows]
    assert scores == sorted(scores, reverse=True)
    below = {row[0][0]: said(row[0][1:]) for row in table.rows}
    assert [below[name] for name in ("majority class", "TF-IDF")] == ["baseline", f"baseline: {LINEAR}"]
    texts = {row[0][0]: row[2].text for row in table.rows}
    assert (texts["majority class"], texts["TF-IDF"]) == ("51.1", "87.5")
    assert all(row[2].low < row[2].value < row[2].high for row in table.rows)


def test_the_model_with_the_lowest_log_loss_stands_first() -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.3, "scratch": 0.0}, seeds=5, test_set=TestSet.draw(200))
    table = table_of(build_only([with_params(study, metric="log_loss")], store, evaluation), "results")
    losses = [row[2].value for row in table.rows]
    assert [column.heading for column in table.columns[:4]] == ["Model", "Seeds", "Log loss", "Accuracy"]
    assert losses == sorted(losses)


def test_missing_metrics_are_dashes_and_never_zero() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    bare = tuple(replace(run, metrics={}) for run in study.confirms)
    report = build_only([replace(study, confirms=bare)], store, evaluation)
    assert column_of(report, "cost", "Training")[0].text == MISSING
    assert [column_of(report, "cost", heading)[0] for heading in ("Parameters", "Tokens/s", "Memory")] == [MISSING] * 3
    assert column_of(report, "results", "Accuracy")[0].value is not None


def test_the_settings_of_each_model_stand_below_its_name_as_they_ran(built: Built) -> None:
    below = {row[0][0]: said(row[0][1:]) for row in table_of(built.report, "results").rows}
    for label, backend in (("Scratch GRU", "fused"), ("Torch GRU", "torch"), ("Bidirectional GRU", "fused")):
        mentions(below[label].replace("\N{NO-BREAK SPACE}", " "), "learning rate 0.00137", "hidden size 250",
                 "pooling meanmax", "dropout 0.31", f"backend {backend}")
    assert built.report.numbers["scratch-scratch.setting.training-lr"].value == BEST["training.lr"]


def test_the_main_settings_are_shown_of_a_model_that_was_not_tuned() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0}, seeds=2, search=False, test_set=TestSet.draw(50))
    report = build_only([replace(study, baselines=())], store, evaluation)
    ((_, below),) = column_of(report, "results", "Model")
    mentions(said((below,)).replace("\N{NO-BREAK SPACE}", " "), "learning rate 0.001", "hidden size 100", "layers 1",
             "pooling")


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
    report = build_only(studies, store, evaluation)
    table = table_of(report, "together")
    assert [row[0] for row in table.rows] == column_of(report, "scores", "Model")
    mentions(said(table.caption), "but not for new seeds", "Verdicts do not use")
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
        assert single.key.endswith(f"{study.name}.accuracy")
        assert loss.value < number_in(column_of(report, "scores", "Loss")[place]).value


@pytest.mark.parametrize("metric", ["log_loss", "macro_f1"])
def test_the_ensemble_is_scored_by_the_metric_of_the_study(metric: MetricName) -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.0, "scratch": 0.0}, seeds=5, test_set=TestSet.draw(100))
    report = build_only([with_params(study, metric=metric)], store, evaluation)
    table = table_of(report, "together")
    headings = [column.heading for column in table.columns]
    assert headings[1] == {"log_loss": "Log loss", "macro_f1": "Macro F1"}[metric]
    for row, model in zip(table.rows, ("torch", "scratch"), strict=True):
        read = [store.predicted[run.run_id, "test"] for run in study.confirms if run.model == model]
        mean_NC = np.mean([one.probability_NC.astype(float) for one in read], axis=0).astype(np.float32)
        expected = metrics.value_of(metric, read[0].label_N, mean_NC)
        assert row[1].value == pytest.approx(expected, rel=1e-7)  # F1 is computed in float32
        assert row[1].low < row[1].value < row[1].high
        assert "the ensemble of these 5 seeds" in row[1].method
        assert row[1].kind == ("percent" if metric == "macro_f1" else "score")
        assert row[2][0].value == pytest.approx(np.mean(
            [metrics.value_of(metric, one.label_N, one.probability_NC) for one in read]))


def test_the_table_of_ensembles_has_no_row_of_one_seed() -> None:
    store = FakeStore()
    several = add_study(store, "several", {"torch": 0.0}, test_set=TestSet.draw(100), seeds=2)
    one = add_study(store, "one", {"scratch": 0.0}, test_set=TestSet.draw(100), seeds=1)
    report = build_only([one], store, evaluation)
    assert "together" not in [table.key for table in report.tables]
    report = build_only([several, one], store, evaluation)
    assert column_of(report, "together", "Model") == ["Torch GRU"]
    # Of two seeds there is no interval over seeds; that of these two together is over reviews alone.
    assert report.numbers["several-torch.accuracy"].low is None
    assert column_of(report, "together", "Accuracy")[0].low is not None


def test_models_of_many_classes_have_no_ensemble() -> None:
    store, (study,) = of_classes(60, seeds=2, size=300)
    table = table_of(build_only([study], store, evaluation), "together")
    (many,) = table.rows
    assert [many[0], many[1], *many[3:]] == ["Torch GRU", MISSING, MISSING, MISSING]
    mentions(said(table.caption), "more than 50 classes")


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
