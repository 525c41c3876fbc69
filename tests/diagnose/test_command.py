"""The command that looks inside a run: what it prints and writes, and how it ends where it cannot."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import gru_bench.diagnose.__main__ as diagnose
from gru_bench import cli
from gru_bench.config import RunConfig, with_settings
from gru_bench.data.code import own_model
from gru_bench.data.corpus import load_corpus
from gru_bench.data.vectors import load_vectors
from gru_bench.diagnose import compute as diagnostics
from gru_bench.errors import DataError
from gru_bench.models.saved import with_model
from gru_bench.report.document.figure import Figure
from gru_bench.tracking import Store
from gru_bench.train.loop import train
from tests.support.commands import mentions
from tests.support.own import written


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, easy_csv: Path) -> Path:
    """A store with a run of each kind of model that kept its weights, a trial, and a run on other data."""
    folder = tmp_path_factory.mktemp("diagnosed")
    shutil.copy(empty_database, folder / "mlflow.db")
    logged = Store(f"sqlite:///{folder / 'mlflow.db'}")
    base = with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.dimension": 8, "model.hidden_size": 6, "model.backend": "torch",
        "training.epochs": 1, "training.threads": 1})
    corpus = load_corpus(base.data)
    vectors = load_vectors(base.embedding, corpus)
    for model, role, settings in (
        ("bidirectional", "confirm", {}), ("torch", "single", {}), ("scratch", "single", {"model.pooling": "mean"}),
        ("scratch", "single", {}),
    ):
        config = with_settings(base, {**settings, "model.name": model})
        result = train(config, corpus, vectors)
        writer = logged.start("easy", f"{model} {role}", role=role, model=model, config=config,
                              fingerprint=corpus.fingerprint)
        writer.finish(with_model(result, vectors))
    logged.start("easy", "scratch trial", role="trial", model="scratch", config=base).complete()
    changed = logged.start("easy", "on other data", role="single", model="scratch", config=base, fingerprint="f00d")
    changed.finish(with_model(result, vectors))
    return folder


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is drawn, which takes longest; its numbers are written all the same."""
    monkeypatch.setattr(Figure, "alone", lambda figure, form: b"")


def run_id(folder: Path, name: str, place: int = -1) -> str:
    runs = Store(f"sqlite:///{folder / 'mlflow.db'}").runs("easy")
    return [run.run_id for run in runs if run.name == name][place]


def ended(
    arguments: list[str], store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    uri = ["--tracking-uri", f"sqlite:///{store / 'mlflow.db'}"]
    monkeypatch.setattr(sys, "argv", ["diagnose", *arguments, *uri])
    code = cli.ended(diagnose.app)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_run_is_diagnosed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = run_id(store, "scratch single", 0)
    code, out, _ = ended(["--run", chosen[:12]], store, monkeypatch, capsys)
    assert code == 0
    assert f"run {chosen}: scratch single" in out
    (kept,) = Store(f"sqlite:///{store / 'mlflow.db'}").models([chosen], None)
    corpus = load_corpus(kept.config.data)
    vectors = load_vectors(kept.config.embedding, corpus)
    subject = diagnostics.Subject.trained(kept)
    (flow,) = diagnostics.gradient_flows(subject, corpus, vectors)
    assert re.search(rf"Scratch GRU\s*│ trained .*│ {flow.decay:.3f}", out)
    sentence = diagnostics.shown_sentence(kept, diagnostics.legible_text(corpus, vectors))
    assert len(sentence.tokens) >= diagnostics.LEGIBLE[0]
    occluded = diagnostics.occluded(subject, sentence)
    (gates,) = diagnostics.gate_maps(subject, sentence)
    for token, weight, update in zip(sentence.tokens, occluded.weight, gates.update, strict=True):
        assert re.search(rf"{token}\s*│ {re.escape(f'{weight:+.3f}')}.*{np.mean(update):.2f}", out)
    mentions(out.splitlines()[1], occluded.label, f"{100 * occluded.probability:.1f} %")  # before any table
    mentions(out, "(occlusion)", "Update gate: ", "norm: ", "factor per step: ")
    folder = tmp_path / "diagnostics" / chosen[:8]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("gradients", "gates", "words") for kind in ("csv", "png", "svg"))
    rows = list(csv.DictReader((folder / "words.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["word"] for row in rows] == list(sentence.tokens)
    assert float(rows[1]["weight"]) == occluded.weight[1]
    assert ended(["--run", chosen], store, monkeypatch, capsys)[0] == 0  # it may replace its own figures
    (folder / "words.csv").write_text("word\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    code, _, err = ended(["--run", chosen], store, monkeypatch, capsys)
    assert code == 2
    mentions(err, "--out", "words.csv")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_takes_the_newest_run_with_weights_and_refuses_it_where_its_data_have_changed(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended([], store, monkeypatch, capsys)
    assert (code, "on other data" in out) == (1, True)
    mentions(err, "changed", "fingerprint", "f00d")


@pytest.mark.usefixtures("_undrawn")
def test_diagnoses_a_mean_pooling_and_both_directions(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ended(["--run", run_id(store, "scratch single", -1)], store, monkeypatch, capsys)
    assert code == 0
    mentions(out, "no factor per step", "model.pooling mean")
    assert "│ factor per step" not in out
    assert "┃ factor per step" not in out
    code, out, _ = ended(["--run", run_id(store, "bidirectional confirm")], store, monkeypatch, capsys)
    assert code == 0
    assert "Bidirectional GRU, backward" in out
    assert "update gate, backward" in out


@pytest.mark.usefixtures("_undrawn")
def test_without_a_text_of_known_words_only_gradients_are_shown(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnostics, "legible_text", lambda *_: None)  # nor has the built-in sentence known words
    code, out, _ = ended(["--run", run_id(store, "scratch single", 0), "--out", "there"], store, monkeypatch, capsys)
    assert code == 0
    assert "words: skipped" in out
    assert sorted(path.stem for path in (tmp_path / "there").glob("*.png")) == ["gradients"]


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--run", "zzz"], 2, "--run.*'zzz'"),
    (["--run", ""], 2, "--run.*6 run ids start with ''"),
    (["--out", "file.txt"], 1, "--out.*folder.*file.txt"),
])
def test_refuses_options_that_do_not_fit(
    arguments: list[str], code: int, message: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file.txt").write_text("here first", encoding="utf-8")
    run = [] if "--run" in arguments else ["--run", run_id(store, "scratch single", 0)]
    got, _, err = ended([*run, *arguments], store, monkeypatch, capsys)
    assert got == code
    assert re.search(message, " ".join(err.replace("│", " ").split()))


def test_refuses_a_run_without_weights_and_lists_those_that_have(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ended(["--run", run_id(store, "scratch trial")], store, monkeypatch, capsys)
    assert code == 1
    mentions(err, "weights", run_id(store, "scratch trial"), run_id(store, "torch single"))


def test_refuses_a_store_without_runs(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    code, _, err = ended([], tmp_path, monkeypatch, capsys)
    assert code == 1
    mentions(err, "has weights", "0 runs", "gru-bench train")


def test_a_class_of_ones_own_has_words_and_no_gradients(
    store: Path, easy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "cache"))
    shutil.copytree(store, tmp_path / "own")
    name, source = own_model(f"{written(tmp_path)}:Single") or ("", "")
    config = with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.name": "random", "embedding.dimension": 8, "model.name": name,
        "model.source": source, "model.hidden_size": 6, "training.epochs": 1, "training.threads": 1})
    corpus = load_corpus(config.data)
    vectors = load_vectors(config.embedding, corpus)
    logged = Store(f"sqlite:///{tmp_path / 'own' / 'mlflow.db'}")
    writer = logged.start("easy", name, role="single", model=name, config=config, fingerprint=corpus.fingerprint)
    writer.finish(with_model(train(config, corpus, vectors), vectors))
    monkeypatch.setattr(Figure, "alone", lambda figure, form: b"")
    code, out, err = ended(["--run", writer.run_id, "--out", "there"], tmp_path / "own", monkeypatch, capsys)
    assert code == 0, err
    assert sorted(path.stem for path in (tmp_path / "there").glob("*.csv")) == ["words"]
    mentions(out, "gradients: skipped", "class of your own")
    assert "four known words" not in out


@pytest.mark.usefixtures("_undrawn")
def test_gradients_that_cannot_be_followed_say_why(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise DataError("it is 0 in every text")

    monkeypatch.setattr(diagnostics, "flows_by_training", refuse)
    code, out, _ = ended(["--run", run_id(store, "scratch single", 0)], store, monkeypatch, capsys)
    assert code == 0
    mentions(out, "gradients: skipped", "it is 0 in every text")
