"""The section on confidence: how often predictions of each confidence are correct, as they are and calibrated, and what
other thresholds reach.

Shapes: `R` runs (seeds) of a model, `N` test examples, `C` classes, `G` places at which a curve is read off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.blocks import Block, Column, Table, sentences, with_range
from gru_bench.report.document.figure import Value, Values
from gru_bench.report.document.numbers import Kind, Number, Numbers
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns, by_test_set
from gru_bench.report.evidence.temperatures import Temperatures, temperatures
from gru_bench.report.figures.curves import (
    AS_TRAINED,
    CALIBRATED,
    CHANCE,
    OVERLAID,
    PRECISION_RECALL,
    ROC,
    reliability_figure,
    thresholds_figure,
)
from gru_bench.stats import metrics
from gru_bench.stats.calibration import calibrated

CALIBRATION = (
    "Log loss and calibration error on the test texts, before and after temperature scaling, which turns probabilities "
    "q into softmax(log q / T). T minimizes the log loss on validation texts. Predictions and verdicts do not change. "
    "Saved models use the T of the ensemble. Models trained with class weights are not expected to be calibrated.")
BINS = 5
"""Ranges of confidence: enough to see a bend, and few enough that each holds many predictions."""
RATES_G = np.r_[0:20, 20:101:5] / 100
RECALLS_G = np.r_[5:80:5, 80:101] / 100
"""Where curves are read off: at each percent where they are steep, at each fifth where they are flat."""


@dataclass(frozen=True)
class _Predicted:
    """What the runs of a model predict for the test texts, or all of them together as if they were one run."""

    group: ModelRuns
    temperature_R: Sequence[float | None]
    is_ensemble: bool = False

    @cached_property
    def calibrated_RNC(self) -> NDArray[np.float64]:
        """Return the probabilities at the temperature of each run. A run without one keeps its probabilities."""
        return np.stack(list(map(calibrated, self.group.probability_RNC, self.temperature_R)))

    def number(self, numbers: Numbers, name: str, values: Sequence[float], kind: Kind) -> Number:
        """Return the mean of a value over runs; of the ensemble, its one value."""
        if self.is_ensemble and values:
            return numbers.add(name, values[0], kind, "of the mean probability of all seeds")
        return numbers.over_runs(name, values, kind)

    @property
    def temperature(self) -> Number:
        """Return the temperature."""
        return self.number(self.group.on_validation, "temperature",
                           [value for value in self.temperature_R if value is not None], "score")

    def loss(self, name: str, probability_RNC: NDArray[np.floating[Any]]) -> Number:
        """Return the log loss of some probabilities."""
        return self.number(self.group.on_examples, name,
                           [metrics.log_loss(self.group.label_N, each) for each in probability_RNC], "score")

    def error(self, name: str, probability_RNC: NDArray[np.floating[Any]]) -> Number:
        """Return the calibration error of some probabilities."""
        return self.number(self.group.on_examples, name, [
            metrics.expected_calibration_error(self.group.label_N, each) for each in probability_RNC], "percent")


def confidence(evidence: Evidence) -> Section | None:
    """Return the section; None where no probabilities are known."""
    groups = [group for group in evidence.groups if group.has_probabilities]
    if not groups:
        return None
    found = {group.key: temperatures(evidence.store, group.ids) for group in groups}
    singles = [_Predicted(group, found[group.key].run_R) for group in groups]
    values = Values(
        ("model", "probabilities", "probability from", "probability to", "fraction of predictions", "confidence",
         "accuracy"),
        tuple((one.group.label, which, *row) for one in singles
              for which, probability_RNC, key in (
                  (AS_TRAINED, one.group.probability_RNC, "reliability"),
                  *([(CALIBRATED, one.calibrated_RNC, "calibrated")] if any(one.temperature_R) else []))
              for row in _ranges(one.group, probability_RNC, key)),
        intervals=("accuracy",))
    least = min(1 / len(group.classes) for group in groups)
    return Section("confidence", "Confidence", (
        reliability_figure(values, least), *_calibration(singles, found), *_thresholds(groups)))


def _ranges(
    group: ModelRuns, probability_RNC: NDArray[np.floating[Any]], key: str
) -> Iterator[tuple[Number, Number, Number, Number, Number]]:
    """Yield the ends, fraction of predictions, confidence and accuracy of each range that some seed has predictions in.

    Confidence and accuracy are means over the seeds that have some.
    """
    by_run = [metrics.reliability(group.label_N, probability_NC, BINS) for probability_NC in probability_RNC]
    for place, ranges in enumerate(zip(*by_run, strict=True), start=1):
        numbers = group.on_examples.of(f"{key}.bin-{place}")
        some = [found for found in ranges if found.examples]
        if some:
            yield (
                numbers.on(()).add("from", ranges[0].low, "percent", "an end of the range", decimals=0),
                numbers.on(()).add("to", ranges[0].high, "percent", "an end of the range", decimals=0),
                numbers.over_runs("share", [r.examples / group.label_N.size for r in ranges], "percent"),
                numbers.over_runs("confidence", [found.confidence for found in some], "percent"),
                numbers.over_runs("accuracy", [found.accuracy for found in some], "percent"),
            )


def _calibration(singles: Sequence[_Predicted], found: Mapping[str, Temperatures]) -> list[Block]:
    """Return the table of log loss and calibration error before and after, and why models have no temperature."""
    rows: list[_Predicted] = []
    for single in singles:
        known = found[single.group.key]
        rows += [] if known.missing else [single]
        if single.group.has_together and not known.missing:
            ensemble = replace(single.group.together, label=f"{single.group.label}, ensemble",
                               numbers=single.group.numbers.of("together"))
            rows.append(_Predicted(ensemble, (known.together,), is_ensemble=True))
    missing: list[Sentence] = [
        (f"{single.group.label}: not calibrated, because {found[single.group.key].missing}.",)
        for single in singles if found[single.group.key].missing and single.group.is_logged]
    return [*([Table.of(
        "calibration", "Calibration", (CALIBRATION,), rows,
        (Column("Model", align="left", width=3.6), lambda one: one.group.label),
        (Column("Temperature", short="T"), lambda one: with_range(one.temperature)),
        (Column("Loss before"), lambda one: with_range(one.loss("loss", one.group.probability_RNC))),
        (Column("Loss after"), lambda one: with_range(one.loss("calibrated.loss", one.calibrated_RNC))),
        (Column("Calibration error before", unit="%", short="Error before"),
         lambda one: with_range(one.error("calibration", one.group.probability_RNC))),
        (Column("Calibration error after", unit="%", short="Error after"),
         lambda one: with_range(one.error("calibrated.calibration", one.calibrated_RNC))),
    )] if rows else []), *sentences(missing)]


def _thresholds(groups: Sequence[ModelRuns]) -> list[Block]:
    """Return the ROC and precision-recall curves of the models with two classes in their test texts."""
    binary = [group for group in groups if group.is_binary and 0 < group.label_N.mean() < 1]
    parts = [part for members in by_test_set(binary) for part in _parts(members)]
    return [thresholds_figure(f"thresholds-{place}" if len(parts) > 1 else "thresholds", _values(part),
                              part[0].classes[1]) for place, part in enumerate(parts, start=1)]


def _parts(members: Sequence[ModelRuns]) -> list[Sequence[ModelRuns]]:
    """Return models of one test set in as few parts as possible, of about equal sizes."""
    parts = -(-len(members) // OVERLAID)
    size = -(-len(members) // parts)
    return [members[start:start + size] for start in range(0, len(members), size)]


def _values(members: Sequence[ModelRuns]) -> Values:
    """Return the curves of some models of one test set, and those that chance would give."""
    share = float(members[0].label_N.mean())
    return Values(("curve", "model", "x", "mean", "low", "high"), (
        *(row for group in members for row in _curves(group)),
        (ROC, CHANCE, 0, 0, None, None), (ROC, CHANCE, 1, 1, None, None),
        (PRECISION_RECALL, CHANCE, 0, share, None, None), (PRECISION_RECALL, CHANCE, 1, share, None, None),
    ))


def _curves(group: ModelRuns) -> Iterator[tuple[Value, ...]]:
    """Yield the points of both curves of a model: the mean, the lowest and the highest seed at each place.

    Curves are averaged vertically, at fixed false positive rates and recalls (Fawcett 2006). So the area below the mean
    curve is the mean of the areas.
    """
    for curve, read, x_G in ((ROC, metrics.roc_curve, RATES_G),
                             (PRECISION_RECALL, metrics.precision_recall_curve, RECALLS_G)):
        y_RG = np.stack([read(group.label_N, probability_N, x_G) for probability_N in group.probability_RNC[:, :, 1]])
        for x, mean, low, high in zip(x_G, y_RG.mean(0), y_RG.min(0), y_RG.max(0), strict=True):
            yield curve, group.label, float(x), float(mean), float(low), float(high)
