"""The training loop: it trains one model on a corpus and returns a `RunResult`.

`_Run.step` is one gradient step: forward, loss, backward, clip, step. This module knows neither optuna nor mlflow. They
are called through a `Listener`, which may raise `Pruned` to end the run.

Shapes: `V` rows of the vector table, `E` vector width, `U` distinct tokens of a batch, `B` texts of a batch,
`T` steps, `N` examples of a split.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gru_bench import platforms
from gru_bench.config import MetricName, RunConfig
from gru_bench.data.batches import (
    Batch,
    Encoded,
    batch_plan,
    check_window,
    encode,
    iterations_of_epoch,
    make_batches,
)
from gru_bench.data.cache import CHECKPOINTS, default_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.data.labels import listed
from gru_bench.data.vectors import Vectors
from gru_bench.errors import DataError, MachineError, RunError, UsageError, out_of_memory
from gru_bench.kernels import fused as kernels
from gru_bench.results.runs import Check, EpochRecord, Predictions, RunResult, StepReport, WindowLoss
from gru_bench.stats.metrics import correct, log_loss
from gru_bench.stats.scores import score_of, value_of
from gru_bench.train import card
from gru_bench.train.checkpoint import (
    PartialEpoch,
    Progress,
    checkpoint_name,
    identity_of,
    load_checkpoint,
    save_checkpoint,
    set_aside,
)
from gru_bench.train.listener import SILENT, Listener, Pruned
from gru_bench.train.loss import balanced, training_loss
from gru_bench.train.network import predict, seed_of, untrained
from gru_bench.train.optimizer import Optimizer
from gru_bench.train.placement import Placement, place

REFRESH_SECONDS = 0.5
CHECKPOINT_SECONDS = 60.0
"""Smallest time between two checkpoints within an epoch, so shorter epochs have none."""
EXPLODED = 20.0
"""Loss in nats per text from which a run is stopped. Guessing costs ln 2 = 0.69; a run does not recover from this."""
MICRO_BATCH_TOKENS = 16_384
"""Largest number of tokens, padding included, in a micro-batch on a CPU. The memory for the backward pass grows with
it."""
CHECK_TEXTS = 1_000
"""Largest number of validation texts of a check. With 1,000, an accuracy of 85 % has a standard error of 1.1
points."""


def train(
    config: RunConfig,
    corpus: Corpus,
    vectors: Vectors,
    listener: Listener = SILENT,
    *,
    placement: Placement | None = None,
    score_test: bool = False,
    checkpoint: Path | None = None,
    checks_per_epoch: int = 0,
) -> RunResult:
    """Train the model of a run and predict with its best checkpoint.

    Args:
        config: All settings of the run.
        corpus: Texts with their splits.
        vectors: Word vectors of the corpus.
        listener: What the run reports to.
        placement: Where the run trains. None: it is decided here.
        score_test: Whether the best checkpoint also predicts the test split.
        checkpoint: File that is written after each epoch, and about once a minute within one. If it exists already, the
            run resumes from it with the losses that it would have had. It is removed once the run is complete.
        checks_per_epoch: Number of `Check`s in each epoch, at equal distances. The last one is at its end. They change
            no loss and no weight.

    Raises:
        UsageError: for settings that do not fit this machine or the data, such as a device that is missing.
        DataError: for a corpus without training texts.
        RunError: where the loss or a probability is not finite, where the loss is too large, or where the checkpoint
            belongs to another run.
        Pruned: passed on from the listener.
    """
    placement = placement or place(config)
    check_settings(config, corpus)
    placement.prepare(config.training.threads)
    run = _Run(config, corpus, vectors, placement, listener, checkpoint, checks_per_epoch)
    if run.resume():
        listener.resumed(None if run.finished() else len(run.progress.epochs) + 1)
        for check in run.progress.checks:
            listener.check(check)
        for record in run.progress.epochs:
            listener.epoch(record)
    with _removed_if_failed(checkpoint):
        run.complete()
        result = run.result(score_test)
    listener.done(result)
    _remove(checkpoint)
    return result


@contextmanager
def _removed_if_failed(checkpoint: Path | None) -> Iterator[None]:
    """Remove a checkpoint where a run is pruned or fails by its own fault within a `with` block."""
    try:
        yield
    except MachineError:
        raise
    except (Pruned, RunError):
        _remove(checkpoint)
        raise


def train_resumably(
    config: RunConfig, corpus: Corpus, vectors: Vectors, listener: Listener, *, placement: Placement,
    score_test: bool = False, checks_per_epoch: int = 0,
) -> RunResult:
    """Train a run as every command does: with a checkpoint in the cache.

    The arguments and errors are those of `train`.

    Raises:
        RunError: where memory runs out.
    """
    if placement.note is not None:
        listener.note(placement.note)
    try:
        return train(config, corpus, vectors, listener, placement=placement, score_test=score_test,
                     checkpoint=default_cache() / CHECKPOINTS / checkpoint_name(config, corpus, vectors),
                     checks_per_epoch=checks_per_epoch)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise RunError(card.NO_MEMORY) from error


def check_settings(config: RunConfig, corpus: Corpus) -> None:
    """Check that a run can be trained on a corpus.

    Raises:
        UsageError: for settings that do not fit the data.
        DataError: for a corpus without training texts.
    """
    training, texts = config.training, len(corpus.train)
    if not texts:
        raise DataError(f"the training split of {corpus.name} is empty: lower data.test_share and "
                        "data.validation_share")
    if training.drop_last and texts < training.batch_size:
        raise UsageError(f"training.batch_size must be at most the {texts} training texts when training.drop_last "
                         f"is set, but got {training.batch_size}")
    if training.selection == "best_validation" and not len(corpus.validation):
        raise UsageError("training.selection 'best_validation' needs a validation split, but data.validation_share "
                         "leaves none: raise it, or use "
                         "training.selection=lowest_train_window")
    check_window(training, texts)


class _Clock:
    """Counts seconds of training into the progress of a run, unless it is stopped."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.counted = progress, time.perf_counter()

    def count(self) -> float:
        """Count the time since the last call, and return the present time."""
        now = time.perf_counter()
        self.progress.seconds += now - self.counted
        self.counted = now
        return now

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the time within a `with` block."""
        self.count()
        yield
        self.counted = time.perf_counter()


class _Run:
    """One run: its model, its data and its progress."""

    def __init__(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, placement: Placement, listener: Listener = SILENT,
        checkpoint: Path | None = None, checks_per_epoch: int = 0,
    ) -> None:
        self.config, self.placement, self.listener = config, placement, listener
        self.checkpoint, self.identity = checkpoint, identity_of(config, corpus, vectors)
        self.corpus, self.vectors = corpus, vectors
        balance = config.training.class_weight == "balanced"
        self.weight_C = balanced(corpus).to(placement.device) if balance else None
        length = config.data.max_length
        self.train_split = encode(corpus.train, vectors, length)
        self.validation_split = encode(corpus.validation, vectors, length)
        self.iterations = iterations_of_epoch(len(self.train_split), config.training)
        self.check_iterations = {math.ceil(self.iterations * number / checks_per_epoch)
                                 for number in range(1, checks_per_epoch + 1)}
        """Iterations of an epoch after which there is a `Check`."""
        if self.check_iterations:
            part = np.argsort(corpus.validation.example_id_N, kind="stable")[:CHECK_TEXTS]  # ids are digests
            self.check_split = encode(corpus.validation.select(np.sort(part)), vectors, length)
        self._begin()

    def _begin(self) -> None:
        """Draw the weights, before the first step."""
        config, device = self.config, self.placement.device
        table_VE = torch.from_numpy(np.array(self.vectors.table_VE, dtype=np.float32))
        self.model = untrained(config, table_VE, len(self.corpus.classes)).to(device)
        self.optimizer = Optimizer(
            self.model, self.model.table_VE if config.embedding.trainable else None, config.training,
            fused=self.placement.backend == "fused")
        self.progress = Progress()

    def resume(self) -> bool:
        """Load the checkpoint, and return whether there is one. A damaged one is renamed, and the run begins again."""
        if self.checkpoint is None or not self.checkpoint.exists():
            return False
        try:
            self.progress = load_checkpoint(self.checkpoint, self.identity, self.model, self.optimizer)
            return True
        except DataError as error:
            reason = f"{error}: it is kept as {set_aside(self.checkpoint).name}, and this run starts again"
        self.listener.restarted(reason)
        del self.model, self.optimizer  # their memory is free before they are built again
        self._begin()
        return False

    def finished(self) -> bool:
        """Return whether the last epoch is done or the patience is used up."""
        return len(self.progress.epochs) >= self.config.training.epochs or self._out_of_patience()

    def complete(self) -> None:
        """Train all epochs that are left."""
        while not self.finished():
            record = self.epoch()
            self._save()
            self.listener.epoch(record)

    def epoch(self) -> EpochRecord:
        """Train the rest of an epoch, validate, and keep the weights if they are the best so far."""
        training, progress = self.config.training, self.progress
        number = len(progress.epochs) + 1
        trained, seconds = self._train_epoch(number)
        if number == 1 and (unreached := self._unreached()):
            self.listener.note(f"{listed(unreached)} of {self.config.model.name} get no gradient and stay as "
                               "initialized: use them in forward, or remove them")
        validation_loss = validation_accuracy = validation_score = None
        if len(self.validation_split):
            with self.optimizer.averaged():
                validation_loss, validation_accuracy, validation_score = self._validate()
        record = EpochRecord(
            epoch=number, train_loss=trained.mean(), validation_loss=validation_loss,
            validation_accuracy=validation_accuracy, seconds=seconds, tokens_per_second=trained.tokens / seconds,
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
        predictions, started = {}, time.perf_counter()
        if len(self.validation_split):
            predictions["validation"] = self._predictions(self.corpus.validation, self.validation_split)
        if score_test:
            test_split = encode(self.corpus.test, self.vectors, self.config.data.max_length)
            predictions["test"] = self._predictions(self.corpus.test, test_split)
        seconds, texts = time.perf_counter() - started, sum(map(len, predictions.values()))
        parameters = [p.numel() for p in self.model.parameters()]
        return RunResult(
            config=self.config, backend=self.placement.backend, device=str(self.placement.device),
            epochs=tuple(progress.epochs),
            window_losses=tuple(progress.window_losses), best_epoch=progress.best_epoch, parameters=sum(parameters),
            parameter_tensors=len(parameters), train_seconds=progress.seconds,
            predict_seconds=1000 * seconds / texts if texts else None,
            peak_memory_bytes=_peak_memory(self.placement.device), predictions=predictions,
            weights={name: value.cpu().numpy() for name, value in progress.best.items()},
            stopped_early=len(progress.epochs) < self.config.training.epochs,
            backend_note=self.placement.note, classes=self.corpus.classes,
            card=card.properties(self.placement.device) if self.placement.device.type == "cuda" else {})

    @kernels.flushed(torch_threads=True)
    def _train_epoch(self, number: int) -> tuple[PartialEpoch, float]:
        """Train the rest of an epoch, and return what it has trained and the seconds of all of it."""
        training, progress = self.config.training, self.progress
        self.model.train()
        with self._masks(number) as masks:
            epoch = self._continued(masks)
            clock = _Clock(progress)
            refreshed = saved = clock.counted
            for batch in self._train_batches(number, epoch.batches):
                epoch.add(batch, self.step(batch, masks))
                progress.iteration += 1
                if epoch.batches in self.check_iterations:
                    with clock.stopped():
                        self._score_early(number - 1 + epoch.texts / len(self.train_split))
                now = clock.count()
                if epoch.in_window == training.log_every:
                    self._close_window(number, epoch.close_window())
                if now - saved >= CHECKPOINT_SECONDS:
                    with clock.stopped():
                        self._save(replace(epoch, dropout=masks.get_state()))
                    saved = clock.counted
                if now - refreshed >= REFRESH_SECONDS:
                    refreshed = now
                    self._report(number, epoch)
        mean = epoch.mean()
        kernels.release()  # the end of an epoch can use the memory of the longest batch
        clock.count()
        self._refuse_exploded(mean)
        return epoch, progress.seconds - epoch.seconds_before

    def step(self, batch: Batch, masks: torch.Generator) -> Tensor:
        """Move the weights by the gradient of the mean loss of a batch, and return that loss as it is logged.

        A large batch is read in parts, and their gradients are added.
        """
        training, device = self.config.training, self.placement.device
        parts = [part.to(device) for part in batch.parts(self._micro_batches(batch))]
        distinct_U, mean = parts[0].distinct_U, torch.zeros((), device=device)
        rows_UE = self.model.table_VE.index_select(0, distinct_U).requires_grad_(self.config.embedding.trainable)
        for part in parts:
            fraction = len(part) / len(batch)
            log_BC = self.model(rows_UE, part.index_BT, part.length_B, backend=self.placement.backend,
                                generator=masks, equal_lengths=part.equal_lengths)
            loss, weighted = training_loss(log_BC, part.label_B, self.weight_C)
            (weighted * fraction).backward()
            mean += loss.detach() * fraction
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_([*self.model.parameters(), rows_UE], training.clip_norm)
        self.optimizer.lr = self._rate()
        self.optimizer.step(distinct_U, rows_UE)  # which also clears the gradients
        return mean

    def _micro_batches(self, batch: Batch) -> int:
        """Return the number of micro-batches of a batch. On a graphics card it is the setting, on a CPU it may be
        more."""
        on_cpu = self.placement.device.type == "cpu"
        needed = math.ceil(batch.index_BT.numel() / MICRO_BATCH_TOKENS) if on_cpu else 1
        return max(self.config.training.micro_batches, needed)

    def _rate(self) -> float:
        """Return the learning rate of the next step."""
        training = self.config.training
        if training.schedule == "constant":
            return training.lr
        return training.lr * (1 - self.progress.iteration / (training.epochs * self.iterations))

    @contextmanager
    def _masks(self, number: int) -> Iterator[torch.Generator]:
        """Yield the source of the dropout masks of an epoch.

        A class of the user's own draws its masks from torch's global generator. For such a model this generator is the
        source, and has its old state again afterwards.
        """
        device, seed = self.placement.device, seed_of(self.config, "dropout", number)
        if self.placement.backend != "own" or device.type not in ("cpu", "cuda"):
            yield torch.Generator(device).manual_seed(seed)
            return
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield (torch.default_generator if device.type == "cpu" else
                   torch.cuda.default_generators[torch.cuda.current_device()])

    def _continued(self, masks: torch.Generator) -> PartialEpoch:
        """Return the epoch that a checkpoint has begun, or a new one."""
        begun, self.progress.begun = self.progress.begun, None
        if begun is None:
            return PartialEpoch.new(self.placement.device, self.progress.seconds)
        if begun.dropout.shape == masks.get_state().shape:  # else it was begun on another kind of device
            masks.set_state(begun.dropout)
        begun.move(self.placement.device)
        return begun

    def _unreached(self) -> list[str]:
        """Return the names of the parameters that no loss has reached, those of an own class as it names them."""
        trained = [name for name, weight in self.model.named_parameters() if weight.requires_grad]
        names = [name for name, steps in zip(trained, self.optimizer.steps, strict=True) if not steps]
        return list(dict.fromkeys(re.sub(r"^own\.parts\.\d+\.", "", name) for name in names))

    def _save(self, begun: PartialEpoch | None = None) -> None:
        """Write a checkpoint, after an epoch or within one that has begun."""
        if self.checkpoint is not None:
            save_checkpoint(self.checkpoint, self.identity, self.model, self.optimizer,
                            replace(self.progress, begun=begun))

    def _report(self, number: int, epoch: PartialEpoch) -> None:
        epochs, each, mean = self.config.training.epochs, len(self.train_split), epoch.mean()
        self._refuse_exploded(mean)
        self.listener.step(StepReport(
            number, epochs, (number - 1) * each + epoch.texts, epochs * each, mean, self.progress.seconds))

    def _train_batches(self, number: int, done: int) -> Iterator[Batch]:
        training = self.config.training
        plan = batch_plan(
            self.train_split, training.batch_size, np.random.default_rng(seed_of(self.config, "batches", number)),
            bucket=training.bucket, drop_last=training.drop_last)
        return make_batches(self.train_split, plan[done:])

    def _close_window(self, number: int, mean: float) -> None:
        training, progress = self.config.training, self.progress
        self._refuse_exploded(mean)
        lowest = min((point.loss for point in progress.window_losses), default=math.inf)
        progress.window_losses.append(WindowLoss(progress.iteration, number, progress.seconds, mean))
        if training.selection == "lowest_train_window" and mean < lowest:
            self._keep_best(number)

    def _refuse_exploded(self, loss: float) -> None:
        if not math.isfinite(loss) or loss > EXPLODED:
            raise self._exploded(f"the training loss must stay finite and below {EXPLODED:g} nats per text, but is "
                                 f"{loss:.4g}")

    def _exploded(self, what: str) -> RunError:
        return RunError(f"{what} at iteration {self.progress.iteration}: lower training.lr (now "
                        f"{self.config.training.lr:g}) or training.clip_norm (now {self.config.training.clip_norm})")

    def _probabilities(self, encoded: Encoded) -> NDArray[np.float32]:
        probability_NC = predict(self.model, encoded, backend=self.placement.backend)
        if np.isnan(probability_NC).any():
            raise self._exploded("the model's probabilities must stay finite, but are nan")
        return probability_NC

    def _validate(self) -> tuple[float, float, float | None]:
        """Return the loss, the accuracy, and the score that decides where it is not the accuracy."""
        probability_NC = self._probabilities(self.validation_split)
        label_N, metric = self.validation_split.label_N, self.config.training.metric
        loss, accuracy = log_loss(label_N, probability_NC), float(correct(label_N, probability_NC).mean())
        if metric == "accuracy":
            return loss, accuracy, None
        return loss, accuracy, value_of(metric, label_N, probability_NC)

    def _score_early(self, epochs: float) -> None:
        """Score the current weights on the part of the validation split that is for checks."""
        with self.optimizer.averaged():
            probability_NC = self._probabilities(self.check_split)
        self.model.train()
        score = value_of(self.config.training.metric, self.check_split.label_N, probability_NC)
        check = Check(len(self.progress.checks) + 1, epochs, score)
        self.progress.checks.append(check)
        self.listener.check(check)

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

    def _predictions(self, split: Split, encoded: Encoded) -> Predictions:
        return Predictions(
            example_id_N=split.example_id_N, label_N=split.label_N, probability_NC=self._probabilities(encoded),
            category_N=split.category_N, tokens_N=encoded.tokens_N, dropped_N=encoded.dropped_N, name_N=split.name_N,
            group_N=split.group_N)


def best_epoch(epochs: list[EpochRecord], metric: MetricName = "accuracy") -> EpochRecord:
    """Return the epoch of the best validation score. Among equal ones: of lowest loss, then the first."""
    sign = -1 if score_of(metric).higher_is_better else 1

    def rank(record: EpochRecord) -> tuple[float, float]:
        score = record.score(metric)
        if score is None or record.validation_loss is None:
            return (0.0, 0.0)
        return (sign * score, record.validation_loss)

    return min(epochs, key=rank)


def _remove(checkpoint: Path | None) -> None:
    if checkpoint is not None:
        platforms.remove(checkpoint)


def _peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: of the graphics card, or else of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return platforms.peak_memory()
