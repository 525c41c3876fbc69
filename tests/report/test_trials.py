"""A report on a search that nothing has confirmed yet: what it shows and what not, and that it verifies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from gru_bench.config import RunConfig
from gru_bench.errors import IncompleteError
from gru_bench.report.__main__ import app
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.document.report import Report
from gru_bench.report.evidence.trials import trials_of
from gru_bench.report.render.files import write
from gru_bench.report.render.record import read
from gru_bench.report.render.spreadsheets import trials_table
from gru_bench.report.verify import differences
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.workers.local import Message
from gru_bench.tracking import LoggedStudy
from tests.support.commands import completed, mentions
from tests.support.fake_store import SPACE, FakeStore, TestSet, add_study, measured_as, searching, with_params
from tests.support.renderings import said, table_of
from tests.support.reports import build
from tests.support.values import present
from tests.support.workers import WELL, Script, swept

SMALL = TestSet.draw(80)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def study(store: FakeStore) -> LoggedStudy:
    """A study of two models, interrupted after five of the eight trials of each."""
    whole = add_study(store, "tuning", {"scratch": 0.0, "torch": 0.1}, test_set=SMALL, trials=8, epochs=2)
    return searching(store, whole)


@pytest.fixture
def report(store: FakeStore, study: LoggedStudy) -> Report:
    return build([study], store)


def test_it_is_a_sentence_the_command_that_confirms_and_a_table(report: Report) -> None:
    state, command = map(said, report.in_short)
    mentions(state, "tuning has no complete confirmation run", "no verdict", "10 of 16 trials")
    assert command.endswith(": python sweeps/run.py --study tuning")
    assert [section.name for section in report.sections] == ["summary"]
    assert [table.key for table in report.tables] == ["search-so-far"]
    assert report.figures == ()
    assert report.warnings == ()
    assert report.findings.models == ()


def test_the_best_trials_stand_beside_the_baselines(store: FakeStore, study: LoggedStudy, report: Report) -> None:
    trials = trials_of(study, store)
    for place, (model, label) in enumerate((("scratch", "Scratch GRU"), ("torch", "Torch GRU"))):
        best = max((trial for trial in trials if trial.summary.model == model and trial.summary.state == "complete"),
                   key=lambda trial: trial.summary.value or 0)
        name, ended, number, value = table_of(report, "search-so-far").rows[place]
        assert (name, said(ended)) == (label, "5 of 8")
        assert (number.value, value.value) == (best.summary.number, best.summary.value)
        assert value.runs == (best.run.run_id,)
        assert value.low is None  # the interval of a chosen trial would be wrong
    assert [(row[0], row[3].text) for row in table_of(report, "search-so-far").rows[2:]] == [
        ("majority class", "53.9"), ("TF-IDF + logistic regression", "86.5")]
    assert "optimistic" in said(table_of(report, "search-so-far").caption)


def test_a_trial_that_was_pruned_within_its_first_epoch_has_the_score_of_its_checks(
    store: FakeStore, study: LoggedStudy
) -> None:
    pruned = next(run for run in study.trials if run.state == "pruned")
    store.metrics[pruned.run_id] = {"search/check": [(1, 0.7), (2, 0.75), (3, 0.72)]}
    found = next(trial.summary for trial in trials_of(study, store) if trial.run == pruned)
    assert (found.state, found.epochs, found.value) == ("pruned", 0.75, 0.75)


def test_it_can_be_verified(store: FakeStore, study: LoggedStudy, tmp_path: Path) -> None:
    write(build([study], store, experiment="movie-reviews"), tmp_path)
    assert differences(tmp_path, read(tmp_path), store) == []
    store.metrics[study.trials[0].run_id]["accuracy/val"] = [(1, 0.99)]
    assert any("scratch.best has " in one for one in differences(tmp_path, read(tmp_path), store))


def test_what_the_study_has_not_logged_yet_is_left_out(store: FakeStore, study: LoggedStudy) -> None:
    for name in ("search.json", "data.json"):
        del store.artifacts[study.run.run_id, name]
    only = replace(study, baselines=(), trials=tuple(run for run in study.trials if run.model == "scratch"))
    report = build([only], store)
    assert "its search has 5 of 16 trials" in said(report.in_short[0])
    table = table_of(report, "search-so-far")
    assert [said(row[1]) for row in table.rows] == ["5 of 8", "0 of 8"]
    assert table.rows[1][2:] == (MISSING, MISSING)


def test_baselines_have_the_score_that_the_study_is_about(store: FakeStore, study: LoggedStudy) -> None:
    about = with_params(study, metric="log_loss")
    report = build([about], store)
    assert [row[3].text for row in table_of(report, "search-so-far").rows[2:]] == [MISSING, MISSING]
    about = replace(about, baselines=(measured_as(study.baselines[0], val_loss=0.693),))
    assert [row[3].text for row in table_of(build([about], store), "search-so-far").rows[2:]] == ["0.693"]


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(("confirm", "end"), [("0", "--study tuning --confirm 5"), ("5", "--study tuning")])
def test_a_study_without_a_confirmation_run_names_the_command_that_confirms(
    store: FakeStore, confirm: str, end: str, ended: bool
) -> None:
    whole = add_study(store, "tuning", {"torch": 0.1}, test_set=SMALL, trials=5)
    alone = replace(searching(store, whole), summary=whole.summary if ended else None)
    report = build([with_params(alone, confirm=confirm)], store)
    mentions(said(report.in_short[0]), "tuning has no complete confirmation run", "5 of 5 trials")
    assert said(report.in_short[1]).endswith(f": python sweeps/run.py {end}")
    assert report.findings.next_commands == (f"python sweeps/run.py {end}",)
    assert [section.name for section in report.sections] == ["summary"]


def test_no_command_is_named_where_that_of_the_study_is_not_known(store: FakeStore, study: LoggedStudy) -> None:
    unknown = replace(study, run=replace(study.run, tags={**study.run.tags, "mlflow.source.name": "train.py"}))
    assert build([unknown], store).findings.next_commands == ()


def test_a_trial_that_was_done_again_is_one(store: FakeStore, study: LoggedStudy) -> None:
    first, *others = study.trials
    broken = replace(first, run_id="broken", complete=False, status="KILLED", reason="interrupted", started=0.0,
                     tags={**first.tags, "gru_bench.trial": "7", "gru_bench.state": "killed"})
    assert trials_of(replace(study, trials=(broken, first, *others)), store) == trials_of(study, store)
    alone = trials_of(replace(study, trials=(broken, *others)), store)
    assert [(one.summary.state, one.summary.value) for one in alone if one.summary.number == 7] == [("other", None)]


def test_settings_that_were_proposed_twice_are_two_trials(store: FakeStore, study: LoggedStudy) -> None:
    first, second, *_ = study.trials
    alike = replace(second, tags={**second.tags, "gru_bench.settings": first.tags["gru_bench.settings"]})
    assert [trial.run for trial in trials_of(replace(study, trials=(first, alike)), store)] == [first, alike]


def test_a_study_without_a_complete_run_has_no_report(store: FakeStore, study: LoggedStudy) -> None:
    other = add_study(store, "other", {"torch": 0.0}, test_set=SMALL)
    with pytest.raises(IncompleteError, match="complete trial"):
        build([study, replace(other, confirms=())], store)
    assert build([other], store).sections[1].name == "results"


def test_a_search_without_a_summary_is_shown_beside_confirmation_runs(store: FakeStore) -> None:
    whole = add_study(store, "tuning", {"scratch": 0.0, "torch": 0.1}, test_set=SMALL, trials=5, epochs=2)
    done = add_study(store, "done", {"bidirectional": 0.1}, test_set=SMALL, trials=5, epochs=2)
    begun = replace(searching(store, whole), confirms=whole.confirms)
    report = build([begun, done], store)
    mentions(" ".join(section.name for section in report.sections), "search search-so-far")
    assert [said(row[1]) for row in table_of(report, "search-so-far").rows[:2]] == ["5 of 5"] * 2
    logged = {row[0]: said(row[1]) for row in table_of(report, "checklist").rows}
    mentions(logged["Search space"], "Scratch GRU: ", "Torch GRU: ", "Bidirectional GRU: ",
             "learning rate 0.0001 to 0.01")
    heading, *rows = map(list, trials_table([begun, done], store))
    assert heading[6:] == list(SPACE)
    assert [row[0] for row in rows] == ["tuning"] * 10 + ["done"] * 5
    assert [row[4] for row in rows[:5]] == [trial.value for trial in present(whole.summary).trials[:5]]


# ---------------------------------------------------------------- a real store


@pytest.fixture
def sweep(easy_csv: Path, database: Path) -> Callable[[int | None], None]:
    """A function that begins or goes on with a study, and interrupts it after so many trials; None for never."""
    del database
    storage, script = open_storage("optuna.journal"), Script(*[WELL] * 9)

    def go_on(until: int | None) -> None:
        def says(config: RunConfig) -> Sequence[Message]:
            if len(script.tries) == until:
                raise KeyboardInterrupt
            return script(config)

        with pytest.raises(KeyboardInterrupt) if until is not None else nullcontext():
            swept(easy_csv, says, storage=storage, confirm=2)

    return go_on


@pytest.mark.slow
def test_a_sweep_that_was_interrupted_has_a_report_from_its_first_complete_trial_on(
    sweep: Callable[[int | None], None]
) -> None:
    sweep(0)
    done = completed(app, "--out", "x")
    assert done.returncode == 3
    mentions(done.stderr, "complete trial", "easy", "gru-bench sweep")
    assert not Path("x").exists()
    sweep(2)
    done = completed(app, "--out", "x")
    assert done.returncode == 0
    mentions(done.stdout, "study study has no complete confirmation run", "2 of 5 trials")
    done = completed(app, "--verify", "x")
    assert done.returncode == 0
    page = Path("x/report.md").read_text(encoding="utf-8")
    assert re.search(r"\| Torch GRU \| 2 of 5 \| \d \| \d+\.\d \|", page)
    # The same command goes on; then the report is the usual one, and the first no longer holds.
    sweep(None)
    done = completed(app, "--verify", "x")
    assert done.returncode == 4
    done = completed(app, "--out", "y")
    assert done.returncode == 0
    assert "## Results" in Path("y/report.md").read_text(encoding="utf-8")
