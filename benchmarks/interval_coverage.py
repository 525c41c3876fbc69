"""Coverage of the intervals and error rates of the tests in a report, measured on simulated runs with a known truth.

    python benchmarks/interval_coverage.py                        300 repetitions of each size, a few seconds
    python benchmarks/interval_coverage.py --repetitions 10000    enough for the goal below, some minutes
    python benchmarks/interval_coverage.py --few --repetitions 4000    few test reviews, or few wrong answers
    python benchmarks/interval_coverage.py --groups --repetitions 1000    test reviews in groups, such as films
    python benchmarks/interval_coverage.py --strata --repetitions 4000    groups from strata of fixed shares
    python benchmarks/interval_coverage.py --few-seeds --repetitions 4000    2 to 4 seeds of a model
    python benchmarks/interval_coverage.py --rare --repetitions 4000    macro F1 of many classes, some of them rare

Two models of equal accuracy are drawn in each repetition, each with R seeds on N test examples. A run answers example i
correctly where mu + w u_run + sqrt(rho_b) d_i + sqrt(rho_w - rho_b) e_model,i + sqrt(1 - rho_w) g_run,i > 0, all five
standard normal: d is the difficulty of an example, e its difficulty for a model, g the noise of a run on an example,
and u the luck of a seed. mu, w and the rho are set so that accuracy is 86.5 % on average, its deviation over seeds 0.5
points, and two runs disagree on 7 % of the examples within a model and on 10 % between models. (Two normals of
correlation rho fall on either side of -mu with the chance 4 T(mu, sqrt((1 - rho)/(1 + rho))), T Owen's function.)

The table shows for each R and N, in per cent: how often the 95 % interval of the difference holds the true one (0), how
often the test at 5 % finds a difference, how often the interval of one model holds its true accuracy, and the
family-wise error of Holm's procedure over the three pairs of three such models; and the mean half-width in points.
Goal: 94 to 97.5 % coverage everywhere. The standard error of a share near 5 % from 10,000 repetitions is 0.2.

With --few, for 20 to 500 reviews and accuracies from 50 to 100 %: how often the interval of one model holds its true
accuracy, and how often the interval of a difference holds the true one, 0 or 5 points (the lower of the two shares).
The deviation over seeds and the disagreements are those above, in proportion to the variance of an answer. Goal:
at least 94 % in every cell; far more where less than one wrong answer is expected.

With --groups, for 20 to 200 groups of 1 to 30 reviews: how often intervals hold the truth that ignore the groups, and
how often those that allow for them do. The difficulties d and e have a part that all reviews of a group share; the
correlation of the d of two reviews of a group is 0.05 or 0.3, and so is that of their e. Goal: at least 94 %.

With --strata, for 20 to 200 groups, as many of each of four strata: the same for intervals that allow for groups alone,
and for those that allow for the strata too. A stratum's difficulty adds -1, -0.5, 0.5 or 1 to the mean, for the other
model of a pair in the opposite order, and all strata have groups of the same sizes. Goal: 94 to 97 % with the strata.

With --few-seeds, for 2 to 4 seeds of one model and as many to 5 of the other, on 2,000 reviews, with deviations over
seeds of 0.5 and 1.0 points: how often the test finds a difference of two equal models, how often the interval of the
model with fewer seeds holds its accuracy, and how often a test of one run each, which is about these runs, finds a
difference.

With --rare, for 20 classes with sizes after Zipf, of which the smallest has 1.4 % of the reviews: how often the test
at 5 % finds a difference in macro F1 of two equal models, and how often the interval of one model holds its true macro
F1. 75 % of the answers are right, and wrong ones are drawn after the sizes of the other classes. Goal: at most 5.5 %,
and at least 94 %.

Shapes: `R` runs, `N` examples, `K` groups, `C` classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import Pool
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from gru_bench.stats.estimate import ALPHA, accuracy_difference, accuracy_interval
from gru_bench.stats.intervals import difference, interval
from gru_bench.stats.scores import Scored
from gru_bench.stats.verdict import holm

ACCURACY, DEVIATION, WITHIN, BETWEEN = 0.865, 0.005, 0.07, 0.10
SEEDS, EXAMPLES, MODELS = (3, 5, 10), (500, 2000, 5500), 3
FEW_EXAMPLES, FEW_ACCURACIES, APART = (20, 50, 100, 200, 500), (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0), 0.05
SMALL, DEVIATIONS = (2, 3, 4), (0.005, 0.01)
GROUPS, ALIKE, LARGEST = (20, 50, 200), (0.05, 0.3), 30
GROUPS_OF_STRATA, STRATA = (20, 48, 200), (-1.0, -0.5, 0.5, 1.0)
RARE_ACCURACY, CLASSES, RARE_SEEDS, RARE_EXAMPLES = 0.75, 20, (1, 5), (300, 500)
CHUNK = 50


@dataclass(frozen=True)
class Truth:
    """The constants of the simulation."""

    mean: float
    seed: float
    within: float
    between: float

    @classmethod
    def of(cls, accuracy: float, deviation: float, within: float, between: float) -> Truth:
        """Solve for the constants that give these averages."""
        at = special.ndtri(accuracy)
        seed = deviation / (np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi))

        def correlation(disagreement: float) -> float:
            def apart(rho: float) -> float:
                return float(4 * special.owens_t(at, np.sqrt((1 - rho) / (1 + rho)))) - disagreement

            return float(optimize.brentq(apart, 0.0, 1 - 1e-9))

        return cls(float(at * np.sqrt(1 + seed**2)), float(seed), correlation(within), correlation(between))

    @classmethod
    def like(cls, accuracy: float) -> Truth:
        """Return the constants of another accuracy whose runs vary in proportion to the variance of an answer."""
        ratio = accuracy * (1 - accuracy) / (ACCURACY * (1 - ACCURACY))
        return cls.of(accuracy, DEVIATION * ratio**0.5, WITHIN * ratio, BETWEEN * ratio)

    def draw(self, *arguments: Any, **options: Any) -> list[np.ndarray]:
        """Return the correctness of each model's runs, (R, N), on the same examples, for the arguments of `ease`."""
        return [one_RN > 0 for one_RN in self.ease(*arguments, **options)]

    def ease(
        self, models: int, seeds: int, examples: int, rng: np.random.Generator, shifts: Sequence[float] = (),
        group_N: NDArray[np.int64] | None = None, alike: float = 0.0, once: int = 0,
    ) -> list[np.ndarray]:
        """Return how easy each model's runs find the same examples, (R, N): above 0, their answer is correct.

        `shifts` are added to the means of the models. With infinity, a model answers every example correctly. The
        difficulties of two examples of a group correlate by `alike`. The last `once` models have one run and no seed.
        """
        normal = rng.standard_normal

        def difficulty() -> np.ndarray:
            own_N = normal(examples, np.float32)
            if group_N is None:
                return own_N
            shared_K = normal(int(group_N.max()) + 1, np.float32)
            return np.float32(np.sqrt(alike)) * shared_K[group_N] + np.float32(np.sqrt(1 - alike)) * own_N

        shared_N = self.mean + np.sqrt(self.between) * difficulty()
        drawn = []
        for place in range(models):
            ease_N = shared_N + np.sqrt(self.within - self.between) * difficulty()
            if shifts:
                ease_N = ease_N + np.float32(shifts[place])
            is_once = place >= models - once
            rows = 1 if is_once else seeds
            churn_RN = np.float32(np.sqrt(1 - self.within)) * normal((rows, examples), np.float32)
            luck_R1 = (0.0 if is_once else self.seed) * normal((rows, 1), np.float32)
            drawn.append(churn_RN + luck_R1 + ease_N)
        return drawn


def repeated(truth: Truth, seeds: int, examples: int, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sums over repetitions of: interval holds, test rejects, one model's interval holds, any of Holm's
    tests rejects, half-width."""
    sums = np.zeros(5)
    for _ in range(repetitions):
        runs = truth.draw(MODELS, seeds, examples, rng)
        pairs = [accuracy_difference(a, b) for a, b in combinations(runs, 2)]
        one, alone = pairs[0], accuracy_interval(runs[0])
        adjusted = holm([pair.p for pair in pairs])
        sums += (
            one.low <= 0 <= one.high, one.p is not None and one.p < ALPHA, alone.low <= ACCURACY <= alone.high,
            any(p is not None and p < ALPHA for p in adjusted), (one.high - one.low) / 2,
        )
    return sums


def few_held(seeds: int, examples: int, accuracy: float, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often hold, of so many repetitions: the interval of one model, of a pair of models of this accuracy,
    and of a pair 5 points apart."""
    lower = accuracy - APART
    truth = Truth.like(accuracy if accuracy < 1 else lower)
    spread = float(np.sqrt(1 + truth.seed**2))
    to_accuracy, to_lower = (
        float(special.ndtri(share)) * spread - truth.mean if share < 1 else np.inf for share in (accuracy, lower))
    held = np.zeros(3)
    for _ in range(repetitions):
        a_RN, b_RN, c_RN = truth.draw(3, seeds, examples, rng, (to_accuracy, to_accuracy, to_lower))
        one, same, apart = accuracy_interval(a_RN), accuracy_difference(a_RN, b_RN), accuracy_difference(a_RN, c_RN)
        held += [found.low - 1e-12 <= true <= found.high + 1e-12
                 for found, true in ((one, accuracy), (same, 0.0), (apart, accuracy - lower))]
    return held


def grouped_held(seeds: int, groups: int, alike: float, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often hold, of so many repetitions: the interval of a difference and of one model that ignore the
    groups, and those that allow for them."""
    truth = Truth.of(ACCURACY, DEVIATION, WITHIN, BETWEEN)
    held = np.zeros(4)
    for _ in range(repetitions):
        group_N = np.repeat(np.arange(groups), rng.integers(1, LARGEST + 1, groups))
        a_RN, b_RN = truth.draw(2, seeds, len(group_N), rng, group_N=group_N, alike=alike)
        found = [(estimate, true) for group in (None, group_N) for estimate, true in (
            (accuracy_difference(a_RN, b_RN, group_N=group), 0.0), (accuracy_interval(a_RN, group_N=group), ACCURACY))]
        held += [estimate.low <= true <= estimate.high for estimate, true in found]
    return held


def strata_held(seeds: int, groups: int, alike: float, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often hold, of so many repetitions: the interval of a difference and of one model that allow for
    groups alone, and those that allow for the strata of the groups too."""
    truth = Truth.of(ACCURACY, DEVIATION, WITHIN, BETWEEN)
    shift_H = np.array(STRATA, np.float32)
    accuracy = float(special.ndtr((truth.mean + shift_H) / np.sqrt(1 + truth.seed**2)).mean())
    held = np.zeros(4)
    for _ in range(repetitions):
        sizes = np.tile(rng.integers(1, LARGEST + 1, groups // len(STRATA)), len(STRATA))
        group_N = np.repeat(np.arange(len(sizes)), sizes)
        stratum_N = group_N // (groups // len(STRATA))
        a_RN, b_RN = (ease_RN + shifts[stratum_N] > 0 for ease_RN, shifts in zip(
            truth.ease(2, seeds, len(group_N), rng, group_N=group_N, alike=alike), (shift_H, -shift_H), strict=True))
        found = [(estimate, true) for strata in (None, stratum_N) for estimate, true in (
            (accuracy_difference(a_RN, b_RN, group_N, strata), 0.0),
            (accuracy_interval(a_RN, group_N, strata), accuracy))]
        held += [estimate.low <= true <= estimate.high for estimate, true in found]
    return held


def few_seeds_found(
    deviation: float, fewer: int, more: int, repetitions: int, rng: np.random.Generator
) -> np.ndarray:
    """Return how often, of so many repetitions: a difference of equal models is found, the interval of one model holds,
    and one run each of equal models differ."""
    truth, found = Truth.of(ACCURACY, deviation, WITHIN, BETWEEN), np.zeros(3)
    for _ in range(repetitions):
        a_RN, b_RN = truth.draw(2, more, 2000, rng, (0.0, 0.0))
        alone, same = accuracy_interval(a_RN[:fewer]), accuracy_difference(a_RN[:fewer], b_RN)
        runs = accuracy_difference(a_RN[:1], b_RN[:1])
        found += ((same.p or 0.0) < ALPHA, alone.low <= ACCURACY <= alone.high, (runs.p or 0.0) < ALPHA)
    return found


def rare_found(seeds: int, examples: int, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often, of so many repetitions: a difference in macro F1 of equal models is found, and the interval of
    one model holds."""
    share_C = 1 / np.arange(1, CLASSES + 1)
    share_C /= share_C.sum()
    wrong_CC = np.where(np.eye(CLASSES, dtype=bool), 0, share_C)
    wrong_CC /= wrong_CC.sum(axis=1, keepdims=True)
    named_C = (1 + RARE_ACCURACY) * share_C + (1 - RARE_ACCURACY) * share_C @ wrong_CC
    true = float(np.mean(2 * RARE_ACCURACY * share_C / named_C))
    truth, found = Truth.like(RARE_ACCURACY), np.zeros(2)
    once = 2 if seeds == 1 else 0  # one seed speaks of its run alone
    for _ in range(repetitions):
        label_N = rng.choice(CLASSES, examples, p=share_C)
        models = []
        for correct_RN in truth.draw(2, seeds, examples, rng, once=once):
            mistake_RN = (rng.random((seeds, examples, 1)) > wrong_CC.cumsum(axis=1)[label_N]).sum(axis=2)
            models.append(Scored(
                label_N, np.empty((seeds, examples, CLASSES)), None, np.where(correct_RN, label_N, mistake_RN),
                unused=tuple(set(range(CLASSES)) - set(label_N.tolist()))))
        alone, same = interval("macro_f1", models[0]), difference("macro_f1", *models)
        found += ((same.p or 0.0) < ALPHA, alone.low <= true <= alone.high)
    return found


def _chunk(job: tuple[Callable[..., np.ndarray], tuple[Any, ...], int, np.random.SeedSequence]) -> np.ndarray:
    simulate, cell, repetitions, sequence = job
    return simulate(*cell, repetitions, np.random.default_rng(sequence))


def means(
    pool: Any, options: argparse.Namespace, place: Sequence[int], simulate: Callable[..., np.ndarray],
    cell: tuple[Any, ...],
) -> np.ndarray:
    """Return the means over all repetitions of what a simulation sums for a cell of a table."""
    sizes = [min(CHUNK, options.repetitions - start) for start in range(0, options.repetitions, CHUNK)]
    sequences = np.random.SeedSequence([options.seed, *place]).spawn(len(sizes))
    jobs = [(simulate, cell, size, sequence) for size, sequence in zip(sizes, sequences, strict=True)]
    return np.asarray(sum(pool.imap_unordered(_chunk, jobs)) / options.repetitions)


def few_seeds_table(options: argparse.Namespace, pool: Any) -> None:
    """Print how often tests of few seeds find what is not there."""
    print(f"{options.repetitions:,} repetitions; in %")
    print("deviation  seeds   difference found   one model held   one run each")
    for place, cell in enumerate((d, fewer, more) for d in DEVIATIONS for fewer in SMALL for more in range(fewer, 6)):
        same, held, runs = 100 * means(pool, options, [place], few_seeds_found, cell)
        print(f"{100 * cell[0]:9.1f}{cell[1]:5}/{cell[2]}{same:19.1f}{held:17.1f}{runs:15.1f}", flush=True)


def grouped_table(options: argparse.Namespace, pool: Any) -> None:
    """Print how often intervals hold the truth where test reviews are in groups."""
    print(f"{options.repetitions:,} repetitions; groups of 1 to {LARGEST} reviews; how often the interval holds, in %: "
          "ignoring groups, then allowing for them")
    print("seeds  groups  correlation   difference     one model")
    for place, cell in enumerate((r, k, alike) for alike in ALIKE for r in SEEDS for k in GROUPS):
        plain, alone, pair, one = 100 * means(pool, options, [place], grouped_held, cell)
        print(f"{cell[0]:5}{cell[1]:8}{cell[2]:13}{plain:8.1f}{pair:8.1f}{alone:8.1f}{one:8.1f}", flush=True)


def strata_table(options: argparse.Namespace, pool: Any) -> None:
    """Print how often intervals hold the truth where the share of each stratum of groups is fixed."""
    print(f"{options.repetitions:,} repetitions; groups of 1 to {LARGEST} reviews in {len(STRATA)} strata; how often "
          "the interval holds, in %: allowing for groups, then for strata too")
    print("seeds  groups  correlation   difference     one model")
    for place, cell in enumerate((r, k, alike) for alike in ALIKE for r in SEEDS for k in GROUPS_OF_STRATA):
        pair, one, pair_in_strata, one_in_strata = 100 * means(pool, options, [place], strata_held, cell)
        print(f"{cell[0]:5}{cell[1]:8}{cell[2]:13}{pair:8.1f}{pair_in_strata:8.1f}{one:8.1f}{one_in_strata:8.1f}",
              flush=True)


def rare_table(options: argparse.Namespace, pool: Any) -> None:
    """Print how often tests and intervals of macro F1 hold where classes are rare."""
    print(f"{options.repetitions:,} repetitions; macro F1 of {CLASSES} classes; in %")
    print("seeds  reviews   difference found   one model held")
    for place, cell in enumerate((r, n) for r in RARE_SEEDS for n in RARE_EXAMPLES):
        same, held = 100 * means(pool, options, [place], rare_found, cell)
        print(f"{cell[0]:5}{cell[1]:9,}{same:19.1f}{held:17.1f}", flush=True)


def few_table(options: argparse.Namespace, pool: Any) -> None:
    """Print how often intervals hold the truth where test reviews, or wrong answers, are few."""
    print(f"{options.repetitions:,} repetitions; how often the interval of one model / of a difference holds, in %")
    print("seeds  reviews   " + "".join(f"{accuracy:>13.0%}" for accuracy in FEW_ACCURACIES))
    for place, (seeds, examples) in enumerate((r, n) for r in SEEDS for n in FEW_EXAMPLES):
        cells = []
        for column, accuracy in enumerate(FEW_ACCURACIES):
            one, *pairs = 100 * means(pool, options, [place, column], few_held, (seeds, examples, accuracy))
            cells.append(f"{one:.1f}/{min(pairs):.1f}")
        print(f"{seeds:5}{examples:9}   " + "".join(f"{cell:>13}" for cell in cells), flush=True)


def usual_table(options: argparse.Namespace, pool: Any) -> None:
    """Print how often intervals hold the truth, and tests find what is not there."""
    truth = Truth.of(ACCURACY, DEVIATION, WITHIN, BETWEEN)
    print(f"{options.repetitions:,} repetitions; accuracy {ACCURACY:.1%}, seed deviation {100 * DEVIATION} points,"
          f" disagreement {WITHIN:.0%} within and {BETWEEN:.0%} between models; shares in %, half-width in points")
    print("seeds  examples   difference held   found though none   one model held   Holm, any of 3   half-width")
    for place, (seeds, examples) in enumerate((r, n) for r in SEEDS for n in EXAMPLES):
        held, found, alone, family, half = 100 * means(pool, options, [place], repeated, (truth, seeds, examples))
        print(f"{seeds:5}{examples:10,}{held:18.1f}{found:20.1f}{alone:17.1f}{family:17.1f}{half:13.2f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=300, help="repetitions of each size (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of all draws (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="parallel processes; results are the same (default 2)")
    parser.add_argument("--few", action="store_true", help="simulate few test reviews, or few wrong answers")
    parser.add_argument("--groups", action="store_true", help="simulate test reviews in groups")
    parser.add_argument("--strata", action="store_true", help="simulate test reviews in groups from strata")
    parser.add_argument("--few-seeds", action="store_true", help="simulate 2 to 4 seeds of a model")
    parser.add_argument("--rare", action="store_true", help="simulate macro F1 of many classes, some of them rare")
    options = parser.parse_args()
    table = (few_seeds_table if options.few_seeds else grouped_table if options.groups else
             strata_table if options.strata else few_table if options.few else rare_table if options.rare else
             usual_table)
    with Pool(options.processes) as pool:
        table(options, pool)


if __name__ == "__main__":
    main()
