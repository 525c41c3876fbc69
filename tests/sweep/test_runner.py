"""What a sweep makes of how its runs end, with workers that only say so."""

from __future__ import annotations

import io
import shutil
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.data.embeddings import load_vectors
from gru_bench.errors import RunError, UsageError
from gru_bench.results.runs import EpochRecord, StudySummary
from gru_bench.sweep.console.progress import Display
from gru_bench.sweep.runner import BASELINES, MOST_FAILURES, Sweep
from gru_bench.sweep.search import RETRIES, Search
from gru_bench.sweep.sharing.leases import machine, owner
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.workers.local import EpochDone, Failed, Finished, Job, Message, WasPruned
from gru_bench.sweep.workers.tasks import Train
from gru_bench.tracking import Store, sync
from gru_bench.tracking import writer as writing
from gru_bench.tracking.client import open_client
from tests.tracking.test_store import result

STUDY = """
models = ["torch"]
trials = 5
confirm = 0
[embedding]
name = "random"
dimension = 4
[training]
epochs = 3
[space]
training.lr = { low = 1e-4, high = 1e-1, log = true }
"""
EPOCH = EpochDone(EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0))
KILLED = Failed("worker", "its worker process ended by signal 9")
NAN = Failed("run", "the loss is not finite")
Says = Callable[[RunConfig], Sequence[Message]]


class Actors:
    """Workers that train nothing: `says` tells what is said of a run with a config, of its tries one after another."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self._said: deque[tuple[Job, Message]] = deque()

    @property
    def idle(self) -> bool:
        return not self._said

    @property
    def busy(self) -> bool:
        return bool(self._said)

    def submit(self, job: Job) -> None:
        says: Sequence[Message] = [Finished(())]
        if isinstance(job.task, Train):
            says = self._says(job.task.config)
        else:
            assert job.key in ("check", BASELINES)
        self._said.extend((job, message) for message in says)

    def answer(self, job: Job, *, go_on: bool) -> None:
        del job, go_on

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        del timeout
        while self._said:
            job, message = self._said[0]
            yield job, message
            self._said.popleft()


def swept(
    csv: Path, says: Says, *, storage: BaseStorage | None = None, texts: bool = False, console: Console | None = None,
    uri: str | None = None,
) -> StudySummary:
    """Conduct that study in the working directory."""
    Path("study.toml").write_text(STUDY)
    spec = load_study("study.toml", settings={"data.name": str(csv)})
    corpus = load_corpus(spec.base.data)
    store, storage = Store(uri), storage or open_storage(None)
    with store:
        return Sweep(
            spec, corpus, load_vectors(spec.base.embedding, corpus), store,
            {"torch": Search(spec, "torch", storage, corpus.fingerprint)}, Actors(says), experiment=corpus.name,
            command="run.py", threads=1, timeout=None, texts=texts,
            display=Display(console or Console(quiet=True))).run()


class Script:
    """What is said of the first trial, of the second, and so on; of each of its tries the same."""

    def __init__(self, *by_trial: Sequence[Message]) -> None:
        self._by_trial = by_trial
        self.tries: Counter[float] = Counter()

    def __call__(self, config: RunConfig) -> Sequence[Message]:
        self.tries[config.training.lr] += 1
        return self._by_trial[list(self.tries).index(config.training.lr)]


@pytest.fixture(autouse=True)
def _database(empty_database: Path) -> None:
    shutil.copy(empty_database, Path.cwd())


def states(summary: StudySummary) -> Mapping[str, int]:
    return Counter(trial.state for trial in summary.trials)


WELL = (EPOCH, Finished(result()))


def test_trials_that_fail_one_after_another_end_a_sweep(easy_csv: Path) -> None:
    with pytest.raises(RunError, match="the last 3 of torch all failed, the last because the loss is not finite"):
        swept(easy_csv, Script((NAN,), (NAN,), (NAN,)))


@pytest.mark.parametrize("well", [WELL, (EPOCH, WasPruned())], ids=["complete", "pruned"])
def test_one_that_ends_well_in_between_speaks_for_the_rest(easy_csv: Path, well: Sequence[Message]) -> None:
    found = states(swept(easy_csv, Script((NAN,), WELL, (NAN,), well, (NAN,))))
    assert found["failed"] == MOST_FAILURES
    assert found["complete"] + found["pruned"] == 2


def test_a_pruned_trial_says_by_what(easy_csv: Path) -> None:
    swept(easy_csv, Script(WELL, (EPOCH, WasPruned()), WELL, WELL, WELL))
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    reasons = {run.reason for run in study.trials} - {""}
    assert reasons == {"pruned after epoch 1 by the median pruner: behind earlier trials"}


def test_a_study_that_was_begun_without_reviews_stays_so(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, asked = open_storage("optuna.journal"), []
    monkeypatch.setattr("gru_bench.sweep.runner.stages", lambda *_, texts: asked.append(texts) or [])
    swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL), storage=storage)
    printed = io.StringIO()
    swept(easy_csv, Script(), storage=storage, texts=True, console=Console(file=printed, width=200))
    assert "the study was begun with --no-texts and keeps to that: no reviews are stored" in printed.getvalue()
    assert asked == [False, False]
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    assert study.run.params["texts"] == "False"
    assert store.texts(study.run.run_id, "test") is None


def test_a_study_that_holds_reviews_is_not_gone_on_with_as_if_it_held_none(easy_csv: Path) -> None:
    storage = open_storage("optuna.journal")
    swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL), storage=storage, texts=True)
    store = Store()
    (before,) = store.studies(store.experiments()[0])
    assert store.texts(before.run.run_id, "test") is not None
    with pytest.raises(UsageError, match=r"'study' was begun without --no-texts and holds reviews: leave --no-texts"):
        swept(easy_csv, Script(), storage=storage)
    assert Store().studies(store.experiments()[0]) == [before]


class TestALostStore:
    """Of search and tracking store one is lost, whole or in part, and the same command is typed again."""

    @staticmethod
    def trials() -> Counter[tuple[str, str]]:
        """Return role and number of the runs of trials, and how many there are of each."""
        store = Store(create=False)
        return Counter((run.role, run.tags["gru_bench.trial"]) for run in store.runs("easy") if run.role != "study")

    @pytest.mark.parametrize("kept", [0, 20], ids=["the whole journal", "its end"])
    def test_runs_of_a_lost_search_are_set_aside(self, easy_csv: Path, kept: int) -> None:
        journal, script = Path("optuna.journal"), Script(*[WELL] * 9)
        swept(easy_csv, script)
        whole = journal.read_bytes().split(b"\n")
        left = b"".join(line + b"\n" for line in whole[:kept])
        journal.write_bytes(left.replace(owner().encode(), f"{machine()} 999999999 1".encode()))
        summary = swept(easy_csv, script)
        assert states(summary)["complete"] == 5
        assert any("runs of trials that it does not know are set aside" in note for note in summary.notes)
        found = self.trials()
        assert {count for (role, _), count in found.items() if role == "trial"} == {1}
        assert sum(count for (role, _), count in found.items() if role == "superseded") >= (1 if kept else 5)
        assert swept(easy_csv, script).notes == ()

    def test_that_runs_are_lost_is_told(self, easy_csv: Path, empty_database: Path) -> None:
        script = Script(*[WELL] * 5)
        swept(easy_csv, script)
        shutil.copy(empty_database, "another.db")
        assert swept(easy_csv, script, uri="sqlite:///another.db").notes == (
            "The runs of 5 trials of earlier starts are not in this tracking store: it was lost, or is another.",)


class TestANewStore:
    """MLflow takes seconds to load and to prepare a file; meanwhile runs begin, and no other process."""

    @pytest.fixture(autouse=True)
    def opens(self, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
        """MLflow waits for this."""
        Path("mlflow.db").unlink()
        event = threading.Event()

        def open_later(uri: str, database: Path | None) -> Any:
            assert event.wait(60)
            return open_client(uri, database)

        monkeypatch.setattr(sync, "open_client", open_later)
        return event

    @staticmethod
    def others_may_begin() -> bool:
        try:
            with FileLock("optuna.journal.step.lock", timeout=0):
                return True
        except Timeout:
            return False

    def test_runs_begin_before_mlflow_is_there(self, easy_csv: Path, opens: threading.Event) -> None:
        begun: list[bool] = []

        def says(config: RunConfig) -> Sequence[Message]:
            del config
            begun.append(self.others_may_begin())
            opens.set()
            return WELL

        swept(easy_csv, says)
        assert begun[0] is False
        assert self.others_may_begin()
        (study,) = Store(create=False).studies("easy")
        trials = optuna.load_study(study_name="study/torch", storage=open_storage(None)).trials
        assert {run.run_id for run in study.trials} == {trial.user_attrs["run_id"] for trial in trials}

    def test_others_may_begin_once_it_has_ended_badly(
        self, easy_csv: Path, opens: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def says(config: RunConfig) -> Sequence[Message]:
            raise RunError(f"no {config.model.name} today")

        monkeypatch.setattr(writing, "LAST_SECONDS", 0.1)
        with pytest.raises(RunError, match="no torch today"):
            swept(easy_csv, says)
        assert self.others_may_begin()
        opens.set()


def test_workers_that_always_die_at_the_start_end_a_sweep(easy_csv: Path) -> None:
    script = Script((KILLED,), (KILLED,), (KILLED,))
    with pytest.raises(RunError, match="the last 3 of torch all failed, the last because its worker process ended"):
        swept(easy_csv, script)
    assert list(script.tries.values()) == [RETRIES + 1] * MOST_FAILURES


def test_workers_that_are_killed_in_the_midst_of_training_do_not(easy_csv: Path) -> None:
    """They use up their own trial's tries, of which the first got further, and the sweep goes on to the others."""
    script = Script(*[(EPOCH, KILLED)] * 4, WELL)
    summary = swept(easy_csv, script)
    assert sorted(script.tries.values()) == [1] + [RETRIES + 2] * 4
    assert states(summary)["complete"] == 1
    counted = [trial for trial in summary.trials if trial.reason and trial.state == "failed"]
    assert len({trial.settings["training.lr"] for trial in counted}) == 4
