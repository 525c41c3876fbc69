"""Both renderings show the same numbers, escape whatever a name holds, and stand alone."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from gru_bench.report.build import build
from gru_bench.report.document.numbers import Number, written
from gru_bench.report.document.section import Section
from gru_bench.report.figures.figure import Picture
from gru_bench.report.figures.results import _log_ticks, pictures
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, drawing, new_figure, short
from gru_bench.report.render import html_latex as render
from gru_bench.report.render import markdown as markdown_module
from gru_bench.resources import resource
from tests.support.fake_store import HOSTILE_NAMES, FakeStore, TestSet, add_study, hostile_studies, three_models
from tests.support.homework_study import homework
from tests.support.renderings import html_numbers, tex_numbers, visible_text


@pytest.fixture(scope="module")
def three():
    store, studies = three_models()
    report = build(studies, store, experiment="movie-reviews")
    return report, render.html(report), render.tex(report)


@pytest.fixture(scope="module")
def hostile():
    store, studies = hostile_studies()
    report = build(studies, store, experiment=HOSTILE_NAMES[0])
    return report, render.html(report), render.tex(report)


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_page_and_document_show_the_same_numbers(case, request):
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


def test_a_number_is_told_apart_when_it_differs(three):
    report, page, files = three
    key = report.rows[0].accuracy.key
    text = report.rows[0].accuracy.text
    tampered = {name: content.replace(rf"\val{{{key}}}{{{text}}}", rf"\val{{{key}}}{{99.9}}") for name, content in
                files.items()}
    assert html_numbers(page)[key][0] != tex_numbers(tampered)[key]


def test_no_number_of_the_page_is_outside_the_write_up(three):
    report, page, _ = three
    text = visible_text(page)
    known = ["F1", "95 %", "95\u00a0%", "90\u00a0%", "Label 0", "Label 1", "predicted 0", "predicted 1", "more than 50",
             "80 %", "80\u00a0%", "90 %", "5 % level", "fewer than 30", "below about 20",
             "which takes 5;", "takes 10", "(0 negative, 1 positive)",
             report.period, *(dict(report.data[0].facts)["fingerprint"],),
             *(dimension.range for search in report.searches for dimension in search.space),
             *(str(link.seed) for row in report.rows for link in row.runs),
             *(text for count in report.counts for reason in count.reasons for text in reason),
             "seed 1005"]
    for word in known:
        text = text.replace(word, "")
    assert re.findall(r"[^\s]*\d[^\s]*", text) == []


def test_the_page_asks_for_nothing(three):
    _, page, _ = three
    soup = BeautifulSoup(page, "html.parser")
    assert soup.find_all(["img", "iframe", "object", "embed", "video", "audio", "base", "form"]) == []
    assert [link["href"] for link in soup.find_all("link")] == ["data:,"]
    assert "default-src 'none'" in soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert "@import" not in page
    assert re.findall(r"url\((?!#)[^)]*\)", page) == []
    for element in soup.find_all(href=True):
        assert element["href"].startswith(("#", "data:,", "data:text/csv;"))


def test_the_page_runs_its_own_script_and_no_other(hostile):
    _, page, _ = hostile
    soup = BeautifulSoup(page, "html.parser")
    (script,) = soup.find_all("script")
    assert script.attrs == {}
    digest = base64.b64encode(hashlib.sha256(script.string.encode()).digest()).decode()
    policy = soup.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert [name for element in soup.find_all(True) for name in element.attrs if name.startswith("on")] == []


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_each_figure_brings_its_values(case, request):
    report, page, _ = request.getfixturevalue(case)
    figures = BeautifulSoup(page, "html.parser").find_all("figure")
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
    rows = list(csv.DictReader(next(p for p in drawn if p.name == "accuracy").csv().splitlines()))
    means = [float(row["accuracy"]) for row in rows if row["what"] == "mean over seeds"]
    assert means == [row.accuracy.value for row in report.rows]


def test_what_a_script_reads_off_is_what_is_drawn(three):
    report, page, _ = three
    figure = next(f for f in BeautifulSoup(page, "html.parser").find_all("figure") if f.find(id=re.compile("^curves-")))
    live = json.loads(figure["data-live"])
    assert [series["name"] for series in live["series"]] == [row.label for row in report.rows]
    assert [panel["title"] for panel in live["panels"]] == [
        "training loss", "validation loss", "validation accuracy, %"
    ]
    marked = {element["data-series"] for element in figure.find_all(attrs={"data-series": True})}
    assert marked == {"0", "1", "2"}
    _, _, width, height = map(float, figure.svg["viewbox"].split())
    panel = live["panels"][1]
    for line, curve in zip(panel["lines"], report.curves, strict=True):
        assert line["mean"] == pytest.approx([epoch.validation_loss.value for epoch in curve.epochs], rel=1e-4)
        # The path of the curve goes through the place where its last value is said to be.
        left, top, right, bottom = panel["box"]
        x = width * (left + (right - left) * (line["x"][-1] - panel["xlim"][0]) / (panel["xlim"][1] - panel["xlim"][0]))
        share = (line["mean"][-1] - panel["ylim"][0]) / (panel["ylim"][1] - panel["ylim"][0])
        y = height * (bottom - (bottom - top) * share)
        paths = [
            [float(n) for n in re.findall(r"-?[\d.]+", path["d"])][-2:]
            for group in figure.find_all(attrs={"data-series": str(line["series"])})
            for path in group.find_all("path", recursive=False)
        ]
        assert any(path == pytest.approx([x, y], abs=0.5) for path in paths)


def test_length_and_reliability_are_drawn_from_their_tables(three):
    report, _, _ = three
    drawn = {picture.name: picture for picture in pictures(report)}
    lengths = list(csv.DictReader(drawn["lengths-1"].csv().splitlines()))
    table = report.length_tables[0]
    assert [float(row["accuracy"]) for row in lengths] == [n.value for part in table.bins for n in part.accuracy]
    assert table.bins[0].accuracy[1].text in drawn["lengths-1"].alternative
    (panel,) = drawn["reliability"].panels
    for line, model in zip(panel.lines, report.reliability, strict=True):
        known = [part for part in model.bins if part.accuracy.value is not None and not part.few]
        assert line.x == tuple(100 * part.confidence.value for part in known)
        assert line.mean == tuple(100 * part.accuracy.value for part in known)
        assert all(low <= mean <= high for low, mean, high in zip(line.low, line.mean, line.high, strict=True))


def test_many_models_have_small_axes_of_their_own():
    store = FakeStore()
    for i in range(8):
        add_study(store, f"study {i}", {"torch": 0.02 * i}, seeds=2, test_set=TestSet.draw(200), search=i > 0, seed=i)
    curves = next(p for p in pictures(build(store.by_experiment["movie-reviews"], store)) if p.name == "curves")
    assert [series.name for series in curves.series] == ["training", "validation"]
    assert len(curves.panels) == 8


def test_curves_of_runs_without_validation():
    store, studies = three_models()
    for metrics in store.metrics.values():
        del metrics["loss/val"], metrics["accuracy/val"]
    curves = next(p for p in pictures(build(studies, store)) if p.name == "curves")
    assert [panel.title for panel in curves.panels] == ["training loss"]
    assert "<svg" in curves.svg()


def test_runs_are_linked_where_there_is_a_server():
    store = FakeStore(url="http://127.0.0.1:5000")
    study = add_study(store, "torch", {"torch": 0.0})
    report = build([study], store)
    run_id = study.confirms[0].run_id
    links = [a["href"] for a in BeautifulSoup(render.html(report), "html.parser").find_all("a")]
    assert f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}" in links
    runs = render.tex(report)["tables/runs.tex"]
    assert rf"\href{{http://127.0.0.1:5000/\#/experiments/1/runs/{run_id}}}" in runs


WITHOUT_RUNS = r"^methods\.|^summary\.|^homework-settings\.|^pair\..*\.margin$|baseline-.*\.seconds$"
"""Numbers that no run gives: what was fixed beforehand, and counts of what the page says."""


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:5000"])
def test_each_number_leads_to_its_runs(url, request):
    if url is None:
        report, page, _ = request.getfixturevalue("three")
    else:
        store, studies = three_models(test_set=TestSet.draw(200), epochs=2, seeds=3)
        store.url = url
        report = build(studies, store)
        page = render.html(report)
    soup = BeautifulSoup(page, "html.parser")
    numbers = report.numbers()
    for element in soup.find_all("data"):
        key = element["data-key"]
        if re.search(WITHOUT_RUNS, key):
            continue
        if key.endswith((".low", ".high", ".spread")):
            # Beside the number that leads on, in the same cell or sentence.
            assert element.find_parent(["td", "li", "p"]).find("a", class_="n")
            continue
        runs = numbers[key].runs
        if numbers[key].value == 0 and not runs:
            continue  # none of these
        assert runs, key
        if element.find_parent("a", class_="n") is None:
            # In the list of runs, beside its run.
            assert element.find_parent("tr").find("code").get_text() == runs[0]
            continue
        place = soup.find(id=element.find_parent("a", class_="n")["href"][1:])
        place = place if place.name in ("li", "tr") else place.find_next("table")
        told = place.find_all("a") if url else place.find_all("code")
        assert [a["href"].rpartition("/")[2] if url else a.get_text() for a in told] == list(runs)


@pytest.mark.parametrize("case", ["three", "hostile"])
def test_structure_that_a_reader_without_eyes_relies_on(case, request):
    _, page, _ = request.getfixturevalue(case)
    soup = BeautifulSoup(page, "html.parser")
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


def test_no_name_becomes_markup(hostile):
    _, page, _ = hostile
    soup = BeautifulSoup(page, "html.parser")
    assert len(soup.find_all("script")) == 1
    assert "<script>alert(1)</script>" in soup.h1.get_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)


def test_no_name_becomes_a_command(hostile):
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
def test_latex_escapes(text, expected):
    assert render.latex(text) == expected


@given(st.text(alphabet=st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"]))))
def test_latex_leaves_no_special_character_bare(text):
    escaped = str(render.latex(text))
    known = (r"\\(?:textbackslash|textasciicircum|textasciitilde|textbar|textquotedbl|textquotesingle|textasciigrave|"
             r"allowbreak|textendash|textemdash|textquotedblleft|textquotedblright|textquoteleft|textquoteright|dots|"
             r"textperiodcentered|textdegree|texteuro|guillemotleft|guillemotright)\{\}|\\codepoint\{[0-9A-F]+\}|"
             r"\\ensuremath\{(?:\\[A-Za-z]+|[-<>])\}|\\[{}$&#_%]|\{[-,?!*\[\]]\}")
    rest = re.sub(known, "", escaped)
    assert not set(rest) & set("\\{}$&#^_%\"'`<>|[]*")
    assert "~" not in rest.replace("~", "", text.count("\u00a0"))


def test_long_words_can_be_broken():
    assert r"\allowbreak{}" in render.latex("x" * 40)
    assert r"\allowbreak{}" in render.latex("a_long_name_of_a_file.csv")
    assert r"\allowbreak{}" not in render.latex("an ordinary sentence of ordinary words")


def test_templates_cannot_print_text_unescaped():
    shown = render._tex("100 % & more")
    assert shown == r"100 \% \& more"
    assert render._tex(render.Tex(r"\LaTeX")) == r"\LaTeX"
    assert render._tex(("a_b ", Number("k", 0.5, "percent"))) == r"a\_b \val{k}{50.0}"
    with pytest.raises(ValueError, match="a key must hold a-z"):
        render._tex(Number("k}{", 0.5, "percent"))


def test_addresses_are_encoded():
    url = render._tex_url("http://host/#/a b%c&d_{e}~\\^é")
    assert url == r"http://host/\#/a\%20b\%c\&d_\%7Be\%7D~\%5C\%5E\%C3\%A9".replace("~", "~")


def test_runs_behind_numbers_are_listed_once(tmp_path):
    store, studies = homework()
    page = BeautifulSoup(render.html(build(studies, store)), "html.parser")
    listed = [frozenset(code.text for code in place.find_all("code")) for place in page.select(".sources > li")]
    assert len(listed) > 3
    assert len(set(listed)) == len(listed)


def test_captions_speak_of_what_is_there_alone():
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


def test_an_axis_of_costs_has_more_than_one_tick():
    for left, right in ((60, 65), (1.2, 1.9), (30, 300), (0.02, 9000), (5.1, 9.7)):
        ticks = _log_ticks(left, right)
        assert 2 <= len(ticks) <= 12
        assert left <= min(ticks) < max(ticks) <= right


@pytest.mark.parametrize(("text", "width", "lines", "shown"), [
    ("abcdefgh" * 10, 26, 1, "abcdefghabcdefghabcdefgha…"),
    ("abcdefgh" * 10, 10, 2, "abcdefghab\ncdefghabc…"),
    ("a " + "b" * 80, 26, 1, "a…"),
    ("long words of this category and more", 26, 1, "long words of this…"),
    ("short", 26, 1, "short"),
    ("", 26, 1, ""),
])
def test_a_long_name_keeps_its_beginning(text, width, lines, shown):
    assert short(text, width, lines) == shown


@given(st.text(), st.integers(2, 40), st.integers(1, 3))
def test_a_shortened_name_begins_as_the_name_does(text, width, lines):
    shown = short(text, width, lines).split("\n")
    assert len(shown) <= lines
    assert max(map(len, shown)) <= width
    whole, begun = "".join(text.split()), "".join("".join(shown).split())
    assert whole == begun or (begun.endswith("…") and whole.startswith(begun[:-1]) and len(begun) > 1)


@pytest.mark.parametrize("style", [PAGE, NARROW, PAPER], ids=["page", "narrow", "paper"])
@pytest.mark.parametrize("right", [True, False])
def test_no_axis_of_shares_goes_beyond_them(style, right):
    store, studies = three_models(seeds=2, test_set=TestSet.draw(60))
    for key, p in store.kept.items():
        store.kept[key] = replace(p, probability_N=np.where((p.label_N == 1) == right, 0.9, 0.1).astype(np.float32))
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


def test_the_names_of_lengths_have_room_on_a_phone(three):
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


def test_the_names_of_baselines_have_room_on_a_phone():
    store, studies = three_models(seeds=2, test_set=TestSet.draw(60))
    near = tuple(replace(one, test_accuracy=0.85) for one in studies[0].summary.baselines)
    studies = [replace(study, summary=replace(study.summary, baselines=near)) for study in studies]
    with drawing(NARROW, {}):
        figure = pictures(build(studies, store))[0].draw(NARROW)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().endswith(" 85.0")]
    assert len(boxes) == 2
    assert not boxes[0].overlaps(boxes[1])


def test_a_phone_is_told_where_its_own_drawing_lies(three):
    curves = next(picture for picture in pictures(three[0]) if picture.name == "curves")
    svgs, live = curves.for_page()
    assert re.findall(r'<svg class="(\w+)"', svgs) == ["wide", "narrow"]
    narrow = json.loads(live)["narrow"]
    # Under one another, and under the names, which a script cuts off.
    tops = [panel["box"][1] for panel in narrow["panels"]]
    assert 0 < narrow["cut"] < tops[0] < tops[1] < tops[2]
    assert len({panel["box"][0] for panel in narrow["panels"]}) == 1


def test_figures_are_whole_and_keep_to_themselves(three):
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


def test_figures_touch_no_global_state(three):
    import matplotlib as mpl
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    for picture in pictures(three[0]):
        picture.svg()
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_alternatives_hold_the_numbers(three):
    report, _, _ = three
    words = {picture.name: picture.alternative for picture in pictures(report)}
    for row in report.rows:
        assert f"{row.label} {row.accuracy.text} ({row.accuracy.ends[0].text} to" in words["accuracy"]
        assert f"{row.label}: of label 0, {row.confusion[0].text} right" in words["confusion"]
    for pair in report.comparisons:
        assert f"{pair.a} less {pair.b} {pair.difference.text}" in words["differences"]
    assert report.category_tables[0].categories[1].accuracy[2].text in words["categories-1"]


def test_many_models_and_categories():
    store = FakeStore()
    test_set = TestSet.draw(1200, [f"category {i}" for i in range(40)])
    for i in range(14):
        add_study(store, f"study {i}", {"torch": 0.02 * i}, seeds=2, test_set=test_set, seed=i)
    report = build(store.by_experiment["movie-reviews"], store)
    page, files = render.html(report), render.tex(report)
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)
    assert "pairs of models is compared below" in visible_text(page)
    assert files["tables/categories.tex"].count(r"\begin{longtable}") == 5


def test_a_short_table_stays_on_one_page(three):
    files = render.tex(three[0])
    for name in ("evaluation", "comparisons", "categories", "lengths"):
        table = files[f"tables/{name}.tex"]
        (room,) = re.findall(r"^\\Needspace\{(\d+)\\baselineskip\}$", table, re.MULTILINE)
        assert int(room) > table[table.index(r"\endlastfoot"):].count(r"\\")


def test_one_category_and_no_search():
    store = FakeStore()
    study = add_study(store, "plain", {"scratch": 0.0}, test_set=TestSet.draw(300, [""]), search=False)
    report = build([study], store)
    page, files = render.html(report), render.tex(report)
    assert "Accuracy by category" not in page
    assert 'id="search"' not in page
    assert not {"tables/comparisons.tex", "tables/search.tex"} & set(files)
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


def test_an_unfinished_study_renders():
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, finished=False)
    report = build([study], store)
    page, files = render.html(report), render.tex(report)
    assert "has not come to its end" in page
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


def test_write_replaces_whole_files(three, tmp_path):
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


def test_html_marks_are_escaped_in_attributes():
    number = Number("k", 0.5, "percent", method='a "quoted" <method>')
    shown = render._html(number, {})
    assert isinstance(shown, Markup)
    assert BeautifulSoup(shown, "html.parser").data["title"] == 'a "quoted" <method>'
    assert written(0.5, "percent") in shown


@dataclass(frozen=True)
class Lamps:
    """The content of a section that a test adds."""

    lit: Number


def lamp_pictures(content: Lamps) -> list[Picture]:
    def draw(style):
        figure, grid = new_figure(style, 1.5)
        grid[0, 0].barh([0], [content.lit.value])
        return figure

    return [Picture("lamps", "Lamps.", f"Lamps: {content.lit.text}.", draw, [("lit",), (content.lit.value,)])]


def test_a_section_brings_its_numbers_figures_tables_and_templates(three, tmp_path, monkeypatch):
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
    soup = BeautifulSoup(page, "html.parser")
    assert [heading.get_text() for heading in soup.find_all("h2")][1:5] == [
        "Evaluation", "Comparisons", "Lamps", "Learning"]
    assert soup.find("a", href="#lamps").get_text() == "Lamps"
    assert html_numbers(page)["lamps.lit"] == ("4", "4.0")
    assert soup.find("a", download="lamps.csv")
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)
    assert "\\section{Lamps}" in files["report.tex"]
    assert "## Lamps\n\n4 lamps" in markdown_module.markdown(more)


def test_a_finding_of_equivalence_shows_the_interval_that_it_rests_on():
    store, studies = three_models()
    report = build(studies, store, margin=0.03)
    page, paper = render.html(report), render.tex(report)["tables/comparisons.tex"]
    text = markdown_module.markdown(report)
    found = [pair for pair in report.comparisons if pair.finding == "equivalent within the margin"]
    assert found
    for pair in found:
        low, high = pair.narrow.ends
        assert -0.03 < low.value < high.value < 0.03
        assert "90 % interval" in pair.narrow.method
        assert f"(90 %: [{low.text}, {high.text}])" in text
        for shown in (page, paper):
            assert low.key in shown
            assert high.key in shown
    for shown in (page, paper.replace("\\,\\%", " %"), text):
        assert "detect with a chance of 80 % at the 5 % level" in shown
