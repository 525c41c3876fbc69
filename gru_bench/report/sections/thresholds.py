"""The section on other thresholds than 0.5: ROC curves and precision-recall curves.

Shapes: `R` runs (seeds) of a model, `N` test examples, `G` places at which a curve is read off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gru_bench.report.document.blocks import Column, Details, Table
from gru_bench.report.document.figure import Value, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Section
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, families
from gru_bench.report.figures.curves import CHANCE, OVERLAID, PRECISION_RECALL, RECALLS, ROC, thresholds_figure
from gru_bench.stats import metrics

RATES_G = np.r_[0:20, 20:101:5] / 100
RECALLS_G = np.r_[5:80:5, 80:101] / 100
"""Where curves are read off: at each percent where they are steep, at each fifth where they are flat."""


def thresholds(evidence: Evidence) -> Section | None:
    """Return the section; None without two classes in the test reviews, so that there are no such curves.

    Models with more than two classes have no single threshold: a table shows the areas below the curves of each class.
    """
    groups = [group for group in evidence.groups if group.is_binary and 0 < group.label_N.mean() < 1]
    if not groups:
        return None
    parts = [part for members in families(groups) for part in _parts(members)]
    return Section("thresholds", "ROC and precision-recall curves", (
        *(thresholds_figure(f"thresholds-{place}" if len(parts) > 1 else "thresholds", _values(part),
                            part[0].classes[1])
          for place, part in enumerate(parts, start=1)),
        Details("Precision by recall", (_precisions(groups),)),
    ))


def _parts(members: Sequence[Group]) -> list[Sequence[Group]]:
    """Return models of one test set in as few parts as possible, of about equal sizes."""
    parts = -(-len(members) // OVERLAID)
    size = -(-len(members) // parts)
    return [members[start:start + size] for start in range(0, len(members), size)]


def _values(members: Sequence[Group]) -> Values:
    """Return the curves of some models of one test set, and those that chance would give."""
    share = float(members[0].label_N.mean())
    return Values(("curve", "model", "x", "mean", "low", "high"), (
        *(row for group in members for row in _curves(group)),
        (ROC, CHANCE, 0, 0, None, None), (ROC, CHANCE, 1, 1, None, None),
        (PRECISION_RECALL, CHANCE, 0, share, None, None), (PRECISION_RECALL, CHANCE, 1, share, None, None),
    ))


def _curves(group: Group) -> Iterator[tuple[Value, ...]]:
    """Yield the points of both curves of a model: the mean, the lowest and the highest seed at each place.

    Curves are averaged vertically, at fixed false positive rates and recalls (Fawcett 2006). So the area below the mean
    curve is the mean of the areas.
    """
    for curve, read, x_G in ((ROC, metrics.roc_curve, RATES_G),
                             (PRECISION_RECALL, metrics.precision_recall_curve, RECALLS_G)):
        y_RG = np.stack([read(group.label_N, probability_N, x_G) for probability_N in group.probability_RNC[:, :, 1]])
        for x, mean, low, high in zip(x_G, y_RG.mean(0), y_RG.min(0), y_RG.max(0), strict=True):
            yield curve, group.label, float(x), float(mean), float(low), float(high)


def _precisions(groups: Sequence[Group]) -> Table:
    """Return the precision of each model at some recalls."""
    positive = " or ".join(dict.fromkeys(group.classes[1] for group in groups))
    return Table(
        "thresholds", "Precision by recall",
        (f"Precision, %, at the highest threshold that finds a given share of the reviews of the class {positive}, "
         "the recall: means over seeds, lowest and highest in brackets.",),
        (Column("Model", align="left", width=4.2), *(Column(f"Recall {recall:.0%}".replace("%", " %"))
                                                     for recall in RECALLS)),
        tuple((group.label, *_at_recalls(group)) for group in groups),
    )


def _at_recalls(group: Group) -> list[Number]:
    precision_RG = np.stack([metrics.precision_recall_curve(group.label_N, probability_N, np.array(RECALLS))
                             for probability_N in group.probability_RNC[:, :, 1]])
    return [group.numbers.over_runs(f"precision-at-recall-{100 * recall:.0f}", precision_R.tolist(), "percent")
            for recall, precision_R in zip(RECALLS, precision_RG.T, strict=True)]
