"""A hyperparameter search with Optuna: its space, its trials and their results.

One `Search` covers one model of one study. Any number of processes may use it at once: each trial belongs to the
process that asked for it, and the number of trials is checked under a lock. The search does not know where trials run.
"""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from gru_bench.config import REMOVED, MetricName, RunConfig, Scalar, flat, was_without_effect
from gru_bench.errors import ChangedStudyError, RunError, given_as, named, shown
from gru_bench.results.logged_metrics import best, compared
from gru_bench.results.looks import Look
from gru_bench.results.pruners import PRUNERS
from gru_bench.results.runs import Check, TrialSummary
from gru_bench.sweep.sharing.leases import Lease, this_process
from gru_bench.sweep.sharing.looks import taken_looks
from gru_bench.sweep.sharing.storage import lock_for
from gru_bench.sweep.sharing.trials import (
    DUPLICATE_OF,
    OWN_FAULT,
    OWNER,
    REASON,
    RETRY_OF,
    StoredTrial,
    Trials,
    latest_trials,
    stored,
)
from gru_bench.sweep.space import size, untried
from gru_bench.sweep.spec import Point, Range, StudySpec, point

STARTUP_SHARE = 0.25
"""Share of the trials that are drawn at random before the sampler begins to model."""
LEAST_STARTUP = 3
IMPORTANCE_TRIALS = 4
"""Complete trials that the importance of settings needs at least."""
IMPORTANCE_METHOD = "PED-ANOVA"
IMPORTING = "importing"
"""Set on a study while it is being imported: the archive that it comes from."""
EPOCH = "epoch "
"""Prefix of the attributes of a trial that hold its best score after each epoch, where the pruner decides by checks."""
PROPOSALS = ("optuna", "sampler", "sampler options", "pruner", "first trial")
"""Entries of a study's identity that decide which settings new trials get."""
EXHAUSTED = "spent"
"""Set on a study when its space has no untried point left."""
FORMAT_KEY, FORMAT = "format", 3
"""Set on a study when it begins: the format of what is stored in it."""
MACHINE_SETTINGS = (
    "training.device", "training.threads", "training.micro_batches", "model.name", "model.backend", "seed")
"""Settings that may change between two starts of a study: they change where it runs, not what it asks."""
MAIN = "holds the study"
"""Set on the search that holds what the models of a study share: the lease, the looks and the follow-ups."""
EXPERIMENT = "experiment"
RUNS = " runs"
"""What the name of a study of planned runs in Optuna ends with, after the name of its search."""
STARTUP = "startup trials"
"""Set on a study when it begins: the number of random trials at its start. More trials later do not change it."""
TPE: Mapping[str, Any] = {"multivariate": True, "constant_liar": True, "group": False, "n_ei_candidates": 24}
"""Options of TPE. They are given because Optuna's defaults change between versions."""
ASKED = "trials asked"
"""Set on a study: the most trials that a start has asked for."""

Verdict = Literal["go on", "prune", "reassigned"]
"""What happens to a trial after an epoch. `reassigned`: another process has it, because this one seemed dead."""


class Search(Trials):
    """The search of one model, shared by all processes that work on the study."""

    def __init__(
        self, spec: StudySpec, model: str, storage: optuna.storages.BaseStorage, fingerprint: str,
        experiment: str | None = None,
    ) -> None:
        """Begin the search, or continue it where the storage has it.

        Args:
            spec: The study.
            model: One of the study's models. It need not be one that this start works on.
            storage: The Optuna storage.
            fingerprint: Fingerprint of the data.
            experiment: Name of the MLflow experiment that runs are logged to; None if no runs are logged.

        Raises:
            ChangedStudyError: The search was begun with another space, data, objective or fixed setting.
            RunError: The search is of another version of gru-bench, or its import was broken off.
        """
        self.spec, self.model, self.storage, self._begun_with = spec, model, storage, (fingerprint, experiment)
        name = f"{spec.name}/{model}"
        self.study_lock = lock_for(storage, spec.name)
        """Lock for what the models of the study share."""
        with (lock := lock_for(storage, name)):
            if name in optuna.get_all_study_names(storage):  # before anything is written
                need_format(spec.name, optuna.load_study(study_name=name, storage=storage).user_attrs)
            begun = partial(optuna.create_study, storage=storage, direction=direction(spec.metric), load_if_exists=True)
            study = begun(study_name=name, pruner=_pruner(spec))
            startup = _require_unchanged(study, spec, _identity(spec, model, fingerprint, experiment))
            super().__init__(study, lock, Lease(study, working=model in spec.active_models),
                             _distributions(spec))
            self.runs = Trials(begun(study_name=name + RUNS), lock, self.lease)
            """The runs that follow the search, and the follow-ups of the study."""
            asked = study.user_attrs.get(ASKED)
            if asked is None or asked < spec.trials:
                study.set_user_attr(ASKED, max(spec.trials, self.counted if asked is None else asked))
        study.sampler = _sampler(spec, f"{spec.seed}:{model}:{self.lease.start - 1}:", startup)
        self._asked: dict[int, Trial] = {}
        """Number -> trial, of the trials that this process has begun."""

    def of(self, spec: StudySpec, model: str) -> Search:
        """Return the search of another model of the same study, which another start has begun."""
        return Search(spec, model, self.storage, *self._begun_with)

    @property
    def is_main(self) -> bool:
        """Whether the search holds what the models of the study share."""
        return bool(self.study.user_attrs.get(MAIN))

    @property
    def counted(self) -> int:
        """Number of trials that have ended or are running; it is compared with the number asked for."""
        return sum(map(_counts, self.study.get_trials(deepcopy=False)))

    def ask(self) -> tuple[int, dict[str, Scalar]] | None:
        """Begin a trial and return its number and settings.

        No settings are tried twice. A proposal that equals an earlier or running trial does not count, and a random
        untried point takes its place.

        Returns:
            Number and settings; None if enough trials have ended or are running, or if no point of the space is left.
        """
        if self.counted >= self.spec.trials or self.exhausted:
            return None
        with self.lock:
            if self.counted >= self.spec.trials or self.exhausted:  # checked again, now that no other process can ask
                return None
            trial = self._with_owner(self.study.ask(self.space))
            while (earlier := self._duplicated_trial(trial)) is not None:
                self._end(trial.number, TrialState.FAIL, duplicate_of=earlier)
                settings = self._untried()
                if settings is None:
                    self.study.set_user_attr(EXHAUSTED, True)
                    return None
                self.study.enqueue_trial(settings)
                trial = self._with_owner(self.study.ask(self.space))
        self._asked[trial.number] = trial
        return trial.number, dict(trial.params)

    @property
    def exhausted(self) -> bool:
        """Whether every point of the space has been tried or is being tried, and none waits for a retry."""
        if self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return False
        points = size(self.space)
        if len(self.study.get_trials(deepcopy=False)) >= points and len(self._tried()) >= points:
            return True
        return bool(self.study.user_attrs.get(EXHAUSTED))

    def _with_owner(self, trial: Trial) -> Trial:
        trial.set_user_attr(OWNER, this_process())
        return trial

    def _tried(self) -> dict[Point, int]:
        """Return point -> number of the first trial with these settings."""
        tried: dict[Point, int] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if _counts(trial) and trial.params.keys() == self.space.keys():
                tried.setdefault(point(trial.params), trial.number)
        return tried

    def _duplicated_trial(self, trial: Trial) -> int | None:
        """Return the number of another trial with the same settings, or None."""
        return next((other for tried, other in self._tried().items()
                     if other != trial.number and tried == point(trial.params)), None)

    def _untried(self) -> dict[str, Scalar] | None:
        number = len(self.study.get_trials(deepcopy=False))
        seed = _seed(f"{self.spec.seed}:{self.model}:{number}:untried")
        draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        return untried(self.space, self._tried(), np.random.default_rng(seed),
                       lambda: dict(draws.ask(self.space).params))

    def report(self, number: int, step: int, value: float) -> Verdict:
        """Report a value of a trial and return what happens to the trial.

        Where the pruner decides by checks, the value of an epoch is only kept.

        Args:
            number: Number of the trial.
            step: Epoch, from 1. In a study of several seeds per trial: index of the seed, from 0.
            value: Best validation accuracy so far. In a study of several seeds per trial: that of the seed.
        """
        trial = self._asked[number]
        try:
            if self._by_checks:
                trial.set_user_attr(f"{EPOCH}{step}", value)
                return "go on"
            trial.report(value, step)
        except UpdateFinishedTrialError:
            return "reassigned"
        return "prune" if trial.should_prune() else "go on"

    def check(self, number: int, check: Check) -> Verdict:
        """Report a check of a trial and return what happens to the trial."""
        trial = self._asked[number]
        try:
            trial.report(check.score, check.number)
        except UpdateFinishedTrialError:
            return "reassigned"
        # At its end there is nothing left to save: the score on all reviews decides.
        ended = check.epochs >= trial.params.get("training.epochs", self.spec.base.training.epochs)
        return "prune" if not ended and trial.should_prune() else "go on"

    @property
    def _by_checks(self) -> bool:
        return PRUNERS[self.spec.pruner].checks > 0

    def seeds_done(self, number: int) -> list[float]:
        """Return the values of the seeds of a trial that are done, taken from its earlier try if it has none itself."""
        trial = self._trial(number)
        while not trial.intermediate_values and RETRY_OF in trial.user_attrs:
            trial = self._trial(int(trial.user_attrs[RETRY_OF]))
        return [value for _, value in sorted(trial.intermediate_values.items())]

    def prune(self, number: int) -> bool:
        """End a trial that the pruner has stopped; return False if another process has the trial by now."""
        return self._end(number, TrialState.PRUNED, reason=PRUNERS[self.spec.pruner].reason)

    def has_reported(self, number: int, epoch: float | None) -> bool:
        """Return whether an epoch of a trial was reported; True for no epoch."""
        trial = self._trial(number)
        reported = _by_epoch(trial) if self._by_checks else trial.intermediate_values
        return epoch is None or int(epoch) in reported

    def adopt(self, number: int, state: str) -> None:
        """End a trial whose process died after logging its end to MLflow, but before noting it in the search.

        Args:
            number: Number of the trial.
            state: State that was logged: complete or pruned.
        """
        value = _value(self.spec, self._trial(number))
        if state == "complete" and value is not None:
            self.complete(number, value)
        else:
            self.prune(number)

    def best(self) -> tuple[dict[str, Scalar], float] | None:
        """Return the settings and the objective value of the best complete trial, or None."""
        complete = self._complete()
        if not complete:
            return None
        first = _best(complete, self.spec.metric)
        assert first.value is not None
        return dict(first.params), first.value

    def trials(self) -> list[TrialSummary]:
        """Return all trials that have begun."""
        states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
                  TrialState.RUNNING: "running"}
        return [
            TrialSummary(
                number=trial.number, model=self.model, state=states[trial.state],
                value=_value(self.spec, trial), epochs=_epochs(self.spec, trial), settings=dict(trial.params),
                reason=str(trial.user_attrs.get(REASON, "")))
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state in states and DUPLICATE_OF not in trial.user_attrs
        ]

    def load_importance(self) -> None:
        """Import the module that `importance` needs in a thread, because that takes most of a second."""
        if len(self._complete()) >= IMPORTANCE_TRIALS:
            threading.Thread(target=import_module, args=["optuna.importance"], daemon=True).start()

    def importance(self) -> dict[str, float]:
        """Return setting -> importance, as shares that add up to 1; empty below `IMPORTANCE_TRIALS` complete trials.

        PED-ANOVA (Watanabe et al. 2023) measures how far the density of a setting among the best tenth of the
        complete trials diverges from its density among all of them.
        """
        complete = self._complete()
        if len(complete) < IMPORTANCE_TRIALS or len({trial.value for trial in complete}) < 2:
            return {}
        shares = optuna.importance.get_param_importances(
            self.study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
        return {key: float(share) for key, share in shares.items()}

    def _complete(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


@dataclass(frozen=True)
class StoredSearch:
    """The search of one model as a storage holds it."""

    identity: Mapping[str, Any]
    """Settings that the study was begun with; `data` is the fingerprint of its data."""
    trials: tuple[StoredTrial, ...]
    best: Mapping[str, Scalar] | None
    """Settings of the best complete trial."""
    runs: Mapping[str, StoredTrial]
    """Key -> the latest trial of a planned run or follow-up."""
    exhausted: bool
    """Whether no point of the space is left to try."""
    asked: int = 0
    """The most trials that a start has asked for."""
    looks: tuple[Look, ...] = ()
    """The looks of the confirm stage, in the search that holds what is the study's."""
    is_main: bool = False
    """Whether the search holds what the models of the study share."""


class _Held(Protocol):
    @property
    def is_main(self) -> bool: ...


S = TypeVar("S", bound=_Held)


def main_of(searches: Mapping[str, S]) -> S:
    """Return the search that holds what the models of a study share: the marked one, otherwise the first by name."""
    return next((search for search in searches.values() if search.is_main), searches[min(searches)])


def stored_models(name: str, storage: optuna.storages.BaseStorage) -> list[str]:
    """Return the models of the study of that name that have a search in a storage."""
    found = (stored.rpartition("/") for stored in optuna.get_all_study_names(storage))
    return sorted(model for study, _, model in found if study == name and not model.endswith(RUNS))


def begun_with(spec: StudySpec, storage: optuna.storages.BaseStorage, fingerprint: str) -> dict[str, Scalar]:
    """Return the settings that nobody gave, as the study of that name began with them; empty for a new study.

    Args:
        spec: The study.
        storage: The Optuna storage.
        fingerprint: Fingerprint of the data. With other data, the settings follow these.
    """
    found: dict[str, Scalar] = {}
    for model in stored_models(spec.name, storage):
        study = optuna.load_study(study_name=f"{spec.name}/{model}", storage=storage)
        identity = study.user_attrs.get("identity")
        if isinstance(identity, Mapping) and identity.get("data") == fingerprint:
            usual = spec.usual - spec.own.get(model, {}).keys()
            found |= {key: identity[key] for key in usual & identity.keys()}
    return found


def open_searches(
    spec: StudySpec, storage: optuna.storages.BaseStorage, fingerprint: str, experiment: str | None = None
) -> dict[str, Search]:
    """Begin or continue the searches of all models of a study, also of those that this start does not work on.

    Args:
        spec: The study; models that only the storage has are added.
        storage: The Optuna storage.
        fingerprint: Fingerprint of the data.
        experiment: Name of the MLflow experiment that runs are logged to; None if no runs are logged.

    Returns:
        Model -> its search. `spec` of each of them holds all models.

    Raises:
        ChangedStudyError: A search was begun with other settings; then no new one is begun.
        RunError: As for `Search`.
    """
    with lock_for(storage, spec.name):
        known = stored_models(spec.name, storage)
        spec = spec.with_stored(known)
        found: dict[str, Search] = {
            model: Search(spec, model, storage, fingerprint, experiment)
            for model in sorted(spec.models, key=lambda model: model not in known)}
        main = main_of({model: found[model] for model in known if model in found} or found)
        if not main.is_main:
            main.study.set_user_attr(MAIN, True)
    return {model: found[model] for model in spec.models}


def need_format(name: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a search that another version of gru-bench has stored.

    A search is not refused if its import was broken off, or if the process that began it died at once: its format may
    not be written yet.

    Args:
        name: Name of the study.
        attributes: User attributes of the study in Optuna.

    Raises:
        RunError: Another version has stored it.
    """
    found = attributes.get(FORMAT_KEY)
    if found != FORMAT and "identity" in attributes and not attributes.get(IMPORTING):
        raise RunError(
            f"the search's storage must hold studies of this version of gru-bench, but {name!r} was stored by "
            f"{'an earlier' if found is None or found < FORMAT else 'another'} one, in another form: go on with it in "
            "the version that began it, or begin anew with this one: in an empty folder, with another "
            f"{named('--storage')} and {named('--tracking-uri')}, or under another name "
            f"({given_as('--study-name', 'NAME')})")


def read_trials(spec: StudySpec, model: str, storage: optuna.storages.BaseStorage) -> StoredSearch | None:
    """Return the search of one model, read without taking part in it; None if the storage has none."""
    name = f"{spec.name}/{model}"
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    need_format(spec.name, study.user_attrs)
    found = study.get_trials(deepcopy=False)
    names = optuna.get_all_study_names(storage)
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    counted = {point(trial.params) for trial in found if _counts(trial)}
    return StoredSearch(
        identity=study.user_attrs.get("identity", {}),
        trials=tuple(map(stored, found)),
        best=dict(_best(complete, spec.metric).params) if complete else None,
        runs=latest_trials(optuna.load_study(study_name=name + RUNS, storage=storage)) if name + RUNS in names else {},
        exhausted=bool(study.user_attrs.get(EXHAUSTED)) or len(counted) >= size(_distributions(spec)),
        asked=int(study.user_attrs.get(ASKED, 0)), looks=tuple(taken_looks(study.user_attrs)),
        is_main=bool(study.user_attrs.get(MAIN)))


def direction(metric: MetricName) -> Literal["maximize", "minimize"]:
    """Return the direction of a search for the best of a score."""
    return "maximize" if compared(metric, "val").higher_is_better else "minimize"


def _require_unchanged(study: optuna.Study, spec: StudySpec, identity: Mapping[str, Any]) -> int:
    """Store the identity of a search that begins; refuse one that began with another identity.

    What proposes new trials may differ where no new trial is to begin.

    Returns:
        Number of random trials at the start, which the first start of the study decides.
    """
    if study.user_attrs.get(IMPORTING):
        raise RunError(f"the study {spec.name!r} must be imported whole before it goes on, but its import was "
                       "broken off: import it again (gru-bench archive import FILE)")
    known = study.user_attrs.get("identity")
    if not isinstance(known, Mapping):
        study.set_user_attr(FORMAT_KEY, FORMAT)
        study.set_user_attr(STARTUP, max(LEAST_STARTUP, round(STARTUP_SHARE * spec.trials)))
        if spec.first and spec.trials and not study.get_trials(deepcopy=False):
            study.enqueue_trial(dict(spec.first))
        study.set_user_attr("identity", dict(identity))
        return int(study.user_attrs[STARTUP])
    ended = sum(map(_counts, study.get_trials(deepcopy=False))) >= spec.trials
    identity = _require_same(spec.name, known, identity, ended=ended)
    if not identity.keys() <= known.keys():  # a setting was added since the study began
        study.set_user_attr("identity", {**identity, **known})
    return int(study.user_attrs.get(STARTUP, LEAST_STARTUP))


def _require_same(
    name: str, known: Mapping[str, Any], identity: Mapping[str, Any], *, ended: bool
) -> Mapping[str, Any]:
    """Return what of an identity is to be compared, after a comparison with that of the study when it began.

    Args:
        name: Name of the study.
        known: Its identity when it began.
        identity: Its identity now.
        ended: Whether no new trial is to begin.
    """
    began, compared = ({key: value for key, value in entries.items() if not (ended and key in PROPOSALS)}
                       for entries in (known, identity))
    if changed := _changes(began, compared):
        raise ChangedStudyError(f"the study {name!r} must go on as it began, but {'; '.join(changed)}. "
                                f"Give the new question a name of its own ({given_as('--study-name', 'NAME')}), or go "
                                "back to the old settings")
    return compared


def require_same_settings(spec: StudySpec, model: str, search: StoredSearch) -> None:
    """Check that a study has the settings that a search began with. Its data are not read, so they are not compared.

    Raises:
        ChangedStudyError: A setting differs.
    """
    known = search.identity
    counted = sum(trial.state in ("complete", "pruned", "failed", "running") for trial in search.trials)
    _require_same(spec.name, known, _identity(spec, model, known.get("data", ""), known.get(EXPERIMENT)),
                  ended=counted >= spec.trials)


def _best(complete: Sequence[FrozenTrial], metric: MetricName) -> FrozenTrial:
    """Return the best of the complete trials; the first among equals."""
    value = best(metric, (trial.value for trial in complete if trial.value is not None))
    return min((trial for trial in complete if trial.value == value), key=lambda trial: trial.number)


def _identity(spec: StudySpec, model: str, fingerprint: str, experiment: str | None) -> dict[str, Any]:
    fixed = {key: value for key, value in flat(spec.config(model, {}, 0)).items()
             if key not in MACHINE_SETTINGS and key not in spec.space}
    space = {f"space of {key}": span.described() for key, span in spec.space.items()}
    # A plan of looks is fixed as a whole: fewer models or another margin would be another plan.
    plan = {"looks": spec.looks, "margin": spec.margin, "models": spec.models} if spec.looks else {}
    values = {"data": fingerprint, "objective": objective(spec), "search seed": spec.seed, **_proposals(spec), **space,
              **plan,
              **fixed, **({} if experiment is None else {EXPERIMENT: experiment})}
    return dict(json.loads(json.dumps(values)))


def _proposals(spec: StudySpec) -> dict[str, Any]:
    """Return what decides which settings new trials get, and which trials end early."""
    found: dict[str, Any] = {"optuna": optuna.__version__.partition(".")[0], "sampler": spec.sampler}
    if spec.sampler == "tpe":
        found["sampler options"] = TPE
    if PRUNERS[spec.pruner].checks:
        found["pruner"] = {spec.pruner: PRUNERS[spec.pruner].options}
    if spec.first:
        found["first trial"] = dict(spec.first)
    return found


def _describes_data(key: str) -> bool:
    """Return whether an entry of an identity describes the data, which the fingerprint identifies."""
    return key in ("data", EXPERIMENT) or (key.startswith("data.") and key != "data.max_length")


def _changes(known: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting that differs from when the study began."""
    # A setting that was added since the study began had its default then.
    defaults = {key: value for key, value in flat(RunConfig()).items() if key in identity and not _describes_data(key)}
    began = {key: value for key, value in {**defaults, **known}.items() if not was_without_effect(key, value)}
    changed = [key for key in sorted({*began, *identity}) if began.get(key) != identity.get(key)]
    return [*_data_changes(began, identity, [key for key in changed if _describes_data(key)]),
            *(_change(key, began, identity) for key in changed if not _describes_data(key))]


def _data_changes(began: Mapping[str, Any], identity: Mapping[str, Any], changed: Sequence[str]) -> list[str]:
    """Return sentences on how the data has changed; empty if its fingerprint is the same, as after a file was moved.

    Args:
        began: Identity of the study when it began.
        identity: Identity of the study now.
        changed: The entries that describe the data and differ.
    """
    if "data" not in changed:
        if EXPERIMENT in changed and EXPERIMENT in began and EXPERIMENT in identity:
            return [f"{_change('data.name', began, identity)}, and its runs are logged under the name of its data "
                    f"({_short(began[EXPERIMENT])})"]
        return []
    settings = [_change(key, began, identity) for key in sorted(changed, key=lambda key: key != "data.name")
                if key not in ("data", EXPERIMENT) and key in began]
    if settings:
        return settings
    files = " or ".join(filter(None, (identity["data.name"], identity["data.test_name"])))
    return [f"{files} has changed since: other rows (fingerprint {began.get('data')}, now {identity['data']})"]


def _change(key: str, began: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    name = "data" if key == "data.name" else "Optuna's version" if key == "optuna" else key
    was = "not recorded" if key in PROPOSALS and key not in began else _short(began.get(key))
    return f"{name} was {was} and is now {'removed' if key in REMOVED else _short(identity.get(key))}"


def _distributions(spec: StudySpec) -> dict[str, BaseDistribution]:
    return {key: _distribution(span) for key, span in spec.space.items()}


def _distribution(span: Range) -> BaseDistribution:
    if span.choices is not None:
        return CategoricalDistribution(span.choices)
    assert span.low is not None
    assert span.high is not None
    if isinstance(span.low, int) and isinstance(span.high, int):
        return IntDistribution(span.low, span.high, log=span.log, step=int(span.step or 1))
    return FloatDistribution(float(span.low), float(span.high), log=span.log, step=span.step)


def _sampler(spec: StudySpec, start: str, startup: int) -> optuna.samplers.BaseSampler:
    """Return a sampler seeded by `start`: with the same seed, each start would propose the same points again.

    Args:
        spec: The study.
        start: Text that the seed is made from.
        startup: Number of random trials at the start.
    """
    seed = _seed(start)
    if spec.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, **TPE)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _counts(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING) or (
        trial.state == TrialState.FAIL and bool(trial.user_attrs.get(OWN_FAULT)))


def objective(spec: StudySpec) -> str:
    """Return the objective of the search in words."""
    what, towards = compared(spec.metric, "val").label, f"{direction(spec.metric)}d"
    if spec.seeds_per_trial > 1:
        return f"{what}, mean over {spec.seeds_per_trial} seeds, {towards}"
    return f"{what} of the best epoch, {towards}"


def _pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    chosen = PRUNERS[spec.pruner]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner: optuna.pruners.BasePruner = getattr(optuna.pruners, chosen.optuna)(**chosen.options)
    return pruner


def _value(spec: StudySpec, trial: FrozenTrial) -> float | None:
    """Return the objective value of a trial so far: that of its best epoch, or the mean over its seeds."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    values = list((_by_epoch(trial) or trial.intermediate_values).values())
    if not values:
        return None
    return sum(values) / len(values) if spec.seeds_per_trial > 1 else best(spec.metric, values)


def _by_epoch(trial: FrozenTrial) -> dict[int, float]:
    """Return epoch -> best score so far, of a trial whose pruner decides by checks."""
    return {int(key.removeprefix(EPOCH)): value for key, value in trial.user_attrs.items() if key.startswith(EPOCH)}


def _epochs(spec: StudySpec, trial: FrozenTrial) -> float:
    """Return the number of epochs that a trial was trained for, over all its seeds."""
    if spec.seeds_per_trial > 1:
        return len(trial.intermediate_values) * spec.base.training.epochs
    return max(trial.intermediate_values, default=0) / (PRUNERS[spec.pruner].checks or 1)


def _short(value: object) -> str:
    if value is None:
        return "none"
    return shown(value if isinstance(value, str) and value.split() == [value] else json.dumps(value), "")
