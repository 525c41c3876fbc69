"""Sentences about pairs of models, none of which says more than its numbers.

Numbers inside sentences are the ones the tables show: points with one decimal, or more where one would
make an end look like 0 or like the margin.
"""

from __future__ import annotations

from gru_bench.document.sentences import Ends, Field, Sentence, p_is, say
from gru_bench.evidence.pairs import Pair
from gru_bench.stats.sentence import slots_in, verdict_template, words


def verdict_sentence(pair: Pair) -> Sentence:
    """Return the verdict on a pair of models, as a sentence with its numbers."""

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

    template, known = verdict_template(pair), words(pair)
    return say(template, **known, **{slot: field(slot) for slot in slots_in(template) - known.keys()})


def needed_sentence(pair: Pair) -> Sentence:
    """Return how many new test texts could settle an open comparison, or that no number could; empty for other
    verdicts, and where there are so many texts already."""
    if pair.is_open and pair.texts_enough is None:
        return say("With these seeds, no number of test texts would detect a difference of {margin}{unit} with 80 % "
                   "power.", margin=pair.number("margin"), unit=pair.scale.after)
    if (texts := pair.texts_needed) is None:
        return ()
    return say(
        "A new test set of about {texts} texts{where} would detect a difference of {margin}{unit} with 80 % power.",
        texts=pair.on_examples.add(
            "needed-examples", texts, "count",
            "fewest test texts that detect the equivalence margin with 80 % power, rounded up to hundreds"),
        where="" if pair.a.group_N is None else " in new groups",
        margin=pair.number("margin"), unit=pair.scale.after)
