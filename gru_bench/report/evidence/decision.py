"""The decision that the verdicts of a report allow: which model to take, or why none is to be taken yet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, combinations

from gru_bench.report.document.numbers import Number
from gru_bench.report.document.sentences import Sentence, joined, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.results.logged_metrics import TRAIN_SECONDS
from gru_bench.stats.text import MINUS
from gru_bench.stats.verdict import LEAST_GROUPS, Finding

BETTER = (Finding.BETTER, Finding.BETTER_BY_MARGIN)
FASTER = 1.2
"""Ratio of training times from which on one model trains faster than another."""
NAMED = 2
"""Most open pairs that are named."""
LEAST_SEEDS = 5
"""Fewest seeds for a verdict."""

Couple = tuple[str, str]
"""The keys of two models."""


class Reason(Enum):
    """Why a model is to be taken, or none."""

    BEST = "one model is better than every other"
    LEFT = "one model is left: every other is worse than some model"
    EQUIVALENT = "the models that are left are equivalent"
    BASELINE = "the baseline is better"
    ABOVE_BASELINE = "the only model is better than the baseline"
    ONE_MODEL = "the only model is not better than the baseline"
    TOO_FEW_SEEDS = "too few seeds"
    TOO_FEW_GROUPS = "too few groups of test texts"
    NOT_COMPARED = "models that are left are not compared"
    GUESSING = "models that are left are not above guessing"
    OPEN = "pairs that are left are not settled"
    WITHIN_MARGIN = "one model is equivalent to every other that is left, but these are not settled among themselves"
    CONTRADICTION = "every model is worse than another"


UNDECIDED: Mapping[Reason, Finding | None] = {
    Reason.TOO_FEW_SEEDS: Finding.TOO_FEW_SEEDS, Reason.TOO_FEW_GROUPS: Finding.TOO_FEW_GROUPS,
    Reason.NOT_COMPARED: None, Reason.GUESSING: Finding.GUESSING, Reason.OPEN: Finding.INCONCLUSIVE}
"""Reason -> the finding on a pair that gives it; None: the pair is not compared. The first that applies is named."""


@dataclass(frozen=True)
class Decision:
    """What the verdicts on models that were scored on the same test texts allow."""

    reason: Reason
    models: tuple[str, ...]
    """The models to choose from, or those that the baseline is better than."""
    open: tuple[Couple, ...] = ()
    """The pairs of models that the reason is about."""


def decide(
    models: Sequence[str], found: Mapping[Couple, tuple[Finding, int]], baseline: Mapping[str, int | None]
) -> Decision:
    """Return the decision.

    A model is left to choose from if neither another model nor the baseline is found better. Models with a real but
    negligible difference are equivalent. A model that is equivalent to all others that are left can be taken although
    these are not settled among themselves: none of them is better by more than the equivalence margin.

    Args:
        models: The keys of the models.
        found: Pair -> its finding, and which of the two is better: 1 the first, -1 the second, 0 neither.
        baseline: Model -> 1 if it is better than the best baseline, -1 if it is worse, 0 if neither is shown, None
            without a test. Empty: there is no baseline.
    """
    beats = {pair if side > 0 else pair[::-1] for pair, (finding, side) in found.items() if finding in BETTER}
    below = tuple(model for model in models if baseline.get(model) == -1)
    beaten = {*below, *(worse for _, worse in beats)}
    left = tuple(model for model in models if model not in beaten)
    if not left:
        return Decision(Reason.BASELINE if below else Reason.CONTRADICTION, below)
    findings = {frozenset(pair): finding for pair, (finding, _) in found.items()}
    for reason, meant in UNDECIDED.items():
        if pairs := tuple(pair for pair in combinations(left, 2) if findings.get(frozenset(pair)) is meant):
            settled = tuple(model for model in left if model not in chain.from_iterable(pairs))
            return Decision(Reason.WITHIN_MARGIN, settled, pairs) if reason is Reason.OPEN and settled else Decision(
                reason, left, pairs)
    if len(left) > 1:
        return Decision(Reason.EQUIVALENT, left)
    if len(models) > 1:
        best = all((left[0], other) in beats for other in models if other != left[0])
        return Decision(Reason.BEST if best else Reason.LEFT, left)
    return Decision(Reason.ABOVE_BASELINE if baseline.get(left[0]) == 1 else Reason.ONE_MODEL, left)


def decision_sentence(evidence: Evidence) -> Sentence:
    """Return the decision that the evidence of confirmation runs allows, in sentences that say no more than the
    verdicts."""
    if len(evidence.families) > 1:
        return ("No decision: the models were scored on different test texts.",)
    groups = {group.key: group for group in evidence.groups}
    decision = decide(
        tuple(groups), {(pair.a.key, pair.b.key): (pair.verdict.finding, pair.favours) for pair in evidence.compared},
        {one.group.key: one.favours for one in evidence.against})
    return (*_decided(evidence, decision, groups), *_qualified(evidence, decision), *_untested(evidence, decision))


def _qualified(evidence: Evidence, decision: Decision) -> Sentence:
    """Return that a model is taken from few seeds, or from single runs of a study; empty elsewhere."""
    own = [pair for pair in evidence.compared if {pair.a.key, pair.b.key} & {*decision.models}]
    if decision.reason in UNDECIDED or decision.reason is Reason.BASELINE:
        return ()
    if any(pair.has_few_seeds for pair in own):
        return (f" This rests on few seeds: equivalence and claims take at least {LEAST_SEEDS} of each model.",)
    if any(pair.lacks_seeds for pair in own):
        return (" This is true of these runs only, not of the way they were trained.",)
    return ()


def _untested(evidence: Evidence, decision: Decision) -> Sentence:
    """Return which baseline has a better score than models that are left without a test, and why there is none."""
    ahead = [one for one in evidence.against if one.group.key in decision.models and one.is_ahead]
    if not ahead:
        return ()
    group, baseline = ahead[0].group, ahead[0].baseline
    every = "every model here" if len(ahead) == len(evidence.groups) > 1 else listed([one.group.label for one in ahead])
    return say(
        " But the baseline {baseline} has a better score ({score}{unit}) than {every}. No test compares them ({why}): "
        "do not choose a model over it yet.", baseline=baseline.name, score=baseline.score,
        unit=group.scale.suffix, every=every, why=_why_untested(group))


def _why_untested(group: Group) -> str:
    """Return why a model is not tested against the baseline on its data."""
    if group.metric != "accuracy":
        return "a test takes accuracy as the score"
    if len(group.runs) < LEAST_SEEDS:
        return f"a test takes at least {LEAST_SEEDS} seeds"
    if group.groups_of_one_size < LEAST_GROUPS:
        return f"a test takes at least {LEAST_GROUPS} groups of test texts"
    return "the baseline’s answers were not logged"


def _decided(evidence: Evidence, decision: Decision, groups: Mapping[str, Group]) -> Sentence:
    """Return the decision without the baselines that were not tested."""
    against = evidence.against
    models = [groups[key] for key in decision.models]
    names = listed([group.label for group in models])
    linear = f"the baseline {against[0].baseline.name}" if against else ""
    unproven = [one for one in against if one.group in models and one.favours != 1 and not one.is_ahead]
    match decision.reason:
        case Reason.BASELINE if len(models) == len(groups) > 1:
            return (f"Take {linear}: it is better than every model here.",)
        case Reason.BASELINE:
            others = "" if len(models) == len(groups) else ", and every other model is worse than another one"
            return (f"Take {linear}: it is better than {names}{others}.",)
        case Reason.ABOVE_BASELINE:
            return (f"Take {names}: it is better than {linear}.",)
        case Reason.ONE_MODEL:
            return _one_model(models[0], linear, is_tested=any(one.favours is not None for one in against))
        case Reason.EQUIVALENT:
            said, models = _fastest(evidence, models)
        case Reason.WITHIN_MARGIN:
            said = _within_margin(evidence, decision, groups)
        case Reason.BEST:
            take = "Of these models, take" if unproven else "Take"
            others = "the other" if len(groups) == 2 else "each of the others"
            said = (f"{take} {names}: it is better than {others}.",)
        case Reason.LEFT:
            said = (f"Take {names}: no model is better, and every other model is worse than another one"
                    f"{f' or than {linear}' if linear else ''}.",)
        case _:
            return _undecided(evidence, decision, groups)
    unproven = [one for one in unproven if one.group in models]
    if not unproven:
        return said
    which = "It is not" if decision.reason is Reason.BEST else f"{models[0].label} is not" if len(models) == 1 else (
        f"{'None' if len(unproven) == len(models) else 'Not each'} of them is")
    return (*said, f" {which} shown to be better than {linear}, which is simpler.")


def _within_margin(evidence: Evidence, decision: Decision, groups: Mapping[str, Group]) -> Sentence:
    """Return which model to take, or which of several, where it is equivalent to models that are not settled."""
    models, others = ([groups[key].label for key in keys] for keys in (
        decision.models, dict.fromkeys(chain.from_iterable(decision.open))))
    is_other = "each of them is" if len(models) > 1 else "it is"
    return say(
        "Take {models} if a difference of up to {margin}{unit} does not matter: {is_other} equivalent to {others} "
        "within this margin. Which of {others} is best is not settled.", models=" or ".join(models),
        margin=_margin(evidence, decision.models[0]), unit=groups[decision.models[0]].scale.after, is_other=is_other,
        others=listed(others))


def _margin(evidence: Evidence, key: str) -> Number:
    """Return the equivalence margin of the comparisons of a model."""
    return next(pair.number("margin") for pair in evidence.compared if key in (pair.a.key, pair.b.key))


def _fastest(evidence: Evidence, models: Sequence[Group]) -> tuple[Sentence, list[Group]]:
    """Return which of some equivalent models to take, as a sentence and as models: those that train the fastest."""
    start = say("{names} are equivalent within {margin}{unit}", names=listed([group.label for group in models]),
                margin=_margin(evidence, models[0].key), unit=models[0].scale.after)
    any_of = "either" if len(models) == 2 else "any of them"
    seconds = {group.key: group.logged(TRAIN_SECONDS).value or 0.0 for group in models}
    if not all(0 < value < math.inf for value in seconds.values()):
        return (*start, f": take {any_of}."), list(models)
    first, second, *_ = by_time = sorted(models, key=lambda group: seconds[group.key])
    fastest = [group for group in by_time if seconds[group.key] < FASTER * seconds[first.key]]
    if len(fastest) == len(models):
        return (*start, f" and train about equally fast: take {any_of}."), fastest
    if len(fastest) > 1:
        names = listed([group.label for group in fastest])
        return (*start, f", and {names} train the fastest: take one of them."), fastest
    with_backend = first.backend != second.backend
    one, other = (f"{group.label} ({group.backend})" if with_backend else group.label for group in (first, second))
    ratio = evidence.numbers.on(first.ids + second.ids).add(
        "decision.faster", seconds[second.key] / seconds[first.key], "tenth", "ratio of the mean training seconds")
    return (*start, f", and {one} trains ", ratio, f" times as fast as {other}: take {first.label}."), fastest


def _one_model(group: Group, linear: str, is_tested: bool) -> Sentence:
    """Return why nothing is decided on the only model."""
    if not linear:
        return ("No decision: there is one model, and no baseline on the same data.",)
    if len(group.runs) < LEAST_SEEDS:
        return _too_few_seeds([group])
    if is_tested:
        return (f"No decision yet: {group.label} is not shown to be better or worse than {linear}, which is simpler.",)
    return (f"No decision: {group.label} is not tested against {linear} ({_why_untested(group)}).",)


def _too_few_seeds(groups: Sequence[Group]) -> Sentence:
    few: list[Sentence] = [(f"{group.label} has ", group.seeds) for group in groups if len(group.runs) < LEAST_SEEDS]
    return (f"No decision yet: a verdict takes at least {LEAST_SEEDS} seeds, and ", *joined(few, ", "), ".")


def _undecided(evidence: Evidence, decision: Decision, groups: Mapping[str, Group]) -> Sentence:
    """Return why the verdicts allow no decision on several models."""
    couples = [(groups[a].label, groups[b].label) for a, b in decision.open]
    open_models = [groups[key] for key in dict.fromkeys(chain.from_iterable(decision.open))]
    runs = [run_id for group in open_models for run_id in group.ids]
    many: Sentence = (evidence.numbers.on(runs).add("decision.open", len(couples)), " pairs of models")
    match decision.reason:
        case Reason.TOO_FEW_SEEDS:
            return _too_few_seeds(open_models)
        case Reason.TOO_FEW_GROUPS:
            return (f"No decision yet: a verdict takes at least {LEAST_GROUPS} groups of test texts.",)
        case Reason.GUESSING:
            return (f"No decision: {listed([group.label for group in open_models])} are not above guessing.",)
        case Reason.NOT_COMPARED:
            pairs = (listed([f"{a} with {b}" for a, b in couples]),) if len(couples) <= NAMED else many
            return ("No decision: ", *pairs, " cannot be compared; Comparisons says why.")
        case Reason.OPEN:
            pairs = (listed([f"{a} {MINUS} {b}" for a, b in couples]),) if len(couples) <= NAMED else many
            are, it = ("is", "it") if len(couples) == 1 else ("are", "them")
            return ("No decision yet: ", *pairs, f" {are} not settled; Comparisons says what could settle {it}.")
        case _:
            return ("No decision: the verdicts contradict one another.",)
