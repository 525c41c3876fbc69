"""The family of reference cells: every convention and every known mistake, as formulas of one small parametric cell.

    r  = sigmoid(Wx + Uh)             reset gate
    z  = sigmoid(Wx + Uh)             update gate
    n  = tanh(Wx + r * U(h))          candidate
    h' = z * h + (1 - z) * n          new state

Wx is a product with the input, Uh one with the state, and U the function that makes one of what it is given.

Shapes: `A` assignments of matrices to gates, `N` sequences, `E` input width, `H` hidden width.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from gru_bench.gru_check.codes import Finding

RIGHT_GATE = "sigmoid(Wx + Uh)"
GATES = (
    RIGHT_GATE,
    "tanh(Wx + Uh)",
    "Wx + Uh",
    "relu(Wx + Uh)",
    "hardsigmoid(Wx + Uh)",
    "clamp(0.2 * (Wx + Uh) + 0.5, 0, 1)",
    "softmax(Wx + Uh, -1)",
    "softplus(Wx + Uh)",
    "exp(Wx + Uh)",
    "2 * sigmoid(Wx + Uh)",
    "sigmoid(Wx + Uh) ** 2",
    "sigmoid(Wx) + Uh",
    "sigmoid(Wx) + sigmoid(Uh)")

AFTER, BEFORE = "tanh(Wx + r * U(h))", "tanh(Wx + U(r * h))"
_ON_UPDATE = "The update gate is where the reset gate belongs."
CANDIDATES: Mapping[str, tuple[str, str]] = {
    AFTER: ("", ""),
    BEFORE: ("reset-before", ""),
    "tanh(Wx + (1 - r) * U(h))": ("", ""),
    "tanh(Wx + U((1 - r) * h))": ("reset-before", ""),
    "tanh(Wx + U(h))": ("reset-unused", "The reset gate does not act on the candidate."),
    "tanh(Wx + z * U(h))": ("reset-unused", _ON_UPDATE),
    "tanh(Wx + U(z * h))": ("reset-unused", _ON_UPDATE),
    "tanh(r * Wx + U(h))": ("reset-on-input", "The reset gate acts on W_n x."),
    "tanh(r * (Wx + U(h)))": ("reset-on-input", "The reset gate acts on the whole candidate."),
    "tanh(r * Wx + U(r * h))": ("reset-on-input", "The reset gate acts on W_n x too."),
    "tanh(Wx)": ("gate-without-state", "The candidate does not see the state."),
    "tanh(r * U(h))": ("wrong-candidate", "The candidate does not see the input."),
    "tanh(Wx + r * U(r * h))": ("wrong-candidate", "The reset gate acts before the product with the state and after."),
    "tanh(Wx + r * U(z * h))": ("wrong-candidate", "The candidate uses z times the state instead of the state."),
    "tanh(z * Wx + r * U(h))": ("wrong-candidate", "The update gate acts on W_n x."),
    "tanh(Wx + r * h)": ("wrong-candidate", "The state enters the candidate without a matrix."),
    "Wx + tanh(r * U(h))": ("candidate-activation", "Only the product with the state goes through tanh."),
    "tanh(Wx) + r * U(h)": ("candidate-activation", "Only the product with the input goes through tanh."),
    "tanh(Wx) + r * tanh(U(h))": ("candidate-activation", "Each product goes through a tanh of its own."),
    **{formula.replace("tanh", function): (
        "candidate-activation", f"The candidate goes through {function or 'no function'}.")
       for function in ("", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "silu", "hardtanh")
       for formula in (AFTER, BEFORE)}}
"""Formula -> code, empty for torch's, and what it shows. The first four are right."""


def _mirrored(formula: str) -> str:
    """Return a formula with z and 1 - z exchanged."""
    return re.sub(r"\(1 - z\)|\bz\b", lambda found: "z" if found[0] != "z" else "(1 - z)", formula)


RIGHT_MIXTURE = "z * h + (1 - z) * n"
INVERTED = _mirrored(RIGHT_MIXTURE)
_WEIGHTS = ("z * ", "(1 - z) * ", "", "r * ", "(1 - r) * ", "(1 + z) * ", "-z * ", "-(1 - z) * ")
_OTHERS = {
    "mixing": ("2 * (z * h + (1 - z) * n)", "(z * h + (1 - z) * n) / 2", "z * h + 0.5 * (1 - z) * n",
               "z * h * (1 - z) * n", "(1 - z) * n"),
    "wrong-candidate": ("n", "z * h", "z * r * h + (1 - z) * n", "z * (1 - z) * n + (1 - z) * n")}
MIXTURES: Mapping[str, str] = {
    **{f"{old}h + {new}n": "mixing" for old, new in itertools.product(_WEIGHTS, repeat=2)},
    **{formula: code for code, formulas in _OTHERS.items() for own in formulas for formula in (own, _mirrored(own))},
    RIGHT_MIXTURE: "", INVERTED: "update-inverted"}
"""Formula -> code, empty for torch's."""


def names(formula: str) -> set[str]:
    """Return what a formula depends on."""
    return set(re.findall("[A-Za-z]+", formula))


@cache
def _function(arguments: str, formula: str) -> Callable[..., Tensor]:
    """Return the function of these arguments that a formula stands for."""
    function: Callable[..., Tensor] = eval(f"lambda {arguments}: {formula}", {**vars(functional), **vars(torch)})
    return function


@dataclass(frozen=True)
class Member:
    """One cell of the family: formulas in `CANDIDATES`, `MIXTURES` and `GATES`."""

    candidate: str = AFTER
    mixture: str = RIGHT_MIXTURE
    r: str = RIGHT_GATE
    z: str = RIGHT_GATE

    @property
    def uses(self) -> set[str]:
        """Return which of r, z, n and U its new state depends on."""
        used = names(self.mixture)
        return used | names(self.candidate) if "n" in used else used

    @property
    def findings(self) -> list[Finding]:
        """Return its mistakes and conventions, mistakes first."""
        found = [Finding("gate-activation", f"The {gate} gate is {formula}.", quantity=quantity)
                 for gate, quantity, formula in (("update", "z", self.z), ("reset", "r", self.r))
                 if formula != RIGHT_GATE]
        code, detail = CANDIDATES[self.candidate]
        if code:
            # Where z multiplies the state, the gates may be named the other way round, or the state be wrong before.
            found.append(Finding(code, detail, quantity="" if re.search(r"z \* [Uh]", self.candidate) else "n"))
            if code == "candidate-activation" and "U(r * h)" in self.candidate:
                found.append(Finding("reset-before", quantity="n"))
        if code := MIXTURES[self.mixture]:
            detail = "" if code == "update-inverted" else f"It computes h' = {self.mixture}."
            found.append(Finding(code, detail, quantity="new"))
        return sorted(found, key=lambda finding: finding.kind.right)

    def step(self, x: Tensor, w: Tensor, u: Tensor, b: Tensor, h: Tensor) -> dict[str, Tensor]:
        """Return all quantities of one step, each A x N x H.

        Args:
            x: Input, 1 x N x E or A x N x E.
            w: Matrices of the input for r, z and n, A x 3 x H x E.
            u: Matrices of the state for r, z and n, A x 3 x H x H.
            b: Biases of r, z and n, and that of the candidate's product with the state, 4 x H.
            h: State, N x H or A x N x H.
        """
        def product(matrix: Tensor, vectors: Tensor) -> Tensor:
            return vectors @ matrix.transpose(-1, -2)

        r, z = (_function("Wx, Uh", formula)(product(w[:, gate], x), product(u[:, gate], h) + b[gate])
                for gate, formula in enumerate((self.r, self.z)))
        n = _function("Wx, U, h, r, z", self.candidate)(
            product(w[:, 2], x) + b[2], lambda state: product(u[:, 2], state) + b[3], h, r, z)
        return {"r": r, "z": z, "n": n, "new": _function("z, r, h, n", self.mixture)(z, r, h, n)}


RIGHT = tuple(Member(candidate, mixture) for candidate in list(CANDIDATES)[:4] for mixture in (RIGHT_MIXTURE, INVERTED))
"""GRUs in their conventions, those whose r means 1 - r last."""


def wrong_members() -> Iterator[Member]:
    """Yield the cells with one mistake, likely ones first."""
    for candidate, (code, _) in CANDIDATES.items():
        if code not in ("", "reset-before"):
            yield from (Member(candidate, mixture) for mixture in (RIGHT_MIXTURE, INVERTED))
    for mixture, code in MIXTURES.items():
        if code not in ("", "update-inverted"):
            yield from (Member(candidate, mixture) for candidate in (AFTER, BEFORE))
    for own, gate in itertools.product(RIGHT[:4], GATES[1:]):
        yield from (replace(own, z=gate), replace(own, r=gate), replace(own, r=gate, z=gate))
