"""A report as a whole: how models are compared, how the tests are corrected, and what the reader is told first."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from gru_bench.errors import RunError
from gru_bench.evaluation import statistics
from gru_bench.evaluation.statistics import Finding
from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING, Number
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore, TestSet, add_study, correct, three_models
from tests.support.renderings import Built, all_said, said
from tests.support.values import present


def test_pairs_are_compared_by_the_headline_method(built: Built) -> None:
    store, studies, report = built
    by_name = {study.run.name: correct(store, study.confirms) for study in studies}
    p = []
    for pair, (a, b) in zip(
        report.comparisons,
        [("torch", "scratch"), ("bidirectional", "scratch"), ("bidirectional", "torch")],
        strict=True,
    ):
        expected = statistics.accuracy_difference(by_name[a], by_name[b])
        assert (pair.difference.value, pair.difference.low, pair.difference.high) == (
            expected.estimate, expected.low, expected.high,
        )
        assert pair.chance.value == statistics.chance_better(by_name[a], by_name[b])
        assert pair.effect.value == statistics.effect_size(by_name[a], by_name[b])
        p.append(expected.p)
    assert [pair.p.value for pair in report.comparisons] == statistics.holm(p)
    assert report.comparisons[1].finding in (Finding.BETTER.value, Finding.BETTER_BY_MARGIN.value)
    assert "Bidirectional GRU is better than Scratch GRU" in said(report.comparisons[1].sentence)


def test_many_pairs_are_tallied_first() -> None:
    store = FakeStore()
    for place in range(5):
        add_study(store, f"study {place}", {"torch": 0.05 * place}, test_set=TestSet.draw(400), seed=place)
    report = build(store.by_experiment["movie-reviews"], store)
    assert said(report.summary[0]).startswith("10 pairs of models are compared below: ")
    tally = {n.key: present(n.value) for n in report.summary[0] if isinstance(n, Number)}
    assert tally.pop("summary.pairs") == sum(tally.values())


def test_nothing_to_show() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=0, failed=2)
    with pytest.raises(RunError, match=r"needs a study with a complete confirm run, but there is none: run one"):
        build([study], store)


def test_how_often_the_test_reviews_were_looked_at() -> None:
    store = FakeStore()
    one = add_study(store, "one", {"torch": 0.0, "scratch": 0.0}, search=False)
    two = add_study(store, "two", {"bidirectional": 0.0})
    there = add_study(store, "there", {"torch": 0.0}, test_set=TestSet.draw(seed=1), fingerprint="other")
    alone = all_said(build([one], store).methods)
    assert "only the confirm runs of one study were scored on the test reviews" in alone
    assert "opened once" not in alone
    assert "Search trials" not in alone
    both = all_said(build([one, two], store).methods)
    assert "The confirm runs of 2 studies (one, two) were scored on the same test reviews." in both
    assert "Search trials used training and validation reviews only" in both
    assert "only the confirm runs of one study were" in all_said(build([one, there], store).methods)


def spread_out(store: FakeStore, study: LoggedStudy, shares: tuple[float, ...]) -> None:
    """Make the seeds of a study answer such shares of the test reviews rightly."""
    for run, share in zip(study.confirms, shares, strict=True):
        p = store.predicted[run.run_id, "test"]
        right_N = np.arange(len(p)) < share * len(p)
        store.predicted[run.run_id, "test"] = replace(
            p, probability_N=np.where(right_N == (p.label_N == 1), 0.9, 0.1).astype(np.float32))


@pytest.mark.parametrize(("one", "two", "words"), [
    ((0.80, 0.84, 0.88), (0.83, 0.83, 0.83), "varies at least five times as much from seed to seed"),
    ((0.80, 0.84, 0.88), (0.80, 0.83, 0.88), ""),
    ((0.80, 0.83, 0.86, 0.89, 0.84), (0.84,) * 6, "and has fewer seeds. Such intervals are known"),
    ((0.80, 0.83, 0.86, 0.89, 0.84), (0.84,) * 5, ""),
    ((0.84,) * 5, (0.80, 0.83, 0.86, 0.89, 0.84, 0.85), ""),
])
def test_intervals_known_to_be_too_narrow_say_so(one: tuple[float, ...], two: tuple[float, ...], words: str) -> None:
    store = FakeStore()
    for name, shares in (("scratch", one), ("torch", two)):
        spread_out(store, add_study(store, name, {name: 0.0}, seeds=len(shares)), shares)
    (pair,) = build(store.by_experiment["movie-reviews"], store).comparisons
    text = said(pair.sentence)
    assert ("too narrow" in text) == bool(words)
    assert words in text
    assert not words or "Scratch GRU varies" in text


@pytest.mark.parametrize(
    ("seeds", "caution", "verdict"),
    [
        (1, "has only 1 seed: its interval covers test examples only", "from 1 seed: between these two runs"),
        (2, "has only 2 seeds: an estimate without an interval", "from 2 seeds: an estimate only"),
        (3, "has only 3 seeds: too few for a verdict", "from 3 seeds (at least 5 are needed)"),
    ],
)
def test_few_seeds_say_less(seeds: int, caution: str, verdict: str) -> None:
    store, studies = three_models(seeds=seeds)
    report = build(studies, store)
    assert caution in all_said(report.cautions)
    assert ("intervals" in said(report.summary[0])) == (seeds != 2)
    for pair in report.comparisons:
        assert verdict in said(pair.sentence)
        assert pair.p.text == MISSING
        assert "better" not in said(pair.sentence)
        assert ("McNemar" in said(pair.sentence)) == (seeds == 1)
    assert (report.rows[0].accuracy.low is None) == (seeds == 2)
    assert (report.rows[0].deviation.text == MISSING) == (seeds == 1)


def test_all_reviews_answered_rightly_are_no_certainty_and_no_equivalence() -> None:
    few = TestSet.draw(31)
    few = replace(few, ease_N=np.full(31, 20.0))  # so easy that no run errs
    store, studies = three_models(seeds=10, test_set=few)
    report = build(studies, store)
    for row in report.rows:
        assert row.accuracy.value == 1.0
        assert present(row.accuracy.low) < 0.9
        assert present(row.f1.low) < 0.9
    for pair in report.comparisons:
        assert pair.finding == Finding.INCONCLUSIVE.value
        assert "Equivalence within 1.0 points could not be shown: it takes at least 269" in said(pair.sentence)
        assert "difference of 0.0 points" not in said(pair.sentence)
    assert "There are few test reviews: 31, each worth 3.2 points of accuracy" in all_said(report.cautions)


def test_one_read_of_histories_and_predictions_of_confirm_runs_only() -> None:
    store, studies = three_models()
    build(studies, store)
    confirmed = [run.run_id for study in studies for run in study.confirms if run.complete]
    assert sorted(store.reads) == sorted(["histories", *confirmed])


def test_a_thousand_runs_take_no_time() -> None:
    store = FakeStore()
    add_study(store, "large", {"torch": 0.0, "bidirectional": 0.1}, trials=500)
    begin = time.perf_counter()
    report = build(store.by_experiment["movie-reviews"], store)
    assert time.perf_counter() - begin < 5
    assert report.counts[0].complete.value == 600
