"""A study after a start, as both stores have it: what its end is shown from, also where nothing was left to do."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from gru_bench.data.corpus import Corpus
from gru_bench.errors import GruBenchError
from gru_bench.results.runs import StudySummary
from gru_bench.sweep.consistency import compare_stores, deleted_runs, runs_of
from gru_bench.sweep.plan import StudyState, left_to_do
from gru_bench.tracking import LoggedStudy, Reader


@dataclass(frozen=True)
class StudyEnd:
    """A study after a start of it."""

    state: StudyState
    summary: StudySummary
    store: Reader
    logged: LoggedStudy | None
    """The study as MLflow has it."""
    experiment: str
    """Name of its MLflow experiment."""
    seconds: float = 0.0
    """Seconds that this start took."""
    shown_notes: Collection[str] = ()
    """The notes of the summary that were shown already."""

    @property
    def left(self) -> list[str]:
        """What the start was asked for and has not done; the same command does it."""
        return list(left_to_do(self.state))

    @property
    def is_confirmed(self) -> bool:
        """Whether a model has a complete confirmation run, so that it can be asked."""
        return any(map(self.state.confirmed, self.state.searches))

    def page(self, served: str) -> str | None:
        """Return the URL of the study's page in MLflow; None while MLflow does not have the study.

        Args:
            served: Address at which a store that is a file would be shown.
        """
        return None if self.logged is None else self.store.run_url(self.logged.run, served)

    def view_url(self, served: str) -> str | None:
        """Return the URL of the saved view of the runs; empty where there is none. The address is that of `page`."""
        view = self.store.view(self.experiment, self.state.spec.metric)
        return view and self.store.page_url(view, served)


def end_of(state: StudyState, corpus: Corpus, store: Reader) -> StudyEnd | None:
    """Return the end of a study if nothing is left to do of it and all of it is logged.

    Args:
        state: The study as its last start has left it.
        corpus: Its texts.
        store: The tracking store. While it cannot be read, nothing is known to be done.
    """
    if any(left_to_do(state)) or not state.is_complete:
        return None
    with suppress(GruBenchError):
        experiment, runs = runs_of(state, corpus, store)
        study = store.logged_study(state.run_id) if experiment else None
        if study is not None and study.summary is not None:
            found = compare_stores(state, runs, deleted_runs(state, runs, store))
            if found.faults == found.deleted:  # no start trains them again
                return StudyEnd(state, study.summary, store, study, experiment)
    return None
