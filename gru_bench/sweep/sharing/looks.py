"""The looks of a confirmation stage whose seeds may grow: how many seeds are open now, and what each look decided.

What a look decides is recorded in the search's storage with the seeds that it rests on, so that every process and every
later start goes on from the same decision, even where a failed run is trained again afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from gru_bench.results.looks import Look, LookPlan
from gru_bench.results.runs import parsed
from gru_bench.stats.intervals import Scored
from gru_bench.stats.looks import PairLooks, follow, is_settled, scored_at, settled_as
from gru_bench.sweep.sharing.leases import Attributes

TAKEN = "looks taken"
"""Set on the record of a study: its looks so far."""


def take_look(
    plan: LookPlan, study: Attributes, runs: Mapping[str, Mapping[int, Scored]],
    linear: tuple[str, Scored] | None = None,
) -> tuple[Look, list[PairLooks]]:
    """Take the next look and record it; the caller holds the study's lock.

    Args:
        plan: The plan.
        study: The record of the study.
        runs: Model -> confirmation seed -> what the run predicts for the test texts, for all complete runs.
        linear: As for `follow`.
    """
    taken = taken_looks(study.user_attrs)
    now = Look(plan.looks[len(taken)], {model: tuple(sorted(runs[model])) for model in plan.models})
    pairs = follow(plan, [scored_at(look, runs) for look in (*taken, now)], linear)
    last = len(taken) + 1 == len(plan.looks)
    look = Look(now.planned, now.seeds, tuple(map(settled_as, filter(lambda pair: pair.settled, pairs))),
                last or is_settled(pairs))
    study.set_user_attr(TAKEN, json.dumps([asdict(one) for one in (*taken, look)]))
    return look, pairs


def open_seeds(plan: LookPlan, taken: Sequence[Look], model: str) -> tuple[int, ...]:
    """Return the confirmation seeds of a model after some looks: those of the next look, or those of the last one."""
    if taken and taken[-1].stops:
        return tuple(taken[-1].seeds[model])
    return plan.seeds[:plan.looks[len(taken)]]


def taken_looks(attributes: Mapping[str, object]) -> list[Look]:
    """Return the looks that were recorded of a study, from all processes and starts."""
    text = attributes.get(TAKEN)
    return parsed(list[Look], text) if isinstance(text, str) else []
