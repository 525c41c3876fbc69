"""Ablations are paired differences on validation; the report describes their tuning and names missing runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.document.numbers import MISSING
from gru_bench.report.homework.ablations import ablations
from gru_bench.report.homework.protocol import protocol
from gru_bench.stats.estimate import accuracy_difference
from gru_bench.stats.verdict import holm
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, correct
from tests.support.homework_study import ABLATIONS, homework, homework_report
from tests.support.renderings import Built, said, table_of, words_of
from tests.support.sections import build_only
from tests.support.values import present


def words_on_ablations(store: FakeStore, study: LoggedStudy) -> str:
    """Return the words of the section on ablations."""
    return words_of(build_only([study], store, ablations), "ablations")


def test_ablations_are_paired_differences_on_validation(made: Built) -> None:
    store, (study,), report = made
    rows = table_of(report, "of-homework-ablations").rows
    p = []
    for ablation, row in zip(ABLATIONS, rows, strict=True):
        usual, other = (correct(store, study.side(ablation.name, side), "validation") for side in ("usual", "other"))
        expected = accuracy_difference(other, usual)
        (question, _), before, after, difference, *_ = row
        assert question == ablation.question
        assert (before.value, after.value) == (usual.mean(), other.mean())
        assert (difference.value, difference.low, difference.high) == (
            expected.estimate, expected.low, expected.high,
        )
        assert set(difference.runs) == {run.run_id for side in ("usual", "other")
                                        for run in study.side(ablation.name, side)}
        p.append(expected.p)
    assert [row[5].method for row in rows][1:] == [
        "two one-sided tests, Holm over 3 pairs", "two-sided test against the margin, Holm over 3 pairs"]
    assert [said(row[4][:-1]) for row in rows] == [
        "better by more than 1.0 points", "equivalent within 1.0 points", "better by more than 1.0 points"]
    assert all(present(row[5].value) >= present(alone) for row, alone in zip(rows, holm(p), strict=True)
               if "better" in said(row[4]))


def test_no_test_review_enters_an_ablation(made: Built) -> None:
    store, (study,), _ = made
    store.reads.clear()
    build_only([study], store, ablations)
    runs = {run.run_id for run in study.ablations if run.side != "tuning"}
    assert runs <= set(store.reads)
    assert not any((run, "test") in store.predicted for run in runs)


def test_the_values_tried_for_a_tuned_ablation_are_listed_with_their_accuracies(made: Built) -> None:
    _, (study,), report = made
    mentions(words_of(report, "ablations"), "0.0001: 70.0 %; 0.0003: 72.0 %; 0.001: 74.0 %.",
             "The best, the learning rate 0.001", "10.0 % were also used to choose it")
    tried = study.side("lr", "tuning")
    assert [report.numbers[f"of-homework.ablation.lr.tuning.{place}"].runs for place in (1, 2, 3)] == [
        (run.run_id,) for run in tried]


def test_the_report_says_how_many_reviews_both_chose_a_value_and_judge_it() -> None:
    store, (study,) = homework()
    (first, *_), (judge, *_) = study.side("lr", "tuning"), study.side("lr", "usual")
    kept = store.predicted[first.run_id, "validation"]
    store.predicted[first.run_id, "validation"] = store.predicted[judge.run_id, "validation"]
    assert "100.0 % were also used to choose it" in words_on_ablations(store, study)
    store.predicted[first.run_id, "validation"] = replace(kept, example_id_N=np.char.add("x", kept.example_id_N))
    mentions(words_on_ablations(store, study), " 0.0 % were also used to choose it")
    del store.predicted[first.run_id, "validation"]
    mentions(words_on_ablations(store, study), "reviews it was chosen on are not known")


def test_a_candidate_without_a_result_is_named(made: Built) -> None:
    store, (study,), _ = made
    broken = tuple(replace(run, complete=run.params.get("training.lr") != "0.0003") for run in study.ablations)
    mentions(words_on_ablations(store, replace(study, ablations=broken)), "0.0001: 70.0 %; 0.001: 74.0 %.",
             "No result from 0.0003")


def test_a_candidate_whose_settings_cannot_be_read_is_named(made: Built) -> None:
    store, (study,), _ = made
    first = study.side("lr", "tuning")[0]
    broken = tuple(replace(run, params={"training.lr": "?"}) if run is first else run for run in study.ablations)
    mentions(words_on_ablations(store, replace(study, ablations=broken)), ": 0.0003: 72.0 %; 0.001: 74.0 %.",
             f"No result from the run {first.run_id}", "cannot be read")


def test_candidates_that_round_to_the_same_value_are_all_shown(made: Built) -> None:
    store, (study,), _ = made
    alike = {"0.0003": "0.0010004"}
    runs = tuple(replace(run, params={name: alike.get(value, value) for name, value in run.params.items()})
                 for run in study.ablations)
    mentions(words_on_ablations(store, replace(study, ablations=runs)), "0.0001: 70.0 %; 0.001: 74.0 %; 0.001: 72.0 %.")


def test_a_change_that_lowers_accuracy_is_called_worse() -> None:
    store, (study,) = homework(ablations=(replace(ABLATIONS[0], usual={"model.pooling": "final"},
                                                  other={"model.pooling": "last"}),))
    swap = {"usual": "other", "other": "usual"}
    study = replace(study, ablations=tuple(
        replace(run, tags={**run.tags, "gru_bench.side": swap[run.side]}) for run in study.ablations))
    report = build_only([study], store, ablations)
    (row,) = table_of(report, "of-homework-ablations").rows
    assert said(row[4]).startswith("worse by more than 1.0 points")
    assert row[3].value < 0


def test_nothing_is_compared_if_the_tuning_found_nothing_better() -> None:
    report = homework_report(ablations, ablations=(replace(ABLATIONS[2], other=ABLATIONS[2].usual),))
    words = words_of(report, "ablations")
    mentions(words, "No value was better", "nothing to compare")
    assert "complete run" not in words


@pytest.mark.parametrize(("seeds", "qualifier"), [(1, "these runs only"), (2, "few seeds"), (3, "few seeds")])
def test_an_ablation_with_fewer_than_five_seeds_is_labelled(seeds: int, qualifier: str) -> None:
    report = homework_report(ablations, ablation_seeds=seeds)
    row = table_of(report, "of-homework-ablations").rows[0]
    assert row[3].low is not None
    assert row[5].text != MISSING
    assert said(row[4]).endswith(qualifier)


def test_runs_of_ablations_are_counted_among_all_runs(made: Built) -> None:
    complete = made.report.numbers["runs-homework-ablation.complete"]
    assert complete.value == 23
    assert set(complete.runs) == {run.run_id for run in made.studies[0].ablations}


def test_an_ablation_without_complete_runs_on_one_side_has_no_answer(made: Built) -> None:
    store, (study,), _ = made
    kept = tuple(run for run in study.ablations if run not in study.side("lr", "other"))
    mentions(words_on_ablations(store, replace(study, ablations=kept)), "cannot be answered",
             "not every side has a complete run")


def test_runs_of_an_ablation_that_did_not_complete_are_left_out_and_counted(made: Built) -> None:
    store, (study,), _ = made
    lost = study.side("lr", "other")[0]
    broken = tuple(replace(run, complete=False) if run is lost else run for run in study.ablations)
    mentions(words_on_ablations(store, replace(study, ablations=broken)), "Incomplete runs that are left out: 1.")


def test_sides_scored_on_different_reviews_are_not_compared(made: Built) -> None:
    store, (study,), _ = made
    other = replace(store, predicted=dict(store.predicted))
    for run in study.side("pooling", "other"):
        kept = other.predicted[run.run_id, "validation"]
        other.predicted[run.run_id, "validation"] = replace(kept, example_id_N=np.char.add(kept.example_id_N, "x"))
    mentions(words_on_ablations(other, study), "different reviews", "not compared")


def test_reviews_without_a_known_word_are_counted(made: Built) -> None:
    mentions(words_of(made.report, "protocol"), "7 of the training reviews, 3 of the test reviews have no known word")
    report = homework_report(protocol, empty=0, wordless={"train": 0, "test": 0})
    mentions(words_of(report, "protocol"), "Every review has at least one word with a vector")
