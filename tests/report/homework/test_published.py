"""What was published is marked, and stands apart from our own numbers."""

from __future__ import annotations

import re

from gru_bench.report.homework import published
from tests.support.homework_study import Forms, Made
from tests.support.renderings import soup_of


def test_what_was_published_is_marked_and_never_mixed_with_ours(made: Made) -> None:
    for key, number in made[2].numbers().items():
        marked = number.method == published.LABEL
        assert marked == key.startswith("published.")
        assert not (marked and number.runs)
    shown = {key: number.text for key, number in made[2].numbers().items() if key.startswith("published.")}
    assert shown == {
        "published.scratch.accuracy": "84.1", "published.torch.accuracy": "84.2",
        "published.bidirectional.accuracy": "85.3", "published.scratch.seconds": "8,075",
        "published.torch.seconds": "388", "published.bidirectional.seconds": "476", "published.reviews": "3,560",
        "published.others-lowest": "82.7", "published.others-highest": "87.7", "published.slower": "20.8",
    }


def test_published_rows_stand_apart_on_the_page(forms: Forms) -> None:
    soup = soup_of(forms[0])
    for element in soup.find_all("data", attrs={"data-key": re.compile(r"^published\.(scratch|torch|bidirectional)")}):
        assert element.find_parent("tbody")["class"] == ["context"]
        assert "published" in element.find_parent("tr").th.get_text()
