"""The comparisons section: each pair of models on the same test texts, its verdict, and what may settle open ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gru_bench.report.document.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Commands,
    Details,
    Heading,
    Paragraph,
    Table,
    sentences,
)
from gru_bench.report.document.figure import Values
from gru_bench.report.document.numbers import MISSING, NBSP, Number, Scale, is_zero
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Ends, Sentence, in_text, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.interim import StudyAnalyses
from gru_bench.report.evidence.mixtures import Mixture
from gru_bench.report.evidence.next_steps import fresh_for_all, held_back, next_step_commands, remove_limit_commands
from gru_bench.report.evidence.pairs import Pair, by_score
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.evidence.verdicts import advice, needed_sentence
from gru_bench.report.figures.interim import interim_figure
from gru_bench.results.interim import MIXTURE
from gru_bench.stats.verdict import ALIKE

COMPARED = (
    "Pairs of models on the same test texts. Each verdict names its test. Equivalent models have an interval for "
    "equivalence, of 90 % or that of the interim analysis, which lies within the margin. MDD, the minimum detectable "
    "difference, is the smallest true difference that the two-sided test finds with 80 % power from as many runs and "
    "texts.")
UNEQUAL = 5
"""Ratio of the between-seed standard deviations of two models from which on intervals of few seeds are too narrow."""


def comparisons(evidence: Evidence) -> Section | None:
    """Return the section; None where there is nothing to compare."""
    compared = [pair for pairs in (evidence.compared, evidence.against, evidence.of_mixtures)
                for pair in by_score(pairs)]
    comments = [(f"{one.label}.", said) for one in compared if (said := comment_on(evidence, one))]
    blocks = (*([_table(compared)] if compared else []), *([Bullets(tuple(comments))] if comments else []),
              *sentences(evidence.not_compared), *_analyses(evidence), *_next_steps(evidence))
    return Section("comparisons", "Comparisons", blocks) if blocks else None


def verdict_columns(scale: Scale) -> tuple[tuple[Column, Callable[[Pair], Cell]], ...]:
    """Return the columns that tables of verdicts have in common."""
    return (
        (Column("Pair", align="left", width=4.0), lambda pair: pair.label),
        (Column("Difference", unit=scale.differences), lambda pair: pair.number("difference")),
        (Column("Verdict", align="left", width=3.2), lambda pair: pair.verdict_cell),
        (Column("p"), lambda pair: pair.p))


def comment_on(evidence: Evidence, pair: Pair) -> Sentence:
    """Return warnings about the intervals of a pair, and what may settle it; empty for most pairs that are settled."""
    return joined([_too_narrow(pair), needed_sentence(pair, fresh_for_all(evidence))])


def _table(compared: Sequence[Pair]) -> Table:
    scale = compared[0].scale
    return Table.of(
        "comparisons", "Comparisons of models", (COMPARED,), compared, *verdict_columns(scale),
        (Column("Interval for equivalence", unit=scale.differences, short="Equivalence"), _narrow),
        (Column("MDD", unit=scale.differences), lambda pair: pair.number("detectable")))


def _narrow(pair: Pair) -> Cell:
    """Return the interval that lies within the margin where models are equivalent."""
    return ("[", Ends(pair.number("narrow"), ", "), "]") if pair.verdict.finding in ALIKE else MISSING


def _analyses(evidence: Evidence) -> list[Block]:
    """Return what was planned and what the interim analyses found, of each study that has some."""
    blocks: list[Block] = []
    for one in evidence.analyses:
        blocks.append(Paragraph(_planned(one)))
        pairs = [pair for pair in evidence.all_pairs if pair.followed is not None and pair.a.study is one.study]
        rows = [row for pair in pairs for row in _analysis_rows(one, pair)]
        if not rows:
            continue
        values = Values(("pair", "interim", "seeds", "difference", "boundary", "finding"), tuple(rows),
                        intervals=("difference",))
        blocks += [interim_figure(values, one.plan.margin, pairs[0].scale, one.numbers.key.replace(".", "-")),
                   Details("Ordinary 95 % intervals, which are too narrow when a study can stop early", (
                       _usual(pairs, one.numbers.key),))]
    return [Heading("Interim analyses", "interim"), *blocks] if blocks else []


def _planned(one: StudyAnalyses) -> Sentence:
    """Return what was planned, and how it ended."""
    end = " It stopped after analysis {taken}, because every pair was settled" + (
        "; pairs of the mixture are not waited for." if any(MIXTURE in pair.pair for pair in one.pairs) else ".")
    if not one.ended:
        end = " {taken} {taken:has|have} been done so far."
    elif len(one.analyses) == len(one.plan.interim):
        end = " All of them were done."
    error = "" if len(one.plan.models) < 2 and not one.plan.is_with_linear else (
        " Together they have an error rate of {alpha} % for differences, and the same on each side for equivalence.")
    return say(
        "Interim analyses of {study} at {planned} seeds of each model were planned before its first "
        f"confirmation run (plan {{digest}}).{error}{end}",
        study=study_name(one.study), digest=one.plan.digest, taken=one.numbers.add("taken", len(one.analyses)),
        planned=joined([(one.numbers.add(f"planned-{place}", size),)
                        for place, size in enumerate(one.plan.interim, start=1)], ", "),
        alpha=one.numbers.add("alpha", one.plan.alpha, "percent", "two-sided, over all pairs and analyses", decimals=0))


def _analysis_rows(one: StudyAnalyses, pair: Pair) -> Iterator[tuple[str | Number, ...]]:
    """Yield a row for each interim analysis of a pair: its difference with the repeated interval, and its boundary."""
    assert pair.followed is not None
    for analysis in pair.followed.analyses:
        key, ids = f"interim-{analysis.place + 1}", one.runs_at(analysis.place, pair.a, pair.b)
        of_runs, on_test = pair.numbers.on(ids), pair.numbers.on(ids, analysis.usual.examples)
        wide = analysis.repeated
        method, low, high = "too few seeds or groups: no repeated interval", None, None
        if wide is not None:
            method, low, high = pair.interval_name.replace(NBSP, " "), wide.low, wide.high
        shown = on_test.add(key, analysis.usual.estimate, pair.scale.difference, method, low=low, high=high)
        tested = None if analysis.tested_at is None else analysis.at(analysis.tested_at)
        boundary = None if tested is None else (tested.high - tested.low) / 2
        settled = pair.followed.settled
        finding = "open" if settled is None or settled.place > analysis.place else pair.found
        yield (pair.label, of_runs.add(f"{key}.place", analysis.place + 1, "count"),
               of_runs.add(f"{key}.seeds", min(analysis.usual.seeds), "count", "of the model with fewer"), shown,
               on_test.add(f"{key}.boundary", boundary, pair.scale.kind,
                           "this analysis finds a larger difference, of either sign"), finding)


def _usual(pairs: Sequence[Pair], key: str) -> Table:
    def usual(pair: Pair) -> Number:
        assert pair.followed is not None
        last = pair.followed.last.usual
        return pair.on_examples.add("usual", last.estimate, pair.scale.difference,
                                    "95 % interval as if there were one analysis", low=last.low, high=last.high)

    return Table.of(
        f"{key}.usual", "Ordinary 95 % intervals", ("As if only the last analysis had been planned.",),
        [pair for pair in pairs if pair.followed is not None and pair.followed.analyses],
        (Column("Pair", align="left", width=4.2), lambda one: one.label),
        (Column("Difference", unit=pairs[0].scale.differences), usual))


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


def _too_narrow(pair: Pair) -> Sentence:
    """Return why the intervals of a pair are known to be too narrow; empty where they are not."""
    if min(pair.difference.seeds) < 2 or pair.b.is_fitted_once or isinstance(pair.a, Mixture):
        return ()  # the interval is over test texts alone, or over seeds that both models have
    calm, noisy = sorted((pair.a, pair.b), key=lambda group: group.score_deviation.value or 0.0)
    small, large = calm.score_deviation.value or 0.0, noisy.score_deviation.value or 0.0
    if len(noisy.runs) < max(pair.difference.seeds) and large > small:
        return say("The interval is somewhat too narrow: {model} varies more between seeds ({deviation}{unit}) and has "
                   "fewer of them.", model=noisy.label, deviation=noisy.score_deviation, unit=pair.scale.after)
    is_known = not is_zero(calm.score_deviation.text)  # else the noise of the test set explains all of it
    if not pair.difference.evidence_level.has_verdict and is_known and large >= UNEQUAL * small:
        return say("The interval is somewhat too narrow: there are few seeds, and {model} varies at least five times "
                   "as much between seeds ({deviation}{unit}) as the other model.", model=noisy.label,
                   deviation=noisy.score_deviation, unit=pair.scale.after)
    return ()
