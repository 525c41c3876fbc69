"""The section on correct and wrong predictions, by label, category and length.

Shapes: `R` runs (seeds) of a model, `N` test examples, `B` ranges of length, `C` categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from gru_bench.evaluation import metrics
from gru_bench.report.document.blocks import Block, Cell, Column, Details, Heading, Paragraph, Table, has_interval
from gru_bench.report.document.figure import Value, Values
from gru_bench.report.document.numbers import NBSP, Number, plain, slug
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Aside, Sentence
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import UNCATEGORIZED, Group, families, free_name
from gru_bench.report.figures.breakdowns import category_figure, confusion_figure, length_figure

CELLS = ("true-negative", "false-positive", "false-negative", "true-positive")
LENGTHS = (25, 50, 100, 200, 400, 800)
"""Ends of the ranges of length, in tokens; one more range holds what is longer."""
OPENED = 6
"""Most categories whose table a page does not fold."""
LEAST_MIXED = 10
"""Reviews of a range of lengths below which the shares of its categories are ignored."""
MIXED = 0.5
"""Difference in a category's share between two ranges of length from which on a caution is shown."""


def errors(evidence: Evidence) -> Section:
    """Return the section."""
    groups = evidence.groups
    return Section("errors", "Errors", (
        *_confusion(groups), *_by_category(groups), *_by_length(groups),
    ))


def _confusion(groups: Sequence[Group]) -> list[Block]:
    """Return the confusion matrix of each model, as a figure and a table."""
    figure = confusion_figure(Values(
        ("model", "label", "predicted", "mean count", "standard deviation"),
        tuple((group.label, *divmod(cell, 2), *numbers)
              for group in groups for cell, numbers in enumerate(_counts(group)))))
    table = Table(
        "confusion", "Confusion counts", (figure.caption,),
        (Column("Model", align="left", width=4.6), Column("True negatives"), Column("False positives"),
         Column("False negatives"), Column("True positives")),
        tuple((group.label, *((mean, Aside((" ± ", spread))) for mean, spread in _counts(group))) for group in groups))
    return [figure, Details("Counts of correct and wrong predictions", (table,))]


def _counts(group: Group) -> list[tuple[Number, Number]]:
    """Return the mean and the standard deviation over seeds of each cell of the confusion matrix."""
    counts_R4 = np.array([astuple(metrics.confusion(group.label_N, probability_N))
                          for probability_N in group.probability_RN], dtype=float)
    return [
        (group.number(f"confusion.{name}", float(count_R.mean()), "count", "mean over seeds"),
         group.number(f"confusion.{name}.spread", float(count_R.std(ddof=1)) if count_R.size > 1 else None, "tenth",
                      "standard deviation over seeds"))
        for name, count_R in zip(CELLS, counts_R4.T, strict=True)
    ]


def _by_category(groups: Sequence[Group]) -> list[Block]:
    """Return accuracy by category for each test set that has at least two."""
    blocks: list[Block] = []
    shown = [members for members in families(groups) if np.unique(members[0].category_N).size > 1]
    for test_set, members in enumerate(shown, start=1):
        key, first = f"categories-{test_set}", members[0]
        taken: set[str] = set()
        rows: list[tuple[Value, ...]] = []
        for name in np.unique(first.category_N):
            inside_N = first.category_N == name
            part, size = free_name(slug(str(name), "none"), taken), int(inside_N.sum())
            reviews = Number(f"{key}.{part}.examples", size, "count", first.ids, size, "in this category")
            rows += [(plain(str(name)) or UNCATEGORIZED, reviews, group.label,
                      group.accuracy_on(f"category.{part}", inside_N)) for group in members]
        values = Values(("category", "reviews", "model", "accuracy"), tuple(rows), intervals=("accuracy",))
        table = _table(key, f"category{f', test set {test_set}' * (len(shown) > 1)}", "category",
                       Column("Category", align="left", width=3.8), members, values)
        blocks += [
            Heading("Accuracy by category", key), category_figure(key, values),
            Details("Values by category", (table,), opened=len(table.rows) <= OPENED),
        ]
    return blocks


def _by_length(groups: Sequence[Group]) -> list[Block]:
    """Return accuracy by length for each test set whose reviews fall into at least two ranges."""
    blocks: list[Block] = []
    shown = [members for members in families(groups)
             if np.unique(np.searchsorted(LENGTHS, members[0].tokens_N)).size > 1]
    for test_set, members in enumerate(shown, start=1):
        key, first = f"lengths-{test_set}", members[0]
        place_N = np.searchsorted(LENGTHS, first.tokens_N)
        # The ends of the ranges touch; outermost they are those of the reviews there are.
        edges = (-1, *LENGTHS, np.inf)
        shortest, longest = int(first.tokens_N.min()), int(first.tokens_N.max())
        rows: list[tuple[Value, ...]] = []
        for place in np.unique(place_N):
            inside_N = place_N == place
            part, size = f"bin-{place + 1}", int(inside_N.sum())
            low, high, reviews = (
                Number(f"{key}.{part}.{name}", value, "count", first.ids, size, method) for name, value, method in (
                    ("shortest", max(shortest, edges[place] + 1), "fewest tokens of this range"),
                    ("longest", min(longest, edges[place + 1]), "most tokens of this range"),
                    ("examples", size, "of these lengths")))
            rows += [(low, high, reviews, group.label, group.accuracy_on(f"length.{part}", inside_N))
                     for group in members]
        values = Values(("tokens from", "tokens to", "reviews", "model", "accuracy"), tuple(rows),
                        intervals=("accuracy",))
        counted = f"the number of tokens read{f', counted as {first.label} reads them' if len(members) > 1 else ''}"
        table = _table(key, f"length{f', test set {test_set}' * (len(shown) > 1)}", counted,
                       Column("Tokens", align="left", width=2.6), members, values)
        caution = _mixed(first, key, place_N, list(values.groups("tokens from", "tokens to")))
        blocks += [
            Heading("Accuracy by length", key), length_figure(key, values),
            *([Paragraph(caution)] if caution else []), table,
        ]
    return blocks


def _table(key: str, what: str, by: str, first: Column, members: Sequence[Group], values: Values) -> Table:
    """Return the accuracy of each model on each part of the reviews.

    Args:
        key: Key of the table.
        what: What the reviews are divided by, in the title.
        by: What the reviews are divided by, in the caption.
        first: The column that names the parts.
        members: The models.
        values: Name or ends of each part, its number of reviews, each model, and its accuracy.
    """
    sure = any(map(has_interval, values.column("accuracy")))
    rows: list[tuple[Cell, ...]] = [
        (part[0] if len(part) == 1 else (part[0], " to ", part[1]), reviews, *found.column("accuracy"))
        for (*part, reviews), found in values.groups(*values.columns[:-2]).items()]
    return Table(
        key, f"Accuracy by {what}",
        (f"Test accuracy, %, by {by}{'; intervals in brackets have 95 % confidence' if sure else ''}.",),
        (first, Column("Reviews"), *(Column(group.label, named=True) for group in members)), tuple(rows))


def _mixed(first: Group, key: str, place_N: NDArray[np.intp], ends: Sequence[tuple[Number, Number]]) -> Sentence:
    """Return a caution if length and category are related, with the category whose share differs most; else empty.

    Args:
        first: Group that gives the categories.
        key: Key of the table.
        place_N: The range that each test review lies in.
        ends: The fewest and the most tokens of each range, in order.
    """
    names, category_N = np.unique(first.category_N, return_inverse=True)
    counts_BC = np.array([np.bincount(category_N[place_N == place], minlength=names.size)
                          for place in np.unique(place_N)])
    large = np.flatnonzero(counts_BC.sum(axis=1) >= LEAST_MIXED)
    if large.size < 2:
        return ()
    share_BC = counts_BC[large] / counts_BC[large].sum(axis=1, keepdims=True)
    category = int(np.ptp(share_BC, axis=0).argmax())
    share_B = share_BC[:, category]
    if np.ptp(share_B) < MIXED:
        return ()

    def part(end: str, row: int, whose: str) -> Sentence:
        share = Number(f"{key}.mixed-{end}", float(share_B[row]), "percent", first.ids,
                       int(counts_BC[large[row]].sum()), "share of this category")
        low, high = ends[large[row]]
        return (share, f"{NBSP}% of {whose} of ", low, " to ", high, " tokens")

    return (
        f"Length and category are related: {plain(str(names[category])) or UNCATEGORIZED} makes up ",
        *part("most", int(share_B.argmax()), "the reviews"), " and ", *part("least", int(share_B.argmin()), "those"),
        ". A difference between lengths may be one between categories.",
    )
