"""The section on the hardest test reviews: those on which models disagree most, and those that every run misclassifies.

Shapes: `N` test examples, `M` models that share them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from gru_bench.report.document.blocks import Block, Details, Heading, Paragraph, Reviews
from gru_bench.report.document.numbers import NBSP, Number, plain
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Sentence, listed
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, families

HARD = 6
"""Reviews shown of each kind."""
WIDTH = 200
"""Characters shown of a review."""


def hard_reviews(evidence: Evidence) -> Section | None:
    """Return the section; None where no texts were logged, or every run classifies every review correctly."""
    blocks: list[Block] = []
    test_sets = 0
    for members in families(evidence.groups):
        texts = next((texts for run in dict.fromkeys(group.parent.run_id for group in members)
                      if (texts := evidence.store.texts(run, "test")) is not None), None)
        if texts is None:
            continue
        right_MN = np.stack([group.correct_RN.mean(0) for group in members])
        wrong_N = np.flatnonzero(right_MN.max(0) == 0)
        # The more confident the mistake, the more it tells; ties in the order of the ids.
        surety_N = np.mean([np.abs(group.probability_RN - 0.5).mean(0) for group in members], axis=0)
        failed = wrong_N[np.argsort(-surety_N[wrong_N], kind="stable")][:HARD]
        spread_N = np.ptp(right_MN, axis=0)
        apart = [place for place in np.argsort(-spread_N, kind="stable")[:HARD] if spread_N[place] > 0]
        if not apart and not failed.size:
            continue
        test_sets += 1
        key = f"reviews-{test_sets}"
        if len(families(evidence.groups)) > 1:
            blocks.append(Heading(f"Reviews of {listed([group.label for group in members])}", key))
        if apart:
            blocks.append(Details("Reviews on which the models disagree most", (Reviews(tuple(
                (_quoted(texts, members[0], place),
                 (*_about(members[0], place, f"{key}.apart-{rank}"),
                  *_extremes(members, right_MN[:, place], f"{key}.apart-{rank}"), "."))
                for rank, place in enumerate(apart, start=1))),)))
        if failed.size:
            blocks += [
                Paragraph(_failed(members, wrong_N.size, key)),
                Details("The most confident mistakes among them", (Reviews(tuple(
                    (_quoted(texts, members[0], place), (*_about(members[0], place, f"{key}.failed-{rank}"), "."))
                    for rank, place in enumerate(failed, start=1))),)),
            ]
    return Section("reviews", "Hard reviews", tuple(blocks)) if blocks else None


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


def _quoted(texts: Mapping[str, str], first: Group, place: int) -> str:
    """Return the beginning of a review."""
    text = re.sub(r"<br ?/?>", " ", texts.get(str(first.example_N[place]), ""))
    return textwrap.shorten(plain(text), WIDTH, placeholder=" …") or "(no words)"


def _about(first: Group, place: int, key: str) -> Sentence:
    """Return the label, length and category of a review, as the start of a sentence."""
    category = plain(str(first.category_N[place]))
    tokens = Number(f"{key}.tokens", int(first.tokens_N[place]), "count", first.ids, 1, "of this review")
    return (f"Labeled {'positive' if first.label_N[place] == 1 else 'negative'}, ", tokens, " tokens read",
            f", {category}" if category else "")


def _extremes(members: Sequence[Group], right_M: np.ndarray, key: str) -> Sentence:
    """Return which model classifies a review correctly most often, and which least often, as the rest of a sentence."""

    def share(place: int) -> Sentence:
        number = Number(f"{key}.{members[place].key}", float(right_M[place]), "percent", members[place].ids, 1,
                        "share of the runs that classify this review correctly", decimals=0)
        return (number, f"{NBSP}% of the runs of {members[place].label}")

    most, least = share(int(right_M.argmax())), share(int(right_M.argmin()))
    return (": classified correctly by ", *most, ", but only by ", *least)
