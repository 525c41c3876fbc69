"""The training loss section: the loss by window of iterations, for each model and seed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gru_bench.report.document.blocks import Cell, Column, Paragraph, Table
from gru_bench.report.document.figure import Figure, Line, Panel, Value, Values
from gru_bench.report.document.numbers import Number, written
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import prose
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.figures.style import PANELS, Style, few_ticks, new_figure, short
from gru_bench.report.homework.reproduction import reproductions
from gru_bench.results.logged_metrics import LOSS_TRAIN_WINDOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


def training_loss(evidence: Evidence) -> Section | None:
    """Return the section; None where no study of the homework's protocol logged its losses by window."""
    points: list[tuple[Value, ...]] = []
    rows: list[tuple[Cell, ...]] = []
    windows: list[Number] = []
    for group in (group for one in reproductions(evidence) for group in one.groups.values()):
        logged = [(run.seed, losses) for run in group.runs
                  if (losses := evidence.histories.get(run.run_id, {}).get(LOSS_TRAIN_WINDOW.key))]
        if not logged:
            continue
        points += ((group.label, f"seed {seed}", step, loss) for seed, losses in logged for step, loss in losses)
        lowest = [min(losses, key=lambda point: point[1]) for _, losses in logged]
        windows.append(group.number("loss.window", group.config.training.log_every, "count",
                                    "iterations a loss is averaged over"))
        rows.append((
            group.label, windows[-1],
            group.over_runs("loss.first", [losses[0][1] for _, losses in logged], "score"),
            group.over_runs("loss.last", [losses[-1][1] for _, losses in logged], "score"),
            group.over_runs("loss.lowest", [loss for _, loss in lowest], "score"),
            group.over_runs("loss.lowest-at", [float(step) for step, _ in lowest], "count"),
        ))
    if not rows:
        return None
    return Section("training-loss", "Training loss", (
        Paragraph(prose("""
            The loss of a single review is noisy; its mean over a window of iterations shows how a model learns. The
            homework’s best checkpoint is that of the window with the lowest mean.
        """)),
        training_loss_figure(Values(("model", "seed", "iteration", "loss"), tuple(points)), windows[0].text),
        Table(
            "training-loss", "Training loss by model",
            ("Training loss in nats per review, means over seeds with the lowest and the highest in brackets.",),
            (Column("Model", align="left", width=3.0), Column("Window"), Column("First"), Column("Last"),
             Column("Lowest"), Column("at iteration")),
            tuple(rows),
        ),
    ))


def training_loss_figure(values: Values, window: str) -> Figure:
    """Return the figure: a panel for each model, with a line for each seed and one for their mean.

    Args:
        values: The points: model, seed, iteration, loss.
        window: Iterations that a loss is averaged over.
    """
    models = dict(list(values.groups("model").items())[:PANELS])
    means = {model: _mean(own) for model, own in models.items()}
    return Figure(
        "training-loss",
        f"Training loss, in nats per review, averaged over each {window} iterations: each seed (thin) and the mean "
        "over seeds, with one panel for each model.",
        "Training loss in nats per review by iteration. " + "; ".join(
            f"{model}{_words(own)}" for model, own in models.items()) + ".",
        values,
        partial(_draw, models, means),
        panels=tuple(Panel(model, (mean,), "iteration") for model, mean in means.items()),
    )


def _mean(own: Values) -> Line:
    """Return the mean over seeds at the iterations that all of them have."""
    runs = [dict(zip(run.column("iteration"), run.column("loss"), strict=True)) for run in own.groups("seed").values()]
    steps = sorted(set.intersection(*map(set, runs)))
    loss_RS = np.array([[losses[step] for step in steps] for losses in runs])
    return Line(0, tuple(steps), tuple(loss_RS.mean(0)), tuple(loss_RS.min(0)), tuple(loss_RS.max(0)))


def _words(own: Values) -> str:
    runs = [run.column("loss") for run in own.groups("seed").values()]
    first, last, lowest = (
        written(float(np.mean(losses)), "score")
        for losses in ([run[0] for run in runs], [run[-1] for run in runs], [min(run) for run in runs]))
    return f", over {len(runs)} seeds, from {first} to {last}, at its lowest {lowest}"


def _draw(models: Mapping[str, Values], means: Mapping[str, Line], style: Style) -> Drawing:
    figure, axes_of = new_figure(style, 0.5, len(models), 1 if style.narrow else 3, 2.2, sharex=True, sharey=True)
    for place, (axes, (model, own)) in enumerate(zip(axes_of, models.items(), strict=True)):
        _panel(axes, own, means[model], style.color(place))
        axes.set_title(short(model, 26), loc="left")
    figure.supxlabel("iteration, thousands", fontsize=style.size)
    figure.supylabel("training loss", fontsize=style.size)
    return figure


def _panel(axes: Axes, own: Values, mean: Line, color: str) -> None:
    from matplotlib.ticker import FuncFormatter

    runs = own.groups("seed").values()
    for run in runs:
        axes.plot(run.column("iteration"), run.column("loss"), color=color, linewidth=0.7, alpha=0.45)
    if len(runs) > 1:
        axes.plot(mean.x, mean.mean, color=color, linewidth=1.6)
    few_ticks(axes.xaxis, 4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}"))
    few_ticks(axes.yaxis, 5)
    axes.grid(axis="y", linewidth=0.5)
