"""Which confirm runs belong together, which are left out, and which models can be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gru_bench.report.build import build
from gru_bench.report.document.report import Report
from gru_bench.report.evidence.collect import collect
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import Built, all_said, column_of, table_of, words_of


def seeds_of(report: Report) -> float:
    """Return the seeds of the only model."""
    (seeds,) = column_of(report, "evaluation", "Seeds")
    return float(seeds.value)


def test_two_studies_of_one_model_are_told_apart() -> None:
    store = FakeStore()
    add_study(store, "small", {"torch": 0.0})
    add_study(store, "large", {"torch": 0.1})
    evidence = collect(store.by_experiment["movie-reviews"], store)
    assert [group.label for group in evidence.groups] == ["Torch GRU (small)", "Torch GRU (large)"]
    assert len(evidence.compared) == 1


def test_other_data_is_not_compared() -> None:
    store = FakeStore()
    add_study(store, "here", {"torch": 0.0})
    add_study(store, "there", {"bidirectional": 0.1}, test_set=TestSet.draw(seed=1), fingerprint="other")
    report = build(store.by_experiment["movie-reviews"], store)
    assert "differences" not in [figure.name for figure in report.figures]
    assert "not compared: their data or their splits differ" in words_of(report, "comparisons")
    assert {"categories-1", "categories-2"} <= {figure.name for figure in report.figures}
    # A baseline is context for its own data alone.
    assert [row[0] for row in table_of(report, "evaluation").context] == [
        f"{name} (data {place}) (baseline)" for place in (1, 2)
        for name in ("majority class", "TF-IDF + logistic regression")]


def test_the_same_data_with_other_test_examples_is_not_compared() -> None:
    store = FakeStore()
    add_study(store, "here", {"torch": 0.0})
    add_study(store, "there", {"bidirectional": 0.1}, test_set=TestSet.draw(seed=1))
    report = build(store.by_experiment["movie-reviews"], store)
    assert "not compared: their test examples differ" in words_of(report, "comparisons")


def test_the_order_of_examples_in_a_file_does_not_matter(built: Built) -> None:
    store, studies, _ = built
    shuffled = FakeStore(metrics=store.metrics)
    rng = np.random.default_rng(0)
    for key, p in store.predicted.items():
        order_N = rng.permutation(len(p))
        shuffled.predicted[key] = type(p)(
            p.example_id_N[order_N], p.label_N[order_N], p.probability_N[order_N], p.category_N[order_N],
            p.tokens_N[order_N], p.dropped_N[order_N],
        )
    once, again = ([one.theta for one in collect(studies, where).compared] for where in (store, shuffled))
    assert len(once) == 3
    assert again == once


def test_a_run_scored_on_other_examples_is_left_out_and_named() -> None:
    store, (study, *_) = three_models()
    odd = study.confirms[2].run_id
    store.predicted[odd, "test"] = TestSet.draw(seed=5).predictions(np.random.default_rng(0), np.zeros(2000), 0.0)
    report = build([study], store)
    assert seeds_of(report) == 4
    assert f"the run {odd} was scored on other test examples and is left out" in all_said(report.cautions)


def test_a_run_without_predictions_is_left_out_and_named() -> None:
    store, (study, *_) = three_models()
    bare = study.confirms[0].run_id
    del store.predicted[bare, "test"]
    report = build([study], store)
    assert seeds_of(report) == 4
    assert f"the run {bare} has no readable test predictions and is left out" in all_said(report.cautions)


def test_a_logged_accuracy_that_the_predictions_contradict_is_said() -> None:
    store, (study, *_) = three_models()
    liar = replace(study.confirms[0], metrics={**study.confirms[0].metrics, "score/test_accuracy": 0.99})
    report = build([replace(study, confirms=(liar, *study.confirms[1:]))], store)
    assert f"the test accuracy logged by the run {liar.run_id} differs from that" in all_said(report.cautions)


def test_runs_of_an_earlier_configuration_are_left_out_and_counted() -> None:
    store, (study, *_) = three_models()
    old = tuple(
        replace(run, params={**run.params, "training.lr": "0.5"}, started=run.started - 1e6)
        for run in study.confirms[:2]
    )
    report = build([replace(study, confirms=(*old, *study.confirms[2:]))], store)
    assert seeds_of(report) == 3
    assert "2 confirm runs are left out (earlier settings or other data)" in all_said(report.cautions)


def test_a_seed_run_twice_counts_once_and_the_newer_stands() -> None:
    store, (study, *_) = three_models()
    again = replace(study.confirms[0], run_id="again", started=study.confirms[0].started + 1e6)
    store.predicted["again", "test"] = store.predicted[study.confirms[1].run_id, "test"]
    store.metrics["again"] = store.metrics[study.confirms[1].run_id]
    report = build([replace(study, confirms=(*study.confirms, again))], store)
    assert seeds_of(report) == 5
    runs = column_of(report, "evaluation", "Accuracy")[0].runs
    assert "again" in runs
    assert study.confirms[0].run_id not in runs


def test_planned_seeds_without_a_run_are_named() -> None:
    store, (study, *_) = three_models()
    report = build([replace(study, confirms=study.confirms[:3])], store)
    assert "Scratch GRU: 2 planned seeds without a run: 1003, 1004." in all_said(report.cautions)


def test_a_confirm_set_that_has_grown_is_disclosed() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))
    assert "extended" not in all_said(build([study], store).cautions)
    grown = replace(study, run=replace(study.run, params={"confirm": "3"}))
    text = all_said(build([grown], store).cautions)
    assert "The confirm set of torch was extended: the study began with 3 seeds for each model and now has 5." in text
