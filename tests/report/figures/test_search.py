"""The trials of a search are drawn as they were logged, by their number and against their settings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from gru_bench.report.build import build
from gru_bench.report.document.report import Report
from gru_bench.report.figures.style import PAGE, drawing
from gru_bench.results.runs import TrialSummary
from tests.support.fake_store import SPACE, FakeStore, TestSet, add_study, many_studies, summarized
from tests.support.renderings import Built, figure_of, section_of
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
    return build([summarized(study, trials=tuple(trials), space=space or SPACE)], store)


def drawn(figure: Any) -> Any:
    """Return a figure as matplotlib holds it."""
    with drawing(PAGE):
        return figure.draw(PAGE)


def marks(axes: Any, marker: str, filled: bool) -> list[tuple[float, float]]:
    """Return the small marks of a kind, by their x."""
    return sorted(
        (x, y) for line in axes.lines
        if line.get_marker() == marker and line.get_markersize() < 6
        and (line.get_markerfacecolor() != "none") == filled
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True))


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
    (panel,) = figure.panels
    for line, label in zip(panel.lines, figure.values.groups("model"), strict=True):
        assert line.mean == tuple(100 * row[4] for row in expected if row[0] == label)
        assert line.x == tuple(range(16))


def test_states_are_told_apart_by_their_marks() -> None:
    (axes,) = drawn(figure_of(report_of(TRIALS), "search-history")).axes
    assert marks(axes, "o", filled=True) == [(0, 85), (3, 87), (5, 86)]
    assert marks(axes, "o", filled=False) == [(1, 88)]
    assert marks(axes, "x", filled=False) == [(4, 84)]
    (line,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    # The best so far is that of complete trials, however good a pruned one looked.
    assert list(line.get_ydata()) == [85, 85, 85, 87, 87, 87]
    assert {text.get_text() for legend in axes.figure.legends for text in legend.get_texts()} == {
        "complete", "pruned", "failed"}


def test_a_trial_without_an_accuracy_is_counted_in_words_only() -> None:
    report = report_of(TRIALS)
    counted = "Torch GRU: 6 trials (3 complete, 1 pruned, 2 failed; 1 without an accuracy, not drawn)"
    history, settings = figure_of(report, "search-history"), figure_of(report, "search-settings")
    for figure in (history, settings):
        assert f"{counted}, the best 87.0 % in trial 3" in figure.alternative
    assert "Torch GRU,2,failed,,0.85" in history.csv().splitlines()


def test_trials_are_drawn_against_their_settings() -> None:
    figure = figure_of(report_of(TRIALS), "search-settings")
    assert [(r["setting"], r["scale"], r["value"], r["trial"], r["state"], r["validation accuracy"])
            for r in figure.values.records()] == [
        (name, scale, one.settings[key], one.number, one.state, one.value)
        for name, key, scale in (("learning rate", LR, "log"), ("hidden size", SIZE, "linear")) for one in TRIALS]
    rate, size = drawn(figure).axes
    assert (rate.get_xscale(), size.get_xscale()) == ("log", "linear")
    assert (rate.get_xlabel(), size.get_xlabel()) == ("learning rate (log scale)", "hidden size")
    assert marks(rate, "o", filled=True) == [(3e-4, 87), (1e-3, 85), (5e-3, 86)]
    assert marks(size, "x", filled=False) == [(32, 84)]
    assert [tick.get_text() for tick in rate.get_xticklabels()] == ["0.0005", "0.001", "0.002", "0.005"]
    # The best complete trial has the largest mark.
    assert [[(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_markersize() > 6]
            for axes in (rate, size)] == [[(3e-4, 87)], [(96, 87)]]
    assert "learning rate 0.0003 in the best, 0.0003 to 0.009 in all" in figure.alternative
    assert "hidden size 96 in the best, 32 to 250 in all" in figure.alternative


@pytest.mark.parametrize(("space", "panels"), [
    ({LR: {"low": 1e-4, "high": 1e-2}}, [("learning rate", "linear")]),
    ({SIZE: {"low": 8, "high": 256, "log": True}}, [("hidden size", "log")]),
    ({SIZE: {"choices": [32, 64, 96, 128, 250]}}, [("hidden size", "linear")]),
    ({"model.dropout": {"low": 0.0, "high": 0.5}}, []),
])
def test_only_searched_settings_have_a_panel(space: dict[str, Any], panels: list[tuple[str, str]]) -> None:
    report = report_of(TRIALS, space)
    found = [figure for figure in report.figures if figure.name == "search-settings"]
    axes = drawn(found[0]).axes if found else []
    assert [(one.get_xlabel().removesuffix(" (log scale)"), one.get_xscale()) for one in axes] == panels


def test_a_few_bad_trials_do_not_squeeze_the_others() -> None:
    good = [trial(n, "complete", 0.85 + 0.002 * n, size=32 + n) for n in range(1, 12)]
    report = report_of([trial(0, "complete", 0.5), *good, trial(12, "pruned", 0.52)])
    history, settings = figure_of(report, "search-history"), figure_of(report, "search-settings")
    (floor,) = {axes.get_ylim()[0] for axes in (*drawn(history).axes, *drawn(settings).axes)}
    assert 52 < floor <= 85
    for figure in (history, settings):
        assert figure.caption.endswith(f" Trials below {floor:.0f} % stand on the lower edge.")
    (axes,) = drawn(history).axes
    assert marks(axes, "o", filled=True)[0] == (0, floor)
    assert marks(axes, "o", filled=False) == [(12, floor)]
    # The curve that is read off begins where it enters the axes.
    (line,) = history.panels[0].lines
    assert (line.x[0], line.mean[0]) == (1, pytest.approx(85.2))
    assert "Torch GRU,0,complete,0.5,0.5" in history.csv().splitlines()
    assert "lower edge" not in figure_of(report_of(good), "search-history").caption


def test_a_trial_that_is_still_running_is_left_out() -> None:
    figure = figure_of(report_of([*TRIALS, trial(6, "running", 0.9)]), "search-history")
    assert [record["trial"] for record in figure.values.records()] == [0, 1, 2, 3, 4, 5]


def test_trials_that_do_not_tell_their_accuracy_have_no_figures() -> None:
    for trials in ((), (trial(0, "failed", None), trial(1, "complete", math.nan))):
        assert section_of(report_of(trials), "search").figures == ()


def test_each_model_is_a_series_that_can_be_switched_off(built: Built) -> None:
    for name in ("search-history", "search-settings"):
        figure = figure_of(built.report, name)
        assert figure.series == ("Scratch GRU", "Torch GRU", "Bidirectional GRU")
        svgs, live = figure.for_page()
        assert all(svgs.count(f'data-series="{place}"') > 2 for place in range(3))
        assert 0 < json.loads(live)["cut"] < 0.3  # the names, which the switches replace, and not the states
        alone = figure_of(report_of(TRIALS), name)
        assert len(alone.series) == 1
        assert "data-names" not in alone.svg()


def test_the_first_six_of_many_models_are_drawn() -> None:
    store, studies = many_studies(7, TestSet.draw(100), seeds=2)
    report = build(studies, store)
    for name in ("search-history", "search-settings"):
        figure = figure_of(report, name)
        assert len(figure.series) == 6
        assert figure.caption.endswith(" The first 6 of 7 models are drawn.")
        assert len(figure.values.groups("model")) == 7
        assert "<svg" in figure.svg()


def test_the_figures_stand_after_the_tables(built: Built) -> None:
    section = section_of(built.report, "search")
    shown = [getattr(block, "key", getattr(block, "name", "")) for block in section.blocks]
    assert [name for name in shown if name] == ["search", "settings", "search-history", "search-settings"]
