"""What single test reviews say: labels, lengths, reliability, and the hardest reviews, recomputed from predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gru_bench.report.document.blocks import Bullets, Details, Heading, blocks_in
from gru_bench.report.document.numbers import MISSING, Number
from gru_bench.report.document.report import Report
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.sections.errors import errors
from gru_bench.report.sections.reliability import reliability
from gru_bench.report.sections.reviews import hard_reviews
from gru_bench.results.runs import Predictions
from gru_bench.stats import metrics
from gru_bench.stats.estimate import accuracy_interval
from gru_bench.stats.metrics import of_two
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, answered, one_each, three_models
from tests.support.renderings import Built, column_of, said, section_of, table_of, words_of
from tests.support.sections import build_only
from tests.support.values import present

MISTAKES = "The most confident mistakes among them"
APART = "Reviews on which the models disagree most"


@pytest.fixture(scope="module")
def with_texts() -> Built:
    store, studies = three_models(test_set=TestSet.draw(600))
    texts = {example: f"<b>review {example}</b> \x1b[31m & 100 % " + "long " * 80 for example in TestSet.draw(600).id_N}
    store.reviews = {studies[1].run.run_id: texts}
    return Built(store, studies, build_only(studies, store, errors, reliability, hard_reviews))


def predictions(store: FakeStore, study: LoggedStudy) -> list[Predictions]:
    return [store.predicted[run.run_id, "test"] for run in study.confirms if run.complete]


def right(runs: list[Predictions]) -> np.ndarray:
    return np.stack([(p.probability_NC[:, 1] >= 0.5) == (p.label_N == 1) for p in runs])


def table_keys(report: Report) -> list[str]:
    return [table.key for table in section_of(report, "errors").tables]


def headings(report: Report) -> list[str]:
    return [block.key for block in blocks_in(section_of(report, "errors").blocks) if isinstance(block, Heading)]


def reviews(report: Report, summary: str) -> list[tuple[str, Sentence]]:
    """Return the reviews that stand under a line, each with its remark."""
    return [item for section in report.sections for block in section.blocks
            if isinstance(block, Details) and block.summary == summary
            for inner in block.blocks if isinstance(inner, Bullets) for item in inner.items]


def test_confusion_counts_are_means_over_seeds(built: Built) -> None:
    _, studies, report = built
    for study, (_, *cells) in zip(studies, table_of(report, "confusion").rows, strict=True):
        runs = [run for run in study.confirms if run.complete]
        names = ("true_negative", "false_positive", "false_negative", "true_positive")
        for (count, _, spread), name in zip(cells, names, strict=True):
            logged = [run.metrics[f"score/test_{name}"] for run in runs]
            assert count.value == pytest.approx(np.mean(logged))
            assert spread.parts[1].value == pytest.approx(np.std(logged, ddof=1))
            assert said((spread,)) == f"± {spread.parts[1].text}"
        assert sum(count.value for count, *_ in cells) == pytest.approx(2000)


def test_confusion_counts_of_one_seed_have_no_deviation() -> None:
    store = FakeStore()
    study = add_study(store, "alone", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(50))
    (cell,) = column_of(build_only([study], store, errors), "confusion", "True positives")
    assert said(cell).endswith(f" ± {MISSING}")


def test_accuracies_by_category_add_up_to_that_of_all_reviews(built: Built) -> None:
    store, studies, report = built
    assert column_of(report, "categories-1", "Category") == ["imdb", "rotten_tomatoes"]
    sizes = [size.value for size in column_of(report, "categories-1", "Reviews")]
    assert sum(sizes) == 2000
    for study, column in zip(studies, table_of(report, "categories-1").columns[2:], strict=True):
        found = [number.value for number in column_of(report, "categories-1", column.heading)]
        assert np.dot(sizes, found) / 2000 == pytest.approx(right(predictions(store, study)).mean())


@pytest.mark.parametrize(("categories", "opened"), [(6, True), (7, False)])
def test_a_long_table_of_categories_is_folded(categories: int, opened: bool) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=2,
                      test_set=TestSet.draw(200, [f"part {i}" for i in range(categories)]))
    report = build_only([study], store, errors)
    (folded,) = (block for block in section_of(report, "errors").blocks
                 if isinstance(block, Details) and block.summary == "Values by category")
    assert folded.opened == opened


def test_each_test_set_has_tables_of_its_own() -> None:
    store = FakeStore()
    for name in ("one", "two"):
        add_study(store, name, {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200, seed=len(name) + ord(name[0])))
    report = build_only(store.by_experiment["movie-reviews"], store, errors)
    assert [key for key in table_keys(report) if key[-1].isdigit()] == [
        "categories-1", "categories-2", "lengths-1", "lengths-2"]
    assert table_of(report, "categories-2").title.endswith("test set 2")
    assert table_of(report, "lengths-1").title.endswith("test set 1")
    assert headings(report) == ["categories-1", "categories-2", "lengths-1", "lengths-2"]


def test_lengths_hold_every_review_once_and_agree_with_the_predictions(with_texts: Built) -> None:
    store, studies, report = with_texts
    table = table_of(report, "lengths-1")
    ends = [(low.value, high.value) for low, _, high in column_of(report, "lengths-1", "Tokens")]
    assert all(low == before + 1 for (_, before), (low, _) in pairwise(ends))
    assert sum(size.value for size in column_of(report, "lengths-1", "Reviews")) == 600
    assert [column.heading for column in table.columns[2:]] == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    mentions(said(table.caption), "as Scratch GRU reads them", "95 %")
    for place, study in enumerate(studies):
        runs = predictions(store, study)
        for (low, high), (_, size, *accuracies) in zip(ends, table.rows, strict=True):
            inside_N = (runs[0].tokens_N >= low) & (runs[0].tokens_N <= high)
            assert inside_N.sum() == size.value
            expected = accuracy_interval(right(runs)[:, inside_N])
            assert (accuracies[place].value, accuracies[place].low) == (expected.estimate, expected.low)


def test_reviews_of_one_length_make_no_table() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        store.predicted[key] = replace(p, tokens_N=np.full_like(p.tokens_N, 30))
    assert table_keys(build_only([study], store, errors)) == ["confusion", "categories-1"]


def test_a_range_of_confidence_without_a_prediction_is_left_out() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        one_N = np.where(p.label_N == 1, 0.62, 0.45).astype(np.float32)
        store.predicted[key] = replace(p, probability_NC=of_two(one_N))
    cells = column_of(build_only([study], store, reliability), "reliability", "Probability")
    assert [said(cell) for cell in cells] == ["50 to 60", "60 to 70"]


def test_reliability_agrees_with_the_predictions(with_texts: Built) -> None:
    store, studies, report = with_texts
    rows = table_of(report, "reliability").rows
    assert [row[0] for row in rows] == [name for name in ("Scratch GRU", "Torch GRU", "Bidirectional GRU")
                                        for _ in range(5)]
    for study, found in zip(studies, (rows[:5], rows[5:10], rows[10:]), strict=True):
        assert sum(share.value for _, _, (share, _), _, _ in found) == pytest.approx(1)
        assert [said(ends) for _, ends, *_ in found] == ["50 to 60", "60 to 70", "70 to 80", "80 to 90", "90 to 100"]
        last = found[-1][-1]
        means = []
        for p in predictions(store, study):
            inside_N = p.probability_NC.max(axis=1).astype(float) > 0.9
            means.append(right([p])[0, inside_N].mean())
        assert last.value == pytest.approx(np.mean(means))
        assert [last.low, last.high] == pytest.approx([min(means), max(means)])


def test_the_caption_explains_why_the_calibration_error_differs_from_the_table(with_texts: Built) -> None:
    store, studies, report = with_texts
    found = [metrics.expected_calibration_error(p.label_N, p.probability_NC) for p in predictions(store, studies[0])]
    by_table = sum(share.value * abs(accuracy.value - confidence.value)
                   for _, _, (share, _), (confidence,), accuracy in table_of(report, "reliability").rows[:5])
    assert by_table != pytest.approx(np.mean(found), abs=1e-4)
    mentions(said(table_of(report, "reliability").captioned()), "ten ranges", "each seed alone", "mean over seeds")


def test_line_breaks_of_a_review_become_spaces() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(100))
    ids = store.predicted[study.confirms[0].run_id, "test"].example_id_N
    store.reviews[study.run.run_id] = {str(name): "It was.<br /><br />Not.<br>Good." for name in ids}
    report = build_only([study], store, hard_reviews)
    assert {text for text, _ in reviews(report, MISTAKES)} == {"It was. Not. Good."}


def test_the_hardest_reviews_are_those_with_the_largest_disagreement_and_the_surest_mistakes(
    with_texts: Built
) -> None:
    store, studies, report = with_texts
    by_model = [predictions(store, study) for study in studies]
    right_MN = np.stack([right(runs).mean(0) for runs in by_model])
    failed_N = right_MN.max(0) == 0
    assert report.numbers["reviews-1.failed"].value == failed_N.sum() > 0
    best, worst = (part for part in reviews(report, APART)[0][1]
                   if isinstance(part, Number) and "tokens" not in part.key)
    assert present(best.value) - present(worst.value) == pytest.approx(np.ptp(right_MN, axis=0).max())
    ids = [text.split()[1].removesuffix("</b>") for text, _ in reviews(report, MISTAKES)]
    assert all(failed_N[list(by_model[0][0].example_id_N).index(example)] for example in ids)
    surety_N = np.mean([np.mean([p.probability_NC.max(axis=1) for p in runs], axis=0) for runs in by_model], axis=0)
    assert ids[0] == by_model[0][0].example_id_N[max(np.flatnonzero(failed_N), key=lambda place: surety_N[place])]


def test_a_long_review_is_cut_and_control_characters_are_removed(with_texts: Built) -> None:
    _, _, report = with_texts
    for text, _ in (*reviews(report, APART), *reviews(report, MISTAKES)):
        assert len(text) <= 200
        assert text.endswith(" …")
        assert "\x1b" not in text


def test_without_texts_no_reviews_are_shown(built: Built) -> None:
    assert "reviews" not in [section.name for section in built.report.sections]


def test_one_run_of_one_model_has_mistakes_and_no_disagreement() -> None:
    report = misclassified(1, 1, 5)
    assert reviews(report, APART) == []
    assert reviews(report, MISTAKES)[0][0] == "(no words)"


def misclassified(models: int, seeds: int, wrong: int) -> Report:
    """Return a report of 31 reviews with empty texts; every run misclassifies the first `wrong` of them."""
    store, studies = one_each(dict.fromkeys(("torch", "scratch")[:models], 0.0), seeds=seeds, test_set=TestSet.draw(31))
    for key, p in store.predicted.items():
        store.predicted[key] = answered(p, np.arange(len(p)) >= wrong)
    store.reviews = {studies[0].run.run_id: {}}
    return build_only(studies, store, hard_reviews)


@pytest.mark.parametrize(("models", "seeds", "wrong", "runs"), [
    (2, 2, 2, "every run of every model"), (2, 1, 1, "every run of every model"), (1, 2, 2, "every run"),
    (1, 1, 1, "the one run"),
])
def test_reviews_that_no_run_classifies_correctly_are_counted(models: int, seeds: int, wrong: int, runs: str) -> None:
    mentions(words_of(misclassified(models, seeds, wrong), "reviews"), f"{wrong} of the 31 test reviews", runs)


def test_there_is_no_section_on_reviews_if_every_run_is_right() -> None:
    assert "reviews" not in [section.name for section in misclassified(2, 2, 0).sections]


def test_a_review_that_some_run_classifies_correctly_is_not_listed_as_misclassified_by_all(with_texts: Built) -> None:
    store, studies, _ = with_texts
    ours = replace(store, predicted=dict(store.predicted), reviews={studies[0].run.run_id: {}})
    for run in studies[0].confirms:
        p = ours.predicted[run.run_id, "test"]
        ours.predicted[run.run_id, "test"] = answered(p, np.ones(len(p), bool))
    report = build_only(studies, ours, hard_reviews)
    assert reviews(report, APART)
    assert reviews(report, MISTAKES) == []
    assert "misclassified by" not in words_of(report, "reviews")


def with_lengths(categories_of: Callable[[int, int], str], long: Callable[[int], bool] = lambda place: place % 2 == 1,
                 ) -> Report:
    """Return a report of 200 test reviews of 10 tokens, or 300 where they are long, with categories by length."""
    store, studies = one_each({"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        tokens_N = np.array([300 if long(place) else 10 for place in range(len(p))], np.int32)
        category_N = np.array([categories_of(place, tokens) for place, tokens in enumerate(tokens_N)])
        store.predicted[key] = replace(p, tokens_N=tokens_N, category_N=category_N)
    return build_only(studies, store, errors)


def test_the_report_warns_where_length_and_category_are_related() -> None:
    report = with_lengths(lambda place, tokens: "lines" if tokens == 10 or place < 20 else "essays & more")
    mentions(words_of(report, "errors"), "Length and category are related", "essays & more", "90.0 %",
             "201 to 300 tokens", "0.0 %", "10 to 25 tokens")


@pytest.mark.parametrize("categories_of", [
    lambda place, tokens: "all",
    lambda place, tokens: ("a", "b")[place // 2 % 2],
    lambda place, tokens: "a" if tokens == 10 or place % 3 else "b",
])
def test_lengths_with_similar_categories_cause_no_warning(categories_of: Any) -> None:
    assert "Length and category" not in words_of(with_lengths(categories_of), "errors")


def test_a_range_of_few_reviews_causes_no_warning_of_related_lengths() -> None:
    report = with_lengths(lambda place, tokens: "lines" if tokens == 10 else "essays", lambda place: place < 9)
    assert "Length and category" not in words_of(report, "errors")
