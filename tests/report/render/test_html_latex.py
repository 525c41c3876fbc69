"""The page and the document show the same numbers, escape whatever a name holds, and stand alone."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from matplotlib.figure import Figure

from gru_bench.report.build import build
from gru_bench.report.document.numbers import Number, written
from gru_bench.report.document.section import Section
from gru_bench.report.figures.accuracy import pictures
from gru_bench.report.figures.figure import Picture
from gru_bench.report.figures.style import Style, new_figure
from gru_bench.report.render import html_latex as render
from gru_bench.report.render import markdown as markdown_module
from gru_bench.resources import resource
from tests.support.fake_store import (
    FakeStore,
    TestSet,
    add_study,
    three_models,
)
from tests.support.renderings import Rendered, html_numbers, soup_of, tex_numbers, visible_text
from tests.support.values import present


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_page_and_document_show_the_same_numbers(case: str, request: pytest.FixtureRequest) -> None:
    report, page, files = request.getfixturevalue(case)
    on_page, on_paper = html_numbers(page), tex_numbers(files)
    assert {key: text for key, (text, _) in on_page.items()} == on_paper
    numbers = report.numbers()
    assert set(numbers) <= set(on_page)
    for key, (text, value) in on_page.items():
        number = numbers.get(key)
        if number is None:
            base, _, end = key.rpartition(".")
            number = numbers[base].ends[("low", "high").index(end)]
        assert text == number.text
        assert value == ("" if number.value is None else repr(float(number.value)))


def test_a_number_is_told_apart_when_it_differs(three: Rendered) -> None:
    report, page, files = three
    key = report.rows[0].accuracy.key
    text = report.rows[0].accuracy.text
    tampered = {name: content.replace(rf"\val{{{key}}}{{{text}}}", rf"\val{{{key}}}{{99.9}}") for name, content in
                files.items()}
    assert html_numbers(page)[key][0] != tex_numbers(tampered)[key]


def test_no_number_of_the_page_is_outside_the_report(three: Rendered) -> None:
    report, page, _ = three
    text = visible_text(page)
    known = ["F1", "95 %", "95\u00a0%", "90\u00a0%", "Label 0", "Label 1", "predicted 0", "predicted 1", "more than 50",
             "80 %", "80\u00a0%", "90 %", "5 % level", "fewer than 30", "below about 20",
             "(at least 5)", "(at least 10)", "(0 negative, 1 positive)",
             report.period, str(dict(report.data[0].facts)["fingerprint"]),
             *(dimension.range for search in report.searches for dimension in search.space),
             *(str(link.seed) for row in report.rows for link in row.runs),
             *(text for count in report.counts for reason in count.reasons for text in reason),
             "seed 1005"]
    for word in known:
        text = text.replace(word, "")
    assert re.findall(r"[^\s]*\d[^\s]*", text) == []


def test_the_page_asks_for_nothing(three: Rendered) -> None:
    _, page, _ = three
    soup = soup_of(page)
    assert soup.find_all(["img", "iframe", "object", "embed", "video", "audio", "base", "form"]) == []
    assert [link["href"] for link in soup.find_all("link")] == ["data:,"]
    assert "default-src 'none'" in soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert "@import" not in page
    assert re.findall(r"url\((?!#)[^)]*\)", page) == []
    for element in soup.find_all(href=True):
        assert element["href"].startswith(("#", "data:,", "data:text/csv;"))


def test_the_page_runs_its_own_script_and_no_other(hostile: Rendered) -> None:
    _, page, _ = hostile
    soup = soup_of(page)
    (script,) = soup.find_all("script")
    assert script.attrs == {}
    digest = base64.b64encode(hashlib.sha256(script.string.encode()).digest()).decode()
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert [name for element in soup.find_all(True) for name in element.attrs if name.startswith("on")] == []


def test_runs_are_linked_where_there_is_a_server() -> None:
    store = FakeStore(url="http://127.0.0.1:5000")
    study = add_study(store, "torch", {"torch": 0.0})
    report = build([study], store)
    run_id = study.confirms[0].run_id
    links = [a["href"] for a in soup_of(render.html(report)).find_all("a")]
    assert f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}" in links
    runs = render.tex(report)["tables/runs.tex"]
    assert rf"\href{{http://127.0.0.1:5000/\#/experiments/1/runs/{run_id}}}" in runs


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_structure_that_a_reader_without_eyes_relies_on(case: str, request: pytest.FixtureRequest) -> None:
    _, page, _ = request.getfixturevalue(case)
    soup = soup_of(page)
    assert soup.html["lang"] == "en"
    levels = [int(h.name[1]) for h in soup.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for cell in soup.find_all("th"):
        assert cell["scope"] in ("col", "row", "colgroup")
    for table in soup.find_all("table"):
        assert table.parent["class"] == ["scroll"]
        assert table.parent["aria-label"]
        assert table.parent["tabindex"] == "0"
        widths = {sum(int(c.get("colspan", 1)) for c in r.find_all(["td", "th"])) for r in table.tbody.find_all("tr")}
        assert len(widths) == 1
    for figure in soup.find_all("figure"):
        assert re.search(r"\d", figure.find(role="img")["aria-label"])
        assert figure.figcaption.get_text(strip=True)
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for a in soup.find_all("a", href=re.compile("^#"))}
    assert targets <= set(ids)
    for reference in re.findall(r'(?:url\(#|href="#)([^)"]+)', page):
        assert reference in ids


def test_no_name_becomes_markup(hostile: Rendered) -> None:
    _, page, _ = hostile
    soup = soup_of(page)
    assert len(soup.find_all("script")) == 1
    assert "<script>alert(1)</script>" in soup.h1.get_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)


def test_no_name_becomes_a_command(hostile: Rendered) -> None:
    _, _, files = hostile
    whole = "\n".join(files.values())
    assert r"\input{/etc" not in whole
    assert r"\textbackslash{}input\{" in whole
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", whole)
    # What remains outside ASCII are letters of Latin scripts.
    assert set(re.findall(r"[^\x00-\x7f]", whole)) <= set("ïé")


SPECIAL = "\\{}$&#^_~%\"'`<>|[]*-,"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\", r"\textbackslash{}"),
        ("{", r"\{"),
        ("}", r"\}"),
        ("$", r"\$"),
        ("&", r"\&"),
        ("#", r"\#"),
        ("^", r"\textasciicircum{}"),
        ("_", r"\_"),
        ("~", r"\textasciitilde{}"),
        ("%", r"\%"),
        ("<", r"\ensuremath{<}"),
        ("|", r"\textbar{}"),
        ('"', r"\textquotedbl{}"),
        ("--", "{-}{-}"),
        ("[x]", "{[}x{]}"),
        ("*", "{*}"),
        ("naïve", "naïve"),
        ("nai\u0308ve", "naïve"),
        ("µ ω −", r"\codepoint{00B5} \ensuremath{\omega} \ensuremath{-}"),
        ("中", r"\codepoint{4E2D}"),
        ("😀", r"\codepoint{1F600}"),
        ("\u2028", " "),
        ("a b", "a b"),
        ("100\u00a0%", r"100~\%"),
    ],
)
def test_latex_escapes(text: str, expected: str) -> None:
    assert render.latex(text) == expected


@given(st.text(alphabet=st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"]))))
def test_latex_leaves_no_special_character_bare(text: str) -> None:
    escaped = str(render.latex(text))
    known = (r"\\(?:textbackslash|textasciicircum|textasciitilde|textbar|textquotedbl|textquotesingle|textasciigrave|"
             r"allowbreak|textendash|textemdash|textquotedblleft|textquotedblright|textquoteleft|textquoteright|dots|"
             r"textperiodcentered|textdegree|texteuro|guillemotleft|guillemotright)\{\}|\\codepoint\{[0-9A-F]+\}|"
             r"\\ensuremath\{(?:\\[A-Za-z]+|[-<>])\}|\\[{}$&#_%]|\{[-,?!*\[\]]\}")
    rest = re.sub(known, "", escaped)
    assert not set(rest) & set("\\{}$&#^_%\"'`<>|[]*")
    assert "~" not in rest.replace("~", "", text.count("\u00a0"))


def test_long_words_can_be_broken() -> None:
    assert r"\allowbreak{}" in render.latex("x" * 40)
    assert r"\allowbreak{}" in render.latex("a_long_name_of_a_file.csv")
    assert r"\allowbreak{}" not in render.latex("an ordinary sentence of ordinary words")


def test_templates_cannot_print_text_unescaped() -> None:
    shown = render._tex("100 % & more")
    assert shown == r"100 \% \& more"
    assert render._tex(render.Tex(r"\LaTeX")) == r"\LaTeX"
    assert render._tex(("a_b ", Number("k", 0.5, "percent"))) == r"a\_b \val{k}{50.0}"
    with pytest.raises(ValueError, match="a key must hold a-z"):
        render._tex(Number("k}{", 0.5, "percent"))


def test_addresses_are_encoded() -> None:
    url = render._tex_url("http://host/#/a b%c&d_{e}~\\^é")
    assert url == r"http://host/\#/a\%20b\%c\&d_\%7Be\%7D~\%5C\%5E\%C3\%A9".replace("~", "~")


def test_captions_speak_of_what_is_there_alone() -> None:
    store = FakeStore()
    two = build([add_study(store, "two seeds", {"scratch": 0.0, "torch": 0.0}, seeds=2)], store)
    assert all(row.accuracy.low is None for row in two.rows)
    absent = ("95 %", "95\\,\\%", "Holm", "bootstrap")
    texts = [re.sub(r"<svg.*?</svg>", "", render.html(two), flags=re.DOTALL), *render.tex(two).values()]
    for text in texts:
        captions = re.findall(r"<(?:fig)?caption>.*?</(?:fig)?caption>", text, re.DOTALL)
        captions += re.findall(r"\\caption\{.*", text)
        assert [caption for caption in captions if any(word in caption for word in absent)] == []
    assert not any("bootstrap" in str(sentence) for sentence in two.methods)
    curves = [replace(curve, epochs=tuple(
        replace(epoch, validation_loss=replace(epoch.validation_loss, value=None),
                validation_accuracy=replace(epoch.validation_accuracy, value=None)) for epoch in curve.epochs))
        for curve in two.curves]
    drawn = next(picture for picture in pictures(replace(two, curves=tuple(curves))) if picture.name == "curves")
    assert drawn.caption.startswith("Training loss, in nats per review, by epoch")
    assert "validation" not in drawn.caption + drawn.alternative
    far = replace(two, baselines=())
    assert "dashed" not in next(picture for picture in pictures(far) if picture.name == "accuracy").caption


def test_many_models_and_categories() -> None:
    store = FakeStore()
    test_set = TestSet.draw(1200, [f"category {i}" for i in range(40)])
    for i in range(14):
        add_study(store, f"study {i}", {"torch": 0.02 * i}, seeds=2, test_set=test_set, seed=i)
    report = build(store.by_experiment["movie-reviews"], store)
    page, files = render.html(report), render.tex(report)
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)
    assert "pairs of models are compared below" in visible_text(page)
    assert files["tables/categories.tex"].count(r"\begin{longtable}") == 5


def test_a_short_table_stays_on_one_page(three: Rendered) -> None:
    files = render.tex(three[0])
    for name in ("evaluation", "comparisons", "categories", "lengths"):
        table = files[f"tables/{name}.tex"]
        (room,) = re.findall(r"^\\Needspace\{(\d+)\\baselineskip\}$", table, re.MULTILINE)
        assert int(room) > table[table.index(r"\endlastfoot"):].count(r"\\")


def test_one_category_and_no_search() -> None:
    store = FakeStore()
    study = add_study(store, "plain", {"scratch": 0.0}, test_set=TestSet.draw(300, [""]), search=False)
    report = build([study], store)
    page, files = render.html(report), render.tex(report)
    assert "Accuracy by category" not in page
    assert 'id="search"' not in page
    assert not {"tables/comparisons.tex", "tables/search.tex"} & set(files)
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


def test_an_unfinished_study_renders() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, finished=False)
    report = build([study], store)
    page, files = render.html(report), render.tex(report)
    assert "is not finished" in page
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


def test_write_replaces_whole_files(three: Rendered, tmp_path: Path) -> None:
    report, page, files = three
    (tmp_path / "report.html").write_text("old")
    written_files = render.write(report, tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in written_files}
    assert {"report.html", "report.tex", "tables/evaluation.tex", "figures/accuracy.pdf",
            "figures/accuracy.csv"} <= names
    assert (tmp_path / "report.html").read_text() == page
    assert (tmp_path / "report.tex").read_text() == files["report.tex"]
    assert list(tmp_path.rglob(".*")) == []
    included = re.findall(r"\\input\{([^}]*)\}", files["report.tex"])
    assert all((tmp_path / f"{name}.tex").is_file() for name in included)
    drawn = re.findall(r"\\drawn\{([a-z0-9-]+)\}", files["report.tex"])
    assert all((tmp_path / "figures" / f"{name}.pdf").is_file() for name in drawn)


def test_html_marks_are_escaped_in_attributes() -> None:
    number = Number("k", 0.5, "percent", method='a "quoted" <method>')
    shown = render._html(number, {})
    assert isinstance(shown, Markup)
    assert soup_of(shown).data["title"] == 'a "quoted" <method>'
    assert written(0.5, "percent") in shown


@dataclass(frozen=True)
class Lamps:
    """The content of a section that a test adds."""

    lit: Number


def lamp_pictures(content: Lamps) -> list[Picture]:
    def draw(style: Style) -> Figure:
        figure, grid = new_figure(style, 1.5)
        grid[0, 0].barh([0], [content.lit.value])
        return figure

    return [Picture("lamps", "Lamps.", f"Lamps: {content.lit.text}.", draw, [("lit",), (content.lit.value,)])]


def test_a_section_brings_its_numbers_figures_tables_and_templates(
    three: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _, _ = three
    shutil.copytree(resource("templates"), tmp_path / "templates")
    for name, text in {
        "sections/lamps.html.j2": '{% from "parts.html.j2" import picture %}{{ picture(figures, "lamps") }}'
                                  "<p>{{ section.content.lit }} lamps</p>",
        "sections/lamps.tex.j2": "\\drawn{lamps}{<< figures.lamps.caption >>}\n\\input{tables/lamps}\n",
        "sections/lamps.md.j2": "{{ section.content.lit }} lamps\n",
        "tables/lamps.tex.j2": "<< section.content.lit >> lamps\n",
    }.items():
        (tmp_path / "templates" / name).write_text(text)
    for module in (render, markdown_module):
        monkeypatch.setattr(module, "resource", lambda name: tmp_path / name)
    lamps = Section("lamps", "Lamps", Lamps(Number("lamps.lit", 4, "count")), lamp_pictures, ("lamps",))
    more = replace(report, sections=(*report.sections[:2], lamps, *report.sections[2:]))
    assert more.numbers()["lamps.lit"].value == 4
    page, files = render.html(more), render.tex(more)
    soup = soup_of(page)
    assert [heading.get_text() for heading in soup.find_all("h2")][1:5] == [
        "Evaluation", "Comparisons", "Lamps", "Learning"]
    assert soup.find("a", href="#lamps").get_text() == "Lamps"
    assert html_numbers(page)["lamps.lit"] == ("4", "4.0")
    assert soup.find("a", download="lamps.csv")
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)
    assert "\\section{Lamps}" in files["report.tex"]
    assert "## Lamps\n\n4 lamps" in markdown_module.markdown(more)


def test_a_finding_of_equivalence_shows_the_interval_that_it_rests_on() -> None:
    store, studies = three_models()
    report = build(studies, store, margin=0.03)
    page, paper = render.html(report), render.tex(report)["tables/comparisons.tex"]
    text = markdown_module.markdown(report)
    found = [pair for pair in report.comparisons if pair.finding == "equivalent within the margin"]
    assert found
    for pair in found:
        narrow = present(pair.narrow)
        low, high = narrow.ends
        assert -0.03 < present(low.value) < present(high.value) < 0.03
        assert "90 % interval" in narrow.method
        assert f"(90 %: [{low.text}, {high.text}])" in text
        for shown in (page, paper):
            assert low.key in shown
            assert high.key in shown
    for shown in (page, paper.replace("\\,\\%", " %"), text):
        assert "detect with a chance of 80 % at the 5 % level" in shown
