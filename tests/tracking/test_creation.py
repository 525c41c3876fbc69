"""Starts of one study that end while its own run is created leave exactly one, which a later start has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir, suppress
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal

import pytest
from mlflow import MlflowClient
from optuna.storages.journal import JournalFileBackend

from gru_bench.errors import RunError
from gru_bench.sweep import study as study_module
from gru_bench.sweep.sharing.leases import LEASE_SECONDS, LeaseWatch
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.study import StudyRecord
from gru_bench.tracking import Reader, new_id
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.sender import Sender
from tests.support.workers import STUDY

When = Literal["before", "after"]
WHEN: tuple[When, When] = ("before", "after")
End = tuple[int, When]
"""Which of its calls into MLflow and the search's storage a start ends at, from 1, and when."""


class Ended(BaseException):
    """A start that ended as if it was killed: nothing catches it, and locks are released."""


class Calls:
    """Counts the calls of the start that works at present, and lets it end at one of them, or do something there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Count from now on; no start works yet."""
        self.seen = 0
        self.end: End = (0, "before")
        self.act: Callable[[], None] = self.die
        for name, call in list(vars(MlflowClient).items()):
            if callable(call) and not name.startswith("_"):
                patch.setattr(MlflowClient, name, self._counted(call, "mlflow"))
        patch.setattr(JournalFileBackend, "append_logs", self._counted(JournalFileBackend.append_logs, "journal"))

    def die(self) -> None:
        """End the start that works."""
        raise Ended

    def during(self, end: End, work: Callable[[], None], act: Callable[[], None] | None = None) -> bool:
        """Return whether the work of a start came to the call at which it does `act`, or ends."""
        earlier = self.seen, self.end, self.act
        self.seen, self.end, self.act = 0, end, act or self.die
        try:
            with suppress(Ended, ConnectionError, RunError):  # both may create the experiment; one then tries again
                work()
            return self.seen >= end[0]
        finally:
            self.seen, self.end, self.act = earlier

    def _acts(self, kind: str) -> bool:
        """Return whether it acts at a call: no other start works while one writes to the search's storage, locked."""
        return kind == "mlflow" or self.act == self.die

    def _counted(self, call: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @wraps(call)
        def counted(*arguments: Any, **named: Any) -> Any:
            self.seen += 1
            number = self.seen
            if self.end == (number, "before") and self._acts(kind):
                self.act()
            result = call(*arguments, **named)
            if self.end == (number, "after") and self._acts(kind):
                self.act()
            return result

        return counted


class Study:
    """A study whose own run is not in MLflow yet. Its starts are on three machines, and MLflow is a server to them."""

    def __init__(self, folder: Path, spec: StudySpec, uri: str, patch: pytest.MonkeyPatch) -> None:
        """Begin it in a new folder, whose name its experiment has."""
        self.folder, self._spec, self._uri = folder, spec, uri
        self.clock = 0.0
        folder.mkdir()
        patch.setattr(study_module, "LeaseWatch", lambda: LeaseWatch(lambda: self.clock))
        self._run = RunRecord(new_id(), 1, folder.name, first_tags={
            "gru_bench.role": "study", "gru_bench.study": spec.name})

    def start(self, name: str) -> Callable[[], None]:
        """Return what sends the study's own run from another machine, or finds that another start creates it."""
        record = StudyRecord(self._spec, open_storage(str(self.folder / "optuna.journal")), "data")
        sender = Sender(Reader(self._uri))

        def may_create(_: str) -> bool:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(study_module, "this_process", lambda: f"{name} 1 1")
                return record.may_create_run()

        def work() -> None:
            with chdir(self.folder / name):
                sender.send(self._run, {})

        (self.folder / name).mkdir()
        sender.may_create = may_create
        return work

    def runs(self) -> int:
        """Return how many runs MLflow has in the study's experiment, after a start that is not ended."""
        work = self.start("last")
        for _ in range(2):
            with suppress(ConnectionError):
                work()
            self.clock += LEASE_SECONDS + 1
        work()
        client = MlflowClient(self._uri)
        found = client.get_experiment_by_name(self.folder.name)
        return 0 if found is None else len(client.search_runs([found.experiment_id]))


def work_of_second(calls: Calls, met: list[bool], end: End, work: Callable[[], None]) -> None:
    """Let the second start work up to the call where it ends, and note whether it came there."""
    met.append(calls.during(end, work))


def outcomes(database: Path, patch: pytest.MonkeyPatch, *, together: bool, step: int = 1) -> dict[tuple[End, End], int]:
    """Return the calls of two starts -> how many runs there are if they end there.

    Args:
        database: A tracking store.
        patch: What is patched meanwhile.
        together: Whether the second start works, and ends, while the first is at its call into MLflow, and goes on
            later. Otherwise it begins a minute after the first has ended.
        step: Try only each so many of the calls.
    """
    patch.setattr("gru_bench.tracking.reader.sqlite_path", lambda _: None)  # that of a server
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    spec, calls, found = load_study("study.toml"), Calls(patch), dict[tuple[End, End], int]()
    ends: list[End] = [(number, when) for number in range(1, 40) for when in WHEN]
    for first in ends[::step]:
        reached = False
        for second in ends[::step]:
            study = Study(Path(f"{together}-{first}-{second}").absolute(), spec, f"sqlite:///{database}", patch)
            one, other = study.start("one"), study.start("other")
            met = list[bool]()
            second_works = partial(work_of_second, calls, met, second, other)
            if together:
                reached = calls.during(first, one, second_works)
            else:
                reached = calls.during(first, one)
                for _ in range(2):  # it looks at the creator twice to find that it is dead
                    second_works()
                    study.clock += LEASE_SECONDS + 1
            found[first, second] = study.runs()
            if not any(met):
                break
        if not reached:
            break
    return found


@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "together"])
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_two_starts_that_end_at_any_call_leave_one_run_of_the_study(
    step: int, together: bool, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcomes(database, monkeypatch, together=together, step=step)
    assert len(found) > 10
    assert {ends: runs for ends, runs in found.items() if runs != 1} == {}
