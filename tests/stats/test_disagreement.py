"""The texts that one of two models gets right alone."""

from __future__ import annotations

import numpy as np

from gru_bench.stats.disagreement import one_sided


def test_a_text_is_one_sided_if_most_runs_of_one_model_and_at_most_half_of_the_other_are_right() -> None:
    first = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 1, 0], [0, 1, 0, 1, 1]], bool)
    second = np.array([[1, 0, 1, 1, 1], [0, 1, 1, 1, 1]], bool)
    only_first, only_second = one_sided(first, second)
    assert only_first.tolist() == [0, 1]
    assert only_second.tolist() == [2, 4]
