"""The sentences about pairs of models agree with their numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.evaluation import statistics
from gru_bench.evaluation.statistics import Design, Estimate
from gru_bench.report.document.blocks import numbers_in
from gru_bench.report.document.numbers import scale_of
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.pairs import Pair
from gru_bench.report.evidence.verdicts import Limit, next_step_sentence, verdict_sentence
from tests.support.renderings import said
from tests.support.values import present


def pair_of(
    theta: float, deviation: float, seeds: int = 10, factor: float = 1.0, margin: float = 0.01, family: int = 3
) -> Pair:
    estimate = Estimate(
        theta, theta, theta, 0.95, deviation**2, 40.0, (seeds, seeds), 2000, statistics.METHOD_BOTH
    ).at(0.95)
    p = min(1.0, factor * present(estimate.p)) if seeds >= 5 else None
    design = Design((0.005**2, 0.005**2), (0.07, 0.07), 0.10)
    found = statistics.verdict(estimate, p, margin)
    alpha, beta = (cast(Group, SimpleNamespace(
        label=label, ids=(label,), metric="accuracy", scale=scale_of("accuracy"))) for label in ("Alpha", "Beta"))
    return Pair("pair.a.b", alpha, beta, estimate, p, family, found, design)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (pair_of(0.02, 0.008), "Alpha is better than Beta: +2.0 points (95 % interval +0.4 to +3.6), p = 0.017"),
        (pair_of(-0.02, 0.008), "Alpha is worse than Beta: −2.0 points"),
        (pair_of(0.03, 0.008), "Alpha is better than Beta by more than 1.0 points: +3.0 points"),
        (pair_of(0.005, 0.002), "Alpha is better than Beta, but by a negligible amount: +0.5 points"),
        (pair_of(0.001, 0.002), "Alpha and Beta are equivalent within 1.0 points: the 90 % interval"),
        (pair_of(0.01, 0.008), "Inconclusive: Alpha against Beta, +1.0"),
    ],
)
def test_verdicts_in_words(pair: Pair, words: str) -> None:
    assert words in said(verdict_sentence(pair))


def test_inconclusive_names_what_would_settle_it() -> None:
    pair = pair_of(0.01, 0.008)
    text = said(verdict_sentence(pair)) + " " + said(next_step_sentence(pair))
    assert "Runs like these detect a true difference of 1.4 points with a chance of 80 %." in text
    assert ("takes more test examples (with the present ones, no number of seeds is enough: even very many detect no "
            "less") in text
    # Where very many seeds would do, nothing is said of their limit.
    few = pair_of(0.01, 0.03, margin=0.012)
    few = replace(few, design=Design((0.016**2, 0.016**2), (0.3, 0.3), 0.31))
    more = "test examples (with the present ones, more than 50 seeds for each model); about"
    assert more in said(next_step_sentence(few))
    assert "--test-data FILE" in said(next_step_sentence(few))
    # Where no number of test examples would do, none is asked for.
    apart = replace(few, design=Design((0.04**2, 0.04**2), (0.07, 0.07), 0.07))
    assert said(next_step_sentence(apart)) == (
        "Detecting 1.2 points with a chance of 80 % takes more than 50 seeds for each model, whatever the number of "
        "test examples: these models vary too much from seed to seed.")
    assert said(next_step_sentence(apart, limit=Limit(500, 9000))).endswith(
        "seed to seed. data.limit let 500 of the 9,000 reviews into the study: remove it first, with --set "
        "data.limit=none under another --study-name; with all reviews the models may vary less.")
    wide = pair_of(0.01, 0.03, margin=0.02)
    told = said(next_step_sentence(wide))
    assert "A new confirm set of 20 fresh seeds for each model, without the old runs, would" in told
    assert told.endswith("points with a chance of 80 %; it may still be inconclusive.")
    assert next_step_sentence(pair_of(0.03, 0.008)) == ()


def test_an_interval_without_zero_that_holm_does_not_grant_is_explained() -> None:
    pair = pair_of(0.02, 0.009, factor=3)
    text = said(verdict_sentence(pair))
    assert text.startswith("Inconclusive")
    assert "The interval alone excludes 0, but among 3 pairs one such finding may be chance." in text


def test_ends_near_a_landmark_get_the_decimals_to_tell_them_apart() -> None:
    # The lower end is 0.003 points: with one decimal it would look like 0.
    text = said(verdict_sentence(pair_of(0.0162, 0.0080)))
    assert "(95 % interval +0.003 to +3.237)" in text


@given(
    st.floats(-0.1, 0.1), st.floats(1e-4, 0.05), st.integers(1, 20), st.floats(1, 6),
    st.sampled_from([0.005, 0.01, 0.02]),
)
def test_no_sentence_contradicts_its_numbers(
    theta: float, deviation: float, seeds: int, factor: float, margin: float
) -> None:
    pair = pair_of(theta, deviation, seeds, factor, margin)
    text = said(verdict_sentence(pair))
    assert "no difference" not in text
    numbers = {number.key.removeprefix("pair.a.b."): number for whole in numbers_in(verdict_sentence(pair))
               for number in (whole, *whole.ends)}

    def shown(key: str) -> float:
        return float(numbers[key].text.replace("−", "-").replace("< ", ""))

    if " than Beta" in text:
        assert text.startswith(f"Alpha is {'better' if theta > 0 else 'worse'} than Beta")
        assert (shown("difference") > 0) == (theta > 0)
        assert shown("p") < 0.05
        assert shown("difference.low") * shown("difference.high") > 0
    if "by more than" in text:
        assert min(abs(shown("difference.low")), abs(shown("difference.high"))) > shown("margin")
    if "equivalent" in text or "negligible" in text:
        assert -shown("margin") < shown("difference-90.low") <= shown("difference-90.high") < shown("margin")
    if text.startswith("Inconclusive"):
        assert shown("p") >= 0.05
        inside = shown("difference.low") <= 0 <= shown("difference.high")
        assert inside == ("The interval alone" not in text)
    if seeds < 5:
        assert text.startswith("No verdict")
