"""The comparison of two models from their right and wrong answers alone, without a study or a report.

The statistics are those of a report on two models (`estimate.py`, `verdict.py`): the variance sum, the rules for few
answers that differ, the evidence levels, the verdicts.

Shapes: `S` seeds of a model, `N` examples.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gru_bench.stats.estimate import Estimate, EvidenceLevel, accuracy_difference
from gru_bench.stats.sentence import in_words, verdict_template
from gru_bench.stats.text import p_text
from gru_bench.stats.verdict import MARGIN, Finding, Pair, Verdict, adjusted_tests

USUAL_MARGIN = 100 * MARGIN
MOST_MARGIN = 50.0
"""Usual and largest margin in percentage points."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """Whether one model is better than another, for fresh seeds and fresh examples.

    Differences are in percentage points of accuracy: those of the first model less those of the second.
    """

    names: tuple[str, str]
    difference: float
    interval: tuple[float, float] | None
    """95 % interval of the difference. None where a model has two seeds: too few for one. With one seed it is over
    examples only."""
    p: float | None
    """Two-sided p, not adjusted for other comparisons. None where a model has fewer than 5 seeds, or where there are
    fewer than 20 clusters."""
    verdict: str
    """The finding as a sentence with its numbers."""
    finding: Finding
    evidence_level: EvidenceLevel
    """What the number of seeds is enough for."""
    detectable: float | None
    """Smallest true difference that runs like these detect with a chance of 80 % at the 5 % level. None where a model
    has one seed."""
    margin: float
    """Largest difference without practical weight."""
    seeds: tuple[int, int]
    """Number of seeds of each model."""
    examples: int
    clusters: int | None
    """Number of clusters of examples. None where each example stands alone."""
    pair: Pair
    """The pair that all of this comes from. Its values are shares: 0.01 is one point."""

    @property
    def estimate(self) -> Estimate:
        """Return the difference with all parts of its interval, as shares."""
        return self.pair.difference

    def __str__(self) -> str:
        """Return the comparison as lines of text."""
        rows = "\n".join(f"  {name:<11}{text}" for name, text in self._rows())
        return f"{self._title}\n{rows}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the comparison as a table, for notebooks."""
        rows = "".join(f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">'
                       f"{escape(text)}</td></tr>" for name, text in self._rows())
        return f"<table><caption>{escape(self._title)}</caption><tbody>{rows}</tbody></table>"

    @property
    def _title(self) -> str:
        return f"{self.names[0]} less {self.names[1]}, accuracy"

    def _rows(self) -> list[tuple[str, str]]:
        """Return what is shown, line by line: a name and a text."""
        interval = "" if self.interval is None else " (95 % interval {ends})"
        size = f"{self.examples:,} examples" + ("" if self.clusters is None else f" in {self.clusters:,} clusters")
        return [
            ("difference", in_words(self.pair, f"{{difference}}{{unit}}{interval}")),
            ("p", "none: too few seeds or clusters" if self.p is None else f"{p_text(self.p)} (two-sided)"),
            ("verdict", self.verdict),
            ("evidence", self.evidence_level.value),
            ("detectable", "none: it takes 2 seeds of each model" if self.detectable is None else
             in_words(self.pair, "{detectable}{unit}, with a chance of 80 % at the 5 % level")),
            ("data", f"{self.seeds[0]} and {self.seeds[1]} seeds, {size}"),
            ("method", self.estimate.method),
        ]


def compare(
    a: ArrayLike,
    b: ArrayLike,
    *,
    names: Sequence[str] = ("A", "B"),
    margin: float = USUAL_MARGIN,
    clusters: ArrayLike | None = None,
) -> Comparison:
    """Return whether model A is better than model B: difference, interval, p value and verdict.

    Where several pairs are compared, adjust their p values together (`verdict.holm`).

    Args:
        a: Whether each seed of A answers each example correctly: a row of 0 and 1 for each seed, a column for each
            example. An array, a table of pandas, or lists.
        b: The same for B, for the same examples in the same order. It may have another number of seeds.
        names: What the two models are called.
        margin: Largest difference without practical weight, in percentage points, fixed before the runs.
        clusters: For each example the name of its cluster: examples that belong together, such as reviews of one
            product. None: each example stands alone.

    Raises:
        ValueError: for other shapes or values, different examples, equal names, a margin outside (0, 50], or a cluster
            that is missing.
    """
    correct_A_SN, correct_B_SN = _correct("a", a), _correct("b", b)
    _check_same_examples(a, b, clusters, correct_A_SN.shape[1], correct_B_SN.shape[1])
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names must be two different names, but got {names!r}: give one to each model")
    if not 0 < margin <= MOST_MARGIN:
        raise ValueError(f"margin must be above 0 and at most {MOST_MARGIN:g} percentage points, but got {margin!r}: "
                         "1.0 is usual")
    cluster_N = None if clusters is None else _places(clusters, correct_A_SN.shape[1])
    found = accuracy_difference(correct_A_SN, correct_B_SN, group_N=cluster_N)
    (adjusted,) = adjusted_tests([found], margin / 100)
    level, p = found.evidence_level, None if adjusted is None else adjusted.different
    units, detectable = None if cluster_N is None else int(cluster_N.max()) + 1, found.detectable()
    shown = replace(found, method=f"{found.method}; examples in clusters") if cluster_N is not None else found
    pair = Pair((str(names[0]), str(names[1])), shown, adjusted, 1, Verdict.of(found, adjusted, margin / 100))
    return Comparison(
        names=pair.names,
        difference=100 * found.estimate,
        interval=(100 * found.low, 100 * found.high) if level.has_interval else None,
        p=p,
        verdict=in_words(pair, verdict_template(pair)),
        finding=pair.verdict.finding,
        evidence_level=level,
        detectable=None if detectable is None else 100 * detectable,
        margin=float(margin),
        seeds=(len(correct_A_SN), len(correct_B_SN)),
        examples=found.examples,
        clusters=units,
        pair=pair,
    )


def _correct(name: str, given: ArrayLike) -> NDArray[np.bool_]:
    """Return the correctness of a model, S x N.

    Raises:
        ValueError: for another shape, or values other than 0 and 1.
    """
    rule = f"{name} must contain a row for each seed and in it a 0 or 1 for each example"
    try:
        found = np.asarray(given)
    except ValueError:
        raise ValueError(f"{rule}, but its rows differ in length: give the same examples to each seed") from None
    if not found.size:
        raise ValueError(f"{rule}, but it is empty: it takes at least 1 seed and 2 examples")
    if found.ndim != 2:
        remedy = f"a single seed goes into a list, as [{name}]" if found.ndim == 1 else "stack the seeds of one model"
        raise ValueError(f"{rule}, but has the shape {found.shape}: {remedy}")
    if found.shape[1] < max(2, found.shape[0]):
        frames = ", or give frames of predictions as {'A': a, 'B': b}" if hasattr(given, "columns") else ""
        raise ValueError(f"{rule}, and at least 2 examples and as many as seeds, but has {found.shape[0]:,} rows and "
                         f"{found.shape[1]:,} columns: turn it by .T if its rows are examples{frames}")
    if found.dtype.kind in "biuf":
        known_SN = np.isin(found, (0, 1))
    else:
        known_SN = np.array([[_is_zero_or_one(value) for value in row] for row in found])
    if not known_SN.all():
        seed, example = np.argwhere(~known_SN)[0].tolist()
        value = found[seed, example]
        value = value.item() if isinstance(value, np.generic) else value
        raise ValueError(f"{rule} (1: the answer is right), but contains {value!r} in row {seed + 1} and column "
                         f"{example + 1}: compare the predicted classes with the labels, as in predicted == label")
    return found.astype(np.bool_)


def _is_zero_or_one(value: Any) -> bool:
    try:
        return bool(value in (0, 1))
    except TypeError:  # the missing value of pandas is neither equal to a number nor different from it
        return False


def _check_same_examples(a: Any, b: Any, clusters: Any, examples_A: int, examples_B: int) -> None:
    """Check that both have as many examples and that all tables and series of pandas name them in the same order.

    Raises:
        ValueError: where they differ.
    """
    rule = "a and b must be about the same examples in the same order"
    if examples_A != examples_B:
        raise ValueError(f"{rule}, but a has {examples_A:,} and b has {examples_B:,}: keep those that both have")
    orders = [*_orders("a", a), *_orders("b", b), *_orders("clusters", clusters)]
    for name, order in orders[1:]:
        first, known = orders[0]
        for place, (one, two) in enumerate(zip(known, order, strict=False), start=1):
            if one != two:
                raise ValueError(f"{rule}, but example {place} is {one!r} in {first} and {two!r} in {name}: put them "
                                 "in one order, as with b[a.columns] for tables and .loc[...] for series, or give "
                                 ".to_numpy() if the order is right")


def _orders(name: str, given: Any) -> list[tuple[str, list[Any]]]:
    """Return the names of the examples in their order, of a table or of each series of pandas."""
    if hasattr(given, "columns"):
        return [(name, list(given.columns))]
    if hasattr(given, "iloc"):
        return [(name, given.index.tolist())]
    rows = enumerate(given) if isinstance(given, list | tuple) else ()
    return [(f"{name}[{place}]", row.index.tolist()) for place, row in rows if hasattr(row, "iloc")]


def _places(clusters: ArrayLike, examples: int) -> NDArray[np.int_]:
    """Return the number of the cluster of each example, from 0 on.

    Raises:
        ValueError: for another number of examples, a missing name, or a single cluster.
    """
    names = np.asarray(clusters)
    if names.shape != (examples,):
        raise ValueError(f"clusters must name a cluster for each of the {examples:,} examples, but has the shape "
                         f"{names.shape}: give a list of as many names")
    found: dict[Hashable, int] = {}
    place_N = []
    for place, name in enumerate(names.tolist()):
        if _is_missing(name):
            raise ValueError(f"clusters must name a cluster for each example, but example {place + 1} has {name!r}: "
                             "name each example without a cluster differently")
        place_N.append(found.setdefault(name, len(found)))
    if len(found) < 2:
        raise ValueError(f"clusters must be at least 2, but all examples are in {names.tolist()[0]!r}: leave clusters "
                         "out if each is independent")
    return np.array(place_N)


def _is_missing(name: Any) -> bool:
    try:
        return name is None or bool(name != name)
    except TypeError:  # the missing value of pandas
        return True
