"""The looks of a confirm stage whose seeds may grow: how many seeds are open now, and what each look decided.

What a look decides is recorded in the search's storage with the seeds that it rests on, so that every process and every
later start goes on from the same decision, even where a failed run is trained again afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from gru_bench.evaluation.intervals import Scored
from gru_bench.evaluation.looks import PairLook, PairLooks, favours, follow, is_settled
from gru_bench.evaluation.statistics import Finding
from gru_bench.results.logged_metrics import compared
from gru_bench.results.looks import Look, LookPlan, looks_of
from gru_bench.sweep.sharing.leases import Attributes

TAKEN = "looks taken"
"""Set on the search that holds what is the study's: its looks so far."""


class Looks:
    """The looks of one study, shared by all processes that work on it."""

    def __init__(self, plan: LookPlan, attributes: Attributes) -> None:
        """Continue with the looks that were taken.

        Args:
            plan: The plan.
            attributes: The Optuna study that holds what is the study's.
        """
        self.plan, self._attributes = plan, attributes

    @property
    def taken(self) -> list[Look]:
        """The looks so far, from all processes and starts."""
        return taken_looks(self._attributes.user_attrs)

    def seeds(self, model: str) -> tuple[int, ...]:
        """Return the confirm seeds that a model may be trained on by now; once the stage has ended, those it used."""
        return open_seeds(self.plan, self.taken, model)

    @property
    def ended(self) -> bool:
        """Whether the last look was taken, or one that settled all pairs."""
        taken = self.taken
        return bool(taken) and taken[-1].stops

    def take(self, runs: Mapping[str, Mapping[int, Scored]]) -> tuple[Look, list[PairLooks]]:
        """Take the next look and record it; the caller holds the study's lock.

        Args:
            runs: Model -> confirm seed -> what the run predicts for the test reviews, for all complete runs.
        """
        taken = self.taken
        now = Look(self.plan.looks[len(taken)], {model: tuple(sorted(runs[model])) for model in self.plan.models})
        pairs = follow(self.plan, [scored_at(look, runs) for look in (*taken, now)])
        last = len(taken) + 1 == len(self.plan.looks)
        look = Look(now.planned, now.seeds, tuple(map(settled_as, filter(lambda pair: pair.settled, pairs))),
                    last or is_settled(pairs))
        self._attributes.set_user_attr(TAKEN, json.dumps([asdict(one) for one in (*taken, look)]))
        return look, pairs


def open_seeds(plan: LookPlan, taken: Sequence[Look], model: str) -> tuple[int, ...]:
    """Return the confirm seeds of a model after some looks: those of the next look, or those that the last one used."""
    if taken and taken[-1].stops:
        return tuple(taken[-1].seeds[model])
    return plan.seeds[:plan.looks[len(taken)]]


def taken_looks(attributes: Mapping[str, object]) -> list[Look]:
    """Return the looks that were recorded in a storage."""
    text = attributes.get(TAKEN)
    return looks_of(text) if isinstance(text, str) else []


def scored_at(look: Look, runs: Mapping[str, Mapping[int, Scored]]) -> dict[str, Scored]:
    """Return model -> the runs that a look rests on, as one."""
    import numpy as np

    found = {}
    for model, seeds in look.seeds.items():
        own = [runs[model][seed] for seed in seeds]
        found[model] = Scored(own[0].label_N, np.concatenate([one.probability_RN for one in own]))
    return found


def settled_as(pair: PairLooks) -> str:
    """Return what settled a pair, as it is logged: `bidirectional, torch: better`."""
    assert pair.settled is not None
    return f"{', '.join(pair.pair)}: {pair.settled.finding.value}"


def look_lines(plan: LookPlan, look: Look, place: int, pairs: Sequence[PairLooks]) -> Iterator[str]:
    """Yield what a look found, line by line, for the console.

    Args:
        plan: The plan.
        look: The look.
        place: Its place in the plan, from 0.
        pairs: The pairs, through this look.
    """
    yield f"look {place + 1} of {len(plan.looks)}, {look.planned} seeds for each model:"
    for model, seeds in look.seeds.items():
        if len(seeds) < look.planned:
            yield (f"  {model}: {look.planned - len(seeds)} of its seeds failed, so this look knows less than planned")
    if not pairs:
        yield "  one model alone has no pair to settle, so all looks are taken"
    for pair in pairs:
        yield f"  {pair_line(plan, pair)}"
    if look.stops:
        yield ("  every pair is settled: no seeds are added" if is_settled(pairs) else
               "  this was the last look planned: what is open stays open")
    else:
        yield f"  goes on to {plan.looks[place + 1]} seeds"


def pair_line(plan: LookPlan, pair: PairLooks) -> str:
    """Return what the last look found on a pair, and whether it is settled."""
    a, b = pair.pair
    look, metric = pair.last, compared("log_loss" if plan.metric == "log_loss" else "accuracy", "test")
    points = metric.unit == "share"

    def written(value: float) -> str:
        return f"{100 * value:+.1f}" if points else f"{value:+.4f}"

    unit = " points" if points else f" of {metric.label}"
    start = f"{a} minus {b}: {written(look.usual.estimate)}{unit}"
    if (wide := look.repeated) is None:
        return f"{start}; fewer than 5 seeds settle nothing"
    start += f" (repeated interval {written(wide.low)} to {written(wide.high)})"
    margin = f"{100 * plan.margin:g} points" if points else f"{plan.margin:g}"
    if pair.settled is None:
        if look.seeds_cannot_show_equivalence(plan.margin) and not could_differ(look):
            return (f"{start}; open, and no number of seeds is likely to settle it within {margin}: that takes more "
                    "test reviews")
        return f"{start}; open"
    said = said_of(plan, pair.pair, pair.settled)
    return f"{start}; {said}" + ("" if pair.settled is look else f" (settled at look {pair.settled.place + 1})")


def could_differ(look: PairLook) -> bool:
    """Return whether very many seeds would find the difference seen, if it were the true one."""
    return abs(look.usual.estimate) > 1.96 * look.growth.floor**0.5


def said_of(plan: LookPlan, pair: tuple[str, str], look: PairLook) -> str:
    """Return what a look found that settled a pair, in words."""
    lower_is_better = plan.metric == "log_loss"
    better, worse = pair if (favours(look) < 0) == lower_is_better else pair[::-1]
    margin = f"{100 * plan.margin:g} points" if not lower_is_better else f"{plan.margin:g} nats"
    match look.finding:
        case Finding.EQUIVALENT:
            return f"equivalent within {margin}"
        case Finding.NEGLIGIBLE:
            return f"{better} is better than {worse}, but by less than {margin}"
        case Finding.BETTER_BY_MARGIN:
            return f"{better} is better than {worse} by more than {margin}"
        case _:
            return f"{better} is better than {worse}"
