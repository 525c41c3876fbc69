"""The section on confidence: log loss and calibration error of the classifiers that can be taken, as they are served.

Shapes: `N` test examples, `C` classes.
"""

from __future__ import annotations

from gru_bench.document.blocks import Cell, Column, Table
from gru_bench.document.numbers import MISSING
from gru_bench.document.report import Section
from gru_bench.document.sentences import joined
from gru_bench.evidence.candidates import Candidate
from gru_bench.evidence.collect import Evidence
from gru_bench.stats import metrics

CALIBRATION = (
    "Log loss and calibration error on the test texts, as the classifiers are served. Temperature scaling turns the "
    "probabilities q of a trained model into softmax(log q / T), where T minimizes the log loss on validation texts; "
    "linear models are as they are fitted, and an average is of log-odds at both temperatures. The calibration error "
    "is the mean distance between confidence and accuracy. Models trained with class weights are not expected to be "
    "calibrated.")


def confidence(evidence: Evidence) -> Section | None:
    """Return the section; None where nothing can be taken, or not all probabilities are known."""
    rows = [one for one in evidence.candidates.every if one.whole]
    if not rows:
        return None
    return Section("confidence", "Confidence", (Table.of(
        "calibration", "Calibration", (CALIBRATION,), rows,
        (Column("Classifier", align="left", width=3.6), lambda one: one.label),
        (Column("Temperature", short="T"), _temperatures),
        (Column("Log loss", unit="nats"), lambda one: one.on_examples.add(
            "loss", metrics.log_loss(one.label_N, one.probability_RNC[0]), "score", "as it is served")),
        (Column("Calibration error", unit="%"), lambda one: one.on_examples.add(
            "calibration", metrics.expected_calibration_error(one.label_N, one.probability_RNC[0]), "percent",
            "as it is served"))),))


def _temperatures(one: Candidate) -> Cell:
    """Return the temperatures that it is served at: none of a linear model by itself."""
    if len(one.parts) == 1 and one.parts[0].is_fitted_once:
        return MISSING
    found = [(one.on_validation.add(f"temperature-{place}", value, "score"),)
             for place, value in enumerate(one.temperatures, start=1) if value is not None]
    return joined(found, " and ") or MISSING
