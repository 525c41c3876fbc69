"""Sentences about pairs of models, none of which says more than its numbers.

Numbers inside sentences are the ones the tables show: points with one decimal, or more where one would
make an end look like 0 or like the margin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gru_bench.report.document.numbers import NBSP
from gru_bench.report.document.sentences import Ends, Sentence, p_is, say
from gru_bench.report.evidence.pairs import Pair
from gru_bench.stats.estimate import Design
from gru_bench.stats.sentence import slots_in, verdict_template
from gru_bench.stats.verdict import Finding, examples_for_equivalence

FRESH = ("fewest that detect the margin with a chance of 80 % where both confirm sets are counted, and at least twice "
         "those at hand; one size for all pairs")
LOOKS = "confirm = { looks = [5, 10, 20] }, or --looks 5,10,20"
"""What is advised to new studies: looks that are planned."""
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
    return pair_sentence(verdict_template(pair), pair)


def pair_sentence(template: str, pair: Pair) -> Sentence:
    """Return a sentence on a pair of models with its numbers."""
    slots: Mapping[str, Callable[[], Sentence]] = {
        "a": lambda: (pair.a.label,), "b": lambda: (pair.b.label,), "unit": lambda: (pair.scale.after,),
        "of": lambda: (pair.scale.after or f" of {pair.scale.score}",),
        "difference": lambda: (pair.theta,), "ends": lambda: (Ends(pair.theta),),
        "narrow": lambda: (Ends(pair.narrow),), "margin": lambda: (pair.margin,),
        "detectable": lambda: (pair.detectable,), "p": lambda: p_is(pair.p),
        "p_equivalent": lambda: p_is(pair.p_equivalent), "unseen": lambda: (pair.unseen,),
        "guessing": lambda: (pair.a.guessing, pair.scale.suffix),
        "seeds": lambda: (pair.numbers.add(
            "fewest-seeds", min(pair.difference.seeds), "count", "of the model with fewer"),),
        "groups": lambda: (pair.numbers.add("groups", pair.difference.groups, "tenth", "groups of one size"),),
        "family": lambda: (pair.numbers.add("family", pair.family, "count", "pairs tested together"),),
        "look": lambda: (pair.numbers.add("look", pair.look, "count", "from 1, of the looks planned"),),
        "looks": lambda: (pair.numbers.add("looks", pair.planned, "count", "looks planned"),),
        "least": lambda: (pair.numbers.add(
            "equivalence-examples", examples_for_equivalence(pair.verdict.margin), "count",
            "fewest test reviews that show equivalence where no answer differs", runs=()),),
        "effective": lambda: (pair.numbers.add("examples", pair.difference.effective, "count"),)}
    return say(template, **{name: slots[name]() for name in slots_in(template)})


def next_step_sentence(pair: Pair, together: int | None = None, limit: Limit | None = None) -> Sentence:
    """Return what could settle an open comparison, as a sentence; empty for other verdicts.

    New test examples come first. A second confirm set on the same ones is a second look at them: its tests, and those
    of the first set, must be stricter.

    Args:
        pair: Comparison.
        together: Seeds of new confirm sets that serve all comparisons of a report, at least those needed here.
        limit: Limit that held reviews back; None where there was none.
    """
    if pair.design is None or pair.verdict.finding is Finding.TOO_FEW_SEEDS:
        return ()  # of too few seeds it is said once for all pairs
    if pair.fresh_seeds is None:
        return _more_examples(pair, pair.design, limit) if pair.wants_examples else ()
    return (*_new_examples(pair, limit), *_second_set(pair, max(pair.fresh_seeds, together or 0)))


def _new_examples(pair: Pair, limit: Limit | None) -> Sentence:
    """Return how many new test examples would do, and where they come from, for a pair that seeds could settle too."""
    if pair.needed is None:
        return ()
    return ("To settle it, test both models on new test examples: ", *_enough_examples(pair, *pair.needed),
            ", detect a difference of ", pair.margin, f"{pair.scale.after} with a chance of 80{NBSP}%.",
            *_source_of_examples(pair, pair.needed[0], limit), " ")


def _second_set(pair: Pair, fresh: int) -> Sentence:
    """Return what a second confirm set on the same test examples costs, and what it would detect."""
    assert pair.design_again is not None
    detected = pair.design_again.detectable((fresh, fresh), pair.difference.examples)
    counted: Sentence = () if not pair.pairs_again else (
        "; a report on it allows for all ",
        pair.numbers.add("pairs-again", pair.pairs_again, "count", "pairs of the models of both confirm sets"),
        " pairs of the old and the new models")
    planned = "" if pair.followed is not None else f" In a new study, plan looks instead: {LOOKS}."
    return (
        "A second confirm set on the same test reviews is a second look at them: both tests must be taken at "
        f"2.5{NBSP}% to keep 5{NBSP}% in all", *counted, ". With ",
        pair.numbers.add("fresh-seeds", fresh, "count", FRESH), " fresh seeds for each model, without the old runs, it "
        "would detect a true difference of ",
        pair.size("fresh-detectable", detected, f"{pair.detected}, and by two for the two sets"),
        f"{pair.scale.after} with a chance of 80{NBSP}%; it may still be inconclusive.{planned}",
    )


def _enough_examples(pair: Pair, examples: int, seeds: int) -> Sentence:
    """Return how many test examples and seeds detect the margin."""
    return (
        "about ", pair.numbers.add("needed-examples", -(-examples // 100) * 100, "count",
                              "fewest test examples that detect the margin with a chance of 80 %, rounded up to "
                              "hundreds"),
        ", with ", pair.numbers.add("needed-seeds", seeds, "count",
                               "the seeds at hand, or the fewest of 10, 20 and 50 beyond which more seeds do not halve "
                               "the examples"),
        " seeds for each model")


def _more_examples(pair: Pair, design: Design, limit: Limit | None) -> Sentence:
    """Return how many test examples would do, and where they come from."""
    start: Sentence = ("Detecting ", pair.margin, f"{pair.scale.after} with a chance of 80{NBSP}% takes more ")
    remove_limit = _remove_limit_first(pair, limit) if limit else ()
    if pair.needed is None:
        start = (*start, "than 50 seeds for each model, whatever the number of test examples: these models vary too "
                 "much from seed to seed.", *remove_limit)
        return (*start, "; with all reviews the models may vary less.") if limit else start
    examples, seeds = pair.needed
    floor = pair.size(
        "floor", design.detectable_floor(pair.difference.examples), f"{pair.detected}; of very many seeds")
    enough: Sentence = ("more than 50 seeds for each model",)
    if floor.value is None or floor.value >= pair.verdict.margin:
        enough = ("no number of seeds is enough: even very many detect no less than ", floor, pair.scale.after)
    start = (
        *start, "test examples (with the present ones, ", *enough, "); ", *_enough_examples(pair, examples, seeds),
        ", would do.")
    return (*start, *_source_of_examples(pair, examples, limit))


def _source_of_examples(pair: Pair, examples: int, limit: Limit | None) -> Sentence:
    """Return where so many test examples come from."""
    if limit is None:
        return (f" To get them, {MORE_EXAMPLES}",)
    start = _remove_limit_first(pair, limit)
    if limit.whole is None:
        return (*start, f". Only where that is not enough, {MORE_EXAMPLES}")
    then = pair.difference.examples * limit.whole // limit.taken
    return (
        *start, ". About ",
        pair.numbers.add("unlimited-examples", then, "count", "test reviews to be expected without the limit: those at "
                    "hand, times all reviews over those let in"),
        " will then be test reviews, which is ", "enough." if then >= examples else f"not enough: {MORE_EXAMPLES}",
    )


def _remove_limit_first(pair: Pair, limit: Limit) -> Sentence:
    """Return how many reviews a limit let in, and how to remove it, as the start of a sentence."""
    whole: Sentence = () if limit.whole is None else (
        " of the ", pair.numbers.add("unlimited", limit.whole, "count", "in the data, each text once"))
    return (" data.limit let ", pair.numbers.add("limited", limit.taken, "count", "over all splits"), *whole,
            " reviews into the study: remove it first, with --set data.limit=none under another --study-name")
