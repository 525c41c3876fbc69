"""The figures by label, category and length are drawn from their tables, and their labels have room."""

from __future__ import annotations

import csv
from itertools import combinations

import pytest

from gru_bench.report.document.blocks import has_interval
from gru_bench.report.figures.style import NARROW, PAGE, drawing
from tests.support.commands import mentions
from tests.support.renderings import Built, column_of, figure_of, said, table_of


@pytest.mark.parametrize(("name", "what"), [("categories-1", "category"), ("lengths-1", "tokens from")])
def test_accuracies_are_those_of_the_table(built: Built, name: str, what: str) -> None:
    report = built.report
    figure, table = figure_of(report, name), table_of(report, name)
    found = [number for row in table.rows for number in row[2:]]
    assert all(map(has_interval, found))
    rows = list(csv.DictReader(figure.csv().splitlines()))
    assert [(float(row["accuracy"]), float(row["low"]), float(row["high"])) for row in rows] == [
        (number.value, number.low, number.high) for number in found]
    assert len({row[what] for row in rows}) == len(table.rows)
    assert all(number.text in figure.alternative for number in found)
    assert list(figure.series) == [column.heading for column in table.columns[2:]]


def test_confusion_counts_are_those_of_the_table(built: Built) -> None:
    report = built.report
    figure = figure_of(report, "confusion")
    rows = list(csv.DictReader(figure.csv().splitlines()))
    assert [float(row["mean count"]) for row in rows] == [
        count.value for row in table_of(report, "confusion").rows for count, _ in row[1:]]
    assert [(row["label"], row["predicted"]) for row in rows[:4]] == [
        ("negative", "negative"), ("negative", "positive"), ("positive", "negative"), ("positive", "positive")]
    model, (tn, _), (fp, _), (fn, _), (tp, _) = table_of(report, "confusion").rows[1]
    mentions(figure.alternative, f"{model}: of label negative, {tn.text} correct and {fp.text} wrong",
             f"of label positive, {tp.text} correct and {fn.text} wrong")
    with drawing(PAGE, {}):
        texts = [text.get_text() for text in figure.draw(PAGE).axes[1].texts]
    assert [texts[place] for place in (0, 2, 4, 6)] == [tn.text, fp.text, fn.text, tp.text]


def test_the_names_of_lengths_have_room_on_a_phone(built: Built) -> None:
    names = [f"{said(tokens)} tokens  ({size.text})" for tokens, size in zip(
        column_of(built.report, "lengths-1", "Tokens"), column_of(built.report, "lengths-1", "Reviews"), strict=True)]
    with drawing(NARROW, {}):
        figure = figure_of(built.report, "lengths-1").draw(NARROW)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in names]
    assert len(boxes) == len(names) > 4
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
