"""The decision of a report says no more than its verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.report.document.numbers import Numbers, scale_of
from gru_bench.report.evidence.collect import Evidence, collect
from gru_bench.report.evidence.decision import Couple, decide, decision_sentence, recommended
from gru_bench.stats.verdict import ALIKE, DIFFERENT, Finding
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, measured_as
from tests.support.renderings import said

Found = Mapping[Couple, tuple[Finding, int]]

WINS, LOSES = (Finding.BETTER, 1), (Finding.BETTER, -1)
NEGLIGIBLE, SAME, OPEN = (Finding.NEGLIGIBLE, 1), (Finding.EQUIVALENT, 0), (Finding.INCONCLUSIVE, 0)
FEW_GROUPS, GUESSING = (Finding.TOO_FEW_GROUPS, 0), (Finding.GUESSING, 0)
AB, AC, BC, AD, BD, CD = ("a", "b"), ("a", "c"), ("b", "c"), ("a", "d"), ("b", "d"), ("c", "d")


@pytest.mark.parametrize(("models", "found", "left", "pairs"), [
    # One model is left.
    ("ab", {AB: WINS}, "a", ()),
    ("ab", {AB: LOSES}, "b", ()),
    ("abc", {AB: WINS, AC: WINS, BC: OPEN}, "a", ()),
    ("abc", {AB: WINS, AC: OPEN, BC: WINS}, "a", ()),
    ("abc", {AB: WINS, BC: WINS}, "a", ()),
    # Equivalent models, and a negligible difference is one.
    ("ab", {AB: SAME}, "ab", ()),
    ("ab", {AB: NEGLIGIBLE}, "ab", ()),
    ("abc", {AB: SAME, AC: NEGLIGIBLE, BC: SAME}, "abc", ()),
    ("abc", {AB: SAME, AC: WINS, BC: OPEN}, "ab", ()),
    # Not settled: only pairs of models that are left count.
    ("ab", {AB: OPEN}, "ab", (AB,)),
    ("abc", {AB: OPEN, AC: WINS, BC: OPEN}, "ab", (AB,)),
    ("abc", {AB: SAME, AC: OPEN, BC: OPEN}, "abc", (AC, BC)),
    ("abc", {AB: SAME, BC: SAME}, "abc", (AC,)),  # that pair is not compared
    *(("ab", {AB: few}, "ab", (AB,)) for few in (FEW_GROUPS, GUESSING)),
    # One is worse than another all around.
    ("abc", {AB: WINS, BC: WINS, ("c", "a"): WINS}, "", ()),
])
def test_the_models_that_no_other_one_beats_are_left(
    models: str, found: Found, left: str, pairs: tuple[Couple, ...]
) -> None:
    decision = decide(tuple(models), found)
    assert (decision.left, decision.open) == (tuple(left), pairs)
    assert set(decision.beaten) == {*models} - {*left}


@pytest.mark.parametrize(("models", "found", "settled"), [
    ("abc", {AB: SAME, AC: SAME, BC: OPEN}, "a"), ("abc", {AB: NEGLIGIBLE, AC: SAME, BC: OPEN}, "a"),
    ("abc", {AB: SAME, AC: SAME, BC: FEW_GROUPS}, "a"), ("abc", {AB: SAME, AC: OPEN, BC: OPEN}, ""),
    ("abcd", {AB: SAME, AC: SAME, BC: SAME, AD: SAME, BD: SAME, CD: OPEN}, "ab")])
def test_a_model_that_is_equivalent_to_all_that_are_left_can_be_taken(models: str, found: Found, settled: str) -> None:
    assert decide(tuple(models), found).settled == tuple(settled)


def test_a_beaten_model_is_named_with_one_that_is_left() -> None:
    assert decide("abc", {BC: WINS, AC: WINS, AB: WINS}).beaten == {"b": "a", "c": "a"}
    assert decide("abc", {AC: WINS, BC: WINS, AB: WINS}).beaten == {"b": "a", "c": "a"}


@given(st.data())
def test_a_model_that_is_found_worse_is_never_left(data: st.DataObject) -> None:
    models = tuple("abcd")[:data.draw(st.integers(1, 4))]
    findings = st.sampled_from(list(Finding))
    found = {(one, two): (finding, data.draw(st.sampled_from((1, -1))) if finding in DIFFERENT
                          else 0)
             for one in models for two in models if one < two for finding in [data.draw(findings)]}
    decision = decide(models, found)
    beats = {pair if side > 0 else pair[::-1] for pair, (finding, side) in found.items() if finding is Finding.BETTER}
    assert {*decision.left} == {*models} - {worse for _, worse in beats}
    assert all((better, worse) in beats for worse, better in decision.beaten.items())
    assert {*decision.beaten} | {*decision.left} == {*models}
    for pair, (finding, _) in found.items():
        if {*pair} <= {*decision.left}:
            assert (pair in decision.open) == (finding not in ALIKE)


# ---------------------------------------------------------------- in words


def evidence_of(
    found: Found, *, models: str = "", seconds: Mapping[str, float | None] | None = None,
    backends: Mapping[str, str] | None = None, seeds: Mapping[str, int] | None = None, metric: Any = "accuracy",
    scores: Mapping[str, float] | None = None, linear: str = "",
) -> Evidence:
    """Return as much of the evidence on models as a decision is told from. One of them may be linear."""
    numbers, scale = Numbers().on(()), scale_of(metric)
    names = list(models) or sorted({name for pair in found for name in pair})
    groups: dict[str, Any] = {}
    for name in names:
        own = numbers.of(name).on((f"run-{name}",))
        count = (seeds or {}).get(name, 5)
        time = own.add("seconds", (seconds or {}).get(name, 10.0), "amount")
        groups[name] = SimpleNamespace(
            key=name, model=name, rank=-(scores or {}).get(name, 0.9),
            label=name.upper(), ids=own.runs, runs=(None,) * count, is_fitted_once=name == linear,
            score=own.add("score", (scores or {}).get(name, 0.9), scale.kind), scale=scale, metric=metric,
            has_classes=True,
            backend=(backends or {}).get(name, "torch"), processor="one", seconds=time)
    pairs = [SimpleNamespace(
        a=groups[one], b=groups[two], verdict=SimpleNamespace(finding=finding), favours=side, scale=scale,
        has_few_seeds=1 < min(len(groups[one].runs), len(groups[two].runs)) < 5,
        lacks_seeds=min(len(groups[one].runs), len(groups[two].runs)) < 5,
        number=lambda slot: numbers.add(slot, 0.01, scale.kind)) for (one, two), (finding, side) in found.items()]
    against = [pair for pair in pairs if pair.b.is_fitted_once]
    return cast(Evidence, SimpleNamespace(
        studies=(), pairs=pairs, against=against,
        groups=tuple(group for group in groups.values() if not group.is_fitted_once),
        numbers=numbers, averages=()))


def decided(found: Found, **values: Any) -> str:
    return said(decision_sentence(evidence_of(found, **values)))


SOME = {AB: SAME, AC: SAME, BC: SAME}


@pytest.mark.parametrize(("found", "values", "parts"), [
    ({AB: WINS, AC: WINS, BC: OPEN}, {"scores": {"a": 0.8, "b": 0.7, "c": 0.71}},
     ("A (80.0 %) is better than B (70.0 %) and C (71.0 %).", "Take A.")),
    ({AB: WINS, AC: OPEN, BC: WINS}, {}, ("A (90.0 %) is better than B", "B (90.0 %) is better than C",
                                             "Take A: no model is shown to be better than it.")),
    (SOME, {"seconds": {"a": 22.0, "b": 2.0, "c": 44.0}},
     ("A, B and C", "1.0 points", "B trains 11.0 times", "as A", "take B.")),
    # Times of different backends are not compared.
    ({AB: NEGLIGIBLE}, {"seconds": {"a": 12.0, "b": 10.0}, "backends": {"b": "fused"}},
     ("A and B", "1.0 points: take either.")),
    ({AB: NEGLIGIBLE}, {"seconds": {"a": 12.0, "b": 10.0}}, ("A and B", "B trains 1.2 times as fast as A: take B.")),
    ({AB: SAME}, {"seconds": {"a": 11.9, "b": 10.0}}, ("equally fast", "take either.")),
    (SOME, {"seconds": {"a": 10.0, "b": 11.0, "c": 30.0}}, ("A and B train the fastest", "take one of them.")),
    (SOME, {"seconds": {"b": None}}, ("A, B and C", "1.0 points: take any of them.")),
    ({AB: SAME}, {"metric": "log_loss"}, ("within 0.010 nats", "take either.")),
    ({AB: SAME, AC: SAME, BC: OPEN}, {}, ("Take A if", "1.0 points", "B and C", "not settled")),
    ({AB: OPEN}, {}, ("No decision yet between A (90.0 %) and B (90.0 %)", "neither a difference nor equivalence")),
    ({AB: SAME, AC: OPEN, BC: OPEN}, {}, ("No decision yet", "A − C: inconclusive; B − C: inconclusive")),
    ({AB: OPEN, AC: OPEN, BC: OPEN, AD: OPEN, BD: OPEN, CD: OPEN}, {}, ("No decision yet", "any two of them")),
    ({AB: OPEN, AC: OPEN, BC: OPEN, AD: OPEN, BD: OPEN, CD: FEW_GROUPS}, {}, ("No decision yet", "6 pairs")),
    ({AB: OPEN}, {"seeds": {"a": 2}}, ("No decision yet", "few seeds", "at least 5 per model")),
    ({AB: FEW_GROUPS}, {}, ("No decision yet", "too few groups")),
    ({AB: WINS}, {"seeds": {"a": 3}}, ("Take A", "few seeds", "at least 5")),
    ({AB: WINS}, {"seeds": {"b": 1}}, ("Take A", "these runs only")),
    ({AB: GUESSING}, {}, ("No decision yet", "neither is above guessing")),
    ({AB: SAME}, {"models": "abc"}, ("No decision yet", "A − C: not compared; B − C: not compared")),
    ({AB: SAME, BC: SAME}, {}, ("Take B if", "A and C")),
    ({AB: WINS, BC: WINS, ("c", "a"): WINS}, {}, ("No decision", "contradict")),
    ({}, {"models": "a"}, ("No decision", "only one model")),
])
def test_the_decision_names_its_models_and_numbers(
    found: Found, values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    mentions(decided(found, **values), *parts)


@pytest.mark.parametrize(("found", "models", "model"), [
    ({AB: WINS, AC: WINS, BC: OPEN}, "abc", "a"), ({AB: OPEN}, "ab", None), ({AB: SAME}, "ab", None), ({}, "a", None)])
def test_one_model_is_recommended_where_the_decision_takes_one(found: Found, models: str, model: str | None) -> None:
    assert recommended(evidence_of(found, models=models)) == model


@pytest.mark.parametrize(("found", "values", "parts"), [
    # What is settled comes first, with numbers, whatever is open.
    ({AB: OPEN, AC: LOSES, BC: LOSES}, {"scores": {"a": 0.743, "b": 0.75, "c": 0.828}},
     ("C (82.8 %) is better than A (74.3 %) and B (75.0 %).", "Take C")),
    ({AB: WINS, AC: OPEN, BC: LOSES}, {},
     ("is better than B", "No decision yet between A (90.0 %) and C", "C is the simplest of them")),
    ({AC: WINS}, {}, ("A (90.0 %) is better than C (90.0 %).", "Take A")),
    ({AC: OPEN}, {}, ("No decision yet between A (90.0 %) and C", "simplest")),
    ({AC: SAME}, {"seconds": {"a": 5.0, "c": 50.0}}, ("A and C are equivalent", "take C, which is the simplest")),
])
def test_the_linear_model_is_a_model_like_the_others(
    found: Found, values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    mentions(decided(found, linear="c", **values), *parts)


def test_a_report_of_two_models_takes_the_better_one() -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.9, "scratch": 0.0}, test_set=TestSet.draw(1000))
    text = said(decision_sentence(collect([study], store)))
    mentions(text, "Torch GRU (", "is better than", "Scratch GRU (", "Take Torch GRU")


@pytest.mark.parametrize(("validation", "is_said"), [(0.99, True), (0.5, False)])
def test_a_winner_on_validation_that_is_worse_on_test_is_named(validation: float, is_said: bool) -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.9, "scratch": 0.0}, test_set=TestSet.draw(1000))
    study = replace(study, confirms=tuple(
        measured_as(run, val_accuracy=validation) if run.model == "scratch" else run for run in study.confirms))
    text = said(decision_sentence(collect([study], store)))
    assert ("Scratch GRU has the best validation score" in text) == is_said
    assert "Take Torch GRU" in text
