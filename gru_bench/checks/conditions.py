"""The conditions of the checks: each is decided here alone, for study files, the console and reports."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gru_bench.config import Scalar, is_valid_setting
from gru_bench.results.pruners import PRUNERS
from gru_bench.results.runs import Baseline, DataSummary

END_SHARE = 0.05
"""Share of a range, on its own scale, that counts as its end."""
OVERLAP = 0.01
"""Share of the test reviews from which on training rows with the same texts are more than a coincidence."""
PROMISE = 0.01
"""Fall from the best trial to its confirm runs that is more than the luck of the best of some trials: one point of
accuracy."""
LEAST_COVERED = 0.6
"""Share of the words, counted as often as they occur, that should have a vector."""
FOREIGN = 0.3
"""The same share, below which the vectors are probably those of another language or spelling."""
LEAST_NORM, MOST_NORM = 0.1, 20.0
"""Usual range of the mean norm of word vectors."""
PARALLEL = 0.5
"""Mean cosine of two word vectors, above which they hardly tell words apart. Usual vectors have one of about 0.1."""
UNEVEN = 2
"""Ratio of the largest class to the smallest one from which on accuracy alone says little about the small ones."""

Budget = tuple[int, int, int]
"""Trials, epochs, and number of searched settings."""


def end_of_range(name: str, range_: Mapping[str, Any], value: Scalar) -> str:
    """Return `low` or `high` where a value lies in the outer twentieth of its range, and the setting can go beyond.

    Args:
        name: Dotted name of the setting.
        range_: Its range, as in a `StudySummary`.
        value: Its best value.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    if "low" not in range_ or range_["low"] == range_["high"]:
        return ""
    number = float(value)
    low, high = float(range_["low"]), float(range_["high"])
    beyond = {"low": (low - 1, math.nextafter(low, -math.inf)), "high": (high + 1, math.nextafter(high, math.inf))}
    if range_.get("log"):
        low, high, number = math.log(low), math.log(high), math.log(number)
    share = (number - low) / (high - low)
    end = "low" if share < END_SHARE else "high" if share > 1 - END_SHARE else ""
    # Of the two values beyond, whole numbers can have the first, others the second.
    return end if end and any(is_valid_setting(name, one) for one in beyond[end]) else ""


def are_unequal(budgets: Sequence[Collection[Budget]]) -> bool:
    """Return whether searches differ in their budget, or some studies have one and others none.

    Args:
        budgets: For each study the budgets of its searches; none for a study without a search.
    """
    searched = [own for own in budgets if own]
    return len({one for own in searched for one in own}) > 1 or 0 < len(searched) < len(budgets)


def overlaps(data: DataSummary) -> bool:
    """Return whether the training rows held the texts of many test reviews. (They were removed.)"""
    return data.test_repeats_removed >= max(1, OVERLAP * data.test)


def is_covered(data: DataSummary) -> bool:
    """Return whether enough of the words have a vector."""
    return 1 - data.dropped_share >= LEAST_COVERED


def are_foreign(data: DataSummary) -> bool:
    """Return whether so few words have a vector that the vectors are probably of another language."""
    return 1 - data.dropped_share < FOREIGN


def has_odd_scale(data: DataSummary) -> bool:
    """Return whether the mean norm of the word vectors is unusual. False where it was not logged."""
    return data.vector_norm is not None and not LEAST_NORM <= data.vector_norm <= MOST_NORM


def are_parallel(data: DataSummary) -> bool:
    """Return whether the word vectors all have nearly the same direction. False where their cosine was not logged."""
    return data.vector_cosine is not None and data.vector_cosine > PARALLEL


def are_uneven(counts: Iterable[int]) -> bool:
    """Return whether the largest class has at least `UNEVEN` times the examples of the smallest one."""
    count_C = np.fromiter(counts, np.int64)
    return bool(count_C.max() >= UNEVEN * count_C.min())


def lost_trials(states: Sequence[str], pruner: str) -> int:
    """Return how many of the trials failed or were pruned, where these are more than half; 0 where they are not.

    A pruner that decides within an epoch is meant to end most trials: with it, pruned ones do not count.

    Args:
        states: State of each trial that has ended: complete, pruned or failed.
        pruner: Name of the pruner.
    """
    meant = pruner in PRUNERS and PRUNERS[pruner].checks > 0
    lost = states.count("failed") + (0 if meant else states.count("pruned"))
    return lost if 2 * lost > len(states) else 0


def promised_more(fall: float, *, higher_is_better: bool) -> bool:
    """Return whether fresh seeds fall short of the best trial by much, on validation reviews.

    Args:
        fall: Their score less that of the best trial.
        higher_is_better: Whether a higher score is better.
    """
    return (-fall if higher_is_better else fall) > PROMISE


def is_beforehand(margin: float, logged: Sequence[float | None]) -> bool:
    """Return whether every study fixed this very margin at its start.

    Args:
        margin: The margin that is used.
        logged: What each study logged; None where it logged none.
    """
    return bool(logged) and all(one is not None and math.isclose(one, margin) for one in logged)


def is_at_end(baseline: Baseline) -> bool:
    """Return whether validation chose the largest or the smallest regularization that was tried for a baseline."""
    return baseline.regularization is not None and baseline.is_at_end


def is_below(ours: float, theirs: float, *, higher_is_better: bool) -> bool:
    """Return whether the score of a model is worse than that of a baseline."""
    return ours < theirs if higher_is_better else ours > theirs
