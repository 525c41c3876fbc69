"""The identity of a search: what must stay the same from its first start to its last, and how a change is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import optuna

from gru_bench.config import SOURCE, MetricName, RunConfig, flat
from gru_bench.data.frames import is_kept
from gru_bench.errors import shown
from gru_bench.results.pruners import HALVING
from gru_bench.stats.scores import compared
from gru_bench.sweep.spec import StudySpec

PROPOSALS = ("optuna", "sampler", "sampler options", "pruner", "first trial")
"""Entries of an identity that decide which settings new trials get."""
MACHINE_SETTINGS = (
    "training.device", "training.threads", "training.micro_batches", "model.name", "model.backend", "seed")
"""Settings that may change between two starts of a study: they change where it runs, not what it asks."""
EXPERIMENT = "experiment"
OF_FRAME = ("data.name", "data.id_column")
"""Settings of a data frame that follow from its content: the file that it is kept in, and the column of its index."""
TPE: Mapping[str, Any] = {"multivariate": True, "constant_liar": True, "group": False, "n_ei_candidates": 24}
"""Options of TPE. They are given because Optuna's defaults change between versions."""


def direction(metric: MetricName) -> Literal["maximize", "minimize"]:
    """Return the direction of a search for the best of a score."""
    return "maximize" if compared(metric, "val").higher_is_better else "minimize"


def identity_of(spec: StudySpec, model: str, fingerprint: str, experiment: str) -> dict[str, Any]:
    """Return the identity of the search of a model, as JSON values.

    Args:
        spec: The study.
        model: The model.
        fingerprint: Fingerprint of the data.
        experiment: Name of the MLflow experiment that runs are logged to.
    """
    fixed = {key: value for key, value in flat(spec.config(model, {}, 0)).items()
             if key not in MACHINE_SETTINGS and key not in spec.space}
    space = {f"space of {key}": span.described() for key, span in spec.space.items()}
    values = {"data": fingerprint, "objective": objective(spec), "search seed": spec.seed, **_proposals(spec), **space,
              **fixed, EXPERIMENT: experiment}
    return dict(json.loads(json.dumps(values)))


def _proposals(spec: StudySpec) -> dict[str, Any]:
    """Return what decides which settings new trials get, and which trials end early."""
    found: dict[str, Any] = {"optuna": optuna.__version__.partition(".")[0], "sampler": spec.sampler}
    if spec.sampler == "tpe":
        found["sampler options"] = TPE
    if spec.pruner == "halving":
        found["pruner"] = {spec.pruner: HALVING}
    if spec.first:
        found["first trial"] = dict(spec.first)
    return found


def _describes_data(key: str) -> bool:
    """Return whether an entry of an identity describes the data, which the fingerprint identifies."""
    return key in ("data", EXPERIMENT) or (key.startswith("data.") and key != "data.max_length")


def changes(known: Mapping[str, Any], identity: Mapping[str, Any], *, ended: bool) -> list[str]:
    """Return a sentence for each setting of a search that differs from when it began.

    Args:
        known: Its identity when it began.
        identity: Its identity now.
        ended: Whether no new trial is to begin.
    """
    known, identity = ({key: value for key, value in entries.items() if not (ended and key in PROPOSALS)}
                       for entries in (known, identity))
    # A setting that was added since the study began had its default then.
    defaults = {key: value for key, value in flat(RunConfig()).items() if key in identity and not _describes_data(key)}
    began = {**defaults, **known}
    changed = [key for key in sorted({*began, *identity}) if began.get(key) != identity.get(key)]
    return [*_data_changes(began, identity, [key for key in changed if _describes_data(key)]),
            *(_change(key, began, identity) for key in changed if not _describes_data(key))]


def _data_changes(began: Mapping[str, Any], identity: Mapping[str, Any], changed: Sequence[str]) -> list[str]:
    """Return sentences on how the data has changed; empty if its fingerprint is the same, as after a file was moved."""
    if "data" not in changed:
        if EXPERIMENT in changed:
            return [f"{_change('data.name', began, identity)}, and its runs are logged under the name of its data "
                    f"({_short(began[EXPERIMENT])})"]
        return []
    frames = [began.get("data.name"), identity["data.name"]] if "data.name" in changed else []
    are_frames = bool(frames) and all(map(is_kept, frames))
    settings = [_change(key, began, identity) for key in sorted(changed, key=lambda key: key != "data.name")
                if key not in ("data", EXPERIMENT) and key in began and not (are_frames and key in OF_FRAME)]
    if are_frames:
        return ["the data frame has changed", *settings]
    if settings:
        return settings
    files = " or ".join(filter(None, (identity["data.name"], identity["data.test_name"])))
    return [f"{files} has changed since (fingerprint {began.get('data')}, now {identity['data']})"]


def _change(key: str, began: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    if key == SOURCE:
        return f"the file of its class has changed (SHA-256 {_short(began.get(key))}, now {_short(identity.get(key))})"
    name = "data" if key == "data.name" else "Optuna's version" if key == "optuna" else key
    return f"{name} was {_short(began.get(key))} and is now {_short(identity.get(key))}"


def objective(spec: StudySpec) -> str:
    """Return the objective of the search in words."""
    return f"{compared(spec.metric, 'val').label} of the best epoch, {direction(spec.metric)}d"


def _short(value: object) -> str:
    if value is None:
        return "none"
    return shown(value if isinstance(value, str) and value.split() == [value] else json.dumps(value), "")
