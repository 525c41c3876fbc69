"""Reports with a few sections only, which are built in a fraction of the time of a whole report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gru_bench.document.report import Report, Section
from gru_bench.evidence.collect import Evidence
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore
from tests.support.reports import build


def build_only(
    studies: Sequence[LoggedStudy], store: FakeStore, *contents: Callable[[Evidence], Section | None], **options: Any
) -> Report:
    """Return a report of `studies` that has its summary, its warnings and these sections only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_bench.report.build.CONTENTS", contents)
        return build(studies, store, **options)
