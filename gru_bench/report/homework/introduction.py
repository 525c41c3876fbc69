"""The introduction: the question of the homework, and how these runs answer it."""

from __future__ import annotations

from gru_bench.report.document.blocks import Paragraph
from gru_bench.report.document.numbers import plain
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined, prose
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
        Paragraph((
            *prose("""
                Its report trained each model once and found the bidirectional one best. One run of each cannot tell a
                better model from luckier initial weights. Here the homework is repeated by its protocol
            """), " (except for the departures listed below) " if any(map(departures, studies)) else " ",
            *joined(list(map(_what, studies)), "; and "),
            ", so that its question can be answered with an interval. The discussion shows the published results "
            "for context, beside those of these runs.",
        )),
    ))


def _what(one: Reproduction) -> Sentence:
    """Return the reviews of a study, and the number of seeds that each model is to be trained on."""
    summary = one.study.summary
    begun = max(len(group.runs) for group in one.groups.values())
    seeds = begun if summary is None else len(summary.confirm_seeds)
    return (
        f"on {plain(one.data.name)}, with ",
        one.numbers.add("introduction.train", one.data.train, "count", "reviews"), " training reviews, ",
        one.numbers.add("introduction.test", one.data.test, "count", "reviews"), " test reviews and ",
        one.numbers.add("introduction.seeds", seeds, "count"), " seeds of each model",
    )
