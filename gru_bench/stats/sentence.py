"""The one sentence on a pair of models, which page, console, `--json`, `--claim` and the Python API print.

It is a template with named slots, such as `{a} is better than {b}: {difference}{unit}`. `in_words` fills them with
text; a report fills them with numbers that lead to their runs.
"""

from __future__ import annotations

from collections.abc import Callable
from string import Formatter

from gru_bench.results.logged_metrics import compared
from gru_bench.stats.estimate import Estimate, EvidenceLevel
from gru_bench.stats.text import NBSP, decimals_apart, p_text
from gru_bench.stats.verdict import (
    LEAST_GROUPS,
    Finding,
    Pair,
    can_be_equivalent,
    examples_for_equivalence,
    unseen_failures,
)


def verdict_template(pair: Pair) -> str:
    """Return the verdict on a pair of models, as a sentence with slots."""
    found = difference_template(pair)
    # Of the first model, whose difference from the second is shown: its sign and the word agree.
    better = f"{{a}} is {'better' if pair.favours >= 0 else 'worse'} than {{b}}"
    unseen = f"A failure of up to {{unseen}}{NBSP}% of seeds could go unseen in these runs."
    match pair.verdict.finding:
        case Finding.BETTER:
            return f"{better}: {found}."
        case Finding.BETTER_BY_MARGIN:
            return f"{better} by more than {{margin}}{{unit}}: {found}."
        case Finding.NEGLIGIBLE:
            return (f"{better}, but by a negligible amount: {found}; the {pair.narrow_name}, {{narrow}}, lies within "
                    f"±{{margin}}{{unit}}{_test(pair, '{p_equivalent}')}. {unseen}")
        case Finding.EQUIVALENT:
            return (f"{{a}} and {{b}} are equivalent within {{margin}}{{unit}}: the {pair.narrow_name} of their "
                    f"difference, {{narrow}}{{unit}}, lies within it{_test(pair, '{p_equivalent}')}. {unseen}")
        case Finding.TOO_FEW_SEEDS:
            return f"No verdict on {{a}} against {{b}} from {{seeds}}{_too_few_seeds(pair)}."
        case Finding.TOO_FEW_GROUPS:
            return (f"No verdict on {{a}} against {{b}} from {{groups}} groups of equal size (at least {LEAST_GROUPS} "
                    f"are needed): {_size(pair)}.")
        case Finding.GUESSING:
            return (f"No verdict on {{a}} against {{b}}: neither is above guessing, which reaches {{guessing}}. The "
                    f"difference is {_size(pair)}.")
        case Finding.INCONCLUSIVE if pair.planned and not pair.look:
            return "{a} against {b}: no planned look was taken yet, or its runs are gone, so there is no verdict."
        case Finding.INCONCLUSIVE:
            return f"Inconclusive: {{a}} against {{b}}, {found}.{_doubts(pair)}"


def difference_template(pair: Pair) -> str:
    """Return the difference of a pair with its interval and its test, or its look, as a part of a sentence."""
    return f"{_size(pair)}{_test(pair, '{p}')}"


def slots_in(template: str) -> set[str]:
    """Return the names of the slots of a template."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def in_words(pair: Pair, template: str) -> str:
    """Return a sentence on a pair of models as text: each slot is replaced by its value."""
    found, margin, inner = pair.difference, pair.verdict.margin, pair.verdict.equivalence
    factor, usual, unit = scale(pair)

    def size(value: float) -> str:
        return f"{factor * value:.{decimals_apart([value], [0.0], factor, usual)}f}"

    def ends(one: Estimate) -> str:
        decimals = decimals_apart((one.estimate, one.low, one.high), (0.0, margin, -margin), factor, usual)
        return f"{signed(one.low, decimals)} to {signed(one.high, decimals)}"

    def signed(value: float, decimals: int) -> str:
        text = f"{factor * value:+.{decimals}f}"
        return text if text.strip("+-0.") else text.lstrip("+-")  # zero has no sign

    def difference() -> str:
        values = [found.estimate, *([found.low, found.high] if found.evidence_level.has_interval else [])]
        return signed(found.estimate, decimals_apart(values, (0.0, margin, -margin), factor, usual))

    def p(value: float) -> str:
        return f"p {p_text(value)}" if value < 0.001 else f"p = {p_text(value)}"

    slots: dict[str, Callable[[], str]] = {
        "a": lambda: pair.names[0], "b": lambda: pair.names[1], "unit": lambda: unit, "of": lambda: unit or (
            f" of {compared(pair.metric, 'test').label.removeprefix('test ')}"),
        "difference": difference, "ends": lambda: ends(found), "narrow": lambda: ends(inner),
        "margin": lambda: size(margin), "detectable": lambda: size(found.detectable(pair.family) or 0.0),
        "p": lambda: p(pair.tests.different if pair.tests else 1.0),
        "p_equivalent": lambda: p(pair.tests.equivalent if pair.tests else 1.0),
        "unseen": lambda: f"{100 * unseen_failures(min(found.seeds)):.0f}", "seeds": lambda: str(min(found.seeds)),
        "groups": lambda: f"{found.groups:.1f}", "family": lambda: str(pair.family),
        "look": lambda: str(pair.look), "looks": lambda: str(pair.planned),
        "least": lambda: f"{examples_for_equivalence(margin):,}", "effective": lambda: f"{found.effective:,.0f}"}
    return template.format(**{name: slots[name]() for name in slots_in(template)}).replace(NBSP, " ")


def scale(pair: Pair) -> tuple[float, int, str]:
    """Return how differences of a pair are shown: a factor, the usual decimals, and the unit after a space."""
    if compared(pair.metric, "test").unit == "share":
        return 100, 1, " points"
    return 1, 3, " nats" if pair.metric == "log_loss" else ""


def _size(pair: Pair) -> str:
    ends = f" ({pair.interval_name} {{ends}})" if pair.difference.evidence_level.has_interval else ""
    return f"{{difference}}{{of}}{ends}"


def _test(pair: Pair, p: str) -> str:
    """Return at which look a pair was settled, or that it is open after so many; without looks the p value."""
    if pair.planned:
        if not pair.look:
            return ""
        return f", {'settled at' if pair.is_settled else 'open after'} look {{look}} of {{looks}}"
    return "" if pair.tests is None else f", {p}{' after Holm' if pair.family > 1 else ''}"


def _too_few_seeds(pair: Pair) -> str:
    match pair.difference.evidence_level:
        case EvidenceLevel.EXAMPLES_ONLY:
            return f" seed: between these two runs the difference is {_size(pair)}, over test examples only"
        case EvidenceLevel.ESTIMATE:
            return f" seeds: an estimate only, {_size(pair)}"
        case _:
            return f" seeds (at least 5 are needed): {_size(pair)}"


def _doubts(pair: Pair) -> str:
    """Return why a comparison may be inconclusive."""
    found, margin, inner = pair.difference, pair.verdict.margin, pair.verdict.equivalence
    able = can_be_equivalent(found, margin)
    chance = ", but among {family} pairs one such finding may be chance."
    said = "" if found.low <= 0 <= found.high else f" The interval alone excludes 0{chance}"
    if not pair.planned and able and -margin < inner.low and inner.high < margin:
        said += f" The {pair.narrow_name} alone lies within the margin{chance}"
    if found.design is not None:
        said += f" Runs like these detect a true difference of {{detectable}}{{unit}} with a chance of 80{NBSP}%."
    if not able and found.is_tailed:
        said += " Equivalence could not be shown: too few test examples decide the difference."
    elif not able:
        said += (" Equivalence within {margin}{unit} could not be shown: it takes at least {least} test examples, and "
                 f"{'there are' if found.effective >= found.examples else 'these tell as much as'} {{effective}}.")
    return said
