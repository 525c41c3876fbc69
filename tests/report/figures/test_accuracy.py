"""The figures of accuracy, differences and cost: their axes, their labels and their descriptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.document.figure import Values
from gru_bench.document.numbers import Number, scale_of
from gru_bench.document.style import COLORS, LINES
from gru_bench.report.figures.accuracy import (
    BASELINE,
    MEAN,
    accuracy_figure,
    difference_figure,
)
from gru_bench.report.sections.errors import errors
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.learning import learning
from tests.support.fake_store import TestSet, answered, one_each
from tests.support.renderings import drawing_of, figure_of, marks_in
from tests.support.sections import build_only


def share(value: float, *ends: float) -> Number:
    """Return an accuracy, with an interval where its ends are given."""
    low, high = ends or (None, None)
    return Number("accuracy", value, "percent", low=low, high=high)


def accuracies(*baselines: tuple[str, float]) -> Values:
    """Return the accuracies of a model of two seeds, the lower one at 84 %, and of some baselines."""
    return Values(("model", "what", "accuracy"), (
        ("One", MEAN, share(0.85)), ("One", "seed 1", share(0.84)), ("One", "seed 2", share(0.86)),
        *((name, BASELINE, share(value)) for name, value in baselines),
    ), intervals=("accuracy",))


@pytest.mark.parametrize("right", [True, False])
def test_no_axis_of_percentages_leaves_the_range_from_0_to_100(right: bool) -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.0}, seeds=2, test_set=TestSet.draw(60))
    for key, p in store.predicted.items():
        store.predicted[key] = answered(p, np.full(len(p), right))
    for histories in store.metrics.values():
        histories["accuracy/val"] = [(step, float(right)) for step, _ in histories["accuracy/val"]]
    report = build_only(studies, store, evaluation, errors, learning)
    for name, along in (("accuracy", "x"), ("categories-1", "x"), ("lengths-1", "y"), ("curves", "y")):
        axes = drawing_of(figure_of(report, name)).axes[-1]
        low, high = axes.get_xlim() if along == "x" else axes.get_ylim()
        assert 0 <= low < high <= 100, name
        assert 100 * right in (low, high), name


def test_baselines_near_the_models_are_drawn() -> None:
    for baselines, drawn in (
        ([("far", 0.77)], 0), ([("far", 0.77), ("near", 0.79)], 1), ([("near", 0.79), ("above", 0.99)], 2)
    ):
        figure = accuracy_figure(accuracies(*baselines), scale_of("accuracy"))
        (axes,) = drawing_of(figure).axes
        assert sum(text.get_text().split(":")[0] in dict(baselines) for text in axes.texts) == drawn


def test_the_names_of_baselines_do_not_overlap() -> None:
    (axes,) = drawing_of(accuracy_figure(
        accuracies(("majority class", 0.85), ("linear", 0.85)), scale_of("accuracy"))).axes
    one, two = (text.get_window_extent() for text in axes.texts if "One" not in text.get_text())
    assert not one.overlaps(two)


def test_a_long_name_of_wide_letters_leaves_room_for_the_axes() -> None:
    values = Values(("model", "what", "accuracy"), (("m" * 80, MEAN, share(0.85)), ("m" * 80, "seed 1", share(0.84))),
                    intervals=("accuracy",))
    figure = drawing_of(accuracy_figure(values, scale_of("accuracy")))
    (axes,) = figure.axes
    assert axes.get_position().width > 0.8


def test_seeds_are_marked_below_their_own_mean() -> None:
    values = accuracies()
    other = (("Two", MEAN, share(0.5)), ("Two", "seed 1", share(0.4)), ("Two", "seed 2", share(0.6)))
    (axes,) = drawing_of(accuracy_figure(replace(values, rows=values.rows + other), scale_of("accuracy"))).axes
    assert [marks.get_xydata().tolist() for marks in marks_in(axes)] == [
        [[85, 0]], [[50, 1]], [[84, 0.24], [86, 0.24]], [[40, 1.24], [60, 1.24]]]


def test_the_margin_is_shaded_and_both_models_are_named() -> None:
    values = Values(("pair", "difference"), (("A (x) − B", share(0.004, 0.001, 0.007)),), ("difference",))
    figure = difference_figure(values, 0.02, scale_of("accuracy"))
    assert "95 % intervals, unadjusted" in figure.caption
    (axes,) = drawing_of(figure).axes
    (band,) = axes.patches
    assert [label.get_text() for label in axes.get_yticklabels()] == ["A (x)\n− B"]
    low, high = band.get_extents().transformed(axes.transData.inverted()).intervalx
    assert (low, high) == pytest.approx((-2, 2))
    assert axes.get_xlim() == pytest.approx((-2.6, 2.6))


def test_each_model_has_a_color_of_the_page() -> None:
    values = accuracies()
    other = (("Two", MEAN, share(0.5)), ("Two", "seed 1", share(0.4)))
    svg = accuracy_figure(replace(values, rows=values.rows + other), scale_of("accuracy")).svg
    assert all(f"var(--series-{place})" in svg for place in (1, 2))
    assert "var(--series-3)" not in svg
    assert not any(color in svg for color in COLORS)


def test_a_caption_speaks_of_baselines_that_are_drawn_and_of_models_that_are_not() -> None:
    scale = scale_of("accuracy")
    for baselines, is_drawn in (((), False), ((("TF-IDF", 0.83),), True), ((("majority class", 0.5),), False)):
        assert ("dashed" in accuracy_figure(accuracies(*baselines), scale).caption) == is_drawn
    many = Values(("model", "what", "accuracy"), tuple(
        row for place in range(LINES + 2) for row in ((f"Model {place}", MEAN, share(0.8)),
                                                      (f"Model {place}", "seed 1", share(0.8)))))
    found = accuracy_figure(many, scale)
    assert f"of the {LINES} best of {LINES + 2} models" in found.caption
    assert f"Model {LINES}" not in found.alternative
    for pairs, shown in ((LINES, "for each pair,"), (LINES + 4, f"for the first {LINES} of {LINES + 4} pairs,")):
        rows = tuple((f"A − B{place}", share(0.004, 0.001, 0.007)) for place in range(pairs))
        differences = difference_figure(Values(("pair", "difference"), rows, ("difference",)), 0.02, scale)
        assert shown in differences.caption
        assert len(drawing_of(differences).axes[0].get_yticklabels()) == LINES
