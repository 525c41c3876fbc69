"""The comparisons section: what may settle open pairs, and what was not compared; and the table of all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.document.blocks import Bullets, Cell, Column, Table, sentences
from gru_bench.document.numbers import MISSING
from gru_bench.document.report import Section
from gru_bench.document.sentences import Ends
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.pairs import Pair, by_score
from gru_bench.evidence.verdicts import needed_sentence
from gru_bench.stats.verdict import ALIKE


def compared_pairs(evidence: Evidence) -> list[Pair]:
    """Return all pairs of architectures: of trained models, and with the linear model, each best first."""
    return [pair for pairs in (evidence.compared, evidence.against) for pair in by_score(pairs)]


def comparisons(evidence: Evidence) -> Section | None:
    """Return the section; None where all that is to say is in the table of the summary."""
    comments = [(f"{one.label}.", said) for one in compared_pairs(evidence) if (said := needed_sentence(one))]
    blocks = (*([Bullets(tuple(comments))] if comments else []), *sentences(evidence.not_compared))
    return Section("comparisons", "Comparisons", blocks) if blocks else None


def comparison_table(compared: Sequence[Pair], caption: str) -> Table:
    """Return the table of all pairs."""
    scale = compared[0].scale
    return Table.of(
        "comparisons", "Comparisons of models", (caption,), compared,
        (Column("Pair", align="left", width=4.0), lambda pair: pair.label),
        (Column("Difference", unit=scale.differences), lambda pair: pair.number("difference")),
        (Column("Verdict", align="left", width=3.2), lambda pair: pair.verdict_cell),
        (Column("p"), lambda pair: pair.p),
        (Column("Interval for equivalence", unit=scale.differences, short="Equivalence"), _narrow),
        (Column("MDD", unit=scale.differences), lambda pair: pair.number("detectable")))


def _narrow(pair: Pair) -> Cell:
    """Return the interval that lies within the margin where models are equivalent."""
    return ("[", Ends(pair.number("narrow"), ", "), "]") if pair.verdict.finding in ALIKE else MISSING
