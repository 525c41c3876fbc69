"""The training loss section: the loss by window of iterations, for each model and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gru_bench.report.document.blocks import Cell, Column, Paragraph, Table
from gru_bench.report.document.figure import Figure, Value, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import listed
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.figures.style import INK, color_of, folded, new_figure
from gru_bench.report.homework.reproduction import reproductions
from gru_bench.results.logged_metrics import LOSS_TRAIN_WINDOW

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame


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
        best = [min(losses, key=lambda point: point[1]) for _, losses in logged]
        first = group.numbers.over_runs("loss.first", [losses[0][1] for _, losses in logged], "score")
        last = group.numbers.over_runs("loss.last", [losses[-1][1] for _, losses in logged], "score")
        lowest = group.numbers.over_runs("loss.lowest", [loss for _, loss in best], "score")
        windows.append(group.numbers.add("loss.window", group.config.training.log_every, "count",
                                    "iterations a loss is averaged over"))
        rows.append((group.label, windows[-1], first, last, lowest,
                     group.numbers.over_runs("loss.lowest-at", [float(step) for step, _ in best], "count")))
    if not rows:
        return None
    return Section("training-loss", "Training loss", (
        Paragraph((
            "The loss of a single review is noisy; its mean over a window of iterations shows how a model learns. The "
            "homework’s best checkpoint is that of the window with the lowest mean.",
        )),
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
    return Figure(
        "training-loss",
        f"Training loss, in nats per review, averaged over each {window} iterations: each seed (thin) and the mean "
        "over seeds, with one panel for each model.",
        f"Training loss of {listed(list(values.groups('model')))} by iteration.", values, _draw)


def _draw(frame: DataFrame) -> Drawing:
    import seaborn

    models = frame.assign(iteration=frame["iteration"] / 1000).groupby("model", sort=False)
    figure, axes_of = new_figure(2.0, models.ngroups, 3, sharex=True, sharey=True)
    for place, (axes, (model, own)) in enumerate(zip(axes_of, models, strict=True)):
        color = color_of(place)
        seaborn.lineplot(own, x="iteration", y="loss", units="seed", estimator=None, color=color, linewidth=0.5,
                         alpha=0.45, ax=axes)
        # The mean over seeds, at the iterations that all of them have.
        mean = own.pivot(index="iteration", columns="seed", values="loss").dropna().mean(axis=1)
        seaborn.lineplot(x=mean.index, y=mean, estimator=None, color=color, linewidth=1.2, ax=axes)
        axes.set_title(folded(str(model), 26), color=INK)
        axes.set(xlabel="", ylabel="")
        axes.grid(axis="y")
    figure.supxlabel("iteration, thousands")
    figure.supylabel("training loss")
    return figure
