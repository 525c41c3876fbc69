"""Scores agree with their definitions, with scikit-learn where they are not its own, and with cases by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gru_bench.stats import metrics
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import scores

Case = tuple[np.ndarray, np.ndarray]


@st.composite
def predictions(draw: st.DrawFn) -> Case:
    size = draw(st.integers(2, 60))
    label_N = draw(hnp.arrays(np.int8, size, elements=st.integers(0, 1)))
    # A coarse grid makes ties, among them the threshold itself.
    grid_N = draw(hnp.arrays(np.int64, size, elements=st.integers(0, 16)))
    return label_N, (grid_N / 16).astype(np.float32)


@given(predictions())
def test_scores_that_are_computed_here_agree_with_scikit_learn(case: Case) -> None:
    from sklearn import metrics as peer

    label_N, probability_N = case
    hit_N = probability_N >= 0.5
    ours = scores(label_N, of_two(probability_N))
    kwargs = {"zero_division": 0.0}
    theirs = {
        "accuracy": peer.accuracy_score(label_N, hit_N),
        "precision": peer.precision_score(label_N, hit_N, **kwargs),
        "recall": peer.recall_score(label_N, hit_N, **kwargs),
        "f1": peer.f1_score(label_N, hit_N, **kwargs),
        "macro_f1": peer.f1_score(label_N, hit_N, average="macro", labels=[0, 1], **kwargs),
        "loss": peer.log_loss(
            label_N, probability_N.astype(np.float64).clip(2**-23, 1 - 2**-23), labels=[0, 1]
        ),
    }
    if 0 < label_N.sum() < label_N.size:
        theirs |= {"roc_auc": peer.roc_auc_score(label_N, probability_N),
                   "average_precision": peer.average_precision_score(label_N, probability_N)}
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name
    table = peer.confusion_matrix(label_N, hit_N, labels=[0, 1]).ravel()
    cells = ("true_negative", "false_positive", "false_negative", "true_positive")
    assert [ours[cell] for cell in cells] == list(table)


@given(predictions())
def test_the_roc_area_is_the_share_of_pairs_in_the_right_order(case: Case) -> None:
    label_N, probability_N = case
    pairs = [(one > zero) + (one == zero) / 2 for one in probability_N[label_N == 1]
             for zero in probability_N[label_N == 0]]
    assert metrics.roc_auc(*case) == (pytest.approx(np.mean(pairs), abs=1e-12) if pairs else None)


def by_threshold(case: Case) -> list[tuple[float, float, float]]:
    """Return the false positive rate, the recall and the precision at each threshold, from the highest one down."""
    label_N, probability_N = case
    points = []
    for threshold in sorted(set(probability_N.tolist()), reverse=True):
        named_N = probability_N >= threshold
        points.append(((named_N & (label_N == 0)).sum() / max(1, (label_N == 0).sum()),
                       (named_N & (label_N == 1)).sum() / max(1, (label_N == 1).sum()), label_N[named_N].mean()))
    return points


@given(predictions())
def test_average_precision_is_the_sum_of_precision_times_the_gain_in_recall(case: Case) -> None:
    expected, before = 0.0, 0.0
    for _, recall, precision in by_threshold(case):
        expected, before = expected + (recall - before) * precision, recall
    assert metrics.average_precision(*case) == (pytest.approx(expected, abs=1e-12) if case[0].any() else None)


def test_a_probability_of_one_half_predicts_class_1() -> None:
    assert metrics.predicted(of_two(np.array([np.nextafter(0.5, 0.0), 0.5]))).tolist() == [0, 1]


def test_a_score_without_meaning_is_left_out() -> None:
    ones = scores(np.ones(3, int), of_two(np.array([0.2, 0.6, 0.9])))
    assert "roc_auc" not in ones
    assert "average_precision" in ones
    zeros = scores(np.zeros(3, int), of_two(np.array([0.2, 0.6, 0.9])))
    assert "roc_auc" not in zeros
    assert "average_precision" not in zeros
    assert zeros["recall"] == 0.0


def test_log_loss_of_a_confident_mistake_is_large_and_finite() -> None:
    loss = metrics.log_loss(np.array([1, 0]), of_two(np.array([0.0, 0.0], np.float32)))
    assert loss == pytest.approx(-np.log(2.0**-23) / 2, rel=1e-6)


def test_calibration_error_by_hand() -> None:
    # Two confident rights and one confident wrong share a bin: |2/3 - 0.95| of 3 examples in 4.
    label_N = np.array([1, 1, 0, 0])
    probability_N = np.array([0.95, 0.95, 0.95, 0.3])
    expected = 3 / 4 * abs(2 / 3 - 0.95) + 1 / 4 * abs(1 - 0.7)
    assert metrics.expected_calibration_error(label_N, of_two(probability_N)) == pytest.approx(expected, abs=1e-12)


@given(predictions(), st.integers(1, 20))
def test_calibration_error_is_between_0_and_1(case: Case, bins: int) -> None:
    assert 0 <= metrics.expected_calibration_error(case[0], of_two(case[1]), bins=bins) <= 1


@pytest.mark.parametrize(
    ("label", "probability", "message"),
    [
        ([], [], "at least 1.*0"),
        ([0, 1], [0.5], r"\(2,\).*\(1, 2\)"),
        ([0, 2], [0.5, 0.5], "labels.*0 or 1"),
        ([0, 1], [0.5, 1.5], "between 0 and 1.*-0.5"),
        ([0, 1], [0.5, float("nan")], "between 0 and 1.*nan"),
    ],
)
def test_refuses_what_cannot_be_scored(label: list[float], probability: list[float], message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=message):
            scores(np.array(label, int), of_two(np.array(probability, float)))


def test_reliability_by_hand() -> None:
    label_N = np.array([1, 0, 1, 1, 0])
    probability_N = np.array([0.95, 0.9, 0.55, 0.3, 0.05])
    low, high = metrics.reliability(label_N, of_two(probability_N), bins=2)
    # Confidences 0.95, 0.9, 0.55, 0.7, 0.95; right: yes, no, yes, no, yes.
    assert (low.low, low.high, low.examples) == (0.5, 0.75, 2)
    assert low.confidence == pytest.approx(0.625)
    assert low.accuracy == 0.5
    assert (high.low, high.high, high.examples) == (0.75, 1.0, 3)
    assert (high.confidence, high.accuracy) == pytest.approx((2.8 / 3, 2 / 3))
    expected = (2 * 0.125 + 3 * abs(2.8 / 3 - 2 / 3)) / 5
    assert metrics.expected_calibration_error(label_N, of_two(probability_N), bins=2) == pytest.approx(expected)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    low, high = metrics.reliability(np.array([1, 0]), of_two(np.array([0.75, 0.25])), bins=2)
    assert (low.high, low.examples, high.examples) == (0.75, 2, 0)


def test_an_empty_bin_is_shown_in_its_middle() -> None:
    first, *_ = metrics.reliability(np.array([1]), of_two(np.array([1.0])), bins=5)
    assert first.examples == 0
    assert (first.confidence, first.accuracy) == pytest.approx((0.55, 0.55))


def test_a_probability_of_one_half_predicts_the_positive_class() -> None:
    assert metrics.predicted(of_two(np.array([0.49, 0.5, 0.51]))).tolist() == [0, 1, 1]
