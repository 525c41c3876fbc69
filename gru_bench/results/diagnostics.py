"""What the diagnostics found: gradients through time, gates, words and memory, as frozen values and as JSON.

Plain values (no torch, no numpy), so that a report can read them anywhere. `diagnostics.py` computes them; a
study keeps them as `diagnostics.json` and `recall.json` beside its own run.

Shapes: `S` steps back in time, `T` tokens of a sentence, `H` units of a state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from gru_bench.results.runs import parsed

State = Literal["initial", "trained"]
Direction = Literal["forward", "backward"]

DIAGNOSTICS = "diagnostics.json"
RECALL = "recall.json"
STATES: Mapping[State, str] = {"initial": "before training", "trained": "trained"}
"""What the weights of a gradient flow are called in tables."""
EVERY_STEP = ("mean", "max", "meanmax")
"""Poolings whose gradient reaches the state of every step directly."""


@dataclass(frozen=True)
class GradientFlow:
    """How much of the loss's gradient reaches the states before the last one.

    The last state of a direction is the one it ends in: at the last token read forwards, at the first read backwards.
    """

    model: str
    direction: Direction
    state: State
    """Of the weights."""
    run_id: str
    pooling: str
    """`mean`, `max` and `meanmax` feed a gradient in at every step, `last` and `final` at the end alone. With `last`
    the backward direction is read after its first step, so that there is nothing before it."""
    reviews: int
    """Reviews of at least `S` tokens that were looked at."""
    steps_back: tuple[int, ...]
    """S steps, from 0: the state that is read last."""
    norm: tuple[float, ...]
    """By step, the Euclidean norm of dLoss/dh, in nats: geometric mean over the reviews."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Lower and upper quartile over the reviews."""
    decay: float | None
    """Factor per step: exp of the slope of a least-squares line through log `norm`; None below three steps."""
    fitted: tuple[int, int]
    """First and last step back that the line was fitted to."""
    trained_how: str = ""
    """Where the model was trained for this comparison alone, how; empty for a run of the study."""


@dataclass(frozen=True)
class GateMap:
    """How far a GRU's gates stand open over a sentence: 0 shut, 1 open."""

    model: str
    direction: Direction
    run_id: str
    tokens: tuple[str, ...]
    """T, those that have a vector, in the order of the sentence."""
    update: tuple[tuple[float, ...], ...]
    """T x H, the z of `h' = z * h + (1 - z) * n`: 1 keeps the state, 0 replaces it."""
    reset: tuple[tuple[float, ...], ...]
    """T x H, the r with which the state enters the candidate: 0 leaves it out."""


@dataclass(frozen=True)
class Attribution:
    """How much each word of a sentence moves a model's decision."""

    model: str
    run_id: str
    method: str
    """`gradient times input` or `occlusion`."""
    tokens: tuple[str, ...]
    weight: tuple[float, ...]
    """By token, in nats of the log-odds of label 1: above 0 it speaks for 1, below for 0."""
    probability: float
    """Of label 1, for the whole sentence."""


@dataclass(frozen=True)
class Neighbours:
    """The words nearest to a word among the vectors."""

    word: str
    nearest: tuple[tuple[str, float], ...]
    """Word and cosine, the nearest first."""


@dataclass(frozen=True)
class Diagnostics:
    """What can be seen inside the models of a study."""

    flows: tuple[GradientFlow, ...]
    gates: tuple[GateMap, ...]
    attributions: tuple[Attribution, ...]
    neighbours: tuple[Neighbours, ...]
    review: str = ""
    """Of which split the review is whose words they are; empty for a sentence of no review."""

    def without_review(self) -> Diagnostics:
        """Return them without what holds words of a review."""
        return replace(self, gates=(), attributions=(), review="") if self.review else self

    def to_json(self) -> str:
        """Return the diagnostics as JSON text."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Diagnostics:
        """Rebuild diagnostics from `to_json`'s text."""
        found = parsed(cls, text)
        for flow in found.flows:
            if not len(flow.steps_back) == len(flow.norm) == len(flow.low) == len(flow.high) > 0:
                raise ValueError("the steps of a gradient are not as many as its norms")
        for gates in found.gates:
            widths = {len(row) for row in (*gates.update, *gates.reset)}
            if not len(gates.tokens) == len(gates.update) == len(gates.reset) > 0 or len(widths) != 1 or 0 in widths:
                raise ValueError("the gates are not as many as the tokens")
        if any(len(one.tokens) != len(one.weight) for one in found.attributions):
            raise ValueError("the weights are not as many as the words")
        return found


@dataclass(frozen=True)
class RecallPoint:
    """How often a model remembers a token over `k` steps."""

    model: str
    k: int
    """Steps between the token that decides and the end."""
    seeds: tuple[int, ...]
    accuracy: tuple[float, ...]
    """On the test sequences, by seed."""
    mean: float
    low: float
    high: float
    """The interval of the mean."""
    test_size: int
    """Test sequences, the same for every seed."""


@dataclass(frozen=True)
class RecallCurve:
    """Accuracy on the recall task against the number of steps to remember."""

    points: tuple[RecallPoint, ...]
    method: str
    """Of the intervals."""
    settings: Mapping[str, str]
    """What all points have in common, such as `training.epochs`."""

    def to_json(self) -> str:
        """Return the curve as JSON text."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> RecallCurve:
        """Rebuild a curve from `to_json`'s text."""
        found = parsed(cls, text)
        if any(len(point.seeds) != len(point.accuracy) for point in found.points):
            raise ValueError("the seeds are not as many as the accuracies")
        return found
