"""The section on diagnostics: its numbers and words are those that a study logged."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.document.blocks import Heading
from gru_bench.report.document.numbers import MISSING
from gru_bench.report.document.report import Report
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from gru_bench.results.diagnostics import Diagnostics, RecallCurve
from tests.support.diagnostics import TOKENS, attribution, flow, report_of, some_diagnostics, some_recall
from tests.support.fake_store import HOSTILE_NAMES
from tests.support.renderings import (
    Rendered,
    column_of,
    figure_of,
    said,
    section_of,
    soup_of,
    table_of,
    visible_text,
    words_of,
)


def words(report: Report) -> str:
    return words_of(report, "diagnostics")


def test_a_study_that_looked_nowhere_has_no_section() -> None:
    for report in (report_of(), report_of(recall=RecallCurve((), "t", {}))):
        assert "diagnostics" not in [section.name for section in report.sections]


def test_the_numbers_are_those_of_the_artifacts_with_their_runs(diagnosed: Rendered) -> None:
    numbers = diagnosed[0].numbers()
    decay = numbers["diagnostics-homework.flow-scratch-forward-trained.decay"]
    assert (decay.text, decay.runs, decay.examples) == ("0.920", ("runscratch",), 96)
    assert numbers["diagnostics-homework.flow-scratch-forward-initial.decay"].runs == ()
    assert numbers["diagnostics-homework.flow-rnn-forward-trained.end"].value == pytest.approx(0.3 * 0.76**50)
    weights = some_diagnostics().attributions[1].weight
    assert numbers["diagnostics-homework.words-scratch-occlusion.3"].value == weights[2]
    memory = numbers["diagnostics-homework.recall-scratch-40"]
    assert (memory.value, memory.low, memory.high, memory.examples) == (0.99, 0.94, 1.0, 300)
    assert "Satterthwaite t" in memory.method


def test_no_number_of_the_section_is_outside_the_report(diagnosed: Rendered) -> None:
    text = visible_text(str(soup_of(diagnosed[1]).find("section", {"aria-labelledby": "diagnostics"})))
    for known in ("of 0", "of 1", "from 0 (closed) to 1 (open)", "95 %", "hidden_size 32"):
        text = text.replace(known, "")
    assert re.findall(r"[^\s]*\d[^\s]*", text) == []


def test_the_words_say_what_the_numbers_are(diagnosed: Rendered) -> None:
    shown = words(diagnosed[0])
    assert ("Before training each step back multiplies the norm of the gradient by: Vanilla RNN 0.570; Scratch GRU "
            "0.640; Bidirectional GRU, forward 0.630; Bidirectional GRU, backward 0.600.") in shown
    assert "fitted to the norms 5 to 50 steps back" in shown
    assert "Vanilla RNN is not a run of the study: it was trained for this comparison alone (one epoch)." in shown
    assert "The models are furthest apart over 40 steps: Vanilla RNN 55.0 %" in shown
    best = some_diagnostics().attributions[1]
    most = best.tokens[int(np.argmax(best.weight))]
    assert ("Scratch GRU gives the class positive a probability of 80.0 %; by occlusion "
            f"“{most}” speaks most for positive") in shown
    update = np.array(some_diagnostics().gates[0].update).mean(axis=1)
    assert f"at “{TOKENS[int(update.argmin())]}”, word {update.argmin() + 1} of 8: {update.min():.3f}" in shown


def test_poolings_that_take_every_state_or_one_are_explained() -> None:
    every = Diagnostics((flow("scratch", 0.9, pooling="meanmax", decay=None),), (), (), ())
    shown = words(report_of(diagnostics=every))
    assert "The pooling meanmax uses every state" in shown
    assert "multiplies the norm" not in shown
    once = flow("bidirectional", 0.9, direction="backward", pooling="last", steps_back=(0,), norm=(0.3,), low=(0.2,),
                high=(0.4,), decay=None, fitted=(0, 0))
    report = report_of(diagnostics=Diagnostics((flow("rnn", 0.5), once), (), (), ()))
    assert "the backward half is read after its first step" in words(report)
    figure = figure_of(report, "gradients")
    assert "Bidirectional GRU, backward, trained: 0.3, and nothing before it" in figure.alternative
    assert figure.svg()


def test_any_model_that_reads_in_both_directions_says_which() -> None:
    two = (flow("scratch", 0.9), flow("scratch", 0.8, direction="backward"), flow("torch", 0.7))
    report = report_of(diagnostics=Diagnostics(two, (), (), ()))
    assert column_of(report, "gradients", "Model") == ["Scratch GRU, forward", "Scratch GRU, backward", "Torch GRU"]


@pytest.mark.parametrize("raw", ["{", "[]", "{}", json.dumps({"flows": [{"model": "x"}]})])
def test_what_cannot_be_read_is_said(raw: str) -> None:
    report = report_of(raw=raw)
    assert words(report) == "The study homework holds a diagnostics.json that cannot be read; it is left out."


def test_the_tables_hold_what_was_logged(diagnosed: Rendered) -> None:
    report, logged = diagnosed.report, some_diagnostics()
    assert [number.value for number in column_of(report, "gradients", "Factor per step")] == [
        flow.decay for flow in logged.flows]
    assert column_of(report, "gradients", "Model")[5] == "Bidirectional GRU, backward"
    assert column_of(report, "words", "Word") == list(TOKENS)
    assert [number.value for number in column_of(report, "words", "Scratch GRU, occlusion")] == list(
        logged.attributions[1].weight)
    assert said(column_of(report, "neighbours", "Nearest, with cosine")[0]) == "great (0.810), fine (0.700)"
    assert [(steps.value, accuracy.value) for steps, accuracy, _ in table_of(report, "recall").rows] == [
        (5, 1.0), (40, 0.55), (80, 0.51)]


def test_points_and_words_that_are_missing_are_no_error() -> None:
    curve = some_recall()
    report = report_of(recall=replace(curve, points=curve.points[1:]))
    assert [accuracy.text for accuracy in table_of(report, "recall").rows[0][1:]] == [MISSING, "100.0"]
    other = (attribution("scratch", "occlusion"), attribution("bidirectional", "occlusion", ("other", "words")))
    apart = report_of(diagnostics=Diagnostics((), (), other, ()))
    assert [column.heading for column in table_of(apart, "words").columns] == ["Word", "Scratch GRU, occlusion"]
    assert figure_of(apart, "words").svg()


def test_several_studies_stand_apart() -> None:
    report = report_of("one", "two", diagnostics=some_diagnostics(), recall=some_recall())
    section = section_of(report, "diagnostics")
    kinds = ("gradients", "words", "recall")
    assert [figure.name for figure in section.figures if "gates" not in figure.name] == [
        f"{kind}-diagnostics-{study}" for study in ("one", "two") for kind in kinds]
    assert [table.key for table in section.tables] == [
        f"{kind}-diagnostics-{study}" for study in ("one", "two") for kind in (*kinds[:2], "neighbours", "recall")]
    assert len({table.title for table in section.tables}) == len(section.tables)
    headings = [block for block in section.blocks if isinstance(block, Heading)]
    assert [block.text for block in headings if block.key in ("diagnostics-one", "diagnostics-two")] == ["one", "two"]
    assert len({block.key for block in headings}) == len(headings)


def test_hostile_words_are_shown_and_do_nothing() -> None:
    report = report_of(diagnostics=some_diagnostics(tuple(HOSTILE_NAMES[:2]) + TOKENS))
    assert "<script>alert" not in html(report)
    assert r"\input{/etc" not in "".join(tex(report).values())
    assert "<script" not in markdown(report)


def test_a_review_that_was_looked_at_is_called_one(diagnosed: Rendered) -> None:
    told = "The words are those of a validation review"
    assert told in words(report_of(diagnostics=replace(some_diagnostics(), review="validation")))
    assert told not in words(diagnosed[0])


def test_what_is_left_of_a_gradient_is_said_before_and_after_training() -> None:
    """0.92 ** 50 is 1.5 %, 0.64 ** 50 and 0.76 ** 50 are less than a thousandth."""
    shown = words(report_of(diagnostics=some_diagnostics()))
    little = "50 steps back less than a thousandth of the gradient is left before training and"
    assert f"Scratch GRU: {little} 1.5 % in the trained model: with initial weights the gates forget a state" in shown
    assert f"Vanilla RNN: {little} less than a thousandth in the trained model: its weights grew" in shown
    same = Diagnostics((flow("scratch", 0.92, "initial"), flow("scratch", 0.921)), (), (), ())
    assert "1.6 % in the trained model." in words(report_of(diagnostics=same))
