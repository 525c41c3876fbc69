"""An object -> what explains its results: the cell, its biases, and which of its states the results need.

Shapes: `N` sequences, `T` steps, `E` input width, `H` hidden width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.family import CANDIDATES
from gru_bench.gru_check.fit import ACTIVE, NEAR, STAGES, Guess, Seen, distance, features, goals, search
from gru_bench.gru_check.forms import Form, weights_of
from gru_bench.gru_check.subject import STEPS, Subject, Value, Watch, sample, state_of
from gru_bench.gru_check.weights import Block, Cell, Cutting, biases, cells

SHORT = 3
"""Steps of the sequences with which cells are searched."""
_START = (0, 0)
"""Place of what is a first state."""


@dataclass
class Explained:
    """What explains an object's results."""

    subject: Subject
    form: Form
    found: Guess
    cells: Sequence[Cell]
    vectors: Sequence[Block]
    by_values: bool
    """Whether what the object computes is explained, and its results are not."""

    def call(self) -> tuple[list[Value], Mapping[str, Tensor]]:
        """Return what one call computes, and the quantities of a step of it, as `Guess.inner` names them."""
        watch = Watch(self.subject.source.path, values=True)
        x, h = sample(self.form, self.form.batch), state_of(self.form, self.form.batch)
        with torch.no_grad():
            self.subject.call(self.form, x, h, watch=watch)
            return watch.values, self.found.inner(self.subject.vectors(self.form, x), h)


def explain(subject: Subject, form: Form) -> Explained | None:
    """Return what explains the results of an object. None: no member of the family does."""
    cuttings = list(_cuttings(subject, form))
    for stage in STAGES:
        for by_values in (False, True) if form.kind == "layer" else (False,):
            for how, own in cuttings if stage == "right" else cuttings[:2]:
                vectors = biases(_weights(subject), how)
                if form.kind == "layer":
                    _thin_out(own)
                with _zeros(vectors):
                    seen, _ = _seen(subject, form, how.hidden, by_values)
                    found = None if seen is None else search(own, stage, seen)
                if found is not None:
                    return Explained(subject, form, found, own, vectors, by_values)
    return None


def _weights(subject: Subject) -> dict[str, Tensor]:
    """Return the weights of an object but for those of embeddings."""
    tables = {id(table.weight) for table in subject.tables}
    return {name: one for name, one in weights_of(subject.built).items() if id(one) not in tables}


def _cuttings(subject: Subject, form: Form) -> Iterator[tuple[Cutting, list[Cell]]]:
    weights = _weights(subject)
    shapes = [tuple(d for d in one.shape if d > 1) for one in weights.values()]
    known = form.hidden or subject.source.sizes.get("H", 0)
    sizes = [known] if known else list(dict.fromkeys(min(s) for s in shapes if len(s) in (2, 3) and min(s[-2:]) > 1))
    for hidden in sizes:
        wide = form.width + hidden
        rows = any(s[-1] in (form.width, wide) and s[-2] % hidden == 0 for s in shapes if len(s) > 1)
        both = any(wide in s[-2:] for s in shapes if len(s) > 1)
        for own_rows in (rows, not rows):
            for state_first in (False, True) if both else (False,):
                how = Cutting(form.width, hidden, own_rows, state_first)
                for own in cells(weights, how):
                    yield how, own


def _thin_out(cells: Sequence[Cell]) -> None:
    """Leave weights to a few units alone, so that large layers take no longer than small ones."""
    for block in (block for cell in cells for block in (*cell.x, *cell.h)):
        block.value[ACTIVE:] = 0


@contextmanager
def _zeros(vectors: Sequence[Block]) -> Iterator[None]:
    """Make biases zeros for a while."""
    saved = [(block, block.value.clone()) for block in vectors]
    try:
        for block in vectors:
            block.value.zero_()
        yield
    finally:
        for block, value in saved:
            block.value.copy_(value)


def _seen(
    subject: Subject, form: Form, hidden: int, by_values: bool, steps: int = SHORT, seed: int = 0
) -> tuple[Seen | None, list[Tensor]]:
    """Return what is to be explained, and all results. None: nothing that was computed may be a state."""
    steps = 1 if form.kind == "cell" else STEPS if "T" in subject.source.sizes else steps
    # The second number of sequences tells affine functions of all states of two directions from others.
    count = 8 if by_values or form.kind == "cell" else 8 + 4 * steps * min(hidden, ACTIVE)
    count += -count % form.batch
    x, h = sample(form, count, steps, seed), state_of(form, count)
    if h is not None and form.kind == "layer":
        h[:, ACTIVE:] = 0  # these units have no weights
    computed: list[Value] = []
    with torch.no_grad():
        results = subject.results(form, x, h, values=computed if by_values else None)
    values = ([one for one in results if h is not None and one.shape == h.shape] if form.kind == "cell" else
              _states_among(computed, hidden))
    if by_values and not values:
        return None, results
    return Seen(subject.vectors(form, x), h, [goal.flatten(1) for result in results for goal in goals(result)],
                torch.stack(values) if values else None), results


def _states_among(values: Sequence[Value], hidden: int) -> list[Tensor]:
    """Return the first units of what may be the last states among what was computed."""
    last = [value.tensor[:, -1] if value.tensor.dim() == 3 else value.tensor for value in values]
    return [one[:, :ACTIVE] for one in last
            if one.shape[1:] == (hidden,) and float(one[:, :ACTIVE].std(0).min()) > 1e-6]


# ---------------------------------------------------------------- biases


def mistakes(it: Explained) -> list[Finding]:
    """Return the mistakes and conventions of the cell and its layout."""
    found = it.found.findings
    unused = [finding for finding in found if finding.code == "reset-unused"]
    if unused and "z" in CANDIDATES[it.found.member.candidate].names and _is_one_gate(it):
        return [replace(finding, code="shared-matrices", detail="The reset gate and the update gate are one.")
                if finding in unused else finding for finding in found]
    return found


def _is_one_gate(it: Explained) -> bool:
    """Return whether nothing computes a reset gate, in the place of which the candidate has the update gate."""
    cell, used = it.found.layout.first, it.found.own[0].tolist()
    with _zeros(it.vectors):
        values, step = it.call()
    gates = [torch.sigmoid(step["x"] @ w.value.t() + step["h"] @ u.value.t())
             for k, w in enumerate(cell.x) if k not in used[1:3] for j, u in enumerate(cell.h) if j not in used[4:6]]
    return not any(value.has(gate) for value in values for gate in gates)


def place_biases(it: Explained) -> list[Finding]:
    """Find the place of each bias, one after the other, and say what they show."""
    placed = Counter[tuple[int, int]]()
    left, known, learned = list(it.vectors), list[Block](), False
    for _ in range(2):  # that of a reset gate shows only where the candidate has one
        for block in list(left):
            with _zeros([other for other in it.vectors if other is not block and other not in known]):
                seen, _ = _seen(it.subject, it.form, it.found.layout.first.hidden, it.by_values, seed=3)
                place, guess = next(((place, guess) for place, guess in _with_bias(it, block)
                                     if seen is not None and bool(guess.explains(seen))), (None, it.found))
            if place is not None:
                it.found = guess
                placed[place] += 1
                left.remove(block)
                known.append(block)
                learned |= place == _START and id(block.tensor) not in it.subject.zero_at_first
    if learned:
        return [Finding("initial-state", "The first state is learned from other values than zeros.")]
    r, z, n, inside = (placed[id(it.found.layout.first), place] for place in range(4))
    if not r + z + n + inside:
        return [Finding("no-bias")]
    # The bias of a gate on which nothing depends does not show.
    has_gates = all(count for role, count in enumerate((r, z)) if role in it.found.member.roles)
    return [] if has_gates and n + inside > 1 else [Finding("single-bias")]


def _with_bias(it: Explained, block: Block) -> Iterator[tuple[tuple[int, int] | None, Guess]]:
    """Yield what a bias may be: of no effect (None), in a sum of a cell (its id and the number), or a first state."""
    yield None, it.found
    used = [cell for layer in it.found.layout.layers for cell, _ in layer]
    owners = [cell for cell in used if any(block.tensor is one for one in cell.tensors.values())] or used
    biases = it.found.biases
    for cell in dict.fromkeys(map(id, owners)):
        for place in range(4):
            bias = biases[cell].index_add(0, torch.tensor([place]), block.value[None])
            yield (cell, place), replace(it.found, biases={**biases, cell: bias})
    if it.form.kind == "layer":
        yield _START, replace(it.found, layout=replace(it.found.layout, start=[block.value]))


# ---------------------------------------------------------------- which states are read


def reading(it: Explained) -> list[Finding]:
    """Say which states the results use: all states but those of one step are left out in turn."""
    seen, results = _seen(it.subject, it.form, it.found.layout.first.hidden, False, STEPS, seed=3)
    assert seen is not None
    made = [[way[0] for way in layer] for layer in it.found.states(seen.inputs, seen.given)]
    ways = it.found.layout.layers[-1]
    last = made[-1]
    lower = [way for layer in made[:-1] for way in layer]
    found: list[Finding] = []
    for result in results:
        fitting = [goal for goal in goals(result)
                   if float(distance(goal.flatten(1), features(last)[None])[0]) < NEAR]
        if not fitting:
            if goals(result) and not any(float(distance(
                    goal.flatten(1), features([*last, *(way[:, -1:] for way in lower)])[None])[0]) < NEAR
                    for goal in goals(result)):
                found.append(Finding("unknown", "One of its results is no linear function of its states."))
            continue
        goal = fitting[0]
        parts = [goal[:, t] for t in range(goal.shape[1])] if goal.dim() == 3 else [goal]
        for t, part in enumerate(parts):
            needed = [[k for k in range(STEPS) if _needs(part, last, way, k)] for way in range(len(ways))]
            found += _read(needed, [backwards for _, backwards in ways], t if goal.dim() == 3 else None)
    return list({finding.code: finding for finding in reversed(found)}.values())


def _needs(part: Tensor, last: Sequence[Tensor], way: int, step: int) -> bool:
    """Return whether a result needs the state of a step, T in the order of reading."""
    rest = [states for other, states in enumerate(last) if other != way]
    own = torch.cat([last[way][:, :step], last[way][:, step + 1:]], 1)
    return float(distance(part, features([own, *rest])[None])[0]) > 100 * NEAR


def _read(needed: Sequence[Sequence[int]], backwards: Sequence[bool], t: int | None) -> list[Finding]:
    """Return what is wrong with a result that needs these states, at step t of the outputs or of the whole."""
    found = []
    for steps, turned in zip(needed, backwards, strict=True):
        if len(steps) != 1:
            if t is None and steps and max(steps) < STEPS - 1:
                found.append(Finding("last-step", "The last step is left out."))
            continue
        want = STEPS - 1 if t is None else STEPS - 1 - t if turned else t
        if steps[0] == want:
            continue
        if len(needed) > 1 and turned:
            found.append(Finding("backward-end", "The backward half has not read all inputs where it is read."))
        elif t is not None and steps[0] == STEPS - 1 - t:
            found.append(Finding("read-backwards", "The outputs are in the order from the last to the first."))
        elif steps[0] < want:
            found.append(Finding("last-step", "The last step is left out."))
        elif t is not None:
            found.append(Finding("read-backwards", "An output depends on later steps."))
    return found


# ---------------------------------------------------------------- the line of a wrong step


def lines(it: Explained, findings: Sequence[Finding]) -> dict[str, int]:
    """Return code -> line of the student's file. A code whose line is not known for certain is left out."""
    values, quantities = it.call()
    found: dict[str, int] = {}
    for finding in findings:
        name = finding.quantity
        if name == "new" and any(torch.allclose(quantities["new"], quantities[other]) for other in ("n", "h")):
            continue
        line = _line(values, quantities[name]) if name else 0
        if name == "z h" and line != _line(values, quantities["n"]):
            line = 0
        # Of one product for input and state, the state may be wrong where both are put together.
        wide = quantities["x"].shape[-1] + quantities["n"].shape[-1]
        if name == "n" and any(value.line != line and value.tensor.shape[-1:] == (wide,) for value in values):
            line = 0
        if line:
            found[finding.code] = line
    return found


def _line(values: Sequence[Value], wanted: Tensor) -> int:
    return next((value.line for value in values if value.line and value.has(wanted)), 0)
