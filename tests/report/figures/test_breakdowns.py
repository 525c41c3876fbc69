"""The figures by label, category and length are drawn from their tables."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from gru_bench.document.blocks import has_interval
from gru_bench.document.figure import Values
from gru_bench.document.numbers import Number
from gru_bench.document.style import LINES, PANELS
from gru_bench.report.figures.breakdowns import category_figure, confusion_figure, confusion_map
from tests.support.renderings import Built, drawing_of, figure_of, marks_in, table_of


@pytest.mark.parametrize(("name", "what"), [("categories-1", "category"), ("lengths-1", "tokens from")])
def test_accuracies_are_those_of_the_table(built: Built, name: str, what: str) -> None:
    report = built.report
    figure, table = figure_of(report, name), table_of(report, name)
    found = [number for row in table.rows for number in row[2:]]
    assert all(map(has_interval, found))
    rows = list(csv.DictReader(figure.values.csv().splitlines()))
    assert [(float(row["accuracy"]), float(row["low"]), float(row["high"])) for row in rows] == [
        (number.value, number.low, number.high) for number in found]
    assert len({row[what] for row in rows}) == len(table.rows)
    assert list(figure.values.groups("model")) == [column.heading for column in table.columns[2:]]


def test_confusion_counts_are_written_into_the_figure(built: Built) -> None:
    figure = figure_of(built.report, "confusion")
    rows = figure.values.records()
    assert [(row["label"], row["predicted"]) for row in rows[:4]] == [
        ("negative", "negative"), ("negative", "positive"), ("positive", "negative"), ("positive", "positive")]
    texts = [text.get_text().split("\n")[0] for text in drawing_of(figure).axes[1].texts]
    assert texts == [row["mean count"].text for row in rows[4:8]]


@pytest.mark.parametrize(("name", "along"), [("categories-1", 0), ("lengths-1", 1)])
def test_the_marks_of_the_models_are_at_their_accuracies(built: Built, name: str, along: int) -> None:
    figure = figure_of(built.report, name)
    (axes,) = drawing_of(figure).axes
    places = np.concatenate([marks.get_xydata() for marks in marks_in(axes)])
    assert places[:, along].tolist() == [
        100 * number.value for own in figure.values.groups("model").values() for number in own.column("accuracy")]
    # Those of one line or place are next to one another.
    assert len({round(place, 6) for place in places[:, 1 - along].tolist()}) == len(places)


@pytest.mark.parametrize("models", [1, 4])
def test_long_names_of_two_classes_do_not_overlap(models: int) -> None:
    names = ("W" * 40, "[99](n:x.accuracy)")
    values = Values(("model", "label", "predicted", "mean count", "standard deviation"), tuple(
        (f"GRU {model}", label, predicted, Number("count", 10, "count"), Number("spread", None, "tenth"))
        for model in range(models) for label in names for predicted in names))
    figure = drawing_of(confusion_figure(values))
    low, high = (text.get_window_extent() for text in reversed(figure.axes[0].get_yticklabels()))
    assert low.y1 < high.y0
    left, right = (text.get_window_extent() for text in figure.axes[0].get_xticklabels())
    assert left.x1 < right.x0


@pytest.mark.parametrize(("count", "written"), [(12.0, 900), (123456.0, 0), (0.0, 0)])
def test_counts_are_written_into_a_map_where_there_is_room(count: float, written: int) -> None:
    names = [f"class {place}" for place in range(30)]
    (axes,) = drawing_of(confusion_map("map", "GRU", names, np.full((30, 30), count), None)).axes
    assert sum(bool(text.get_text()) for text in axes.texts) == written
    assert [label.get_text() for label in axes.get_yticklabels()] == names


def test_a_caption_says_what_is_not_drawn() -> None:
    def matrices(count: int) -> Values:
        return Values(("model", "label", "predicted", "mean count", "standard deviation"), tuple(
            (f"model {place}", label, other, 5.0, 1.0) for place in range(count) for label in "ab" for other in "ab"))

    def parts(count: int) -> Values:
        return Values(("category", "texts", "model", "accuracy"), tuple(
            (f"part {place}", 10, "One", Number("accuracy", 0.8, "percent")) for place in range(count)))

    for figure, is_said in (
        (confusion_figure(matrices(PANELS)), False), (confusion_figure(matrices(PANELS + 1)), True),
        (category_figure("x", parts(LINES)), False), (category_figure("x", parts(LINES + 1)), True)):
        assert ("are drawn" in figure.caption) == is_said
    assert f"model {PANELS}" not in confusion_figure(matrices(PANELS + 1)).alternative
