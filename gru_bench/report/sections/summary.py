"""What a report says first: the decision, the verdicts, the differences, and what its checks have found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gru_bench.checks import Outcome, State
from gru_bench.data.groups import TURNED_OFF
from gru_bench.document.blocks import Block, Bullets, Cell, Column, Details, Paragraph, Table
from gru_bench.document.figure import Values
from gru_bench.document.numbers import KINDS, MISSING, NBSP, plain, slug
from gru_bench.document.sentences import Aside, Sentence, joined, say
from gru_bench.evidence.baselines import has_choice
from gru_bench.evidence.candidates import Candidate
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.decision import decision_sentence
from gru_bench.evidence.groups import ModelRuns, in_order
from gru_bench.evidence.pairs import Pair, by_score
from gru_bench.evidence.progress import study_name
from gru_bench.evidence.verdicts import verdict_sentence
from gru_bench.report.figures.accuracy import difference_figure
from gru_bench.report.sections.comparisons import compared_pairs, comparison_table
from gru_bench.results.logged_metrics import PARAMETERS, PREDICT_SECONDS, TRAIN_SECONDS, Metric
from gru_bench.stats.verdict import DIFFERENT, Finding
from gru_bench.tracking import LoggedStudy
from gru_bench.wording import first_few, listed

FEW_TEXTS = 200
"""Number of test texts below which a warning is shown."""
VERDICTS = ("Another question: is one architecture better than another, by single seeds and for new ones? Differences "
            "in test {} with {}. p is adjusted by Holm’s procedure over {}; intervals are not adjusted for multiple "
            "comparisons. Equivalent models have an interval for equivalence, of 90 %, which lies within the "
            "equivalence margin. MDD, the minimum detectable difference, is the smallest true difference that the "
            "two-sided test finds with 80 % power from as many runs and texts.")
CANDIDATES = ("Test {} of the classifiers that can be taken, each as gru-bench predict uses it, with 95 % intervals. "
              "{}All hold for these trained models on new texts, not for newly trained ones. Trained parameters, "
              "training time and the time to predict a thousand texts are summed over the seeds and models of a "
              "classifier.")
COSTS = ((Column("Parameters"), PARAMETERS), (Column("Training", unit="s"), TRAIN_SECONDS),
         (Column("Predicting", unit="s"), PREDICT_SECONDS))
"""What a classifier costs. A column is there where the metric of some classifier was logged."""
FIRST = ("The first one is taken: the best on validation texts. Intervals of its lead are not adjusted for multiple "
         "comparisons. p is adjusted by Holm’s procedure over the rows, so that p and interval may disagree. ")
ALL_PAIRS = ("All pairs of the classifiers that can be taken, because none is chosen. Differences in test {} have "
             "unadjusted 95 % intervals; p is two-sided, adjusted by Holm’s procedure over the rows.")
SAME_FUNCTION = {"scratch", "torch"}
"""The presets that compute one function, where the reset gate of both acts after the product."""
NAMED = 60
"""Most characters of a prediction that is no class."""
MOST_WARNINGS = 5
"""Most lines of warnings that are not folded."""


def summary(evidence: Evidence) -> tuple[Block, ...]:
    """Return the first blocks of a report: the decision, and the verdicts and differences that allow it."""
    notes = joined([*same_function(evidence), *groups_named(evidence), *others_on_test(evidence),
                    *asked_again(evidence)])
    return (Paragraph(decision_sentence(evidence), lead="Decision."), *_candidates(evidence), *_verdicts(evidence),
            *([Paragraph(notes)] if notes else []))


def _candidates(evidence: Evidence) -> list[Block]:
    """Return the table of the classifiers that can be taken; nothing for a single one.

    The one that is taken comes first, with its lead over each other one. If none is, a second table has all pairs.
    """
    chosen, others = evidence.candidates.chosen, evidence.candidates.others
    if not others:
        return []
    scale = others[0].scale
    leads: list[tuple[Column, Callable[[ModelRuns], Cell]]] = []
    if chosen is not None:
        pairs = {pair.b.key: pair for pair in evidence.taken}
        leads = [
            (Column("Lead of the first", unit=scale.differences, short="Lead"),
             lambda one: pairs[one.key].number("difference") if one.key in pairs else MISSING),
            (Column("p", width=1.6), lambda one: _tested(pairs[one.key]) if one.key in pairs else MISSING),
            (Column("Validation", unit=scale.unit), _on_validation)]
    rows = [*([] if chosen is None else [chosen]), *in_order(others)]
    return [
        Table.of(
            "candidates", "Classifiers to take", (CANDIDATES.format(scale.score, FIRST if leads else ""),),
            rows,
            (Column("Classifier", align="left", width=4.0), lambda one: one.label),
            (Column(scale.score[0].upper() + scale.score[1:], unit=scale.unit), lambda one: one.score),
            *leads,
            *((column, partial(_over_runs, metric=metric)) for column, metric in COSTS
              if any(_logged(one, metric) for one in rows))),
        *([] if leads else [Table.of(
            "candidate-pairs", "Differences of the classifiers to take", (ALL_PAIRS.format(scale.score),),
            by_score(evidence.taken),
            (Column("Pair", align="left", width=4.0), lambda pair: pair.label),
            (Column("Difference", unit=scale.differences), lambda pair: pair.number("difference")),
            (Column("Verdict", align="left", width=3.2), lambda pair: pair.verdict_cell),
            (Column("p"), lambda pair: pair.p))])]


def _tested(pair: Pair) -> Cell:
    """Return p, and below it what it shows where that is equivalence."""
    return (pair.p, Aside(("equivalent",), below=True)) if pair.verdict.finding is Finding.EQUIVALENT else pair.p


def _on_validation(one: ModelRuns) -> Cell:
    assert isinstance(one, Candidate)
    return MISSING if one.validation is None else one.on_validation.add(
        "validation", one.validation.scores(one.metric)[0], one.scale.kind, "of the classifier as it is served")


def _over_runs(one: ModelRuns, metric: Metric) -> Cell:
    """Return the sum of a logged metric over all runs that a classifier is made of."""
    values = _logged(one, metric)
    return one.of_runs.add(slug(metric.key.partition("/")[2]), sum(values), KINDS[metric.unit],
                           "sum over its runs") if values else MISSING


def _logged(one: ModelRuns, metric: Metric) -> list[float]:
    """Return a logged metric of all runs that a classifier is made of; nothing where it is unknown of one."""
    runs = [run for part in one.parts for run in part.runs]
    known = [run.metrics[metric.key] for run in runs if metric.key in run.metrics]
    return known if len(known) == len(runs) else []


def _verdicts(evidence: Evidence) -> list[Block]:
    """Return the table and the figure of all pairs; nothing where nothing is compared."""
    shown = compared_pairs(evidence)
    if not shown:
        return []
    scale = evidence.groups[0].scale
    values = Values(("pair", "difference"), tuple(
        (pair.label, pair.number("difference")) for pair in shown), intervals=("difference",))
    caption = VERDICTS.format(scale.score, _intervals(shown), families(evidence))
    return [comparison_table(shown, caption),
            difference_figure(values, evidence.margin.value, scale, _intervals(shown))]


def families(evidence: Evidence) -> str:
    """Return the families of pairs that p values are adjusted over, in words: those that there are."""
    linear = "the linear model that " + (
        "is better on validation" if has_choice(evidence.baselines) else "was chosen in advance")
    found = [words for words, pairs in (
        ("all pairs of trained models", evidence.compared),
        (f"the pairs of trained models with {linear}", evidence.against)) if pairs]
    return ", and ".join(found)


def _intervals(pairs: Sequence[Pair]) -> str:
    return " and ".join(sorted({f"{pair.interval_name}s".replace(NBSP, " ") for pair in pairs}))


def in_sentences(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the same for a terminal: the decision, then a sentence on each pair of models."""
    settled = (*DIFFERENT, Finding.EQUIVALENT)
    settled_first = sorted(evidence.pairs, key=lambda pair: pair.verdict.finding not in settled)
    return (decision_sentence(evidence), *map(verdict_sentence, settled_first), *about_examples(evidence))


def about_examples(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return what is said of all pairs: the groups of the test texts, answers that are no class, the other models that
    met the same texts, and questions that are asked again."""
    return (*groups_off(evidence), *groups_named(evidence), *refusals(evidence), *others_on_test(evidence),
            *asked_again(evidence))


def same_function(evidence: Evidence) -> list[Sentence]:
    """Return which models compute the same function by different code."""
    alike = [group for group in evidence.groups if group.is_logged and group.model in SAME_FUNCTION
             and group.config.model.reset == "after"]
    if {group.model for group in alike} != SAME_FUNCTION:
        return []
    return [(f"{listed([group.label for group in alike])} compute the same function by different code, so that "
             "comparing them checks the code.",)]


def groups_off(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the warning where somebody has turned off groups."""
    return ((TURNED_OFF,),) if evidence.are_groups_off else ()


def groups_named(evidence: Evidence) -> list[Sentence]:
    """Return how many groups the test texts have, the column that tells them, and how many strata were drawn from."""
    group_N, columns = evidence.groups[0].group_N, evidence.groups[0].grouped_by
    stratum_N = evidence.groups[0].stratum_N
    if group_N is None:
        return []
    numbers = evidence.numbers.of("groups-of-texts-1").on(
        [run_id for group in evidence.groups for run_id in group.ids], group_N.size)
    size_K = np.unique(group_N, return_counts=True)[1]
    return [say(
        "Intervals account for the {groups} groups that the test texts belong to{columns}, which count as {effective} "
        "groups of equal size.",
        groups=numbers.add("", len(size_K), "count", "groups of test texts"),
        effective=numbers.add("effective", group_N.size**2 / float((size_K**2).sum()), "count", "N^2/sum n_k^2"),
        columns=f" (column {listed([f'‘{name}’' for name in columns])})" if columns else ""),
        *([] if stratum_N is None else [say(
            "The split fixed the share of each class and category in the test texts ({strata} strata), so intervals do "
            "not count it as chance.", strata=numbers.add("strata", len(np.unique(stratum_N)), "count", "of groups"))])]


def refusals(evidence: Evidence) -> list[Sentence]:
    """Return the predictions that are no class and count as wrong, for each model that has some."""
    said = []
    for group in evidence.groups:
        if group.refusals:
            named = [f"‘{plain(name)[:NAMED]}’ ({count:,})" for name, count in group.refusals.items()]
            said.append(say(
                "{count} of {all} predictions of {model} {count:is|are} not a class and {count:counts|count} as wrong: "
                "{named}.",
                count=group.on_examples.add("refusals", sum(group.refusals.values())), model=group.label,
                all=group.on_examples.add("predictions", group.predicted_RN.size), named=first_few(named)))
    return said


def check_results(
    others: Sequence[Sentence], checked: Sequence[Outcome], labels: Sequence[str]
) -> tuple[Block, ...]:
    """Return how many checks have passed, and in a line each what is wrong. What it means, what to do about it and the
    other checks are folded. Checks that do not apply are not there.

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
        lines[MOST_WARNINGS:] = [("", (f"And {folded} more, below.",))]
    items: list[tuple[str, Sentence]] = [("", said) for said in others[MOST_WARNINGS:]]
    for found in warned:
        remedy: Sentence = (found.check.remedy,)
        items.append((found.check.code, joined([*(one.sentence for one in found.warnings), remedy])))
    if codes := [found.check.code for found in checked if found.state is State.PASSED]:
        counts.append(f"{len(codes)} passed")
        items.append(("Passed:", (", ".join(codes),)))
    about = "Explanations, remedies and the" if warned else "The"
    return (Paragraph((f"{', '.join(counts)}{more}.",), lead="Checks."), *([Bullets(tuple(lines))] if lines else []),
            *([Details(f"{about} other checks", (Bullets(tuple(items)),))] if items else []))


def _models_of(found: Outcome, labels: Sequence[str]) -> list[str]:
    """Return the models that the warnings of a check begin with."""
    named = [max((label for label in labels if one.text.startswith(label)), key=len, default="")
             for one in found.warnings]
    return list(dict.fromkeys(filter(None, named)))


def questions(evidence: Evidence) -> tuple[Block, ...]:
    """Return the questions that the studies ask, each once."""
    asked = dict.fromkeys(plain(study.summary.purpose) for study in evidence.studies if study.summary is not None)
    words = " ".join(filter(None, asked))
    return (Paragraph((words,), lead="Question."),) if words else ()


def others_on_test(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return how many models outside a report were scored on its test texts; nothing is adjusted for them."""
    test_set, numbers = evidence.test_set, evidence.test_set.numbers
    outside, named = test_set.size - len(test_set.groups), test_set.others
    if not outside or not evidence.pairs:
        return ()
    return (say(
        "Not in this report: {outside} other {outside:model that was|models that were} scored on these test texts "
        "({names}). p is adjusted for the pairs of this report alone: the more reports on the same texts, the more "
        "differ by chance.", names=first_few(named),
        outside=numbers.add("outside", outside, "count", "models with a complete confirmation run on these test texts "
                            "that this report does not show")),)


def asked_again(evidence: Evidence) -> list[Sentence]:
    """Return which studies ask a question that others ask too, and what their p values are multiplied by."""
    by_original: dict[str, list[LoggedStudy]] = {}
    for study in evidence.studies:
        by_original.setdefault(study.original, []).append(study)
    return [say("The question of {names} is asked by {studies} studies (gru-bench sweep --again), so p is multiplied "
                "by {studies}.", names=listed([study_name(study) for study in own]),
                studies=evidence.numbers.on([study.run.run_id for study in own]).add(
                    f"asked-{place}", evidence.test_set.asked[original], "count",
                    "studies with fresh seeds of the same models, the first one included"))
            for place, (original, own) in enumerate(by_original.items(), start=1)
            if original in evidence.test_set.asked]


def few_texts(evidence: Evidence) -> list[Sentence]:
    """Return the warning that there are few test texts; nothing where there are enough."""
    size = evidence.groups[0].example_N.size
    if size >= FEW_TEXTS:
        return []
    numbers = evidence.numbers.of("few-reviews-1").on([run for group in evidence.groups for run in group.ids], size)
    worth = ", each worth {weight} points of accuracy" if evidence.groups[0].metric == "accuracy" else ""
    return [say(f"There are few test texts: {{texts}}{worth}, so intervals are wide and only large differences are "
                "detectable.", texts=numbers.add("", size),
                weight=numbers.add("weight", 1 / size, "percent", "one text"))]
