"""The figure of interim analyses: the difference of each pair with its repeated interval, boundary and stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values
from gru_bench.report.document.numbers import Scale
from gru_bench.report.figures.style import FAINT, GRID, GUIDE, PANELS, in_two_lines, intervals, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

OPEN = "open"
"""Finding of an interim analysis that settled nothing."""


def interim_figure(values: Values, margin: float, scale: Scale, name: str) -> Figure:
    """Return the figure of the interim analyses of one study.

    Args:
        values: `pair`, which is `A − B`, `analysis`, `seeds`, `difference` with its repeated interval, `boundary`, from
            which on the analysis finds a difference, and `finding`.
        margin: Equivalence margin; 0.01 is one point.
        scale: The score that is shown.
        name: Name of the figure.
    """
    return Figure(
        name,
        f"Difference in test {scale.score} at each interim analysis, with repeated 95 % intervals. An analysis finds a "
        "difference that lies beyond its boundary (dashes). The shaded band is the equivalence margin. A filled mark "
        "is an analysis at which the pair was open; a ring is one at which it was settled.",
        f"Difference in test {scale.score} at each interim analysis of {len(values.groups('pair'))} pairs.", values,
        partial(_analyses, margin=scale.factor * margin, scale=scale))


def _analyses(frame: DataFrame, margin: float, scale: Scale) -> Drawing:
    pairs = list(frame.assign(model="").groupby("pair", sort=False))[:PANELS]
    figure, panels = new_figure(2.05, len(pairs), 3, sharey=True)
    for axes, (pair, own) in zip(panels, pairs, strict=True):
        analyses = own.assign(place=range(len(own)))
        for is_open, fill in ((True, "full"), (False, "none")):
            intervals(axes, analyses[(analyses["finding"] == OPEN) == is_open], "place", "difference", [""], "y",
                      fillstyle=fill, markeredgewidth=1.5)
        for sign in (1, -1):
            axes.hlines(sign * analyses["boundary"], analyses["place"] - 0.3, analyses["place"] + 0.3, FAINT,
                        linestyle=(0, (2, 1.4)))
        axes.axhline(0, **GUIDE)
        axes.axhspan(-margin, margin, color=GRID, alpha=0.45, linewidth=0, zorder=0)
        axes.set_xticks(analyses["place"], [f"{seeds:.0f}" for seeds in analyses["seeds"]])
        axes.set(xlim=(-0.6, len(analyses) - 0.4), xlabel="seeds of each model")
        axes.set_title(in_two_lines(str(pair), 14))
    panels[0].set_ylabel(f"difference{f', {scale.differences}' if scale.differences else ''}")
    return figure
