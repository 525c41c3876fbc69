"""The training loss section of the homework: loss by window of iterations, for each model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gru_bench.report.document.blocks import Block, Blocks, Column, FigureReference, Paragraph, Table, prose
from gru_bench.report.document.report import LossCurve
from gru_bench.report.document.section import Section
from gru_bench.report.evidence.groups import Evidence
from gru_bench.report.homework.protocol import Reproduction
from gru_bench.report.sections.search import as_number
from gru_bench.results.logged_metrics import LOSS_TRAIN_WINDOW

if TYPE_CHECKING:
    from gru_bench.report.figures.figure import Picture


@dataclass(frozen=True)
class LossBlocks(Blocks):
    """A section with loss curves."""

    curves: tuple[LossCurve, ...]


def loss_section(studies: Sequence[Reproduction], evidence: Evidence) -> tuple[Section, ...]:
    """Return the section of the training losses; none where no losses were logged by window."""
    curves = tuple(curve for one in studies for curve in _curves(one, evidence))
    if not curves:
        return ()
    return (Section("training-loss", "Training loss", LossBlocks(_blocks(curves), curves), pictures=_pictures,
                    template="blocks"),)


def _pictures(content: LossBlocks) -> list[Picture]:
    from gru_bench.report.figures.losses import loss_picture

    return [loss_picture(content.curves)]


def _curves(one: Reproduction, evidence: Evidence) -> list[LossCurve]:
    found = []
    for group in one.groups.values():
        runs = [(run.seed, points) for run in group.runs
                if (points := evidence.histories.get(run.run_id, {}).get(LOSS_TRAIN_WINDOW.key))]
        window = as_number(group.runs[0].params.get("training.log_every"))
        if not runs or not window:
            continue
        lowest = [min(points, key=lambda point: point[1]) for _, points in runs]
        found.append(LossCurve(
            group.label,
            group.number("loss.window", window, "count", "iterations a loss is averaged over"),
            tuple((f"seed {seed}", tuple((float(step), float(loss)) for step, loss in points))
                  for seed, points in runs),
            group.over_runs("loss.first", [points[0][1] for _, points in runs], "score"),
            group.over_runs("loss.last", [points[-1][1] for _, points in runs], "score"),
            group.over_runs("loss.lowest", [loss for _, loss in lowest], "score"),
            group.over_runs("loss.lowest-at", [float(step) for step, _ in lowest], "count"),
        ))
    return found


def _blocks(curves: Sequence[LossCurve]) -> tuple[Block, ...]:
    return (
        Paragraph(prose("""
            The loss of a single review is noisy; its mean over a window of iterations shows how a model learns. The
            homework’s best checkpoint is that of the window with the lowest mean.
        """)),
        FigureReference("training-loss"),
        Table(
            "training-loss", "Training loss by model",
            ("Training loss in nats per review, means over seeds with the lowest and the highest in brackets.",),
            (Column("Model", 3.0), Column("Window"), Column("First"), Column("Last"), Column("Lowest"),
             Column("at iteration")),
            tuple((curve.label, curve.window, curve.first, curve.last, curve.lowest, curve.lowest_at)
                  for curve in curves),
        ),
    )
