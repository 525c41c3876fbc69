"""The figures of curves, each with a band: learning, reliability, and ROC with precision-recall."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.sentences import listed
from gru_bench.report.figures.style import GUIDE, curves, keep_within, name_series, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

OVERLAID = 6
"""Most models whose curves share axes: as many as can be told apart."""
LEAST = 30
"""Predictions of a seed in a range of confidence below which their accuracy is known to ten points only, or worse."""

ROC = "ROC"
PRECISION_RECALL = "precision-recall"
AXES = {ROC: ("false positive rate", "true positive rate"), PRECISION_RECALL: ("recall", "precision")}
"""Curve -> the names of its axes."""
AS_TRAINED, CALIBRATED = "as trained", "calibrated"
"""Probabilities before and after calibration."""
CHANCE = "chance"
"""Stands for a model in the rows of the curves that chance would give."""


def of_drawn(frame: DataFrame) -> tuple[DataFrame, list[str]]:
    """Return the rows of the models that are drawn, and the names of these."""
    models = list(frame["model"].unique())[:OVERLAID]
    return frame[frame["model"].isin(models)], models


# ---------------------------------------------------------------- learning


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


# ---------------------------------------------------------------- reliability


def few(share: Number) -> bool:
    """Return whether so small a fraction of the predictions, a mean over seeds, says little about their accuracy."""
    # Rounding comes first, because the product is a whole number only up to rounding errors.
    predictions = round((share.value or 0.0) * (share.examples or 0) * len(share.runs))
    return predictions < LEAST * len(share.runs)


def reliability_figure(values: Values, least: float) -> Figure:
    """Return the figure of accuracy by confidence, with a panel for the probabilities as trained and one for calibrated
    ones.

    Args:
        values: The ranges of confidence of each model, which have all those as trained before the calibrated ones.
        least: Lowest confidence that a prediction can have: one over the number of classes.
    """
    # Of each model the ranges that are drawn: those with enough predictions, or all where none has.
    drawn = [[not few(share) for share in part.column("fraction of predictions")]
             for part in values.groups("model", "probabilities").values()]
    return Figure(
        "reliability",
        "Accuracy of predictions by confidence: means over seeds, with a band from the lowest to the highest seed. On "
        "the dotted line confidence equals accuracy; below it a model is overconfident. Ranges with fewer than "
        f"{LEAST} predictions of a seed are left out.",
        f"Accuracy of {listed(list(values.groups('model'))[:OVERLAID])} by confidence.", values,
        partial(_reliability, start=100 * least, shown=[enough or not any(own) for own in drawn for enough in own]))


def _reliability(frame: DataFrame, start: float, shown: list[bool]) -> Drawing:
    frame, models = of_drawn(frame[shown])
    panels = frame.groupby("probabilities", sort=False)
    figure, axes_of = new_figure(2.4, panels.ngroups, panels.ngroups)
    for axes, (which, panel) in zip(axes_of, panels, strict=True):
        curves(axes, panel, "confidence", "accuracy", models)
        axes.plot([start, 100], [start, 100], linestyle=":", **GUIDE)
        axes.set(xlim=(start - 0.5, 100.5), ylim=(max(0, min(start - 0.5, frame["low"].min() - 1)), 100.5))
        if panels.ngroups > 1:
            axes.set_title(str(which))
    axes_of[0].set_ylabel("accuracy, %")
    figure.supxlabel("confidence: probability of the predicted class, %")
    name_series(figure, models)
    return figure


# ---------------------------------------------------------------- thresholds


def thresholds_figure(name: str, values: Values, positive: str) -> Figure:
    """Return the figure of the ROC curve and the precision-recall curve of each model.

    Args:
        name: Name of the figure.
        values: The points of the curves.
        positive: Name of class 1.
    """
    models = [model for model in values.groups("model") if model != CHANCE]
    return Figure(
        name,
        "True positive rate by false positive rate (ROC), and precision by recall, over all thresholds on the "
        f"probability of the class {positive}: means over seeds, with a band from the lowest to the highest seed. "
        "Dashed lines show chance.",
        f"ROC curve and precision-recall curve of {listed(models)}.", values, _thresholds)


def _thresholds(frame: DataFrame) -> Drawing:
    frame[["x", "mean", "low", "high"]] *= 100
    models = [model for model in frame["model"].unique() if model != CHANCE]
    figure, axes_of = new_figure(2.3, len(AXES), len(AXES))
    for axes, (curve, (x, y)) in zip(axes_of, AXES.items(), strict=True):
        own = frame[frame["curve"] == curve]
        chance = own[own["model"] == CHANCE]
        curves(axes, own[own["model"] != CHANCE], "x", "mean", models)
        axes.plot(chance["x"], chance["mean"], linestyle="dashed", **GUIDE)
        lowest = min(own["low"].min(), chance["mean"].iloc[0])
        axes.set(xlim=(0, 100), ylim=(max(0.0, lowest - 0.05 * (100 - lowest)), 100), xlabel=f"{x}, %",
                 ylabel=f"{y}, %")
        axes.grid(axis="x")
        axes.set_title(curve)
    name_series(figure, models)
    return figure
