"""What a look at the confirm runs found, line by line, for the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gru_bench.results.logged_metrics import compared
from gru_bench.results.looks import Look, LookPlan
from gru_bench.stats.looks import PairLook, PairLooks, is_settled
from gru_bench.stats.verdict import Finding


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
    look, metric = pair.last, compared(plan.metric, "test")
    points = metric.unit == "share"

    def written(value: float) -> str:
        return f"{100 * value:+.1f}" if points else f"{value:+.4f}"

    unit = " points" if points else f" of {metric.label}"
    start = f"{a} minus {b}: {written(look.usual.estimate)}{unit}"
    if (wide := look.repeated) is None:
        return f"{start}; fewer than 5 seeds settle nothing"
    start += f" (repeated interval {written(wide.low)} to {written(wide.high)})"
    if pair.settled is None:
        if look.needs_examples(plan.margin):
            return (f"{start}; open, and no number of seeds is likely to settle it within {written_margin(plan)}: that "
                    "takes more test reviews")
        return f"{start}; open"
    said = said_of(plan, pair.pair, pair.settled)
    return f"{start}; {said}" + ("" if pair.settled is look else f" (settled at look {pair.settled.place + 1})")


def written_margin(plan: LookPlan) -> str:
    """Return the margin of a plan with its unit."""
    return f"{plan.margin:g} nats" if plan.metric == "log_loss" else f"{100 * plan.margin:.1f} points"


def said_of(plan: LookPlan, pair: tuple[str, str], look: PairLook) -> str:
    """Return what a look found that settled a pair, in words."""
    lower_is_better = plan.metric == "log_loss"
    better, worse = pair if (look.usual.estimate < 0) == lower_is_better else pair[::-1]
    margin = written_margin(plan)
    match look.finding:
        case Finding.EQUIVALENT:
            return f"equivalent within {margin}"
        case Finding.NEGLIGIBLE:
            return f"{better} is better than {worse}, but by less than {margin}"
        case Finding.BETTER_BY_MARGIN:
            return f"{better} is better than {worse} by more than {margin}"
        case _:
            return f"{better} is better than {worse}"
