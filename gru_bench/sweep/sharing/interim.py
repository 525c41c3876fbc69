"""The interim analyses of a confirmation stage: how many seeds are open now, and what each analysis decided.

What an interim analysis decides is recorded in the search's storage with the seeds that it rests on, so that every
process and every later start goes on from the same decision, even where a failed run is trained again afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from gru_bench.results.interim import InterimAnalysis, InterimPlan
from gru_bench.results.runs import parsed
from gru_bench.stats.interim import PairAnalyses, follow, is_settled, scored_at, settled_as
from gru_bench.stats.intervals import Scored
from gru_bench.sweep.sharing.leases import Attributes

TAKEN = "interim analyses"
"""Set on the record of a study: its interim analyses so far."""


def take_analysis(
    plan: InterimPlan, study: Attributes, runs: Mapping[str, Mapping[int, Scored]],
    linear: tuple[str, Scored] | None = None,
) -> tuple[InterimAnalysis, list[PairAnalyses]]:
    """Take the next interim analysis and record it; the caller holds the study's lock.

    Args:
        plan: The plan.
        study: The record of the study.
        runs: Model -> confirmation seed -> what the run predicts for the test texts, for all complete runs.
        linear: As for `follow`.
    """
    taken = taken_analyses(study.user_attrs)
    now = InterimAnalysis(plan.interim[len(taken)], {model: tuple(sorted(runs[model])) for model in plan.models})
    pairs = follow(plan, [scored_at(analysis, runs) for analysis in (*taken, now)], linear)
    last = len(taken) + 1 == len(plan.interim)
    analysis = InterimAnalysis(now.planned, now.seeds, tuple(map(settled_as, filter(lambda pair: pair.settled, pairs))),
                last or is_settled(pairs))
    study.set_user_attr(TAKEN, json.dumps([asdict(one) for one in (*taken, analysis)]))
    return analysis, pairs


def open_seeds(plan: InterimPlan, taken: Sequence[InterimAnalysis], model: str) -> tuple[int, ...]:
    """Return the confirmation seeds of a model after some interim analyses: those of the next, or of the last one."""
    if taken and taken[-1].stops:
        return tuple(taken[-1].seeds[model])
    return plan.seeds[:plan.interim[len(taken)]]


def taken_analyses(attributes: Mapping[str, object]) -> list[InterimAnalysis]:
    """Return the interim analyses that were recorded of a study, from all processes and starts."""
    text = attributes.get(TAKEN)
    return parsed(list[InterimAnalysis], text) if isinstance(text, str) else []
