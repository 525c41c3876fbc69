"""Cost of conducting a study, by its size, by the trials that run, and by the processes that share it.

    python benchmarks/scaling.py --quick                                     two minutes
    python benchmarks/scaling.py --storage postgresql://user@host/name       the search in an empty database, too

Trials are made, not trained: a worker that trains nothing says how each ends. Each row is measured in a process of its
own.

    a trial    processor time of the process that conducts the study, which logs to MLflow too, for each trial at the
               end of a study that has so many; how long it holds the study's lock
    Optuna     the rest of that time: Optuna's sampler and pruner look at all trials for each new one
    begin      processor time until the first trial of another start of that study
    running    how long the lock is held, and what a trial costs without MLflow, while so many others run
    shared     trials that so many processes end a second, on one study, which must have exactly as many as were asked
               for, each of one process
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

STUDY = """
base = "none"
models = ["torch"]
confirm = 0
sampler = "{sampler}"
[embedding]
name = "random"
dimension = 4
[training]
epochs = 1
[space]
training.lr = {{ low = 1e-4, high = 1e-1, log = true }}
model.dropout = {{ low = 0.0, high = 0.5 }}
"""
TRIALS = 30
"""Trials that are measured at the end of a study."""
FIRST = 5
"""Trials before them, which import and prepare things."""
SHARED = 400
"""Trials that processes share."""


class Workers:
    """One worker that trains nothing, and says that each run is complete."""

    def __init__(self) -> None:
        self._said: list[tuple[Any, Any]] = []
        self.on_train: Callable[[], None] = lambda: None

    @property
    def idle(self) -> bool:
        return not self._said

    def submit(self, job: Any) -> None:
        from gru_bench.results.baselines import BaselineResult
        from gru_bench.results.runs import EpochRecord
        from gru_bench.sweep.workers.messages import Finished
        from gru_bench.sweep.workers.tasks import MeasureBaselines, Train

        match job.task:
            case Train(config):
                self.on_train()
                accuracy = 0.5 + config.model.dropout / 10
                said = [EpochRecord(1, 0.7, 0.6, accuracy, 0.1, 100.0), Finished(_result(config))]
            case MeasureBaselines(_, _, names):
                scores = {"score/test_accuracy": 0.5, "score/val_accuracy": 0.5}
                said = [Finished(tuple(BaselineResult(name, ("no", "yes"), {}, scores, _predictions())
                                       for name in names))]
            case _:
                said = [Finished(())]
        self._said += ((job, one) for one in said)

    def answer(self, job: Any, *, go_on: bool) -> None:
        pass

    def messages(self, timeout: float) -> Iterator[tuple[Any, Any]]:
        del timeout
        while self._said:
            yield self._said[0]
            del self._said[0]


def _predictions() -> dict[str, Any]:
    import numpy as np

    from gru_bench.results.runs import Predictions

    label_N = np.arange(4, dtype=np.int8) % 2
    found = Predictions(np.array(["0", "1", "2", "3"]), label_N, np.full((4, 2), 0.5, np.float32), np.full(4, ""),
                        np.ones(4, np.int32), np.zeros(4, np.int32))
    return {"validation": found, "test": found}


def _result(config: Any) -> Any:
    import numpy as np

    from gru_bench.results.runs import EpochRecord, RunResult

    return RunResult(
        config=config, backend="torch", device="cpu", epochs=(EpochRecord(1, 0.7, 0.6, 0.5, 0.1, 100.0),),
        window_losses=(), best_epoch=1, parameters=12, parameter_tensors=2, train_seconds=0.1, predict_seconds=0.1,
        peak_memory_bytes=1000,
        predictions={"validation": _predictions()["validation"]}, weights={"w": np.ones(2, np.float32)},
        classes=("no", "yes"))


def _spec(trials: int) -> Any:
    from gru_bench.sweep.spec import load_study

    if not Path("study.toml").exists():  # processes that share it may not write it while others read it
        Path("study.toml").write_text(STUDY.format(sampler="tpe"), encoding="utf-8")
    return load_study("study.toml", trials=trials, settings={"data.name": "made.csv"})


def _made_data() -> None:
    words = ["good", "bad", "warm", "cold", "long", "short", "red", "blue"]
    rows = [f"{n},{' '.join(words[n >> k & 7] for k in (0, 3, 6))} {n},{n % 2}" for n in range(200)]
    Path("made.csv").write_text("\n".join(["id,text,label", *rows]), encoding="utf-8")


def _count(record: Any) -> dict[str, float]:
    """Count from now on for how many seconds the study's lock is held, and the processor time of Optuna's sampler and
    pruner."""
    import optuna

    found = {"held": 0.0, "optuna": 0.0}
    locks = type(record.lock)
    enter, leave = locks.__enter__, locks.__exit__
    depth, since = 0, 0.0

    def entered(lock: Any) -> Any:
        nonlocal depth, since
        given = enter(lock)
        depth += 1
        if depth == 1:
            since = time.monotonic()
        return given

    def left(lock: Any, *error: Any) -> Any:
        nonlocal depth
        given = leave(lock, *error)
        depth -= 1
        if depth == 0:
            found["held"] += time.monotonic() - since
        return given

    def timed(called: Callable[..., Any]) -> Callable[..., Any]:
        def then(*arguments: Any) -> Any:
            begun = time.thread_time()
            try:
                return called(*arguments)
            finally:
                found["optuna"] += time.thread_time() - begun

        return then

    locks.__enter__, locks.__exit__ = entered, left
    sampler: Any = optuna.samplers.TPESampler
    sampler.sample_relative = timed(sampler.sample_relative)
    for search in record.searches.values():
        pruner = search.study.pruner
        pruner.prune = timed(pruner.prune)
    return found


def _sweep(trials: int, url: str | None, workers: Workers, measured: Callable[[Any], None]) -> None:
    """Conduct the study up to so many trials; `measured` is called with its record first."""
    from rich.console import Console

    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.sweep.console.interrupt import Interrupt
    from gru_bench.sweep.console.progress import ProgressDisplay
    from gru_bench.sweep.runner import conduct
    from gru_bench.sweep.sharing.storage import open_storage
    from gru_bench.sweep.study import StudyRecord
    from gru_bench.sweep.summary import data_summary
    from gru_bench.tracking import Store

    spec = _spec(trials)
    corpus = load_corpus(spec.base.data)
    store, record = Store(None), StudyRecord(spec, open_storage(url), corpus.fingerprint, corpus.name)
    measured(record)
    conduct(record, corpus, data_summary(spec, corpus, load_vectors(spec.base.embedding, corpus)), store, workers,
            command="scaling.py", threads=1, timeout=None, texts=False, display=ProgressDisplay(Console(quiet=True)),
            interrupt=Interrupt(), own={})


def conducted(size: int, url: str | None) -> dict[str, float]:
    """Return what a trial costs at the end of a study with so many, and how long another start of it takes to begin."""
    _made_data()
    _sweep(1, url, Workers(), lambda record: None)
    _add_trials(size - 1, url)
    workers, marks, counts = Workers(), list[tuple[float, dict[str, float]]](), dict[str, float]()

    def on_train() -> None:
        marks.append((time.process_time(), dict(counts)))

    workers.on_train = on_train
    begun = time.process_time()

    def measured(record: Any) -> None:
        nonlocal counts
        counts = _count(record)

    _sweep(size + FIRST + TRIALS, url, workers, measured)
    (first, before), (last, after) = marks[FIRST], marks[-1]
    measured_trials = len(marks) - 1 - FIRST
    return {"trial": (last - first) / measured_trials, "begin": marks[0][0] - begun,
            **{key: (after[key] - before[key]) / measured_trials for key in after}}


def _add_trials(count: int, url: str | None) -> None:
    """Repeat the one trial of the study in both stores, with other ids and settings."""
    import optuna

    from gru_bench.sweep.sharing.storage import open_storage

    study = optuna.load_study(study_name="study/torch", storage=open_storage(url))
    one, ids = study.trials[0], [uuid.uuid4().hex for _ in range(count)]
    study.add_trials(optuna.trial.create_trial(
        value=0.5 + 0.05 * math.sin(n), params={"training.lr": 1e-4 * (1 + 0.05 * (n % 9000) + n / 1e4),
                                                "model.dropout": 0.5 * abs(math.sin(n))},
        distributions=one.distributions, intermediate_values={1: 0.5},
        user_attrs={**one.user_attrs, "run_id": run_id}) for n, run_id in enumerate(ids, 1))
    with closing(sqlite3.connect("mlflow.db")) as database, database:
        (found,) = database.execute("SELECT run_uuid FROM tags WHERE key = 'gru_bench.trial'").fetchone()
        changed = {"gru_bench.id": lambda n: ids[n], "gru_bench.trial": lambda n: str(n + 1),
                   "mlflow.runName": lambda n: f"study trial {n + 1}"}
        for table in ("runs", "tags", "params", "metrics", "latest_metrics"):
            rows = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (found,))
            names = [column[0] for column in rows.description]
            place, key = names.index("run_uuid"), names.index("key") if table == "tags" else -1
            for row in rows.fetchall():
                value = changed.get(row[key]) if table == "tags" else None
                database.executemany(
                    f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})",
                    ([f"{ids[n][::-1]}" if at == place else value(n) if value and names[at] == "value" else cell
                      for at, cell in enumerate(row)] for n in range(count)))


def held(running: int, url: str | None) -> dict[str, float]:
    """Return what a trial costs without MLflow while so many others run, and how long it holds the study's lock."""
    import optuna

    from gru_bench.sweep.sharing.storage import open_storage
    from gru_bench.sweep.study import StudyRecord

    record = StudyRecord(_spec(10 * running + 1000), open_storage(url), "data", "made")
    search = record.searches["torch"]
    for n in range(running):
        search.study.add_trial(optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, user_attrs={"owner": record.lease.owner, "run_id": "0" * 32},
            params={"training.lr": 1e-4 * (1 + n), "model.dropout": 0.25}, distributions=search.space))
    found, begun = _count(record), 0.0
    for n in range(FIRST + TRIALS):
        if n == FIRST:
            found.update(held=0, optuna=0)
            begun = time.process_time()
        asked = search.ask(record.state().searches["torch"].trials)
        assert asked is not None
        search.note_run(asked[0], "0" * 32)
        search.report(asked[0], 1, 0.5)
        search.complete(asked[0], 0.5)
    return {"trial": (time.process_time() - begun) / TRIALS, **{key: value / TRIALS for key, value in found.items()}}


def _ended(folder: str, trials: int, url: str | None, ready: Any, done: Any) -> None:
    from gru_bench.sweep.plan import may_ask
    from gru_bench.sweep.sharing.storage import open_storage
    from gru_bench.sweep.study import StudyRecord

    os.chdir(folder)
    record = StudyRecord(_spec(trials), open_storage(url), "data", "made")
    search, own = record.searches["torch"], list[int]()
    ready.wait()
    while may_ask(state := record.state(), "torch"):
        if (asked := search.ask(state.searches["torch"].trials)) is not None:
            search.report(asked[0], 1, 0.5)
            search.complete(asked[0], 0.5)
            own.append(asked[0])
    done.put(own)


def shared(processes: int, trials: int, url: str | None) -> float:
    """Return how many trials so many processes end in a second, which must together end as many as were asked for."""
    import optuna

    from gru_bench.sweep.sharing.storage import open_storage

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gru_bench.sweep.study"])
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"{folder}/optuna.journal"
        Path(folder, "study.toml").write_text(STUDY.format(sampler="random"), encoding="utf-8")
        ready, done = context.Barrier(processes + 1), context.Queue()
        started = [context.Process(target=_ended, args=(folder, trials, url, ready, done)) for _ in range(processes)]
        for process in started:
            process.start()
        ready.wait()
        begun = time.monotonic()
        numbers = sorted(number for _ in started for number in done.get())
        seconds = time.monotonic() - begun
        for process in started:
            process.join()
        ended = [trial.number for trial in optuna.load_study(study_name="study/torch", storage=open_storage(url)).trials
                 if trial.state.is_finished()]
        if numbers != ended or len(ended) != trials:
            raise SystemExit(f"{trials} trials must end once each, but {len(numbers)} ended, {len(ended)} are stored")
    return trials / seconds


def _in_folder(measure: Callable[..., Any], *arguments: Any) -> Any:
    """Measure in a process of its own, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(os.chdir, (folder,))
        return pool.apply(measure, arguments)


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="without the largest sizes")
    parser.add_argument("--storage", help="URL of an empty PostgreSQL database for the searches (default journals)")
    asked = parser.parse_args()
    url, where = asked.storage, "a database" if asked.storage else "a journal"

    def show(
        title: str, columns: Sequence[str], sizes: Sequence[int], measure: Callable[[int], Sequence[float]]
    ) -> None:
        table = Table(*columns, title=f"{title}, in {where}")
        for size in sizes[:2] if asked.quick else sizes:
            table.add_row(f"{size:,}", *(f"{value:.1f}" for value in measure(size)))
        Console(width=120, highlight=False).print(table)

    def of_study(size: int) -> Sequence[float]:
        found = _in_folder(conducted, size, _database(url))
        return 1e3 * (found["trial"] - found["optuna"]), 1e3 * found["optuna"], 1e3 * found["held"], found["begin"]

    def while_running(size: int) -> Sequence[float]:
        found = _in_folder(held, size, _database(url))
        return 1e3 * found["trial"], 1e3 * found["held"]

    show("a study of so many trials", ("trials", "ms a trial", "ms of Optuna", "ms of the lock", "s to begin"),
         (100, 1000, 10_000), of_study)
    show("a trial while others run", ("running", "ms a trial", "ms of the lock"), (8, 64, 512), while_running)
    show(f"{SHARED} trials shared", ("processes", "trials a second"), (1, 4, 8),
         lambda processes: [shared(processes, SHARED, _database(url))])


def _database(url: str | None) -> str | None:
    """Return a URL of which the database has no study: it is emptied."""
    if url is not None:
        import optuna

        storage = optuna.storages.RDBStorage(url)
        for name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
    return url


if __name__ == "__main__":
    main()
