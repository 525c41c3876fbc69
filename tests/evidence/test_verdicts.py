"""The sentences about pairs of models agree with their numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.document.blocks import numbers_in
from gru_bench.document.numbers import Numbers, scale_of
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.pairs import Pair
from gru_bench.evidence.verdicts import needed_sentence, verdict_sentence
from gru_bench.stats.estimate import METHOD_BOTH, Estimate
from gru_bench.stats.verdict import PairTests, Verdict
from tests.support.commands import mentions
from tests.support.designs import design_of
from tests.support.renderings import said
from tests.support.values import present


def pair_of(
    theta: float, deviation: float, seeds: int = 10, factor: float = 1.0, margin: float = 0.01, family: int = 3
) -> Pair:
    estimate = Estimate(
        theta, theta, theta, 0.95, deviation**2, 40.0, (seeds, seeds), 2000, METHOD_BOTH
    ).at(0.95)
    adjusted = None
    if seeds >= 5:
        alone = (present(estimate.p), estimate.p_equivalent(margin))
        adjusted = PairTests(*(min(1.0, factor * p) for p in alone))
    estimate = replace(estimate, design=design_of(0.005, 0.07, 0.10))
    found = Verdict.of(estimate, adjusted, margin)
    alpha, beta = (cast(ModelRuns, SimpleNamespace(
        label=label, ids=(label,), metric="accuracy", split="test", scale=scale_of("accuracy"), is_logged=True,
        group_N=None, study=SimpleNamespace(run=SimpleNamespace(run_id="study"), summary=SimpleNamespace(models=()))))
        for label in ("Alpha", "Beta"))
    return Pair(("Alpha", "Beta"), estimate, adjusted, family, found, numbers=Numbers("pair.a.b"), a=alpha, b=beta,
                ids=("Alpha", "Beta"))


@pytest.mark.parametrize(("pair", "parts"), [
    (pair_of(0.02, 0.008), ("Alpha is better than Beta", "+2.0 points", "95 % interval +0.4 to +3.6", "p = 0.017")),
    (pair_of(-0.02, 0.008), ("Alpha is worse than Beta", "−2.0 points")),
    (pair_of(0.005, 0.002), ("Alpha is better than Beta", "negligible", "+0.5 points")),
    (pair_of(0.001, 0.002), ("Alpha and Beta are equivalent within 1.0 points", "90 % interval")),
    (pair_of(0.01, 0.008), ("Inconclusive: Alpha minus Beta", "+1.0 points")),
])
def test_a_verdict_names_the_models_the_finding_and_its_numbers(pair: Pair, parts: tuple[str, ...]) -> None:
    mentions(said(verdict_sentence(pair)), *parts)


@pytest.mark.parametrize(("seeds", "where"), [((1, 1), "these runs"), ((5, 1), "these runs"), ((2, 5), "few seeds")])
def test_an_open_verdict_says_that_it_rests_on_these_runs_or_on_few_seeds(seeds: tuple[int, int], where: str) -> None:
    pair = pair_of(0.012, 0.03)
    pair = replace(pair, difference=replace(pair.difference, seeds=seeds, design=None))
    mentions(said(verdict_sentence(pair)), f"{where}: Alpha minus Beta is +1.2 points")


def test_the_texts_that_would_settle_it_are_counted_with_these_seeds() -> None:
    ten, five = pair_of(0.01, 0.008), pair_of(0.01, 0.008, seeds=5)
    texts, design = present(ten.texts_needed), present(ten.design)
    assert design.detectable((10, 10), texts) <= 0.01 < design.detectable((10, 10), texts - 100)
    mentions(said(needed_sentence(ten)), f"A new test set of about {texts:,} texts would detect", "1.0 points",
             "80 % power")
    assert five.texts_needed is None
    mentions(said(needed_sentence(five)), "With these seeds, no number of test texts would detect", "1.0 points")
    enough = pair_of(0.01, 0.03, margin=0.02)
    assert (enough.texts_needed, said(needed_sentence(enough))) == (None, "")


def test_texts_in_groups_are_needed_in_new_groups() -> None:
    pair = pair_of(0.01, 0.008)
    grouped = replace(pair, a=cast(Any, SimpleNamespace(**vars(pair.a) | {"group_N": np.arange(3)})))
    mentions(said(needed_sentence(grouped)), "texts in new groups would detect")


def test_an_inconclusive_verdict_names_the_detectable_difference_and_another_verdict_needs_no_texts() -> None:
    mentions(said(verdict_sentence(pair_of(0.01, 0.008))), "minimum detectable difference", "1.6 points", "80 % power")
    assert needed_sentence(pair_of(0.03, 0.008)) == ()


def test_it_is_explained_that_holm_rejects_a_finding_whose_interval_excludes_zero() -> None:
    mentions(said(verdict_sentence(pair_of(0.02, 0.009, factor=3))), "Inconclusive", "unadjusted interval excludes 0",
             "with 3 pairs")


def test_an_end_close_to_zero_is_shown_with_enough_decimals() -> None:
    """The lower end is 0.003 points: with one decimal it would look like 0."""
    assert "+0.003 to +3.237" in said(verdict_sentence(pair_of(0.0162, 0.0080)))


@settings(max_examples=50)
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
    if "equivalent" in text or "negligible" in text:
        assert -shown("margin") < shown("difference-90.low") <= shown("difference-90.high") < shown("margin")
        assert shown("p-equivalent") < 0.05
    if text.startswith("Inconclusive"):
        assert shown("p") >= 0.05
        inside = shown("difference.low") <= 0 <= shown("difference.high")
        assert inside == ("The unadjusted interval" not in text)
        inner = pair.verdict.equivalence
        assert (-margin < inner.low and inner.high < margin) == ("lies within the equivalence margin" in text)
    if seeds < 5:
        assert text.startswith("No verdict")
