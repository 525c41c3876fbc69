"""Encoding and batching against slow loops: each example comes once, and no thread is left when a consumer stops."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.data.batches import Encoded, batch_plan, encode, make_batches, scoring_plan
from gru_bench.data.corpus import Split
from gru_bench.data.vectors import Vectors

WORDS = 12


def split_of(reviews: list[list[int]]) -> Split:
    count = len(reviews)
    return Split(
        ids=np.array([word for review in reviews for word in review], np.int32),
        offsets_N1=np.array([0, *itertools.accumulate(map(len, reviews))], np.int64),
        label_N=np.arange(count, dtype=np.int8) % 2,
        example_id_N=np.array([f"{n:016x}" for n in range(count)], np.str_),
        category_N=np.array([""] * count, np.str_), name_N=np.arange(count).astype(np.str_))


def vectors_of(known: list[bool]) -> Vectors:
    row_of_word = np.where(known, np.cumsum(known), -1).astype(np.int32)
    table_VE = np.zeros((sum(known) + 1, 2), np.float32)
    return Vectors("test", table_VE, row_of_word, [""] * len(table_VE))


def some_encoded(count: int = 500, seed: int = 0) -> Encoded:
    """Return reviews of 0 to 80 known words, some of them empty."""
    generator = np.random.default_rng(seed)
    reviews = [generator.integers(0, WORDS, generator.integers(0, 80)).tolist() for _ in range(count)]
    return encode(split_of([*reviews, []]), vectors_of([True] * WORDS), None)


ragged = st.lists(st.lists(st.integers(0, WORDS - 1), max_size=15), min_size=1, max_size=20)


@given(ragged, st.lists(st.booleans(), min_size=WORDS, max_size=WORDS), st.none() | st.integers(1, 8))
def test_encoding_equals_a_loop_over_reviews(
    reviews: list[list[int]], known: list[bool], max_length: int | None
) -> None:
    vectors = vectors_of(known)
    encoded = encode(split_of(reviews), vectors, max_length)
    assert len(encoded) == len(reviews)
    assert encoded.table_size == sum(known) + 1
    for n, review in enumerate(reviews):
        rows = [int(vectors.row_of_word[word]) for word in review if known[word]]
        kept = rows[:max_length]
        assert encoded.rows[encoded.offsets_N1[n]:encoded.offsets_N1[n + 1]].tolist() == (kept or [0])
        assert encoded.tokens_N[n] == len(kept)
        assert encoded.dropped_N[n] == len(review) - len(rows)
        assert encoded.cut_N[n] == (len(kept) < len(rows))
    assert encoded.label_N.tolist() == [n % 2 for n in range(len(reviews))]


def test_a_split_without_examples_is_encoded() -> None:
    encoded = encode(split_of([]), vectors_of([True] * WORDS), 5)
    assert len(encoded) == len(encoded.rows) == 0
    assert batch_plan(encoded, 4, np.random.default_rng(0), bucket=True) == []
    assert list(make_batches(encoded, [])) == []


@given(ragged, st.integers(1, 7), st.booleans(), st.booleans(), st.integers(0, 5))
def test_batches_are_padded_as_by_a_loop(
    reviews: list[list[int]], batch_size: int, bucket: bool, drop_last: bool, seed: int
) -> None:
    encoded = encode(split_of(reviews), vectors_of([word % 3 > 0 for word in range(WORDS)]), 9)
    plan = batch_plan(encoded, batch_size, np.random.default_rng(seed), bucket=bucket, drop_last=drop_last)
    seen = []
    for batch, example_B in zip(make_batches(encoded, plan), plan, strict=True):
        examples_B = example_B.tolist()
        rows = [encoded.rows[encoded.offsets_N1[n]:encoded.offsets_N1[n + 1]].tolist() for n in examples_B]
        longest = max(map(len, rows))
        padded = np.array([row + [0] * (longest - len(row)) for row in rows])
        distinct, index = np.unique(padded, return_inverse=True)
        assert batch.distinct_U.tolist() == list(distinct)
        assert np.array_equal(batch.index_BT.numpy(), index.reshape(padded.shape))
        assert batch.length_B.tolist() == [len(row) for row in rows]
        assert int(batch.length_B.min()) >= 1
        assert batch.label_B.tolist() == [n % 2 for n in examples_B]
        assert len(rows) <= batch_size
        assert batch.equal_lengths == (len(set(batch.length_B.tolist())) == 1)
        assert batch.tokens == sum(map(len, rows))
        assert {tensor.dtype for tensor in (batch.distinct_U, batch.index_BT, batch.length_B, batch.label_B)
                } == {torch.int64}
        seen += examples_B
    assert len(set(seen)) == len(seen)
    dropped = len(encoded) - len(seen)
    if drop_last and len(encoded) > batch_size:
        assert dropped == len(encoded) % batch_size
    else:
        assert dropped == 0


@given(ragged, st.integers(1, 40))
def test_scoring_fills_batches_up_to_so_many_tokens(reviews: list[list[int]], tokens: int) -> None:
    encoded = encode(split_of(reviews), vectors_of([True] * WORDS), None)
    plan = scoring_plan(encoded, tokens)
    length_N = np.diff(encoded.offsets_N1)
    assert sorted(np.concatenate(plan).tolist()) == list(range(len(reviews)))
    assert (np.diff(length_N[np.concatenate(plan)]) <= 0).all()
    for batch, following in zip(plan, [*plan[1:], None], strict=True):
        longest = length_N[batch].max()
        assert len(batch) == 1 or len(batch) * longest <= tokens
        assert following is None or (len(batch) + 1) * longest > tokens


def test_scoring_nothing_takes_no_batch() -> None:
    assert scoring_plan(encode(split_of([]), vectors_of([True] * WORDS), None), 9) == []


def examples(encoded: Encoded, generator: np.random.Generator, **settings: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batch_plan(encoded, 16, generator, **settings)]


@pytest.mark.parametrize("settings", [{"bucket": True}, {"bucket": False}])
def test_the_generator_alone_decides_the_order(settings: dict[str, bool]) -> None:
    encoded = some_encoded()
    first, again, other = (examples(encoded, np.random.default_rng(seed), **settings) for seed in (1, 1, 2))
    assert first == again != other
    generator = np.random.default_rng(1)
    assert examples(encoded, generator, **settings) == first
    assert examples(encoded, generator, **settings) != first


def test_buckets_pad_little_and_differ_between_epochs() -> None:
    encoded = some_encoded(1600)
    padded = {}
    for bucket in (True, False):
        plan = batch_plan(encoded, 16, np.random.default_rng(0), bucket=bucket)
        length_N = np.diff(encoded.offsets_N1)
        padded[bucket] = sum(len(b) * length_N[b].max() for b in plan) / length_N.sum() - 1
    # Drawn at random, 16 lengths uniform in 1..80 are padded to some 76, almost twice their mean.
    assert padded[False] > 0.8
    assert padded[True] < 0.12
    generator = np.random.default_rng(0)
    first, second = ({tuple(sorted(b)) for b in examples(encoded, generator, bucket=True)} for _ in range(2))
    assert len(first & second) < 3
    # Batches of one length do not come in a row.
    lengths = [length_N[batch].max() for batch in batch_plan(encoded, 16, generator, bucket=True)]
    assert abs(np.corrcoef(lengths[:-1], lengths[1:])[0, 1]) < 0.3


def test_drop_last_keeps_the_only_batch() -> None:
    encoded = some_encoded(5)
    assert len(batch_plan(encoded, 64, np.random.default_rng(0), bucket=True, drop_last=True)) == 1
