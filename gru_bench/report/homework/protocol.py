"""The section on the homework's protocol: the settings that differ from it, the word vectors, and every setting."""

from __future__ import annotations

from gru_bench.report.document.blocks import Cell, Column, Details, Paragraph, Table
from gru_bench.report.document.numbers import KINDS, Number, plain, slug
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns, model_name
from gru_bench.report.homework.reproduction import (
    Reproduction,
    departures,
    names_shown,
    reproductions,
    shown_setting,
)
from gru_bench.results.logged_metrics import PARAMETER_TENSORS, PARAMETERS, Metric


def protocol(evidence: Evidence) -> Section | None:
    """Return the section; None where no study follows the homework's protocol."""
    studies = reproductions(evidence)
    if not studies:
        return None
    return Section("protocol", "The homework’s protocol", (
        *(Paragraph(departures(one) or (
            f"{one.these_runs[0].upper()}{one.these_runs[1:]} follow the homework’s protocol in every setting.",))
          for one in studies),
        *(Paragraph(said) for one in studies if (said := _wordless(one))),
        Details("Every setting", tuple(map(_training_table, studies))),
    ))


def _wordless(one: Reproduction) -> Sentence:
    """Return how many texts have no known word, and how they are read."""
    counts = one.data.wordless
    if not counts:
        return ()
    if not sum(counts.values()):
        return ("Every review has at least one word with a vector.",)
    parts: list[Sentence] = [
        (one.numbers.add(f"wordless.{slug(split)}", size, "count", "reviews without a known word"),
         f" of the {'training' if split == 'train' else plain(split)} reviews")
        for split, size in counts.items()
    ]
    return (*joined(parts, ", "), " have no known word. Each is read as one step of zeros and is counted as usual.")


def _training_table(one: Reproduction) -> Table:
    groups = list(one.groups.values())
    rows: list[tuple[Cell, ...]] = [
        (label, *(shown_setting(group, name) for group in groups)) for name, label in names_shown(groups).items()]
    rows += [
        ("backend", *(group.backend for group in groups)),
        ("parameter tensors", *(_logged(group, PARAMETER_TENSORS, "tensors") for group in groups)),
        ("parameters", *(_logged(group, PARAMETERS, "parameters") for group in groups)),
    ]
    title = one.titled("The training")
    return Table(
        f"{one.numbers.key}-training", title, (f"{title}: every setting.",),
        (Column("Setting", align="left", width=5.2),
         *(Column(model_name(model), align="left", width=3.2, named=True) for model in one.groups)),
        tuple(rows),
    )


def _logged(group: ModelRuns, metric: Metric, name: str) -> Number:
    """Return a metric that is the same in all runs."""
    values = {run.metrics[metric.key] for run in group.runs if metric.key in run.metrics}
    value = values.pop() if len(values) == 1 else None
    return group.of_runs.add(f"protocol.{name}", value, KINDS[metric.unit],
                             "not logged" if value is None else "the same in all runs")
