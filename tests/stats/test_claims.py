"""Pass marks and tests of claims: against formulas computed again here, and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gru_bench.stats.claims import FEWEST_RUNS, Disagreement, Reference
from tests.support.answers import drawn


def parts(correct_RN: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """g, s2, e2 and v as the docstring defines them."""
    y_RN = correct_RN.astype(float)
    runs, texts = y_RN.shape
    a_R, q_N, g = y_RN.mean(1), y_RN.mean(0), y_RN.mean()
    s2 = ((a_R - g) ** 2).sum() / (runs - 1)
    mse = ((y_RN - a_R[:, None] - q_N + g) ** 2).sum() / ((runs - 1) * (texts - 1))
    return g, s2, mse / texts, q_N.var(ddof=1) / texts


def below(accuracy: float, texts: int, distance: float) -> float:
    """The accuracy that is so far below another one, on the scale of the logit."""
    p = (accuracy * texts + 1) / (texts + 2)
    logit = math.log(p / (1 - p)) - distance / (p * (1 - p))
    return 1 / (1 + math.exp(-logit))


def test_the_pass_mark_is_that_of_the_formula() -> None:
    correct_RN = drawn(skill=0.5)
    g, s2, e2, v = parts(correct_RN)
    p = (g * 400 + 1) / 402
    w = v + p * (1 - p) / 400 - 1.2 * e2
    assert w > 0
    reference = Reference.of_runs(correct_RN)
    t, z = stats.t.ppf(0.99, 4), stats.norm.ppf(0.99)
    distance = math.sqrt(t**2 * 1.2 * s2 + z**2 * w)
    assert reference.pass_mark() == pytest.approx(below(g, 400, distance), abs=1e-12)
    assert reference.pass_mark_on_same_texts() == pytest.approx(below(g, 400, t * math.sqrt(1.2 * s2)), abs=1e-12)
    assert reference.p_of_claim(g - distance) == pytest.approx(0.02, abs=1e-9)
    assert reference.p_of_claim(g + distance) == pytest.approx(0.02, abs=1e-9)


def test_answers_are_compared_text_by_text() -> None:
    correct_RN = drawn(6, 2000)
    reference, own_N = Reference.of_runs(correct_RN[:5]), correct_RN[5].copy()
    own_N[:200] = False
    _, s2, e2, _ = parts(correct_RN[:5])
    d_N = own_N - correct_RN[:5].mean(0)
    w = d_N.var(ddof=1) / d_N.size - 1.2 * e2
    p = reference.p_of_answers(own_N)
    assert w > 0
    assert 1e-9 < p < reference.p_of_claim(float(own_N.mean()))
    assert math.sqrt(stats.t.ppf(1 - p / 2, 4) ** 2 * 1.2 * s2 + stats.norm.ppf(1 - p / 2) ** 2 * w) == pytest.approx(
        abs(d_N.mean()), rel=1e-6)


def test_numbers_stand_for_runs() -> None:
    known = Reference.of_numbers(0.84, 0.004, 5, 2664)
    assert known.pass_mark_on_same_texts() is None
    p = (0.84 * 2664 + 1) / 2666
    t, z = stats.t.ppf(0.99, 4), stats.norm.ppf(0.99)
    distance = math.sqrt(t**2 * 1.2 * 0.004**2 + z**2 * 2 * p * (1 - p) / 2664)
    assert known.pass_mark() == pytest.approx(below(0.84, 2664, distance), abs=1e-12)
    assert known.p_of_answers(np.arange(2664) < 2238) == known.p_of_claim(2238 / 2664)
    assert Reference.of_numbers(0.84, 0.02, 5, 2664).pass_mark() < known.pass_mark()


def test_a_reference_has_enough_runs() -> None:
    with pytest.raises(ValueError, match=f"at least {FEWEST_RUNS} runs, but has 2"):
        Reference.of_runs(drawn(2))


def test_equal_runs_have_a_mark() -> None:
    reference = Reference.of_runs(np.ones((4, 50), dtype=bool))
    assert 0.8 < reference.pass_mark() < 1
    assert reference.pass_mark_on_same_texts() == pytest.approx(51 / 52)
    assert reference.p_of_answers(np.ones(50, dtype=bool)) == 1
    assert reference.p_of_claim(0.5) < 1e-3


@pytest.mark.slow
def test_right_solutions_miss_the_marks_in_at_most_1_of_100_cases() -> None:
    """2,000 classes. The standard error of 1 % is 0.22 %; three of them are allowed."""
    generator = np.random.default_rng(1)
    missed = np.zeros(2)
    repeats = 2000
    for _ in range(repeats):
        seed = int(generator.integers(1 << 30))
        correct_RN = drawn(6, 600, seed, 0.1)
        reference = Reference.of_runs(correct_RN[:5])
        same = reference.pass_mark_on_same_texts()
        assert same is not None
        other = drawn(1, 600, seed + 1, 0.1)
        missed += [other.mean() < reference.pass_mark(), correct_RN[5].mean() < same]
    assert (missed / repeats < 0.01 + 3 * 0.0022).all()
    assert missed[1] / repeats > 0.01 - 3 * 0.0022  # the sharper one is not needlessly low


def test_disagreement_is_that_of_all_pairs() -> None:
    predicted_RN = np.array([[0, 0, 0, 1, 2], [0, 0, 1, 1, 2], [0, 1, 1, 0, 2]])
    found = Disagreement.of_runs(predicted_RN)
    roots = np.sqrt([1, 3, 2])
    assert (found.mean, found.least, found.most) == (2, 1, 3)
    deviation = max(0.5, roots.std(ddof=1))
    assert found.probability(0) == pytest.approx(
        stats.t.cdf(-roots.mean() / (deviation * math.sqrt(1 + 1 / 3)), 2), abs=1e-12)


def test_few_differences_are_unlikely_between_independent_runs() -> None:
    generator = np.random.default_rng(2)
    predicted_RN = (drawn(6, 2000, 3) + generator.integers(0, 1, (6, 1))).astype(int)
    found = Disagreement.of_runs(predicted_RN[:5])
    assert found.probability(int((predicted_RN[5] != predicted_RN[4]).sum())) > 0.01
    assert found.probability(20) < 1e-4
    assert found.probability(0) < found.probability(20)
