"""Builders of diagnostics and recall curves, and of reports on studies that logged them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gru_bench.report.document.report import Report
from gru_bench.results.diagnostics import (
    Attribution,
    Diagnostics,
    Direction,
    GateMap,
    GradientFlow,
    ModelState,
    RecallCurve,
    RecallPoint,
)
from tests.support.fake_store import FakeStore, Studies, TestSet, add_study
from tests.support.reports import build
from tests.support.values import present

TOKENS = ("at", "first", "i", "did", "n't", "like", "it", "!")


def flow(
    model: str, rate: float, state: ModelState = "trained", direction: Direction = "forward", **changes: Any
) -> GradientFlow:
    """Return a flow of gradients that falls by `rate` with each step back."""
    norm = tuple((0.3 * rate ** np.arange(51)).tolist())
    found = GradientFlow(
        model=model, direction=direction, state=state, run_id=f"run{model}" if state == "trained" else "",
        pooling="final", reviews=96, steps_back=tuple(range(51)), norm=norm, low=tuple(0.5 * x for x in norm),
        high=tuple(2 * x for x in norm), decay=rate, fitted=(5, 50))
    return replace(found, **changes)


def gate_map(
    model: str, direction: Direction = "forward", tokens: tuple[str, ...] = TOKENS, units: int = 23
) -> GateMap:
    """Return drawn gates of a model on the tokens."""
    rng = np.random.default_rng(len(model) + len(direction))
    update, reset = rng.random((2, len(tokens), units)).round(4).tolist()
    return GateMap(model, direction, f"run{model}", tokens, tuple(map(tuple, update)), tuple(map(tuple, reset)))


def attribution(model: str, tokens: tuple[str, ...] = TOKENS) -> Attribution:
    """Return drawn weights of the tokens in a decision of a model."""
    weight = np.random.default_rng(len(model)).normal(size=len(tokens)).round(3)
    return Attribution(model, f"run{model}", tokens, tuple(weight.tolist()), 0.8, "positive", "negative")


def some_diagnostics(tokens: tuple[str, ...] = TOKENS) -> Diagnostics:
    """Return diagnostics of three models, one of them bidirectional."""
    flows = [flow("rnn", 0.57, "initial"), flow("rnn", 0.76, trained_how="one epoch"),
             flow("scratch", 0.64, "initial"), flow("scratch", 0.92),
             flow("bidirectional", 0.63, "initial"), flow("bidirectional", 0.6, "initial", "backward"),
             flow("bidirectional", 0.95), flow("bidirectional", 0.9, direction="backward")]
    return Diagnostics(
        tuple(flows),
        (gate_map("scratch", tokens=tokens), gate_map("bidirectional", tokens=tokens),
         gate_map("bidirectional", "backward", tokens)),
        tuple(attribution(model, tokens) for model in ("scratch", "bidirectional")))


def some_recall() -> RecallCurve:
    """Return a recall curve of two models at three distances."""
    points = [RecallPoint(model, k, (0, 1, 2), (mean, mean, mean), mean, mean - 0.05, min(1.0, mean + 0.05), 300)
              for model, means in (("rnn", (1.0, 0.55, 0.51)), ("scratch", (1.0, 0.99, 0.53)))
              for k, mean in zip((5, 40, 80), means, strict=True)]
    return RecallCurve(tuple(points), "Satterthwaite t", {"model.hidden_size": "32"})


def studies_with(
    *names: str, diagnostics: Diagnostics | None = None, recall: RecallCurve | None = None, raw: str = "",
) -> Studies:
    """Return studies whose own runs have these artifacts.

    Args:
        names: Names of the studies.
        diagnostics: What each study logged as diagnostics.json.
        recall: What each study logged as recall.json.
        raw: The content of diagnostics.json instead.
    """
    store = FakeStore()
    for name in names or ("homework",):
        study = add_study(store, name, {"scratch": 0.0, "bidirectional": 0.1}, search=False,
                          test_set=TestSet.draw(100, [""]))
        if diagnostics is not None or raw:
            store.artifacts[study.run.run_id, "diagnostics.json"] = raw or present(diagnostics).to_json()
        if recall is not None:
            store.artifacts[study.run.run_id, "recall.json"] = recall.to_json()
    return store, store.by_experiment["movie-reviews"]


def report_of(**logged: Any) -> Report:
    """Return a report of a study with these artifacts."""
    store, studies = studies_with(**logged)
    return build(studies, store, experiment="movie-reviews")
