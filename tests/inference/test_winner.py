"""The winner is chosen on validation alone, and its weights are read with all that could be wrong about them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gru_bench.archive.container import pack, unpack
from gru_bench.archive.study import export_study, import_study
from gru_bench.data.vectors import load_vectors
from gru_bench.errors import DataError, GruBenchError, IncompleteError, RunError, UsageError
from gru_bench.inference import winner as winners
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.winner import best_seed, choose, find_study, load
from gru_bench.tracking import LoggedStudy, Store
from tests.inference.conftest import Studied
from tests.support.archives import stores
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, one_each, with_params
from tests.support.values import present

VAL = ("score/val_accuracy", "score/val_loss", "size/parameters")
Scores = Mapping[str, tuple[float | None, ...]]
"""Model -> validation accuracy, validation log loss and parameters of its seeds."""


def study_of(scores: Scores, *, metric: str = "accuracy", seeds: int = 2) -> tuple[FakeStore, LoggedStudy]:
    """A study whose runs have these validation scores. Each model is better on test than the one before."""
    store = FakeStore()
    study = add_study(store, "many", {model: 0.3 * place for place, model in enumerate(scores)}, seeds=seeds,
                      search=False, test_set=TestSet.draw(60))
    confirms = []
    for run in study.confirms:
        kept = {key: value for key, value in run.metrics.items() if key not in VAL}
        mine = {key: value for key, value in zip(VAL, scores[run.model], strict=True) if value is not None}
        confirms.append(replace(run, metrics=kept | mine))
    return store, with_params(replace(study, confirms=tuple(confirms)), metric=metric)


@pytest.mark.parametrize(("scores", "metric", "expected"), [
    # The last is the best on test, and never wins by that.
    ({"torch": (0.9, 0.3, 9.0), "scratch": (0.8, 0.2, 1.0), "bidirectional": (0.7, 0.1, 1.0)}, "accuracy", "torch"),
    ({"torch": (0.7, 0.3, 9.0), "scratch": (0.8, 0.4, 9.0), "bidirectional": (0.7, 0.1, 1.0)}, "accuracy", "scratch"),
    ({"torch": (0.9, 0.3, 9.0), "scratch": (0.8, 0.2, 9.0), "bidirectional": (0.99, 0.4, 1.0)}, "log_loss", "scratch"),
    # Equal scores: the lower loss, then fewer parameters.
    ({"torch": (0.9, 0.3, 1.0), "scratch": (0.9, 0.2, 9.0), "bidirectional": (0.8, 0.1, 1.0)}, "accuracy", "scratch"),
    ({"torch": (0.9, 0.2, 9.0), "scratch": (0.9, 0.2, 5.0), "bidirectional": (0.9, 0.2, 7.0)}, "accuracy", "scratch"),
    ({"torch": (0.9, 0.2, 9.0), "scratch": (0.9, 0.2, 5.0), "bidirectional": (0.5, 0.2, 7.0)}, "log_loss", "scratch"),
])
def test_the_best_validation_score_wins(scores: Scores, metric: str, expected: str) -> None:
    store, study = study_of(scores, metric=metric)
    found = choose(store, study)
    assert found.name == expected
    assert sorted([found.name, *found.beaten]) == sorted(scores)


@pytest.mark.parametrize("metric", ["macro_f1", "roc_auc"])
def test_the_best_in_the_score_of_the_study_wins(metric: str) -> None:
    store, study = study_of({"torch": (0.9, 0.1, 1.0), "scratch": (0.8, 0.2, 1.0)}, metric=metric)
    higher = {"torch": 0.5, "scratch": 0.6}
    study = replace(study, confirms=tuple(
        replace(run, metrics={**run.metrics, f"score/val_{metric}": higher[run.model]}) for run in study.confirms))
    assert choose(store, study).name == "scratch"


def test_the_best_mean_over_the_seeds_wins() -> None:
    store, study = study_of({"torch": (0.8, 0.3, 1.0), "scratch": (0.8, 0.3, 1.0)})
    values = {("torch", 1000): 0.99, ("torch", 1001): 0.5, ("scratch", 1000): 0.8, ("scratch", 1001): 0.7}
    study = replace(study, confirms=tuple(
        replace(run, metrics={**run.metrics, VAL[0]: values[run.model, run.seed or 0]}) for run in study.confirms))
    found = choose(store, study)
    assert (found.name, best_seed(found)) == ("scratch", 0)
    assert best_seed(choose(store, study, "torch")) == 0


def test_another_model_can_be_named() -> None:
    store, study = study_of({"torch": (0.9, 0.3, 9.0), "scratch": (0.8, 0.2, 1.0)})
    found = choose(store, study, "scratch")
    assert (found.name, found.beaten) == ("scratch", ("torch",))


def test_an_unknown_model_lists_the_known_ones() -> None:
    store, study = study_of({"torch": (0.9, 0.3, 9.0), "scratch": (0.8, 0.2, 1.0)})
    with pytest.raises(UsageError, match=r"'scratsch'.*'scratch'.*scratch, torch"):
        choose(store, study, "scratsch")


@pytest.mark.parametrize("lacking", [VAL[:1], VAL[1:2], VAL[:2]])
def test_without_validation_a_model_must_be_named(lacking: tuple[str, ...]) -> None:
    store, study = study_of({model: tuple(None if key in lacking else 0.5 for key in VAL)
                             for model in ("torch", "scratch")})
    with pytest.raises(UsageError, match="--model: torch, scratch"):
        choose(store, study)
    assert choose(store, study, "scratch").name == "scratch"
    assert best_seed(choose(store, study, "scratch")) == 0


def test_one_model_needs_no_validation() -> None:
    store, study = study_of({"torch": (None, None, None)})
    assert choose(store, study).name == "torch"


@pytest.mark.parametrize(("metric", "values", "expected"), [
    ("accuracy", (0.7, 0.9, 0.8), 1), ("log_loss", (0.7, 0.9, 0.2), 2), ("accuracy", (0.9, 0.9, 0.8), 0),
    ("log_loss", (None, 0.9, 0.8), 2), ("accuracy", (None, None, 0.1), 2), ("log_loss", (None, None, None), 0)])
def test_the_best_seed_is_that_of_the_best_validation_score(
    metric: str, values: tuple[float | None, ...], expected: int
) -> None:
    store, study = study_of({"torch": (None, None, None)}, metric=metric, seeds=3)
    key = "score/val_loss" if metric == "log_loss" else VAL[0]
    study = replace(study, confirms=tuple(
        run if value is None else replace(run, metrics={**run.metrics, key: value})
        for run, value in zip(study.confirms, values, strict=True)))
    assert best_seed(choose(store, study)) == expected


def test_a_study_without_complete_confirm_runs_is_not_complete() -> None:
    store = FakeStore()
    study = add_study(store, "failing", {"torch": 0.0}, seeds=0, failed=2, search=False)
    with pytest.raises(IncompleteError, match=r"confirm run.*--study failing"):
        choose(store, study)


def test_failed_seeds_are_left_out() -> None:
    store, (study,) = one_each({"torch": 0.0}, seeds=2, failed=1, test_set=TestSet.draw(60))
    assert len(choose(store, study).group.runs) == 2


# ---------------------------------------------------------------- studies of a store


def test_an_unknown_study_lists_the_known_ones(studied: Studied) -> None:
    with pytest.raises(UsageError, match=r"'quik'.*'quick'"):
        find_study(studied.store(), "quik")


def test_a_store_without_studies_says_how_to_run_one(database: Path) -> None:
    with pytest.raises(UsageError, match="gru-bench sweep --study smoke"):
        find_study(Store(f"sqlite:///{database}", create=False), "quick")


def test_the_newest_study_of_a_name_is_taken(studied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    store = studied.store()
    (study,) = store.studies("easy")
    newer = replace(study, run=replace(study.run, run_id="newer", started=study.run.started + 1))
    monkeypatch.setattr(store, "studies", lambda _: [study, newer, study])
    assert find_study(store, "quick").run.run_id == "newer"


# ---------------------------------------------------------------- weights


def test_all_seeds_are_read_with_their_words(studied: Studied) -> None:
    store = studied.store()
    loaded = load(store, choose(store, find_study(store, "quick")))
    assert loaded.model.seeds == tuple(result.config.seed for result in studied.results)
    assert loaded.model.classes == ("0", "1")
    assert loaded.model.words_V[0] == ""
    assert {"good1", "bad1"} < set(loaded.model.words_V)
    for weights, result in zip(loaded.model.weights_S, studied.results, strict=True):
        assert weights.keys() == result.weights.keys()
        assert all(np.array_equal(weights[name], result.weights[name]) for name in weights)
    expected = sum(result.predictions["test"].probability_NC for result in studied.results) / len(studied.results)
    found = Predictor(loaded.model).predict(loaded.corpus.texts("test"))
    np.testing.assert_allclose(found.probability_NC, expected, rtol=0, atol=1e-5)


def test_single_reads_the_best_seed(studied: Studied) -> None:
    store = studied.store()
    winner = choose(store, find_study(store, "quick"))
    scores = [(result.predictions["validation"].probability_NC[:, 1] > 0.5) == result.predictions["validation"].label_N
              for result in studied.results]
    best = int(np.argmax([right_N.mean() for right_N in scores]))
    both, one = load(store, winner).model, load(store, winner, single=True).model
    assert one.seeds == (studied.results[best].config.seed,)
    assert one.config.seed == one.seeds[0]
    assert (both.best, one.best) == (best, 0)
    assert both.single(both.best).seeds == one.seeds


def refused(store: Store, kind: type[GruBenchError]) -> str:
    with pytest.raises(kind) as found:
        load(store, choose(store, find_study(store, "quick")))
    return str(found.value)


def test_weights_that_were_not_logged_are_named(studied: Studied, tmp_path: Path) -> None:
    store = studied.copied(tmp_path)
    (run, *_) = find_study(store, "quick").confirms
    present(store._local_artifacts(run.run_id)).joinpath("model/weights.safetensors").unlink()
    mentions(refused(store, RunError), run.run_id, "weights", "delete the runs in MLflow", "gru-bench sweep")


def test_weights_that_an_archive_left_out_are_named(studied: Studied, database: Path, tmp_path: Path) -> None:
    files, unpacked = tmp_path / "files", tmp_path / "unpacked"
    files.mkdir()
    unpacked.mkdir()
    transfer = export_study(*stores(studied.directory), "quick", files, experiment=None, texts=True, weights=False)
    pack(tmp_path / "quick.zip", files, transfer.about())
    manifest = unpack(tmp_path / "quick.zip", unpacked)
    import_study(unpacked, manifest.sizes, manifest.content, *stores(tmp_path), None)
    said = refused(Store(f"sqlite:///{database}", create=False), RunError)
    mentions(said, "--no-weights", "gru-bench archive import FILE --study-name quick-2")


def test_data_that_are_gone_are_named(studied: Studied, tmp_path: Path) -> None:
    said = refused(studied.copied(tmp_path, tmp_path / "mine.csv"), DataError)
    mentions(said, f"'{tmp_path / 'mine.csv'}'", "gru-bench save-model --study quick DIR")


def test_data_that_have_changed_are_named(studied: Studied, tmp_path: Path) -> None:
    csv = Path(shutil.copy(studied.csv, tmp_path / "mine.csv"))
    with csv.open("a", encoding="utf-8") as file:
        file.write("a new review,1,books\n")
    mentions(refused(studied.copied(tmp_path, csv), DataError), "has changed", "fingerprint",
             "gru-bench predict --model DIR")


def test_other_vectors_are_noticed(studied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    real = load_vectors

    def others(*arguments: object, **options: object) -> object:
        vectors = real(*arguments, **options)  # type: ignore[arg-type]
        return replace(vectors, table_VE=-3 * np.asarray(vectors.table_VE))

    monkeypatch.setattr(winners, "load_vectors", others)
    said = refused(studied.store(), DataError)
    mentions(said, "differs by up to 0.", "word vectors 'corpus'")
