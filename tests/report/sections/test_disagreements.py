"""Where the models disagree: texts that only one of two models gets right, and those that no run gets right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.document.blocks import Bullets, Details, parts_in
from gru_bench.document.report import Report
from gru_bench.document.sentences import Sentence
from gru_bench.evidence.collect import collect
from gru_bench.evidence.groups import ModelRuns
from gru_bench.report.sections.disagreements import disagreements
from gru_bench.results.runs import Predictions
from tests.support.commands import mentions
from tests.support.fake_store import (
    FakeStore,
    Studies,
    TestSet,
    add_study,
    answered,
    one_each,
    three_models,
    with_validation,
)
from tests.support.renderings import Built, column_of, said, section_of, words_of
from tests.support.sections import build_only

MISTAKES = "Some of these mistakes"
ONLY_SCRATCH, ONLY_TORCH = "Scratch GRU right, Torch GRU wrong", "Torch GRU right, Scratch GRU wrong"


def has_section(report: Report) -> bool:
    return "disagreements" in [section.name for section in report.sections]


def reviews(report: Report, summary: str) -> list[tuple[str, Sentence]]:
    """Return the texts that are folded under a line, each with its remark."""
    return [item for block in parts_in(section_of(report, "disagreements").blocks)
            if isinstance(block, Details) and block.summary == summary
            for inner in block.blocks if isinstance(inner, Bullets) for item in inner.items]


def two_models(only_scratch: int, only_torch: int, size: int = 40) -> Studies:
    """Return two models of three runs each that are right on all texts but so many that only the other gets right.

    The first two runs of each model decide: the third is always right. The texts that only the scratch GRU gets right
    come first and contain `fine ending`; the next ones, which only the torch GRU gets right, contain `dull start`.
    """
    store, studies = one_each({"scratch": 0.0, "torch": 0.0}, seeds=3, search=False, test_set=TestSet.draw(size))
    place_N = np.arange(size)
    is_wrong = {"scratch": (place_N >= only_scratch) & (place_N < only_scratch + only_torch),
                "torch": place_N < only_scratch}
    for study in studies:
        for place, run in enumerate(study.confirms):
            p = store.predicted[run.run_id, "test"]
            store.predicted[run.run_id, "test"] = answered(p, ~is_wrong[run.model] | (place == 2))
    ids = store.predicted[studies[0].confirms[0].run_id, "test"].example_id_N.tolist()
    marks = [*["fine ending"] * only_scratch, *["dull start"] * only_torch, *["nothing"] * size]
    texts = [f"a text with {mark} number{place}" for place, mark in enumerate(marks[:size])]
    store.reviews = {studies[0].run.run_id: dict(zip(ids, texts, strict=True))}
    return store, studies


@pytest.mark.parametrize(("only_scratch", "only_torch"), [(7, 2), (2, 7), (0, 3)])
def test_the_texts_that_only_one_of_two_models_gets_right_are_counted(only_scratch: int, only_torch: int) -> None:
    store, studies = two_models(only_scratch, only_torch)
    report = build_only(studies, store, disagreements)
    (pair,) = column_of(report, "disagreements", "Pair")
    (first,), (second,) = (column_of(report, "disagreements", f"Only the {side}") for side in ("first", "second"))
    expected = {"Scratch GRU": only_scratch, "Torch GRU": only_torch}
    assert [first.value, second.value] == [expected[model] for model in pair.split(" and ")]
    assert set(first.runs) == {run.run_id for study in studies for run in study.confirms}


def test_a_text_that_at_most_half_of_the_runs_get_right_does_not_count_for_a_model() -> None:
    store, studies = two_models(3, 0)
    for run in studies[0].confirms[:2]:  # the text is now right in one of three runs of each model
        p = store.predicted[run.run_id, "test"]
        store.predicted[run.run_id, "test"] = answered(p, np.arange(len(p)) > 0)
    report = build_only(studies, store, disagreements)
    counts = [column_of(report, "disagreements", f"Only the {side}")[0].value for side in ("first", "second")]
    assert sorted(counts) == [0, 2]


def test_six_texts_of_each_side_are_quoted_those_with_the_largest_difference_first() -> None:
    store, studies = two_models(9, 2)
    for place, run in enumerate(studies[1].confirms):  # no run of the torch GRU gets the eighth text right
        p = store.predicted[run.run_id, "test"]
        right_N = np.arange(len(p)) >= 9 if place < 2 else np.arange(len(p)) != 7
        store.predicted[run.run_id, "test"] = answered(p, right_N)
    report = build_only(studies, store, disagreements)
    own = [text for text, _ in reviews(report, ONLY_SCRATCH)]
    assert own == [f"a text with fine ending number{place}" for place in (7, 0, 1, 2, 3, 4)]
    assert len(reviews(report, ONLY_TORCH)) == 2
    p = store.predicted[studies[0].confirms[0].run_id, "test"]
    mentions(said(reviews(report, ONLY_SCRATCH)[0][1]), f"Labeled {('negative', 'positive')[p.label_N[7]]}",
             f"{p.tokens_N[7]} tokens read", str(p.category_N[7]))


def test_where_one_is_chosen_it_is_compared_with_each_other_one() -> None:
    store = FakeStore()
    study = with_validation(store, add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(300)))
    evidence = collect([study], store)
    report = build_only([study], store, disagreements)
    assert column_of(report, "disagreements", "Pair") == [
        f"{pair.a.label} and {pair.b.label}" for pair in evidence.taken]
    for place, pair in enumerate(evidence.taken):
        (a_N,), (b_N,) = pair.a.correct_RN, pair.b.correct_RN
        counts = [column_of(report, "disagreements", f"Only the {side}")[place].value for side in ("first", "second")]
        assert counts == [(a_N & ~b_N).sum(), (b_N & ~a_N).sum()]


def test_without_texts_only_counts_are_shown() -> None:
    store, studies = two_models(12, 11)
    store.reviews = {}
    section = section_of(build_only(studies, store, disagreements), "disagreements")
    assert [table.key for table in section.tables] == ["disagreements"]
    assert not [block for block in section.blocks if isinstance(block, Details)]


def test_one_model_without_texts_has_no_section() -> None:
    store, studies = one_each({"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    assert not has_section(build_only(studies, store, disagreements))


@pytest.fixture(scope="module")
def with_texts() -> Built:
    store, studies = three_models(test_set=TestSet.draw(600))
    texts = {example: f"<b>review {example}</b> \x1b[31m & 100 % " + "long " * 80 for example in TestSet.draw(600).id_N}
    store.reviews = {studies[1].run.run_id: texts}
    return Built(store, studies, build_only(studies, store, disagreements))


def test_the_quoted_mistakes_are_those_that_the_runs_are_most_confident_of(with_texts: Built) -> None:
    store, studies, report = with_texts
    by_model: list[list[Predictions]] = [
        [store.predicted[run.run_id, "test"] for run in study.confirms if run.complete] for study in studies]
    first = by_model[0][0]
    failed_N = np.stack([(p.probability_NC[:, 1] >= 0.5) == (p.label_N == 1) for runs in by_model for p in runs]
                        ).mean(0) == 0
    assert report.numbers["never-right-1.count"].value == failed_N.sum() > 0
    ids = [text.split()[1].removesuffix("</b>") for text, _ in reviews(report, MISTAKES)]
    assert all(failed_N[list(first.example_id_N).index(example)] for example in ids)
    confidence_N = np.mean([np.mean([p.probability_NC.max(axis=1) for p in runs], axis=0) for runs in by_model], axis=0)
    assert ids[0] == first.example_id_N[max(np.flatnonzero(failed_N), key=lambda place: confidence_N[place])]


def test_a_long_text_is_cut_and_control_characters_are_removed(with_texts: Built) -> None:
    shown = [item for block in parts_in(section_of(with_texts.report, "disagreements").blocks)
             if isinstance(block, Bullets) for item in block.items]
    assert len(shown) > 20
    for text, _ in shown:
        assert len(text) <= 200
        assert text.endswith(" …")
        assert "\x1b" not in text


def test_line_breaks_of_a_text_become_spaces() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(100))
    ids = store.predicted[study.confirms[0].run_id, "test"].example_id_N
    store.reviews[study.run.run_id] = {str(name): "It was.<br /><br />Not.<br>Good." for name in ids}
    report = build_only([study], store, disagreements)
    assert {text for text, _ in reviews(report, MISTAKES)} == {"It was. Not. Good."}


def misclassified(models: int, seeds: int, wrong: int) -> Report:
    """Return a report of 31 reviews with empty texts; every run misclassifies the first `wrong` of them."""
    store, studies = one_each(dict.fromkeys(("torch", "scratch")[:models], 0.0), seeds=seeds, test_set=TestSet.draw(31))
    for key, p in store.predicted.items():
        store.predicted[key] = answered(p, np.arange(len(p)) >= wrong)
    store.reviews = {studies[0].run.run_id: {}}
    return build_only(studies, store, disagreements)


@pytest.mark.parametrize(("models", "seeds", "wrong"), [(2, 2, 2), (2, 1, 1), (1, 2, 2), (1, 1, 1)])
def test_texts_that_no_run_classifies_correctly_are_counted(models: int, seeds: int, wrong: int) -> None:
    report = misclassified(models, seeds, wrong)
    mentions(words_of(report, "disagreements"), f"All runs misclassify {wrong} of the 31 test texts.")
    assert reviews(report, MISTAKES)[0][0] == "(no words)"


def test_mistakes_without_probabilities_are_listed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelRuns, "has_probabilities", property(lambda _: False))
    assert len(reviews(misclassified(1, 2, 2), MISTAKES)) == 2


def test_nothing_is_said_of_mistakes_if_every_run_is_right() -> None:
    assert not has_section(misclassified(1, 2, 0))
    assert "misclassifies" not in words_of(misclassified(2, 2, 0), "disagreements")


def test_a_text_that_some_run_classifies_correctly_is_not_listed_as_misclassified_by_all(with_texts: Built) -> None:
    store, studies, _ = with_texts
    ours = replace(store, predicted=dict(store.predicted), reviews={studies[0].run.run_id: {}})
    for run in studies[0].confirms:
        p = ours.predicted[run.run_id, "test"]
        ours.predicted[run.run_id, "test"] = answered(p, np.ones(len(p), bool))
    report = build_only(studies, ours, disagreements)
    assert reviews(report, MISTAKES) == []
    assert "misclassifies" not in words_of(report, "disagreements")
