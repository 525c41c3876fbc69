"""The figures of accuracy, differences and cost: their axes, their labels and their descriptions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.report.build import build
from gru_bench.report.figures.accuracy import _log_ticks, pictures
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, drawing
from tests.support.fake_store import (
    TestSet,
    three_models,
)
from tests.support.renderings import Rendered
from tests.support.values import present


def test_an_axis_of_costs_has_more_than_one_tick() -> None:
    for left, right in ((60, 65), (1.2, 1.9), (30, 300), (0.02, 9000), (5.1, 9.7)):
        ticks = _log_ticks(left, right)
        assert 2 <= len(ticks) <= 12
        assert left <= min(ticks) < max(ticks) <= right


@pytest.mark.parametrize("style", [PAGE, NARROW, PAPER], ids=["page", "narrow", "paper"])
@pytest.mark.parametrize("right", [True, False])
def test_no_axis_of_shares_goes_beyond_them(style: Any, right: bool) -> None:
    store, studies = three_models(seeds=2, test_set=TestSet.draw(60))
    for key, p in store.predicted.items():
        probability_N = np.where((p.label_N == 1) == right, 0.9, 0.1).astype(np.float32)
        store.predicted[key] = replace(p, probability_N=probability_N)
    for histories in store.metrics.values():
        histories["accuracy/val"] = [(step, float(right)) for step, _ in histories["accuracy/val"]]
    drawn = {picture.name: picture for picture in pictures(build(studies, store))}
    for name, along in (("accuracy", "x"), ("categories-1", "x"), ("lengths-1", "x" if style.narrow else "y"),
                        ("cost", "y"), ("curves", "y")):
        with drawing(style, {}):
            axes = drawn[name].draw(style).axes[-1]
        low, high = axes.get_xlim() if along == "x" else axes.get_ylim()
        assert 0 <= low < high <= 100, name
        assert 100 * right in (low, high), name


def test_the_names_of_baselines_have_room_on_a_phone() -> None:
    store, studies = three_models(seeds=2, test_set=TestSet.draw(60))
    near = tuple(replace(one, test_accuracy=0.85) for one in present(studies[0].summary).baselines)
    studies = [replace(study, summary=replace(present(study.summary), baselines=near)) for study in studies]
    with drawing(NARROW, {}):
        figure = pictures(build(studies, store))[0].draw(NARROW)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().endswith(" 85.0")]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_alternatives_hold_the_numbers(three: Rendered) -> None:
    report, _, _ = three
    words = {picture.name: picture.alternative for picture in pictures(report)}
    for row in report.rows:
        assert f"{row.label} {row.accuracy.text} ({row.accuracy.ends[0].text} to" in words["accuracy"]
        assert f"{row.label}: of label 0, {row.confusion[0].text} correct" in words["confusion"]
    for pair in report.comparisons:
        assert f"{pair.a} less {pair.b} {pair.difference.text}" in words["differences"]
    assert report.category_tables[0].categories[1].accuracy[2].text in words["categories-1"]
