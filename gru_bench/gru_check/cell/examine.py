"""One step of a student's cell -> the member of the family that it equals, and what that says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gru_bench.gru_check.cell.blocks import Parts, examples, outcomes, take_apart
from gru_bench.gru_check.cell.family import Affine, Inner, Member, search, search_elman, search_right
from gru_bench.gru_check.cell.fix import fixed
from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.states import Step, as_made

TOLERANCE = 3e-12
"""Largest difference of states and gradients that counts as equal, in float64. Sums of a few hundred products in
another order differ by some 1e-14."""


@dataclass(frozen=True)
class Cell:
    """What was found out about a cell."""

    step: Step
    parts: Parts
    member: Member | None
    """None: it is none, and `findings` says what it is where that is known."""
    findings: tuple[Finding, ...]
    error: float
    """Largest difference from the member."""
    is_fixed: bool = False
    """Whether the member equals the cell only after one change."""

    def after(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the state after one step."""
        if self.member is not None and not self.is_fixed:
            return self.member.step(x, h)
        return self.step.run(x, h, False)


def examine(step: Step, leaves: Sequence[Tensor]) -> Cell:
    """Return what a cell is.

    Args:
        step: One step of it.
        leaves: All tensors that may be its parameters.
    """
    cell = _as_member(step, leaves)
    if cell.member is not None and len(cell.member.faults) < 2:
        return cell
    function = search_elman(cell.parts, *outcomes(step))
    if function is not None:
        finding = Finding("rnn", f"It computes h' = f(W x + U h + b), where f is {function}.")
        return Cell(step, cell.parts, None, (finding,), float("inf"))
    found = fixed(step, leaves, _right)
    if found is None:
        return cell
    member, finding = found
    rights = tuple(Finding(code, detail) for code, detail in _conventions(member))
    return Cell(step, cell.parts, member, (finding, *rights) if not finding.kind.right else rights, 0.0, True)


def _right(step: Step, leaves: Sequence[Tensor]) -> Member | None:
    """Return the right GRU that a step equals, if there is one."""
    member = search_right(take_apart(step, leaves), *outcomes(step))
    return None if member is None or _compare(step, member)[0] > TOLERANCE else member


def _as_member(step: Step, leaves: Sequence[Tensor]) -> Cell:
    """Return the member of the family that a cell equals, if there is one."""
    parts = take_apart(step, leaves)
    x, h, new = outcomes(step)
    member = search(parts, x, h, new)
    if member is None:
        return Cell(step, parts, None, (), float("inf"))
    if not parts.spare and any(code == "shared-matrices" for code, _ in member.faults) and _idle_gate(step):
        parts.spare = True
        member = search(parts, x, h, new) or member
    error, cut = _compare(step, member)
    if error > TOLERANCE:
        return Cell(step, parts, None, (), error)
    codes = list(member.faults)
    if cut:
        codes.append(("detached", "The gradient with respect to the old state is not that of a GRU."))
    codes += _conventions(member)
    inners = _lines(step, member)
    findings = tuple(Finding(code, detail, _line(code, detail, inners)) for code, detail in dict(codes).items())
    return Cell(step, parts, member, findings, error)


def _idle_gate(step: Step) -> bool:
    """Return whether a gate is computed that nothing uses."""
    x, h = examples(step, 1, seed=31)
    with torch.no_grad():
        recorder = step.record(x[0], h[0])
    used = {site for call in recorder.calls for site in call.inputs}
    size = step.batch * step.hidden
    return any((number, place) not in used and value.numel() == size and _like_gates(value) and all(
        _like_gates(whole) for whole in (recorder.calls[n].values[p] for n, p in call.inputs)
        if whole.numel() > size and bool(torch.isin(value, whole).all()))  # a part of gates
        for number, call in enumerate(recorder.calls[:-1]) for place, value in enumerate(call.values))


def _like_gates(value: Tensor) -> bool:
    return bool(((value > 0) & (value < 1)).all())


def _hand_made(step: Step) -> list[tuple[Tensor, Tensor]]:
    """Return inputs and states at which mistakes show: zeros, ones, one unit alone, large values of both signs."""
    x, h = torch.zeros(step.batch, step.width), torch.zeros(step.batch, step.hidden)
    one_x, one_h = x.clone(), h.clone()
    one_x[:, 0], one_h[:, -1] = 1, 1
    signs_x = 1 - 2.0 * (torch.arange(step.width) % 2)
    signs_h = 1 - 2.0 * (torch.arange(step.hidden) % 2)
    return [(x, h), (x + 1, h), (x, h + 1), (one_x, h), (x, one_h), (x + 6 * signs_x, h + 0.9 * signs_h),
            (x - 6 * signs_x, h - 0.9 * signs_h)]


def _compare(step: Step, member: Member) -> tuple[float, bool]:
    """Return the largest difference of new states, and whether gradients differ."""
    x, h = examples(step, 4, seed=23)
    error, cut = 0.0, False
    for number, (own_x, own_h) in enumerate([*zip(x, h, strict=True), *_hand_made(step)]):
        inputs = (own_x.clone().requires_grad_(), own_h.clone().requires_grad_())
        new, reference = step.run(*inputs, True), member.step(*inputs)
        size = max(1.0, float(reference.detach().abs().max()))
        error = max(error, float((new - reference).detach().abs().max()) / size)
        if number >= len(x):  # a rectifier has no gradient at 0
            continue
        weight = torch.linspace(0.5, 1.5, new.numel()).reshape(new.shape)
        expected = torch.autograd.grad((weight * reference).sum(), inputs, materialize_grads=True)
        if not new.requires_grad:
            cut = cut or any(bool((e != 0).any()) for e in expected)
            continue
        got = torch.autograd.grad((weight * new).sum(), inputs, materialize_grads=True)
        cut = cut or any(float((g - e).abs().max()) > TOLERANCE * size for g, e in zip(got, expected, strict=True))
    return error, cut


def _conventions(member: Member) -> list[tuple[str, str]]:
    """Return code and detail of a cell's conventions, those of its equations first."""
    found = [(code, "") for code in member.rights]
    roles = _roles(member)
    by_leaf: dict[int, list[tuple[int, str]]] = {}
    for (leaf, place, _), role in roles.items():
        by_leaf.setdefault(leaf, []).append((place, role))
    for placed in by_leaf.values():
        order = list(dict.fromkeys(role for _, role in sorted(placed)))
        if order != sorted(order, key="rzn".index):
            found.append(("gate-order", ""))
            break
    biases = _biases(member)
    if not any(biases.values()):
        found.append(("no-bias", ""))
    elif not (biases["r"] and biases["z"] and biases["n outside"] + biases["n inside"] > 1):
        found.append(("single-bias", _counted(biases)))
    return found


def _biases(member: Member) -> dict[str, int]:
    """Return gate -> number of its biases. Those of the candidate are outside or inside the product with r."""
    gates: list[tuple[str, Affine | None]] = [("r", member.reset), ("z", member.update)]
    gates += [("n outside" if act == "1" or term.moved else "n inside", term)
              for term, act in zip(member.terms, member.acts, strict=True)]
    found: dict[str, set[tuple[int, int]]] = {name: set() for name in ("r", "z", "n outside", "n inside")}
    for name, affine in gates:
        if affine is not None:
            found[name] |= {(block.leaf, block.place) for block in affine.blocks if block.source == "1"}
    return {name: len(places) for name, places in found.items()}


def _counted(biases: Mapping[str, int]) -> str:
    inside = biases["n inside"]
    return (f"Number of biases: r {biases['r']}, z {biases['z']}, n {biases['n outside'] + inside}"
            + (f", of which {inside} inside the product with r." if inside else "."))


def _roles(member: Member) -> dict[tuple[int, int, str], str]:
    """Return parameter, place and factor -> the gate."""
    gates: list[tuple[str, Affine | None]] = [("n", term) for term in member.terms]
    gates += [("z", member.update), ("r", member.reset)]
    return {(block.leaf, block.place, block.source): role for role, affine in gates if affine is not None
            for block in affine.blocks}


def as_torch(member: Member) -> nn.GRUCell | None:
    """Return nn.GRUCell with a right cell's weights; None where it has no such form."""
    reset, update = member.reset, member.update
    assert reset is not None
    assert update is not None
    assert update.x is not None
    if any(term.moved for term in member.terms):
        return None
    hidden, width = update.x.shape
    shapes = {"x": (hidden, width), "h": (hidden, hidden), "b": (hidden,)}
    terms = list(zip(member.terms, member.acts, strict=True))
    inside, outside = ([term for term, act in terms if (act != "1") == own] for own in (True, False))

    def total(affines: Sequence[Affine], source: str) -> Tensor:
        values = [value for affine in affines if (value := getattr(affine, source)) is not None]
        return torch.stack(values).sum(0).detach() if values else torch.zeros(shapes[source])

    def rows(source: str, candidate: Sequence[Affine]) -> Tensor:
        return torch.cat([total([reset], source) * (-1 if "1 - r" in member.acts else 1),
                          total([update], source) * (-1 if member.mixture == 1 else 1), total(candidate, source)])

    cell = nn.GRUCell(width, hidden, dtype=torch.float64)
    cell.load_state_dict({
        "weight_ih": rows("x", outside), "weight_hh": rows("h", inside), "bias_ih": rows("b", outside),
        "bias_hh": torch.cat([torch.zeros(2 * hidden), total(inside, "b")])})
    return cell


# ---------------------------------------------------------------- lines


def _lines(step: Step, member: Member) -> dict[str, int]:
    """Return quantity -> the line of the file that computes it, found by its value."""
    x, h = examples(step, 1, seed=31)
    try:
        with torch.no_grad():
            recorder = step.record(x[0], h[0])
            inner = member.inner(x[0], h[0])
    except Exception:
        return {}
    lines: dict[str, int] = {}
    quantities = {name: as_made(getattr(inner, name), step.columns).reshape(-1)
                  for name in Inner.__dataclass_fields__}
    for call in recorder.calls:
        for value in call.values:
            for name, wanted in quantities.items():
                if value.numel() == wanted.numel() and call.line and torch.allclose(
                        value, wanted, rtol=0, atol=1e-11) and (name == "a" or name not in lines):
                    lines.setdefault(name, call.line)
    return lines


def _line(code: str, detail: str, lines: Mapping[str, int]) -> int:
    quantity = {
        "candidate-activation": "n", "reset-unused": "n", "reset-on-input": "a", "reset-before": "a",
        "mixing": "new", "update-inverted": "new", "detached": "new", "wrong-candidate": "new",
    }.get(code)
    if code in ("gate-activation", "gate-without-state"):
        quantity = "z" if "update" in detail else "r" if "reset" in detail else "n"
    if code == "shared-matrices":
        quantity = "z"
    if code == "wrong-candidate" and ("belongs" in detail or "reset gate" in detail):
        quantity = "n"
    return lines.get(quantity or "", 0) or (lines.get("n", 0) if quantity == "a" else 0)
