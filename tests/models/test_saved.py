"""A saved model comes back as it was, and whatever else is in the folder is refused by name."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench import platforms
from gru_bench.config import RunConfig, with_settings
from gru_bench.errors import DataError, GruBenchError, UsageError
from gru_bench.inference.predictor import Predictor
from gru_bench.models import saved
from gru_bench.models.saved import ABOUT, CARD, WEIGHTS, contents, load, save
from gru_bench.models.trained import TABLE, TrainedModel
from gru_bench.train.network import untrained
from tests.support.commands import mentions, printed
from tests.support.trained_study import made_up, made_up_linear
from tests.support.values import present

SCORES = {"metric": "accuracy", "value": 0.9, "low": None, "text": "90 %", "means": {"score/test_loss": 0.25}}
TEXTS = ["word1 word2 word3", "", "word9 nothing word4"]


KINDS = ("frozen", "trained", "linear", "average")
"""Networks with frozen and with trained vectors, a linear model, and an average."""
EACH = pytest.mark.parametrize("model", KINDS, indirect=True)
"""Other tests take networks with frozen vectors."""


def made(kind: str) -> TrainedModel:
    networks = replace(made_up(settings={"embedding.trainable": kind == "trained"}), temperature=1.5)
    if kind == "average":
        return replace(networks, name="average", linear=made_up_linear(0.7))
    return networks if kind != "linear" else TrainedModel(
        "quick", "ngrams", with_settings(RunConfig(), {"data.text_column": "review", "data.id_column": "key"}), (),
        ("bad", "good"), run_ids=("run3",), linear=made_up_linear())


@pytest.fixture
def model(request: pytest.FixtureRequest) -> TrainedModel:
    return made(getattr(request, "param", "frozen"))


@pytest.fixture
def folder(model: TrainedModel, tmp_path: Path) -> Path:
    save(model, tmp_path / "model", "# A card", SCORES)
    return tmp_path / "model"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(folder: Path, kind: type[GruBenchError] = DataError) -> str:
    with pytest.raises(kind) as found:
        load(folder)
    assert str(folder) in str(found.value)
    return str(found.value)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def resealed(folder: Path, tensors: dict[str, Any]) -> None:
    """Put tensors in the place of those of a saved model, with their digest, as someone who knows the form could."""
    from safetensors.numpy import load_file
    from safetensors.numpy import save as to_bytes

    sealed_weights(folder, to_bytes({**load_file(folder / WEIGHTS), **tensors}))


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change model.json and give it the right digest, as someone who knows the form could."""
    content = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    change(content)
    del content["digest"]
    content["digest"] = saved._digest_of(content)
    (folder / ABOUT).write_text(json.dumps(content), encoding="utf-8")


# ---------------------------------------------------------------- a whole folder


@EACH
def test_a_saved_model_comes_back(model: TrainedModel, folder: Path) -> None:
    found, scores = load(folder)
    assert scores == SCORES
    for name in ("study", "name", "config", "seeds", "classes", "run_ids", "temperature"):
        assert getattr(found, name) == getattr(model, name), name
    assert list(found.words_V) == list(model.words_V)
    for place in range(len(model.seeds)):
        assert np.array_equal(found.table(place), model.table(place))
        assert found.weights_S[place].keys() == model.weights_S[place].keys()
        for name, value in model.weights_S[place].items():
            assert found.weights_S[place][name].dtype == value.dtype == np.float32
            assert np.array_equal(found.weights_S[place][name], value)
    assert (found.linear is None) == (model.linear is None)
    if found.linear is not None and model.linear is not None:
        for name in ("name", "settings", "temperature"):
            assert getattr(found.linear, name) == getattr(model.linear, name), name
    assert np.array_equal(Predictor(found).predict(TEXTS).probability_NC,
                          Predictor(model).predict(TEXTS).probability_NC)
    assert (folder / CARD).read_text(encoding="utf-8") == "# A card"
    assert names(folder) == sorted([ABOUT, CARD, WEIGHTS])
    assert [TABLE in weights for weights in found.weights_S] == [model.config.embedding.trainable] * len(model.seeds)


def test_numbers_are_stored_in_32_bits(tmp_path: Path) -> None:
    model = made_up()
    wide = replace(model, table_VE=present(model.table_VE).astype(np.float64), weights_S=tuple(
        {name: value.astype(np.float16) for name, value in weights.items()} for weights in model.weights_S))
    save(wide, tmp_path / "model", "", {})
    found, _ = load(tmp_path / "model")
    assert {value.dtype.name for one in found.weights_S for value in (*one.values(), found.table(0))} == {"float32"}


@EACH
def test_the_same_model_has_the_same_bytes(model: TrainedModel) -> None:
    assert contents(model, SCORES) == contents(replace(model), SCORES)


def test_scores_that_json_lacks_are_missing_when_read(tmp_path: Path) -> None:
    save(made_up(), tmp_path / "model", "", {"value": float("nan"), "low": float("inf"), "n": np.float64(0.1)})
    assert load(tmp_path / "model")[1] == {"value": None, "low": None, "n": 0.1}


def test_names_with_odd_characters_are_stored(tmp_path: Path) -> None:
    odd = replace(made_up(classes=("\x00\u2028 é", "</script> 😀")), study="naïve 中文", run_ids=())
    save(odd, tmp_path / "é 中", "", {})
    found, _ = load(tmp_path / "é 中")
    assert (found.classes, found.study, found.run_ids) == (odd.classes, odd.study, ())


def test_paths_of_the_training_machine_are_left_out(tmp_path: Path) -> None:
    model = made_up(settings={"data.name": "/home/me/secret/mine.csv", "data.test_name": "/home/me/t.csv",
                       "embedding.name": "/home/me/v.bin"})
    save(model, tmp_path / "model", "", {})
    found, _ = load(tmp_path / "model")
    assert (found.config.data.name, found.config.data.test_name, found.config.embedding.name) == (
        "mine.csv", "t.csv", "v.bin")
    assert b"/home/me" not in b"".join(path.read_bytes() for path in (tmp_path / "model").iterdir())


def test_no_pickle_and_no_text_is_in_the_folder(folder: Path) -> None:
    for path in folder.iterdir():
        content = path.read_bytes()
        assert path.suffix in (".json", ".safetensors", ".md")
        assert not content.startswith((b"\x80", b"PK"))


@pytest.mark.slow
def test_a_fresh_process_predicts_without_data_or_cache(tmp_path: Path) -> None:
    # Another backend needs no compiled kernel, which would take a while in an empty cache.
    model = made_up(settings={"model.backend": "torch"})
    save(model, tmp_path / "model", "", SCORES)
    (tmp_path / "cache").mkdir()
    expected = Predictor(load(tmp_path / "model")[0]).predict(TEXTS).probability_NC[:, 0]
    code = f"""
        import sys
        from pathlib import Path
        from gru_bench.models.saved import load
        from gru_bench.inference.predictor import Predictor
        found = Predictor(load(Path({str(tmp_path / 'model')!r}))[0]).predict({TEXTS!r})
        assert not {{"mlflow", "optuna", "gensim", "matplotlib"}} & set(sys.modules)
        print(*found.probability_NC[:, 0].tolist())
    """
    found = [float(value) for value in printed(code, GRU_BENCH_CACHE=str(tmp_path / "cache")).split()]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert names(tmp_path / "cache") == []


@pytest.mark.slow
@pytest.mark.parametrize(("trainable", "most"), [(False, 80_000_000), (True, 280_000_000)])
def test_the_default_study_has_the_size_that_the_documentation_promises(
    tmp_path: Path, trainable: bool, most: int
) -> None:
    """Five bidirectional GRUs with 128 hidden units over 43,879 words, whose vectors have 300 numbers."""
    config = with_settings(RunConfig(), {"model.name": "bidirectional", "model.hidden_size": 128,
                                         "model.pooling": "meanmax", "embedding.trainable": trainable})
    table_VE = np.ones((43_879, 300), np.float32)
    network = untrained(config, torch.from_numpy(table_VE))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    seeds = tuple(range(10_000, 10_005))
    words = ["", *(f"averageword{place}"[-8:] for place in range(1, 43_879))]
    size = save(TrainedModel("bidirectional", "bidirectional", config, seeds, ("negative", "positive"), words,
                             None if trainable else table_VE, (weights,) * 5), tmp_path / "model", "a card", SCORES)
    assert size == sum(path.stat().st_size for path in (tmp_path / "model").iterdir())
    assert 0.5 * most < size < most


# ---------------------------------------------------------------- folders to write to


def test_a_folder_that_is_taken_is_refused(tmp_path: Path) -> None:
    model = made_up()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notes.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for force in (False, True):
        for path, said in (
            ("others", r"\(notes.txt\): choose another"), ("file", "file'"), ("file/model", "file'"), ("link", "link'"),
            ("..", r"'.*\.\.'"),
        ):
            with pytest.raises(UsageError, match=said):
                save(model, tmp_path / path, "", {}, force=force)
    with pytest.raises(UsageError, match=r"'\.'"):
        save(model, Path(), "", {})
    save(model, tmp_path / "empty", "", {})
    with pytest.raises(UsageError, match="force"):
        save(model, tmp_path / "empty", "", {})
    save(replace(model, study="newer"), tmp_path / "empty", "", {}, force=True)
    assert load(tmp_path / "empty")[0].study == "newer"
    assert names(tmp_path) == ["empty", "file", "link", "others"]


@pytest.mark.parametrize("stranger", ["notes.txt", ".git", "model.safetensors.bak"])
def test_force_deletes_no_other_files(folder: Path, model: TrainedModel, stranger: str) -> None:
    (folder / stranger).touch()
    with pytest.raises(UsageError, match=rf"\({re.escape(stranger)}\)"):
        save(model, folder, "", {}, force=True)
    assert stranger in names(folder)
    assert load(folder)[0].study == model.study


def test_a_folder_within_new_folders_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(made_up(), Path("a/b/model"), "", {})
    assert load(Path("a/b/model"))[0].study == "quick"


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("step", ["write", "move"])
def test_an_interrupt_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, step: str
) -> None:
    if there:
        save(replace(made_up(), study="before"), tmp_path / "model", "", {})

    def interrupt(source: Any, target: Any = None) -> None:
        if step == "write" or source.suffix == ".part":
            raise KeyboardInterrupt
        os.replace(source, target)  # noqa: PTH105

    monkeypatch.setattr(*((saved, "_packed") if step == "write" else (platforms, "replace")), interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(made_up(), tmp_path / "model", "", {}, force=True)
    monkeypatch.undo()
    assert names(tmp_path) == (["model"] if there else [])
    if there:
        assert load(tmp_path / "model")[0].study == "before"


# ---------------------------------------------------------------- folders that were changed


@EACH
def test_each_file_is_refused_when_it_is_changed(folder: Path) -> None:
    for name in names(folder):
        whole = (folder / name).read_bytes()
        places = sorted({0, 1, len(whole) // 2, len(whole) - 2, len(whole) - 1})
        for changed in (*(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:] for at in places),
                        whole[:-1], whole[:len(whole) // 2], b"", whole + b" x"):
            (folder / name).write_bytes(changed)
            if name == CARD:
                load(folder)
            else:
                assert name in refused(folder)
        (folder / name).write_bytes(whole)
    load(folder)


@EACH
def test_each_file_is_refused_when_it_is_missing(folder: Path) -> None:
    for name in names(folder):
        (folder / name).rename(folder / "away")
        if name == CARD:
            load(folder)
        else:
            assert name in refused(folder)
        (folder / "away").rename(folder / name)


def test_a_file_of_another_model_is_refused(folder: Path, model: TrainedModel, tmp_path: Path) -> None:
    save(replace(model, words_V=["", *(f"other{place}" for place in range(12))]), tmp_path / "two", "", {})
    shutil.copy(tmp_path / "two" / WEIGHTS, folder)
    mentions(refused(folder), WEIGHTS, "was changed")


@pytest.mark.parametrize("format_", [4, None, "x", 6, 10**30])
def test_another_format_is_refused_by_its_number(folder: Path, format_: object) -> None:
    rewritten(folder, lambda content: content.update(format=format_))
    mentions(refused(folder), f"format 5, but has {format_!r}:", "save it again")


def test_a_model_of_another_tokenizer_is_refused(folder: Path) -> None:
    rewritten(folder, lambda content: content["tokenizer"].update(version=0))
    mentions(refused(folder), "tokenizer", "'version': 0", "save it again")


@pytest.mark.parametrize("change", [
    {"classes": ["one"]}, {"classes": "ab"}, {"seeds": []}, {"seeds": [1, "2"]},
    {"seeds": [1, 2, 3]}, {"files": {}}, {"files": {"../secret": "0"}}, {"files": {"": "0"}}, {"config": {}},
    {"config": {"seed": "x"}}, {"config": {"model": {"hidden_size": -1}}}, {"kind": "something"}, {"format": True},
    {"format": 5.0}, {"scores": []}, {"study": None},
    {"temperature": 0.0}, {"temperature": -1.0}, {"temperature": "2"}, {"temperature": 1e-320}, {"temperature": 1e300},
    {"classes": ["same", "same"]}, {"linear": {}}, {"seeds": [], "linear": None},
    {"linear": {"name": "ngrams", "settings": {}, "temperature": None}}])
def test_a_model_json_with_impossible_values_is_refused(folder: Path, change: dict[str, Any]) -> None:
    rewritten(folder, lambda content: content.update(change))
    try:
        found, _ = load(folder)
        Predictor(found)
    except (DataError, UsageError):
        return
    assert change == {"config": {}}
    raise AssertionError("settings of another model must not fit")


@pytest.mark.parametrize(("change", "named"), [
    ({"embedding": {"dropout": 0.3}}, "embedding.dropout"), ({"no": {"such": 1}}, "'no'"), ({"data": 7}, "data"),
    ({"training": {"lr": -1}}, "training.lr"), ({"seed": int("9" * 4_000)}, "seed")])
def test_a_model_with_a_wrong_setting_is_refused_by_its_name(
    folder: Path, change: dict[str, Any], named: str
) -> None:
    rewritten(folder, lambda content: content["config"].update(change))
    mentions(refused(folder), ABOUT, named)


def test_a_model_json_that_was_edited_is_refused(folder: Path) -> None:
    path = folder / ABOUT
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("0.9", "0.99"), encoding="utf-8")
    mentions(refused(folder), f"{ABOUT} was changed")


@pytest.mark.parametrize("content", [
    b"[]", b"null", b"7", b'"text"', b"{}", b"{", b"\xff\xfe", b"", b"[" * 200_000, b'{"kind": "another kind"}',
    b'{"format": ' + b"1" * 6000 + b"}", b'{"kind": "gru-bench model", "format": 5}',
    b'{"kind": "gru-bench model", "format": 5, "digest": "\\ud800"}', b"NaN"])
def test_a_model_json_of_another_form_is_refused(folder: Path, content: bytes) -> None:
    (folder / ABOUT).write_bytes(content)
    assert ABOUT in refused(folder)


@pytest.mark.parametrize("content", ["[1, 2]", "{}", "[", '["only one"]', "null",
                                     pytest.param("[" * 100_000, id="nested deep")])
def test_words_of_another_form_are_refused(folder: Path, content: str) -> None:
    resealed(folder, {"vectors.words": np.frombuffer(content.encode(), np.uint8)})
    with pytest.raises(DataError, match=r"no words|a vector for each"):
        Predictor(load(folder)[0])


@pytest.mark.parametrize("table_VE", [
    np.ones((13, 0), np.float32), np.ones((0, 7), np.float32), np.ones(13, np.float32), np.ones((2, 7), np.float32),
    np.ones((13, 7)), np.ones((13, 7), np.float32)])
def test_vectors_of_another_form_are_refused(folder: Path, table_VE: Any) -> None:
    resealed(folder, {"vectors.table": table_VE})
    with pytest.raises(DataError, match=r"no vectors|must fit|a vector for each|float32"):
        Predictor(load(folder)[0])


@EACH
def test_a_file_without_tensors_is_refused(folder: Path) -> None:
    from safetensors.numpy import save as to_bytes

    sealed_weights(folder, to_bytes({"table": np.ones(3, np.float32)}))
    mentions(refused(folder), WEIGHTS)


@pytest.mark.parametrize("model", ["linear"], indirect=True)
@pytest.mark.parametrize("tensors", [
    {"linear.bias": np.zeros(1, np.float32)}, {"linear.weight": np.zeros((3, 2), np.float32)},
    {"linear.weight": np.full((2, 1), np.nan, np.float32)}, {"linear.form": np.array([3, 2, 0])},
    {"linear.form": np.array([2, 2])}, {"linear.more": np.zeros(1)}, {"linear.ngrams": np.array([255], np.uint8)}])
def test_a_linear_model_of_another_form_is_refused(folder: Path, tensors: dict[str, Any]) -> None:
    resealed(folder, tensors)
    mentions(refused(folder), WEIGHTS, "linear model", "cannot be read")


def sealed_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    rewritten(folder, lambda about: about["files"].update({WEIGHTS: digest(folder / WEIGHTS)}))


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(folder: Path, model: TrainedModel, value: float) -> None:
    weights = np.array(model.weights_S[0]["linear.weight"])
    weights[0, 1] = value
    resealed(folder, {"seeds.0.linear.weight": weights})
    mentions(refused(folder), WEIGHTS, "'seeds.0.linear.weight'", "not finite")


def test_weights_that_are_too_large_to_compute_with_are_refused_when_they_are_asked(
    folder: Path, model: TrainedModel
) -> None:
    resealed(folder, {
        "seeds.0.gru.bias_ih_l0": np.repeat(np.array([0, -100, 100], np.float32), 3),  # each state is 1
        "seeds.0.linear.weight": np.full_like(model.weights_S[0]["linear.weight"], 3e38)})
    asked = Predictor(load(folder)[0])
    for ask in (lambda: asked.predict(["word1 word2"]), lambda: asked.explain("word1 word2")):
        with pytest.raises(DataError, match="finite"):
            ask()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.parametrize("name", [ABOUT, WEIGHTS])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_the_place_of_a_file_is_not_read(folder: Path, name: str, kind: str) -> None:
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    mentions(refused(folder), name, "is no file")


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "I8", "BOOL", "F128"])
def test_weights_of_another_type_are_refused(folder: Path, kind: str) -> None:
    size = 2 if kind == "F4" else 4
    header = json.dumps({"seeds.0.linear.weight": {"dtype": kind, "shape": [4], "data_offsets": [0, size]}}).encode()
    sealed_weights(folder, len(header).to_bytes(8, "little") + header + b"\0" * size)
    assert WEIGHTS in refused(folder)


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none", "file"):
        mentions(refused(tmp_path / name, UsageError), "folder")
    (tmp_path / "empty").mkdir()
    assert ABOUT in refused(tmp_path / "empty")
    (tmp_path / "empty" / ABOUT).mkdir()
    assert ABOUT in refused(tmp_path / "empty")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzzed")
    for kind in KINDS:
        save(made(kind), root / kind, "", SCORES)
    return root


@settings(max_examples=25)
@given(data=st.data())
def test_no_bytes_raise_other_errors(whole: Path, data: st.DataObject) -> None:
    folder = whole / data.draw(st.sampled_from(KINDS))
    path = folder / data.draw(st.sampled_from([ABOUT, WEIGHTS]))
    before, about = path.read_bytes(), (folder / ABOUT).read_bytes()
    start = data.draw(st.integers(0, len(before)))
    end = data.draw(st.integers(start, min(len(before), start + 40)))
    changed = before[:start] + data.draw(st.binary(max_size=30)) + before[end:]
    try:
        path.write_bytes(changed)
        if path.name != ABOUT and data.draw(st.booleans()):  # with the right digest, what it says is read
            rewritten(folder, lambda content: content["files"].update({path.name: digest(path)}))
        try:
            Predictor(load(folder)[0]).predict(["word1"])
        except (DataError, UsageError):
            return
        if path.name == ABOUT:
            assert json.loads(changed) == json.loads(before)
    finally:
        path.write_bytes(before)
        (folder / ABOUT).write_bytes(about)
