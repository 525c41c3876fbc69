"""The report shows the settings of the protocol and lists those of the runs that differ from it."""

from __future__ import annotations

import pytest

from gru_bench.report.homework import published
from gru_bench.report.homework.discussion import discussion
from gru_bench.report.homework.protocol import protocol
from gru_bench.report.homework.reproduction import NAMES
from tests.support.commands import mentions
from tests.support.fake_store import with_data
from tests.support.homework_study import conclusions_of, homework, homework_report
from tests.support.renderings import Built, table_of, words_of
from tests.support.sections import build_only


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


def test_a_setting_that_the_protocol_does_not_use_is_shown_only_if_a_run_uses_it() -> None:
    report = homework_report(protocol, settings={"training.average": 0.9, "training.patience": 2})
    rows = {row[0]: row[1:] for row in table_of(report, "of-homework-training").rows}
    assert [cell.text for cell in rows["epochs of patience"]] == ["2"] * 3
    assert "dropout" not in rows
    mentions(words_of(report, "protocol"), "Torch GRU, epochs of patience: 2 (homework: none)",
             "Torch GRU, decay of the weights’ moving average: 0.9 (homework: 0)")


def test_settings_that_differ_from_the_protocol_are_listed_with_the_homeworks(made: Built) -> None:
    mentions(words_of(made.report, "protocol"), "in every setting")
    report = homework_report(protocol, discussion, settings={
        "training.epochs": 1, "training.clip_norm": 1.0, "model.reset": "before", "training.optimizer": "adamw",
        "training.weight_decay": 0.01})
    mentions(words_of(report, "protocol"), "differ from the homework’s protocol",
             "Scratch GRU, epochs: 1 (homework: 5)", "Torch GRU, gradient clipping: 1 (homework: none)",
             "Torch GRU, optimizer: adamw (homework: adam)", "Torch GRU, weight decay: 0.01 (homework: 0)",
             "reset gate: before the product (homework: after the product)")
    assert "differs from the homework" in conclusions_of(report)[0]


@pytest.mark.parametrize(("embedding", "dimension", "difference"), [
    ("corpus", 300, "trained on the training reviews (homework: word2vec"),
    ("vectors.bin", 50, "50 numbers (homework: 300)"),
])
def test_word_vectors_that_differ_from_the_protocol_are_listed(
    embedding: str, dimension: int, difference: str
) -> None:
    store, (study,) = homework()
    study = with_data(study, embedding=embedding, embedding_dimension=dimension)
    assert difference in words_of(build_only([study], store, protocol), "protocol")


def test_files_are_named_without_their_folders() -> None:
    store, (study,) = homework(settings={"embedding.name": "/home/someone/vectors.bin"})
    report = build_only([with_data(study, embedding="/home/someone/vectors.bin")], store, protocol)
    rows = {row[0]: row[1:] for row in table_of(report, "of-homework-training").rows}
    assert rows["word vectors"] == ("vectors.bin",) * 3


def test_the_factor_of_scaled_word_vectors_is_shown() -> None:
    report = homework_report(protocol, settings={"embedding.scale": 2.9})
    rows = {row[0]: row[1:] for row in table_of(report, "of-homework-training").rows}
    assert [cell.text for cell in rows["factor on each vector"]] == ["2.9"] * 3
