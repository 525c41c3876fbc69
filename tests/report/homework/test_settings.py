"""Tuned settings are compared with those of the homework."""

from __future__ import annotations

from gru_bench.report.homework.settings import homework_settings
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.homework_study import add_homework
from tests.support.renderings import Built, table_of
from tests.support.sections import build_only


def test_tuned_settings_are_shown_next_to_the_homeworks_only_if_the_report_has_both(made: Built) -> None:
    store = FakeStore()
    tuned = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(50))
    assert build_only([tuned], store, homework_settings).sections[1:] == ()
    report = build_only([tuned, add_homework(store)], store, homework_settings)
    table = table_of(report, "homework-settings")
    assert [column.heading for column in table.columns] == ["Setting", "Homework", "Torch GRU (torch)"]
    assert {name: (ours.value, theirs.value) for name, theirs, ours in table.rows} == {
        "hidden size": (250, 100), "layers": (1, 1), "learning rate": (0.00137, 0.0001), "batch size": (64, 1),
        "epochs": (4, 5)}
    assert "homework-settings" not in [section.name for section in made.report.sections]
