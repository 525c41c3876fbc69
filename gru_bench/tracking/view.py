"""The saved view of MLflow's table of runs: what each run is, its scores and its settings, without folding.

MLflow keeps a saved view as a tag of an experiment. Its form is not documented. It was read from the code of the pages
of MLflow 3.15 to 3.17, so other versions get none.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gru_bench.config import MetricName
from gru_bench.errors import RunError
from gru_bench.stats.scores import compared
from gru_bench.tracking.client import shown_version
from gru_bench.tracking.failures import is_away

if TYPE_CHECKING:
    from mlflow import MlflowClient

FIRST, BELOW = (3, 15), (4, 0)
"""Versions of MLflow whose saved views are known: the first one, and the first one that is not."""
MISSING = "There is no saved view of the runs: it needs MLflow 3.15 or later, below 4."
PREFIX, KEY = "mlflow.sharedViewState.", "viewStateShareKey"
"""What comes before a view's id in the key of its tag, and the parameter of a page that names it."""
TRAINING = "workflowType=machine_learning"
"""Parameter of a page that opens it among those for training runs. It is not documented either: without it, MLflow
opens those for language models, unless a reader has chosen."""
SETTINGS = ("training.lr", "model.hidden_size", "model.layers")
FIXED = ("attributes.`Run Name`", "runDateAndNestInfo")
"""Columns that MLflow shows first in every view: the name, and when the run began."""


def view_id(metric: MetricName) -> str:
    """Return the id of the view for studies about a score."""
    return f"gru-bench-{metric}"


def view_tag(metric: MetricName) -> str:
    """Return the key of the experiment's tag with the view."""
    return PREFIX + view_id(metric)


def view_page(experiment_id: str, metric: MetricName) -> str:
    """Return where the view of an experiment is shown, from the address of MLflow's pages on."""
    return f"#/experiments/{experiment_id}/runs?{KEY}={view_id(metric)}&{TRAINING}"


def is_known(version: str) -> bool:
    """Return whether the form of saved views is known for a version of MLflow."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and FIRST <= (int(found[1]), int(found[2])) < BELOW


def view(metric: MetricName, created: int) -> str:
    """Return the view for studies about a score, as the value of its tag.

    Runs are sorted by their validation score: the best test score of several seeds is luck. In any order but that of
    their start, MLflow does not fold them under their study, so that its charts draw the curves of runs too.

    Args:
        metric: The score.
        created: Milliseconds since 1970.
    """
    val, test = compared(metric, "val"), compared(metric, "test")
    widths = {"tags.`gru_bench.role`": 120, "tags.`gru_bench.model`": 140, f"metrics.`{val.key}`": 160,
              f"metrics.`{test.key}`": 160, **{f"params.`{setting}`": 140 for setting in SETTINGS},
              "tags.`gru_bench.study`": 140}
    state = {"orderByKey": f"metrics.`{val.key}`", "orderByAsc": not val.higher_is_better,
             "selectedColumns": list(widths), "columnOrder": [*FIXED, *widths], "columnWidths": widths,
             "runsHiddenMode": "FIRST_20_RUNS"}
    return json.dumps({"name": f"gru-bench: runs by {val.label}", "createdAt": created, "updatedAt": created,
                       "state": json.dumps(state)})


def save_view(client: MlflowClient, uri: str, experiment_id: str, metric: MetricName, created: int) -> None:
    """Save the view in an experiment that does not have it. A user may have changed it, so it is never replaced.

    An experiment gets none where its store refuses it, or where another version of MLflow shows it.

    Args:
        client: Client of the store.
        uri: Tracking URI of the store.
        experiment_id: Id of the experiment.
        metric: Score of the studies that the view is for.
        created: Milliseconds since 1970.

    Raises:
        RunError: The store does not answer.
    """
    key = view_tag(metric)
    try:
        if is_known(shown_version(uri)) and key not in client.get_experiment(experiment_id).tags:
            client.set_experiment_tag(experiment_id, key, view(metric, created))
    except RunError as error:
        if is_away(error):
            raise
