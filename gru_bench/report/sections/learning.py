"""Learning curves: the losses and the validation accuracy of each model by epoch and by window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gru_bench.data.batches import iterations_of_epoch
from gru_bench.report.document.blocks import Block, Column, Details, Paragraph, Table
from gru_bench.report.document.figure import Value, Values
from gru_bench.report.document.numbers import KINDS, Number
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined
from gru_bench.report.evidence.collect import Evidence, Histories
from gru_bench.report.evidence.groups import Group
from gru_bench.report.figures.curves import curves_figure
from gru_bench.results.logged_metrics import ACCURACY_VAL, BEST_EPOCH, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL, Metric

Epoch = tuple[Number, Number, Number, Number, Number]
"""An epoch, the number of seeds that reached it, training loss, validation loss, validation accuracy."""
Point = tuple[float, float, float, float]
"""Position in epochs, mean over seeds, lowest, highest."""
TRAIN_LOSS, VALIDATION_LOSS, VALIDATION_ACCURACY = 2, 3, 4
"""Places in an `Epoch`."""


def learning(evidence: Evidence) -> Section:
    """Return the learning curves, the best epochs, and the values by epoch."""
    curves = [(group, _epochs(group, evidence.histories)) for group in evidence.groups]
    drawn = [(group, epochs) for group, epochs in curves if epochs]
    values = _values(drawn, evidence.histories)
    figures: list[Block] = [curves_figure(values)] if values.rows else []
    best: list[Sentence] = []
    for group in evidence.groups:
        places = [run.metrics[BEST_EPOCH.key] for run in group.runs if BEST_EPOCH.key in run.metrics]
        mean = float(np.mean(places)) if places else None
        best.append((group.numbers.add("best-epoch", mean, "tenth", "mean over seeds"), f" for {group.label}"))
    table = Table(
        "epochs", "Losses by epoch",
        ("Means over the seeds that reached the epoch. Losses are in nats per review.",),
        (Column("Model", align="left", width=3.4), Column("Epoch"), Column("Seeds"), Column("Training loss"),
         Column("Validation loss"), Column("Validation accuracy", "%")),
        tuple((group.label, *epoch) for group, epochs in curves for epoch in epochs), grouped=True)
    return Section("learning", "Learning", (
        *figures,
        Paragraph(("The results are those of each run’s best checkpoint. On average over seeds it comes from epoch ",
                   *joined(best, ", "), ".")),
        Details("Values by epoch", (table,)),
    ))


def _epochs(group: Group, histories: Histories) -> list[Epoch]:
    """Return the epochs of a model, each averaged over the runs that reached it."""
    by_run = [histories.get(run_id, {}) for run_id in group.ids]

    def averaged(epoch: int, name: str, metric: Metric) -> Number:
        values = [value for run in by_run for step, value in run.get(metric.key, ()) if step == epoch]
        return group.numbers.over_runs(f"epoch-{epoch}.{name}", values, KINDS[metric.unit])

    reached = [{step for step, _ in run.get(LOSS_TRAIN.key, ())} for run in by_run]
    return [
        (group.numbers.add(f"epoch-{epoch}", epoch, "count"),
         group.numbers.add(f"epoch-{epoch}.seeds", sum(epoch in steps for steps in reached), "count"),
         averaged(epoch, "train-loss", LOSS_TRAIN), averaged(epoch, "validation-loss", LOSS_VAL),
         averaged(epoch, "validation-accuracy", ACCURACY_VAL))
        for epoch in sorted(set().union(*reached))
    ]


def _values(curves: Sequence[tuple[Group, Sequence[Epoch]]], histories: Histories) -> Values:
    """Return the points of the curves: a panel for each quantity."""
    rows: list[tuple[Value, ...]] = []
    for quantity, place in (("training loss", TRAIN_LOSS), ("validation loss", VALIDATION_LOSS),
                            ("validation accuracy, %", VALIDATION_ACCURACY)):
        for group, epochs in curves:
            by_window = _by_window(group, histories) if place == TRAIN_LOSS else []
            rows += ((quantity, group.label, *point) for point in by_window or _by_epoch(epochs, place))
    return Values(("panel", "series", "epoch", "mean", "low", "high"), tuple(rows))


def _by_epoch(epochs: Sequence[Epoch], place: int) -> list[Point]:
    """Return the known values of a quantity, shares in percent."""
    points = []
    for epoch in epochs:
        number = epoch[place]
        scale = 100 if number.kind == "percent" else 1
        if number.value is not None and math.isfinite(number.value):
            mean, low, high = (scale * (number.value if end is None else end)
                               for end in (None, number.low, number.high))
            points.append((epoch[0].value or 0, mean, low, high))
    return points


def _by_window(group: Group, histories: Histories) -> list[Point]:
    """Return the training loss by iteration, counted in epochs; empty where it was not logged so, or is not known."""
    if group.data is None:
        return []
    iterations = iterations_of_epoch(group.data.train, group.config.training)
    values: dict[int, list[float]] = {}
    for run_id in group.ids:
        for step, value in histories.get(run_id, {}).get(LOSS_TRAIN_WINDOW.key, ()):
            values.setdefault(step, []).append(value)
    full = [step for step in sorted(values) if len(values[step]) == len(group.runs)]
    if len(full) < 3 or not iterations:
        return []
    points = [(step / iterations, float(np.mean(values[step])), min(values[step]), max(values[step])) for step in full]
    return [point for point in points if all(map(math.isfinite, point))]
