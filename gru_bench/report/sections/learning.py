"""Learning curves: the losses and the validation accuracy of each model by iteration."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from gru_bench.data.batches import iterations_of_epoch
from gru_bench.document.blocks import Cell, Column, Table, with_range
from gru_bench.document.figure import Figure, Value, Values
from gru_bench.document.numbers import MISSING, Number
from gru_bench.document.report import Section
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.store import Histories
from gru_bench.report.figures.curves import curves_figure
from gru_bench.results.logged_metrics import ACCURACY_VAL, BEST_EPOCH, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL, Metric

Point = tuple[int, float, float, float]
"""Iteration, mean over seeds, lowest, highest."""
PANELS: tuple[tuple[str, Metric, float], ...] = (
    ("training loss", LOSS_TRAIN, 1), ("validation loss", LOSS_VAL, 1), ("validation accuracy, %", ACCURACY_VAL, 100))
"""Panel of the figure, its metric, and the factor from the metric to what is shown."""
FEW_WINDOWS = 3
"""Windows of the training loss below which its curve is drawn by epoch."""
FEW_EPOCHS = 2
"""Epochs up to which a table has the validation accuracy after each."""
BEST = "Results are those of the best checkpoint of each run, whose epoch is averaged over seeds."
BY_EPOCH = f"{BEST} Validation accuracy is that after each epoch."


def learning(evidence: Evidence) -> Section | None:
    """Return the learning curves, whose values are in the figure's CSV file, and the best epochs; None of files."""
    groups = [group for group in evidence.groups if group.is_logged]
    if not groups:
        return None
    epochs = max((step for group in groups for step in _by_step(group, evidence.histories, LOSS_TRAIN)), default=0)
    is_short = epochs <= FEW_EPOCHS
    table = Table.of(
        "learning", "Best epochs", (BY_EPOCH if is_short else BEST,), groups,
        (Column("Model", align="left", width=4.6), lambda group: group.label),
        (Column("Best epoch"), _best_epoch),
        *((Column(f"Epoch {epoch}", "%"), partial(_after, histories=evidence.histories, epoch=epoch))
          for epoch in range(1, epochs + 1) if is_short))
    return Section("learning", "Learning", (*curves(evidence), table))


def curves(evidence: Evidence) -> tuple[Figure, ...]:
    """Return the figure of the learning curves; nothing where none was logged."""
    rows: list[tuple[Value, ...]] = []
    for panel, metric, scale in PANELS:
        for group in evidence.groups:
            rows += ((panel, group.label, *point) for point in _points(group, evidence.histories, metric, scale))
    columns = ("panel", "series", "iteration", "mean", "low", "high")
    return (curves_figure(Values(columns, tuple(rows))),) if rows else ()


def _best_epoch(group: ModelRuns) -> Number:
    epochs = [run.metrics[BEST_EPOCH.key] for run in group.runs if BEST_EPOCH.key in run.metrics]
    return group.of_runs.add("best-epoch", float(np.mean(epochs)) if epochs else None, "tenth", "mean over seeds")


def _after(group: ModelRuns, histories: Histories, epoch: int) -> Cell:
    """Return the validation accuracy after an epoch."""
    values = _by_step(group, histories, ACCURACY_VAL).get(epoch)
    return with_range(group.on_validation.over_runs(f"epoch-{epoch}", values, "percent")) if values else MISSING


def _by_step(group: ModelRuns, histories: Histories, metric: Metric, scale: float = 1) -> dict[int, list[float]]:
    """Return step -> the values of a metric, of the runs that reached the step."""
    values: dict[int, list[float]] = {}
    for run_id in group.ids:
        for step, value in histories.get(run_id, {}).get(metric.key, ()):
            values.setdefault(step, []).append(scale * value)
    return values


def _points(group: ModelRuns, histories: Histories, metric: Metric, scale: float) -> list[Point]:
    """Return the points of a curve: of the training loss one for each window, of what is logged by epoch one for the
    last iteration of each; nothing where the number of training texts, and so of iterations, is not known."""
    if group.data is None:
        return []
    by_window = _by_step(group, histories, LOSS_TRAIN_WINDOW) if metric is LOSS_TRAIN else {}
    values = {step: found for step, found in by_window.items() if len(found) == len(group.runs)}
    if len(values) < FEW_WINDOWS:
        iterations = iterations_of_epoch(group.data.train, group.config.training)
        values = {epoch * iterations: found for epoch, found in _by_step(group, histories, metric, scale).items()}
    points = [(step, float(np.mean(found)), min(found), max(found)) for step, found in sorted(values.items())]
    return [point for point in points if all(map(math.isfinite, point))]
