"""What single checks warn of."""

from __future__ import annotations

from gru_bench.checks import CHECKS, Subject
from gru_bench.document.sentences import Warning


def warnings_of(subject: Subject, *codes: str) -> list[Warning]:
    """Return what some checks warn of."""
    return [one for code in codes for one in CHECKS[code].outcome(subject).warnings]
