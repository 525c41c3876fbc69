"""In a browser the page stays inside its window, logs nothing, asks for nothing, and does what its script promises.

In both color schemes, on a phone's width and a desk's, on paper, and without its script.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gru_bench.report.render.html import html
from tests.support.chromium import PROGRAM, Chromium, chromium
from tests.support.fake_store import (
    HOSTILE_NAMES,
    Studies,
    TestSet,
    hostile_studies,
    many_studies,
    three_models,
)
from tests.support.homework_study import homework
from tests.support.reports import build

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("drawn"),
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed"),
]
AXE = "axe-core@4.14.1"
"""The accessibility rules, from npm; used in tests alone, and no part of the package."""

# Tables, wide figures and the menu scroll in boxes of their own.
MEASURE = """(() => {
  const root = document.documentElement, style = getComputedStyle(document.body);
  for (const element of document.querySelectorAll("details")) element.open = true;
  const escapes = [...document.body.querySelectorAll("*")].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > root.clientWidth + 1 && !element.closest(".scroll, .skip, nav ol");
  }).map(element => `${element.tagName} ${element.className}`);
  const small = [...document.querySelectorAll("nav a, button")]
    .filter(a => a.getBoundingClientRect().height < 24).map(a => a.textContent);
  return {overflow: root.scrollWidth - root.clientWidth, escapes, small, ink: style.color, paper: style.backgroundColor,
          figures: [...document.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect().width)
            .filter(width => width)};
})()"""


def seven_models() -> Studies:
    return many_studies(7, TestSet.draw(600, [f"category {i}" for i in range(9)]), skill=0.02, seeds=2)


CASES = {"three": three_models, "hostile": hostile_studies, "seven": seven_models, "homework": homework}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, make in CASES.items():
        store, studies = make()
        report = build(studies, store, experiment=HOSTILE_NAMES[0] if name == "hostile" else "movie-reviews")
        (folder / f"{name}.html").write_text(html(report), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("npm, which fetches axe-core, is not installed")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        ["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    ).stdout.split()[-1]
    with tarfile.open(folder / packed) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def brightness(color: str) -> float:
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("width", "scheme", "script"), [
    (320, "light", True), (320, "dark", False), (768, "light", False), (1280, "dark", True)])
@pytest.mark.parametrize("case", CASES)
def test_it_keeps_inside_its_window_and_to_itself(
    case: str, width: int, scheme: str, script: bool, browser: Chromium, pages: Path
) -> None:
    browser.look(width, scheme)
    browser.open(pages / f"{case}.html", script=script)
    found = browser.run(MEASURE)
    assert found["overflow"] <= 0
    assert found["escapes"] == []
    assert found["small"] == []
    assert min(found["figures"]) > 250
    ink, paper = brightness(found["ink"]), brightness(found["paper"])
    assert ink < 60 < 200 < paper if scheme == "light" else paper < 60 < 200 < ink
    assert browser.said == []
    assert [address for address in browser.asked if not address.startswith("data:,")] == [
        (pages / f"{case}.html").as_uri()
    ]


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1280, "dark")])
@pytest.mark.parametrize("case", CASES)
def test_no_rule_of_accessibility_is_broken(
    case: str, width: int, scheme: str, browser: Chromium, pages: Path, axe: str
) -> None:
    browser.look(width, scheme)
    browser.open(pages / f"{case}.html")
    browser.run(f"{axe}\n;0")
    broken = browser.run("""(async () => {
      for (const element of document.querySelectorAll("details")) element.open = true;
      const found = await axe.run(document, {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}});
      return found.violations.map(v => [v.id, v.help, v.nodes.slice(0, 3).map(node => node.html.slice(0, 300))]);
    })()""")
    assert broken == []


def place_of(browser: Chromium, expression: str) -> tuple[float, float]:
    """Scroll an element into view and return its middle, in the window."""
    x, y = browser.run(f"""(() => {{
      const element = {expression};
      element.scrollIntoView({{block: "center", behavior: "instant"}});
      const box = element.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    }})()""")
    return x, y


EVALUATION = 'document.querySelector("#results ~ .scroll table, #results ~ * table")'
COLUMN = EVALUATION + ".tHead.rows[0].cells[2]"
ROWS = f"[...{EVALUATION}.tBodies[0].rows].map(row => row.textContent)"


def accuracies(browser: Chromium) -> Any:
    return browser.run(f"[...{EVALUATION}.tBodies[0].rows].map(row => +row.cells[2].querySelector('data').value)")


def test_the_head_of_a_column_sorts_by_pointer(browser: Chromium, pages: Path) -> None:
    browser.look()
    browser.open(pages / "seven.html")
    before, rows = accuracies(browser), browser.run(ROWS)
    assert before == sorted(before, reverse=True)
    for state, expected in (("ascending", sorted(before)), ("descending", before), (None, before)):
        browser.click(*place_of(browser, f"{COLUMN}.firstElementChild"))
        assert browser.run(f'{COLUMN}.getAttribute("aria-sort")') == state
        assert accuracies(browser) == expected
    assert browser.run(ROWS) == rows
    assert browser.said == []


def test_the_head_of_a_column_sorts_by_keyboard(browser: Chromium, pages: Path) -> None:
    browser.look()
    browser.open(pages / "seven.html")
    browser.run(f"{COLUMN}.firstElementChild.focus()")
    browser.press("Enter", 13, "\r")
    assert accuracies(browser) == sorted(accuracies(browser))
    browser.press(" ", 32, " ")
    assert accuracies(browser) == sorted(accuracies(browser), reverse=True)
    # Another column takes the mark over.
    browser.press("Tab", 9)
    browser.press("Enter", 13, "\r")
    assert browser.run(f'{EVALUATION}.querySelectorAll("[aria-sort]").length') == 1


def test_missing_values_stay_last_and_words_sort_as_words(browser: Chromium, tmp_path: Path, pages: Path) -> None:
    page = (pages / "three.html").read_text(encoding="utf-8")
    rows = "".join(f'<tr><th scope="row">{n}</th><td><data value="{v}">{v}</data></td></tr>'
                   for n, v in (("run 10", "2.0"), ("run 9", ""), ("Run 1", "-10.0")))
    table = f'<table id="mine"><thead><tr><th>Name</th><th>Value</th></tr></thead><tbody>{rows}</tbody></table>'
    (tmp_path / "page.html").write_text(page.replace("</main>", f"{table}</main>"), encoding="utf-8")
    browser.look()
    browser.open(tmp_path / "page.html")

    def names() -> Any:
        return browser.run('[...document.querySelectorAll("#mine tbody th")].map(cell => cell.textContent)')

    seen = []
    for button in (0, 0, 1, 1):
        browser.run(f'document.querySelectorAll("#mine button")[{button}].click()')
        seen.append(names())
    assert seen == [
        ["Run 1", "run 9", "run 10"], ["run 10", "run 9", "Run 1"],
        ["Run 1", "run 10", "run 9"], ["run 10", "Run 1", "run 9"],
    ]


CURVES = 'document.querySelector("svg [id^=curves-]").closest("figure")'


def test_values_are_downloaded_without_a_request(browser: Chromium, pages: Path, tmp_path: Path) -> None:
    browser.look()
    browser.open(pages / "three.html")
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.run('document.querySelectorAll("details").forEach(fold => { fold.open = true; })')
    browser.click(*place_of(browser, f'{CURVES}.querySelector("a.values")'))
    for _ in range(100):
        if (tmp_path / "curves.csv").exists():
            break
        browser.run("new Promise(done => setTimeout(done, 50))")
    header, *rows = (tmp_path / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert header == "panel,series,iteration,mean,low,high"
    assert any(row.startswith("validation loss,Torch GRU,512,0.") for row in rows)
    assert [address for address in browser.asked if address.startswith("http")] == []


def test_nothing_is_shown_that_takes_a_script_where_there_is_none(browser: Chromium, pages: Path) -> None:
    browser.look()
    browser.open(pages / "three.html", script=False)
    assert browser.run('document.querySelectorAll("button").length') == 0
    assert browser.run('[...document.querySelectorAll(".live")].every(e => e.getBoundingClientRect().height === 0)')


def test_motion_is_left_out_where_it_is_not_wanted(browser: Chromium, pages: Path) -> None:
    for motion, expected in (("no-preference", "smooth"), ("reduce", "auto")):
        browser.look(motion=motion)
        browser.open(pages / "three.html")
        assert browser.run("getComputedStyle(document.documentElement).scrollBehavior") == expected


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
@pytest.mark.parametrize("case", CASES)
def test_paper_holds_all_and_cuts_nothing_off(case: str, browser: Chromium, pages: Path, tmp_path: Path) -> None:
    browser.look(media="print", scheme="dark")
    browser.open(pages / f"{case}.html")
    browser.call("Emulation.setDeviceMetricsOverride", width=672, height=900, deviceScaleFactor=1, mobile=False)
    cut = browser.run("""[...document.querySelectorAll("table, figure")].filter(element =>
        element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map(element => element.textContent.slice(0, 80))""")
    assert cut == []
    (tmp_path / "page.pdf").write_bytes(browser.paper())
    shown = subprocess.run(["pdftotext", "-layout", "page.pdf", "-"], cwd=tmp_path, capture_output=True, text=True,
                           check=True).stdout
    assert "CSV" not in shown
    # What is folded on the screen is open on paper.
    assert "What reviewers ask and the runs have logged" in " ".join(shown.split())


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_a_table_over_several_sheets_repeats_its_head(browser: Chromium, pages: Path, tmp_path: Path) -> None:
    page = (pages / "three.html").read_text(encoding="utf-8")
    rows = "".join(f'<tr><th scope="row">line {n}</th><td>{n}</td></tr>' for n in range(150))
    table = f'<table><thead><tr><th>Headword</th><th>Value</th></tr></thead><tbody>{rows}</tbody></table>'
    (tmp_path / "page.html").write_text(page.replace("</main>", f"{table}</main>"), encoding="utf-8")
    browser.look(media="print")
    browser.open(tmp_path / "page.html")
    (tmp_path / "page.pdf").write_bytes(browser.paper())
    shown = subprocess.run(["pdftotext", "-layout", "page.pdf", "-"], cwd=tmp_path, capture_output=True, text=True,
                           check=True).stdout
    sheets = [sheet for sheet in shown.split("\f") if re.search(r"line \d+", sheet)]
    assert len(sheets) > 2
    assert all("Headword" in sheet for sheet in sheets)


NUMBER = 'document.querySelector("#results ~ .scroll tbody a.n, #results ~ * tbody a.n")'


def test_a_number_leads_to_its_runs_and_tells_of_itself(browser: Chromium, pages: Path) -> None:
    browser.look()
    browser.open(pages / "three.html")
    place = browser.run(f"{NUMBER}.hash.slice(1)")
    browser.click(*place_of(browser, NUMBER))
    top = f'document.getElementById("{place}").getBoundingClientRect().top'
    # Scrolling is smooth where that is wanted.
    browser.run(f"""(async () => {{ for (let n = 0; n < 100 && ({top} < -5 || {top} > innerHeight); n++)
        await new Promise(done => setTimeout(done, 30)); }})()""")
    assert -5 <= browser.run(top) <= 900
    told = browser.run('document.querySelector(".asked").textContent')
    assert told == browser.run(f"""`${{{NUMBER}.textContent}}: ${{{NUMBER}.firstChild.title}} (back to it)`""")
    assert browser.run('document.querySelector(".asked").getBoundingClientRect().height') > 10
    browser.run('document.querySelector(".asked a").focus()')
    browser.press("Enter", 13, "\r")
    assert browser.run(f"document.activeElement === {NUMBER}")
    assert browser.said == []


def test_without_a_script_numbers_lead_on_by_themselves(browser: Chromium, pages: Path) -> None:
    browser.look()
    browser.open(pages / "three.html", script=False)
    assert browser.run('[...document.querySelectorAll("a.n")].every(a => document.getElementById(a.hash.slice(1)))')
    assert browser.run('document.querySelectorAll("a.n").length') > 100


@pytest.mark.parametrize("case", CASES)
def test_on_a_phone_the_figure_of_the_summary_fits_and_others_scroll(case: str, browser: Chromium, pages: Path) -> None:
    browser.look(390)
    browser.open(pages / f"{case}.html")
    seen = browser.run("""[...document.querySelectorAll("figure:not(.diagram)")].map(figure => {
      const box = figure.querySelector(".scroll");
      const letters = [...figure.querySelectorAll("svg text")].map(text => text.getBoundingClientRect().height);
      return [figure.querySelector("a.values").download, box.clientWidth, box.scrollWidth, Math.min(...letters)];
    })""")
    assert len(seen) > 5
    assert [name for name, seen_width, width, letter in seen if seen_width > 390 or letter < 8] == []
    assert [name for name, _, width, _ in seen if width <= 390] == ["differences.csv"]
    over = browser.run("""[...document.querySelectorAll("figure.diagram .scroll")].map(
      box => box.scrollWidth - box.clientWidth)""")
    assert max(over, default=0) <= 0


@pytest.mark.parametrize("case", CASES)
def test_on_a_phone_no_number_is_broken_over_two_lines(case: str, browser: Chromium, pages: Path) -> None:
    browser.look(320)
    browser.open(pages / f"{case}.html")
    assert browser.run("""(() => {
      document.querySelectorAll("details").forEach(fold => { fold.open = true; });
      return [...document.querySelectorAll("data")].filter(number => number.getClientRects().length > 1)
        .map(number => number.textContent);
    })()""") == []


@pytest.mark.parametrize("width", [1024, 1280])
@pytest.mark.parametrize("case", ["three", "hostile", "homework"])
def test_no_table_scrolls_on_a_desk(case: str, width: int, browser: Chromium, pages: Path) -> None:
    browser.look(width)
    browser.open(pages / f"{case}.html")
    scrolling = browser.run("""(() => {
      for (const element of document.querySelectorAll("details")) element.open = true;
      return [...document.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth + 1)
        .map(box => `${box.getAttribute("aria-label")}: ${box.scrollWidth} in ${box.clientWidth}`);
    })()""")
    assert scrolling == []
