"""What is said of a class: claims beside predictions, beside the reference, and students beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gru_bench.errors import ExitCode
from gru_bench.grade.claims import Claim, Truth, parsed_accuracy, read_claims
from gru_bench.grade.judge import ABOVE, BELOW, NOT_JUDGED, WITHIN, judge
from gru_bench.predictions.align import KnownExamples
from gru_bench.stats.claims import Disagreement, Reference
from tests.support.answers import drawn

CORRECT_RN = drawn(8, 1000, 4, 0.05)
TRUTH = Truth(KnownExamples("test.csv", tuple(map(str, range(1000))), np.zeros(1000, dtype=np.int64), ("no", "yes")),
              is_of_study=True, by_order=True)
PREDICTED_RN = (~CORRECT_RN).astype(int)
REFERENCE = Reference.of_runs(CORRECT_RN[:5])
DISAGREEMENT = Disagreement.of_runs(PREDICTED_RN[:5])


def predictions(student: str, label_N: np.ndarray) -> Path:
    path = Path(f"{student}.csv")
    path.write_text("\n".join(["label", *map(str, label_N)]), encoding="utf-8")
    return path


def claim(student: str, accuracy: str = "", label_N: np.ndarray | None = None) -> Claim:
    return Claim(student, parsed_accuracy(accuracy) if accuracy else None,
                 None if label_N is None else predictions(student, label_N))


def test_a_class_is_judged() -> None:
    own = PREDICTED_RN[5]
    accuracy = f"{100 * float((own == 0).mean()):.1f}"
    copied = own.copy()
    copied[:2] = 1 - copied[:2]
    result = judge([
        claim("right", accuracy, own), claim("liar", "99.1", PREDICTED_RN[6]), claim("boaster", "99.1"),
        claim("wrong", "", np.arange(1000) % 2), claim("copier", "", copied), claim("twin", "", own),
        Claim("none", None, None, "nothing"), Claim("lost", None, Path("gone.csv"))],
        REFERENCE, TRUTH, DISAGREEMENT)
    right, liar, boaster, wrong, _, _, none, lost = result.judged
    assert (right.agrees, right.verdict, right.passes) == (True, WITHIN, True)
    assert (liar.agrees, liar.verdict) == (False, WITHIN)
    assert liar.measured == float((PREDICTED_RN[6] == 0).mean())
    assert (boaster.agrees, boaster.verdict, boaster.measured) == (None, ABOVE, None)
    assert (wrong.verdict, wrong.passes, wrong.accuracy) == (BELOW, False, 0.5)
    assert (none.verdict, none.passes, none.note) == (NOT_JUDGED, None, "nothing")
    assert lost.verdict == NOT_JUDGED
    assert "gone.csv" in lost.note
    assert {(pair.students, pair.apart) for pair in result.alike} == {
        (("right", "copier"), 2), (("right", "twin"), 0), (("copier", "twin"), 2)}
    assert all(pair.probability is not None and pair.probability * result.pairs < 0.05 for pair in result.alike)
    assert result.pairs == 10
    assert wrong.p is not None
    assert wrong.p_adjusted is not None
    assert wrong.p < wrong.p_adjusted < 1e-3


def test_collapsed_models_are_no_pair() -> None:
    ones = np.ones(1000, dtype=np.int64)
    result = judge([claim("ada", "", ones), claim("bob", "", ones), claim("cy", "", PREDICTED_RN[5])], REFERENCE, TRUTH,
                   DISAGREEMENT)
    assert (result.alike, result.pairs) == ((), 0)
    assert [(one.measured, "one class" in one.note) for one in result.judged] == [(0.0, True)] * 2 + [(0.74, False)]


def test_right_solutions_are_not_found_alike_or_different() -> None:
    result = judge([claim(f"run {place}", "", label_N) for place, label_N in enumerate(PREDICTED_RN[5:])],
                   REFERENCE, TRUTH, DISAGREEMENT)
    assert not result.alike
    assert {one.verdict for one in result.judged} == {WITHIN}
    assert all(one.passes for one in result.judged)


def test_without_runs_and_other_students_only_equal_predictions_are_said() -> None:
    own, near = PREDICTED_RN[5], PREDICTED_RN[5].copy()
    near[0] = 1 - near[0]
    result = judge([claim("a", "", own), claim("b", "", own), claim("c", "", near)],
                   Reference.of_numbers(REFERENCE.accuracy, 0.01, 5, 1000), TRUTH)
    (pair,) = result.alike
    assert (pair.students, pair.apart, pair.probability) == (("a", "b"), 0, None)


def test_without_runs_nearly_equal_predictions_are_found_beside_those_of_other_students() -> None:
    copied = PREDICTED_RN[5].copy()
    copied[:3] = 1 - copied[:3]
    others = {f"student {place}": label_N for place, label_N in enumerate(PREDICTED_RN)}
    result = judge([claim(name, "", label_N) for name, label_N in {**others, "copier": copied}.items()],
                   Reference.of_numbers(REFERENCE.accuracy, 0.01, 5, 1000), TRUTH)
    (pair,) = result.alike
    assert (pair.students, pair.apart) == (("student 5", "copier"), 3)
    assert pair.usual is not None
    assert pair.usual.runs == 7
    assert result.exit_code == ExitCode.NOT_FINE
    without = judge([claim(name, "", label_N) for name, label_N in others.items()],
                    Reference.of_numbers(REFERENCE.accuracy, 0.01, 5, 1000), TRUTH)
    assert not without.alike
    assert without.exit_code == ExitCode.DONE


def test_the_exit_code_says_whether_all_is_fine_or_could_not_be_judged() -> None:
    def code(*claims: Claim) -> ExitCode:
        return judge(claims, REFERENCE, TRUTH, DISAGREEMENT).exit_code

    right = claim("right", "", PREDICTED_RN[5])
    assert code(right) == ExitCode.DONE
    assert code(right, claim("liar", "99.1", PREDICTED_RN[6])) == ExitCode.NOT_FINE
    assert code(right, claim("wrong", "50")) == ExitCode.NOT_FINE
    assert code(right, claim("wrong", "50"), Claim("none", None, None, "nothing")) == ExitCode.NOT_JUDGED


def test_predictions_without_true_classes_are_not_judged() -> None:
    result = judge([claim("a", "84", PREDICTED_RN[5])], Reference.of_numbers(0.84, 0.01, 5, 1000), None)
    assert "--truth" in result.judged[0].note
    assert (result.judged[0].verdict, result.judged[0].passes, result.judged[0].p) == (NOT_JUDGED, None, None)


def test_predictions_that_cannot_be_scored_are_not_judged_by_what_is_claimed() -> None:
    result = judge([Claim("lost", parsed_accuracy("95"), Path("gone.csv")), claim("right", "", PREDICTED_RN[5])],
                   REFERENCE, TRUTH)
    lost, right = result.judged
    assert (lost.claimed, lost.verdict, lost.passes, lost.difference) == (0.95, NOT_JUDGED, None, None)
    assert result.family == 1
    assert right.p == right.p_adjusted


def test_a_claim_that_cannot_be_read_is_said_beside_predictions() -> None:
    path = Path("claims.csv")
    path.write_text("student,accuracy,predictions\na,about 85,a.csv\n", encoding="utf-8")
    predictions("a", PREDICTED_RN[5])
    one, = judge(read_claims(path), REFERENCE, TRUTH).judged
    assert "about 85" in one.note
    assert (one.verdict, one.passes, one.agrees) == (WITHIN, True, None)
