"""Conduct a sweep: which job next, and what becomes of its outcome.

The search of each model comes first, then its best settings are trained again on the confirm seeds and scored
on the test split. Then come the runs of the contrasts, scored on validation reviews, and the stages after those.
One process does all asking, telling and logging; workers only train.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gru_bench.batching import encode
from gru_bench.config import RunConfig, Scalar
from gru_bench.corpus import SPLITS, Corpus
from gru_bench.embeddings import Vectors
from gru_bench.errors import RunError, UsageError
from gru_bench.metrics import correct
from gru_bench.results import (
    Baseline,
    DataSummary,
    EpochRecord,
    Predictions,
    RunResult,
    StepReport,
    StudySummary,
    TracePoint,
    TrialSummary,
)
from gru_bench.statistics import Estimate, accuracy_interval, seed_deviation
from gru_bench.sweep.contrasts import ContrastRun, contrast_runs, contrasts_of
from gru_bench.sweep.display import Display
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.stages import STRETCHES, Stage, stages, stretches_of
from gru_bench.sweep.study import IMPORTANCE_METHOD, OBJECTIVE, Search
from gru_bench.sweep.tasks import MeasureBaselines, Train, corpus_of
from gru_bench.sweep.transcript import result_lines, window_line
from gru_bench.sweep.workers import (
    EpochDone,
    Failed,
    Finished,
    Job,
    Message,
    Pool,
    WasPruned,
    fair_threads,
)
from gru_bench.tracking import LoggedRun, RunWriter, Store

POLL_SECONDS = 0.5
BASELINES = "baselines"
MOST_FAILURES = 3
"""Trials that may fail one after another before a search is given up."""


@dataclass
class _ModelState:
    """One model's way through search and confirm stage."""

    model: str
    search: Search
    tuned: dict[str, Scalar] | None = None
    """The settings that are confirmed; None while the search goes on."""
    confirm_left: list[int] = field(default_factory=list)
    confirmed: dict[int, str] = field(default_factory=dict)
    """Seed -> run id, of the settings that are confirmed."""
    earlier: list[LoggedRun] = field(default_factory=list)
    """Confirm and contrast runs that earlier starts have finished, whatever their settings."""
    failed_in_row: int = 0


Role = Literal["trial", "confirm", "contrast"]


@dataclass(frozen=True)
class _Live:
    """A job under way."""

    state: _ModelState
    writer: RunWriter
    number: int | None
    """The trial's number; None for any other run."""
    role: Role
    seed: int
    best: list[float]
    """Validation accuracy of each epoch so far."""


class Sweep:
    """One start of a study: `run` goes on from whatever earlier starts have left."""

    def __init__(
        self, spec: StudySpec, corpus: Corpus, vectors: Vectors, store: Store, searches: Mapping[str, Search], *,
        experiment: str, command: str, workers: int, timeout: float | None, texts: bool, display: Display,
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            spec: the study.
            corpus: its reviews.
            vectors: its word vectors.
            store: where its runs are logged.
            searches: one by model.
            experiment: name of the MLflow experiment.
            command: as it was typed, for the record.
            workers: processes to train in.
            timeout: seconds after which no new trial begins; the confirm stage still runs.
            texts: whether the reviews of the test split are logged.
            display: told what happens.
        """
        self.spec, self.corpus, self.vectors, self.store = spec, corpus, vectors, store
        self.experiment, self.command, self.workers = experiment, command, workers
        self.timeout, self.texts, self.display = timeout, texts, display
        self.states = [_ModelState(model, searches[model]) for model in spec.models]
        self.contrasts_left: list[ContrastRun] | None = None
        """None until the search of their model has ended."""
        self.live: dict[str, _Live] = {}
        self.baselines: tuple[Baseline, ...] = ()
        self.data = data_summary(spec, corpus, vectors)
        self.notes: list[str] = []
        self.parent_tags: Mapping[str, str] = {}
        """Of the study's own run, as an earlier start has left them."""
        self.started = time.monotonic()

    def run(self) -> StudySummary:
        """Run what is left of the study and return it whole.

        Raises:
            UsageError: where a setting cannot run on this machine.
            RunError: where no trial completes, or the store fails.
            KeyboardInterrupt: passed on, once all that is under way is marked as broken off.
        """
        parent = self._parent()
        contrasts = len(contrast_runs(self.spec, {}))
        self.display.begin(self._trials_left(), self.spec.confirm * len(self.states), contrasts)
        try:
            with Pool(self.workers) as pool:
                self._conduct(pool, parent)
                first = {state.model: state.confirmed[min(state.confirmed)] for state in self.states if state.confirmed}
                for stage in stages(self.spec, self._here, first, self.store.model):
                    self._work_out(pool, parent, stage)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            reason = "interrupted" if interrupted else str(error)
            with suppress(RunError):  # where the store itself has failed, that is what is told
                self._break_off(reason)
                (parent.kill if interrupted else parent.fail)(reason)
            raise
        finally:
            self.display.end()
        summary = self._summary(parent)
        parent.text("study.json", summary.to_json())
        parent.metrics(self._study_metrics(summary))
        parent.complete()
        return summary

    def _conduct(self, pool: Pool, parent: RunWriter) -> None:
        pool.submit(Job(BASELINES, MeasureBaselines(self.spec.base.data)))
        while True:
            while pool.idle and (job := self._next_job(parent)) is not None:
                pool.submit(job)
            if not pool.busy:
                return
            for job, message in pool.messages(POLL_SECONDS):
                self._receive(pool, job, message)
            self.display.tick()

    def _next_job(self, parent: RunWriter) -> Job | None:
        for state in self.states:
            if (job := self._trial_job(state, parent)) is not None:
                return job
        for state in self.states:
            if state.tuned is None and not any(live.state is state for live in self.live.values()):
                self._end_search(state)
        return self._confirm_job(parent) or self._contrast_job(parent)

    def _trial_job(self, state: _ModelState, parent: RunWriter) -> Job | None:
        if state.tuned is not None or not self._may_ask(state):
            return None
        number, settings = state.search.ask()
        config = self._here(self.spec.config(state.model, settings, self.spec.seed))
        return self._begin(state, parent, config, "trial", settings, number=number)

    def _may_ask(self, state: _ModelState) -> bool:
        in_time = self.timeout is None or time.monotonic() - self.started < self.timeout
        # A first trial is always run: without one there is nothing to confirm.
        return state.search.counted < self.spec.trials and (in_time or state.search.counted == 0)

    def _confirm_job(self, parent: RunWriter) -> Job | None:
        """Begin the next confirm run: seed by seed, so that a study broken off holds whole seeds."""
        ready = [state for state in self.states if state.confirm_left]
        if not ready:
            return None
        # The longest run of a seed first, so that at the end no worker has a long one all to itself.
        state = min(ready, key=lambda state: (state.confirm_left[0], -step_cost(self.spec.config(state.model, {}, 0))))
        seed = state.confirm_left.pop(0)
        assert state.tuned is not None
        config = self._here(self.spec.config(state.model, state.tuned, seed))
        return self._begin(state, parent, config, "confirm", state.tuned)

    def _contrast_job(self, parent: RunWriter) -> Job | None:
        """Begin the next run of the contrasts, which need their model's tuned settings."""
        asked = self.spec.contrasts
        if asked is None:
            return None
        state = next(state for state in self.states if state.model == asked.model)
        if state.tuned is None:
            return None
        if self.contrasts_left is None:
            self.contrasts_left = self._contrasts_to_do(state, state.tuned)
        if not self.contrasts_left:
            return None
        run = self.contrasts_left.pop(0)
        return self._begin(
            state, parent, self._here(run.config), "contrast", run.settings, name=run.name,
            tags={"gru_bench.side": run.side, "gru_bench.contrast": ",".join(run.contrasts)})

    def _contrasts_to_do(self, state: _ModelState, tuned: Mapping[str, Scalar]) -> list[ContrastRun]:
        """Return the runs that no earlier start has finished; those that nobody asks for any more are set aside."""
        runs: dict[tuple[str, str, int | None], ContrastRun] = {
            (run.side, _digest(run.settings), run.config.seed): run for run in contrast_runs(self.spec, tuned)}
        for earlier in state.earlier:
            if earlier.role != "contrast":
                continue
            tags = earlier.tags
            run = runs.pop((tags["gru_bench.side"], tags["gru_bench.settings"], earlier.seed), None)
            writer = self.store.writer(earlier.run_id)
            writer.tags({"gru_bench.role": "superseded"} if run is None else
                        {"gru_bench.contrast": ",".join(run.contrasts)})
        return list(runs.values())

    def _end_search(self, state: _ModelState) -> None:
        best = state.search.best()
        if self.spec.trials and best is None:
            reasons = sorted({trial.reason for trial in state.search.trials() if trial.reason})
            raise RunError(f"a search must have a complete trial to confirm, but {state.model} has none: "
                           f"{'; '.join(reasons) or 'all were pruned'}. Widen its space or ask for more --trials")
        state.tuned = dict(best[0]) if best is not None else {}
        self._set_aside(state, state.tuned)
        state.confirm_left = [seed for seed in self.spec.confirm_seeds if seed not in state.confirmed]
        self.display.search_ended(state.model, best)

    def _begin(
        self, state: _ModelState, parent: RunWriter, config: RunConfig, role: Role, settings: Mapping[str, Scalar], *,
        number: int | None = None, name: str = "", tags: Mapping[str, str] | None = None,
    ) -> Job:
        """Log that a run begins and return the job.

        Args:
            state: of its model.
            parent: the study's own run.
            config: the run's.
            role: what it is to the study.
            settings: in which it differs from the study's own; by these it is found again.
            number: the trial's.
            name: the contrast run's.
            tags: more to log.
        """
        label = {"trial": f"{state.model} trial {number}", "confirm": f"{state.model} seed {config.seed}",
                 "contrast": f"{state.model} {name} seed {config.seed}"}[role]
        writer = self.store.start(
            self.experiment, f"{self.spec.name}: {label}", role=role, study=self.spec.name, model=state.model,
            command=self.command, config=config, fingerprint=self._fingerprint(config), parent=parent.run_id,
            tags={"gru_bench.settings": _digest(settings),
                  "gru_bench.trial": "" if number is None else str(number), **(tags or {})})
        if number is not None:
            state.search.note(number, "run_id", writer.run_id)
        self.live[label] = _Live(state, writer, number, role, config.seed, [])
        self.display.job_started(label, settings if role == "trial" else {})
        return Job(label, Train(config, score_test=role == "confirm"))

    def _fingerprint(self, config: RunConfig) -> str:
        """Return the fingerprint of the data a run is trained on: contrasts split it in another way."""
        if config.data == self.spec.base.data:
            return self.corpus.fingerprint
        return corpus_of(config.data).fingerprint

    def _here(self, config: RunConfig) -> RunConfig:
        """Fix the threads, on which the bits of a result depend."""
        threads = config.training.threads or fair_threads(self.workers)
        return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})

    def _receive(self, pool: Pool, job: Job, message: Message) -> None:
        if job.key == BASELINES:
            self._receive_baselines(message)
            return
        live = self.live[job.key]
        match message:
            case StepReport():
                self.display.job_step(job.key, message)
            case TracePoint():
                if self._transcribed(live):
                    self.display.note(f"{job.key}: {window_line(message)}")
            case EpochDone(record):
                pool.answer(job, go_on=not self._epoch(live, record))
                live.writer.epoch(record)
                self.display.job_epoch(job.key, record)
            case Finished(outcome):
                assert isinstance(outcome, RunResult)
                self._finished(job, live, outcome)
            case WasPruned():
                assert live.number is not None
                live.state.search.prune(live.number)
                live.writer.prune(f"pruned after epoch {len(live.best)}: below the median of earlier trials")
                self._forget(job, "pruned", max(live.best))
            case Failed(kind, reason):
                self._failed(job, live, kind, reason)

    def _transcribed(self, live: _Live) -> bool:
        """Whether this run tells all that the homework's console told."""
        return self.spec.protocol == "homework" and live.role == "confirm"

    def _epoch(self, live: _Live, record: EpochRecord) -> bool:
        """Take note of an epoch; return whether its trial should be pruned."""
        if record.validation_accuracy is None:
            return False
        live.best.append(record.validation_accuracy)
        if live.number is None:
            return False
        prune = live.state.search.report(live.number, record.epoch, max(live.best))
        return prune and record.epoch < self.spec.base.training.epochs

    def _finished(self, job: Job, live: _Live, result: RunResult) -> None:
        live.writer.finish(result, with_model=live.role == "confirm")
        live.state.failed_in_row = 0
        if live.role == "trial":
            assert live.number is not None
            value = max(live.best)
            live.state.search.complete(live.number, value)
            self._forget(job, "complete", value)
        elif live.role == "confirm":
            live.state.confirmed[live.seed] = live.writer.run_id
            if self._transcribed(live):
                for line in result_lines(result):
                    self.display.note(f"{job.key}: {line}")
            self._forget(job, "tested", _accuracy(result.predictions["test"]))
        else:
            self._forget(job, "validated", _accuracy(result.predictions["validation"]))

    def _failed(self, job: Job, live: _Live, kind: str, reason: str) -> None:
        live.writer.fail(reason)
        search = live.state.search
        if kind == "settings":
            if live.number is not None:
                search.give_up(live.number, reason)
            self._forget(job, "failed", None, reason)
            raise UsageError(reason)
        self._forget(job, "failed", None, reason)
        if live.number is None:
            self.notes.append(f"The {live.role} run of {live.state.model} with seed {live.seed} failed: {reason}")
            return
        if kind == "worker":
            search.give_up(live.number, reason)
        else:
            search.fail(live.number, reason)
        live.state.failed_in_row += 1
        if live.state.failed_in_row >= MOST_FAILURES:
            raise RunError(f"trials must end well now and then, but the last {MOST_FAILURES} of {live.state.model} all "
                           f"failed, the last because {reason}")

    def _work_out(self, pool: Pool, parent: RunWriter, stage: Stage) -> None:
        """Do a stage, unless its result is there."""
        tag = f"gru_bench.stage.{stage.name}"
        if self.parent_tags.get(tag) == stage.digest:
            return
        tasks = stage.tasks()
        waiting = list(tasks.items())
        outcomes: dict[str, object] = {}
        while waiting or pool.busy:
            while waiting and pool.idle and not (stage.alone and pool.busy):
                label, task = waiting.pop(0)
                pool.submit(Job(label, task))
                self.display.job_started(label, {})
            for job, message in pool.messages(POLL_SECONDS):
                match message:
                    case Finished(outcome):
                        outcomes[job.key] = outcome
                        self.display.job_ended(job.key, "done", None)
                    case Failed(_, reason):
                        self.notes.append(f"{job.key} could not be worked out: {reason}")
                        self.display.job_ended(job.key, "failed", None, reason)
                    case _:
                        raise AssertionError(message)
            self.display.tick()
        if outcomes:
            parent.text(stage.artifact, stage.joined([outcomes[label] for label in tasks if label in outcomes]))
        if len(outcomes) == len(tasks):
            parent.tags({tag: stage.digest})

    def _receive_baselines(self, message: Message) -> None:
        match message:
            case Finished(outcome):
                assert isinstance(outcome, tuple)
                self.baselines = outcome
                self.display.note("baselines: " + ", ".join(
                    f"{baseline.name} {100 * baseline.test_accuracy:.1f} % on test" for baseline in outcome))
            case Failed(_, reason):
                self.notes.append(f"The baselines could not be measured: {reason}")
                self.display.note(self.notes[-1])
            case _:
                raise AssertionError(message)

    def _forget(self, job: Job, outcome: str, value: float | None, reason: str = "") -> None:
        del self.live[job.key]
        self.display.job_ended(job.key, outcome, value, reason)

    def _break_off(self, reason: str) -> None:
        for live in self.live.values():
            if live.number is not None:
                live.state.search.give_up(live.number, reason, fault=False)
            live.writer.kill(reason)

    def _trials_left(self) -> int:
        return sum(max(0, self.spec.trials - state.search.counted) for state in self.states)

    def _parent(self) -> RunWriter:
        """Return the study's own run: the one of an earlier start, or a new one."""
        for study in self._studies():
            if study.tags.get("gru_bench.data_fingerprint") == self.corpus.fingerprint:
                self._take_over(study)
                self.parent_tags = study.tags
                return self.store.resume(study.run_id)
        writer = self.store.start(
            self.experiment, self.spec.name, role="study", study=self.spec.name, model=",".join(self.spec.models),
            command=self.command, fingerprint=self.corpus.fingerprint)
        writer.params({"study": self.spec.name, "models": ",".join(self.spec.models), "trials": self.spec.trials,
                       "confirm": self.spec.confirm, "search_seed": self.spec.seed, "data": self.corpus.name})
        writer.dataset(self.corpus.name, self.corpus.fingerprint)
        if self.texts:
            writer.texts("test", self.corpus.test.example_id_N, self.corpus.texts("test"))
        return writer

    def _take_over(self, study: LoggedRun) -> None:
        """Close what a start that was killed has left open, and remember what was finished."""
        for run in self.store.runs(self.experiment):
            if run.tags.get("mlflow.parentRunId") != study.run_id:
                continue
            if run.status == "RUNNING":
                self.store.writer(run.run_id).kill("its process ended without a word")
            elif run.role in ("confirm", "contrast") and run.complete:
                for state in self.states:
                    if state.model == run.model:
                        state.earlier.append(run)

    def _studies(self) -> Iterator[LoggedRun]:
        if self.experiment in self.store.experiments():
            yield from (run for run in self.store.runs(self.experiment)
                        if run.role == "study" and run.study == self.spec.name)

    def _set_aside(self, state: _ModelState, settings: Mapping[str, Scalar]) -> None:
        """Take over the confirm runs of earlier starts that hold these settings; set the others aside."""
        for run in state.earlier:
            if run.role != "confirm":
                continue
            assert run.seed is not None
            if run.tags["gru_bench.settings"] == _digest(settings):
                state.confirmed[run.seed] = run.run_id
                continue
            self.store.writer(run.run_id).tags({"gru_bench.role": "superseded"})
            note = (f"The search of {state.model} went on after its best settings had been scored on the test split; "
                    "those runs are set aside.")
            if note not in self.notes:
                self.notes.append(note)

    def confirmed(self) -> dict[str, tuple[Estimate, float | None]]:
        """Return model -> test accuracy over its confirm runs, and the deviation between seeds (None below two)."""
        found = {}
        for state in self.states:
            runs = [self.store.predictions(run_id, "test") for run_id in state.confirmed.values()]
            if runs:
                correct_RN = np.stack([correct(run.label_N, run.probability_N) for run in runs])
                spread = seed_deviation(correct_RN) if len(runs) > 1 else None
                found[state.model] = (accuracy_interval(correct_RN), spread)
        return found

    def _summary(self, parent: RunWriter) -> StudySummary:
        trials: list[TrialSummary] = [trial for state in self.states for trial in state.search.trials()]
        best = {state.model: found for state in self.states if (found := state.search.best()) is not None}
        stretches = self.store.text(parent.run_id, STRETCHES) if self.spec.stretches else None
        contrasts = [contrast for state in self.states if self.spec.contrasts and state.tuned is not None
                     and state.model == self.spec.contrasts.model for contrast in contrasts_of(self.spec, state.tuned)]
        return StudySummary(
            name=self.spec.name, purpose=self.spec.purpose, models=tuple(self.spec.models),
            space={key: span.described() for key, span in self.spec.space.items()}, sampler=self.spec.sampler,
            pruner=self.spec.pruner, objective=OBJECTIVE, trials_asked=self.spec.trials,
            epochs=self.spec.base.training.epochs, search_seed=self.spec.seed,
            confirm_seeds=self.spec.confirm_seeds, trials=tuple(trials),
            best={model: found[0] for model, found in best.items()},
            best_value={model: found[1] for model, found in best.items()},
            importance={state.model: state.search.importance() for state in self.states},
            importance_method=IMPORTANCE_METHOD, data=self.data, baselines=self.baselines,
            seconds=time.monotonic() - self.started, notes=tuple(self.notes), protocol=self.spec.protocol,
            stretches=() if stretches is None else stretches_of(stretches), contrasts=tuple(contrasts),
            contrast_seeds=self.spec.contrast_seeds)

    def _study_metrics(self, summary: StudySummary) -> dict[str, float]:
        states = [trial.state for trial in summary.trials]
        return {
            **{f"search/{state}": float(states.count(state)) for state in ("complete", "pruned", "failed")},
            **{f"search/best_{model}": value for model, value in summary.best_value.items()},
            **{f"importance/{model}/{key}": share for model, shares in summary.importance.items()
               for key, share in shares.items()},
            "time/study_seconds": summary.seconds,
        }


def data_summary(spec: StudySpec, corpus: Corpus, vectors: Vectors) -> DataSummary:
    """Describe the data of a study, as its models read it."""
    splits = (corpus.train, corpus.validation, corpus.test)
    label_N = np.concatenate([split.label_N for split in splits])
    category_N = np.concatenate([split.category_N for split in splits])
    names, counts = np.unique(category_N, return_counts=True)
    encoded = [encode(split, vectors, spec.base.data.max_length) for split in splits]
    dropped = sum(int(part.dropped_N.sum()) for part in encoded)
    return DataSummary(
        name=corpus.name, fingerprint=corpus.fingerprint, train=len(corpus.train), validation=len(corpus.validation),
        test=len(corpus.test), positive_share=float(label_N.mean()),
        categories={str(name): int(count) for name, count in zip(names, counts, strict=True) if name},
        repeats_removed=corpus.repeats_removed, test_repeats_removed=corpus.test_repeats_removed,
        vocabulary=len(corpus.words), embedding=spec.base.embedding.name, embedding_dimension=vectors.dimension,
        covered_words=int((vectors.row_of_word >= 0).sum()),
        dropped_share=dropped / max(1, sum(len(split.ids) for split in splits)),
        max_length=spec.base.data.max_length,
        cut_share=float(np.concatenate([part.cut_N for part in encoded]).mean()),
        wordless={name: int((part.tokens_N == 0).sum()) for name, part in zip(SPLITS, encoded, strict=True)})


def step_cost(config: RunConfig) -> float:
    """Return about how long a training step takes, next to one of one direction on the fused engine."""
    engines = {"auto": 1, "fused": 1, "torch": 8, "reference": 18}
    directions = 2 if config.model.name == "bidirectional" else 1
    return engines[config.model.engine] * directions * config.model.layers * config.model.hidden_size


def _accuracy(predictions: Predictions) -> float:
    return float(correct(predictions.label_N, predictions.probability_N).mean())


def _digest(settings: Mapping[str, Scalar]) -> str:
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]
