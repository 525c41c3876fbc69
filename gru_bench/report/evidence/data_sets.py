"""Several data sets: which there are, and pairs of models over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gru_bench.report.document.numbers import Numbers
from gru_bench.report.document.sentences import Sentence, listed
from gru_bench.report.evidence.groups import ModelRuns, by_test_set
from gru_bench.report.evidence.pairs import Pair
from gru_bench.stats.data_sets import OverDataSets, mean_difference, over_data_sets
from gru_bench.stats.estimate import Estimate
from gru_bench.stats.text import MINUS

LINEAR = "linear model"
"""What pairs over data sets call the linear model, which may be another one on each data set."""


@dataclass(frozen=True, kw_only=True)
class PairOverDataSets(Pair, OverDataSets):
    """Two models over data sets. Its groups are those of the first data set."""

    data_sets: tuple[str, ...]
    """The names of the data sets."""
    parts: tuple[Pair, ...]
    """The pair on each data set."""

    @property
    def label(self) -> str:
        """Return the name of its difference, with the number of data sets."""
        return f"{self.names[0]} {MINUS} {self.names[1]}, {len(self.data_sets)} data sets"


def data_sets_of(groups: Sequence[ModelRuns]) -> dict[str, list[ModelRuns]]:
    """Return the name of each data set and the models on it; nothing unless there are several without a common text.

    Two splits of the same data are not independent, whether they have a common test text or not.
    """
    members = by_test_set(groups)
    named = {own[0].data_set: own for own in members}
    ids = [set(own[0].example_N.tolist()) for own in members]
    is_apart = len(named) == len(members) and len(set().union(*ids)) == sum(map(len, ids))
    return named if is_apart and len(members) > 1 else {}


def pairs_over(
    data_sets: Mapping[str, Sequence[ModelRuns]], compared: Sequence[Pair], against: Sequence[Pair], margin: float,
    numbers: Numbers,
) -> tuple[list[PairOverDataSets], list[Sentence]]:
    """Return the pairs of models that are on several data sets, and sentences about those that are left out.

    Args:
        data_sets: The data sets.
        compared: The pairs of trained models on each data set.
        against: The pairs of a trained and the linear model on each data set: a family of tests of their own.
        margin: Largest difference of no practical weight; 0.01 is one point.
        numbers: Makes the numbers of the report.
    """
    names = {group.key: name for name, groups in data_sets.items() for group in groups}
    found: list[PairOverDataSets] = []
    apart: list[Sentence] = []
    for pairs in (compared, against) if data_sets else ():
        by_models: dict[frozenset[str], dict[str, list[Pair]]] = {}
        for pair in pairs:
            models = frozenset((pair.a.model, LINEAR if pair.b.is_fitted_once else pair.b.model))
            by_models.setdefault(models, {}).setdefault(names[pair.a.key], []).append(pair)
        several: list[dict[str, Pair]] = []
        for models, own in by_models.items():
            a, b = next((some[0].a, some[0].b) for some in own.values())
            if twice := [name for name, some in own.items() if len(some) > 1 or len(models) == 1]:
                apart.append((f"{a.name} and {b.name} are not compared over data sets, because several studies of "
                              f"{listed(twice)} have them: choose one with --study.",))
            elif len(own) > 1:
                several.append({name: one for name, (one,) in own.items()})
        found += _tested(several, margin, numbers)
    return found, apart


def _tested(several: Sequence[Mapping[str, Pair]], margin: float, numbers: Numbers) -> list[PairOverDataSets]:
    """Return pairs over data sets: the model with the better mean minus the other, or minus the linear one."""
    couples: list[tuple[ModelRuns, ModelRuns]] = []
    differences: list[list[Estimate]] = []
    for own in several:
        first, *_ = pairs = list(own.values())
        a, b = first.a, first.b
        each = [one.difference if one.a.model == a.model else one.difference.flipped() for one in pairs]
        if not b.is_fitted_once and (mean_difference(each).estimate < 0) == a.scale.higher_is_better:
            a, b, each = b, a, [one.flipped() for one in each]
        couples.append((a, b))
        differences.append(each)
    names = [(a.name, LINEAR if b.is_fitted_once else b.name) for a, b in couples]
    found = over_data_sets(list(zip(names, differences, strict=True)), margin, couples[0][0].metric,
                           [max(pair.asked for pair in own.values()) for own in several]) if couples else []
    return [
        PairOverDataSets(
            **vars(one), numbers=numbers.of("over").named(*one.names), a=a, b=b, data_sets=tuple(own),
            parts=tuple(own.values()), ids=tuple(run for pair in own.values() for run in pair.ids))
        for one, own, (a, b) in zip(found, several, couples, strict=True)]
