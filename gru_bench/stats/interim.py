"""Pairs of models at planned interim analyses, while seeds are added: what each finds, and when a pair is settled.

Every analysis tests each pair at a level that spends a part of the error (`spending`), so that all analyses together
find a difference that is not there at most 5 times in 100. With several pairs each analysis is a step-down after Holm
(1979): the pair with the smallest level needed is tested with the error divided by the number of pairs that no analysis
has found different yet, and so on. Equivalence, by two one-sided tests, and a difference of more than the margin have
step-downs of their own, with an error of 5 % each over all pairs and analyses. Comparisons with the linear model, where
they are planned, are a family of their own, whose every kind has an error of 5 % too, and so are those of the mixture
with its two parts. The levels hold whatever ends the stage, so that no analysis need wait for the mixture.

The information fraction of an analysis is estimated from its own runs: the variance that the last analysis will have,
divided by the variance now. The last analysis planned spends all that is left, also where a failed run has left it less
information.

A repeated interval (Jennison and Turnbull 1984) is the interval with the confidence of its analysis. The repeated
intervals of all analyses hold the true difference together with a chance of 95 %, so they may be read at any analysis
and after any stop; the usual interval may not.

Shapes: `K` interim analyses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from scipy import special

from gru_bench.results.interim import MIXTURE, InterimAnalysis, InterimPlan
from gru_bench.stats.estimate import Estimate
from gru_bench.stats.intervals import Scored, difference, paired_difference
from gru_bench.stats.spending import DIGITS, levels
from gru_bench.stats.verdict import DIFFERENT, LEAST_GROUPS, Finding, Pair, Verdict, can_be_equivalent, finding_of

SETTLING = (*DIFFERENT, Finding.EQUIVALENT)
"""Findings that settle a pair."""
LEAST_LEVEL = 1e-12
"""Smallest level of an interval that is shown: one minus a far smaller one is 1. Tests use the level itself."""


class Kind(Enum):
    """What an interim analysis may find on a pair. Each kind keeps its error over all pairs and analyses."""

    DIFFERENT = "different"
    BEYOND = "different by more than the margin"
    EQUIVALENT = "equivalent within the margin"


@dataclass(frozen=True)
class PairAnalysis:
    """What one interim analysis found on a pair. Differences are those of the first model minus the second."""

    place: int
    """Place of the interim analysis in the plan, from 0."""
    usual: Estimate
    """The difference with its 95 % interval, as if this interim analysis were the only one."""
    fraction: float | None
    """Information fraction. None where the seeds or the groups of examples are too few to settle anything; such an
    analysis spends nothing."""
    level: float | None
    """Level of a two-sided test of this pair alone, which is that of the repeated interval."""
    one_sided: float | None
    """Level of each of the two one-sided tests for equivalence, divided among the pairs of the step-down."""
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
        assert self.usual.design is not None
        floor = math.sqrt(self.usual.design.floor / self.usual.examples)
        return (float(special.ndtri(0.95)) * floor >= margin
                and abs(self.usual.estimate) <= float(special.ndtri(0.975)) * floor)

    def flipped(self) -> PairAnalysis:
        """Return the same of the second model minus the first."""
        return replace(self, usual=self.usual.flipped())


@dataclass
class PairAnalyses:
    """A pair through all analyses so far."""

    pair: tuple[str, str]
    analyses: list[PairAnalysis] = field(default_factory=list)
    settled: PairAnalysis | None = None
    """The first interim analysis that settled it."""
    found: set[Kind] = field(default_factory=set)
    """What the analyses so far have found."""

    @property
    def last(self) -> PairAnalysis:
        """Return the last interim analysis."""
        return self.analyses[-1]

    def flipped(self) -> PairAnalyses:
        """Return the same pair with its second model first."""
        analyses = [analysis.flipped() for analysis in self.analyses]
        settled = None if self.settled is None else self.settled.flipped()
        return PairAnalyses((self.pair[1], self.pair[0]), analyses, settled, set(self.found))


def fraction_of(found: Estimate, most: int) -> float:
    """Return the information fraction of an interim analysis: the variance with the most seeds, divided by the one now.

    Raises:
        ValueError: for an analysis of a single seed.
    """
    if found.design is None:
        raise ValueError("the information of an interim analysis needs at least 2 seeds of each model, but got 1")
    now = found.design.variance(found.seeds, found.examples)
    return 1.0 if now == 0 else min(1.0, found.design.variance((most,) * len(found.seeds), found.examples) / now)


def follow(
    plan: InterimPlan, analyses: Sequence[Mapping[str, Scored]], linear: tuple[str, Scored] | None = None,
    trained: str | None = None,
) -> list[PairAnalyses]:
    """Return each pair of models through the analyses so far, then each model with the linear one and the mixture with
    its parts, where these are planned.

    Args:
        plan: The plan.
        analyses: For each so far, model -> what its runs predict, for the same examples in the same order.
        linear: Name of the linear model and what it predicts for them. None: it is not known.
        trained: Name of the model that the mixture is of. Each analysis has the mixture too, with the seeds of
            this model. None: there is no mixture.
    """
    families = [[PairAnalyses(pair) for pair in family]
                for family in plan.families(linear[0] if linear else None, trained)]
    for place, runs in enumerate(analyses):
        for pairs in families:
            for pair in pairs:
                pair.analyses.append(_analyzed(plan, pair, place, dict([*runs.items(), *([linear] if linear else [])])))
            found = {kind: _step_down(plan, pairs, kind) for kind in Kind}
            for pair in pairs:
                if pair.last.fraction is not None:
                    finding = finding_of(*(pair in found[kind] for kind in Kind))
                    pair.analyses[-1] = replace(pair.last, finding=finding)
                if pair.settled is None and pair.last.finding in SETTLING:
                    pair.settled = pair.last
    return [pair for pairs in families for pair in pairs]


def is_settled(pairs: Sequence[PairAnalyses]) -> bool:
    """Return whether every pair is settled. One model alone, without a linear one, has no pair and is never settled."""
    return bool(pairs) and all(pair.settled is not None for pair in pairs)


def _analyzed(plan: InterimPlan, pair: PairAnalyses, place: int, runs: Mapping[str, Scored]) -> PairAnalysis:
    a, b = (runs[model] for model in pair.pair)
    of_same_seeds = pair.pair[0] == MIXTURE and not b.is_fitted_once
    usual = (paired_difference if of_same_seeds else difference)(plan.metric, a, b)
    if not usual.evidence_level.has_verdict or usual.groups < LEAST_GROUPS:
        few = Finding.TOO_FEW_GROUPS if usual.evidence_level.has_verdict else Finding.TOO_FEW_SEEDS
        return PairAnalysis(place, usual, None, None, None, finding=few)
    before = [analysis.fraction for analysis in pair.analyses if analysis.fraction is not None]
    now = 1.0 if place == len(plan.interim) - 1 else fraction_of(usual, plan.interim[-1])
    fractions = [*before, round(max(now, *before, 10**-DIGITS), DIGITS)]
    return PairAnalysis(place, usual, fractions[-1], levels(fractions, plan.alpha)[-1],
                        levels(fractions, plan.alpha, sides=1)[-1])


def _step_down(plan: InterimPlan, pairs: Sequence[PairAnalyses], kind: Kind) -> list[PairAnalyses]:
    """Test the pairs for one kind of finding at their last interim analysis, and return those of which it is found now.

    The levels are noted at the interim analyses.
    """
    family = sum(kind not in pair.found for pair in pairs)
    waiting = [pair for pair in pairs if kind not in pair.found and pair.last.fraction is not None]
    found: list[PairAnalyses] = []
    while waiting:
        rejected = [pair for pair in waiting if _is_found(plan, pair, kind, plan.alpha / family)]
        if not rejected:
            break
        for pair in rejected:
            pair.found.add(kind)
        family -= len(rejected)
        waiting = [pair for pair in waiting if kind not in pair.found]
        found += rejected
    return found


def _is_found(plan: InterimPlan, pair: PairAnalyses, kind: Kind, alpha: float) -> bool:
    """Return whether the last analysis of a pair finds something, where `alpha` is spent on it over all analyses."""
    fractions = [analysis.fraction for analysis in pair.analyses if analysis.fraction is not None]
    last = pair.last
    if kind is Kind.EQUIVALENT:
        level = levels(fractions, alpha, sides=1)[-1]
        pair.analyses[-1] = replace(last, one_sided=level)
        return can_be_equivalent(last.usual, plan.margin) and last.usual.p_equivalent(plan.margin) <= level
    level = levels(fractions, alpha)[-1]
    if kind is Kind.BEYOND:
        return last.usual.p_beyond(plan.margin) <= level
    pair.analyses[-1] = replace(last, tested_at=level)
    return last.usual.p_beyond(0.0) <= level


def compared_at(pair: PairAnalyses, plan: InterimPlan, names: tuple[str, str], usual: Estimate | None = None) -> Pair:
    """Return a pair after its analyses so far, with the repeated interval of the last one.

    Args:
        pair: The pair.
        plan: The plan.
        names: Names of its two models.
        usual: The difference of the runs so far, which is shown where no interim analysis was taken.

    Raises:
        ValueError: where no interim analysis was taken, and no difference is given.
    """
    if not pair.analyses:
        if usual is None:
            raise ValueError("a pair without interim analyses needs a difference to show, but got none")
        verdict = Verdict(Finding.INCONCLUSIVE, plan.margin, usual.at(0.90))
        return Pair(names, usual, None, plan.family_of(pair.pair), verdict, plan.metric, len(plan.interim))
    by = pair.settled or pair.last
    verdict = Verdict(by.finding, plan.margin, by.equivalence or by.usual.at(0.90))
    return Pair(names, pair.last.repeated or pair.last.usual, None, plan.family_of(pair.pair), verdict, plan.metric,
                len(plan.interim), by.place + 1, pair.settled is not None)


def scored_at(analysis: InterimAnalysis, runs: Mapping[str, Mapping[int, Scored]]) -> dict[str, Scored]:
    """Return model -> the runs that an interim analysis rests on, as one; runs that are gone by now are left out."""
    found = {}
    for model, seeds in analysis.seeds.items():
        own = [runs[model][seed] for seed in seeds if seed in runs[model]]
        found[model] = replace(own[0], probability_RNC=np.concatenate([one.probability_RNC for one in own]))
    return found


def settled_as(pair: PairAnalyses) -> str:
    """Return what settled a pair, as it is logged: `bidirectional, torch: better`."""
    assert pair.settled is not None
    return f"{', '.join(pair.pair)}: {pair.settled.finding.value}"
