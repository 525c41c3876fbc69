"""The page stands alone, shows no number that the report does not know, and escapes whatever a name holds."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise

import pytest
from markupsafe import Markup

from gru_bench.checks import CHECKS
from gru_bench.document.blocks import Paragraph
from gru_bench.document.numbers import Number, written
from gru_bench.report.render.html import html, shown
from gru_bench.report.render.latex import tex
from gru_bench.tracking.view import TRAINING
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import Built, Rendered, column_of, said, section_of, soup_of, visible_text
from tests.support.reports import build


def test_no_number_of_the_page_is_outside_the_report(built: Built, three: Rendered) -> None:
    _, studies, report = built
    text = visible_text(three.page)
    known = ["F1", "95 %", "95\u00a0%", "90\u00a0%", "more than 50", "80 %", "80\u00a0%", "90 %", "a level of 5 %",
             "fewer than 30", "than 20 test texts", "At most 6", "test: 10\u00a0%", "validation: 10\u00a0%", "seed 0",
             "excludes 0", *CHECKS,
             *(said(block.text) for block in section_of(report, "summary").blocks
               if isinstance(block, Paragraph) and block.lead == "Checks."),
             *sorted({f"{len(number.runs)} runs" for number in report.numbers.values()}, key=len, reverse=True),
             report.subtitle, studies[0].confirms[0].fingerprint, *column_of(report, "settings", "Range"),
             *(f"{run.name}: failed: {run.reason}" for study in studies for run in study.runs if run.state == "failed"),
             *(str(run.seed) for study in studies for run in study.confirms)]
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


def test_the_page_allows_its_own_script_and_no_other(hostile: Rendered) -> None:
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
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(40), search=False, epochs=2)
    report = build([study], store)
    run_id = study.confirms[0].run_id
    links = [a["href"] for a in soup_of(html(report)).find_all("a")]
    assert f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}?{TRAINING}" in links
    assert rf"\href{{http://127.0.0.1:5000/\#/experiments/1/runs/{run_id}?{TRAINING}}}" in "".join(tex(report).values())


@pytest.mark.parametrize("case", ["three", "hostile", "homework"])
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
    sections = [soup.find(id=part["aria-labelledby"]).get_text() for part in soup.find_all("section")]
    landmarks = [*sections, *(part["aria-label"] for part in soup.find_all(role="region"))]
    assert len(set(landmarks)) == len(landmarks)
    for figure in soup.find_all("figure"):
        assert figure.find(role="img")["aria-label"].endswith(".")
        assert figure.figcaption.get_text(strip=True)
        assert figure.figcaption.find("a", class_="values")["download"]
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


def test_names_from_right_to_left_keep_their_sides_of_an_arrow() -> None:
    first, second = "\u05d0\u05d1 #35", "\u0639\u0631"
    found = soup_of(shown(f"{first} \u2192 {second}", {}))
    assert [part.get_text() for part in found.find_all("bdi", dir="ltr")] == [first, second]
    assert found.get_text() == f"{first} \u2192 {second}"
    assert shown("one \u2192 two & more", {}) == "one \u2192 two &amp; more"


def test_html_marks_are_escaped_in_attributes() -> None:
    number = Number("k", 0.5, "percent", method='a "quoted" <method>')
    found = shown(number, {})
    assert isinstance(found, Markup)
    assert soup_of(found).data["title"] == 'a "quoted" <method>'
    assert written(0.5, "percent") in found
