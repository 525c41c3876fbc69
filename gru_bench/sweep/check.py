"""Whether a search and a tracking store say the same of a study: all is done, once, and recorded as it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gru_bench.sweep.search import Recorded, Trials
from gru_bench.sweep.sharing.claims import digest, run_key
from gru_bench.sweep.spec import StudySpec, point
from gru_bench.tracking import LoggedRun

ENDS = {"complete": {("complete", "FINISHED")}, "pruned": {("pruned", "FINISHED")},
        "failed": {("failed", "FAILED"), ("killed", "KILLED")},
        "broken off": {("killed", "KILLED"), ("failed", "FAILED")}}
"""State of a trial -> what its run may be tagged and MLflow may call it."""


@dataclass(frozen=True)
class Agreement:
    """What was found."""

    figures: tuple[str, ...]
    faults: tuple[str, ...]
    """What is not done, or not the same in both; empty where all is well."""
    lasting: tuple[str, ...] = ()
    """Those of them that no further start of the study mends."""


def agreement(
    spec: StudySpec, searches: Mapping[str, Trials | None], studies: Sequence[LoggedRun], runs: Sequence[LoggedRun]
) -> Agreement:
    """Compare what both hold of a study.

    Args:
        spec: the study.
        searches: model -> its search.
        studies: the study's own run; more than one is a fault.
        runs: the runs under it.
    """
    figures: list[str] = []
    faults: list[str] = []
    lasting: list[str] = []
    for model in spec.models:
        search = searches[model]
        if search is None:
            faults.append(f"{model}: there is no search of {spec.name!r} in this storage")
            continue
        own = [run for run in runs if run.model == model]
        figures.append(_figures(spec, model, search))
        faults += (f"{model}: {fault}" for fault in (
            *_search_faults(spec, search), *_unknown_faults(search, own), *_undone_faults(spec, search)))
        lasting += (f"{model}: {fault}" for fault in (
            *_twin_faults(search), *_trial_faults(spec, search, own), *_confirm_faults(spec, search, own)))
    running = [run.name for run in (*studies, *runs) if run.status == "RUNNING"]
    roles = Counter(run.role for run in runs)
    figures.append(f"MLflow: {len(studies)} run of the study, {roles['trial']} runs of trials, "
                   f"{roles['confirm']} of confirm seeds; {len(running)} running")
    faults += (f"MLflow: {name!r} is RUNNING" for name in running)
    if len(studies) != 1:
        (lasting if studies else faults).append(
            f"MLflow: the study {spec.name!r} must have one run of its own, but has {len(studies)}")
    faults += (f"MLflow: the study's own run is {study.status} and not complete" for study in studies
               if study.status != "RUNNING" and not study.complete)
    return Agreement(tuple(figures), (*faults, *lasting), tuple(lasting))


def _figures(spec: StudySpec, model: str, search: Trials) -> str:
    states = Counter(trial.state for trial in search.trials)
    done = states["complete"] + states["pruned"] + states["failed"]
    seeds = len(_confirmed(spec, search))
    return (f"{model}: {done} of {max(spec.trials, done)} trials ({states['complete']} complete, "
            f"{states['pruned']} pruned, {states['failed']} failed), "
            f"{len(_duplicates(search))} duplicates, {states['running']} running; "
            f"{states['broken off']} broken off and queued again; {seeds} of {spec.confirm} confirm seeds")


def _search_faults(spec: StudySpec, search: Trials) -> Iterator[str]:
    states = Counter(trial.state for trial in search.trials)
    done = states["complete"] + states["pruned"] + states["failed"]
    if done < spec.trials and not search.exhausted:
        yield f"{done} trials are finished, not {spec.trials}"
    if done > (most := max(spec.trials, search.asked)):
        yield f"{done} trials are finished, but no start has asked for more than {most}"
    if states["running"]:
        yield f"{states['running']} trials are RUNNING"


def _twin_faults(search: Trials) -> Iterator[str]:
    for first, second in _duplicates(search):
        yield f"trials {first} and {second} tried the same settings"


def _duplicates(search: Trials) -> list[tuple[int, int]]:
    first: dict[object, int] = {}
    pairs = []
    for trial in search.trials:
        if trial.state in ("complete", "pruned", "failed"):
            twin = first.setdefault(point(trial.settings), trial.number)
            if twin != trial.number:
                pairs.append((twin, trial.number))
    return pairs


def _by_trial(runs: Sequence[LoggedRun]) -> dict[str, list[LoggedRun]]:
    found: dict[str, list[LoggedRun]] = {}
    for run in runs:
        if run.role == "trial":
            found.setdefault(run.tags.get("gru_bench.trial", ""), []).append(run)
    return found


def _unknown_faults(search: Trials, runs: Sequence[LoggedRun]) -> Iterator[str]:
    known = {str(trial.number) for trial in search.trials}
    for number, own in _by_trial(runs).items():
        if number not in known:
            yield f"the run {own[0].run_id} is of trial {number}, which the search does not know"


def _trial_faults(spec: StudySpec, search: Trials, runs: Sequence[LoggedRun]) -> Iterator[str]:
    by_trial = _by_trial(runs)
    ended = [str(trial.number) for trial in search.trials if trial.state in ("complete", "pruned", "failed")]
    if len(ended) > 1 and by_trial.keys().isdisjoint(ended):
        yield f"{len(ended)} trials have ended and must have a run each, but none has one"
        return
    for trial in search.trials:
        own = by_trial.get(str(trial.number), [])
        if trial.state in ENDS:
            yield from (_seeds_faults if spec.seeds_per_trial > 1 else _run_faults)(trial, own)
        elif own and trial.state != "running":
            yield f"trial {trial.number} was never trained, but has the run {own[0].run_id}"


def _run_faults(trial: Recorded, runs: Sequence[LoggedRun]) -> Iterator[str]:
    if len(runs) > 1 or (not runs and trial.state != "broken off"):
        yield f"trial {trial.number} is {trial.state} and must have one run, but has {len(runs)}"
    for run in runs:
        end = (run.tags.get("gru_bench.state", ""), run.status)
        if end not in ENDS[trial.state]:
            yield f"trial {trial.number} is {trial.state}, but its run {run.run_id} is {end[0]} and {end[1]}"


def _seeds_faults(trial: Recorded, runs: Sequence[LoggedRun]) -> Iterator[str]:
    """A trial of several seeds has a run for each seed that it was trained on itself, each of which ended."""
    if not runs and trial.state not in ("broken off", "failed") and trial.retry_of is None:
        yield f"trial {trial.number} is {trial.state} and must have runs, but has none"
    for run in runs:
        if run.status not in ("FINISHED", "FAILED", "KILLED"):
            yield f"trial {trial.number} is {trial.state}, but its run {run.run_id} is {run.status}"


def _confirmed(spec: StudySpec, search: Trials) -> list[int]:
    claims = (search.claims.get(run_key("confirm", digest(search.best or {}), seed)) for seed in spec.confirm_seeds)
    return [seed for seed, claim in zip(spec.confirm_seeds, claims, strict=True)
            if claim is not None and claim.state == "done"]


def _undone_faults(spec: StudySpec, search: Trials) -> Iterator[str]:
    done = _confirmed(spec, search)
    yield from (f"the confirm seed {seed} is not done" for seed in spec.confirm_seeds if seed not in done)


def _confirm_faults(spec: StudySpec, search: Trials, runs: Sequence[LoggedRun]) -> Iterator[str]:
    settings = digest(search.best or {})
    for seed in _confirmed(spec, search):
        whole = [run for run in runs if run.role == "confirm" and run.seed == seed and run.complete
                 and run.status == "FINISHED" and run.tags.get("gru_bench.settings") == settings]
        if len(whole) != 1:
            yield f"the confirm seed {seed} is done and must have one complete run, but has {len(whole)}"
