"""The section on correct and wrong predictions: by label, category, length and confidence, and the hardest reviews.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from gru_bench.evaluation import metrics
from gru_bench.report.document.blocks import Block, Column, Details, Table
from gru_bench.report.document.figure import Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Aside
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.figures.breakdowns import confusion_figure
from gru_bench.report.sections.breakdowns import by_category, by_length
from gru_bench.report.sections.reliability import reliability
from gru_bench.report.sections.reviews import hard_reviews

CELLS = ("true-negative", "false-positive", "false-negative", "true-positive")


def errors(evidence: Evidence) -> Section:
    """Return the section."""
    groups = evidence.groups
    return Section("errors", "Errors", (
        *_confusion(groups), *by_category(groups), *by_length(groups), *reliability(groups),
        *hard_reviews(groups, evidence.store),
    ))


def _confusion(groups: Sequence[Group]) -> list[Block]:
    """Return the confusion matrix of each model, as a figure and a table."""
    counts = [(group.label, _counts(group)) for group in groups]
    figure = confusion_figure(Values(
        ("model", "label", "predicted", "mean count", "standard deviation"),
        tuple((label, *divmod(cell, 2), mean, spread)
              for label, cells in counts for cell, (mean, spread) in enumerate(cells)),
    ))
    table = Table(
        "confusion", "Confusion counts", (figure.caption,),
        (Column("Model", align="left", width=4.6), Column("True negatives"), Column("False positives"),
         Column("False negatives"), Column("True positives")),
        tuple((label, *((mean, Aside((" ± ", spread))) for mean, spread in cells)) for label, cells in counts),
    )
    return [figure, Details("Counts of correct and wrong predictions", (table,))]


def _counts(group: Group) -> list[tuple[Number, Number]]:
    """Return the mean and the standard deviation over seeds of each cell of the confusion matrix."""
    counts_R4 = np.array([astuple(metrics.confusion(group.label_N, probability_N))
                          for probability_N in group.probability_RN], dtype=float)
    return [
        (group.number(f"confusion.{name}", float(count_R.mean()), "count", "mean over seeds"),
         group.number(f"confusion.{name}.spread", float(count_R.std(ddof=1)) if count_R.size > 1 else None, "tenth",
                      "standard deviation over seeds"))
        for name, count_R in zip(CELLS, counts_R4.T, strict=True)
    ]
