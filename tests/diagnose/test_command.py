"""The command that looks inside a run: what it prints and writes, and how it ends where it cannot."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench.diagnose.__main__ as diagnose
from gru_bench import cli
from gru_bench.config import DataConfig, RunConfig, with_settings
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.tokenizer import tokenize
from gru_bench.data.vectors import load_vectors
from gru_bench.diagnose import compute as diagnostics
from gru_bench.models.saved import with_model
from gru_bench.models.trained import TrainedModel
from gru_bench.report.document.figure import Figure
from gru_bench.tracking import Store
from gru_bench.train.loop import train
from tests.support.commands import mentions


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
        ("bidirectional", "confirm", {}), ("rnn", "single", {}), ("scratch", "single", {"model.pooling": "mean"}),
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
    logged.close()
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
    text = "A GOOD1 word3, bad1 unheard"
    code, out, _ = ended(["--run", chosen[:12], "--text", text, "--neighbours", "good1", "--neighbours", "word2"],
                         store, monkeypatch, capsys)
    assert code == 0
    assert f"run {chosen}: scratch single" in out
    (kept,) = Store(f"sqlite:///{store / 'mlflow.db'}").models([chosen], None)
    corpus = load_corpus(kept.config.data)
    vectors = load_vectors(kept.config.embedding, corpus)
    subject = diagnostics.Subject.trained(kept)
    (flow,) = diagnostics.gradient_flows(subject, corpus, vectors)
    assert re.search(rf"Scratch GRU\s*│ trained .*│ {flow.decay:.3f}", out)
    sentence = diagnostics.Sentence.of(tokenize(text), kept)
    assert sentence.tokens == ("good1", "word3", "bad1")
    occluded = diagnostics.occluded(subject, sentence)
    (gates,) = diagnostics.gate_maps(subject, sentence)
    for token, weight, update in zip(sentence.tokens, occluded.weight, gates.update, strict=True):
        assert re.search(rf"{token}\s*│ {re.escape(f'{weight:+.3f}')}.*{np.mean(update):.2f}", out)
    assert f"{100 * occluded.probability:.1f} %" in out
    mentions(out, "no vector: a unheard")
    assert "data.max_length" not in out
    answer = corpus.classes[occluded.probability >= 0.5]
    lines = out.splitlines()
    mentions(lines[1], "your text", f"says {answer}")  # first of all, before any table
    mentions(lines[2], corpus.classes[1], f"{100 * occluded.probability:.1f} %", "3")
    mentions(out, "Occlusion: ", "Update gate: ", "norm: ", "factor per step: ")
    nearest = diagnostics.neighbours("good1", vectors).nearest[0]
    mentions(out, "nearest to good1", f"{nearest[0]} {nearest[1]:.2f}", "nearest to word2")
    folder = tmp_path / "diagnostics" / chosen[:8]
    (words,) = folder.glob("words-text-*.csv")
    own = words.stem.removeprefix("words")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("gradients", f"gates{own}", f"words{own}") for kind in ("csv", "png", "svg"))
    rows = list(csv.DictReader(words.read_text(encoding="utf-8").splitlines()))
    assert [row["word"] for row in rows] == list(sentence.tokens) * 2
    assert float(rows[1]["weight"]) == occluded.weight[1]


@pytest.mark.usefixtures("_undrawn")
def test_a_test_review_is_diagnosed_by_its_number(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnose, "REVIEW_WORDS", 5)
    chosen = run_id(store, "scratch single", 0)
    code, out, _ = ended(["--run", chosen, "--review", "3"], store, monkeypatch, capsys)
    assert code == 0
    (kept,) = Store(f"sqlite:///{store / 'mlflow.db'}").models([chosen], None)
    corpus = load_corpus(kept.config.data)
    subject = diagnostics.Subject.trained(kept)
    whole, sentence = (diagnostics.Sentence.of(tokenize(corpus.texts("test")[2]), kept, length) for length in (None, 5))
    folder = tmp_path / "diagnostics" / chosen[:8]
    rows = list(csv.DictReader((folder / "words-review-3.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["word"] for row in rows] == list(sentence.tokens) * 2
    probability, words = diagnostics.probabilities(subject, whole)[1], len(whole.tokens)
    labels = corpus.classes
    answer, label = int(probability >= 0.5), int(corpus.test.label_N[2])
    lines = out.splitlines()
    mentions(lines[1], f"test text 3 of {len(corpus.test)}", f"says {labels[answer]}",
             "right" if answer == label else "wrong", f"true label is {labels[label]}")
    mentions(lines[2], labels[1], f"{100 * probability:.1f} %", f"{words} words")
    assert words > 5
    cut = diagnostics.probabilities(subject, sentence)[1]
    mentions(out, f"first 5 of {words} words", "these 5 words alone", f"{100 * cut:.1f} %")
    # Words that are read but not shown are not among those without a vector.
    assert ("no vector" in out) == bool(whole.unknown)
    before = (folder / "words-review-3.csv").read_bytes()
    code, out, _ = ended(["--run", chosen, "--review", "4"], store, monkeypatch, capsys)
    assert code == 0
    assert (folder / "words-review-3.csv").read_bytes() == before
    assert (folder / "words-review-4.csv").exists()
    mentions(out, f"wrote {Path('diagnostics') / chosen[:8] / 'words-review-4'}.png")


@pytest.mark.usefixtures("_undrawn")
def test_explains_the_class_that_is_asked_for(
    store: Path, easy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(store, tmp_path / "several")
    read = load_corpus

    def of_three(config: DataConfig) -> Corpus:
        return replace(read(config), classes=("bad", "[bold] good", "so-so"))

    monkeypatch.setattr("gru_bench.data.corpus.load_corpus", of_three)
    config = with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.dimension": 8, "model.hidden_size": 6, "model.backend": "torch",
        "training.epochs": 1, "training.threads": 1, "model.name": "scratch"})
    corpus = of_three(config.data)
    vectors = load_vectors(config.embedding, corpus)
    with Store(f"sqlite:///{tmp_path / 'several' / 'mlflow.db'}") as logged:
        writer = logged.start("easy", "three", role="single", model="scratch", config=config,
                              fingerprint=corpus.fingerprint)
        writer.finish(with_model(train(config, corpus, vectors), vectors))
    code, out, _ = ended(["--review", "3"], tmp_path / "several", monkeypatch, capsys)
    assert code == 0
    (kept,) = Store(f"sqlite:///{tmp_path / 'several' / 'mlflow.db'}").models([writer.run_id], None)
    subject = diagnostics.Subject.trained(kept)
    shares = diagnostics.probabilities(subject, diagnostics.Sentence.of(tokenize(corpus.texts("test")[2]), kept))
    answer, label = int(np.argmax(shares)), int(corpus.test.label_N[2])
    mentions(out, f"says {corpus.classes[answer]}", "right" if answer == label else "wrong",
             f"true label is {corpus.classes[label]}", f"log-odds of the class {corpus.classes[answer]}")
    for place in (answer, label):
        mentions(out, f"the class {corpus.classes[place]} has a probability of {100 * shares[place]:.1f} %")
    code, out, _ = ended(["--review", "3", "--class", "so-so"], tmp_path / "several", monkeypatch, capsys)
    assert code == 0
    mentions(out, f"the class so-so has a probability of {100 * shares[2]:.1f} %", "for so-so", "for another class",
             "words-review-3-so-so.png")
    code, _, error = ended(["--class", "sosso"], tmp_path / "several", monkeypatch, capsys)
    assert code == 2
    mentions(error, "'sosso'", "Did you mean 'so-so'?", "[bold] good, bad, so-so")


@pytest.mark.usefixtures("_undrawn")
def test_counts_the_words_beyond_the_length_that_the_model_reads(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Store.models

    def shorter(store: Store, run_ids: Sequence[str], parent: str | None) -> list[TrainedModel]:
        return [replace(one, config=with_settings(one.config, {"data.max_length": 4}))
                for one in read(store, run_ids, parent)]

    monkeypatch.setattr(Store, "models", shorter)
    text = "good1 bad1 unheard word2 word3 word2 word3"
    code, out, _ = ended(["--run", run_id(store, "scratch single", 0), "--text", text], store, monkeypatch, capsys)
    assert code == 0
    mentions(out, "no vector: unheard", "first 4 words", "data.max_length", "2 more")


def test_takes_the_newest_run_with_weights_and_refuses_it_where_its_data_have_changed(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended([], store, monkeypatch, capsys)
    assert (code, "on other data" in out) == (1, True)
    mentions(err, "changed", "fingerprint", "f00d")


@pytest.mark.usefixtures("_undrawn")
def test_diagnoses_an_rnn_a_mean_pooling_and_both_directions(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ended(["--run", run_id(store, "rnn single"), "--out", "there"], store, monkeypatch, capsys)
    assert code == 0
    assert "Vanilla RNN" in out
    assert "the model says" not in out
    mentions(out, "words: skipped", "vector", "--text")
    assert sorted(path.stem for path in (tmp_path / "there").glob("*.png")) == ["gradients"]
    text = ["--text", "good1 bad1"]
    code, out, _ = ended(["--run", run_id(store, "scratch single", -1), *text], store, monkeypatch, capsys)
    assert code == 0
    mentions(out, "no factor per step", "model.pooling mean")
    assert "│ factor per step" not in out
    assert "┃ factor per step" not in out
    code, out, _ = ended(["--run", run_id(store, "bidirectional confirm"), *text], store, monkeypatch, capsys)
    assert code == 0
    assert "Bidirectional GRU, backward" in out
    assert "update gate, backward" in out


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--run", "zzz"], 2, "--run.*'zzz'"),
    (["--run", ""], 2, "--run.*'' begins the ids of 6"),
    (["--text", "quark"], 2, "text.*vector.*'quark'"),
    (["--review", "100000"], 2, r"--review must be at most \d+.*100,000"),
    (["--review", "1", "--text", "a"], 2, "--text and --review.*'a'.*1"),
    (["--text", " \t"], 2, r"--text must.* ' \\t'"),
    (["--text", "..."], 2, "text.*vector.*other words"),
    (["--neighbours", "god1"], 2, r"vector.*'god1'.*did you mean 'good1'\?"),
    (["--out", "file.txt"], 1, "--out.*folder.*file.txt"),
    (["--recall"], 2, r"--recall was removed: .*\[recall\]"),
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
    mentions(err, "weights", run_id(store, "scratch trial"), run_id(store, "rnn single"))


def test_refuses_a_store_without_runs(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    code, _, err = ended([], tmp_path, monkeypatch, capsys)
    assert code == 1
    mentions(err, "run with weights", "0 runs", "gru-bench train")
