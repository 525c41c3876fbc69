"""An object -> what explains its results: the cell, its biases, and which of its states the results need.

Shapes: `N` sequences, `T` steps, `E` input width, `H` hidden width.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.family import names
from gru_bench.gru_check.fit import ACTIVE, NEAR, STAGES, Guess, Seen, distance, features, goals, search
from gru_bench.gru_check.forms import weights_of
from gru_bench.gru_check.subject import STEPS, Subject, by_sequence
from gru_bench.gru_check.watch import Value, Watch
from gru_bench.gru_check.weights import Block, Cell, Cutting, biases, cells

_START = (None, 0)
"""Place of what is a first state. Others are in the sums of a cell: r, z, n and the product inside n."""
SHORT = 3
"""Steps of the sequences with which cells are searched."""


@dataclass
class Explained:
    """What explains an object's results."""

    subject: Subject
    found: Guess
    cells: Sequence[Cell]
    vectors: list[Block]
    by_values: bool
    """Whether what the object computes is explained, and its results are not."""

    def call(self) -> tuple[list[Value], Mapping[str, Tensor]]:
        """Return what one call computes, and the quantities of a step of it, as `Guess.inner` names them."""
        watch, (x, h) = Watch(self.subject.path, values=True), self.subject.given()
        self.subject.call(x, h, watch=watch)
        return watch.values, self.found.inner(self.subject.vectors(x), h)


def explain(subject: Subject) -> Explained | None:
    """Return what explains the results of an object. None: no member of the family does."""
    cuttings, is_layer = list(_cuttings(subject)), subject.form.kind == "layer"
    for stage in STAGES:
        for by_values in (False, True) if is_layer else (False,):
            for how, own, vectors in cuttings if stage == "right" else cuttings[:2]:
                if is_layer:
                    _thin_out(own)
                with _zeros(vectors):
                    seen = _seen(subject, how.hidden, by_values)
                    found = None if seen is None else search(own, stage, seen)
                if found is not None:
                    return Explained(subject, found, own, vectors, by_values)
    return None


def _cuttings(subject: Subject) -> Iterator[tuple[Cutting, list[Cell], list[Block]]]:
    """Yield ways to read matrices, likely ones first, with the recurrences and the biases that they give."""
    tables = {id(table.weight) for table in subject.tables}
    weights = {name: one for name, one in weights_of(subject.built).items() if id(one) not in tables}
    shapes = [one.squeeze().shape for one in weights.values() if one.squeeze().dim() in (2, 3)]
    width = subject.form.width
    for hidden in [subject.hidden] if subject.hidden else dict.fromkeys(min(shape) for shape in shapes):
        wide = width + hidden
        rows = any(shape[-1] in (width, wide) and shape[-2] % hidden == 0 for shape in shapes)
        for own_rows in (rows, not rows):
            for state_first in (False, True) if any(wide in shape[-2:] for shape in shapes) else (False,):
                how = Cutting(width, hidden, own_rows, state_first)
                if own := cells(weights, how):
                    yield how, own, biases(weights, how)


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


def _seen(subject: Subject, hidden: int, by_values: bool, steps: int = SHORT, seed: int = 0) -> Seen | None:
    """Return what is to be explained. None: nothing that was computed may be a state."""
    form = subject.form
    steps = 1 if form.kind == "cell" else STEPS if "T" in subject.sizes else steps
    # With fewer sequences, states of two directions would be affine functions of any others.
    count = 1 if by_values else 8 if form.kind == "cell" else 8 + 4 * steps * min(hidden, ACTIVE)
    count += -count % form.batch
    x, h = subject.given(count, steps, seed)
    if h is not None and form.kind == "layer":
        h[:, ACTIVE:] = 0  # these units have no weights
    watch = Watch(subject.path, values=by_values)
    results = subject.results(x, h, watch)
    if form.kind == "cell":
        values = [one for one in results if h is not None and one.shape == h.shape]
    else:
        every = (by_sequence(value.tensor, form, steps) for value in watch.values)
        last = [one[:, -1] if one.dim() == 3 else one for one in every if one is not None]
        active = [one[:, :ACTIVE] for one in last if one.shape[1:] == (hidden,)]
        values = [one for one in active if float(one.std()) > 1e-6]
    if by_values and not values:
        return None
    return Seen(subject.vectors(x), h, [goals(one) for one in results], torch.stack(values) if values else None)


# ---------------------------------------------------------------- mistakes and biases


def mistakes(it: Explained) -> list[Finding]:
    """Return the mistakes and conventions of the cell and its layout."""
    found = it.found.findings
    if "z" not in names(it.found.member.candidate) or not _is_one_gate(it):
        return found
    return [replace(finding, code="shared-matrices", detail="The reset gate and the update gate are one.")
            if finding.code == "reset-unused" else finding for finding in found]


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
    placed = Counter[tuple[Cell | None, int]]()
    known: list[Block] = []
    for block in it.vectors * 2:  # that of a reset gate shows only where the candidate has one
        if block in known:
            continue
        with _zeros([other for other in it.vectors if other is not block and other not in known]):
            seen = _seen(it.subject, it.found.layout.first.hidden, it.by_values, seed=3)
            place, guess = next(((place, guess) for place, guess in _with_bias(it, block)
                                 if seen is not None and bool(guess.explains(seen))), (None, it.found))
        if place is not None:
            it.found = guess
            placed[place] += 1
            known.append(block)
            if place == _START and id(block.tensor) not in it.subject.zero_at_first:
                return [Finding("initial-state", "The first state is learned from other values than zeros.")]
    r, z, n, inside = (placed[it.found.layout.first, place] for place in range(4))
    if not r + z + n + inside:
        return [Finding("no-bias")]
    # The bias of a gate on which nothing depends does not show.
    has_gates = all(count for gate, count in (("r", r), ("z", z)) if gate in it.found.member.uses)
    return [] if has_gates and n + inside > 1 else [Finding("single-bias")]


def _with_bias(it: Explained, block: Block) -> Iterator[tuple[tuple[Cell | None, int] | None, Guess]]:
    """Yield what a bias may be: of no effect (None), in one of the sums of a cell, or a first state."""
    yield None, it.found
    for cell, place in itertools.product(it.cells, range(4)):
        bias = it.found.biases[cell].index_add(0, torch.tensor([place]), block.value[None])
        yield (cell, place), replace(it.found, biases={**it.found.biases, cell: bias})
    if it.subject.form.kind == "layer":
        yield _START, replace(it.found, layout=replace(it.found.layout, start=[block.value]))


# ---------------------------------------------------------------- which states are read


def reading(it: Explained) -> list[Finding]:
    """Say which states the results use: all states but those of one step are left out in turn."""
    seen = _seen(it.subject, it.found.layout.first.hidden, False, STEPS, seed=3)
    assert seen is not None
    *below, last = [[way[0] for way in layer] for layer in it.found.states(seen.inputs, seen.given)]
    every = [*last, *(way[:, -1:] for layer in below for way in layer)]
    turned = [backwards for _, backwards in it.found.layout.layers[-1]]
    found: list[Finding] = []
    for result in filter(None, seen.goals):
        goal = next((goal for goal in result if _is_made_of(goal, last)), None)
        if goal is None:
            if not any(_is_made_of(goal, every) for goal in result):
                found.append(Finding("unknown", "One of its results is no linear function of its states."))
            continue
        for t, part in enumerate(goal.unbind(1)) if goal.dim() == 3 else [(None, goal)]:
            needed = [[k for k in range(STEPS) if _needs(part, last, way, k)] for way in range(len(last))]
            found += _read(needed, turned, t)
    return list({finding.code: finding for finding in reversed(found)}.values())


def _is_made_of(goal: Tensor, ways: Sequence[Tensor], near: float = NEAR) -> bool:
    return float(distance(goal.flatten(1), features(ways)[None])[0]) < near


def _needs(part: Tensor, last: Sequence[Tensor], way: int, step: int) -> bool:
    """Return whether a result needs the state of a step, T in the order of reading."""
    rest = [states for other, states in enumerate(last) if other != way]
    own = torch.cat([last[way][:, :step], last[way][:, step + 1:]], 1)
    return not _is_made_of(part, [own, *rest], 100 * NEAR)


def _read(needed: Sequence[Sequence[int]], backwards: Sequence[bool], t: int | None) -> list[Finding]:
    """Return what is wrong with a result that needs these states, at step t of the outputs or of the whole."""
    found = []
    for steps, turned in zip(needed, backwards, strict=True):
        want = STEPS - 1 if t is None else STEPS - 1 - t if turned else t
        if len(steps) != 1:
            if t is None and steps and max(steps) < want:
                found.append(Finding("last-step", "The last step is left out."))
        elif steps[0] == want:
            continue
        elif len(needed) > 1 and turned:
            found.append(Finding("backward-end", "The backward half has not read all inputs where it is read."))
        elif t is not None and steps[0] == STEPS - 1 - t:
            found.append(Finding("read-backwards", "The outputs are in the order from the last to the first."))
        elif steps[0] < want:
            found.append(Finding("last-step", "The last step is left out."))
        else:
            found.append(Finding("read-backwards", "An output depends on later steps."))
    return found


# ---------------------------------------------------------------- the line of a wrong step


def lines(it: Explained, findings: Sequence[Finding]) -> dict[str, int]:
    """Return code -> line of the student's file. A code whose line is not known for certain is left out."""
    values, quantities = it.call()
    found: dict[str, int] = {}
    for finding in findings:
        name = finding.quantity
        if not name or (name == "new" and any(torch.allclose(quantities["new"], quantities[one]) for one in "nh")):
            continue
        line = next((value.line for value in values if value.line and value.has(quantities[name])), 0)
        # Of one product for input and state, the state may be wrong where both are put together.
        wide = quantities["x"].shape[-1] + quantities["n"].shape[-1]
        if line and not (name == "n" and any(value.line != line and value.tensor.shape[-1:] == (wide,)
                                             for value in values)):
            found[finding.code] = line
    return found
