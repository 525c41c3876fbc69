"""Pairs of models on the same test texts: the difference, its test, and the verdict; their margin and their test sets.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from gru_bench.config import MetricName
from gru_bench.document.numbers import Number, Numbers, Scale, decimals_for, plain, scale_of
from gru_bench.document.sentences import Aside, Sentence, joined, say
from gru_bench.errors import UsageError
from gru_bench.evidence.baselines import linear_model
from gru_bench.evidence.candidates import Candidates
from gru_bench.evidence.groups import ModelRuns, model_name
from gru_bench.evidence.store import Store
from gru_bench.results.runs import OnTest, digest_of_examples
from gru_bench.stats.estimate import Design
from gru_bench.stats.intervals import difference
from gru_bench.stats.sentence import TESTS, decided_by, quantity
from gru_bench.stats.text import MINUS
from gru_bench.stats.verdict import MARGIN, Finding, Verdict, adjusted_tests
from gru_bench.stats.verdict import Pair as Compared
from gru_bench.tracking import LoggedStudy

GIVEN = ("margin", "family", "least")
"""Slots of the sentences on a pair whose values neither runs nor examples give."""
Couple = tuple[Numbers, ModelRuns, ModelRuns]
"""What makes the numbers of a pair, and the groups that it calls A and B."""


@dataclass(frozen=True)
class Margin:
    """The largest difference of no practical weight, and when it was chosen."""

    value: float
    """0.01 is one point of accuracy."""
    logged: tuple[float | None, ...]
    """What each study logged at its start; None where it logged none."""
    numbers: Numbers
    scale: Scale
    """How the score is shown whose differences it bounds."""

    @property
    def beforehand(self) -> bool:
        """Return whether every study fixed this very margin at its start."""
        return bool(self.logged) and all(one is not None and math.isclose(one, self.value) for one in self.logged)

    @property
    def said(self) -> Sentence:
        """Return the margin and when it was chosen, as the end of a sentence."""
        kind = self.scale.kind
        given = self.numbers.on(())
        known = [(given.add(f"methods.margin-logged-{place}", value, kind, "logged at a study's start"),)
                 for place, value in enumerate(sorted({one for one in self.logged if one is not None}), start=1)]
        if self.beforehand:
            when = f"fixed beforehand: {'the' if len(self.logged) == 1 else 'each'} study logged it at its start"
        elif not self.logged:
            when = "chosen when this report was made"
        elif not known:
            when = "chosen when this report was made, because no study logged one at its start"
        else:
            when = ("chosen when this report was made; at their start the studies logged {known}"
                    f"{', and some logged none' if None in self.logged else ''}")
        return say(f"{{margin}}{{unit}}, {when}.", unit=self.scale.after, known=joined(known, " and "),
                   margin=given.add("methods.margin", self.value, kind,
                                    "equivalence margin: the largest difference of no practical weight"))


@dataclass(frozen=True)
class ScoredTestSet:
    """A test set, with the models that were scored on it."""

    digest: str
    """Digest of the test examples."""
    groups: tuple[ModelRuns, ...]
    """The models that the report shows."""
    models: tuple[tuple[str, str], ...]
    """The study and the name of each model of the store, those that the report shows included."""
    numbers: Numbers
    studies: int = 1
    """Number of studies in the store that had scored the test set when the newest run of the report began."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """Id of an original study's own run -> number of studies that ask its question, where several do."""

    @property
    def size(self) -> int:
        """Return the number of models."""
        return max(len(self.models), len(self.groups))

    @property
    def others(self) -> list[str]:
        """Return the models that the report does not show, each with its study."""
        shown = Counter((group.study.name, group.model) for group in self.groups)
        return [f"{model_name(model)} of {plain(study)}" for study, model in (
            Counter((study, model) for study, model in self.models if study) - shown).elements()]


@dataclass(frozen=True, kw_only=True)
class Pair(Compared):
    """Everything known about the runs of group A against those of group B, which were scored on the same examples."""

    numbers: Numbers
    """Gives its numbers their keys. `on_examples` and `of_runs` say what they are computed from."""
    a: ModelRuns
    b: ModelRuns
    ids: tuple[str, ...]
    """The ids of the runs that its difference is computed from."""

    @property
    def design(self) -> Design | None:
        """Return how its variance depends on seeds and examples; None where one of the groups has a single seed."""
        design = self.difference.design
        return None if design is None else replace(design, family=max(1, self.family) * self.asked)

    @property
    def of_runs(self) -> Numbers:
        """Return what makes the numbers that its runs give and that no examples enter."""
        return self.numbers.on(self.ids)

    @property
    def on_examples(self) -> Numbers:
        """Return what makes the numbers that are computed from what its runs predict for all examples."""
        return self.numbers.on(self.ids, self.difference.examples, self.a.split)

    @property
    def label(self) -> str:
        """Return the name of its difference: `A − B`."""
        return f"{self.a.label} {MINUS} {self.b.label}"

    @property
    def found(self) -> str:
        """Return what is found on the first model, in words."""
        return self.verdict.finding.value.replace("better", "worse" if self.favours < 0 else "better")

    @property
    def scale(self) -> Scale:
        """Return how the score is shown that the pair is compared by."""
        return self.a.scale

    def size(self, name: str, value: float, method: str) -> Number:
        """Return the size of a difference, without a sign; small ones keep a digit that is not 0."""
        kind = self.scale.kind
        return self.on_examples.add(name, value, kind, method, decimals=decimals_for([value], [0.0], kind))

    def number(self, slot: str) -> Number:
        """Return the value of a slot of the sentences on the pair."""
        found = quantity(self, slot)
        numbers = self.numbers.on(()) if slot in GIVEN else self.on_examples
        return numbers.add(found.key, found.value, found.kind, found.method, low=found.low, high=found.high,
                           decimals=found.decimals)

    @property
    def p(self) -> Number:
        """Return the p value that decides its verdict; without a value where no test does."""
        slot = decided_by(self)
        return self.number(slot) if slot else self.on_examples.add("p", None, "p", "no test decides")

    @property
    def test(self) -> str:
        """Return the name of what decides its verdict; empty where nothing does."""
        return TESTS.get(decided_by(self), "")

    @property
    def verdict_cell(self) -> Sentence:
        """Return what is found on the first model, with the margin where it is about that, and below it the test."""
        below = ", ".join(filter(None, (self.test, self.qualifier)))
        known: Sentence = (self.found,) if "the margin" not in self.found else say(
            self.found.replace("the margin", "{margin}{unit}"), margin=self.number("margin"), unit=self.scale.after)
        return (*known, Aside((below,), below=True)) if below else known

    @property
    def lacks_seeds(self) -> bool:
        """Return whether more seeds of both models could be trained, and one has fewer than every verdict takes."""
        return bool(self.qualifier) and self.a.is_logged and self.b.is_logged

    @property
    def can_be_claimed(self) -> bool:
        """Return whether its verdict can prove or refute a claim: not with few seeds, nor with one run of a study."""
        return not (self.has_few_seeds or self.lacks_seeds)

    @property
    def is_open(self) -> bool:
        """Return whether it is inconclusive, and how many test texts would settle it can be computed."""
        return self.verdict.finding is Finding.INCONCLUSIVE and self.design is not None and not self.lacks_seeds

    @cached_property
    def texts_enough(self) -> int | None:
        """Return the test texts, rounded up to hundreds, with which as many seeds detect the margin, or None."""
        fewest = None if self.design is None else self.design.examples_for(self.verdict.margin, self.fewest_seeds)
        return None if fewest is None else -(-fewest // 100) * 100

    @property
    def texts_needed(self) -> int | None:
        """Return the size of a new test set that could settle it with these seeds; None if none is needed or enough, or
        there are so many texts already."""
        texts = self.texts_enough if self.is_open else None
        return texts if texts and texts > self.difference.examples else None


def by_score(pairs: Sequence[Pair]) -> list[Pair]:
    """Return pairs in order of the scores of their models, the best first."""
    return sorted(pairs, key=lambda pair: (pair.a.rank, pair.b.rank))


def margin_of(
    studies: Sequence[LoggedStudy], asked: float | None, numbers: Numbers, metric: MetricName = "accuracy"
) -> Margin:
    """Return the margin of a report.

    Args:
        studies: Studies of the report.
        asked: Margin that was asked for; None means the one that the studies logged, where they agree, else one point.
        numbers: Makes the numbers of the report.
        metric: The score whose differences it bounds. Margins of studies about another one do not count.

    Raises:
        UsageError: More than 50 points were asked for, or more than 0.5 of log loss.
    """
    logged = tuple(plan.margin if plan.metric == metric else None for study in studies for plan in [study.plan()])
    agreed = logged[0] if logged and len(set(logged)) == 1 else None
    value, scale = asked if asked is not None else MARGIN if agreed is None else agreed, scale_of(metric)
    if value > 0.5:
        raise UsageError(f"the equivalence margin must be at most {0.5 * scale.factor:g}{scale.after} of "
                         f"{scale.score}, but got {value * scale.factor:g}: choose a smaller one")
    return Margin(value, logged, numbers, scale)


def scored_test_set(
    groups: Sequence[ModelRuns], store: Store, numbers: Numbers, counted: Mapping[str, OnTest] | None = None
) -> ScoredTestSet:
    """Return the test set on which the models that a report shows were scored.

    Args:
        groups: The models.
        store: The store, whose other models are counted too.
        numbers: Makes the numbers of the report.
        counted: Digest of a test set -> its models, where they were counted before: a report that is computed again
            does not count the studies that were run since. None: they are counted now.
    """
    digest = digest_of_examples(groups[0].example_N)
    on_test = _on_test(digest, groups, store) if counted is None else counted.get(digest, OnTest((), 0))
    shown = len({group.study.run.run_id for group in groups})
    return ScoredTestSet(
        digest, tuple(groups), on_test.models,
        numbers.of("test-set-1").on([run_id for group in groups for run_id in group.ids]),
        max(on_test.studies, shown), on_test.asked)


def _on_test(digest: str, groups: Sequence[ModelRuns], store: Store) -> OnTest:
    until = max(run.started for group in groups for run in group.runs)
    originals = sorted({group.study.original for group in groups if group.is_logged})
    asked = {one: 1 + again for one in originals if (again := store.studies_again(one))}
    return OnTest(tuple(store.confirmed_models(digest)), store.studies_on_test(digest, until), asked)


def tested(couples: Sequence[Couple], margin: float, asked: Mapping[str, int]) -> list[Pair]:
    """Return the pairs of groups that are tested together.

    Args:
        couples: For each pair what makes its numbers, and the groups that it calls A and B, on the same examples.
        margin: Largest difference of no practical weight; 0.01 is one point.
        asked: Id of an original study's own run -> number of studies that ask its question, where several do.
    """
    times = [max(asked.get(one.study.original, 1) for one in (a, b)) for _, a, b in couples]
    differences = [difference(a.metric, a, b) for _, a, b in couples]
    differences = [replace(one, design=one.design_of_runs) if min(one.seeds) == 1 else one for one in differences]
    adjusted = adjusted_tests(differences, margin, times)
    family = sum(one is not None for one in adjusted)
    return [
        _shown(Compared((a.label, b.label), found, own, family, Verdict.of(found, own, margin), a.metric, often),
               numbers, a, b)
        for (numbers, a, b), found, own, often in zip(couples, differences, adjusted, times, strict=True)
    ]


def compare(margin: float, test_set: ScoredTestSet, numbers: Numbers) -> list[Pair]:
    """Return each pair of models. All are tested together.

    Args:
        margin: Largest difference of no practical weight; 0.01 is one point.
        test_set: The models. In a pair the one with the better mean comes first.
        numbers: Makes the numbers of the report.
    """
    couples: list[Couple] = []
    for one, two in combinations(test_set.groups, 2):
        a, b = (two, one) if two.rank < one.rank else (one, two)
        couples.append((numbers.of(f"pair.{a.key}.{b.key}"), a, b))
    return tested(couples, margin, test_set.asked)


def compare_with_linear(
    margin: float, test_set: ScoredTestSet, baselines: Sequence[ModelRuns], numbers: Numbers
) -> tuple[list[Pair], list[Sentence]]:
    """Return each model and the linear model on its data, and sentences about those that are not compared.

    These pairs are a family of tests of their own.

    Args:
        margin: As for `compare`.
        test_set: As for `compare`.
        baselines: The baselines of the report.
        numbers: Makes the numbers of the report.
    """
    apart: list[Sentence] = []
    couples: list[Couple] = []
    for group in test_set.groups:
        if (linear := linear_model(baselines, group)) is None:
            continue
        if np.array_equal(group.example_N, linear.example_N) and np.array_equal(group.label_N, linear.label_N):
            couples.append((numbers.of(f"pair.{group.key}.{linear.key}"), group, linear))
        else:
            apart.append((f"{group.label} and {linear.label} are not compared: their test texts differ.",))
    return tested(couples, margin, test_set.asked), apart


def compare_candidates(margin: float, candidates: Candidates, asked: Mapping[str, int]) -> list[Pair]:
    """Return the candidate that is taken with each other one, or all pairs of candidates where none is taken.

    These pairs are a family of tests of their own. They are about these trained models on new texts.

    Args:
        margin: As for `compare`.
        candidates: The candidates of the report.
        asked: As for `tested`.
    """
    chosen = candidates.chosen
    pairs = combinations(candidates.every, 2) if chosen is None else ((chosen, other) for other in candidates.others)
    couples = [(a.numbers.of(f"minus.{b.key}"), a, b) for a, b in pairs]
    return tested(couples, margin, asked)


def _shown(pair: Compared, numbers: Numbers, a: ModelRuns, b: ModelRuns) -> Pair:
    """Return a pair with its groups, and without a verdict where neither model is above guessing."""
    found = pair.verdict
    if found.finding is not Finding.TOO_FEW_GROUPS and a.may_be_guessing and b.may_be_guessing:
        pair = replace(pair, verdict=replace(found, finding=Finding.GUESSING))
    return Pair(**vars(pair), numbers=numbers, a=a, b=b, ids=a.ids + b.ids)

