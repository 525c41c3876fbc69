"""Ablations are paired differences on validation; tuning and lost runs are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.evaluation import statistics
from gru_bench.evaluation.statistics import Finding
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.homework.ablations import chance_first
from tests.support.fake_store import correct
from tests.support.homework_study import ABLATIONS, homework, homework_report
from tests.support.renderings import Built, table_of, words_of
from tests.support.values import present


def test_ablations_are_paired_differences_on_validation(made: Built) -> None:
    store, (study,), report = made
    rows = table_of(report, "of-homework-ablations").rows
    p = []
    for ablation, row in zip(ABLATIONS, rows, strict=True):
        usual, other = (correct(store, study.side(ablation.name, side), "validation") for side in ("usual", "other"))
        expected = statistics.accuracy_difference(other, usual)
        _, before, after, difference, _, _ = row
        assert (before.value, after.value) == (usual.mean(), other.mean())
        assert (difference.value, difference.low, difference.high) == (
            expected.estimate, expected.low, expected.high,
        )
        assert set(difference.runs) == {run.run_id for side in ("usual", "other")
                                        for run in study.side(ablation.name, side)}
        p.append(expected.p)
    assert [row[4].value for row in rows] == statistics.holm(p)
    text = words_of(report, "ablations")
    assert "The pooling “final” is better than the pooling “last” by more than 1.0 points: +" in text
    assert ("The checkpoint with the best validation score and the checkpoint with the lowest training loss are "
            "equivalent within 1.0") in text
    assert "The learning rate 0.001 is better than the learning rate 0.0001" in text


def test_no_test_review_enters_an_ablation(made: Built) -> None:
    store, (study,), _ = made
    store.reads.clear()
    build([study], store)
    ablations = {run.run_id for run in study.ablations if run.side != "tuning"}
    assert ablations <= set(store.reads)
    assert not any((run, "test") in store.predicted for run in ablations)


def test_what_was_tried_before_a_tuned_ablation_is_said(made: Built) -> None:
    _, (study,), report = made
    said = words_of(report, "ablations")
    assert ("How the learning rate was tuned. Validation accuracy of each value, with one run and one seed: "
            "0.0001: 70.0 %; 0.0003: 72.0 %; 0.001: 74.0 %. The best, the learning rate 0.001, is compared with the "
            "protocol above. Of the reviews that judge it here, 10.0 % were also used to choose it, which favors it."
            ) in said
    tried = study.side("lr", "tuning")
    assert [report.numbers()[f"of-homework.ablation.lr.tuning.{place}"].runs for place in (1, 2, 3)] == [
        (run.run_id,) for run in tried]


def test_how_far_a_choice_is_judged_by_the_reviews_it_was_chosen_by_is_said() -> None:
    store, (study,) = homework()
    (first, *_), (judge, *_) = study.side("lr", "tuning"), study.side("lr", "usual")
    kept = store.predicted[first.run_id, "validation"]
    store.predicted[first.run_id, "validation"] = store.predicted[judge.run_id, "validation"]
    said = words_of(build([study], store), "ablations")
    assert "Of the reviews that judge it here, 100.0 % were also used to choose it, which favors it." in said
    store.predicted[first.run_id, "validation"] = replace(kept, example_id_N=np.char.add("x", kept.example_id_N))
    said = words_of(build([study], store), "ablations")
    assert "Of the reviews that judge it here, 0.0 % were also used to choose it." in said
    del store.predicted[first.run_id, "validation"]
    assert "The reviews it was chosen on are not known" in words_of(build([study], store), "ablations")


def test_a_candidate_without_a_result_is_named() -> None:
    store, (study,) = homework()
    broken = tuple(replace(run, complete=run.params.get("training.lr") != "0.0003") for run in study.ablations)
    said = words_of(build([replace(study, ablations=broken)], store), "ablations")
    assert "0.0001: 70.0 %; 0.001: 74.0 %. No result from 0.0003. The best" in said


def test_a_candidate_whose_settings_cannot_be_read_is_named() -> None:
    store, (study,) = homework()
    first = study.side("lr", "tuning")[0]
    broken = tuple(replace(run, params={"training.lr": "?"}) if run is first else run for run in study.ablations)
    said = words_of(build([replace(study, ablations=broken)], store), "ablations")
    assert ("one seed: 0.0003: 72.0 %; 0.001: 74.0 %. No result from the run "
            f"{first.run_id}, whose settings cannot be read.") in said


def test_candidates_that_read_alike_are_all_shown() -> None:
    store, (study,) = homework()
    alike = {"0.0003": "0.0010004"}
    runs = tuple(replace(run, params={name: alike.get(value, value) for name, value in run.params.items()})
                 for run in study.ablations)
    said = words_of(build([replace(study, ablations=runs)], store), "ablations")
    assert "0.0001: 70.0 %; 0.001: 74.0 %; 0.001: 72.0 %. The best" in said


def test_a_choice_that_costs_is_called_worse() -> None:
    store, (study,) = homework(ablations=(replace(ABLATIONS[0], usual={"model.pooling": "final"},
                                                  other={"model.pooling": "last"}),))
    swap = {"usual": "other", "other": "usual"}
    study = replace(study, ablations=tuple(
        replace(run, tags={**run.tags, "gru_bench.side": swap[run.side]}) for run in study.ablations))
    report = build([study], store)
    (row,) = table_of(report, "of-homework-ablations").rows
    assert row[5] == "worse by more than the margin"
    assert row[3].value < 0
    words = words_of(report, "ablations")
    assert "The pooling “last” is worse than the pooling “final” by more than 1.0 points: −" in words


def test_an_ablation_whose_tuning_found_nothing_better_has_one_side() -> None:
    said = words_of(homework_report(ablations=(replace(ABLATIONS[2], other=ABLATIONS[2].usual),)), "ablations")
    assert "No value was better than the protocol’s own, so there is nothing to compare." in said
    assert "complete run" not in said


@pytest.mark.parametrize(("seeds", "words"), [(1, "from 1 seed"), (2, "from 2 seeds: an estimate only"),
                                              (3, "from 3 seeds (at least 5 are needed)")])
def test_ablations_of_few_seeds_say_less(seeds: int, words: str) -> None:
    report = homework_report(ablation_seeds=seeds)
    row = table_of(report, "of-homework-ablations").rows[0]
    assert (row[3].low is None) == (seeds == 2)
    assert row[4].text == MISSING
    assert row[5] == Finding.TOO_FEW_SEEDS.value
    assert words in words_of(report, "ablations")


def test_runs_of_ablations_are_counted_among_all_runs(made: Built) -> None:
    complete = made.report.numbers()["runs-homework-ablation.complete"]
    assert complete.value == 23
    assert set(complete.runs) == {run.run_id for run in made.studies[0].ablations}


def test_an_ablation_without_runs_or_with_lost_ones_is_said(made: Built) -> None:
    store, (study,), _ = made
    lost = list(study.side("lr", "other"))
    kept = tuple(run for run in study.ablations if run not in lost)
    text = words_of(build([replace(study, ablations=kept)], store), "ablations")
    assert "same epochs? It cannot be answered: not every side has a complete run." in text
    broken = tuple(replace(run, complete=False) if run is lost[0] else run for run in study.ablations)
    text = words_of(build([replace(study, ablations=broken)], store), "ablations")
    assert "epochs? Runs that did not complete and are left out: 1." in text


def test_sides_scored_on_different_reviews_are_not_compared(made: Built) -> None:
    store, (study,), _ = made
    other = replace(store, predicted=dict(store.predicted))
    for run in study.side("pooling", "other"):
        kept = other.predicted[run.run_id, "validation"]
        other.predicted[run.run_id, "validation"] = replace(kept, example_id_N=np.char.add(kept.example_id_N, "x"))
    text = words_of(build([study], other), "ablations")
    assert "The two sides were scored on different reviews and are not compared." in text


def test_how_often_one_seed_each_would_name_another_winner() -> None:
    right = [np.array([5, 7]), np.array([6, 6]), np.array([4, 6])]
    # The eight draws: first of each by hand, ties shared.
    assert chance_first(right) == pytest.approx([4 / 8, (2 + 2 / 2) / 8, (2 / 2) / 8])
    report = homework_report(skills={"scratch": 0.0, "torch": 0.005, "bidirectional": 0.01})
    rows = table_of(report, "of-homework-one-seed").rows
    assert sum(row[3].value for row in rows) == pytest.approx(1)
    other = report.numbers()["of-homework.one-seed.other"]
    best = max(range(3), key=lambda place: rows[place][2].value)
    assert other.value == pytest.approx(1 - rows[best][3].value)
    assert present(other.value) > 0.05
    assert f"In {other.text} % of them a model other than {rows[best][0]}" in words_of(report, "ablations")


def test_reviews_without_a_known_word_are_counted_and_scored(made: Built) -> None:
    text = words_of(made.report, "ablations")
    assert "Test reviews without a known word: 3. Each is read as one step of zeros" in text
    assert "7 of the training reviews, 3 of the test reviews have no known word. Each" in words_of(
        made.report, "protocol")
    report = homework_report(empty=0, wordless={"train": 0, "test": 0})
    assert "Reviews with no known word" not in words_of(report, "ablations")
    assert "Every review has at least one word with a vector." in words_of(report, "protocol")
