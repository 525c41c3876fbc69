"""Check that the search's storage (Optuna) and the tracking store (MLflow) hold the same study.

What is left to do is what the plan says. What is done must be done once, and logged with the state in which it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gru_bench.data.corpus import Corpus
from gru_bench.stats.scores import compared
from gru_bench.sweep.plan import SearchState, StudyState, left_to_do
from gru_bench.sweep.run_log import experiment_of, key_of, unknown_runs
from gru_bench.sweep.sharing.work import StoredTrial, baseline_key
from gru_bench.sweep.spec import StudySpec
from gru_bench.tracking import LoggedRun, Reader

RUN_ENDS = {"complete": {("complete", "FINISHED")}, "pruned": {("pruned", "FINISHED")},
            "failed": {("failed", "FAILED"), ("killed", "KILLED")},
            "interrupted": {("killed", "KILLED"), ("failed", "FAILED")}}
"""State of a trial -> the pairs (tag `gru_bench.state`, MLflow status) that its run may have."""

TOLERANCE = 0.001
"""Largest difference between a value in both stores. A run that resumed on another device may have scored its best
epoch with other rounding."""


@dataclass(frozen=True)
class Consistency:
    """The result of comparing both stores."""

    counts: tuple[str, ...]
    """Sentences that count the trials and runs in each store."""
    faults: tuple[str, ...]
    """What is missing, or differs between the stores; empty when the study is done and consistent."""
    permanent: tuple[str, ...] = ()
    """The faults that starting the study again does not repair."""
    deleted: tuple[str, ...] = ()
    """Those of them that name a run to restore."""


def runs_of(state: StudyState, corpus: Corpus, store: Reader) -> tuple[str, list[LoggedRun]]:
    """Return the experiment of a study and its runs, its own first; nothing while the tracking store lacks its own.

    Args:
        state: The study as the search's storage has it.
        corpus: Its texts.
        store: The tracking store.

    Raises:
        StoresError: Its own run was deleted in MLflow, or the two stores do not belong together.
    """
    experiment = experiment_of(state, store, corpus.name, corpus.fingerprint)
    if experiment is None:
        return "", []
    runs = store.runs(experiment)
    return experiment, [*(run for run in runs if run.run_id == state.run_id),
                        *(run for run in runs if run.parent_id == state.run_id)]


def deleted_runs(state: StudyState, logged: Sequence[LoggedRun], store: Reader) -> dict[str, str]:
    """Return our id -> MLflow's, of the runs of a study that were deleted in MLflow.

    Args:
        state: The study as the search's storage has it.
        logged: Its runs that are in MLflow.
        store: The tracking store.
    """
    there = {run.run_id for run in logged}
    ended = (trial for search in state.searches.values() for trial in search.trials if trial.ended)
    found = [(trial.run_id, store.find(trial.run_id)) for trial in (*state.work.values(), *ended)
             if trial.run_id and trial.run_id not in there]
    return {run_id: run.run_id for run_id, run in found if run is not None and run.is_deleted}


def compare_stores(
    state: StudyState, logged: Sequence[LoggedRun], deleted: Mapping[str, str] = MappingProxyType({})
) -> Consistency:
    """Return what is missing or different when both stores are compared.

    Args:
        state: The study as the search's storage has it.
        logged: The runs of the study in MLflow, with its own, of which there must be one.
        deleted: Our id -> MLflow's, of its runs that were deleted in MLflow. The same command trains those of planned
            runs again.
    """
    spec = state.spec
    studies, runs = ([run for run in logged if (run.role == "study") == is_study] for is_study in (True, False))
    running = [run.name for run in logged if run.status == "RUNNING"]
    interrupted = [run for run in runs if run.state == "killed"]
    roles = Counter(run.role for run in runs if run not in interrupted)
    counts = [_counts(state, model) for model in spec.models]
    counts.append(f"MLflow: {len(studies)} run of the study, {roles['trial']} of trials, {roles['confirm']} of "
                  f"confirmation seeds, {roles['baseline']} of baselines; {len(running)} running; {len(interrupted)} "
                  "interrupted and queued again")
    faults = list(left_to_do(state))
    permanent = [f"{run.model}: the run {run.run_id} ({run.name}) is unknown to the storage of the search"
                 for run in unknown_runs(state, runs)]
    for model, search in state.searches.items():
        own = [run for run in runs if run.model == model]
        faults += (f"{model}: {fault}" for fault in _search_faults(spec, search))
        permanent += (f"{model}: {fault}" for fault in (
            *(f"trials {first} and {second} are retries of the same trial, or of each other"
              for first, second in _duplicates(search)),
            *_trial_faults(spec, search, own, deleted)))
    for key, trial in state.work.items():
        if trial.state == "running":
            faults.append(f"the planned run {key!r} is RUNNING")
        if trial.state == "complete" and trial.run_id in deleted:
            faults.append(f"the planned run {key!r} was deleted in MLflow: the same command trains it again, unless it "
                          f"is restored ({_restore(deleted[trial.run_id])})")
    planned = [*map(baseline_key, state.baselines), *(run.key for plan in state.plans.values() for run in plan.runs)]
    permanent += _planned_faults(state, planned, runs, deleted)
    faults += ("MLflow: the study's own run is not complete yet" for study in studies
               if not study.is_described)
    faults += (f"MLflow: {name!r} is RUNNING" for name in running)
    if len(studies) != 1:
        (permanent if studies else faults).append(
            f"MLflow: the study {spec.name!r} must have one run of its own, but has {len(studies)}")
    faults += (f"MLflow: the study's own run is {study.status} and not complete" for study in studies
               if study.status != "RUNNING" and not study.complete)
    gone = [f"{model}: trial {trial.number} is {trial.state}, but its run was deleted in MLflow: restore it "
            f"({_restore(deleted[trial.run_id])})"
            for model, search in state.searches.items() for trial in search.trials if _is_gone(trial, deleted)]
    permanent += gone
    return Consistency(tuple(counts), (*faults, *permanent), tuple(permanent), tuple(gone))


def _is_gone(trial: StoredTrial, deleted: Collection[str]) -> bool:
    """Return whether the run with which a trial has ended was deleted."""
    return trial.ended and trial.run_id in deleted


def _restore(mlflow_id: str) -> str:
    return f"mlflow runs restore --run-id {mlflow_id}"


def _counts(state: StudyState, model: str) -> str:
    search = state.searches[model]
    states = Counter(trial.state for trial in search.trials)
    return (f"{model}: {search.ended} of {max(state.spec.trials, search.ended)} trials ({states['complete']} complete, "
            f"{states['pruned']} pruned, {states['failed']} failed), "
            f"{len(_duplicates(search))} duplicates, {search.running} running; "
            f"{states['interrupted']} interrupted and queued again; "
            f"{len(state.confirmed(model))} of {state.spec.confirm} confirmation seeds")


def _search_faults(spec: StudySpec, search: SearchState) -> Iterator[str]:
    if search.ended > (most := max(spec.trials, search.asked)):
        yield f"{search.ended} trials are finished, although at most {most} were requested"
    if search.running:
        yield f"{search.running} {'trial is' if search.running == 1 else 'trials are'} RUNNING"


def _duplicates(search: SearchState) -> list[tuple[int, int]]:
    """Return pairs of finished trials that did the same: a sampler may propose settings again, but what was interrupted
    is done again once."""
    begun: dict[int, int] = {}
    first: dict[int, int] = {}
    pairs = []
    for trial in search.trials:
        begun[trial.number] = trial.number if trial.retry_of is None else begun.get(trial.retry_of, trial.retry_of)
        if trial.ended:
            earlier = first.setdefault(begun[trial.number], trial.number)
            if earlier != trial.number:
                pairs.append((earlier, trial.number))
    return pairs


def _trial_faults(
    spec: StudySpec, search: SearchState, runs: Sequence[LoggedRun], deleted: Collection[str]
) -> Iterator[str]:
    by_trial: dict[str, list[LoggedRun]] = {}
    for run in runs:
        if run.role == "trial":
            by_trial.setdefault(run.tags.get("gru_bench.trial", ""), []).append(run)
    trials = [trial for trial in search.trials if not _is_gone(trial, deleted)]
    ended = [str(trial.number) for trial in trials if trial.ended]
    if len(ended) > 1 and by_trial.keys().isdisjoint(ended):
        yield f"{len(ended)} trials have ended, but none has a run"
        return
    for trial in trials:
        own = by_trial.get(str(trial.number), [])
        if trial.state in RUN_ENDS:
            yield from _run_faults(trial, own)
            yield from _value_faults(spec, trial, own)
        elif own and trial.state != "running":
            yield f"trial {trial.number} was never trained, but has the run {own[0].run_id}"


def _run_faults(trial: StoredTrial, runs: Sequence[LoggedRun]) -> Iterator[str]:
    if len(runs) > 1 or (not runs and trial.state != "interrupted"):
        yield f"trial {trial.number} is {trial.state} and must have one run, but has {len(runs)}"
    for run in runs:
        end = (run.state, run.status)
        if end not in RUN_ENDS[trial.state]:
            yield f"trial {trial.number} is {trial.state}, but its run {run.run_id} is {end[0]} and {end[1]}"


def _value_faults(spec: StudySpec, trial: StoredTrial, runs: Sequence[LoggedRun]) -> Iterator[str]:
    """Yield that the value of a trial is not the validation score of its run.

    It is not compared where the run keeps another epoch than the best.
    """
    whole = [run for run in runs if run.complete]
    if len(whole) == 1 and spec.base.training.selection == "best_validation":
        yield from _differences(f"trial {trial.number}", trial, whole[0], compared(spec.metric, "val").key)


def _differences(what: str, trial: StoredTrial, run: LoggedRun, metric: str) -> Iterator[str]:
    logged = run.metrics.get(metric)
    if trial.value is not None and logged is not None and abs(trial.value - logged) > TOLERANCE:
        yield f"{what} has the value {trial.value:g} in Optuna, but {logged:g} in MLflow ({run.run_id})"


def _planned_faults(
    state: StudyState, planned: Sequence[str], runs: Sequence[LoggedRun], known: Collection[str]
) -> Iterator[str]:
    """Yield the keys of planned runs that are done and do not have one complete run, or one with another score.

    Those whose runs are `known` to be deleted are left out.
    """
    for key in planned:
        trial, what = state.work.get(key), f"the planned run {key!r}"
        if trial is None or trial.state != "complete" or trial.run_id in known:
            continue
        whole = [run for run in runs if run.complete and run.status == "FINISHED" and key_of(run) == key]
        if len(whole) != 1:
            yield f"{what} is done and must have one complete run, but has {len(whole)}"
        else:
            yield from _differences(what, trial, whole[0], compared(state.spec.metric, "test").key)
