"""An object -> what explains its results: the cell, its biases, and which of its states the results need.

Shapes: `N` sequences, `T` steps, `E` input width, `H` hidden width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.family import CANDIDATES
from gru_bench.gru_check.fit import (
    ACTIVE,
    NEAR,
    STAGES,
    Found,
    distance,
    features,
    goals,
    inner,
    search_cell,
    search_layer,
)
from gru_bench.gru_check.forms import Form, weights_of
from gru_bench.gru_check.subject import STEPS, Subject, Value, Watch, sample, state_of
from gru_bench.gru_check.weights import Block, Cell, Cutting, biases, cells

SHORT = 3
"""Steps of the sequences with which cells are searched."""


@dataclass
class Explained:
    """What explains an object's results."""

    subject: Subject
    form: Form
    found: Found
    cells: Sequence[Cell]
    vectors: Sequence[Block]
    by_values: bool
    """Whether what the object computes is explained, and its results are not."""

    def inputs(self, x: Tensor) -> Tensor:
        """Return the vectors that the recurrence reads: T x N x E."""
        return x if self.form.kind == "layer" and not self.form.tokens else embedded(self.subject, self.form, x)


def embedded(subject: Subject, form: Form, x: Tensor) -> Tensor:
    """Return the vectors that a recurrence reads: T x N x E."""
    if form.kind == "cell":
        return x[None]
    if not form.tokens:
        return x
    table = next(part for part in subject.built.modules() if isinstance(part, nn.Embedding))
    return table.weight.detach()[x]


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
                    found = _search(subject, form, own, stage, how.hidden, by_values)
                if found is not None:
                    return Explained(subject, form, found, own, vectors, by_values)
    return None


def _weights(subject: Subject) -> dict[str, Tensor]:
    """Return the weights of an object but for those of embeddings."""
    tables = {id(part.weight) for part in subject.built.modules() if isinstance(part, nn.Embedding)} if isinstance(
        subject.built, nn.Module) else set()
    return {name: one for name, one in weights_of(subject.built).items() if id(one) not in tables}


def _cuttings(subject: Subject, form: Form) -> Iterator[tuple[Cutting, list[Cell]]]:
    weights = _weights(subject)
    shapes = [tuple(d for d in one.shape if d > 1) for one in weights.values()]
    known = form.hidden or subject.source.sizes.get("H", 0)
    sizes = [known] if known else list(dict.fromkeys(min(s) for s in shapes if len(s) in (2, 3) and min(s[-2:]) > 1))
    for hidden in sizes:
        sides = {form.width, form.width + hidden, form.width + hidden + 1}
        rows = any(s[-1] in sides and s[-2] % hidden == 0 for s in shapes if len(s) > 1)
        both = any({form.width + hidden, form.width + hidden + 1} & set(s[-2:]) for s in shapes if len(s) > 1)
        for own_rows in (rows, not rows):
            for state_first in (False, True) if both else (False,):
                how = Cutting(form.width, hidden, own_rows, state_first)
                for own in cells(weights, how):
                    yield how, own


def _thin_out(cells: Sequence[Cell]) -> None:
    """Leave weights to a few units alone, so that large layers take no longer than small ones."""
    for block in (block for cell in cells for block in (*cell.x, *cell.h)):
        block.cut(block.tensor.data)[ACTIVE:] = 0


@contextmanager
def _zeros(vectors: Sequence[Block]) -> Iterator[None]:
    """Make biases zeros for a while."""
    saved = [(block, block.value.clone()) for block in vectors]
    try:
        for block, _ in saved:
            block.cut(block.tensor.data).zero_()
        yield
    finally:
        for block, value in saved:
            block.cut(block.tensor.data).copy_(value)


def _search(
    subject: Subject, form: Form, own: Sequence[Cell], stage: str, hidden: int, by_values: bool
) -> Found | None:
    if form.kind == "cell":
        x, h = sample(form, 21), state_of(form, 21)
        assert h is not None
        with torch.no_grad():
            return search_cell(own[0], stage, x, h, subject.results(form, x, h))
    steps = STEPS if "T" in subject.source.sizes else SHORT
    count = _enough(form, steps, hidden)
    x, h0 = sample(form, count, steps), _state(form, count)
    values: list[Value] = []
    with torch.no_grad():
        results = subject.results(form, x, h0, values=values if by_values else None)
        known = _states_among(values, hidden)
        if by_values and not known:
            return None
        return search_layer(own, stage, embedded(subject, form, x), h0, results, known)


def _enough(form: Form, steps: int, hidden: int) -> int:
    """Return how many sequences tell affine functions of all states of two directions from others."""
    count = 8 + 4 * steps * min(hidden, ACTIVE)
    return count + -count % form.batch


def _state(form: Form, count: int) -> Tensor | None:
    """Return a state for a layer, in which the units without weights are zeros."""
    h = state_of(form, count)
    return h if h is None else torch.cat([h[:, :ACTIVE], torch.zeros_like(h[:, ACTIVE:])], 1)


def _states_among(values: Sequence[Value], hidden: int) -> list[Tensor]:
    """Return what may be the last states among what was computed, N x H each."""
    last = [value.tensor[:, -1] if value.tensor.dim() == 3 else value.tensor for value in values]
    return [one for one in last if one.shape[1:] == (hidden,) and float(one[:, :ACTIVE].std(0).min()) > 1e-6]


# ---------------------------------------------------------------- biases


def place_biases(it: Explained) -> list[Finding]:
    """Find the place of each bias, one after the other, and say what they show."""
    counts: dict[int, list[int]] = {id(cell): [0] * 4 for cell in it.cells}
    start_is_wrong = False
    zero_at_first = it.subject.zero_at_first
    used = [cell for layer in it.found.layout.layers for cell, _ in layer]
    placed: dict[int, Tensor] = {id(cell): torch.zeros(4, used[0].h[0].value.shape[0]) for cell in used}
    left, known = list(it.vectors), list[Block]()
    for _ in range(2):  # that of a reset gate shows only where the candidate has one
        for block in list(left):
            with _zeros([other for other in it.vectors if other is not block and other not in known]):
                results = _results(it)
                if _explains(it, results, placed, None):
                    continue
                owners = [cell for cell in used if any(block.tensor is one for one in cell.tensors.values())] or used
                for cell, place in ((cell, place) for cell in dict.fromkeys(map(id, owners)) for place in range(4)):
                    bias = torch.zeros_like(placed[cell]).index_copy(0, torch.tensor([place]), block.value[None])
                    if _explains(it, results, placed | {cell: placed[cell] + bias}, None):
                        counts[cell][place] += 1
                        placed[cell] = placed[cell] + bias
                        known.append(block)
                        left.remove(block)
                        break
                else:
                    if it.form.kind == "layer" and _explains(it, results, placed, block.value):
                        left.remove(block)
                        known.append(block)
                        it.found.start = [block.value]
                        start_is_wrong = id(block.tensor) not in zero_at_first
    it.found.biases = placed
    if start_is_wrong:
        return [Finding("initial-state", "The first state is learned from other values than zeros.")]
    r, z, n, inside = counts[id(used[0])]
    if not r + z + n + inside:
        return [Finding("no-bias")]
    # The bias of a gate on which nothing depends does not show.
    has_gates = all(count for role, count in enumerate((r, z)) if role in it.found.member.roles)
    return [] if has_gates and n + inside > 1 else [Finding("single-bias")]


def _results(it: Explained, steps: int = SHORT) -> tuple[Tensor, Tensor | None, list[Tensor]]:
    """Return an input, a state and what explains or is explained."""
    form, steps = it.form, (STEPS if "T" in it.subject.source.sizes else steps)
    hidden = it.found.layout.first.h[0].value.shape[0]
    count = 21 + -21 % form.batch if form.kind == "cell" else _enough(form, steps, hidden)
    x, h = sample(form, count, steps, seed=3), state_of(form, count) if form.kind == "cell" else _state(form, count)
    values: list[Value] = []
    with torch.no_grad():
        results = it.subject.results(form, x, h, values=values if it.by_values else None)
    return x, h, _states_among(values, hidden) if it.by_values else results


def _explains(
    it: Explained, made: tuple[Tensor, Tensor | None, list[Tensor]], more: dict[int, Tensor], start: Tensor | None
) -> bool:
    x, h, results = made
    found = replace(it.found, biases=more, start=it.found.start if start is None else [start])
    own = found.states(it.inputs(x), h)[-1]
    if it.form.kind == "cell" or it.by_values:
        return all(any(_equal(way[:, -1], one) for one in results) for way in own)
    return any(float(distance(goal.flatten(1), features(own)[None])[0]) < 10 * NEAR
               for result in results for goal in goals(result))


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and float((one - other).abs().max()) < NEAR


def is_one_gate(it: Explained) -> bool:
    """Return whether the candidate has the update gate in place of a reset gate that nothing computes."""
    if not it.found.member.candidate.startswith(("z", "1 - z")) or "r" in CANDIDATES[it.found.member.candidate].gates:
        return False
    watch, form, cell = Watch(it.subject.source.path, values=True), it.form, it.found.layout.first
    x, h = sample(form, form.batch), state_of(form, form.batch)
    with torch.no_grad(), _zeros(it.vectors):
        it.subject.call(form, x, h, watch=watch)
        step = inner(replace(it.found, biases={}), it.inputs(x), h)
    used = it.found.own[0].tolist()
    gates = [torch.sigmoid(step["x"] @ w.value.t() + step["h"] @ u.value.t())
             for k, w in enumerate(cell.x) if k not in used[1:3] for j, u in enumerate(cell.h) if j not in used[4:6]]
    return not any(value.has(gate) for value in watch.values for gate in gates)


# ---------------------------------------------------------------- which states are read


def reading(it: Explained) -> list[Finding]:
    """Say which states the results use: all states but those of one step are left out in turn."""
    x, h, results = _results(it, STEPS)
    made = it.found.states(it.inputs(x), h)
    ways = it.found.layout.layers[-1]
    last = made[-1]
    lower = [way for layer in made[:-1] for way in layer]
    found: list[Finding] = []
    for result in results:
        fitting = [goal for goal in goals(result)
                   if float(distance(goal.flatten(1), features(last)[None])[0]) < 100 * NEAR]
        if not fitting:
            if goals(result) and not any(float(distance(
                    goal.flatten(1), features([*last, *(way[:, -1:] for way in lower)])[None])[0]) < 100 * NEAR
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
    return float(distance(part, features([own, *rest])[None])[0]) > 1000 * NEAR


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
