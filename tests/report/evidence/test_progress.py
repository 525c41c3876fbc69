"""What an unfinished study still lacks, and the command that continues it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.report.document.blocks import Bullets
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.document.report import Report
from gru_bench.report.evidence.progress import typed
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, under_way
from tests.support.renderings import all_said, column_of, figure_of, said, section_of, table_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only
from tests.support.values import present

FEW = TestSet.draw(60)


def has_window_losses(report: Report) -> bool:
    """Return whether the training loss is drawn within epochs."""
    return any(epoch % 1 for epoch in figure_of(report, "curves").values.column("epoch"))


def test_an_unfinished_study_shows_what_it_has_and_names_what_is_missing() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, finished=False, test_set=FEW)
    report = build([study], store)
    assert len(column_of(report, "results", "Model")) == 1
    mentions(all_said(report.warnings), "torch is not finished",
             "Still missing from torch: the baselines, the summary of its data, the result of its search",
             ": python sweeps/run.py --study torch")
    assert "data" not in [section.name for section in report.sections]
    assert MISSING not in column_of(report, "results", "Seeds")  # no baseline
    assert not has_window_losses(report)  # the iterations of an epoch are not known


def test_an_unfinished_study_is_to_be_continued_before_new_seeds_are_proposed() -> None:
    store = FakeStore()
    models = {"scratch": 0.0, "torch": 0.01, "bidirectional": 0.1}
    whole = add_study(store, "homework", models, test_set=FEW)
    kept = tuple(run for run in whole.confirms if run.model != "bidirectional" and (run.seed or 0) < 1003)
    begun = under_way(store, whole, models="scratch,torch,bidirectional", trials="16")
    report = build([replace(begun, confirms=kept)], store)
    text = all_said(report.warnings)
    mentions(text, "Scratch GRU: 2 of the 5 planned confirmation seeds",
             "Bidirectional GRU has no complete confirmation run", "Still missing from homework: the result of the "
             "search.", "First finish homework")
    assert [row[1] for row in table_of(report, "results").rows].count(MISSING) == 2
    assert has_window_losses(report)
    assert report.numbers["data-1.train"].value == present(whole.summary).data.train
    assert "Next steps" not in words_of(report, "comparisons")
    assert "new confirmation set" not in all_said(report.in_short)


def test_the_command_comes_first_and_what_is_missing_is_said_once() -> None:
    store = FakeStore()
    whole = add_study(store, "half", {"scratch": 0.0, "torch": 0.01}, seeds=2, failed=1, test_set=FEW)
    begun = under_way(store, whole, models="scratch,torch", trials="16", confirm="4")
    report = build_only([begun], store)
    command, scratch, torch, *others = map(said, report.warnings)
    mentions(command, "half is not finished", "First finish half", ": python sweeps/run.py --study half")
    mentions(scratch, "Scratch GRU: 2 of the 4 planned confirmation seeds")
    mentions(torch, "Torch GRU: 2 of the 4 planned confirmation seeds")
    text = " ".join(others)  # the search of a model has ended before its first confirmation run begins
    assert "search" not in text
    assert "confirmation run" not in text
    lines = next(block for block in section_of(report, "summary").blocks if isinstance(block, Bullets))
    assert said(lines.items[0][1]) == command


def test_a_study_that_ended_without_some_seeds_is_to_be_continued() -> None:
    store = FakeStore()
    study = add_study(store, "scratch", {"scratch": 0.0}, seeds=3, test_set=FEW)
    short = replace(study, confirms=study.confirms[:2])
    assert "First finish scratch" in all_said(build_only([short], store).warnings)
    assert "continue" not in all_said(build_only([study], store).warnings)


@pytest.mark.parametrize(("recorded", "words"), [
    ("run.py --study smoke", ["python sweeps/run.py", "--study", "smoke"]),
    ("gru-bench sweep --study smoke", ["gru-bench sweep", "--study", "smoke"]),
    ("__main__.py sweep --study 'my own.toml'", ["python -m gru_bench sweep", "--study", "my own.toml"]),
    ("__main__.py --study smoke", ["python -m gru_bench.sweep", "--study", "smoke"]),
    ("gru-bench sweep --storage postgresql://me:secret@x/y", ["gru-bench sweep", "--storage", "postgresql://x/y"]),
    ("gru-bench", []), ("gru-bench train --lr 1", []), ("my-script.py --study smoke", []), ("run.py 'x", []), ("", []),
])
def test_a_recorded_command_becomes_one_that_can_be_typed(recorded: str, words: list[str]) -> None:
    assert typed(recorded) == words
