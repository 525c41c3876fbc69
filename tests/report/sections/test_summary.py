"""The start of a report: accuracies, whether the seeds are enough, verdicts, and warnings."""

from __future__ import annotations

import pytest

from gru_bench.report.document.numbers import MISSING, Number
from gru_bench.report.sections.comparisons import comparisons
from gru_bench.report.sections.evaluation import evaluation
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies, one_each, three_models
from tests.support.renderings import Built, all_said, column_of, said, words_of
from tests.support.sections import build_only
from tests.support.values import present


def test_the_summary_has_the_accuracies_then_the_number_of_seeds_then_the_verdicts(built: Built) -> None:
    first, evidence, *verdicts = map(said, built.report.summary)
    numbers = built.report.numbers
    low, high = numbers["scratch-scratch.accuracy"].ends
    mentions(first, "Test accuracy", "95 %", f"Scratch GRU {numbers['scratch-scratch.accuracy'].text} % ({low.text} to "
             f"{high.text}; 5 seeds), Torch GRU")
    assert "enough seeds for a verdict" in evidence
    assert verdicts[0].startswith("Inconclusive")
    mentions(verdicts[1], "Bidirectional GRU is better than Scratch GRU by more than 1.0 points")


def test_many_pairs_are_counted_by_verdict_and_listed_in_their_section() -> None:
    store, studies = many_studies(5, TestSet.draw(100), skill=0.05)
    report = build_only(studies, store, comparisons)
    assert "10 pairs" in said(report.summary[0])
    tally = {n.key: present(n.value) for n in report.summary[0] if isinstance(n, Number)}
    assert tally.pop("summary.pairs") == sum(tally.values()) == 10
    assert "better" not in all_said(report.summary[1:])
    sentences = words_of(report, "comparisons").splitlines()
    mentions(sentences[0], "Inconclusive", "Torch GRU (study 1) against Torch GRU (study 0)")
    assert sum(": " in sentence and "points" in sentence for sentence in sentences) == 10


@pytest.mark.parametrize(("seeds", "parts"), [
    ((5, 10), ("Scratch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at least 10)",
               "Torch GRU: enough seeds to publish a claim (at least 10)")),
    ((9, 3), ("Scratch GRU: enough seeds for a verdict (at least 5), but not to publish a claim",)),
    ((5, 6), ("Scratch GRU and Torch GRU: enough seeds for a verdict (at least 5), but not to publish a claim",)),
    ((3, 4), ()),
])
def test_the_summary_says_whether_seeds_are_enough_for_a_verdict_or_a_published_claim(
    seeds: tuple[int, ...], parts: tuple[str, ...]
) -> None:
    store = FakeStore()
    for (name, count) in zip(("scratch", "torch"), seeds, strict=True):
        add_study(store, name, {name: 0.0}, seeds=count, test_set=TestSet.draw(50))
    text = all_said(build_only(store.by_experiment["movie-reviews"], store).summary)
    mentions(text, *parts)
    assert text.count("enough seeds") == len(parts)


@pytest.mark.parametrize(("seeds", "warning", "verdict"), [
    (1, "only 1 seed: its interval covers test examples only", "from 1 seed"),
    (2, "only 2 seeds: an estimate without an interval", "from 2 seeds: an estimate only"),
    (3, "only 3 seeds: too few for a verdict", "from 3 seeds (at least 5 are needed)"),
])
def test_fewer_than_five_seeds_give_no_verdict(seeds: int, warning: str, verdict: str) -> None:
    store, studies = three_models(seeds=seeds, test_set=TestSet.draw(300))
    report = build_only(studies, store, evaluation, comparisons)
    assert warning in all_said(report.cautions)
    assert ("intervals" in said(report.summary[0])) == (seeds != 2)
    verdicts = [text for text in map(said, report.summary) if text.startswith("No verdict")]
    assert len(verdicts) == 3
    for text in verdicts:
        assert verdict in text
        assert "better" not in text
        assert ("McNemar" in text) == (seeds == 1)
    assert {p.text for p in column_of(report, "comparisons", "p")} == {MISSING}
    numbers = report.numbers
    assert (numbers["scratch-scratch.accuracy"].low is None) == (seeds == 2)
    assert (numbers["scratch-scratch.deviation"].text == MISSING) == (seeds == 1)


@pytest.mark.parametrize("size", [199, 200])
def test_fewer_than_two_hundred_test_reviews_cause_a_warning(size: int) -> None:
    store, studies = one_each({"torch": 0.0}, seeds=2, test_set=TestSet.draw(size))
    assert ("few test reviews: 199" in all_said(build_only(studies, store).cautions)) == (size == 199)
