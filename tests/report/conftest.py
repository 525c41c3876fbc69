"""Reports that several test modules read: each is made once in a process. No test may change them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gru_bench.report.build import build
from gru_bench.report.document.figure import Figure
from gru_bench.report.document.report import Report
from gru_bench.report.render.files import write
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from tests.support.diagnostics import report_of, some_diagnostics, some_recall
from tests.support.fake_store import HOSTILE_NAMES, TestSet, hostile_studies, of_classes, three_models
from tests.support.homework_study import homework
from tests.support.renderings import Built, Rendered, Written


def rendered(report: Report) -> Rendered:
    return Rendered(report, html(report), tex(report))


@pytest.fixture(scope="session", autouse=True)
def drawn_once() -> Iterator[None]:
    """Draw each figure once for all tests: equal figures give equal drawings, which a test of its own shows."""
    kept = {}

    def once(draw: Callable[[Figure], Any]) -> Callable[[Figure], Any]:
        def remembered(figure: Figure) -> Any:
            key = (draw, figure.name, figure.caption, figure.alternative, figure.series, repr(figure.panels),
                   figure.csv())
            if key not in kept:
                kept[key] = draw(figure)
            return kept[key]

        return remembered

    with pytest.MonkeyPatch.context() as patch:
        for name in ("for_page", "pdf"):
            patch.setattr(Figure, name, once(getattr(Figure, name)))
        yield


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
    store, studies = of_classes(14, models={"scratch": 0.0, "torch": 0.05})
    return rendered(build(studies, store, experiment="movie-reviews"))


@pytest.fixture(scope="session")
def diagnosed() -> Rendered:
    """A rendered report of a study that logged diagnostics and a recall curve."""
    return rendered(report_of(diagnostics=some_diagnostics(), recall=some_recall()))


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A report in a folder, with its record."""
    store, studies = three_models(test_set=TestSet.draw(400))
    folder = tmp_path_factory.mktemp("original")
    report = build(studies, store, experiment="movie-reviews", tracking_uri=store.uri)
    write(report, folder)
    return Written(store, folder, report)


@pytest.fixture
def folder(original: Written, tmp_path: Path) -> Path:
    """A copy of that folder, to tamper with."""
    return Path(shutil.copytree(original.folder, tmp_path / "copy"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn, which takes most of the time that a report takes."""
    monkeypatch.setattr(Figure, "for_page", lambda figure: (f"<svg>{figure.name}</svg>", ""))
    monkeypatch.setattr(Figure, "pdf", lambda figure: b"%PDF")
