"""The Python API: from a data frame to a verdict, and what it refuses."""

from __future__ import annotations

import inspect
import math
import pkgutil
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gru_bench as gb
from gru_bench.config import DataConfig
from gru_bench.data.columns import Columns
from gru_bench.data.corpus import load_corpus
from gru_bench.data.frames import keep
from gru_bench.errors import DataError, ExitCode, GruBenchError, IncompleteError, UsageError
from gru_bench.evidence import progress
from gru_bench.inference import predict
from gru_bench.report.render import record, spreadsheets
from gru_bench.study import Study
from gru_bench.tracking import Reader, open_reader
from tests.support.commands import ROOT, command, completed, mentions
from tests.support.fake_store import of_classes
from tests.support.sweeps import without_worker_processes
from tests.support.undrawn import draw_nothing
from tests.support.values import present

SETTINGS = {"embedding.dimension": 8, "embedding.name": "random", "model.backend": "torch", "model.hidden_size": 6,
            "training.threads": 1}
"""For speed. The kernel need not be compiled."""
MODELS = ("torch", "bidirectional")
SMALL: dict[str, Any] = {"model": MODELS, "trials": 1, "confirm": 2, "epochs": 1, "name": "mine", "workers": 1,
                         "settings": SETTINGS, "progress": False}


@pytest.fixture(scope="module")
def frame(easy_csv: Path) -> pd.DataFrame:
    reviews = pd.read_csv(easy_csv).rename(columns={"text": "what was said", "label": "mood"})
    return reviews.assign(mood=reviews["mood"].map({0: "<sad>", 1: "glad"}))


def run(frame: pd.DataFrame, folder: Path, **changes: Any) -> Study:
    with without_worker_processes():
        return gb.run_study(frame, text="what was said", label="mood", folder=folder, **{**SMALL, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    shutil.copy(empty_database, folder)
    return folder


@pytest.fixture(scope="module")
def study(frame: pd.DataFrame, folder: Path) -> Study:
    return run(frame, folder)


class TestStudy:
    def test_the_verdict_is_the_one_of_the_report(
        self, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draw_nothing(monkeypatch)
        verdict = study.verdict()
        page = study.write_report(tmp_path / "out")
        assert page == tmp_path / "out" / "report.html"
        found = record.read(tmp_path / "out")
        models = verdict.findings.models
        assert [one.label for one in models] == [
            "Torch GRU", "Bidirectional GRU", "majority class", "TF-IDF", "n-grams"]
        assert [one.seeds for one in models] == [2, 2, None, None, None]
        logged = study.runs.groupby("model")["score/test_accuracy"].mean().dropna().to_dict()
        assert {one.model: one.score for one in models} == pytest.approx(logged)
        assert study.scores()["score"].tolist() == [one.score for one in models]
        texts = {number.text for number in found.numbers.values()}
        for one in models:
            shown = f"{100 * present(one.score):.1f} %"
            assert shown in repr(verdict)
            assert one.seeds is None or shown.removesuffix(" %") in texts
        assert "<table" in verdict._repr_html_()
        assert any("No verdict on" in one for one in verdict.sentences)
        assert repr(study) == f"study mine\n{verdict!r}"
        assert study._repr_html_() == verdict._repr_html_()

    def test_the_fitted_model_answers_as_a_classifier(self, study: Study) -> None:
        model, texts = study.model, ["good1 good2 unheard", "bad1", "unheard"]
        assert model.classes_.tolist() == ["<sad>", "glad"]
        probability_NC = model.predict_proba(iter(texts))
        assert probability_NC.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
        label_N = model.predict(np.array(texts))
        assert label_N.tolist() == model.classes_[probability_NC.argmax(axis=1)].tolist()
        series = pd.Series(texts, index=[7, 3, 5])
        assert model.predict(series).to_dict() == dict(zip([7, 3, 5], label_N, strict=True))
        frame = model.predict_frame(series)
        assert list(frame) == ["text", "label", "probability_<sad>", "probability_glad", "known_words"]
        assert frame.index.tolist() == [7, 3, 5]
        assert frame["text"].tolist() == texts
        assert frame["known_words"].tolist() == pytest.approx([2 / 3, 1, 0])
        assert model.predict_frame(iter(texts)).reset_index(drop=True).equals(frame.reset_index(drop=True))
        assert model.score(series, [*label_N[:2], "no class"]) == pytest.approx(2 / 3)
        assert model.predict(texts[0]).tolist() == label_N[:1].tolist()
        assert len(model.predict([])) == 0
        assert model.predict_proba([]).shape == (0, 2)

    def test_an_explanation_has_each_word_with_its_effect_and_escapes_them(self, study: Study) -> None:
        effects = study.model.explain("good1 unheard bad1")
        assert [word for word, _ in effects.words] == ["good1", "bad1"]
        assert effects.label in ("<sad>", "glad")
        shown = effects._repr_html_()
        assert "<sad>" not in shown
        assert shown.count("<tr") == 3
        assert "<td>good1</td>" in shown
        assert list(effects.to_frame()) == ["word", "effect"]

    @pytest.mark.parametrize(("y", "parts"), [
        (["glad"], ["each of the 2 texts", "has 1 values"]),
        ([0, 1], ["'<sad>', 'glad'", "type str", "0 of type int"])])
    def test_refuses_to_score_other_classes_or_counts(self, y: list[Any], parts: list[str], study: Study) -> None:
        with pytest.raises(UsageError) as raised:
            study.model.score(["good1", "bad1"], y)
        mentions(str(raised.value), *parts)

    def test_runs_trials_and_predictions_are_data_frames(self, study: Study) -> None:
        runs, trials, predictions = study.runs, study.trials, study.predictions()
        assert runs["role"].value_counts().to_dict() == {
            "study": 1, "trial": 2, "confirm": 4, "baseline": 3}
        assert trials[["model", "state"]].to_numpy().tolist() == [["torch", "complete"], ["bidirectional", "complete"]]
        assert trials["training.lr"].between(1e-3, 8e-3).all()
        assert (predictions["correct"] == (predictions["label"] == predictions["predicted"])).all()
        assert predictions["probability"].between(0, 1).all()
        assert predictions.groupby(["model", "seed"]).size().nunique() == 1
        by_seed = predictions.groupby("run")["correct"].mean()
        confirms = runs[runs["role"] == "confirm"].set_index("id")["score/test_accuracy"]
        assert by_seed.to_dict() == pytest.approx(confirms.to_dict())

    def test_a_saved_model_predicts_as_its_study(self, study: Study, tmp_path: Path) -> None:
        texts = ["good1 good2 word3", "bad1 bad4"]
        saved = gb.load_model(study.save_model(tmp_path / "saved"))
        assert saved.classes_.tolist() == ["<sad>", "glad"]
        assert saved.predict_proba(texts) == pytest.approx(study.model.predict_proba(texts), abs=0.01)
        assert saved.explain(texts[0]).label == study.model.explain(texts[0]).label
        assert repr(saved) == repr(study.model)
        torch = gb.load_model(study.save_model(tmp_path / "torch", model="torch"))
        assert repr(torch).startswith("torch of the study mine, 2 seeds")
        with pytest.raises(UsageError, match="with force"):
            study.save_model(tmp_path / "saved")

    def test_a_study_is_opened_by_name_and_by_the_commands(
        self, study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert gb.open_study("mine", folder=folder).runs["id"].tolist() == study.runs["id"].tolist()
        monkeypatch.chdir(folder)
        done = completed(predict.app, "--study", "mine", "good1 good2")
        assert done.returncode == ExitCode.DONE
        assert study.model.predict("good1 good2")[0] in done.stdout
        with pytest.raises(UsageError, match=r"'other'.*mine"):
            gb.open_study("other")

    def test_the_same_call_starts_and_writes_nothing(
        self, study: Study, frame: pd.DataFrame, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In a thread, where no signal arrives."""
        paths = [folder / "mlflow.db", folder / "optuna.journal"]
        before, stores = study.runs["id"].tolist(), [path.read_bytes() for path in paths]
        again: list[Study] = []
        thread = threading.Thread(target=lambda: again.append(run(frame, folder, progress=True)))
        thread.start()
        thread.join()
        assert again[0].runs["id"].tolist() == before
        mentions(capsys.readouterr().out, "study mine", "mine: 3", "all runs of the study are done")
        assert [path.read_bytes() for path in paths] == stores

    @pytest.mark.usefixtures("study")
    def test_a_changed_frame_is_refused_before_anything_is_trained_on_it(
        self, frame: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gru_bench.data.vectors.load_vectors", lambda *_, **__: pytest.fail("vectors are trained"))
        with pytest.raises(UsageError) as raised:
            run(frame.iloc[7:], folder)
        mentions(str(raised.value), "the data frame has changed", "another name (name)")
        assert "parquet" not in str(raised.value)

    @pytest.mark.usefixtures("study")
    def test_the_call_is_recorded(self, folder: Path) -> None:
        (logged,) = open_reader(f"sqlite:///{folder / 'mlflow.db'}").studies("mine")
        started = logged.run.command
        assert started.startswith("gru_bench.run_study(frame, text='what was said', label='mood', model=(")
        assert "name='mine'" in started

    @pytest.mark.usefixtures("study")
    def test_other_settings_need_another_name(self, frame: pd.DataFrame, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"training.clip_norm.*another name \(name\)"):
            run(frame, folder, settings={**SETTINGS, "training.clip_norm": 7})

    def test_names_in_a_comparison_are_keys_of_the_dictionary_and_models_of_the_studies(self, study: Study) -> None:
        def names(verdict: Any) -> set[str]:
            return {one.label for one in verdict.findings.models}

        torch = study.predictions().query("model == 'torch'")
        assert names(gb.compare({"first": torch, "second": study})) == {"first", "second torch", "second bidirectional"}
        assert names(gb.compare(study)) == names(gb.compare([study])) == {"torch", "bidirectional"}

    def test_pictures_are_those_of_the_report_and_other_kinds_are_refused(self, study: Study) -> None:
        for kind in ("accuracy", "curves", "confusion", "search", "differences"):
            picture = study.plot(kind)
            assert picture.axes
            assert picture._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
        with pytest.raises(UsageError, match=r"'loss'.*accuracy"):
            study.plot("loss")

    def test_the_best_settings_are_those_of_the_best_tuned_model(self, study: Study) -> None:
        confirms = study.runs.query("role == 'confirm'")
        best = confirms.groupby("model")["score/val_accuracy"].mean()
        chosen = confirms[confirms["model"].isin(best[best == best.max()].index)]
        assert any(row[list(study.best_params)].to_dict() == study.best_params for _, row in chosen.iterrows())

    def test_there_is_no_verdict_without_confirmation_runs(
        self, study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (logged,) = open_reader(f"sqlite:///{folder / 'mlflow.db'}").studies("mine")
        monkeypatch.setattr(Reader, "studies", lambda *_: [replace(logged, confirms=(), summary=None)])
        for call in (study.verdict, study.scores, lambda: study.best_params, lambda: study.model,
                     lambda: study.plot("accuracy")):
            with pytest.raises(IncompleteError, match="confirmation run"):
                call()
        assert "confirmation run" in repr(study)


class TestFrames:
    CONTENT: Mapping[str, list[Any]] = {"body": ["a b", "c d", "e f"], "stars": [1, 2, 1], "other": [0.5, None, 1.5]}
    COLUMNS = Columns(label="stars")

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path))

    @pytest.mark.parametrize("make", [
        pa.table, lambda content: pd.DataFrame(content, index=[7, 7, 7]),
        lambda content: pd.DataFrame(content, index=[1, 2, None]),
    ])
    def test_frames_of_the_same_values_are_one_file(self, make: Any, tmp_path: Path) -> None:
        path, columns = keep(self.CONTENT, self.COLUMNS, "a study")
        assert keep(make(self.CONTENT), self.COLUMNS, "a study") == (path, columns)
        assert columns == Columns("body", "stars")
        assert path.name == "a study.parquet"
        table = pa.parquet.read_table(path)
        assert table.to_pydict() == {key: self.CONTENT[key] for key in ("body", "stars")}
        assert len(list((tmp_path / "frames").iterdir())) == 1

    @pytest.mark.parametrize("make", [
        lambda content: pd.DataFrame(content, index=[5, "b", 7]),
        lambda content: pd.DataFrame(content, index=[5, "b", 7]).astype({"body": "category", "stars": "int8"}),
        lambda content: pa.table(content).to_pandas(types_mapper=pd.ArrowDtype).set_axis([5, "b", 7]),
    ])
    def test_an_index_that_names_each_row_once_is_kept(self, make: Any, tmp_path: Path) -> None:
        path, columns = keep(make(self.CONTENT), self.COLUMNS, "a study")
        assert columns == Columns("body", "stars", id="index")
        assert pa.parquet.read_table(path).to_pydict() == {
            "body": self.CONTENT["body"], "stars": self.CONTENT["stars"], "index": ["5", "b", "7"]}
        named = make({**self.CONTENT, "index": ["x", "y", "z"]})
        assert pa.parquet.read_table(keep(named, self.COLUMNS, "a study")[0])["index"].to_pylist() == ["5", "b", "7"]
        assert keep(named, replace(self.COLUMNS, category="index"), "a study")[1].id is None
        own, _ = keep(named, replace(self.COLUMNS, id="index"), "a study")
        assert pa.parquet.read_table(own)["index"].to_pylist() == ["x", "y", "z"]

    def test_a_frame_of_other_values_or_another_name_is_another_file(self, tmp_path: Path) -> None:
        changed = {**self.CONTENT, "stars": [1, 2, 2]}
        paths = {keep(content, self.COLUMNS, name)[0]
                 for content in (self.CONTENT, changed) for name in ("a", "b")}
        assert len(paths) == 4

    def test_a_frame_that_is_gone_from_the_cache_is_asked_for(self, tmp_path: Path) -> None:
        path, _ = keep(self.CONTENT, self.COLUMNS, "a")
        path.unlink()
        with pytest.raises(UsageError, match=r"a\.parquet.*run_study"):
            load_corpus(DataConfig(name=str(path)), tmp_path)

    @pytest.mark.parametrize(("name", "file"), [("a/b: c?*[1]", "a-b- c-1.parquet"), ("..", "frame.parquet"),
                                                ("NUL", "NUL-data.parquet"), ("x" * 200, f"{'x' * 80}.parquet")])
    def test_any_name_becomes_a_name_of_a_file(self, name: str, file: str, tmp_path: Path) -> None:
        assert keep(self.CONTENT, self.COLUMNS, name)[0].name == file


FRAME = pd.DataFrame({"review": ["a b", "c d"] * 20, "sentiment": [0, 1] * 20})


@pytest.mark.parametrize(("changes", "error", "parts"), [
    ({"text": "rewiev"}, UsageError, ["'rewiev'", "'review'", "review, sentiment", "text column"]),
    ({"data": FRAME.rename(columns={"review": 3})}, UsageError, ["text column", "'3'", "'sentiment'"]),
    ({"data": FRAME.iloc[:0]}, DataError, ["no rows"]),
    ({"data": [1, 2]}, UsageError, ["data", "pandas, polars, pyarrow", "[1, 2] of type list"]),
    ({"data": FRAME["review"]}, UsageError, ["of type Series"]),
    ({"data": FRAME.assign(review=[1, "a"] * 20)}, DataError, ["'review'", "one kind"]),
    ({"data": {"text": ["a", "b"], "label": [10**30, 1]}}, DataError, ["'label'", "too large"]),
    ({"data": FRAME.assign(review=pd.Series([["a"]] * 40))}, DataError, ["single values"]),
    ({"data": FRAME.assign(sentiment=[math.nan] * 40)}, DataError, ["'sentiment' of", "parquet"]),
    ({"data": "nowhere.csv"}, UsageError, ["'nowhere.csv'"]),
    ({"model": "lstm"}, UsageError, ["'lstm'", "bidirectional, scratch, torch"]),
    ({"model": []}, UsageError, ["model", "empty"]),
    ({"trials": -1}, UsageError, ["trials", "-1"]),
    ({"epochs": 0}, UsageError, ["epochs", "got 0"]),
    ({"workers": 0}, UsageError, ["workers", "got 0"]),
    ({"model": 3}, UsageError, ["model must be", "list of texts", "3 of type int"]),
    ({"trials": "3"}, UsageError, ["trials must be a whole number", "'3'"]),
    ({"workers": 1.5}, UsageError, ["workers must be a whole number", "1.5"]),
    ({"name": b"x"}, UsageError, ["name must be text", "b'x'"]),
    ({"text": 3}, UsageError, ["data.text_column must be text", "3"]),
    ({"folder": None}, UsageError, ["folder must be a text or a path", "None"]),
    ({"folder": "a\0b"}, UsageError, ["cannot write the folder", "null"]),
    ({"settings": 3}, UsageError, ["settings must be a dictionary", "3"]),
    ({"settings": {"seed": -1}}, UsageError, ["seed", "-1"]),
    ({"columns": "user"}, UsageError, ["columns must be a dictionary", "'user'"]),
    ({"columns": {"text": "review"}}, UsageError, ["'text'", "category, group, id, split"]),
    ({"columns": {"group": 3}}, UsageError, ["columns must be a dictionary of names", "group is 3 of type int"]),
    ({"columns": {"id": ""}}, UsageError, ["data.id_column must not be empty"]),
    ({"data": {"text": 3, "label": [1]}}, DataError, ["'text' of", "a text in each row", "3"]),
    ({"data": {"text": ["a"], "label": [1, 0]}}, DataError, ["columns of the frame", "equally long"]),
    ({"settings": {"trainig.lr": 1}}, UsageError, ["'trainig.lr'", "'training.lr'"]),
    ({"settings": {"data.group_column": "user"}}, UsageError, ["data.group_column", "argument columns"]),
    ({"settings": {"model.name": "torch"}}, UsageError, ["model.name", "argument model"]),
    ({"settings": {"data.test_share": 0}}, UsageError, ["data.test_name"]),
])
def test_refuses_arguments_and_says_what_to_give(
    changes: dict[str, Any], error: type[GruBenchError], parts: list[str]
) -> None:
    with without_worker_processes(), pytest.raises(error) as raised:
        gb.run_study(**{"data": FRAME, "progress": False, "workers": 1, **changes})
    mentions(str(raised.value), *parts)


@pytest.mark.parametrize("call", [lambda: gb.open_study(3), lambda: gb.load_model(3)])  # type: ignore[arg-type]
def test_refuses_names_and_folders_of_another_type(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=r"must be a text.* 3 of type int"):
        call()


def test_probabilities_of_several_classes_are_numbers() -> None:
    store, (study,) = of_classes(3, seeds=2, size=60)
    found = Study(study.run.study, store).predictions()  # type: ignore[arg-type]
    by_class = found[[name for name in map(str, found) if name.startswith("probability_")]]
    assert by_class.shape == (120, 3)
    assert by_class.dtypes.tolist() == [float] * 3
    assert by_class.sum(axis=1).to_numpy() == pytest.approx(np.ones(120), abs=1e-6)
    assert found["probability"].tolist() == by_class.max(axis=1).tolist()


@pytest.mark.parametrize(("rows", "numbers"), [(["-7", "12"], True), (["7", "1" + "0" * 20], False)])
def test_numbers_of_rows_and_classes_are_those_of_the_data(
    rows: list[str], numbers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (study,) = of_classes(3, seeds=2, size=60)
    data = replace(present(progress.study_data(study, store)), classes=("1", "2", "other"))
    monkeypatch.setattr(progress, "study_data", lambda *_: data)
    monkeypatch.setattr(spreadsheets, "predictions_table", lambda *_: iter([
        ["row", "label", "predicted", "probability"], *([row, "1", "2", "0.5"] for row in rows)]))
    found = Study(study.run.study, store).predictions()  # type: ignore[arg-type]
    assert found["row"].tolist() == (list(map(int, rows)) if numbers else rows)
    assert found["label"].tolist() == ["1", "1"]  # as the data has them, where another class is a word


@pytest.mark.parametrize(("texts", "error", "parts"), [
    (["good", math.nan], DataError, ["row 2 has nan"]), (["good", None], DataError, ["row 2 has None"]),
    ([3], DataError, ["row 1 has 3"]), ([["good"]], DataError, ["row 1 has ['good']"]), (3, UsageError, ["type int"]),
    (pd.DataFrame({"n": [1], "Review": ["good"]}), UsageError, ["'n', 'Review'", "frame['Review']"]),
    ({"a": ["good"], "b": ["bad"]}, UsageError, ["'a', 'b'", "frame['NAME']"])])
def test_refuses_to_predict_what_is_no_text(
    texts: Any, error: type[GruBenchError], parts: list[str], study: Study
) -> None:
    with pytest.raises(error) as raised:
        study.model.predict(texts)
    mentions(str(raised.value), *parts)
    with pytest.raises(GruBenchError):
        study.model.explain(texts)


def test_the_examples_of_the_page_work(
    study: Study, frame: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    frame.rename(columns={"what was said": "review", "mood": "sentiment"}).to_csv("reviews.csv")
    for name, right in (("bert", 9), ("tfidf", 6)):
        pd.DataFrame({"id": range(40), "label": [0, 1] * 20, "prediction": [
            place % 2 if place % 10 < right else 1 - place % 2 for place in range(40)]}).to_csv(f"{name}.csv")
    asked, reports = [], list[str]()
    signature = inspect.signature(gb.run_study)
    described = (inspect.getdoc(gb.run_study) or "").partition("Raises:")[0]
    assert re.findall(r"^    (\w+): ", described, re.MULTILINE) == list(signature.parameters)

    def done(*arguments: Any, **named: Any) -> Study:
        asked.append(signature.bind(*arguments, **named).arguments)
        return study

    for name, value in (("run_study", done), ("open_study", lambda name: study)):
        monkeypatch.setattr(gb, name, value, raising=False)
    monkeypatch.setattr(study, "write_report", reports.append)
    there = {"__name__": "page"}
    examples = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for example in examples:
        exec(example, there)
    assert [sorted(call) for call in asked] == [["data", "label", "model", "text", "trials"]]
    assert reports == ["out"]


# ---------------------------------------------------------------- names


def test_public_names_are_loaded_late_and_are_no_packages() -> None:
    packages = {module.name for module in pkgutil.iter_modules(gb.__path__)}
    names = set(dir(gb))
    assert names >= set(gb.__all__) >= {"run_study", "compare", "open_study", "load_model"}
    assert not packages & set(gb.__all__)
    assert all(getattr(gb, name) is not None for name in gb.__all__)
    with pytest.raises(AttributeError, match="no attribute 'run_studdy'"):
        _ = gb.run_studdy
    done = command("-c", "import gru_bench, sys; dir(gru_bench); print('numpy' in sys.modules)", cwd=ROOT)
    assert done.stdout == "False\n"


# ---------------------------------------------------------------- scripts


SCRIPT = """
import os, signal

import gru_bench as gb
from gru_bench.sweep.workers import local

print("begun", flush=True)
words = {0: "bad poor sad", 1: "good fine glad"}
frame = {"text": [f"{words[n % 2]} id{n}" for n in range(120)], "label": [n % 2 for n in range(120)]}

def call():
    study = gb.run_study(frame, model="torch", trials=1, confirm=2, epochs=1, workers=1, progress=False,
                         settings={"embedding.name": "random", "embedding.dimension": 8, "model.backend": "torch"})
    print(len(study.predictions()), flush=True)

def interrupted(pool, job, submit=local.Pool.submit):
    submit(pool, job)
    if job.key.endswith(" 0"):
        local.Pool.submit = submit
        os.kill(os.getpid(), signal.SIGINT)

local.Pool.submit = interrupted
try:
    call()
except KeyboardInterrupt:
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
call()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("database")
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there")
def test_a_script_without_a_guard_continues_after_ctrl_c_and_its_next_call_completes_the_study(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    done = command("script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    begun, restored, count = done.stdout.splitlines()
    assert (begun, restored) == ("begun", "True")
    assert int(count) > 0
    runs = gb.open_study("torch").runs
    assert runs[runs["role"] == "trial"]["state"].tolist() == ["killed", "complete"]
    assert runs[runs["role"] != "baseline"]["state"].tolist().count("complete") == 4
