"""Intervals of any score: worked examples, the closed form on losses, and the bootstrap against plain recomputation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gru_bench.config import MetricName
from gru_bench.stats import metrics
from gru_bench.stats.estimate import Values, accuracy_difference, accuracy_interval, estimate, f1_interval
from gru_bench.stats.intervals import _F1, Scored, _Areas, difference, interval
from gru_bench.stats.metrics import of_two
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
        found = estimate(losses(A), losses(B))
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

    @pytest.mark.parametrize("metric", ["macro_f1", "roc_auc"])
    def test_the_estimate_is_the_mean_over_seeds_and_its_interval_contains_it(
            self, metric: MetricName, classes: int) -> None:
        a, b = drawn(classes), drawn(classes, start=1, skill=0.3)
        one, two = interval(metric, a), difference(metric, a, b)
        values = [metrics.value_of(metric, a.label_N, probability) for probability in a.probability_RNC]
        assert one.estimate == pytest.approx(np.mean(np.array(values, float)), abs=1e-12)
        assert one.low < one.estimate < one.high <= 1
        assert two.estimate == pytest.approx(one.estimate - interval(metric, b).estimate, abs=1e-12)
        assert two.low > 0
        assert present(two.p) < 0.001
        assert difference(metric, a, a).p == 1.0
        assert interval(metric, a) == one

    def test_a_draw_is_the_score_of_the_drawn_examples(self, classes: int) -> None:
        """The fast sums against the plain scores of the examples, repeated as often as they were drawn."""
        model = drawn(classes, seeds=2, examples=60)
        weight_BN = np.random.default_rng(3).multinomial(60, np.full(60, 1 / 60), size=4).astype(np.float32)
        kinds: dict[MetricName, _F1 | _Areas] = {"macro_f1": _F1(model, range(classes)), "roc_auc": _Areas(model)}
        for metric, kind in kinds.items():
            found_BR = kind.weighted(weight_BN)
            for draw, weight_N in enumerate(weight_BN.astype(int)):
                label_N = np.repeat(model.label_N, weight_N)
                for run, probability in enumerate(model.probability_RNC):
                    plain = metrics.value_of(metric, label_N, np.repeat(probability, weight_N, axis=0))
                    assert plain is None or found_BR[draw, run] == pytest.approx(plain, abs=1e-6)

    def test_the_influence_is_the_derivative_by_the_weight(self, classes: int) -> None:
        model = drawn(classes, seeds=2, examples=60)
        for kind in (_F1(model, range(classes)), _Areas(model)):
            for example in (0, 17, 42):
                changed_BN = np.ones((2, 60), np.float32)
                changed_BN[:, example] += np.array([0.25, -0.25], np.float32)
                up_R, down_R = kind.weighted(changed_BN)
                np.testing.assert_allclose((up_R - down_R) / 0.5, kind.influence_RN[:, example], atol=2e-4)


def test_f1_of_two_classes_is_that_of_the_positive_class() -> None:
    model = drawn(2)
    found = interval("f1", model)
    assert found.estimate == pytest.approx(float(np.mean(model.scores("f1"))), abs=1e-6)
    assert found.method == f1_interval(model.predicted_RN, model.label_N, np.random.default_rng(0)).method


def test_macro_f1_of_a_worked_example() -> None:
    """Three classes, predictions 0 0 1 2 2 1 for labels 0 0 0 1 2 2: F1 = 4/5, 0, 1/2, so 13/30 on average."""
    predicted = np.array([0, 0, 1, 2, 2, 1])
    probability = np.full((6, 3), 0.1, np.float32)
    probability[np.arange(6), predicted] = 0.8
    label_N = np.array([0, 0, 0, 1, 2, 2])
    assert metrics.value_of("macro_f1", label_N, probability) == pytest.approx(13 / 30, abs=1e-12)
    # Four are predicted wrongly: log loss -(2 ln 0.8 + ln 0.8 + 3 ln 0.1)/6
    assert metrics.value_of("log_loss", label_N, probability) == pytest.approx(
        -(3 * math.log(0.8) + 3 * math.log(0.1)) / 6, abs=1e-7)


def test_few_deciding_examples_widen_the_interval() -> None:
    right = drawn(3, skill=30.0)
    found = interval("macro_f1", right)
    assert found.estimate == 1.0
    assert found.low < 0.995
    assert found.wilson is not None


def test_refuses_a_roc_area_where_a_class_is_absent() -> None:
    model = drawn(3)
    without = Scored(np.where(model.label_N == 2, 1, model.label_N), model.probability_RNC)
    with pytest.raises(ValueError, match=r"ROC.*every class"):
        interval("roc_auc", without)
