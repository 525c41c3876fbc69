"""Batches of token ids, made from the examples of a split.

Examples are cut to `max_length` and put into batches of similar length. An encoded split holds numpy arrays, a batch
tensors. A batch lists each distinct row of the vector table once, so that a model looks up and projects a word once
however often it occurs. torch is imported by what makes batches alone: a sweep plans its runs without it.

Shapes: `N` examples, `N1` is N + 1, `B` examples of a batch, `T` steps (the longest example of the batch), `U` distinct
rows of the batch, `V` rows of the vector table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import TrainingConfig
from gru_bench.data.corpus import Split
from gru_bench.data.vectors import Vectors
from gru_bench.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_POOL = 50
"""Number of batches whose shuffled examples are sorted by length together."""
_NOISE = 0.05
"""Half the width of a random factor on each length before sorting, so that batches differ between epochs."""


@dataclass(frozen=True)
class Encoded:
    """A split as a model reads it: only words that have a vector, cut to `max_length`."""

    rows: NDArray[np.int32]
    """Row of the vector table for each token of all examples. An example without known words has row 0 once."""
    offsets_N1: NDArray[np.int64]
    """Example n has the rows `rows[offsets_N1[n]:offsets_N1[n + 1]]`, at least one."""
    label_N: NDArray[np.integer]
    tokens_N: NDArray[np.int32]
    """Number of tokens that the model reads. 0 where no word is known."""
    dropped_N: NDArray[np.int32]
    """Number of tokens of the whole text that have no vector."""
    cut_N: NDArray[np.bool_]
    """Whether known words beyond `max_length` are left out."""
    table_size: int
    """V, the number of rows of the vector table."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.label_N)


def iterations_of_epoch(examples: int, training: TrainingConfig) -> int:
    """Return the number of batches in an epoch over this number of training examples."""
    whole, rest = divmod(examples, training.batch_size)
    return whole + (rest > 0 and not training.drop_last)


def fills_window(training: TrainingConfig, examples: int) -> bool:
    """Return whether an epoch over this number of training examples completes a window of the training loss."""
    return iterations_of_epoch(examples, training) >= training.log_every


def check_window(training: TrainingConfig, examples: int) -> None:
    """Check that an epoch completes a window, if the best checkpoint is chosen by window.

    Args:
        training: Settings of the training.
        examples: Number of training examples.

    Raises:
        UsageError: where a window is longer than an epoch. The message says how long it may be.
    """
    if training.selection == "lowest_train_window" and not fills_window(training, examples):
        iterations = iterations_of_epoch(examples, training)
        raise UsageError(
            f"training.log_every must be at most {iterations:,}, the iterations of an epoch of {examples:,} training "
            f"texts, when training.selection is lowest_train_window, but got {training.log_every}: "
            f"training.log_every={max(1, iterations // 10)}, or train on more texts")


def encode(split: Split, vectors: Vectors, max_length: int | None) -> Encoded:
    """Return a split as a model reads it: tokens without a vector are dropped, then each example is cut.

    Args:
        split: Examples as ids of words.
        vectors: Word vectors of the same corpus.
        max_length: Number of tokens kept of an example, at least 1. None keeps all.
    """
    row = vectors.row_of_word[split.ids]
    known = row >= 0
    known_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(known)])
    start_N1 = known_before[split.offsets_N1]
    known_N = np.diff(start_N1)
    tokens_N = known_N if max_length is None else np.minimum(known_N, max_length)
    offsets_N1 = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.maximum(tokens_N, 1))])

    if max_length is not None:
        known &= known_before[:-1] - np.repeat(start_N1[:-1], np.diff(split.offsets_N1)) < max_length
    filled = np.ones(offsets_N1[-1], np.bool_)
    filled[offsets_N1[:-1][tokens_N == 0]] = False
    rows = np.zeros(offsets_N1[-1], np.int32)
    rows[filled] = row[known]
    return Encoded(
        rows, offsets_N1, split.label_N, tokens_N=tokens_N.astype(np.int32),
        dropped_N=(np.diff(split.offsets_N1) - known_N).astype(np.int32), cut_N=tokens_N < known_N,
        table_size=len(vectors.table_VE))


@dataclass(frozen=True)
class Batch:
    """A batch of B examples, padded at the end to the longest one. All tensors are int64."""

    distinct_U: Tensor
    """The distinct rows of the vector table in ascending order. Row 0 is among them where an example is padded."""
    index_BT: Tensor
    """For each token its position in `distinct_U`. Padding has the position of row 0."""
    length_B: Tensor
    """Number of tokens, at least 1: an example without known words is one step of padding."""
    label_B: Tensor
    tokens: int
    """Number of tokens of all examples."""
    equal_lengths: bool
    """Whether all examples have T tokens. A graphics card could not find out without making the host wait."""

    @classmethod
    def of(cls, distinct_U: Tensor, index_BT: Tensor, length_B: Tensor, label_B: Tensor) -> Batch:
        """Return the batch of these tensors, which are on the CPU."""
        return cls(distinct_U, index_BT, length_B, label_B, int(length_B.sum()),
                   int(length_B.min()) == index_BT.shape[1])

    def __len__(self) -> int:
        """Return B."""
        return len(self.label_B)

    def parts(self, count: int) -> list[Batch]:
        """Return at most `count` micro-batches of similar size, each padded to its own longest example.

        All have the `distinct_U` of the batch.
        """
        if count == 1:
            return [self]
        found = []
        for example_P in np.array_split(np.arange(len(self)), count):
            if len(example_P):
                some = slice(example_P[0], example_P[-1] + 1)
                length_P = self.length_B[some]
                found.append(Batch.of(self.distinct_U, self.index_BT[some, :int(length_P.max())], length_P,
                                      self.label_B[some]))
        return found

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on a device. The host does not wait for a copy."""
        if device.type == "cpu":
            return self

        def there(values: Tensor) -> Tensor:
            if device.type != "cuda":
                return values.to(device)
            # torch keeps the pinned memory until the card has read it.
            return values.contiguous().pin_memory().to(device, non_blocking=True)

        return replace(self, distinct_U=there(self.distinct_U), index_BT=there(self.index_BT),
                       length_B=there(self.length_B), label_B=there(self.label_B))


def batch_plan(encoded: Encoded, batch_size: int, generator: np.random.Generator, *, bucket: bool,
               drop_last: bool = False) -> list[NDArray[np.int64]]:
    """Return, for each batch of an epoch, the positions of its examples in the split.

    Args:
        encoded: The split.
        batch_size: Number of examples in a batch, at least 1.
        generator: Source of the random order.
        bucket: Whether examples of similar length come together, which saves padding.
        drop_last: Whether the last batch is left out if it is not full and not the only one.
    """
    length_N = np.diff(encoded.offsets_N1)
    order_N = generator.permutation(len(encoded))
    if bucket:
        noisy_N = length_N * generator.uniform(1 - _NOISE, 1 + _NOISE, len(encoded))
        plan = [batch for pool in _chunks(order_N, _POOL * batch_size)
                for batch in _chunks(pool[np.argsort(noisy_N[pool], kind="stable")], batch_size)]
    else:
        plan = _chunks(order_N, batch_size)
    if drop_last and len(plan) > 1 and len(plan[-1]) < batch_size:
        plan.pop()
    return [plan[place] for place in generator.permutation(len(plan))] if bucket else plan


def scoring_plan(encoded: Encoded, tokens: int) -> list[NDArray[np.int64]]:
    """Return the batches for scoring, the longest examples first, with each example once.

    Args:
        encoded: The split.
        tokens: Largest number of tokens in a batch, padding included. A longer example has a batch of its own.
    """
    length_N = np.diff(encoded.offsets_N1)
    order_N = np.argsort(-length_N, kind="stable")
    plan, start = [], 0
    while start < len(order_N):
        end = start + max(1, tokens // int(length_N[order_N[start]]))
        plan.append(order_N[start:end])
        start = end
    return plan


def _chunks(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [order[start:start + size] for start in range(0, len(order), size)]


def make_batches(encoded: Encoded, plan: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
    """Yield the batches of a plan in its order."""
    import torch

    distinct = Distinct(encoded.table_size)
    for example_B in plan:
        start_B = encoded.offsets_N1[example_B]
        length_B = encoded.offsets_N1[example_B + 1] - start_B
        step_T = np.arange(length_B.max())
        token_BT = start_B[:, None] + step_T
        padded_BT = step_T >= length_B[:, None]
        token_BT[padded_BT] = 0
        row_BT = encoded.rows[token_BT]
        row_BT[padded_BT] = 0
        distinct_U, index_BT = distinct(row_BT)
        label_B = encoded.label_N[example_B].astype(np.int64)
        yield Batch.of(*map(torch.from_numpy, (distinct_U, index_BT, length_B, label_B)))


class Distinct:
    """Finds the distinct rows of a batch without sorting: it holds a mark and a position for each row of the table."""

    def __init__(self, table_size: int) -> None:
        """Allocate marks and positions for `table_size` rows."""
        self.seen_V = np.zeros(table_size, np.bool_)
        self.place_V = np.zeros(table_size, np.int64)

    def __call__(self, row_BT: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the distinct rows in ascending order, and for each entry of `row_BT` its position among them."""
        self.seen_V[row_BT] = True
        distinct_U = np.flatnonzero(self.seen_V)
        self.seen_V[distinct_U] = False
        self.place_V[distinct_U] = np.arange(len(distinct_U))
        return distinct_U, self.place_V[row_BT]
