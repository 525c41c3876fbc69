"""Starts of one study that each work on some of its models: at the same time, or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from gru_bench.config import RunConfig
from gru_bench.errors import RunError
from gru_bench.report.document.numbers import Numbers
from gru_bench.report.evidence.collect import collect
from gru_bench.report.evidence.groups import confirm_groups
from gru_bench.report.evidence.progress import unfinished
from gru_bench.report.findings import findings_of
from gru_bench.results.logged_metrics import over_seeds
from gru_bench.results.runs import StudySummary
from gru_bench.sweep.consistency import compare_stores
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import read_study
from gru_bench.sweep.workers.local import Message
from gru_bench.tracking import NOTE, LoggedStudy, Store
from tests.support.values import present
from tests.support.workers import WELL, answers, swept, well

pytestmark = pytest.mark.usefixtures("database")

MODELS = ["scratch", "torch"]


def start(csv: Path, *models: str, says: Any = lambda _: WELL, **changes: Any) -> StudySummary:
    options = {"all_models": MODELS, "trials": 1, "confirm": 1, **changes}
    return swept(csv, says, models=list(models) or None, **options)


def logged(name: str = "study") -> LoggedStudy:
    (study,) = [study for study in Store().studies("easy") if study.run.study == name]
    return study


def faults(csv: Path) -> tuple[str, ...]:
    """What `--check` finds."""
    spec = load_study("study.toml", settings={"data.name": str(csv)}, all_models=MODELS, trials=1, confirm=1)
    study = logged()
    return compare_stores(read_study(spec, open_storage(None)), [study.run], study.runs[1:]).faults


def confirmed(study: LoggedStudy) -> list[str]:
    return sorted(run.model for run in study.confirms if run.complete)


def test_a_later_start_with_one_model_keeps_the_others_in_the_summary(easy_csv: Path) -> None:
    start(easy_csv)
    before = present(logged().summary)
    trained = list[str]()

    def says(config: RunConfig) -> Sequence[Message]:
        trained.append(config.model.name)
        return WELL

    start(easy_csv, "scratch", says=says)
    after = present(logged().summary)
    assert trained == []
    assert after.models == ("scratch", "torch")
    assert (after.trials, after.best, after.best_value) == (before.trials, before.best, before.best_value)


def test_a_study_is_complete_only_once_all_of_its_models_are(easy_csv: Path) -> None:
    start(easy_csv, "torch")
    study = logged()
    assert (study.run.complete, study.run.status, study.summary) == (False, "KILLED", None)
    assert study.run.reason == "scratch is still to be searched or confirmed"
    assert unfinished(study)
    assert [fault for fault in faults(easy_csv) if "scratch" in fault]
    summary = start(easy_csv, "scratch")
    study = logged()
    assert (study.run.complete, study.run.status, study.summary) == (True, "FINISHED", summary)
    assert summary.models == ("scratch", "torch")
    assert {(trial.model, trial.state) for trial in summary.trials} == {(model, "complete") for model in MODELS}
    assert summary.best.keys() == summary.importance.keys() == set(MODELS)
    assert not unfinished(study)
    assert faults(easy_csv) == ()


@pytest.mark.parametrize("first", MODELS)
def test_the_last_of_two_starts_at_the_same_time_completes_the_study(easy_csv: Path, first: str) -> None:
    """The other start begins and ends during the last run of the first."""
    (second,) = set(MODELS) - {first}
    during = list[LoggedStudy]()

    def says(config: RunConfig) -> Sequence[Message]:
        if config.seed == 10_000:
            start(easy_csv, second)
            during.append(logged())
        return WELL

    start(easy_csv, first, says=says)
    assert [(study.run.complete, study.run.status, confirmed(study)) for study in during] == [
        (False, "RUNNING", [second])]
    study = logged()
    assert (study.run.complete, present(study.summary).models, confirmed(study)) == (True, ("scratch", "torch"), MODELS)
    assert faults(easy_csv) == ()


def test_a_model_that_another_start_adds_is_in_the_summary_of_the_last_one(easy_csv: Path) -> None:
    """A start with a name and models of its own begins a study of these; another one adds a model meanwhile."""

    def says(config: RunConfig) -> Sequence[Message]:
        if config.seed == 10_000:
            start(easy_csv, "scratch", name="mine")
        return WELL

    start(easy_csv, "torch", name="mine", says=says)
    study = logged("mine")
    assert study.run.complete
    assert present(study.summary).models == ("scratch", "torch")
    assert {trial.model for trial in present(study.summary).trials} == set(MODELS)
    start(easy_csv, "torch", name="torch-alone")
    assert present(logged("torch-alone").summary).models == ("torch",)


def test_the_report_and_the_description_show_every_confirmed_model(easy_csv: Path) -> None:
    def says(config: RunConfig) -> Sequence[Message]:
        return well(answers(config.seed, 0.95 if config.model.name == "torch" else 0.8))

    start(easy_csv, says=says, trials=0, confirm=5)
    study, store = logged(), Store()
    assert [group.model for group in confirm_groups([study], store, Numbers())[0]] == MODELS
    (pair,) = findings_of(collect([study], store)).pairs
    assert (pair.better, pair.finding) == (pair.a, "better by more than the margin")
    assert study.run.tags[NOTE].startswith(f"**Decision:** {MODELS[1].capitalize()}")
    for group in collect([study], store).groups:
        logged_as = {part: study.run.metrics[over_seeds(group.model, "accuracy", part).key]
                     for part in ("mean", "low", "high", "seeds")}
        assert logged_as == {"mean": round(present(group.score.value), 4), "low": round(present(group.score.low), 4),
                             "high": round(present(group.score.high), 4), "seeds": 5}


def test_a_decision_that_cannot_be_made_does_not_keep_a_study_from_ending(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> NoReturn:
        raise RunError("the predictions of a run are damaged")

    monkeypatch.setattr("gru_bench.report.evidence.collect.collect", damaged)
    start(easy_csv)
    study = logged()
    assert study.run.complete
    assert study.run.tags[NOTE].startswith("| model")
