"""Every figure comes with its values and is drawn in the same way each time."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import Number
from gru_bench.report.render.html import html
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.search import search
from tests.support.fake_store import HOSTILE_NAMES, FakeStore, TestSet, add_study, summarized, with_params
from tests.support.renderings import Built, column_of, figure_of, soup_of, without_drawing
from tests.support.reports import build
from tests.support.sections import build_only

if TYPE_CHECKING:
    pass


def test_each_figure_of_a_page_links_to_its_values_as_csv() -> None:
    store, test_set = FakeStore(), TestSet.draw(60, HOSTILE_NAMES)
    for name in HOSTILE_NAMES:
        add_study(store, name, {"scratch": 0.0}, seeds=2, test_set=test_set)
    report = build(store.by_experiment["movie-reviews"], store)
    with without_drawing():
        page = html(report)
    figures = soup_of(page).find_all("figure")
    assert len(figures) == len(report.figures) > 5
    by_name = {link["download"]: link for link in (figure.find("a", class_="values") for figure in figures)}
    for figure in report.figures:
        encoded = by_name[f"{figure.name}.csv"]["href"].removeprefix("data:text/csv;charset=utf-8,")
        assert not re.search(r"[\s\"#<>]", encoded)
        assert unquote(encoded) == figure.values.csv()
        header, *rows = csv.reader(figure.values.csv().splitlines())
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        # No cell that a spreadsheet would compute.
        assert [c for row in rows for c in row if c[:1] in ("=", "+", "@") or re.match(r"-(?![\d.])", c)] == []
    accuracies = csv.DictReader(figure_of(report, "accuracy").values.csv().splitlines())
    means = [float(row["accuracy"]) for row in accuracies if row["what"] in ("mean over seeds", "baseline")]
    assert sorted(means) == sorted(number.value for number in column_of(report, "results", "Accuracy"))


def test_a_file_of_values_names_the_score_that_the_study_is_about() -> None:
    store = FakeStore()
    study = with_params(add_study(store, "f1", {"torch": 0.0}, test_set=TestSet.draw(60)), metric="macro_f1")
    report = build_only([summarized(study, metric="macro_f1")], store, evaluation, search)
    heads = {figure.name: figure.values.csv().splitlines()[0] for figure in report.figures}
    assert {name: [head for head in line.split(",") if "accuracy" in head] for name, line in heads.items()} == {
        "differences": [], "accuracy": [], "search-history": [], "search-settings": []}
    assert "macro F1,low,high" in heads["accuracy"]
    assert all("validation macro F1" in heads[name] for name in ("search-history", "search-settings"))


def assert_drawn_for_a_page(figures: Iterable[Figure]) -> None:
    """Assert that the drawings have different ids and the colors of the page, and that no state is left behind."""
    import matplotlib as mpl
    from matplotlib import pyplot

    ids: list[str] = []
    before = dict(mpl.rcParams)
    for figure in figures:
        svg = figure.svg
        root = ElementTree.fromstring(svg)
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "var(--ink)" in svg
        # No color is left that does not follow the page's scheme.
        assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
        ids += re.findall(r'\bid="([^"]+)"', svg)
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []
    assert len(ids) == len(set(ids))


def test_the_drawings_of_a_page_have_different_ids_and_the_colors_of_the_page(built: Built) -> None:
    figures = built.report.figures
    assert len({figure.name for figure in figures}) == len(figures)
    assert_drawn_for_a_page([figure for figure in figures if figure.name in ("differences", "confusion", "lengths-1")])


def test_a_figure_is_drawn_in_the_same_way_each_time(built: Built) -> None:
    figure = figure_of(built.report, "differences")
    again = replace(figure)
    assert (again.svg, again.pdf) == (figure.svg, figure.pdf)


@pytest.mark.slow
def test_every_figure_has_the_colors_of_the_page_and_is_drawn_in_the_same_way_on_paper(built: Built) -> None:
    assert_drawn_for_a_page(built.report.figures)
    for figure in built.report.figures:
        assert figure.pdf.startswith(b"%PDF")
        assert replace(figure).pdf == figure.pdf, figure.name


def test_the_csv_has_an_interval_next_to_its_value_and_quotes_formulas() -> None:
    sure = Number("k", 0.5, "percent", low=0.4, high=0.6)
    values = Values(("name", "share", "runs"), (("=a", sure, 3), ("b", Number("k", None, "percent"), 0.25)), ("share",))
    assert values.csv() == "name,share,low,high,runs\r\n'=a,0.5,0.4,0.6,3\r\nb,,,,0.25\r\n"
    assert values.records()[0] == {"name": "=a", "share": sure, "runs": 3}
    assert list(values.groups("runs")) == [3, 0.25]


def test_a_frame_has_its_numbers_as_they_are_shown_and_an_interval_in_columns_of_its_own() -> None:
    sure = Number("k", 0.5, "percent", low=0.4, high=0.6)
    frame = Values(("name", "loss", "share"), (
        ("a", Number("k", 0.25, "score"), sure), ("b", 0.5, Number("k", 0.125, "percent"))), ("share",)).frame()
    assert frame.to_dict("list") == {
        "name": ["a", "b"], "loss": [0.25, 0.5], "share": [50, 12.5], "low": [40, 12.5], "high": [60, 12.5],
        "text": ["50.0", "12.5"]}
