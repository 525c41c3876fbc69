"""The decision that the verdicts of a report allow: which models no other one beats, and which of their pairs are open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from statistics import fmean

from gru_bench.report.document.sentences import Sentence, joined, listed, p_is, say
from gru_bench.report.evidence.averages import Average
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns, in_order, validation_rank
from gru_bench.report.evidence.pairs import Pair
from gru_bench.results.baselines import AVERAGE
from gru_bench.results.logged_metrics import score, score_name
from gru_bench.stats.text import MINUS
from gru_bench.stats.verdict import ALIKE, Finding

FASTER = 1.2
"""Ratio of training times from which on one model trains faster than another."""
NAMED = 3
"""Most open pairs that are named."""

Couple = tuple[str, str]
"""The keys of two models."""


@dataclass(frozen=True)
class Decision:
    """What the verdicts on models that were scored on the same test texts allow."""

    beaten: Mapping[str, str]
    """Model -> one that is found better, if possible one of those that are left."""
    left: tuple[str, ...]
    """The models to choose from: no other one is found better. Empty where verdicts contradict one another."""
    open: tuple[Couple, ...]
    """Their pairs that are neither found different nor equivalent."""

    @property
    def settled(self) -> tuple[str, ...]:
        """Return those of the models left that are equivalent to each other one left."""
        return tuple(model for model in self.left if model not in chain.from_iterable(self.open))


def decide(models: Sequence[str], found: Mapping[Couple, tuple[Finding, int]]) -> Decision:
    """Return the decision. Models with a real but negligible difference are equivalent: neither beats the other.

    Args:
        models: The keys of the models. The linear model is one of them.
        found: Pair -> its finding, and which of the two is better: 1 the first, -1 the second, 0 neither.
    """
    beats = [pair[::side] for pair, (finding, side) in found.items() if finding is Finding.BETTER]
    left = tuple(model for model in models if model not in {worse for _, worse in beats})
    beaten = {worse: better for better, worse in sorted(beats, key=lambda pair: pair[0] in left)}
    alike = [{*pair} for pair, (finding, _) in found.items() if finding in ALIKE]
    return Decision({model: beaten[model] for model in models if model in beaten}, left,
                    tuple(pair for pair in combinations(left, 2) if {*pair} not in alike))


def decision_sentence(evidence: Evidence) -> Sentence:
    """Return what the verdicts have settled, with scores, and then the decision; they say no more than the verdicts."""
    groups, pairs, decision = _decided(evidence)
    if len(groups) == 1:
        return ("No decision: there is only one model.",)
    left = in_order([groups[key] for key in decision.left])
    average = _candidate(evidence)
    averaged = () if average is None else _averaged(evidence, average, [group.label for group in left])
    single = (*_beaten(decision, groups), _chosen(evidence, decision, groups, pairs), averaged)
    is_mixed = average is not None and _is_better(evidence, average)
    return joined([*((averaged,) if is_mixed else single), _few_seeds(evidence, decision),
                   _winner(evidence, decision, groups)])


def recommended(evidence: Evidence) -> str | None:
    """Return the model of a study that the decision takes, as `--model` names it; None where it is none or several."""
    groups, _, decision = _decided(evidence)
    if (average := _candidate(evidence)) is not None and _is_better(evidence, average):
        return AVERAGE
    return groups[decision.left[0]].model if len(groups) > 1 and len(decision.left) == 1 else None


def _decided(evidence: Evidence) -> tuple[Mapping[str, ModelRuns], Mapping[Couple, Pair], Decision]:
    """Return the single models, their pairs, and the decision between them."""
    groups = {group.key: group for group in (*evidence.groups, *(pair.b for pair in evidence.against))}
    pairs = {(pair.a.key, pair.b.key): pair for pair in evidence.pairs}
    return groups, pairs, decide(
        tuple(groups), {key: (pair.verdict.finding, pair.favours) for key, pair in pairs.items()})


def _candidate(evidence: Evidence) -> Average | None:
    """Return the average whose trained model is best on validation; None where there is none.

    The p of an average is adjusted for its two pairs alone. So of several studies none may be chosen by its test score.
    """
    return min(evidence.averages, key=lambda one: validation_rank(one.study, one.trained.runs), default=None)


def _is_better(evidence: Evidence, average: Average) -> bool:
    """Return whether an average is better than both of its parts."""
    pairs = [pair for pair in evidence.of_averages if pair.a is average]
    return bool(pairs) and all(pair.verdict.finding is Finding.BETTER and pair.favours > 0 for pair in pairs)


def _unbeaten(decision: Decision) -> str:
    """Return why the model that is left is taken, unless it is shown to be better than each other one."""
    return "" if {*decision.beaten.values()} == {*decision.left} else ": no model is shown to be better than it"


def _beaten(decision: Decision, groups: Mapping[str, ModelRuns]) -> list[Sentence]:
    """Return a sentence for each model that others are worse than."""
    return [
        say("{best} is better than {worse}.", best=_scored(groups[best]),
            worse=_listed([_scored(groups[model]) for model, better in decision.beaten.items() if better == best]))
        for best in dict.fromkeys(decision.beaten.values())]


def _chosen(
    evidence: Evidence, decision: Decision, groups: Mapping[str, ModelRuns], pairs: Mapping[Couple, Pair]
) -> Sentence:
    """Return which model to take, or between which none is to be taken yet."""
    left = in_order([groups[key] for key in decision.left])
    if not left:
        return ("No decision: the verdicts contradict each other.",)
    if len(left) == 1:
        return (f"Take {left[0].label}{_unbeaten(decision)}.",)
    if not decision.open:
        return _any_of(evidence, left)
    if decision.settled:
        return _within_margin(evidence, decision, groups)
    findings = {frozenset(key): pair.verdict.finding for key, pair in pairs.items()}
    found = {(a, b): findings.get(frozenset((a, b))) for a, b in combinations(decision.left, 2)}
    if set(found.values()) == {Finding.INCONCLUSIVE}:
        reasons: Sentence = (": neither a difference nor equivalence is shown"
                             f"{' for any two of them' if len(left) > 2 else ''}.",)
    elif len(decision.open) > NAMED:
        runs = [run_id for group in left for run_id in group.ids]
        reasons = (" (", evidence.numbers.on(runs).add("decision.open", len(decision.open)), " pairs).")
    else:
        open_pairs = "; ".join(f"{groups[a].label} {MINUS} {groups[b].label}: "
                               f"{'not compared' if (one := found[a, b]) is None else one.value}"
                               for a, b in decision.open)
        reasons = (f" ({open_pairs}).",)
    linear = [group.label for group in left if group.is_fitted_once]
    return say("No decision yet between {left}{reasons}{simpler}", left=_listed(list(map(_scored, left))),
               reasons=reasons, simpler=f" {linear[0]} is the simplest of them." if linear else "")


def _winner(evidence: Evidence, decision: Decision, groups: Mapping[str, ModelRuns]) -> Sentence:
    """Return which model of a study gru-bench predict takes, where test texts show another one to be better."""
    key = score(score_name(evidence.groups[0].metric), "val").key if evidence.groups[0].has_classes else ""
    if len(evidence.studies) != 1 or not all(key in run.metrics for one in groups.values() for run in one.runs):
        return ()
    sign = 1 if evidence.groups[0].scale.higher_is_better else -1
    best = max(groups.values(), key=lambda one: sign * fmean(run.metrics[key] for run in one.runs))
    return () if best.key not in decision.beaten else (
        f"{best.label} has the best validation score, so gru-bench predict uses it by default: it never chooses by "
        "test scores.",)


def _averaged(evidence: Evidence, average: Average, left: Sequence[str]) -> Sentence:
    """Return that an average is to be taken, or that it is not shown to be better than its parts.

    Both parts must be beaten, so that the p value of this is the larger one of both.

    Args:
        evidence: The evidence.
        average: The average.
        left: The single models that no other one beats.
    """
    if not _is_better(evidence, average):
        return say("The average of {parts} ({score}{unit}) is not shown to be better than both.",
                   parts=listed([part.label for part in average.parts]), score=average.score,
                   unit=average.scale.suffix)
    tests = [pair.tests.different for pair in evidence.of_averages if pair.a is average and pair.tests is not None]
    p: Sentence = () if not tests else (", ", *p_is(average.on_examples.add(
        "p", max(tests), "p", "two-sided, Holm over 2 pairs; the larger one of both")))
    single = ("" if not left else f"; of the single models, take {left[0]}" if len(left) == 1 else
              f"; the single models to choose from are {listed(left)}")
    return say("Take the average of {parts}: with {score}{unit} it is better than both{p}{single}.", p=p,
               parts=_listed([_scored(part) for part in average.parts]), score=average.score,
               unit=average.scale.suffix, single=single)


def _few_seeds(evidence: Evidence, decision: Decision) -> Sentence:
    """Return what few seeds, or single runs of a study, mean for a decision; empty where there are enough."""
    if any(pair.has_few_seeds for pair in evidence.pairs):
        return ("There are few seeds: equivalence and claims need at least 5 per model.",)
    if any(pair.lacks_seeds for pair in evidence.pairs) and (decision.beaten or not decision.open):
        return ("This holds for these runs only, not for other runs of the same settings.",)
    return ()


def _within_margin(evidence: Evidence, decision: Decision, groups: Mapping[str, ModelRuns]) -> Sentence:
    """Return which model to take, or which of several, where it is equivalent to models that are not settled."""
    models, others = ([groups[key].label for key in keys] for keys in (
        decision.settled, dict.fromkeys(chain.from_iterable(decision.open))))
    is_other = "each of them is" if len(models) > 1 else "it is"
    return say(
        "Take {models} if a difference of up to {margin}{unit} does not matter: {is_other} equivalent to {others} "
        "within this margin. It is not settled which of {others} is best.", models=" or ".join(models),
        margin=evidence.pairs[0].number("margin"), unit=evidence.pairs[0].scale.after, is_other=is_other,
        others=listed(others))


def _any_of(evidence: Evidence, models: Sequence[ModelRuns]) -> Sentence:
    """Return which of some equivalent models to take: the linear one, or those that train the fastest.

    Times are compared only where all ran on the same backends and processors.
    """
    start = say("{names} are equivalent within {margin}{unit}", names=listed([group.label for group in models]),
                margin=evidence.pairs[0].number("margin"), unit=models[0].scale.after)
    if linear := [group.label for group in models if group.is_fitted_once]:
        return (*start, f": take {linear[0]}, which is the simplest.")
    any_of = "either" if len(models) == 2 else "any of them"
    seconds = {group.key: group.seconds.value or 0.0 for group in models}
    if len({(group.backend, group.processor) for group in models}) > 1 or not all(
            0 < value < math.inf for value in seconds.values()):
        return (*start, f": take {any_of}.")
    first, second, *_ = by_time = sorted(models, key=lambda group: seconds[group.key])
    fastest = [group for group in by_time if seconds[group.key] < FASTER * seconds[first.key]]
    if len(fastest) == len(models):
        return (*start, f" and train about equally fast: take {any_of}.")
    if len(fastest) > 1:
        names = listed([group.label for group in fastest])
        return (*start, f", and {names} train the fastest: take one of them.")
    ratio = evidence.numbers.on(first.ids + second.ids).add(
        "decision.faster", seconds[second.key] / seconds[first.key], "tenth", "ratio of the median training seconds")
    return (*start, f", and {first.label} trains ", ratio, f" times as fast as {second.label}: take {first.label}.")


def _scored(group: ModelRuns) -> Sentence:
    return say("{model} ({score}{unit})", model=group.label, score=group.score, unit=group.scale.suffix)


def _listed(parts: Sequence[Sentence]) -> Sentence:
    return joined([joined(parts[:-1], ", "), parts[-1]], " and ")
