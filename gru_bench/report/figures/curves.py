"""The figure of learning curves, each with a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values
from gru_bench.report.document.sentences import listed
from gru_bench.report.figures.style import curves, keep_within, name_series, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

OVERLAID = 6
"""Most models whose curves share axes: as many as can be told apart."""


def of_drawn(frame: DataFrame) -> tuple[DataFrame, list[str]]:
    """Return the rows of the models that are drawn, and the names of these."""
    models = list(frame["model"].unique())[:OVERLAID]
    return frame[frame["model"].isin(models)], models


def curves_figure(values: Values) -> Figure:
    """Return the learning curves of the models, with one panel for each quantity.

    Args:
        values: The points of the curves, with columns `panel`, `series`, `epoch`, `mean`, `low`, `high`. The panels
            are quantities and the series models.
    """
    models = list(values.groups("series"))
    quantities = listed([title.removesuffix(", %") for title in values.groups("panel")])
    return Figure(
        "curves",
        f"{quantities.capitalize()} by epoch: mean over seeds, with a band from the lowest to the highest seed. Losses "
        f"are in nats per text. At most {OVERLAID} models are drawn.",
        f"{quantities.capitalize()} of {listed(models[:OVERLAID])} by epoch.", values, _learning)


def _learning(frame: DataFrame) -> Drawing:
    frame, models = of_drawn(frame.rename(columns={"series": "model"}))
    panels = frame.groupby("panel", sort=False)
    figure, axes_of = new_figure(2.05, panels.ngroups, 3, sharex=True)
    for axes, (title, panel) in zip(axes_of, panels, strict=True):
        curves(axes, panel, "epoch", "mean", models)
        axes.set_title(str(title))
        if "%" in str(title):
            keep_within(axes, "y")
        axes.locator_params(axis="x", integer=True)
    figure.supxlabel("epoch")
    name_series(figure, models)
    return figure
