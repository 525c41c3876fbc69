"""The homework by one command, on small files in its own format: what is trained, logged and printed."""

from __future__ import annotations

import gzip
import pickle
import re
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gru_bench.results.diagnostics import Diagnostics
from gru_bench.results.runs import StudySummary
from gru_bench.sweep.__main__ import app
from gru_bench.sweep.spec import load_study
from gru_bench.tracking import LoggedStudy, Reader, open_reader
from tests.support.commands import completed, mentions
from tests.support.sweeps import without_worker_processes

MODELS = ("scratch", "torch", "bidirectional")
TRAIN, TEST = 70, 510
WORDS = [*(f"bad{i}" for i in range(8)), *(f"good{i}" for i in range(8)), *(f"word{i}" for i in range(30))]


def write_reviews(path: Path, count: int, seed: int) -> None:
    """Write `[positive, negative, vocabulary]` as the homework has it; the last review has no known word."""
    generator = np.random.default_rng(seed)
    halves: list[dict[str, list[list[str]]]] = [{}, {}]
    for n in range(count):
        label = n % 2
        words = [str(generator.choice(WORDS[16:])) for _ in range(generator.integers(2, 9))]
        words += [f"{('bad', 'good')[label]}{generator.integers(8)}", f"id{seed}x{n}"]
        category = "books" if n % 3 else "music"
        halves[1 - label].setdefault(category, []).append(words if n < count - 1 else [f"strange{seed}"])
    path.write_bytes(gzip.compress(pickle.dumps([*halves, WORDS], protocol=2)))


def write_vectors(path: Path) -> None:
    """Write 300-d vectors in word2vec's binary form."""
    generator = np.random.default_rng(5)
    with gzip.open(path, "wb") as file:
        file.write(f"{len(WORDS)} 300\n".encode())
        for word in WORDS:
            file.write(word.encode() + b" " + struct.pack("300f", *generator.normal(0, 0.2, 300)) + b"\n")


def homework(directory: Path) -> str:
    """Do what is missing of the homework and return what the command prints."""
    with without_worker_processes():
        ended = completed(
            app, "--study", "homework", "--data", "train.tar.gz", "--test-data", "test.tar.gz", "--embedding",
            "vectors.bin.gz", "--epochs", "1", "--confirm", "2", "--set", "training.log_every=20", cwd=directory)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def only_study(directory: Path) -> LoggedStudy:
    (study,) = open_reader(f"sqlite:///{directory / 'mlflow.db'}").studies("train")
    return study


@dataclass(frozen=True)
class Done:
    """The homework, done once."""

    directory: Path
    study: LoggedStudy
    shown: str
    """What the command printed."""

    @property
    def store(self) -> Reader:
        """Where it is logged."""
        return open_reader(f"sqlite:///{self.directory / 'mlflow.db'}")

    @property
    def summary(self) -> StudySummary:
        """The summary of the complete study."""
        assert self.study.summary is not None
        return self.study.summary


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Done:
    directory = tmp_path_factory.mktemp("homework")
    shutil.copy(empty_database, directory)
    write_reviews(directory / "train.tar.gz", TRAIN, 1)
    write_reviews(directory / "test.tar.gz", TEST, 2)
    write_vectors(directory / "vectors.bin.gz")
    shown = homework(directory)
    return Done(directory, only_study(directory), shown)


def test_the_study_follows_the_protocol_of_the_homework() -> None:
    spec = load_study("homework")
    assert (spec.models, spec.trials, spec.confirm) == (list(MODELS), 0, 5)
    quick = load_study("homework", name="homework-quick", settings={"model.backend": "auto"})
    assert {quick.config(model, {}, 0).model.backend for model in MODELS} == {"auto"}
    for model in MODELS:
        config = spec.config(model, {}, 0)
        training = config.training
        assert (config.model.hidden_size, config.model.layers, config.model.pooling, config.model.reset) == (
            100, 1, "last", "after")
        assert config.model.relu is (model != "scratch")
        assert config.model.backend == ("fused" if model == "scratch" else "torch")
        assert (training.lr, training.beta1, training.beta2, training.epochs, training.batch_size) == (
            1e-4, 0.9, 0.999, 5, 1)
        assert (training.bucket, training.drop_last, training.clip_norm, training.schedule) == (
            False, True, None, "constant")
        assert (training.selection, training.log_every) == ("lowest_train_window", 800)
        assert (config.data.validation_share, config.data.max_length) == (0, None)
        assert config.embedding.trainable is False


@pytest.mark.slow
class TestDone:
    def test_the_console_names_a_quicker_way(self, done: Done) -> None:
        mentions(done.shown, "model.backend=auto", "study name")

    def test_each_model_is_trained_on_each_seed_and_scored_on_test(self, done: Done) -> None:
        study, summary = done.study, done.summary
        assert {(run.model, run.seed, run.backend) for run in study.confirms} == {
            (model, seed, "fused" if model == "scratch" else "torch")
            for model in MODELS for seed in (10_000, 10_001)}
        assert all(run.complete and "score/test_accuracy" in run.metrics for run in study.confirms)
        assert (summary.data.train, summary.data.validation) == (TRAIN, 0)

    def test_models_have_the_sizes_of_the_homework(self, done: Done) -> None:
        for run in done.study.confirms:
            size = (run.metrics["size/parameter_tensors"], run.metrics["size/parameters"])
            assert size == ((10, 241_602) if run.model == "bidirectional" else (6, 120_802))

    def test_runs_begin_seed_by_seed_with_the_longest_model_first(self, done: Done) -> None:
        began = [(run.seed, run.model) for run in done.study.confirms]
        assert began == [(seed, model) for seed in (10_000, 10_001) for model in ("bidirectional", "torch", "scratch")]

    def test_logs_the_training_loss_of_each_window(self, done: Done) -> None:
        for run in done.study.confirms:
            window_losses = done.store.histories([run.run_id], ["loss/train_window"])[run.run_id]["loss/train_window"]
            # 70 iterations: three windows of 20, the rest left out.
            assert [step for step, _ in window_losses] == [20, 40, 60]

    def test_scores_reviews_without_a_known_word(self, done: Done) -> None:
        test = done.store.predictions(done.study.confirms[0].run_id, "test")
        assert len(test) == TEST
        assert (test.tokens_N == 0).sum() == 1

    def test_the_first_confirmation_run_of_each_model_holds_its_diagnostics(self, done: Done) -> None:
        for run in done.study.confirms:
            text = done.store.text(run.run_id, "diagnostics.json")
            assert (text is not None) == (run.seed == 10_000)
            if text is not None:
                assert {flow.model for flow in Diagnostics.from_json(text).flows} == {run.model}

    def test_the_same_command_again_trains_nothing(self, done: Done, tmp_path: Path) -> None:
        again = Path(shutil.copytree(done.directory, tmp_path / "again"))
        assert re.search(r"seed 1000\d", done.shown)
        assert not re.search(r"seed 1000\d", homework(again))
        assert [run.run_id for run in only_study(again).runs] == [run.run_id for run in done.study.runs]
