"""The comparisons section: each pair of models on the same test texts, its verdict, and what may settle open ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gru_bench.report.document.blocks import Bullets, Cell, Column, Table, sentences
from gru_bench.report.document.numbers import MISSING, Scale
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Ends
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.pairs import Pair, by_score
from gru_bench.report.evidence.verdicts import needed_sentence
from gru_bench.stats.verdict import ALIKE

COMPARED = (
    "Pairs of models on the same test texts. Each verdict names its test. Equivalent models have an interval for "
    "equivalence, of 90 %, which lies within the margin. MDD, the minimum detectable difference, is the smallest true "
    "difference that the two-sided test finds with 80 % power from as many runs and texts.")


def comparisons(evidence: Evidence) -> Section | None:
    """Return the section; None where there is nothing to compare."""
    compared = [pair for pairs in (evidence.compared, evidence.against, evidence.of_mixtures)
                for pair in by_score(pairs)]
    comments = [(f"{one.label}.", said) for one in compared if (said := needed_sentence(one))]
    blocks = (*([_table(compared)] if compared else []), *([Bullets(tuple(comments))] if comments else []),
              *sentences(evidence.not_compared))
    return Section("comparisons", "Comparisons", blocks) if blocks else None


def verdict_columns(scale: Scale) -> tuple[tuple[Column, Callable[[Pair], Cell]], ...]:
    """Return the columns that tables of verdicts have in common."""
    return (
        (Column("Pair", align="left", width=4.0), lambda pair: pair.label),
        (Column("Difference", unit=scale.differences), lambda pair: pair.number("difference")),
        (Column("Verdict", align="left", width=3.2), lambda pair: pair.verdict_cell),
        (Column("p"), lambda pair: pair.p))


def _table(compared: Sequence[Pair]) -> Table:
    scale = compared[0].scale
    return Table.of(
        "comparisons", "Comparisons of models", (COMPARED,), compared, *verdict_columns(scale),
        (Column("Interval for equivalence", unit=scale.differences, short="Equivalence"), _narrow),
        (Column("MDD", unit=scale.differences), lambda pair: pair.number("detectable")))


def _narrow(pair: Pair) -> Cell:
    """Return the interval that lies within the margin where models are equivalent."""
    return ("[", Ends(pair.number("narrow"), ", "), "]") if pair.verdict.finding in ALIKE else MISSING
