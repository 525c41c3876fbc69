"""Workers that train nothing and only say how their runs end, and a sweep with them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.storages import BaseStorage
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.data.vectors import load_vectors
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.runs import Check, EpochRecord, Predictions, RunResult, StudySummary
from gru_bench.stats.metrics import correct, of_two
from gru_bench.sweep.console.interrupt import Interrupt
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.runner import SETTINGS, conduct
from gru_bench.sweep.runs import BASELINES
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.summary import data_summary
from gru_bench.sweep.workers.messages import Failed, Finished, Job, Message
from gru_bench.sweep.workers.tasks import MeasureBaselines, Train
from gru_bench.tracking import Store
from tests.support.runs import all_baselines, result

STUDY = """
base = "none"
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


EPOCH = EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0)


KILLED = Failed("worker", "its worker process ended by signal 9")


NAN = Failed("run", "the loss is not finite")


Says = Callable[[RunConfig], Sequence[Message]]


class Actors:
    """Workers that train nothing: `says` tells what is said of a run with a config, of its tries one after another."""

    def __init__(
        self, says: Says, baselines: tuple[BaselineResult, ...] | Failed | None = None,
        submitted: list[Train] | None = None,
    ) -> None:
        """Append each training that is submitted to `submitted`."""
        self._says = says
        self._baselines = all_baselines() if baselines is None else baselines
        self._submitted = [] if submitted is None else submitted
        self._said: deque[tuple[Job, Message]] = deque()

    @property
    def idle(self) -> bool:
        return not self._said

    def submit(self, job: Job) -> None:
        says: Sequence[Message] = [Finished(())]
        if isinstance(job.task, Train):
            self._submitted.append(job.task)
            says = self._says(job.task.config)
        else:
            assert job.key in (SETTINGS, BASELINES)
            said = self._baselines if job.key == BASELINES else ()
            if isinstance(job.task, MeasureBaselines) and not isinstance(said, Failed):
                said = tuple(one for one in said if one.model in job.task.names)
            says = [said if isinstance(said, Failed) else Finished(said)]
        assert job.fingerprint
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
    uri: str | None = None, baselines: tuple[BaselineResult, ...] | Failed | None = None,
    submitted: list[Train] | None = None, **changes: Any,
) -> StudySummary:
    """Conduct that study in the working directory; `changes` are as those of `load_study`."""
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    settings = {"data.name": str(csv), **changes.pop("settings", {})}
    spec = load_study("study.toml", settings=settings, **changes)
    corpus = load_corpus(spec.base.data)
    store, storage = Store(uri), storage or open_storage(None)
    record = StudyRecord(spec, storage, corpus.fingerprint, corpus.name)
    return conduct(
        record, corpus, data_summary(spec, corpus, load_vectors(spec.base.embedding, corpus)), store,
        Actors(says, baselines, submitted), command="run.py", threads=1, timeout=None, texts=texts,
        display=ProgressDisplay(console or Console(quiet=True)), interrupt=Interrupt(), own={}).summary


class Script:
    """What is said of the first trial, of the second, and so on; of each of its tries the same."""

    def __init__(self, *by_trial: Sequence[Message]) -> None:
        self._by_trial = by_trial
        self.tries: Counter[float] = Counter()

    def __call__(self, config: RunConfig) -> Sequence[Message]:
        self.tries[config.training.lr] += 1
        return self._by_trial[list(self.tries).index(config.training.lr)]


def states(summary: StudySummary) -> Mapping[str, int]:
    return Counter(trial.state for trial in summary.trials)


def checked(*scores: float) -> tuple[Message, ...]:
    """What is said of the checks of a trial."""
    return tuple(Check(number, number / 4, score) for number, score in enumerate(scores, 1))


def well(outcome: RunResult) -> Sequence[Message]:
    """What is said of a run of one epoch, whose validation accuracy is that of its result."""
    validation = outcome.predictions["validation"]
    accuracy = float(correct(validation.label_N, validation.probability_NC).mean())
    return replace(EPOCH, validation_accuracy=accuracy), Finished(outcome)


WELL = well(result())


def answers(seed: int, chance: float) -> RunResult:
    """The result of a run that is right on each of 1,500 test reviews with a chance."""
    rng = np.random.default_rng([seed, round(1000 * chance)])
    label_N = (np.arange(1500) % 2).astype(np.int8)
    right_N = rng.random(1500) < chance
    test = Predictions(
        np.array([f"{n:04d}" for n in range(1500)]), label_N,
        of_two(np.where(right_N == (label_N == 1), 0.9, 0.1).astype(np.float32)), np.full(1500, ""),
        np.ones(1500, np.int32), np.zeros(1500, np.int32))
    return replace(result(), predictions={"validation": test, "test": test})


def linear_of(accuracy: float) -> tuple[BaselineResult, ...]:
    """Return the baselines, which answer the test examples of `answers` with this accuracy."""
    test = answers(99, accuracy).predictions["test"]
    return tuple(replace(one, predictions={**one.predictions, "test": test}) for one in all_baselines())
