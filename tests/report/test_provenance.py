"""Every number links to the runs that it was computed from."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from gru_bench.report.render.html import html
from tests.support.fake_store import TestSet, three_models
from tests.support.renderings import Rendered, soup_of
from tests.support.reports import build

SERVER = "http://127.0.0.1:5000"

WITHOUT_RUNS = r"^methods\.|^pair.*\.(margin|family|equivalence-examples|pairs-again)$"
"""Numbers that no run gives: what was fixed beforehand, and counts of what the page says."""


soup_once = cache(soup_of)


@pytest.mark.parametrize("case", ["homework", ""])
def test_each_number_links_to_its_runs(case: str, request: pytest.FixtureRequest) -> None:
    if case:
        report, page, _ = request.getfixturevalue(case)
    else:
        store, studies = three_models(test_set=TestSet.draw(50), epochs=2, seeds=2)
        report = build(studies, replace(store, url=SERVER))
        page = html(report)
    soup = soup_once(page)
    numbers = report.numbers
    by_id = {element["id"]: element for element in soup.find_all(id=True)}
    for element in soup.find_all("data"):
        key = element["data-key"]
        if re.search(WITHOUT_RUNS, key):
            continue
        runs = (numbers[key] if key in numbers else numbers[key.rpartition(".")[0]]).runs
        if not runs:
            assert numbers[key].value == 0, key  # none of these
            continue
        place = by_id[element.find_parent("a", class_="n")["href"][1:]]
        if place["id"].startswith("runs-of-"):
            # The row of the model's first run; those of the others follow.
            rows = [row for row in place.find_parent("tbody").find_all("tr") if row.th.text == place.text]
            assert rows[0] == place.find_parent("tr")
        else:
            rows = [place]
        told = [found for row in rows for found in (row.find_all("code") if case else row.select("a:not(.n)"))]
        # Of two models, those of the one that a table names first come first.
        assert sorted(a.get_text() if case else a["href"].rpartition("/")[2].partition("?")[0]
                      for a in told) == sorted(runs)


def test_the_runs_behind_numbers_are_listed_once(homework: Rendered) -> None:
    places = soup_once(homework.page).select(".sources li[id]")
    listed = [frozenset(code.text for code in place.find_all("code")) for place in places]
    assert len(listed) > 3
    assert len(set(listed)) == len(listed)
