"""Studies of the homework's protocol among those of a write-up, and how a number of theirs is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gru_bench.report.confirmed import MODEL_NAMES, Group, free_name
from gru_bench.report.numbers import Kind, Number, plain, slug
from gru_bench.report.section import Evidence
from gru_bench.results import StudySummary
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Reproduction:
    """One study of the protocol, with its groups of confirm runs by model."""

    key: str
    name: str
    """Empty where there is one alone, which need not be told apart."""
    study: LoggedStudy
    summary: StudySummary
    groups: Mapping[str, Group]

    def number(self, name: str, value: float | None, kind: Kind, method: str = "") -> Number:
        """Return a number that the study's own run holds."""
        return Number(f"{self.key}.{name}", value, kind, (self.study.run.run_id,), method=method)

    def titled(self, title: str) -> str:
        """Return the title of a table, with the study's name where there are several."""
        return f"{title}, {self.name}" if self.name else title


def reproductions(evidence: Evidence) -> tuple[Reproduction, ...]:
    """Return the studies of the homework's protocol that have confirm runs."""
    found = []
    for study in evidence.studies:
        groups = {group.model: group for group in evidence.groups if group.parent is study.run}
        if study.summary is not None and study.summary.protocol == "homework" and groups:
            found.append((study, study.summary, groups))
    taken: set[str] = set()
    return tuple(
        Reproduction(free_name(f"of-{slug(summary.name)}", taken), plain(summary.name) if len(found) > 1 else "", study,
                     summary, groups)
        for study, summary, groups in found
    )  # fmt: skip


def model_name(model: str) -> str:
    """Return what a model is called in a table of models."""
    return MODEL_NAMES.get(model, plain(model))


def engines(group: Group) -> str:
    """Return the engines that ran."""
    return ", ".join(sorted({plain(run.engine) for run in group.runs}))
