"""The report of some studies, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gru_bench.document.report import Report
from gru_bench.evidence.collect import collect
from gru_bench.evidence.store import Store
from gru_bench.report import build as report
from gru_bench.tracking import LoggedStudy


def build(
    studies: Sequence[LoggedStudy], store: Store, *, margin: float | None = None, **about: Any
) -> Report:
    return report.build(collect(studies, store, margin), **about)
