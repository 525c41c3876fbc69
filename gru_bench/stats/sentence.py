"""The one sentence on a pair of models, which page, console, `--json`, `--claim` and the Python API print.

It is a template with named slots, such as `{a} is better than {b}: {difference}{unit}`, and `quantity` gives the value
of each. `in_words` fills them with text; a report fills them with numbers that lead to their runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from gru_bench.stats.estimate import Estimate
from gru_bench.stats.text import MINUS, NBSP, Number, decimals_for, scale_of
from gru_bench.stats.verdict import (
    LEAST_GROUPS,
    Finding,
    Pair,
    can_be_equivalent,
    examples_for_equivalence,
)

TESTS: Mapping[str, str] = {"p": "two-sided test", "p_equivalent": "two one-sided tests"}
"""Slot of a p value -> the name of its test."""
NARROW = f"90{NBSP}% interval"
"""Name of the interval that decides on equivalence."""
DETECTED = "minimum detectable difference: the smallest true one found with 80 % power at the 5 % level by such runs"


def verdict_template(pair: Pair) -> str:
    """Return the verdict on a pair of models, as a sentence with slots."""
    size = _size(pair)
    found = f"{size}{_test(pair, 'p')}"
    before = "In these runs alone, " if pair.is_of_runs else "With few seeds, " if pair.has_few_seeds else ""
    # Of the first model, whose difference from the second is shown: its sign and the word agree.
    better = f"{before}{{a}} is {'better' if pair.favours >= 0 else 'worse'} than {{b}}"
    match pair.verdict.finding:
        case Finding.BETTER:
            return f"{better}: {found}."
        case Finding.NEGLIGIBLE:
            return (f"{better}, but by a negligible amount: {found}; the {NARROW}, {{narrow}}, lies within "
                    f"±{{margin}}{{unit}}{_test(pair, 'p_equivalent')}.")
        case Finding.EQUIVALENT:
            return (f"{before}{{a}} and {{b}} are equivalent within {{margin}}{{unit}}: the {NARROW} of "
                    f"their difference is {{narrow}}{{unit}}{_test(pair, 'p_equivalent')}.")
        case Finding.TOO_FEW_GROUPS:
            return (f"No verdict on {{a}} and {{b}} from {{groups}} effective groups (at least {LEAST_GROUPS} are "
                    f"needed): {{a}} minus {{b}} is {size}.")
        case Finding.GUESSING:
            return ("No verdict on {a} and {b}: neither is above guessing, which reaches {guessing}. {a} minus {b} is "
                    f"{size}.")
        case Finding.INCONCLUSIVE:
            where = " in these runs" if pair.is_of_runs else " with few seeds" if pair.has_few_seeds else ""
            return f"Inconclusive{where}: {{a}} minus {{b}} is {found}.{_reasons(pair)}"


def decided_by(pair: Pair) -> str:
    """Return the slot of the p value that decides the verdict on a pair, a key of `TESTS`; empty where none does.

    "Real but negligible" takes two tests, of which the one with the larger p decides.
    """
    if pair.tests is None:
        return ""
    match pair.verdict.finding:
        case Finding.BETTER | Finding.INCONCLUSIVE:
            return "p"
        case Finding.EQUIVALENT:
            return "p_equivalent"
        case Finding.NEGLIGIBLE:
            return "p" if pair.tests.different > pair.tests.equivalent else "p_equivalent"
    return ""


def slots_in(template: str) -> set[str]:
    """Return the names of the slots of a template."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def quantity(pair: Pair, slot: str) -> Number:
    """Return the value of a slot of a sentence on a pair of models."""
    found, margin, tests = pair.difference, pair.verdict.margin, pair.tests
    kind, holm = scale_of(pair.metric).kind, f", Holm over {pair.family} pairs" if pair.family > 1 else ""
    holm = (f", times {pair.asked} because {pair.asked} studies ask the question" if pair.asked > 1 else "") + holm
    match slot:
        case "difference":
            return _difference(pair, "difference", found, pair.interval_name)
        case "narrow":
            return _difference(pair, "difference-90", pair.verdict.equivalence, NARROW)
        case "margin":
            return Number("margin", margin, kind, "equivalence margin: the largest difference of no practical weight",
                          decimals=decimals_for([margin], [0.0], kind))
        case "detectable":
            value = found.detectable(max(1, pair.family) * pair.asked)
            return Number("detectable", value, kind, "takes two seeds" if value is None else detected(pair),
                          decimals=None if value is None else decimals_for([value], [0.0], kind))
        case "p":
            return Number("p", tests.different if tests else None, "p", f"two-sided{holm}")
        case "p_equivalent":
            return Number("p-equivalent", tests.equivalent if tests else None, "p", f"{TESTS[slot]}{holm}")
        case "groups":
            return Number("groups", found.groups, "tenth", "groups of one size")
        case "family":
            return Number("family", pair.family, "count", "pairs tested together")
        case "least":
            return Number("equivalence-examples", examples_for_equivalence(margin), "count",
                          "fewest test texts that show equivalence where no answer differs")
        case "effective":
            return Number("examples", found.effective, "count")
        case _:
            raise KeyError(slot)


def detected(pair: Pair) -> str:
    """Return what the minimum detectable difference is."""
    divided = [*([f"the {pair.family} pairs compared"] if pair.family > 1 else []),
               *([f"the {pair.asked} studies that ask the question"] if pair.asked > 1 else [])]
    return f"{DETECTED}; the level is divided by {' and by '.join(divided)}" if divided else DETECTED


def _difference(pair: Pair, name: str, found: Estimate, interval: str) -> Number:
    """Return the difference, with enough decimals that it does not look equal to 0, nor an end to 0 or the margin."""
    kind, margin = scale_of(pair.metric).difference, pair.verdict.margin
    decimals = decimals_for([found.estimate], [0.0], kind)
    return Number(name, found.estimate, kind, f"{interval}, {found.method}".replace(NBSP, " "), found.low, found.high,
                  max(decimals, decimals_for((found.low, found.high), (0.0, margin, -margin), kind)))


def words(pair: Pair) -> dict[str, str]:
    """Return the slots of a sentence on a pair that hold words."""
    scale = scale_of(pair.metric)
    return {"a": pair.names[0], "b": pair.names[1], "unit": scale.after, "of": scale.after or f" of {scale.score}"}


def in_words(pair: Pair, template: str) -> str:
    """Return a sentence on a pair of models as text: each slot is replaced by its value."""

    def shown(slot: str) -> str:
        found = quantity(pair, "difference" if slot == "ends" else slot)
        text = " to ".join(part.text for part in (found.ends if slot in ("ends", "narrow") else (found,)))
        return text if found.kind != "p" else f"p {text}" if text.startswith("<") else f"p = {text}"

    slots = {slot: shown(slot) for slot in slots_in(template) - words(pair).keys()}
    return template.format(**words(pair), **slots).replace(NBSP, " ").replace(MINUS, "-")


def _size(pair: Pair) -> str:
    return f"{{difference}}{{of}} ({pair.interval_name} {{ends}})"


def _test(pair: Pair, slot: str) -> str:
    """Return the test that decides, with its p value."""
    return "" if pair.tests is None else f", {TESTS[slot]}: {{{slot}}}{' after Holm' if pair.family > 1 else ''}"


def _reasons(pair: Pair) -> str:
    """Return why a comparison may be inconclusive."""
    found, margin, inner = pair.difference, pair.verdict.margin, pair.verdict.equivalence
    able = can_be_equivalent(found, margin)
    chance = ", but with {family} pairs, one such result may be due to chance."
    said = "" if found.low <= 0 <= found.high else f" The unadjusted interval excludes 0{chance}"
    if able and -margin < inner.low and inner.high < margin:
        said += f" The unadjusted {NARROW} lies within the equivalence margin{chance}"
    if found.design is not None:
        said += f" The minimum detectable difference of such runs is {{detectable}}{{unit}} (80{NBSP}% power)."
    if pair.has_few_seeds:
        return f"{said} Equivalence needs at least 5 seeds per model."
    if not able and found.is_tailed:
        said += " They cannot show equivalence, because the difference depends on too few test examples."
    elif not able:
        said += (" They cannot show equivalence within {margin}{unit}, which needs at least {least} test examples: "
                 f"{'there are' if found.effective >= found.examples else 'these are worth'} {{effective}}.")
    return said
