"""The report warns of searches with unequal budgets and names the budget of each."""

from __future__ import annotations

import pytest

from gru_bench.report.evidence.budgets import unequal_budgets
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, summarized
from tests.support.renderings import all_said, said
from tests.support.sections import build_only
from tests.support.values import present

FEW = TestSet.draw(50)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def searched(store: FakeStore, name: str, *models: str, trials: int = 5) -> LoggedStudy:
    """Return a study of these models; of five trials of each one fails, of sixteen three do."""
    return add_study(store, name, dict.fromkeys(models, 0.0), seeds=2, trials=trials, test_set=FEW)


def test_the_report_warns_of_unequal_budgets(store: FakeStore) -> None:
    studies = [searched(store, name, name, trials=16) for name in ("scratch", "torch")]
    assert unequal_budgets(studies) == ()
    studies.append(searched(store, "bidirectional", "bidirectional", trials=40))
    mentions(all_said(build_only(studies, store).cautions), "unequal budgets",
             "bidirectional had 32 finished trials of up to 4 epochs over 4 settings")


def test_a_budget_is_the_number_of_finished_trials_of_each_model(store: FakeStore) -> None:
    one, two = searched(store, "one", "scratch", "torch"), searched(store, "two", "bidirectional")
    lowered = summarized(one, trials_asked=0)
    # Neither a number lowered later nor a second model changes the budget.
    assert unequal_budgets([lowered, two]) == ()
    three = searched(store, "three", "rnn", trials=16)
    mentions(said(unequal_budgets([lowered, two, three])), "one had 4 finished trials for each model of up to 4 epochs",
             "two had 4 finished trials", "three had 13 finished trials")


def test_models_of_one_study_with_unequal_budgets_are_named(store: FakeStore) -> None:
    one = searched(store, "one", "scratch", "torch")
    fewer = tuple(trial for trial in present(one.summary).trials if trial.model == "scratch" or trial.number == 0)
    mentions(said(unequal_budgets([summarized(one, trials=fewer)])), "one had 4 (Scratch GRU) and 1 (Torch GRU)")


def test_a_study_without_a_search_is_named_only_next_to_one_with_a_search(store: FakeStore) -> None:
    fixed = add_study(store, "fixed", {"rnn": 0.0}, seeds=2, search=False, test_set=FEW)
    assert "fixed had no search" in said(unequal_budgets([searched(store, "two", "torch"), fixed]))
    assert unequal_budgets([fixed]) == ()


def test_budgets_of_studies_on_other_data_are_not_compared(store: FakeStore) -> None:
    there = add_study(store, "there", {"torch": 0.0}, trials=16, fingerprint="other", test_set=TestSet.draw(50, seed=1))
    assert unequal_budgets([searched(store, "two", "torch"), there]) == ()
