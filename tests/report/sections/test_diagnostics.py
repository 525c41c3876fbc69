"""The section on the insides of models: its numbers, words and figures are those that a study logged."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from bs4 import BeautifulSoup

from gru_bench.report.build import build
from gru_bench.report.evidence.groups import MODEL_NAMES
from gru_bench.report.figures.diagnostics import gate_picture, gradient_picture, recall_picture, word_picture
from gru_bench.report.figures.results import pictures
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, SCREEN, drawing
from gru_bench.report.render import html_latex as render
from gru_bench.report.render.markdown import markdown
from gru_bench.results.diagnostics import (
    Attribution,
    Diagnostics,
    GateMap,
    GradientFlow,
    Neighbours,
    RecallCurve,
    RecallPoint,
)
from tests.support.fake_store import HOSTILE_NAMES, FakeStore, TestSet, add_study
from tests.support.renderings import html_numbers, tex_numbers, visible_text

TOKENS = ("at", "first", "i", "did", "n't", "like", "it", "!")


def flow(
    model: str, rate: float, state: str = "trained", direction: str = "forward", **changes: object
) -> GradientFlow:
    norm = tuple((0.3 * rate ** np.arange(51)).tolist())
    found = GradientFlow(
        model=model, direction=direction, state=state, run_id=f"run{model}" if state == "trained" else "",
        pooling="final", reviews=96, steps_back=tuple(range(51)), norm=norm, low=tuple(0.5 * x for x in norm),
        high=tuple(2 * x for x in norm), decay=rate, fitted=(5, 50))
    return replace(found, **changes)


def gate_map(model: str, direction: str = "forward", tokens: tuple[str, ...] = TOKENS, units: int = 23) -> GateMap:
    rng = np.random.default_rng(len(model) + len(direction))
    update, reset = rng.random((2, len(tokens), units)).round(4).tolist()
    return GateMap(model, direction, f"run{model}", tokens, tuple(map(tuple, update)), tuple(map(tuple, reset)))


def attribution(model: str, method: str, tokens: tuple[str, ...] = TOKENS) -> Attribution:
    weight = np.random.default_rng(len(model) + len(method)).normal(size=len(tokens)).round(3)
    return Attribution(model, f"run{model}", method, tokens, tuple(weight.tolist()), 0.8)


def found_inside(tokens: tuple[str, ...] = TOKENS) -> Diagnostics:
    flows = [flow("rnn", 0.57, "initial"), flow("rnn", 0.76, trained_how="one epoch"),
             flow("scratch", 0.64, "initial"), flow("scratch", 0.92),
             flow("bidirectional", 0.63, "initial"), flow("bidirectional", 0.6, "initial", "backward"),
             flow("bidirectional", 0.95), flow("bidirectional", 0.9, direction="backward")]
    return Diagnostics(
        tuple(flows),
        (gate_map("scratch", tokens=tokens), gate_map("bidirectional", tokens=tokens),
         gate_map("bidirectional", "backward", tokens)),
        tuple(attribution(model, method, tokens) for model in ("scratch", "bidirectional")
              for method in ("gradient times input", "occlusion")),
        (Neighbours("good", (("great", 0.81), ("fine", 0.7))), Neighbours(tokens[0], ((tokens[1], -0.25),))))


def curve() -> RecallCurve:
    points = [RecallPoint(model, k, (0, 1, 2), (mean, mean, mean), mean, mean - 0.05, min(1.0, mean + 0.05), 300)
              for model, means in (("rnn", (1.0, 0.55, 0.51)), ("scratch", (1.0, 0.99, 0.53)))
              for k, mean in zip((5, 40, 80), means, strict=True)]
    return RecallCurve(tuple(points), "Satterthwaite t", {"model.hidden_size": "32"})


def written_up(
    *names: str, diagnostics: Diagnostics | None = None, recall: RecallCurve | None = None, raw: str = "",
):
    store = FakeStore()
    for name in names or ("homework",):
        study = add_study(store, name, {"scratch": 0.0, "bidirectional": 0.1}, search=False,
                          test_set=TestSet.draw(300, [""]))
        if diagnostics is not None or raw:
            store.artifacts[study.run.run_id, "diagnostics.json"] = raw or diagnostics.to_json()
        if recall is not None:
            store.artifacts[study.run.run_id, "recall.json"] = recall.to_json()
    return build(store.by_experiment["movie-reviews"], store, experiment="movie-reviews")


def said(report) -> str:
    """All sentences of the section, as plain text."""
    (section,) = [section for section in report.sections if section.name == "diagnostics"]
    one = section.content[0]
    return " ".join(
        "".join(part if isinstance(part, str) else part.text for part in sentence)
        for sentences in (one.flow_sentences, one.gate_sentences, one.word_sentences, one.recall_sentences,
                          one.unreadable)
        for sentence in sentences).replace("\u00a0", " ")


def section_of(page: str) -> BeautifulSoup:
    return BeautifulSoup(page, "html.parser").find("section", {"aria-labelledby": "diagnostics"})


@pytest.fixture(scope="module")
def whole():
    report = written_up(diagnostics=found_inside(), recall=curve())
    return report, render.html(report), render.tex(report)


def test_a_study_that_looked_nowhere_has_no_section() -> None:
    report = written_up()
    assert "diagnostics" not in [section.name for section in report.sections]


def test_page_and_document_show_the_same_numbers(whole) -> None:
    report, page, files = whole
    on_page, on_paper = html_numbers(page), tex_numbers(files)
    assert {key: text for key, (text, _) in on_page.items()} == on_paper
    numbers = report.numbers()
    assert set(numbers) <= set(on_page)
    inside = {key for key in numbers if key.startswith("diagnostics-homework.")}
    assert len(inside) > 60
    for key in inside:
        assert on_page[key][0] == numbers[key].text


def test_the_numbers_are_those_of_the_artifacts_with_their_runs(whole) -> None:
    numbers = whole[0].numbers()
    decay = numbers["diagnostics-homework.flow-scratch-forward-trained.decay"]
    assert (decay.text, decay.runs, decay.examples) == ("0.920", ("runscratch",), 96)
    assert numbers["diagnostics-homework.flow-scratch-forward-initial.decay"].runs == ()
    assert numbers["diagnostics-homework.flow-rnn-forward-trained.end"].value == pytest.approx(0.3 * 0.76**50)
    weights = found_inside().attributions[1].weight
    assert numbers["diagnostics-homework.words-scratch-occlusion.3"].value == weights[2]
    memory = numbers["diagnostics-homework.recall-scratch-40"]
    assert (memory.value, memory.low, memory.high, memory.examples) == (0.99, 0.94, 1.0, 300)
    assert "Satterthwaite t" in memory.method


def test_no_number_of_the_section_is_outside_the_write_up(whole) -> None:
    text = visible_text(str(section_of(whole[1])))
    for known in ("label 0", "label 1", "of 0", "of 1", "from 0", "to 1, open", "95 %", "hidden_size 32"):
        text = text.replace(known, "")
    assert re.findall(r"[^\s]*\d[^\s]*", text) == []


def test_the_words_say_what_the_numbers_are(whole) -> None:
    shown = said(whole[0])
    assert ("Before training each step back multiplies the norm of the gradient by: Vanilla RNN 0.570; Scratch GRU "
            "0.640; Bidirectional GRU, forward 0.630; Bidirectional GRU, backward 0.600.") in shown
    assert "fitted to the norms 5 to 50 steps back" in shown
    assert "Vanilla RNN is no run of the study: it was trained for this comparison alone (one epoch)." in shown
    assert "The models are furthest apart over 40 steps: Vanilla RNN 55.0 %" in shown
    best = found_inside().attributions[1]
    most = best.tokens[int(np.argmax(best.weight))]
    assert f"Scratch GRU gives label 1 80.0 %; by occlusion most for label 1 speaks “{most}”" in shown
    update = np.array(found_inside().gates[0].update).mean(axis=1)
    assert f"at “{TOKENS[int(update.argmin())]}”, word {update.argmin() + 1} of 8: {update.min():.3f}" in shown


def test_poolings_that_take_every_state_or_one_are_explained() -> None:
    every = Diagnostics((flow("scratch", 0.9, pooling="meanmax", decay=None),), (), (), ())
    shown = said(written_up(diagnostics=every))
    assert "The pooling meanmax takes every state" in shown
    assert "multiplies the norm" not in shown
    once = flow("bidirectional", 0.9, direction="backward", pooling="last", steps_back=(0,), norm=(0.3,), low=(0.2,),
                high=(0.4,), decay=None, fitted=(0, 0))
    report = written_up(diagnostics=Diagnostics((flow("rnn", 0.5), once), (), (), ()))
    assert "the backward half is read after its first step" in said(report)
    (picture,) = [picture for picture in pictures(report) if picture.name == "gradients"]
    assert "Bidirectional GRU, backward, trained: 0.3, and nothing before it" in picture.alternative
    assert picture.svg()


@pytest.mark.parametrize("raw", ["{", "[]", "{}", json.dumps({"flows": [{"model": "x"}]})])
def test_what_cannot_be_read_is_said(raw: str) -> None:
    report = written_up(raw=raw)
    assert said(report) == "The study homework holds a diagnostics.json that cannot be read; it is left out."
    if raw == "{":
        assert "cannot be read" in render.tex(report)["report.tex"]


def test_several_studies_stand_apart() -> None:
    report = written_up("one", "two", diagnostics=found_inside(), recall=curve())
    names = [picture.name for picture in pictures(report)]
    assert len(names) == len(set(names))
    assert {"gradients-diagnostics-one", "gradients-diagnostics-two", "recall-diagnostics-two"} <= set(names)
    assert set(report.numbers()) <= set(tex_numbers(render.tex(report)))
    one, two = next(section.content for section in report.sections if section.name == "diagnostics")
    assert (one.study, two.study) == ("one", "two")
    assert {one.gradients, *one.gates, one.words, one.recall} <= set(names)


def test_hostile_words_are_shown_and_do_nothing() -> None:
    report = written_up(diagnostics=found_inside(tuple(HOSTILE_NAMES[:2]) + TOKENS))
    page, files = render.html(report), render.tex(report)
    assert "<script>alert" not in page
    assert r"\input{/etc" not in "".join(files.values())
    assert "<script" not in markdown(report)


def test_the_figures_hold_their_values_and_follow_the_page(whole) -> None:
    drawn = {picture.name: picture for picture in pictures(whole[0])}
    expected = {"gradients", "gates-scratch", "gates-bidirectional", "words", "recall"}
    assert expected <= set(drawn)
    for name in expected:
        picture = drawn[name]
        colors = set(re.findall(r"#[0-9a-f]{6}\b", picture.svg()))
        assert not colors, (name, colors)  # all are variables of the page
        assert picture.alternative
        rows = list(csv.reader(io.StringIO(picture.csv())))
        assert len({len(row) for row in rows}) == 1, name
    assert drawn["gates-scratch"].pdf().startswith(b"%PDF")
    rows = list(csv.DictReader(io.StringIO(drawn["gradients"].csv())))
    assert len(rows) == 8 * 51
    assert float(rows[51 + 3]["norm"]) == pytest.approx(0.3 * 0.76**3)
    assert "Vanilla RNN, trained: from 0.3 to" in drawn["gradients"].alternative
    assert "0.760 per step" in drawn["gradients"].alternative
    rows = list(csv.DictReader(io.StringIO(drawn["gates-bidirectional"].csv())))
    assert len(rows) == 2 * 2 * len(TOKENS)
    assert float(rows[2]["mean over units"]) == pytest.approx(np.mean(found_inside().gates[1].update[2]))
    assert "55.0 % (50.0 to 60.0) over 40 steps" in drawn["recall"].alternative


def test_a_file_stands_alone() -> None:
    for picture in (gradient_picture(found_inside().flows, MODEL_NAMES), recall_picture(curve(), MODEL_NAMES),
                    gate_picture([gate_map("scratch", units=3)], MODEL_NAMES, "gates"),
                    word_picture([attribution("scratch", "occlusion", ("one",))], MODEL_NAMES)):
        assert picture.alone("png").startswith(b"\x89PNG")
        svg = picture.alone("svg").decode()
        assert "var(--" not in svg
        assert svg == picture.alone("svg").decode()


def test_words_alone_in_a_file_say_what_bars_and_marks_are() -> None:
    """On a page and on paper the caption says it."""
    attributions = [attribution("scratch", method, ("one", "two")) for method in ("occlusion", "gradient times input")]
    picture = word_picture(attributions, MODEL_NAMES)
    with drawing(SCREEN, {}):
        (legend,) = picture.draw(SCREEN).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "for label 1, by occlusion", "for label 0, by occlusion", "gradient times input"]
    assert legend.get_title().get_text() == "How far each word moves the decision"
    for style in (PAGE, NARROW, PAPER):
        with drawing(style, {}):
            assert not picture.draw(style).legends


def test_a_review_that_was_looked_at_is_called_one(whole) -> None:
    words = "The words are those of a validation review"
    assert words in said(written_up(diagnostics=replace(found_inside(), review="validation")))
    assert words not in said(whole[0])


def test_the_lines_of_a_gate_map_are_means_of_its_units_in_order() -> None:
    from gru_bench.report.figures.diagnostics import _bands

    gate_TH = np.array([[0.9, 0.1, 0.5, 0.3], [0.7, 0.3, 0.5, 0.1]])
    assert _bands(gate_TH).tolist() == [[0.1, 0.3, 0.5, 0.9], [0.3, 0.1, 0.5, 0.7]]
    wide = np.random.default_rng(0).random((3, 100))
    bands = _bands(wide)
    assert bands.shape == (3, 10)
    assert bands.mean(axis=1) == pytest.approx(wide.mean(axis=1))
    assert (np.diff(bands.mean(axis=0)) > 0).all()


def test_what_is_left_of_a_gradient_is_said_before_and_after_training() -> None:
    """0.92 ** 50 is 1.5 %, 0.64 ** 50 and 0.76 ** 50 are less than a thousandth."""
    shown = said(written_up(diagnostics=found_inside()))
    little = "50 steps back less than a thousandth of the gradient is left before training and"
    assert f"Scratch GRU: {little} 1.5 % in the trained model: gates as they are drawn let go of a state" in shown
    assert f"Vanilla RNN: {little} less than a thousandth in the trained model: its weights have grown" in shown
    same = Diagnostics((flow("scratch", 0.92, "initial"), flow("scratch", 0.921)), (), (), ())
    assert "1.6 % in the trained model." in said(written_up(diagnostics=same))
