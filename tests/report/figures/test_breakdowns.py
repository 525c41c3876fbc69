"""The figures by length are drawn from their tables, and their labels have room."""

from __future__ import annotations

import csv
from itertools import combinations

from gru_bench.report.figures.accuracy import pictures
from gru_bench.report.figures.style import NARROW, drawing
from tests.support.renderings import Rendered
from tests.support.values import present


def test_length_and_reliability_are_drawn_from_their_tables(three: Rendered) -> None:
    report, _, _ = three
    drawn = {picture.name: picture for picture in pictures(report)}
    lengths = list(csv.DictReader(drawn["lengths-1"].csv().splitlines()))
    table = report.length_tables[0]
    assert [float(row["accuracy"]) for row in lengths] == [n.value for part in table.bins for n in part.accuracy]
    assert table.bins[0].accuracy[1].text in drawn["lengths-1"].alternative
    (panel,) = drawn["reliability"].panels
    for line, model in zip(panel.lines, report.reliability, strict=True):
        known = [part for part in model.bins if part.accuracy.value is not None and not part.few]
        assert line.x == tuple(100 * present(part.confidence.value) for part in known)
        assert line.mean == tuple(100 * present(part.accuracy.value) for part in known)
        assert all(low <= mean <= high for low, mean, high in zip(line.low, line.mean, line.high, strict=True))


def test_the_names_of_lengths_have_room_on_a_phone(three: Rendered) -> None:
    picture = next(picture for picture in pictures(three[0]) if picture.name == "lengths-1")
    names = [f"{part.low.text} to {part.high.text} tokens  ({part.examples.text})"
             for part in three[0].length_tables[0].bins]
    with drawing(NARROW, {}):
        figure = picture.draw(NARROW)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in names]
    assert len(boxes) == len(names) > 4
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
