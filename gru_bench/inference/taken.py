"""The classifier that a study takes, or the one that is named, and how it is read from the tracking store."""

from __future__ import annotations

import re
from dataclasses import replace

from gru_bench.config import RunConfig, with_settings
from gru_bench.errors import IncompleteError, RunError, UsageError, unknown, without_passwords
from gru_bench.evidence.candidates import Candidate, Candidates, study_candidates
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.progress import as_typed, is_finished
from gru_bench.evidence.store import Store as ReportStore
from gru_bench.models.trained import TrainedModel
from gru_bench.results.baselines import AVERAGE
from gru_bench.tracking import LoggedStudy, Reader


def study_of(store: Reader, name: str | None) -> LoggedStudy:
    """Return the newest study of a name; of no name the newest finished study of all experiments.

    Raises:
        UsageError: The study is unknown, or there is no study. The error lists the known ones.
        IncompleteError: No name is given, and no study is finished.
    """
    if name is not None:
        return store.study(name)
    finished = [study for experiment in store.experiments() for study in store.studies(experiment)
                if is_finished(study)]
    if not finished:
        raise IncompleteError(f"no study in {without_passwords(store.uri)} is finished: name one with --study, or run "
                              "one (gru-bench sweep --study smoke)")
    return max(finished, key=lambda study: study.run.started)


def candidates(store: ReportStore, study: LoggedStudy) -> Candidates:
    """Return the candidates of a study (`evidence.candidates`).

    Raises:
        IncompleteError: The study has no complete confirmation run.
        RunError: The study is complete, but its artifacts cannot be read.
    """
    found = study_candidates(study, store)
    if any(not one.made_of[0].is_fitted_once for one in found.every):
        return found
    if study.damaged:
        raise RunError(study.damaged)
    raise IncompleteError(f"the study {study.run.study!r} has no complete confirmation run yet, and only these have "
                          f"weights: run it again ({as_typed(study.run.command)})")


def asked(found: Candidates, study: str, model: str | None = None) -> Candidate:
    """Return the candidate that a study takes, or the one that is named.

    Args:
        found: The candidates of the study.
        study: Name of the study.
        model: Name of a model of the study, of a linear model, or `average`. None: the one to take.

    Raises:
        UsageError: The name is unknown, or nothing is chosen and none is named.
    """
    named = {one.model: one for one in found.every}
    if model is not None:
        if model not in named:
            raise unknown("model", model, list(named), f"These are the models of the study {study!r}.")
        return named[model]
    if found.chosen is None:
        raise UsageError(f"the study {study!r} takes no model by itself, because {found.missing}: choose one with "
                         f"--model: {', '.join(named)}")
    return found.chosen


def tuned(found: Candidates) -> ModelRuns:
    """Return the trained model of a study that is best on validation; without validation texts the first one."""
    trained = [one for one in found.every if len(one.parts) == 1 and not one.parts[0].is_fitted_once]
    return (trained[0] if found.missing else min(trained, key=lambda one: one.validation_rank)).parts[0]


def read(store: Reader, chosen: Candidate) -> TrainedModel:
    """Return a candidate as it was logged: its weights, with the temperatures that the report has found.

    Args:
        store: Reader of the study.
        chosen: The candidate.

    Raises:
        RunError: A run holds no model. The error says how it comes back.
        DataError: The model of a run was changed.
    """
    first, *others = chosen.parts
    if first.is_fitted_once:
        return _linear(store, first)
    trained = _trained(store, first, chosen.temperatures[0])
    if not others:
        return trained
    fitted = _linear(store, others[0])
    assert fitted.linear is not None
    return replace(trained, name=AVERAGE, run_ids=trained.run_ids + fitted.run_ids,
                   linear=replace(fitted.linear, temperature=chosen.temperatures[1]))


def _trained(store: Reader, group: ModelRuns, temperature: float | None) -> TrainedModel:
    study = group.study.run
    try:
        models = store.models(group.ids, study.run_id)
    except RunError as error:
        raise RunError(
            f"the runs of the study {study.study!r} have no weights that this version can read ({error}): delete the "
            f"runs in MLflow and run the sweep again to retrain them ({as_typed(study.command)})") from error
    return replace(TrainedModel.of_seeds(models, study=study.study, run_ids=list(group.ids)), temperature=temperature,
                   text_labels=_has_text_labels(group))


def _linear(store: Reader, group: ModelRuns) -> TrainedModel:
    study, run = group.study, group.runs[0]
    logged = next((run.params for run in study.confirms if "data.text_column" in run.params), {})
    config = with_settings(RunConfig(), {key: logged[key] for key in ("data.text_column", "data.id_column")
                                         if logged.get(key, "None") != "None"})
    try:
        return replace(store.models([run.run_id], None)[0], study=study.run.study, config=config,
                       text_labels=_has_text_labels(group))
    except RunError as error:
        trained = dict.fromkeys(one.model for one in study.confirms if one.complete)
        command = re.sub(" -+no-texts|, no_texts=True", "", as_typed(study.run.command))
        raise RunError(
            f"the linear model {run.model} cannot be read from its run {run.run_id}: a study without texts does not "
            f"store it, because its n-grams are fragments of texts. Choose a trained model ({', '.join(trained)}), or "
            f"run the study with texts under another name ({command})") from error


def _has_text_labels(group: ModelRuns) -> bool:
    return group.data is not None and group.data.text_labels
