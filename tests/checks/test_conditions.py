"""The limits of the conditions, where the checks of whole studies do not show them."""

from __future__ import annotations

import math

import pytest

from gru_bench.checks.conditions import (
    are_unequal,
    are_uneven,
    end_of_range,
    is_beforehand,
    is_below,
    lost_trials,
    promised_more,
)

LOG = {"low": 1e-4, "high": 1e-2, "log": True}


@pytest.mark.parametrize(("name", "range_", "value", "end"), [
    ("training.lr", LOG, 1.2e-4, "low"), ("training.lr", LOG, 1.3e-4, ""), ("training.lr", LOG, 9e-3, "high"),
    ("model.hidden_size", {"low": 32, "high": 232}, 41, "low"), ("model.hidden_size", {"low": 32, "high": 232}, 42, ""),
    ("model.layers", {"low": 1, "high": 2}, 1, ""),  # no model has fewer layers
    ("model.layers", {"low": 1, "high": 2}, 2, "high"),
    ("model.layers", {"low": 2, "high": 3}, 2, "low"),
    ("model.hidden_size", {"low": 1, "high": 90}, 2, ""),
    ("model.hidden_size", {"low": 8, "high": 32, "step": 8}, 8, "low"),
    ("model.hidden_size", {"low": 8, "high": 32, "step": 8}, 16, ""),
    ("model.dropout", {"low": 0.0, "high": 0.5}, 0.0, ""),
    ("model.dropout", {"low": 0.0, "high": 0.5}, 0.5, "high"),
    ("model.dropout", {"low": 0.5, "high": math.nextafter(1.0, 0.0)}, 0.99, ""),
    ("training.clip_norm", {"low": 1e-6, "high": 1.0, "log": True}, 1e-6, "low"),
    ("training.patience", {"low": 1, "high": 3}, 1, ""), ("training.epochs", {"low": 1, "high": 3}, 1, ""),
    ("model.layers", {"choices": [1, 2, 3]}, 3, ""), ("embedding.trainable", {"choices": [False, True]}, True, ""),
    ("model.gone", {"low": 1, "high": 3}, 3, ""), ("model.pooling", {"choices": ["mean", "max"]}, "max", ""),
    ("training.lr", LOG, None, ""), ("training.lr", LOG, float("nan"), ""), ("training.lr", LOG, True, ""),
])
def test_finds_a_value_at_an_end_of_its_range(name: str, range_: dict[str, object], value: object, end: str) -> None:
    assert end_of_range(name, range_, value) == end  # type: ignore[arg-type]


def test_finds_searches_of_unequal_budgets() -> None:
    assert not are_unequal([])
    assert not are_unequal([[(6, 2, 3)], [(6, 2, 3), (6, 2, 3)]])
    assert not are_unequal([[], []])
    assert are_unequal([[(6, 2, 3)], []])
    assert are_unequal([[(6, 2, 3), (5, 2, 3)]])


@pytest.mark.parametrize(("states", "pruner", "lost"), [
    ("ccc", "median", 0), ("ccpf", "median", 0), ("cpf", "median", 2), ("cppp", "median", 3),
    ("cppp", "halving", 0), ("cppfff", "halving", 0), ("cppffff", "halving", 4), ("", "none", 0), ("fff", "odd", 3),
])
def test_counts_trials_that_a_pruner_should_not_have_lost(states: str, pruner: str, lost: int) -> None:
    words = {"c": "complete", "p": "pruned", "f": "failed"}
    assert lost_trials([words[state] for state in states], pruner) == lost


def test_a_search_promised_more_where_the_score_falls_by_more_than_a_point() -> None:
    assert promised_more(-0.02, higher_is_better=True)
    assert not promised_more(-0.005, higher_is_better=True)
    assert not promised_more(0.02, higher_is_better=True)
    assert promised_more(0.02, higher_is_better=False)
    assert not promised_more(-0.02, higher_is_better=False)


def test_finds_a_late_margin_uneven_classes_and_a_better_baseline() -> None:
    assert is_beforehand(0.01, [0.01, 0.01])
    assert not is_beforehand(0.01, [0.01, None])
    assert not is_beforehand(0.01, [])
    assert are_uneven([200, 100])
    assert not are_uneven([199, 100])
    assert are_uneven([5, 0])
    assert is_below(0.8, 0.9, higher_is_better=True)
    assert is_below(0.3, 0.2, higher_is_better=False)
    assert not is_below(0.9, 0.9, higher_is_better=True)
    assert not is_below(0.9, 0.9, higher_is_better=False)
