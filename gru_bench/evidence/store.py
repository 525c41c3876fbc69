"""What a report reads from a tracking store besides the studies themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gru_bench.document.numbers import plain
from gru_bench.document.sentences import KnownRun
from gru_bench.results.runs import Predictions
from gru_bench.tracking import LoggedRun, LoggedStudy

Histories = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]
"""Run -> metric -> (step, value), in order of steps."""


class Store(Protocol):
    """What a report reads besides the studies themselves."""

    def histories(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Histories:
        """Return the histories of all runs, in one read."""
        ...

    def predictions(self, run_id: str, split: str) -> Predictions:
        """Return a run's predictions; RunError where it logged none."""
        ...

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        """Return example id -> text of a split, as the study's own run holds them; None where it does not."""
        ...

    def text(self, run_id: str, path: str) -> str | None:
        """Return a text that a run holds as an artifact; None where it was not logged."""
        ...

    def confirmed_models(self, test_set: str) -> Sequence[tuple[str, str]]:
        """Return the study and the name of each model that a complete confirmation run scored on a test set."""
        ...

    def studies_on_test(self, test_set: str, until: float) -> int:
        """Return how many studies had scored a test set by a time, in seconds since the epoch, as `confirmed_models`
        counts them."""
        ...

    def studies_again(self, original: str) -> int:
        """Return how many studies with a complete confirmation run ask the question of a study again.

        Args:
            original: Id of the own run of that study.
        """
        ...

    def run_url(self, run: LoggedRun) -> str | None:
        """Return the page of a run, where there is one."""
        ...


class StudyStore(Store, Protocol):
    """A store from which studies are chosen."""

    def experiments(self) -> list[str]:
        """Return the names of the experiments, the one written last first."""
        ...

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return the studies of an experiment, newest first."""
        ...

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return the runs of an experiment."""
        ...


def known_run(run: LoggedRun, store: Store) -> KnownRun:
    """Return a run by its name, with its page where there is one."""
    return KnownRun(run.run_id, plain(run.name) or run.run_id, plain(run.study), store.run_url(run))
