"""Learning curves: the losses and the validation accuracy of each model by epoch and by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gru_bench.report.document.numbers import KINDS, Number
from gru_bench.report.document.report import Curve, Epoch, WindowLosses
from gru_bench.report.evidence.groups import Group, Histories
from gru_bench.report.sections.search import as_number
from gru_bench.results.logged_metrics import ACCURACY_VAL, BEST_EPOCH, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL, Metric


def learning_curve(group: Group, histories: Histories) -> Curve:
    """Return the learning curve of a model, averaged over the runs that reached each epoch."""
    by_run = [histories.get(run_id, {}) for run_id in group.ids]
    steps = sorted({step for run in by_run for step, _ in run.get(LOSS_TRAIN.key, ())})
    epochs = []
    for epoch in steps:
        def averaged(name: str, metric: Metric, epoch: int = epoch) -> Number:
            values = [value for run in by_run for step, value in run.get(metric.key, ()) if step == epoch]
            return group.over_runs(f"epoch-{epoch}.{name}", values, KINDS[metric.unit])

        reached = sum(any(step == epoch for step, _ in run.get(LOSS_TRAIN.key, ())) for run in by_run)
        epochs.append(Epoch(
            epoch=group.number(f"epoch-{epoch}", epoch, "count"),
            seeds=group.number(f"epoch-{epoch}.seeds", reached, "count"),
            train_loss=averaged("train-loss", LOSS_TRAIN),
            validation_loss=averaged("validation-loss", LOSS_VAL),
            validation_accuracy=averaged("validation-accuracy", ACCURACY_VAL),
        ))
    best = [run.metrics[BEST_EPOCH.key] for run in group.runs if BEST_EPOCH.key in run.metrics]
    return Curve(
        group.key, group.label, tuple(epochs), _window_losses(group, by_run),
        group.number("best-epoch", float(np.mean(best)) if best else None, "tenth", "mean over seeds"),
    )


def _window_losses(group: Group, by_run: Sequence[Mapping[str, Sequence[tuple[int, float]]]]) -> WindowLosses | None:
    """Return the training loss by iteration, counted in epochs; None where that cannot be known."""
    batch = as_number(group.runs[0].params.get("training.batch_size"))
    if group.data is None or not batch:
        return None
    examples = group.data.train
    drop_last = group.runs[0].params.get("training.drop_last") == "True"
    iterations = int(examples // batch if drop_last else -(-examples // batch))
    values: dict[int, list[float]] = {}
    for run in by_run:
        for step, value in run.get(LOSS_TRAIN_WINDOW.key, ()):
            values.setdefault(step, []).append(value)
    full = [step for step in sorted(values) if len(values[step]) == len(by_run)]
    if len(full) < 3 or not iterations:
        return None
    return WindowLosses(
        tuple(step / iterations for step in full), tuple(float(np.mean(values[step])) for step in full),
        tuple(min(values[step]) for step in full), tuple(max(values[step]) for step in full),
    )
