"""Additions to a report: a figure, a section, a score and a check, each in one place, appear in every format.

docs/architecture.md refers to this file as the example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gru_bench import checks
from gru_bench.checks import Found, Subject
from gru_bench.document.blocks import Column, Paragraph, Table
from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import plain
from gru_bench.document.report import Section
from gru_bench.document.sentences import say
from gru_bench.document.style import dots, name_lines, new_figure
from gru_bench.evidence.collect import Evidence, collect
from gru_bench.report import build
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from gru_bench.results.logged_metrics import TOKENS_PER_SECOND
from gru_bench.stats import values
from gru_bench.stats.metrics import Floats, Labels, counts
from gru_bench.stats.scores import SCORES, Comparison, Score
from gru_bench.stats.verdict import Finding
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import html_numbers, tex_numbers
from tests.support.values import present

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

KEY = TOKENS_PER_SECOND.key

# ---------------------------------------------------------------- a figure: report/figures/speed.py


def speed_figure(values: Values) -> Figure:
    """Return the figure of the training speed of each model.

    Args:
        values: `model` and `tokens per second`.
    """
    return Figure("speed", "Tokens per second in training.", "Tokens per second of each model.", values, _speed)


def _speed(frame: DataFrame) -> Drawing:
    names = frame["model"].tolist()
    figure, (axes,) = new_figure(0.65 + 0.3 * len(names))
    dots(axes, frame.assign(place=range(len(names))), "tokens per second", "place", names)
    name_lines(axes, names)
    axes.set_xlabel("tokens per second")
    return figure


# ---------------------------------------------------------------- a section: report/sections/speed.py


def speed(evidence: Evidence) -> Section | None:
    """Return the section; None where a run did not log its speed."""
    if not all(KEY in run.metrics for group in evidence.groups for run in group.runs):
        return None
    rows = tuple((group.label, group.of_runs.over_runs("speed", [run.metrics[KEY] for run in group.runs], "amount"))
                 for group in evidence.groups)
    return Section("speed", "Speed", (
        Paragraph(("The number of tokens on which each model trains in a second.",)),
        speed_figure(Values(("model", "tokens per second"), rows)),
        Table("speed", "Training speed", ("Means over seeds.",),
              (Column("Model", align="left", width=4), Column("Tokens/s")), rows),
    ))


# ---------------------------------------------------------------- a score: stats/scores.py, SCORES


def matthews(label_N: Labels, predicted_N: Labels, probability_NC: Floats) -> float | None:
    """Return Matthews' correlation coefficient (Gorodkin 2004, equation 8). None where it is 0/0."""
    count_CC = counts(label_N, predicted_N, probability_NC.shape[1])
    total, true_C, predicted_C = count_CC.sum(), count_CC.sum(axis=1), count_CC.sum(axis=0)
    square = (total**2 - (true_C**2).sum()) * (total**2 - (predicted_C**2).sum())
    return float((total * np.trace(count_CC) - true_C @ predicted_C) / np.sqrt(square)) if square else None


MATTHEWS = Score("matthews", "Matthews correlation", "", 3, True, "predicted classes", matthews)

# ---------------------------------------------------------------- a check: checks.py, below @check("GRU099", "...")


def more_words_than_reviews(subject: Subject) -> Found:
    """More distinct words than training reviews."""
    for one in subject.data:
        words, reviews = one.summary.vocabulary, one.summary.train
        yield None if words <= reviews else say(
            "{data} has {words} distinct words in {reviews} training {reviews:review|reviews}.",
            data=plain(one.summary.name), words=one.numbers.add("words", words),
            reviews=one.numbers.add("train", reviews))


@pytest.mark.slow
def test_additions_appear_in_every_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CONTENTS", (speed, *build.CONTENTS))
    monkeypatch.setitem(SCORES, "matthews", MATTHEWS)
    monkeypatch.setattr(checks, "CHECKS", dict(checks.CHECKS))
    checks.check("GRU099", "Train on more reviews.")(more_words_than_reviews)
    store, studies = three_models()
    report = build.build(collect(studies, store))
    page, paper, text = html(report), tex(report), markdown(report)
    for key in ("torch-torch.speed", "torch-torch.matthews", "checked-1.words"):
        shown = report.numbers[key].text
        assert html_numbers(page)[key][0] == tex_numbers(paper)[key] == shown
        assert shown in text
    assert "Matthews correlation" in text
    assert "GRU099" in text
    (drawn,) = (figure for figure in report.figures if figure.name == "speed")
    assert drawn.pdf.startswith(b"%PDF")


def test_models_are_compared_by_a_score_that_was_added_and_of_which_less_is_better(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    name: Any = "error"
    monkeypatch.setitem(SCORES, name, Score(
        name, "error rate", "share", 1, False, "right answers",
        lambda label_N, predicted_N, _: float(np.mean(predicted_N != label_N)),
        comparison=Comparison(name, lambda scored: values.Values.of_correct(~scored.correct_RN),
                              lambda share_C, _: float(1 - share_C.max()))))
    store = FakeStore()
    study = add_study(store, "one", {"torch": -0.5, "bidirectional": 0.3}, test_set=TestSet.draw(2000))
    (by_accuracy,) = collect([study], store).compared
    monkeypatch.setattr("gru_bench.tracking.reader.metric_of", lambda _: name)  # as with the name in config.MetricName
    (by_error,) = collect([study], store).compared
    assert by_error.scale.score == "error rate"
    assert present(by_error.number("difference").value) == pytest.approx(
        -present(by_accuracy.number("difference").value))
    assert by_error.verdict.finding is by_accuracy.verdict.finding is Finding.BETTER
    assert by_error.favours == by_accuracy.favours
