"""Pairs of models compared at planned looks, while seeds are added: what each look finds, and when a pair is settled.

Every look tests each pair at a level that spends a part of the error (`spending`), so that all looks together find a
difference that is not there at most 5 times in 100. With several pairs each look is a step-down after Holm (1979): the
pair with the smallest level needed is tested with the error divided by the number of pairs that no look has found
different yet, and so on. Equivalence has two one-sided tests, with an error of 5 % each over all looks.

The information fraction of a look is estimated from its own runs: the variance that the last look will have, divided by
the variance now. The last look planned spends all that is left, also where a failed run has left it less information.

A repeated interval (Jennison and Turnbull 1984) is the interval with the confidence of its look. The repeated intervals
of all looks hold the true difference together with a chance of 95 %, so they may be read at any look and after any
stop; the usual interval may not.

Shapes: `K` looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from scipy import special

from gru_bench.evaluation.intervals import Scored, difference
from gru_bench.evaluation.spending import DIGITS, levels
from gru_bench.evaluation.statistics import DIFFERENT, Estimate, Finding, Growth, can_show_equivalence, growth
from gru_bench.results.looks import Look, LookPlan

SETTLING = (*DIFFERENT, Finding.EQUIVALENT)
"""Findings that settle a pair."""
LEAST_LEVEL = 1e-12
"""Smallest level of an interval that is shown: one minus a far smaller one is 1. Tests use the level itself."""


@dataclass(frozen=True)
class PairLook:
    """What one look found on a pair. Differences are those of the first model minus the second."""

    place: int
    """Place of the look in the plan, from 0."""
    usual: Estimate
    """The difference with its 95 % interval, as if this look were the only one."""
    fraction: float | None
    """Information fraction. None where the seeds are too few to settle anything; such a look spends nothing."""
    level: float | None
    """Level of a two-sided test of this pair alone, which is that of the repeated interval."""
    one_sided: float | None
    """Level of each of the two one-sided tests for equivalence."""
    growth: Growth
    """How the variance falls with seeds, as estimated at this look."""
    tested_at: float | None = None
    """Level at which the step-down tested the pair. None where it was not tested, or had been found different."""
    finding: Finding = Finding.INCONCLUSIVE

    @property
    def repeated(self) -> Estimate | None:
        """Return the difference with its repeated interval."""
        return None if self.level is None else self.at(self.level)

    @property
    def equivalence(self) -> Estimate | None:
        """Return the difference with the interval that decides on equivalence."""
        return None if self.one_sided is None else self.at(2 * self.one_sided)

    def at(self, level: float) -> Estimate:
        """Return the difference with the interval of a two-sided test at a level."""
        return self.usual.at(1 - max(level, LEAST_LEVEL))

    def needs_examples(self, margin: float) -> bool:
        """Return whether no number of seeds is likely to settle the pair, because the test examples alone leave too
        much: they leave more than the margin for equivalence, and more than the difference seen for a difference."""
        floor = math.sqrt(self.growth.floor)
        return (float(special.ndtri(0.95)) * floor >= margin
                and abs(self.usual.estimate) <= float(special.ndtri(0.975)) * floor)

    def flipped(self) -> PairLook:
        """Return the same of the second model minus the first."""
        one = self.usual
        usual = replace(one, estimate=-one.estimate, low=-one.high, high=-one.low, seeds=one.seeds[::-1])
        return replace(self, usual=usual, growth=replace(self.growth, by_seed=self.growth.by_seed[::-1]))


@dataclass
class PairLooks:
    """A pair through all looks so far."""

    pair: tuple[str, str]
    looks: list[PairLook] = field(default_factory=list)
    settled: PairLook | None = None
    """The first look that settled it."""
    different: bool = False
    """Whether a look has found it different."""

    @property
    def last(self) -> PairLook:
        """Return the last look."""
        return self.looks[-1]

    def flipped(self) -> PairLooks:
        """Return the same pair with its second model first."""
        looks = [look.flipped() for look in self.looks]
        settled = None if self.settled is None else self.settled.flipped()
        return PairLooks((self.pair[1], self.pair[0]), looks, settled, self.different)


def fraction_of(found: Growth, seeds: tuple[int, int], most: int) -> float:
    """Return the information fraction of a look: the variance with the most seeds, divided by that with these."""
    now = found.variance(seeds)
    return 1.0 if now == 0 else min(1.0, found.variance((most, most)) / now)


def follow(plan: LookPlan, looks: Sequence[Mapping[str, Scored]]) -> list[PairLooks]:
    """Return each pair of models through the looks so far.

    Args:
        plan: The plan.
        looks: For each look so far, model -> what its runs predict, for the same examples in the same order.
    """
    pairs = [PairLooks(pair) for pair in combinations(plan.models, 2)]
    for place, runs in enumerate(looks):
        for pair in pairs:
            pair.looks.append(_looked(plan, pair, place, runs))
        _step_down(plan, pairs)
        for pair in pairs:
            if pair.settled is None and pair.last.finding in SETTLING:
                pair.settled = pair.last
    return pairs


def is_settled(pairs: Sequence[PairLooks]) -> bool:
    """Return whether every pair is settled. One model alone has no pair, and is never settled by a look."""
    return bool(pairs) and all(pair.settled is not None for pair in pairs)


def _looked(plan: LookPlan, pair: PairLooks, place: int, runs: Mapping[str, Scored]) -> PairLook:
    a, b = (runs[model] for model in pair.pair)
    usual = difference(plan.metric, a, b)
    found = growth(*((a.loss_RN, b.loss_RN) if plan.metric == "log_loss" else (a.correct_RN, b.correct_RN)))
    if not usual.evidence_level.has_verdict:
        return PairLook(place, usual, None, None, None, found)
    before = [look.fraction for look in pair.looks if look.fraction is not None]
    now = 1.0 if place == len(plan.looks) - 1 else fraction_of(found, (usual.seeds[0], usual.seeds[1]), plan.looks[-1])
    fractions = [*before, round(max(now, *before, 10**-DIGITS), DIGITS)]
    return PairLook(place, usual, fractions[-1], levels(fractions, plan.alpha)[-1],
                    levels(fractions, plan.alpha, sides=1)[-1], found)


def _step_down(plan: LookPlan, pairs: Sequence[PairLooks]) -> None:
    """Test the pairs at their last look, and note what was found."""
    for pair in pairs:
        pair.looks[-1] = replace(pair.last, finding=_equivalent(plan, pair.last))
    open_pairs = [pair for pair in pairs if not pair.different and pair.last.fraction is not None]
    family = sum(not pair.different for pair in pairs)
    while open_pairs:
        at = {pair.pair: _level(plan, pair, plan.alpha / family) for pair in open_pairs}
        rejected = [pair for pair in open_pairs if (pair.last.usual.p or 0.0) <= at[pair.pair]]
        for pair in open_pairs:
            pair.looks[-1] = replace(pair.last, tested_at=at[pair.pair])
        if not rejected:
            return
        for pair in rejected:
            pair.different = True
            pair.looks[-1] = replace(pair.last, finding=_difference(plan, pair.last))
        open_pairs = [pair for pair in open_pairs if not pair.different]
        family -= len(rejected)


def _level(plan: LookPlan, pair: PairLooks, alpha: float) -> float:
    """Return the level of a pair's last look where `alpha` is spent over all looks."""
    return levels([look.fraction for look in pair.looks if look.fraction is not None], alpha)[-1]


def _equivalent(plan: LookPlan, look: PairLook) -> Finding:
    inner = look.equivalence
    enough = math.isinf(look.usual.bounds[1]) or can_show_equivalence(look.usual.examples, plan.margin)
    if inner is not None and enough and -plan.margin < inner.low and inner.high < plan.margin:
        return Finding.EQUIVALENT
    return Finding.INCONCLUSIVE if look.fraction is not None else Finding.TOO_FEW_SEEDS


def _difference(plan: LookPlan, look: PairLook) -> Finding:
    """Return the finding on a pair that is different: how large its difference is."""
    if look.finding is Finding.EQUIVALENT:
        return Finding.NEGLIGIBLE
    wide = look.repeated
    assert wide is not None
    beyond = wide.low > plan.margin or wide.high < -plan.margin
    return Finding.BETTER_BY_MARGIN if beyond else Finding.BETTER


def scored_at(look: Look, runs: Mapping[str, Mapping[int, Scored]]) -> dict[str, Scored]:
    """Return model -> the runs that a look rests on, as one; runs that are gone by now are left out."""
    found = {}
    for model, seeds in look.seeds.items():
        own = [runs[model][seed] for seed in seeds if seed in runs[model]]
        found[model] = Scored(own[0].label_N, np.concatenate([one.probability_RN for one in own]))
    return found


def settled_as(pair: PairLooks) -> str:
    """Return what settled a pair, as it is logged: `bidirectional, torch: better`."""
    assert pair.settled is not None
    return f"{', '.join(pair.pair)}: {pair.settled.finding.value}"
