"""The studies that a report shows: named ones, or every one of an experiment that has a complete confirmation run.

Where none has one, it is the newest study with a complete trial, alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gru_bench.errors import RunError, UsageError, unknown
from gru_bench.report.document.sentences import Sentence, say
from gru_bench.report.evidence.progress import is_confirmed, is_searched, nothing_to_report

if TYPE_CHECKING:
    from gru_bench.report.evidence.store import StudyStore
    from gru_bench.tracking import LoggedStudy

MOST_NAMED = 5
"""Most runs that one sentence names."""


@dataclass(frozen=True)
class Choice:
    """The studies that a report shows, and remarks on how they were chosen."""

    experiment: str
    studies: tuple[LoggedStudy, ...]
    """Oldest first."""
    missing: tuple[Sentence, ...]
    """What the report says of the choice."""
    remarks: tuple[str, ...]
    """Lines for the terminal only."""


def choose_from(store: StudyStore, experiments: Sequence[str], names: Sequence[str]) -> Choice:
    """Return the studies to report on of several experiments, which have different data; of one or none as `choose`.

    Raises:
        IncompleteError, RunError, UsageError: As `choose`.
    """
    if len(experiments) < 2:
        return choose(store, experiments[0] if experiments else None, names)
    here = {place: {study.name for study in store.studies(place)} for place in experiments} if names else {}
    if lost := [name for name in names if not any(name in own for own in here.values())]:
        raise unknown("study", lost[0], set().union(*here.values()))
    own = {place: [name for name in names if name in here[place]] for place in experiments}
    found = [choose(store, place, some) for place, some in own.items() if some or not names]
    return Choice(
        ", ".join(one.experiment for one in found), tuple(study for one in found for study in one.studies),
        tuple(said for one in found for said in one.missing), tuple(line for one in found for line in one.remarks))


def choose(store: StudyStore, experiment: str | None, names: Sequence[str]) -> Choice:
    """Return the studies to report on.

    Args:
        store: The store of the studies.
        experiment: Name of an experiment. None means the one written last that has the named studies.
        names: Names of studies. An empty sequence means every study with a complete confirmation run.

    Returns:
        The studies with a complete confirmation run; where there is none, the newest study with a complete trial.

    Raises:
        IncompleteError: When no study has a complete confirmation run or a complete trial.
        RunError: When the summary of a study cannot be read.
        UsageError: For an unknown experiment or study. The error lists the known ones.
    """
    names, known = list(dict.fromkeys(names)), store.experiments()
    if not known:
        raise nothing_to_report("nothing has been logged yet")
    if experiment is not None and experiment not in known:
        raise unknown("experiment", experiment, known)
    place, found = _experiment_of(store, [experiment] if experiment is not None else known, names)
    remarks, missing = [], []
    early: dict[str, str] = {}
    chosen = []
    for name in names or list(dict.fromkeys(study.name for study in reversed(found))):
        same = [study for study in found if study.name == name]
        usable = [study for study in same if is_confirmed(study) and not study.damaged]
        if not usable and (broken := [study.damaged for study in same if study.damaged]):
            if names:
                raise RunError(broken[0])
            missing.append(say("The study {study} is left out: its summary cannot be read.", study=name))
            remarks.append(f"study {name}: left out, {broken[0]}")
            continue
        finished = [study for study in usable if study.summary is not None]
        best = (finished or usable or same)[0]
        if not usable:
            early[name] = (f"trials so far: {len(best.trials)}, confirmation runs: {len(best.confirms)}, none complete")
            continue
        if len(same) > 1:
            remarks.append(f"study {name}: logged {len(same)} times, the newest complete one is used")
        chosen.append(best)
    why = "it has no complete confirmation run yet"
    if not chosen and (newest := next((s for s in found if s.name in early and is_searched(s)), None)) is not None:
        del early[newest.name]
        chosen = [newest]
        why = "no study has a complete confirmation run yet, so the report is only on the newest search"
    for name, state in early.items():
        missing.append(say("The study {study} is left out: {reason}.", study=name, reason=why))
        remarks.append(f"study {name}: left out, it has no complete confirmation run ({state})")
    if not chosen:
        if damaged := [study.damaged for study in found if study.damaged]:
            raise RunError(damaged[0])
        raise nothing_to_report(f"the study {names[0]} has none ({early[names[0]]})" if len(names) == 1
                                else f"the experiment {place} has none")
    others = [name for name in known if name != place]
    if others and experiment is None:
        remarks.append(f"experiment {place}; there are others (--experiment): {', '.join(others)}")
    return Choice(place, tuple(chosen), tuple(missing), tuple(remarks))


def odd_runs(odd: Mapping[str, str]) -> list[Sentence]:
    """Return what a report says about runs that it leaves out because they cannot be read."""
    if not odd:
        return []
    ids = ", ".join(sorted(odd)[:MOST_NAMED]) + (", ..." if len(odd) > MOST_NAMED else "")
    runs = "1 run of the experiment is" if len(odd) == 1 else f"{len(odd):,} runs of the experiment are"
    return [say("{runs} left out, because their data in MLflow cannot be read: {ids}.", runs=runs, ids=ids)]


def _experiment_of(store: StudyStore, places: Sequence[str], names: Sequence[str]) -> tuple[str, list[LoggedStudy]]:
    """Return the first experiment that holds all the studies named, and its studies."""
    seen: set[str] = set()
    for place in places:
        found = store.studies(place)
        here = {study.name for study in found}
        if set(names) <= here:
            return place, found
        seen |= here
    lost = [name for name in names if name not in seen]
    if lost:
        raise unknown("study", lost[0], seen) if seen else nothing_to_report("no study has been logged yet")
    raise UsageError(
        f"studies must be of one experiment, but {', '.join(names)} are in several: give the experiments too, or "
        "report on them one by one"
    )
