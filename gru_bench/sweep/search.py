"""A hyperparameter search with Optuna: its space, its trials and their results.

One `Search` covers one model of one study. Any number of processes may use it at once: each trial belongs to the
process that asked for it, and the number of trials is checked under a lock. The search does not know where trials run.
"""

from __future__ import annotations

import hashlib
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from importlib import import_module
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from gru_bench.config import MetricName, Scalar
from gru_bench.results.pruners import CHECKS, HALVING, REASON
from gru_bench.results.runs import Check, TrialSummary
from gru_bench.stats.scores import best
from gru_bench.sweep.identity import TPE, direction
from gru_bench.sweep.sharing.trials import EPOCH, Trials, state_of, stored
from gru_bench.sweep.sharing.work import ENDED, StoredTrial, TrialNotes
from gru_bench.sweep.spec import Range, StudySpec

STARTUP_SHARE = 0.25
"""Share of the trials that are drawn at random before the sampler begins to model."""
LEAST_STARTUP = 3
IMPORTANCE_TRIALS = 4
"""Complete trials that the importance of settings needs at least."""
IMPORTANCE_METHOD = "PED-ANOVA"
SEARCH = "search "
"""What the key of the notes on a model's search begins with, in the record of a study."""
IDENTITY = "identity"
"""Noted of a search: the settings that it began with."""
STARTUP = "startup trials"
"""Noted of a search when it begins: the number of random trials at its start. More trials later do not change it."""
ASKED = "trials asked"
"""Noted of a search: the most trials that a start has asked for."""

Verdict = Literal["continue", "prune", "reassigned"]
"""What happens to a trial after a check. `reassigned`: another process has it, because this one seemed dead."""


class Search(Trials):
    """The search of one model, shared by all processes that work on the study."""

    def __init__(
        self, spec: StudySpec, model: str, storage: BaseStorage, work: Trials, identity: Mapping[str, Any]
    ) -> None:
        """Begin the search, or continue it; the caller holds the study's lock.

        Args:
            spec: The study.
            model: One of its models.
            storage: The Optuna storage.
            work: The planned work of the study. Its Optuna study, the record, has the notes on the search.
            identity: The identity of the search.
        """
        study = optuna.create_study(
            study_name=f"{spec.name}/{model}", storage=storage, direction=direction(spec.metric),
            pruner=_pruner(spec), load_if_exists=True)
        super().__init__(study, work.lock, work.lease, distributions(spec))
        self.spec, self.model, self.work = spec, model, work
        self._asked: dict[int, Trial] = {}
        """Number -> trial, of the trials that this process has begun."""
        notes = self.notes
        if not notes and spec.first and spec.trials and not self.stored:
            study.enqueue_trial(dict(spec.first))
        self._startup = int(notes.get(STARTUP, max(LEAST_STARTUP, round(STARTUP_SHARE * spec.trials))))
        asked = max(spec.trials, notes.get(ASKED, sum(trial.counts for trial in self.stored)))
        self.note(**{IDENTITY: dict(identity), STARTUP: self._startup, ASKED: asked})

    @property
    def notes(self) -> dict[str, Any]:
        """What is noted of the search; empty before it begins."""
        return notes_of(self.model, self.work.study.user_attrs)

    def note(self, **notes: Any) -> None:
        """Add notes on the search; the caller holds the lock."""
        before = self.notes
        if before != (after := {**before, **notes}):
            self.work.study.set_user_attr(f"{SEARCH}{self.model}", after)

    def ask(self, trials: Sequence[StoredTrial] | None = None) -> tuple[int, dict[str, Scalar]] | None:
        """Begin a trial and return its number and settings.

        Its settings are drawn once it has begun, without the lock. They may equal those of another trial.

        Args:
            trials: The trials, where they have just been read.

        Returns:
            Number and settings; None if enough trials have ended or are running, or if no point of the space is left.
        """
        trials = self.stored if trials is None else trials
        room = self._room(trials)
        with self.lock:
            if room <= 0 or (room < math.inf and self._exists(len(trials) + int(room) - 1)):
                trials = self.stored
                if sum(trial.counts for trial in trials) >= self.spec.trials or is_exhausted(trials, self.space):
                    return None
            waiting = (self._id(trial.number) for trial in trials
                       if trial.state == "waiting" and self._continue(trial.number))
            begun = next(waiting, None)
            begun = self._begin() if begun is None else begun
        trial = Trial(copy(self.study), begun)
        trial.study.sampler = self._sampler(trial.number, trials)
        self._asked[trial.number] = trial
        for key, span in self.space.items():
            _draw(trial, key, span)
        trial.study = self.study  # the copy keeps the trials that it has read
        return trial.number, dict(trial.params)

    def _sampler(self, number: int, trials: Sequence[StoredTrial]) -> optuna.samplers.BaseSampler:
        """Return the sampler of a trial, seeded by the number of points drawn before it.

        Retries draw none, so that a search that was interrupted proposes the same points as one that was not.
        """
        if len(trials) < number:  # other processes have begun some since
            trials = self.stored
        drawn = sum(trial.retry_of is None for trial in trials[:number])
        digest = hashlib.sha256(f"{self.spec.seed}:{self.model}:{drawn}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        if self.spec.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=self._startup, **TPE)

    def repeats(self, number: int) -> int | None:
        """Return the number of the interrupted trial that one which this process has begun repeats; None for a new one.
        """
        found: int | None = self._asked[number].user_attrs.get("retry_of")
        return found

    def _room(self, trials: Sequence[StoredTrial]) -> float:
        """Return how many trials may begin after these at least, whatever happens to them. Each trial that begins has
        the next number, so that one number tells whether there is room left."""
        most = sum(trial.counts or trial.state == "waiting" for trial in trials)
        return min(self.spec.trials - most, _size(self.space) - len(trials))

    def check(self, number: int, check: Check) -> Verdict:
        """Report a check of a trial and return what happens to the trial."""
        trial = self._asked[number]
        try:
            trial.report(check.score, check.number)
        except UpdateFinishedTrialError:
            return "reassigned"
        # At its end there is nothing left to save: the score on all texts decides.
        ended = check.epochs >= trial.params.get("training.epochs", self.spec.base.training.epochs)
        return "prune" if not ended and trial.should_prune() else "continue"

    def prune(self, number: int, log: Callable[[], None] = lambda: None) -> bool:
        """End a trial that the pruner has stopped; return False if another start has the trial by now.

        Args:
            number: Number of the trial.
            log: Marks its run as pruned, as in `complete`.
        """
        return self._end(number, TrialState.PRUNED, notes=TrialNotes(reason=REASON), log=log)

    def trials(self) -> list[TrialSummary]:
        """Return the trials that are running or have ended, without those that were interrupted and are done again."""
        return [
            TrialSummary(
                number=trial.number, model=self.model, state=state,
                value=_value(self.spec, trial), epochs=_epochs(trial), settings=dict(trial.params),
                reason=stored(trial).reason)
            for trial in self.study.get_trials(deepcopy=False)
            if (state := state_of(trial)) in (*ENDED, "running")
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


def notes_of(model: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a study's record with these attributes notes of the search of a model; empty if nothing."""
    return dict(attributes.get(f"{SEARCH}{model}", {}))


def is_exhausted(trials: Sequence[StoredTrial], space: Mapping[str, BaseDistribution]) -> bool:
    """Return whether every point of a space has been tried or is being tried, and none waits for a retry. A trial whose
    settings are being drawn may be the last point."""
    points = _size(space)
    if len(trials) < points or any(trial.state == "waiting" for trial in trials):
        return False
    count = [trial for trial in trials if trial.counts]
    tried = {trial.point for trial in count if trial.settings.keys() == space.keys()}
    drawing = sum(trial.state == "running" and trial.settings.keys() != space.keys() for trial in count)
    return len(tried) + drawing >= points


def _draw(trial: Trial, key: str, span: BaseDistribution) -> None:
    match span:
        case CategoricalDistribution():
            trial.suggest_categorical(key, span.choices)
        case IntDistribution():
            trial.suggest_int(key, span.low, span.high, step=span.step, log=span.log)
        case FloatDistribution():
            trial.suggest_float(key, span.low, span.high, step=span.step, log=span.log)


def _size(space: Mapping[str, BaseDistribution]) -> float:
    """Return the number of points of a space, which may be infinite."""
    return math.prod(map(_points, space.values()))


def _points(span: BaseDistribution) -> float:
    """Return the number of different values of a setting, which may be infinite."""
    match span:
        case CategoricalDistribution():
            return len(span.choices)
        case IntDistribution():
            return len(range(span.low, span.high + 1, span.step))
        case FloatDistribution(step=float(step)):
            return round((span.high - span.low) / step) + 1
        case _:
            return math.inf


def best_of(trials: Sequence[StoredTrial], metric: MetricName) -> StoredTrial | None:
    """Return the best complete trial, the first among equals; None if no trial is complete."""
    values = [trial.value for trial in trials if trial.value is not None]
    reached = best(metric, values) if values else None
    return next((trial for trial in trials if trial.value is not None and trial.value == reached), None)


def distributions(spec: StudySpec) -> dict[str, BaseDistribution]:
    """Return the space of a study: setting -> its distribution in Optuna."""
    return {key: _distribution(span) for key, span in spec.space.items()}


def _distribution(span: Range) -> BaseDistribution:
    if span.choices is not None:
        return CategoricalDistribution(span.choices)
    assert span.low is not None
    assert span.high is not None
    if isinstance(span.low, int) and isinstance(span.high, int):
        return IntDistribution(span.low, span.high, log=span.log, step=int(span.step or 1))
    return FloatDistribution(float(span.low), float(span.high), log=span.log, step=span.step)


def _pruner(spec: StudySpec) -> optuna.pruners.BasePruner:
    return optuna.pruners.SuccessiveHalvingPruner(**HALVING) if spec.pruner == "halving" else optuna.pruners.NopPruner()


def _value(spec: StudySpec, trial: FrozenTrial) -> float | None:
    """Return the objective value of a trial so far: that of its best epoch."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    values = list((_by_epoch(trial) or trial.intermediate_values).values())
    return best(spec.metric, values) if values else None


def _by_epoch(trial: FrozenTrial) -> dict[int, float]:
    return {int(key.removeprefix(EPOCH)): value for key, value in trial.user_attrs.items() if key.startswith(EPOCH)}


def _epochs(trial: FrozenTrial) -> float:
    return max(max(trial.intermediate_values, default=0) / CHECKS, max(_by_epoch(trial), default=0))

