"""The sets of runs behind the numbers of a report, each with a place on the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gru_bench.report.document.numbers import slug
from gru_bench.report.document.report import KnownRun, Report, Row

MANY = 12
"""Most runs of a set that are listed in the open; a longer list is folded."""


@dataclass(frozen=True)
class RunSet:
    """Runs that at least one number rests on."""

    key: str
    """Its id on the page."""
    title: str
    runs: tuple[KnownRun, ...]
    has_table: bool
    """Whether it has a table of its own: the confirm set of a model, or one of its runs."""

    @property
    def many(self) -> bool:
        """Return whether the list of runs is folded."""
        return len(self.runs) > MANY


def run_sets(report: Report) -> dict[tuple[str, ...], RunSet]:
    """Return the sets of runs behind the numbers of a report, by the runs' ids: the models' confirm sets first.

    Numbers that rest on the same runs, in whatever order, share one set.
    """
    known = {run.run_id: run for run in report.runs}
    rows = {tuple(link.run_id for link in row.runs): row for row in report.rows}
    single = {(run_id,): RunSet(f"run-{slug(run_id)}", row.label, _named((run_id,), known), has_table=True)
              for ids, row in rows.items() for run_id in ids}
    found = single | {
        ids: RunSet(f"runs-of-{row.key}", row.label, _named(ids, known), has_table=True) for ids, row in rows.items()
    }
    same = {frozenset(ids): some for ids, some in found.items()}
    others = 0
    for number in report.numbers().values():
        ids = number.runs
        if ids and ids not in found:
            if (members := frozenset(ids)) not in same:
                runs = _named(tuple(dict.fromkeys(ids)), known)
                others += 1
                same[members] = RunSet(f"source-{others}", _title(ids, runs, rows), runs, has_table=False)
            found[ids] = same[members]
    return found


def _title(ids: tuple[str, ...], runs: tuple[KnownRun, ...], rows: Mapping[tuple[str, ...], Row]) -> str:
    """Return the models whose confirm sets make up a set of runs, else what the runs have in common."""
    inside = [own for own in rows if set(own) <= set(ids)]
    if sum(map(len, inside)) == len(ids):
        return ", ".join(rows[own].label for own in inside)
    return runs[0].name if len(runs) == 1 else ", ".join(dict.fromkeys(run.study for run in runs))


def _named(ids: tuple[str, ...], known: Mapping[str, KnownRun]) -> tuple[KnownRun, ...]:
    return tuple(known.get(run_id, KnownRun(run_id, run_id, "", None)) for run_id in ids)
