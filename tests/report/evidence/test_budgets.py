"""Searches whose budgets differ are named with what each had."""

from __future__ import annotations

from gru_bench.report.build import build
from gru_bench.report.evidence.budgets import unequal_budgets
from tests.support.fake_store import FakeStore, TestSet, add_study, summarized
from tests.support.renderings import all_said, said
from tests.support.values import present


def test_unequal_budgets_are_said() -> None:
    store, few = FakeStore(), TestSet.draw(300)
    studies = [add_study(store, name, {name: 0.0}, trials=16, test_set=few) for name in ("scratch", "torch")]
    assert unequal_budgets(studies) == ()
    studies.append(add_study(store, "bidirectional", {"bidirectional": 0.1}, trials=40, test_set=few))
    text = all_said(build(studies, store).cautions)
    assert "The searches had unequal budgets, and a difference may come from that: " in text
    # Of forty, as many failed as in the other studies of sixteen.
    assert "bidirectional had 32 finished trials of up to 4 epochs over 4 settings" in text


def test_budgets_are_the_trials_that_finished_whatever_was_typed_last() -> None:
    store, few = FakeStore(), TestSet.draw(300)
    one = add_study(store, "one", {"scratch": 0.0, "torch": 0.0}, trials=5, test_set=few)
    two = add_study(store, "two", {"bidirectional": 0.1}, trials=5, test_set=few)
    lowered = summarized(one, trials_asked=0)
    # Of five trials of each model one failed; neither a number lowered later nor a second model changes that.
    assert unequal_budgets([lowered, two]) == ()
    three = add_study(store, "three", {"rnn": 0.0}, trials=16, test_set=few)
    text = said(unequal_budgets([lowered, two, three]))
    assert "one had 4 finished trials for each model of up to 4 epochs over 4 settings" in text
    assert "two had 4 finished trials of up to 4 epochs" in text
    assert "three had 13 finished trials of up to 4 epochs" in text
    fewer = tuple(trial for trial in present(one.summary).trials if trial.model == "scratch" or trial.number == 0)
    uneven = unequal_budgets([summarized(one, trials=fewer)])
    assert "one had 4 (Scratch GRU) and 1 (Torch GRU) finished trials of up to" in said(uneven)
    fixed = add_study(store, "fixed", {"rnn": 0.0}, search=False, test_set=few)
    assert said(unequal_budgets([two, fixed])).endswith("settings; fixed had no search.")
    assert unequal_budgets([fixed]) == ()
    # Models on other data are not compared.
    there = add_study(store, "there", {"torch": 0.0}, trials=16, fingerprint="other", test_set=TestSet.draw(99, seed=1))
    assert unequal_budgets([two, there]) == ()
