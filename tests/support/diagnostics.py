"""Builders of diagnostics, and of reports on studies that logged them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gru_bench.document.report import Report
from gru_bench.results.diagnostics import (
    Attribution,
    Diagnostics,
    Direction,
    GateMap,
    GradientFlow,
    ModelState,
)
from tests.support.fake_store import FakeStore, Studies, TestSet, add_study
from tests.support.reports import build

TOKENS = ("at", "first", "i", "did", "n't", "like", "it", "!")


def flow(
    model: str, rate: float, state: ModelState = "trained", direction: Direction = "forward", **changes: Any
) -> GradientFlow:
    """Return a flow of gradients that falls by `rate` with each step back."""
    norm = tuple((0.3 * rate ** np.arange(51)).tolist())
    found = GradientFlow(
        model=model, direction=direction, state=state, pooling="final",
        reviews=96, steps_back=tuple(range(51)), norm=norm, low=tuple(0.5 * x for x in norm),
        high=tuple(2 * x for x in norm), decay=rate, fitted=(5, 50))
    return replace(found, **changes)


def gate_map(
    model: str, direction: Direction = "forward", tokens: tuple[str, ...] = TOKENS, units: int = 23
) -> GateMap:
    """Return drawn gates of a model on the tokens."""
    rng = np.random.default_rng(len(model) + len(direction))
    update, reset = rng.random((2, len(tokens), units)).round(4).tolist()
    return GateMap(model, direction, tokens, tuple(map(tuple, update)), tuple(map(tuple, reset)))


def attribution(model: str, tokens: tuple[str, ...] = TOKENS) -> Attribution:
    """Return drawn weights of the tokens in a decision of a model."""
    weight = np.random.default_rng(len(model)).normal(size=len(tokens)).round(3)
    return Attribution(model, tokens, tuple(weight.tolist()), 0.8, "positive", "negative")


def some_diagnostics(tokens: tuple[str, ...] = TOKENS) -> Diagnostics:
    """Return diagnostics of two models, one of them bidirectional."""
    flows = [flow("scratch", 0.64, "initial"), flow("scratch", 0.92),
             flow("bidirectional", 0.63, "initial"), flow("bidirectional", 0.6, "initial", "backward"),
             flow("bidirectional", 0.95), flow("bidirectional", 0.9, direction="backward")]
    return Diagnostics(
        tuple(flows),
        (gate_map("scratch", tokens=tokens), gate_map("bidirectional", tokens=tokens),
         gate_map("bidirectional", "backward", tokens)),
        tuple(attribution(model, tokens) for model in ("scratch", "bidirectional")))


def studies_with(*names: str, diagnostics: Diagnostics | None = None, raw: str = "") -> Studies:
    """Return studies whose first confirmation runs hold these diagnostics.

    Args:
        names: Names of the studies.
        diagnostics: The diagnostics of their models, which have a run for each of these.
        raw: What each of these runs holds instead.
    """
    found = diagnostics or Diagnostics((), (), ())
    parts: tuple[GradientFlow | GateMap | Attribution, ...] = (*found.flows, *found.gates, *found.attributions)
    store, models = FakeStore(), {one.model: None for one in parts}
    for name in names or ("homework",):
        study = add_study(store, name, dict.fromkeys(models or ("scratch", "bidirectional"), 0.0), search=False,
                          test_set=TestSet.draw(100, [""]))
        for run in study.confirms:
            if run.seed == 1000 and (diagnostics is not None or raw):
                own = Diagnostics(
                    tuple(one for one in found.flows if one.model == run.model),
                    tuple(one for one in found.gates if one.model == run.model),
                    tuple(one for one in found.attributions if one.model == run.model), found.review)
                store.artifacts[run.run_id, "diagnostics.json"] = raw or own.to_json()
    return store, store.by_experiment["movie-reviews"]


def report_of(**logged: Any) -> Report:
    """Return a report of a study with these artifacts."""
    store, studies = studies_with(**logged)
    return build(studies, store, experiment="movie-reviews")
