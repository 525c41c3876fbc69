"""The decision of a report: which classifier to take, its score, and what is found on each other one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.config import MetricName
from gru_bench.evidence.collect import Evidence, collect
from gru_bench.evidence.decision import decision_sentence
from gru_bench.results.baselines import AVERAGE
from gru_bench.stats.verdict import Finding
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, answered, with_params, with_validation
from tests.support.renderings import said


def evidence_of(metric: MetricName = "accuracy", examples: int = 2000) -> Evidence:
    store = FakeStore()
    study = with_params(add_study(store, "one", {"torch": -0.4, "bidirectional": 0.2}, test_set=TestSet.draw(examples)),
                        metric=metric)
    return collect([with_validation(store, study)], store)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
def test_it_names_the_classifier_its_score_and_the_best_other_of_each_kind(metric: MetricName) -> None:
    evidence = evidence_of(metric)
    chosen, sentence = evidence.candidates.chosen, said(decision_sentence(evidence))
    assert chosen is not None
    assert chosen.model == "bidirectional"
    mentions(sentence, "Take Bidirectional GRU (all 5 seeds), the best on validation texts: ", chosen.score.text,
             "right on" if metric == "accuracy" else f"its {chosen.scale.score} on new texts is")
    for pair in evidence.taken:
        mentions(sentence, f"{pair.b.label} ({pair.number('difference').text}, p", pair.p.text)
        words = {Finding.BETTER: "better than", Finding.INCONCLUSIVE: "not shown to be better than"}
        if pair.verdict.finding in words:
            before = sentence[:sentence.index(pair.b.label)]
            assert before.rindex(words[pair.verdict.finding]) >= 0


def test_one_that_is_worse_on_test_is_taken_all_the_same_and_this_is_said() -> None:
    store = FakeStore()
    study = with_validation(store, add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000)))
    study = replace(study, baselines=())
    other = add_study(store, "two", {"scratch": 0.0}, test_set=TestSet.draw(1000))
    other = replace(with_validation(store, other), baselines=())
    for one, on_validation, on_test in ((study, 450, 600), (other, 300, 950)):
        for run in one.confirms:
            for split, right in (("validation", on_validation), ("test", on_test)):
                known = store.predicted[run.run_id, split]
                store.predicted[run.run_id, split] = answered(known, np.arange(len(known.label_N)) < right)
    sentence = said(decision_sentence(collect([study, other], store)))
    mentions(sentence, "Take Torch GRU (all 5 seeds) of the study one", "60.0",
             "worse, though it was better on validation texts, than Scratch GRU")


def test_without_validation_texts_nothing_is_chosen_and_all_pairs_are_shown() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.3, "scratch": 0.0}, test_set=TestSet.draw(300))
    evidence = collect([study], store)
    mentions(said(decision_sentence(evidence)), "Nothing is chosen, because there are no predictions of validation")
    assert [(pair.a.model, pair.b.model) for pair in evidence.taken] == [
        ("torch", "scratch"), ("torch", "tfidf"), ("scratch", "tfidf")]


def test_a_single_model_is_taken() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.3}, test_set=TestSet.draw(300))
    evidence = collect([replace(study, baselines=())], store)
    mentions(said(decision_sentence(evidence)), "Take Torch GRU (all 5 seeds): it is right on")
    assert not evidence.taken


def test_an_average_is_compared_with_what_it_is_made_of_and_with_no_other_average() -> None:
    store = FakeStore()
    studies = [with_validation(store, add_study(store, name, {"scratch": 0.0}, test_set=TestSet.draw(2000)))
               for name in ("one", "two")]
    evidence = collect(studies, store)
    chosen = evidence.candidates.chosen
    assert chosen is not None
    assert chosen.model == AVERAGE
    assert [one.model for one in evidence.candidates.others].count(AVERAGE) == 1
    sentence = said(decision_sentence(evidence))
    mentions(sentence, "Take the average of ", "(all 5 seeds) and TF-IDF, the best on validation texts: ")
    assert sentence.count("average") == 1
