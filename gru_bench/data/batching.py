"""Examples -> batches of word-vector rows: cut, sorted into batches of similar length, distinct rows found.

Everything is numpy; whoever trains turns the arrays into tensors. A batch names each of its distinct rows
once, so that a model can look up and project a word once however often it occurs.

Shapes: `N` examples, `N1` is N + 1, `B` batch, `T` time (longest of the batch), `U` distinct rows of the batch,
`V` rows of the vector table.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import TrainingConfig
from gru_bench.data.corpus import Split
from gru_bench.data.embeddings import Vectors
from gru_bench.errors import UsageError

_POOL = 50
"""Batches' worth of shuffled examples that are sorted by length together."""
_NOISE = 0.05
"""Half-width of the random factor on a length before sorting, so that batches differ between epochs."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Encoded:
    """A split ready for a model: words with a vector only, cut to `max_length`."""

    rows: NDArray[np.int32]
    """Rows of the vector table of all examples; an example without any known word has row 0 once."""
    offsets_N1: NDArray[np.int64]
    """Example n has `rows[offsets_N1[n]:offsets_N1[n + 1]]`, at least one."""
    label_N: NDArray[np.int8]
    example_id_N: NDArray[np.str_]
    category_N: NDArray[np.str_]
    tokens_N: NDArray[np.int32]
    """Tokens the model reads; 0 where there is no known word."""
    dropped_N: NDArray[np.int32]
    """Tokens of the whole review that have no vector."""
    cut_N: NDArray[np.bool_]
    """Whether known words were left out beyond `max_length`."""
    table_size: int
    """V, the rows that the vector table has."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.label_N)


def iterations_of_epoch(examples: int, training: TrainingConfig) -> int:
    """Return the batches of one pass over so many training examples."""
    whole, rest = divmod(examples, training.batch_size)
    return whole + (rest > 0 and not training.drop_last)


def need_window(training: TrainingConfig, examples: int) -> None:
    """Find out whether an epoch over so many training examples completes a window, where one is to be kept.

    Raises:
        UsageError: where it does not, with how long a window may be.
    """
    iterations = iterations_of_epoch(examples, training)
    if training.selection == "lowest_train_window" and iterations < training.log_every:
        raise UsageError(
            f"training.log_every must be at most {iterations:,}, the iterations of an epoch of {examples:,} training "
            f"reviews, where training.selection keeps the window of lowest loss, but got {training.log_every}: "
            f"--set training.log_every={max(1, iterations // 10)}, or train on more reviews")


def encode(split: Split, vectors: Vectors, max_length: int | None) -> Encoded:
    """Drop the tokens without a vector, then keep the first `max_length` of each example.

    Args:
        split: ids into the corpus' words.
        vectors: loaded for the same corpus.
        max_length: tokens kept of an example, at least 1; None keeps all.
    """
    row = vectors.row_of_word[split.ids]
    known = row >= 0
    known_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(known)])
    start_N1 = known_before[split.offsets_N1]
    known_N = np.diff(start_N1)
    tokens_N = known_N if max_length is None else np.minimum(known_N, max_length)
    offsets_N1 = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.maximum(tokens_N, 1))])

    # Each known token's place in its own example, which decides whether it is kept, and where it goes.
    place = np.arange(start_N1[-1]) - np.repeat(start_N1[:-1], known_N)
    kept = place < np.repeat(tokens_N, known_N)
    rows = np.zeros(offsets_N1[-1], np.int32)
    rows[(np.repeat(offsets_N1[:-1], known_N) + place)[kept]] = row[known][kept]
    return Encoded(
        rows=rows,
        offsets_N1=offsets_N1,
        label_N=split.label_N,
        example_id_N=split.example_id_N,
        category_N=split.category_N,
        tokens_N=tokens_N.astype(np.int32),
        dropped_N=(np.diff(split.offsets_N1) - known_N).astype(np.int32),
        cut_N=tokens_N < known_N,
        table_size=len(vectors.table_VE))


@dataclass(frozen=True)
class Batch:
    """B examples, padded at their ends to the longest."""

    distinct_U: NDArray[np.int64]
    """The distinct rows of the vector table, ascending; row 0 is among them where something is padded."""
    index_BT: NDArray[np.int64]
    """Places in `distinct_U`; padding has the place of row 0."""
    length_B: NDArray[np.int64]
    """At least 1: an example without known words is one step of padding."""
    label_B: NDArray[np.int64]
    example_B: NDArray[np.int64]
    """Positions in the split."""


def micro_batches_of(batch: Batch, count: int) -> Iterator[Batch]:
    """Yield a batch in at most `count` parts of like size, each padded to its own longest; all keep `distinct_U`."""
    for example_P in np.array_split(np.arange(len(batch.label_B)), count):
        if len(example_P):
            some = slice(example_P[0], example_P[-1] + 1)
            longest = int(batch.length_B[some].max())
            yield Batch(batch.distinct_U, batch.index_BT[some, :longest], batch.length_B[some], batch.label_B[some],
                        batch.example_B[some])


def batch_plan(encoded: Encoded, batch_size: int, *, generator: np.random.Generator | None, bucket: bool,
               drop_last: bool = False, equal_lengths: bool = False) -> list[NDArray[np.int64]]:
    """Return which examples (positions in the split) form each batch of an epoch.

    Args:
        encoded: the examples.
        batch_size: examples of a batch, at least 1.
        generator: draws the order. None stands for longest first, with `bucket` and `drop_last` of no effect.
        bucket: put examples of similar length together, so that little is padded.
        drop_last: leave out the last batch drawn where it is not full, unless it is the only one.
        equal_lengths: a batch holds one length only, so that nothing is padded. Few batches are then full,
            and `bucket` and `drop_last` have no effect.
    """
    length_N = np.diff(encoded.offsets_N1)
    order_N = np.argsort(-length_N, kind="stable") if generator is None else generator.permutation(len(encoded))
    if equal_lengths:
        order_N = order_N[np.argsort(-length_N[order_N], kind="stable")]
        ends = np.flatnonzero(np.diff(length_N[order_N])) + 1
        plan = [batch for group in np.split(order_N, ends) for batch in _chunks(group, batch_size)]
    elif generator is None or not bucket:
        plan = _chunks(order_N, batch_size)
    else:
        noisy_N = length_N * generator.uniform(1 - _NOISE, 1 + _NOISE, len(encoded))
        plan = [batch for pool in _chunks(order_N, _POOL * batch_size)
                for batch in _chunks(pool[np.argsort(noisy_N[pool], kind="stable")], batch_size)]
    if generator is not None:
        if drop_last and not equal_lengths and len(plan) > 1 and len(plan[-1]) < batch_size:
            plan.pop()
        if bucket or equal_lengths:
            plan = [plan[place] for place in generator.permutation(len(plan))]
    return plan


def scoring_plan(encoded: Encoded, tokens: int) -> list[NDArray[np.int64]]:
    """Return batches for scoring: longest first, each example once, no batch of more than `tokens` with its padding.

    An example longer than that has a batch of its own.
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


def batches(encoded: Encoded, batch_size: int, *, generator: np.random.Generator | None, bucket: bool,
            drop_last: bool = False, equal_lengths: bool = False) -> Iterator[Batch]:
    """Iterate over the batches of one epoch; the arguments are those of `batch_plan`.

    The generator is drawn from before this returns, and not while the batches are made: its state after
    the call is that of the next epoch, however many batches are prepared ahead.
    """
    plan = batch_plan(encoded, batch_size, generator=generator, bucket=bucket, drop_last=drop_last,
                      equal_lengths=equal_lengths)
    return made(encoded, plan)


def made(encoded: Encoded, plan: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
    """Make the batches of a plan, in its order."""
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
        yield Batch(distinct_U, index_BT, length_B, encoded.label_N[example_B].astype(np.int64), example_B)


class Distinct:
    """Finds the distinct rows of a batch without sorting, with a mark and a place for every row there is."""

    def __init__(self, table_size: int) -> None:
        """Prepare for rows below `table_size`."""
        self.seen_V = np.zeros(table_size, np.bool_)
        self.place_V = np.zeros(table_size, np.int64)

    def __call__(self, row_BT: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the distinct rows, ascending, and for each entry of `row_BT` its place among them."""
        self.seen_V[row_BT] = True
        distinct_U = np.flatnonzero(self.seen_V)
        self.seen_V[distinct_U] = False
        self.place_V[distinct_U] = np.arange(len(distinct_U))
        return distinct_U, self.place_V[row_BT]


def prefetched(iterator: Iterator[Item], depth: int) -> Iterator[Item]:
    """Iterate over the same items, prepared up to `depth` (at least 1) ahead in a thread.

    What the iterator raises is raised here, in its place. The thread ends when the items do, and at the
    latest one item after this generator is closed or its last reference goes.
    """
    ready: queue.Queue[Item | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def prepare() -> None:
        error: BaseException | None = None
        try:
            for item in iterator:
                ready.put(item)
                if stopped.is_set():
                    return
        except BaseException as raised:
            error = raised
        ready.put(_End(error))

    thread = threading.Thread(target=prepare, name="batches ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        while thread.is_alive():
            # The thread may be waiting for room: make some, until it has seen that it is to stop.
            with suppress(queue.Empty):
                ready.get_nowait()
            thread.join(0.001)


@dataclass(frozen=True)
class _End:
    """After the last item: what the iterator raised, if anything."""

    error: BaseException | None
