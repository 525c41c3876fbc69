"""The section on several data sets: the score of each model on each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gru_bench.report.document.blocks import Cell, Column, Table
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Section
from gru_bench.report.evidence.baselines import linear_model
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.data_sets import LINEAR
from gru_bench.report.evidence.groups import ModelRuns

FEW = 3
"""Most models whose columns are as narrow as their scores."""


def data_sets(evidence: Evidence) -> Section | None:
    """Return the section; None for a report on one data set."""
    if not evidence.data_sets:
        return None
    scale = evidence.groups[0].scale
    models = dict.fromkeys(one for own in evidence.data_sets.values() for one in _by_model(evidence, own))
    rows = {name: _by_model(evidence, own) for name, own in evidence.data_sets.items()}

    def shown(model: str) -> Callable[[str], Cell]:
        return lambda name: rows[name][model].score if model in rows[name] else ""

    return Section("data-sets", "Data sets", (Table.of(
        "data-sets", "Scores on each data set",
        (f"Test {scale.score}{f', {scale.unit}' if scale.unit else ''}, with 95 % intervals.",), list(rows),
        (Column("Data set", align="left", width=3.2), lambda name: name),
        (Column("Texts"), lambda name: test_texts(evidence.data_sets[name][0])),
        *((Column(model, named=len(models) > FEW), shown(model)) for model in models)),), is_opened=True)


def test_texts(group: ModelRuns) -> Number:
    """Return the number of test texts of a model."""
    return group.on_examples.add("texts", group.example_N.size, "count", "test texts")


def _by_model(evidence: Evidence, own: Sequence[ModelRuns]) -> dict[str, ModelRuns]:
    """Return the models on a data set by their names, which include the study if several have the same model."""
    names = [one.name for one in own]
    found = {one.label if names.count(one.name) > 1 else one.name: one for one in own}
    linear = linear_model(evidence.baselines, own[0])
    return found if linear is None else found | {LINEAR: linear}
