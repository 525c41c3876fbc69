"""To be written."""

from __future__ import annotations

from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.collect import Evidence


def summary(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the first sentences of a report."""
    return ()


def cautions_of(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return what a reader must know before the numbers."""
    return tuple(evidence.gaps)
