"""Error rates of a comparison with interim analyses, on simulated runs with a known truth.

    python benchmarks/interim.py                       100 repetitions of each cell, about two minutes
    python benchmarks/interim.py --repetitions 5000    enough for the goal below, an hour

The runs are drawn as `interval_coverage.py` draws them: a probit model with an accuracy of 86.5 %, where two runs
disagree on 7 % of the examples within a model and on 10 % between models. Three models are equal, and one is a point
less accurate. Interim analyses come at 5, 8, 12 and 20 seeds.

Rules differ in the information fractions: `variances` estimates them at each analysis, `seeds` takes the share of the
seeds, as if test examples did not matter. And in the spending: `together` is 2 (1 - Phi(z_{1-alpha/2}/sqrt(t))),
`sides` spends the error of each side by itself. All rules see the same draws.

The tables show, in per cent but for seeds:

- family: how often any analysis finds a difference among the three equal models, with Holm's step-down (goal: at most
  5.6);
- power: how often a pair a point apart is found different (goal: at most 3 points less than one test at 20 seeds, which
  is the column `fixed`);
- seeds: how many seeds each model has when a pair is settled, as different or as equivalent within one point, or after
  the last interim analysis: of a pair a point apart, and of an equal one;
- equivalent: how often a pair a point apart, at the edge of the margin, is taken for equivalent (goal: at most 5), and
  how often an equal pair is;
- held: how often the repeated intervals of all interim analyses hold a difference of one point (goal: 95);
- uncorrected: family, where each interim analysis tests at 5 % (Holm alone).

The standard error of a share p of n repetitions is sqrt(p (1 - p)/n): 0.3 for 5 % of 5,000.

Shapes: `R` runs, `N` examples, `K` interim analyses.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import Pool

import numpy as np
from interval_coverage import ACCURACY, BETWEEN, CHUNK, WITHIN, Truth
from scipy import special

from gru_bench.stats.estimate import ALPHA, Estimate, accuracy_difference
from gru_bench.stats.interim import fraction_of
from gru_bench.stats.spending import Spending, levels, spent, spent_by_sides

INTERIM = (5, 8, 12, 20)
EXAMPLES, DEVIATIONS, APART = (500, 2000, 5500), (0.002, 0.005, 0.01), 0.01
RULES: dict[str, tuple[bool, Spending]] = {
    "variances, together": (True, spent), "variances, sides": (True, spent_by_sides),
    "seeds, together": (False, spent), "seeds, sides": (False, spent_by_sides)}
"""Rule -> whether it estimates the fractions, and its spending function."""
EQUAL = tuple(combinations(range(3), 2))
LOWER = (0, 3)
"""The pair whose second model is a point less accurate."""


@dataclass(frozen=True)
class Followed:
    """A pair at all interim analyses, by one rule."""

    found_K: Sequence[Estimate]
    fraction_K: Sequence[float]
    spending: Spending

    @classmethod
    def of(cls, found_K: Sequence[Estimate], estimated: bool, spending: Spending) -> Followed:
        """Follow a pair with the fractions of a rule."""
        fractions: list[float] = []
        for seeds, one in zip(INTERIM, found_K, strict=True):
            fraction = fraction_of(one, INTERIM[-1]) if estimated else seeds / INTERIM[-1]
            fractions.append(1.0 if seeds == INTERIM[-1] else round(max(fraction, *fractions, 0.01), 2))
        return cls(found_K, fractions, spending)

    def different(self, alpha: float) -> int | None:
        """Return the place of the first interim analysis that finds a difference."""
        at = levels(self.fraction_K, alpha, spending=self.spending)
        return next((k for k, (one, level) in enumerate(zip(self.found_K, at, strict=True))
                     if one.p is not None and one.p <= level), None)

    def equivalent(self, alpha: float) -> int | None:
        """Return the place of the first interim analysis that finds both equivalent within a point."""
        at = levels(self.fraction_K, alpha, sides=1, spending=self.spending)
        return next((k for k, (one, level) in enumerate(zip(self.found_K, at, strict=True))
                     if one.p_equivalent(APART) <= level), None)

    def seeds(self) -> int:
        """Return the seeds of each model when the pair is settled."""
        settled = [k for k in (self.different(ALPHA), self.equivalent(ALPHA)) if k is not None]
        return INTERIM[min([len(INTERIM) - 1, *settled])]

    def holds(self, true: float) -> bool:
        """Return whether the repeated intervals of all interim analyses hold the true difference."""
        at = levels(self.fraction_K, ALPHA, spending=self.spending)
        repeated_K = [one.at(1 - level) for one, level in zip(self.found_K, at, strict=True)]
        return all(one.low <= true <= one.high for one in repeated_K)


def simulated(deviation: float, examples: int, repetitions: int, rng: np.random.Generator) -> Counter[str]:
    """Return the sums over repetitions of what the tables show."""
    truth = Truth.of(ACCURACY, deviation, WITHIN, BETWEEN)
    lower = float(special.ndtri(ACCURACY - APART)) * float(np.sqrt(1 + truth.seed**2)) - truth.mean
    sums: Counter[str] = Counter()
    for _ in range(repetitions):
        runs = truth.draw(4, INTERIM[-1], examples, rng, (0, 0, 0, lower))
        found = {(a, b): [accuracy_difference(runs[a][:r], runs[b][:r]) for r in INTERIM] for a, b in (*EQUAL, LOWER)}
        sums["fixed"] += (found[LOWER][-1].p or 0) < ALPHA
        sums["uncorrected"] += any((one.p or 0) < ALPHA / len(EQUAL) for pair in EQUAL for one in found[pair])
        for rule, (estimated, spending) in RULES.items():
            pairs = {pair: Followed.of(found[pair], estimated, spending) for pair in found}
            apart, same = pairs[LOWER], pairs[EQUAL[0]]
            # Holm's first step decides whether there is any finding at all.
            sums[f"{rule}: family"] += any(pairs[pair].different(ALPHA / len(EQUAL)) is not None for pair in EQUAL)
            sums[f"{rule}: power"] += apart.different(ALPHA) is not None
            sums[f"{rule}: seeds apart"] += apart.seeds()
            sums[f"{rule}: seeds equal"] += same.seeds()
            sums[f"{rule}: equivalent apart"] += apart.equivalent(ALPHA) is not None
            sums[f"{rule}: equivalent equal"] += same.equivalent(ALPHA) is not None
            sums[f"{rule}: held"] += apart.holds(APART)
    return sums


def _chunk(job: tuple[float, int, int, np.random.SeedSequence]) -> Counter[str]:
    return simulated(*job[:-1], np.random.default_rng(job[-1]))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=100, help="repetitions of each cell (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of all draws (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="parallel processes; results are the same (default 2)")
    options = parser.parse_args()
    n, begin = options.repetitions, time.perf_counter()
    print(f"{n:,} repetitions; standard error {100 * (0.05 * 0.95 / n) ** 0.5:.1f} near 5 % and "
          f"{100 * (0.5 * 0.5 / n) ** 0.5:.1f} near 50 %")
    print("reviews  seed dev.  rule                  family  power  fixed   seeds apart/equal   equivalent apart/equal"
          "   held  uncorrected")
    with Pool(options.processes) as pool:
        for place, (examples, deviation) in enumerate((e, d) for e in EXAMPLES for d in DEVIATIONS):
            sizes = [min(CHUNK, n - start) for start in range(0, n, CHUNK)]
            sequences = np.random.SeedSequence([options.seed, place]).spawn(len(sizes))
            jobs = [(deviation, examples, size, s) for size, s in zip(sizes, sequences, strict=True)]
            sums: Counter[str] = Counter()
            for some in pool.imap_unordered(_chunk, jobs):
                sums.update(some)
            for rule in RULES:
                at = {key.removeprefix(f"{rule}: "): 100 * value / n for key, value in sums.items()}
                print(f"{examples:7,}{100 * deviation:11.1f}  {rule:20}{at['family']:8.1f}{at['power']:7.1f}"
                      f"{at['fixed']:7.1f}{at['seeds apart'] / 100:10.1f}{at['seeds equal'] / 100:10.1f}"
                      f"{at['equivalent apart']:15.1f}{at['equivalent equal']:10.1f}"
                      f"{at['held']:14.1f}{at['uncorrected']:11.1f}", flush=True)
    print(f"took {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
