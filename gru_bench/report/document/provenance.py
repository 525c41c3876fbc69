"""The sets of runs behind the numbers of a report, each with a place on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gru_bench.report.document.blocks import every
from gru_bench.report.document.report import Report
from gru_bench.report.document.sentences import Anchor, KnownRun, in_text


@dataclass(frozen=True)
class RunSet:
    """Runs that at least one number rests on."""

    key: str
    """Its id on the page."""
    title: str
    runs: tuple[KnownRun, ...]
    anchored: bool
    """Whether the report shows the runs at an anchor of its own; otherwise the page lists them at its end."""


def run_sets(report: Report) -> dict[frozenset[str], RunSet]:
    """Return the sets of runs behind the numbers of a report, by the runs' ids: those with an anchor first."""
    known = {run.run_id: run for run in report.runs}

    def named(ids: tuple[str, ...]) -> tuple[KnownRun, ...]:
        return tuple(known.get(run_id, KnownRun(run_id, run_id, "", None)) for run_id in dict.fromkeys(ids))

    found: dict[frozenset[str], RunSet] = {}
    for anchor in (one for one in every(report.sections) if isinstance(one, Anchor)):
        runs = named(anchor.runs)
        found.setdefault(frozenset(anchor.runs), RunSet(anchor.key, in_text(anchor.parts), runs, anchored=True))
    models = {ids: some.title for ids, some in found.items() if some.title not in ids}
    others = 0
    for number in report.numbers().values():
        ids = frozenset(number.runs)
        if ids and ids not in found:
            others += 1
            runs = named(number.runs)
            found[ids] = RunSet(f"source-{others}", _title(ids, runs, models), runs, anchored=False)
    return found


def _title(ids: frozenset[str], runs: tuple[KnownRun, ...], models: Mapping[frozenset[str], str]) -> str:
    """Return the models whose confirm sets make up a set of runs, else what the runs have in common."""
    inside = [own for own in models if own <= ids]
    if sum(map(len, inside)) == len(ids):
        return ", ".join(models[own] for own in inside)
    return runs[0].name if len(runs) == 1 else ", ".join(dict.fromkeys(run.study for run in runs))
