"""Every figure brings its values and is drawn alike each time."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from gru_bench.report.document.figure import Diagram, Figure, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import PAPER
from tests.support.renderings import Rendered, column_of, figure_of, soup_of


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_each_figure_brings_its_values(case: str, request: pytest.FixtureRequest) -> None:
    report, page, _ = request.getfixturevalue(case)
    figures = soup_of(page).find_all("figure")
    assert len(figures) == len(report.figures) > 5
    by_name = {link["download"]: link for link in (figure.find("a", class_="values") for figure in figures)}
    for figure in report.figures:
        encoded = by_name[f"{figure.name}.csv"]["href"].removeprefix("data:text/csv;charset=utf-8,")
        assert not re.search(r"[\s\"#<>]", encoded)
        assert unquote(encoded) == figure.csv()
        header, *rows = csv.reader(figure.csv().splitlines())
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        # No cell that a spreadsheet would compute.
        assert [c for row in rows for c in row if c[:1] in ("=", "+", "@") or re.match(r"-(?![\d.])", c)] == []
    accuracies = csv.DictReader(figure_of(report, "accuracy").csv().splitlines())
    means = [float(row["accuracy"]) for row in accuracies if row["what"] == "mean over seeds"]
    assert means == [number.value for number in column_of(report, "evaluation", "Accuracy")]


def test_figures_are_whole_and_keep_to_themselves(three: Rendered) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot

    report, _, _ = three
    ids: list[str] = []
    before = dict(mpl.rcParams)
    for figure in report.figures:
        assert isinstance(figure, Figure)
        svg = figure.svg()
        assert figure.for_page()[0].startswith(f"{svg}\n")  # drawn once more, for the page
        root = ElementTree.fromstring(svg)
        assert root.get("viewBox")
        assert root.get("width") is None
        assert "var(--ink)" in svg
        # No color is left that would not follow the page's scheme.
        assert re.findall(r"#0[0-9]0[0-9a]0[0-9ab]", svg) == []
        ids += re.findall(r'\bid="([^"]+)"', figure.for_page()[0])
        pdf = figure.pdf()
        assert pdf.startswith(b"%PDF")
        assert pdf == figure._drawn(PAPER, "pdf")[0]  # drawn once more: of `pdf` one drawing is kept for all tests
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []
    assert len(ids) == len(set(ids))
    assert len({figure.name for figure in report.figures}) == len(report.figures)


def test_an_interval_stands_beside_its_value_in_the_table() -> None:
    sure = Number("k", 0.5, "percent", low=0.4, high=0.6)
    values = Values(("name", "share", "runs"), (("=a", sure, 3), ("b", Number("k", None, "percent"), 0.25)), ("share",))
    assert values.csv() == "name,share,low,high,runs\r\n'=a,0.5,0.4,0.6,3\r\nb,,,,0.25\r\n"
    assert values.records()[0] == {"name": "=a", "share": sure, "runs": 3}
    assert list(values.groups("runs")) == [3, 0.25]


def test_a_diagram_is_shown_as_its_files_are(tmp_path: Path) -> None:
    (tmp_path / "cell.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "cell.pdf").write_bytes(b"%PDF-1.4")
    diagram = Diagram("cell", "A cell.", "A cell with 3 gates.", tmp_path)
    assert diagram.for_page() == ("<svg/>", "")
    assert diagram.pdf() == b"%PDF-1.4"
    assert diagram.csv() == ""
