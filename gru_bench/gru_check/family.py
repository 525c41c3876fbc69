"""The family of reference cells: every convention and every known mistake, as one small parametric cell.

    r  = g(W_r x, U_r h + b_r)                   reset gate, g the sigmoid of the sum
    z  = g(W_z x, U_z h + b_z)                   update gate
    n  = f(W_n x + b_n and U_n h + b_m, with r)  candidate
    h' = a mixture of h and n

Shapes: `A` assignments of matrices to gates, `N` sequences, `E` input width, `H` hidden width.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
    "clamp(0, 1)": lambda a: a.clamp(0, 1),
    "hard sigmoid, 0.2 a + 0.5": lambda a: (0.2 * a + 0.5).clamp(0, 1),
    "softmax": lambda a: torch.softmax(a, -1),
    "softplus": functional.softplus,
    "exp": torch.exp,
    "erf": torch.erf,
    "twice the sigmoid": lambda a: 2 * torch.sigmoid(a),
    "the square of a sigmoid": lambda a: torch.sigmoid(a) ** 2,
    "sigmoid twice": lambda a: torch.sigmoid(torch.sigmoid(a)),
    "sigmoid of tanh": lambda a: torch.sigmoid(torch.tanh(a)),
    "tanh of sigmoid": lambda a: torch.tanh(torch.sigmoid(a)),
    "leaky_relu": functional.leaky_relu,
    "(tanh + 1) / 2": lambda a: (torch.tanh(a) + 1) / 2,
}
"""Functions of a gate. The first is right."""
TANHS: Mapping[str, Pointwise] = {
    "tanh": torch.tanh,
    "no function": lambda a: a,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "leaky_relu(0.1)": lambda a: functional.leaky_relu(a, 0.1),
    "leaky_relu(0.2)": lambda a: functional.leaky_relu(a, 0.2),
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "erf": torch.erf,
    "softsign": functional.softsign,
    "hardtanh": functional.hardtanh,
    "hardsigmoid": functional.hardsigmoid,
    "relu6": functional.relu6,
    "sin": torch.sin,
    "atan": torch.atan,
    "softmax": lambda a: torch.softmax(a, -1),
    "tanh twice": lambda a: torch.tanh(torch.tanh(a)),
    "sigmoid of tanh": lambda a: torch.sigmoid(torch.tanh(a)),
    "tanh of sigmoid": lambda a: torch.tanh(torch.sigmoid(a)),
    "2 sigmoid - 1": lambda a: 2 * torch.sigmoid(a) - 1,
    "clamp(0, 1)": lambda a: a.clamp(0, 1),
}
"""Functions of the candidate. The first is right."""

Mix = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
MIXTURES: Sequence[tuple[str, str, Mix]] = (
    # code, formula, (z, r, h, n, a) -> h'; a is the candidate before its function
    ("", "z * h + (1 - z) * n", lambda z, r, h, n, a: z * h + (1 - z) * n),
    ("update-inverted", "(1 - z) * h + z * n", lambda z, r, h, n, a: (1 - z) * h + z * n),
    ("mixing", "z * h + z * n", lambda z, r, h, n, a: z * h + z * n),
    ("mixing", "(1 - z) * h + (1 - z) * n", lambda z, r, h, n, a: (1 - z) * h + (1 - z) * n),
    ("mixing", "z * h + n", lambda z, r, h, n, a: z * h + n),
    ("mixing", "(1 - z) * h + n", lambda z, r, h, n, a: (1 - z) * h + n),
    ("mixing", "h + (1 - z) * n", lambda z, r, h, n, a: h + (1 - z) * n),
    ("mixing", "h + z * n", lambda z, r, h, n, a: h + z * n),
    ("mixing", "h + n", lambda z, r, h, n, a: h + n),
    ("mixing", "z * h + r * n", lambda z, r, h, n, a: z * h + r * n),
    ("mixing", "r * h + z * n", lambda z, r, h, n, a: r * h + z * n),
    ("mixing", "z * h + (1 - r) * n", lambda z, r, h, n, a: z * h + (1 - r) * n),
    ("mixing", "(1 - r) * h + z * n", lambda z, r, h, n, a: (1 - r) * h + z * n),
    ("mixing", "(1 - z) * h + r * n", lambda z, r, h, n, a: (1 - z) * h + r * n),
    ("mixing", "r * h + (1 - z) * n", lambda z, r, h, n, a: r * h + (1 - z) * n),
    ("mixing", "(1 - z) * h + (1 - r) * n", lambda z, r, h, n, a: (1 - z) * h + (1 - r) * n),
    ("mixing", "(1 - r) * h + (1 - z) * n", lambda z, r, h, n, a: (1 - r) * h + (1 - z) * n),
    ("mixing", "z * h - (1 - z) * n", lambda z, r, h, n, a: z * h - (1 - z) * n),
    ("mixing", "(1 - z) * h - z * n", lambda z, r, h, n, a: (1 - z) * h - z * n),
    ("mixing", "(1 - z) * n - z * h", lambda z, r, h, n, a: (1 - z) * n - z * h),
    ("mixing", "z * n - (1 - z) * h", lambda z, r, h, n, a: z * n - (1 - z) * h),
    ("mixing", "z * h + (1 + z) * n", lambda z, r, h, n, a: z * h + (1 + z) * n),
    ("mixing", "(1 + z) * h + z * n", lambda z, r, h, n, a: (1 + z) * h + z * n),
    ("mixing", "(1 + z) * h + (1 - z) * n", lambda z, r, h, n, a: (1 + z) * h + (1 - z) * n),
    ("mixing", "(1 - z) * h + (1 + z) * n", lambda z, r, h, n, a: (1 - z) * h + (1 + z) * n),
    ("mixing", "z * z * h + (1 - z) * n", lambda z, r, h, n, a: z * z * h + (1 - z) * n),
    ("mixing", "z * h + (1 - z * z) * n", lambda z, r, h, n, a: z * h + (1 - z * z) * n),
    ("mixing", "z * h + (1 - z) ** 2 * n", lambda z, r, h, n, a: z * h + (1 - z) ** 2 * n),
    ("mixing", "(1 - z) * h + z * z * n", lambda z, r, h, n, a: (1 - z) * h + z * z * n),
    ("mixing", "(z * h + (1 - z) * n) / 2", lambda z, r, h, n, a: (z * h + (1 - z) * n) / 2),
    ("mixing", "((1 - z) * h + z * n) / 2", lambda z, r, h, n, a: ((1 - z) * h + z * n) / 2),
    ("mixing", "2 * (z * h + (1 - z) * n)", lambda z, r, h, n, a: 2 * (z * h + (1 - z) * n)),
    ("mixing", "2 * ((1 - z) * h + z * n)", lambda z, r, h, n, a: 2 * ((1 - z) * h + z * n)),
    ("mixing", "z * h + 0.5 * (1 - z) * n", lambda z, r, h, n, a: z * h + 0.5 * (1 - z) * n),
    ("mixing", "(1 - z) * h + 0.5 * z * n", lambda z, r, h, n, a: (1 - z) * h + 0.5 * z * n),
    ("mixing", "z * h * (1 - z) * n", lambda z, r, h, n, a: z * h * (1 - z) * n),
    ("mixing", "z * h + (0.5 - z) * n", lambda z, r, h, n, a: z * h + (0.5 - z) * n),
    ("mixing", "(0.5 - z) * h + z * n", lambda z, r, h, n, a: (0.5 - z) * h + z * n),
    ("mixing", "z * h + (2 - z) * n", lambda z, r, h, n, a: z * h + (2 - z) * n),
    ("mixing", "(2 - z) * h + z * n", lambda z, r, h, n, a: (2 - z) * h + z * n),
    ("mixing", "(h + n) / 2", lambda z, r, h, n, a: (h + n) / 2),
    ("mixing", "h + (1 - z) * (n + h)", lambda z, r, h, n, a: h + (1 - z) * (n + h)),
    ("mixing", "(1 - z) * n", lambda z, r, h, n, a: (1 - z) * n),
    ("mixing", "z * n", lambda z, r, h, n, a: z * n),
    ("mixing", "h + z * (h - n)", lambda z, r, h, n, a: h + z * (h - n)),
    ("mixing", "n + z * (n - h)", lambda z, r, h, n, a: n + z * (n - h)),
    ("wrong-candidate", "z * h", lambda z, r, h, n, a: z * h),
    ("wrong-candidate", "(1 - z) * h", lambda z, r, h, n, a: (1 - z) * h),
    ("wrong-candidate", "(1 - z) * h + z * (1 - z) * h", lambda z, r, h, n, a: (1 - z) * (1 + z) * h),
    ("wrong-candidate", "n alone", lambda z, r, h, n, a: n),
    ("wrong-candidate", "z * (r * h) + (1 - z) * n", lambda z, r, h, n, a: z * r * h + (1 - z) * n),
    ("wrong-candidate", "(1 - z) * (r * h) + z * n", lambda z, r, h, n, a: (1 - z) * r * h + z * n),
    ("wrong-candidate", "z * h + (1 - z) * (r * n)", lambda z, r, h, n, a: z * h + (1 - z) * r * n),
    ("wrong-candidate", "(1 - z) * h + z * (r * n)", lambda z, r, h, n, a: (1 - z) * h + z * r * n),
    ("wrong-candidate", "z * a + (1 - z) * n, a before its tanh", lambda z, r, h, n, a: z * a + (1 - z) * n),
    ("wrong-candidate", "(1 - z) * a + z * n, a before its tanh", lambda z, r, h, n, a: (1 - z) * a + z * n),
    ("wrong-candidate", "z * h + (1 - z) * (n * h)", lambda z, r, h, n, a: z * h + (1 - z) * n * h),
    ("wrong-candidate", "(1 - z) * h + z * (n * h)", lambda z, r, h, n, a: (1 - z) * h + z * n * h),
    ("wrong-candidate", "z * n * h + (1 - z) * n", lambda z, r, h, n, a: z * n * h + (1 - z) * n),
    ("wrong-candidate", "z * h' + (1 - z) * n, h' = (1 - z) * n", lambda z, r, h, n, a: (1 + z) * (1 - z) * n),
    ("wrong-candidate", "(1 - z) * h' + z * n, h' = z * n", lambda z, r, h, n, a: (1 - z) * z * n + z * n),
    ("wrong-candidate", "z * h + (1 - z) * h', h' = z * h", lambda z, r, h, n, a: z * h + (1 - z) * z * h),
    ("wrong-candidate", "z * h + (1 - z) * (z * h + n)", lambda z, r, h, n, a: z * h + (1 - z) * (z * h + n)),
    ("wrong-candidate", "z * h + (1 - z) * (h + n)", lambda z, r, h, n, a: z * h + (1 - z) * (h + n)),
    ("wrong-candidate", "(1 - z) * h + z * (h + n)", lambda z, r, h, n, a: (1 - z) * h + z * (h + n)),
    ("wrong-candidate", "z * tanh(h) + (1 - z) * n", lambda z, r, h, n, a: z * torch.tanh(h) + (1 - z) * n),
    ("wrong-candidate", "(1 - z) * tanh(h) + z * n", lambda z, r, h, n, a: (1 - z) * torch.tanh(h) + z * n),
)
"""Mixtures. The first two are right."""

Parts = Callable[[Tensor, Tensor], Tensor]


def _of_sum(function: Pointwise) -> Parts:
    return lambda x, u: function(x + u)


GATES: Mapping[str, Parts] = {
    **{name: _of_sum(function) for name, function in SIGMOIDS.items()},
    "the sigmoid of W x, plus U h": lambda x, u: torch.sigmoid(x) + u,
    "the sigmoid of U h, plus W x": lambda x, u: x + torch.sigmoid(u),
    "the sum of two sigmoids": lambda x, u: torch.sigmoid(x) + torch.sigmoid(u),
    "the product of two sigmoids": lambda x, u: torch.sigmoid(x) * torch.sigmoid(u),
    "the sigmoid of a product": lambda x, u: torch.sigmoid(x * u),
}
"""Functions of W x and U h, the biases among the latter. The first is right."""


@dataclass(frozen=True)
class Sum:
    """What a candidate is before its function."""

    code: str
    """Code of its mistake. Empty: it has none."""
    detail: str
    compute: Callable[..., Tensor]
    """(W x, s -> U s, s -> V s, h, r, z) -> the sum; V is a matrix for the state that a GRU does not have."""
    matrices: int = 3
    """Matrices of the state in the whole cell."""
    functions: Sequence[str] = ("tanh",)
    gates: str = "r"
    """The gates that it depends on."""
    quantity: str = "n"
    """The quantity that its mistake makes wrong. Empty: none, since the two gates may be named the other way round."""


_INSIDE = ("no function",)
CANDIDATES: Mapping[str, Sum] = {
    "after": Sum("", "", lambda x, u, v, h, r, z: x + r * u(h)),
    "before": Sum("reset-before", "", lambda x, u, v, h, r, z: x + u(r * h)),
    "1 - r": Sum("", "", lambda x, u, v, h, r, z: x + (1 - r) * u(h)),
    "1 - r before": Sum("reset-before", "", lambda x, u, v, h, r, z: x + u((1 - r) * h)),
    "without r": Sum("reset-unused", "The reset gate does not act on the candidate.",
                     lambda x, u, v, h, r, z: x + u(h), gates=""),
    "z": Sum("reset-unused", "The update gate is where the reset gate belongs.",
             lambda x, u, v, h, r, z: x + z * u(h), gates="z", quantity=""),
    "z before": Sum("reset-unused", "The update gate is where the reset gate belongs.",
                    lambda x, u, v, h, r, z: x + u(z * h), gates="z", quantity=""),
    "1 - z": Sum("reset-unused", "1 - z is where r belongs.",
                 lambda x, u, v, h, r, z: x + (1 - z) * u(h), gates="z", quantity=""),
    "1 - z before": Sum("reset-unused", "1 - z is where r belongs.",
                        lambda x, u, v, h, r, z: x + u((1 - z) * h), gates="z", quantity=""),
    "on x": Sum("reset-on-input", "The reset gate acts on W_n x.", lambda x, u, v, h, r, z: r * x + u(h)),
    "on both": Sum("reset-on-input", "The reset gate acts on the whole candidate.",
                   lambda x, u, v, h, r, z: r * (x + u(h))),
    "on x and h": Sum("reset-on-input", "The reset gate acts on W_n x too.", lambda x, u, v, h, r, z: r * x + u(r * h)),
    "on n": Sum("reset-on-input", "The reset gate acts on the whole candidate, after its function.",
                lambda x, u, v, h, r, z: r * torch.tanh(x + u(h)), functions=_INSIDE),
    "no state": Sum("gate-without-state", "The candidate does not see the state.",
                    lambda x, u, v, h, r, z: x, gates="", matrices=2),
    "no input": Sum("wrong-candidate", "The candidate does not see the input.", lambda x, u, v, h, r, z: r * u(h)),
    "twice": Sum("wrong-candidate", "The reset gate acts before the product with the state and after it.",
                 lambda x, u, v, h, r, z: x + r * u(r * h)),
    "of z h": Sum("wrong-candidate", "The candidate uses z times the state instead of the state.",
                  lambda x, u, v, h, r, z: x + r * u(z * h), gates="rz", quantity="z h"),
    "z r": Sum("wrong-candidate", "z * r is where r belongs.", lambda x, u, v, h, r, z: x + z * r * u(h), gates="rz"),
    "z r before": Sum("wrong-candidate", "z * r is where r belongs.",
                      lambda x, u, v, h, r, z: x + u(z * r * h), gates="rz"),
    "r r": Sum("wrong-candidate", "r * r is where r belongs.", lambda x, u, v, h, r, z: x + r * r * u(h)),
    "z on x": Sum("wrong-candidate", "The update gate acts on W_n x.",
                  lambda x, u, v, h, r, z: z * x + r * u(h), gates="rz"),
    "r h without U": Sum("wrong-candidate", "The state enters the candidate without a matrix.",
                         lambda x, u, v, h, r, z: x + r * h, matrices=2),
    "product": Sum("wrong-candidate", "The parts of the candidate are multiplied.",
                   lambda x, u, v, h, r, z: x * r * u(h)),
    "and V h": Sum("wrong-candidate", "The candidate also uses the state without the reset gate.",
                   lambda x, u, v, h, r, z: x + v(h) + r * u(h), matrices=4),
    "and V (r h)": Sum("wrong-candidate", "The reset gate acts before one product with the state and after another.",
                       lambda x, u, v, h, r, z: x + v(r * h) + r * u(h), matrices=4),
    "tanh of U h": Sum("candidate-activation", "Only the product with the state goes through tanh.",
                       lambda x, u, v, h, r, z: x + torch.tanh(r * u(h)), functions=_INSIDE),
    "tanh of W x": Sum("candidate-activation", "Only the product with the input goes through tanh.",
                       lambda x, u, v, h, r, z: torch.tanh(x) + r * u(h), functions=_INSIDE),
    "tanh of each": Sum("candidate-activation", "Each product goes through a tanh of its own.",
                        lambda x, u, v, h, r, z: torch.tanh(x) + r * torch.tanh(u(h)), functions=_INSIDE),
    "tanh of both": Sum("candidate-activation", "Each product goes through a tanh of its own.",
                        lambda x, u, v, h, r, z: torch.tanh(x) + torch.tanh(r * u(h)), functions=_INSIDE),
}
"""Candidates. Those up to "1 - r before" are right."""
_REPLACED = (("of z h", "z * z * h + (1 - z) * n"), ("before", "z * (r * h) + (1 - z) * n"))


@dataclass(frozen=True)
class Member:
    """One cell of the family."""

    candidate: str = "after"
    mixture: int = 0
    """Place in `MIXTURES`."""
    r: str = "sigmoid"
    z: str = "sigmoid"
    n: str = "tanh"

    @property
    def roles(self) -> set[int]:
        """Return which of r, z and n its new state depends on: 0, 1 and 2."""
        formula, said = MIXTURES[self.mixture][1], self.candidate
        names = set(re.findall(r"[a-z]+", formula)) | ({"n"} if "h'" in formula else set())
        if "n" in names or "a" in names:
            names |= {"n"} | set(CANDIDATES[said].gates)
        return {place for place, name in enumerate("rzn") if name in names}

    @property
    def findings(self) -> list[Finding]:
        """Return its mistakes and conventions, mistakes first."""
        own = CANDIDATES[self.candidate]
        found = [Finding("gate-activation", f"The {gate} gate goes through {name}.", quantity=quantity)
                 for gate, quantity, name in (("update", "z", self.z), ("reset", "r", self.r)) if name != "sigmoid"]
        if self.n != own.functions[0]:
            found.append(Finding("candidate-activation", f"The candidate goes through {self.n}.", quantity="n"))
        if own.code:
            found.append(Finding(own.code, own.detail, quantity=own.quantity))
        code, formula, _ = MIXTURES[self.mixture]
        if code:
            found.append(Finding(code, f"It computes h' = {formula}." if self.mixture > 1 else "", quantity="new"))
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
        a = CANDIDATES[self.candidate].compute(
            product(w[:, 2], x) + b[2], lambda s: product(u[:, 2], s) + b[3], lambda s: product(u[:, 3], s), h, r, z)
        n = TANHS[self.n](a)
        return {"r": r, "z": z, "a": a, "n": n, "new": MIXTURES[self.mixture][2](z, r, h, n, a)}


RIGHT = tuple(Member(candidate, mixture) for candidate in ("after", "before") for mixture in (0, 1))
"""GRUs in their conventions."""
RIGHT_BY_SIGN = tuple(Member(candidate, mixture) for candidate in ("1 - r", "1 - r before") for mixture in (0, 1))
"""GRUs that are those above with other signs."""


def wrong_members() -> Iterator[Member]:
    """Yield the cells with one mistake, likely ones first."""
    gates = [name for name in GATES if name != "sigmoid"]
    for own in RIGHT:
        yield from (replace(own, n=name) for name in TANHS if name != "tanh")
    for candidate, row in CANDIDATES.items():
        if row.code not in ("", "reset-before"):
            yield from (Member(candidate, mixture, n=name) for mixture in (0, 1) for name in row.functions)
    for mixture in range(2, len(MIXTURES)):
        yield from (Member(candidate, mixture) for candidate in ("after", "before"))
    for own in RIGHT:
        for name in gates:
            yield from (replace(own, z=name), replace(own, r=name), replace(own, r=name, z=name))
    for candidate, formula in _REPLACED:
        yield from (Member(candidate, k) for k, (_, own, _) in enumerate(MIXTURES) if own == formula)
