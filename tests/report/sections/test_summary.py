"""What a reader is told first: accuracies, whether the seeds are enough, verdicts, and cautions."""

from __future__ import annotations

import pytest

from gru_bench.report.build import build
from gru_bench.report.document.numbers import MISSING, Number
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies, three_models
from tests.support.renderings import Built, all_said, column_of, said, words_of
from tests.support.values import present


def test_the_first_sentence_holds_the_accuracies_and_the_verdicts_follow(built: Built) -> None:
    first, evidence, *verdicts = map(said, built.report.summary)
    numbers = built.report.numbers()
    low, high = numbers["scratch-scratch.accuracy"].ends
    assert first.startswith("Test accuracy, 95 % intervals and seeds in brackets: Scratch GRU "
                            f"{numbers['scratch-scratch.accuracy'].text} % ({low.text} to {high.text}; 5 seeds), Torch")
    assert "enough seeds for a verdict" in evidence
    assert [verdict.partition(":")[0] for verdict in verdicts[:2]] == [
        "Inconclusive", "Bidirectional GRU is better than Scratch GRU by more than 1.0 points"]


def test_many_pairs_are_tallied_first_and_said_in_their_section() -> None:
    store, studies = many_studies(5, TestSet.draw(400), skill=0.05)
    report = build(studies, store)
    assert said(report.summary[0]).startswith("10 pairs of models are compared below: ")
    tally = {n.key: present(n.value) for n in report.summary[0] if isinstance(n, Number)}
    assert tally.pop("summary.pairs") == sum(tally.values()) == 10
    assert "better" not in all_said(report.summary[1:])
    sentences = words_of(report, "comparisons").splitlines()
    assert sentences[0].startswith("Inconclusive: Torch GRU (study 1) against Torch GRU (study 0)")
    assert sum(": " in sentence and "points" in sentence for sentence in sentences) == 10


@pytest.mark.parametrize(("seeds", "words"), [
    ((5, 10), "Scratch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at least 10). Torch "
              "GRU: enough seeds to publish a claim (at least 10)."),
    ((9, 3), "Scratch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at least 10)."),
    ((5, 6), "Scratch GRU and Torch GRU: enough seeds for a verdict (at least 5), but not to publish a claim (at "
             "least 10)."),
    ((3, 4), ""),
])
def test_it_is_said_whether_seeds_carry_a_verdict_or_a_claim(seeds: tuple[int, ...], words: str) -> None:
    store = FakeStore()
    for (name, count) in zip(("scratch", "torch"), seeds, strict=True):
        add_study(store, name, {name: 0.0}, seeds=count, test_set=TestSet.draw(300))
    report = build(store.by_experiment["movie-reviews"], store)
    assert [said(sentence) for sentence in report.summary if "enough seeds" in said(sentence)] == [words] * bool(words)


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
    verdicts = [text for text in map(said, report.summary) if text.startswith("No verdict")]
    assert len(verdicts) == 3
    for text in verdicts:
        assert verdict in text
        assert "better" not in text
        assert ("McNemar" in text) == (seeds == 1)
    assert {p.text for p in column_of(report, "comparisons", "p")} == {MISSING}
    numbers = report.numbers()
    assert (numbers["scratch-scratch.accuracy"].low is None) == (seeds == 2)
    assert (numbers["scratch-scratch.deviation"].text == MISSING) == (seeds == 1)


@pytest.mark.parametrize("size", [199, 200])
def test_few_test_reviews_are_said_up_to_two_hundred(size: int) -> None:
    store, studies = three_models(test_set=TestSet.draw(size))
    assert ("There are few test reviews: 199" in all_said(build(studies, store).cautions)) == (size == 199)
