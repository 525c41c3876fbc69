"""What a student's layer does around its cells: the first state, the order of steps, what it returns, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gru_bench.teach.calls import Form
from gru_bench.teach.cells import Cell
from gru_bench.teach.codes import Finding
from gru_bench.teach.states import STEPS, Runs, Track, changed
from gru_bench.teach.trace import Recorder, Site

_CLOSE = 1e-10


@dataclass(frozen=True)
class Layer:
    """A layer with its cells: those of each direction, the first layer first."""

    runs: Runs
    tracks: tuple[Track, ...]
    cells: tuple[tuple[Cell, ...], ...]

    @property
    def last(self) -> int:
        """Return how many steps the layer leaves out, 0 or 1 where all is well."""
        track = self.tracks[0]
        return track.at - _consumed(track)


def _consumed(track: Track) -> int:
    """Return after how many inputs the state at `track.before` is made."""
    return STEPS - 1 - track.reads if track.backward else track.reads


def examine_layer(layer: Layer) -> list[Finding]:
    """Return the mistakes of a layer around its cells."""
    found = [*_reading(layer), *_first_state(layer), *_kept(layer), *_given_state(layer), *_sharing(layer),
             *_detached(layer), *_padding(layer)]
    return list({finding.code: finding for finding in reversed(found)}.values())[::-1]


def inputs(runs: Runs) -> Tensor:
    """Return the vectors that the layer reads, T x B x E."""
    return runs.x if runs.rows is None else runs.rows[runs.x]


def simulated(layer: Layer, number: int, h0: Tensor | None = None, skip: int = 0) -> list[list[Tensor]]:
    """Return for each layer of a direction the states after each step, in the order in which they are made."""
    x = list(inputs(layer.runs))
    if layer.tracks[number].backward:
        x = x[::-1]
    x = x[skip:]
    every = []
    for cell in layer.cells[number]:
        h = torch.zeros(layer.runs.form.batch, cell.step.hidden) if h0 is None else h0
        states = []
        for x_BE in x:
            h = cell.after(x_BE, h)
            states.append(h)
        every.append(states)
        x = states
    return every


# ---------------------------------------------------------------- order and results


def _reading(layer: Layer) -> list[Finding]:
    runs, tracks = layer.runs, layer.tracks
    loop = _loop_line(runs)
    if any(_consumed(track) < track.at for track in tracks):
        return [Finding("last-step", "The state after all steps has not read the last input.", loop)]
    found = []
    if len(tracks) == 1 and tracks[0].backward:
        found.append(Finding("read-backwards", "The first input that the state reads is the last one.", loop))
    results = _depend(layer, {}, None)
    shapes = _shapes(runs)
    first, last = (STEPS - 1, 0) if found else (0, STEPS - 1)
    if len(tracks) == 1:
        if any(reads and not reads[last] for reads in results):
            found.append(Finding("last-step", "A result does not depend on the last input.", loop))
        return found
    # Two directions. With the states of one held, what is left is what the other has read.
    for track in tracks:
        held = {site: runs.whole[site[0]].values[site[1]] for site in track.before}
        rest = _depend(layer, held, track)
        for number, reads in enumerate(rest):
            if not reads or shapes[number]:  # has an axis of time
                continue
            if not track.backward and not reads[first]:
                found.append(Finding("backward-end", "The backward half has read the last input alone.",
                                     _return_line(runs)))
            elif track.backward and not reads[last]:
                found.append(Finding("last-step", "The forward half has not read the last input.", _return_line(runs)))
    return [*found, *_turned(layer, shapes)]


def _depend(layer: Layer, held: dict[Site, Tensor], track: Track | None) -> list[dict[int, bool]]:
    """Return for each result whether it depends on each input; empty where it depends on none."""
    runs = layer.runs
    with torch.no_grad():
        base, _ = runs.record(runs.x, replace=held)
        found: list[dict[int, bool]] = [{} for _ in base]
        for t in (0, 1, STEPS - 1):
            x, rows = changed(runs, t, torch.full((runs.form.batch, runs.form.width), 0.3))
            other, _ = runs.record(x, replace=held, rows=rows)
            for reads, a, b in zip(found, base, other, strict=False):
                reads[t] = a.shape == b.shape and not torch.equal(a, b)
    return [reads if any(reads.values()) else {} for reads in found]


def _shapes(runs: Runs) -> list[bool]:
    """Return for each result whether it has an axis of time."""
    with torch.no_grad():
        long, _ = runs.record(runs.x)
        short, _ = runs.record(runs.x[:3])
    return [a.shape != b.shape for a, b in zip(long, short, strict=False)]


def _turned(layer: Layer, shapes: Sequence[bool]) -> list[Finding]:
    """Find outputs whose backward half runs the other way."""
    if len(layer.tracks) != 2 or any(cell.member is None for cells in layer.cells for cell in cells):
        return []
    runs = layer.runs
    with torch.no_grad():
        forward, backward = (torch.stack(simulated(layer, number)[-1]) for number in (0, 1))
        results, _ = runs.record(runs.x)
    wrong = torch.cat((forward, backward), -1)
    for result, timed in zip(results, shapes, strict=True):
        if timed and result.numel() == wrong.numel():
            own = _time_first(result, runs.form, wrong.shape)
            if own is not None and torch.allclose(own, wrong, rtol=0, atol=_CLOSE):
                return [Finding("backward-end", "The backward outputs stand in the order in which they were read.",
                                _return_line(runs))]
    return []


def _time_first(result: Tensor, form: Form, shape: Sequence[int]) -> Tensor | None:
    steps, batch, width = shape
    for candidate in (result, result.transpose(0, 1) if result.dim() > 1 else result):
        if tuple(candidate.shape) == (steps, batch, width):
            return candidate
    return result.reshape(steps, batch, width) if batch == 1 else None


# ---------------------------------------------------------------- states


def _first_state(layer: Layer) -> list[Finding]:
    runs = layer.runs
    for number, track in enumerate(layer.tracks):
        if any(cell.member is None for cell in layer.cells[number]):
            return []
        count = _consumed(track)
        with torch.no_grad():
            states = simulated(layer, number, runs.h0)
            skipped = simulated(layer, number, runs.h0, skip=1)
            zero = simulated(layer, number) if runs.h0 is not None else states
        for level, site in enumerate(track.before):
            seen = runs.whole[site[0]].values[site[1]].reshape(runs.form.batch, -1)
            if _near(seen, states[level][count - 1]):
                continue
            if count > 1 and _near(seen, skipped[level][count - 2]):
                return [Finding("last-step", "The first step is left out.", _loop_line(runs))]
            if _learned(layer, number, level, seen, count):
                continue
            line = _state_line(runs)
            if runs.h0 is not None and _near(seen, zero[level][count - 1]):
                return [Finding("initial-state", "The state that is passed, h0, is ignored.", line)]
            return [Finding("initial-state", "The state before the first step is not "
                            + ("h0." if runs.h0 is not None else "zero."), line)]
    return []


def _learned(layer: Layer, number: int, level: int, seen: Tensor, count: int) -> bool:
    """Return whether the first state is a parameter, which is learned."""
    hidden = layer.cells[number][level].step.hidden
    for leaf in layer.runs.leaves.values():
        if isinstance(leaf, nn.Parameter) and leaf.numel() and leaf.numel() % hidden == 0:
            for own in leaf.detach().reshape(-1, hidden):
                h0 = own.expand(layer.runs.form.batch, hidden)
                if _near(seen, simulated(layer, number, h0)[level][count - 1]):
                    return True
    return False


def _near(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= _CLOSE * b.abs().clamp(min=1)).all())


def _kept(layer: Layer) -> list[Finding]:
    runs = layer.runs
    results = []
    with torch.no_grad():
        for fresh in (True, False):
            recorder = Recorder(runs.caller.file, rows=runs.rows)
            try:
                results.append(runs.caller.call(runs.form, runs.x, runs.h0, recorder, fresh=fresh))
            except Exception:
                return [Finding("state-kept", "A second call fails: it goes on from the first.")]
    runs.caller.restore()
    if any(a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=_CLOSE)
           for a, b in zip(*results, strict=False)):
        return [Finding("state-kept", "The same input gives another result when it is read a second time.",
                        _attribute_line(runs))]
    return []


def _given_state(layer: Layer) -> list[Finding]:
    """Find out whether a state that may be passed is used."""
    runs, form = layer.runs, layer.runs.form
    if form.state or not any(a.role == "state" for a in runs.caller.arguments):
        return []
    hidden = layer.cells[0][0].step.hidden
    every = len(layer.tracks) * len(layer.tracks[0].before)
    generator = torch.Generator().manual_seed(9)
    h0 = torch.rand(form.batch, hidden, generator=generator, dtype=torch.float64)
    site = layer.tracks[0].before[0]
    with torch.no_grad():
        wanted = simulated(layer, 0, h0)[0][_consumed(layer.tracks[0]) - 1]
    ran = False
    for state in dict.fromkeys((f"{every}BH", "1BH", "BH", "H", "B1H", "H1")):
        if "B" not in state and form.batch > 1:
            continue
        own = replace(form, state=state, hidden=hidden)
        recorder = Recorder(runs.caller.file, rows=runs.rows, read=[site], full=True)
        try:
            with torch.no_grad():
                runs.caller.call(own, runs.x, h0, recorder)
        except Exception:
            continue
        ran = True
        for call in recorder.calls:
            for value in call.values:
                if value.numel() == wanted.numel() and _near(value, wanted.reshape(-1)):
                    return []
    if ran:
        return [Finding("initial-state", "The state that is passed, h0, is ignored.", _state_line(runs))]
    return []


def _sharing(layer: Layer) -> list[Finding]:
    seen: set[tuple[int, int]] = set()
    for cells in layer.cells:
        for cell in cells:
            own = {(block.leaf, block.place) for group in cell.parts.groups for block in group.blocks
                   if block.source == "h"}
            if own & seen:
                what = "layers" if len(cells) > 1 else "directions"
                return [Finding("shared-layers", f"Two {what} use the same matrix.")]
            seen |= own
    return []


def _detached(layer: Layer) -> list[Finding]:
    """Compare gradients with those that the recurrence has where nothing cuts them."""
    runs = layer.runs
    gradients = []
    line = 0
    for keep in (False, True):
        if runs.rows is None:
            variable = runs.x.clone().requires_grad_()
            results, recorder = runs.record(variable, keep_cuts=keep)
        else:
            variable = runs.rows.clone().requires_grad_()
            results, recorder = runs.record(runs.x, rows=variable, keep_cuts=keep)
        if not results:
            return []
        line = next((cut for cut in reversed(recorder.cuts) if cut), 0)
        total = (results[0] * torch.linspace(0.5, 1.5, results[0].numel()).reshape(results[0].shape)).sum()
        gradients.append(torch.autograd.grad(total, variable, allow_unused=True)[0] if total.requires_grad else None)
    whole, own = gradients
    if whole is None:
        return []
    if own is None or not _near(own, whole):
        return [Finding("detached", "The result has no gradient with respect to earlier inputs.", line)]
    return []


# ---------------------------------------------------------------- padding


def _padding(layer: Layer) -> list[Finding]:
    """Compare a short sequence beside a long one with the same sequence beside another short one."""
    runs, form = layer.runs, layer.runs.form
    roles = {a.role for a in runs.caller.arguments}
    embeddings = [m for m in runs.caller.built.modules() if isinstance(m, nn.Embedding)
                  ] if isinstance(runs.caller.built, nn.Module) else []
    idx = next((m.padding_idx for m in embeddings if m.padding_idx is not None), None)
    if form.batch < 2 or not (roles & {"lengths", "mask"} or idx is not None):
        return []
    short = 3
    x = runs.x.clone()
    rows = runs.rows
    if rows is None:
        x[short:, 1] = 0.7
    else:
        x[short:, 1] = idx or 0
        rows = rows.clone()
        rows[idx or 0] = 0
    lengths = [STEPS] + [short] * (form.batch - 1)
    mask = torch.arange(STEPS)[:, None] < torch.tensor(lengths)
    try:
        with torch.no_grad():
            long = runs.caller.call(form, x, runs.h0, Recorder(runs.caller.file, rows=rows), lengths=lengths,
                                    mask=mask)
            alone = runs.caller.call(form, x[:short], runs.h0, Recorder(runs.caller.file, rows=rows),
                                     lengths=[short] * form.batch, mask=mask[:short, 1:].expand(short, form.batch))
    except Exception:
        return []
    first_axis = form.layout.startswith("B")
    for a, b in zip(long, alone, strict=False):
        axis = 0 if a.dim() == 2 and a.shape[0] == form.batch else 1 if a.dim() == 3 else 0
        if a.shape != b.shape:  # with an axis of time
            axis = 0 if first_axis else 1
            a = a.narrow(1 - axis, 0, short)
            if a.shape != b.shape:
                continue
        elif a.dim() == 3:
            axis = 1
        if not _near(a.select(axis, 1), b.select(axis, 1)):
            return [Finding("padding", "A short sequence has another result beside a longer one.", _return_line(runs))]
    return []


# ---------------------------------------------------------------- lines


def _source(runs: Runs) -> list[str]:
    return runs.caller.source.path.read_text(encoding="utf-8").splitlines()


def _span(runs: Runs) -> range:
    """Return the lines of the file that calls of the layer ran through."""
    lines = [call.line for call in runs.whole if call.line]
    return range(min(lines), max(lines) + 1) if lines else range(0)


def _nearest(runs: Runs, *words: str, last: bool = False) -> int:
    text = _source(runs)
    span = _span(runs)
    around = [n for n in range(max(1, span.start - 12), min(len(text), span.stop + 8) + 1)
              if text[n - 1].strip().startswith(words)] if span else []
    return (around[-1] if last else around[0]) if around else 0


def _loop_line(runs: Runs) -> int:
    return _nearest(runs, "for ", "while ")


def _return_line(runs: Runs) -> int:
    return _nearest(runs, "return ", last=True)


def _attribute_line(runs: Runs) -> int:
    return _nearest(runs, "self.h =", "self.hidden =", "self.state =", "self.h_", "global ")


def _state_line(runs: Runs) -> int:
    makers = {"zeros", "ones", "randn", "rand", "full", "empty", "new_zeros", "new_ones", "zeros_like", "ones_like",
              "new_full", "randn_like", "rand_like", "full_like"}
    return next((call.line for call in runs.whole if call.name in makers and call.line), 0)
