"""The section on confidence: log loss and calibration error of the probabilities, as they are and calibrated.

Shapes: `R` runs (seeds) of a model, `N` test examples, `C` classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.blocks import Block, Column, Table, sentences, with_range
from gru_bench.report.document.numbers import Kind, Number, Numbers
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns
from gru_bench.report.evidence.temperatures import Temperatures, temperatures
from gru_bench.stats import metrics
from gru_bench.stats.calibration import calibrated

CALIBRATION = (
    "Log loss and calibration error on the test texts, before and after temperature scaling, which turns probabilities "
    "q into softmax(log q / T). T minimizes the log loss on validation texts. Predictions and verdicts do not change. "
    "Saved models use the T of the ensemble. Models trained with class weights are not expected to be calibrated.")


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
    """Return the section; None where no run has logged probabilities."""
    groups = [group for group in evidence.groups if group.has_probabilities]
    found = {group.key: temperatures(evidence.store, group.ids) for group in groups}
    singles = [_Predicted(group, found[group.key].run_R) for group in groups]
    blocks = _calibration(singles, found)
    return Section("confidence", "Confidence", tuple(blocks)) if blocks else None


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
