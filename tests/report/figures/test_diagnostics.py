"""Figures of gradients, gates, words and recall hold the values that a study logged."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

from gru_bench.report.evidence.groups import MODEL_NAMES
from gru_bench.report.figures.accuracy import pictures
from gru_bench.report.figures.diagnostics import gate_picture, gradient_picture, recall_picture, word_picture
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, SCREEN, drawing
from tests.support.diagnostics import TOKENS, attribution, gate_map, some_diagnostics, some_recall
from tests.support.renderings import Rendered


def test_the_figures_hold_their_values_and_follow_the_page(diagnosed: Rendered) -> None:
    drawn = {picture.name: picture for picture in pictures(diagnosed[0])}
    expected = {"gradients", "gates-scratch", "gates-bidirectional", "words", "recall"}
    assert expected <= set(drawn)
    for name in expected:
        picture = drawn[name]
        colors = set(re.findall(r"#[0-9a-f]{6}\b", picture.svg()))
        assert not colors, (name, colors)  # all are variables of the page
        assert picture.alternative
        rows = list(csv.reader(io.StringIO(picture.csv())))
        assert len({len(row) for row in rows}) == 1, name
    assert drawn["gates-scratch"].pdf().startswith(b"%PDF")
    flows = list(csv.DictReader(io.StringIO(drawn["gradients"].csv())))
    assert len(flows) == 8 * 51
    assert float(flows[51 + 3]["norm"]) == pytest.approx(0.3 * 0.76**3)
    assert "Vanilla RNN, trained: from 0.3 to" in drawn["gradients"].alternative
    assert "0.760 per step" in drawn["gradients"].alternative
    gates = list(csv.DictReader(io.StringIO(drawn["gates-bidirectional"].csv())))
    assert len(gates) == 2 * 2 * len(TOKENS)
    assert float(gates[2]["mean over units"]) == pytest.approx(np.mean(some_diagnostics().gates[1].update[2]))
    assert "55.0 % (50.0 to 60.0) over 40 steps" in drawn["recall"].alternative


def test_a_file_stands_alone() -> None:
    for picture in (gradient_picture(some_diagnostics().flows, MODEL_NAMES), recall_picture(some_recall(), MODEL_NAMES),
                    gate_picture([gate_map("scratch", units=3)], MODEL_NAMES, "gates"),
                    word_picture([attribution("scratch", "occlusion", ("one",))], MODEL_NAMES)):
        assert picture.alone("png").startswith(b"\x89PNG")
        svg = picture.alone("svg").decode()
        assert "var(--" not in svg
        assert svg == picture.alone("svg").decode()


def test_words_alone_in_a_file_say_what_bars_and_marks_are() -> None:
    """On a page and on paper the caption says it."""
    attributions = [attribution("scratch", method, ("one", "two")) for method in ("occlusion", "gradient times input")]
    picture = word_picture(attributions, MODEL_NAMES)
    with drawing(SCREEN, {}):
        (legend,) = picture.draw(SCREEN).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "for label 1, by occlusion", "for label 0, by occlusion", "gradient times input"]
    assert legend.get_title().get_text() == "How far each word moves the decision"
    for style in (PAGE, NARROW, PAPER):
        with drawing(style, {}):
            assert not picture.draw(style).legends


def test_the_lines_of_a_gate_map_are_means_of_its_units_in_order() -> None:
    from gru_bench.report.figures.diagnostics import _bands

    gate_TH = np.array([[0.9, 0.1, 0.5, 0.3], [0.7, 0.3, 0.5, 0.1]])
    assert _bands(gate_TH).tolist() == [[0.1, 0.3, 0.5, 0.9], [0.3, 0.1, 0.5, 0.7]]
    wide = np.random.default_rng(0).random((3, 100))
    bands = _bands(wide)
    assert bands.shape == (3, 10)
    assert bands.mean(axis=1) == pytest.approx(wide.mean(axis=1))
    assert (np.diff(bands.mean(axis=0)) > 0).all()
