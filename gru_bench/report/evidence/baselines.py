"""The baselines of a report: models that are fitted once, and the linear one among them that others are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.config import ComparedName
from gru_bench.report.document.numbers import Numbers
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.groups import ModelRuns, group_of
from gru_bench.report.evidence.progress import baseline_runs
from gru_bench.report.evidence.store import Store
from gru_bench.results.baselines import NAMES, compared_baseline
from gru_bench.tracking import LoggedRun, LoggedStudy


def baselines_of(
    studies: Sequence[LoggedStudy], store: Store, metric: ComparedName, numbers: Numbers
) -> tuple[list[ModelRuns], list[Sentence]]:
    """Return each baseline once for each data set, and warnings of those whose predictions cannot be read."""
    found: dict[tuple[str, str], tuple[LoggedStudy, LoggedRun]] = {}
    for study in studies:
        for run in baseline_runs(study):
            found.setdefault((run.fingerprint, run.model), (study, run))
    prints = list(dict.fromkeys(fingerprint for fingerprint, _ in found))
    groups: list[ModelRuns] = []
    gaps: list[Sentence] = []
    for (fingerprint, model), (study, run) in found.items():
        of_data = f" (data {prints.index(fingerprint) + 1})" if len(prints) > 1 else ""
        group, missing = group_of(store, [run], numbers.named("baseline", model, same=fingerprint),
                                  NAMES.get(model, model) + of_data, model, study, metric)
        groups += [] if group is None else [group]
        gaps += missing
    return groups, gaps


def linear_model(baselines: Sequence[ModelRuns], group: ModelRuns) -> ModelRuns | None:
    """Return the linear model that a group is compared with: the one on its data that is better on validation."""
    if not group.has_classes:
        return None
    own = [one for one in baselines if one.fingerprint == group.fingerprint]
    chosen = compared_baseline([one.runs[0] for one in own], group.metric)
    return next((one for one in own if one.runs[0] is chosen), None)
