"""Which confirmation runs belong together, which are left out, and which models can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.document.numbers import MISSING
from gru_bench.document.report import Report
from gru_bench.evidence.collect import collect
from gru_bench.report.sections.comparisons import comparisons
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.summary import groups_named
from gru_bench.stats.estimate import accuracy_difference, accuracy_interval
from gru_bench.stats.verdict import Finding
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models, with_data
from tests.support.renderings import all_said, column_of, number_in
from tests.support.reports import build
from tests.support.sections import build_only
from tests.support.values import present

FEW, OTHERS = TestSet.draw(60), TestSet.draw(60, seed=1)


@pytest.fixture
def scratch() -> tuple[FakeStore, LoggedStudy]:
    """A study of one model with five seeds."""
    store = FakeStore()
    return store, add_study(store, "scratch", {"scratch": 0.0}, test_set=FEW)


def evaluated(store: FakeStore, *studies: LoggedStudy) -> Report:
    """Return a report with the results alone."""
    return build_only(studies, store, evaluation)


def seeds_of(report: Report) -> float:
    """Return the seeds of the only model."""
    (cell,) = [cell for cell in column_of(report, "results", "Seeds") if cell != MISSING]
    return float(number_in(cell).value)


def test_two_studies_of_one_model_are_labelled_by_the_name_of_the_study() -> None:
    store = FakeStore()
    add_study(store, "small", {"torch": 0.0}, test_set=FEW)
    add_study(store, "large", {"torch": 0.1}, test_set=FEW)
    evidence = collect(store.by_experiment["movie-reviews"], store)
    assert [group.label for group in evidence.groups] == ["Torch GRU (small)", "Torch GRU (large)"]
    assert len(evidence.compared) == 1


@pytest.mark.parametrize(("texts", "fingerprint"), [(FEW, "other"), (OTHERS, "3f6c90d2a41b")])
def test_models_on_other_data_or_test_texts_are_left_out_and_named(texts: TestSet, fingerprint: str) -> None:
    store = FakeStore()
    add_study(store, "here", {"torch": 0.0}, test_set=FEW)
    add_study(store, "there", {"bidirectional": 0.1}, test_set=texts, fingerprint=fingerprint)
    report = build_only(store.by_experiment["movie-reviews"], store, comparisons)
    assert [pair.models for pair in report.findings.pairs] == [("torch", "tfidf")]
    mentions(all_said(report.warnings), "Bidirectional GRU was scored on other test texts than Torch GRU", "left out")


def test_the_order_of_examples_in_a_file_does_not_matter() -> None:
    store, studies = three_models(test_set=FEW)
    shuffled = FakeStore(metrics=store.metrics)
    rng = np.random.default_rng(0)
    for key, p in store.predicted.items():
        order_N = rng.permutation(len(p))
        shuffled.predicted[key] = type(p)(
            p.example_id_N[order_N], p.label_N[order_N], p.probability_NC[order_N], p.category_N[order_N],
            p.tokens_N[order_N], p.dropped_N[order_N],
        )
    once, again = ([one.number("difference") for one in collect(studies, where).compared]
                   for where in (store, shuffled))
    assert len(once) == 3
    assert again == once


def test_a_run_that_did_not_complete_is_left_out_and_its_seed_is_named() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=3, failed=1, test_set=FEW)
    lost = study.confirms[-1].run_id
    store.predicted[lost, "test"] = store.predicted[study.confirms[0].run_id, "test"]
    report = evaluated(store, study)
    assert seeds_of(report) == 3
    mentions(all_said(report.warnings), "1 confirmation run is not complete", "seed 1003")


def test_a_run_scored_on_other_examples_is_left_out_and_named(scratch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = scratch
    odd = study.confirms[2].run_id
    store.predicted[odd, "test"] = OTHERS.predictions(np.random.default_rng(0), np.zeros(60), 0.0)
    report = evaluated(store, study)
    assert seeds_of(report) == 4
    mentions(all_said(report.warnings), f"run {odd}", "other test texts", "left out")


def test_a_run_without_predictions_is_left_out_and_named(scratch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = scratch
    bare = study.confirms[0].run_id
    del store.predicted[bare, "test"]
    report = evaluated(store, study)
    assert seeds_of(report) == 4
    mentions(all_said(report.warnings), f"run {bare}", "no readable test predictions", "left out")


def test_the_report_warns_of_a_logged_accuracy_that_differs_from_the_predictions(
    scratch: tuple[FakeStore, LoggedStudy]
) -> None:
    store, study = scratch
    wrong = replace(study.confirms[0], metrics={**study.confirms[0].metrics, "score/test_accuracy": 0.99})
    report = evaluated(store, replace(study, confirms=(wrong, *study.confirms[1:])))
    mentions(all_said(report.warnings), f"test accuracy logged by the run {wrong.run_id} differs")
    assert "differs" not in all_said(evaluated(store, study).warnings)


def test_runs_of_an_earlier_configuration_are_left_out_and_counted(scratch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = scratch
    old = tuple(
        replace(run, params={**run.params, "training.lr": "0.5"}, started=run.started - 1e6)
        for run in study.confirms[:2]
    )
    report = evaluated(store, replace(study, confirms=(*old, *study.confirms[2:])))
    assert seeds_of(report) == 3
    mentions(all_said(report.warnings), "2 confirmation runs are left out", "earlier settings")


def test_the_newer_of_two_runs_of_one_seed_counts(scratch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = scratch
    again = replace(study.confirms[0], run_id="again", started=study.confirms[0].started + 1e6)
    store.predicted["again", "test"] = store.predicted[study.confirms[1].run_id, "test"]
    store.metrics["again"] = store.metrics[study.confirms[1].run_id]
    report = evaluated(store, replace(study, confirms=(*study.confirms, again)))
    assert seeds_of(report) == 5
    runs = report.numbers["scratch-scratch.accuracy"].runs
    assert "again" in runs
    assert study.confirms[0].run_id not in runs


def test_planned_seeds_without_a_run_are_named(scratch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = scratch
    report = evaluated(store, replace(study, confirms=study.confirms[:3]))
    mentions(all_said(report.warnings), "Scratch GRU: 2 planned seeds without a run", "1003, 1004")


def test_the_report_warns_of_a_confirmation_set_that_was_extended(scratch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = scratch
    assert "extended" not in all_said(evaluated(store, study).warnings)
    grown = replace(study, run=replace(study.run, params={"confirm": "3"}))
    mentions(all_said(evaluated(store, grown).warnings), "scratch was started with 3 confirmation seeds", "now has 5")


def grouped(groups: int, **options: Any) -> tuple[FakeStore, list[LoggedStudy]]:
    """Return three studies whose test examples are in so many groups."""
    store, studies = three_models(**options)
    for key, found in store.predicted.items():
        group_N = np.array([f"film {n}" for n in np.arange(len(found)) % groups])
        store.predicted[key] = replace(found, group_N=group_N)
    return store, studies


def test_scores_and_differences_allow_for_the_strata_that_a_split_by_groups_was_drawn_from() -> None:
    store, studies = grouped(60, test_set=TestSet.draw(600))
    given = collect(studies, store)
    assert all(group.stratum_N is None for group in given.groups)
    drawn = collect([with_data(study, has_strata=True) for study in studies], store)
    for group, plain in zip(drawn.groups, given.groups, strict=True):
        traits = [f"{label} {category}" for label, category in zip(group.label_N, group.category_N, strict=True)]
        most = {name: max(sorted(set(own)), key=own.count) for name in set(present(group.group_N).tolist())
                for own in [[trait for trait, at in zip(traits, present(group.group_N), strict=True) if at == name]]}
        stratum_N = np.array([most[name] for name in present(group.group_N)])
        assert len(set(stratum_N.tolist())) == 4
        wanted = accuracy_interval(group.correct_RN, group.group_N, stratum_N)
        assert (group.accuracy.low, group.accuracy.high) == (wanted.low, wanted.high)
        assert group.accuracy.low != plain.accuracy.low
        part_N = group.category_N == "imdb"
        wanted = accuracy_interval(group.correct_RN[:, part_N], present(group.group_N)[part_N], stratum_N[part_N])
        assert group.accuracy_on(group.numbers.of("part"), part_N).low == wanted.low
    for pair, plain_pair in zip(drawn.compared, given.compared, strict=True):
        assert pair.difference.variance != plain_pair.difference.variance
    mentions(all_said(groups_named(drawn)), "60 groups", "(4 strata)")


def test_scores_and_differences_allow_for_the_groups_of_the_examples() -> None:
    store, studies = grouped(60, test_set=TestSet.draw(600))
    evidence = collect(studies, store)
    order_N = np.argsort(evidence.groups[0].example_N)
    assert order_N.tolist() == list(range(600))
    group_N = np.array([f"film {n}" for n in np.arange(600) % 60])
    for group in evidence.groups:
        wanted = accuracy_interval(group.correct_RN, group_N=group_N)
        assert (group.accuracy.low, group.accuracy.high) == (wanted.low, wanted.high)
        assert "groups" in group.accuracy.method
        part_N = group.category_N == "imdb"
        wanted = accuracy_interval(group.correct_RN[:, part_N], group_N=group_N[part_N])
        assert group.accuracy_on(group.numbers.of("part"), part_N).low == wanted.low
        assert group.accuracy_on(group.numbers.of("one"), group_N == "film 3").low is None
    for pair in evidence.compared:
        wanted = accuracy_difference(pair.a.correct_RN, pair.b.correct_RN, group_N=group_N)
        assert (pair.difference.variance, pair.difference.groups) == (wanted.variance, 60)
    assert build(studies, store).sections


def test_few_groups_give_no_verdict() -> None:
    store, studies = grouped(12, test_set=TestSet.draw(600))
    evidence = collect(studies, store)
    assert {pair.verdict.finding for pair in evidence.compared} == {Finding.TOO_FEW_GROUPS}
