"""Sentences about pairs of models, none of which says more than its numbers.

Numbers inside sentences are the ones the tables show: points with one decimal, or more where one would
make an end look like 0 or like the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

from gru_bench.report.document.sentences import Ends, Field, Sentence, joined, p_is, say
from gru_bench.report.evidence.pairs import Pair
from gru_bench.stats.estimate import Design
from gru_bench.stats.sentence import detected, slots_in, verdict_template, words
from gru_bench.stats.verdict import Finding

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

    def field(slot: str) -> Field:
        match slot:
            case "ends":
                return (Ends(pair.number("difference")),)
            case "narrow":
                return (Ends(pair.number("narrow")),)
            case "p" | "p_equivalent":
                return p_is(pair.number(slot))
            case "guessing":
                return (pair.a.guessing, pair.scale.suffix)
        return pair.number(slot)

    known = words(pair)
    return say(template, **known, **{slot: field(slot) for slot in slots_in(template) - known.keys()})


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
    return joined([_new_examples(pair, limit), _second_set(pair, max(pair.fresh_seeds, together or 0))])


def _new_examples(pair: Pair, limit: Limit | None) -> Sentence:
    """Return how many new test examples would do, and where they come from, for a pair that seeds could settle too."""
    if pair.needed is None:
        return ()
    return say(
        "To settle it, test both models on new test examples: {enough}, detect a difference of {margin}{unit} with a "
        "chance of 80 %.{source}", enough=_enough_examples(pair, *pair.needed), margin=pair.number("margin"),
        unit=pair.scale.after, source=_source_of_examples(pair, pair.needed[0], limit))


def _second_set(pair: Pair, fresh: int) -> Sentence:
    """Return what a second confirm set on the same test examples costs, and what it would detect."""
    assert pair.design_again is not None
    least = pair.design_again.detectable((fresh, fresh), pair.difference.examples)
    counted: Sentence = () if not pair.pairs_again else say(
        "; a report on it allows for all {pairs} pairs of the old and the new models", pairs=pair.numbers.add(
            "pairs-again", pair.pairs_again, "count", "pairs of the models of both confirm sets"))
    return say(
        "A second confirm set on the same test reviews is a second look at them: both tests must be taken at "
        "2.5 % to keep 5 % in all{counted}. With {fresh} fresh seeds for each model, without the old runs, it would "
        "detect a true difference of {detected}{unit} with a chance of 80 %; it may still be inconclusive.{planned}",
        counted=counted, fresh=pair.numbers.add("fresh-seeds", fresh, "count", FRESH),
        detected=pair.size("fresh-detectable", least, f"{detected(pair)}, and by two for the two sets"),
        unit=pair.scale.after,
        planned="" if pair.followed is not None else f" In a new study, plan looks instead: {LOOKS}.")


def examples_sentence(pair: Pair) -> Sentence:
    """Return how many test examples would settle an open comparison of files, as a sentence; empty for other pairs."""
    if not pair.is_open or pair.needed is None:
        return ()
    return say("Detecting a difference of {margin}{unit} with a chance of 80 % takes {enough}.",
               margin=pair.number("margin"), unit=pair.scale.after, enough=_enough_examples(pair, *pair.needed))


def _enough_examples(pair: Pair, examples: int, seeds: int) -> Sentence:
    return say(
        "about {examples} of these runs" if pair.is_of_runs else "about {examples}, with {seeds} seeds for each model",
        examples=pair.numbers.add(
            "needed-examples", -(-examples // 100) * 100, "count",
            "fewest test examples that detect the margin with a chance of 80 %, rounded up to hundreds"),
        seeds=pair.numbers.add(
            "needed-seeds", seeds, "count",
            "the seeds at hand, or the fewest of 10, 20 and 50 beyond which more seeds do not halve the examples"))


def _more_examples(pair: Pair, design: Design, limit: Limit | None) -> Sentence:
    """Return how many test examples would do, and where they come from."""
    start = say("Detecting {margin}{unit} with a chance of 80 % takes more ", margin=pair.number("margin"),
                unit=pair.scale.after)
    if pair.needed is None:
        return say("{start}than 50 seeds for each model, whatever the number of test examples: these models vary too "
                   "much from seed to seed.{remove}{end}", start=start, remove=_remove_limit_first(pair, limit),
                   end="; with all reviews the models may vary less." if limit else "")
    examples, seeds = pair.needed
    floor = pair.size(
        "floor", design.detectable_floor(pair.difference.examples), f"{detected(pair)}; of very many seeds")
    present: Sentence = ("more than 50 seeds for each model",)
    if floor.value is None or floor.value >= pair.verdict.margin:
        present = ("no number of seeds is enough: even very many detect no less than ", floor, pair.scale.after)
    return say("{start}test examples (with the present ones, {present}); {enough}, would do.{source}", start=start,
               present=present, enough=_enough_examples(pair, examples, seeds),
               source=_source_of_examples(pair, examples, limit))


def _source_of_examples(pair: Pair, examples: int, limit: Limit | None) -> Sentence:
    if limit is None:
        return (f" To get them, {MORE_EXAMPLES}",)
    first = _remove_limit_first(pair, limit)
    if limit.whole is None:
        return (*first, f". Only where that is not enough, {MORE_EXAMPLES}")
    then = pair.difference.examples * limit.whole // limit.taken
    return say("{first}. About {then} will then be test reviews, which is {enough}", first=first,
               then=pair.numbers.add(
                   "unlimited-examples", then, "count", "test reviews to be expected without the limit: those at hand, "
                   "times all reviews over those let in"),
               enough="enough." if then >= examples else f"not enough: {MORE_EXAMPLES}")


def _remove_limit_first(pair: Pair, limit: Limit | None) -> Sentence:
    """Return how many reviews a limit let in, and how to remove it, as the start of a sentence; empty without one."""
    if limit is None:
        return ()
    whole: Sentence = () if limit.whole is None else (
        " of the ", pair.numbers.add("unlimited", limit.whole, "count", "in the data, each text once"))
    return say(" data.limit let {taken}{whole} reviews into the study: remove it first, with --set data.limit=none "
               "under another --study-name", taken=pair.numbers.add("limited", limit.taken, "count", "over all splits"),
               whole=whole)
