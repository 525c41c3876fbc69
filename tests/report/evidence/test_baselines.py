"""Each model against a linear baseline on its data: which one, the difference, its test, and the warning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.checks import of_logged, warnings_of
from gru_bench.report.evidence.baselines import AgainstBaseline
from gru_bench.report.evidence.collect import collect
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.results.baselines import NGRAMS, REGULARIZATION, TFIDF
from gru_bench.stats.estimate import accuracy_difference
from gru_bench.stats.verdict import holm
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, correct, measured_as, with_answers, with_params
from tests.support.renderings import Built, table_of
from tests.support.sections import build_only
from tests.support.values import present

LINEAR = "TF-IDF + logistic regression"


def compared(store: FakeStore, *studies: LoggedStudy) -> list[AgainstBaseline]:
    return list(collect(studies, store).against)


def test_models_stand_against_the_linear_baseline(built: Built) -> None:
    store, studies, _ = built
    found = compared(store, *studies)
    assert [one.group.label for one in found] == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for one in found:
        assert one.baseline.name == LINEAR
        assert one.difference.value == present(one.group.score.value) - present(one.baseline.score.value)
        assert (one.difference.low, one.p.value, one.favours) == (None, None, None)  # no answers were kept
    assert [one.is_below for one in found] == [True, True, False]


@pytest.mark.parametrize(("validation", "chosen"), [((0.8, 0.9), 1), ((0.9, 0.8), 0), ((None, None), 0)])
def test_of_two_linear_baselines_validation_chooses_and_both_are_shown(
    validation: tuple[float | None, float | None], chosen: int
) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    majority, *two = with_answers(store, study, right_N, TFIDF, NGRAMS).baselines
    for place, value in enumerate(validation):
        metrics = {key: one for key, one in two[place].metrics.items() if key != "score/val_accuracy"}
        params = {**two[place].params, REGULARIZATION: "1.0"}
        two[place] = replace(two[place], params=params, metrics=metrics if value is None else {
            **metrics, "score/val_accuracy": value})
    study = replace(study, baselines=(majority, *two))
    (found,) = compared(store, study)
    assert found.baseline.of == two[chosen]
    report = build_only([study], store, evaluation)
    table = table_of(report, "results")
    assert [row[0] for row in table.context][1:] == [
        f"{LINEAR} (baseline)", "NB-weighted n-grams + logistic regression (baseline)"]
    assert ("without validation texts" in repr(table)) == (validation[0] is None)


@pytest.mark.parametrize("better", [0, 1])
def test_the_linear_baseline_with_the_lower_validation_loss_is_compared(better: int) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(100))
    losses = [0.3 if place == better else 0.6 for place in (0, 1)]
    both = [replace(measured_as(study.baselines[1], val_loss=loss, test_loss=loss), model=model)
            for model, loss in zip((TFIDF, NGRAMS), losses, strict=True)]
    (found,) = compared(store, with_params(replace(study, baselines=tuple(both)), metric="log_loss"))
    assert found.baseline.of == both[better]
    assert (found.favours, found.is_below) == (None, present(found.group.score.value) > 0.3)


@pytest.mark.parametrize(("skill", "below", "inside"), [(-0.3, True, False), (0.08, False, True), (0.03, True, True)])
def test_the_warning_says_whether_a_baseline_is_inside_the_interval(skill: float, below: bool, inside: bool) -> None:
    store = FakeStore()
    (found,) = compared(store, add_study(store, "one", {"torch": skill}))
    score = found.group.score
    assert (present(score.low) < 0.8731 < present(score.high)) == inside
    assert found.is_below == below == (present(score.value) < 0.8731)
    text = "".join(part if isinstance(part, str) else getattr(part, "text", "") for part in found.warning)
    mentions(text, f"Torch GRU ({score.text}", f"a {'worse' if below else 'better'} score than", f"{LINEAR} (87.3",
             f"{'within' if inside else 'outside'} the model's")


def test_models_are_tested_against_a_baseline_whose_answers_were_kept() -> None:
    """The difference, its interval and its p are those of the definition, and the verdicts follow them."""
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.5, "scratch": 0.0}, test_set=TestSet.draw(1000))
    torch_RN, scratch_RN = (correct(store, [run for run in study.confirms if run.model == model])
                            for model in ("torch", "scratch"))
    right_N = scratch_RN[0]
    found = compared(store, with_answers(store, study, right_N))
    expected = [accuracy_difference(right_RN, np.stack([right_N] * 5)) for right_RN in (torch_RN, scratch_RN)]
    p_B = holm([one.p for one in expected])
    for shown, one, p in zip(found, expected, p_B, strict=True):
        difference = shown.difference
        assert (difference.value, difference.low, difference.high) == (one.estimate, one.low, one.high)
        assert shown.p.value == p
    assert present(p_B[0]) < 0.05 < present(p_B[1])
    assert [one.favours for one in found] == [1, 0]


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_have_a_difference_from_the_baseline_and_no_test(seeds: int) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=seeds, test_set=TestSet.draw(300))
    right_N = correct(store, study.confirms)[0] ^ (np.arange(300) % 9 == 0)
    (found,) = compared(store, with_answers(store, study, right_N))
    assert found.difference.value is not None
    assert (found.difference.low is not None, found.p.value, found.favours) == (True, None, None)


@pytest.mark.parametrize(("groups", "is_tested"), [(12, False), (60, True)])
def test_few_groups_have_no_test_against_the_baseline(groups: int, is_tested: bool) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.5}, test_set=TestSet.draw(600))
    group_N = np.array([f"film {n % groups}" for n in range(600)])
    for key, predictions in store.predicted.items():
        if len(predictions) == 600:
            store.predicted[key] = replace(predictions, group_N=group_N)
    (found,) = compared(store, with_answers(store, study, np.arange(600) % 2 == 0))
    assert (found.p.value is not None, found.favours) == (is_tested, 1 if is_tested else None)


def test_the_test_against_a_baseline_allows_for_all_models_on_the_same_test_reviews() -> None:
    store, test_set = FakeStore(), TestSet.draw(1000)
    one, *others = [add_study(store, name, {"torch": skill}, test_set=test_set)
                    for name, skill in (("one", 0.4), ("two", 0.2), ("three", 0.1))]
    right_N = correct(store, others[-1].confirms)[0]
    (found,) = compared(store, with_answers(store, one, right_N))
    alone = accuracy_difference(correct(store, one.confirms), np.stack([right_N] * 5))
    assert found.p.value == pytest.approx(3 * present(alone.p))


def test_a_baseline_is_tested_only_against_models_on_its_own_data() -> None:
    store, studies = FakeStore(), []
    for seed, name in enumerate(("here", "there")):
        study = add_study(store, name, {"torch": 0.0}, test_set=TestSet.draw(300, seed=seed), fingerprint=name)
        studies.append(with_answers(store, study, correct(store, study.confirms)[0] ^ (np.arange(300) % 9 == 0)))
    found = compared(store, *studies)
    assert [one.p.key.rpartition("less-than-")[2] for one in found] == ["here-torch.p", "there-torch.p"]
    assert [one.baseline.fingerprint for one in found] == ["here", "there"]


def test_a_model_below_a_baseline_causes_a_warning() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    right_N[:60] = True
    studies = [with_answers(store, study, right_N)]
    (warning,) = warnings_of(of_logged(studies, store), "GRU010")
    (found,) = compared(store, *studies)
    mentions(warning.text, "Torch GRU", LINEAR, found.difference.text, f"p {found.p.text}"
             if found.p.text.startswith("<") else f"p = {found.p.text}")


def test_a_baseline_without_predictions_of_these_texts_is_not_tested() -> None:
    store = FakeStore()
    study = add_study(store, "low", {"torch": -0.3}, test_set=TestSet.draw(300))
    first = store.predicted[study.confirms[0].run_id, "test"]
    for spoilt in (None, first.of(np.arange(299))):
        if spoilt is not None:
            store.predicted[study.baselines[1].run_id, "test"] = spoilt
        (found,) = compared(store, study)
        assert (found.is_below, found.favours, found.p.value) == (True, None, None)


def test_a_model_that_shows_the_same_number_as_a_baseline_is_not_below_it() -> None:
    store = FakeStore()
    study = add_study(store, "even", {"torch": 0.08}, test_set=TestSet.draw(400))
    level = compared(store, study)[0].group.score
    for shift in (-0.0003, 0.0003):
        shown = round(present(level.value), 3)
        linear = measured_as(study.baselines[1], test_accuracy=shown + shift)
        (found,) = compared(store, replace(study, baselines=(linear,)))
        assert found.baseline.score.text == level.text
        assert not found.is_below
