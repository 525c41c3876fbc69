"""The family of reference cells: every convention and every known mistake, as one small parametric cell.

    r  = g(W_r x, U_r h + b_r)                   reset gate, g the sigmoid of the sum
    z  = g(W_z x, U_z h + b_z)                   update gate
    n  = f(W_n x + b_n and U_n h + b_m, with r)  candidate
    h' = a mixture of h and n

Shapes: `A` assignments of matrices to gates, `N` sequences, `E` input width, `H` hidden width.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from gru_bench.gru_check.codes import Finding

Pointwise = Callable[[Tensor], Tensor]

SIGMOIDS: Mapping[str, Pointwise] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "no function": lambda a: a,
    "relu": torch.relu,
    "hardsigmoid": functional.hardsigmoid,
    "hard sigmoid, 0.2 a + 0.5": lambda a: (0.2 * a + 0.5).clamp(0, 1),
    "softmax": lambda a: torch.softmax(a, -1),
    "softplus": functional.softplus,
    "exp": torch.exp,
    "twice the sigmoid": lambda a: 2 * torch.sigmoid(a),
    "the square of a sigmoid": lambda a: torch.sigmoid(a) ** 2,
    "(tanh + 1) / 2": lambda a: (torch.tanh(a) + 1) / 2,
}
"""Functions of a gate. The first is right."""
TANHS: Mapping[str, Pointwise] = {
    "tanh": torch.tanh,
    "no function": lambda a: a,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "hardtanh": functional.hardtanh,
}
"""Functions of the candidate. The first is right."""

RIGHT_MIXTURE = "z * h + (1 - z) * n"
_MIXTURES = (
    ("mixing", (
        "z * h + z * n",
        "z * h + n",
        "h + (1 - z) * n",
        "h + n",
        "z * h + r * n",
        "r * h + z * n",
        "z * h + (1 - r) * n",
        "(1 - r) * h + z * n",
        "z * h - (1 - z) * n",
        "z * h + (1 + z) * n",
        "(1 + z) * h + z * n",
        "(1 + z) * h + (1 - z) * n",
        "(1 - z) * h + (1 + z) * n",
        "z * z * h + (1 - z) * n",
        "(z * h + (1 - z) * n) / 2",
        "2 * (z * h + (1 - z) * n)",
        "z * h + 0.5 * (1 - z) * n",
        "z * h * (1 - z) * n",
        "(h + n) / 2",
        "(1 - z) * n",
        "h + z * (h - n)",
        "n + z * (n - h)")),
    ("wrong-candidate", (
        "z * h",
        "z * h + (1 - z) * z * h",
        "n",
        "z * r * h + (1 - z) * n",
        "z * a + (1 - z) * n",
        "z * (1 - z) * n + (1 - z) * n")))
"""Code and wrong mixtures, where a is the candidate before its function. z may also mean 1 - z."""


def mirrored(formula: str) -> str:
    """Return a formula with z and 1 - z exchanged."""
    return re.sub(r"\(1 - z\)|\bz\b", lambda found: "z" if found[0] != "z" else "(1 - z)", formula)


MIXTURES: Mapping[str, str] = {RIGHT_MIXTURE: "", mirrored(RIGHT_MIXTURE): "update-inverted", **{
    formula: code for code, formulas in _MIXTURES for own in formulas for formula in (own, mirrored(own))}}
"""Mixtures and their codes. The first two are right."""


@cache
def _function(names: str, formula: str) -> Callable[..., Tensor]:
    """Return the function of these names that a formula stands for."""
    function: Callable[..., Tensor] = eval(f"lambda {names}: {formula}", {"tanh": torch.tanh})
    return function


Parts = Callable[[Tensor, Tensor], Tensor]


def _of_sum(function: Pointwise) -> Parts:
    return lambda x, u: function(x + u)


GATES: Mapping[str, Parts] = {
    **{name: _of_sum(function) for name, function in SIGMOIDS.items()},
    "the sigmoid of W x, plus U h": lambda x, u: torch.sigmoid(x) + u,
    "the sum of two sigmoids": lambda x, u: torch.sigmoid(x) + torch.sigmoid(u),
}
"""Functions of W x and U h, the biases among the latter. The first is right."""


@dataclass(frozen=True)
class Sum:
    """What a candidate is before its function: a formula of x = W x, of u and v, which multiply a state with U and with
    another matrix V, and of h, r and z."""

    formula: str
    code: str = ""
    """Code of its mistake. Empty: it has none."""
    detail: str = ""
    quantity: str = "n"
    """The quantity that its mistake makes wrong. Empty: none, since the two gates may be named the other way round."""

    @property
    def names(self) -> set[str]:
        """Return what it depends on."""
        return set(re.findall("[a-z]+", self.formula))

    @property
    def matrices(self) -> int:
        """Return how many matrices of the state the whole cell has."""
        return 2 + len(self.names & {"u", "v"})

    @property
    def right_function(self) -> str:
        """Return its function in `TANHS`."""
        return "no function" if "tanh" in self.names else "tanh"


_ON_UPDATE = "The update gate is where the reset gate belongs."
_ON_OTHER = "1 - z is where r belongs."
CANDIDATES: Mapping[str, Sum] = {one.formula: one for one in (
    Sum("x + r * u(h)"),
    Sum("x + u(r * h)", "reset-before"),
    Sum("x + (1 - r) * u(h)"),
    Sum("x + u((1 - r) * h)", "reset-before"),
    Sum("x + u(h)", "reset-unused", "The reset gate does not act on the candidate."),
    Sum("x + z * u(h)", "reset-unused", _ON_UPDATE, ""),
    Sum("x + u(z * h)", "reset-unused", _ON_UPDATE, ""),
    Sum("x + (1 - z) * u(h)", "reset-unused", _ON_OTHER, ""),
    Sum("x + u((1 - z) * h)", "reset-unused", _ON_OTHER, ""),
    Sum("r * x + u(h)", "reset-on-input", "The reset gate acts on W_n x."),
    Sum("r * (x + u(h))", "reset-on-input", "The reset gate acts on the whole candidate."),
    Sum("r * x + u(r * h)", "reset-on-input", "The reset gate acts on W_n x too."),
    Sum("x", "gate-without-state", "The candidate does not see the state."),
    Sum("r * u(h)", "wrong-candidate", "The candidate does not see the input."),
    Sum("x + r * u(r * h)", "wrong-candidate", "The reset gate acts before the product with the state and after it."),
    Sum("x + r * u(z * h)", "wrong-candidate", "The candidate uses z times the state instead of the state.",
        "z h"),
    Sum("z * x + r * u(h)", "wrong-candidate", "The update gate acts on W_n x."),
    Sum("x + r * h", "wrong-candidate", "The state enters the candidate without a matrix."),
    Sum("x + v(h) + r * u(h)", "wrong-candidate", "The candidate also uses the state without the reset gate."),
    Sum("x + v(r * h) + r * u(h)", "wrong-candidate",
        "The reset gate acts before one product with the state and after another."),
    Sum("x + tanh(r * u(h))", "candidate-activation", "Only the product with the state goes through tanh."),
    Sum("tanh(x) + r * u(h)", "candidate-activation", "Only the product with the input goes through tanh."),
    Sum("tanh(x) + r * tanh(u(h))", "candidate-activation", "Each product goes through a tanh of its own."))}
"""Formula -> candidate. The first four are right."""
_AFTER, _BEFORE = "x + r * u(h)", "x + u(r * h)"
_REPLACED = (("x + r * u(z * h)", "z * z * h + (1 - z) * n"), (_BEFORE, "z * r * h + (1 - z) * n"))
"""Candidates and mixtures of one mistake: a state that is multiplied before both use it."""


@dataclass(frozen=True)
class Member:
    """One cell of the family."""

    candidate: str = _AFTER
    """Formula in `CANDIDATES`."""
    mixture: str = RIGHT_MIXTURE
    """Formula in `MIXTURES`."""
    r: str = "sigmoid"
    z: str = "sigmoid"
    n: str = "tanh"

    @property
    def roles(self) -> set[int]:
        """Return which of r, z and n its new state depends on: 0, 1 and 2."""
        names = set(re.findall("[a-z]+", self.mixture))
        if names & {"n", "a"}:
            names |= {"n"} | CANDIDATES[self.candidate].names
        return {place for place, name in enumerate("rzn") if name in names}

    @property
    def findings(self) -> list[Finding]:
        """Return its mistakes and conventions, mistakes first."""
        own = CANDIDATES[self.candidate]
        found = [Finding("gate-activation", f"The {gate} gate goes through {name}.", quantity=quantity)
                 for gate, quantity, name in (("update", "z", self.z), ("reset", "r", self.r)) if name != "sigmoid"]
        if self.n != own.right_function:
            found.append(Finding("candidate-activation", f"The candidate goes through {self.n}.", quantity="n"))
        if own.code:
            found.append(Finding(own.code, own.detail, quantity=own.quantity))
        if code := MIXTURES[self.mixture]:
            said = f"It computes h' = {self.mixture}{', where a is n before its tanh' if 'a ' in self.mixture else ''}."
            found.append(Finding(code, "" if code == "update-inverted" else said, quantity="new"))
        return sorted(found, key=lambda finding: finding.kind.right)

    def step(self, x: Tensor, w: Tensor, u: Tensor, b: Tensor, h: Tensor) -> dict[str, Tensor]:
        """Return all quantities of one step, each A x N x H.

        Args:
            x: Input, 1 x N x E or A x N x E.
            w: Matrices of the input for r, z and n, A x 3 x H x E.
            u: Matrices of the state for r, z and n, and any fourth one, A x 4 x H x H.
            b: Biases of r, z and n, and that of the candidate's product with the state, 4 x H.
            h: State, N x H or A x N x H.
        """
        def product(matrix: Tensor, vectors: Tensor) -> Tensor:
            return vectors @ matrix.transpose(-1, -2)

        r = GATES[self.r](product(w[:, 0], x), product(u[:, 0], h) + b[0])
        z = GATES[self.z](product(w[:, 1], x), product(u[:, 1], h) + b[1])
        a = _function("x, u, v, h, r, z", self.candidate)(
            product(w[:, 2], x) + b[2], lambda s: product(u[:, 2], s) + b[3], lambda s: product(u[:, 3], s), h, r, z)
        n = TANHS[self.n](a)
        return {"r": r, "z": z, "a": a, "n": n, "new": _function("z, r, h, n, a", self.mixture)(z, r, h, n, a)}


_RIGHT_MIXTURES = (RIGHT_MIXTURE, mirrored(RIGHT_MIXTURE))
RIGHT = tuple(Member(candidate, mixture) for candidate in (_AFTER, _BEFORE) for mixture in _RIGHT_MIXTURES)
"""GRUs in their conventions."""
RIGHT_BY_SIGN = tuple(Member(candidate, mixture) for candidate in ("x + (1 - r) * u(h)", "x + u((1 - r) * h)")
                      for mixture in _RIGHT_MIXTURES)
"""GRUs that are those above with other signs."""


def wrong_members() -> Iterator[Member]:
    """Yield the cells with one mistake, likely ones first."""
    for own in RIGHT:
        yield from (replace(own, n=name) for name in TANHS if name != "tanh")
    for candidate, row in CANDIDATES.items():
        if row.code not in ("", "reset-before"):
            yield from (Member(candidate, mixture, n=row.right_function) for mixture in _RIGHT_MIXTURES)
    for mixture in MIXTURES:
        if mixture not in _RIGHT_MIXTURES:
            yield from (Member(candidate, mixture) for candidate in (_AFTER, _BEFORE))
    for own in RIGHT:
        for name in GATES:
            if name != "sigmoid":
                yield from (replace(own, z=name), replace(own, r=name), replace(own, r=name, z=name))
    yield from (Member(candidate, own) for candidate, mixture in _REPLACED for own in (mixture, mirrored(mixture)))
