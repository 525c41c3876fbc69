"""A report of the homework's protocol that several test modules read. No test may change it."""

from __future__ import annotations

import pytest

from gru_bench.report.build import build
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from tests.support.homework_study import Forms, Made, homework


@pytest.fixture(scope="session")
def made() -> Made:
    """A report of a study of the protocol."""
    store, studies = homework()
    return Made(store, studies[0], build(studies, store, experiment="reviews"))


@pytest.fixture(scope="session")
def forms(made: Made) -> Forms:
    """The same report, rendered."""
    return Forms(html(made.report), tex(made.report), markdown(made.report))
