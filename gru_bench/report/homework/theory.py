"""To be written."""

from __future__ import annotations

from gru_bench.report.document.section import Section
from gru_bench.report.evidence.collect import Evidence


def theory(evidence: Evidence) -> Section | None:
    """Return the section."""
    return None
