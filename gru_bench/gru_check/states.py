"""The states of a student's layer, found by running it on shorter inputs, and its steps as functions of input and
state.

A state after p steps is what a run on the first p steps computes too, what the run on the first p - 1 steps does not,
and what the later steps go on from. It needs no name and no output: a list, a buffer or a variable in a loop will do.
Once the call that makes a state is known, a state of ours can stand in its place, which makes one step of a layer a
function of its own.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gru_bench.gru_check.calls import STEPS, Caller
from gru_bench.gru_check.forms import Form, sample_input
from gru_bench.gru_check.trace import Call, Done, Edit, Recorder, Site

_CLOSE = 1e-11


@dataclass(frozen=True)
class Track:
    """The states of one direction, those of the first layer first."""

    backward: bool
    before: tuple[Site, ...]
    """Where each layer's state after `at` steps is made."""
    after: tuple[Site, ...]
    """Where the state after the step that follows is made."""
    at: int
    reads: int
    """Index of the input that the step between them reads. -1: not found."""
    coupled: bool
    """Whether a layer's state also depends on the state of a later one."""


@dataclass
class Runs:
    """A layer, and its runs on parts of one input."""

    caller: Caller
    form: Form
    x: Tensor
    """T x B x E, or token ids T x B."""
    rows: Tensor | None
    """Vectors of token ids."""
    h0: Tensor | None
    whole: list[Call]
    constant: set[Site]
    leaves: dict[int, Tensor]
    columns: set[Site] = field(default_factory=set)
    """Where states are made whose last axis is that of the sequences."""

    def record(
        self, x: Tensor, rows: Tensor | None = None, *, full: bool = False,
        replace: Mapping[Site, Tensor] | None = None, read: Sequence[Site] = (), keep_cuts: bool = False,
    ) -> tuple[list[Tensor], Recorder]:
        """Run the layer on an input, and return its results and the recording."""
        recorder = Recorder(self.caller.file, full=full, keep_cuts=keep_cuts, replace=replace, read=read,
                            rows=self.rows if rows is None else rows)
        return self.caller.call(self.form, x, self.h0, recorder), recorder

    def changed(self, t: int, x_BE: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the input and the vectors of tokens in which step t reads other vectors, by default of 0.3 alone."""
        x_BE = torch.full((self.form.batch, self.form.width), 0.3) if x_BE is None else x_BE
        if self.rows is None:
            return torch.stack([*self.x[:t], x_BE, *self.x[t + 1:]]), None
        rows = list(self.rows)
        for b, token in enumerate(self.x[t].tolist()):
            rows[token] = x_BE[b]
        return self.x, torch.stack(rows)

    def shifted(self, b: int) -> tuple[Tensor, Tensor | None]:
        """Return the input and the vectors of tokens in which sequence b has other vectors."""
        if self.rows is None:
            x = self.x.clone()
            x[:, b] += 0.3
            return x, None
        rows = self.rows.clone()
        rows[self.x[:, b]] += 0.3
        return self.x, rows

    def value(self, site: Site) -> Tensor:
        """Return the result that is made at a place, flat."""
        return self.whole[site[0]].values[site[1]]

    def state(self, site: Site) -> Tensor:
        """Return the state that is made at a place, B x H."""
        return by_rows(self.value(site), self.form.batch, site in self.columns)


def by_rows(value: Tensor, batch: int, columns: bool) -> Tensor:
    """Return a student's tensor, H x B where it has columns, as B x H."""
    return value.reshape(-1, batch).T if columns else value.reshape(batch, -1)


def as_made(state: Tensor, columns: bool) -> Tensor:
    """Return a state, B x H, in the student's order of axes."""
    return state.T if columns else state


def runs_of(caller: Caller, form: Form) -> Runs:
    """Return a layer's runs."""
    x = sample_input(form, STEPS)
    rows = _rows(form) if form.tokens else None
    h0 = torch.full((form.batch, form.hidden), 0.25) if form.state else None
    runs = Runs(caller, form, x, rows, h0, [], set(), {})
    _, first = runs.record(x, full=True)
    other_rows = None if rows is None else rows + 1.0
    _, second = runs.record(x if form.tokens else x + 1.0, full=True, rows=other_rows)
    runs.whole = first.calls
    runs.leaves = {key: leaf for key, leaf in first.leaves.items() if key in second.leaves}
    for number, (a, b) in enumerate(zip(first.calls, second.calls, strict=False)):
        for place, (u, v) in enumerate(zip(a.values, b.values, strict=False)):
            if u.shape == v.shape and torch.equal(u, v):
                runs.constant.add((number, place))
    return runs


def _rows(form: Form) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(STEPS * form.batch + 40, form.width, generator=generator, dtype=torch.float64)
    rows[0] = 0
    return rows


def tracks(runs: Runs) -> list[Track]:
    """Return the directions in which states were found, forward first."""
    found = [track for backward in (False, True) for track in _tracks(runs, backward)]
    runs.columns = _columns(runs, [site for track in found for site in (*track.before, *track.after)])
    return found


def _columns(runs: Runs, sites: Sequence[Site]) -> set[Site]:
    """Return where states are H x B: those in which a sequence has influence on columns alone, and not on rows."""
    batch = runs.form.batch
    rows, columns = set(sites), set(sites)
    for b in range(batch if batch > 1 else 0):
        with torch.no_grad():
            _, recorder = runs.record(*runs.shifted(b), read=sites)
        for site in sites:
            if site in recorder.found:
                moved = recorder.found[site].reshape(-1) != runs.value(site)
                for layout, own in ((rows, False), (columns, True)):
                    by_sequence = by_rows(moved, batch, own)
                    if bool(by_sequence[:b].any()) or bool(by_sequence[b + 1:].any()):
                        layout.discard(site)
    return columns - rows


def _tracks(runs: Runs, backward: bool) -> list[Track]:
    common = {p: _common(runs, p, backward) for p in range(1, STEPS)}
    at = next((at for at in (2, 3) if common[at - 1] is not None), 2)  # some layers fail on a single step
    fronts = [_front(runs, common[p] or set(), common[p - 1] or set()) for p in range(at, at + 3)]
    if not fronts[0] or not fronts[1]:
        return []
    moved: list[list[Site]] = []
    reach: dict[Site, set[Site]] = {}
    for here, there in itertools.pairwise(fronts):
        for site in here:
            reach[site] = _reached(runs, site, there)
        moved.append([site for site in here if reach[site]])
    if not moved[0] or len(moved[0]) != len(moved[1]):
        return []
    reached = set().union(*(reach[site] for site in moved[0]))
    # A state comes of the state before. An input that a later part reads again does not.
    pairs = [(before, after) for before, after in zip(*moved, strict=True) if after in reached]
    found = []
    while pairs:  # states without influence on each other are no layers of one direction
        before, after = pairs[0]
        own = [(b, a) for b, a in pairs if (b, a) == (before, after) or a in reach[before] or after in reach[b]]
        pairs = [pair for pair in pairs if pair not in own]
        coupled = any(a in reach[b] and i > j for i, (b, _) in enumerate(own) for j, (_, a) in enumerate(own))
        track = Track(backward, tuple(b for b, _ in own), tuple(a for _, a in own), at, -1, coupled)
        found.append(replace(track, reads=_read(runs, track)))
    return found


def _common(runs: Runs, p: int, backward: bool) -> set[Site] | None:
    """Return the results of the whole run that the run on p steps has too. None: that run fails."""
    part = runs.x[STEPS - p:] if backward else runs.x[:p]
    try:
        _, recorder = runs.record(part, full=True)
    except Exception:
        return None
    by_size: dict[int, list[Tensor]] = {}
    for call in recorder.calls:
        for value in call.values:
            by_size.setdefault(value.numel(), []).append(value)
    stacked = {size: torch.stack(values) for size, values in by_size.items()}
    found = set()
    for number, call in enumerate(runs.whole):
        for place, value in enumerate(call.values):
            others = stacked.get(value.numel())
            if others is not None and (number, place) not in runs.constant and value.numel() and bool(
                    ((others - value).abs().amax(dim=1) <= _CLOSE).any()):
                found.add((number, place))
    return found


def _front(runs: Runs, common: set[Site], earlier: set[Site]) -> list[Site]:
    """Return where the values are made that the later steps go on from."""
    used: set[Site] = set()
    for number, call in enumerate(runs.whole):
        if all((number, place) in common or (number, place) in runs.constant for place in range(len(call.values))):
            continue
        used.update(site for site in call.inputs if site in common and site not in earlier)
    return sorted({_made(runs, site, common) for site in used})


_PARTS = {"__getitem__", "select", "narrow", "index_select"}


def _made(runs: Runs, site: Site, common: set[Site]) -> Site:
    """Return where a value was first made, of which the result at `site` may be a view or a copy."""
    value = runs.value(site)
    while True:
        call = runs.whole[site[0]]
        same = [other for other in call.inputs if other in common and runs.value(other).numel() == value.numel()
                and torch.equal(runs.value(other), value)]
        if same:
            site = same[0]
            continue
        if not call.inputs or (call.name in _PARTS and not bool(
                torch.isin(value, runs.value(call.inputs[0])).all())):
            # Copied by way of numpy, or read from a buffer that was filled in place. Neither leaves a trace.
            return min(other for other in common if runs.value(other).numel() == value.numel()
                       and torch.equal(runs.value(other), value))
        return site


def _reached(runs: Runs, site: Site, sites: Sequence[Site]) -> set[Site]:
    value = runs.value(site)
    other = value + torch.linspace(0.05, 0.35, value.numel())
    try:
        with torch.no_grad():
            _, recorder = runs.record(runs.x, replace={site: other}, read=sites)
    except Exception:
        return set()
    return {place for place in sites if place in recorder.found and not torch.equal(
        recorder.found[place].reshape(-1), runs.value(place))}


def _read(runs: Runs, track: Track) -> int:
    """Return the index of the input that the step after `track.before` reads."""
    replace = {site: runs.value(site) for site in track.before}
    for t in range(STEPS):
        with torch.no_grad():
            _, recorder = runs.record(*runs.changed(t), replace=replace, read=track.after[:1])
        found = recorder.found.get(track.after[0])
        if found is not None and not torch.equal(found.reshape(-1), runs.value(track.after[0])):
            return t
    return -1


@dataclass(frozen=True)
class Step:
    """One step of a student's cell as a function: (x, h) -> h'. Shapes: x is B x E, h and h' are B x H."""

    run: Callable[[Tensor, Tensor, bool], Tensor]
    """The third argument: whether gradients are cut where the student cuts them."""
    record: Callable[[Tensor, Tensor], Recorder]
    """A full recording of one step."""
    edited: Callable[[Mapping[int, Edit]], Step]
    """The same step with other things done in place of some calls."""
    batch: int
    width: int
    hidden: int
    columns: bool = False
    """Whether the student's own states are H x B."""


def step_of_track(runs: Runs, track: Track, layer: int, edits: Mapping[int, Edit] | None = None) -> Step:
    """Return the step of one layer of a direction."""
    form = runs.form
    before, after = track.before[layer], track.after[layer]
    size = runs.value(before).numel()
    hidden = size // form.batch
    width = form.width if layer == 0 else runs.value(track.after[layer - 1]).numel() // form.batch

    def record(x: Tensor, h: Tensor, keep_cuts: bool, full: bool) -> Recorder:
        state = as_made(h, before in runs.columns)
        replace = {before: state}
        whole, rows = runs.x, None
        if layer == 0:
            whole, rows = runs.changed(track.reads, x)
        else:
            below = track.after[layer - 1]
            replace[below] = as_made(x, below in runs.columns)
        recorder = Recorder(runs.caller.file, full=full, keep_cuts=keep_cuts, replace=replace, read=[after],
                            rows=runs.rows if rows is None else rows, edits=edits, state=state, stop=not full)
        with contextlib.suppress(Done):
            runs.caller.call(form, whole, runs.h0, recorder)
        return recorder

    def run(x: Tensor, h: Tensor, keep_cuts: bool = False) -> Tensor:
        return by_rows(record(x, h, keep_cuts, False).found[after], form.batch, after in runs.columns)

    return Step(run, lambda x, h: record(x, h, False, True),
                lambda others: step_of_track(runs, track, layer, others), form.batch, width, hidden,
                after in runs.columns)


def step_of_cell(caller: Caller, form: Form, edits: Mapping[int, Edit] | None = None) -> Step:
    """Return the step of a cell."""
    def call(x: Tensor, h: Tensor, keep_cuts: bool, full: bool) -> tuple[Tensor, Recorder]:
        recorder = Recorder(caller.file, full=full, keep_cuts=keep_cuts, edits=edits, state=h)
        return new_state(caller.call(form, x, h, recorder), form), recorder

    return Step(lambda x, h, keep_cuts: call(x, h, keep_cuts, False)[0], lambda x, h: call(x, h, False, True)[1],
                lambda others: step_of_cell(caller, form, others), form.batch, form.width, form.hidden)


def new_state(results: Sequence[Tensor], form: Form) -> Tensor:
    """Return the new state among a cell's results: by default the last one of its size."""
    fitting = fitting_results(results, form)
    if not fitting:
        raise ValueError("no result has the size of the state")
    return fitting[form.result]


def fitting_results(results: Sequence[Tensor], form: Form) -> list[Tensor]:
    """Return the results of a cell that have the size of its state."""
    return [result.reshape(form.batch, form.hidden) for result in results
            if result.numel() == form.batch * form.hidden]
