"""A model that is fitted once, such as a linear one, beside runs of several seeds: its number of seeds is infinite."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.config import MetricName
from gru_bench.stats.estimate import Estimate, EvidenceLevel, accuracy_interval, estimate
from gru_bench.stats.intervals import difference, f1_interval, interval
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored
from gru_bench.stats.values import Values
from gru_bench.stats.verdict import ALIKE, Finding, Verdict, adjusted_tests
from tests.support.values import present

A = np.array([[int(digit) for digit in seed] for seed in ("1111111111", "1111011110", "1101110100")])
LINEAR = Values(A[2:].astype(float), is_fitted_once=True)
METRICS: tuple[MetricName, ...] = ("accuracy", "macro_f1", "log_loss")


def drawn(classes: int, seeds: int = 5, examples: int = 300, skill: float = 1.5, start: int = 0) -> Scored:
    """Return predictions that know the class, on the whole; the examples are the same for each `start`."""
    label_N = np.random.default_rng(7).integers(0, classes, examples)
    logit_RNC = (np.random.default_rng(8).normal(size=(examples, classes))
                 + np.random.default_rng(start).normal(size=(seeds, examples, classes)))
    logit_RNC[:, np.arange(examples), label_N] += skill
    probability_RNC = np.exp(logit_RNC) / np.exp(logit_RNC).sum(axis=2, keepdims=True)
    return Scored(label_N, of_two(probability_RNC[:, :, 1]) if classes == 2 else probability_RNC)


def linear(classes: int, examples: int = 300) -> Scored:
    return replace(drawn(classes, seeds=1, examples=examples, start=99), is_fitted_once=True)


def facts(found: Estimate) -> tuple[float, ...]:
    return (found.estimate, found.low, found.high, found.variance, found.df, present(found.p),
            found.p_equivalent(0.03), found.deciding, found.effective, present(found.detectable(3)))


def test_the_golden_case() -> None:
    found = estimate(Values(A.astype(float)), LINEAR)
    assert found.estimate == pytest.approx(1 / 5, abs=1e-12)
    assert found.variance == pytest.approx(29 / 1350, abs=1e-12)
    assert present(found.wilson).variance == pytest.approx(26 / 2025, abs=1e-12)
    assert found.df == pytest.approx(4.3043725515, abs=1e-9)
    assert replace(found, wilson=None).p == pytest.approx(0.2393777141, abs=1e-9)
    assert found.seeds == (3, math.inf)


@pytest.mark.parametrize("groups", [None, 40])
@pytest.mark.parametrize(("metric", "classes"), [*((one, 2) for one in METRICS), ("accuracy", 4), ("macro_f1", 4)])
@pytest.mark.parametrize("skill", [1.5, 7.0])  # with many and with few deciding examples
def test_it_equals_its_row_repeated_as_often_as_the_other_model_has_seeds(
    metric: MetricName, classes: int, groups: int | None, skill: float
) -> None:
    group_N = None if groups is None else np.arange(300) % groups
    model = replace(drawn(classes, skill=skill), group_N=group_N)
    once = replace(drawn(classes, seeds=1, skill=skill, start=99), is_fitted_once=True)
    repeated = replace(once, probability_RNC=np.repeat(once.probability_RNC, 5, axis=0), is_fitted_once=False)
    found, expected = difference(metric, model, once), difference(metric, model, repeated)
    assert facts(found) == pytest.approx(facts(expected), rel=1e-12, abs=1e-12)
    assert facts(difference(metric, once, model)) == pytest.approx(
        facts(difference(metric, repeated, model)), rel=1e-12, abs=1e-12)
    assert found.at(0.9).high == pytest.approx(expected.at(0.9).high, abs=1e-12)


def test_a_single_row_that_is_not_declared_so_hides_the_variance_between_seeds() -> None:
    model = drawn(2)
    declared = difference("accuracy", model, linear(2))
    assert declared.variance > difference("accuracy", model, replace(linear(2), is_fitted_once=False)).variance


def test_two_of_them_vary_by_examples_alone() -> None:
    other = Values(A[1:2].astype(float), is_fitted_once=True)
    found = estimate(other, LINEAR)
    assert found.variance == present(found.wilson).variance
    assert found.df == pytest.approx(9, abs=1e-12)
    assert "fitted once" in found.method
    assert present(found.detectable()) > 0
    group_N = np.array([0, 0, 0, 0, 1, 1, 2, 2, 3, 3])
    grouped = estimate(other, LINEAR, group_N)
    assert grouped.df == pytest.approx(present(grouped.wilson).df, abs=1e-12)
    same = estimate(LINEAR, LINEAR)
    assert (same.estimate, same.variance) == (0, 0)
    assert math.isfinite(same.df)


def test_one_alone_has_an_interval_over_examples() -> None:
    once = linear(2)
    found = interval("accuracy", once)
    single = accuracy_interval(once.correct_RN)
    assert (found.low, found.high, found.df) == (single.low, single.high, single.df)
    assert "fitted once" in found.method
    assert found.has_interval
    assert "fitted once" in f1_interval(once).method


@pytest.mark.parametrize(("seeds", "level"), [
    (1, EvidenceLevel.RUNS), (2, EvidenceLevel.FEW), (4, EvidenceLevel.FEW), (5, EvidenceLevel.CLAIM)])
def test_the_sample_size_tier_is_that_of_the_trained_model(seeds: int, level: EvidenceLevel) -> None:
    found = difference("accuracy", drawn(2, seeds=seeds), linear(2))
    assert found.evidence_level is level


def test_few_seeds_beside_it_show_no_equivalence() -> None:
    once = linear(2, examples=3000)

    def finding(seeds: int) -> Finding:
        flips_RN = np.random.default_rng(0).random((seeds, 3000)) < 0.002
        close = replace(once, probability_RNC=np.where(
            flips_RN[:, :, None], once.probability_RNC[:, :, ::-1], once.probability_RNC), is_fitted_once=False)
        found = difference("accuracy", close, once)
        return Verdict.of(found, adjusted_tests([found])[0]).finding

    assert finding(5) in ALIKE
    assert finding(4) not in ALIKE


@pytest.mark.parametrize("rows", [2, 5])
def test_several_rows_of_it_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=rf"one row.*has {rows}"):
        Values(np.ones((rows, 4)), is_fitted_once=True)


@pytest.mark.parametrize("options", [{}, {"group_N": np.arange(300) % 40}])
def test_the_sign_follows_the_order_of_the_models(options: dict[str, Any]) -> None:
    model, once = replace(drawn(2), **options), linear(2)
    there, back = difference("accuracy", model, once), difference("accuracy", replace(once, **options), model)
    assert (back.estimate, back.low, back.high) == pytest.approx((-there.estimate, -there.high, -there.low), abs=1e-12)
    assert there.seeds[::-1] == back.seeds == (math.inf, 5)
