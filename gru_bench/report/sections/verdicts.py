"""Sentences about pairs of models, none of which says more than its numbers.

Numbers inside sentences are the ones the tables show: points with one decimal, or more where one would
make an end look like 0 or like the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

from gru_bench.evaluation.statistics import (
    Design,
    EvidenceLevel,
    Finding,
    can_show_equivalence,
    examples_for_equivalence,
)
from gru_bench.report.document.numbers import NBSP, Number
from gru_bench.report.document.sentences import Ends, Sentence
from gru_bench.report.evidence.pairs import DETECTED, Pair, plain_points

FRESH = "fewest that detect the margin with a chance of 80 %, and at least twice those at hand; one size for all pairs"
MORE_EXAMPLES = (
    "collect more labeled reviews and start a study with them under another --study-name, either in a file of "
    "their own (--test-data FILE) or in a larger file (--data FILE), of which a tenth is used for the test."
)


@dataclass(frozen=True)
class Limit:
    """How many reviews the setting data.limit let into a study, and how many its data holds."""

    taken: int
    whole: int | None
    """Reviews that the data holds; None where that was not logged."""


def verdict_sentence(pair: Pair) -> Sentence:
    """Return the verdict on a pair of models, as a sentence."""
    theta, narrow = pair.theta, pair.narrow
    test = _test(pair)
    # Of the first model, whose difference from the second is shown: its sign and the word agree.
    better = "better" if pair.verdict.favours >= 0 else "worse"
    match pair.verdict.finding:
        case Finding.BETTER:
            return (f"{pair.a} is {better} than {pair.b}: ", *_size(theta), *test, ".")
        case Finding.BETTER_BY_MARGIN:
            return (
                f"{pair.a} is {better} than {pair.b} by more than ", pair.margin, " points: ",
                *_size(theta), *test, ".",
            )
        case Finding.NEGLIGIBLE:
            return (
                f"{pair.a} is {better} than {pair.b}, but by a negligible amount: ", *_size(theta), *test,
                "; the 90\u00a0% interval, ", Ends(narrow), ", lies within ±", pair.margin, " points.",
            )
        case Finding.EQUIVALENT:
            return (
                f"{pair.a} and {pair.b} are equivalent within ", pair.margin,
                " points: the 90\u00a0% interval of their difference, ", Ends(narrow), " points, lies within it.",
            )
        case Finding.TOO_FEW_SEEDS:
            return _too_few(pair)
        case Finding.INCONCLUSIVE:
            return _inconclusive(pair)


def next_step_sentence(pair: Pair, together: int | None = None, limit: Limit | None = None) -> Sentence:
    """Return what could settle an open comparison, as a sentence; empty for other verdicts.

    Seeds are never added to a confirm set after a look at it: the sentence names a new set of fixed size.

    Args:
        pair: Comparison.
        together: Seeds of new confirm sets that serve all comparisons of a report, at least those needed here.
        limit: Limit that held reviews back; None where there was none.
    """
    if pair.design is None or pair.verdict.finding is Finding.TOO_FEW_SEEDS:
        return ()  # of too few seeds it is said once for all pairs
    if pair.fresh_seeds is None:
        return _more_examples(pair, pair.design, limit) if pair.wants_examples else ()
    fresh, examples = max(pair.fresh_seeds, together or 0), pair.difference.examples
    count = Number(f"{pair.key}.fresh-seeds", fresh, "count", pair.runs, examples, FRESH)
    reach = plain_points(
        f"{pair.key}.fresh-detectable", pair.design.detectable((fresh, fresh), examples), pair.runs, examples,
        DETECTED,
    )
    return (
        "A new confirm set of ", count, " fresh seeds for each model, without the old runs, would detect a true "
        "difference of ", reach, f" points with a chance of 80{NBSP}%; it may still be inconclusive.",
    )


def _more_examples(pair: Pair, design: Design, limit: Limit | None) -> Sentence:
    examples, margin = pair.difference.examples, pair.verdict.margin
    start: Sentence = ("Detecting ", pair.margin, f" points with a chance of 80{NBSP}% takes more ")
    enough = pair.needed
    if enough is None:
        start = (*start, "than 50 seeds for each model, whatever the number of test examples: these models vary too "
                 "much from seed to seed.")
        return start if limit is None else (
            *start, *_remove_limit_first(pair, limit), "; with all reviews the models may vary less.")
    floor = plain_points(
        f"{pair.key}.floor", design.detectable_floor(examples), pair.runs, examples, f"{DETECTED}; of very many seeds")
    if (floor.value or 0) < margin:
        start = (*start, "test examples (with the present ones, more than 50 seeds for each model)")
    else:
        start = (*start, "test examples (with the present ones, no number of seeds is enough: even very many detect no "
                 "less than ",
                 floor, " points)")
    start = (
        *start, "; about ", Number(
            f"{pair.key}.needed-examples", -(-enough[0] // 100) * 100, "count", pair.runs, examples,
            "fewest test examples that detect the margin with a chance of 80 %, rounded up to hundreds"),
        " would do, with a new confirm set of ", Number(
            f"{pair.key}.needed-seeds", enough[1], "count", pair.runs, examples,
            "the fewest of 10, 20 and 50, or the seeds at hand, with which some number of examples does"),
        " seeds for each model.",
    )
    if limit is None:
        return (*start, f" To get them, {MORE_EXAMPLES}")
    if limit.whole is None:
        return (*start, *_remove_limit_first(pair, limit), f". Only where that is not enough, {MORE_EXAMPLES}")
    then = examples * limit.whole // limit.taken
    return (
        *start, *_remove_limit_first(pair, limit), ". About ",
        Number(f"{pair.key}.unlimited-examples", then, "count", pair.runs, examples, "test reviews to be expected "
               "without the limit: those at hand, times all reviews over those let in"),
        " will then be test reviews, which is ", "enough." if then >= enough[0] else f"not enough: {MORE_EXAMPLES}",
    )


def _remove_limit_first(pair: Pair, limit: Limit) -> Sentence:
    """Return how many reviews a limit let in, and how to remove it, as the start of a sentence."""
    key, runs, examples = pair.key, pair.runs, pair.difference.examples
    whole: Sentence = () if limit.whole is None else (
        " of the ", Number(f"{key}.unlimited", limit.whole, "count", runs, examples, "in the data, each text once"))
    return (" data.limit let ", Number(f"{key}.limited", limit.taken, "count", runs, examples, "over all splits"),
            *whole, " reviews into the study: remove it first, with --set data.limit=none under another --study-name")


def _inconclusive(pair: Pair) -> Sentence:
    detectable = pair.detectable
    reach: Sentence = ()
    if detectable is not None:
        reach = (" Runs like these detect a true difference of ", detectable, f" points with a chance of 80{NBSP}%.")
    alone: Sentence = ()
    if not pair.difference.at(0.95).low <= 0 <= pair.difference.at(0.95).high:
        alone = (
            " The interval alone excludes 0, but among ",
            Number(f"{pair.key}.family", pair.family, "count", pair.runs, pair.difference.examples,
                   "pairs tested together"),
            " pairs one such finding may be chance.",
        )
    unable: Sentence = ()
    examples, margin = pair.difference.examples, pair.verdict.margin
    if not can_show_equivalence(examples, margin):
        unable = (" Equivalence within ", pair.margin, " points could not be shown: it takes at least ",
                  Number(f"{pair.key}.equivalence-examples", examples_for_equivalence(margin), "count",
                         method="fewest test reviews that show equivalence where no answer differs"),
                  " test reviews, and there are ",
                  Number(f"{pair.key}.examples", examples, "count", pair.runs, examples), ".")
    return (
        f"Inconclusive: {pair.a} against {pair.b}, ", *_size(pair.theta), *_test(pair), ".", *alone, *reach, *unable,
    )


def _too_few(pair: Pair) -> Sentence:
    seeds = Number(f"{pair.key}.fewest-seeds", min(pair.difference.seeds), "count", pair.runs,
                   pair.difference.examples, "of the model with fewer")
    start: Sentence = (f"No verdict on {pair.a} against {pair.b} from ", seeds)
    match pair.difference.evidence_level:
        case EvidenceLevel.EXAMPLES_ONLY:
            return (
                *start, " seed: between these two runs the difference is ", *_size(pair.theta),
                ", over test examples only.",
            )
        case EvidenceLevel.ESTIMATE:
            return (*start, " seeds: an estimate only, ", pair.theta, " points.")
        case _:
            return (*start, " seeds (at least 5 are needed): ", *_size(pair.theta), ".")


def _size(theta: Number) -> Sentence:
    if theta.low is None:
        return (theta, " points")
    return (theta, " points (95\u00a0% interval ", Ends(theta), ")")


def _test(pair: Pair) -> Sentence:
    if pair.p_adjusted is None:
        return ()
    sign = "p " if pair.p.text.startswith("<") else "p = "
    if pair.family == 1:
        return (f", {sign}", pair.p)
    return (f", {sign}", pair.p, " after Holm")
