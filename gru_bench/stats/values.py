"""What each run of a model scores on each example, for any score that models are compared by.

Every score enters the variance sum of `estimate.py` by what run s scores on example i, Y_si. For accuracy that is
whether the answer is correct, for log loss the loss of the example. F1 is no mean over examples. It enters with the
pseudo-values of the jackknife (Tukey 1958): with score_s(-i) the score of run s without example i,

    Y_si = score_s + P_si - mean_i P_si,    P_si = (N - 1)(score_s - score_s(-i))

so that the mean of Y_si over examples is the score, and for one run var(Y_si)/N is the jackknife's variance. It holds
where classes are rare, which a derivative does not: with 20 classes of sizes after Zipf and 300 examples, p is below
0.05 in 5 instead of 8 of 100 comparisons of equally good models. Examples of a group k leave together: their P_si are
shifted by one number for each group, so that they sum to (N - n_k)(score_s - score_s(-k)).

F1 of class c is 2 hit/named, where `named` counts the examples of the class and those predicted so.

Where few examples decide, the interval leans on Wilson's with n_c, the number of examples of which a share of right
answers would vary as much as the F1 of class c does: named/(2 - F1). A wrong answer lowers the F1 of two classes, its
own and the predicted one, so macro F1 has 1/n = 2 (sum_c 1/n_c)/C^2: a bound, because (a + b)^2 <= 2 (a^2 + b^2). The
difference of two losses does not lean, because one example may move it by any amount: it shows equivalence only where
enough examples decide.

Shapes: `R` runs (seeds) of a model, `N` examples, `C` classes, `K` groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Values:
    """What each run of a model scores on each example: the score of a run is the mean of its row."""

    value_RN: Floats
    bounds: tuple[float, float] = (0.0, 1.0)
    """Smallest and largest possible score. A loss has no largest one (infinity)."""
    counted: float | None = None
    """Number of examples of which a share of right answers would vary as much as the score does. None: all."""
    is_fitted_once: bool = False
    """Whether the model has no seed, so that another fit to the same texts gives the same single row."""

    def __post_init__(self) -> None:
        """Refuse other shapes and values.

        Raises:
            ValueError: for a shape other than (R, N) with R >= 1 and N >= 2, values that are not finite, or several
                rows of a model that is fitted once.
        """
        y_RN = self.value_RN
        if self.is_fitted_once and len(y_RN) > 1:
            raise ValueError(f"a model that is fitted once must have one row of values, but has {len(y_RN)}")
        if y_RN.ndim != 2 or y_RN.shape[0] < 1 or y_RN.shape[1] < 2 or not np.isfinite(y_RN).all():
            raise ValueError("values must be finite, in the shape (R, N) with R >= 1 and N >= 2, but have the shape "
                             f"{y_RN.shape}{'' if np.isfinite(y_RN).all() else ' and contain a NaN or an infinity'}")

    @property
    def size(self) -> float:
        """Return `counted`, or the number of all examples."""
        return float(self.value_RN.shape[1]) if self.counted is None else self.counted

    @classmethod
    def of_correct(cls, correct_RN: NDArray[Any]) -> Values:
        """Return the values of the accuracy: whether seed r answers example i correctly.

        Raises:
            ValueError: for another shape, or entries other than 0 and 1.
        """
        y_RN = np.asarray(correct_RN)
        if y_RN.dtype != np.bool_ and not np.isin(y_RN, (0, 1)).all():
            raise ValueError("correctness must be 0 or 1 for every example, but contains other values")
        return cls(y_RN.astype(np.float64, order="C"))  # the order of a sum moves its last digit


def f1_values(
    own_N: NDArray[np.bool_], predicted_RN: NDArray[np.bool_], group_N: NDArray[Any] | None = None
) -> Values:
    """Return the values of the F1 of one class. It is 0 where no example is of the class or predicted so.

    Args:
        own_N: Whether an example is of the class.
        predicted_RN: Whether it is predicted so.
        group_N: Name of each example's group. None: each example is a group of its own.
    """
    examples = len(own_N)
    hit_RN, named_RN = (predicted_RN & own_N).astype(np.float64), predicted_RN.astype(np.float64) + own_N
    hits_R1, named_R1 = hit_RN.sum(axis=1, keepdims=True), named_RN.sum(axis=1, keepdims=True)

    def f1(hit: Floats, named: Floats) -> Floats:
        return 2 * hit / np.maximum(named, 1)

    f1_R1 = f1(hits_R1, named_R1)
    rest_RN = (examples - 1) * (f1_R1 - f1(hits_R1 - hit_RN, named_R1 - named_RN))
    if group_N is not None:
        _, group_N, size_K = np.unique(group_N, return_inverse=True, return_counts=True)
        hit_RK, named_RK, rest_RK = (
            np.stack([np.bincount(group_N, one_N) for one_N in one_RN]) for one_RN in (hit_RN, named_RN, rest_RN))
        wanted_RK = (examples - size_K) * (f1_R1 - f1(hits_R1 - hit_RK, named_R1 - named_RK))
        rest_RN += ((wanted_RK - rest_RK) / size_K)[:, group_N]
    value_RN = f1_R1 + rest_RN - rest_RN.mean(axis=1, keepdims=True)
    # To first order, the variance of the F1 of one run is F1 (1 - F1) (2 - F1)/named.
    return Values(value_RN, counted=max(1.0, float((np.maximum(named_R1, 1) / (2 - f1_R1)).mean())))


def mean_of(by_class: list[Values]) -> Values:
    """Return the values of the unweighted mean of the scores of all classes."""
    lowered = 1 if len(by_class) == 1 else 2  # classes by one wrong answer
    size = len(by_class) ** 2 / sum(lowered / one.size for one in by_class)
    return Values(np.mean([one.value_RN for one in by_class], axis=0), counted=size)
