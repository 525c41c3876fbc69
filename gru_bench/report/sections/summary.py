"""What a report says first: the accuracies, the verdicts, the decision, and what its checks have found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gru_bench.checks import Outcome, State
from gru_bench.data.groups import TURNED_OFF
from gru_bench.report.document.blocks import Block, Bullets, Column, Details, Paragraph, Table
from gru_bench.report.document.figure import Figure, Values
from gru_bench.report.document.numbers import plain
from gru_bench.report.document.sentences import Aside, Sentence, joined, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.decision import decision_sentence
from gru_bench.report.evidence.groups import families
from gru_bench.report.evidence.next_steps import fresh_for_all
from gru_bench.report.evidence.pairs import Pair, qualifiers
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.evidence.verdicts import verdict_sentence
from gru_bench.report.figures.accuracy import BASELINE, MEAN, accuracy_figure
from gru_bench.stats.looks import SETTLING
from gru_bench.stats.verdict import ALIKE, pairs_of

FEW_TEXTS = 200
"""Number of test texts below which a warning is shown."""
FEW = 6
"""Most pairs whose verdicts are not folded."""
NAMED = 60
"""Most characters of a prediction that is no class."""
MOST_WARNINGS = 5
"""Most lines of warnings that are not folded."""


def summary(evidence: Evidence) -> tuple[Block, ...]:
    """Return the first blocks of a report: accuracies, the decision, and the verdicts that allow it."""
    notes = joined([*groups_named(evidence), *others_on_test(evidence), *_unseen_failures(evidence),
                    *_fresh_seeds(evidence)])
    return (_accuracies(evidence), Paragraph(decision_sentence(evidence), lead="Decision."), *_verdicts(evidence),
            *([Paragraph(notes)] if notes else []))


def in_sentences(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the same for a terminal: the decision, then a sentence on each pair of models."""
    settled_first = sorted(evidence.all_pairs, key=lambda pair: pair.verdict.finding not in SETTLING)
    return (decision_sentence(evidence), *map(verdict_sentence, settled_first), *about_examples(evidence),
            *_fresh_seeds(evidence))


def about_examples(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return what is said of all pairs: the groups of the test texts, answers that are no class, and the other models
    that met the same texts."""
    return (*groups_off(evidence), *groups_named(evidence), *refusals(evidence),
            *others_on_test(evidence))


def groups_off(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the warning where somebody has turned off groups."""
    return ((TURNED_OFF,),) if evidence.are_groups_off else ()


def groups_named(evidence: Evidence) -> list[Sentence]:
    """Return how many groups the test texts have, and the column that tells them."""
    said = []
    for place, members in enumerate(families(evidence.groups), start=1):
        group_N, columns = members[0].group_N, members[0].grouped_by
        if group_N is None:
            continue
        numbers = evidence.numbers.of(f"groups-of-texts-{place}").on(
            [run_id for group in members for run_id in group.ids], group_N.size)
        said.append(say(
            "Intervals{whose} account for {groups} groups{columns}.",
            whose="" if len(members) == len(evidence.groups) else f" of {listed([one.label for one in members])}",
            groups=numbers.add("", len(np.unique(group_N)), "count", "groups of test texts"),
            columns=f" of column {listed([f'‘{name}’' for name in columns])}" if columns else ""))
    return said


def refusals(evidence: Evidence) -> list[Sentence]:
    """Return the predictions that are no class and count as wrong, for each model that has some."""
    said = []
    for group in evidence.groups:
        if group.refusals:
            named = [f"‘{plain(name)[:NAMED]}’ ({count:,})" for name, count in [*group.refusals.items()][:FEW]]
            more = len(group.refusals) - len(named)
            said.append(say(
                "{count} of {all} predictions of {model} {count:is|are} no class and {count:counts|count} as wrong: "
                "{named}{more}.",
                count=group.on_examples.add("refusals", sum(group.refusals.values())), model=group.label,
                all=group.on_examples.add("predictions", group.predicted_RN.size), named=", ".join(named),
                more=f" and {more:,} others" if more else ""))
    return said


def check_results(
    others: Sequence[Sentence], checked: Sequence[Outcome], labels: Sequence[str]
) -> tuple[Block, ...]:
    """Return how many checks have passed, and in a line each what is wrong. What it means, what to do about it and the
    other checks are folded.

    Args:
        others: Warnings that no check gives, such as what is missing.
        checked: What became of each check.
        labels: The names of the models.
    """
    warned = [found for found in checked if found.warnings]
    counts = ["1 check warns" if len(warned) == 1 else f"{len(warned) or 'No'} checks warn"]
    more = f", and {len(others)} more {'warning' if len(others) == 1 else 'warnings'}" if others else ""
    lines: list[tuple[str, Sentence]] = [("", said) for said in others]
    for found in warned:
        models = listed(_models_of(found, labels))
        lines.append((found.check.code, (f"{found.check.title}{f': {models}' if models else ''}.",)))
    if folded := len(lines[MOST_WARNINGS:]):
        lines[MOST_WARNINGS:] = [("", (f"And {folded} more, folded below.",))]
    items: list[tuple[str, Sentence]] = [("", said) for said in others[MOST_WARNINGS:]]
    for found in warned:
        remedy: Sentence = (found.check.remedy,)
        items.append((found.check.code, joined([*(one.sentence for one in found.warnings), remedy])))
    for state in (State.PASSED, State.NOT_APPLICABLE):
        if codes := [found.check.code for found in checked if found.state is state]:
            counts.append(f"{len(codes)} {state.value}")
            items.append((f"{state.value.capitalize()}:", (", ".join(codes),)))
    about = "What the warnings mean, what to do, and the" if warned else "The"
    return (Paragraph((f"{', '.join(counts)}{more}.",), lead="Checks."), *([Bullets(tuple(lines))] if lines else []),
            Details(f"{about} other checks", (Bullets(tuple(items)),)))


def _models_of(found: Outcome, labels: Sequence[str]) -> list[str]:
    """Return the models that the warnings of a check begin with."""
    named = [max((label for label in labels if one.text.startswith(label)), key=len, default="")
             for one in found.warnings]
    return list(dict.fromkeys(filter(None, named)))


def _accuracies(evidence: Evidence) -> Figure:
    """Return the figure of the scores of each model and of the baselines."""
    return accuracy_figure(Values(("model", "what", "accuracy"), (
        *(row for group in (*evidence.groups, *evidence.mixtures) for row in (
            (group.label, MEAN, group.score),
            *((group.label, f"seed {run.seed}", score)
              for run, score in zip(group.runs, group.scores_by_run(group.metric), strict=True)))),
        *((baseline.label, BASELINE, baseline.score) for baseline in evidence.baselines),
    ), intervals=("accuracy",), heads=(("accuracy", evidence.groups[0].scale.score),)), evidence.groups[0].scale)


def _verdicts(evidence: Evidence) -> list[Block]:
    """Return the table of verdicts, whose further rows are folded; nothing where nothing is compared."""
    pairs, scale = evidence.all_pairs, evidence.groups[0].scale
    sure = any(one.number("difference").low is not None for one in pairs)
    looked = any(one.followed is not None for one in pairs)
    interval = f" with its {'repeated ' if looked else ''}95 % interval" if sure else ""
    adjusted = any(one.tests is not None and one.family > 1 for one in pairs)
    caption = (f"Difference in test {scale.score}{interval}."
               f"{' p is adjusted (Holm), intervals are not.' if adjusted else ''}{qualifiers(pairs)}")
    columns = (
        (Column("Pair", align="left", width=5.4), lambda one: one.label),
        (Column("Difference", unit=scale.differences), lambda one: one.number("difference")),
        (Column("p"), lambda one: one.number("p")),
        (Column("Verdict", align="left", width=3.4), _found))
    families = evidence.compared, evidence.against, evidence.of_mixtures
    shown, more = (tuple(pair for family in families for pair in family[part])
                   for part in (slice(FEW), slice(FEW, None)))
    blocks: list[Block] = [Table.of("verdicts", "Verdicts", (caption,), shown, *columns)] if shown else []
    if more:
        blocks.append(Details("The other verdicts", (
            Table.of("verdicts-more", "The other verdicts", (caption,), more, *columns),)))
    return blocks


def _found(pair: Pair) -> Sentence:
    """Return the finding on a pair, of the first model, with the equivalence margin where it is about that."""
    few: Sentence = (Aside((pair.qualifier,), below=True),) if pair.qualifier else ()
    if "the margin" not in pair.found:
        return (pair.found, *few)
    return (*say(pair.found.replace("the margin", "{margin}{unit}"), margin=pair.number("margin"),
                 unit=pair.scale.after), *few)


def _unseen_failures(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return how many seeds may fail unseen, where models are found equivalent."""
    alike = [one for one in evidence.pairs if one.verdict.finding in ALIKE and not one.is_of_runs]
    if not alike:
        return ()
    fewest = min(alike, key=lambda one: one.fewest_seeds)
    models = dict.fromkeys(group.label for one in alike for group in (one.a, one.b))
    return (say("{models} are equivalent on average. Single runs may still score far lower: if none of so few "
                "seeds does, up to {unseen} % of all runs could (95 % upper bound).", models=listed(list(models)),
                unseen=fewest.number("unseen")),)


def others_on_test(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return how many models outside a report were scored on its test sets, and what its p values are adjusted for."""
    said: list[Sentence] = []
    for family in evidence.families:
        numbers, outside = family.numbers, family.size - len(family.groups)
        keys = {group.key for group in family.groups}
        own, with_linear = ([pair for pair in pairs if pair.a.key in keys]
                            for pairs in (evidence.compared, evidence.against))
        if not outside or not (own or with_linear):
            continue
        whose = "these test texts" if len(evidence.families) == 1 else (
            f"the test texts of {listed([group.label for group in family.groups])}")
        adjusted = ["for their {pairs} pairs"] if any(pair.followed is None for pair in own) else []
        adjusted += (["for {models} comparisons with the linear model, one for each of them"]
                     if any(pair.followed is None for pair in with_linear) else [])
        words = "In this store {models} models were scored on {whose}, {outside} of them in other studies"
        if adjusted:
            words += f". p is adjusted for all of them: {', and '.join(adjusted)}"
        planned = {study_name(pair.a.study): pair for pair in (*with_linear, *own) if pair.followed is not None}
        if planned:
            words += ". Interim analyses cover the pairs of their own plan only ({planned})"
        said.append(say(
            f"{words}.", whose=whose,
            models=numbers.add("models", family.size, "count", "models with a complete confirmation run on these test "
                               "texts, in all studies of the store"),
            outside=numbers.add("outside", outside, "count", "models not shown in this report"),
            pairs=numbers.add("pairs", pairs_of(family.size), "count", "pairs of these models"),
            planned=joined([
                (pair.numbers.on(()).add("plan-pairs", pair.family, "count", "pairs of the plan"), f" of {name}")
                for name, pair in planned.items()], ", ")))
    return tuple(said)


def _fresh_seeds(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return how many fresh seeds are needed where there are too few for every verdict."""
    fresh = fresh_for_all(evidence)
    if fresh is None or not any(one.done and one.lacks_seeds for one in evidence.pairs):
        return ()
    runs = [run_id for one in evidence.pairs if one.done and one.fresh_seeds for run_id in one.ids]
    return (say("Equivalence and claims take at least 5 seeds: train each model that has fewer again on {fresh} fresh "
                "seeds, and do not count the old runs with them.", fresh=evidence.numbers.on(runs).add(
                    "summary.fresh", fresh)),)


def few_texts(evidence: Evidence) -> list[Sentence]:
    """Return a sentence for each test set with few texts."""
    said = []
    for place, members in enumerate(families(evidence.groups), start=1):
        size, runs = members[0].example_N.size, [run_id for group in members for run_id in group.ids]
        numbers = evidence.numbers.of(f"few-reviews-{place}").on(runs, size)
        if size < FEW_TEXTS:
            whose = "" if len(members) == len(evidence.groups) else f" of {', '.join(group.label for group in members)}"
            said.append(say(
                "There are few test texts{whose}: {texts}, each worth {weight} points of accuracy, so intervals "
                "are wide and only large differences can be found.", whose=whose, texts=numbers.add("", size),
                weight=numbers.add("weight", 1 / size, "percent", "one text")))
    return said
