"""What the process with a student's file claims of a cell: the weights of a GRU that it equals.

The guard draws inputs after the claim and computes the states itself. So the verdict "a GRU" needs answers that are
those of a GRU, whatever the file has done to the process that it runs in.

Shapes: M examples, B sequences, E input width, H hidden width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DRAWN = 8
"""Number of examples that are drawn."""
TOLERANCE = 3e-12
"""Largest difference of states and gradients that counts as equal, in float64. Sums of a few hundred products in
another order differ by some 1e-14."""
_ACTS = ("1", "r", "1 - r")


@dataclass(frozen=True)
class Sum:
    """W x + U h + b, of which each may be missing."""

    x: list[list[float]] | None
    """H x E."""
    h: list[list[float]] | None
    """H x H."""
    b: list[float] | None
    """H."""
    act: str = "1"
    """What acts on it in the candidate: 1, r or 1 - r."""
    moved: bool = False
    """Whether it acts on the state before the product."""


@dataclass(frozen=True)
class Claim:
    """One cell that is claimed to be a GRU."""

    batch: int
    width: int
    hidden: int
    reset: Sum
    update: Sum
    candidate: Sequence[Sum]
    inverted: bool
    """Whether h' = (1 - z) * h + z * n."""


def drawn(seed: int, number: int, batch: int, width: int, hidden: int) -> tuple[Any, Any]:
    """Return random inputs M x B x E and states M x B x H for a cell, as arrays."""
    import numpy as np

    generator = np.random.default_rng([seed, number])
    return (generator.standard_normal((DRAWN, batch, width)),
            generator.uniform(-0.9, 0.9, (DRAWN, batch, hidden)))


def holds(claims: Sequence[Mapping[str, Any]], seed: int, states: Sequence[Any]) -> bool:
    """Return whether claims are those of GRUs, and states what these make of the inputs drawn from a seed."""
    import numpy as np

    try:
        with np.errstate(all="ignore"):
            return 0 < len(claims) == len(states) and all(
                _holds(_claim(claim), seed, number, np.array(own, dtype=float))
                for number, (claim, own) in enumerate(zip(claims, states, strict=True)))
    except (TypeError, ValueError, KeyError, AttributeError):
        return False


def _claim(values: Mapping[str, Any]) -> Claim:
    return Claim(**{**values, "reset": Sum(**values["reset"]), "update": Sum(**values["update"]),
                    "candidate": [Sum(**one) for one in values["candidate"]]})


def _holds(claim: Claim, seed: int, number: int, states: Any) -> bool:
    import numpy as np

    acting = [one for one in claim.candidate if one.act != "1"]
    if (claim.reset.h is None or claim.update.h is None or not any(one.h is not None for one in acting)
            or any(one.act not in _ACTS for one in claim.candidate)
            or any(one.x is not None and not one.moved for one in acting)):
        return False
    x, h = drawn(seed, number, claim.batch, claim.width, claim.hidden)

    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    def total(one: Sum, state: Any) -> Any:
        parts = [] if one.x is None else [x @ np.array(one.x).T]
        parts += [] if one.h is None else [state @ np.array(one.h).T]
        parts += [] if one.b is None else [np.array(one.b)]
        return sum(parts)

    r, z = sigmoid(total(claim.reset, h)), sigmoid(total(claim.update, h))
    gates = {"1": np.ones_like(r), "r": r, "1 - r": 1 - r}
    n = np.tanh(sum(total(one, gates[one.act] * h) if one.moved else gates[one.act] * total(one, h)
                    for one in claim.candidate))
    new = (1 - z) * h + z * n if claim.inverted else z * h + (1 - z) * n
    return bool(states.shape == new.shape and (np.abs(states - new) <= TOLERANCE * max(1, np.abs(new).max())).all())
