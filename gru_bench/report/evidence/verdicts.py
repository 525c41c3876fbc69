"""Sentences about pairs of models, none of which says more than its numbers.

Numbers inside sentences are the ones the tables show: points with one decimal, or more where one would
make an end look like 0 or like the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

from gru_bench.report.document.sentences import Ends, Field, Sentence, joined, p_is, say
from gru_bench.report.evidence.pairs import Pair
from gru_bench.stats.estimate import Design
from gru_bench.stats.sentence import DETECTED, detected, slots_in, verdict_template, words

FRESH = ("fewest that detect the equivalence margin with 80 % power in another test on the same texts, and at least "
         "twice those at hand; one number for all pairs")
MORE_EXAMPLES = (
    "collect more labeled texts and start a study under another --study-name, with the texts either in a separate file "
    "(--test-data FILE) or in a larger file (--data FILE), a tenth of which is used for testing."
)


@dataclass(frozen=True)
class Limit:
    """How many texts the setting data.limit let into a study, and how many its data holds."""

    taken: int
    whole: int


def verdict_sentence(pair: Pair) -> Sentence:
    """Return the verdict on a pair of models, as a sentence with its numbers."""

    def field(slot: str) -> Field:
        match slot:
            case "ends":
                return (Ends(pair.number("difference")),)
            case "narrow":
                return (Ends(pair.number("narrow")),)
            case "p" | "p_beyond" | "p_equivalent":
                return p_is(pair.number(slot))
            case "guessing":
                return (pair.a.guessing, pair.scale.suffix)
        return pair.number(slot)

    template, known = verdict_template(pair), words(pair)
    return say(template, **known, **{slot: field(slot) for slot in slots_in(template) - known.keys()})


def next_step_sentence(pair: Pair, together: int | None = None, limit: Limit | None = None) -> Sentence:
    """Return what could settle an open comparison, as a text, and for ended studies how to get it; empty for other
    verdicts.

    Args:
        pair: Comparison.
        together: As for `needed_sentence`.
        limit: As for `advice`.
    """
    return joined([needed_sentence(pair, together), *(advice(pair, limit) if pair.done else ())])


def needed_sentence(pair: Pair, together: int | None = None) -> Sentence:
    """Return how many test texts or fresh seeds could settle an open comparison; empty for other verdicts.

    Args:
        pair: Comparison.
        together: Fresh seeds that serve all comparisons of a report, at least those needed here.
    """
    is_going_on = pair.a.is_logged and pair.b.is_logged and not pair.done
    if is_going_on or pair.design is None or pair.lacks_seeds:
        return ()  # of few seeds it is said once for all pairs
    if not pair.design.seed:  # single runs, which no seeds are added to
        return _enough_examples(pair) if pair.is_open else ()
    if pair.fresh_seeds is None:
        return _only_examples(pair, pair.design) if pair.is_open else ()
    assert pair.design_again is not None
    fresh = max(pair.fresh_seeds, together or 0)
    least = pair.design_again.detectable((fresh,) * len(pair.design_again.seed), pair.difference.examples)
    return joined([_enough_examples(pair), say(
        "{fresh} fresh seeds per model, on the same test texts, detect a difference of {detected}{unit}.",
        fresh=pair.on_examples.add("fresh-seeds", fresh, "count", FRESH),
        detected=pair.size("fresh-detectable", least, f"{DETECTED}; the level is divided by the {pair.asked + 1} "
                           f"studies that ask the question, and by {pair.design_again.family // (pair.asked + 1)} for "
                           "the pairs in each"),
        unit=pair.scale.after)])


def advice(pair: Pair, limit: Limit | None = None) -> list[Sentence]:
    """Return how to get what could settle an open comparison: first new test texts, then fresh seeds.

    Open pairs have these sentences in common.

    Args:
        pair: Comparison.
        limit: Limit that excluded texts; None where there was none.
    """
    if not pair.is_open:
        return []
    source = _source_of_examples(pair, limit)
    if pair.fresh_seeds is None:
        return source
    counted: Sentence = () if not pair.pairs_again else say(
        " and adjusted for all {pairs} pairs of old and new models", pairs=pair.numbers.on(()).add(
            "pairs-again", pair.pairs_again, "count", "pairs of the old and the new models"))
    return [*source, say(
        "Fresh seeds on the same test texts ask the question again: p of the old and the new study is multiplied by "
        "{times}{counted}. The result may still be inconclusive. Do not pool the old runs with the new ones.",
        times=pair.of_runs.add("asked-again", pair.asked + 1, "count", "studies that will ask the question"),
        counted=counted)]


def _enough_examples(pair: Pair) -> Sentence:
    """Return how many new test texts detect the equivalence margin, or that no number does."""
    if pair.needed is None:
        return say("No number of test texts detects a difference of {margin}{unit} with 80 % power.",
                   margin=pair.number("margin"), unit=pair.scale.after)
    if pair.more_examples is None:
        return ()  # the texts at hand are enough, but not with these seeds
    examples, seeds = pair.more_examples
    more = "" if seeds == pair.fewest_seeds else "With these seeds no number of test texts is enough. "
    return say(
        "{more}A new test set of about {examples} texts{each} detects a difference of {margin}{unit} with 80 % power.",
        more=more,
        each="" if pair.is_of_runs else say(", with {seeds} seeds per model,", seeds=pair.on_examples.add(
            "needed-seeds", seeds, "count",
            "the seeds at hand, or the fewest of 10, 20 and 50 beyond which more seeds do not halve the examples")),
        examples=pair.on_examples.add(
            "needed-examples", examples, "count",
            "fewest test texts that detect the equivalence margin with 80 % power, rounded up to hundreds"),
        margin=pair.number("margin"), unit=pair.scale.after)


def _only_examples(pair: Pair, design: Design) -> Sentence:
    """Return how many test texts could settle a comparison that no number of seeds can settle."""
    if pair.needed is None:
        return say(
            "Detecting a difference of {margin}{unit} needs more than 50 seeds per model, with any number of test "
            "texts: these models vary too much between seeds.", margin=pair.number("margin"),
            unit=pair.scale.after)
    floor = pair.size(
        "floor", design.detectable_floor(pair.difference.examples), f"{detected(pair)}; of very many seeds")
    present: Sentence = ("more than 50 seeds per model are needed.",)
    if floor.value is None or floor.value >= pair.verdict.margin:
        present = ("no number of seeds detects a difference below ", floor, f"{pair.scale.after}.")
    return joined([_enough_examples(pair), say("With the present test texts, {present}", present=present)])


def _source_of_examples(pair: Pair, limit: Limit | None) -> list[Sentence]:
    """Return how to get more test texts; empty where no number of them is enough, and there was no limit."""
    if limit is None:
        return [] if pair.more_examples is None else [(f"To get new test texts, {MORE_EXAMPLES}",)]
    of_study = pair.numbers.on([pair.a.study.run.run_id])
    first = say(
        "data.limit restricts the study to {taken} of {whole} texts: remove it first, with --set data.limit=none under "
        "another --study-name.", taken=of_study.add("limited", limit.taken, "count", "over all splits"),
        whole=of_study.add("unlimited", limit.whole, "count", "in the data, each text once"))
    if pair.needed is None:
        return [first, ("With all texts the models may vary less.",)]
    then = pair.difference.examples * limit.whole // limit.taken
    return [first, say(
        "For {pair}, all data have about {then} test texts, which is {enough}", pair=pair.label,
        then=pair.on_examples.add(
            "unlimited-examples", then, "count", "test texts to be expected without the limit: those at hand, "
            "times all texts over those let in"),
        enough="enough." if then >= pair.needed[0] else f"not enough: {MORE_EXAMPLES}")]
