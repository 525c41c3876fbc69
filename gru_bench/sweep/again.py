"""A logged study again: its models with the settings that they were confirmed with, on fresh seeds.

All of it comes from MLflow, so that neither the study's file nor its command is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from gru_bench.config import RunConfig, Scalar, flat, validated, with_settings
from gru_bench.errors import IncompleteError, UsageError, argument, unknown
from gru_bench.stats.scores import compared
from gru_bench.sweep.spec import StudySpec, refuse_settings_of_runs
from gru_bench.tracking import LoggedStudy

OF_A_RUN = ("seed", "model.name", "training.threads", "training.micro_batches")
"""Settings that a run gets from its study or its machine."""


def study_again(
    logged: LoggedStudy, known: Sequence[LoggedStudy], *, name: str | None, models: Sequence[str] | None = None,
    confirm: int | None = None, seed: int | None = None, settings: Mapping[str, Scalar] = {},
) -> StudySpec:
    """Return a study without a search that trains models of a logged one with the settings of their confirmation runs.

    Args:
        logged: The logged study.
        known: All studies of the store. The new one takes the lowest seed that none of them has.
        name: Name of the new study.
        models: Its models; None for all that have a complete confirmation run.
        confirm: Number of its confirmation seeds; None for as many as the logged study planned.
        seed: Its seed, from which the confirmation seeds follow; None for a fresh one.
        settings: Settings that replace those of the logged study.

    Raises:
        IncompleteError: No confirmation run of the logged study is complete.
        UsageError: The name is missing or that of the logged study, a model is unknown, or a setting is out of range.
    """
    refuse_settings_of_runs(settings)
    if name is None or name == logged.name:
        raise UsageError(f"repeating the study {logged.name} needs a new name ({argument('name')}), but got "
                         f"{name or 'none'}")
    confirmed = {run.model: {**flat(run.config()), **settings} for run in logged.confirms if run.complete}
    if not confirmed:
        raise IncompleteError(f"the study {logged.name} has no complete confirmation run: finish it first")
    for model in models or ():
        if model not in confirmed:
            raise unknown("model", model, confirmed, f"These are the confirmed models of {logged.name}.")
    own = {model: {key: value for key, value in confirmed[model].items() if key not in OF_A_RUN}
           for model in models or confirmed}
    first, *others = own.values()
    shared = {key: value for key, value in first.items()
              if not key.startswith("model.") and all(other[key] == value for other in others)}
    base, plan = with_settings(RunConfig(), shared), logged.plan()
    margin, unit = plan.margin, compared(base.training.metric, "test").unit
    spec = validated(StudySpec, {
        "name": name, "purpose": f"The models of {logged.name} again, on fresh seeds.", "models": list(own),
        "confirm": confirm or plan.confirm or len(logged.confirms),
        "seed": _fresh(known, name) if seed is None else seed, "base": base,
        "own": {model: {key: value for key, value in settings_of.items() if key not in shared}
                for model, settings_of in own.items()},
        "again": logged.original,
        **({} if margin is None else {"margin": 100 * margin if unit == "share" else margin}),
    })
    for model in spec.models:
        spec.config(model, {}, 0)
    return spec


def _fresh(known: Sequence[LoggedStudy], name: str) -> int:
    """Return the seed of the study of that name, if it has begun, or else the lowest one that no study has."""
    seeds = {study.name: int(found) for study in known
             if (found := study.run.params.get("search_seed", "")).isdecimal()}
    return seeds.get(name, next(seed for seed in count() if seed not in seeds.values()))
