"""Figures of gradients, gates and words show the values that a study logged."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.document.figure import Figure
from gru_bench.document.numbers import Numbers
from gru_bench.report.figures.diagnostics import gate_figure, gradient_figure, word_figure
from gru_bench.results.diagnostics import GateMap
from tests.support.commands import mentions
from tests.support.diagnostics import TOKENS, attribution, gate_map, some_diagnostics
from tests.support.renderings import curves_in, drawing_of


def rows(figure: Figure) -> list[dict[str, str]]:
    """The rows of a figure's CSV."""
    return list(csv.DictReader(io.StringIO(figure.values.csv())))


RUNS = {"scratch": "run of scratch", "torch": "run of torch"}
FIGURES = {
    "gradients": gradient_figure(some_diagnostics().flows[:2]),
    "gates": gate_figure([gate_map("scratch", units=3)], "gates"),
    "words": word_figure([attribution("scratch", ("one", "two"))], Numbers(), RUNS),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_the_colors_of_a_figure_are_variables_of_the_page(figure: Figure) -> None:
    assert re.findall(r"#[0-9a-f]{6}\b", figure.svg) == []
    assert figure.alternative
    assert len({len(row) for row in csv.reader(io.StringIO(figure.values.csv()))}) == 1


def test_a_file_is_drawn_in_the_same_way_each_time() -> None:
    png = FIGURES["words"].png
    assert FIGURES["words"].png == png
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") > 1000  # pixels wide


def test_the_figure_of_gradients_has_a_row_for_each_step_of_each_model() -> None:
    flows = rows(FIGURES["gradients"])
    assert len(flows) == 2 * 51
    assert float(flows[51 + 3]["norm"]) == pytest.approx(0.3 * 0.92**3)
    mentions(FIGURES["gradients"].caption, "geometric mean over texts")
    panels = drawing_of(FIGURES["gradients"]).axes
    assert {axes.get_yscale() for axes in panels} == {"log"}
    assert [[y for _, y in curve] for axes in panels for curve in curves_in(axes)] == [
        list(flow.norm) for flow in some_diagnostics().flows[:2]]


def test_the_figure_of_gates_has_a_row_for_each_gate_of_each_word_in_each_direction() -> None:
    maps = [gate_map("bidirectional", direction) for direction in ("forward", "backward")]
    gates = rows(gate_figure(maps, "gates"))
    assert len(gates) == 2 * 2 * len(TOKENS)
    assert float(gates[2]["mean over units"]) == pytest.approx(np.mean(maps[0].update[2]))


def test_a_legend_names_both_classes_of_the_words() -> None:
    (legend,) = drawing_of(FIGURES["words"]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["for positive", "for negative"]


def test_the_caption_of_words_names_the_class_that_they_speak_for() -> None:
    one, two = (replace(attribution(model), label=label, against="")
                for model, label in (("scratch", "sports & arts"), ("torch", "$news$")))
    alone = word_figure([one], Numbers(), RUNS)
    mentions(alone.caption, "support the class sports & arts", "to the left another class")
    both = word_figure([one, two], Numbers(), RUNS)
    mentions(both.caption, "class that each model predicts", "to the left another class")
    titles = [axes.get_title(loc="left") for axes in drawing_of(both).axes]
    assert titles == ["Scratch GRU\n80.0 % for sports & arts", "Torch GRU\n80.0 % for $news$"]


def test_the_lines_of_a_gate_map_are_means_of_its_units_in_order() -> None:
    def bands(*gate: tuple[float, ...]) -> list[list[Any]]:
        figure = gate_figure([GateMap("scratch", "forward", ("word",) * len(gate), gate, gate)], "gates")
        return [list(row[5:]) for row in figure.values.rows[:len(gate)]]

    assert bands((0.9, 0.1, 0.5, 0.3), (0.7, 0.3, 0.5, 0.1)) == [[0.1, 0.3, 0.5, 0.9], [0.3, 0.1, 0.5, 0.7]]
    wide = np.random.default_rng(0).random((3, 100))
    found = np.array(bands(*map(tuple, wide.tolist())))
    assert found.shape == (3, 10)
    assert found.mean(axis=1) == pytest.approx(wide.mean(axis=1))
    assert (np.diff(found.mean(axis=0)) > 0).all()
