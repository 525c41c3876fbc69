"""Tuned settings stand beside those of the homework."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gru_bench.report.build import build
from gru_bench.report.homework.settings import HOMEWORK
from gru_bench.report.render import html_latex as render
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.values import present


@pytest.fixture
def torch() -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    return store, add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))


def test_settings_beside_the_homeworks(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    alone = build([study], store)
    assert alone.homework_settings is None
    assert "the homework" not in render.html(alone)
    own = add_study(store, "homework", {"scratch": 0.0}, search=False, test_set=TestSet.draw(300))
    own = replace(own, summary=replace(present(own.summary), protocol="homework"))
    table: Any = build([study, own], store).homework_settings
    assert table.labels == ("Torch GRU",)
    assert {row.name: (row.ours[0].value, row.homework.value) for row in table.settings} == {
        "hidden size": (250, 100), "layers": (1, 1), "learning rate": (0.00137, 0.0001), "batch size": (64, 1),
        "epochs": (4, 5)}
    assert len(table.settings) == len(HOMEWORK)
