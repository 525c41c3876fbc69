"""The learning curves: their panels, and the values that a page's script reads off them."""

from __future__ import annotations

import json
import re

import pytest

from gru_bench.report.figures.style import PAGE, drawing
from gru_bench.report.sections.learning import learning
from gru_bench.report.sections.reliability import reliability
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies
from tests.support.renderings import Built, column_of, figure_of, soup_of
from tests.support.sections import build_only


@pytest.fixture(scope="module")
def for_page(built: Built) -> tuple[str, str]:
    """The drawings of the learning curves, and the values that a script reads off them."""
    svgs, values = figure_of(built.report, "curves").for_page()
    return svgs, values


def test_the_values_that_a_script_reads_off_are_those_that_are_drawn(built: Built, for_page: tuple[str, str]) -> None:
    report, (svgs, values) = built.report, for_page
    figure, live = soup_of(svgs).find("svg", class_="wide"), json.loads(values)
    models = column_of(report, "epochs", "Model")
    assert live["series"] == list(dict.fromkeys(models))
    assert [panel["title"] for panel in live["panels"]] == [
        "training loss", "validation loss", "validation accuracy, %"
    ]
    marked = {element["data-series"] for element in figure.find_all(attrs={"data-series": True})}
    assert marked == {"0", "1", "2"}
    _, _, width, height = map(float, figure["viewbox"].split())
    panel = live["panels"][1]
    assert len(panel["lines"]) == 3
    for line in panel["lines"]:
        name = live["series"][line["series"]]
        losses = [loss.value for model, loss in zip(models, column_of(report, "epochs", "Validation loss"), strict=True)
                  if model == name]
        assert line["mean"] == pytest.approx(losses, rel=1e-4)
        # The path of the curve ends where its last value is said to be.
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
    store, studies = many_studies(8, TestSet.draw(60), seeds=2)
    report = build_only(studies, store, learning, reliability)
    for name in ("curves", "reliability"):
        figure = figure_of(report, name)
        assert figure.series == tuple(f"Torch GRU (study {i})" for i in range(6))
        assert all(len(panel.lines) == 6 for panel in figure.panels)
        assert "first 6 of 8 models" in figure.caption
        assert "Torch GRU (study 7)" in figure.alternative
        assert "Torch GRU (study 7)" in figure.csv()


def test_runs_without_validation_have_curves_of_the_training_loss_only() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    for metrics in store.metrics.values():
        del metrics["loss/val"], metrics["accuracy/val"]
    curves = figure_of(build_only([study], store, learning), "curves")
    assert [panel.title for panel in curves.panels] == ["training loss"]
    assert "validation" not in curves.caption
    with drawing(PAGE):
        assert len(curves.draw(PAGE).axes) == 1


def test_the_narrow_drawing_has_its_panels_below_one_another(for_page: tuple[str, str]) -> None:
    svgs, live = for_page
    assert re.findall(r'<svg class="(\w+)"', svgs) == ["wide", "narrow"]
    narrow = json.loads(live)["narrow"]
    # They are also below the names, which a script cuts off.
    tops = [panel["box"][1] for panel in narrow["panels"]]
    assert 0 < narrow["cut"] < tops[0] < tops[1] < tops[2]
    assert len({panel["box"][0] for panel in narrow["panels"]}) == 1
