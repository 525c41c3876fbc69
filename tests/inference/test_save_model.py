"""The command `gru-bench save-model`: the folder that it writes answers as the study does, and every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from gru_bench.cli import line
from gru_bench.data.corpus import load_corpus
from gru_bench.errors import ExitCode
from gru_bench.inference.predict import app as predict_app
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.save_model import app
from gru_bench.inference.taken import asked, candidates, read
from gru_bench.models.saved import load
from tests.inference.conftest import Studied
from tests.support.commands import completed, mentions


def said(
    studied: Studied, capsys: pytest.CaptureFixture[str], *words: str, code: int = ExitCode.DONE
) -> tuple[str, str]:
    done = completed(app, "--study", "quick", "--tracking-uri", studied.uri, *words)
    assert done.returncode == code, done.stderr
    out, err = done.stdout, done.stderr
    return " ".join(out.split()), " ".join(err.split())


def test_the_winner_is_saved_with_all_its_seeds(
    studied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = said(studied, capsys, "my model")
    size = sum(path.stat().st_size for path in (tmp_path / "my model").iterdir())
    mentions(out, "my model: Torch GRU (all seeds) of the study quick", f"{size:,} bytes")
    assert out.endswith(f"next: {line(['gru-bench', 'predict', '--model', 'my model', 'A text of yours.'])}")
    saved, scores = load(tmp_path / "my model")
    store = studied.store()
    chosen = asked(candidates(store, store.study("quick")), "quick")
    expected = read(store, chosen)
    assert (saved.seeds, saved.classes) == (expected.seeds, expected.classes)
    texts = list(studied.texts.values())
    assert np.array_equal(Predictor(saved).predict(texts).probability_NC,
                          Predictor(expected).predict(texts).probability_NC)
    assert scores["value"] == pytest.approx(chosen.accuracy.value)
    done = completed(predict_app, "good1 good2", "--model", "my model")
    assert done.returncode == ExitCode.DONE
    assert "2 of 2" in done.stdout


def test_nothing_of_the_data_is_in_the_folder(
    studied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(studied, capsys, "model")
    content = b"".join(path.read_bytes() for path in (tmp_path / "model").iterdir())
    corpus = load_corpus(studied.results[0].config.data)
    for split in ("train", "validation", "test"):
        assert not [text for text in corpus.texts(split) if text.encode() in content]
    assert str(studied.csv).encode() not in content
    assert str(studied.directory).encode() not in content


def test_the_card_is_of_this_model(studied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(studied, capsys, "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    content = json.loads((tmp_path / "model" / "model.json").read_text(encoding="utf-8"))
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == content["scores"]["value"]
    assert content["scores"]["text"] in card


def test_a_saved_model_is_replaced_with_force_alone(
    studied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(studied, capsys, "model")
    card = tmp_path / "model" / "README.md"
    card.write_text("mine", encoding="utf-8")
    _, err = said(studied, capsys, "model", code=ExitCode.MISTYPED)
    mentions(err, "force", "'model'")
    assert card.read_text(encoding="utf-8") == "mine"
    said(studied, capsys, "model", "--force")
    assert card.read_text(encoding="utf-8") != "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("words", "parts"), [
    ((), ["folder", "--register"]),
    (("model", "--model", "scratch"), ["'scratch'", "torch"]),
    (("model", "--study", "quik"), ["'quik'", "'quick'"]),
    ((".",), ["'.'"]),
])
def test_refuses_what_is_typed_wrongly(
    studied: Studied, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], parts: list[str]
) -> None:
    _, err = said(studied, capsys, *words, code=ExitCode.MISTYPED)
    mentions(err, *parts)
    assert list(tmp_path.iterdir()) == []
