"""The appendix on runs: the states of all runs, and the confirmation runs that numbers link to."""

from __future__ import annotations

import re
from dataclasses import replace

from gru_bench.document.blocks import Details
from gru_bench.report.sections.runs import runs as runs_section
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, logged, summarized
from tests.support.renderings import Built, Rendered, all_said, column_of, said, section_of, table_of, words_of
from tests.support.sections import build_only

FEW = TestSet.draw(50)


def test_failed_seeds_are_named_and_counted(built: Built) -> None:
    report = built.report
    mentions(all_said(report.warnings), "Torch GRU: 1 confirmation run", "not complete", "seed 1005")
    table = table_of(report, "runs")
    assert [column.heading for column in table.columns[2:]] == ["Complete", "Pruned", "Failed", "Other"]
    counts = {row[:2]: [number.value for number in row[2:]] for row in table.rows}
    assert counts["torch", "confirm"] == [5, 0, 1, 0]
    assert counts["torch", "search"] == [10, 3, 3, 0]
    mentions(words_of(report, "runs"), "torch seed 1005: failed: the loss is not finite in epoch 2")


def test_a_run_still_running_counts_as_other() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=FEW)
    running = logged("r", role="trial", complete=False, status="RUNNING", tags={"gru_bench.state": "running"})
    report = build_only([replace(study, trials=(*study.trials, running))], store, runs_section)
    assert column_of(report, "runs", "Other")[0].value == 1
    mentions(words_of(report, "runs"), "torch trial 4: failed: not in the better half", "r: interrupted or unfinished")


def test_nothing_is_listed_if_all_runs_are_complete() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, search=False, test_set=FEW)
    report = build_only([study], store, runs_section)
    folded = [block.summary for block in section_of(report, "runs").blocks if isinstance(block, Details)]
    assert not any("did not complete" in summary for summary in folded)


def test_each_confirm_run_has_a_row_with_its_model_seed_and_accuracy(built: Built) -> None:
    models, runs, seeds, accuracies = zip(*table_of(built.report, "confirm").rows, strict=True)
    expected = [run for study in built.studies for run in study.confirms if run.complete]
    assert [said(run) for run in runs] == [run.run_id for run in expected]
    assert [*seeds] == [str(run.seed) for run in expected]
    assert [accuracy.value for accuracy in accuracies] == [run.metrics["score/test_accuracy"] for run in expected]
    assert [model if isinstance(model, str) else said(model) for model in models] == [
        name for name in ("Scratch GRU", "Torch GRU", "Bidirectional GRU") for _ in range(5)]


def test_the_id_and_the_notes_of_a_study_are_shown() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=FEW)
    report = build_only([summarized(study, notes=("the room was warm",))], store, runs_section)
    mentions(words_of(report, "runs"), f"torch: {study.run.run_id}", "the room was warm")


def test_on_paper_the_heading_of_a_table_stays_with_it(three: Rendered) -> None:
    """Space is reserved before the heading, for the heading and the table."""
    document = three.files["report.tex"]
    room = r"\\Needspace\{(\d+)\\baselineskip\}"
    (asked,) = re.findall(room + r"\n\\subsection\*\{Confirmation runs\}\n\\input\{tables/confirm\}", document)
    (needed,) = re.findall(room, three.files["tables/confirm.tex"])
    assert int(asked) > int(needed) > 15
