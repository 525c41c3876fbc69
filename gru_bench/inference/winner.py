"""The winner of a study: which of its models it is, and how that is read from the tracking store.

Validation scores decide, never the test texts: of confirmation seeds, and of linear models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gru_bench.config import DataConfig, validated
from gru_bench.errors import (
    IncompleteError,
    RunError,
    UsageError,
    unknown,
)
from gru_bench.models.average import TrainedAverage
from gru_bench.models.linear import TrainedLinear
from gru_bench.models.trained import TrainedModel
from gru_bench.report.document.numbers import Numbers
from gru_bench.report.evidence.averages import Average, study_average
from gru_bench.report.evidence.groups import ModelRuns, confirm_groups, validation_rank
from gru_bench.report.evidence.progress import as_typed, baseline_runs, study_data
from gru_bench.report.evidence.store import Store as ReportStore
from gru_bench.report.evidence.temperatures import temperatures
from gru_bench.results.baselines import AVERAGE, BASELINES, MAJORITY, baseline_label, compared_baseline
from gru_bench.results.logged_metrics import compared, score
from gru_bench.results.runs import DataSummary
from gru_bench.tracking import LoggedRun, LoggedStudy, Reader


@dataclass(frozen=True)
class Winner:
    """A model of a study, with its complete confirmation runs."""

    study: LoggedStudy
    group: ModelRuns
    """The confirmation runs that belong together, as a report shows them."""
    beaten: tuple[str, ...]
    """Names of the study's other models."""

    @property
    def name(self) -> str:
        """Return the name of the model."""
        return self.group.model

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of its runs."""
        return self.group.ids


@dataclass(frozen=True)
class LinearWinner:
    """A linear model of a study, or its majority class."""

    study: LoggedStudy
    run: LoggedRun
    data: DataSummary | None
    """The data of the study; None where they were not logged."""
    beaten: tuple[str, ...]
    """Names of the study's other models."""

    @property
    def name(self) -> str:
        """Return the name of the model."""
        return self.run.model

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of its runs."""
        return (self.run.run_id,)


@dataclass(frozen=True)
class AverageWinner:
    """The average of a study."""

    study: LoggedStudy
    group: Average
    trained: Winner
    linear: LinearWinner
    beaten: tuple[str, ...] = ()
    """It is asked for by its name, and no other model is beaten."""

    @property
    def name(self) -> str:
        """Return the name of the model."""
        return self.group.model

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of the runs of both parts."""
        return self.group.ids


def asked(
    store: ReportStore, study: LoggedStudy, model: str | None = None
) -> Winner | LinearWinner | AverageWinner:
    """Return the winner of a study with its linear models, or the model that is named.

    The linear model with the best validation score wins if it is better than the winner of `choose`, or as good. The
    average is asked only where it is named.

    Args:
        store: Store of the study.
        study: The study.
        model: Name of a model of the study, or of a baseline, or `average`. None: the winner.

    Raises:
        IncompleteError, UsageError: as `choose`.
    """
    if model == AVERAGE:
        return _average(store, study)
    baselines, ranked_by = baseline_runs(study), {compared(study.plan().metric, "val").key, score("loss", "val").key}
    linear = [run for run in baselines if run.model != MAJORITY]
    chosen = next((run for run in baselines if run.model == model), None)
    if chosen is None:
        winner = choose(store, study, model, [run.model for run in baselines])
        if model is not None or not linear or not all(
                ranked_by <= run.metrics.keys() for run in (*linear, *winner.group.runs)):
            return winner
        chosen = min(linear, key=lambda run: validation_rank(study, [run]))
        if validation_rank(study, [chosen]) > validation_rank(study, winner.group.runs):
            return replace(winner, beaten=(*winner.beaten, *(run.model for run in linear)))
    trained = dict.fromkeys(run.model for run in (*study.confirms, *linear) if run.complete)
    beaten = tuple(name for name in trained if name != chosen.model)
    return LinearWinner(study, chosen, study_data(study, store), beaten)


def _average(store: ReportStore, study: LoggedStudy) -> AverageWinner:
    average = study_average(study, store)
    if isinstance(average, str):
        raise UsageError(f"the study {study.run.study!r} has no average: choose another model. {average}")
    trained, linear = (part.model for part in average.parts)
    return AverageWinner(study, average, Winner(study, average.trained, (linear,)),
                         LinearWinner(study, average.linear.runs[0], average.data, (trained,)))


def choose(store: ReportStore, study: LoggedStudy, model: str | None = None, others: Sequence[str] = ()) -> Winner:
    """Return the winner among the trained models of a study, or the model that is named.

    Of several models, the one with the best mean validation score over its confirmation seeds wins, by the score that
    the study is about. Ties go to the lower validation log loss, then to fewer parameters.

    Args:
        store: Store of the study.
        study: The study.
        model: Name of a model of the study. None: the winner.
        others: Names of further models, for the message on an unknown one.

    Raises:
        IncompleteError: where the study has no complete confirmation run.
        UsageError: for an unknown model, and where the runs have no validation scores and the study has several models.
        RunError: where the study is complete, but its artifacts cannot be read.
    """
    groups, _ = confirm_groups([study], store, Numbers())
    name = study.run.study
    if not groups and study.damaged:
        raise RunError(study.damaged)
    if not groups:
        raise IncompleteError(f"the study {name!r} has no complete confirmation run yet, and only these have weights: "
                              f"run it again ({as_typed(study.run.command)})")
    by_model = {group.model: group for group in groups}
    if model is None:
        model = _best(study, groups)
    if model not in by_model:
        raise unknown("model", model, [*by_model, *others], f"These are the models of the study {name!r}.")
    return Winner(study, by_model[model], tuple(other for other in by_model if other != model))


def _best(study: LoggedStudy, groups: Sequence[ModelRuns]) -> str:
    if len(groups) == 1:
        return groups[0].model
    try:
        return min(groups, key=lambda group: validation_rank(study, group.runs)).model
    except KeyError:
        raise UsageError(f"the winner is chosen by validation scores, but the runs of the study {study.run.study!r} "
                         f"have none: choose one of its models: {', '.join(group.model for group in groups)}") from None


def better_baseline(winner: Winner | LinearWinner | AverageWinner) -> str:
    """Return a sentence on the baseline with the better test score, of those that the study compares models with, where
    this score is above the model's; otherwise an empty text."""
    if not isinstance(winner, Winner):
        return ""
    metric = winner.study.plan().metric
    one = compared(metric, "test")
    sign = 1 if one.higher_is_better else -1
    own, best, name = winner.group.score.value, None, ""
    baselines = baseline_runs(winner.study)
    linear = compared_baseline(baselines, metric)
    for run in (other for other in baselines if other.model == MAJORITY or other is linear):
        found = run.metrics.get(one.key)
        if found is not None and (best is None or sign * found > sign * best):
            best, name = found, baseline_label(run.model, run.params)
    if own is None or best is None or sign * best <= sign * own:
        return ""
    return (f"the baseline {name} scores better than this model: {one.label} {one.written(best)}, and here "
            f"{one.written(own)}")


def load(store: Reader, winner: Winner) -> TrainedModel:
    """Return the model that the confirmation runs of the winner have logged, of all their seeds, with its temperatures.

    Args:
        store: Reader of the study.
        winner: The model.

    Raises:
        RunError: where a run holds no model. The error says how it comes back.
        DataError: where the model of a run was changed.
    """
    ids = [run.run_id for run in winner.group.runs]
    try:
        models = store.models(ids, winner.study.run.run_id)
    except RunError as error:
        raise _without_model(winner, error) from error
    return replace(
        TrainedModel.of_seeds(models, study=winner.study.run.study, run_ids=ids),
        temperature=temperatures(store, ids).together, text_labels=_has_text_labels(winner.group.data))


def read(
    store: Reader, winner: Winner | LinearWinner | AverageWinner
) -> TrainedModel | TrainedLinear | TrainedAverage:
    """Return a model of a study, whatever it is. The arguments and errors are those of `load`."""
    if isinstance(winner, Winner):
        return load(store, winner)
    if isinstance(winner, AverageWinner):
        return TrainedAverage(load(store, winner.trained), _linear(store, winner.linear),
                              winner.group.linear_temperature)
    return _linear(store, winner)


def _linear(store: Reader, winner: LinearWinner) -> TrainedLinear:
    logged = next((run.params for run in winner.study.confirms if "data.text_column" in run.params), {})
    data = validated(DataConfig, {key: logged[f"data.{key}"] for key in ("text_column", "id_column")
                                  if logged.get(f"data.{key}", "None") != "None"})
    try:
        return replace(store.linear_model(winner.run.run_id), study=winner.study.run.study,
                       text_labels=_has_text_labels(winner.data), data=data)
    except RunError as error:
        trained = [name for name in winner.beaten if name not in BASELINES]
        command = re.sub(" -+no-texts", "", as_typed(winner.study.run.command))
        raise RunError(
            f"the linear model {winner.name} cannot be read from its run {winner.run.run_id}: a study "
            "without texts does not store it, because its n-grams are fragments of texts. "
            + (f"Choose a trained model ({', '.join(trained)}), or run" if trained else "Run")
            + f" the study with texts under another name ({command})") from error


def _has_text_labels(data: DataSummary | None) -> bool:
    return data is not None and data.text_labels


def _without_model(winner: Winner, error: RunError) -> RunError:
    study = winner.study.run.study
    return RunError(f"the runs of the study {study!r} have no weights that this version can read ({error}): delete the "
                    f"runs in MLflow and run the sweep again to retrain them ({as_typed(winner.study.run.command)})")
