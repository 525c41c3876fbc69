"""A small study that is trained and logged in this process, as a sweep would log it, and a made-up trained model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from gru_bench.config import RunConfig, Scalar, with_settings
from gru_bench.data.corpus import load_corpus
from gru_bench.data.vectors import load_vectors
from gru_bench.models.saved import with_model
from gru_bench.models.trained import TABLE, TrainedLinear, TrainedModel
from gru_bench.results.runs import DataSummary, RunResult
from gru_bench.stats.baseline import baselines
from gru_bench.stats.linear import LinearModel
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.study import FORMAT
from gru_bench.tracking import Store
from gru_bench.train.loop import train
from gru_bench.train.network import untrained
from tests.support.runs import summary

SEEDS = (10_000, 10_001)
QUICK: Mapping[str, Scalar] = {
    "embedding.dimension": 6, "model.hidden_size": 5, "model.backend": "torch", "training.batch_size": 32,
    "training.epochs": 2, "training.lr": 0.03, "training.threads": 1, "training.device": "cpu"}


def database(directory: Path) -> str:
    return f"sqlite:///{directory / 'mlflow.db'}"


def log_study(
    directory: Path, csv: Path, models: Sequence[str] = ("torch",), *, seeds: Sequence[int] = SEEDS,
    name: str = "quick", metric: str = "accuracy", settings: Mapping[str, Scalar] | None = None, linear: bool = False,
) -> dict[str, list[RunResult]]:
    """Train each model on each seed, and log the study with its searches. Return the results by model.

    With `linear`, its baselines are logged too, with their weights.
    """
    config = with_settings(RunConfig(), {**QUICK, "data.name": str(csv), **(settings or {})})
    corpus = load_corpus(config.data)
    vectors = load_vectors(config.embedding, corpus)
    store = Store(database(directory))
    parent = store.start("easy", name, role="study", study=name, fingerprint=corpus.fingerprint,
                         command=f"gru-bench sweep --study {name}.toml --data {csv}")
    parent.params({"study": name, "models": ",".join(models), "confirm": len(seeds), "metric": metric})
    results: dict[str, list[RunResult]] = {}
    storage = open_storage(str(directory / "optuna.journal"))
    record = optuna.create_study(study_name=name, direction="maximize", storage=storage)
    record.set_user_attr("format", FORMAT)
    for model in models:
        optuna.create_study(study_name=f"{name}/{model}", direction="maximize", storage=storage)
        record.set_user_attr(f"search {model}", {"identity": {"data": corpus.fingerprint}})
        for seed in seeds:
            own = with_settings(config, {"model.name": model, "seed": seed})
            writer = store.start("easy", f"{name}: {model} seed {seed}", role="confirm", study=name, model=model,
                                 fingerprint=corpus.fingerprint, config=own, parent=parent.run_id)
            result = train(own, corpus, vectors, score_test=True)
            writer.finish(with_model(result, vectors))
            results.setdefault(model, []).append(result)
    for fit in baselines(corpus, "accuracy", weights=True) if linear else ():
        writer = store.start("easy", f"{name} {fit.model}", role="baseline", study=name, model=fit.model,
                             fingerprint=corpus.fingerprint, parent=parent.run_id)
        writer.baseline(fit)
        writer.complete()
    counts = np.bincount(np.concatenate([corpus.split(s).label_N for s in ("train", "validation", "test")]))
    data = DataSummary(
        "easy", corpus.fingerprint, len(corpus.train), len(corpus.validation), len(corpus.test), 0.5, {}, 0, 0,
        len(corpus.words), config.embedding.name, vectors.dimension, len(vectors.words_V) - 1, 0.1,
        config.data.max_length, 0.0, corpus.available, corpus.classes, tuple(counts.tolist()))
    parent.text("study.json", replace(
        summary(), name=name, models=tuple(models), trials=(), confirm_seeds=tuple(seeds),
        best={model: {} for model in models}, best_value={}, importance={}, data=data).to_json())
    parent.complete()
    return results


def study_folder(folder: Path, empty_database: Path, csv: Path, *studies: Mapping[str, Any]) -> Path:
    """Log studies, each with its settings of `log_study`, into a store in a folder."""
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for settings in studies:
            log_study(folder, csv, **settings)
    return folder


def made_up(
    words: int = 12, classes: Sequence[str] = ("bad", "good"), *, seeds: Sequence[int] = (1, 2), width: int = 4,
    settings: Mapping[str, Scalar] | None = None,
) -> TrainedModel:
    """Return a model with drawn weights: `word1`, `word2` and so on are its words."""
    config = with_settings(RunConfig(), {"model.name": "torch", "model.hidden_size": 3, **(settings or {})})
    rng = np.random.default_rng(0)
    tables = [np.concatenate([np.zeros((1, width)), rng.normal(size=(words, width))]).astype(np.float32)
              for _ in seeds]
    weights = []
    for seed, table_VE in zip(seeds, tables, strict=True):
        network = untrained(with_settings(config, {"seed": seed}), torch.from_numpy(table_VE), len(classes))
        weights.append({name: value.numpy() * (1 if name == TABLE else 4)
                        for name, value in network.state_dict().items()})
    return TrainedModel(
        study="quick", name=config.model.name, config=config, seeds=tuple(seeds), classes=tuple(classes),
        words_V=["", *(f"word{place}" for place in range(1, words + 1))],
        table_VE=None if config.embedding.trainable else tables[0], weights_S=tuple(weights),
        run_ids=tuple(f"run{seed}" for seed in seeds))


def made_up_linear(temperature: float | None = None) -> TrainedLinear:
    """Return a linear model of two classes, which knows two n-grams."""
    weights = LinearModel(2, np.array([0, 1]), 2, ("word1", "word2 word3"), np.array([[2], [-1]], np.float32),
                          np.zeros(1), None)
    return TrainedLinear("ngrams", weights, {"baseline.regularization": 1.0}, temperature)


def seed_of(model: TrainedModel, place: int) -> TrainedModel:
    """Return the model of one seed alone, the one at this position."""
    return replace(model, seeds=(model.seeds[place],), weights_S=(model.weights_S[place],),
                   run_ids=model.run_ids[place:place + 1])
