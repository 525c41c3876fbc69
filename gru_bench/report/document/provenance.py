"""The sets of runs behind the numbers of a report, each with a place on the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from gru_bench.report.document.report import Report
from gru_bench.report.document.sentences import Anchor, KnownRun

MANY = 12
"""Most runs of a set that are listed in the open; a longer list is folded."""


@dataclass(frozen=True)
class RunSet:
    """Runs that at least one number rests on."""

    key: str
    """Its id on the page."""
    title: str
    runs: tuple[KnownRun, ...]
    anchored: bool
    """Whether the report shows the runs at an anchor of its own; otherwise the page lists them at its end."""

    @property
    def many(self) -> bool:
        """Return whether the list of runs is folded."""
        return len(self.runs) > MANY


def run_sets(report: Report) -> dict[tuple[str, ...], RunSet]:
    """Return the sets of runs behind the numbers of a report, by the runs' ids: those with an anchor first.

    Numbers that rest on the same runs, in whatever order, share one set.
    """
    known = {run.run_id: run for run in report.runs}
    found: dict[tuple[str, ...], RunSet] = {}
    for anchor in _anchors(report.sections):
        found.setdefault(anchor.runs, RunSet(anchor.key, anchor.text, _named(anchor.runs, known), anchored=True))
    models = {ids: some.title for ids, some in found.items() if some.title not in ids}
    same = {frozenset(ids): some for ids, some in found.items()}
    others = 0
    for number in report.numbers().values():
        ids = number.runs
        if ids and ids not in found:
            if (members := frozenset(ids)) not in same:
                runs = _named(tuple(dict.fromkeys(ids)), known)
                others += 1
                same[members] = RunSet(f"source-{others}", _title(ids, runs, models), runs, anchored=False)
            found[ids] = same[members]
    return found


def _anchors(value: Any) -> Iterator[Anchor]:
    """Yield every anchor inside dataclasses and tuples, in order."""
    if isinstance(value, Anchor):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _anchors(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _anchors(getattr(value, field.name))


def _title(ids: tuple[str, ...], runs: tuple[KnownRun, ...], models: Mapping[tuple[str, ...], str]) -> str:
    """Return the models whose confirm sets make up a set of runs, else what the runs have in common."""
    inside = [own for own in models if set(own) <= set(ids)]
    if sum(map(len, inside)) == len(ids):
        return ", ".join(models[own] for own in inside)
    return runs[0].name if len(runs) == 1 else ", ".join(dict.fromkeys(run.study for run in runs))


def _named(ids: tuple[str, ...], known: Mapping[str, KnownRun]) -> tuple[KnownRun, ...]:
    return tuple(known.get(run_id, KnownRun(run_id, run_id, "", None)) for run_id in ids)
