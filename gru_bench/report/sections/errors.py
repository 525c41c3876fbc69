"""Accuracy by category, length and confidence, and the hardest test reviews.

Shapes: `R` runs (seeds) of a model, `N` test examples, `M` models that share them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gru_bench.evaluation import metrics
from gru_bench.report.document.numbers import NBSP, Number, Sentence, plain, slug
from gru_bench.report.document.report import (
    Category,
    CategoryTable,
    Confidence,
    HardReviews,
    LengthBin,
    LengthTable,
    Reliability,
    Review,
)
from gru_bench.report.evidence.groups import Group, families, free_name
from gru_bench.report.evidence.store import Store

LENGTHS = (25, 50, 100, 200, 400, 800)
"""Ends of the ranges of length, in tokens; one more range holds what is longer."""
BINS = 5
"""Ranges of confidence: enough to see a bend, and few enough that each holds many predictions."""
LEAST = 30
"""Predictions of a seed in a range of confidence below which their accuracy is known to ten points only, or worse."""
HARD = 6
"""Reviews shown of each kind."""
WIDTH = 200
"""Characters shown of a review."""
UNCATEGORIZED = "(none)"
LEAST_MIXED = 10
"""Reviews of a range of lengths below which the shares of its categories are ignored."""
MIXED = 0.5
"""Difference in a category's share between two ranges of length from which on a caution is shown."""


def category_tables(groups: Sequence[Group]) -> tuple[CategoryTable, ...]:
    """Return one table for each test set that has at least two categories."""
    tables: list[CategoryTable] = []
    for members in families(groups):
        first = members[0]
        names, place_N = np.unique(first.category_N, return_inverse=True)
        if names.size < 2:
            continue
        key = f"categories-{len(tables) + 1}"
        taken: set[str] = set()
        categories = []
        for place, name in enumerate(names):
            inside_N = place_N == place
            part = free_name(slug(str(name), "none"), taken)
            size = int(inside_N.sum())
            categories.append(Category(
                plain(str(name)) or UNCATEGORIZED,
                Number(f"{key}.{part}.examples", size, "count", members[0].ids, size, "in this category"),
                tuple(group.accuracy_on(f"category.{part}", inside_N) for group in members),
            ))
        tables.append(CategoryTable(key, tuple(group.label for group in members), tuple(categories)))
    return tuple(tables)


def length_tables(groups: Sequence[Group]) -> tuple[LengthTable, ...]:
    """Return accuracy by length for each test set whose reviews fall into at least two ranges."""
    tables: list[LengthTable] = []
    for members in families(groups):
        tokens_N = members[0].tokens_N
        key = f"lengths-{len(tables) + 1}"
        place_N = np.searchsorted(LENGTHS, tokens_N)
        bins = []
        for place in np.unique(place_N):
            inside_N = place_N == place
            part = f"{key}.bin-{place + 1}"
            size = int(inside_N.sum())
            # The ends of the range, so that ranges touch; outermost those of the reviews there are.
            low = max(int(tokens_N.min()), LENGTHS[place - 1] + 1 if place else 0)
            high = min(int(tokens_N.max()), LENGTHS[place] if place < len(LENGTHS) else int(tokens_N.max()))
            bins.append(LengthBin(
                Number(f"{part}.shortest", low, "count", members[0].ids, size, "fewest tokens of this range"),
                Number(f"{part}.longest", high, "count", members[0].ids, size, "most tokens of this range"),
                Number(f"{part}.examples", size, "count", members[0].ids, size, "of these lengths"),
                tuple(group.accuracy_on(f"length.bin-{place + 1}", inside_N) for group in members),
            ))
        if len(bins) > 1:
            labels = tuple(group.label for group in members)
            tables.append(LengthTable(key, labels, tuple(bins), _mixed(members[0], key, place_N, bins)))
    return tuple(tables)


def _mixed(first: Group, key: str, place_N: NDArray[np.intp], bins: Sequence[LengthBin]) -> Sentence:
    """Return a caution if length and category are related, with the category whose share differs most; else empty.

    Args:
        first: gives the categories.
        key: of the table.
        place_N: the range that each test review lies in.
        bins: the ranges, in order.
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

    def part(end: str, row: int) -> tuple[Number, LengthBin]:
        size = int(counts_BC[large[row]].sum())
        share = Number(f"{key}.mixed-{end}", float(share_BC[row, category]), "percent", first.ids, size,
                       "share of this category")
        return share, bins[large[row]]

    (most, here), (least, there) = (
        part("most", int(share_BC[:, category].argmax())), part("least", int(share_BC[:, category].argmin())))
    return (
        f"Length and category are related: {plain(str(names[category])) or UNCATEGORIZED} makes up ", most,
        f"{NBSP}% of the reviews of ", here.low, " to ", here.high, " tokens and ", least, f"{NBSP}% of those of ",
        there.low, " to ", there.high, " tokens. A difference between lengths may be one between categories.",
    )


def reliability(group: Group) -> Reliability:
    """Return how often predictions of each confidence are correct, averaged over the seeds that have some.

    A range that no seed has a prediction in is left out.
    """
    by_run = [metrics.reliability(group.label_N, probability_N, BINS) for probability_N in group.probability_RN]
    bins = []
    for place, ranges in enumerate(zip(*by_run, strict=True), start=1):
        part = f"reliability.bin-{place}"
        some = [found for found in ranges if found.examples]
        if not some:
            continue
        bins.append(Confidence(
            low=group.number(f"{part}.from", ranges[0].low, "percent", "an end of the range", decimals=0),
            high=group.number(f"{part}.to", ranges[0].high, "percent", "an end of the range", decimals=0),
            share=group.over_runs(f"{part}.share", [r.examples / group.example_N.size for r in ranges], "percent"),
            confidence=group.over_runs(f"{part}.confidence", [found.confidence for found in some], "percent"),
            accuracy=group.over_runs(f"{part}.accuracy", [found.accuracy for found in some], "percent"),
            few=sum(r.examples for r in ranges) < LEAST * len(ranges),
        ))
    return Reliability(group.key, group.label, tuple(bins))


def hard_reviews(groups: Sequence[Group], store: Store) -> tuple[HardReviews, ...]:
    """Return the reviews on which models disagree most, and those that every run misclassifies.

    Empty for a test set whose texts were not logged.
    """
    found: list[HardReviews] = []
    for members in families(groups):
        texts = next((texts for run in dict.fromkeys(group.parent.run_id for group in members)
                      if (texts := store.texts(run, "test")) is not None), None)
        if texts is None:
            continue
        right_MN = np.stack([group.correct_RN.mean(0) for group in members])
        wrong_N = np.flatnonzero(right_MN.max(0) == 0)
        # The more confident the mistake, the more it tells; ties in the order of the ids.
        surety_N = np.mean([np.abs(group.probability_RN - 0.5).mean(0) for group in members], axis=0)
        failed = wrong_N[np.argsort(-surety_N[wrong_N], kind="stable")][:HARD]
        spread_N = np.ptp(right_MN, axis=0)
        apart = [place for place in np.argsort(-spread_N, kind="stable")[:HARD] if spread_N[place] > 0]
        if not apart and not wrong_N.size:
            continue
        key = f"reviews-{len(found) + 1}"
        found.append(HardReviews(
            key,
            tuple(_review(texts, members, right_MN, int(place), f"{key}.apart-{rank}", True)
                  for rank, place in enumerate(apart, start=1)),
            tuple(_review(texts, members, right_MN, int(place), f"{key}.failed-{rank}", False)
                  for rank, place in enumerate(failed, start=1)),
            _failed(members, wrong_N.size, key) if wrong_N.size else (),
        ))
    return tuple(found)


def _failed(members: Sequence[Group], count: int, key: str) -> Sentence:
    """Return how many test reviews every run misclassifies."""
    ids = tuple(run_id for group in members for run_id in group.ids)
    size = members[0].example_N.size
    runs = "the one run" if len(ids) == 1 else "every run of every model" if len(members) > 1 else "every run"
    return (
        Number(f"{key}.failed", count, "count", ids, size, f"wrong in {runs}"), " of the ",
        Number(f"{key}.all", size, "count", ids, size, "test reviews"),
        f" test reviews {'is' if count == 1 else 'are'} misclassified by {runs}.",
    )


def _review(
    texts: dict[str, str], members: Sequence[Group], right_MN: np.ndarray, place: int, key: str, apart: bool
) -> Review:
    first = members[0]
    label = "positive" if first.label_N[place] == 1 else "negative"
    category = plain(str(first.category_N[place]))
    said: list[str | Number] = [
        f"Labeled {label}, ",
        Number(f"{key}.tokens", int(first.tokens_N[place]), "count", first.ids, 1, "of this review"),
        " tokens read",
        f", {category}" if category else "",
    ]
    if apart:
        shown = (int(right_MN[:, place].argmax()), int(right_MN[:, place].argmin()))
        verbs = (": classified correctly by ", ", but only by ")
        for verb, m in zip(verbs, shown, strict=True):
            share = Number(f"{key}.{members[m].key}", float(right_MN[m, place]), "percent", members[m].ids, 1,
                           "share of the runs that classify this review correctly", decimals=0)
            said += [verb, share, f"{NBSP}% of the runs of {members[m].label}"]
    text = re.sub(r"<br ?/?>", " ", texts.get(str(first.example_N[place]), ""))
    sentence: Sentence = (*said, ".")
    return Review(textwrap.shorten(plain(text), WIDTH, placeholder=" …") or "(no words)", sentence)
