"""The figure of planned looks: each pair's difference with its repeated interval at each look, boundary and stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values, with_interval
from gru_bench.report.document.numbers import Scale
from gru_bench.report.figures.style import PANELS, Style, new_figure, percent_axis, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

OPEN = "open"
"""Finding of a look that settled nothing."""


def looks_figure(values: Values, margin: float, scale: Scale, name: str) -> Figure:
    """Return the figure of the looks of one study.

    Args:
        values: `pair`, which is `A less B`, `look`, `seeds`, `difference` with its repeated interval, `boundary`, from
            which on the look finds a difference, and `finding`.
        margin: Largest difference of no practical weight; 0.01 is one point.
        scale: The score that is shown.
        name: Name of the figure.
    """
    words = [f"{row['pair']}, look {row['look'].text} ({row['seeds'].text} seeds): {with_interval(row['difference'])}, "
             f"{row['finding']}" for row in values.records()]
    return Figure(
        name,
        f"Difference in test {scale.score} at each look, with repeated 95 % intervals. A look finds a difference that "
        "lies beyond its boundary (dashes). In the shaded band a difference has no practical weight. A filled mark is "
        "a look at which the pair was open; a ring is one at which it was settled.",
        f"Looks{f', in {scale.differences}' if scale.differences else ''}: {'; '.join(words)}.", values,
        partial(_looks, values, margin, scale))


def _looks(values: Values, margin: float, scale: Scale, style: Style) -> Drawing:
    pairs = list(values.groups("pair").items())[:PANELS]
    figure, panels = new_figure(style, 0.5, len(pairs), 1 if style.narrow else 3, 2.3, sharey=True)
    for axes, (pair, own) in zip(panels, pairs, strict=True):
        a, less, b = pair.partition(" less ")
        axes.set_title(f"{short(a, 26, 1)}\n{less.strip()} {short(b, 26, 1)}")
        rows = own.records()
        for place, row in enumerate(rows):
            number = row["difference"]
            settled = row["finding"] != OPEN
            if number.low is not None:
                axes.plot([place, place], [scale.factor * number.low, scale.factor * number.high],
                          color=style.color(0), linewidth=2.2)
            axes.plot([place], [scale.factor * number.value], **{
                **style.mark(0), "markersize": 9 if settled else 6.5,
                **({"markerfacecolor": "none", "markeredgewidth": 2} if settled else {})})
            if row["boundary"].value is not None:
                for sign in (1, -1):
                    end = sign * scale.factor * row["boundary"].value
                    axes.plot([place - 0.3, place + 0.3], [end, end], color=style.faint, linestyle=(0, (2, 1.4)),
                              linewidth=1.4)
        axes.axhline(0, color=style.faint, linewidth=0.9, zorder=0)
        axes.axhspan(-scale.factor * margin, scale.factor * margin, color=style.grid, alpha=0.45, linewidth=0, zorder=0)
        axes.set_xticks(range(len(rows)), [row["seeds"].text for row in rows])
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("seeds of each model")
        percent_axis(axes.yaxis)
    panels[0].set_ylabel(f"difference{f', {scale.differences}' if scale.differences else ''}")
    return figure
