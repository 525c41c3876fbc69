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
from gru_bench.report.document.figure import Values
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

Accuracies = Sequence[Number]
"""The accuracy of each model on a part of the reviews."""


def errors(evidence: Evidence) -> Section:
    """Return the section."""
    groups = evidence.groups
    return Section("errors", "Errors", (
        *_confusion(groups), *_by_category(groups), *_by_length(groups),
    ))


def _confusion(groups: Sequence[Group]) -> list[Block]:
    """Return the confusion matrix of each model, as a figure and a table."""
    counts = [(group.label, _counts(group)) for group in groups]
    figure = confusion_figure(Values(
        ("model", "label", "predicted", "mean count", "standard deviation"),
        tuple((label, *divmod(cell, 2), mean, spread)
              for label, cells in counts for cell, (mean, spread) in enumerate(cells)),
    ))
    table = Table(
        "confusion", "Confusion counts", (figure.caption,),
        (Column("Model", align="left", width=4.6), Column("True negatives"), Column("False positives"),
         Column("False negatives"), Column("True positives")),
        tuple((label, *((mean, Aside((" ± ", spread))) for mean, spread in cells)) for label, cells in counts),
    )
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
        key = f"categories-{test_set}"
        taken: set[str] = set()
        parts: list[tuple[str, Number, Accuracies]] = []
        for name in np.unique(members[0].category_N):
            inside_N = members[0].category_N == name
            part = free_name(slug(str(name), "none"), taken)
            size = int(inside_N.sum())
            parts.append((
                plain(str(name)) or UNCATEGORIZED,
                Number(f"{key}.{part}.examples", size, "count", members[0].ids, size, "in this category"),
                [group.accuracy_on(f"category.{part}", inside_N) for group in members],
            ))
        values = Values(("category", "reviews", "model", "accuracy"), tuple(
            (name, size, group.label, number)
            for name, size, found in parts for group, number in zip(members, found, strict=True)
        ), intervals=("accuracy",))
        table = _table(key, "category", f", test set {test_set}" if len(shown) > 1 else "",
                       Column("Category", align="left", width=3.8), members, parts)
        blocks += [
            Heading("Accuracy by category", key), category_figure(key, values),
            Details("Values by category", (table,), opened=len(parts) <= OPENED),
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
        ends: list[tuple[Number, Number]] = []
        parts: list[tuple[Sentence, Number, Accuracies]] = []
        for place in np.unique(place_N):
            inside_N = place_N == place
            part = f"{key}.bin-{place + 1}"
            size = int(inside_N.sum())
            # The ends of the range, so that ranges touch; outermost those of the reviews there are.
            shortest, longest = int(first.tokens_N.min()), int(first.tokens_N.max())
            low = max(shortest, LENGTHS[place - 1] + 1 if place else 0)
            high = min(longest, LENGTHS[place] if place < len(LENGTHS) else longest)
            ends.append((
                Number(f"{part}.shortest", low, "count", first.ids, size, "fewest tokens of this range"),
                Number(f"{part}.longest", high, "count", first.ids, size, "most tokens of this range"),
            ))
            parts.append((
                (ends[-1][0], " to ", ends[-1][1]),
                Number(f"{part}.examples", size, "count", first.ids, size, "of these lengths"),
                [group.accuracy_on(f"length.bin-{place + 1}", inside_N) for group in members],
            ))
        values = Values(("tokens from", "tokens to", "reviews", "model", "accuracy"), tuple(
            (low, high, size, group.label, number)
            for (low, high), (_, size, found) in zip(ends, parts, strict=True)
            for group, number in zip(members, found, strict=True)
        ), intervals=("accuracy",))
        counted = f"the number of tokens read{f', counted as {first.label} reads them' if len(members) > 1 else ''}"
        table = _table(key, "length", f", test set {test_set}" if len(shown) > 1 else "",
                       Column("Tokens", align="left", width=2.6), members, parts, counted)
        caution = _mixed(first, key, place_N, ends)
        blocks += [
            Heading("Accuracy by length", key), length_figure(key, values),
            *([Paragraph(caution)] if caution else []), table,
        ]
    return blocks


def _table(
    key: str, what: str, which: str, first: Column, members: Sequence[Group],
    parts: Sequence[tuple[Cell, Number, Accuracies]], by: str = "",
) -> Table:
    """Return the accuracy of each model on each part of the reviews.

    Args:
        key: Key of the table.
        what: What the reviews are divided by.
        which: Words that tell its test set from others.
        first: The column that names the parts.
        members: The models.
        parts: Name, number of reviews, and accuracies of each part.
        by: What the reviews are divided by, in the words of the caption.
    """
    sure = any(has_interval(number) for _, _, found in parts for number in found)
    return Table(
        key, f"Accuracy by {what}{which}",
        (f"Test accuracy, %, by {by or what}{'; intervals in brackets have 95 % confidence' if sure else ''}.",),
        (first, Column("Reviews"), *(Column(group.label, named=True) for group in members)),
        tuple((name, size, *found) for name, size, found in parts),
    )


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
    if np.ptp(share_BC[:, category]) < MIXED:
        return ()

    def part(end: str, row: int) -> tuple[Number, Number, Number]:
        size = int(counts_BC[large[row]].sum())
        share = Number(f"{key}.mixed-{end}", float(share_BC[row, category]), "percent", first.ids, size,
                       "share of this category")
        return share, *ends[large[row]]

    most, *here = part("most", int(share_BC[:, category].argmax()))
    least, *there = part("least", int(share_BC[:, category].argmin()))
    return (
        f"Length and category are related: {plain(str(names[category])) or UNCATEGORIZED} makes up ", most,
        f"{NBSP}% of the reviews of ", here[0], " to ", here[1], " tokens and ", least, f"{NBSP}% of those of ",
        there[0], " to ", there[1], " tokens. A difference between lengths may be one between categories.",
    )
