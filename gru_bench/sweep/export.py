"""The record and the searches of a study in an archive: a journal, checked before it enters another storage."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gru_bench.config import ModelName
from gru_bench.errors import GruBenchError, first_line
from gru_bench.sweep.search import IDENTITY, SEARCH
from gru_bench.sweep.sharing.leases import START
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import Count, TrialNotes, stored
from gru_bench.sweep.study import FORMAT, IMPORTING, LOGGED, TEXTS, attributes_of, need_format
from gru_bench.tracking.export import BROKEN_OFF
from gru_bench.tracking.record import Text, without_nul

ARCHIVE = "archive"
"""Set of an imported study: digest of the archive that it comes from."""


def _moment(moment: datetime) -> datetime:
    if moment.tzinfo is not None or not 1970 < moment.year < 9999:
        raise ValueError("it must be a time between the years 1971 and 9998")
    return moment


Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=500), AfterValidator(without_nul)]
Setting = Text | bool | Annotated[int, Field(ge=-2**53, le=2**53)] | Finite | None
Moment = Annotated[datetime, AfterValidator(_moment)]


class _Form(BaseModel):
    """Attributes that our own readers use; others are allowed too."""

    model_config = ConfigDict(frozen=True, strict=True, from_attributes=True)


class _System(_Form):
    fixed_params: dict[Text, Setting] = {}


class _Trial(_Form):
    value: Finite | None
    params: dict[Text, Setting]
    intermediate_values: dict[Count, float]
    system_attrs: _System
    datetime_start: Moment | None
    datetime_complete: Moment | None


class _Start(_Form):
    owner: Text
    lease: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    models: list[Text]
    searching: list[Text]
    ended: bool


class _Identity(_Form):
    data: Text = ""


class _Search(_Form):
    identity: _Identity = _Identity()


class _Study(_Form):
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    starts: Count = 0
    importing: None = None


_NAMES, _MODEL, _NOTES = TypeAdapter(dict[Name, Any]), TypeAdapter[str](ModelName), TypeAdapter(TrialNotes)


def export_searches(storage: BaseStorage, study: str, journal: Path, *, texts: bool) -> None:
    """Write a study to a journal as no process works on it: what was running has failed and is queued again.

    Args:
        storage: Storage that has the study.
        study: Name of the study.
        journal: The file.
        texts: Whether the study may continue to store texts, if it does.

    Raises:
        RunError: Another version of gru-bench has stored it.
    """
    need_format(study, storage)
    copied, written = InMemoryStorage(), open_storage(str(journal))
    for name in _names_of(study, storage):
        optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=copied)
        _end_running(optuna.load_study(study_name=name, storage=copied))
    record = optuna.load_study(study_name=study, storage=copied)
    for key, value in record.user_attrs.items():
        if key.startswith(START):
            record.set_user_attr(key, {**value, "searching": [], "ended": True})
    if not texts:
        record.set_user_attr(TEXTS, False)
    for name in _names_of(study, copied):
        optuna.copy_study(from_study_name=name, from_storage=copied, to_storage=written)


def _end_running(study: optuna.Study) -> None:
    trials = study.get_trials()
    retried = {stored(trial).retry_of for trial in trials}
    for trial in trials:
        if trial.state != TrialState.RUNNING:
            continue
        settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        known = stored(trial)
        if (settings or known.key) and trial.number not in retried:
            study.enqueue_trial(settings, user_attrs=TrialNotes(
                key=known.key, retry_of=trial.number, attempt=known.attempt).written())
        study._storage.set_trial_user_attr(trial._trial_id, "reason", BROKEN_OFF)
        study.tell(trial.number, state=TrialState.FAIL)


def read_searches(journal: Path, study: str) -> BaseStorage:
    """Return the storage that a journal is, after checking everything in it.

    Args:
        journal: A file that `export_searches` wrote.
        study: Name of the study.

    Raises:
        ValueError: Something in it has another form. The message names it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns of choices that it would not store
        try:
            storage = open_storage(str(journal), create=False)
        except GruBenchError as error:
            raise ValueError(str(error).partition(", but ")[2].partition(". ")[0]) from error
    names = optuna.get_all_study_names(storage)
    if study not in names or sorted(names) != sorted(_names_of(study, storage)) or len(names) == 1:
        raise ValueError(f"it must contain the study {study[:60]!r} with its searches and no other")
    for name in names:
        found = optuna.load_study(study_name=name, storage=storage)
        try:
            _check_attributes(found.user_attrs, name.removeprefix(study).removeprefix("/"))
            if len(found.directions) != 1:
                raise ValueError("it must have one direction")
            for trial in found.get_trials(deepcopy=False):
                _check(trial, needs_key=name == study)
        except Exception as error:  # of Optuna, where the parts of a trial do not fit together
            raise ValueError(f"{name[:60]}: {reason(error)}") from error
    return storage


def _check(trial: optuna.trial.FrozenTrial, *, needs_key: bool) -> None:
    try:
        if trial.state == TrialState.RUNNING:
            raise ValueError("it must not be running")
        _Trial.model_validate(trial)
        notes = _NOTES.validate_python(trial.user_attrs)
        trial._validate()
        for attributes in (trial.user_attrs, trial.system_attrs, trial.distributions):
            _NAMES.validate_python(attributes)
        if notes.retry_of is not None and notes.retry_of >= trial.number:
            raise ValueError("it must refer to an earlier trial, but refers to itself or a later one")
        if needs_key and not notes.key:
            raise ValueError("it must have a key, but has none")
    except Exception as error:
        raise ValueError(f"trial {trial.number}: {reason(error)}") from error


def _check_attributes(attributes: Mapping[str, Any], model: str) -> None:
    """Check the attributes of the search of a model, or of the record of a study."""
    _NAMES.validate_python(attributes)
    if model:
        _MODEL.validate_python(model)
        return
    _Study.model_validate(attributes)
    for key, value in attributes.items():
        form: type[_Form] | None = _Start if key.startswith(START) else _Search if key.startswith(SEARCH) else None
        if form is None:
            continue
        try:
            form.model_validate(value)
            if form is _Start:
                int(key.removeprefix(START))
        except ValueError as error:
            raise ValueError(f"{key[:60]!r}: {reason(error)}") from error


def import_searches(found: BaseStorage, study: str, storage: BaseStorage, name: str, archive: str) -> None:
    """Write a study to a storage, where it is unfinished until `finish_import`.

    What an interrupted import has left of it is removed first.

    Args:
        found: Storage that has the study, from `read_searches`.
        study: Name of the study there.
        storage: Storage to write to.
        name: Name of the study in this storage.
        archive: Digest of the archive.
    """
    if attributes_of(name, storage).get(IMPORTING):
        for one in reversed(_names_of(name, storage)):  # the record last, because it tells so
            optuna.delete_study(study_name=one, storage=storage)
    before = optuna.load_study(study_name=study, storage=found)
    record = optuna.create_study(study_name=name, storage=storage, direction=before.direction, load_if_exists=True)
    record.set_user_attr(IMPORTING, True)
    for key, value in {**before.user_attrs, ARCHIVE: archive}.items():
        if key not in (IMPORTING, LOGGED):  # its runs will be in another tracking store
            record.set_user_attr(key, value)
    record.add_trials(before.get_trials())
    for one in _names_of(study, found):
        if one != study:
            optuna.copy_study(from_study_name=one, from_storage=found, to_storage=storage,
                              to_study_name=name + one.removeprefix(study))


def finish_import(storage: BaseStorage, study: str) -> None:
    """Mark what `import_searches` wrote as complete."""
    optuna.load_study(study_name=study, storage=storage).set_user_attr(IMPORTING, None)


def data_of(storage: BaseStorage, study: str) -> set[str]:
    """Return the fingerprints of the data of a study's searches; empty where the storage does not have the study."""
    return {notes.get(IDENTITY, {}).get("data", "") for key, notes in attributes_of(study, storage).items()
            if key.startswith(SEARCH)}


def count_trials(storage: BaseStorage, study: str) -> int:
    """Return the number of trials of a study's searches."""
    return sum(len(optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False))
               for name in _names_of(study, storage) if name != study)


def _names_of(study: str, storage: BaseStorage) -> list[str]:
    """Return the names of a study's record and of its searches, the record first."""
    names = optuna.get_all_study_names(storage)
    return [name for name in (study, *sorted(name for name in names if name.rpartition("/")[0] == study))
            if name in names]


def reason(error: Exception) -> str:
    """Return in one line what is wrong with a value."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'][:6]))}: {first['msg']}"[:200]
    return first_line(error)
