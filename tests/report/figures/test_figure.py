"""Every figure brings its values and is drawn alike each time."""

from __future__ import annotations

import csv
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from gru_bench.report.figures.accuracy import pictures
from tests.support.renderings import Rendered, soup_of


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_each_figure_brings_its_values(case: str, request: pytest.FixtureRequest) -> None:
    report, page, _ = request.getfixturevalue(case)
    figures = soup_of(page).find_all("figure")
    drawn = pictures(report)
    assert len(figures) == len(drawn)
    by_name = {figure.find("a", class_="values")["download"]: figure.find("a", class_="values") for figure in figures}
    for picture in drawn:
        encoded = by_name[f"{picture.name}.csv"]["href"].removeprefix("data:text/csv;charset=utf-8,")
        assert not re.search(r"[\s\"#<>]", encoded)
        assert unquote(encoded) == picture.csv()
        header, *rows = csv.reader(picture.csv().splitlines())
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        # No cell that a spreadsheet would compute.
        assert [c for row in rows for c in row if c[:1] in ("=", "+", "@") or re.match(r"-(?![\d.])", c)] == []
    accuracies = csv.DictReader(next(p for p in drawn if p.name == "accuracy").csv().splitlines())
    means = [float(row["accuracy"]) for row in accuracies if row["what"] == "mean over seeds"]
    assert means == [row.accuracy.value for row in report.rows]


def test_figures_are_whole_and_keep_to_themselves(three: Rendered) -> None:
    report, _, _ = three
    drawn = pictures(report)
    ids: list[str] = []
    for picture in drawn:
        svg = picture.svg()
        assert svg == picture.svg()
        root = ElementTree.fromstring(svg)
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "var(--ink)" in svg
        # No color is left that would not follow the page's scheme.
        assert re.findall(r"#0[0-9]0[0-9a]0[0-9ab]", svg) == []
        ids += re.findall(r'\bid="([^"]+)"', picture.for_page()[0])
        pdf = picture.pdf()
        assert pdf.startswith(b"%PDF")
        assert pdf == picture.pdf()
    assert len(ids) == len(set(ids))
    assert len({picture.name for picture in drawn}) == len(drawn)


def test_figures_touch_no_global_state(three: Rendered) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    for picture in pictures(three[0]):
        picture.svg()
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []
