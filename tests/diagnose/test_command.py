"""The command that looks inside a run: what it prints and writes, and how it ends where it cannot."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench.diagnose.__main__ as diagnose
from gru_bench import cli
from gru_bench.config import DataConfig, RunConfig, with_settings
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.embeddings import load_vectors
from gru_bench.diagnose import compute as diagnostics
from gru_bench.results.diagnostics import RecallCurve, RecallPoint
from gru_bench.tracking import Store
from gru_bench.train.loop import train
from tests.support.commands import command
from tests.support.values import present


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, easy_csv: Path) -> Path:
    """A store with a run of each kind of model that kept its weights, a trial, and a run on other data."""
    folder = tmp_path_factory.mktemp("diagnosed")
    shutil.copy(empty_database, folder / "mlflow.db")
    logged = Store(f"sqlite:///{folder / 'mlflow.db'}")
    base = with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.dimension": 8, "model.hidden_size": 6, "training.epochs": 1})
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
        writer.finish(result, with_model=True)
    logged.start("easy", "scratch trial", role="trial", model="scratch", config=base).complete()
    changed = logged.start("easy", "on other data", role="single", model="scratch", config=base, fingerprint="f00d")
    changed.finish(result, with_model=True)
    logged.close()
    return folder


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
    kept = diagnostics.TrainedModel(chosen, *Store(f"sqlite:///{store / 'mlflow.db'}").model(chosen))
    corpus = load_corpus(kept.config.data)
    vectors = load_vectors(kept.config.embedding, corpus)
    subject = diagnostics.Subject.trained(kept, vectors)
    (flow,) = diagnostics.gradient_flows(subject, corpus, vectors)
    assert re.search(rf"Scratch GRU\s*│ trained .*│ {flow.decay:.3f}", out)
    sentence = diagnostics.Sentence.of(text, vectors, None)
    assert sentence.tokens == ("good1", "word3", "bad1")
    occluded = diagnostics.occlusion(subject, sentence)
    (gates,) = diagnostics.gate_maps(subject, sentence)
    for token, weight, update in zip(sentence.tokens, occluded.weight, gates.update, strict=True):
        assert re.search(rf"{token}\s*│ {re.escape(f'{weight:+.3f}')}.*{np.mean(update):.2f}", out)
    assert f"{100 * occluded.probability:.1f} %" in out
    assert "not read, because they have no vector: a unheard" in out
    assert "words count (data.max_length)" not in out
    answer = corpus.classes[occluded.probability >= 0.5]
    lines = out.splitlines()
    assert lines[1] == f"your text: the model says {answer}"  # first of all, before any table
    assert lines[2].startswith(
        f"the class {corpus.classes[1]} has a probability of {100 * occluded.probability:.1f} %, from all 3")
    assert "Occlusion: what the log-odds lose without the word" in out
    assert "Update gate: 1 keeps the state" in out
    assert "norm: how much the loss depends on a state" in out
    assert "factor per step: the norm at a word, divided by the norm at the word after it" in out
    nearest = diagnostics.neighbours("good1", vectors).nearest[0]
    assert f"nearest to good1, with the cosine of their vectors: {nearest[0]} {nearest[1]:.2f}" in out
    assert "nearest to word2, " in out
    folder = tmp_path / "diagnostics" / chosen[:8]
    (words,) = folder.glob("words-text-*.csv")
    own = words.stem.removeprefix("words")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{kind}" for name in ("gradients", f"gates{own}", f"words{own}") for kind in ("csv", "png", "svg"))
    rows = list(csv.DictReader(words.read_text(encoding="utf-8").splitlines()))
    assert [row["word"] for row in rows] == list(sentence.tokens) * 2
    assert float(rows[1]["weight"]) == occluded.weight[1]


def test_a_real_review_is_read_by_its_number(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnose, "REVIEW_WORDS", 5)
    chosen = run_id(store, "scratch single", 0)
    code, out, _ = ended(["--run", chosen, "--review", "3"], store, monkeypatch, capsys)
    assert code == 0
    kept = diagnostics.TrainedModel(chosen, *Store(f"sqlite:///{store / 'mlflow.db'}").model(chosen))
    corpus = load_corpus(kept.config.data)
    vectors = load_vectors(kept.config.embedding, corpus)
    subject = diagnostics.Subject.trained(kept, vectors)
    whole, sentence = (diagnostics.Sentence.of(corpus.texts("test")[2], vectors, length) for length in (None, 5))
    folder = tmp_path / "diagnostics" / chosen[:8]
    rows = list(csv.DictReader((folder / "words-review-3.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["word"] for row in rows] == list(sentence.tokens) * 2
    probability, words = diagnostics.probabilities(subject, whole)[1], len(whole.tokens)
    labels = corpus.classes
    answer, label = int(probability >= 0.5), int(corpus.test.label_N[2])
    lines = out.splitlines()
    assert lines[1] == (f"test review 3 of {len(corpus.test)}: the model says {labels[answer]}, which is "
                        f"{'right' if answer == label else 'wrong'}: the true label is {labels[label]}")
    assert lines[2] == (f"the class {labels[1]} has a probability of {100 * probability:.1f} %, from all {words} words "
                        "that the model reads")
    assert words > 5
    assert f"what each word adds to the log-odds of the class {labels[1]}: the first 5 of {words} words" in out
    cut = diagnostics.probabilities(subject, sentence)[1]
    assert f"on these 5 words alone, the class {labels[1]} has a probability of {100 * cut:.1f} %" in out
    # Words that are read but not shown are not among those without a vector.
    assert ("because they have no vector" in out) == bool(whole.unknown)
    before = (folder / "words-review-3.csv").read_bytes()
    code, out, _ = ended(["--run", chosen, "--review", "4"], store, monkeypatch, capsys)
    assert code == 0
    assert (folder / "words-review-3.csv").read_bytes() == before
    assert f"wrote {Path('diagnostics') / chosen[:8] / 'words-review-4'}.png, .svg and .csv" in out


def test_a_class_of_several_is_explained(
    store: Path, easy_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(store, tmp_path / "several")
    read = load_corpus

    def of_three(config: DataConfig) -> Corpus:
        return replace(read(config), classes=("bad", "[bold] good", "so-so"))

    monkeypatch.setattr("gru_bench.data.corpus.load_corpus", of_three)
    config = with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.dimension": 8, "model.hidden_size": 6, "training.epochs": 1,
        "model.name": "scratch"})
    corpus = of_three(config.data)
    vectors = load_vectors(config.embedding, corpus)
    with Store(f"sqlite:///{tmp_path / 'several' / 'mlflow.db'}") as logged:
        writer = logged.start("easy", "three", role="single", model="scratch", config=config,
                              fingerprint=corpus.fingerprint)
        writer.finish(train(config, corpus, vectors), with_model=True)
    code, out, _ = ended(["--review", "3"], tmp_path / "several", monkeypatch, capsys)
    assert code == 0
    kept = diagnostics.TrainedModel(writer.run_id, *Store(f"sqlite:///{tmp_path / 'several' / 'mlflow.db'}").model(
        writer.run_id))
    subject = diagnostics.Subject.trained(kept, vectors, corpus.classes)
    shares = diagnostics.probabilities(subject, diagnostics.Sentence.of(corpus.texts("test")[2], vectors, None))
    answer, label = int(np.argmax(shares)), int(corpus.test.label_N[2])
    assert (f"the model says {corpus.classes[answer]}, which is {'right' if answer == label else 'wrong'}: the true "
            f"label is {corpus.classes[label]}") in out
    for place in (answer, label):
        assert f"the class {corpus.classes[place]} has a probability of {100 * shares[place]:.1f} %" in out
    assert f"what each word adds to the log-odds of the class {corpus.classes[answer]}" in " ".join(out.split())
    code, out, _ = ended(["--review", "3", "--class", "so-so"], tmp_path / "several", monkeypatch, capsys)
    assert code == 0
    assert f"the class so-so has a probability of {100 * shares[2]:.1f} %" in out
    assert "A word above 0 speaks for so-so, below 0 for another class." in out
    assert "words-review-3-so-so.png" in out
    code, _, error = ended(["--class", "sosso"], tmp_path / "several", monkeypatch, capsys)
    assert code == 2
    assert "unknown class 'sosso'. Did you mean 'so-so'? It must be one of [bold] good, bad, so-so." in error


def test_words_beyond_the_longest_that_is_read_are_counted(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = Store.model

    def shorter(store: Store, run_id: str) -> tuple[RunConfig, Mapping[str, np.ndarray]]:
        config, weights = read(store, run_id)
        return with_settings(config, {"data.max_length": 4}), weights

    monkeypatch.setattr(Store, "model", shorter)
    text = "good1 bad1 unheard word2 word3 word2 word3"
    code, out, _ = ended(["--run", run_id(store, "scratch single", 0), "--text", text], store, monkeypatch, capsys)
    assert code == 0
    assert "not read, because they have no vector: unheard\n" in out
    assert "not read, because only the first 4 words count (data.max_length): 2 more" in out


def test_without_a_name_the_newest_run_with_weights_is_taken_and_its_data_checked(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = ended([], store, monkeypatch, capsys)
    assert (code, "on other data" in out) == (1, True)
    assert "has changed since (fingerprint" in err
    assert "then f00d)" in err


def test_an_rnn_a_mean_pooling_and_both_directions(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ended(["--run", run_id(store, "rnn single"), "--out", "there"], store, monkeypatch, capsys)
    assert code == 0
    assert "Vanilla RNN" in out
    assert "the model says" not in out
    assert "words: skipped, because no word of the built-in sentence has a vector; give a sentence with --text" in out
    assert sorted(path.stem for path in (tmp_path / "there").glob("*.png")) == ["gradients"]
    text = ["--text", "good1 bad1"]
    code, out, _ = ended(["--run", run_id(store, "scratch single", -1), *text], store, monkeypatch, capsys)
    assert code == 0
    assert "no factor per step is given: with model.pooling mean, the loss depends on every state directly" in out
    assert "│ factor per step" not in out
    assert "┃ factor per step" not in out
    code, out, _ = ended(["--run", run_id(store, "bidirectional confirm"), *text], store, monkeypatch, capsys)
    assert code == 0
    assert "Bidirectional GRU, backward" in out
    assert "update gate, backward" in out


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--run", "zzz"], 2, r"--run must name a run that is in sqlite:.*, but got 'zzz'; these are the newest with"),
    (["--run", ""], 2, r"--run must name one run, but '' begins the ids of 6: give more of it"),
    (["--text", "quark"], 2, r"the text must hold words that have a vector, but got none: 'quark' have none"),
    (["--review", "100000"], 2, r"--review must be at most \d+, the test reviews of .*, but got 100,000"),
    (["--review", "1", "--text", "a"], 2, r"--text and --review must not be given together, but got 'a' and 1"),
    (["--text", ""], 2, r"--text must hold words, but got '': write a sentence, or leave --text out"),
    (["--text", " \t"], 2, r"--text must hold words, but got ' \\t': write a sentence, or leave --text out"),
    (["--text", "..."], 2, r"the text must hold words that have a vector, but got none: try other words"),
    (["--neighbours", "god1"], 2, r"the word must have a vector, but 'god1' has none: did you mean 'good1'\?"),
    (["--out", "file.txt"], 1, r"--out must be a folder that can be written to, but file.txt is not"),
    (["--recall", "--text", ""], 2, r"--text must be left out with --recall, which trains models of its own"),
    (["--recall", "--text", "a"], 2, r"--text must be left out with --recall, which trains models of its own"),
    (["--study", "homework"], 2, r"--study needs --recall, whose result is stored with the study, but got 'homework'"),
    (["--recall", "--study", "other"], 1, r"--study must name a study in sqlite:.*, but there is none yet: run one"),
    (["--recall", "--seeds", "2"], 2, r"--seeds.*3"),
])
def test_what_cannot_be_meant_is_told(
    arguments: list[str], code: int, message: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file.txt").write_text("here first", encoding="utf-8")
    run = [] if "--run" in arguments or "--recall" in arguments else ["--run", run_id(store, "scratch single", 0)]
    got, _, err = ended([*run, *arguments], store, monkeypatch, capsys)
    assert got == code
    assert re.search(message, " ".join(err.replace("│", " ").split()))


def test_a_run_without_weights_is_told_with_those_that_have(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ended(["--run", run_id(store, "scratch trial")], store, monkeypatch, capsys)
    assert code == 1
    assert "must have weights, but trials, studies and runs that broke off have none; these have:" in err
    assert run_id(store, "rnn single") in err


def test_a_store_without_runs_is_told(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    code, _, err = ended([], tmp_path, monkeypatch, capsys)
    assert code == 1
    assert "a run with weights is needed, but none of the 0 runs in" in err


def test_recall_is_measured_and_drawn(tmp_path: Path) -> None:
    """In a process of its own, with the one it starts; on little data, which a small module stands for."""
    (tmp_path / "small.py").write_text(
        "import gru_bench.diagnose.__main__ as diagnose\n"
        "from gru_bench.diagnose import compute as diagnostics\n"
        "if __name__ == '__main__':\n"
        "    diagnostics.recall_curve.__kwdefaults__.update(steps=(1, 3), sequences=200, settings={\n"
        "        **diagnostics.RECALL_SETTINGS, 'training.epochs': 1, 'embedding.dimension': 8})\n"
        "    diagnose.main()\n", encoding="utf-8")
    done = command("small.py", "--recall", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    folder = tmp_path / "diagnostics" / "recall"
    assert sorted(path.name for path in folder.iterdir()) == ["recall.csv", "recall.json", "recall.png", "recall.svg"]
    curve = RecallCurve.from_json((folder / "recall.json").read_text(encoding="utf-8"))
    assert [(point.model, point.k) for point in curve.points] == [
        ("rnn", 1), ("rnn", 3), ("scratch", 1), ("scratch", 3)]
    for point in curve.points:
        assert f"{100 * point.mean:.1f} % [{100 * point.low:.1f}, {100 * point.high:.1f}]" in done.stdout
    assert "the better of 0.003 and 0.01 on validation" in done.stdout
    assert curve.settings["training.epochs"] == "1"


def test_the_recall_curve_is_stored_beside_a_study(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    store = Store()
    parent = store.start("easy", "homework", role="study", study="homework")
    assert store.catch_up()
    curve = RecallCurve((RecallPoint("rnn", 5, (0, 1, 2), (1.0, 0.5, 1.0), 0.833, 0.2, 1.0, 40),), "t", {"a": "b"})
    monkeypatch.setattr(diagnostics, "recall_curve", lambda *_, **__: curve)
    code, _, err = ended(["--recall", "--study", "homwork"], tmp_path, monkeypatch, capsys)
    assert code == 2
    assert "unknown study 'homwork'. Did you mean 'homework'? It must be one of homework." in err
    code, out, _ = ended(["--recall", "--study", "homework"], tmp_path, monkeypatch, capsys)
    assert code == 0
    assert "stored with the study homework: gru-bench report --study homework shows it" in out
    assert RecallCurve.from_json(present(store.text(parent.run_id, "recall.json"))) == curve
