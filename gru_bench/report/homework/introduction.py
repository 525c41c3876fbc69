"""The introduction: the question of the homework, and how these runs answer it."""

from __future__ import annotations

from gru_bench.report.document.blocks import Paragraph
from gru_bench.report.document.numbers import plain
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined, prose, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.homework.reproduction import Reproduction, departures, reproductions


def introduction(evidence: Evidence) -> Section | None:
    """Return the section; None where no study follows the homework's protocol."""
    studies = reproductions(evidence)
    if not studies:
        return None
    return Section("introduction", "Introduction", (
        Paragraph(prose("""
            Is a review positive or negative? A course’s homework answers this with three recurrent networks: a gated
            recurrent unit (GRU) written from scratch, PyTorch’s own GRU, and a bidirectional GRU, which reads each
            review from both ends. The homework teaches how gates keep gradients alive over many words, what word
            vectors are good for, and what reading in both directions adds.
        """)),
        Paragraph(say(
            "Its report trained each model once and found the bidirectional one best. One run of each cannot tell a "
            "better model from luckier initial weights. Here the homework is repeated by its protocol{except} {what}, "
            "so that its question can be answered with an interval. The discussion shows the published results for "
            "context, beside those of these runs.", what=joined(list(map(_what, studies)), "; and "), **{
                "except": " (except for the departures listed below)" if any(map(departures, studies)) else ""})),
    ))


def _what(one: Reproduction) -> Sentence:
    """Return the reviews of a study, and the number of seeds that each model is to be trained on."""
    summary = one.study.summary
    begun = max(len(group.runs) for group in one.groups.values())
    seeds = begun if summary is None else len(summary.confirm_seeds)
    return say(
        "on {data}, with {train} training reviews, {test} test reviews and {seeds} seeds of each model",
        data=plain(one.data.name), train=one.numbers.add("introduction.train", one.data.train, "count", "reviews"),
        test=one.numbers.add("introduction.test", one.data.test, "count", "reviews"),
        seeds=one.numbers.add("introduction.seeds", seeds))
