"""The appendix on runs: the states of all runs, and the confirm runs at which numbers find theirs."""

from __future__ import annotations

import re
from dataclasses import replace

from gru_bench.report.build import build
from gru_bench.report.document.blocks import Details
from tests.support.fake_store import FakeStore, add_study, logged, summarized, three_models
from tests.support.renderings import Built, Rendered, all_said, column_of, said, section_of, table_of, words_of


def test_failed_seeds_are_named_and_counted(built: Built) -> None:
    report = built.report
    assert "Torch GRU: 1 confirm run is not complete (seed 1005)" in all_said(report.cautions)
    table = table_of(report, "runs")
    assert [column.heading for column in table.columns[2:]] == ["Complete", "Pruned", "Failed", "Other"]
    counts = {row[:2]: [number.value for number in row[2:]] for row in table.rows}
    assert counts["torch", "confirm"] == [5, 0, 1, 0]
    assert counts["torch", "search"] == [10, 3, 3, 0]
    lines = words_of(report, "runs").splitlines()
    place = lines.index("Runs of torch, confirm, that did not complete")
    assert lines[place + 1] == "torch seed 1005: failed: the loss is not finite in epoch 2"


def test_a_run_still_running_counts_as_other() -> None:
    store, (study, *_) = three_models()
    running = logged("r", role="trial", complete=False, status="RUNNING", tags={"gru_bench.state": "running"})
    report = build([replace(study, trials=(*study.trials, running))], store)
    assert column_of(report, "runs", "Other")[0].value == 1
    assert "r: other: no reason logged" in words_of(report, "runs")


def test_runs_that_all_completed_need_no_words() -> None:
    store = FakeStore()
    report = build([add_study(store, "torch", {"torch": 0.0}, search=False)], store)
    assert not [block for block in section_of(report, "runs").blocks if isinstance(block, Details)]


def test_each_confirm_run_stands_beside_its_model_seed_and_accuracy(built: Built) -> None:
    models, runs, seeds, accuracies = zip(*table_of(built.report, "confirm").rows, strict=True)
    expected = [run for study in built.studies for run in study.confirms if run.complete]
    assert [said(run) for run in runs] == [run.run_id for run in expected]
    assert [*seeds] == [str(run.seed) for run in expected]
    assert [accuracy.value for accuracy in accuracies] == [run.metrics["score/test_accuracy"] for run in expected]
    assert [model if isinstance(model, str) else said(model) for model in models] == [
        name for name in ("Scratch GRU", "Torch GRU", "Bidirectional GRU") for _ in range(5)]


def test_the_own_run_of_a_study_and_its_notes_are_told() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0})
    report = build([summarized(study, notes=("the room was warm",))], store)
    assert f"Study torch: {study.run.run_id}\nthe room was warm" in words_of(report, "runs")


def test_on_paper_the_heading_of_a_table_stays_with_it(three: Rendered) -> None:
    """Room is asked for before the heading, for the heading and the table."""
    document = three.files["report.tex"]
    room = r"\\Needspace\{(\d+)\\baselineskip\}"
    (asked,) = re.findall(room + r"\n\\subsection\*\{Confirm runs\}\n\\input\{tables/confirm\}", document)
    (needed,) = re.findall(room, three.files["tables/confirm.tex"])
    assert int(asked) > int(needed) > 15
