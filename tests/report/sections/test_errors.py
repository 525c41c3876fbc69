"""What single test reviews say: lengths, reliability, and the hardest reviews, recomputed from the predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gru_bench.evaluation import metrics, statistics
from gru_bench.report.build import build
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Report
from gru_bench.report.figures.accuracy import pictures
from gru_bench.report.render import html_latex as render
from gru_bench.results.runs import Predictions
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import Built, html_numbers, said, soup_of, tex_numbers
from tests.support.values import present


@pytest.fixture(scope="module")
def with_texts() -> Built:
    store, studies = three_models(test_set=TestSet.draw(600))
    texts = {example: f"<b>review {example}</b> \x1b[31m & 100 % " + "long " * 80 for example in TestSet.draw(600).id_N}
    store.reviews = {studies[1].run.run_id: texts}
    return Built(store, studies, build(studies, store))


def predictions(store: FakeStore, study: LoggedStudy) -> list[Predictions]:
    return [store.predicted[run.run_id, "test"] for run in study.confirms if run.complete]


def test_lengths_hold_every_review_once_and_agree_with_the_predictions(with_texts: Built) -> None:
    store, studies, report = with_texts
    (table,) = report.length_tables
    ends = [(present(part.low.value), present(part.high.value)) for part in table.bins]
    assert all(low == before + 1 for (_, before), (low, _) in pairwise(ends))
    assert sum(present(bin.examples.value) for bin in table.bins) == 600
    assert table.labels == tuple(row.label for row in report.rows)
    for place, study in enumerate(studies):
        runs = predictions(store, study)
        right_RN = np.stack([(p.probability_N >= 0.5) == (p.label_N == 1) for p in runs])
        for bin in table.bins:
            inside_N = (runs[0].tokens_N >= present(bin.low.value)) & (runs[0].tokens_N <= present(bin.high.value))
            assert inside_N.sum() == bin.examples.value
            expected = statistics.accuracy_interval(right_RN[:, inside_N])
            assert (bin.accuracy[place].value, bin.accuracy[place].low) == (expected.estimate, expected.low)


def test_reviews_of_one_length_make_no_table() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        store.predicted[key] = replace(p, tokens_N=np.full_like(p.tokens_N, 30))
    assert build([study], store).length_tables == ()


def test_a_range_of_confidence_without_a_prediction_is_left_out() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        store.predicted[key] = replace(p, probability_N=np.where(p.label_N == 1, 0.62, 0.45).astype(np.float32))
    (model,) = build([study], store).reliability
    assert [(bin.low.text, bin.high.text) for bin in model.bins] == [("50", "60"), ("60", "70")]


def test_a_range_of_few_predictions_is_marked_and_not_drawn() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        sure_N = np.where(np.arange(200) < 7, 0.62, 0.97)
        store.predicted[key] = replace(p, probability_N=np.where(p.label_N == 1, sure_N, 1 - sure_N).astype(np.float32))
    report = build([study], store)
    (model,) = report.reliability
    assert [(bin.low.text, bin.few) for bin in model.bins] == [("60", True), ("90", False)]
    drawn = next(picture for picture in pictures(report) if picture.name == "reliability")
    assert len(drawn.panels[0].lines[0].x) == 1
    assert "fewer than 30 predictions of a seed are left out" in drawn.caption
    assert len(drawn.table) == 3
    assert "(few)" in render.html(report)
    assert "(few)" in render.tex(report)["tables/reliability.tex"]


def test_the_calibration_error_is_said_to_be_another_sum_than_the_tables(with_texts: Built) -> None:
    store, studies, report = with_texts
    row, model = report.rows[0], report.reliability[0]
    errors = [metrics.expected_calibration_error(p.label_N, p.probability_N) for p in predictions(store, studies[0])]
    assert row.calibration.value == pytest.approx(np.mean(errors))
    by_table = sum(present(bin.share.value) * abs(present(bin.accuracy.value) - present(bin.confidence.value))
                   for bin in model.bins)
    assert by_table != pytest.approx(row.calibration.value, abs=1e-4)
    for text in (render.html(report), render.tex(report)["tables/reliability.tex"]):
        assert "over ten ranges for each seed alone, then the mean over seeds" in text
        assert "is the calibration error above" not in text


def test_breaks_of_lines_in_a_review_are_not_shown() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(300))
    ids = store.predicted[study.confirms[0].run_id, "test"].example_id_N
    store.reviews[study.run.run_id] = {str(name): "It was.<br /><br />Not.<br>Good." for name in ids}
    (found,) = build([study], store).hard_reviews
    assert {review.text for review in found.failed} == {"It was. Not. Good."}


def test_reliability_adds_up_to_the_calibration_error(with_texts: Built) -> None:
    store, studies, report = with_texts
    for study, model in zip(studies, report.reliability, strict=True):
        assert sum(present(bin.share.value) for bin in model.bins) == pytest.approx(1)
        assert [bin.low.text for bin in model.bins] == ["50", "60", "70", "80", "90"]
        last = model.bins[-1]
        means = []
        for p in predictions(store, study):
            confidence_N = np.maximum(p.probability_N, 1 - p.probability_N).astype(float)
            inside_N = confidence_N > 0.9
            means.append(((p.probability_N >= 0.5) == (p.label_N == 1))[inside_N].mean())
        assert last.accuracy.value == pytest.approx(np.mean(means))
        assert [last.accuracy.low, last.accuracy.high] == pytest.approx([min(means), max(means)])


def test_the_reviews_that_set_models_apart_and_those_no_run_gets_right(with_texts: Built) -> None:
    store, studies, report = with_texts
    (found,) = report.hard_reviews
    by_model = [predictions(store, study) for study in studies]
    right_MN = np.stack([
        np.mean([(p.probability_N >= 0.5) == (p.label_N == 1) for p in runs], axis=0) for runs in by_model
    ])
    count = found.failed_count[0]
    assert isinstance(count, Number)
    assert count.value == (right_MN.max(0) == 0).sum() > 0
    best, worst = (part for part in found.disagreed[0].said if isinstance(part, Number) and "tokens" not in part.key)
    assert present(best.value) - present(worst.value) == pytest.approx(np.ptp(right_MN, axis=0).max())
    ids = [text.text.split()[1].removesuffix("</b>") for text in found.failed]
    assert all(right_MN[:, list(by_model[0][0].example_id_N).index(example)].max() == 0 for example in ids)
    surety_N = np.mean([np.mean([np.abs(p.probability_N - 0.5) for p in runs], axis=0) for runs in by_model], axis=0)
    surest = max(np.flatnonzero(right_MN.max(0) == 0), key=lambda place: surety_N[place])
    assert ids[0] == by_model[0][0].example_id_N[surest]


def test_reviews_are_shortened_and_escaped_in_both_renderings(with_texts: Built) -> None:
    _, _, report = with_texts
    (found,) = report.hard_reviews
    for review in (*found.disagreed, *found.failed):
        assert len(review.text) <= 200
        assert review.text.endswith(" …")
        assert "\x1b" not in review.text
    page, files = render.html(report), render.tex(report)
    soup = soup_of(page)
    assert found.failed[0].text in [quote.get_text() for quote in soup.find_all("q")]
    assert soup.find("q").find("b") is None
    assert "\\ensuremath{<}b\\ensuremath{>}" in files["report.tex"]
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


def test_without_texts_there_is_no_such_section() -> None:
    store, studies = three_models(test_set=TestSet.draw(200))
    report = build(studies, store)
    assert report.hard_reviews == ()
    assert "Single reviews" not in render.html(report)


def test_one_run_of_one_model(with_texts: Built) -> None:
    store = FakeStore()
    study = add_study(store, "alone", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(200))
    store.reviews = {study.run.run_id: {}}
    (found,) = build([study], store).hard_reviews
    assert found.disagreed == ()
    assert found.failed[0].text == "(no words)"
    assert found.failed_count[-1] == " test reviews are misclassified by the one run."


def answered(store: FakeStore, studies: list[LoggedStudy], wrong: int) -> Report:
    """Let every run answer all but the first reviews rightly, and make their texts known."""
    for study in studies:
        for run in study.confirms:
            p = store.predicted[run.run_id, "test"]
            right_N = np.arange(len(p)) >= wrong
            probability_N = np.where(right_N == (p.label_N == 1), 0.9, 0.1).astype(np.float32)
            store.predicted[run.run_id, "test"] = replace(p, probability_N=probability_N)
    store.reviews = {studies[0].run.run_id: {}}
    return build(studies, store)


@pytest.mark.parametrize(("models", "seeds", "wrong", "words"), [
    (2, 2, 2, "2 of the 31 test reviews are misclassified by every run of every model."),
    (2, 1, 1, "1 of the 31 test reviews is misclassified by every run of every model."),
    (1, 2, 2, "2 of the 31 test reviews are misclassified by every run."),
    (1, 1, 1, "1 of the 31 test reviews is misclassified by the one run."),
])
def test_reviews_that_no_run_gets_right_are_counted_in_plain_words(
    models: int, seeds: int, wrong: int, words: str
) -> None:
    store = FakeStore()
    studies = [add_study(store, name, {name: 0.0}, seeds=seeds, test_set=TestSet.draw(31))
               for name in ("torch", "scratch")[:models]]
    (found,) = answered(store, studies, wrong).hard_reviews
    assert said(found.failed_count) == words


@pytest.mark.parametrize("models", [1, 2])
def test_nothing_is_said_of_reviews_where_every_run_is_right(models: int) -> None:
    store = FakeStore()
    studies = [add_study(store, name, {name: 0.0}, seeds=2, test_set=TestSet.draw(31))
               for name in ("torch", "scratch")[:models]]
    report = answered(store, studies, 0)
    assert report.hard_reviews == ()
    assert "Single reviews" not in render.html(report)
    assert "no run answers" not in render.tex(report)["report.tex"]


def test_reviews_that_some_run_gets_right_are_not_said_to_be_wrong_in_all(with_texts: Built) -> None:
    store, studies, _ = with_texts
    ours = FakeStore(by_experiment=store.by_experiment, metrics=store.metrics, predicted=dict(store.predicted))
    right = [run.run_id for run in studies[0].confirms]
    for run_id in right:
        p = ours.predicted[run_id, "test"]
        ours.predicted[run_id, "test"] = replace(p, probability_N=p.label_N.astype(np.float32))
    ours.reviews = {studies[0].run.run_id: {}}
    report = build(studies, ours)
    (found,) = report.hard_reviews
    assert found.disagreed
    assert (found.failed, found.failed_count) == ((), ())
    assert "no run answers" not in render.tex(report)["report.tex"]
    assert "misclassified by" not in render.html(report)


def with_lengths(categories_of: Callable[[int, int], str]) -> Report:
    """Studies whose test reviews have 10 or 300 tokens, and categories by length."""
    store, studies = three_models(test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        tokens_N = np.where(np.arange(len(p)) % 2 == 0, 10, 300).astype(np.int32)
        category_N = np.array([categories_of(place, tokens) for place, tokens in enumerate(tokens_N)])
        store.predicted[key] = replace(p, tokens_N=tokens_N, category_N=category_N)
    return build(studies, store)


def test_lengths_that_are_other_categories_say_so() -> None:
    report = with_lengths(lambda place, tokens: "lines" if tokens == 10 or place < 20 else "essays & more")
    (table,) = report.length_tables
    assert said(table.caution) == (
        "Length and category are related: essays & more makes up 90.0 % of the reviews of 201 to 300 tokens and 0.0 % "
        "of those of 10 to 25 tokens. A difference between lengths may be one between categories.")
    page, paper = render.html(report), render.tex(report)
    for shown in (page, paper["report.tex"]):
        assert "A difference between lengths may be one between categories." in shown
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(paper)


@pytest.mark.parametrize("categories_of", [
    lambda place, tokens: "all",
    lambda place, tokens: ("a", "b")[place // 2 % 2],
    lambda place, tokens: "a" if tokens == 10 or place % 3 else "b",
])
def test_lengths_that_hold_all_categories_say_nothing(categories_of: Any) -> None:
    assert with_lengths(categories_of).length_tables[0].caution == ()


def test_a_range_of_a_few_reviews_is_no_sign_of_mixed_lengths() -> None:
    store, studies = three_models(test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        few_N = np.arange(len(p)) < 9
        store.predicted[key] = replace(p, tokens_N=np.where(few_N, 300, 10).astype(np.int32),
                                  category_N=np.where(few_N, "essays", "lines"))
    assert build(studies, store).length_tables[0].caution == ()


def test_categories_add_up(built: Built) -> None:
    _, _, report = built
    (table,) = report.category_tables
    assert [category.name for category in table.categories] == ["imdb", "rotten_tomatoes"]
    assert sum(present(category.examples.value) for category in table.categories) == 2000
    for place, row in enumerate(report.rows):
        rights = sum(present(c.examples.value) * present(c.accuracy[place].value) for c in table.categories)
        assert rights / 2000 == pytest.approx(row.accuracy.value)
