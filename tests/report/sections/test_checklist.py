"""The reproducibility checklist: answers from what was logged, and what only the author knows."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gru_bench.report.sections.checklist import FACTS, checklist
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, one_each, with_data
from tests.support.renderings import said, section_of, table_of
from tests.support.sections import build_only

LOGGED = {
    "gru_bench.python": "3.11.7", "gru_bench.versions": json.dumps({"torch": "2.8.0", "numpy": "2.1.0"}),
    "gru_bench.machine": "A Processor", "gru_bench.cores": "8", "gru_bench.platform": "Linux-6",
    "gru_bench.device": "cpu", "mlflow.source.git.commit": "0123456789abcdef", "gru_bench.git_dirty": "false"}


def answers(store: FakeStore, *studies: LoggedStudy) -> dict[str, str]:
    """Return fact -> what was logged of it, of a report of these studies."""
    rows = table_of(build_only(studies, store, checklist), "checklist").rows
    return {fact: said(answer) for fact, answer in rows}


def answer(found: dict[str, str], words: str) -> str:
    """Return what was logged of the fact whose name contains these words."""
    (only,) = (answer for fact, answer in found.items() if words in fact)
    return only


def tagged(study: LoggedStudy, **changes: str) -> LoggedStudy:
    """Return a study whose confirmation runs logged where and with what they ran."""
    tags = LOGGED | changes
    return replace(study, confirms=tuple(replace(run, tags={**run.tags, **tags}) for run in study.confirms))


@pytest.fixture
def torch() -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    return store, add_study(store, "torch", {"torch": 0.0}, seeds=3, trials=5, test_set=TestSet.draw(60))


def test_what_was_not_logged_is_said_to_be_so_and_the_section_is_an_appendix(
    torch: tuple[FakeStore, LoggedStudy]
) -> None:
    store, study = torch
    assert section_of(build_only([study], store, checklist), "checklist").appendix
    found = answers(store, study)
    assert found.keys() == FACTS.keys()
    for words in ("Machine", "versions"):  # the runs of the made store log none of it
        assert answer(found, words) == "not logged"


def test_the_machine_and_the_versions_are_those_that_the_runs_logged(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    found = answers(store, tagged(study))
    assert answer(found, "Machine") == "A Processor, 8 cores, Linux-6, trained on cpu"
    assert answer(found, "versions") == "Python 3.11.7, torch 2.8.0, numpy 2.1.0, commit 0123456789ab"
    first, second, *others = tagged(study).confirms
    changed = replace(second, tags={**second.tags, "gru_bench.git_dirty": "true", "gru_bench.cores": "4",
                                    "gru_bench.versions": json.dumps({"torch": "2.7.1", "numpy": "2.1.0"})})
    found = answers(store, replace(study, confirms=(first, changed, *others)))
    mentions(answer(found, "Machine"), "4 cores, 8 cores")
    mentions(answer(found, "versions"), "torch 2.7.1 and 2.8.0, numpy 2.1.0", "uncommitted changes")


def test_the_hours_are_those_of_all_runs_that_have_ended(torch: tuple[FakeStore, LoggedStudy]) -> None:
    """The time of complete, pruned and failed runs counts; that of the study's own run does not."""
    store, study = torch
    trials = tuple(replace(run, ended=run.started + 1800) for run in study.trials)
    *ended, running = study.confirms
    confirms = (*(replace(run, ended=run.started + 3600) for run in ended), replace(running, ended=None))
    parent = replace(study.run, ended=study.run.started + 1e6)
    report = build_only([replace(study, run=parent, trials=trials, confirms=confirms)], store, checklist)
    numbers = report.numbers
    assert numbers["checklist.hours"].value == pytest.approx(5 * 0.5 + 2)
    assert set(numbers["checklist.hours"].runs) == {run.run_id for run in (*trials, *confirms)}
    assert numbers["checklist.runs"].value == 8
    lost = sum(run.state in ("pruned", "failed") for run in trials) + (not running.complete)
    assert numbers["checklist.incomplete"].value == lost == 2


def test_the_seeds_and_the_search_space_are_those_of_the_models() -> None:
    store, studies = one_each({"scratch": 0.0, "bidirectional": 0.3}, seeds=3, trials=5, test_set=TestSet.draw(60))
    found = answers(store, *studies)
    assert answer(found, "Seeds") == "Scratch GRU: 3; Bidirectional GRU: 3"
    mentions(answer(found, "Search space"), "Scratch GRU: learning rate 0.0001 to 0.01", "dropout 0 to 0.5")


def test_splits_of_groups_are_said_to_be_drawn_by_groups(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    mentions(answer(answers(store, study), "Splits"), "test: 10", "validation: 10", "of all texts", "hash of texts")
    grouped = with_data(study, groups={"train": 50, "validation": 6, "test": 20})
    mentions(answer(answers(store, grouped), "Splits"), "hash of whole groups")
    alone = replace(study, confirms=tuple(
        replace(run, params={**run.params, "data.validation_share": "0.0", "data.test_name": "test.csv"})
        for run in study.confirms))
    found = answer(answers(store, alone), "Splits")
    mentions(found, "a file of its own", "validation: none")
    assert "hash" not in found


def test_a_study_without_a_search_has_no_search_space() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=3, search=False, test_set=TestSet.draw(60))
    assert answer(answers(store, study), "Search space").startswith("none")
