"""How often a report on several models has some false finding, with and without the adjustment over all pairs.

    python benchmarks/families.py                                     100 repetitions of each size, about a minute
    python benchmarks/families.py --repetitions 1000 --models 3,5,10    the numbers of docs/statistics.md, some minutes

The runs are drawn as `interval_coverage.py` draws them: a probit model with a between-seed standard deviation of 0.5
points, where two runs disagree on 7 % of the examples within a model and on 10 % between models. Each model has 5 seeds
on 5,500 test examples. The models are in two groups whose accuracies are exactly the margin of 1.0 points apart. So two
models of different groups are neither equivalent within the margin nor different by more than it.

The table shows, in per cent of reports: some false finding of equivalence, and some false finding of a difference of
more than the margin, where each pair is tested by itself at 5 % and where each kind of finding is adjusted by Holm's
procedure over all pairs, as a report does. Goal: at most 5 with the adjustment. The standard error of a share p of n
repetitions is sqrt(p (1 - p)/n): 0.7 points for 5 % of 1,000.

Shapes: `R` runs, `N` examples.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import combinations
from multiprocessing import Pool

import numpy as np
from interval_coverage import ACCURACY, BETWEEN, CHUNK, DEVIATION, WITHIN, Truth
from scipy import special

from gru_bench.stats.estimate import ALPHA, accuracy_difference
from gru_bench.stats.verdict import MARGIN, Finding, Verdict, adjusted_tests

SEEDS, EXAMPLES = 5, 5500
COLUMNS = ("equivalent, alone", "equivalent, adjusted", "beyond, alone", "beyond, adjusted")


def counted(models: int, repetitions: int, rng: np.random.Generator, examples: int = EXAMPLES) -> np.ndarray:
    """Return in how many reports on so many models each of `COLUMNS` has some false finding."""
    truth = Truth.of(ACCURACY, DEVIATION, WITHIN, BETWEEN)
    lower = float(special.ndtri(ACCURACY - MARGIN) * np.sqrt(1 + truth.seed**2) - truth.mean)
    is_lower = [place >= (models + 1) // 2 for place in range(models)]
    sums = np.zeros(len(COLUMNS), int)
    for _ in range(repetitions):
        runs = truth.draw(models, SEEDS, examples, rng, [lower * one for one in is_lower])
        pairs = list(combinations(range(models), 2))
        differences = [accuracy_difference(runs[a], runs[b]) for a, b in pairs]
        found = [Verdict.of(one, adjusted).finding
                 for one, adjusted in zip(differences, adjusted_tests(differences), strict=True)]
        apart = [place for place, (a, b) in enumerate(pairs) if is_lower[a] != is_lower[b]]
        sums += (
            any(differences[place].p_equivalent(MARGIN) < ALPHA for place in apart),
            any(found[place] in (Finding.EQUIVALENT, Finding.NEGLIGIBLE) for place in apart),
            any(differences[place].p_beyond(MARGIN) < ALPHA for place in apart),
            any(found[place] is Finding.BETTER_BY_MARGIN for place in apart),
        )
    return sums


def _chunk(job: tuple[int, int, int]) -> np.ndarray:
    models, repetitions, seed = job
    return counted(models, repetitions, np.random.default_rng([models, seed]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100, help="reports of each size (100)")
    parser.add_argument("--models", default="3,5", help="numbers of models, with commas between (3,5)")
    typed = parser.parse_args(arguments)
    print(f"{'models':>6} {'pairs':>6}  " + "  ".join(COLUMNS))
    with Pool() as pool:
        for models in map(int, typed.models.split(",")):
            started = time.perf_counter()
            sizes = [min(CHUNK, typed.repetitions - start) for start in range(0, typed.repetitions, CHUNK)]
            jobs = [(models, size, seed) for seed, size in enumerate(sizes)]
            share = 100 * np.sum(pool.map(_chunk, jobs, chunksize=1), axis=0) / typed.repetitions
            cells = "  ".join(f"{value:>{len(name)}.1f}" for value, name in zip(share, COLUMNS, strict=True))
            print(f"{models:>6} {models * (models - 1) // 2:>6}  {cells}   {time.perf_counter() - started:.0f} s",
                  flush=True)


if __name__ == "__main__":
    main()
