"""The page, the document and the Markdown say the same: every sentence, every cell of every table, every number."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from gru_bench.document.blocks import (
    Bullets,
    Column,
    Details,
    Heading,
    Paragraph,
    Table,
    with_range,
)
from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import Number
from gru_bench.document.report import Report, Section, Source, SourceStudy
from gru_bench.document.sentences import Anchor, Aside, Ends, KnownRun
from gru_bench.document.style import new_figure
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from tests.support.fake_store import HOSTILE_NAMES, FakeStore, TestSet, add_study, many_studies
from tests.support.formats import (
    MARKDOWN,
    PAGE,
    PAPER,
    expected,
    markdown_words,
    page_words,
    paper_words,
    plain_markdown,
    plain_tex,
)
from tests.support.renderings import html_numbers, soup_of, tex_numbers
from tests.support.reports import build

RUN = KnownRun("0" * 32, "torch seed 1", "torch", None)
ROUND = Number("k.round", 0.861, "percent", "a method", 0.846, 0.876, runs=(RUN.run_id,), examples=200)
COUNT = Number("k.count", 1234, "count")
SMALL = Number("k.small", 0.0001, "p")
MINUS = Number("k.minus", -0.0123, "points", low=-0.02, high=0.001, method="a method", decimals=2)
MISSING = Number("k.missing", None, "percent")
RANGE = Number("k.range", 0.874, "percent", "mean", 0.872, 0.876, runs=(RUN.run_id,), examples=200, is_range=True)
ENDING = "\\ {} ## 5. --- | `x` $y$ <b> & ~ ^ “q” [z](http://u) *_ @me %"


def wide(models: int) -> Table:
    """A table of so many models, with a column before and one after them."""
    return Table(
        "wide", "A wide table", ("Cells of models.",),
        (Column("Part", align="left"), *(Column(f"Model {n}", "%", named=True) for n in range(models)), Column("All")),
        tuple((f"row {row}", *(Number(f"wide.{row}-{n}", n / 10, "percent") for n in range(models)), COUNT)
              for row in range(3)))


def dense() -> Table:
    """A table with an interval in each of five columns."""
    return Table("dense", "Dense", ("Many intervals.",), (Column("Model", align="left"), *(
        Column(f"Score {n}", "%") for n in range(5))), (
            ("one", *(replace(ROUND, key=f"dense.{n}") for n in range(5))),
            (("two", Aside(("with ", COUNT), below=True)), *(replace(MINUS, key=f"dense.two-{n}") for n in range(4)),
             MISSING)))


def some(folder: Path) -> Section:
    """Return a section with every kind of block, and whatever a cell or a sentence may hold."""
    return Section("some", "Some & all", (
        Heading("A heading <of> 5 %", "a-heading"),
        Paragraph(("Text with ", ROUND, ", ", Aside((" an aside of ", COUNT)), ", ",
                   RUN, " and ", Anchor("runs-of-it", (RUN.run_id,), ("its runs",)), ENDING), lead="A lead."),
        Bullets((("", ("plain", SMALL)), ("Bold.", ("and ", MISSING)), ("", ("- not a list",)), ("", ("1. no",)))),
        Bullets((("“quoted” <review> of *stars*", ("label ", COUNT)),), quoted=True),
        Details("More of it", (Paragraph(("Folded ", MINUS),), dense())),
        Details("A table alone", (replace(wide(2), key="two", title="Two"),), opened=True),
        Table("mixed", "Mixed", ("Caption with ", COUNT, "."), (
            Column("Model", align="left"),
            Column("Accuracy", "%", short="Acc."), Column("Loss"), Column("Text & more", align="left", width=4.0)), (
                (("Torch GRU", Aside(("lr ", COUNT), below=True)), ROUND, SMALL, ENDING),
                (("Torch GRU",), MISSING, COUNT, ("a b", Aside(("below",), below=True))),
                ("Other", replace(ROUND, key="k.wider", low=0.1), MINUS,
                 (RUN, Aside(("90 % interval [", Ends(replace(ROUND, key="k.ends"), ", "), "]"), below=True))),
                ("base | line", COUNT, "", ""),
                ("Ranges", with_range(RANGE), replace(RANGE, key="k.alone"), with_range(COUNT))),
              grouped=True),
        wide(7),
        Figure("bars", "Bars <of> 5 %.", "Bars: 5.", Values(("name", "value"), (("a", COUNT),)), draw),
    ), appendix=True)


def draw(frame: DataFrame) -> Drawing:
    figure, (axes,) = new_figure(1.5)
    axes.barh(frame["name"], frame["value"])
    return figure


@pytest.fixture
def every_kind(tmp_path: Path) -> Report:
    """A report with every kind of block."""
    return Report(
        "A title of 5 % & <more>", "Below it.", (("First ", ROUND, "."),),
        (("Careful of ", COUNT), (ENDING,)), (some(tmp_path),), (RUN,),
        Source(experiment="e", tracking_uri="", margin=0.01, warnings_before=(),
               on_test={}, studies=(SourceStudy("one", RUN.run_id),)))


def check(report: Report, page: str, files: dict[str, str], text: str) -> None:
    """Compare all three formats with the blocks that they show."""
    for found, form in ((page_words(page, report), PAGE), (paper_words(files, report), PAPER),
                        (markdown_words(text), MARKDOWN)):
        right = expected(report, form)
        assert list(found) == list(right)
        for title, said in found.items():
            for one, two in zip_longest(said, right[title]):
                assert one == two, title
    numbers, on_page = report.numbers, html_numbers(page)
    assert {key: shown for key, (shown, _) in on_page.items()} == tex_numbers(files)
    for key, (shown, value) in on_page.items():
        base, _, end = key.rpartition(".")
        number = numbers[key] if key in numbers else numbers[base].ends[("low", "high").index(end)]
        assert (shown, value) == (number.text, "" if number.value is None else repr(float(number.value)))
    in_figures = {cell.key for figure in report.figures if isinstance(figure, Figure)
                  for row in figure.values.rows for cell in row if isinstance(cell, Number)}
    by_their_ends = {key for key, number in numbers.items() if number.ends[0].key in on_page}
    assert set(numbers) <= set(on_page) | in_figures | by_their_ends


def test_every_kind_of_block_is_the_same_in_all_formats(every_kind: Report) -> None:
    check(every_kind, html(every_kind), tex(every_kind), markdown(every_kind))


@pytest.mark.parametrize("case", ["three", "hostile", "diagnosed", "homework", "classes"])
def test_all_formats_show_the_same(case: str, request: pytest.FixtureRequest) -> None:
    report, page, files = request.getfixturevalue(case)
    check(report, page, files, markdown(report))
    # A report may be sent away from the files of this project.
    assert not any("docs/" in text for text in (page, *files.values(), markdown(report)))


@pytest.mark.parametrize(("name", "right", "wrong"), [
    ("page", ">86.1<", ">86.2<"),
    ("page", "Cells of models.", "Cells of some."),
    ("page", "Model 6,\u00a0%", "Model 9,\u00a0%"),
    ("tables/mixed.tex", "Acc.", "Occ."),
    ("tables/wide.tex", "{60.0}", "{61.0}"),
    ("report.tex", "Folded", "Fold"),
    ("markdown", "| 86.1 [", "| 86.2 ["),
    ("markdown", "- plain", "- plainer"),
])
def test_a_digit_or_a_word_that_one_format_says_otherwise_is_found(
    name: str, right: str, wrong: str, every_kind: Report
) -> None:
    files = {"page": html(every_kind), **tex(every_kind), "markdown": markdown(every_kind)}
    assert right in files[name]
    files[name] = files[name].replace(right, wrong, 1)
    page, text = files.pop("page"), files.pop("markdown")
    with pytest.raises(AssertionError):
        check(every_kind, page, files, text)


def lamps() -> Section:
    """Return a section that a test adds: one function, and no template."""
    lit = Number("lamps.lit", 4, "count", "counted")
    return Section("lamps", "Lamps", (
        Paragraph((lit, " lamps are lit.")),
        Table("lamps", "Lamps by room", ("Lamps in each room.",), (Column("Room", align="left"), Column("Lamps")),
              (("hall", lit),)),
        Figure("lamps", "Lamps.", f"Lamps: {lit.text}.", Values(("room", "lamps"), (("hall", lit),)), draw),
    ))


def test_a_section_is_added_by_one_function(every_kind: Report) -> None:
    report = replace(every_kind, sections=(*every_kind.sections, lamps()))
    page, files, text = html(report), tex(report), markdown(report)
    check(report, page, files, text)
    soup = soup_of(page)
    assert [heading.get_text() for heading in soup.find_all("h2")] == ["Some & all", "Lamps"]
    assert soup.find("a", href="#lamps").get_text() == "Lamps"
    assert html_numbers(page)["lamps.lit"] == ("4", "4.0")
    assert soup.find("a", download="lamps.csv")
    assert "\\section{Lamps}\n\\val{lamps.lit}{4} lamps are lit" in files["report.tex"]
    assert "\\drawn{lamps}{Lamps." in files["report.tex"]
    assert "## Lamps\n\n4 lamps are lit.\n" in text
    assert "| hall | 4 |" in text


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, ENDING])
def test_what_is_escaped_is_read_back(name: str) -> None:
    """The comparison reads names as a reader of each format does."""
    from gru_bench.document.numbers import plain
    from gru_bench.report.render import latex
    from gru_bench.report.render import markdown as marked
    from tests.support.formats import one_line

    assert plain_tex(latex.escaped(plain(name))) == one_line(plain(name))
    assert plain_markdown(marked.escaped(plain(name))) == one_line(plain(name))


def test_one_category_and_no_search() -> None:
    store = FakeStore()
    study = add_study(store, "plain", {"scratch": 0.0}, test_set=TestSet.draw(300, [""]), search=False)
    report = build([replace(study, baselines=())], store)
    page, files, text = html(report), tex(report), markdown(report)
    check(report, page, files, text)
    assert "Accuracy by category" not in page
    assert 'id="search"' not in page
    assert not {"tables/comparisons.tex", "tables/search.tex"} & set(files)
    assert "## Comparisons" not in text


@pytest.mark.slow
def test_many_models_and_categories() -> None:
    store, studies = many_studies(
        14, TestSet.draw(300, [f"category {i}" for i in range(40)]), skill=0.02, seeds=2, epochs=2, trials=5)
    report = build(studies, store)
    page, files, text = html(report), tex(report), markdown(report)
    check(report, page, files, text)
    assert "tables/comparisons.tex" in files
    assert files["tables/categories-1.tex"].count(r"\begin{longtable}") == 5
