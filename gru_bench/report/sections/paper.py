"""The section that says in a paragraph what a paper needs: what was compared, on what, how, and what was found.

`paper.tex` has the same paragraph with its numbers by their keys, and `paper.bib` the methods that it cites.
"""

from __future__ import annotations

from gru_bench.report.document.blocks import Paragraph
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Ends, Sentence, joined, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns
from gru_bench.report.evidence.verdicts import verdict_sentence
from gru_bench.report.sections.summary import FEW, groups_named
from gru_bench.stats.estimate import METHOD_FEW

CITED = {
    "Satterthwaite 1946": "satterthwaite1946", "Cameron et al. 2011": "cameron2011", "Wilson 1927": "wilson1927",
    "Tango 1998": "tango1998", "Holm 1979": "holm1979", "Schuirmann 1987": "schuirmann1987",
    }
"""How the paragraph names a method -> its key in `paper.bib`."""


def paper(evidence: Evidence) -> Section | None:
    """Return the section; None where no models are compared."""
    if not evidence.pairs:
        return None
    return Section("paper", "For a paper", (Paragraph(joined([
        _compared(evidence), *groups_named(evidence), _scores(evidence), *_found(evidence), *_methods(evidence)])),))


def _compared(evidence: Evidence) -> Sentence:
    """Return which models were compared, on how many texts and with how many seeds."""
    groups = evidence.groups
    names = [one.label for one in groups]
    texts: Sentence = (groups[0].on_examples.add("texts", groups[0].example_N.size, "count", "test texts"),
                       " test texts")
    seeds = sorted(groups, key=lambda one: len(one.runs))
    runs = "one run" if len(seeds[-1].runs) == 1 else "{few} seeds" if len(
        seeds[0].runs) == len(seeds[-1].runs) else "{few} to {many} seeds"
    trained = f"{runs}{' each' if len(groups) > 1 else ''}{', and a linear model,' if evidence.against else ''}"
    return say(f"We compared {{models}} with {trained} on {{texts}}.", models=listed(list(dict.fromkeys(names))),
               texts=texts, few=seeds[0].seeds, many=seeds[-1].seeds)


def _scores(evidence: Evidence) -> Sentence:
    """Return the scores of a few models; those of others are in a table."""
    shown = [*evidence.groups, *dict.fromkeys(pair.b for pair in evidence.against)]
    if len(shown) > FEW:
        return ()
    scale = evidence.groups[0].scale
    return say("The test {score} is {scores}.", score=scale.score, scores=joined([_score(one) for one in shown], ", "))


def _score(group: ModelRuns) -> Sentence:
    ends = () if group.score.low is None else say(" (95 % interval {ends})", ends=(Ends(group.score),))
    return say("{score}{unit} for {model}{ends}", score=group.score, unit=group.scale.suffix, model=group.label,
               ends=ends)


def _found(evidence: Evidence) -> list[Sentence]:
    """Return the verdicts on a few pairs, and how many others there are."""
    pairs = evidence.pairs
    more = len(pairs) - FEW
    return [*map(verdict_sentence, pairs[:FEW]),
            *([(f"The other {more} pairs are in the table of comparisons.",)] if more > 0 else [])]


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
    given = evidence.numbers.on(())
    sizes = {one.b.is_fitted_once: one.family for one in pairs if one.tests is not None}
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
