"""Results of the diagnostics as frozen values and as JSON: gradients through time, gates and words.

The values need neither torch nor numpy, so that a report can read them anywhere. `diagnose/compute.py` computes them.
The first confirmation run of each model logs its own as `diagnostics.json`, if its study asks for them.

Shapes: `S` steps back in time, `T` tokens of a sentence, `H` units of a state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from gru_bench.config import POOLING_PARTS
from gru_bench.results.runs import parsed

ModelState = Literal["initial", "trained"]
Direction = Literal["forward", "backward"]

DIAGNOSTICS = "diagnostics.json"
STATES: Mapping[ModelState, str] = {"initial": "before training", "trained": "trained"}
"""What the weights of a gradient flow are called in tables."""
EVERY_STEP = tuple(pooling for pooling, parts in POOLING_PARTS.items() if not {"last", "final"} & set(parts))
"""Poolings whose gradient reaches the state of every step directly."""


@dataclass(frozen=True)
class GradientFlow:
    """How much of the gradient of the loss reaches the earlier states of one direction.

    The last state of a direction is the one in which it ends: at the last token of the forward direction, at the first
    token of the backward direction.
    """

    model: str
    direction: Direction
    state: ModelState
    """Whether the weights are the initial or the trained ones."""
    pooling: str
    """With `mean`, `max` and `meanmax` a gradient enters at every step, with `last` and `final` at the end alone. With
    `last` the backward direction is read after its first step, so that no state stands before it."""
    reviews: int
    """Number of texts, each of at least `S` tokens."""
    steps_back: tuple[int, ...]
    """S steps, counted from 0, which is the state that is read last."""
    norm: tuple[float, ...]
    """For each step the Euclidean norm of dLoss/dh, in nats: the geometric mean over the texts."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Lower (`low`) and upper (`high`) quartile over the reviews."""
    decay: float | None
    """Factor per step: exp of the slope of a least-squares line through log `norm`. None for fewer than three steps
    and for the poolings in `EVERY_STEP`."""
    fitted: tuple[int, int]
    """First and last step of the line."""


@dataclass(frozen=True)
class GateMap:
    """The gates of a GRU over a sentence: 0 is closed, 1 is open."""

    model: str
    direction: Direction
    tokens: tuple[str, ...]
    """The T tokens that have a vector, in the order of the sentence."""
    update: tuple[tuple[float, ...], ...]
    """T x H values of z in `h' = z * h + (1 - z) * n`: 1 keeps the state, 0 replaces it."""
    reset: tuple[tuple[float, ...], ...]
    """T x H values of r, the factor of the state within the candidate n: 0 leaves the state out."""


@dataclass(frozen=True)
class Attribution:
    """How much each word of a sentence contributes to the decision of a model: what is lost without it (occlusion)."""

    model: str
    tokens: tuple[str, ...]
    weight: tuple[float, ...]
    """For each token its part of the log-odds of a class, in nats: above 0 speaks for the class, below 0 against it."""
    probability: float
    """Probability of the class for the whole sentence."""
    label: str
    """Name of the class."""
    against: str
    """Name of the other one of two classes. Empty for more, where the odds are those against all others together."""

    @property
    def other(self) -> str:
        """Return what a weight below 0 speaks for."""
        return self.against or "another class"


@dataclass(frozen=True)
class Diagnostics:
    """The diagnostics of the model of a run, or of those of several runs."""

    flows: tuple[GradientFlow, ...]
    gates: tuple[GateMap, ...]
    attributions: tuple[Attribution, ...]
    review: str = ""
    """Split of the text whose words are shown. Empty where the sentence is not from a text."""

    def __add__(self, other: Diagnostics) -> Diagnostics:
        """Return the diagnostics of the models of both."""
        return Diagnostics(self.flows + other.flows, self.gates + other.gates, self.attributions + other.attributions,
                           self.review or other.review)

    def without_review(self) -> Diagnostics:
        """Return the diagnostics without the parts that show words of a text."""
        return replace(self, gates=(), attributions=(), review="") if self.review else self

    def to_json(self) -> str:
        """Return the diagnostics as JSON text."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Diagnostics:
        """Return the diagnostics that `to_json` wrote.

        Raises:
            ValueError: for a text of another form, or lists whose lengths differ.
        """
        found = parsed(cls, text)
        for flow in found.flows:
            if not len(flow.steps_back) == len(flow.norm) == len(flow.low) == len(flow.high) > 0:
                raise ValueError("a gradient must have as many norms as steps, but has not")
        for gates in found.gates:
            widths = {len(row) for row in (*gates.update, *gates.reset)}
            if not len(gates.tokens) == len(gates.update) == len(gates.reset) > 0 or len(widths) != 1 or 0 in widths:
                raise ValueError("gates must have one row for each token, but have not")
        if any(len(one.tokens) != len(one.weight) for one in found.attributions):
            raise ValueError("an attribution must have one weight for each word, but has not")
        return found
