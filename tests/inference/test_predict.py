"""The command `gru-bench predict`: every way to give texts, what it prints, and every mistake."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from gru_bench import cli
from gru_bench.api import load_model
from gru_bench.errors import DataError, ExitCode, UsageError
from gru_bench.inference.card import scores_of
from gru_bench.inference.predict import app
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.taken import asked, candidates, read
from gru_bench.models.saved import save
from gru_bench.models.trained import TrainedModel
from tests.inference.conftest import Studied
from tests.support.commands import completed, mentions, printed
from tests.support.trained_study import made_up


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return made_up()


@pytest.fixture(scope="module")
def folder(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("saved") / "model"
    save(model, path, "", {})
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = ExitCode.DONE) -> tuple[str, str]:
    """Type the command; return its output and its errors, with lines joined."""
    done = completed(app, *words)
    assert done.returncode == code, done.stderr
    out, err = done.stdout, done.stderr
    return out, " ".join(err.split())


# ---------------------------------------------------------------- texts


def test_predicts_texts_with_what_a_study_takes(studied: Studied, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "good1 good2 good3 unheard", "bad1 bad4", "--study", "quick",
                    "--tracking-uri", studied.uri)
    store = studied.store()
    chosen = asked(candidates(store, store.study("quick")), "quick")
    assert chosen.model == "torch"
    assert err == f"study quick: {chosen.label}, test accuracy {scores_of(chosen)['text']}"
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if "│" in line]
    assert [row[0] for row in rows] == ["good1 good2 good3 unheard", "bad1 bad4"]
    model = read(store, chosen)
    expected = Predictor(model).predict([row[0] for row in rows])
    assert [row[1] for row in rows] == expected.label_N
    assert [row[3] for row in rows] == [f"{100 * value:.1f} %" for value in expected.probability_NC[:, 1]]
    assert [row[-1] for row in rows] == ["3 of 4", "2 of 2"]
    assert all(float(row[2].strip(" %")) + float(row[3].strip(" %")) == pytest.approx(100, abs=0.11) for row in rows)


def test_predicts_texts_with_a_saved_model(
    folder: str, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = said(capsys, "word1 word2 nothing", "--model", folder)
    assert err == f"{folder}: torch"
    found = Predictor(model).predict(["word1 word2 nothing"])
    assert found.label_N[0] in out
    assert f"{100 * found.probability_NC[0, 0]:.1f} %" in out
    assert "2 of 3" in out


def test_why_shows_words_with_their_effects(
    folder: str, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = said(capsys, "word1 nothing word2", "unheard", "--model", folder, "--why")
    explained = Predictor(model).explain("word1 nothing word2")
    (line,) = (line for line in out.splitlines() if line.startswith("word1 nothing word2: words for"))
    for word, weight in explained.strongest(2):
        assert f"{word} {weight:+.2f}" in line
    assert "unheard: what speaks" not in out


def test_a_note_counts_the_texts_without_a_known_word(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "unheard of", "--model", folder)
    assert "0 of 2" in out
    mentions(out, "1 text has no known word")
    out, _ = said(capsys, "unheard", "", "word1 word2", "--model", folder)
    mentions(out, "2 texts have no known word")


def test_a_note_counts_the_texts_that_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(made_up(settings={"data.max_length": 2}), tmp_path / "short", "", {})
    out, _ = said(capsys, "word1 word2 word3", "word1 word2", "--model", str(tmp_path / "short"))
    mentions(out, "1 text", "first known words", "data.max_length")


def test_many_classes_show_the_likeliest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = made_up(classes=[f"kind [b]{place}" for place in range(9)])
    save(model, tmp_path / "many", "", {})
    out, _ = said(capsys, "word1 [red] word2", "--model", str(tmp_path / "many"))
    found = Predictor(model).predict(["word1 word2"])
    first = np.argsort(-found.probability_NC[0])[:3]
    assert "word1 [red] word2" in out
    assert ", ".join(f"kind [b]{place} {100 * found.probability_NC[0, place]:.1f} %" for place in first) in out


def test_control_characters_of_a_text_are_shown_as_escapes(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "word1 \x1b[31m word2", "--model", folder)
    assert "\x1b" not in out
    assert "word1" in out


def test_names_in_a_saved_model_do_not_steer_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = replace(made_up(classes=("bad\x1b[2J", "good\x9b")), name="torch\x1b[31m")
    save(model, tmp_path / "model", "", {})
    out, err = said(capsys, "--model", str(tmp_path / "model"), "word1")
    assert "torch\\x1b[31m" in err
    assert "bad\\x1b[2J" in out
    assert not {"\x1b", "\x9b"} & set(out + err)
    loaded = load_model(tmp_path / "model")
    for shown in (loaded, loaded.predict("word1 \ud800"), loaded.explain("word1 \ud800")):
        repr(shown).encode()
        assert not {"\x1b", "\x9b"} & set(repr(shown))
    loaded.explain("word1 \ud800")._repr_html_().encode()


@pytest.mark.parametrize("text_labels", [False, True])
def test_a_saved_model_gives_classes_back_as_its_data_has_them(*, text_labels: bool, tmp_path: Path) -> None:
    save(replace(made_up(classes=("0", "1")), text_labels=text_labels), tmp_path / "model", "", {})
    model = load_model(tmp_path / "model")
    assert model.classes_.tolist() == (["0", "1"] if text_labels else [0, 1])
    assert set(model.predict(["word1", "word2"]).tolist()) <= set(model.classes_.tolist())
    assert model.explain("word1").label in model.classes_.tolist()


def test_a_column_of_pyarrow_is_read_as_a_list_is(folder: str) -> None:
    model, texts = load_model(folder), ["word1 word2", "word3"]
    table = pa.table({"text": texts, "label": model.predict(texts).tolist()})
    for column in (table["text"], pa.array(texts)):
        assert model.predict(column).tolist() == model.predict(texts).tolist()
    assert model.score(table["text"], table["label"]) == 1
    with pytest.raises(DataError, match=r"row 2 .*None"):
        model.predict(pa.array(["word1", None]))


def test_refuses_true_classes_in_a_column_vector(folder: str) -> None:
    model = load_model(folder)
    with pytest.raises(UsageError, match="y must have"):
        model.score(["word1", "word2"], model.predict(["word1", "word2"])[:, None])


def test_a_folder_in_the_home_is_found(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    shutil.copytree(folder, tmp_path / "model")
    assert load_model("~/model").predict(["word1"]) == load_model(folder).predict(["word1"])


# ---------------------------------------------------------------- files


def test_predicts_a_file_part_by_part(
    folder: str, model: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"word{1 + n % 12} word{1 + n % 5}" for n in range(2500)] + ["unheard"]
    with (tmp_path / "in.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "text"), *((f"r{n}", text) for n, text in enumerate(texts))])
    out, _ = said(capsys, "--model", folder, "--file", "in.csv", "--to", "out.csv")
    mentions(out, "out.csv: 2,501 texts", "1 of them has no known word")
    found = Predictor(model).predict(texts)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"r{n}" for n in range(2501)]
    assert [row["label"] for row in rows] == found.label_N
    np.testing.assert_allclose(  # values have six decimals
        [float(row["probability_good"]) for row in rows], found.probability_NC[:, 1], rtol=0, atol=1e-6)
    assert {row["known_words"] for row in rows} == {"1.0", "0.0"}
    assert f"bad {found.label_N.count('bad'):,}" in out
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


@pytest.mark.parametrize(("name", "content"), [
    ("in.jsonl", '{"words": "word1", "key": 5}\n{"words": "word2", "key": 4}\n'),
    ("in.csv", "key,words\n5,word1\n4,word2\n")])
def test_columns_can_be_named(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    said(capsys, "--model", folder, "--file", name, "--to", "out.csv", "--text-column", "words",
         "--id-column", "key")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["5", "4"]


def test_an_encoding_can_be_named(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_bytes("word1 ä\n".encode("cp1252"))
    _, err = said(capsys, "--model", folder, "--file", "in.txt", "--to", "out.csv", code=ExitCode.FAILED)
    mentions(err, "line 1", "0xe4")
    said(capsys, "--model", folder, "--file", "in.txt", "--to", "out.csv", "--encoding", "cp1252")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[1].startswith("1,")


def test_a_failure_in_a_file_names_its_line_and_leaves_nothing(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "word1\n" * 2500 + "word1,word2\n", encoding="utf-8")
    _, err = said(capsys, "--model", folder, "--file", "in.csv", "--to", "out.csv", code=ExitCode.FAILED)
    mentions(err, "line 2,502", "has 2")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_an_output_that_exists_needs_force(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("word1\n", encoding="utf-8")
    words = ("--model", folder, "--file", "in.txt", "--to", "out.csv")
    said(capsys, *words)
    before = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "in.txt").write_text("word1\nword2\n", encoding="utf-8")
    _, err = said(capsys, *words, code=ExitCode.MISTYPED)
    mentions(err, "'out.csv'", "--force")
    assert (tmp_path / "out.csv").read_bytes() == before
    said(capsys, *words, "--force")
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(("name", "content"), [
    ("out.csv", "id,label,note\n1,a,b\n"), ("out.csv", "id,label,probability_a,known_words,note\n"), ("out.csv", ""),
    ("out.parquet", "PAR1")])
def test_force_replaces_nothing_but_predictions(
    name: str, content: str, folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.txt").write_text("word1\n", encoding="utf-8")
    (tmp_path / name).write_text(content, encoding="utf-8")
    words = ("--model", folder, "--file", "in.txt", "--to", name, "--force")
    _, err = said(capsys, *words, code=ExitCode.MISTYPED)
    mentions(err, name, "predictions written by gru-bench")
    assert (tmp_path / name).read_text(encoding="utf-8") == content
    (tmp_path / name).unlink()
    for _ in range(2):
        said(capsys, *words)


def test_refuses_to_replace_the_file_of_the_texts(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text("text\nword1\n", encoding="utf-8")
    for out in ("in.csv", str(tmp_path / "in.csv")):
        _, err = said(capsys, "--model", folder, "--file", "in.csv", "--to", out, "--force", code=ExitCode.MISTYPED)
        mentions(err, "--to", out, "is read by this command")
    assert (tmp_path / "in.csv").read_text(encoding="utf-8") == "text\nword1\n"


def test_a_terminal_shows_a_progress_bar(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(cli, "out", lambda **_: Console(file=screen, force_terminal=True, width=100))
    (tmp_path / "in.txt").write_text("word1\n" * 2100, encoding="utf-8")
    said(capsys, "--model", folder, "--file", "in.txt", "--to", "out.csv")
    assert "predicting" in screen.getvalue()
    assert "2,100 texts" in screen.getvalue()


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(("words", "parts"), [
    ((), ["--file", "quotes"]),
    (("x", "--model", "m", "--file", "f", "--to", "o"), ["--file"]),
    (("--model", "m", "--file", "f"), ["--to", "only --file"]),
    (("--model", "m", "--to", "f"), ["--file", "only --to"]),
    (("--model", "m", "--why"), ["--why"]),
    (("x", "--model", "none"), ["'none'"]),
    (("--model", "m", "--file", "none.csv", "--to", "o.csv"), ["'none.csv'"]),
    (("--model", "m", "--file", "in.txt", "--to", "o.xlsx"), ["--to", ".csv"]),
    (("--model", "m", "--file", "in.txt", "--to", "none/o.csv"), ["--to", "folder"]),
    (("--model", "m", "--file", "in.txt", "--to", "o.csv", "--encoding", "x"), ["encoding", "'x'"]),
])
def test_refuses_what_is_typed_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], parts: list[str]
) -> None:
    (tmp_path / "in.txt").write_text("word1\n", encoding="utf-8")
    out, err = said(capsys, *words, code=ExitCode.MISTYPED)
    mentions(err, *parts)
    assert out == ""


def test_texts_are_asked_for(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, "--model", folder, code=ExitCode.MISTYPED)
    mentions(err, "quotes", "--file")


@pytest.mark.parametrize(("words", "parts"), [
    (("--study", "quik"), ["'quik'", "'quick'"]),
    (("--study", "quick", "--model", "scratch"), ["'scratch'", "torch"]),
])
def test_unknown_names_list_the_known_ones(
    studied: Studied, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], parts: list[str]
) -> None:
    _, err = said(capsys, "x", *words, "--tracking-uri", studied.uri, code=ExitCode.MISTYPED)
    mentions(err, *parts)


def test_a_store_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, "x", "--study", "quick", "--tracking-uri", f"sqlite:///{tmp_path / 'none.db'}",
                  code=ExitCode.FAILED)
    assert "none.db" in err
    assert not (tmp_path / "none.db").exists()


def test_the_help_pages_of_both_commands_load_nothing_heavy() -> None:
    pages, loaded = printed("""
        import contextlib, importlib, io, sys
        from gru_bench import cli
        shown = 0
        for name in ("predict", "save_model"):
            sys.argv = [name, "--help"]
            with contextlib.redirect_stdout(io.StringIO()) as page:
                assert cli.ended(importlib.import_module(f"gru_bench.inference.{name}").app) == 0
            shown += "Usage" in page.getvalue()
        heavy = {"torch", "mlflow", "numba", "pandas", "scipy", "pyarrow", "safetensors", "numpy.random"}
        print(shown, sorted(heavy & set(sys.modules)))
    """).split(maxsplit=1)
    assert (pages, loaded) == ("2", "[]")


@pytest.mark.parametrize("option", [
    ["--text-column", "a"], ["--id-column", "a"], ["--encoding", "cp1252"], ["--force"]])
@pytest.mark.parametrize("texts", [["word1"], []])
def test_refuses_options_of_files_where_there_is_none(
    option: list[str], texts: list[str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = said(capsys, "--model", folder, *option, *texts, code=ExitCode.MISTYPED)
    assert out == ""
    mentions(err, option[0], "--file")
