"""The study of the homework as a tracking store would give it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gru_bench.config import flat
from gru_bench.sweep.spec import load_study
from tests.support.fake_store import FakeStore, Studies, TestSet, add_study


def homework() -> Studies:
    """Return the study in its store: 800 test reviews of two categories, three of them without a known word."""
    store = FakeStore()
    skills = {"scratch": 0.0, "torch": 0.01, "bidirectional": 0.16}
    test_set = TestSet.draw(800, ["books", "music"])
    study = add_study(store, "homework", skills, search=False, epochs=5, test_set=test_set,
                      purpose="Does a GRU that reads both ways classify reviews better?")
    confirms, spec = [], load_study("homework")
    for run in study.confirms:
        config = spec.config(run.model, {}, run.seed or 0)
        kept = store.predicted[run.run_id, "test"]
        tokens_N = kept.tokens_N.copy()
        tokens_N[:3] = 0
        store.predicted[run.run_id, "test"] = replace(kept, tokens_N=tokens_N)
        store.metrics[run.run_id]["loss/train_window"] = _window_losses(run.seed or 0, skills[run.model])
        confirms.append(replace(
            run, params={key: str(value) for key, value in flat(config).items()}, backend=config.model.backend,
            metrics={**run.metrics, "size/parameter_tensors": 10.0 if run.model == "bidirectional" else 6.0,
                     "size/parameters": 241_602.0 if run.model == "bidirectional" else 120_802.0},
        ))
    assert study.summary is not None
    summary = replace(
        study.summary,
        data=replace(study.summary.data, name="reviews", embedding="vectors.bin", max_length=None, cut_share=0.0,
                     validation=0),
    )
    studies = store.by_experiment["movie-reviews"]
    studies[studies.index(study)] = replace(study, summary=summary, confirms=tuple(confirms))
    return store, studies


def _window_losses(seed: int, skill: float) -> list[tuple[int, float]]:
    """Return windows of 800 iterations over five epochs of 20,364 reviews; an epoch's unfinished one is dropped."""
    rng = np.random.default_rng(seed)
    steps = [epoch * 20_364 + 800 * window for epoch in range(5) for window in range(1, 26)]
    return [(step, float(0.24 + 0.44 * np.exp(-step / 16_000) - 0.1 * skill + 0.012 * rng.normal())) for step in steps]
