"""The baselines of a report: models that are fitted once, and the linear one among them that others are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.config import MetricName
from gru_bench.document.numbers import Numbers
from gru_bench.document.sentences import Sentence
from gru_bench.evidence.groups import ModelRuns, group_of
from gru_bench.evidence.progress import baseline_runs
from gru_bench.evidence.store import Store
from gru_bench.results.baselines import MAJORITY, baseline_name, compared_baseline
from gru_bench.stats.scores import compared
from gru_bench.tracking import LoggedRun, LoggedStudy


def baselines_of(
    studies: Sequence[LoggedStudy], store: Store, metric: MetricName, numbers: Numbers
) -> tuple[list[ModelRuns], list[Sentence]]:
    """Return each baseline of studies on the same data, and warnings of those whose predictions cannot be read."""
    found: dict[str, tuple[LoggedStudy, LoggedRun]] = {}
    for study in studies:
        for run in baseline_runs(study):
            found.setdefault(run.model, (study, run))
    groups: list[ModelRuns] = []
    gaps: list[Sentence] = []
    for model, (study, run) in found.items():
        group, missing = group_of(store, [run], numbers.named("baseline", model, same=run.fingerprint),
                                  baseline_name(model), model, study, metric)
        groups += [] if group is None else [group]
        gaps += missing
    return groups, gaps


def linear_model(baselines: Sequence[ModelRuns], group: ModelRuns) -> ModelRuns | None:
    """Return the linear model that a group is compared with: the one that is better on validation."""
    if not group.has_classes:
        return None
    chosen = compared_baseline([one.runs[0] for one in baselines], compared(group.metric, "val"))
    return next((one for one in baselines if one.runs[0] is chosen), None)


def has_choice(baselines: Sequence[ModelRuns]) -> bool:
    """Return whether the linear model that others are compared with was chosen on validation: whether there is such a
    score of it."""
    return any(one.model != MAJORITY and compared(one.metric, "val").key in one.runs[0].metrics
               for one in baselines)
