"""Sequences whose label is a token k steps before the end: what they hold, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gru_bench.config import DataConfig, EmbeddingConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.data.recall import RecallTask, parsed_task
from gru_bench.data.vectors import load_vectors
from gru_bench.errors import UsageError


def test_the_label_is_the_token_k_steps_before_the_end() -> None:
    rows = RecallTask(k=7, n=400, extra=3).rows()
    assert rows.tokens_N is not None
    for tokens, label, text in zip(rows.tokens_N, rows.label_N, rows.text_N, strict=True):
        assert tokens[-1 - 7] == ("no", "yes")[label]
        assert sum(token in ("no", "yes") for token in tokens) == 1
        assert text.split() == tokens
    assert {len(tokens) for tokens in rows.tokens_N} == {8, 9, 10, 11}
    assert len(set(rows.text_N)) == 400
    assert {token for tokens in rows.tokens_N for token in tokens} == {"no", "yes", *(f"w{i}" for i in range(10))}
    # 400 fair draws: 6 standard deviations.
    assert abs(rows.label_N.mean() - 0.5) < 0.15


def test_every_option_changes_the_sequences_and_the_same_ones_do_not() -> None:
    task = RecallTask(k=5, n=200)
    texts = task.rows().text_N
    assert task.rows().text_N == texts
    for change in ({"k": 6}, {"n": 201}, {"vocabulary": 11}, {"extra": 9}, {"seed": 1}):
        assert task.model_copy(update=change).rows().text_N != texts, change


@pytest.mark.parametrize(("name", "task", "canonical"), [
    ("recall", RecallTask(), "recall:k=50"),
    ("recall:", RecallTask(), "recall:k=50"),
    ("recall:k=3", RecallTask(k=3), "recall:k=3"),
    ("recall: n=900 , k=3,seed=2", RecallTask(k=3, n=900, seed=2), "recall:k=3,n=900,seed=2"),
    ("recall:extra=0,vocabulary=20", RecallTask(extra=0, vocabulary=20), "recall:k=50,vocabulary=20,extra=0"),
])
def test_a_name_holds_the_options_and_has_a_canonical_form(name: str, task: RecallTask, canonical: str) -> None:
    assert parsed_task(name) == task
    assert task.name == canonical
    assert parsed_task(canonical) == task


@pytest.mark.parametrize(("name", "message"), [
    ("recall:50", r"recall\.50.*recall\.k, recall\.n"), ("recall:j=5", r"recall\.j.*recall\.k, recall\.n"),
    ("recall:k=", r"recall\.k .*whole number.*''"), ("recall:k=0", r"recall\.k .* 1.*'0'"),
    ("recall:n=10", r"recall\.n .* 100.*'10'"), ("recall:vocabulary=1", r"recall\.vocabulary .* 2.*'1'"),
    ("recall:n=100000000000", r"recall\.n .* 10,000,000.*'100000000000'"),
    ("recall:seed=" + "9" * 150, r"recall\.seed .*'9{99}\.\.\. \(150 characters\)"),
    ("recall:n=1000000,k=1000", r"100,000,000 tokens.* 1,000,000 .* 1,011 "),
    ("recall:k=1,extra=0", r"k=1, extra=0 and vocabulary=10 .* 20 .*n=5000"),
])
def test_a_name_with_impossible_options_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed_task(name)
    with pytest.raises(UsageError, match=message):
        load_corpus(DataConfig(name=name))


def test_a_corpus_of_a_task_has_a_fingerprint_of_its_options() -> None:
    corpus = load_corpus(DataConfig(name="recall:n=300,k=4"))
    assert corpus.name == "recall:k=4,n=300"
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 300
    assert corpus.repeats_removed == 0
    assert corpus.fingerprint == load_corpus(DataConfig(name="recall:k=4,n=300")).fingerprint
    for other in ("recall:k=5,n=300", "recall:k=4,n=301", "recall:k=4,n=300,seed=1", "recall:k=4,n=300,extra=9"):
        assert load_corpus(DataConfig(name=other)).fingerprint != corpus.fingerprint
    first = corpus.train.ids[:corpus.train.offsets_N1[1]]
    assert " ".join(corpus.words[place] for place in first) == corpus.texts("train")[0]


@pytest.mark.parametrize(("settings", "message"), [
    ({"test_name": "other.csv"}, r"data\.test_name .*recall.*'other\.csv'"),
    ({"category_column": "kind"}, r"data\.category_column .*recall.*'kind'"),
    ({"max_length": 60}, r"data\.max_length .* 61.*recall:k=50.* 60: set data\.max_length=61"),
])
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_corpus(DataConfig(name="recall:k=50", **settings))


def test_a_random_vector_depends_on_its_word_and_the_seed_only() -> None:
    corpora = [load_corpus(DataConfig(name=f"recall:k=4,n=300,vocabulary={words}")) for words in (10, 12)]
    some, more = (load_vectors(EmbeddingConfig(name="random"), corpus) for corpus in corpora)
    assert (some.row_of_word >= 0).all()
    rows = {word: more.table_VE[row] for row, word in enumerate(more.words_V)}
    for row, word in enumerate(some.words_V):
        np.testing.assert_array_equal(some.table_VE[row], rows[word])
    norms = np.linalg.norm(some.table_VE[1:], axis=1)
    assert some.dimension == 300
    np.testing.assert_allclose(norms, 1, atol=0.25)  # of 300 normal draws; 1 / sqrt(600) = 0.04
    other = load_vectors(EmbeddingConfig(name="random", seed=1), corpora[0])
    assert not np.allclose(other.table_VE[1:], some.table_VE[1:])
