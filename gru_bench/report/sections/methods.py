"""The section on how the numbers were computed, and what they do not cover."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.report.document.blocks import Bullets, Paragraph
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.sections.errors import LEAST
from gru_bench.stats.estimate import ALPHA, EvidenceLevel


def methods(evidence: Evidence) -> Section:
    """Return the section: how intervals and verdicts are computed, and what they cover."""
    lines = [*_intervals(evidence), *_verdicts(evidence), _covered(evidence), *_scores(evidence.groups),
             *_scratch_and_torch(evidence.groups)]
    return Section("methods", "How computed", (Bullets(tuple(lines)), Paragraph((
        "docs/statistics.md explains each step with its sources; docs/checks.md explains the codes of warnings.",))))


def _intervals(evidence: Evidence) -> list[tuple[str, Sentence]]:
    groups = evidence.groups
    single = [group for group in groups if len(group.runs) == 1]
    of_runs: list[tuple[str, Sentence]] = [("One run", (
        f"of a model ({listed([group.label for group in single])}): its intervals and verdicts have 95 % confidence "
        "over test texts alone. They are about this very run, not about the way it was trained: another run may "
        "differ.",
    ))] if single else []
    over_seeds = any(min(pair.difference.seeds) > 1 for pair in evidence.pairs)
    if not over_seeds and not any(
            EvidenceLevel.of(len(group.runs)).has_interval for group in groups if group not in single):
        return of_runs
    grouped = [group.group_N is not None for group in groups]
    drawn, units = ("groups of test texts", "groups") if all(grouped) else (
        "test texts, or groups of them,", "texts or groups") if any(grouped) else ("test texts", "texts")
    return [*of_runs, ("Intervals", (
        f"have 95 % confidence and include two kinds of chance: which seeds and which {drawn} were drawn. They "
        f"use the two-way clustered variance over seeds and {units}, with Satterthwaite’s degrees of freedom, and "
        "Wilson’s interval if few answers are wrong or, for pairs, Tango’s if few differ. The between-seed standard "
        "deviation does not include the noise of the test set.",))]


def _verdicts(evidence: Evidence) -> list[tuple[str, Sentence]]:
    if not evidence.pairs:
        return []
    return [("Verdicts", (
        "compare two models on the same test texts. The equivalence margin is ", *evidence.margin.said,
        *_holm(evidence)))]


def _covered(evidence: Evidence) -> tuple[str, Sentence]:
    searched = any(study.summary.trials if study.summary else study.plan().trials for study in evidence.studies)
    trials: Sentence = (
        "Trials of a search used training and validation texts only, and no confirmation seed.",) if searched else ()
    independent: Sentence = (
        "Test texts count as independent: if several are about one product or by one author, intervals are too "
        "narrow.",) if any(group.group_N is None for group in evidence.groups) else ()
    return ("Not covered", joined([
        ("are another training set and another search for settings.",), independent, trials]))


def _scores(groups: Sequence[Group]) -> list[tuple[str, Sentence]]:
    """Return what F1, the ensemble and times are, as far as they are shown."""
    positive = dict.fromkeys(group.classes[1] for group in groups if group.has_classes and group.is_binary)
    several = any(group.has_classes and not group.is_binary for group in groups)
    said = [f"F1 is for the class {' or '.join(positive)}."] if positive else []
    if several:
        said.append("Macro F1 is the mean of the F1 of all classes. Confidence is the probability of the predicted "
                    "class. There are no ROC curves of more than two classes, because there is no threshold to vary; "
                    f"scores of classes with fewer than {LEAST} test texts have no interval.")
    if any(group.has_together for group in groups):
        said.append("An ensemble predicts with the mean of the probabilities of the seeds; its interval is over test "
                    "texts only, and no verdict uses it.")
    if any(group.is_logged for group in groups):
        said.append("Times are those of training alone: compare only times of the same backend.")
    return [("Scores.", (" ".join(said),))] if said else []


def _holm(evidence: Evidence) -> Sentence:
    """Return how the tests of several pairs are corrected, as the rest of a paragraph."""
    sizes = {pair.family for pair in evidence.compared}
    if max((pair.family for pair in evidence.pairs), default=0) < 2 or all(
            pair.number("p").value is None for pair in evidence.pairs):
        of_two = " p values of a mixture against its two parts are adjusted by Holm’s procedure among themselves."
        return (of_two,) if any(pair.tests is not None for pair in evidence.of_mixtures) else ()
    count: Sentence = () if len(sizes) != 1 else (evidence.numbers.on(()).add("methods.family", sizes.pop()), " ")
    linear = (" Comparisons with the linear model are a second family, of as many tests as models: they are adjusted "
              "among themselves." if evidence.against else "")
    linear += " The two comparisons of a mixture with its parts are such a family too." if evidence.of_mixtures else ""
    return say(
        " p values are adjusted by Holm’s procedure over all {count}pairs of trained models on the same test texts, "
        "separately for each kind of finding, and compared with {level}. Intervals are not adjusted.{linear}",
        count=count, linear=linear,
        level=evidence.numbers.on(()).add(
            "methods.level", ALPHA, "p", "chance of a false finding of a kind among all pairs, at most"))


def _scratch_and_torch(groups: Sequence[Group]) -> list[tuple[str, Sentence]]:
    """Return whether the scratch GRU and the torch GRU, where both read in as many directions, compute the same."""
    models = {group.model: group.config.model for group in groups if group.is_logged}
    if not {"scratch", "torch"} <= models.keys() or models["scratch"].directions != models["torch"].directions:
        return []
    if models["scratch"].reset == "before":
        return [("Scratch and torch", ("compute different functions: scratch applies the reset gate before the hidden "
                                       "product.",))]
    return [("Scratch and torch", (
        "compute the same function, except for the ReLU before the linear layer if only one has it. They differ in "
        "their random initial weights and, on different backends, in rounding and speed.",))]
