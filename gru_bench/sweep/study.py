"""The only module that imports optuna: a search space, what to try next, and what is known so far.

One `Search` is one model of one study. A single process asks and tells; where trials run is not its business.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.errors import RunError, UsageError
from gru_bench.results import TrialSummary
from gru_bench.sweep.spec import Range, StudySpec

JOURNAL = "optuna.journal"
OBJECTIVE = "validation accuracy of the kept epoch, maximised"
RETRIES = 3
STARTUP_TRIALS = 5
"""Random trials before the sampler begins to model."""
WARMUP_EPOCHS = 1
"""Epochs before a trial may be pruned."""
IMPORTANCE_TRIALS = 4
IMPORTANCE_METHOD = "PED-ANOVA"
OWN_FAULT = "own_fault"
"""Set on a trial that failed by itself, such as by a loss that is not finite; it counts as tried."""
HERE_AND_NOW = ("training.device", "training.threads", "model.name", "model.engine", "seed")
"""Settings that may change between two starts of a study: they change where it runs, not what is asked."""


def open_storage(url: str | None) -> optuna.storages.BaseStorage:
    """Open where searches live: a journal file in the working directory, or a database by its URL.

    Raises:
        UsageError: for a URL that names no database.
        RunError: for a store that does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is None or url.endswith(".journal"):
        path = Path(url or JOURNAL)
        _mend(path)
        return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    if "://" not in url:
        raise UsageError("--storage must be a database URL such as postgresql://user@host/name, or a file that ends "
                         f"in .journal, but got {url!r}")
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"the search's storage must answer, but {_without_password(url)!r} does not: {lines[0]}. Start "
                       "its server, or leave --storage out to use optuna.journal in this directory") from error


def _mend(path: Path) -> None:
    """Cut a last line that a kill left unfinished: what is appended to it would never be read again."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as file:
            content = file.read()
            if not content.endswith(b"\n"):
                file.truncate(content.rfind(b"\n") + 1)


class Search:
    """The trials of one model."""

    def __init__(
        self, spec: StudySpec, model: str, storage: optuna.storages.BaseStorage, fingerprint: str
    ) -> None:
        """Open or continue the search.

        Raises:
            UsageError: where the same name was used with another space, data, objective or fixed setting.
        """
        self.spec, self.model = spec, model
        self.space: dict[str, BaseDistribution] = {key: _distribution(span) for key, span in spec.space.items()}
        name = f"{spec.name}/{model}"
        self.study = optuna.create_study(
            study_name=name, storage=storage, direction="maximize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=STARTUP_TRIALS - 1, n_warmup_steps=WARMUP_EPOCHS)
            if spec.pruner == "median" else optuna.pruners.NopPruner())
        self._agree(_identity(spec, model, fingerprint))
        starts = int(self.study.user_attrs.get("starts", 0))
        self.study.set_user_attr("starts", starts + 1)
        self.study.sampler = _sampler(spec, f"{spec.seed}:{model}:{starts}:{platform.node() if starts else ''}")
        self._trials: dict[int, Trial] = {}
        self._recover()

    def _agree(self, identity: Mapping[str, Any]) -> None:
        known = self.study.user_attrs.get("identity")
        if known is None:
            self.study.set_user_attr("identity", dict(identity))
            return
        # A setting that came after the study began: it began with what the setting is by default.
        known = {**{key: value for key, value in flat(RunConfig()).items() if key in identity}, **known}
        changed = [key for key in sorted({*known, *identity}) if known.get(key) != identity.get(key)]
        if changed:
            what = "; ".join(f"{key} was {_short(known.get(key))} and is now {_short(identity.get(key))}"
                             for key in changed)
            raise UsageError(f"the study {self.spec.name!r} must go on as it began, but {what}. Give the new question "
                             "a name of its own (--study-name NAME), or go back to the old settings")

    def _recover(self) -> None:
        """Queue again what was running when its process, on this machine, died."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            host, pid = trial.user_attrs.get("host"), trial.user_attrs.get("pid")
            if host == platform.node() and not _alive(pid):
                self._give_up(trial.number, trial.params, trial.user_attrs, "its process ended without a word")

    @property
    def counted(self) -> int:
        """Trials finished or under way: what an asked total is compared with."""
        return sum(
            trial.state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            or (trial.state == TrialState.FAIL and bool(trial.user_attrs.get(OWN_FAULT)))
            for trial in self.study.get_trials(deepcopy=False))

    def ask(self) -> tuple[int, dict[str, Scalar]]:
        """Begin a trial: its number and the settings to try."""
        trial = self.study.ask(self.space)
        trial.set_user_attr("host", platform.node())
        trial.set_user_attr("pid", os.getpid())
        self._trials[trial.number] = trial
        return trial.number, dict(trial.params)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Take note of a trial's value after an epoch; return whether it should be pruned."""
        trial = self._trials[number]
        trial.report(value, epoch)
        return trial.should_prune()

    def complete(self, number: int, value: float) -> None:
        """End a trial with its objective."""
        self.study.tell(number, float(value), skip_if_finished=True)

    def prune(self, number: int) -> None:
        """End a trial that is not worth finishing."""
        self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that went wrong by itself."""
        self._trials[number].set_user_attr(OWN_FAULT, True)
        self._trials[number].set_user_attr("reason", reason)
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def give_up(self, number: int, reason: str, *, fault: bool = True) -> bool:
        """End a trial that was broken off, and queue it again; return False where that was tried too often.

        Args:
            number: of the trial.
            reason: why it was broken off.
            fault: whether the trial may be to blame, so that this counts as one of its tries.
        """
        trial = self._trials[number]
        return self._give_up(number, trial.params, trial.user_attrs, reason, fault=fault)

    def _give_up(
        self, number: int, params: dict[str, Any], attributes: Mapping[str, Any], reason: str, *, fault: bool = True
    ) -> bool:
        attempt = int(attributes.get("attempt", 1)) + fault
        again = attempt <= RETRIES
        trial_id = self.study.trials[number]._trial_id
        try:
            self.study._storage.set_trial_user_attr(trial_id, "reason", reason)
            if not again:
                self.study._storage.set_trial_user_attr(trial_id, OWN_FAULT, True)
            self.study.tell(number, state=TrialState.FAIL)
        except (UpdateFinishedTrialError, ValueError):
            return again
        if again and params:
            self.study.enqueue_trial(params, user_attrs={"retry_of": number, "attempt": attempt})
        return again

    def note(self, number: int, key: str, value: str) -> None:
        """Attach a text to a trial, such as the run that holds its record."""
        self._trials[number].set_user_attr(key, value)

    def best(self) -> tuple[dict[str, Scalar], float] | None:
        """Return the settings and objective of the best complete trial, or None."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not complete:
            return None
        best = max(complete, key=lambda trial: (trial.value, -trial.number))
        assert best.value is not None
        return dict(best.params), best.value

    def trials(self) -> list[TrialSummary]:
        """Return all trials that have begun."""
        states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
                  TrialState.RUNNING: "running"}
        return [
            TrialSummary(
                number=trial.number, model=self.model, state=states[trial.state], value=_value(trial),
                epochs=max(trial.intermediate_values, default=0), settings=dict(trial.params),
                reason=str(trial.user_attrs.get("reason", "")))
            for trial in self.study.get_trials(deepcopy=False) if trial.state in states
        ]

    def importance(self) -> dict[str, float]:
        """Return each setting's share in the spread of the objective; empty below a handful of complete trials."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < IMPORTANCE_TRIALS or len({trial.value for trial in complete}) < 2:
            return {}
        shares = optuna.importance.get_param_importances(
            self.study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
        return {key: float(share) for key, share in shares.items()}


def _identity(spec: StudySpec, model: str, fingerprint: str) -> dict[str, Any]:
    fixed = {key: value for key, value in flat(spec.config(model, {}, 0)).items()
             if key not in HERE_AND_NOW and key not in spec.space and not key.startswith("data.")}
    fixed["data.max_length"] = spec.base.data.max_length
    space = {f"space of {key}": span.described() for key, span in spec.space.items()}
    values = {"data": fingerprint, "objective": OBJECTIVE, "search seed": spec.seed, "sampler": spec.sampler, **space,
              **fixed}
    return dict(json.loads(json.dumps(values)))


def _distribution(span: Range) -> BaseDistribution:
    if span.choices is not None:
        return CategoricalDistribution(span.choices)
    assert span.low is not None
    assert span.high is not None
    if isinstance(span.low, int) and isinstance(span.high, int):
        return IntDistribution(span.low, span.high, log=span.log, step=int(span.step or 1))
    return FloatDistribution(float(span.low), float(span.high), log=span.log, step=span.step)


def _sampler(spec: StudySpec, start: str) -> optuna.samplers.BaseSampler:
    """Return a sampler whose seed differs by start: the same one would propose the same points again."""
    seed = int.from_bytes(hashlib.sha256(start.encode()).digest()[:4], "big")
    if spec.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)


def _value(trial: FrozenTrial) -> float | None:
    if trial.state == TrialState.COMPLETE:
        return trial.value
    return max(trial.intermediate_values.values(), default=None)


def _alive(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
