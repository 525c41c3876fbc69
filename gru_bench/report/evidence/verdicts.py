"""Sentences about pairs of models, none of which says more than its numbers.

Numbers inside sentences are the ones the tables show: points with one decimal, or more where one would
make an end look like 0 or like the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

from gru_bench.report.document.numbers import NBSP, Number
from gru_bench.report.document.sentences import Ends, Sentence, p_is
from gru_bench.report.evidence.pairs import Pair
from gru_bench.stats.estimate import Design, EvidenceLevel
from gru_bench.stats.verdict import Finding, can_be_equivalent, can_show_equivalence, examples_for_equivalence

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
    a, b, after = pair.a.label, pair.b.label, pair.scale.after
    found: Sentence = (*_size(pair), *_test(pair))
    # Of the first model, whose difference from the second is shown: its sign and the word agree.
    better = f"{a} is {'better' if pair.favours >= 0 else 'worse'} than {b}"
    match pair.verdict.finding:
        case Finding.BETTER:
            return (f"{better}: ", *found, ".")
        case Finding.BETTER_BY_MARGIN:
            return (f"{better} by more than ", pair.margin, f"{after}: ", *found, ".")
        case Finding.NEGLIGIBLE:
            return (f"{better}, but by a negligible amount: ", *found, f"; the {pair.narrow_name}, ",
                    Ends(pair.narrow), ", lies within ±", pair.margin, after, *_equivalence_test(pair))
        case Finding.EQUIVALENT:
            return (f"{a} and {b} are equivalent within ", pair.margin, f"{after}: the {pair.narrow_name} of their "
                    "difference, ", Ends(pair.narrow), f"{after}, lies within it", *_equivalence_test(pair))
        case Finding.TOO_FEW_SEEDS | Finding.TOO_FEW_GROUPS:
            return _too_few(pair)
        case Finding.GUESSING:
            unit = f"{NBSP}{pair.scale.unit}" if pair.scale.unit else ""
            return (f"No verdict on {a} against {b}: neither is above guessing, which reaches ", pair.a.guessing,
                    f"{unit}. The difference is ", *_size(pair), ".")
        case Finding.INCONCLUSIVE if pair.followed is not None and not pair.followed.looks:
            return (f"{a} against {b}: no planned look was taken yet, or its runs are gone, so there is no verdict.",)
        case Finding.INCONCLUSIVE:
            return (f"Inconclusive: {a} against {b}, ", *found, ".", *_doubts(pair))


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
        pair.number("pairs-again", pair.pairs_again, "count", "pairs of the models of both confirm sets"),
        " pairs of the old and the new models")
    planned = "" if pair.followed is not None else f" In a new study, plan looks instead: {LOOKS}."
    return (
        "A second confirm set on the same test reviews is a second look at them: both tests must be taken at "
        f"2.5{NBSP}% to keep 5{NBSP}% in all", *counted, ". With ",
        pair.number("fresh-seeds", fresh, "count", FRESH), " fresh seeds for each model, without the old runs, it "
        "would detect a true difference of ",
        pair.size("fresh-detectable", detected, f"{pair.detected}, and by two for the two sets"),
        f"{pair.scale.after} with a chance of 80{NBSP}%; it may still be inconclusive.{planned}",
    )


def _enough_examples(pair: Pair, examples: int, seeds: int) -> Sentence:
    """Return how many test examples and seeds detect the margin."""
    return (
        "about ", pair.number("needed-examples", -(-examples // 100) * 100, "count",
                              "fewest test examples that detect the margin with a chance of 80 %, rounded up to "
                              "hundreds"),
        ", with ", pair.number("needed-seeds", seeds, "count",
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
        pair.number("unlimited-examples", then, "count", "test reviews to be expected without the limit: those at "
                    "hand, times all reviews over those let in"),
        " will then be test reviews, which is ", "enough." if then >= examples else f"not enough: {MORE_EXAMPLES}",
    )


def _remove_limit_first(pair: Pair, limit: Limit) -> Sentence:
    """Return how many reviews a limit let in, and how to remove it, as the start of a sentence."""
    whole: Sentence = () if limit.whole is None else (
        " of the ", pair.number("unlimited", limit.whole, "count", "in the data, each text once"))
    return (" data.limit let ", pair.number("limited", limit.taken, "count", "over all splits"), *whole,
            " reviews into the study: remove it first, with --set data.limit=none under another --study-name")


def _doubts(pair: Pair) -> Sentence:
    """Return why a comparison may be inconclusive."""
    examples, margin = pair.difference.examples, pair.verdict.margin
    alone: Sentence = ()
    if not pair.difference.low <= 0 <= pair.difference.high:
        alone = (" The interval alone excludes 0, but among ",
                 pair.number("family", pair.family, "count", "pairs tested together"),
                 " pairs one such finding may be chance.")
    inner = pair.verdict.equivalence
    if (pair.followed is None and can_be_equivalent(pair.difference, margin)
            and -margin < inner.low and inner.high < margin):
        alone = (*alone, f" The {pair.narrow_name} alone lies within the margin, but among ",
                 pair.number("family", pair.family, "count", "pairs tested together"),
                 " pairs one such finding may be chance.")
    unable: Sentence = ()
    if pair.a.metric == "log_loss" and not can_be_equivalent(pair.difference, margin):
        unable = (" Equivalence could not be shown: too few test reviews, with large losses, decide the difference.",)
    elif pair.a.metric != "log_loss" and not can_show_equivalence(examples, margin):
        unable = (" Equivalence within ", pair.margin, f"{pair.scale.after} could not be shown: it takes at least ",
                  Number(f"{pair.key}.equivalence-examples", examples_for_equivalence(margin), "count",
                         method="fewest test reviews that show equivalence where no answer differs"),
                  " test reviews, and there are ", pair.number("examples", examples, "count"), ".")
    return (*alone, " Runs like these detect a true difference of ", pair.detectable,
            f"{pair.scale.after} with a chance of 80{NBSP}%.", *unable)


def _too_few(pair: Pair) -> Sentence:
    start: Sentence = (
        f"No verdict on {pair.a.label} against {pair.b.label} from ",
        pair.number("fewest-seeds", min(pair.difference.seeds), "count", "of the model with fewer"))
    match pair.difference.evidence_level:
        case EvidenceLevel.EXAMPLES_ONLY:
            return (*start, " seed: between these two runs the difference is ", *_size(pair),
                    ", over test examples only.")
        case EvidenceLevel.ESTIMATE:
            return (*start, " seeds: an estimate only, ", *_size(pair), ".")
        case _:
            return (*start, " seeds (at least 5 are needed): ", *_size(pair), ".")


def _size(pair: Pair) -> Sentence:
    theta = pair.theta
    interval: Sentence = () if theta.low is None else (f" ({pair.interval_name} ", Ends(theta), ")")
    return (theta, pair.scale.after or f" of {pair.scale.score}", *interval)


def _settled(pair: Pair) -> Sentence:
    """Return at which look a pair was settled, or that it is open after so many; empty without looks."""
    if pair.followed is None or not pair.followed.looks:
        return ()
    by = pair.followed.settled
    place = pair.number("look", (by or pair.followed.last).place + 1, "count", "from 1, of the looks planned")
    of = pair.number("looks", pair.planned, "count", "looks planned")
    return (", settled at look " if by else ", open after look ", place, " of ", of)


def _test(pair: Pair) -> Sentence:
    if pair.followed is not None:
        return _settled(pair)
    if pair.tests is None:
        return ()
    return (", ", *p_is(pair.p), " after Holm" if pair.family > 1 else "")


def _equivalence_test(pair: Pair) -> Sentence:
    """Return the test that found two models equivalent (its p, or its look), and what it cannot show."""
    test = _settled(pair)
    if pair.tests is not None:
        test = (", ", *p_is(pair.p_equivalent), " after Holm" if pair.family > 1 else "")
    return (*test, ". A failure of up to ", pair.unseen, f"{NBSP}% of seeds could go unseen in these runs.")
