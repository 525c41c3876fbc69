"""The section on reliability: how often predictions of each confidence are correct."""

from __future__ import annotations

from collections.abc import Iterator

from gru_bench.report.document.blocks import Column, Details, Paragraph, Table
from gru_bench.report.document.figure import Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import listed
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.figures.curves import LEAST, few, reliability_figure
from gru_bench.stats import metrics

BINS = 5
"""Ranges of confidence: enough to see a bend, and few enough that each holds many predictions."""


def reliability(evidence: Evidence) -> Section:
    """Return the section."""
    rows = tuple((group.label, *found) for group in evidence.groups for found in _ranges(group))
    values = Values(
        ("model", "probability from", "probability to", "share of predictions", "confidence", "accuracy"), rows,
        intervals=("accuracy",),
    )
    table = Table(
        "reliability", "Accuracy by confidence",
        ("Predictions by the probability of the predicted class, means over seeds, lowest and highest in brackets. "
         "Where accuracy is below confidence, a model is overconfident. The calibration error among the further scores "
         "is computed differently: it is the mean distance between confidence and accuracy over ten ranges for each "
         "seed alone, then the mean over seeds, so that it is not the mean distance in this table.",),
        (Column("Model", align="left", width=4.2), Column("Probability", unit="%"),
         Column("Predictions", unit="%", note=f"“Few” marks ranges with fewer than {LEAST} predictions of a seed, "
                                              "which the figure leaves out."),
         Column("Confidence", unit="%"), Column("Accuracy", unit="%")),
        # The extremes of the accuracy are shown alone: those of all columns would not fit on paper.
        tuple((label, (low, " to ", high), (share, " (few)" if few(share) else ""), (confidence,), accuracy)
              for label, low, high, share, confidence, accuracy in rows),
        grouped=True,
    )
    least = min(1 / len(group.classes) for group in evidence.groups)
    weighed = listed([group.label for group in evidence.groups if group.config.training.class_weight != "none"])
    balanced = [Paragraph((f"{weighed}: trained with weights of the classes, which make rare ones likelier than they "
                           "are. These probabilities are not meant to be calibrated.",))] if weighed else []
    return Section("reliability", "Reliability of the confidence", (
        *balanced, reliability_figure(values, least), Details("Accuracy by confidence", (table,))))


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
