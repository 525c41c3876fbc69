"""The section on diagnostics: its numbers and words are those that the first confirmation runs hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.document.blocks import Heading
from gru_bench.document.numbers import MISSING
from gru_bench.document.report import Report
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from gru_bench.report.sections.diagnostics import diagnostics as diagnostics_section
from gru_bench.results.diagnostics import Diagnostics
from tests.support.commands import mentions
from tests.support.diagnostics import TOKENS, attribution, flow, gate_map, some_diagnostics, studies_with
from tests.support.fake_store import HOSTILE_NAMES, run_hash
from tests.support.renderings import (
    Rendered,
    column_of,
    drawing_of,
    figure_of,
    said,
    section_of,
    soup_of,
    table_of,
    visible_text,
    words_of,
)
from tests.support.sections import build_only


def report_of(*names: str, **logged: Any) -> Report:
    """Return a report that has the diagnostics of studies with these artifacts."""
    store, studies = studies_with(*names, **logged)
    return build_only(studies, store, diagnostics_section)


def shown(cell: Any) -> str:
    """Return a cell as text."""
    return said(cell if isinstance(cell, tuple) else (cell,))


def words(report: Report) -> str:
    return words_of(report, "diagnostics")


def test_a_study_without_diagnostics_has_no_section() -> None:
    assert "diagnostics" not in [section.name for section in report_of().sections]


def test_only_the_first_confirmation_run_of_a_model_is_read() -> None:
    store, studies = studies_with(diagnostics=some_diagnostics())
    first, second = (next(run for run in studies[0].confirms if (run.model, run.seed) == ("scratch", seed))
                     for seed in (1000, 1001))
    store.artifacts[second.run_id, "diagnostics.json"] = store.artifacts.pop((first.run_id, "diagnostics.json"))
    report = build_only(studies, store, diagnostics_section)
    assert {row[0] for row in table_of(report, "gradients-left").rows} == {
        "Bidirectional GRU, forward", "Bidirectional GRU, backward"}


def test_models_whose_names_differ_in_other_scripts_alone_have_numbers_and_figures_of_their_own() -> None:
    models = "gru.py:Моя", "gru.py:Ещё"
    found = Diagnostics(
        tuple(flow(model, rate) for model, rate in zip(models, (0.9, 0.7), strict=True)),
        tuple(gate_map(model, units=units) for model, units in zip(models, (23, 5), strict=True)),
        tuple(replace(attribution(model), probability=p) for model, p in zip(models, (0.8, 0.7), strict=True)))
    report = report_of(diagnostics=found)
    names = [figure.name for figure in report.figures]
    assert len(set(names)) == len(names) == 5
    assert [one.value for key, one in report.numbers.items() if key.endswith(".decay")] == [0.9, 0.7]


def test_the_numbers_are_those_of_the_artifacts_with_their_runs(diagnosed: Rendered) -> None:
    numbers = diagnosed[0].numbers
    decay = numbers["diagnostics-homework.flow-scratch-forward-trained.decay"]
    assert (decay.text, decay.runs, decay.examples) == ("0.920", (run_hash("homework", "scratch", 0),), 96)
    weights = some_diagnostics().attributions[0].weight
    weight = numbers["diagnostics-homework.words-scratch-occlusion.3"]
    assert (weight.value, weight.runs) == (weights[2], decay.runs)
    gate = numbers["diagnostics-homework.gates-bidirectional-backward.lowest"]
    assert gate.runs == (run_hash("homework", "bidirectional", 0),)


def test_every_number_on_the_page_is_a_number_of_the_report(diagnosed: Rendered) -> None:
    text = visible_text(str(soup_of(diagnosed[1]).find("section", {"aria-labelledby": "diagnostics"})))
    for known in ("of 0", "of 1", "from 0 (closed) to 1 (open)", "< 0.1"):
        text = text.replace(known, "")
    assert re.findall(r"[^\s]*\d[^\s]*", text) == []


def test_the_tables_repeat_the_numbers_of_the_artifacts(diagnosed: Rendered) -> None:
    report, logged = diagnosed.report, some_diagnostics()
    assert dict(zip(column_of(report, "gradients-left", "Model"), map(
        shown, column_of(report, "gradients-left", "Factor before")), strict=True)) == {
        "Scratch GRU": "0.640", "Bidirectional GRU, forward": "0.630",
        "Bidirectional GRU, backward": "0.600"}
    best = logged.attributions[0]
    assert [shown(row[place]) for row in table_of(report, "words-extreme").rows[:1] for place in (1, 2)] == [
        "positive", "80.0"]
    assert shown(column_of(report, "words-extreme", "For it")[0]).startswith(
        f"{best.tokens[int(np.argmax(best.weight))]} (")
    update = np.array(logged.gates[0].update).mean(axis=1)
    row = table_of(report, "diagnostics-homework-gates").rows[0]
    assert [shown(cell) for cell in row[3:]] == [
        f"{update.min():.3f}", TOKENS[int(update.argmin())], f"{update.argmin() + 1} of 8"]


def test_poolings_of_every_state_have_no_factor() -> None:
    every = Diagnostics((flow("scratch", 0.9, pooling="meanmax", decay=None),), (), ())
    report = report_of(diagnostics=every)
    assert column_of(report, "gradients-left", "Factor trained") == [MISSING]
    once = flow("bidirectional", 0.9, direction="backward", pooling="last", steps_back=(0,), norm=(0.3,), low=(0.2,),
                high=(0.4,), decay=None, fitted=(0, 0))
    report = report_of(diagnostics=Diagnostics((flow("scratch", 0.5), once), (), ()))
    assert len(drawing_of(figure_of(report, "gradients")).axes) == 1


def test_the_directions_of_a_bidirectional_model_are_told_apart() -> None:
    two = (flow("scratch", 0.9), flow("scratch", 0.8, direction="backward"), flow("torch", 0.7))
    report = report_of(diagnostics=Diagnostics(two, (), ()))
    assert [(row[0], shown(row[3])) for row in table_of(report, "gradients-left").rows] == [
        ("Scratch GRU, forward", "0.900"), ("Scratch GRU, backward", "0.800"), ("Torch GRU", "0.700")]


@pytest.mark.parametrize("raw", ["{", "[]", "{}", json.dumps({"flows": [{"model": "x"}]})])
def test_diagnostics_that_cannot_be_read_are_left_out_and_named(raw: str) -> None:
    mentions(words(report_of(raw=raw)), "diagnostics of Scratch GRU", "homework", "cannot be read")


def test_the_values_are_those_that_were_logged(diagnosed: Rendered) -> None:
    report, logged = diagnosed.report, some_diagnostics()
    weights = [row for row in figure_of(report, "words").values.records()
               if row["model"] == "Scratch GRU"]
    assert [row["word"] for row in weights] == list(TOKENS)
    assert [row["weight"].value for row in weights] == list(logged.attributions[0].weight)


def test_words_of_another_text_are_left_out() -> None:
    other = (attribution("scratch"), attribution("bidirectional", ("other", "words")))
    apart = report_of(diagnostics=Diagnostics((), (), other))
    assert list(figure_of(apart, "words").values.groups("model")) == ["Scratch GRU"]
    assert len(drawing_of(figure_of(apart, "words")).axes) == 1


def test_each_study_has_its_own_headings_and_figures() -> None:
    report = report_of("one", "two", diagnostics=some_diagnostics())
    section = section_of(report, "diagnostics")
    kinds = ("gradients", "words")
    assert [figure.name for figure in section.figures if "gates" not in figure.name] == [
        f"{kind}-diagnostics-{study}" for study in ("one", "two") for kind in kinds]
    headings = [block for block in section.blocks if isinstance(block, Heading)]
    assert [block.text for block in headings if block.key in ("diagnostics-one", "diagnostics-two")] == ["one", "two"]
    assert len({block.key for block in headings}) == len(headings)


def test_hostile_words_of_a_review_are_escaped_in_every_format() -> None:
    report = report_of(diagnostics=some_diagnostics(tuple(HOSTILE_NAMES[:2]) + TOKENS))
    assert "<script>alert" not in html(report)
    assert r"\input{/etc" not in "".join(tex(report).values())
    assert "<script" not in markdown(report)


def test_words_of_a_validation_review_are_said_to_be_so(diagnosed: Rendered) -> None:
    of_review = report_of(diagnostics=replace(some_diagnostics(), review="validation"))
    captions = [said(table_of(report, "diagnostics-homework-gates").caption) for report in (
        of_review, diagnosed.report)]
    assert ["validation text" in caption for caption in captions] == [True, False]


def test_what_remains_of_a_gradient_is_shown_before_and_after_training(diagnosed: Rendered) -> None:
    """0.92 ** 50 is 1.5 %, and 0.64 ** 50 is less than a thousandth."""
    left = {row[0]: [shown(cell) for cell in (row[1], *row[4:])]
            for row in table_of(diagnosed.report, "gradients-left").rows}
    assert left["Scratch GRU"] == ["50", "< 0.1", "1.5"]
    same = Diagnostics((flow("scratch", 0.92, "initial"), flow("scratch", 0.921)), (), ())
    assert shown(column_of(report_of(diagnostics=same), "gradients-left", "Left trained")[0]) == "1.6"
