"""The commands `train` and `sweep` as users type them: what they print and log, and what they refuse."""

from __future__ import annotations

import csv
import gzip
import os
import pickle
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from gru_bench.data.corpus import load_corpus
from gru_bench.errors import ExitCode, UsageError
from gru_bench.results.runs import EpochRecord
from gru_bench.sweep.__main__ import app as sweep_app
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.start import need_windows
from gru_bench.tracking import Store
from gru_bench.train.__main__ import _Progress
from gru_bench.train.__main__ import app as train_app
from tests.support.commands import completed, mentions, printed
from tests.support.own import written
from tests.support.sweeps import without_worker_processes

QUICK = ["--epochs", "1", "--hidden-size", "4", "--set", "embedding.dimension=6", "--set", "training.threads=1",
         "--set", "model.backend=torch"]


def reviews_file(path: Path, rows: list[tuple[object, object]], header: tuple[str, ...] = ("text", "label")) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return str(path)


@pytest.fixture(scope="module", autouse=True)
def all_passes() -> None:
    """Few passes suffice: no other process trains here."""


@pytest.fixture
def data(tmp_path: Path) -> str:
    return reviews_file(
        tmp_path / "mine.csv", [(f"some {'good' if n % 2 else 'bad'} words number{n}", n % 2) for n in range(120)])


def statuses() -> set[str]:
    if not Path("mlflow.db").exists():
        return set()
    store = Store()
    return {run.status for name in store.experiments() for run in store.runs(name)}


def test_help_pages_load_neither_torch_nor_mlflow() -> None:
    pages, loaded = printed("""
        import contextlib, importlib, io, sys
        from gru_bench import cli
        shown = 0
        for name in ("train", "sweep", "report"):
            sys.argv = [name, "--help"]
            with contextlib.redirect_stdout(io.StringIO()) as page:
                assert cli.ended(importlib.import_module(f"gru_bench.{name}.__main__").app) == 0
            shown += "Usage" in page.getvalue()
        heavy = {"torch", "mlflow", "optuna", "gensim", "pandas", "sklearn", "matplotlib", "numba"}
        print(shown, sorted(heavy & set(sys.modules)))
    """).split(maxsplit=1)
    assert (pages, loaded) == ("3", "[]")


class TestTrain:
    @pytest.fixture(autouse=True)
    def _database(self, database: Path) -> None: ...

    def test_logs_a_run(self, data: str) -> None:
        first = completed(train_app, "--model", "scratch", "--data", data, "--score-test", *QUICK)
        assert first.returncode == 0, first.stderr
        (run,) = Store().runs("mine")
        mentions(first.stdout, run.run_id)
        assert run.metrics["score/test_accuracy"] * 100 == pytest.approx(
            float(first.stdout.partition("test accuracy ")[2].partition(" %")[0]), abs=0.05)
        assert (run.role, run.model, run.backend, run.complete) == ("single", "scratch", "torch", True)
        mentions(first.stdout, f"{run.tags['gru_bench.vector_passes']} passes")
        artifacts = Path("mlartifacts", run.mlflow_id, "artifacts")
        assert sorted(path.name for path in artifacts.iterdir()) == ["model", "predictions", "texts", "vectors"]

        again = completed(train_app, "--model", "scratch", "--data", data, "--no-texts", *QUICK)
        assert again.returncode == 0, again.stderr
        (newest, _) = Store().runs("mine")
        assert "score/test_accuracy" not in newest.metrics
        artifacts = Path("mlartifacts", newest.mlflow_id, "artifacts")
        assert sorted(path.name for path in artifacts.iterdir()) == ["model", "predictions", "vectors"]

    def test_resumes_an_interrupted_run_and_shows_its_earlier_epochs(
        self, data: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = ["--model", "scratch", "--data", data, *QUICK, "--epochs", "3"]

        def epoch(progress: _Progress, record: EpochRecord) -> None:
            if record.epoch == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as cut:
            cut.setattr(_Progress, "epoch", epoch)
            assert completed(train_app, *arguments).returncode == ExitCode.INTERRUPTED
        assert statuses() == {"KILLED"}
        resumed = completed(train_app, *arguments)
        assert resumed.returncode == 0, resumed.stderr
        lines = resumed.stdout.splitlines()
        index = next(number for number, line in enumerate(lines) if "continuing from epoch 3/3" in line)
        assert [line[:11] for line in lines[index + 1:index + 4]] == ["  epoch 1/3", "  epoch 2/3", "epoch 3/3  "]

    def test_a_full_disk_fails_the_run_and_leaves_no_part_of_a_checkpoint(
        self, data: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(state: object, file: BinaryIO) -> None:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", full)
        done = completed(train_app, "--data", data, *QUICK)
        assert done.returncode == ExitCode.FAILED
        mentions(done.stderr, "no space left", "GRU_BENCH_CACHE")
        assert statuses() == {"FAILED"}
        assert not list(Path(os.environ["GRU_BENCH_CACHE"]).rglob(f"*.{os.getpid()}.part"))

    def test_does_not_begin_while_the_tracking_server_does_not_respond(self, data: str) -> None:
        server = "http://127.0.0.1:9"
        done = completed(train_app, "--data", data, "--tracking-uri", server, *QUICK)
        assert done.returncode == ExitCode.FAILED
        mentions(done.stderr, server, "does not respond")

    def test_a_class_of_ones_own_is_trained(self, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "cache"))
        file = written(tmp_path)
        own = [*QUICK[:-2], "--data", data]
        done = completed(train_app, "--model", f"{file}:BatchFirst", *own)
        assert done.returncode == 0, done.stderr
        mentions(done.stdout, "homework.py:BatchFirst", "backend own")
        for options, part in ((["--model", f"{file}:Narrow"], "(3, 7, 2)"),
                              (["--set", "model.name=homework.py:BatchFirst"], "given as a model")):
            done = completed(train_app, *options, *own)
            assert done.returncode == ExitCode.MISTYPED
            mentions(done.stderr, "homework.py", part)
        assert statuses() == {"FINISHED"}

    @pytest.mark.parametrize(("options", "parts"), [
        (["--model", "lstm"], ["model.name", "scratch", "bidirectional", "FILE.py:CLASS", "'lstm'"]),
        (["--lr", "-1"], ["training.lr", "greater than 0", "got -1"]),
        (["--data", "absent.csv"], ["absent.csv"]),
        (["--device", "cuda:9"], ["device", "of this machine", "'cuda:9'"]),
        (["--no-such-option"], ["--no-such-option"]),
        (["--no-texts", "true"], ["extra argument", "true"]),
    ], ids=lambda values: " ".join(values)[:40])
    def test_refuses_a_wrong_option(self, options: list[str], parts: list[str], data: str) -> None:
        done = completed(train_app, *([] if "--data" in options else ["--data", data]), *QUICK, *options)
        assert done.returncode == ExitCode.MISTYPED
        mentions(done.stderr.replace("│", " "), *parts)
        assert statuses() == set()

    def test_refuses_a_test_split_of_no_reviews(self, data: str) -> None:
        done = completed(train_app, "--data", data, *QUICK, "--set", "data.test_share=0")
        assert done.returncode in (ExitCode.FAILED, ExitCode.MISTYPED)
        mentions(done.stderr, "test")

    @pytest.mark.parametrize(("content", "parts"), [
        ("2 3\ngood 1 2 3\nbad 1 nan 2\n", ["'bad'", "NaN"]),
        ("2 3\ngood 1 2 3\nbad 1 2\n", ["vectors.txt", "line 3", "2"]),
    ])
    def test_refuses_damaged_vectors(self, content: str, parts: list[str], data: str) -> None:
        Path("vectors.txt").write_text(content, encoding="utf-8")
        done = completed(train_app, "--data", data, "--embedding", "vectors.txt", *QUICK)
        assert done.returncode == ExitCode.FAILED
        mentions(done.stderr, *parts)


class Forbidden:
    """An object that makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("harm",)


# The time is left out, because the content is a part of the test's name, which all processes must agree on.
TRUNCATED = gzip.compress(pickle.dumps([{"a": [["x"]] * 50}, {"a": [["y"]] * 50}, {}]), mtime=0)


@pytest.mark.parametrize(("name", "content"), [
    ("no-labels.csv", b"text,label\n" + b"a b,\nc d,\n" * 20),
    ("one-class.csv", b"text,label\n" + b"".join(b"word%d b,1\n" % n for n in range(60))),
    ("measured-labels.csv", b"text,label\n" + b"".join(b"word%d b,%f\n" % (n, n / 7) for n in range(60))),
    ("empty.csv", b""),
    ("truncated.tar.gz", TRUNCATED[:len(TRUNCATED) // 2]),
    ("harmful.tar.gz", gzip.compress(pickle.dumps([Forbidden(), {}, {}]), mtime=0)),
])
def test_refuses_unsuitable_data_by_the_name_of_its_file(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    done = completed(train_app, "--data", name, *QUICK)
    assert done.returncode == ExitCode.FAILED
    mentions(done.stderr, name)
    assert not Path("harm").exists()
    assert not Path("mlflow.db").exists()


@pytest.mark.usefixtures("database")
class TestSweep:
    @pytest.mark.parametrize(("options", "parts"), [
        (["--study", "bidirektional"], ["'bidirektional'", "bidirectional"]),
        (["--study", "smoke", "--set", "model.name=torch"], ["model.name", "use model"]),
        (["--study", "smoke", "--trials", "-1"], ["error: trials", "at least 0", "got -1"]),
        ([], ["--study"]),
    ], ids=lambda values: " ".join(values)[:40])
    def test_refuses_a_wrong_option(self, options: list[str], parts: list[str], data: str) -> None:
        with without_worker_processes():
            done = completed(sweep_app, *options, "--data", data)
        assert done.returncode == ExitCode.MISTYPED
        mentions(done.stderr.replace("│", " "), *parts)
        assert "Traceback" not in done.stderr
        assert statuses() == set()

    def test_no_search_begins_for_a_study_that_cannot_run(self, data: str) -> None:
        """Otherwise the remedy, such as another setting, would be another question under the same name."""
        with without_worker_processes():
            completed(sweep_app, "--study", "homework", "--data", data)
        assert not Path("optuna.journal").exists()

    def test_an_unknown_device_is_refused_before_the_reviews_are_read(self) -> None:
        for app, words in ((train_app, ()), (sweep_app, ("--study", "smoke"))):
            done = completed(app, *words, "--device", "gpu", "--data", "absent.csv")
            assert done.returncode == ExitCode.MISTYPED
            mentions(done.stderr, "'gpu'")


def test_the_runs_of_a_study_need_a_window_of_the_training_loss(data: str) -> None:
    spec = load_study("homework", settings={"data.name": data, "training.log_every": 1})
    corpus = load_corpus(spec.base.data)
    need_windows(spec, corpus)
    spec = load_study("homework", settings={"data.name": data, "training.log_every": len(corpus.train) + 1})
    with pytest.raises(UsageError, match=r"training\.log_every.*at most \d+"):
        need_windows(spec, corpus)
