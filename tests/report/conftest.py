"""Reports that several test modules read: each is made once in a process. No test may change them.

Figures are drawn only in tests that use the fixture `drawn`: most of the time that a report takes goes into drawing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from jinja2 import Environment

from gru_bench.document.report import Report
from gru_bench.report.render.files import write
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from tests.support.diagnostics import report_of, some_diagnostics
from tests.support.fake_store import HOSTILE_NAMES, TestSet, hostile_studies, of_classes, one_each, three_models
from tests.support.homework_study import homework
from tests.support.renderings import Built, Rendered, Written, without_drawing
from tests.support.reports import build


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show a digest of its values in place of each figure, unless a test uses the fixture `drawn`."""
    if "drawn" in request.fixturenames:
        yield
    else:
        with without_drawing():
            yield


@pytest.fixture
def drawn() -> None:
    """Draw the figures of a test."""


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    """Compile each template once for all reports, which takes as long as to render a small one."""
    compiled: dict[tuple[object, ...], CodeType] = {}
    compile_anew = Environment.compile

    def compile_once(environment: Environment, source: str, *names: Any) -> CodeType:
        if (source, *names) not in compiled:
            compiled[source, *names] = compile_anew(environment, source, *names)
        return compiled[source, *names]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_once)
        yield


def rendered(report: Report) -> Rendered:
    with without_drawing():
        return Rendered(report, html(report), tex(report))


@pytest.fixture(scope="session")
def built() -> Built:
    """A report of three studies, one model each, with its store."""
    store, studies = three_models()
    return Built(store, studies, build(studies, store, experiment="movie-reviews"))


@pytest.fixture(scope="session")
def three(built: Built) -> Rendered:
    """The same report, rendered."""
    return rendered(built.report)


@pytest.fixture(scope="session")
def made() -> Built:
    """A report of a study of the homework's protocol, with its store."""
    store, studies = homework()
    return Built(store, studies, build(studies, store, experiment="movie-reviews", tracking_uri=store.uri))


@pytest.fixture(scope="session", name="homework")
def of_homework(made: Built) -> Rendered:
    """The same report, rendered."""
    return rendered(made.report)


@pytest.fixture(scope="session")
def hostile() -> Rendered:
    """A rendered report of studies whose names are as bad as names can be."""
    store, studies = hostile_studies()
    return rendered(build(studies, store, experiment=HOSTILE_NAMES[0]))


@pytest.fixture(scope="session")
def classes() -> Rendered:
    """A rendered report of two studies on 14 classes, the names of some of which are odd."""
    store, studies = of_classes(14, size=300, models={"scratch": 0.0, "torch": 0.05})
    return rendered(build(studies, store, experiment="movie-reviews"))


@pytest.fixture(scope="session")
def diagnosed() -> Rendered:
    """A rendered report of a study that logged diagnostics."""
    return rendered(report_of(diagnostics=some_diagnostics()))


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A small report in a folder, with its record."""
    store, studies = one_each({"scratch": 0.0, "torch": 1.0}, test_set=TestSet.draw(100), epochs=2, trials=5)
    # In the order in which a database gives runs.
    studies[:] = [replace(study, trials=tuple(sorted(study.trials, key=attrgetter("started", "run_id"))),
                          confirms=tuple(sorted(study.confirms, key=attrgetter("started", "run_id"))))
                  for study in studies]
    folder = tmp_path_factory.mktemp("original")
    report = build(studies, store, experiment="movie-reviews", tracking_uri=store.uri)
    with without_drawing():
        write(report, folder)
    return Written(store, folder, report)


@pytest.fixture
def folder(original: Written, tmp_path: Path) -> Path:
    """A copy of that folder, to tamper with."""
    return Path(shutil.copytree(original.folder, tmp_path / "copy"))
