"""What the process with a student's file claims of a cell: the weights of a GRU that it equals.

    r  = sigmoid(W_r x + U_r h + b_r)
    z  = sigmoid(W_z x + U_z h + b_z)
    n  = tanh(W_n x + b_n + r * (U_n h + c_n) + V_n (r * h))
    h' = z * h + (1 - z) * n

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


@dataclass(frozen=True)
class Claim:
    """One cell that is claimed to be a GRU. Its weights are nested lists by the names of nn.GRUCell, and `before`."""

    batch: int
    weight_ih: Sequence[Any]
    """3 H x E: W."""
    weight_hh: Sequence[Any]
    """3 H x H: U."""
    bias_ih: Sequence[Any]
    """3 H: b."""
    bias_hh: Sequence[Any]
    """3 H: zeros, zeros and c."""
    before: Sequence[Any]
    """H x H: V, where the reset gate acts before the product."""


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
                _holds(Claim(**claim), seed, number, np.array(own, dtype=float))
                for number, (claim, own) in enumerate(zip(claims, states, strict=True)))
    except (TypeError, ValueError, IndexError):
        return False


def _holds(claim: Claim, seed: int, number: int, states: Any) -> bool:
    import numpy as np

    w, u, b, c, v = (np.array(value, dtype=float) for value in (
        claim.weight_ih, claim.weight_hh, claim.bias_ih, claim.bias_hh, claim.before))
    u_r, u_z, u_n = np.split(u, 3)
    if not (u_r.any() and u_z.any() and (u_n.any() or v.any())):
        return False
    x, h = drawn(seed, number, claim.batch, w.shape[1], len(v))
    x_r, x_z, x_n = np.split(x @ w.T + b, 3, axis=-1)
    h_r, h_z, h_n = np.split(h @ u.T + c, 3, axis=-1)
    r, z = 1 / (1 + np.exp(-x_r - h_r)), 1 / (1 + np.exp(-x_z - h_z))
    new = z * h + (1 - z) * np.tanh(x_n + r * h_n + (r * h) @ v.T)
    return bool(states.shape == new.shape and (np.abs(states - new) <= TOLERANCE * max(1, np.abs(new).max())).all())
