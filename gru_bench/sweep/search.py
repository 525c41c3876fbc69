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
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.errors import ChangedStudyError, RunError, shown
from gru_bench.results.runs import TrialSummary
from gru_bench.sweep.sharing.claims import STARTS, Claim, Claims
from gru_bench.sweep.sharing.leases import Lease, this_process
from gru_bench.sweep.sharing.storage import lock_for
from gru_bench.sweep.space import size, untried
from gru_bench.sweep.spec import Point, Range, StudySpec, point

RACE_P = 0.1
"""P-value of the signed-rank test below which a trial of several seeds is pruned against the best trial."""
PRUNING_REASONS = {
    "median": "its best validation accuracy was below the median of earlier trials",
    "wilcoxon": "its seeds were worse than those of the best trial, by a signed-rank test",
    "none": ""}
"""Pruner -> why it prunes a trial."""
RETRIES = 3
"""How often a trial is tried again after a try that may be its own fault."""
STARTUP_TRIALS = 5
"""Random trials before the sampler begins to model."""
WARMUP_EPOCHS = 1
"""Epochs before a trial may be pruned."""
IMPORTANCE_TRIALS = 4
"""Complete trials that the importance of settings needs at least."""
IMPORTANCE_METHOD = "PED-ANOVA"
OWN_FAULT = "own_fault"
"""Set on a trial whose settings made it fail, such as by a loss that is not finite; it counts as tried."""
DUPLICATE_OF = "duplicate_of"
"""Set on a proposal that equals an earlier trial; it is never trained and does not count."""
IMPORTING = "importing"
"""Set on a study while it is being imported: the archive that it comes from."""
EXHAUSTED = "spent"
"""Set on a study when its space has no untried point left."""
REACHED = "reached"
"""Set on a retried trial: the most epochs (or seeds) that an earlier try was trained for."""
FORMAT_KEY, FORMAT = "format", 2
"""Set on a study when it begins: the format of what is stored in it."""
OWNER = "owner"
"""Set on a trial: the process that trains it."""
RUN = "run_id"
"""Set on a trial: its run in the tracking store."""
MACHINE_SETTINGS = (
    "training.device", "training.threads", "training.micro_batches", "model.name", "model.backend", "seed")
"""Settings that may change between two starts of a study: they change where it runs, not what it asks."""
EXPERIMENT = "experiment"
ASKED = "trials asked"
"""Set on a study: the most trials that a start has asked for."""

Verdict = Literal["go on", "prune", "reassigned"]
"""What happens to a trial after an epoch. `reassigned`: another process has it, because this one seemed dead."""


class Search:
    """The search of one model, shared by all processes that work on the study."""

    def __init__(
        self, spec: StudySpec, model: str, storage: optuna.storages.BaseStorage, fingerprint: str,
        experiment: str | None = None,
    ) -> None:
        """Begin the search, or continue it where the storage has it.

        Args:
            spec: The study.
            model: One of the study's models.
            storage: The Optuna storage.
            fingerprint: Fingerprint of the data.
            experiment: Name of the MLflow experiment that runs are logged to; None if no runs are logged.

        Raises:
            ChangedStudyError: The search was begun with another space, data, objective or fixed setting.
            RunError: The search is of another version of gru-bench, or its import was broken off.
        """
        self.spec, self.model = spec, model
        self.space: dict[str, BaseDistribution] = {key: _distribution(span) for key, span in spec.space.items()}
        name = f"{spec.name}/{model}"
        self.lock = lock_for(storage, name)
        self.study_lock = lock_for(storage, spec.name)
        """Lock for what the models of the study share."""
        with self.lock:
            need_readable(spec.name, model, storage)
            self.study = optuna.create_study(
                study_name=name, storage=storage, direction="maximize", load_if_exists=True,
                pruner=_pruner(spec))
            self._require_unchanged(_identity(spec, model, fingerprint, experiment))
            asked = self.study.user_attrs.get(ASKED)
            if asked is None or asked < spec.trials:
                self.study.set_user_attr(ASKED, max(spec.trials, self.counted if asked is None else asked))
            self.start = int(self.study.user_attrs.get(STARTS, 0)) + 1
            self.study.set_user_attr(STARTS, self.start)
        self.study.sampler = _sampler(spec, f"{spec.seed}:{model}:{self.start - 1}:")
        self.lease = Lease(self.study, self.start)
        self.claims = Claims(self.study, self.lock, this_process(), self.start)
        self._trials: dict[int, Trial] = {}

    def _require_unchanged(self, identity: Mapping[str, Any]) -> None:
        if self.study.user_attrs.get(IMPORTING):
            raise RunError(f"the study {self.spec.name!r} must be imported whole before it goes on, but its import was "
                           "broken off: import it again (gru-bench archive import FILE)")
        known = self.study.user_attrs.get("identity")
        if not isinstance(known, Mapping):
            self.study.set_user_attr(FORMAT_KEY, FORMAT)
            self.study.set_user_attr("identity", dict(identity))
            return
        changed = _changes(known, identity)
        if changed:
            raise ChangedStudyError(f"the study {self.spec.name!r} must go on as it began, but {'; '.join(changed)}. "
                                    "Give the new question a name of its own (--study-name NAME), or go back to the "
                                    "old settings")
        if not identity.keys() <= known.keys():  # a setting was added since the study began
            self.study.set_user_attr("identity", {**identity, **known})

    @property
    def counted(self) -> int:
        """Number of trials that have ended or are running; it is compared with the number asked for."""
        return sum(map(_counts, self.study.get_trials(deepcopy=False)))

    @property
    def running(self) -> bool:
        """Whether a trial is running, in this process or another."""
        return bool(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    @property
    def numbers(self) -> list[int]:
        """The numbers of all trials."""
        return [trial.number for trial in self.study.get_trials(deepcopy=False)]

    @property
    def ended(self) -> int:
        """Number of trials that have ended in any way."""
        return sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

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
                self._end(trial.number, TrialState.FAIL, notes={DUPLICATE_OF: earlier})
                settings = self._untried()
                if settings is None:
                    self.study.set_user_attr(EXHAUSTED, True)
                    return None
                self.study.enqueue_trial(settings)
                trial = self._with_owner(self.study.ask(self.space))
        self._trials[trial.number] = trial
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

        Args:
            number: Number of the trial.
            step: Epoch, from 1. In a study of several seeds per trial: index of the seed, from 0.
            value: Best validation accuracy so far. In a study of several seeds per trial: that of the seed.
        """
        trial = self._trials[number]
        try:
            trial.report(value, step)
        except UpdateFinishedTrialError:
            return "reassigned"
        return "prune" if trial.should_prune() else "go on"

    def is_ours(self, number: int) -> bool:
        """Return whether a trial that this process began is still running, so was not given to another process."""
        return self._frozen(number).state == TrialState.RUNNING

    def seeds_done(self, number: int) -> list[float]:
        """Return the values of the seeds of a trial that are done, taken from its earlier try if it has none itself."""
        trial = self._frozen(number)
        while not trial.intermediate_values and "retry_of" in trial.user_attrs:
            trial = self._frozen(int(trial.user_attrs["retry_of"]))
        return [value for _, value in sorted(trial.intermediate_values.items())]

    def complete(self, number: int, value: float) -> bool:
        """End a trial with its objective value; return False if another process has the trial by now."""
        return self._end(number, TrialState.COMPLETE, float(value))

    def prune(self, number: int) -> bool:
        """End a trial that the pruner has stopped; return False if another process has the trial by now."""
        return self._end(number, TrialState.PRUNED, notes={"reason": PRUNING_REASONS[self.spec.pruner]})

    def fail(self, number: int, reason: str) -> bool:
        """End a trial whose settings made it fail; return False if another process has the trial by now."""
        return self._end(number, TrialState.FAIL, notes={OWN_FAULT: True, "reason": reason})

    def _end(
        self, number: int, state: TrialState, value: float | None = None, *,
        notes: Mapping[str, str | bool | int] | None = None,
    ) -> bool:
        with self.lock:
            if self._frozen(number).state != TrialState.RUNNING:
                return False
            for key, note in (notes or {}).items():
                self._annotate(number, key, note)
            self.study.tell(number, value, state=state)
            return True

    def orphans(self) -> list[int]:
        """Return the numbers of the running trials whose process has died; reliable while the lock is held."""
        return [
            trial.number for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            # A trial without an owner: its process died between beginning the trial and writing the owner.
            if OWNER not in trial.user_attrs or self.lease.is_dead(trial.user_attrs[OWNER])
        ]

    def orphaned_claims(self) -> list[str]:
        """Return the keys of the running claims whose process has died."""
        return [key for key, claim in self.claims.all().items()
                if claim.state == "running" and self.lease.is_dead(claim.owner)]

    def has_reported(self, number: int, epoch: float | None) -> bool:
        """Return whether an epoch of a trial was reported; True for no epoch."""
        return epoch is None or int(epoch) in self._frozen(number).intermediate_values

    def adopt(self, number: int, state: str) -> None:
        """End a trial whose process died after logging its end to MLflow, but before noting it in the search.

        Args:
            number: Number of the trial.
            state: State that was logged: complete or pruned.
        """
        value = _value(self.spec, self._frozen(number))
        if state == "complete" and value is not None:
            self.complete(number, value)
        else:
            self.prune(number)

    def give_up(self, number: int, reason: str, *, fault: bool = True) -> bool:
        """End a trial that was broken off and queue it again; return False if it was tried too often.

        Args:
            number: Number of the trial.
            reason: Why it was broken off.
            fault: Whether the trial itself may be the cause. This then counts as one of its tries, unless it got
                further than all earlier tries: a trial that kills its process does so again at the same place.
        """
        with self.lock:
            trial = self._frozen(number)
            before, reached = int(trial.user_attrs.get(REACHED, 0)), len(trial.intermediate_values)
            attempt = int(trial.user_attrs.get("attempt", 1)) + (fault and reached <= before)
            again = attempt <= RETRIES + 1
            if trial.state != TrialState.RUNNING:
                return again
            settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            # The trial is queued first and ended second: if this process dies in between, another one repeats both.
            if again and settings.keys() == self.space.keys() and not self._queued_again(number):
                self.study.enqueue_trial(settings, user_attrs={
                    "retry_of": number, "attempt": attempt, REACHED: max(before, reached)})
            self._end(number, TrialState.FAIL, notes={"reason": reason, **({} if again else {OWN_FAULT: True})})
            return again

    def _queued_again(self, number: int) -> bool:
        return any(trial.user_attrs.get("retry_of") == number for trial in self.study.get_trials(deepcopy=False))

    def note_run(self, number: int, run_id: str) -> None:
        """Note the run of a trial; nothing happens if another process has ended the trial."""
        with suppress(UpdateFinishedTrialError):
            self._annotate(number, RUN, run_id)

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study._storage.get_trial(self._id(number))

    def _annotate(self, number: int, key: str, value: str | bool | int) -> None:
        self.study._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        return self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)

    def best(self) -> tuple[dict[str, Scalar], float] | None:
        """Return the settings and the objective value of the best complete trial, or None."""
        complete = self._complete()
        if not complete:
            return None
        best = _best(complete)
        assert best.value is not None
        return dict(best.params), best.value

    def trials(self) -> list[TrialSummary]:
        """Return all trials that have begun."""
        states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
                  TrialState.RUNNING: "running"}
        return [
            TrialSummary(
                number=trial.number, model=self.model, state=states[trial.state],
                value=_value(self.spec, trial), epochs=_epochs(self.spec, trial), settings=dict(trial.params),
                reason=str(trial.user_attrs.get("reason", "")))
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
    claims: Mapping[str, Claim]
    exhausted: bool
    """Whether no point of the space is left to try."""
    asked: int = 0
    """The most trials that a start has asked for."""


@dataclass(frozen=True)
class StoredTrial:
    """A trial as a storage holds it."""

    number: int
    state: Literal["complete", "pruned", "failed", "broken off", "duplicate", "running", "waiting"]
    """failed: its settings made it fail, and it counts. broken off: it was interrupted and queued again."""
    settings: Mapping[str, Scalar]
    retry_of: int | None


def search_names(storage: optuna.storages.BaseStorage) -> list[str]:
    """Return the names of all searches that a storage holds: `STUDY/MODEL`."""
    return optuna.get_all_study_names(storage)


def need_format(name: str, attributes: Mapping[str, Any]) -> None:
    """Refuse a search that another version of gru-bench has stored.

    A search whose import was broken off is not refused: its format may not be written yet.

    Args:
        name: Name of the study.
        attributes: User attributes of the study in Optuna.

    Raises:
        RunError: Another version has stored it.
    """
    found = attributes.get(FORMAT_KEY)
    if found != FORMAT and not attributes.get(IMPORTING):
        raise RunError(
            f"the search's storage must hold studies of this version of gru-bench, but {name!r} was stored by "
            f"{'an earlier' if found is None else 'another'} one, which named settings otherwise: go on with it in the "
            "version that began it, or begin anew with this one: in an empty folder, with another --storage and "
            "--tracking-uri, or under another name (--study-name NAME)")


def need_readable(name: str, model: str, storage: optuna.storages.BaseStorage) -> None:
    """Refuse a search that another version has stored, before anything is written; accept one that does not exist.

    Raises:
        RunError: Another version has stored it.
    """
    if f"{name}/{model}" in optuna.get_all_study_names(storage):
        attributes = optuna.load_study(study_name=f"{name}/{model}", storage=storage).user_attrs
        if "identity" in attributes:  # otherwise the process that began it died before it noted anything
            need_format(name, attributes)


def read_trials(spec: StudySpec, model: str, storage: optuna.storages.BaseStorage) -> StoredSearch | None:
    """Return the search of one model, read without taking part in it; None if the storage has none."""
    name = f"{spec.name}/{model}"
    if name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=name, storage=storage)
    if "identity" in study.user_attrs:
        need_format(spec.name, study.user_attrs)
    found = study.get_trials(deepcopy=False)
    space = {key: _distribution(span) for key, span in spec.space.items()}
    complete = [trial for trial in found if trial.state == TrialState.COMPLETE]
    counted = {point(trial.params) for trial in found if _counts(trial)}
    return StoredSearch(
        identity=study.user_attrs.get("identity", {}),
        trials=tuple(StoredTrial(trial.number, _state(trial), dict(trial.params), trial.user_attrs.get("retry_of"))
                     for trial in found),
        best=dict(_best(complete).params) if complete else None,
        claims=Claims(study, nullcontext(), "", 0).all(),
        exhausted=bool(study.user_attrs.get(EXHAUSTED)) or len(counted) >= size(space),
        asked=int(study.user_attrs.get(ASKED, 0)))


def _state(
    trial: FrozenTrial
) -> Literal["complete", "pruned", "failed", "broken off", "duplicate", "running", "waiting"]:
    match trial.state:
        case TrialState.COMPLETE:
            return "complete"
        case TrialState.PRUNED:
            return "pruned"
        case TrialState.RUNNING:
            return "running"
        case TrialState.WAITING:
            return "waiting"
    if DUPLICATE_OF in trial.user_attrs:
        return "duplicate"
    return "failed" if trial.user_attrs.get(OWN_FAULT) else "broken off"


def _best(complete: Sequence[FrozenTrial]) -> FrozenTrial:
    """Return the best of the complete trials; the first among equals."""
    return max(complete, key=lambda trial: (trial.value, -trial.number))


def _identity(spec: StudySpec, model: str, fingerprint: str, experiment: str | None) -> dict[str, Any]:
    fixed = {key: value for key, value in flat(spec.config(model, {}, 0)).items()
             if key not in MACHINE_SETTINGS and key not in spec.space}
    space = {f"space of {key}": span.described() for key, span in spec.space.items()}
    values = {"data": fingerprint, "objective": objective(spec), "search seed": spec.seed, "sampler": spec.sampler,
              **space, **fixed, **({} if experiment is None else {EXPERIMENT: experiment})}
    return dict(json.loads(json.dumps(values)))


def _describes_data(key: str) -> bool:
    """Return whether an entry of an identity describes the data, which the fingerprint identifies."""
    return key in ("data", EXPERIMENT) or (key.startswith("data.") and key != "data.max_length")


def _changes(known: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each setting that differs from when the study began."""
    # A setting that was added since the study began had its default then.
    defaults = {key: value for key, value in flat(RunConfig()).items() if key in identity and not _describes_data(key)}
    began = {**defaults, **known}
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
                if key not in ("data", EXPERIMENT)]
    if settings:
        return settings
    files = " or ".join(filter(None, (identity["data.name"], identity["data.test_name"])))
    return [f"{files} has changed since: other rows (fingerprint {began.get('data')}, now {identity['data']})"]


def _change(key: str, began: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    name = "data" if key == "data.name" else key
    return f"{name} was {_short(began.get(key))} and is now {_short(identity.get(key))}"


def _distribution(span: Range) -> BaseDistribution:
    if span.choices is not None:
        return CategoricalDistribution(span.choices)
    assert span.low is not None
    assert span.high is not None
    if isinstance(span.low, int) and isinstance(span.high, int):
        return IntDistribution(span.low, span.high, log=span.log, step=int(span.step or 1))
    return FloatDistribution(float(span.low), float(span.high), log=span.log, step=span.step)


def _sampler(spec: StudySpec, start: str) -> optuna.samplers.BaseSampler:
    """Return a sampler seeded by `start`: with the same seed, each start would propose the same points again."""
    seed = _seed(start)
    if spec.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _counts(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING) or (
        trial.state == TrialState.FAIL and bool(trial.user_attrs.get(OWN_FAULT)))


def objective(spec: StudySpec) -> str:
    """Return the objective of the search in words."""
    if spec.seeds_per_trial > 1:
        return f"validation accuracy, mean over {spec.seeds_per_trial} seeds, maximized"
    return "validation accuracy of the best epoch, maximized"


def _pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    match spec.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS - 1, n_warmup_steps=WARMUP_EPOCHS)
        case "wilcoxon":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return optuna.pruners.WilcoxonPruner(p_threshold=RACE_P)
        case "none":
            return optuna.pruners.NopPruner()


def _value(spec: StudySpec, trial: FrozenTrial) -> float | None:
    """Return the objective value of a trial so far: that of its best epoch, or the mean over its seeds."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    values = list(trial.intermediate_values.values())
    if not values:
        return None
    return sum(values) / len(values) if spec.seeds_per_trial > 1 else max(values)


def _epochs(spec: StudySpec, trial: FrozenTrial) -> int:
    """Return the number of epochs that a trial was trained for, over all its seeds."""
    if spec.seeds_per_trial > 1:
        return len(trial.intermediate_values) * spec.base.training.epochs
    return max(trial.intermediate_values, default=0)


def _short(value: object) -> str:
    if value is None:
        return "none"
    return shown(value if isinstance(value, str) and value.split() == [value] else json.dumps(value), "")
