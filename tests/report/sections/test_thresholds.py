"""ROC and precision-recall curves, recomputed from the predictions by scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.evidence.collect import collect
from gru_bench.report.figures.curves import CHANCE
from gru_bench.report.sections.thresholds import thresholds
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies, three_models
from tests.support.renderings import Built, column_of, figure_of, section_of, table_of
from tests.support.sections import build_only


def test_precisions_agree_with_scikit_learns(built: Built) -> None:
    from sklearn import metrics as peer

    store, studies, report = built
    for study, (_, *cells) in zip(studies, table_of(report, "thresholds").rows, strict=True):
        runs = [run.run_id for run in study.confirms if run.complete]
        for recall, number in zip((0.5, 0.8, 0.9, 0.95), cells, strict=True):
            found = []
            for run_id in runs:
                p = store.predicted[run_id, "test"]
                precision_K, recall_K, _ = peer.precision_recall_curve(p.label_N, p.probability_NC[:, 1])
                found.append(precision_K[np.flatnonzero(recall_K >= recall)[-1]])
            assert number.value == pytest.approx(np.mean(found))
            assert (number.low, number.high) == pytest.approx((min(found), max(found)))
            assert number.runs == tuple(runs)


@pytest.mark.parametrize(("curve", "area", "start"), [
    ("ROC", "roc_auc", 0), ("precision-recall", "average_precision", 1),
])
def test_the_areas_below_the_mean_curves_are_the_scores(built: Built, curve: str, area: str, start: float) -> None:
    _, studies, report = built
    for study, label in zip(studies, column_of(report, "thresholds", "Model"), strict=True):
        points = [(row["x"], row["mean"]) for row in figure_of(report, "thresholds").values.records()
                  if (row["curve"], row["model"]) == (curve, label)]
        x, y = np.array([(0, start), *points]).T
        scores = [run.metrics[f"score/test_{area}"] for run in study.confirms if run.complete]
        # Between two places a curve that only rises or falls, as these do but for noise, strays from the straight line
        # by half its height times their distance at most: 0.01 / 2 in all where it is steep, 0.1 * 0.05 / 2 where flat.
        below = (np.diff(x) * (y[1:] + y[:-1]) / 2).sum()
        assert below == pytest.approx(np.mean(scores), abs=0.0075)


def test_bands_range_from_the_lowest_to_the_highest_seed(built: Built) -> None:
    from sklearn import metrics as peer

    store, studies, report = built
    found = [(row["low"], row["mean"], row["high"]) for row in figure_of(report, "thresholds").values.records()
             if (row["curve"], row["model"], row["x"]) == ("ROC", "Torch GRU", 0.1)]
    rates = []
    for run in studies[1].confirms:
        if run.complete:
            p = store.predicted[run.run_id, "test"]
            false_K, true_K, _ = peer.roc_curve(p.label_N, p.probability_NC[:, 1], drop_intermediate=False)
            rates.append(np.interp(0.1, false_K, true_K))
    assert found == [pytest.approx((min(rates), np.mean(rates), max(rates)))]


def test_test_reviews_with_one_label_only_have_no_curves() -> None:
    store, studies = three_models(seeds=2, test_set=replace(TestSet.draw(100), label_N=np.ones(100, np.int8)))
    assert thresholds(collect(studies, store)) is None


def test_each_test_set_has_a_figure() -> None:
    store = FakeStore()
    for seed, name in enumerate(("one", "two")):
        add_study(store, name, {"torch": 0.0}, seeds=2, test_set=TestSet.draw(100, seed=seed))
    report = build_only(store.by_experiment["movie-reviews"], store, thresholds)
    figures = section_of(report, "thresholds").figures
    assert [figure.name for figure in figures] == ["thresholds-1", "thresholds-2"]
    assert ["precision by recall of Torch GRU (one)" in figure.caption for figure in figures] == [True, False]
    assert column_of(report, "thresholds", "Model") == ["Torch GRU (one)", "Torch GRU (two)"]


def test_more_models_than_can_be_told_apart_are_spread_over_figures() -> None:
    store, studies = many_studies(7, TestSet.draw(60), seeds=2, search=False)
    report = build_only(studies, store, thresholds)
    first, second = (figure_of(report, f"thresholds-{place}") for place in (1, 2))
    models = [[name for name in figure.values.groups("model") if name != CHANCE] for figure in (first, second)]
    assert [name for part in models for name in part] == column_of(report, "thresholds", "Model")
    assert len(models[0]) == 4
