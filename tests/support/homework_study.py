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
from gru_bench.results.runs import Ablation
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore, Studies, TestSet, add_study, logged, run_hash
from tests.support.renderings import said, section_of
from tests.support.reports import build
from tests.support.sections import build_only

BACKENDS = {"scratch": "fused", "torch": "torch", "bidirectional": "torch"}
ABLATIONS = (
    Ablation("pooling", "Is the backward half of use once its final state is read?", "bidirectional", "fused",
             {"model.pooling": "last"}, {"model.pooling": "final"}),
    Ablation("selection", "Does it help to keep the best epoch on validation?", "bidirectional", "fused",
             {"training.selection": "lowest_train_window"}, {"training.selection": "best_validation"}),
    Ablation("lr", "Does a larger learning rate reach more in the same epochs?", "bidirectional", "fused",
             {"training.lr": 1e-4}, {"training.lr": 1e-3}, tuned=True),
)
GAIN = {"usual": 0.0, "pooling": 0.25, "selection": 0.005, "lr": 0.2}
"""Skill of each side of the ablations."""
TRIED = {1e-4: 0.7, 3e-4: 0.72, 1e-3: 0.74}
"""Learning rate -> validation accuracy of the run that tried it."""


def add_homework(
    store: FakeStore, skills: Mapping[str, float] | None = None, *, name: str = "homework", seeds: int = 5,
    ablation_seeds: int = 5, settings: Mapping[str, Any] | None = None, empty: int = 3,
    ablations: tuple[Ablation, ...] = ABLATIONS,
    wordless: Mapping[str, int] | None = None, test_set: TestSet | None = None,
) -> LoggedStudy:
    """Add a study of the protocol to the store and return it.

    Args:
        store: The store that holds the study afterwards.
        skills: Model -> skill, as `add_study` takes it.
        name: Name of the study.
        seeds: Confirmation runs of each model.
        ablation_seeds: Runs of each side of an ablation.
        settings: Settings of the confirmation runs that depart from the protocol.
        empty: Test reviews without a known word.
        ablations: The ablations of the study.
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
        study.summary, protocol="homework", ablations=ablations,
        ablation_seeds=tuple(range(5000, 5000 + ablation_seeds)),
        data=replace(study.summary.data, name="reviews", embedding="vectors.bin", max_length=None, cut_share=0.0,
                     validation=0, wordless={"train": 7, "test": empty} if wordless is None else wordless),
    )
    validation, other_cut = (TestSet.draw(600, ["books", "music"], seed=seed) for seed in (9, 10))
    other_cut.id_N[:60] = validation.id_N[:60]
    runs = []
    for side, skill in GAIN.items():
        for seed in summary.ablation_seeds:
            rng = np.random.default_rng([seed, *side.encode()])
            run_id = run_hash(name, "ablation", side, seed)
            lean_N = 0.3 * np.random.default_rng(8).normal(size=validation.id_N.size)
            store.predicted[run_id, "validation"] = validation.predictions(rng, lean_N, skill + 0.02 * rng.normal())
            runs.append(logged(
                run_id, name=f"{side} seed {seed}", role="ablation", study=name, model="bidirectional", seed=seed,
                tags={"gru_bench.side": "usual" if side == "usual" else "other",
                      "gru_bench.ablation": ",".join(c.name for c in ablations) if side == "usual" else side},
            ))
    for ablation in ablations:
        for lr, accuracy in TRIED.items() if ablation.tuned else ():
            run_id = run_hash(name, "tuning", ablation.name, lr)
            store.predicted[run_id, "validation"] = other_cut.predictions(np.random.default_rng(0), np.zeros(600), 0.0)
            runs.append(logged(
                run_id, name=f"lr {lr}", role="ablation", study=name,
                model="bidirectional", seed=0, params={"training.lr": str(lr)},
                metrics={"score/val_accuracy": accuracy},
                tags={"gru_bench.side": "tuning", "gru_bench.ablation": ablation.name},
            ))
    made = replace(study, summary=summary, confirms=tuple(confirms), ablations=tuple(runs))
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
