"""How often a report on several models has some false finding, with and without the adjustment over all pairs.

    python benchmarks/families.py                                     100 repetitions of each size, about a minute
    python benchmarks/families.py --repetitions 1000 --models 3,5,10    the numbers of NOTES.md, some minutes
    python benchmarks/families.py --linear --repetitions 1000 --models 1,3,5    with a linear model, half an hour
    python benchmarks/families.py --choice --repetitions 4000    of classifiers chosen on validation, some minutes
    python benchmarks/families.py --one-sided --repetitions 4000    of a pair that only one model answers wrongly

The runs are drawn as `interval_coverage.py` draws them: a probit model with a between-seed standard deviation of 0.5
points, where two runs disagree on 7 % of the examples within a model and on 10 % between models. Each model has 5 seeds
on 5,500 test examples. The models are in two groups whose accuracies are exactly the margin of 1.0 points apart. So two
models of different groups are not equivalent within the margin.

The table shows, in per cent of reports, some false finding of equivalence, where each pair is tested by itself at 5 %
and where it is adjusted by Holm's procedure over all pairs, as a report does. Goal: at most 5 with the adjustment. The
standard error of a share p of n repetitions is sqrt(p (1 - p)/n): 0.7 points for 5 % of 1,000.

With --linear, the two families of a report have some false finding of each kind after their adjustment: the pairs of
models, where those of one group are equal, and each model with a linear model, which is fitted once. One linear model
is as good as the better group, so that no difference from it is true; another one is exactly the margin better. The
reports are on 2,000 examples, and on 100 groups of 1 to 30 examples whose difficulties correlate by 0.3. Goal: at most
5.5.

With --choice, three classifiers that are fitted once are compared: two, and their average, which finds an example as
easy as both do on average. The best one on validation texts is compared with each other one on test texts. All are
equally good, so that no difference is true, or the average is exactly the margin better than both, so that it is
equivalent to neither. Goal: at most 5.5.

With --one-sided, one run answers each example correctly, and the other one is wrong on exactly the margin of them, on
average: how often they are falsely found equivalent, for numbers of examples from the least that can show it. Goal: at
most 5.5.

Shapes: `R` runs, `N` examples.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import combinations
from multiprocessing import Pool

import numpy as np
from interval_coverage import ACCURACY, BETWEEN, CHUNK, DEVIATION, LARGEST, WITHIN, Truth
from scipy import special

from gru_bench.stats.estimate import ALPHA, Estimate, accuracy_difference
from gru_bench.stats.intervals import difference
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored
from gru_bench.stats.verdict import MARGIN, Finding, Verdict, adjusted_tests, pairs_of

SEEDS, EXAMPLES = 5, 5500
COLUMNS = ("equivalent, alone", "equivalent, adjusted")
KINDS = ("different", "equivalent")
DESIGNS = ("texts", "groups")
LINEAR_EXAMPLES, GROUPS, ALIKE = 2000, 100, 0.3
ONE_SIDED = ("299", "1100", "3000")
"""Numbers of examples."""
VALIDATION = 1500
"""Number of validation texts."""
LINEAR_COLUMNS = tuple(f"{family} {kind}" for family in ("pairs", "linear") for kind in KINDS)
TRUTH = Truth.of(ACCURACY, DEVIATION, WITHIN, BETWEEN)
LOWER = float(special.ndtri(ACCURACY - MARGIN) * np.sqrt(1 + TRUTH.seed**2) - TRUTH.mean)
"""What makes a model the margin worse."""

Pair = tuple[int, int]


def counted(models: int, repetitions: int, rng: np.random.Generator, examples: int = EXAMPLES) -> np.ndarray:
    """Return in how many reports on so many models each of `COLUMNS` has some false finding."""
    is_lower = [place >= (models + 1) // 2 for place in range(models)]
    sums = np.zeros(len(COLUMNS), int)
    for _ in range(repetitions):
        runs = TRUTH.draw(models, SEEDS, examples, rng, [LOWER * one for one in is_lower])
        pairs = list(combinations(range(models), 2))
        differences = [accuracy_difference(runs[a], runs[b]) for a, b in pairs]
        found = [Verdict.of(one, adjusted).finding
                 for one, adjusted in zip(differences, adjusted_tests(differences), strict=True)]
        apart = [place for place, (a, b) in enumerate(pairs) if is_lower[a] != is_lower[b]]
        sums += (
            any(differences[place].p_equivalent(MARGIN) < ALPHA for place in apart),
            any(found[place] in (Finding.EQUIVALENT, Finding.NEGLIGIBLE) for place in apart),
        )
    return sums


def counted_with_linear(
    design: str, models: int, repetitions: int, rng: np.random.Generator, examples: int = LINEAR_EXAMPLES
) -> np.ndarray:
    """Return in how many reports of a design, one of `DESIGNS`, each of `LINEAR_COLUMNS` has some false finding."""
    is_lower = [place >= (models + 1) // 2 for place in range(models)]
    shifts = [LOWER * one for one in is_lower] + [
        float(special.ndtri(accuracy)) - TRUTH.mean for accuracy in (ACCURACY, ACCURACY + MARGIN)]
    same, better, upper = models, models + 1, [place for place in range(models) if not is_lower[place]]
    pairs = list(combinations(range(models), 2))
    equal = [pair for pair in pairs if is_lower[pair[0]] == is_lower[pair[1]]]
    apart = [pair for pair in pairs if pair not in equal]
    false = (equal, apart, [(place, same) for place in upper], [(place, better) for place in upper])
    sums = np.zeros(len(LINEAR_COLUMNS), int)
    for _ in range(repetitions):
        group_N = np.repeat(np.arange(GROUPS), rng.integers(1, LARGEST + 1, GROUPS)) if design == "groups" else None
        size = examples if group_N is None else len(group_N)
        drawn = TRUTH.draw(models + 2, SEEDS, size, rng, shifts, group_N, ALIKE, once=2)
        runs = [Scored(np.zeros(size, np.int8), of_two(np.where(right_RN, 0.1, 0.9)), group_N,
                       is_fitted_once=place >= models) for place, right_RN in enumerate(drawn)]
        families = [pairs, *([(place, linear) for place in range(models)] for linear in (same, better))]
        found = {pair: kinds for family in families for pair, kinds in _tested(
            family, [difference("accuracy", runs[a], runs[b]) for a, b in family]).items()}
        sums += [any(kind in found[pair] for pair in some)
                 for kind, some in zip([*KINDS, *KINDS], false, strict=True)]
    return sums


def counted_with_choice(
    design: str, classifiers: int, repetitions: int, rng: np.random.Generator, examples: int = LINEAR_EXAMPLES
) -> np.ndarray:
    """Return in how many reports of a design, one of `DESIGNS`, the chosen one of three classifiers is falsely found
    different from another one where all are equal, and equivalent where the average is the margin better."""
    assert classifiers == 3
    mean = float(special.ndtri(ACCURACY))
    # Of the average: what both share, and half of the variance of what each has by itself.
    spread = float(np.sqrt(TRUTH.between + (1 - TRUTH.between) / 2))
    shifts = [float(special.ndtri(accuracy)) * spread - mean for accuracy in (ACCURACY, ACCURACY + MARGIN)]
    sums = np.zeros(len(KINDS), int)
    for _ in range(repetitions):
        group_N = np.repeat(np.arange(GROUPS), rng.integers(1, LARGEST + 1, GROUPS)) if design == "groups" else None
        size = examples if group_N is None else len(group_N)
        both_N = None if group_N is None else np.concatenate([group_N, GROUPS + np.arange(VALIDATION) // 15])
        one_1N, other_1N = TRUTH.ease(2, 1, size + VALIDATION, rng, (mean - TRUTH.mean,) * 2, both_N, ALIKE, once=2)
        for place, (kind, shift) in enumerate(zip(KINDS, shifts, strict=True)):
            right = [ease_1N > 0 for ease_1N in (one_1N, other_1N, (one_1N + other_1N) / 2 + np.float32(shift))]
            chosen = int(np.argmax([one[:, size:].mean() for one in right]))
            runs = [Scored(np.zeros(size, np.int8), of_two(np.where(one[:, :size], 0.1, 0.9)), group_N,
                           is_fitted_once=True) for one in right]
            pairs = [(chosen, place) for place in range(3) if place != chosen]
            found = _tested(pairs, [difference("accuracy", runs[a], runs[b]) for a, b in pairs])
            sums[place] += any(kind in found[pair] for pair in pairs if kind == "different" or 2 in pair)
    return sums


def counted_one_sided(design: str, models: int, repetitions: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often two runs on so many examples, one of `ONE_SIDED`, are falsely found equivalent, where the second
    one is wrong on the margin of them and the first one on none."""
    assert models == 2
    right_RN = np.ones((1, int(design)), bool)
    return np.array([sum(
        accuracy_difference(right_RN, rng.random(right_RN.shape) >= MARGIN).p_equivalent(MARGIN) < ALPHA
        for _ in range(repetitions))])


def _tested(family: Sequence[Pair], differences: Sequence[Estimate]) -> dict[Pair, set[str]]:
    """Return what the adjusted tests of the pairs of a family find, of `KINDS`."""
    return {pair: {kind for kind in KINDS if getattr(tests, kind) < ALPHA}
            for pair, tests in zip(family, adjusted_tests(differences), strict=True)}


def _chunk(count: Callable[..., np.ndarray], job: tuple[int, int, int]) -> np.ndarray:
    models, repetitions, seed = job
    return count(models, repetitions, np.random.default_rng([models, seed]))


def table(
    columns: Sequence[str], rows: Iterable[tuple[str, int, Callable[..., np.ndarray]]], repetitions: int,
    pairs_of: Callable[[int], int] = pairs_of,
) -> None:
    """Print a table: in each row the share of reports in which something is found, in per cent."""
    print(f"{'':>6} {'models':>6} {'pairs':>6}  " + "  ".join(columns))
    with Pool() as pool:
        for name, models, count in rows:
            started = time.perf_counter()
            sizes = [min(CHUNK, repetitions - start) for start in range(0, repetitions, CHUNK)]
            jobs = [(models, size, seed) for seed, size in enumerate(sizes)]
            share = 100 * np.sum(pool.map(partial(_chunk, count), jobs, chunksize=1), axis=0) / repetitions
            cells = "  ".join(f"{value:>{len(column)}.1f}" for value, column in zip(share, columns, strict=True))
            print(f"{name:>6} {models:>6} {pairs_of(models):>6}  {cells}   "
                  f"{time.perf_counter() - started:.0f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100, help="reports of each size (100)")
    parser.add_argument("--models", default="3,5", help="numbers of models, with commas between (3,5)")
    parser.add_argument("--linear", action="store_true", help="compare each model with a linear one too")
    parser.add_argument("--choice", action="store_true", help="choose one of three classifiers on validation instead")
    parser.add_argument("--one-sided", action="store_true", help="compare two runs of which one is never wrong instead")
    typed = parser.parse_args(arguments)
    sizes = list(map(int, typed.models.split(",")))
    if typed.linear:
        table(LINEAR_COLUMNS, ((design, models, partial(counted_with_linear, design))
                               for design in DESIGNS for models in sizes), typed.repetitions)
    elif typed.choice:
        table(KINDS, ((design, 3, partial(counted_with_choice, design)) for design in DESIGNS), typed.repetitions,
              lambda classifiers: classifiers - 1)
    elif typed.one_sided:
        table(KINDS[1:], ((design, 2, partial(counted_one_sided, design)) for design in ONE_SIDED), typed.repetitions)
    else:
        table(COLUMNS, (("", models, counted) for models in sizes), typed.repetitions)


if __name__ == "__main__":
    main()
