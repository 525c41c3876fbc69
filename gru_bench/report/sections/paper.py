"""The section that says in a paragraph what a paper needs: what was compared, on what, how, and what was found.

`paper.tex` has the same paragraph with its numbers by their keys, and `paper.bib` the methods that it cites.
"""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.report.document.blocks import Paragraph
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Ends, Sentence, joined, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns
from gru_bench.report.evidence.pairs import Pair
from gru_bench.report.evidence.verdicts import verdict_sentence
from gru_bench.report.sections.data_sets import test_texts
from gru_bench.report.sections.summary import FEW, groups_named
from gru_bench.stats.data_sets import OVER_DATA_SETS
from gru_bench.stats.estimate import METHOD_FEW
from gru_bench.stats.verdict import DIFFERENT

CITED = {
    "Satterthwaite 1946": "satterthwaite1946", "Cameron et al. 2011": "cameron2011", "Wilson 1927": "wilson1927",
    "Tango 1998": "tango1998", "Holm 1979": "holm1979", "Schuirmann 1987": "schuirmann1987",
    "Ibragimov and Müller 2010": "ibragimov2010"}
"""How the paragraph names a method -> its key in `paper.bib`."""


def paper(evidence: Evidence) -> Section | None:
    """Return the section; None where no models are compared, or some on test texts of the same data that differ."""
    if not evidence.pairs or (len(evidence.test_sets) > 1 and not evidence.data_sets):
        return None
    return Section("paper", "For a paper", (Paragraph(joined([
        _compared(evidence), *groups_named(evidence), _scores(evidence), *_found(evidence), *_methods(evidence)])),))


def _compared(evidence: Evidence) -> Sentence:
    """Return which models were compared, on how many texts and with how many seeds."""
    groups = evidence.groups
    names = [one.name for one in groups] if evidence.data_sets else [one.label for one in groups]
    texts: Sentence = (test_texts(groups[0]), " test texts")
    if evidence.data_sets:
        texts = (f"{len(evidence.data_sets)} data sets (", *joined(
            [(f"{name}: ", test_texts(own[0])) for name, own in evidence.data_sets.items()], ", "), " test texts)")
    seeds = sorted(groups, key=lambda one: len(one.runs))
    runs = "one run" if len(seeds[-1].runs) == 1 else "{few} seeds" if len(
        seeds[0].runs) == len(seeds[-1].runs) else "{few} to {many} seeds"
    trained = f"{runs}{' each' if len(groups) > 1 else ''}{', and a linear model,' if evidence.against else ''}"
    return say(f"We compared {{models}} with {trained} on {{texts}}.", models=listed(list(dict.fromkeys(names))),
               texts=texts, few=seeds[0].seeds, many=seeds[-1].seeds)


def _scores(evidence: Evidence) -> Sentence:
    """Return the scores of a few models on one data set; those of others are in a table."""
    shown = [*evidence.groups, *dict.fromkeys(pair.b for pair in evidence.against)]
    if evidence.data_sets or len(shown) > FEW:
        return ()
    scale = evidence.groups[0].scale
    return say("The test {score} is {scores}.", score=scale.score, scores=joined([_score(one) for one in shown], ", "))


def _score(group: ModelRuns) -> Sentence:
    ends = () if group.score.low is None else say(" (95 % interval {ends})", ends=(Ends(group.score),))
    return say("{score}{unit} for {model}{ends}", score=group.score, unit=group.scale.suffix, model=group.label,
               ends=ends)


def _found(evidence: Evidence) -> list[Sentence]:
    """Return the verdicts on a few pairs, over data sets if there are several, and how many others there are."""
    pairs: Sequence[Pair] = evidence.over_data_sets or evidence.pairs
    more, table = len(pairs) - FEW, "verdicts" if evidence.over_data_sets else "comparisons"
    said = [*map(verdict_sentence, pairs[:FEW]),
            *([(f"The other {more} pairs are in the table of {table}.",)] if more > 0 else [])]
    if evidence.data_sets:
        of_runs = evidence.numbers.of("over").on([run for one in evidence.groups for run in one.ids])
        said.append(say(
            "On single data sets, {found} of {all} differences are found, with p adjusted over all of them.",
            found=of_runs.add("found", sum(pair.verdict.finding in DIFFERENT for pair in evidence.pairs)),
            all=of_runs.add("differences", len(evidence.pairs))))
    return said


def _methods(evidence: Evidence) -> list[Sentence]:
    """Return how intervals and p values were computed, with the methods to cite."""
    pairs, clustered = evidence.pairs, ""
    if any(one.group_N is not None for one in evidence.groups):
        clustered = ", clustered by group"
    what = (f"new seeds and new test texts, by the sum of both variances{clustered} (Cameron et al. 2011) with "
            "estimated degrees of freedom (Satterthwaite 1946)")
    if all(min(one.difference.seeds) == 1 for one in pairs):
        what = (f"new test texts, but no other training runs, by Student’s t{clustered}"
                f"{' (Cameron et al. 2011)' if clustered else ''}")
    few = (" and score intervals where few texts decide (Wilson 1927; Tango 1998)"
           if any(METHOD_FEW in one.difference.method for one in pairs) else "")
    said: list[Sentence] = [(f"Intervals cover {what}{few}.",)]
    if any(one.difference.method == OVER_DATA_SETS for one in evidence.over_data_sets):
        said.append(("Intervals over data sets are Student’s t of the differences on them (Ibragimov and Müller "
                     "2010).",))
    given = evidence.numbers.on(())
    sizes = {one.b.is_fitted_once: one.family for one in (*pairs, *evidence.over_data_sets) if one.tests is not None}
    adjusted = [say(words, size=given.add(f"paper.{name}", sizes[linear], "count", "pairs tested together"))
                for linear, name, words in ((False, "family", "{size} pairs of trained models"),
                                            (True, "family-linear", "{size} pairs with a linear model"))
                if sizes.get(linear, 1) > 1]
    if sizes:
        said.append(say(f"Tests are two-sided{', with p adjusted over {pairs} (Holm 1979)' if adjusted else ''}.",
                        pairs=joined(adjusted, " and over ")))
    said.append(say("Equivalence within {margin}{unit} has two one-sided tests (Schuirmann 1987).",
                    margin=pairs[0].number("margin"), unit=pairs[0].scale.after))
    return said
