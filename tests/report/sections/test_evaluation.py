"""The evaluation: scores, costs and baselines, recomputed from the predictions and from what the runs logged."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gru_bench.config import MetricName
from gru_bench.evaluation import intervals, metrics, statistics
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.remarks import study_remarks
from gru_bench.results.runs import Predictions, packed
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import (
    BEST,
    FakeStore,
    TestSet,
    add_study,
    correct,
    of_classes,
    summarized,
    three_models,
    with_params,
)
from tests.support.renderings import Built, Rendered, all_said, column_of, said, section_of, table_of, words_of
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


def test_models_are_tested_against_a_baseline_whose_answers_were_kept() -> None:
    """The difference, its interval and its p are those of the definition, and the words follow them."""
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.5, "scratch": 0.0}, test_set=TestSet.draw(1000))
    torch_RN, scratch_RN = (correct(store, [run for run in study.confirms if run.model == model])
                            for model in ("torch", "scratch"))
    right_N = scratch_RN[0]
    linear = replace(present(study.summary).baselines[1], test_accuracy=float(right_N.mean()), test_size=1000,
                     right=packed(right_N))
    report = build([summarized(study, baselines=(linear,))], store)
    found = [statistics.accuracy_difference(right_RN, np.stack([right_N] * 5)) for right_RN in (torch_RN, scratch_RN)]
    p_B = statistics.holm([one.p for one in found])
    numbers = report.numbers()
    for group, one, p in zip(("two-torch", "two-scratch"), found, p_B, strict=True):
        shown = numbers[f"baseline-tf-idf-logistic-regression.less-than-{group}"]
        assert (shown.value, shown.low, shown.high) == (one.estimate, one.low, one.high)
        assert numbers[f"{shown.key}.p"].value == p
    assert present(p_B[0]) < 0.05 < present(p_B[1])
    text = all_said(section_of(report, "evaluation").summary)
    assert re.search(r"Torch GRU \([\d.]+ %\) is better than the baseline TF-IDF \+ logistic regression \([\d.]+ %\): "
                     r"\+[\d.]+ points \(95 % interval \+[\d.]+ to \+[\d.]+\), p [=<] [\d.]+ after Holm\.", text)
    assert "is not shown to be better or worse than the baseline" in text
    assert "on the same split" not in text


def test_a_remark_says_of_a_baseline_above_what_the_report_says() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    right_N[:60] = True
    linear = replace(present(study.summary).baselines[1], test_accuracy=float(right_N.mean()), test_size=1000,
                     right=packed(right_N))
    studies = [summarized(study, baselines=(linear,))]
    (remark,) = [one for one in study_remarks(studies, store) if one.code == "GRU010"]
    assert "is worse than the baseline" in remark.sentence or "is not shown to be better or worse" in remark.sentence
    assert f"{remark.sentence} (GRU010)" in below_baseline(studies, store)


@pytest.mark.parametrize("spoilt", ["", packed(np.zeros(1000, dtype=np.bool_)), packed(np.ones(90, dtype=np.bool_))])
def test_a_baseline_without_its_answers_is_not_tested(spoilt: str) -> None:
    store = FakeStore()
    study = add_study(store, "low", {"torch": -0.3}, test_set=TestSet.draw(1000))
    linear = replace(present(study.summary).baselines[1], right=spoilt)
    assert "on the same split; its whole interval lies below." in below_baseline(
        [summarized(study, baselines=(linear,))], store)


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


# ---------------------------------------------------------------- the seeds together


def scored_slowly(predictions: Sequence[Predictions]) -> dict[str, float]:
    """Return the scores of the mean probability, example by example, with the interval of the accuracy.

    The closed form of one model with one seed: theta +- t_{N-1} sqrt(sum_i (Y_i - theta)^2 / (N - 1) / N).
    """
    label_N = predictions[0].label_N.tolist()
    classes = metrics.classes_of(predictions[0].probability_N)
    right, losses = [], []
    bins: dict[int, list[tuple[float, bool]]] = {}
    for i, label in enumerate(label_N):
        if classes == 2:
            one = fmean(float(run.probability_N[i]) for run in predictions)
            mean_C = [1 - one, one]
            found = 1 if one >= 0.5 else 0
        else:
            mean_C = [fmean(float(run.probability_N[i, c]) for run in predictions) for c in range(classes)]
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
def test_the_seeds_together_are_the_mean_of_their_probabilities(classes: int) -> None:
    store, studies = three_models() if classes == 2 else of_classes(classes, models={"torch": 0.0, "scratch": 0.1})
    report = build(studies, store)
    table = table_of(report, "together")
    assert [row[0] for row in table.rows] == column_of(report, "scores", "Model")
    caption = said(table.captioned())
    assert "over test reviews only: they are about these very seeds together, not about fresh ones." in caption
    assert "Comparisons of models do not use this table." in caption
    for place, study in enumerate(studies):
        runs = [run for run in study.confirms if run.complete]
        expected = scored_slowly([store.predicted[run.run_id, "test"] for run in runs])
        _, score, (single,), loss, calibration, parameters, (inference, times) = table.rows[place]
        assert (score.value, score.low, score.high) == pytest.approx(
            [expected[name] for name in ("accuracy", "low", "high")], rel=1e-12)
        assert (loss.value, calibration.value) == pytest.approx((expected["loss"], expected["calibration"]), rel=1e-5)
        assert score.runs == loss.runs == tuple(run.run_id for run in runs)
        assert score.examples == store.predicted[runs[0].run_id, "test"].label_N.size
        assert score.method == "95 % interval: test examples only (these 5 seeds together), t"
        assert single == column_of(report, "evaluation", "Accuracy")[place]
        assert parameters.value == sum(run.metrics["size/parameters"] for run in runs)
        assert (inference.value, times.strip()) == (5, "×\u00a0one seed")
        assert loss.value < column_of(report, "scores", "Loss")[place].value
    assert "it is about these very seeds" in words_of(report, "methods")


@pytest.mark.parametrize("metric", ["log_loss", "macro_f1", "f1", "roc_auc"])
def test_the_score_of_the_study_is_that_of_the_seeds_together(metric: MetricName) -> None:
    store, studies = three_models(test_set=TestSet.draw(400))
    report = build([with_params(study, metric=metric) for study in studies], store)
    table = table_of(report, "together")
    headings = [column.heading for column in table.columns]
    assert headings[1] == {"log_loss": "Log loss", "macro_f1": "Macro F1", "f1": "F1", "roc_auc": "ROC area"}[metric]
    assert ("Loss" in headings) == (metric != "log_loss")
    for row, study in zip(table.rows, studies, strict=True):
        read = [store.predicted[run.run_id, "test"] for run in study.confirms if run.complete]
        mean_N = np.mean([one.probability_N.astype(float) for one in read], axis=0).astype(np.float32)
        expected = metrics.value_of(metric, read[0].label_N, mean_N)
        assert row[1].value == pytest.approx(expected, rel=1e-7)  # F1 is computed in float32
        assert row[1].low < row[1].value < row[1].high
        assert "these 5 seeds together" in row[1].method
        assert row[1].kind == ("percent" if metric in ("f1", "macro_f1") else "score")
        assert row[2][0].value == pytest.approx(np.mean(
            [metrics.value_of(metric, one.label_N, one.probability_N) for one in read]))


def test_one_seed_has_no_row() -> None:
    store = FakeStore()
    several = add_study(store, "several", {"torch": 0.0}, test_set=TestSet.draw(300), seeds=2)
    one = add_study(store, "one", {"scratch": 0.0}, test_set=TestSet.draw(300), seeds=1)
    report = build([one], store)
    assert "together" not in [table.key for table in report.tables]
    assert "seeds together" not in words_of(report, "evaluation") + words_of(report, "methods")
    report = build([several, one], store)
    assert column_of(report, "together", "Model") == ["Torch GRU"]
    # Of two seeds there is no interval over seeds; that of these two together is over reviews alone.
    assert column_of(report, "evaluation", "Accuracy")[0].low is None
    assert column_of(report, "together", "Accuracy")[0].low is not None


def test_probabilities_that_are_not_all_kept_have_no_mean() -> None:
    store, (study,) = of_classes(60, seeds=3)
    few = add_study(store, "few", {"scratch": 0.0}, test_set=TestSet.draw(300, seed=3), seeds=3)
    report = build([study], store)
    assert "together" not in [table.key for table in report.tables]
    why = ("Torch GRU: the seeds are not scored together. Of more than 50 classes the runs kept the probabilities of "
           "the likeliest ones alone, so that means over seeds are not known.")
    assert why in words_of(report, "evaluation")
    assert "seeds together" not in words_of(report, "methods")
    report = build([study, few], store)
    assert column_of(report, "together", "Model") == ["Scratch GRU"]
    assert why in words_of(report, "evaluation")


def test_parameters_that_a_run_did_not_log_are_not_guessed() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(300))
    first, *others = study.confirms
    report = build([replace(study, confirms=(replace(first, metrics={}), *others))], store)
    (parameters,) = column_of(report, "together", "Parameters")
    assert (parameters.text, parameters.method) == (MISSING, "not logged")


def test_the_seeds_together_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store, studies = three_models(test_set=TestSet.draw(400))
    before = build(studies, store)
    monkeypatch.setattr(intervals, "mean_probability", lambda probability_RN: 1 - probability_RN[0])
    after = build(studies, store)
    numbers, changed = before.numbers(), after.numbers()
    assert numbers.keys() == changed.keys()
    differ = {key for key in numbers if numbers[key] != changed[key]}
    assert differ == {f"{name}-{name}.together.{what}" for name in ("scratch", "torch", "bidirectional")
                      for what in ("accuracy", "loss", "calibration")}
    for name in ("comparisons", "methods"):
        assert words_of(before, name) == words_of(after, name)
    assert all_said(before.summary) == all_said(after.summary)
    assert all_said(before.cautions) == all_said(after.cautions)
