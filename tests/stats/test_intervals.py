"""Intervals of any score: worked examples, the closed form on losses, and influences against weighted scores."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from gru_bench.config import MetricName
from gru_bench.stats.estimate import accuracy_difference, accuracy_interval, estimate
from gru_bench.stats.intervals import difference, f1_interval, interval
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored, value_of
from gru_bench.stats.values import Values, f1_values
from gru_bench.stats.verdict import can_be_equivalent
from tests.support.values import present

A = np.array([[int(digit) for digit in seed] for seed in ("1111111111", "1111011110", "1101110100")])
B = np.array([[int(digit) for digit in seed] for seed in ("1101110100", "1111010010", "0100010000")])


def drawn(classes: int, seeds: int = 5, examples: int = 300, skill: float = 1.5, start: int = 0) -> Scored:
    """Predictions that know the class, on the whole; the examples are the same for each `start`."""
    label_N = np.random.default_rng(7).choice(classes, size=examples, p=np.arange(1, classes + 1) / np.sum(
        np.arange(1, classes + 1)))
    hard_NC = np.random.default_rng(8).normal(size=(examples, classes))
    noise_RNC = np.random.default_rng(start).normal(size=(seeds, examples, classes))
    logit_RNC = hard_NC + noise_RNC
    logit_RNC[:, np.arange(examples), label_N] += skill
    power_RNC = np.exp(logit_RNC)
    probability = (power_RNC / power_RNC.sum(axis=2, keepdims=True)).astype(np.float32)
    return Scored(label_N, of_two(probability[:, :, 1]) if classes == 2 else probability)


def losses(loss_RN: np.ndarray) -> Values:
    return Values(loss_RN, (0.0, math.inf))


class TestLosses:
    def test_correctness_as_a_loss_has_the_variance_and_degrees_of_the_worked_example(self) -> None:
        found = estimate(losses(A.astype(float)), losses(B.astype(float)))
        assert found.estimate == pytest.approx(1 / 3, abs=1e-12)
        assert found.variance == pytest.approx(7 / 270, abs=1e-12)
        assert found.df == pytest.approx(2.6926729986, abs=1e-9)
        assert (found.low, found.high) == pytest.approx((-0.2138181654, 0.8804848321), abs=1e-9)
        assert found.p == pytest.approx(0.1405338279, abs=1e-9)

    def test_a_worked_example(self) -> None:
        """Losses 1, 2, 3 and 1, 2, 6: s2 = 1/2, MSE = 3/2, so seeds add nothing; q = 1, 2, 4.5, v = 3.25/3 = 13/12."""
        found = estimate(losses(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 6.0]])))
        assert found.estimate == pytest.approx(2.5, abs=1e-12)
        assert found.variance == pytest.approx(13 / 12, abs=1e-12)
        # nu = V^2 / ((s2/R)^2/(R - 1) + v^2/(N - 1)) = (169/144) / (1/16 + 169/288)
        assert found.df == pytest.approx((169 / 144) / (1 / 16 + 169 / 288), abs=1e-9)
        assert found.low == 0.0
        assert found.high > 2.5 + 2 * math.sqrt(13 / 12)

    def test_a_loss_has_no_upper_end(self) -> None:
        found = estimate(losses(np.random.default_rng(0).exponential(50.0, (5, 200))))
        assert found.high > 1
        assert found.wilson is None

    @pytest.mark.parametrize("values", [np.zeros(5), np.zeros((5, 1)), np.array([[0.1, math.nan]]),
                                        np.array([[0.1, math.inf]])])
    def test_refuses_what_is_no_matrix_of_finite_losses(self, values: np.ndarray) -> None:
        with pytest.raises(ValueError, match=r"values.*finite.*\(R, N\)"):
            losses(values)


@pytest.mark.parametrize("classes", [2, 3])
class TestAnyScore:
    def test_accuracy_and_loss_are_those_of_the_closed_form(self, classes: int) -> None:
        a, b = drawn(classes), drawn(classes, start=1, skill=1.0)
        assert interval("accuracy", a) == accuracy_interval(a.correct_RN)
        assert difference("accuracy", a, b) == accuracy_difference(a.correct_RN, b.correct_RN)
        assert interval("log_loss", a) == estimate(losses(a.loss_RN))
        assert difference("log_loss", a, b) == estimate(losses(a.loss_RN), losses(b.loss_RN))

    def test_the_estimate_is_the_mean_over_seeds_and_its_interval_contains_it(self, classes: int) -> None:
        a, b = drawn(classes), drawn(classes, start=1, skill=0.3)
        one, two = interval("macro_f1", a), difference("macro_f1", a, b)
        values = [value_of("macro_f1", a.label_N, probability) for probability in a.probability_RNC]
        assert one.estimate == pytest.approx(np.mean(np.array(values, float)), abs=1e-12)
        assert one.low < one.estimate < one.high <= 1
        assert two.estimate == pytest.approx(one.estimate - interval("macro_f1", b).estimate, abs=1e-12)
        assert two.low > 0
        assert present(two.p) < 0.001
        assert difference("macro_f1", a, a).p == 1.0
        assert interval("macro_f1", a) == one

    @pytest.mark.parametrize("metric", ["accuracy", "log_loss", "macro_f1"])
    def test_the_values_of_a_run_have_its_score_as_their_mean(self, metric: MetricName, classes: int) -> None:
        model = drawn(classes)
        assert model.values(metric).value_RN.mean(axis=1) == pytest.approx(model.scores(metric), abs=1e-12)

    @pytest.mark.parametrize("size", [1, 4])
    def test_the_variance_of_macro_f1_is_that_of_the_jackknife(self, classes: int, size: int) -> None:
        """The reference leaves out one group after the other and asks scikit-learn."""
        group_N = np.arange(60) // size
        model = replace(drawn(classes, seeds=1, examples=60), group_N=group_N)
        kept_KN = group_N != np.arange(60 // size)[:, None]
        without_K = np.array([float(f1_score(
            model.label_N[kept_N], model.predicted_RN[0][kept_N], average="macro", labels=range(classes),
            zero_division=0)) for kept_N in kept_KN])
        groups = len(without_K)
        assert estimate(model.values("macro_f1"), group_N=group_N).variance == pytest.approx(
            (groups - 1) / groups * np.square(without_K - without_K.mean()).sum(), rel=1e-9)


@pytest.mark.parametrize("is_mean", [True, False])
def test_the_interval_is_about_that_of_resampled_examples(is_mean: bool) -> None:
    """One run on 400 examples: the error over examples is that of a bootstrap, give or take its own noise."""
    model, rng = drawn(2, seeds=1, examples=400), np.random.default_rng(0)
    drawn_BN = rng.integers(0, 400, (400, 400))
    predicted_N = model.predicted_RN[0]
    values = [f1_score(model.label_N[n], predicted_N[n], average="macro" if is_mean else "binary") for n in drawn_BN]
    found = interval("macro_f1", model) if is_mean else f1_interval(model)
    assert math.sqrt(found.variance) == pytest.approx(np.std(values), rel=0.12)


@pytest.mark.parametrize("positive", [0, 3, 400])
def test_f1_has_a_width_where_every_run_answers_alike(positive: int) -> None:
    own_N = np.arange(800) < positive
    found = estimate(f1_values(own_N, np.tile(own_N, (5, 1))))
    assert found.estimate == (1.0 if positive else 0.0)
    assert 0 <= found.low < found.high <= 1
    # With h hits and e errors F1 is 2h/(2h + e), and z^2 errors may go unseen: the 800 do not make three of them many.
    if positive:
        assert found.low == pytest.approx(2 * positive / (2 * positive + stats.norm.ppf(0.975) ** 2), abs=2e-3)


def test_macro_f1_of_a_worked_example() -> None:
    """Three classes, predictions 0 0 1 2 2 1 for labels 0 0 0 1 2 2: F1 = 4/5, 0, 1/2, so 13/30 on average."""
    predicted = np.array([0, 0, 1, 2, 2, 1])
    probability = np.full((6, 3), 0.1, np.float32)
    probability[np.arange(6), predicted] = 0.8
    label_N = np.array([0, 0, 0, 1, 2, 2])
    assert value_of("macro_f1", label_N, probability) == pytest.approx(13 / 30, abs=1e-12)
    # Four are predicted wrongly: log loss -(2 ln 0.8 + ln 0.8 + 3 ln 0.1)/6
    assert value_of("log_loss", label_N, probability) == pytest.approx(
        -(3 * math.log(0.8) + 3 * math.log(0.1)) / 6, abs=1e-7)


def test_few_deciding_examples_widen_the_interval() -> None:
    right = drawn(3, skill=30.0)
    found = interval("macro_f1", right)
    assert found.estimate == 1.0
    assert found.low < 0.995
    assert found.wilson is not None


def named(label_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> Scored:
    return Scored(label_N, np.empty((1, len(label_N), classes)), None, predicted_N[None])


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_macro_f1_counts_no_more_examples_than_there_are(classes: int) -> None:
    for label_N in (np.arange(140) % classes, np.minimum(np.arange(140), classes - 1)):
        right = named(label_N, label_N, classes)
        assert interval("macro_f1", right).effective <= 140 + 1e-9
        # The interval of 140 right answers reaches 2.6 points down, and so does that of two models that agree.
        assert not can_be_equivalent(difference("macro_f1", right, right), 0.01)
    balanced_N = np.arange(140) % classes
    balanced = named(balanced_N, balanced_N, classes)
    assert interval("macro_f1", balanced).low == pytest.approx(interval("accuracy", balanced).low, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 10])
def test_macro_f1_of_few_errors_is_held_by_its_interval(classes: int) -> None:
    rng, label_N, held = np.random.default_rng(0), np.arange(200) % classes, 0
    for _ in range(200):
        wrong_N = (rng.random(200) < 0.01) * rng.integers(1, classes, 200)
        found = interval("macro_f1", named(label_N, (label_N + wrong_N) % classes, classes))
        held += found.low <= 0.99 <= found.high
    assert held >= 184  # nearly two standard errors below 95 %


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
def test_every_estimate_of_grouped_examples_is_that_of_their_groups(metric: MetricName) -> None:
    group_N = np.arange(300) // 6
    a, b = (replace(drawn(2, start=start), group_N=group_N) for start in (0, 50))
    for found, values, other in (
        (interval(metric, a), a.values(metric), None),
        (difference(metric, a, b), a.values(metric), b.values(metric)),
    ):
        wanted = estimate(values, other, group_N=group_N)
        assert (found.low, found.high, found.groups) == (wanted.low, wanted.high, 50)
        assert found.low != estimate(values, other).low
    alone, own_N = f1_interval(a), a.label_N == 1
    wanted = estimate(f1_values(own_N, a.predicted_RN == 1, group_N), group_N=group_N)
    assert (alone.low, alone.high, alone.groups) == (wanted.low, wanted.high, 50)
