"""The diagrams are legible on a page and on a phone, and their files are what their script draws."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from gru_bench.errors import ExitCode
from gru_bench.report.document.figure import Diagram
from gru_bench.report.figures.style import theme
from gru_bench.report.homework.diagrams import DIAGRAMS, FOLDER
from gru_bench.report.homework.diagrams.draw import DRAWINGS, LETTERS, SIZE, SMALL, WIDTH, files, main, pdf, svg
from tests.support.commands import mentions

every = pytest.mark.parametrize("diagram", DIAGRAMS.values(), ids=DIAGRAMS)
DRAWN_BY = "3.11.2"
"""The version of matplotlib that drew the files."""
PHONE = 272
"""Pixels that a figure has on a page 320 pixels wide."""


@cache
def drawn(name: str) -> tuple[Figure, list[tuple[str, float, Bbox]]]:
    with theme(**LETTERS):
        figure = DRAWINGS[name]()
        figure.set_dpi(72)
        canvas: Any = FigureCanvasAgg(figure)
        renderer = canvas.get_renderer()
        found = [(label.get_text(), float(label.get_fontsize()), label.get_window_extent(renderer))
                 for label in figure.findobj(Text) if label.get_text()]
    return figure, found



def labels(diagram: Diagram) -> tuple[Figure, list[tuple[str, float, Bbox]]]:
    """Return the figure, and the words, the size and the box of each label in points."""
    return drawn(diagram.name)


@pytest.mark.skipif(matplotlib.__version_info__ < (3, 11), reason="letters of earlier versions reach a point lower")
@every
def test_labels_do_not_overlap_and_are_inside_the_figure(diagram: Diagram) -> None:
    figure, found = labels(diagram)
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    assert width == WIDTH
    for words, _, box in found:
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0, words
    for (one, _, a), (two, _, b) in combinations(found, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, (one, two)


@every
def test_letters_can_be_read_on_a_phone(diagram: Diagram) -> None:
    _, found = labels(diagram)
    # Points of the figure become pixels of the page; subscripts are 0.7 times as large.
    assert min(size for _, size, _ in found) * PHONE / WIDTH >= 7
    assert {size for _, size, _ in found} <= {SMALL - 1, SMALL, SIZE, SIZE + 1, SIZE + 2, SIZE + 2.5}


@every
def test_a_diagram_has_the_colors_of_the_page_and_needs_no_font(diagram: Diagram) -> None:
    svg = diagram.svg
    assert "<text" not in svg
    assert "font" not in svg
    assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) <= {
        "none", "var(--ink)", "var(--faint)", "var(--grid)", "var(--series-1)", "var(--series-2)", "var(--series-3)",
    }
    assert all(name.startswith(f"{diagram.name}-") for name in re.findall(r'\bid="([^"]+)"', svg))
    assert set(re.findall(r'href="#([^"]+)"', svg)) <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_the_files_are_those_of_the_diagrams() -> None:
    named = {f"{name}.{kind}" for name in DIAGRAMS for kind in ("svg", "pdf")}
    assert {path.name for path in FOLDER.iterdir() if path.suffix in {".svg", ".pdf"}} == named
    assert DRAWINGS.keys() == DIAGRAMS.keys()
    assert all(diagram.folder == FOLDER and name == diagram.name for name, diagram in DIAGRAMS.items())
    assert all(diagram.pdf.startswith(b"%PDF") for diagram in DIAGRAMS.values())


@pytest.mark.slow
@pytest.mark.skipif(matplotlib.__version__ != DRAWN_BY, reason="other versions may draw otherwise")
def test_the_files_are_what_the_script_draws() -> None:
    """Strokes may differ by the rounding of another machine."""
    found = files()
    assert found.keys() == {f"{name}.{kind}" for name in DIAGRAMS for kind in ("svg", "pdf")}
    for name, diagram in DIAGRAMS.items():
        one, two = (re.split(r"[^\w.#-]+", text) for text in (diagram.svg, found[f"{name}.svg"].decode()))
        for a, b in zip(one, two, strict=True):
            assert a == b or float(a) == pytest.approx(float(b), abs=0.002), name


@pytest.mark.slow
def test_a_diagram_is_drawn_in_the_same_way_each_time() -> None:
    assert svg("networks") == svg("networks")
    assert pdf("networks") == pdf("networks")


def test_the_script_writes_the_files_and_names_those_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {"networks.pdf": b"%PDF", "networks.svg": b"<svg/>", "chunks.svg": b"<svg>1</svg>"}
    monkeypatch.setattr("gru_bench.report.homework.diagrams.draw.FOLDER", tmp_path)
    monkeypatch.setattr("gru_bench.report.homework.diagrams.draw.files", lambda: written)
    monkeypatch.setattr("sys.argv", ["draw"])
    assert main() == ExitCode.DONE
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == written
    monkeypatch.setattr("sys.argv", ["draw", "--check"])
    assert main() == ExitCode.DONE
    (tmp_path / "networks.pdf").unlink()
    (tmp_path / "chunks.svg").write_text("<svg/>", encoding="utf-8")
    capsys.readouterr()
    assert main() == ExitCode.NO
    printed = capsys.readouterr().out
    mentions(printed, "networks.pdf, chunks.svg", str(tmp_path))
    assert "networks.svg" not in printed


@every
def test_the_alternative_text_or_the_caption_has_every_name_of_the_drawing(diagram: Diagram) -> None:
    _, found = labels(diagram)
    told = diagram.alternative.lower()
    for words, _, _ in found:
        for name in re.findall(r"[a-z]{4,}", re.sub(r"\$[^$]*\$", "", words).lower()):
            assert name.rstrip("s") in told or name in diagram.caption.lower(), name
