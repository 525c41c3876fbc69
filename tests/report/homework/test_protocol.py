"""The settings of the protocol are shown, and departures from it are named."""

from __future__ import annotations

import pytest

from gru_bench.report.build import build
from gru_bench.report.homework import published
from gru_bench.report.homework.reproduction import NAMES
from tests.support.fake_store import with_data
from tests.support.homework_study import homework, homework_report
from tests.support.renderings import Built, said, table_of, words_of


def test_the_training_table_holds_every_setting(made: Built) -> None:
    rows = {row[0]: row[1:] for row in table_of(made.report, "of-homework-training").rows}
    assert rows["pooling"] == ("last",) * 3
    assert rows["ReLU before the last linear layer"] == ("no", "yes", "yes")
    assert rows["backend"] == ("fused", "torch", "torch")
    assert [cell.text for cell in rows["parameter tensors"]] == ["6", "6", "10"]
    assert [cell.text for cell in rows["parameters"]] == ["120,802", "120,802", "241,602"]
    assert [cell.text for cell in rows["learning rate of Adam"]] == ["0.0001"] * 3
    assert rows["gradient clipping"] == ("none",) * 3
    assert rows["best checkpoint by"] == ("the lowest training loss",) * 3
    assert set(NAMES.values()) <= set(rows)
    assert not set(published.UNUSED.values()) & set(rows)


def test_a_setting_that_the_protocol_does_not_use_is_shown_where_it_is_used() -> None:
    report = homework_report(settings={"training.teachers": 2, "embedding.word_dropout": 0.1})
    rows = {row[0]: row[1:] for row in table_of(report, "of-homework-training").rows}
    assert [cell.text for cell in rows["teachers (distillation)"]] == ["2"] * 3
    assert "dropout" not in rows
    text = words_of(report, "protocol")
    assert "Torch GRU, teachers (distillation): 2 (homework: 0)" in text
    assert "Torch GRU, dropout of words: 0.1 (homework: 0)" in text


def test_departures_from_the_protocol_are_named(made: Built) -> None:
    assert "depart" not in words_of(made.report, "protocol")
    report = homework_report(settings={"training.epochs": 1, "training.clip_norm": 1.0, "model.reset": "before",
                                       "training.optimizer": "adamw", "training.weight_decay": 0.01})
    text = words_of(report, "protocol")
    assert "These runs depart from the homework’s protocol as follows: " in text
    assert "Scratch GRU, epochs: 1 (homework: 5)" in text
    assert "Torch GRU, gradient clipping: 1 (homework: none)" in text
    assert "Torch GRU, optimizer: adamw (homework: adam)" in text
    assert "Torch GRU, weight decay: 0.01 (homework: 0)" in text
    assert "reset gate: before the product (homework: after the product)" in text
    assert "by its protocol (except for the departures listed below) on reviews" in words_of(report, "introduction")
    assert "the reset gate was set to act before the product, which is another function" in words_of(report, "theory")
    assert "by a protocol that departs from the homework’s" in said(report.summary[-1])


@pytest.mark.parametrize(("embedding", "dimension", "said"), [
    ("corpus", 300, "the word vectors are trained on the training reviews (homework: word2vec of a news corpus)"),
    ("vectors.bin", 50, "a vector has 50 numbers (homework: 300)"),
])
def test_other_vectors_are_a_departure(embedding: str, dimension: int, said: str) -> None:
    store, (study,) = homework()
    study = with_data(study, embedding=embedding, embedding_dimension=dimension)
    assert said in words_of(build([study], store), "protocol")


def test_files_are_named_without_their_folders() -> None:
    store, (study,) = homework(settings={"embedding.name": "/home/someone/vectors.bin"})
    report = build([with_data(study, embedding="/home/someone/vectors.bin")], store)
    assert "are “vectors.bin”" in words_of(report, "theory")
    rows = {row[0]: row[1:] for row in table_of(report, "of-homework-training").rows}
    assert rows["word vectors"] == ("vectors.bin",) * 3


def test_vectors_that_were_scaled_say_so(made: Built) -> None:
    assert "multiplied" not in words_of(made.report, "theory")
    text = words_of(homework_report(settings={"embedding.scale": 2.9}), "theory")
    assert "are “vectors.bin”, 300 numbers each, all multiplied by 2.9 (the factor brings vectors" in text
    assert "; 2.1 % of all tokens have none" in text
