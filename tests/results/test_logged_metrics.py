"""The table of logged metrics is complete, and its keys sort as a reader of MLflow's charts wants them."""

from __future__ import annotations

import numpy as np
import pytest

from gru_bench.results import logged_metrics
from gru_bench.results.logged_metrics import SPLIT_NAMES, Metric, importance, trials_in
from gru_bench.stats.scores import SCORES, best_trial, over_seeds, score, scores
from gru_bench.tracking import Store
from tests.support.runs import modeled, result

KEYS = [
    *(value.key for value in vars(logged_metrics).values() if isinstance(value, Metric)),
    *(score(name, split).key for split in SPLIT_NAMES.values() for name in SCORES)]
"""The keys of all metrics but those whose keys name a model or a setting."""


def test_keys_are_unique() -> None:
    assert len(set(KEYS)) == len(KEYS)


def test_charts_open_on_accuracy_and_loss() -> None:
    """MLflow shows groups of charts by name, and what has no group before them."""
    of_a_study = [trials_in("complete"), best_trial("scratch"), importance("scratch", "training.lr"),
                  over_seeds("scratch", "accuracy", "mean")]
    keys = sorted([*KEYS, *(metric.key for metric in of_a_study)])
    assert all(key.count("/") >= 1 for key in keys)
    groups = list(dict.fromkeys(key.partition("/")[0] for key in keys))
    assert groups[:2] == ["accuracy", "loss"]
    assert groups == ["accuracy", "loss", "result", "score", "search", "size", "time"]


def test_the_table_holds_the_scores_that_are_computed() -> None:
    found = scores(np.array([0, 1, 1, 0]), np.array([[0.8, 0.2], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]]))
    assert sorted(found) == sorted(SCORES)


@pytest.mark.usefixtures("database")
def test_every_key_that_a_run_logs_is_in_the_table() -> None:
    store = Store()
    writer, whole = store.start("reviews", "r", role="single"), result()
    for record in whole.epochs:
        writer.epoch(record)
    writer.finish(modeled(whole))
    (run,) = store.runs("reviews")
    logged = set(run.metrics)
    assert set(logged) <= set(KEYS)
    # The seconds are of a study, and a trial of a search may have checks.
    assert set(KEYS) - set(logged) == {"time/study_seconds", "time/search_seconds", "search/check"}
