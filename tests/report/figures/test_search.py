"""The trials of a search are drawn as they were logged, by their number and against their settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from gru_bench.document.figure import Figure
from gru_bench.document.report import Report
from gru_bench.report.sections.search import search
from gru_bench.results.runs import TrialSummary
from tests.support.commands import mentions
from tests.support.fake_store import SPACE, FakeStore, TestSet, add_study, many_studies, summarized
from tests.support.renderings import Built, curves_in, drawing_of, figure_of, marks_in, section_of
from tests.support.sections import build_only
from tests.support.values import present

LR, SIZE = "training.lr", "model.hidden_size"


def trial(number: int, state: str, value: float | None, lr: float = 1e-3, size: int = 64) -> TrialSummary:
    return TrialSummary(number, "torch", state, value, 3, {LR: lr, SIZE: size})


TRIALS = (
    trial(0, "complete", 0.85, 1e-3, 64), trial(1, "pruned", 0.88, 2e-3, 128), trial(2, "failed", None, 9e-3, 250),
    trial(3, "complete", 0.87, 3e-4, 96), trial(4, "failed", 0.84, 4e-4, 32), trial(5, "complete", 0.86, 5e-3, 64),
)


def report_of(trials: Sequence[TrialSummary], space: dict[str, Any] | None = None) -> Report:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(100), seeds=2)
    return build_only([summarized(study, trials=tuple(trials), space=space or SPACE)], store, search)


def test_the_history_is_that_of_the_trials(built: Built) -> None:
    _, studies, report = built
    figure = figure_of(report, "search-history")
    expected: list[tuple[Any, ...]] = []
    for study, label in zip(studies, ("Scratch GRU", "Torch GRU", "Bidirectional GRU"), strict=True):
        complete: list[float] = []
        for one in present(study.summary).trials:
            if one.state == "complete":
                complete.append(present(one.value))
            expected.append((label, one.number, one.state, one.value, max(complete, default=None)))
    assert list(figure.values.rows) == expected
    (axes,) = drawing_of(figure).axes
    assert curves_in(axes) == [[(row[1], 100 * row[4]) for row in expected if row[0] == label]
                               for label in figure.values.groups("model")]


def test_each_state_of_a_trial_has_its_own_mark() -> None:
    (axes,) = drawing_of(figure_of(report_of(TRIALS), "search-history")).axes
    complete, pruned, failed = marks_in(axes)
    assert complete.get_xydata().tolist() == [[0, 85], [3, 87], [5, 86]]
    assert pruned.get_xydata().tolist() == [[1, 88]]
    assert (complete.get_fillstyle(), pruned.get_fillstyle()) == ("full", "none")
    assert failed.get_xydata().tolist() == [[4, 84]]
    assert failed.get_marker() == "x"
    # The best so far is that of complete trials, even if a pruned one was better.
    (line,) = (one for one in axes.lines if one not in marks_in(axes))
    assert line.get_drawstyle() == "steps-post"
    assert list(line.get_ydata()) == [85, 85, 85, 87, 87, 87]
    assert {text.get_text() for legend in axes.figure.legends for text in legend.get_texts()} == {
        "complete", "pruned", "failed"}


def test_a_trial_without_an_accuracy_is_counted_and_not_drawn() -> None:
    report = report_of(TRIALS)
    history, settings = figure_of(report, "search-history"), figure_of(report, "search-settings")
    for figure in (history, settings):
        mentions(figure.alternative, "Torch GRU (6 trials, 1 without an accuracy)")
    assert "Torch GRU,2,failed,,0.85" in history.values.csv().splitlines()


def test_trials_are_drawn_against_their_settings() -> None:
    figure = figure_of(report_of(TRIALS), "search-settings")
    assert [(r["setting"], r["scale"], r["value"], r["trial"], r["state"], r["validation accuracy"])
            for r in figure.values.records()] == [
        (name, scale, one.settings[key], one.number, one.state, one.value)
        for name, key, scale in (("learning rate", LR, "log"), ("hidden size", SIZE, "linear")) for one in TRIALS]
    rate, size = drawing_of(figure).axes
    assert (rate.get_xscale(), size.get_xscale()) == ("log", "linear")
    assert (rate.get_xlabel(), size.get_xlabel()) == ("learning rate (log scale)", "hidden size")
    assert marks_in(rate)[0].get_xydata().tolist() == [[1e-3, 85], [3e-4, 87], [5e-3, 86]]
    assert marks_in(size)[2].get_xydata().tolist() == [[32, 84]]
    low, high = rate.get_xlim()
    assert [tick.get_text() for tick in rate.get_xticklabels() if low <= tick.get_position()[0] <= high] == [
        "0.0005", "0.001", "0.002", "0.005"]
    # The best complete trial has the largest mark.
    for axes, x in ((rate, 3e-4), (size, 96)):
        *others, best = marks_in(axes)
        assert best.get_xydata().tolist() == [[x, 87]]
        assert best.get_markersize() > max(other.get_markersize() for other in others)


@pytest.mark.parametrize(("space", "panels"), [
    ({LR: {"low": 1e-4, "high": 1e-2}}, [("learning rate", "linear")]),
    ({SIZE: {"low": 8, "high": 256, "log": True}}, [("hidden size", "log")]),
    ({SIZE: {"choices": [32, 64, 96, 128, 250]}}, [("hidden size", "linear")]),
    ({"model.dropout": {"low": 0.0, "high": 0.5}}, []),
])
def test_only_searched_settings_have_a_panel(space: dict[str, Any], panels: list[tuple[str, str]]) -> None:
    report = report_of(TRIALS, space)
    found = [figure for figure in report.figures if figure.name == "search-settings"]
    axes = [axes for figure in found if isinstance(figure, Figure) for axes in drawing_of(figure).axes]
    assert [(one.get_xlabel().removesuffix(" (log scale)"), one.get_xscale()) for one in axes] == panels


def test_a_few_bad_trials_do_not_squeeze_the_others() -> None:
    good = [trial(n, "complete", 0.85 + 0.002 * n, size=32 + n) for n in range(1, 12)]
    report = report_of([trial(0, "complete", 0.5), *good, trial(12, "pruned", 0.52)])
    history, settings = figure_of(report, "search-history"), figure_of(report, "search-settings")
    assert all("on the lower edge" in figure.caption for figure in (history, settings))
    for figure in report_of(good).figures:
        assert "lower edge" not in figure.caption
        assert "models are drawn" not in figure.caption
    (floor,) = {axes.get_ylim()[0] for axes in (*drawing_of(history).axes, *drawing_of(settings).axes)}
    assert 52 < floor <= 85
    (axes,) = drawing_of(history).axes
    complete, pruned = marks_in(axes)
    assert complete.get_xydata()[0].tolist() == [0, floor]
    assert pruned.get_xydata().tolist() == [[12, floor]]
    # The line begins where it enters the axes.
    (line,) = curves_in(axes)
    assert line[0] == pytest.approx((1, 85.2))
    assert "Torch GRU,0,complete,0.5,0.5" in history.values.csv().splitlines()


def test_a_trial_that_is_still_running_is_left_out() -> None:
    figure = figure_of(report_of([*TRIALS, trial(6, "running", 0.9)]), "search-history")
    assert [record["trial"] for record in figure.values.records()] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("trials", [(), (trial(0, "failed", None), trial(1, "complete", math.nan))])
def test_trials_without_an_accuracy_have_no_figures(trials: tuple[TrialSummary, ...]) -> None:
    assert section_of(report_of(trials), "search").figures == ()


def test_a_single_model_is_not_named() -> None:
    done = [one for one in TRIALS if one.state == "complete"]
    assert drawing_of(figure_of(report_of(done), "search-history")).legends == []


@pytest.mark.parametrize("name", ["search-history", "search-settings"])
def test_the_first_six_of_many_models_are_drawn(name: str) -> None:
    store, studies = many_studies(7, TestSet.draw(50), seeds=2)
    figure = figure_of(build_only(studies, store, search), name)
    names = drawing_of(figure).legends[-1].get_texts()
    assert [name.get_text() for name in names] == list(figure.values.groups("model"))[:6]
    assert len(figure.values.groups("model")) == 7
    assert "The first 6 of 7 models are drawn." in figure.caption
