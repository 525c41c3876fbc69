"""The record of a study: what the processes that work on it share, and its searches.

The record is an Optuna study with the study's name. It has the lease of each start, how each search began, and the
planned work of all models as trials. Next to it, the search of each model is an Optuna study, `STUDY/MODEL`, which has
only trials. All of them are written under one lock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import BaseStorage

from gru_bench.config import SOURCE
from gru_bench.data.corpus import Corpus
from gru_bench.errors import RunError, UsageError, argument
from gru_bench.results.baselines import baseline_names
from gru_bench.sweep.identity import PROPOSALS, changes, direction, identity_of
from gru_bench.sweep.plan import SearchState, StudyState, left_to_do, may_ask
from gru_bench.sweep.search import ASKED, IDENTITY, SEARCH, Search, best_of, distributions, is_exhausted, notes_of
from gru_bench.sweep.sharing.leases import STARTS, Lease
from gru_bench.sweep.sharing.storage import lock_for
from gru_bench.sweep.sharing.trials import Trials, trials_of
from gru_bench.sweep.sharing.work import StoredTrial, latest_trials
from gru_bench.sweep.spec import StudySpec

FORMAT_KEY, FORMAT = "format", 5
"""Set when a study begins: the format of what is stored of it."""
MODELS = "models"
"""Set when a study begins: its models, in their order."""
BASELINES = "baselines"
"""Set when a study begins: the names of its baselines."""
RUN, TEXTS = "run_id", "texts"
"""Set when the study's own run begins: its id, and whether texts are stored."""
LOGGED = "logged to"
"""Set once a tracking store has the study's own run: its URI, without a password."""


class StudyRecord:
    """The record of a study, for one of the starts that work on it."""

    def __init__(self, spec: StudySpec, storage: BaseStorage, fingerprint: str, experiment: str) -> None:
        """Begin the study, or continue it, with the searches of all of its models.

        Args:
            spec: The study.
            storage: The Optuna storage.
            fingerprint: Fingerprint of the data.
            experiment: Name of the MLflow experiment that runs are logged to.

        Raises:
            UsageError: The study has other models, or a search was begun with another space, data, objective or fixed
                setting.
            RunError: The study is stored in another format.
        """
        self.spec, self.lock = spec, lock_for(storage, spec.name)
        with self.lock:
            stored = read_study(spec, storage)
            _require_same_models(spec, stored.began)
            _require_same_settings(spec, stored, fingerprint, experiment)
            self.study = optuna.create_study(
                study_name=spec.name, storage=storage, direction=direction(spec.metric), load_if_exists=True)
            if FORMAT_KEY not in self.study.user_attrs:
                self.study.set_user_attr(BASELINES, baseline_names())
                self.study.set_user_attr(FORMAT_KEY, FORMAT)
            self.study.set_user_attr(MODELS, spec.models)
            self.lease = Lease(self.study)
            self.work = Trials(self.study, self.lock, self.lease)
            """The planned work of all models: the baselines and the runs that follow the searches."""
            self.searches = dict[str, Search]()
            for model in spec.models:
                began, now = stored.searches[model].identity, identity_of(spec, model, fingerprint, experiment)
                added = {key: value for key, value in now.items() if not (began and key in PROPOSALS)}
                self.searches[model] = Search(spec, model, storage, self.work, {**added, **began})
            self.note_searching(self.state())

    def state(self, *, in_time: bool = True) -> StudyState:
        """Read the study; `in_time`: whether new trials may begin."""
        # The leases are read first: a process asks for its last trial before its lease says that it asks for no more.
        attributes = self.study.user_attrs
        others = list(self.lease.others(attributes).values())
        return _state(self.spec, self.work.latest(), {model: search.stored for model, search in self.searches.items()},
                      attributes, others, start=self.lease.start, in_time=in_time)

    def note_searching(self, state: StudyState) -> None:
        """Record for which models this start may ask for more trials."""
        self.lease.note_searching([model for model in state.searches if may_ask(state, model)])

    @property
    def run_id(self) -> str:
        """Id of the study's own run; empty before it begins."""
        return str(self.study.user_attrs.get(RUN, ""))

    def begin_run(self, run_id: str, *, texts: bool) -> bool:
        """Note the id of the study's own run, and whether texts are stored; return False if both are known already.

        Args:
            run_id: The id.
            texts: Whether texts are stored.
        """
        with self.lock:
            if RUN in self.study.user_attrs:
                return False
            self.study.set_user_attr(TEXTS, texts)
            self.study.set_user_attr(RUN, run_id)
            return True

    @property
    def logged_to(self) -> str:
        """URI of the tracking store that has the study's own run; empty until that is known."""
        return str(self.study.user_attrs.get(LOGGED, ""))

    def note_logged(self, uri: str) -> None:
        """Note that a tracking store has the study's own run."""
        if self.logged_to != uri:
            with self.lock:
                self.study.set_user_attr(LOGGED, uri)


def stored_study(spec: StudySpec, corpus: Corpus, storage: BaseStorage) -> StudyState:
    """Return a study as its last start has left it, once it is clear that its next start may continue it.

    Args:
        spec: The study.
        corpus: Its texts.
        storage: The Optuna storage.

    Raises:
        UsageError: It began with other settings or data, or with other models and is not done.
        RunError: It is stored in another format.
    """
    spec = spec.fitted(len(corpus.train))
    state = read_study(spec, storage)
    if any(left_to_do(state)):
        _require_same_models(spec, state.began)
    _require_same_settings(spec, state, corpus.fingerprint, corpus.name)
    return state


def read_study(spec: StudySpec, storage: BaseStorage) -> StudyState:
    """Return a study as its last start has left it, read without taking part in it.

    Args:
        spec: The study. The state has the models with which it began, too.
        storage: The Optuna storage.

    Raises:
        RunError: It is stored in another format.
    """
    attributes = attributes_of(spec.name, storage)
    begun = any(name.startswith(f"{spec.name}/") for name in optuna.get_all_study_names(storage))
    if begun and attributes.get(FORMAT_KEY) != FORMAT:
        raise RunError(
            f"the study {spec.name!r} must be stored in format {FORMAT}, but is in format "
            f"{attributes.get(FORMAT_KEY) or 'none'}: start again in an empty folder, with another "
            f"{argument('storage')} and {argument('tracking_uri')}, or under another study name ({argument('name')})")
    work = trials_of(optuna.load_study(study_name=spec.name, storage=storage)) if attributes else []
    searches = {model: trials_of(optuna.load_study(study_name=f"{spec.name}/{model}", storage=storage))
                for key in attributes if key.startswith(SEARCH) and (model := key.removeprefix(SEARCH))}
    began = attributes.get(MODELS, ())
    spec = spec.model_copy(update={"models": [*began, *(model for model in spec.models if model not in began)]})
    return _state(spec, latest_trials(work), searches, attributes, [], start=int(attributes.get(STARTS, 0)))


def _state(
    spec: StudySpec, work: Mapping[str, StoredTrial], searches: Mapping[str, Sequence[StoredTrial]],
    attributes: Mapping[str, Any], others: Sequence[Mapping[str, Any]], *, start: int, in_time: bool = True,
) -> StudyState:
    """Return a study whose record has these attributes and this planned work, beside other starts with these leases."""
    found = {model: _search_state(spec, model, searches[model], notes_of(model, attributes), others)
             if model in searches else SearchState() for model in spec.models}
    return StudyState(
        spec, found, work, start=start, began=attributes.get(MODELS, ()),
        baselines=attributes.get(BASELINES, baseline_names()), in_time=in_time,
        texts=bool(attributes.get(TEXTS)), run_id=str(attributes.get(RUN, "")),
        logged_to=str(attributes.get(LOGGED, "")))


def _search_state(
    spec: StudySpec, model: str, trials: Sequence[StoredTrial], notes: Mapping[str, Any],
    others: Sequence[Mapping[str, Any]],
) -> SearchState:
    return SearchState(
        tuple(trials), is_exhausted(trials, distributions(spec)), best_of(trials, spec.metric),
        notes.get(IDENTITY, {}), int(notes.get(ASKED, 0)),
        searched_elsewhere=any(model in lease["searching"] for lease in others))


def _require_same_models(spec: StudySpec, began: Sequence[str]) -> None:
    """Refuse other models than those with which a study began."""
    if began and set(began) != set(spec.models):
        raise UsageError(f"the study {spec.name!r} must keep the models with which it began, {', '.join(began)}, but "
                         f"got {', '.join(spec.models)}: give the same models, or start a new study under another name "
                         f"({argument('name')})")


def _require_same_settings(spec: StudySpec, state: StudyState, fingerprint: str, experiment: str) -> None:
    """Refuse other settings or data than those with which the searches of a study's models began."""
    for model in spec.models:
        search, now = state.searches[model], identity_of(spec, model, fingerprint, experiment)
        if search.identity and (changed := changes(search.identity, now, ended=search.counted >= spec.trials)):
            of_class = f"for {model} " if SOURCE in now else ""
            raise UsageError(f"the study {spec.name!r} was started differently: {of_class}{'; '.join(changed)}. Start "
                             f"a new study under another name ({argument('name')}), or restore the old settings")


def attributes_of(name: str, storage: BaseStorage) -> Mapping[str, Any]:
    """Return the attributes of a study's record; empty if the storage has none."""
    if name not in optuna.get_all_study_names(storage):
        return {}
    return optuna.load_study(study_name=name, storage=storage).user_attrs
