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

from gru_bench.checks import of_logged, warnings_of
from gru_bench.config import MetricName
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.methods import methods
from gru_bench.results.runs import Predictions, packed
from gru_bench.stats import metrics
from gru_bench.stats.estimate import Values, accuracy_difference, accuracy_interval
from gru_bench.stats.estimate import deviation as without_noise
from gru_bench.stats.verdict import holm
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
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
from tests.support.renderings import Built, all_said, column_of, said, section_of, table_of, words_of
from tests.support.sections import build_only
from tests.support.values import present

LINEAR = "TF-IDF + logistic regression"


def below_baseline(studies: list[LoggedStudy], store: FakeStore) -> str:
    """Return what the summary says of baselines."""
    return all_said(section_of(build_only(studies, store, evaluation), "evaluation").summary)


def test_the_tables_contain_the_scores_of_the_predictions(built: Built) -> None:
    store, studies, report = built
    assert column_of(report, "scores", "Model") == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for place, study in enumerate(studies):
        def cell(table: str, heading: str, place: int = place) -> Any:
            return column_of(report, table, heading)[place]

        right_RN = correct(store, study.confirms)
        runs = [run for run in study.confirms if run.complete]
        expected = accuracy_interval(right_RN)
        accuracy = cell("evaluation", "Accuracy")
        assert accuracy.value == expected.estimate
        assert (accuracy.low, accuracy.high) == (expected.low, expected.high)
        assert accuracy.runs == tuple(run.run_id for run in runs)
        assert accuracy.examples == 2000
        assert cell("evaluation", "Seeds").value == 5
        # Below the deviation stand the lowest and the highest seed.
        deviation, below = cell("evaluation", "Seed deviation")
        assert deviation.value == without_noise(Values.of_correct(right_RN))
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


def test_one_seed_has_no_lowest_and_highest() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(50))
    (deviation,) = column_of(build_only([study], store, evaluation), "evaluation", "Seed deviation")
    assert deviation.text == MISSING


def test_the_summary_names_models_below_a_baseline(built: Built) -> None:
    report = built.report
    text = all_said(section_of(report, "evaluation").summary)
    assert text in all_said(report.summary)
    mentions(text, *(f"{model} ({number.text} %)" for model, number in zip(
        ("Scratch GRU", "Torch GRU"), column_of(report, "evaluation", "Accuracy"), strict=False)), "below", LINEAR)
    assert "Bidirectional" not in text
    assert "majority" not in text
    context = table_of(report, "evaluation").context
    assert [row[0] for row in context] == ["majority class (baseline)", "TF-IDF + logistic regression (baseline)"]
    assert [row[2].text for row in context] == ["50.1", "87.3"]


@pytest.mark.parametrize(("skill", "verdict", "inside"), [
    (-0.3, "is below", False), (0.08, "is above", True), (0.03, "is below", True)])
def test_the_summary_says_whether_a_baseline_is_inside_the_interval(skill: float, verdict: str, inside: bool) -> None:
    store = FakeStore()
    report = build_only([add_study(store, "one", {"torch": skill})], store, evaluation)
    text = all_said(section_of(report, "evaluation").summary)
    accuracy = report.numbers["one-torch.accuracy"]
    assert (present(accuracy.low) < 0.8731 < present(accuracy.high)) == inside
    assert (present(accuracy.value) > 0.8731) == (verdict == "is above")
    mentions(text, verdict, f"{LINEAR} (87.3 %)")
    assert ("whole interval lies below" in text) == (not inside)


def test_models_are_tested_against_a_baseline_whose_answers_were_kept() -> None:
    """The difference, its interval and its p are those of the definition, and the verdicts follow them."""
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.5, "scratch": 0.0}, test_set=TestSet.draw(1000))
    torch_RN, scratch_RN = (correct(store, [run for run in study.confirms if run.model == model])
                            for model in ("torch", "scratch"))
    right_N = scratch_RN[0]
    linear = replace(present(study.summary).baselines[1], test_accuracy=float(right_N.mean()), test_size=1000,
                     right=packed(right_N))
    report = build_only([summarized(study, baselines=(linear,))], store, evaluation)
    found = [accuracy_difference(right_RN, np.stack([right_N] * 5)) for right_RN in (torch_RN, scratch_RN)]
    p_B = holm([one.p for one in found])
    numbers = report.numbers
    for group, one, p in zip(("two-torch", "two-scratch"), found, p_B, strict=True):
        shown = numbers[f"baseline-tf-idf-logistic-regression.less-than-{group}"]
        assert (shown.value, shown.low, shown.high) == (one.estimate, one.low, one.high)
        assert numbers[f"{shown.key}.p"].value == p
    assert present(p_B[0]) < 0.05 < present(p_B[1])
    text = all_said(section_of(report, "evaluation").summary)
    assert re.search(r"Torch GRU \([\d.]+ %\) is better than the baseline .*\+[\d.]+ points \(95 % interval \+[\d.]+ "
                     r"to \+[\d.]+\), p [=<] [\d.]+ after Holm", text)
    assert "Scratch GRU" in text.partition("is better than")[2]
    assert "not shown to be better or worse" in text


def test_the_test_against_a_baseline_allows_for_all_models_on_the_same_test_reviews() -> None:
    store, test_set = FakeStore(), TestSet.draw(1000)
    one, *others = [add_study(store, name, {"torch": skill}, test_set=test_set)
                    for name, skill in (("one", 0.4), ("two", 0.2), ("three", 0.1))]
    right_N = correct(store, others[-1].confirms)[0]
    linear = replace(present(one.summary).baselines[1], test_accuracy=float(right_N.mean()), test_size=1000,
                     right=packed(right_N))
    numbers = build_only([summarized(one, baselines=(linear,))], store, evaluation).numbers
    alone = accuracy_difference(correct(store, one.confirms), np.stack([right_N] * 5))
    assert numbers["baseline-tf-idf-logistic-regression.less-than-one-torch.p"].value == pytest.approx(3 * present(
        alone.p))


def test_a_baseline_is_tested_only_against_models_on_its_own_data() -> None:
    store, studies = FakeStore(), []
    for seed, name in enumerate(("here", "there")):
        study = add_study(store, name, {"torch": 0.0}, test_set=TestSet.draw(300, seed=seed), fingerprint=name)
        right_N = correct(store, study.confirms)[0] ^ (np.arange(300) % 9 == 0)
        linear = replace(present(study.summary).baselines[1], test_accuracy=float(right_N.mean()), test_size=300,
                         right=packed(right_N))
        studies.append(summarized(study, baselines=(linear,)))
    tests = [key for key in build_only(studies, store, evaluation).numbers if key.endswith("-torch.p")]
    assert [key.partition("less-than-")[2] for key in tests] == ["here-torch.p", "there-torch.p"]


@pytest.mark.parametrize(("validation", "compared"), [((0.8, 0.9), "b"), ((0.9, 0.8), "a"), ((None, None), "a")])
def test_models_are_compared_with_one_of_two_linear_baselines_and_both_are_shown(
    validation: tuple[float | None, float | None], compared: str
) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    majority, linear = present(study.summary).baselines
    two = [replace(linear, name=name, validation_accuracy=value, test_accuracy=float(right_N.mean()), test_size=1000,
                   right=packed(right_N)) for name, value in zip("ab", validation, strict=True)]
    report = build_only([summarized(study, baselines=(majority, *two))], store, evaluation)
    assert [row[0] for row in table_of(report, "evaluation").context][1:] == ["a (baseline)", "b (baseline)"]
    text = all_said(section_of(report, "evaluation").summary)
    assert re.findall(r"the baseline (\w) \(", text) == [compared]
    assert ("no validation reviews" in text) == (validation[0] is None)


def test_the_report_and_its_warnings_say_the_same_of_a_baseline_above() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    right_N[:60] = True
    linear = replace(present(study.summary).baselines[1], test_accuracy=float(right_N.mean()), test_size=1000,
                     right=packed(right_N))
    studies = [summarized(study, baselines=(linear,))]
    (warning,) = warnings_of(of_logged(studies, store), "GRU010")
    mentions(below_baseline(studies, store), warning.text, "(GRU010)")


@pytest.mark.parametrize("spoilt", ["", packed(np.zeros(300, dtype=np.bool_)), packed(np.ones(90, dtype=np.bool_))])
def test_a_baseline_without_usable_answers_is_not_tested(spoilt: str) -> None:
    store = FakeStore()
    study = add_study(store, "low", {"torch": -0.3}, test_set=TestSet.draw(300))
    linear = replace(present(study.summary).baselines[1], right=spoilt)
    text = below_baseline([summarized(study, baselines=(linear,))], store)
    assert "below" in text
    assert "Holm" not in text


def test_a_model_that_shows_the_same_number_as_a_baseline_is_level_with_it() -> None:
    store = FakeStore()
    study = add_study(store, "even", {"torch": 0.08}, test_set=TestSet.draw(400))
    level = build_only([study], store, evaluation).numbers["even-torch.accuracy"]
    for shift in (-0.0003, 0.0003):
        shown = round(present(level.value), 3)
        baselines = (replace(present(study.summary).baselines[1], test_accuracy=shown + shift),)
        text = below_baseline([summarized(study, baselines=baselines)], store)
        mentions(text, f"Torch GRU ({level.text} %)", "level with", f"{LINEAR} ({level.text} %)")


def test_missing_metrics_are_dashes_and_never_zero() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    bare = tuple(replace(run, metrics={}) for run in study.confirms)
    report = build_only([replace(study, confirms=bare)], store, evaluation)
    (parameters,), (seconds,), (speed,) = (
        column_of(report, "evaluation", heading)[0] for heading in ("Parameters", "Training", "Tokens/s"))
    assert [n.text for n in (parameters, seconds, speed)] == [MISSING] * 3
    assert column_of(report, "evaluation", "Accuracy")[0].value is not None
    # Without times there is nothing to set against accuracy.
    assert "cost" not in [figure.name for figure in report.figures]


def test_tuned_settings_are_shown_as_they_ran(built: Built) -> None:
    label, settings = column_of(built.report, "evaluation", "Model")[0]
    assert label == "Scratch GRU"
    mentions(said((settings,)), "learning rate 0.00137", "hidden size 250", "pooling meanmax", "dropout 0.31")
    assert built.report.numbers["scratch-scratch.setting.training-lr"].value == BEST["training.lr"]


def test_the_main_settings_are_shown_of_a_model_that_was_not_tuned() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0}, seeds=2, search=False, test_set=TestSet.draw(50))
    _, settings = column_of(build_only([study], store, evaluation), "evaluation", "Model")[0]
    mentions(said((settings,)), "learning rate 0.001", "hidden size 100", "layers 1", "pooling")


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
    mentions(said(table.captioned()), "test reviews only", "these very seeds", "Comparisons")
    for place, study in enumerate(studies):
        runs = [run for run in study.confirms if run.complete]
        expected = scored_slowly([store.predicted[run.run_id, "test"] for run in runs])
        _, score, (single,), loss, calibration, parameters, (inference, times) = table.rows[place]
        assert (score.value, score.low, score.high) == pytest.approx(
            [expected[name] for name in ("accuracy", "low", "high")], rel=1e-12)
        assert (loss.value, calibration.value) == pytest.approx((expected["loss"], expected["calibration"]), rel=1e-5)
        assert score.runs == loss.runs == tuple(run.run_id for run in runs)
        assert score.examples == store.predicted[runs[0].run_id, "test"].label_N.size
        mentions(score.method, "95 %", "test examples only", f"{len(runs)} seeds")
        assert single == column_of(report, "evaluation", "Accuracy")[place]
        assert parameters.value == sum(run.metrics["size/parameters"] for run in runs)
        assert (inference.value, times.strip()) == (len(runs), "×\u00a0one seed")
        assert loss.value < column_of(report, "scores", "Loss")[place].value
    assert "these very seeds" in words_of(report, "methods")


@pytest.mark.parametrize("metric", ["log_loss", "macro_f1", "f1", "roc_auc"])
def test_the_ensemble_is_scored_by_the_metric_of_the_study(metric: MetricName) -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.0, "scratch": 0.0}, seeds=5, test_set=TestSet.draw(100))
    report = build_only([with_params(study, metric=metric)], store, evaluation)
    table = table_of(report, "together")
    headings = [column.heading for column in table.columns]
    assert headings[1] == {"log_loss": "Log loss", "macro_f1": "Macro F1", "f1": "F1", "roc_auc": "ROC area"}[metric]
    assert ("Loss" in headings) == (metric != "log_loss")
    for row, model in zip(table.rows, ("torch", "scratch"), strict=True):
        read = [store.predicted[run.run_id, "test"] for run in study.confirms if run.model == model]
        mean_NC = np.mean([one.probability_NC.astype(float) for one in read], axis=0).astype(np.float32)
        expected = metrics.value_of(metric, read[0].label_N, mean_NC)
        assert row[1].value == pytest.approx(expected, rel=1e-7)  # F1 is computed in float32
        assert row[1].low < row[1].value < row[1].high
        assert "these 5 seeds together" in row[1].method
        assert row[1].kind == ("percent" if metric in ("f1", "macro_f1") else "score")
        assert row[2][0].value == pytest.approx(np.mean(
            [metrics.value_of(metric, one.label_N, one.probability_NC) for one in read]))


def test_the_table_of_ensembles_has_no_row_of_one_seed() -> None:
    store = FakeStore()
    several = add_study(store, "several", {"torch": 0.0}, test_set=TestSet.draw(100), seeds=2)
    one = add_study(store, "one", {"scratch": 0.0}, test_set=TestSet.draw(100), seeds=1)
    report = build_only([one], store, evaluation, methods)
    assert "together" not in [table.key for table in report.tables]
    assert "seeds together" not in words_of(report, "evaluation") + words_of(report, "methods")
    report = build_only([several, one], store, evaluation)
    assert column_of(report, "together", "Model") == ["Torch GRU"]
    # Of two seeds there is no interval over seeds; that of these two together is over reviews alone.
    assert column_of(report, "evaluation", "Accuracy")[0].low is None
    assert column_of(report, "together", "Accuracy")[0].low is not None


def test_models_of_many_classes_have_no_ensemble_and_the_report_says_why() -> None:
    store, (study,) = of_classes(60, seeds=2, size=300)
    few = add_study(store, "few", {"scratch": 0.0}, test_set=TestSet.draw(100, seed=3), seeds=2)
    report = build_only([study], store, evaluation, methods)
    assert "together" not in [table.key for table in report.tables]
    why = ("Torch GRU: the seeds are not scored together", "more than 50 classes")
    mentions(words_of(report, "evaluation"), *why)
    assert "seeds together" not in words_of(report, "methods")
    report = build_only([study, few], store, evaluation)
    assert column_of(report, "together", "Model") == ["Scratch GRU"]
    mentions(words_of(report, "evaluation"), *why)


def test_the_size_of_an_ensemble_is_a_dash_if_a_run_did_not_log_its_own() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    first, *others = study.confirms
    changed = replace(study, confirms=(replace(first, metrics={}), *others))
    (parameters,) = column_of(build_only([changed], store, evaluation), "together", "Parameters")
    assert (parameters.text, parameters.method) == (MISSING, "not logged")


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
    for name in ("comparisons", "methods"):
        assert words_of(before, name) == words_of(after, name)
    assert all_said(before.summary) == all_said(after.summary)
    assert all_said(before.cautions) == all_said(after.cautions)
