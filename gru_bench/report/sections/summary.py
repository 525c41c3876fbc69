"""What a report says first: the accuracies, the verdicts, and what a reader must know before the numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gru_bench.report.document.numbers import slug
from gru_bench.report.document.sentences import Ends, Sentence, joined, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, families
from gru_bench.report.evidence.next_steps import fresh_for_all
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.sections.comparisons import FEW, comparison_sentence
from gru_bench.stats.estimate import EvidenceLevel
from gru_bench.stats.verdict import Finding

FEW_REVIEWS = 200
"""Number of test reviews below which a warning is shown."""


def summary(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the first sentences of a report: the accuracies, then the verdicts, where there are few."""
    groups, compared = evidence.groups, evidence.compared
    if len(compared) > FEW:
        tally = Counter(one.verdict.finding.value for one in compared)
        parts: list[Sentence] = [(f"{finding}, ", evidence.numbers.add(f"summary.{slug(finding)}", times))
                                 for finding, times in tally.most_common()]
        return (say("{count} pairs of models are compared below: {parts}.", parts=joined(parts, "; "),
                    count=evidence.numbers.add("summary.pairs", len(compared))), *others_on_test(evidence))
    return (_accuracies(groups), *_evidence_levels(groups), *(comparison_sentence(evidence, one) for one in compared),
            *others_on_test(evidence), *_fresh_seeds(evidence))


def _accuracies(groups: Sequence[Group]) -> Sentence:
    parts: list[Sentence] = []
    for group in groups:
        interval: Sentence = () if group.score.low is None else (Ends(group.score), "; ")
        parts.append(say("{model} {score}{unit} ({interval}{seeds} {seeds:seed|seeds})", model=group.label,
                         score=group.score, unit=group.scale.suffix, interval=interval, seeds=group.seeds))
    sure = any(group.score.low is not None for group in groups)
    return say(f"Test {{score}}{', 95 % intervals' if sure else ''} and seeds in brackets: {{parts}}.",
               score=groups[0].scale.score, parts=joined(parts, ", "))


def _evidence_levels(groups: Sequence[Group]) -> tuple[Sentence, ...]:
    """Return whether the seeds of each model are enough for a verdict or a claim; nothing where none has five."""
    parts: list[Sentence] = []
    for level, purpose in (
        (EvidenceLevel.VERDICT, "for a verdict (at least 5), but not to publish a claim (at least 10)"),
        (EvidenceLevel.CLAIM, "to publish a claim (at least 10)"),
    ):
        if names := listed([group.label for group in groups if EvidenceLevel.of(len(group.runs)) is level]):
            parts.append((f"{names}: enough seeds {purpose}.",))
    return (joined(parts),) if parts else ()


def others_on_test(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return how many models of the store were scored on each test set of which a report shows only some."""
    said: list[Sentence] = []
    for family in evidence.families:
        keys = {group.key for group in family.groups}
        own = [pair for pair in evidence.compared if pair.a.key in keys]
        if not family.is_larger or not own:
            continue
        whose = "these test reviews" if len(evidence.families) == 1 else (
            f"the test reviews of {listed([group.label for group in family.groups])}")
        words = "{models} models in this store were scored on {whose}"
        if any(pair.followed is None for pair in own):
            words += "; the tests allow for all {pairs} pairs"
        planned = {study_name(pair.a.study): pair for pair in own if pair.followed is not None}
        if planned:
            words += "; planned looks allow for the pairs of their own plan alone ({planned})"
        said.append(say(f"{words}.", models=family.models, whose=whose, pairs=family.pairs, planned=joined([
            (pair.numbers.add("plan-pairs", pair.family, "count", "pairs of the plan"), f" of {name}")
            for name, pair in planned.items()], ", ")))
    return tuple(said)


def _fresh_seeds(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return how many fresh seeds are needed where there are too few for a verdict."""
    fresh = fresh_for_all(evidence)
    few = any(one.done and one.verdict.finding is Finding.TOO_FEW_SEEDS for one in evidence.compared)
    if not few or fresh is None:
        return ()
    return (say("Where there are too few seeds for a verdict, train each model again on {fresh} fresh seeds. Do not "
                "count the old runs with them.", fresh=evidence.numbers.add("summary.fresh", fresh)),)


def few_reviews(evidence: Evidence) -> list[Sentence]:
    """Return a sentence for each test set with few reviews."""
    said = []
    for place, members in enumerate(families(evidence.groups), start=1):
        size, runs = members[0].example_N.size, [run_id for group in members for run_id in group.ids]
        numbers = evidence.numbers.of(f"few-reviews-{place}", runs, size)
        if size < FEW_REVIEWS:
            whose = "" if len(members) == len(evidence.groups) else f" of {', '.join(group.label for group in members)}"
            said.append(say(
                "There are few test reviews{whose}: {reviews}, each worth {weight} points of accuracy. Intervals are "
                "wide, and only large differences can be told from chance.", whose=whose, reviews=numbers.add("", size),
                weight=numbers.add("weight", 1 / size, "percent", "one review")))
    return said
