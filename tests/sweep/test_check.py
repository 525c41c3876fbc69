"""What `--check` finds: a study that is done passes, and each thing that may be wrong is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gru_bench.sweep.check import Consistency, check_consistency
from gru_bench.sweep.search import StoredSearch
from gru_bench.sweep.sharing.trials import StoredTrial, digest, run_key
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.tracking import LoggedRun

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
    """One that is done, to be spoilt."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.trials = [
            StoredTrial(0, "complete", {"training.lr": 0.01}, None),
            StoredTrial(1, "pruned", {"training.lr": 0.02}, None),
            StoredTrial(2, "broken off", {"training.lr": 0.03}, None),
            StoredTrial(3, "complete", {"training.lr": 0.03}, 2),
            StoredTrial(4, "duplicate", {"training.lr": 0.01}, None)]
        self.planned = {run_key("confirm", digest(BEST), seed): StoredTrial(place, "complete", {}, run_id="x")
                        for place, seed in enumerate(spec.confirm_seeds)}
        self.studies = [run("study", "s")]
        self.asked = 3
        self.runs = [
            run("trial", "0"), run("trial", "1", "pruned"), run("trial", "2", "killed", "KILLED"), run("trial", "3"),
            *(run("confirm", str(seed)) for seed in spec.confirm_seeds)]

    def found(self) -> Consistency:
        search = StoredSearch({}, tuple(self.trials), BEST, self.planned, exhausted=False, asked=self.asked)
        return check_consistency(self.spec, {"torch": search}, self.studies, self.runs)


@pytest.fixture
def study(spec: StudySpec) -> Study:
    return Study(spec)


def test_a_study_that_is_done_has_no_fault(study: Study) -> None:
    found = study.found()
    assert found.faults == ()
    assert found.counts == (
        "torch: 3 of 3 trials (2 complete, 1 pruned, 0 failed), 0 duplicates, 0 running; 1 broken off and queued "
        "again; 2 of 2 confirm seeds",
        "MLflow: 1 run of the study, 4 of trials, 2 of confirm seeds; 0 running")


def test_a_trial_too_few_and_one_under_way(study: Study) -> None:
    study.trials[3] = replace(study.trials[3], state="running")
    study.runs[3] = run("trial", "3", "running", "RUNNING")
    assert study.found().faults == (
        "torch: 2 of 3 trials are finished", "torch: 1 trial is RUNNING", "MLflow: 'trial 3' is RUNNING")
    study.trials[1:] = [replace(trial, state="running") for trial in study.trials[1:]]
    assert study.found().faults[0] == "torch: 1 of 3 trials is finished"


def test_a_planned_run_under_way(study: Study) -> None:
    study.planned["follow-up timings x"] = StoredTrial(9, "running", {}, key="follow-up timings x")
    assert study.found().faults == ("torch: the planned run 'follow-up timings x' is RUNNING",)


def test_more_trials_than_any_start_has_asked_for(study: Study) -> None:
    study.asked = 0
    assert study.found().faults == ()
    study.spec = study.spec.model_copy(update={"trials": 2})
    assert study.found().faults == ("torch: 3 trials are finished, but no start has asked for more than 2",)
    study.asked = 3  # before fewer were asked for
    assert study.found().faults == ()
    assert study.found().counts[0].startswith("torch: 3 of 3 trials")


def test_a_space_without_more_points_is_no_fault(study: Study) -> None:
    search = StoredSearch({}, tuple(study.trials[:2]), BEST, study.planned, exhausted=True)
    found = check_consistency(study.spec, {"torch": search}, study.studies, [*study.runs[:2], *study.runs[4:]])
    assert found.faults == ()


def test_settings_tried_twice(study: Study) -> None:
    study.trials[3] = replace(study.trials[3], settings={"training.lr": 0.02})
    assert study.found().faults == ("torch: trials 1 and 3 tried the same settings",)


@pytest.mark.parametrize(("place", "changed", "fault"), [
    (0, None, "torch: trial 0 is complete and must have one run, but has 0"),
    (0, ("0", "killed", "KILLED"), "torch: trial 0 is complete, but its run id-trial-0-killed is killed and KILLED"),
    (0, ("7", "complete", "FINISHED"), "torch: the run id-trial-7-complete is of trial 7, which the search does not"),
    (1, ("1", "complete", "FINISHED"), "torch: trial 1 is pruned, but its run id-trial-1-complete is complete and"),
    (2, ("2", "complete", "FINISHED"), "torch: trial 2 is broken off, but its run id-trial-2-complete is complete"),
    (3, ("0", "killed", "KILLED"), "torch: trial 0 is complete and must have one run, but has 2"),
    (3, ("4", "killed", "KILLED"), "torch: trial 4 was never trained, but has the run id-trial-4-killed"),
])
def test_a_run_that_does_not_match(
    study: Study, place: int, changed: tuple[str, str, str] | None, fault: str
) -> None:
    if changed is None:
        del study.runs[place]
    else:
        study.runs[place] = run("trial", *changed)
    assert any(found.startswith(fault) for found in study.found().faults)


def test_confirm_seeds(study: Study) -> None:
    first, second = study.spec.confirm_seeds
    del study.planned[run_key("confirm", digest(BEST), first)]
    study.runs.append(run("confirm", str(second)))
    assert study.found().faults == (
        f"torch: the confirm seed {first} is not done",
        f"torch: the confirm seed {second} is done and must have one complete run, but has 2")


def test_the_studys_own_run(study: Study) -> None:
    study.studies[0] = run("study", "s", "killed", "KILLED")
    assert study.found().faults == ("MLflow: the study's own run is KILLED and not complete",)
    study.studies = []
    assert study.found().faults == ("MLflow: the study 's' must have one run of its own, but has 0",)


def test_no_search(study: Study) -> None:
    found = check_consistency(study.spec, {"torch": None}, study.studies, study.runs)
    assert found.faults == ("torch: there is no search of 's' in this storage",)


def test_what_the_same_command_mends_and_what_it_does_not(study: Study) -> None:
    first, second = study.spec.confirm_seeds
    study.runs = [run("trial", "9"), run("confirm", str(second))]  # one of a lost search; those of this one are lost
    study.studies.append(run("study", "again"))
    del study.planned[run_key("confirm", digest(BEST), first)]
    found = study.found()
    lasting = ("torch: 3 trials have ended and must have a run each, but none has one",
               "MLflow: the study 's' must have one run of its own, but has 2")
    assert found.permanent == lasting
    assert found.faults == (
        "torch: the run id-trial-9-complete is of trial 9, which the search does not know",
        f"torch: the confirm seed {first} is not done", *lasting)
