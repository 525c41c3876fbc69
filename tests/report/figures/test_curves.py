"""The learning curves: their panels, and what a script reads off them."""

from __future__ import annotations

import json
import re

import pytest

from gru_bench.report.build import build
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import Rendered, column_of, figure_of, soup_of


def test_what_a_script_reads_off_is_what_is_drawn(three: Rendered) -> None:
    report, page, _ = three
    figure = next(f for f in soup_of(page).find_all("figure") if f.find(id=re.compile("^curves-")))
    live = json.loads(figure["data-live"])
    models = column_of(report, "epochs", "Model")
    assert live["series"] == list(dict.fromkeys(models))
    assert [panel["title"] for panel in live["panels"]] == [
        "training loss", "validation loss", "validation accuracy, %"
    ]
    marked = {element["data-series"] for element in figure.find_all(attrs={"data-series": True})}
    assert marked == {"0", "1", "2"}
    _, _, width, height = map(float, figure.svg["viewbox"].split())
    panel = live["panels"][1]
    assert len(panel["lines"]) == 3
    for line in panel["lines"]:
        name = live["series"][line["series"]]
        losses = [loss.value for model, loss in zip(models, column_of(report, "epochs", "Validation loss"), strict=True)
                  if model == name]
        assert line["mean"] == pytest.approx(losses, rel=1e-4)
        # The path of the curve goes through the place where its last value is said to be.
        left, top, right, bottom = panel["box"]
        x = width * (left + (right - left) * (line["x"][-1] - panel["xlim"][0]) / (panel["xlim"][1] - panel["xlim"][0]))
        share = (line["mean"][-1] - panel["ylim"][0]) / (panel["ylim"][1] - panel["ylim"][0])
        y = height * (bottom - (bottom - top) * share)
        paths = [
            [float(n) for n in re.findall(r"-?[\d.]+", path["d"])][-2:]
            for group in figure.find_all(attrs={"data-series": str(line["series"])})
            for path in group.find_all("path", recursive=False)
        ]
        assert any(path == pytest.approx([x, y], abs=0.5) for path in paths)


def test_the_first_six_of_many_models_are_drawn() -> None:
    store = FakeStore()
    for i in range(8):
        add_study(store, f"study {i}", {"torch": 0.02 * i}, seeds=2, test_set=TestSet.draw(200), search=i > 0, seed=i)
    report = build(store.by_experiment["movie-reviews"], store)
    for name in ("curves", "reliability"):
        figure = figure_of(report, name)
        assert figure.series == tuple(f"Torch GRU (study {i})" for i in range(6))
        assert all(len(panel.lines) == 6 for panel in figure.panels)
        assert figure.caption.endswith(" The first 6 of 8 models are drawn.")
        assert "Torch GRU (study 7)" in figure.alternative
        assert "Torch GRU (study 7)" in figure.csv()


def test_curves_of_runs_without_validation() -> None:
    store, studies = three_models()
    for metrics in store.metrics.values():
        del metrics["loss/val"], metrics["accuracy/val"]
    curves = figure_of(build(studies, store), "curves")
    assert [panel.title for panel in curves.panels] == ["training loss"]
    assert curves.caption.startswith("Training loss by epoch: ")
    assert "<svg" in curves.svg()


def test_a_phone_is_told_where_its_own_drawing_lies(three: Rendered) -> None:
    svgs, live = figure_of(three.report, "curves").for_page()
    assert re.findall(r'<svg class="(\w+)"', svgs) == ["wide", "narrow"]
    narrow = json.loads(live)["narrow"]
    # Under one another, and under the names, which a script cuts off.
    tops = [panel["box"][1] for panel in narrow["panels"]]
    assert 0 < narrow["cut"] < tops[0] < tops[1] < tops[2]
    assert len({panel["box"][0] for panel in narrow["panels"]}) == 1
