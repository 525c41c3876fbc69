"""The training loop: it trains one model on a corpus and returns a `RunResult`.

This module knows neither optuna nor mlflow. They are called through `on_epoch`, which may raise `Pruned` to end the
run.

Shapes: `V` rows of the vector table, `E` vector width, `U` distinct tokens of a batch, `B` reviews of a batch,
`T` steps, `N` examples of a split.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import nll_loss

from gru_bench import platforms
from gru_bench.config import LARGEST_SEED, MetricName, RunConfig, Scalar, TrainingConfig, with_settings
from gru_bench.data.batching import (
    Batch,
    Encoded,
    batch_plan,
    check_window,
    encode,
    iterations_of_epoch,
    make_batches,
    micro_batches_of,
    prefetched,
    scoring_plan,
)
from gru_bench.data.corpus import Corpus
from gru_bench.data.embeddings import Vectors
from gru_bench.errors import DataError, MachineError, RunError, UsageError
from gru_bench.evaluation.metrics import correct, log_loss, value_of
from gru_bench.kernels import fused as kernels
from gru_bench.models.classifier import Classifier, dropped_out
from gru_bench.models.recurrence import Backend, choose_backend, fallback, in_chunks
from gru_bench.results.logged_metrics import compared
from gru_bench.results.runs import MOST_WHOLE, Check, EpochRecord, Predictions, RunResult, StepReport, WindowLoss
from gru_bench.train import card
from gru_bench.train.checkpoint import FORMAT, PartialEpoch, Progress, load_checkpoint, save_checkpoint, set_aside
from gru_bench.train.optimizer import Optimizer

REFRESH_SECONDS = 0.5
CHECKPOINT_SECONDS = 60.0
"""Smallest time between two checkpoints within an epoch, so shorter epochs have none."""
EXPLODED = 20.0
"""Loss in nats per review from which a run is stopped. Guessing costs ln 2 = 0.69; a run does not recover from this."""
MICRO_BATCH_TOKENS = 16_384
"""Largest number of tokens, padding included, in a micro-batch on a CPU. The memory for the backward pass grows with
it."""
SCORED_TOKENS = 32_768
"""Largest number of tokens, padding included, in a batch that is scored. Without a backward pass, it needs no more
memory than a micro-batch in training."""
CHECKED_REVIEWS = 1_000
"""Largest number of validation reviews of a check. With 1,000, an accuracy of 85 % has a standard error of 1.1
points."""
TEACHING = 0.8
"""Share of the training loss that is measured against the mean prediction of the teachers. The rest is against the
labels."""
PREPARED_AHEAD = 4
ADDED: Mapping[str, Mapping[str, Scalar]] = {
    "data": {"classes": None, "positive": None, "encoding": "utf-8", "unseen": "refuse"},
    "embedding": {"unknown": "drop", "word_dropout": 0.0},
    "model": {"bidirectional": None}, "training": {
        "optimizer": "adam", "weight_decay": 0.0, "metric": "accuracy", "class_weight": "none",
        "average": 0.0, "teachers": 0}}
"""Settings that are newer than `FORMAT`, with the values that stand for what runs did before. With these values a run
resumes from a checkpoint that does not know them."""


class Pruned(Exception):
    """Raised by `on_epoch` to end a run that is not worth finishing."""


def train(
    config: RunConfig,
    corpus: Corpus,
    vectors: Vectors,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    *,
    score_test: bool = False,
    checkpoint: Path | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    on_window: Callable[[WindowLoss], None] | None = None,
    on_resume: Callable[[int | None], None] | None = None,
    on_check: Callable[[Check], None] | None = None,
    on_restart: Callable[[str], None] | None = None,
    checks: int = 0,
) -> RunResult:
    """Train the model of a run and predict with its best checkpoint.

    Args:
        config: All settings of the run.
        corpus: Reviews with their splits.
        vectors: Word vectors of the corpus.
        on_epoch: Function that is called after each epoch and its validation. It may raise `Pruned`.
        score_test: Whether the best checkpoint also predicts the test split.
        checkpoint: File that is written after each epoch, and about once a minute within one. If it exists already, the
            run resumes from it with the losses that it would have had. It is removed once the run is complete. A
            damaged one is renamed, and the run begins again.
        on_step: Function that is called about twice a second with the progress of the run.
        on_window: Function that is called at the end of each window with its mean training loss. It is not called again
            for the windows of a checkpoint.
        on_resume: Function that is called when a run resumes, with the number of the next epoch, or None if all epochs
            are trained. Afterwards `on_check` and `on_epoch` are called for the checks and epochs of the checkpoint.
        on_check: Function that is called after each check. It may raise `Pruned`. Checks change no loss and no weight.
        on_restart: Function that is called with the reason when a run begins again, since its checkpoint is damaged.
        checks: Number of checks in each epoch, at equal distances. The last one is at its end.

    Raises:
        UsageError: for settings that do not fit this machine or the data, such as a device that is missing.
        DataError: for a corpus without training reviews.
        RunError: where the loss or a probability is not finite, where the loss is too large, or where the checkpoint
            belongs to another run.
        Pruned: passed on from `on_epoch`.
    """
    device, backend = check(config, corpus)
    _prepare_process(config, device, backend)
    teachers = [
        with_settings(config, {"seed": _seed(config, "teacher", number) % (LARGEST_SEED + 1), "training.teachers": 0})
        for number in range(config.training.teachers)]
    files = [checkpoint, *(checkpoint and checkpoint.with_name(checkpoint_name(teacher, corpus))
                           for teacher in teachers)]
    taught, seconds = [], 0.0
    for place, teacher in enumerate(teachers):
        run, _ = _begin(partial(
            _Run, teacher, corpus, vectors, device, backend, _part_of(on_step, place, 1 + len(teachers), seconds),
            None), _identity(teacher, corpus), files[1 + place], on_restart)
        with _removed_if_failed(files):
            _complete(run, _identity(teacher, corpus), files[1 + place])
            taught.append(run.probabilities_of_training())
        seconds += run.progress.seconds
        del run  # its memory is free before the next one is built
    run, resumed = _begin(partial(
        _Run, config, corpus, vectors, device, backend, _part_of(on_step, len(teachers), 1 + len(teachers), seconds),
        on_window, on_check, checks), _identity(config, corpus), checkpoint, on_restart)
    if taught:
        run.taught = torch.from_numpy(np.mean(taught, axis=0)).to(device)
    if resumed:
        if on_resume is not None:
            on_resume(None if run.finished() else len(run.progress.epochs) + 1)
        for seen in run.progress.checks:
            if on_check is not None:
                on_check(seen)
        for record in run.progress.epochs:
            if on_epoch is not None:
                on_epoch(record)
    with _removed_if_failed(files):
        _complete(run, _identity(config, corpus), checkpoint, on_epoch)
        result = run.result(score_test)
    for file in files:
        _remove(file)
    return replace(result, train_seconds=result.train_seconds + seconds) if teachers else result


def _begin(
    new: Callable[[], _Run], identity: str, checkpoint: Path | None, on_restart: Callable[[str], None] | None
) -> tuple[_Run, bool]:
    """Return a run at its checkpoint, if there is one, and whether there is. A damaged checkpoint is renamed."""
    run = new()
    if checkpoint is None or not checkpoint.exists():
        return run, False
    try:
        run.progress = load_checkpoint(checkpoint, identity, run.model, run.optimizer)
        return run, True
    except DataError as error:
        reason = f"{error}: it is kept as {set_aside(checkpoint).name}, and this run begins again"
    if on_restart is not None:
        on_restart(reason)
    del run  # its memory is free before it is built again
    return new(), False


@contextmanager
def _removed_if_failed(checkpoints: Sequence[Path | None]) -> Iterator[None]:
    """Remove checkpoints where a run is pruned or fails by its own fault within a `with` block."""
    try:
        yield
    except MachineError:
        raise
    except (Pruned, RunError):
        for checkpoint in checkpoints:
            _remove(checkpoint)
        raise


def _complete(
    run: _Run, identity: str, checkpoint: Path | None, on_epoch: Callable[[EpochRecord], None] | None = None
) -> None:
    """Train what is left of a run. Its checkpoint stays."""
    def save() -> None:
        if checkpoint is not None:
            save_checkpoint(checkpoint, identity, run.model, run.optimizer, run.progress)

    while not run.finished():
        record = run.epoch(save)
        save()
        if on_epoch is not None:
            on_epoch(record)


def _part_of(
    on_step: Callable[[StepReport], None] | None, place: int, parts: int, seconds: float
) -> Callable[[StepReport], None] | None:
    """Return what tells the progress of one of several models as that of all of them."""
    if on_step is None or parts == 1:
        return on_step

    def shifted(step: StepReport) -> None:
        total = step.reviews_total
        on_step(replace(step, reviews=place * total + step.reviews, reviews_total=parts * total,
                        seconds=seconds + step.seconds))

    return shifted


def within_memory(
    trained: Callable[[RunConfig], RunResult], config: RunConfig, on_restart: Callable[[str], None]
) -> RunResult:
    """Return `trained(config)`, or where a graphics card runs out of memory, that of twice as many micro-batches.

    Args:
        trained: Function that trains a run.
        config: Settings of the run.
        on_restart: Function that is called with the reason before the run begins again.

    Raises:
        RunError: where the second try does not fit either, or a batch has no more reviews to share out.
    """
    size, smaller = config.training.batch_size, 2 * config.training.micro_batches
    try:
        return trained(config)
    except RuntimeError as error:  # its memory is free again after this clause
        if not card.out_of_memory(error):
            raise
        if size < smaller:
            raise RunError(card.NO_MEMORY) from error
    on_restart(f"the graphics card's memory ran out at a batch of {size} reviews; done again in {smaller} "
               "micro-batches, their gradients added")
    torch.cuda.empty_cache()
    try:
        return trained(with_settings(config, {"training.micro_batches": smaller}))
    except RuntimeError as error:
        if not card.out_of_memory(error):
            raise
        raise RunError(card.NO_MEMORY) from error


def check(config: RunConfig, corpus: Corpus) -> tuple[torch.device, Backend]:
    """Return the device and the backend on which a run can be trained here.

    Raises:
        UsageError: for settings that do not fit the model, this machine or the data, such as a device that is missing.
        DataError: for a corpus without training reviews.
    """
    training, reviews = config.training, len(corpus.train)
    device, _ = place(config)
    backend = choose_backend(config.model, device)
    if training.bf16:
        if device.type == "cuda":
            reason = card.no_bf16(device, backend)
        elif backend == "fused":
            reason = kernels.no_bf16()
        else:
            reason = f"the backend {backend!r} supports it on a card only."
        if reason:
            raise UsageError("training.bf16 must be false without an NVIDIA card or a processor for it, but got true "
                             f"on {device.type}: {reason} Leave it out")
    if not reviews:
        raise DataError(f"the training split must hold at least one review, but that of {corpus.name} is empty: "
                        "lower data.test_share and data.validation_share")
    if training.drop_last and reviews < training.batch_size:
        raise UsageError(f"training.batch_size must be at most the {reviews} training reviews when training.drop_last "
                         f"is set, but got {training.batch_size}")
    if training.selection == "best_validation" and not len(corpus.validation):
        raise UsageError("training.selection 'best_validation' needs a validation split, but data.validation_share "
                         "leaves none: raise it, or use --set training.selection=lowest_train_window")
    check_window(training, reviews)
    check_metric(training, corpus)
    return device, backend


def _prepare_process(config: RunConfig, device: torch.device, backend: Backend) -> None:
    """Set what holds for the whole process while a run trains: threads, and how a card is used."""
    use_threads(config.training.threads, backend)
    if device.type == "cuda":
        card.prepare(device)


def use_threads(count: int | None, backend: Backend) -> None:
    """Set the number of CPU threads of this process.

    With the fused backend, torch gets one thread: its share of a step is small, and its waiting threads would keep
    cores busy that the kernel needs.

    Args:
        count: Number of threads. None: all cores that this process may use.
        backend: Backend that will run.
    """
    threads = count or platforms.cores()
    kernels.set_threads(threads)
    torch.set_num_threads(1 if backend == "fused" else threads)


def choose_device(name: str) -> torch.device:
    """Return the device with this name. `auto` takes cuda if this machine has it, and otherwise cpu.

    It never takes mps: Apple's graphics processors train a GRU many times slower than the processor beside them.

    Raises:
        UsageError: for a device that is unknown or missing on this machine.
    """
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.cuda.is_available():
        found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + found
        found.insert(0, "cuda")
    if name == "auto":
        return torch.device(found[0])
    if name not in found:
        raise UsageError(f"device must be auto or one that this machine has ({', '.join(found)}), but got {name!r}")
    return torch.device(name)


def place(config: RunConfig) -> tuple[torch.device, str | None]:
    """Return the device on which a run trains, and a sentence where `auto` leaves a card unused, or None.

    Raises:
        UsageError: for a device that is unknown or missing on this machine.
    """
    device = choose_device(config.training.device)
    if config.training.device != "auto" or device.type != "cuda" or kernels.unavailable() is not None:
        return device, None
    reason = card.slower_than_cpu(config)
    if reason is None:
        return device, None
    if config.model.backend == "fused":  # which was asked for
        return torch.device("cpu"), None
    return torch.device("cpu"), (
        f"{config.model.name} trains on the CPU, although this machine has a graphics card: {reason}; --device cuda "
        "takes the card")


def check_metric(training: TrainingConfig, corpus: Corpus) -> None:
    """Check that the score that decides is defined for the classes of a corpus.

    Raises:
        UsageError: where it is not.
    """
    classes, metric = len(corpus.classes), training.metric
    if metric == "f1" and classes > 2:
        raise UsageError(f"training.metric 'f1' needs two classes, but {corpus.name} has {classes}: choose macro_f1")
    if metric != "roc_auc":
        return
    if classes > MOST_WHOLE:
        raise UsageError(f"training.metric 'roc_auc' needs at most {MOST_WHOLE} classes, but {corpus.name} has "
                         f"{classes}: choose macro_f1 or log_loss")
    for split in ("validation", "test"):
        found_C = np.bincount(corpus.split(split).label_N, minlength=classes)
        if found_C.any() and not found_C.all():
            raise UsageError(f"training.metric 'roc_auc' needs reviews of every class in the {split} split, but "
                             f"{corpus.name} has none of {corpus.classes[int(found_C.argmin())]!r} there: choose "
                             f"macro_f1, or raise data.{split}_share")


def _balanced(corpus: Corpus) -> Tensor:
    """Return the weight of each class, n / (K n_k); 0 for a class without training reviews."""
    count_C = np.bincount(corpus.train.label_N, minlength=len(corpus.classes))
    weight_C = np.divide(len(corpus.train), len(count_C) * count_C, out=np.zeros(len(count_C)), where=count_C > 0)
    return torch.from_numpy(weight_C.astype(np.float32))


def predict(
    model: Classifier, encoded: Encoded, *, backend: Backend, bf16: bool = False, tokens: int = SCORED_TOKENS,
) -> NDArray[np.float32]:
    """Return the probabilities of the examples of a split, in its order, in the form of `Predictions`.

    Args:
        model: The model.
        encoded: The examples.
        backend: Backend that computes the model.
        bf16: Whether products are rounded to bfloat16.
        tokens: Largest number of tokens, padding included, in a batch.
    """
    model.eval()
    table_VE = model.table_VE
    two = model.linear.out_features == 2
    probability_N = torch.empty((len(encoded), *(() if two else (model.linear.out_features,))), device=table_VE.device)
    with torch.inference_mode(), _autocast(table_VE.device, bf16):
        for batch in prefetched(make_batches(encoded, scoring_plan(encoded, tokens)), PREPARED_AHEAD):
            on_device = _DeviceBatch(batch, table_VE.device)
            rows_UE = table_VE.index_select(0, on_device.distinct_U)
            log_BC = model(rows_UE, on_device.index_BT, on_device.length_B, backend=backend, bf16=bf16,
                           equal_lengths=on_device.equal_lengths)
            probability_N[on_device.example_B] = (log_BC[:, 1] if two else log_BC).exp().float()
    kernels.release()
    values: NDArray[np.float32] = probability_N.cpu().numpy()
    return values


class _DeviceBatch:
    """The arrays of a batch as tensors on the device of the model. Each is copied when it is first asked for."""

    def __init__(self, batch: Batch, device: torch.device) -> None:
        self._batch, self._device = batch, device
        self.equal_lengths = int(batch.length_B.min()) == batch.index_BT.shape[1]

    @cached_property
    def distinct_U(self) -> Tensor:
        return self._there(self._batch.distinct_U)

    @cached_property
    def index_BT(self) -> Tensor:
        return self._there(self._batch.index_BT)

    @cached_property
    def length_B(self) -> Tensor:
        return self._there(self._batch.length_B)

    @cached_property
    def label_B(self) -> Tensor:
        return self._there(self._batch.label_B)

    @cached_property
    def example_B(self) -> Tensor:
        return self._there(self._batch.example_B)

    def _there(self, values: NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(values)
        if self._device.type != "cuda":
            return tensor.to(self._device)
        # The host does not wait for this copy. torch keeps the pinned memory until the card has read it.
        return tensor.contiguous().pin_memory().to(self._device, non_blocking=True)


class _Run:
    """One run: its model, its data and its progress."""

    def __init__(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, device: torch.device, backend: Backend,
        on_step: Callable[[StepReport], None] | None, on_window: Callable[[WindowLoss], None] | None,
        on_check: Callable[[Check], None] | None = None, checks: int = 0,
    ) -> None:
        self.config, self.device, self.backend = config, device, backend
        self.on_step, self.on_window, self.on_check = on_step, on_window, on_check
        self.classes = corpus.classes
        self.weight_C = (_balanced(corpus).to(device) if config.training.class_weight == "balanced" else None)
        table_VE = torch.from_numpy(np.array(vectors.table_VE, dtype=np.float32))
        self.model = untrained(config, table_VE, len(corpus.classes)).to(device)
        if device.type == "cuda":
            in_chunks(list(self.model.recurrence.parameters()))
        self.optimizer = Optimizer(
            self.model, self.model.table_VE if config.embedding.trainable else None, config.training,
            fused=backend == "fused")
        length = config.data.max_length
        self.train_split = encode(corpus.train, vectors, length)
        self.validation_split = encode(corpus.validation, vectors, length)
        self.test_split_source = (corpus.test, vectors, length)
        iterations = iterations_of_epoch(len(self.train_split), config.training)
        self.checked_after = {math.ceil(iterations * number / checks) for number in range(1, checks + 1)}
        """Iterations of an epoch after which the run is checked."""
        if self.checked_after:
            part = np.argsort(corpus.validation.example_id_N, kind="stable")[:CHECKED_REVIEWS]  # ids are digests
            self.checked_split = encode(corpus.validation.select(np.sort(part)), vectors, length)
        self.taught: Tensor | None = None
        """Mean prediction of the training reviews by teachers, in the form of `Predictions`."""
        self.progress = Progress()

    def finished(self) -> bool:
        """Return whether the last epoch is done or the patience is used up."""
        return len(self.progress.epochs) >= self.config.training.epochs or self._out_of_patience()

    def epoch(self, save: Callable[[], None]) -> EpochRecord:
        """Train the rest of an epoch, validate, and keep the weights if they are the best so far.

        Args:
            save: Function that writes a checkpoint. It is called now and then within the epoch.
        """
        training, progress = self.config.training, self.progress
        number = len(progress.epochs) + 1
        losses, reviews, tokens, seconds = self._train_epoch(number, save)
        validation_loss = validation_accuracy = validation_score = None
        if len(self.validation_split):
            with self.optimizer.averaged():
                validation_loss, validation_accuracy, validation_score = self._validate()
        record = EpochRecord(
            epoch=number, train_loss=losses / reviews, validation_loss=validation_loss,
            validation_accuracy=validation_accuracy, seconds=seconds, tokens_per_second=tokens / seconds,
            validation_score=validation_score)
        progress.epochs.append(record)
        if training.selection == "best_validation" and record is best_epoch(progress.epochs, training.metric):
            self._keep_best(number)
        return record

    def result(self, score_test: bool) -> RunResult:
        """Return the result of the run, with the predictions of the best checkpoint."""
        progress = self.progress
        assert progress.best is not None
        self.model.load_state_dict(progress.best)
        predictions = {}
        if len(self.validation_split):
            predictions["validation"] = self._predictions(self.validation_split)
        if score_test:
            predictions["test"] = self._predictions(encode(*self.test_split_source))
        parameters = [p.numel() for p in self.model.parameters()]
        return RunResult(
            config=self.config, backend=self.backend, device=str(self.device), epochs=tuple(progress.epochs),
            window_losses=tuple(progress.window_losses), best_epoch=progress.best_epoch, parameters=sum(parameters),
            parameter_tensors=len(parameters), train_seconds=progress.seconds,
            peak_memory_bytes=_peak_memory(self.device), predictions=predictions,
            weights={name: value.cpu().numpy() for name, value in progress.best.items()},
            stopped_early=len(progress.epochs) < self.config.training.epochs,
            backend_note=place(self.config)[1] or fallback(self.config.model, self.device),
            card=card.properties(self.device) if self.device.type == "cuda" else {}, classes=self.classes)

    def probabilities_of_training(self) -> NDArray[np.float32]:
        """Return what the best checkpoint predicts of the training reviews, in the form of `Predictions`."""
        assert self.progress.best is not None
        self.model.load_state_dict(self.progress.best)
        return self._probabilities(self.train_split)

    def _train_epoch(self, number: int, save: Callable[[], None]) -> tuple[float, int, int, float]:
        """Train one epoch and return its sum of losses and its numbers of reviews, tokens and seconds."""
        training, progress = self.config.training, self.progress
        self.model.train()
        dropout = torch.Generator(self.device).manual_seed(_seed(self.config, "dropout", number))
        window = torch.zeros((), device=self.device)
        total = torch.zeros((), device=self.device, dtype=torch.float64 if self.device.type != "mps" else None)
        in_window = done = reviews = tokens = 0
        before = progress.seconds
        if progress.begun is not None:
            begun, progress.begun = progress.begun, None
            done, reviews, tokens, before = begun.batches, begun.reviews, begun.tokens, begun.seconds_before
            total += begun.losses
            if begun.dropout.shape == dropout.get_state().shape:  # else it was begun on another kind of device
                dropout.set_state(begun.dropout)
        started = time.perf_counter() - (progress.seconds - before)
        refreshed = saved = time.perf_counter()
        per_epoch = len(self.train_split)
        for batch in self._train_batches(number, done):
            on_device = _DeviceBatch(batch, self.device)
            rows_UE = self.model.table_VE.index_select(0, on_device.distinct_U)
            kept_U1 = self._kept_words(rows_UE, dropout)
            if kept_U1 is not None:
                rows_UE *= kept_U1
            rows_UE.requires_grad_(self.config.embedding.trainable)
            loss = self._gradients(on_device, batch, rows_UE, dropout)
            if kept_U1 is not None and rows_UE.grad is not None:
                rows_UE.grad *= kept_U1
            self._set_rate()
            self.optimizer.step(on_device.distinct_U, rows_UE)
            with torch.no_grad():
                total += loss * len(batch.label_B)
                window += loss
            progress.iteration += 1
            in_window += 1
            done += 1
            reviews += len(batch.label_B)
            tokens += int(batch.length_B.sum())
            if done in self.checked_after:
                progress.seconds = before + time.perf_counter() - started
                self._check(number - 1 + reviews / per_epoch)
                started += before + time.perf_counter() - started - progress.seconds
            now = time.perf_counter()
            progress.seconds = before + now - started
            if in_window == training.log_every:
                self._close_window(number, float(window) / in_window)
                window.zero_()
                in_window = 0
                if now - saved >= CHECKPOINT_SECONDS:
                    progress.begun = PartialEpoch(done, reviews, tokens, float(total), before, dropout.get_state())
                    save()
                    progress.begun = None
                    saved = time.perf_counter()
                    started += saved - now
            if now - refreshed >= REFRESH_SECONDS:
                refreshed = now
                mean = self._checked(float(total) / reviews)
                if self.on_step is not None:
                    self.on_step(StepReport(
                        number, training.epochs, (number - 1) * per_epoch + reviews, training.epochs * per_epoch,
                        mean, progress.seconds))
        summed = float(total)
        kernels.release()  # the end of an epoch can use the memory of the longest batch
        progress.seconds = before + time.perf_counter() - started
        self._checked(summed / reviews)
        return summed, reviews, tokens, progress.seconds - before

    def _kept_words(self, rows_UE: Tensor, dropout: torch.Generator) -> Tensor | None:
        """Return what the vectors of a batch are multiplied with by dropout of words; None without it."""
        share = self.config.embedding.word_dropout
        return dropped_out(torch.ones_like(rows_UE[:, :1]), share, dropout) if share else None

    def _gradients(self, on_device: _DeviceBatch, batch: Batch, rows_UE: Tensor, dropout: torch.Generator) -> Tensor:
        """Add the gradients of a batch, in micro-batches if it is large, and return its loss."""
        parts = self._micro_batches(batch)
        if parts == 1:
            return self._backward(on_device, rows_UE, dropout)
        return sum((self._backward(_DeviceBatch(part, self.device), rows_UE, dropout,
                                   len(part.label_B) / len(batch.label_B))
                    for part in micro_batches_of(batch, parts)), start=torch.zeros((), device=self.device))

    def _micro_batches(self, batch: Batch) -> int:
        """Return the number of micro-batches of a batch. On a graphics card it is the setting, on a CPU it may be
        more."""
        needed = math.ceil(batch.index_BT.size / MICRO_BATCH_TOKENS) if self.device.type == "cpu" else 1
        return max(self.config.training.micro_batches, needed)

    def _backward(
        self, batch: _DeviceBatch, rows_UE: Tensor, dropout: torch.Generator, share: float | None = None
    ) -> Tensor:
        """Add the gradients of a batch and return its loss; for a micro-batch, both are weighted with its `share`."""
        with _autocast(self.device, self.config.training.bf16):
            log_BC = self.model(
                rows_UE, batch.index_BT, batch.length_B, backend=self.backend, generator=dropout,
                bf16=self.config.training.bf16, equal_lengths=batch.equal_lengths)
        loss = weighted = nll_loss(log_BC.float(), batch.label_B)
        if self.weight_C is not None or self.taught is not None:
            loss_B = nll_loss(log_BC.float(), batch.label_B, reduction="none")
            if self.taught is not None:
                taught_BC = self.taught[batch.example_B]
                if taught_BC.ndim == 1:
                    taught_BC = torch.stack([1 - taught_BC, taught_BC], dim=1)
                loss_B = torch.lerp(loss_B, -(taught_BC * log_BC.float()).sum(dim=1), TEACHING)
            # The sum is divided by the number of reviews, not by their weights, so that micro-batches stay equal.
            weighted = (loss_B if self.weight_C is None else loss_B * self.weight_C[batch.label_B]).mean()
        if share is not None:
            loss, weighted = loss * share, weighted * share
        weighted.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss.detach()

    def _set_rate(self) -> None:
        training = self.config.training
        if training.schedule == "linear":
            steps = training.epochs * iterations_of_epoch(len(self.train_split), training)
            self.optimizer.set_rate(training.lr * (1 - self.progress.iteration / steps))

    def _train_batches(self, number: int, done: int) -> Iterator[Batch]:
        """Return an iterator over the batches of an epoch without the first `done` ones."""
        training = self.config.training
        plan = batch_plan(
            self.train_split, training.batch_size,
            generator=np.random.default_rng(_seed(self.config, "batches", number)), bucket=training.bucket,
            drop_last=training.drop_last)
        return prefetched(make_batches(self.train_split, plan[done:]), PREPARED_AHEAD)

    def _close_window(self, number: int, mean: float) -> None:
        training, progress = self.config.training, self.progress
        self._checked(mean)
        lowest = min((point.loss for point in progress.window_losses), default=math.inf)
        point = WindowLoss(progress.iteration, number, progress.seconds, mean)
        progress.window_losses.append(point)
        if self.on_window is not None:
            self.on_window(point)
        if training.selection == "lowest_train_window" and mean < lowest:
            self._keep_best(number)

    def _checked(self, loss: float) -> float:
        if not math.isfinite(loss) or loss > EXPLODED:
            raise self._exploded(f"the training loss must stay finite and below {EXPLODED:g} nats per review, but "
                                 f"became {loss:.4g}")
        return loss

    def _exploded(self, what: str) -> RunError:
        return RunError(f"{what} at iteration {self.progress.iteration}: lower training.lr (now "
                        f"{self.config.training.lr:g}) or training.clip_norm (now {self.config.training.clip_norm})")

    def _probabilities(self, encoded: Encoded) -> NDArray[np.float32]:
        probability_N = predict(self.model, encoded, backend=self.backend, bf16=self.config.training.bf16)
        if np.isnan(probability_N).any():
            raise self._exploded("the model's probabilities must stay finite, but became nan")
        return probability_N

    def _validate(self) -> tuple[float, float, float | None]:
        """Return the loss, the accuracy, and the score that decides where it is not the accuracy."""
        probability_N = self._probabilities(self.validation_split)
        label_N, metric = self.validation_split.label_N, self.config.training.metric
        loss, accuracy = log_loss(label_N, probability_N), float(correct(label_N, probability_N).mean())
        if metric == "accuracy":
            return loss, accuracy, None
        return loss, accuracy, loss if metric == "log_loss" else value_of(metric, label_N, probability_N)

    def _check(self, epochs: float) -> None:
        """Score the current weights on the part of the validation split that is for checks."""
        with self.optimizer.averaged():
            probability_N = self._probabilities(self.checked_split)
        self.model.train()
        score = value_of(self.config.training.metric, self.checked_split.label_N, probability_N)
        check = Check(len(self.progress.checks) + 1, epochs, math.nan if score is None else score)
        self.progress.checks.append(check)
        if self.on_check is not None:
            self.on_check(check)

    def _keep_best(self, epoch: int) -> None:
        self.progress.best = None  # freed first, so that there are not two copies at a time
        with self.optimizer.averaged():
            best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.progress.best, self.progress.best_epoch = best, epoch

    def _out_of_patience(self) -> bool:
        patience, epochs = self.config.training.patience, self.progress.epochs
        if patience is None or not epochs or not len(self.validation_split):
            return False
        return len(epochs) - best_epoch(epochs, self.config.training.metric).epoch >= patience

    def _predictions(self, encoded: Encoded) -> Predictions:
        return Predictions(
            example_id_N=encoded.example_id_N, label_N=encoded.label_N,
            probability_N=self._probabilities(encoded), category_N=encoded.category_N,
            tokens_N=encoded.tokens_N, dropped_N=encoded.dropped_N)


def untrained(config: RunConfig, table_VE: Tensor, classes: int = 2) -> Classifier:
    """Return the model of a run before its first step, for these word vectors and so many classes."""
    return Classifier(config.model, table_VE, torch.Generator().manual_seed(_seed(config, "weights")), classes,
                      trainable=config.embedding.trainable)


def _seed(config: RunConfig, *purpose: object) -> int:
    """Return the seed of one stream of random numbers. Each model, purpose and epoch has its own stream."""
    text = ":".join(map(str, (config.seed, config.model.name, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def best_epoch(epochs: list[EpochRecord], metric: MetricName = "accuracy") -> EpochRecord:
    """Return the epoch of the best validation score. Among equal ones: of lowest loss, then the first."""
    sign = -1 if compared(metric, "val").higher_is_better else 1

    def rank(record: EpochRecord) -> tuple[float, float]:
        score = record.score(metric)
        if score is None or record.validation_loss is None:
            return (0.0, 0.0)
        return (sign * score, record.validation_loss)

    return min(epochs, key=rank)


def _autocast(device: torch.device, bf16: bool) -> Any:
    """Return a context in which a graphics card computes products in bfloat16, if `bf16` is set."""
    return torch.autocast(device.type, torch.bfloat16) if bf16 and device.type == "cuda" else nullcontext()


def checkpoint_name(config: RunConfig, corpus: Corpus) -> str:
    """Return the file name of the checkpoint of a run. It differs for other settings or data."""
    return f"{_identity(config, corpus)}.pt"


def _identity(config: RunConfig, corpus: Corpus) -> str:
    settings = config.model_dump()
    left_out = {section: {name for name, before in added.items() if settings[section][name] == before}
                for section, added in ADDED.items()}
    text = f"{FORMAT} {config.model_dump_json(exclude=left_out)} {corpus.fingerprint}"
    return hashlib.sha256(text.encode()).hexdigest()


def _remove(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        platforms.remove(checkpoint)


def _peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: of the graphics card, or else of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return platforms.peak_memory()
