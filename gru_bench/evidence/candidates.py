"""The classifiers that can be taken and served, and which of them to take. This is the one place that makes them.

The candidates of a study are each trained model with all its seeds (the mean of their probabilities, at its
temperature), each linear model, and the average of the trained and the linear one that are best on validation
(`gru_bench.stats.average`). The best candidate on validation is taken. Test texts have no part in that, so comparing
it with the others on test texts costs nothing.

A candidate is one classifier without seeds: what is said of it holds for these trained models on new texts.

Shapes: `R` runs (seeds) of a model, `N` examples, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.document.numbers import Numbers
from gru_bench.evidence.baselines import baselines_of
from gru_bench.evidence.groups import ModelRuns, confirm_groups, group_of, metric_of
from gru_bench.evidence.progress import study_name
from gru_bench.evidence.store import Store
from gru_bench.results.baselines import AVERAGE, MAJORITY
from gru_bench.stats.average import averaged
from gru_bench.stats.calibration import calibrated, temperature
from gru_bench.stats.metrics import mean_probability
from gru_bench.stats.scores import Scored
from gru_bench.tracking import LoggedStudy
from gru_bench.wording import listed

NONE_ON_VALIDATION = "there are no predictions of validation texts"


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate(ModelRuns):
    """A classifier that can be taken, with what it predicts for the test texts as it is served: one row."""

    made_of: tuple[ModelRuns, ...]
    """The model whose runs it is, or the trained and the linear one that are averaged."""
    temperatures: tuple[float | None, ...]
    """The temperature of each of these. None: T is 1."""
    validation: Scored | None
    """What it predicts for the validation texts. None where that is not known."""

    @property
    def parts(self) -> tuple[ModelRuns, ...]:
        """Return the models that it is made of."""
        return self.made_of

    @property
    def validation_rank(self) -> tuple[float, float, int]:
        """Return what candidates are ranked by on validation; the smallest is the best.

        That is the study's score, then the log loss, then the number of networks and linear models to run.
        """
        assert self.validation is not None
        value, loss = (self.validation.scores(metric)[0] for metric in (self.metric, "log_loss"))
        return (-value if self.scale.higher_is_better else value, loss, len(self.ids))


@dataclass(frozen=True)
class Candidates:
    """The candidates of some studies on the same texts."""

    every: tuple[Candidate, ...] = ()
    """One at least, unless it is said why there is none."""
    missing: str = ""
    """Why none is chosen; empty where one is."""

    @cached_property
    def chosen(self) -> Candidate | None:
        """Return the candidate to take: the best one on validation. None where nothing is chosen."""
        if self.missing:
            return None
        return self.every[0] if len(self.every) == 1 else min(self.every, key=lambda one: one.validation_rank)

    @property
    def others(self) -> tuple[Candidate, ...]:
        """Return the candidates that are not taken."""
        chosen = self.chosen
        return tuple(one for one in self.every if one is not chosen)


def candidates_of(
    studies: Sequence[LoggedStudy], groups: Sequence[ModelRuns], baselines: Sequence[ModelRuns], store: Store
) -> Candidates:
    """Return the candidates of studies, of which the same linear model in several is one.

    Args:
        studies: The studies.
        groups: The confirmation runs of their models.
        baselines: Their baselines.
        store: Store of the runs.
    """
    trained = [_Model.of(group, store) for group in groups if group.has_probabilities]
    linear = [_Model.of(group, store) for group in baselines if group.model != MAJORITY and trained
              and np.array_equal(group.example_N, trained[0].group.example_N)
              and np.array_equal(group.label_N, trained[0].group.label_N)]
    found = [one.candidate for one in (*trained, *linear)]
    for study in studies:
        own = [one for one in trained if one.group.study is study and one.validation is not None]
        average = _average(own, [one for one in linear if one.validation is not None])
        if average is not None:
            found.append(average if len(studies) == 1 else replace(
                average, label=f"{average.label} ({study_name(study)})"))
    unknown = [one.label for one in found if one.validation is None]
    if len(found) == 1 or (found and not unknown):
        return Candidates(tuple(found))
    return Candidates(tuple(found), NONE_ON_VALIDATION + (
        f" by {listed(unknown)}" if len(unknown) < len(found) else ""))


def study_candidates(study: LoggedStudy, store: Store) -> Candidates:
    """Return the candidates of one study."""
    numbers = Numbers()
    groups, _ = confirm_groups([study], store, numbers)
    baselines, _ = baselines_of([study], store, metric_of([study]), numbers)
    return candidates_of([study], groups, baselines, store)


@dataclass(frozen=True)
class _Model:
    """A model with what all its runs together predict, before calibration."""

    group: ModelRuns
    mean_NC: NDArray[np.float64]
    validation: Scored | None
    temperature: float | None
    """The one with the least log loss on the validation texts. None where it is not known."""

    @classmethod
    def of(cls, group: ModelRuns, store: Store) -> _Model:
        """Return the model of some runs, which differ in the seed alone."""
        read, _ = group_of(store, group.runs, group.numbers, group.label, group.model, group.study, group.metric,
                           "validation")
        mean_NC = _mean(group)
        if read is None or len(read.runs) < len(group.runs):
            return cls(group, mean_NC, None, None)
        own_NC = _mean(read)
        best = temperature(read.label_N, own_NC) if group.whole and read.whole else None
        return cls(group, mean_NC, replace(read, probability_RNC=own_NC[None]), best)

    @property
    def candidate(self) -> Candidate:
        """Return it as it is served: a linear model is not calibrated."""
        used = None if self.group.is_fitted_once else self.temperature
        seeds = " (all seeds)" if len(self.group.runs) > 1 else ""
        validation = None if self.validation is None else _with(
            self.validation, calibrated(self.validation.probability_RNC[0], used))
        return _candidate((self,), calibrated(self.mean_NC, used), validation, self.group.model,
                          f"{self.group.label}{seeds}")


def _average(trained: Sequence[_Model], linear: Sequence[_Model]) -> Candidate | None:
    """Return the average of the best model of each kind; None where there is none, or its probabilities are not known.
    """
    if not trained or not linear:
        return None
    parts = tuple(min(models, key=lambda one: one.candidate.validation_rank) for models in (trained, linear))
    first, second = parts
    if not (first.group.whole and second.group.whole) or first.validation is None or second.validation is None:
        return None

    def mean(one_NC: NDArray[Any], other_NC: NDArray[Any]) -> NDArray[np.float64]:
        return averaged(one_NC, other_NC, first.temperature, second.temperature)

    on_validation = mean(first.validation.probability_RNC[0], second.validation.probability_RNC[0])
    return _candidate(parts, mean(first.mean_NC, second.mean_NC), _with(first.validation, on_validation), AVERAGE,
                      AVERAGE)


def _candidate(
    models: tuple[_Model, ...], probability_NC: NDArray[np.float64], validation: Scored | None, model: str, label: str
) -> Candidate:
    group = models[0].group
    common = {one.name: getattr(group, one.name) for one in fields(ModelRuns)}
    return Candidate(**{**common, "probability_RNC": probability_NC[None], "named_RN": None, "is_fitted_once": True,
                        "numbers": group.numbers.of(AVERAGE if len(models) > 1 else "candidate"), "label": label,
                        "model": model}, made_of=tuple(one.group for one in models),
                     temperatures=tuple(one.temperature for one in models), validation=validation)


def _mean(group: ModelRuns) -> NDArray[np.float64]:
    """Return the mean probability over runs, in float64, as a saved model takes it."""
    return mean_probability(group.probability_RNC.astype(np.float64)).astype(np.float64)


def _with(scored: Scored, probability_NC: NDArray[np.float64]) -> Scored:
    return replace(scored, probability_RNC=probability_NC[None])
