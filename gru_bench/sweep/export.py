"""Export and import of a study's record and searches: from an Optuna storage to plain values, and back into another.

Values of an archive are checked before they are used: they must have the form that Optuna and our own readers accept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gru_bench.config import ModelName
from gru_bench.errors import RunError
from gru_bench.sweep.identity import direction
from gru_bench.sweep.sharing.leases import START
from gru_bench.sweep.sharing.trials import ATTEMPT, KEY, REASON, RETRY_OF, key_of
from gru_bench.sweep.study import FORMAT, IDENTITY, IMPORTING, SEARCH, need_format
from gru_bench.tracking.export import BROKEN_OFF


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None or not 1970 < moment.year < 9999:
        raise ValueError("it must be a time between the years 1971 and 9998 without a time zone")
    return text


def _plain(text: str) -> str:
    if "\0" in text:
        raise ValueError("it must not hold the character NUL, which databases do not store")
    return text


Finite = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=8000), AfterValidator(_plain)]
Setting = Text | bool | Annotated[int, Field(ge=-2**53, le=2**53)] | Finite | None
Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
"""A time in ISO 8601."""
Count = Annotated[int, Field(ge=0, lt=2**31)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")


class _Open(BaseModel):
    """The attributes that our own readers use; others are allowed beside them."""

    model_config = ConfigDict(frozen=True, strict=True)


class _TrialNotes(_Open):
    run_id: Text = ""
    owner: Text = ""
    reason: Text = ""
    retry_of: Count | None = None
    duplicate_of: Count | None = None
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    reached: Count = 0
    own_fault: bool = False
    failed_at: Count = 0
    key: Text = ""
    forgotten: bool = False


class _TrialSystem(_Open):
    fixed_params: dict[Text, Setting] = {}


class _Start(_Open):
    owner: Text
    lease: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    models: list[Text]
    searching: list[Text]
    ended: bool


class _Identity(_Open):
    data: Text = ""


class _Search(_Open):
    identity: _Identity = _Identity()


class _Study(_Open):
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    starts: Count = 0
    importing: Text | None = None


class TrialCopy(_Record):
    """A trial as plain values."""

    state: Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"]
    value: Finite | None
    params: dict[Text, Setting]
    distributions: dict[Text, Annotated[str, Field(max_length=1_000_000)]]
    """Parameter -> its distribution in Optuna's JSON."""
    intermediate: dict[Count, float]
    """Epoch -> reported value."""
    user: dict[Text, Any]
    system: dict[Text, Any]
    started: Moment | None
    ended: Moment | None


class SearchCopy(_Record):
    """The search of one model as plain values."""

    model: ModelName
    trials: tuple[TrialCopy, ...]
    """The trials in the order of their numbers."""


class StudyCopy(_Record):
    """A study as an Optuna storage has it, as plain values."""

    user: dict[Text, Any]
    """The attributes of its record."""
    work: tuple[TrialCopy, ...]
    """The trials of the planned runs and follow-ups, in the order of their numbers."""
    searches: tuple[SearchCopy, ...]

    @property
    def identities(self) -> list[Mapping[str, Any]]:
        """The identity of each search."""
        return [self.user.get(f"{SEARCH}{copy.model}", {}).get(IDENTITY, {}) for copy in self.searches]


def read_study_copy(storage: optuna.storages.BaseStorage, study: str) -> StudyCopy | None:
    """Return the study of that name; None if the storage has none.

    Raises:
        RunError: It is of another version, or holds values that another storage would not accept.
    """
    need_format(study, storage)
    if study not in optuna.get_all_study_names(storage):
        return None
    record = optuna.load_study(study_name=study, storage=storage)
    try:
        return StudyCopy(
            user=dict(record.user_attrs), work=tuple(map(_copied, record.get_trials())),
            searches=tuple(
                SearchCopy(model=model, trials=tuple(map(_copied, found.get_trials())))
                for model, found in _searches(storage, study).items()))
    except ValidationError as error:
        raise RunError(f"an export must hold only what an import accepts, but the search of {study!r} does not: "
                       f"{_brief(error)}. Correct it in the storage first") from None


def study_names(storage: optuna.storages.BaseStorage) -> list[str]:
    """Return the names of all studies in a storage."""
    return sorted({name.partition("/")[0] for name in optuna.get_all_study_names(storage)})


def wrong_trial(study: StudyCopy) -> str:
    """Return what Optuna or our own readers would not accept in a study, and why; empty if they accept all."""
    for kind, of, trials in [("run", "the study", study.work),
                             *(("trial", copy.model, copy.trials) for copy in study.searches)]:
        scratch = optuna.create_study()
        for number, trial in enumerate(trials):
            try:
                _check(trial, number, scratch)
                if kind == "run" and not trial.user.get(KEY):
                    raise ValueError("it must have a key, but has none")
            except Exception as error:
                return f"{kind} {number} of {of}: {_brief(error)}"
    for key, value in study.user.items():
        try:
            if key.startswith(START):
                int(key.removeprefix(START))
                _Start.model_validate(value)
            elif key.startswith(SEARCH):
                _Search.model_validate(value)
        except ValueError as error:
            return f"{key[:60]!r} of the study: {_brief(error)}"
    try:
        _Study.model_validate(study.user)
    except ValueError as error:
        return f"the study: {_brief(error)}"
    return ""


def _check(trial: TrialCopy, number: int, scratch: optuna.Study) -> None:
    """Check that a trial would be accepted, by adding it to a study that is thrown away."""
    notes = _TrialNotes.model_validate(trial.user)
    if any(earlier is not None and earlier >= number for earlier in (notes.retry_of, notes.duplicate_of)):
        raise ValueError("it must refer to an earlier trial, but refers to a later one")
    _TrialSystem.model_validate(trial.system)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns of choices that it would not store
        scratch.add_trial(_restored(trial, {}))
    if trial.state == "RUNNING" and trial.started is None:
        raise ValueError("it is running, but has no start time")


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc'][:6]))}: {first['msg']}"[:200]
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def write_study(
    storage: optuna.storages.BaseStorage, study: str, copy: StudyCopy, *, archive: str, renamed: Mapping[str, str],
) -> None:
    """Write a study under the name `study`, marked as unfinished until `finish_import`.

    A trial that was running when it was exported is written as failed and queued again.

    Args:
        storage: Storage to write to.
        study: Name of the study.
        copy: The study.
        archive: Digest of the archive, which marks what is written so that an interrupted import is recognized.
        renamed: Run id in the copy -> run id in this tracking store.
    """
    towards = direction(next((known["training.metric"] for known in copy.identities if "training.metric" in known),
                             "accuracy"))
    record = optuna.create_study(study_name=study, storage=storage, direction=towards)
    record.set_user_attr(IMPORTING, archive)
    searches = [(f"{study}/{search.model}", search.trials) for search in copy.searches]
    for target, trials in [(record, copy.work), *(
            (optuna.create_study(study_name=name, storage=storage, direction=towards), trials)
            for name, trials in searches)]:
        for trial in [*trials, *_queued_again(trials)]:
            target.add_trial(_restored(trial, renamed))
    for key, value in _at_rest(copy.user).items():
        record.set_user_attr(key, _with_ids(value, renamed))


def unfinished_import(storage: optuna.storages.BaseStorage, study: str) -> str | None:
    """Return the archive whose import into this study was interrupted, or None."""
    if study not in optuna.get_all_study_names(storage):
        return None
    mark = optuna.load_study(study_name=study, storage=storage).user_attrs.get(IMPORTING)
    return str(mark) if mark else None


def finish_import(storage: optuna.storages.BaseStorage, study: str) -> None:
    """Mark what `write_study` wrote as complete."""
    if unfinished_import(storage, study) is not None:
        optuna.load_study(study_name=study, storage=storage).set_user_attr(IMPORTING, None)


def remove_study(storage: optuna.storages.BaseStorage, study: str) -> None:
    """Remove a study."""
    names = [found.study_name for found in _searches(storage, study).values()]
    for name in [*names, study]:  # the record last: it tells that the study is not complete
        if name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)


def _searches(storage: optuna.storages.BaseStorage, study: str) -> dict[str, optuna.Study]:
    return {name.rpartition("/")[2]: optuna.load_study(study_name=name, storage=storage)
            for name in optuna.get_all_study_names(storage) if name.rpartition("/")[0] == study}


def _copied(trial: FrozenTrial) -> TrialCopy:
    return TrialCopy(
        state=trial.state.name,  # type: ignore[arg-type]  # a text to mypy; pydantic checks it
        value=trial.values[0] if trial.values else None, params=dict(trial.params),
        distributions={key: distribution_to_json(value) for key, value in trial.distributions.items()},
        intermediate=dict(trial.intermediate_values), user=dict(trial.user_attrs), system=dict(trial.system_attrs),
        started=_text(trial.datetime_start), ended=_text(trial.datetime_complete))


def _restored(copy: TrialCopy, renamed: Mapping[str, str]) -> FrozenTrial:
    user, state, ended = dict(copy.user), TrialState[copy.state], copy.ended
    if state == TrialState.RUNNING:
        state, ended = TrialState.FAIL, copy.started
        user[REASON] = BROKEN_OFF
    return FrozenTrial(
        number=-1, trial_id=-1, state=state, value=copy.value, params=dict(copy.params),
        distributions={key: json_to_distribution(text) for key, text in copy.distributions.items()},
        intermediate_values=dict(copy.intermediate), user_attrs=_with_ids(user, renamed),
        system_attrs=dict(copy.system), datetime_start=_time(copy.started), datetime_complete=_time(ended))


def _queued_again(trials: Sequence[TrialCopy]) -> Iterator[TrialCopy]:
    retried = {trial.user.get(RETRY_OF) for trial in trials}
    for number, trial in enumerate(trials):
        settings = {**trial.system.get("fixed_params", {}), **trial.params}
        if trial.state == "RUNNING" and (settings or trial.user.get(KEY)) and number not in retried:
            yield TrialCopy(
                state="WAITING", value=None, params={}, distributions={}, intermediate={}, started=None, ended=None,
                user={**key_of(trial.user), RETRY_OF: number, ATTEMPT: trial.user.get(ATTEMPT, 1)},
                system={"fixed_params": settings})


def _at_rest(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a study on which no process works: all leases ended."""
    rest = dict(attributes)
    rest.pop(IMPORTING, None)
    for key, value in rest.items():
        if key.startswith(START) and isinstance(value, dict):
            rest[key] = {**value, "searching": [], "ended": True}
    return rest


def _with_ids(value: Any, renamed: Mapping[str, str]) -> Any:
    match value:
        case str():
            return renamed.get(value, value)
        case dict():
            return {key: _with_ids(inner, renamed) for key, inner in value.items()}
        case list():
            return [_with_ids(inner, renamed) for inner in value]
        case _:
            return value


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
