"""Figures of gradients, gates, words and recall hold the values that a study logged."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.report.document.figure import Figure
from gru_bench.report.figures.diagnostics import gate_figure, gradient_figure, recall_figure, word_figure
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, SCREEN, drawing
from gru_bench.results.diagnostics import GateMap
from tests.support.diagnostics import TOKENS, attribution, gate_map, some_diagnostics, some_recall
from tests.support.renderings import Rendered, figure_of


def rows(figure: Figure) -> list[dict[str, str]]:
    """The rows of a figure's CSV."""
    return list(csv.DictReader(io.StringIO(figure.csv())))


def words(*methods: str) -> Figure:
    return word_figure([attribution("scratch", method, ("one", "two")) for method in methods])


def test_the_figures_hold_their_values_and_follow_the_page(diagnosed: Rendered) -> None:
    drawn = {name: figure_of(diagnosed.report, name)
             for name in ("gradients", "gates-scratch", "gates-bidirectional", "words", "recall")}
    for name, figure in drawn.items():
        colors = set(re.findall(r"#[0-9a-f]{6}\b", figure.svg()))
        assert not colors, (name, colors)  # all are variables of the page
        assert figure.alternative
        assert len({len(row) for row in csv.reader(io.StringIO(figure.csv()))}) == 1, name
    assert drawn["gates-scratch"].pdf().startswith(b"%PDF")
    flows = rows(drawn["gradients"])
    assert len(flows) == 8 * 51
    assert float(flows[51 + 3]["norm"]) == pytest.approx(0.3 * 0.76**3)
    assert "Vanilla RNN, trained: from 0.3 to" in drawn["gradients"].alternative
    assert "0.760 per step" in drawn["gradients"].alternative
    gates = rows(drawn["gates-bidirectional"])
    assert len(gates) == 2 * 2 * len(TOKENS)
    assert float(gates[2]["mean over units"]) == pytest.approx(np.mean(some_diagnostics().gates[1].update[2]))
    assert "55.0 % (50.0 to 60.0) over 40 steps" in drawn["recall"].alternative
    recall = [[row[column] for column in ("steps", "what", "accuracy", "low")] for row in rows(drawn["recall"])]
    assert recall[4:6] == [["40", "mean over seeds", "0.55", "0.5"], ["40", "seed 0", "0.55", ""]]


def test_a_file_stands_alone() -> None:
    for figure in (gradient_figure(some_diagnostics().flows), gate_figure([gate_map("scratch", units=3)], "gates"),
                   words("occlusion"), recall_figure(some_recall())):
        assert figure.alone("png").startswith(b"\x89PNG")
        svg = figure.alone("svg").decode()
        assert "var(--" not in svg
        assert svg == figure.alone("svg").decode()


def test_words_alone_in_a_file_say_what_bars_and_marks_are() -> None:
    """On a page and on paper the caption says it."""
    figure = words("occlusion", "gradient times input")
    with drawing(SCREEN, {}):
        (legend,) = figure.draw(SCREEN).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "for positive, by occlusion", "for negative, by occlusion", "gradient times input"]
    assert legend.get_title().get_text() == "How far each word moves the decision"
    for style in (PAGE, NARROW, PAPER):
        with drawing(style, {}):
            assert not figure.draw(style).legends


def test_words_of_several_classes_name_them() -> None:
    one, two = (replace(attribution(model, "occlusion"), label=label, against="")
                for model, label in (("scratch", "sports & arts"), ("torch", "$news$")))
    assert "speak for the class sports & arts, to the left for another class" in word_figure([one]).caption
    both = word_figure([one, two])
    assert "speak for the class that each model predicts, to the left for another class" in both.caption
    with drawing(NARROW, {}):
        titles = [axes.get_title(loc="left") for axes in both.draw(NARROW).axes]
    assert titles == ["Scratch GRU\n80.0 % for sports &…", "Torch GRU\n80.0 % for $news$"]


def test_the_lines_of_a_gate_map_are_means_of_its_units_in_order() -> None:
    def bands(*gate: tuple[float, ...]) -> list[list[Any]]:
        figure = gate_figure([GateMap("scratch", "forward", "", ("word",) * len(gate), gate, gate)], "gates")
        return [list(row[5:]) for row in figure.values.rows[:len(gate)]]

    assert bands((0.9, 0.1, 0.5, 0.3), (0.7, 0.3, 0.5, 0.1)) == [[0.1, 0.3, 0.5, 0.9], [0.3, 0.1, 0.5, 0.7]]
    wide = np.random.default_rng(0).random((3, 100))
    found = np.array(bands(*map(tuple, wide.tolist())))
    assert found.shape == (3, 10)
    assert found.mean(axis=1) == pytest.approx(wide.mean(axis=1))
    assert (np.diff(found.mean(axis=0)) > 0).all()
