"""The section on the hardest test reviews: those on which models disagree most, and those that every run misclassifies.

Shapes: `N` test examples, `M` models that share them, `F` examples that every run misclassifies.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.blocks import Block, Bullets, Details, Heading, Paragraph
from gru_bench.report.document.numbers import Numbers, plain
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, families
from gru_bench.stats import metrics

HARD = 6
"""Reviews shown of each kind."""
OF_CLASS = 2
"""Most confident mistakes shown of each of more than two classes."""
OF_CLASSES = 20
"""Most of them together."""
WIDTH = 200
"""Characters shown of a review."""


def hard_reviews(evidence: Evidence) -> Section | None:
    """Return the section; None where no texts were logged, or every run classifies every review correctly."""
    blocks: list[Block] = []
    test_sets = families(evidence.groups)
    for place, members in enumerate(test_sets, start=1):
        texts = next((texts for run in dict.fromkeys(group.study.run.run_id for group in members)
                      if (texts := evidence.store.texts(run, "test")) is not None), None)
        key = f"reviews-{place}"
        if texts is not None and (found := _of_test_set(members, texts, evidence.numbers.of(key))):
            if len(test_sets) > 1:
                blocks.append(Heading(f"Reviews of {listed([group.label for group in members])}", key))
            blocks += found
    return Section("reviews", "Hard reviews", tuple(blocks)) if blocks else None


def _of_test_set(members: Sequence[Group], texts: Mapping[str, str], numbers: Numbers) -> list[Block]:
    right_MN = np.stack([group.correct_RN.mean(0) for group in members])
    wrong_N = np.flatnonzero(right_MN.max(0) == 0)
    # The more confident the mistake, the more it tells; ties in the order of the ids.
    surety_N = np.mean([np.mean([metrics.confidence(one_NC) for one_NC in group.probability_RNC], axis=0)
                        for group in members], axis=0)
    ordered_F = wrong_N[np.argsort(-surety_N[wrong_N], kind="stable")]
    failed = ordered_F[:HARD] if members[0].is_binary else _of_each_class(ordered_F, members[0].label_N)
    spread_N = np.ptp(right_MN, axis=0)
    apart = [place for place in np.argsort(-spread_N, kind="stable")[:HARD] if spread_N[place] > 0]

    def quoted(kind: str, places: Iterable[int]) -> tuple[Bullets]:
        return (Bullets(tuple(
            (_beginning(texts.get(str(members[0].example_N[place]), "")),
             _remark(members, right_MN[:, place], place, numbers.of(f"{kind}-{rank}")))
            for rank, place in enumerate(places, start=1)), quoted=True),)

    ids = [run_id for group in members for run_id in group.ids]
    blocks: list[Block] = []
    if apart:
        blocks.append(Details("Reviews on which the models disagree most", quoted("apart", apart)))
    if failed.size:
        what = "mistakes among them" if members[0].is_binary else "mistakes in each class"
        blocks += [Paragraph(_failed(members, wrong_N.size, numbers.of("", ids, members[0].example_N.size))),
                   Details(f"The most confident {what}", quoted("failed", failed))]
    return blocks


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


def _failed(members: Sequence[Group], count: int, numbers: Numbers) -> Sentence:
    runs = "the one run" if len(numbers.runs) == 1 else "every run of every model" if len(members) > 1 else "every run"
    return say("{failed} of the {all} test reviews {failed:is|are} misclassified by {runs}.", runs=runs,
               failed=numbers.add("failed", count, "count", f"wrong in {runs}"),
               all=numbers.add("all", numbers.examples, "count", "test reviews"))


def _beginning(text: str) -> str:
    return textwrap.shorten(plain(re.sub(r"<br ?/?>", " ", text)), WIDTH, placeholder=" …") or "(no words)"


def _remark(members: Sequence[Group], right_M: np.ndarray, place: int, numbers: Numbers) -> Sentence:
    """Return the label, length and category of a review, and who classifies it correctly most and least often."""
    first = members[0]
    category = plain(str(first.category_N[place]))

    def share(model: int) -> Sentence:
        group = members[model]
        number = numbers.add(group.key, float(right_M[model]), "percent", "share of the runs that classify this "
                             "review correctly", 1, runs=group.ids, decimals=0)
        return say("{number} % of the runs of {model}", number=number, model=group.label)

    extremes: Sentence = ()
    if right_M.any():
        extremes = say(": classified correctly by {most}, but only by {least}", most=share(int(right_M.argmax())),
                       least=share(int(right_M.argmin())))
    return say(
        "Labeled {label}, {taken}{tokens} tokens read{category}{extremes}.", label=first.classes[first.label_N[place]],
        taken=_taken_for(members, place, numbers),
        tokens=numbers.add("tokens", int(first.tokens_N[place]), "count", "of this review", 1, runs=first.ids),
        category=f", {category}" if category else "", extremes=extremes)


def _taken_for(members: Sequence[Group], place: int, numbers: Numbers) -> Sentence:
    """Return which wrong class a review is taken for most often; empty for two classes, where it is the other one."""
    first = members[0]
    wrong = Counter(int(found) for group in members for found in group.predicted_RN[:, place]
                    if found != first.label_N[place])
    if first.is_binary or not wrong:
        return ()
    (found, times), runs = wrong.most_common(1)[0], [run_id for group in members for run_id in group.ids]
    share = numbers.add("taken", times / len(runs), "percent", "share of the runs that predict this class", 1,
                        runs=runs, decimals=0)
    return say("predicted {label} by {share} % of the runs, ", label=first.classes[found], share=share)
