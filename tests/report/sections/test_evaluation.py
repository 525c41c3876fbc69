"""The results: scores, costs and baselines, recomputed from the predictions and from what the runs logged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.document.numbers import MISSING
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.stats.estimate import accuracy_interval
from tests.support.commands import mentions
from tests.support.fake_store import (
    BEST,
    FakeStore,
    TestSet,
    add_study,
    correct,
    with_params,
)
from tests.support.renderings import Built, column_of, number_in, said, table_of
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
    assert {row[0][0]: row[2].low is None for row in table.rows} == {name: name == "majority class" for name in texts}
    assert all(row[2].low < row[2].value < row[2].high for row in table.rows if row[2].low is not None)


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
    confirms, baselines = (tuple(
        replace(run, metrics={
            key: value for key, value in {**run.metrics, **odd}.items() if key != "score/val_accuracy"})
        for run in runs) for runs in (study.confirms, study.baselines))
    odd_study = replace(study, confirms=confirms, baselines=baselines)
    found = build([odd_study], store).numbers
    assert {number.text for key, number in found.items() if key.endswith(".parameters")} == {MISSING}
