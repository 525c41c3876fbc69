"""The decision of a report says no more than its verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.report.document.numbers import Number, Numbers, scale_of
from gru_bench.report.evidence.baselines import AgainstBaseline
from gru_bench.report.evidence.collect import Evidence, collect
from gru_bench.report.evidence.decision import (
    BETTER,
    UNDECIDED,
    Couple,
    Decision,
    Reason,
    decide,
    decision_sentence,
)
from gru_bench.stats.verdict import ALIKE, Finding
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import said

Found = Mapping[Couple, tuple[Finding, int]]

WINS, BY_MARGIN = (Finding.BETTER, 1), (Finding.BETTER_BY_MARGIN, 1)
NEGLIGIBLE, SAME, OPEN = (Finding.NEGLIGIBLE, 1), (Finding.EQUIVALENT, 0), (Finding.INCONCLUSIVE, 0)
FEW_SEEDS, FEW_GROUPS, GUESSING = ((one, 0) for one in (
    Finding.TOO_FEW_SEEDS, Finding.TOO_FEW_GROUPS, Finding.GUESSING))
AB, AC, BC, AD, BD, CD = ("a", "b"), ("a", "c"), ("b", "c"), ("a", "d"), ("b", "d"), ("c", "d")


@pytest.mark.parametrize(("models", "found", "baseline", "expected"), [
    # One model is better than every other.
    ("ab", {AB: WINS}, {}, Decision(Reason.BEST, ("a",))),
    ("ab", {AB: (Finding.BETTER, -1)}, {}, Decision(Reason.BEST, ("b",))),
    ("abc", {AB: BY_MARGIN, AC: WINS, BC: OPEN}, {}, Decision(Reason.BEST, ("a",))),
    # Each of the others is worse than some model, but one of them is not shown to be worse than the one that is left.
    ("abc", {AB: WINS, AC: OPEN, BC: WINS}, {}, Decision(Reason.LEFT, ("a",))),
    ("abc", {AB: WINS, BC: WINS}, {}, Decision(Reason.LEFT, ("a",))),
    # Equivalent models, and a negligible difference is one.
    ("ab", {AB: SAME}, {}, Decision(Reason.EQUIVALENT, ("a", "b"))),
    ("ab", {AB: NEGLIGIBLE}, {}, Decision(Reason.EQUIVALENT, ("a", "b"))),
    ("abc", {AB: SAME, AC: NEGLIGIBLE, BC: SAME}, {}, Decision(Reason.EQUIVALENT, ("a", "b", "c"))),
    ("abc", {AB: SAME, AC: WINS, BC: OPEN}, {}, Decision(Reason.EQUIVALENT, ("a", "b"))),
    # Not settled: only pairs of models that are left count.
    ("ab", {AB: OPEN}, {}, Decision(Reason.OPEN, ("a", "b"), (AB,))),
    ("abc", {AB: SAME, AC: OPEN, BC: OPEN}, {}, Decision(Reason.OPEN, ("a", "b", "c"), (AC, BC))),
    # A model that is equivalent to every other one can be taken although these are not settled among themselves.
    ("abc", {AB: SAME, AC: SAME, BC: OPEN}, {}, Decision(Reason.WITHIN_MARGIN, ("a",), (BC,))),
    ("abc", {AB: NEGLIGIBLE, AC: SAME, BC: OPEN}, {}, Decision(Reason.WITHIN_MARGIN, ("a",), (BC,))),
    ("abc", {AB: SAME, AC: SAME, BC: FEW_SEEDS}, {}, Decision(Reason.TOO_FEW_SEEDS, ("a", "b", "c"), (BC,))),
    ("abcd", {AB: SAME, AC: SAME, BC: OPEN, AD: WINS, BD: OPEN, CD: OPEN}, {},
     Decision(Reason.WITHIN_MARGIN, ("a",), (BC,))),
    ("abcd", {AB: SAME, AC: SAME, BC: SAME, AD: SAME, BD: SAME, CD: OPEN}, {},
     Decision(Reason.WITHIN_MARGIN, ("a", "b"), (CD,))),
    ("abc", {AB: SAME, AC: SAME, BC: OPEN}, {"a": -1, "b": 0, "c": 0}, Decision(Reason.OPEN, ("b", "c"), (BC,))),
    ("abc", {AB: OPEN, AC: WINS, BC: OPEN}, {}, Decision(Reason.OPEN, ("a", "b"), (AB,))),
    ("ab", {AB: FEW_SEEDS}, {}, Decision(Reason.TOO_FEW_SEEDS, ("a", "b"), (AB,))),
    ("abc", {AB: OPEN, AC: FEW_SEEDS, BC: FEW_SEEDS}, {}, Decision(Reason.TOO_FEW_SEEDS, ("a", "b", "c"), (AC, BC))),
    ("ab", {AB: FEW_GROUPS}, {}, Decision(Reason.TOO_FEW_GROUPS, ("a", "b"), (AB,))),
    ("ab", {AB: GUESSING}, {}, Decision(Reason.GUESSING, ("a", "b"), (AB,))),
    ("abc", {AB: SAME, BC: SAME}, {}, Decision(Reason.NOT_COMPARED, ("a", "b", "c"), (AC,))),
    ("abc", {AB: WINS, BC: WINS, ("c", "a"): WINS}, {}, Decision(Reason.CONTRADICTION, ())),
    # A baseline.
    ("ab", {AB: OPEN}, {"a": -1, "b": -1}, Decision(Reason.BASELINE, ("a", "b"))),
    ("ab", {AB: WINS}, {"a": -1, "b": 0}, Decision(Reason.BASELINE, ("a",))),
    ("ab", {AB: OPEN}, {"a": 0, "b": -1}, Decision(Reason.LEFT, ("a",))),
    ("ab", {AB: WINS}, {"a": 0, "b": None}, Decision(Reason.BEST, ("a",))),
    # One model.
    ("a", {}, {"a": 1}, Decision(Reason.ABOVE_BASELINE, ("a",))),
    ("a", {}, {"a": -1}, Decision(Reason.BASELINE, ("a",))),
    ("a", {}, {"a": 0}, Decision(Reason.ONE_MODEL, ("a",))),
    ("a", {}, {"a": None}, Decision(Reason.ONE_MODEL, ("a",))),
    ("a", {}, {}, Decision(Reason.ONE_MODEL, ("a",))),
])
def test_the_decision_follows_from_the_verdicts(
    models: str, found: Found, baseline: Mapping[str, int | None], expected: Decision
) -> None:
    assert decide(tuple(models), found, baseline) == expected


def test_every_finding_has_a_part_in_the_decision() -> None:
    assert {*BETTER, *ALIKE, *UNDECIDED.values()} == {*Finding, None}


@given(st.data())
def test_a_model_that_is_found_worse_is_never_taken(data: st.DataObject) -> None:
    models = tuple("abcd")[:data.draw(st.integers(1, 4))]
    findings = st.sampled_from(list(Finding))
    found = {(one, two): (finding, data.draw(st.sampled_from((1, -1))) if finding in (*BETTER, Finding.NEGLIGIBLE)
                          else 0)
             for one in models for two in models if one < two for finding in [data.draw(findings)]}
    baseline = {model: data.draw(st.sampled_from((1, 0, -1, None))) for model in models}
    decision = decide(models, found, baseline)
    beats = {pair if side > 0 else pair[::-1] for pair, (finding, side) in found.items() if finding in BETTER}
    match decision.reason:
        case Reason.BASELINE:
            assert decision.models
            assert all(baseline[model] == -1 for model in decision.models)
            assert all(baseline[model] == -1 or any((other, model) in beats for other in models) for model in models)
        case Reason.CONTRADICTION:
            assert all(any((other, model) in beats for other in models) for model in models)
        case _:
            assert decision.models
            assert not {worse for _, worse in beats} & set(decision.models)
            assert all(baseline[model] != -1 for model in decision.models)
    match decision.reason:
        case Reason.BEST:
            assert all((decision.models[0], other) in beats for other in models if other != decision.models[0])
        case Reason.EQUIVALENT:
            assert all(found[pair][0] in ALIKE for pair in found if set(pair) <= set(decision.models))
        case Reason.WITHIN_MARGIN:
            left = {*decision.models, *(model for pair in decision.open for model in pair)}
            assert all(found[pair][0] in ALIKE for pair in found if set(pair) <= left and pair not in decision.open)
            assert all(found[pair][0] is Finding.INCONCLUSIVE for pair in decision.open)
        case reason if reason in UNDECIDED:
            assert all(found[pair][0] is UNDECIDED[reason] for pair in decision.open)


# ---------------------------------------------------------------- in words


def evidence_of(
    found: Found, *, models: str = "", seconds: Mapping[str, float | None] | None = None,
    backends: Mapping[str, str] | None = None, seeds: Mapping[str, int] | None = None, metric: Any = "accuracy",
    families: int = 1, scores: Mapping[str, float] | None = None, groups_of: Mapping[str, float] | None = None,
) -> Evidence:
    """Return as much of the evidence on models as a decision is told from."""
    numbers, scale = Numbers().on(()), scale_of(metric)
    names = list(models) or sorted({name for pair in found for name in pair})
    groups: dict[str, Any] = {}
    for name in names:
        own = numbers.of(name).on((f"run-{name}",))
        count = (seeds or {}).get(name, 5)
        time = own.add("seconds", (seconds or {}).get(name, 10.0), "amount")
        groups[name] = SimpleNamespace(
            key=name, label=name.upper(), ids=own.runs, runs=(None,) * count,
            groups_of_one_size=(groups_of or {}).get(name, 1000.0), seeds=own.add("seeds", count),
            score=own.add("score", (scores or {}).get(name, 0.9), scale.kind), scale=scale, metric=metric,
            backend=(backends or {}).get(name, "torch"), logged=lambda _, time=time: time)
    pairs = [SimpleNamespace(
        a=groups[one], b=groups[two], verdict=SimpleNamespace(finding=finding), favours=side,
        has_few_seeds=1 < min(len(groups[one].runs), len(groups[two].runs)) < 5,
        lacks_seeds=min(len(groups[one].runs), len(groups[two].runs)) < 5,
        number=lambda slot: numbers.add(slot, 0.01, scale.kind)) for (one, two), (finding, side) in found.items()]
    return cast(Evidence, SimpleNamespace(
        groups=tuple(groups.values()), compared=pairs, numbers=numbers, families=(None,) * families))


def decided(found: Found, baseline: Mapping[str, int | None] | None = None, **values: Any) -> str:
    evidence: Any = evidence_of(found, **values)
    linear: Any = SimpleNamespace(name="linear", score=Number("linear", 0.8, "percent"))
    nothing = Number("none", None, "count")
    by_key = {group.key: group for group in evidence.groups}
    evidence.against = [AgainstBaseline(by_key[name], linear, nothing, nothing, side)
                        for name, side in (baseline or {}).items()]
    return said(decision_sentence(evidence))


SOME = {AB: SAME, AC: SAME, BC: SAME}


@pytest.mark.parametrize(("found", "values", "parts"), [
    ({AB: WINS, AC: WINS, BC: OPEN}, {}, ("Take A", "better than each of the others")),
    ({AB: WINS, AC: OPEN, BC: WINS}, {}, ("Take A", "no model is better")),
    (SOME, {"seconds": {"a": 22.0, "b": 2.0, "c": 44.0}},
     ("A, B and C", "1.0 points", "B trains 11.0 times", "as A", "take B.")),
    ({AB: NEGLIGIBLE}, {"seconds": {"a": 12.0, "b": 10.0}, "backends": {"b": "fused"}},
     ("A and B", "1.0 points", "B (fused) trains 1.2 times", "as A (torch)", "take B.")),
    ({AB: SAME}, {"seconds": {"a": 11.9, "b": 10.0}}, ("equally fast", "take either.")),
    (SOME, {"seconds": {"a": 10.0, "b": 11.0, "c": 30.0}}, ("A and B train the fastest", "take one of them.")),
    (SOME, {"seconds": {"b": None}}, ("A, B and C", "1.0 points: take any of them.")),
    ({AB: SAME}, {"metric": "log_loss"}, ("within 0.010 nats", "take either.")),
    ({AB: OPEN}, {}, ("No decision yet: A − B is", "Comparisons")),
    ({AB: SAME, AC: OPEN, BC: OPEN}, {}, ("No decision yet: A − C and B − C are",)),
    ({AB: OPEN, AC: OPEN, BC: OPEN}, {}, ("No decision yet: 3 pairs",)),
    ({AB: FEW_SEEDS}, {"seeds": {"a": 2}}, ("No decision yet", "at least 5 seeds, and A has 2.")),
    ({AB: FEW_SEEDS}, {"seeds": {"a": 2, "b": 4}}, ("No decision yet", "at least 5 seeds, and A has 2, B has 4.")),
    ({AB: FEW_GROUPS}, {}, ("No decision yet", "at least 20 groups")),
    ({AB: WINS}, {"seeds": {"a": 3}}, ("Take A: it is better than the other.", "few seeds", "at least 5")),
    ({AB: WINS}, {"seeds": {"b": 1}}, ("Take A: it is better than the other.", "these runs only")),
    ({AB: GUESSING}, {}, ("No decision", "A and B", "guessing")),
    ({AB: SAME, BC: SAME}, {}, ("No decision", "A with C", "Comparisons")),
    ({AB: WINS}, {"families": 2}, ("No decision", "different test texts")),
    ({AB: OPEN}, {"baseline": {"a": -1, "b": -1}}, ("Take the baseline linear", "every model")),
    ({AB: WINS}, {"baseline": {"a": -1, "b": 0}}, ("Take the baseline linear", "better than A,")),
    ({}, {"models": "a"}, ("No decision", "no baseline")),
    ({}, {"models": "a", "baseline": {"a": 1}}, ("Take A", "the baseline linear")),
    ({}, {"models": "a", "baseline": {"a": -1}}, ("Take the baseline linear", "better than A.")),
    ({}, {"models": "a", "baseline": {"a": 0}}, ("No decision yet", "A is not shown", "the baseline linear")),
    ({}, {"models": "a", "baseline": {"a": None}, "seeds": {"a": 2}},
     ("No decision yet", "at least 5 seeds, and A has 2.")),
    ({}, {"models": "a", "baseline": {"a": None}, "metric": "log_loss"}, ("No decision", "not tested", "accuracy")),
])
def test_the_decision_names_its_models_and_numbers(
    found: Found, values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    mentions(decided(found, **values), *parts)


@pytest.mark.parametrize(("found", "values", "taken", "shown"), [
    ({AB: WINS}, {"baseline": {"a": 1, "b": 0}}, "Take A", ""),
    ({AB: WINS}, {"baseline": {"a": 0, "b": -1}}, "Of these models, take A", "It is not shown"),
    ({AB: OPEN}, {"baseline": {"a": 0, "b": -1}}, "Take A", "A is not shown"),
    ({AB: SAME}, {"baseline": {"a": 0, "b": None}}, "take either", "None of them is shown"),
    ({AB: SAME}, {"baseline": {"a": 0, "b": 1}}, "take either", "Not each of them is shown"),
    ({AB: SAME}, {"baseline": {"a": 0, "b": 1}, "seconds": {"a": 20.0, "b": 10.0}}, "take B", ""),
])
def test_a_model_that_is_taken_is_not_called_better_than_the_baseline_without_proof(
    found: Found, values: dict[str, Any], taken: str, shown: str
) -> None:
    text = decided(found, **values)
    assert taken in text
    assert f"{shown} to be better than the baseline linear" in text if shown else "baseline" not in text


@pytest.mark.parametrize(("found", "values", "parts"), [
    ({AB: WINS}, {"scores": {"a": 0.7}}, ("Take A", "(80.0", "than A", "not logged")),
    ({AB: OPEN}, {"scores": {"a": 0.7, "b": 0.6}}, ("No decision yet", "(80.0", "than every model here")),
    ({AB: OPEN}, {"scores": {"a": 0.7}, "seeds": {"a": 3}}, ("No decision yet", "than A", "at least 5 seeds")),
    ({AB: OPEN}, {"scores": {"a": 0.7}, "groups_of": {"a": 8.0}}, ("No decision yet", "at least 20 groups")),
    ({AB: SAME}, {"scores": {"a": 0.7, "b": 0.6}, "metric": "macro_f1"}, ("take either", "accuracy")),
])
def test_an_untested_baseline_with_a_better_score_is_named(
    found: Found, values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    baseline = {"a": None, "b": None}
    mentions(decided(found, baseline=baseline, **values), "the baseline linear", *parts, "do not choose a model")
    assert "better score" not in decided(found, baseline=baseline, **values | {"scores": {}})
    assert "better score" not in decided(found, baseline={"a": 0, "b": 0}, **values)


def test_a_report_of_two_models_takes_the_better_one() -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.5, "scratch": 0.0}, test_set=TestSet.draw(1000))
    assert said(decision_sentence(collect([study], store))).startswith(
        "Of these models, take Torch GRU: it is better than the other.")


def test_models_of_different_test_reviews_have_no_decision_across_them() -> None:
    store = FakeStore()
    studies = [add_study(store, name, {"torch": skill}, test_set=TestSet.draw(300, seed=seed), fingerprint=name)
               for seed, (name, skill) in enumerate({"here": 0.0, "there": 1.0}.items())]
    assert "different test texts" in said(decision_sentence(collect(studies, store)))
