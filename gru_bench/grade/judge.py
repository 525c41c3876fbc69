"""Claims -> what is true of each: whether it fits its predictions, and whether it differs from the reference by more
than noise; and who predicts nearly the same as whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gru_bench.errors import ExitCode, GruBenchError
from gru_bench.grade.claims import Claim, Truth, read_predictions
from gru_bench.stats.claims import FEWEST_RUNS, Disagreement, Reference
from gru_bench.stats.estimate import ALPHA
from gru_bench.stats.verdict import holm

WITHIN, ABOVE, BELOW, NOT_JUDGED = ("within noise of the reference", "above the reference", "below the reference",
                                    "not judged")


@dataclass(frozen=True)
class Judged:
    """What is true of a claim. Accuracies are fractions."""

    student: str
    claimed: float | None
    measured: float | None
    """Accuracy of the predictions. None: there are none, or they cannot be scored."""
    is_judged: bool
    """Whether there is an accuracy to judge. A claim does not stand for predictions that cannot be scored."""
    agrees: bool | None
    """Whether the claimed accuracy is that of the predictions, to its last digit. None: one of them is missing."""
    difference: float | None
    """The measured accuracy, or else the claimed one, less the reference's."""
    p: float | None
    """Two-sided p for the hypothesis that this difference is noise of seeds and texts."""
    note: str
    p_adjusted: float | None = None
    """p, adjusted for all students by Holm's procedure."""
    passes: bool | None = None
    """Whether the accuracy reaches the pass mark."""

    @property
    def verdict(self) -> str:
        """Return whether the difference is noise, or else its direction."""
        if self.difference is None or self.p_adjusted is None:
            return NOT_JUDGED
        return WITHIN if self.p_adjusted >= ALPHA else ABOVE if self.difference > 0 else BELOW

    @property
    def accuracy(self) -> float | None:
        """Return the accuracy that is judged: the measured one, or the claimed one where there are no predictions."""
        return self.measured if self.measured is not None else self.claimed if self.is_judged else None


@dataclass(frozen=True)
class Alike:
    """Two students whose predictions are the same, or differ less than chance explains."""

    students: tuple[str, str]
    apart: int
    """Number of texts for which they predict different classes."""
    usual: Disagreement | None
    """On how many texts two independent runs of the reference disagree, or else two of the other students. None: there
    are neither."""

    @property
    def probability(self) -> float | None:
        """Return how likely it is that two independent ones disagree on so few texts; None where it is not known."""
        return None if self.usual is None else self.usual.probability(self.apart)


@dataclass(frozen=True)
class Result:
    """What is true of a class."""

    judged: tuple[Judged, ...]
    alike: tuple[Alike, ...]
    pairs: int
    """Number of pairs of students whose predictions were compared."""

    @property
    def exit_code(self) -> ExitCode:
        """Return 0 where all is fine, 3 where something is not, 4 where a student could not be judged."""
        if any(one.passes is None for one in self.judged):
            return ExitCode.NOT_JUDGED
        fine = not self.alike and all(one.passes and one.agrees is not False for one in self.judged)
        return ExitCode.DONE if fine else ExitCode.NOT_FINE

    @property
    def family(self) -> int:
        """Return the number of students for whom p is adjusted."""
        return sum(one.p is not None for one in self.judged)


def judge(
    claims: Sequence[Claim], reference: Reference, truth: Truth | None, disagreement: Disagreement | None = None
) -> Result:
    """Return what is true of all claims.

    Args:
        claims: The claims.
        reference: What right solutions reach. If it has runs, `truth` holds its texts in the same order.
        truth: The test texts. None: predictions cannot be read.
        disagreement: How many predictions of two runs of the reference differ. None: two students are compared with
            the others.
    """
    predicted: dict[str, NDArray[np.int64]] = {}
    judged = [_judged(claim, reference, truth, predicted) for claim in claims]
    mark = reference.pass_mark()
    done = [replace(one, p_adjusted=p, passes=None if one.accuracy is None else one.accuracy >= mark)
            for one, p in zip(judged, holm([one.p for one in judged]), strict=True)]
    pairs = list(_pairs(predicted, disagreement))
    return Result(tuple(done), tuple(one for one in pairs if not one.apart or (
        one.probability is not None and one.probability * len(pairs) < ALPHA)), len(pairs))


def _pairs(predicted: dict[str, NDArray[np.int64]], disagreement: Disagreement | None) -> Iterator[Alike]:
    """Yield each pair of students with predictions, and what is usual beside them."""
    pairs = list(combinations(predicted, 2))
    apart = np.array([int((predicted[a] != predicted[b]).sum()) for a, b in pairs], dtype=np.int64)
    others = len(predicted) - 2
    for (a, b), count in zip(pairs, apart.tolist(), strict=True):
        usual = disagreement
        if usual is None and others >= FEWEST_RUNS:
            usual = Disagreement.of_counts(apart[[not {a, b} & set(pair) for pair in pairs]], others)
        yield Alike((a, b), count, usual)


def _judged(
    claim: Claim, reference: Reference, truth: Truth | None, predicted: dict[str, NDArray[np.int64]]
) -> Judged:
    """Return what is true of one claim alone, and keep its predictions."""
    claimed = claim.accuracy.value if claim.accuracy else None
    measured, note, p = None, "", None
    if claim.predictions is not None:
        try:
            if truth is None:
                note = "predictions need --study or --truth"
            else:
                class_N, note = read_predictions(claim.predictions, truth)
                correct_N = class_N == truth.examples.label_N
                measured, p = float(correct_N.mean()), reference.p_of_answers(correct_N)
                if (class_N == class_N[0]).all():
                    note = "; ".join(filter(None, (note, "predicts one class for all texts, so it is compared with no "
                                                         "other student")))
                else:
                    predicted[claim.student] = class_N
        except GruBenchError as error:
            note = f"cannot score the predictions: {error}"
    elif claimed is not None:
        p = reference.p_of_claim(claimed)
    judged = Judged(
        claim.student, claimed, measured, p is not None,
        claim.accuracy.fits(measured) if claim.accuracy and measured is not None else None, None, p,
        "; ".join(filter(None, (claim.problem, note))))
    accuracy = judged.accuracy
    return replace(judged, difference=None if accuracy is None else accuracy - reference.accuracy)
