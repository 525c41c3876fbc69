"""The figure of the learning curves, each with a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gru_bench.document.figure import Figure, Values
from gru_bench.document.style import curves, keep_within, name_series, new_figure
from gru_bench.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

TRAINING, VALIDATION = "training loss", "validation loss"
"""Panels that share axes."""
OVERLAID = 6
"""Most models whose curves share axes: as many as can be told apart."""


def of_drawn(frame: DataFrame) -> tuple[DataFrame, list[str]]:
    """Return the rows of the models that are drawn, and the names of these."""
    models = list(frame["model"].unique())[:OVERLAID]
    return frame[frame["model"].isin(models)], models


def first_models(models: int) -> str:
    """Return what a caption says of so many models, where not all of them are drawn."""
    return f" The first {OVERLAID} of {models} models are drawn." if models > OVERLAID else ""


def curves_figure(values: Values) -> Figure:
    """Return the learning curves of the models: both losses in one panel, so that the distance between them is seen,
    and the accuracy in another.

    Args:
        values: The points of the curves, with columns `panel`, `series`, `iteration`, `mean`, `low`, `high`. The panels
            are quantities and the series models.
    """
    models = list(values.groups("series"))
    titles = list(values.groups("panel"))
    quantities = listed([title.removesuffix(", %") for title in titles])
    dashed = " The training loss is dashed." if {TRAINING, VALIDATION} <= {*titles} else ""
    return Figure(
        "curves",
        f"{quantities.capitalize()} by iteration: mean over seeds, with a band from the lowest to the highest seed. "
        f"Losses are in nats per text.{dashed}{first_models(len(models))}",
        f"{quantities.capitalize()} of {listed(models[:OVERLAID])} by iteration.", values, _learning)


def _learning(frame: DataFrame) -> Drawing:
    frame, models = of_drawn(frame.rename(columns={"series": "model"}))
    panels = {str(title): panel for title, panel in frame.groupby("panel", sort=False)}
    dashed = panels.pop(TRAINING, None) if VALIDATION in panels else None
    figure, axes_of = new_figure(2.4, len(panels), 2, sharex=True)
    for axes, (title, panel) in zip(axes_of, panels.items(), strict=True):
        if title == VALIDATION and dashed is not None:
            curves(axes, dashed, "iteration", "mean", models, linestyle="dashed", markersize=0)
        curves(axes, panel, "iteration", "mean", models)
        axes.set_title("loss" if title == VALIDATION and dashed is not None else title)
        if "%" in title:
            keep_within(axes, "y")
    figure.supxlabel("iteration")
    name_series(figure, models)
    return figure
