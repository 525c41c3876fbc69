"""The commands as users type them: what they print and log, and how they refuse."""

from __future__ import annotations

import csv
import gzip
import os
import pickle
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from gru_bench import cli
from gru_bench.config import RunConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.errors import ExitCode, UsageError
from gru_bench.results.runs import EpochRecord, RunResult
from gru_bench.sweep.__main__ import app as sweep_app
from gru_bench.sweep.console.start import need_windows
from gru_bench.sweep.spec import load_study
from gru_bench.tracking import Reader, Store
from gru_bench.train import loop
from gru_bench.train.__main__ import _Progress
from gru_bench.train.__main__ import app as train_app
from tests.support.commands import ROOT, command, run

QUICK = ["--epochs", "1", "--hidden-size", "4", "--set", "embedding.dimension=6", "--set", "training.threads=1"]


def reviews_file(path: Path, rows: list[tuple[object, object]], header: tuple[str, ...] = ("text", "label")) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return str(path)


def good_rows(count: int = 120) -> list[tuple[object, object]]:
    return [(f"some {'good' if n % 2 else 'bad'} words number{n}", n % 2) for n in range(count)]


def statuses(directory: Path) -> set[str]:
    if not (directory / "mlflow.db").exists():
        return set()
    store = Store(f"sqlite:///{directory / 'mlflow.db'}")
    return {run.status for name in store.experiments() for run in store.runs(name)}


@pytest.mark.parametrize("module", [
    "gru_bench.train", "gru_bench.sweep", "gru_bench.report", "gru_bench.diagnose", "gru_bench.archive"])
def test_help_teaches_without_loading_torch_or_mlflow(module: str) -> None:
    done = command("-X", "importtime", "-m", module, "--help")
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "mlflow", "optuna", "gensim", "pandas", "sklearn", "matplotlib", "numba"}
    assert "Usage" in done.stdout
    options = [line for line in done.stdout.splitlines() if "--help" not in line]  # that one is typer's own
    assert not any("<bool>" in line or "<list" in line for line in options)


def test_one_run_is_logged_and_found(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    monkeypatch.setattr(sys, "argv", ["train", "--model", "scratch", "--data", data, "--score-test", *QUICK])
    assert cli.ended(train_app) == 0
    shown = capsys.readouterr().out
    (run,) = Store().runs("mine")
    assert run.run_id in shown
    assert "next:" in shown
    assert f"gru-bench diagnose --run {run.run_id[:8]}  (" in shown
    assert f"gru-bench sweep --study scratch --data {data}  (" in shown
    assert "--score-test" not in shown  # it is scored already
    assert re.search(r"test accuracy \d+\.\d % \(95 % interval \d+\.\d to \d+\.\d %\) on \d+ reviews; always guessing "
                     r"their most frequent class reaches \d\d\.\d %", shown)
    assert "has these settings and these reviews already" not in shown
    assert (run.role, run.model, run.backend, run.complete) == ("single", "scratch", "fused", True)
    assert "score/test_accuracy" in run.metrics
    artifacts = tmp_path / "mlartifacts" / run.run_id / "artifacts"
    assert sorted(path.name for path in artifacts.iterdir()) == ["model", "predictions", "texts"]
    monkeypatch.setattr(sys, "argv", ["train", "--model", "scratch", "--data", data, "--no-texts", *QUICK])
    with monkeypatch.context() as earlier:  # as if the first run were of a version without this setting
        found = replace(run, params={key: text for key, text in run.params.items() if key != "training.optimizer"})
        earlier.setattr(Reader, "runs", lambda *_: [found])
        assert cli.ended(train_app) == 0
    again = capsys.readouterr().out
    assert f"note: run {run.run_id} has these settings and these reviews already" in again
    assert "the same command with --score-test  (" in again
    (newest, _) = Store().runs("mine")
    assert "score/test_accuracy" not in newest.metrics
    artifacts = tmp_path / "mlartifacts" / newest.run_id / "artifacts"
    assert sorted(path.name for path in artifacts.iterdir()) == ["model", "predictions"]


def test_a_run_that_goes_on_says_so(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    arguments = ["train", "--model", "scratch", "--data", data, *QUICK, "--epochs", "3"]
    monkeypatch.setattr(sys, "argv", arguments)
    with monkeypatch.context() as cut:
        def epoch(progress: _Progress, record: EpochRecord) -> None:
            if record.epoch == 2:
                raise KeyboardInterrupt

        cut.setattr(_Progress, "epoch", epoch)
        assert cli.ended(train_app) == ExitCode.INTERRUPTED
    capsys.readouterr()
    assert cli.ended(train_app) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("continuing from epoch 3/3; an earlier start trained:")
    assert [line[:11] for line in lines[place + 1:place + 4]] == ["  epoch 1/3", "  epoch 2/3", "epoch 3/3  "]


def test_a_run_that_does_not_fit_on_a_card_is_done_again_in_micro_batches(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    trained = loop.train

    def train(config: RunConfig, *rest: Any, **more: Any) -> RunResult:
        if config.training.micro_batches == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return replace(trained(config, *rest, **more), card={"card": "a card", "card_driver": "580.1"})

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(sys, "argv", ["train", "--model", "scratch", "--data", data, *QUICK])
    assert cli.ended(train_app) == 0
    note = "the graphics card's memory ran out at a batch of"
    assert f"note: {note}" in capsys.readouterr().out
    (logged,) = Store().runs("mine")
    assert logged.tags["gru_bench.done_again"].startswith(note)
    assert (logged.tags["gru_bench.card"], logged.tags["gru_bench.card_driver"]) == ("a card", "580.1")


def test_an_absent_device_is_told_before_the_reviews_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for app in (train_app, sweep_app):
        code, said = run(app, ["--device", "gpu", "--data", "absent.csv", *(["--study", "smoke"] * (app is sweep_app))],
                         monkeypatch, capsys)
        assert code == 2
        assert "--device must be auto, cpu, cuda (an NVIDIA card), cuda:N or mps (Apple's), but got 'gpu'" in said
    code, said = run(train_app, ["--device", "cuda:99", "--data", "absent.csv"], monkeypatch, capsys)
    assert code == 2
    assert "device must be auto or one that this machine has" in said


WRONG_OPTIONS = [
    (["--model", "lstm"], r"--model must be one of 'scratch', 'torch', 'bidirectional' or 'rnn', but got 'lstm'"),
    (["--hidden-size", "0"], "error: --hidden-size must be at least 1, but got 0"),
    (["--lr", "-1"], "error: --lr must be greater than 0, but got -1.0"),
    (["--lr", "nan"], "error: --lr must be a finite number, but got nan"),
    (["--epochs", "0"], "error: --epochs must be at least 1, but got 0"),
    (["--data", "imdb"], "imdb"),
    (["--data", "absent.csv"], "absent.csv"),
    (["--device", "tpu"], "--device must be auto, cpu, cuda (an NVIDIA card), cuda:N or mps"),
    (["--device", "cuda:9"], "device must be auto or one that this machine has"),
    (["--set", "training.optimiser=sgd"], "unknown setting 'training.optimiser'. Did you mean 'training.optimizer'?"),
    (["--set", "training.optimizer=sgd"], "training.optimizer must be one of 'adam' or 'adamw', but got 'sgd'"),
    (["--model", "bidirectional", "--set", "model.bidirectional=false"],
     "model.bidirectional must be true or left out for the model 'bidirectional', but got false"),
    (["--lr", "1", "--set", "training.lr=-1"], "error: training.lr must be greater than 0, but got -1"),
    (["--set", "training.lr=" + "[" * 5_000], "training.lr must be a number, but got '[[[["),
    (["--data", "a" * 5_000], "error: --data must be a name of at most 255 bytes, or a path of such names"),
    (["--embedding", "a" * 300], "error: --embedding must be a name of at most 255 bytes"),
    (["--set", "training.lr"], "--set must look like section.key=value, but got 'training.lr'"),
    (["--pooling", "first"], "error: --pooling must be one of"),
    (["--set", "data.validation_share=1"], "data.validation_share must be less than 1"),
    (["--text-column", "body"], "'body'"),
    (["--label-column", "stars"], "'stars'"),
    (["--embedding", "absent.bin"], "absent.bin"),
    (["--embedding", "fasttext"], "fasttext"),
    (["--tracking-uri", "nonsense"], "nonsense"),
    (["--no-such-option"], "No such option"),
    (["--no-texts", "true"], "extra argument(s) (true): a value must follow an option that takes one, and a flag "),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_a_wrong_option_is_told_with_exit_code_2(
    options: list[str], message: str, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(empty_database, tmp_path)
    data = [] if "--data" in options else ["--data", reviews_file(tmp_path / "mine.csv", good_rows())]
    code, said = run(train_app, [*data, *QUICK, *options], monkeypatch, capsys)
    assert (code, message in " ".join(said.replace("│", " ").split())) == (2, True), said
    assert "RUNNING" not in statuses(tmp_path)


def damaged_files(folder: Path) -> dict[str, str]:
    """Name -> file, each with one thing wrong."""
    class Forbidden:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(folder / "harm"),)

    files = {
        "no labels": reviews_file(folder / "nolabels.csv", [("a b", ""), ("c d", "")] * 20),
        "one class": reviews_file(folder / "oneclass.csv", [(f"word{n} b", 1) for n in range(60)]),
        "measured labels": reviews_file(folder / "measured.csv", [(f"word{n} b", n / 7) for n in range(60)]),
    }
    (folder / "empty.csv").write_text("", encoding="utf-8")
    files["empty"] = str(folder / "empty.csv")
    whole = gzip.compress(pickle.dumps([{"a": [["x"]] * 50}, {"a": [["y"]] * 50}, {}]))
    (folder / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    files["truncated"] = str(folder / "cut.tar.gz")
    (folder / "harmful.tar.gz").write_bytes(gzip.compress(pickle.dumps([Forbidden(), {}, {}])))
    files["harmful"] = str(folder / "harmful.tar.gz")
    return files


@pytest.mark.parametrize("what", ["no labels", "one class", "measured labels", "empty", "truncated", "harmful"])
def test_unsuitable_data_is_told_with_exit_code_1(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = damaged_files(tmp_path)[what]
    code, said = run(train_app, ["--data", path, *QUICK], monkeypatch, capsys)
    assert code == 1, said
    assert Path(path).name in said
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "mlflow.db").exists()


def test_a_split_without_test_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    code, said = run(train_app, ["--data", data, *QUICK, "--set", "data.test_share=0"], monkeypatch, capsys)
    assert code in (1, 2)
    assert "test" in said


@pytest.mark.parametrize(("content", "message"), [
    ("2 3\ngood 1 2 3\nbad 1 nan 2\n", "nan"),
    ("2 3\ngood 1 2 3\nbad 1 2\n", "line 3 holds 2"),
])
def test_unsuitable_vectors_are_told(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    (tmp_path / "vectors.txt").write_text(content, encoding="utf-8")
    options = ["--data", data, "--embedding", str(tmp_path / "vectors.txt"), *QUICK]
    code, said = run(train_app, options, monkeypatch, capsys)
    assert code == 1, said
    assert message in said.lower()


def test_a_tracking_server_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    monkeypatch.setattr("gru_bench.train.__main__.PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(sys, "argv", ["train", "--data", data, "--tracking-uri", "http://127.0.0.1:9", *QUICK])
    assert cli.ended(train_app) == 1
    said, error = capsys.readouterr()
    at_the_start, at_the_end = said.index("http://127.0.0.1:9 does not answer"), said.index("of 1 run wait in")
    assert at_the_start < said.index("validation accuracy") < at_the_end
    assert "the tracking store must take what was logged, but http://127.0.0.1:9 has not answered" in error


def test_a_full_disk_is_told_and_the_run_closed(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    shutil.copy(empty_database, tmp_path)

    def full(state: object, file: BinaryIO) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    code, said = run(train_app, ["--data", data, *QUICK], monkeypatch, capsys)
    assert code == 1
    assert "no space is left on that disk; free some, or set GRU_BENCH_CACHE" in said
    assert statuses(tmp_path) == {"FAILED"}
    assert not list(Path(os.environ["GRU_BENCH_CACHE"]).rglob(f"*.{os.getpid()}.part"))


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--study", "bidirektional"], 2, "unknown study 'bidirektional'"),
    (["--study", "smoke", "--set", "seed=3"], 2, "--set seed=3 has no effect in a study: use --seed"),
    (["--study", "smoke", "--set", "model.name=torch"], 2, "has no effect in a study: use --model torch"),
    (["--study", "a" * 5_000 + ".toml"], 2, "there is no file 'aaaa"),
    (["--study", "smoke", "--trials", "-1"], 2, "--trials must be at least 0, but got -1"),
    (["--study", "smoke", "--timeout", "soon"], 2, "--timeout must be a time such as 90s, 10m or 1.5h, but got 'soon'"),
    (["--study", "smoke", "--workers", "0"], 2, "workers"),
    (["--study", "smoke", "--storage", "somewhere"], 2, "--storage must be a database URL"),
    (["--study", "smoke", "--sampler", "grid"], 2, "error: --sampler must be one of 'tpe' or 'random', but got 'grid'"),
    ([], 2, "--study"),
])
def test_a_wrong_sweep_is_told(
    options: list[str], code: int, message: str, tmp_path: Path, empty_database: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(empty_database, tmp_path)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    got, said = run(sweep_app, [*options, "--data", data], monkeypatch, capsys)
    assert (got, message in said) == (code, True), said


def test_a_device_that_no_worker_has_ends_the_sweep_at_once(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    options = ["--study", "smoke", "--data", data, "--device", "cuda:9"]
    done = command(str(ROOT / "sweeps" / "run.py"), *options, cwd=tmp_path)
    assert done.returncode == 2
    assert "device must be auto or one that this machine has" in done.stderr
    assert "Traceback" not in done.stderr
    assert "RUNNING" not in statuses(tmp_path)


def test_too_few_reviews_for_a_window_are_told_before_the_study_is_begun(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path)
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    code, said = run(sweep_app, ["--study", "homework", "--data", data, "--workers", "1"], monkeypatch, capsys)
    assert code == 2
    assert "training.log_every must be at most" in said
    assert "but got 800: --set training.log_every=" in said
    assert not (tmp_path / "optuna.journal").exists()  # else the remedy would be another question under the same name


def test_ablations_of_a_study_need_a_window_of_their_own(tmp_path: Path) -> None:
    """They cut validation reviews from the training reviews."""
    data = reviews_file(tmp_path / "mine.csv", good_rows())
    spec = load_study("homework", settings={"data.name": data, "training.log_every": 1})
    corpus = load_corpus(spec.base.data)
    need_windows(spec, corpus)
    spec = load_study("homework", settings={"data.name": data, "training.log_every": len(corpus.train)})
    with pytest.raises(UsageError, match=r"training\.log_every must be at most \d+, the iterations of an epoch"):
        need_windows(spec, corpus)
