"""A study of the homework's protocol as a tracking store would give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gru_bench.config import RunConfig, flat, with_settings
from gru_bench.report.document.blocks import Paragraph
from gru_bench.report.document.report import Report, Section
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.homework import published
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore, Studies, TestSet, add_study
from tests.support.renderings import said, section_of
from tests.support.reports import build
from tests.support.sections import build_only

BACKENDS = {"scratch": "fused", "torch": "torch", "bidirectional": "torch"}


def add_homework(
    store: FakeStore, skills: Mapping[str, float] | None = None, *, name: str = "homework", seeds: int = 5,
    settings: Mapping[str, Any] | None = None, empty: int = 3,
    wordless: Mapping[str, int] | None = None, test_set: TestSet | None = None,
) -> LoggedStudy:
    """Add a study of the protocol to the store and return it.

    Args:
        store: The store that holds the study afterwards.
        skills: Model -> skill, as `add_study` takes it.
        name: Name of the study.
        seeds: Confirmation runs of each model.
        settings: Settings of the confirmation runs that depart from the protocol.
        empty: Test reviews without a known word.
        wordless: Split -> reviews without a known word; by default 7 of training and `empty` of the test.
        test_set: Test examples; by default 800 in two categories.
    """
    skills = skills or {"scratch": 0.0, "torch": 0.01, "bidirectional": 0.16}
    test_set = test_set or TestSet.draw(800, ["books", "music"])
    study = add_study(store, name, dict(skills), seeds=seeds, search=False, epochs=5, test_set=test_set,
                      purpose="Does a GRU that reads both ways classify reviews better?")
    confirms = []
    for run in study.confirms:
        config = with_settings(RunConfig(), {
            **published.SETTINGS, "model.name": run.model, "model.relu": published.RELU[run.model],
            "model.backend": BACKENDS[run.model], "seed": run.seed, **(settings or {}),
        })
        kept = store.predicted[run.run_id, "test"]
        tokens_N = kept.tokens_N.copy()
        tokens_N[:empty] = 0
        store.predicted[run.run_id, "test"] = replace(kept, tokens_N=tokens_N)
        store.metrics[run.run_id]["loss/train_window"] = _window_losses(run.seed or 0, skills[run.model])
        confirms.append(replace(
            run, params={key: str(value) for key, value in flat(config).items()}, backend=BACKENDS[run.model],
            metrics={**run.metrics, "size/parameter_tensors": 10.0 if run.model == "bidirectional" else 6.0,
                     "size/parameters": 241_602.0 if run.model == "bidirectional" else 120_802.0},
        ))
    assert study.summary is not None
    summary = replace(
        study.summary, protocol="homework",
        data=replace(study.summary.data, name="reviews", embedding="vectors.bin", max_length=None, cut_share=0.0,
                     validation=0, wordless={"train": 7, "test": empty} if wordless is None else wordless),
    )
    made = replace(study, summary=summary, confirms=tuple(confirms))
    studies = store.by_experiment["movie-reviews"]
    studies[studies.index(study)] = made
    return made


def _window_losses(seed: int, skill: float) -> list[tuple[int, float]]:
    """Return windows of 800 iterations over five epochs of 20,364 reviews; an epoch's unfinished one is dropped."""
    rng = np.random.default_rng(seed)
    steps = [epoch * 20_364 + 800 * window for epoch in range(5) for window in range(1, 26)]
    return [(step, float(0.24 + 0.44 * np.exp(-step / 16_000) - 0.1 * skill + 0.012 * rng.normal())) for step in steps]


def homework(**options: Any) -> Studies:
    """Return one study of the protocol."""
    store = FakeStore()
    add_homework(store, **options)
    return store, store.by_experiment["movie-reviews"]


def homework_report(*contents: Callable[[Evidence], Section | None], **options: Any) -> Report:
    """Return the report of one study of the protocol, with all sections or with these only."""
    store, studies = homework(**options)
    return build_only(studies, store, *contents) if contents else build(studies, store)


def conclusions_of(report: Report) -> list[str]:
    """Return the conclusion of each study in the discussion of a report."""
    return [said(block.text) for block in section_of(report, "discussion").blocks
            if isinstance(block, Paragraph) and block.lead == "Conclusion."]
