"""Studies of the homework's protocol among those of a report, and how a number of theirs is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gru_bench.report.document.numbers import Kind, Number, plain, slug
from gru_bench.report.document.section import Evidence
from gru_bench.report.evidence.groups import MODEL_NAMES, Group, free_name
from gru_bench.report.evidence.progress import study_baselines, study_data
from gru_bench.results.runs import Ablation, Baseline, DataSummary, Timing
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Reproduction:
    """One study of the protocol, with its groups of confirm runs by model."""

    key: str
    name: str
    """Empty where there is one alone, which need not be told apart."""
    study: LoggedStudy
    groups: Mapping[str, Group]
    data: DataSummary
    baselines: tuple[Baseline, ...] = ()
    seeds: int = 0
    """That each model is to be trained on."""
    ablations: tuple[Ablation, ...] = ()
    timings: tuple[Timing, ...] = ()
    seconds: float | None = None
    """Of the whole study; None, like the two before it, as long as that has not come to its end."""

    def number(self, name: str, value: float | None, kind: Kind, method: str = "") -> Number:
        """Return a number that the study's own run holds."""
        return Number(f"{self.key}.{name}", value, kind, (self.study.run.run_id,), method=method)

    def titled(self, title: str) -> str:
        """Return the title of a table, with the study's name where there are several."""
        return f"{title}, {self.name}" if self.name else title


def reproductions(evidence: Evidence) -> tuple[Reproduction, ...]:
    """Return the studies of the homework's protocol that have confirm runs, those under way among them."""
    found = []
    for study in evidence.studies:
        groups = {group.model: group for group in evidence.groups if group.parent is study.run}
        data = study_data(study, evidence.store)
        if groups and data is not None and _protocol(study) == "homework":
            found.append((study, groups, data))
    taken: set[str] = set()
    return tuple(_reproduction(study, groups, data, study_baselines(study, evidence.store), len(found) > 1, taken)
                 for study, groups, data in found)


def _protocol(study: LoggedStudy) -> str:
    return study.summary.protocol if study.summary is not None else study.run.params.get("protocol", "")


def _reproduction(
    study: LoggedStudy, groups: Mapping[str, Group], data: DataSummary, baselines: tuple[Baseline, ...],
    several: bool, taken: set[str],
) -> Reproduction:
    summary, own = study.summary, study.run.study or study.run.name
    begun = Reproduction(free_name(f"of-{slug(own)}", taken), plain(own) if several else "", study, groups, data,
                         baselines, max(len(group.runs) for group in groups.values()))
    if summary is None:
        return begun
    return replace(begun, seeds=len(summary.confirm_seeds), ablations=summary.ablations, timings=summary.timings,
                   seconds=summary.seconds)


def model_name(model: str) -> str:
    """Return what a model is called in a table of models."""
    return MODEL_NAMES.get(model, plain(model))


def backends(group: Group) -> str:
    """Return the backends that ran."""
    return ", ".join(sorted({plain(run.backend) for run in group.runs}))
