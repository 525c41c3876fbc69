"""The average of two models, and its difference from the one whose seeds it has: both vary together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gru_bench.stats.average import averaged
from gru_bench.stats.calibration import SMALLEST, calibrated
from gru_bench.stats.estimate import METHOD_PAIRED, Values, estimate
from gru_bench.stats.intervals import Scored, difference, paired_difference
from gru_bench.stats.metrics import of_two
from tests.support.values import present

A, M = (Values(np.array([[float(digit) for digit in seed] for seed in seeds.split()])) for seeds in (
    "1111111111 1111011110 1101110100", "1111111111 1111111110 1111111111"))
P, Q = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]), np.array([[0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])


def test_a_average_has_the_mean_of_the_log_odds() -> None:
    found = averaged(P, Q, None, None)
    assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-15)
    assert found[0] == pytest.approx(np.sqrt(P[0] * Q[0]) / np.sqrt(P[0] * Q[0]).sum(), abs=1e-15)
    ratio = np.log(found[1, 1] / found[1, 0])
    assert ratio == pytest.approx((math.log(1 / SMALLEST) + math.log(1)) / 2)


def test_each_model_has_its_temperature() -> None:
    """It is the average of the calibrated probabilities, where none of these is below the smallest one."""
    assert averaged(P[:1], Q[:1], 2.0, 0.7) == pytest.approx(
        averaged(calibrated(P[:1], 2.0), calibrated(Q[:1], 0.7), None, None), abs=1e-12)
    assert averaged(P[:1], P[:1], 2.0, 2.0) == pytest.approx(calibrated(P[:1], 2.0), abs=1e-15)


def test_the_golden_case() -> None:
    found = estimate(M.minus(A))
    assert found.estimate == pytest.approx(1 / 6, abs=1e-12)
    assert found.variance == pytest.approx(7 / 540, abs=1e-12)
    assert found.df == 2
    assert replace(found, wilson=None).p == pytest.approx(0.2808050478, abs=1e-9)
    w_RN = M.value_RN - A.value_RN
    a_R, q_N = w_RN.mean(1), w_RN.mean(0)
    assert a_R.var(ddof=1) == pytest.approx(13 / 300)
    assert ((w_RN - a_R[:, None] - q_N + w_RN.mean()) ** 2).sum() / 18 == pytest.approx(37 / 270)
    assert present(found.design).seed[0] == pytest.approx(13 / 300 - 37 / 2700)
    assert present(found.wilson).single == pytest.approx(((w_RN**2).mean() - 1 / 36) / 10)
    assert (found.bounds, found.seeds) == ((-1, 1), (3,))
    assert METHOD_PAIRED in found.method


def test_a_model_alone_has_no_p_and_a_difference_by_seed_has_one() -> None:
    assert estimate(A).p is None
    assert estimate(M.minus(A)).p is not None
    assert estimate(A.minus(A)).p == 1.0


def drawn(seeds: int = 5, examples: int = 600, change: float = 0.02, spread: float = 0.0) -> tuple[Scored, Scored]:
    """Return a model whose seeds differ by so much, and one that has the same answers but for some of them."""
    rng = np.random.default_rng(3)
    chance_R1 = 0.8 + spread * rng.normal(size=(seeds, 1))
    right_RN = rng.random((seeds, examples)) < chance_R1
    other_RN = right_RN ^ (rng.random((seeds, examples)) < change)
    label_N = np.zeros(examples, np.int8)
    one, other = (Scored(label_N, of_two(np.where(own_RN, 0.1, 0.9))) for own_RN in (right_RN, other_RN))
    return one, other


def test_seeds_that_vary_together_do_not_widen_the_difference() -> None:
    a, m = drawn(spread=0.1)
    together, apart = paired_difference("accuracy", m, a), difference("accuracy", m, a)
    assert together.estimate == pytest.approx(apart.estimate, abs=1e-12)
    assert together.variance < apart.variance / 20
    assert together.high - together.low < (apart.high - apart.low) / 4


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
@pytest.mark.parametrize("groups", [None, 60])
def test_every_score_has_a_difference_by_seed(metric: str, groups: int | None) -> None:
    rng = np.random.default_rng(0)
    label_N = rng.integers(0, 2, 600)
    logit_RN = rng.normal(size=(5, 600)) + 1.5 * (2 * label_N - 1)
    group_N = None if groups is None else np.arange(600) % groups
    a, m = (Scored(label_N, of_two(1 / (1 + np.exp(-scale * logit_RN - 0.1))), group_N) for scale in (1.0, 1.2))
    found = paired_difference(metric, m, a)  # type: ignore[arg-type]
    assert found.estimate == pytest.approx(difference(metric, m, a).estimate, abs=1e-12)  # type: ignore[arg-type]
    assert found.low <= found.estimate <= found.high
    assert 0 <= present(found.p) <= 1
    assert (found.groups < 600) == (groups is not None)
    assert found.is_tailed == (metric == "log_loss")


def test_how_many_examples_would_do_is_computed_for_one_number_of_seeds() -> None:
    found = present(paired_difference("accuracy", *drawn(change=0.05)).design)
    examples = present(found.examples_for(0.01, 5))
    assert found.detectable((5,), examples) <= 0.01 < found.detectable((5,), examples - 1)


def test_one_seed_is_compared_over_examples_alone() -> None:
    found = paired_difference("accuracy", *drawn(seeds=1))
    assert found.design is None
    assert present(found.p) == pytest.approx(present(difference("accuracy", *drawn(seeds=1)).p))


def test_other_numbers_of_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 10\) and \(2, 10\)"):
        A.minus(Values(M.value_RN[:2]))
