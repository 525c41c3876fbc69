"""Published and measured: published results next to those of these runs, and whether the homework's claim holds up."""

from __future__ import annotations

from collections.abc import Mapping

from gru_bench.report.document.blocks import Block, Cell, Column, Heading, Paragraph, Table, with_range
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, listed
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import model_name
from gru_bench.report.homework import published
from gru_bench.report.homework.reproduction import Reproduction, departures, reproductions
from gru_bench.stats.verdict import Finding

PUBLISHED = ("Published results are from one run each, on other reviews. Accuracy has 95 % intervals. Training: the "
             "median, and the lowest to the highest run; these runs shared the machine.")
BECOMES: Mapping[Finding, tuple[str, str]] = {
    Finding.BETTER: ("is confirmed", "is contradicted"),
    Finding.BETTER_BY_MARGIN: ("is confirmed", "is contradicted"),
    Finding.NEGLIGIBLE: ("is confirmed only by a negligible amount", "is not confirmed"),
    Finding.EQUIVALENT: ("is not confirmed", "is not confirmed"),
    Finding.INCONCLUSIVE: ("stays open", "stays open"),
    Finding.TOO_FEW_GROUPS: ("stays open", "stays open"),
    Finding.GUESSING: ("stays open", "stays open"),
}
"""Finding -> what follows for the claim if the bidirectional model has the higher mean, and if it has not."""


def discussion(evidence: Evidence) -> Section | None:
    """Return the section; None where no study follows the protocol."""
    studies = reproductions(evidence)
    if not studies:
        return None
    blocks: list[Block] = [
        *(_published_table(one, evidence) for one in studies),
        Heading("Is bidirectional better?", "claim"),
    ]
    blocks += [Paragraph(_claim(one, evidence), lead="Conclusion.") for one in studies]
    return Section("discussion", "Published and measured results", tuple(blocks))


def _published_table(one: Reproduction, evidence: Evidence) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for model, group in one.groups.items():
        rows.append((f"{group.label}, these runs", group.backend, group.accuracy, with_range(group.seconds)))
        if model in published.ACCURACY:
            rows.append((
                f"{model_name(model)}, published", "GPU",
                published.number(evidence.numbers, f"{model}.accuracy", published.ACCURACY[model], "percent"),
                published.number(evidence.numbers, f"{model}.seconds", published.SECONDS[model], "count"),
            ))
    title = one.titled("These runs and what was published")
    return Table(
        f"{one.numbers.key}-published", title, (f"{title}. {PUBLISHED}",),
        (Column("Model", align="left", width=4.6), Column("Ran on", align="left", width=2.6), Column("Accuracy", "%"),
         Column("Training", "s")), tuple(rows))


def _claim(one: Reproduction, evidence: Evidence) -> Sentence:
    """Return the conclusion on the claim that the bidirectional model is better."""
    bidirectional = one.groups.get("bidirectional")
    becomes: dict[str, list[str]] = {}
    for pair in evidence.compared:
        behind = pair.b is bidirectional
        if not behind and pair.a is not bidirectional:
            continue
        other = pair.a if behind else pair.b
        if other.study is one.study:
            verdict = BECOMES[pair.verdict.finding][behind] if pair.can_be_claimed else "stays open"
            becomes.setdefault(verdict, []).append(other.label)
    if bidirectional is None or not becomes:
        return (f"{one.name or 'The study'} does not have both a bidirectional model and another one on the same test "
                    "reviews, so it says nothing about the claim.",)
    parts = "; it ".join(f"{words} against {listed(labels)}" for words, labels in becomes.items())
    by = "with a protocol that differs from the homework’s" if departures(one) else "with the homework’s protocol"
    conclusion = f"In {one.these_runs}, {by}, the claim that the bidirectional GRU is better {parts}."
    if bidirectional.config.model.pooling == "last":
        conclusion += (" This is so for the pooling “last”, with which the backward half passes on a state that has "
                       "read one word.")
    return (conclusion,)
