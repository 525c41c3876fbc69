"""Every number leads to the runs that it was computed from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gru_bench.report.build import build
from gru_bench.report.render.html import html
from tests.support.fake_store import TestSet, three_models
from tests.support.homework_study import homework
from tests.support.renderings import soup_of

WITHOUT_RUNS = r"^methods\.|^summary\.|^homework-settings\.|^pair\..*\.margin$|baseline-.*\.seconds$"
"""Numbers that no run gives: what was fixed beforehand, and counts of what the page says."""


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:5000"])
def test_each_number_leads_to_its_runs(url: str | None, request: pytest.FixtureRequest) -> None:
    if url is None:
        report, page, _ = request.getfixturevalue("three")
    else:
        store, studies = three_models(test_set=TestSet.draw(200), epochs=2, seeds=3)
        store.url = url
        report = build(studies, store)
        page = html(report)
    soup = soup_of(page)
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
        place = soup.find(id=element.find_parent("a", class_="n")["href"][1:])
        if place["id"].startswith("runs-of-"):
            # The row of the model's first run; those of the others follow.
            rows = [row for row in place.find_parent("tbody").find_all("tr") if row.th.text == place.text]
            assert rows[0] == place.find_parent("tr")
        else:
            rows = [place]
        told = [found for row in rows for found in (row.select("a:not(.n)") if url else row.find_all("code"))]
        assert [a["href"].rpartition("/")[2] if url else a.get_text() for a in told] == list(runs)


def test_runs_behind_numbers_are_listed_once(tmp_path: Path) -> None:
    store, studies = homework()
    page = soup_of(html(build(studies, store)))
    listed = [frozenset(code.text for code in place.find_all("code")) for place in page.select(".sources > li")]
    assert len(listed) > 3
    assert len(set(listed)) == len(listed)
