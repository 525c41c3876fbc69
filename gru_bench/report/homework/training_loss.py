"""The training loss section: the loss by window of iterations, for each model and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gru_bench.report.document.blocks import Cell, Column, Paragraph, Table
from gru_bench.report.document.figure import Figure, Line, Panel, Value, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import prose
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.figures.style import Style, few_ticks, new_figure, short
from gru_bench.report.homework.reproduction import reproductions
from gru_bench.results.logged_metrics import LOSS_TRAIN_WINDOW

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


def training_loss(evidence: Evidence) -> Section | None:
    """Return the section; None where no study of the homework's protocol logged its losses by window."""
    points: list[tuple[Value, ...]] = []
    rows: list[tuple[Cell, ...]] = []
    windows: list[Number] = []
    words: list[str] = []
    for group in (group for one in reproductions(evidence) for group in one.groups.values()):
        logged = [(run.seed, losses) for run in group.runs
                  if (losses := evidence.histories.get(run.run_id, {}).get(LOSS_TRAIN_WINDOW.key))]
        if not logged:
            continue
        points += ((group.label, f"seed {seed}", step, loss) for seed, losses in logged for step, loss in losses)
        best = [min(losses, key=lambda point: point[1]) for _, losses in logged]
        first = group.over_runs("loss.first", [losses[0][1] for _, losses in logged], "score")
        last = group.over_runs("loss.last", [losses[-1][1] for _, losses in logged], "score")
        lowest = group.over_runs("loss.lowest", [loss for _, loss in best], "score")
        windows.append(group.number("loss.window", group.config.training.log_every, "count",
                                    "iterations a loss is averaged over"))
        rows.append((group.label, windows[-1], first, last, lowest,
                     group.over_runs("loss.lowest-at", [float(step) for step, _ in best], "count")))
        words.append(f"{group.label}, over {len(logged)} seeds, from {first.text} to {last.text}, at its lowest "
                     f"{lowest.text}")
    if not rows:
        return None
    return Section("training-loss", "Training loss", (
        Paragraph(prose("""
            The loss of a single review is noisy; its mean over a window of iterations shows how a model learns. The
            homework’s best checkpoint is that of the window with the lowest mean.
        """)),
        training_loss_figure(Values(("model", "seed", "iteration", "loss"), tuple(points)), windows[0].text,
                             f"Training loss in nats per review by iteration. {'; '.join(words)}."),
        Table(
            "training-loss", "Training loss by model",
            ("Training loss in nats per review, means over seeds with the lowest and the highest in brackets.",),
            (Column("Model", align="left", width=3.0), Column("Window"), Column("First"), Column("Last"),
             Column("Lowest"), Column("at iteration")),
            tuple(rows),
        ),
    ))


def training_loss_figure(values: Values, window: str, alternative: str) -> Figure:
    """Return the figure: a panel for each model, with a line for each seed and one for their mean.

    Args:
        values: The points: model, seed, iteration, loss.
        window: Iterations that a loss is averaged over.
        alternative: The numbers in words.
    """
    panels = tuple(Panel(model, (_mean(own),), "iteration") for model, own in values.groups("model").items())
    return Figure(
        "training-loss",
        f"Training loss, in nats per review, averaged over each {window} iterations: each seed (thin) and the mean "
        "over seeds, with one panel for each model.",
        alternative, values, partial(_draw, panels, values.groups("model", "seed")), panels=panels,
    )


def _mean(own: Values) -> Line:
    """Return the mean over seeds at the iterations that all of them have."""
    runs = [dict(zip(run.column("iteration"), run.column("loss"), strict=True)) for run in own.groups("seed").values()]
    steps = sorted(set.intersection(*map(set, runs)))
    loss_RS = np.array([[losses[step] for step in steps] for losses in runs])
    return Line(0, tuple(steps), tuple(loss_RS.mean(0)), tuple(loss_RS.min(0)), tuple(loss_RS.max(0)))


def _draw(panels: Sequence[Panel], runs: Mapping[tuple[str, str], Values], style: Style) -> Drawing:
    from matplotlib.ticker import FuncFormatter

    figure, axes_of = new_figure(style, 0.5, len(panels), 1 if style.narrow else 3, 2.2, sharex=True, sharey=True)
    for place, (panel, axes) in enumerate(zip(panels, axes_of, strict=True)):
        color = style.color(place)
        for (model, _), run in runs.items():
            if model == panel.title:
                axes.plot(run.column("iteration"), run.column("loss"), color=color, linewidth=0.7, alpha=0.45)
        (mean,) = panel.lines
        axes.plot(mean.x, mean.mean, color=color, linewidth=1.6)
        axes.set_title(short(panel.title, 26), loc="left")
        few_ticks(axes.xaxis, 4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}"))
        few_ticks(axes.yaxis, 5)
        axes.grid(axis="y", linewidth=0.5)
    figure.supxlabel("iteration, thousands", fontsize=style.size)
    figure.supylabel("training loss", fontsize=style.size)
    return figure
