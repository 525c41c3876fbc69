"""Where the models disagree: the test texts that only one of two models gets right, and those that none gets right.

Shapes: `N` test examples, `M` models that share them, `F` examples that every run misclassifies.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.document.blocks import Block, Bullets, Column, Details, Paragraph, Table
from gru_bench.document.numbers import NBSP, Numbers, plain
from gru_bench.document.report import Section
from gru_bench.document.sentences import Sentence, joined, say
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.pairs import Pair
from gru_bench.stats import metrics
from gru_bench.stats.disagreement import one_sided

MOST_PAIRS = 6
"""Most pairs whose texts are shown."""
QUOTED = 6
"""Texts shown of each side."""
OF_CLASS = 2
"""Most confident mistakes shown of each of more than two classes."""
OF_CLASSES = 20
"""Most of them together."""
WIDTH = 200
"""Characters shown of a text."""

Texts = Mapping[str, str]
"""Example -> its text."""


def disagreements(evidence: Evidence) -> Section | None:
    """Return the section; None if there is one model, and no texts were logged."""
    blocks: list[Block] = []
    pairs = evidence.pairs_shown
    if pairs:
        blocks.append(_table(pairs))
    for pair in pairs[:MOST_PAIRS]:
        if (texts := texts_of(evidence, [pair.a, pair.b])) is not None:
            blocks += _of_pair(pair, texts)
    if (texts := texts_of(evidence, evidence.classifiers)) is not None:
        blocks += _never_right(evidence.classifiers, texts, evidence.numbers.of("never-right-1"))
    return Section("disagreements", "Where they disagree", tuple(blocks)) if blocks else None


def texts_of(evidence: Evidence, members: Sequence[ModelRuns]) -> Texts | None:
    """Return the test texts that some models share; None if no study of theirs logged them."""
    runs = dict.fromkeys(group.study.run.run_id for group in members)
    return next((texts for run in runs if (texts := evidence.store.texts(run, "test")) is not None), None)


def _table(pairs: Sequence[Pair]) -> Table:
    def count(pair: Pair, side: int) -> Any:
        found = one_sided(pair.a.correct_RN, pair.b.correct_RN)[side]
        return pair.on_examples.add(
            ("only-first", "only-second")[side], len(found), "count",
            "texts that most runs of one model and at most half of those of the other get right")

    return Table.of(
        "disagreements", "Texts that only one model gets right",
        ("Test texts that only one model of a pair classifies correctly, by the majority of its runs.",),
        pairs,
        (Column("Pair", align="left", width=6), lambda pair: f"{pair.a.label} and {pair.b.label}"),
        (Column("Only the first"), lambda pair: count(pair, 0)),
        (Column("Only the second"), lambda pair: count(pair, 1)))


def _of_pair(pair: Pair, texts: Texts) -> list[Block]:
    """Return some of the texts that only one of two models gets right."""
    sides = one_sided(pair.a.correct_RN, pair.b.correct_RN)
    blocks: list[Block] = []
    for name, right, wrong, places in (("first", pair.a, pair.b, sides[0]), ("second", pair.b, pair.a, sides[1])):
        if places.size:
            clear_F = right.correct_RN[:, places].mean(0) - wrong.correct_RN[:, places].mean(0)
            shown = places[np.argsort(-clear_F, kind="stable")[:QUOTED]]
            numbers = pair.numbers.of(f"only-{name}")
            items = tuple(
                (beginning(texts.get(str(right.example_N[place]), "")),
                 _remark([right, wrong], int(place), numbers.of(str(rank))))
                for rank, place in enumerate(shown, start=1))
            blocks.append(Details(f"{right.label} right, {wrong.label} wrong", (Bullets(items, quoted=True),)))
    return [Details(f"{pair.a.label} and {pair.b.label}", tuple(blocks))] if blocks else []


def _never_right(members: Sequence[ModelRuns], texts: Texts, numbers: Numbers) -> list[Block]:
    """Return how many test texts no run classifies correctly, and some of these mistakes: the most confident ones."""
    right_MN = np.stack([group.correct_RN.mean(0) for group in members])
    wrong_N = np.flatnonzero(right_MN.max(0) == 0)
    if not wrong_N.size:
        return []
    # The more confident the mistake, the more it tells; ties, and all without probabilities, in the order of the ids.
    confident = [np.mean([metrics.confidence(one_NC) for one_NC in group.probability_RNC], axis=0)
                 for group in members if group.has_probabilities]
    confidence_N = np.mean(confident or [np.zeros(right_MN.shape[1])], axis=0)
    ordered_F = wrong_N[np.argsort(-confidence_N[wrong_N], kind="stable")]
    shown = ordered_F[:QUOTED] if members[0].is_binary else _of_each_class(ordered_F, members[0].label_N)
    ids, size = tuple(run_id for group in members for run_id in group.ids), members[0].example_N.size
    numbers = numbers.on(ids, size)
    items = tuple((beginning(texts.get(str(members[0].example_N[place]), "")),
                   _remark(members, int(place), numbers.of(str(rank)))) for rank, place in enumerate(shown, start=1))
    return [
        Paragraph(say("All runs misclassify {count} of the {all} test texts.",
                      count=numbers.add("count", wrong_N.size, "count", "wrong in every run of every model"),
                      all=numbers.add("all", size, "count", "test texts"))),
        Details("Some of these mistakes", (Bullets(items, quoted=True),))]


def _of_each_class(place_F: NDArray[np.intp], label_N: NDArray[Any]) -> NDArray[np.intp]:
    """Return the first places of each class, in the order of the classes."""
    seen: Counter[int] = Counter()
    ranked = []
    for place in place_F.tolist():
        label = int(label_N[place])
        seen[label] += 1
        ranked.append((seen[label], label, place))
    first = sorted(one for one in ranked if one[0] <= OF_CLASS)[:OF_CLASSES]
    return np.array([place for _, _, place in sorted(first, key=lambda one: one[1])], dtype=np.intp)


def beginning(text: str) -> str:
    """Return the beginning of a text."""
    return textwrap.shorten(plain(re.sub(r"<br ?/?>", " ", text)), WIDTH, placeholder=" …") or "(no words)"


def _remark(members: Sequence[ModelRuns], place: int, numbers: Numbers) -> Sentence:
    """Return the label of a text, and the wrong class that most runs predict where there are more than two classes."""
    first = members[0]
    parts: list[Sentence] = []
    if classified := [group for group in members if group.has_classes]:
        label, classes = classified[0].label_N[place], max((group.classes for group in classified), key=len)
        wrong = Counter(int(found) for group in classified for found in group.predicted_RN[:, place] if found != label)
        taken = "" if len(classes) == 2 or not wrong else f", predicted {classes[wrong.most_common(1)[0][0]]}"
        parts.append((f"Labeled {classes[label]}{taken}",))
    if first.tokens_N.any():
        tokens = numbers.on(first.ids).add("tokens", int(first.tokens_N[place]), "count", "of this text")
        parts.append((tokens, f"{NBSP}tokens read"))
    if category := plain(str(first.category_N[place])):
        parts.append((category,))
    return (*joined(parts, ", "), ".") if parts else ()
