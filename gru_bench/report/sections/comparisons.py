"""The comparisons section: each pair of models on the same test texts, its verdict, and what may settle open ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gru_bench.report.document.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Commands,
    Heading,
    Paragraph,
    Table,
    sentences,
)
from gru_bench.report.document.numbers import MISSING, Scale
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Ends, Sentence, in_text
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.next_steps import fresh_for_all, held_back, next_step_commands, remove_limit_commands
from gru_bench.report.evidence.pairs import Pair, by_score
from gru_bench.report.evidence.verdicts import advice, needed_sentence
from gru_bench.stats.verdict import ALIKE

COMPARED = (
    "Pairs of models on the same test texts. Each verdict names its test. Equivalent models have an interval for "
    "equivalence, of 90 %, which lies within the margin. MDD, the minimum detectable difference, is the smallest true "
    "difference that the two-sided test finds with 80 % power from as many runs and texts.")


def comparisons(evidence: Evidence) -> Section | None:
    """Return the section; None where there is nothing to compare."""
    compared = [pair for pairs in (evidence.compared, evidence.against, evidence.of_mixtures)
                for pair in by_score(pairs)]
    comments = [(f"{one.label}.", said) for one in compared if (said := comment_on(evidence, one))]
    blocks = (*([_table(compared)] if compared else []), *([Bullets(tuple(comments))] if comments else []),
              *sentences(evidence.not_compared), *_next_steps(evidence))
    return Section("comparisons", "Comparisons", blocks) if blocks else None


def verdict_columns(scale: Scale) -> tuple[tuple[Column, Callable[[Pair], Cell]], ...]:
    """Return the columns that tables of verdicts have in common."""
    return (
        (Column("Pair", align="left", width=4.0), lambda pair: pair.label),
        (Column("Difference", unit=scale.differences), lambda pair: pair.number("difference")),
        (Column("Verdict", align="left", width=3.2), lambda pair: pair.verdict_cell),
        (Column("p"), lambda pair: pair.p))


def comment_on(evidence: Evidence, pair: Pair) -> Sentence:
    """Return what may settle a pair; empty for most pairs that are settled."""
    return needed_sentence(pair, fresh_for_all(evidence))


def _table(compared: Sequence[Pair]) -> Table:
    scale = compared[0].scale
    return Table.of(
        "comparisons", "Comparisons of models", (COMPARED,), compared, *verdict_columns(scale),
        (Column("Interval for equivalence", unit=scale.differences, short="Equivalence"), _narrow),
        (Column("MDD", unit=scale.differences), lambda pair: pair.number("detectable")))


def _narrow(pair: Pair) -> Cell:
    """Return the interval that lies within the margin where models are equivalent."""
    return ("[", Ends(pair.number("narrow"), ", "), "]") if pair.verdict.finding in ALIKE else MISSING


def _next_steps(evidence: Evidence) -> list[Block]:
    """Return how to get what may settle open comparisons, with commands."""
    said = [one for pair in evidence.pairs if pair.done for one in advice(pair, held_back(pair.a))]
    blocks: list[Block] = [Paragraph(one) for one in {in_text(one): one for one in said}.values()]
    steps = (
        ("These commands repeat the studies with all texts, without data.limit, and write a report.",
         remove_limit_commands(evidence)),
        ("These commands train fresh seeds with the same settings, as new studies, and write a report.",
         next_step_commands(evidence)),
    )
    blocks += [block for words, commands in steps if commands
               for block in (Paragraph((f"{words} Replace each NAME with a new name:",)), Commands(commands))]
    return [Heading("Next steps", "next-steps"), *blocks] if blocks else []
