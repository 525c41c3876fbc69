"""The diagrams can be read where they are shown: no label on another, none outside, all colors those of the page."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from gru_bench.report.figures.figure import Picture
from gru_bench.report.figures.style import PAPER, drawing
from gru_bench.report.homework.diagrams import DIAGRAMS, LETTERS, SIZE, SMALL, WIDTH

every = pytest.mark.parametrize("diagram", DIAGRAMS.values(), ids=DIAGRAMS)
PHONE = 272
"""Pixels that a figure has on a page 320 pixels wide."""


@cache
def drawn(name: str) -> tuple[Figure, list[tuple[str, float, Bbox]]]:
    diagram = DIAGRAMS[name]
    with drawing(PAPER, LETTERS):
        figure = diagram.draw(PAPER)
        figure.set_dpi(72)
        canvas: Any = FigureCanvasAgg(figure)
        renderer = canvas.get_renderer()
        found = [(label.get_text(), float(label.get_fontsize()), label.get_window_extent(renderer))
                 for label in figure.findobj(Text) if label.get_text()]
    return figure, found


def labels(diagram: Picture) -> tuple[Figure, list[tuple[str, float, Bbox]]]:
    """Return the figure, and each label's words, size and box in points of the sheet."""
    return drawn(diagram.name)


@every
def test_labels_keep_clear_of_one_another_and_inside(diagram: Picture) -> None:
    figure, found = labels(diagram)
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    assert width == WIDTH
    for words, _, box in found:
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0, words
    for (one, _, a), (two, _, b) in combinations(found, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, (one, two)


@every
def test_a_label_lies_in_its_box_or_outside_of_it(diagram: Picture) -> None:
    figure, found = labels(diagram)
    boxes = [patch.get_window_extent() for patch in figure.findobj(FancyBboxPatch)]
    assert boxes or diagram.name == "chunks"
    for words, _, label in found:
        for box in boxes:
            apart = label.x1 <= box.x0 or box.x1 <= label.x0 or label.y1 <= box.y0 or box.y1 <= label.y0
            inside = box.x0 <= label.x0 and label.x1 <= box.x1 and box.y0 <= label.y0 and label.y1 <= box.y1
            assert apart or inside, words


@every
def test_no_wire_runs_through_a_label(diagram: Picture) -> None:
    figure, found = labels(diagram)
    transform = figure.axes[0].transData
    for wire in figure.findobj(PathPatch):
        path = wire.get_path().interpolated(20).transformed(transform)
        for words, _, label in found:
            inner = label.padded(-1)
            crossed = [point for point in np.asarray(path.vertices) if inner.contains(*point)]
            assert not crossed, words


@every
def test_letters_can_be_read_on_a_phone(diagram: Picture) -> None:
    _, found = labels(diagram)
    # Points of the sheet become pixels of the page; subscripts are 0.7 times as large.
    assert min(size for _, size, _ in found) * PHONE / WIDTH >= 7
    assert {size for _, size, _ in found} <= {SMALL - 1, SMALL, SIZE, SIZE + 1, SIZE + 2, SIZE + 2.5}


@every
def test_a_page_gives_the_colors_and_no_font_is_needed(diagram: Picture) -> None:
    svg = diagram.svg()
    assert "<text" not in svg
    assert "font" not in svg
    assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) <= {
        "none", "var(--ink)", "var(--faint)", "var(--grid)", "var(--series-1)", "var(--series-2)", "var(--series-3)",
    }
    assert all(name.startswith(f"{diagram.name}-") for name in re.findall(r'\bid="([^"]+)"', svg))
    assert set(re.findall(r'href="#([^"]+)"', svg)) <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_a_diagram_is_drawn_alike_each_time() -> None:
    diagram = DIAGRAMS["networks"]
    assert diagram.svg() == diagram.svg()
    assert diagram.pdf() == diagram.pdf()
    assert diagram.pdf().startswith(b"%PDF")


@every
def test_who_does_not_see_it_is_told_all_of_it(diagram: Picture) -> None:
    """Each name of the drawing is named in words."""
    _, found = labels(diagram)
    told = diagram.alternative.lower()
    for words, _, _ in found:
        for name in re.findall(r"[a-z]{4,}", re.sub(r"\$[^$]*\$", "", words).lower()):
            assert name.rstrip("s") in told or name in diagram.caption.lower(), name
