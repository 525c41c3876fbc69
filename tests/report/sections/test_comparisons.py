"""How models are compared, how the tests are corrected, and when the report warns of its own intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.document.blocks import Table
from gru_bench.evidence.collect import collect
from gru_bench.evidence.verdicts import verdict_sentence
from gru_bench.report.sections.comparisons import comparisons
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.stats.estimate import accuracy_difference
from gru_bench.stats.verdict import holm
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import (
    FakeStore,
    TestSet,
    answered,
    correct,
    one_each,
    three_models,
    with_params,
)
from tests.support.renderings import Built, column_of, said, table_of
from tests.support.sections import build_only
from tests.support.values import present

PAIRS = [("torch", "scratch"), ("bidirectional", "scratch"), ("bidirectional", "torch")]


def test_pairs_are_compared_by_the_headline_method(built: Built) -> None:
    store, studies, report = built
    by_name = {study.run.name: correct(store, study.confirms) for study in studies}
    numbers, p = report.numbers, []
    for a, b in PAIRS:
        pair = f"pair.{a}-{a}.{b}-{b}"
        expected = accuracy_difference(by_name[a], by_name[b])
        difference = numbers[f"{pair}.difference"]
        assert (difference.value, difference.low, difference.high) == (expected.estimate, expected.low, expected.high)
        p.append(expected.p)
    tests = [present(pair.tests) for pair in collect(studies, store).compared]
    assert [one.different for one in tests] == holm(p)
    # The best models come first.
    assert column_of(report, "comparisons", "Pair") == [
        "Bidirectional GRU − Torch GRU", "Bidirectional GRU − Scratch GRU", "Torch GRU − Scratch GRU",
        "Bidirectional GRU − TF-IDF", "Torch GRU − TF-IDF", "Scratch GRU − TF-IDF"]
    assert [said(finding) for finding in column_of(report, "comparisons", "Verdict")[:3]] == [
        "bettertwo-sided test"] * 2 + ["inconclusivetwo-sided test"]
    assert [one.value for one in column_of(report, "comparisons", "p")[:3]] == [
        tests[2].different, tests[1].different, tests[0].different]


def test_the_run_with_the_lower_log_loss_wins() -> None:
    store, studies = one_each({"scratch": 0.0, "torch": 0.05}, test_set=TestSet.draw(100))
    report = build_only([with_params(study, metric="log_loss") for study in studies], store, comparisons)
    scratch, torch = ([run.metrics["score/test_loss"] for run in study.confirms] for study in studies)
    pair = column_of(report, "comparisons", "Pair")[0]
    assert pair == ("Torch GRU − Scratch GRU" if np.mean(torch) < np.mean(scratch) else "Scratch GRU − Torch GRU")
    difference = column_of(report, "comparisons", "Difference")[0]
    assert difference.value == pytest.approx(-abs(np.mean(torch) - np.mean(scratch)))


def test_equivalence_is_shown_with_its_90_percent_interval(built: Built) -> None:
    store, studies, _ = built
    wide = build_only(studies, store, comparisons, margin=0.1)
    narrow = wide.numbers["pair.torch-torch.scratch-scratch.difference-90"].ends[0]
    scratch, torch = (correct(store, study.confirms) for study in studies[:2])
    estimate = accuracy_difference(torch, scratch).at(0.9)
    assert narrow.value == estimate.low
    pairs = column_of(wide, "comparisons", "Pair")
    place = pairs.index("Torch GRU − Scratch GRU")
    mentions(said(column_of(wide, "comparisons", "Verdict")[place]), "equivalent within 10.0", "two one-sided tests")
    assert said(column_of(wide, "comparisons", "Interval for equivalence")[place]).startswith(f"[{narrow.text}, ")
    assert narrow.method.startswith("90 % interval")
    p = column_of(wide, "comparisons", "p")[place]
    assert p.value == present(collect(studies, store, 0.1).compared[0].tests).equivalent


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_the_table_has_the_same_columns_whatever_the_seeds(seeds: int) -> None:
    store, studies = three_models(seeds=seeds, test_set=TestSet.draw(50))
    table: Table = table_of(build_only(studies, store, comparisons), "comparisons")
    assert [column.heading for column in table.columns] == [
        "Pair", "Difference", "Verdict", "p", "Interval for equivalence", "MDD"]


def spread_out(store: FakeStore, study: LoggedStudy, shares: tuple[float, ...]) -> None:
    """Make the seeds of a study answer such shares of the test reviews rightly."""
    for run, share in zip(study.confirms, shares, strict=True):
        p = store.predicted[run.run_id, "test"]
        store.predicted[run.run_id, "test"] = answered(p, np.arange(len(p)) < share * len(p))


def test_a_perfect_score_is_neither_certain_nor_proof_of_equivalence() -> None:
    few = TestSet.draw(31)
    few = replace(few, ease_N=np.full(31, 20.0))  # so easy that no run errs
    store, studies = three_models(seeds=10, test_set=few)
    evidence = collect(studies, store)
    numbers = build_only(studies, store, evaluation).numbers
    for model in ("scratch", "torch", "bidirectional"):
        accuracy, f1 = (numbers[f"{model}-{model}.{name}"] for name in ("accuracy", "f1"))
        assert accuracy.value == 1.0
        assert present(accuracy.low) < 0.9
        assert present(f1.low) < 0.9
    for one in evidence.compared:
        text = said(verdict_sentence(one))
        mentions(text, "Inconclusive", "cannot show equivalence within 1.0 points", "at least 299")
        assert "difference of 0.0 points" not in text
