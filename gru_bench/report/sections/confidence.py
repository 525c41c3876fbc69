"""The section on confidence: how often predictions of each confidence are correct, and what other thresholds reach.

Shapes: `R` runs (seeds) of a model, `N` test examples, `G` places at which a curve is read off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gru_bench.report.document.blocks import Block, Paragraph
from gru_bench.report.document.figure import Value, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import listed
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, families
from gru_bench.report.figures.curves import (
    CHANCE,
    OVERLAID,
    PRECISION_RECALL,
    ROC,
    reliability_figure,
    thresholds_figure,
)
from gru_bench.stats import metrics

BINS = 5
"""Ranges of confidence: enough to see a bend, and few enough that each holds many predictions."""
RATES_G = np.r_[0:20, 20:101:5] / 100
RECALLS_G = np.r_[5:80:5, 80:101] / 100
"""Where curves are read off: at each percent where they are steep, at each fifth where they are flat."""


def confidence(evidence: Evidence) -> Section | None:
    """Return the section; None where no probabilities are known."""
    groups = [group for group in evidence.groups if group.has_probabilities]
    if not groups:
        return None
    values = Values(
        ("model", "probability from", "probability to", "share of predictions", "confidence", "accuracy"),
        tuple((group.label, *found) for group in groups for found in _ranges(group)),
        intervals=("accuracy",))
    least = min(1 / len(group.classes) for group in groups)
    weighed = listed([group.label for group in groups
                     if group.is_logged and group.config.training.class_weight != "none"])
    balanced = [Paragraph((f"{weighed}: trained with weights of the classes, which make rare ones likelier than they "
                           "are. These probabilities are not meant to be calibrated.",))] if weighed else []
    return Section("confidence", "Confidence", (
        *balanced, reliability_figure(values, least), *_thresholds(groups)))


def _ranges(group: Group) -> Iterator[tuple[Number, Number, Number, Number, Number]]:
    """Yield the ends, share of predictions, confidence and accuracy of each range that some seed has predictions in.

    Confidence and accuracy are means over the seeds that have some.
    """
    by_run = [metrics.reliability(group.label_N, probability_NC, BINS) for probability_NC in group.probability_RNC]
    for place, ranges in enumerate(zip(*by_run, strict=True), start=1):
        numbers = group.numbers.of(f"reliability.bin-{place}")
        some = [found for found in ranges if found.examples]
        if some:
            yield (
                numbers.add("from", ranges[0].low, "percent", "an end of the range", decimals=0),
                numbers.add("to", ranges[0].high, "percent", "an end of the range", decimals=0),
                numbers.over_runs("share", [r.examples / group.example_N.size for r in ranges], "percent"),
                numbers.over_runs("confidence", [found.confidence for found in some], "percent"),
                numbers.over_runs("accuracy", [found.accuracy for found in some], "percent"),
            )


def _thresholds(groups: Sequence[Group]) -> list[Block]:
    """Return the ROC and precision-recall curves of the models with two classes in their test reviews."""
    binary = [group for group in groups if group.is_binary and 0 < group.label_N.mean() < 1]
    parts = [part for members in families(binary) for part in _parts(members)]
    return [thresholds_figure(f"thresholds-{place}" if len(parts) > 1 else "thresholds", _values(part),
                              part[0].classes[1]) for place, part in enumerate(parts, start=1)]


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
