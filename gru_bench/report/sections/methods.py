"""The section on how the numbers were computed, and what they do not cover."""

from __future__ import annotations

from gru_bench.document.blocks import Bullets, Paragraph
from gru_bench.document.report import Section
from gru_bench.document.sentences import Sentence, joined, say
from gru_bench.evidence.baselines import has_choice
from gru_bench.evidence.collect import Evidence
from gru_bench.report.sections.summary import families
from gru_bench.stats.classes import RARE
from gru_bench.stats.estimate import ALPHA
from gru_bench.stats.verdict import unseen_failures

INTERVALS = (
    "have 95 % confidence and account for two sources of variation: the seeds and the test texts, or groups of them. "
    "They use the two-way clustered variance over seeds and texts with Satterthwaite’s degrees of freedom, Wilson’s "
    "interval if few predictions are wrong and, for pairs, Tango’s if few differ. The interval of a single run, of a "
    "model that is fitted once and of a classifier to take is over test texts only.")
COVERED = (
    "are another training set and another search for settings. Texts without groups count as independent: if several "
    "are about the same product or by the same author, intervals are too narrow.")
SEEDS = (
    "Equivalence and claims need at least five seeds per model; published claims should have ten. Verdicts marked “few "
    "seeds” have fewer. Those marked “these runs only” are based on a single run and hold only for that run.")
SCORES = (
    "F1 of two classes is that of the second one{positive}. Of more classes, macro F1 is the mean over all classes "
    "and confidence is the probability of the predicted class. Scores of classes with fewer than "
    f"{RARE} test texts have no interval.")
CHOSEN = (
    "Linear models and trials of a search learn from training texts and are chosen on validation texts.",
    "Linear models learn from training texts. There are no validation texts to choose one of them on: the first one is "
    "compared.")
"""Where there are validation scores, and where there are none."""
TAKEN = (
    "The classifiers that can be taken are each trained model with all its seeds (the mean of their probabilities), "
    "each linear model, and the average of the best of both (the mean of their log-odds, each at its temperature). The "
    "best one on validation texts is taken, so that the test texts only tell how good it is. It is compared with each "
    "other one over texts alone, and p is adjusted by Holm’s procedure over these pairs.")


def methods(evidence: Evidence) -> Section:
    """Return the section: how intervals and verdicts are computed, and what they cover."""
    lines: list[tuple[str, Sentence]] = [
        ("Intervals", (INTERVALS,)), ("Verdicts", _verdicts(evidence)), ("Seeds.", _seeds(evidence)),
        ("Not covered", (COVERED,)),
        *([("Scores.", _scores(evidence))] if any(group.has_classes for group in evidence.groups) else []),
        *([("Models.", joined([(CHOSEN[not has_choice(evidence.baselines)],), *(
            [(TAKEN,)] if evidence.candidates.chosen else [])]))] if evidence.baselines else [])]
    return Section("methods", "How computed", (Bullets(tuple(lines)), Paragraph((
        "In the documentation of gru-bench, the page Statistics explains each step with its sources, and the page "
        "Warnings the codes of warnings.",))))


def _verdicts(evidence: Evidence) -> Sentence:
    return say(
        "compare two models on the same test texts. The equivalence margin is {margin} p values are adjusted by Holm’s "
        "procedure over {families}, separately for differences and equivalence. They are compared with {level}.",
        families=families(evidence),
        margin=evidence.margin.said,
        level=evidence.numbers.on(()).add(
            "methods.level", ALPHA, "p", "chance of a false finding of a kind among all pairs, at most"))


def _scores(evidence: Evidence) -> Sentence:
    positive = dict.fromkeys(group.classes[1] for group in evidence.groups if group.has_classes and group.is_binary)
    return say(SCORES, positive=f" ({' or '.join(positive)})" if positive else "")


def _seeds(evidence: Evidence) -> Sentence:
    fewest = min(len(group.runs) for group in evidence.groups)
    return say(
        "{seeds} With {fewest} {fewest:seed|seeds}, up to {unseen} % of runs could score far lower without being seen "
        "here.", seeds=SEEDS, fewest=evidence.numbers.on(()).add("methods.fewest-seeds", fewest),
        unseen=evidence.numbers.on(()).add(
            "methods.unseen", unseen_failures(fewest), "percent", "f with (1 - f)^R = 0.05 for R seeds", decimals=0))
