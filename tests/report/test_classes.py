"""Reports on more than two classes: each number is computed again from the predictions."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from gru_bench.document.blocks import Bullets, Details, parts_in
from gru_bench.document.numbers import MISSING, plain
from gru_bench.document.report import Report
from gru_bench.evidence.collect import collect
from gru_bench.report import verify
from gru_bench.report.render import record, spreadsheets
from gru_bench.report.render.files import write
from gru_bench.report.render.html import html
from gru_bench.report.sections import errors
from gru_bench.report.sections.errors import MAPPED
from gru_bench.results.runs import Predictions
from gru_bench.stats import metrics
from gru_bench.stats.classes import RARE
from gru_bench.stats.intervals import interval
from gru_bench.stats.scores import Scored, scores
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import (
    ODD_CLASSES,
    FakeStore,
    TestSet,
    add_study,
    class_names,
    of_classes,
    with_data,
    with_params,
)
from tests.support.renderings import (
    all_said,
    column_of,
    drawing_of,
    figure_of,
    number_in,
    said,
    section_of,
    soup_of,
    table_of,
    words_of,
)
from tests.support.reports import build


class Made(NamedTuple):
    """A report on one model, and what its runs predict."""

    store: FakeStore
    study: LoggedStudy
    report: Report
    predictions: list[Predictions]

    @property
    def classes(self) -> int:
        """Return C."""
        return int(self.predictions[0].probability_NC.shape[1])

    @property
    def key(self) -> str:
        """Return the first part of the keys of the model's numbers."""
        return "torch-torch"

    @property
    def counts_RCC(self) -> np.ndarray:
        """Return the confusion matrix of each seed."""
        return np.stack([metrics.counts(one.label_N, metrics.predicted(one.probability_NC), self.classes)
                         for one in self.predictions])


@pytest.fixture(scope="module", params=[3, 40, 60])
def made(request: pytest.FixtureRequest) -> Made:
    """A report on few classes, on more than a map of confusions has room for, and on more than runs keep whole."""
    return report_on(request.param)


def report_on(count: int, size: int = 300, **options: Any) -> Made:
    store, (study,) = of_classes(count, size=size, **options)
    return Made(store, study, build([study], store, experiment="movie-reviews", tracking_uri=store.uri),
                [store.predicted[run.run_id, "test"] for run in study.confirms])


def test_macro_f1_takes_the_place_of_f1(made: Made) -> None:
    (shown,) = [cell for cell in column_of(made.report, "results", "F1") if cell.key == f"{made.key}.macro-f1"]
    scored = Scored(made.predictions[0].label_N, np.stack([one.probability_NC for one in made.predictions]))
    expected = interval("macro_f1", scored)
    assert (shown.value, shown.low, shown.high) == (expected.estimate, expected.low, expected.high)
    assert shown.value == pytest.approx(np.mean([metrics.macro_f1(count_CC) for count_CC in made.counts_RCC]))
    assert "baseline-majority.macro-f1" in {cell.key for cell in column_of(made.report, "results", "F1")}


def test_further_scores_are_those_of_several_classes(made: Made) -> None:
    named = {"ROC AUC": "roc_auc", "Average precision": "average_precision", "Loss": "loss",
             "Calibration error": "calibration_error"}
    found = [scores(one.label_N, one.probability_NC, whole=one.whole) for one in made.predictions]
    headings = [column.heading for column in table_of(made.report, "scores").columns]
    # Precision and recall are of two classes, and areas of very many are not known: they have no column.
    assert headings == ["Model", *(heading for heading, name in named.items() if name in found[0])]
    assert len(headings) == (3 if made.classes == 60 else 5)
    for heading in headings[1:]:
        (shown,) = column_of(made.report, "scores", heading)
        assert number_in(shown).value == pytest.approx(np.mean([scores[named[heading]] for scores in found]))


def test_areas_of_very_many_classes_are_those_that_the_runs_logged() -> None:
    store, (study,) = of_classes(60, size=300, seeds=2)
    confirms = tuple(replace(run, metrics={**run.metrics, "score/test_roc_auc": area})
                     for run, area in zip(study.confirms, (0.7, 0.8), strict=True))
    (shown,) = column_of(build([replace(study, confirms=confirms)], store), "scores", "ROC AUC")
    area = number_in(shown)
    assert (area.value, area.low, area.high) == (pytest.approx(0.75), 0.7, 0.8)


def test_confusions_are_drawn_up_to_a_number_of_classes(made: Made) -> None:
    name = f"confusion-{made.key}"
    assert (name in [figure.name for figure in made.report.figures]) == (made.classes <= MAPPED)
    if made.classes > MAPPED:
        return
    figure = figure_of(made.report, name)
    rows = list(csv.DictReader(figure.values.csv().splitlines()))
    mean_CC, spread_CC = made.counts_RCC.mean(0), made.counts_RCC.std(0, ddof=1)
    assert [float(row["mean count"]) for row in rows] == pytest.approx(mean_CC.ravel().tolist())
    assert [float(row["standard deviation"]) for row in rows] == pytest.approx(spread_CC.ravel().tolist())
    shares = [float(row["fraction of the label"]) for row in rows]
    assert np.reshape(shares, mean_CC.shape).sum(1).tolist() == pytest.approx([1.0] * made.classes)
    mentions(figure.alternative, f"{made.classes} classes")


def test_the_most_frequent_confusions_are_listed(made: Made) -> None:
    mean_CC = made.counts_RCC.mean(0) * (1 - np.eye(made.classes))
    rows = table_of(made.report, f"confused-{made.key}").rows
    assert len(rows) == min(20, np.count_nonzero(mean_CC))
    means = [cell[0].value for _, cell, _ in rows]
    assert means == pytest.approx(np.sort(mean_CC, axis=None)[::-1][:len(rows)].tolist())
    names = list(map(plain, class_names(made.classes)))
    for pair, (mean, _, spread), share in rows:
        label, other = map(names.index, pair.split(" → "))
        assert mean.value == pytest.approx(mean_CC[label, other])
        assert spread.parts[1].value == pytest.approx(made.counts_RCC[:, label, other].std(ddof=1))
        assert share.value == pytest.approx(mean.value / (made.predictions[0].label_N == label).sum())


def test_scores_by_class_are_those_of_the_predictions(made: Made) -> None:
    table, label_N = table_of(made.report, f"classes-{made.key}"), made.predictions[0].label_N
    assert [row[0] for row in table.rows] == list(map(plain, class_names(made.classes)))
    areas = made.classes <= 50
    assert [column.heading for column in table.columns] == [
        "Class", "Texts", "Precision", "Recall", "F1", "ROC AUC", "Average precision"]
    scores_RC = [metrics.class_scores(count_CC) for count_CC in made.counts_RCC]
    own_RC = [metrics.by_class(metrics.roc_auc, label_N, one.probability_NC) if areas else []
              for one in made.predictions]
    few = 0
    for place, (_, (reviews, mark), precision, recall, f1, *shown) in enumerate(table.rows):
        size = int((label_N == place).sum())
        assert reviews.value == size
        for number, name in ((precision, "precision"), (recall, "recall"), (f1, "f1")):
            if number.value is not None:
                assert number.value == pytest.approx(np.mean([getattr(one[place], name) for one in scores_RC]))
        assert (mark == " (few)") == (size < RARE)
        few += size < RARE
        for number in (recall, f1):
            assert (number.low is None) == (size < RARE)
            if size < RARE:
                mentions(number.method, "no interval", "fewer than 20")
        if areas and size:
            assert shown[0].value == pytest.approx(np.mean([float(own_C[place] or np.nan) for own_C in own_RC]))
        if not areas:
            assert shown == [MISSING] * 2
    assert few > 0 or made.classes < 40


def test_a_class_that_is_absent_from_the_test_reviews_has_dashes() -> None:
    test_set = TestSet.draw(200, classes=class_names(4))
    test_set = replace(test_set, label_N=np.where(test_set.label_N == 2, 1, test_set.label_N).astype(np.int8))
    store = FakeStore()
    report = build([add_study(store, "torch", {"torch": 0.0}, test_set=test_set)], store)
    (reviews, _), _, *others = table_of(report, "classes-torch-torch").rows[2][1:]
    assert reviews.value == 0
    assert [number.text for number in others] == [MISSING] * 4


def test_uneven_classes_cause_a_warning(made: Made) -> None:
    count_C = np.bincount(made.predictions[0].label_N, minlength=made.classes)
    text = all_said(made.report.warnings)
    uneven = count_C.max() >= 2 * count_C.min()
    assert ("The classes are imbalanced" in text) == uneven
    if uneven:
        mentions(text, class_names(made.classes)[count_C.argmax()], f"{100 * count_C.max() / count_C.sum():.1f} %")


@pytest.mark.parametrize("positive", [0.5, 0.05])
def test_two_uneven_classes_have_scores_by_class(positive: float) -> None:
    test_set = TestSet.draw(600, classes=("ham", "spam"))
    label_N = (np.random.default_rng(1).random(600) < positive).astype(np.int8)
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=replace(test_set, label_N=label_N))
    report = build([study], store)
    assert ("classes-torch-torch" in [table.key for table in report.tables]) == (positive < 0.1)
    mentions(words_of(report, "methods"), "(spam)")
    assert any("the class spam" in fact for fact in column_of(report, "data-1", "Fact"))
    if positive < 0.1:
        assert column_of(report, "classes-torch-torch", "Class") == ["ham", "spam"]
        runs = [store.predicted[run.run_id, "test"] for run in study.confirms]
        recall = np.mean([metrics.predicted(one.probability_NC)[one.label_N == 1].mean() for one in runs])
        ham, spam = column_of(report, "classes-torch-torch", "ROC AUC")
        assert column_of(report, "classes-torch-torch", "Recall")[1].value == pytest.approx(recall)
        assert ham.value == pytest.approx(spam.value)
        mentions(all_said(report.warnings), "The classes are imbalanced", "ham")


def test_mistakes_of_every_run_name_the_class_and_the_predicted_one(made: Made) -> None:
    runs, names = made.predictions, list(map(plain, class_names(made.classes)))
    predicted_RN = np.stack([metrics.predicted(one.probability_NC) for one in runs])
    wrong_N = np.flatnonzero((predicted_RN != runs[0].label_N).all(0))
    items = [item for block in parts_in(section_of(made.report, "disagreements").blocks)
             if isinstance(block, Details) and block.summary == "Some of these mistakes"
             for inner in block.blocks if isinstance(inner, Bullets) for item in inner.items]
    assert len(items) == min(20, sum(min(2, int((runs[0].label_N[wrong_N] == place).sum()))
                                     for place in range(made.classes)))
    places = [runs[0].example_id_N.tolist().index(text.removeprefix("review ")) for text, _ in items]
    assert set(places) <= set(wrong_N.tolist())
    labels = [int(runs[0].label_N[place]) for place in places]
    assert labels == sorted(labels)
    for place, (_, remark) in zip(places, items, strict=True):
        count_C = np.bincount(predicted_RN[:, place], minlength=made.classes)
        text = said(remark)
        assert text.startswith(f"Labeled {names[runs[0].label_N[place]]}, predicted ")
        assert any(text.startswith(f"Labeled {names[runs[0].label_N[place]]}, predicted {names[other]}, ")
                   for other in np.flatnonzero(count_C == count_C.max()))


def test_the_data_has_its_classes_and_their_counts(made: Made) -> None:
    facts = dict(zip(column_of(made.report, "data-1", "Fact"), column_of(made.report, "data-1", "Value"), strict=True))
    assert facts["classes"].value == made.classes
    assert not any("positive" in fact for fact in facts)
    sizes = [number.value for number in column_of(made.report, "data-1-classes", "Texts")]
    assert sizes == (10 * np.bincount(made.predictions[0].label_N, minlength=made.classes)).tolist()
    assert sum(number.value for number in column_of(made.report, "data-1-classes", "Of all")) == pytest.approx(1)


def test_very_many_classes_are_listed_in_part() -> None:
    made = report_on(210, size=400, seeds=1)
    largest = np.argsort(-np.bincount(made.predictions[0].label_N, minlength=210), kind="stable")[:200]
    expected = [plain(class_names(210)[place]) for place in sorted(largest)]
    for key in (f"classes-{made.key}", "data-1-classes"):
        assert column_of(made.report, key, "Class") == expected
        assert "200 largest" in said(table_of(made.report, key).caption)


def test_few_classes_are_all_listed_and_the_caption_says_of_no_others(made: Made) -> None:
    for key in (f"classes-{made.key}", "data-1-classes"):
        assert "largest" not in said(table_of(made.report, key).caption)


def test_names_stand_in_the_tables_for_spreadsheets(made: Made, tmp_path: Path) -> None:
    spreadsheets.write(collect([made.study], made.store), tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = class_names(made.classes)
    first = made.predictions[0]
    for row, label, found, likeliest in zip(
            rows, first.label_N, metrics.predicted(first.probability_NC), first.probability_NC.max(1), strict=False):
        assert row["label"].removeprefix("'") == names[label]
        assert row["predicted"].removeprefix("'") == names[found]
        assert np.float32(row["probability"]) == likeliest
        assert row["correct"] == str(int(label == found))
    computed = {row["label"] for row in rows if row["label"].removeprefix("'")[0] in "=-"}
    assert all(label[0] == "'" or float(label) < 0 for label in computed)


def test_numbers_stand_for_names_that_are_not_known() -> None:
    store, (study,) = of_classes(3, size=300, seeds=2)
    report = build([with_data(study, classes=("only", "two"))], store)
    assert column_of(report, "classes-torch-torch", "Class") == ["class 0", "class 1", "class 2"]


def test_a_report_on_many_classes_agrees_with_its_store(tmp_path: Path) -> None:
    made = report_on(14, seeds=2)
    write(made.report, tmp_path)
    assert verify.differences(tmp_path, record.read(tmp_path), made.store) == []


def test_names_are_escaped_and_stay_whole() -> None:
    count = len(ODD_CLASSES)
    soup = soup_of(html(report_on(count, seeds=2).report))
    shown = [row.th.get_text() for row in soup.select("div[aria-label^='Scores by class'] tbody tr")]
    assert shown == list(map(plain, class_names(count)))
    assert not soup.find_all("b")


@pytest.mark.parametrize("count", [3, 14, pytest.param(30, marks=pytest.mark.slow)])
def test_written_counts_and_names_do_not_overlap(count: int) -> None:
    report = report_on(count, size=900, seeds=2).report
    (axes,) = drawing_of(figure_of(report, "confusion-torch-torch")).axes
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    ticks = [text.get_window_extent() for text in axes.get_yticklabels()]
    assert len(boxes) >= count
    assert not any(one.overlaps(two) for one, two in combinations(boxes, 2))
    assert not any(one.overlaps(two) for one, two in combinations(ticks, 2))
    assert all(box.x0 >= 0 for box in ticks)
    assert len(ticks) == count


def test_each_of_several_models_has_its_confusions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "OPENED_MODELS", 2)
    models = dict.fromkeys(("torch", "scratch", "bidirectional"), 0.0)
    store, studies = of_classes(3, size=300, seeds=2, models=models)
    report = build(studies, store)
    blocks = section_of(report, "errors").blocks
    folded = [block.summary for block in blocks if isinstance(block, Details)]
    assert sum(summary.startswith("Scores by class of") for summary in folded) == 2
    assert "Confusions of Bidirectional GRU" in folded
    assert len([figure for figure in report.figures if figure.name.startswith("confusion-")]) == 3


def test_a_study_about_macro_f1_shows_it_once() -> None:
    store, (study,) = of_classes(3, size=300)
    report = build([with_params(study, metric="macro_f1")], store)
    headings = [column.heading for column in table_of(report, "results").columns]
    assert headings == ["Model", "Seeds", "Macro F1", "Accuracy"]
    texts = {row[0][0]: row[2].text for row in table_of(report, "results").rows}
    assert (texts["majority class"], texts["TF-IDF"]) == ("19.4", "88.7")
    assert "test macro F1" in section_of(report, "results").figures[0].caption.lower().replace("f1", "F1")
