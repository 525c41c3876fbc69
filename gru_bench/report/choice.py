"""The studies that a report shows: named ones, or the newest finished study of an experiment, with all finished ones
that share its test texts and its metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gru_bench.document.sentences import Sentence, say
from gru_bench.errors import RunError, UsageError, unknown
from gru_bench.evidence.progress import is_finished, not_finished, nothing_to_report

if TYPE_CHECKING:
    from gru_bench.evidence.store import StudyStore
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


def choose(store: StudyStore, experiment: str | None, names: Sequence[str]) -> Choice:
    """Return the studies to report on, all of which are finished.

    Args:
        store: The store of the studies.
        experiment: Name of an experiment. None means the one written last that has the named studies.
        names: Names of studies. An empty sequence means the newest finished study of the experiment and all finished
            ones with its test texts and its metric.

    Raises:
        IncompleteError: When a named study is not finished, or none is. The error names the command that finishes it.
        RunError: When the summary of a study cannot be read.
        UsageError: For an unknown experiment or study, where the error lists the known ones, and for named studies
            whose test texts or metrics differ.
    """
    names, known = list(dict.fromkeys(names)), store.experiments()
    if not known:
        raise nothing_to_report("nothing has been logged yet")
    if experiment is not None and experiment not in known:
        raise unknown("experiment", experiment, known)
    place, found = _experiment_of(store, [experiment] if experiment is not None else known, names)
    remarks, missing = list[str](), list[Sentence]()
    finished, open_ = list["LoggedStudy"](), list["LoggedStudy"]()
    for name in names or list(dict.fromkeys(study.name for study in reversed(found))):
        same = [study for study in found if study.name == name]
        usable = [study for study in same if is_finished(study)]
        if not usable and (broken := [study.damaged for study in same if study.damaged]):
            if names:
                raise RunError(broken[0])
            missing.append(say("The study {study} is left out: its summary cannot be read.", study=name))
            remarks.append(f"study {name}: left out, {broken[0]}")
        elif not usable:
            open_.append(same[0])
        else:
            if len(same) > 1:
                remarks.append(f"study {name}: logged {len(same)} times, the newest finished one is used")
            finished.append(usable[0])
    if open_ and (names or not finished):
        raise not_finished(open_[-1])
    if not finished:
        raise RunError(next(study.damaged for study in found if study.damaged)) if found else nothing_to_report(
            f"the experiment {place} has none")
    chosen = [study for study in finished if _asked(study) == _asked(finished[-1])]
    if names and len(chosen) < len(names):
        raise UsageError(f"studies of one report must have the same test texts and metric, but those of "
                         f"{', '.join(study.name for study in finished)} differ: report on them one by one (--study)")
    if others := [*(f"{study.name} (other test texts or metric)" for study in finished if study not in chosen),
                  *(f"{study.name} (not finished)" for study in open_)]:
        remarks.append(f"left out: {', '.join(others)}; for a report on one: --study NAME")
    if experiment is None and (places := [name for name in known if name != place]):
        remarks.append(f"experiment {place}; there are others (--experiment): {', '.join(places)}")
    return Choice(place, tuple(chosen), tuple(missing), tuple(remarks))


def _asked(study: LoggedStudy) -> tuple[str, str, str]:
    """Return the data, the test texts and the metric of a study, which those of one report share."""
    newest = max((run for run in study.confirms if run.complete), key=lambda run: run.started)
    return newest.fingerprint, newest.test_set, study.plan().metric


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
        f"studies must be of one experiment, but {', '.join(names)} are in several: report on them one by one"
    )
