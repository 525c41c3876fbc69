"""A study of which nothing is left to do, as its stores have it: a start shows it without a worker, and writes nothing.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from gru_bench.data.corpus import Corpus
from gru_bench.errors import GruBenchError
from gru_bench.results.runs import DataSummary, StudySummary
from gru_bench.sweep.consistency import compare_stores
from gru_bench.sweep.plan import StudyState, left_to_do
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.study import read_study, require_same_settings
from gru_bench.sweep.summary import asked_for
from gru_bench.tracking import LoggedStudy, Reader, open_reader

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


class DoneStudy:
    """A study that is done. It says of itself what a `Sweep` that has ended does."""

    def __init__(self, state: StudyState, logged: LoggedStudy, summary: StudySummary, store: Reader) -> None:
        """Take the study as both stores have it."""
        self.state, self.spec, self.summary, self.store = state, state.spec, summary, store
        self.data: DataSummary = summary.data
        self.left: list[str] = []
        self.shown_notes: set[str] = set()
        self._logged = logged
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it was read."""
        return time.monotonic() - self._started

    @property
    def is_confirmed(self) -> bool:
        """Whether a model has a complete confirmation run, so that it can be asked."""
        return any(map(self.state.confirmed, self.state.searches))

    def logged(self) -> list[LoggedStudy]:
        """Return the study as MLflow has it."""
        return [self._logged]

    def page(self, served: str) -> str | None:
        """Return the URL of the study's page in MLflow, where a store that is a file is shown at the address `served`.
        """
        return self.store.run_url(self._logged.run, served)

    def view_url(self, served: str) -> str | None:
        """Return the URL of the saved view of the runs; empty where there is none. The address is that of `page`."""
        return self._view and self.store.page_url(self._view, served)

    @cached_property
    def _view(self) -> str:
        return self.store.view(self.data.name, self.spec.metric)


def done_study(
    spec: StudySpec, corpus: Corpus, storage: BaseStorage, tracking_uri: str | None
) -> DoneStudy | None:
    """Return a study that has begun, if nothing is left to do of it and all of it is logged.

    Args:
        spec: The study.
        corpus: Its texts.
        storage: The storage of its searches.
        tracking_uri: MLflow store, or None for the usual file in the working directory. While it cannot be read,
            nothing is known to be done.

    Raises:
        UsageError: The study began with other settings or data.
    """
    spec = spec.fitted(len(corpus.train))
    state = read_study(spec, storage)
    require_same_settings(spec, state, corpus.fingerprint, corpus.name)
    if any(left_to_do(state)) or not state.is_complete:
        return None
    with suppress(GruBenchError):
        store = open_reader(tracking_uri)
        study = store.logged_study(state.run_id)
        if study is not None and study.run.complete and study.summary is not None and (
                _says(study.summary, state) and not compare_stores(state, [study.run], study.runs[1:]).faults):
            return DoneStudy(state, study, study.summary, store)
    return None


def _says(summary: StudySummary, state: StudyState) -> bool:
    """Return whether the logged summary is of what the study file asks for now: a part that was removed from the file
    is still in the summary."""
    return all(getattr(summary, name) == value for name, value in asked_for(state).items())
