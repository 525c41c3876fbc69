"""What `--check` finds: a complete study has no fault, and each inconsistency is named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gru_bench.results.baselines import baseline_names
from gru_bench.sweep.consistency import Consistency, compare_stores
from gru_bench.sweep.plan import SearchState, StudyState
from gru_bench.sweep.sharing.work import StoredTrial, digest, run_key
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.tracking import LoggedRun
from tests.support.commands import mentions
from tests.support.searches import DONE_BASELINES

BEST = {"training.lr": 0.01}


@pytest.fixture
def spec(tmp_path: Path) -> StudySpec:
    (tmp_path / "s.toml").write_text("""
models = ["torch"]
trials = 3
confirm = 2
[training]
epochs = 2
[space]
training.lr = { low = 1e-3, high = 1e-1, log = true }
""", encoding="utf-8")
    return load_study(str(tmp_path / "s.toml"))


def run(role: str, name: str, state: str = "complete", status: str = "FINISHED", **more: Any) -> LoggedRun:
    tags = {"gru_bench.state": state, "gru_bench.trial": name if role == "trial" else "",
            "gru_bench.settings": digest(BEST)}
    values: dict[str, Any] = {
        "run_id": f"id-{role}-{name}-{state}", "experiment_id": "1", "name": f"{role} {name}", "role": role,
        "study": "s", "model": "torch", "backend": "torch", "seed": int(name) if role == "confirm" else 0,
        "status": status, "complete": state == "complete", "reason": "", "params": {}, "metrics": {},
        "tags": tags, "started": 0.0}
    return LoggedRun(**{**values, **more})


class Study:
    """A complete study, in which tests change one thing."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.trials = [
            StoredTrial(0, "complete", {"training.lr": 0.01}),
            StoredTrial(1, "pruned", {"training.lr": 0.02}),
            StoredTrial(2, "interrupted", {"training.lr": 0.03}),
            StoredTrial(3, "complete", {"training.lr": 0.03}, retry_of=2),
            StoredTrial(4, "waiting", {"training.lr": 0.01})]
        self.planned = {
            run_key("torch", digest(BEST), seed): StoredTrial(
                place, "complete", {}, run_id=f"id-confirm-{seed}-complete")
            for place, seed in enumerate(spec.confirm_seeds)} | DONE_BASELINES
        self.studies = [run("study", "s", params={"study": "s"})]
        self.asked, self.exhausted = 3, False
        self.runs = [
            run("trial", "0"), run("trial", "1", "pruned"), run("trial", "2", "killed", "KILLED"), run("trial", "3"),
            *(run("confirm", str(seed)) for seed in spec.confirm_seeds),
            *(run("baseline", name, model=name, run_id=f"id-baseline-{name}") for name in baseline_names())]

    def found(self, *deleted: str) -> Consistency:
        search = SearchState(tuple(self.trials), best=self.trials[0], asked=self.asked, exhausted=self.exhausted)
        state = StudyState(self.spec, {"torch": search}, self.planned)
        return compare_stores(state, [*self.studies, *self.runs], {run_id: f"mlflow-{run_id}" for run_id in deleted})


@pytest.fixture
def study(spec: StudySpec) -> Study:
    return Study(spec)


def faults(found: Consistency, *expected: str) -> None:
    """Assert that there are these faults alone, each given by a pattern."""
    assert len(found.faults) == len(expected), found.faults
    for fault, pattern in zip(found.faults, expected, strict=True):
        assert re.search(pattern, fault), fault


def test_a_complete_study_has_no_fault(study: Study) -> None:
    found = study.found()
    faults(found)
    search, runs = found.counts
    mentions(search, "3 of 3 trials", "2 complete, 1 pruned, 0 failed", "0 duplicates", "1 interrupted",
             "2 of 2 confirmation seeds")
    mentions(runs, "1 run of the study", "3 of trials", "2 of confirmation seeds", "0 running",
             "1 interrupted")


def test_names_a_missing_trial_and_one_that_is_running(study: Study) -> None:
    study.trials[3] = replace(study.trials[3], state="running")
    study.runs[3] = run("trial", "3", "running", "RUNNING")
    faults(study.found(), "torch: 1 trial is RUNNING", "MLflow: 'trial 3' is RUNNING")


def test_names_a_planned_run_that_is_running(study: Study) -> None:
    study.planned["torch confirm x"] = StoredTrial(9, "running", {}, key="torch confirm x")
    faults(study.found(), "'torch confirm x' is RUNNING")


def test_names_more_trials_than_any_start_has_asked_for(study: Study) -> None:
    study.asked = 0
    faults(study.found())
    study.spec = study.spec.model_copy(update={"trials": 2})
    faults(study.found(), "torch: 3 trials.*at most 2")
    study.asked = 3  # before fewer were asked for
    faults(study.found())
    assert study.found().counts[0].startswith("torch: 3 of 3 trials")


def test_a_search_whose_space_has_no_more_points_has_no_fault(study: Study) -> None:
    study.trials, study.runs, study.exhausted = study.trials[:2], [*study.runs[:2], *study.runs[4:]], True
    faults(study.found())


def test_settings_that_a_sampler_has_proposed_again_are_no_fault(study: Study) -> None:
    study.trials[3] = replace(study.trials[3], settings={"training.lr": 0.02})
    faults(study.found())
    mentions(study.found().counts[0], "0 duplicates")


@pytest.mark.parametrize(("changed", "pair"), [
    ({2: {"state": "complete"}}, "2 and 3"), ({3: {"retry_of": 0}}, "0 and 3"),
    ({3: {"state": "interrupted"}, 4: {"state": "complete", "retry_of": 3}}, ""),
    ({4: {"state": "complete", "retry_of": 3}}, "3 and 4")])
def test_names_trials_that_were_done_twice(study: Study, changed: dict[int, dict[str, Any]], pair: str) -> None:
    for number, values in changed.items():
        study.trials[number] = replace(study.trials[number], **values)
    found = [fault for fault in study.found().permanent if "retries" in fault]
    assert [pair in fault for fault in found] == [True] * bool(pair)
    mentions(study.found().counts[0], f"{len(found)} duplicates")


@pytest.mark.parametrize(("place", "changed", "fault"), [
    (0, None, "trial 0 is complete.*one run.*0"),
    (0, ("0", "killed", "KILLED"), "trial 0 is complete.*id-trial-0-killed is killed and KILLED"),
    (0, ("7", "complete", "FINISHED"), "id-trial-7-complete.*trial 7"),
    (1, ("1", "complete", "FINISHED"), "trial 1 is pruned.*id-trial-1-complete is complete"),
    (2, ("2", "complete", "FINISHED"), "trial 2 is interrupted.*id-trial-2-complete is complete"),
    (3, ("0", "killed", "KILLED"), "trial 0 is complete.*one run.*2"),
    (3, ("4", "killed", "KILLED"), "trial 4 was never trained.*id-trial-4-killed"),
])
def test_names_a_run_that_does_not_match_its_trial(
    study: Study, place: int, changed: tuple[str, str, str] | None, fault: str
) -> None:
    if changed is None:
        del study.runs[place]
    else:
        study.runs[place] = run("trial", *changed)
    assert any(re.search(fault, found) for found in study.found().faults)


def test_names_a_confirmation_seed_that_is_missing_and_one_that_is_done_twice(study: Study) -> None:
    first, second = study.spec.confirm_seeds
    del study.planned[run_key("torch", digest(BEST), first)]
    study.runs.append(run("confirm", str(second)))
    faults(study.found(), f"torch.*seed {first} not done", f"id-confirm-{first}-complete.*unknown",
           f"torch.*{second}.*one complete run.*2")


def test_names_a_killed_missing_or_undescribed_run_of_the_study_itself(study: Study) -> None:
    study.studies[0] = run("study", "s")
    faults(study.found(), "MLflow.*study's own run is not complete yet")
    study.studies[0] = run("study", "s", "killed", "KILLED", params={"study": "s"})
    faults(study.found(), "MLflow.*study's own run is KILLED and not complete")
    study.studies = []
    faults(study.found(), "MLflow.*'s'.*one run of its own.*0")


def test_names_a_search_that_has_not_begun(study: Study) -> None:
    state = StudyState(study.spec, {"torch": SearchState()}, DONE_BASELINES)
    faults(compare_stores(state, study.runs[-3:]), "torch: 0 of 3 trials", "MLflow.*'s'.*one run of its own.*0")


def test_each_baseline_has_one_complete_run(study: Study) -> None:
    (tfidf,) = (run for run in study.runs if run.model == "tfidf")
    others = [run for run in study.runs if run is not tfidf]
    study.runs = [*study.runs, replace(tfidf, run_id="again")]
    faults(study.found(), "tfidf baseline.*one complete run, but has 2")
    study.runs = [*others, replace(tfidf, metrics={"score/test_accuracy": 0.7})]
    study.planned = {**study.planned, "tfidf baseline": replace(study.planned["tfidf baseline"], value=0.8)}
    faults(study.found(), "tfidf baseline.*0.8 in Optuna, but 0.7 in MLflow")
    study.runs = others
    faults(study.found(), "tfidf baseline.*one complete run, but has 0")
    faults(study.found(tfidf.run_id), "tfidf baseline.*deleted")
    study.planned = {key: one for key, one in study.planned.items() if key != "tfidf baseline"}
    faults(study.found(), "baseline tfidf is not done")
    study.runs = [*others, tfidf]
    faults(study.found(), "baseline tfidf is not done", "id-baseline-tfidf.*unknown")


def test_faults_that_the_same_command_does_not_repair_are_permanent(study: Study) -> None:
    first, second = study.spec.confirm_seeds
    # One of a lost search; those of this one are lost.
    study.runs = [run("trial", "9"), run("confirm", str(second)), *study.runs[-3:]]
    study.studies.append(run("study", "again", params={"study": "s"}))
    del study.planned[run_key("torch", digest(BEST), first)]
    found = study.found()
    faults(found, f"seed {first} not done", "id-trial-9-complete.*trial 9", "3 trials.*none has a run",
           "MLflow.*'s'.*one run of its own.*2")
    assert found.permanent == found.faults[1:]


def test_the_same_command_repairs_a_confirmation_run_that_was_deleted_in_mlflow(study: Study) -> None:
    first, _ = study.spec.confirm_seeds
    gone = study.runs.pop(4).run_id
    found = study.found(gone)
    faults(found, f"torch.*{first}.*was deleted.*{gone}")
    assert not found.permanent


@pytest.mark.parametrize("role", ["trial", "confirm"])
def test_names_a_value_that_differs_between_the_stores(role: str, study: Study) -> None:
    place, metric, key = {"trial": (0, "score/val_accuracy", ""), "confirm": (
        4, "score/test_accuracy", run_key("torch", digest(BEST), study.spec.confirm_seeds[0]))}[role]
    study.runs[place] = replace(study.runs[place], metrics={metric: 0.58})
    for value, expected in ((0.58, []), (0.999, [rf"{role}.*0\.999.*0\.58.*{study.runs[place].run_id}"])):
        if key:
            study.planned[key] = replace(study.planned[key], value=value)
        else:
            study.trials[0] = replace(study.trials[0], value=value)
        faults(study.found(), *expected)
        assert len(study.found().permanent) == len(expected)
