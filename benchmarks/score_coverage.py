"""Coverage of the intervals of accuracy, log loss, macro F1 and ROC area with several classes, on simulated runs.

    python benchmarks/score_coverage.py                       100 repetitions of each size, some minutes
    python benchmarks/score_coverage.py --repetitions 1000    for a standard error of 0.7 points, hours

Two models of equal quality are drawn in each repetition, each with R seeds on N test examples of C classes, which are
equally frequent or, where `uneven`, as frequent as their number. The probabilities of a run for an example are the
softmax of logits: a constant for the true class times the luck of the seed, plus normal noise that all runs share (the
difficulty of the example), noise of the model, and noise of the run.

The table shows for each size and score, in per cent: how often the 95 % interval of the difference holds the true one
(0), how often the test at 5 % finds a difference, and how often the interval of one model holds its true score, which
is the mean over many seeds and examples. Goal: 94 to 97.5 %.

Shapes: `R` runs, `N` examples, `C` classes.
"""

from __future__ import annotations

import argparse
from itertools import product
from multiprocessing import Pool

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName
from gru_bench.stats.estimate import ALPHA
from gru_bench.stats.intervals import Scored, difference, interval

SIGNAL, LUCK, SHARED, MODEL, RUN = 3.2, 0.03, 1.0, 0.45, 0.6
"""Logit of the true class, its relative deviation over seeds, and deviations of the noise of an example, of a model
and of a run."""
CLASSES, UNEVEN, SEEDS, EXAMPLES = (3, 10), (False, True), (3, 5, 10), (500, 2000)
METRICS: tuple[MetricName, ...] = ("accuracy", "log_loss", "macro_f1", "roc_auc")
CHUNK = 10


def drawn(models: int, seeds: int, examples: int, classes: int, uneven: bool, rng: np.random.Generator) -> list[Scored]:
    """Return the runs of some models on the same examples."""
    weight_C = np.arange(1, classes + 1) if uneven else np.ones(classes)
    label_N = rng.choice(classes, examples, p=weight_C / weight_C.sum())
    shared_NC = SHARED * rng.normal(size=(examples, classes))
    found = []
    for _ in range(models):
        logit_RNC = shared_NC + MODEL * rng.normal(size=(examples, classes)) + RUN * rng.normal(
            size=(seeds, examples, classes))
        logit_RNC[:, np.arange(examples), label_N] += SIGNAL * (1 + LUCK * rng.normal(size=(seeds, 1)))
        power_RNC = np.exp(logit_RNC)
        found.append(Scored(label_N, (power_RNC / power_RNC.sum(axis=2, keepdims=True)).astype(np.float32)))
    return found


def truths(classes: int, uneven: bool, metrics: tuple[MetricName, ...]) -> NDArray[np.float64]:
    """Return the scores of the training procedure: means over many seeds and examples."""
    rng = np.random.default_rng([classes, uneven])
    true_M: NDArray[np.float64] = np.mean(
        [[np.mean(model.scores(metric)) for metric in metrics]
         for _ in range(40) for model in drawn(1, 5, 20_000, classes, uneven, rng)], axis=0)
    return true_M


def _chunk(job: tuple[int, int, int, bool, int, tuple[MetricName, ...], NDArray[np.float64], np.random.SeedSequence],
           ) -> NDArray[np.float64]:
    seeds, examples, classes, uneven, repetitions, metrics, true_M, sequence = job
    rng = np.random.default_rng(sequence)
    sums_M3 = np.zeros((len(metrics), 3))
    for _ in range(repetitions):
        a, b = drawn(2, seeds, examples, classes, uneven, rng)
        for place, metric in enumerate(metrics):
            two, one = difference(metric, a, b), interval(metric, a)
            sums_M3[place] += (two.low <= 0 <= two.high, two.p is not None and two.p < ALPHA,
                               one.low <= true_M[place] <= one.high)
    return sums_M3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=100, help="repetitions of each size (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of all draws (default 0)")
    parser.add_argument("--processes", type=int, default=2, help="parallel processes; results are the same (default 2)")
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS, help="scores (default: all)")
    parser.add_argument("--examples", nargs="+", type=int, default=EXAMPLES, help="numbers of test examples")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="numbers of seeds")
    options = parser.parse_args()
    metrics = tuple(options.metrics)
    print(f"{options.repetitions:,} repetitions; difference held / found though none / one model held, in %")
    print("classes            seeds  examples" + "".join(f"{metric:>22}" for metric in metrics))
    with Pool(options.processes) as pool:
        for place, (classes, uneven) in enumerate(product(CLASSES, UNEVEN)):
            true_M = truths(classes, uneven, metrics)
            for column, (seeds, examples) in enumerate(product(options.seeds, options.examples)):
                sizes = [min(CHUNK, options.repetitions - start) for start in range(0, options.repetitions, CHUNK)]
                sequences = np.random.SeedSequence([options.seed, place, column]).spawn(len(sizes))
                jobs = [(seeds, examples, classes, uneven, size, metrics, true_M, sequence)
                        for size, sequence in zip(sizes, sequences, strict=True)]
                share_M3 = 100 * sum(pool.imap_unordered(_chunk, jobs)) / options.repetitions
                print(f"{classes:2} {'uneven' if uneven else 'even':<14}{seeds:7}{examples:10,}" + "".join(
                    f"{' / '.join(f'{share:.1f}' for share in share_3):>22}" for share_3 in share_M3), flush=True)


if __name__ == "__main__":
    main()
