"""Tuned settings stand beside those of the homework."""

from __future__ import annotations

from gru_bench.report.build import build
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.homework_study import add_homework
from tests.support.renderings import Built, section_of, table_of


def test_settings_beside_the_homeworks(made: Built) -> None:
    store = FakeStore()
    tuned = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))
    assert "homework" not in " ".join(section.name for section in build([tuned], store).sections)
    report = build([tuned, add_homework(store)], store)
    assert section_of(report, "homework-settings").title == "Comparison with the homework’s settings"
    table = table_of(report, "homework-settings")
    assert [column.heading for column in table.columns] == ["Setting", "Homework", "Torch GRU (torch)"]
    assert {name: (ours.value, theirs.value) for name, theirs, ours in table.rows} == {
        "hidden size": (250, 100), "layers": (1, 1), "learning rate": (0.00137, 0.0001), "batch size": (64, 1),
        "epochs": (4, 5)}
    assert "homework-settings" not in [section.name for section in made.report.sections]
