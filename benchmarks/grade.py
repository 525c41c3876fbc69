"""How often the pass mark of `gru-bench grade` fails a right solution, by simulation.

    python benchmarks/grade.py

Texts differ in difficulty, runs in skill, and the answers of a run also by chance. A reference of R runs on N texts
gives a pass mark. A right solution is one more run: on other texts for the pass mark, on the same texts for the
sharper one. Claims of right solutions must be called different in 5 of 100 cases.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gru_bench.stats.claims import Disagreement, Reference

CASES = ((0.85, 0.004, 5, 2_500), (0.85, 0.0, 5, 2_500), (0.85, 0.015, 5, 2_500), (0.85, 0.004, 10, 2_500),
         (0.85, 0.004, 3, 2_500), (0.97, 0.004, 5, 500), (0.60, 0.01, 5, 300))
"""Accuracy, between-seed standard deviation, runs, texts."""


def answers(
    generator: np.random.Generator, difficulty_N: NDArray[np.float64], skill_R: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether each run answers each text rightly, R x N."""
    chance_RN = special.expit(difficulty_N + skill_R[:, None])
    return generator.random(chance_RN.shape) < chance_RN


def simulate(accuracy: float, between: float, runs: int, texts: int, repeats: int, seed: int) -> list[float]:
    """Return six rates.

    They are: below the pass mark, below that of the reference's numbers alone, below the one for the same texts,
    different by claim and by answers, and two runs that agree more than a probability of 1 in 100 allows.
    """
    generator = np.random.default_rng(seed)
    spread = 2.0
    sample = spread * generator.standard_normal(200_000)
    low, high = -10.0, 10.0
    for _ in range(60):  # the mean difficulty that gives this accuracy
        middle = (low + high) / 2
        low, high = (middle, high) if special.expit(middle + sample).mean() < accuracy else (low, middle)
    chance = special.expit(low + sample)
    skill = between / (chance * (1 - chance)).mean()
    counts = np.zeros(6)
    for _ in range(repeats):
        there_N, other_N = low + spread * generator.standard_normal((2, texts))
        correct_RN = answers(generator, there_N, skill * generator.standard_normal(runs))
        own_skill = skill * generator.standard_normal(2)
        same_2N, other_1N = answers(generator, there_N, own_skill), answers(generator, other_N, own_skill[:1])
        reference = Reference.of_runs(correct_RN)
        same_mark = reference.pass_mark_on_same_texts()
        assert same_mark is not None
        apart = int((same_2N[0] != same_2N[1]).sum())
        numbers = Reference.of_numbers(reference.accuracy, reference.between, runs, texts)
        counts += [other_1N.mean() < reference.pass_mark(), other_1N.mean() < numbers.pass_mark(),
                   same_2N[0].mean() < same_mark,
                   reference.p_of_claim(float(other_1N.mean())) < 0.05, reference.p_of_answers(same_2N[0]) < 0.05,
                   Disagreement.of_runs(correct_RN).probability(apart) < 0.01]
    return list(counts / repeats)


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    error = np.sqrt(0.01 * 0.99 / given.repeats)
    print(f"in percent; the standard error of 1 % is {100 * error:.2f}")
    print("accuracy between runs texts | pass mark (1) of numbers (1) same texts (1) claim (5) answers (5) alike (1)")
    for case in CASES:
        rates = simulate(*case, given.repeats, given.seed)
        print(f"{case[0]:8.2f} {case[1]:7.3f} {case[2]:4} {case[3]:5,} | "
              + " ".join(f"{100 * rate:{width}.2f}" for rate, width in zip(rates, (13, 14, 14, 9, 11, 9), strict=True)))


if __name__ == "__main__":
    main()
