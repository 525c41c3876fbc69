"""What a student's layer does around its cells: the first state, the order of steps, what it returns, padding."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gru_bench.gru_check.calls import STEPS
from gru_bench.gru_check.cell.examine import Cell
from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.forms import Form
from gru_bench.gru_check.states import Runs, Track, as_made, runs_of
from gru_bench.gru_check.trace import Recorder, Site

REPEATS = 12
"""Number of calls with the same input that must give the same result."""
_CLOSE = 1e-10


@dataclass(frozen=True)
class Layer:
    """A layer with its cells: those of each direction, the first layer first."""

    runs: Runs
    tracks: tuple[Track, ...]
    cells: tuple[tuple[Cell, ...], ...]


def _consumed(track: Track) -> int:
    """Return after how many inputs the state at `track.before` is made."""
    return STEPS - 1 - track.reads if track.backward else track.reads


def examine_layer(layer: Layer) -> list[Finding]:
    """Return the mistakes of a layer around its cells."""
    found = [*_reading(layer), *_first_state(layer), *_late_start(layer), *_kept(layer), *_given_state(layer),
             *_sharing(layer), *_detached(layer), *_padding(layer), *_mixed(layer), *_last_layer(layer)]
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
    ways = [track.backward for track in tracks]
    if len(tracks) == 2 and ways == [False, False]:
        return [Finding("backward-end", "Two recurrences read the input side by side, both from the start to the end. "
                        "As two directions, one must read from the end; as two layers, the second must read the states "
                        "of the first.", loop)]
    if all(ways):
        found.append(Finding("read-backwards", "The first input that the state reads is the last one.", loop))
    results = _depend(layer, {})
    shapes = _shapes(runs)
    first, last = (STEPS - 1, 0) if found else (0, STEPS - 1)
    if len(tracks) == 1:
        if any(reads and not reads[last] for reads in results):
            found.append(Finding("last-step", "A result does not depend on the last input.", loop))
        return found or _final_states(layer, shapes) or _turned(layer, shapes)
    if found:
        return found
    found += _final_states(layer, shapes)
    # Two directions. With the states of one held, what is left is what the other has read.
    for track in tracks:
        held = {site: runs.value(site) for site in track.before}
        rest = _depend(layer, held)
        for number, reads in enumerate(rest):
            if not reads or shapes[number]:  # has an axis of time
                continue
            if not track.backward and not reads[first]:
                found.append(Finding("backward-end", "The backward half has read only the last input.",
                                     _return_line(runs)))
            elif track.backward and not reads[last]:
                found.append(Finding("last-step", "The forward half has not read the last input.", _return_line(runs)))
    return [*found, *_turned(layer, shapes)]


def _final_states(layer: Layer, shapes: Sequence[bool]) -> list[Finding]:
    """Find final states of layers and directions, stacked in one result, that have not read all inputs."""
    runs, hidden = layer.runs, layer.cells[0][0].step.hidden

    def states(results: Sequence[Tensor]) -> list[Tensor]:
        return [state for result, timed in zip(results, shapes, strict=False)
                if not timed and result.dim() == 3 and result.shape[1:] == (runs.form.batch, hidden)
                for state in result]

    for reads in _depend(layer, {}, states):
        if reads and not reads[0] and len(layer.tracks) == 2:
            return [Finding("backward-end", "A final state of the backward half has not read the first input.",
                            _return_line(runs))]
        if reads and not reads[STEPS - 1]:
            return [Finding("last-step", "A final state has not read the last input.", _return_line(runs))]
    return []


def _depend(
    layer: Layer, held: dict[Site, Tensor], parts: Callable[[Sequence[Tensor]], Sequence[Tensor]] = list
) -> list[dict[int, bool]]:
    """Return for each result whether it depends on each input; empty where it depends on none.

    Args:
        layer: The layer.
        held: States that keep their values.
        parts: Returns the parts of the results that are meant.
    """
    runs = layer.runs
    with torch.no_grad():
        base = parts(runs.record(runs.x, replace=held)[0])
        found: list[dict[int, bool]] = [{} for _ in base]
        for t in (0, 1, STEPS - 1):
            other = parts(runs.record(*runs.changed(t), replace=held)[0])
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
    """Find outputs that stand in another order than their inputs, by which inputs each step depends on."""
    runs, both = layer.runs, len(layer.tracks) == 2
    with torch.no_grad():
        base, _ = runs.record(runs.x)
        others = []
        for t in range(STEPS):
            others.append(runs.record(*runs.changed(t))[0])
    for number, (result, timed) in enumerate(zip(base, shapes, strict=True)):
        if not timed or (own := _time_first(result, runs.form)) is None:
            continue
        count = 2 if both and own.shape[-1] % 2 == 0 else 1
        halves = [half.chunk(count, -1) for half in (own, *(_time_first(o[number], runs.form) for o in others)
                                                        ) if half is not None]
        ways = set()
        for half in range(count):
            reads = torch.stack([(halves[t + 1][half] != halves[0][half]).flatten(1).any(1) for t in range(STEPS)], 1)
            step, read = torch.arange(STEPS)[:, None], torch.arange(STEPS)[None]
            ways |= {name for name, wanted in (
                ("ahead", read <= step), ("back", read >= step), ("ahead, turned", read <= STEPS - 1 - step),
                ("back, turned", read >= STEPS - 1 - step),
                ("both, turned", (read <= step) | (read >= STEPS - 1 - step))) if torch.equal(reads, wanted)}
        if ways in ({"ahead, turned"}, {"ahead, turned", "back, turned"}):
            return [Finding("read-backwards", "The outputs are in the order from the last to the first.",
                            _return_line(runs))]
        if ways in ({"ahead", "back, turned"}, {"ahead, turned", "back"}, {"both, turned"}):
            return [Finding("backward-end", "The outputs of one half are in another order than those of the other.",
                            _return_line(runs))]
    return []


def _time_first(result: Tensor, form: Form) -> Tensor | None:
    """Return a result as T x B x features; None where it is none."""
    for own in (result, result.transpose(0, 1) if result.dim() > 1 else result):
        if own.dim() == 3 and tuple(own.shape[:2]) == (STEPS, form.batch):
            return own
    return result.reshape(STEPS, form.batch, -1) if form.batch == 1 and result.numel() % STEPS == 0 else None


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
            seen = runs.state(site)
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
        if id(leaf) in layer.runs.caller.nonzero:
            continue  # learned, but not from zeros
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
        for number in range(REPEATS):
            recorder = Recorder(runs.caller.file, rows=runs.rows)
            try:
                results.append(runs.caller.call(runs.form, runs.x, runs.h0, recorder, fresh=not number))
            except Exception:
                return [Finding("state-kept", f"Call {number + 1} fails: it continues from those before.")]
    runs.caller.restore()
    first, *others = results
    for number, other in enumerate(others, 2):
        if any(a.shape != b.shape or not torch.allclose(a, b, rtol=0, atol=_CLOSE)
               for a, b in zip(first, other, strict=False)):
            return [Finding("state-kept", f"The same input gives another result at call {number}.",
                            _attribute_line(runs))]
    return []


def _given_state(layer: Layer) -> list[Finding]:
    """Find out whether a state that may be passed is used, and each layer's part of it by that layer."""
    runs, form = layer.runs, layer.runs.form
    if not any(a.role == "state" for a in runs.caller.arguments):
        return []
    hidden = layer.cells[0][0].step.hidden
    every = len(layer.tracks) * len(layer.tracks[0].before)
    generator = torch.Generator().manual_seed(9)
    h0 = torch.rand(every, form.batch, hidden, generator=generator, dtype=torch.float64)
    ran = False
    layouts = (f"{every}BH", "1BH", "BH", "HB", "H", "B1H", "H1")
    for state in dict.fromkeys(layouts if not form.state else layouts[:1]):
        if "B" not in state and form.batch > 1:
            continue
        whole = state == layouts[0] and every > 1
        own = replace(form, state=state, hidden=hidden)
        recorder = Recorder(runs.caller.file, rows=runs.rows, full=True)
        try:
            with torch.no_grad():
                runs.caller.call(own, runs.x, h0 if whole else h0[0], recorder)
        except Exception:
            continue
        values = [value for call in recorder.calls for value in call.values]
        used = [_begins_with(layer, number, h0 if whole else h0[:1], values) for number in range(len(layer.tracks))]
        if not whole and used[0]:
            return []
        ran = ran or bool(used[0]) or not form.state
        levels = [place for places in used for place in places]
        if whole and levels and used[0]:
            return [] if len(set(levels)) == every else [Finding(
                "initial-state", "A layer does not start with its own part of the state that is passed, h0.",
                _state_line(runs))]
    if ran and not form.state:
        return [Finding("initial-state", "The state that is passed, h0, is ignored.", _state_line(runs))]
    return []


def _begins_with(layer: Layer, number: int, h0: Tensor, values: Sequence[Tensor]) -> list[int]:
    """Return for each layer of a direction the part of h0 that it begins with, as far as it begins with one."""
    x = list(inputs(layer.runs))
    if layer.tracks[number].backward:
        x = x[::-1]
    places: list[int] = []
    for cell in layer.cells[number]:
        second = [as_made(cell.after(x[1], cell.after(x[0], h)), cell.step.columns).reshape(-1) for h in h0]
        place = next((place for place, own in enumerate(second) if any(
            value.numel() == own.numel() and _near(value, own) for value in values)), None)
        if place is None:
            break
        places.append(place)
        h, states = h0[place], []
        for x_BE in x[:3]:
            h = cell.after(x_BE, h)
            states.append(h)
        x = states
    return places


def _late_start(layer: Layer) -> list[Finding]:
    """Find a further layer or direction that begins with a state that has read the sequence already.

    Its states depend on all inputs, so that shorter inputs do not show them. In a layer of one direction only the last
    step may depend on the input that is read last.
    """
    runs = layer.runs
    if len(layer.tracks) != 1:
        return []
    backward = layer.tracks[0].backward
    groups: dict[tuple[int, str], list[int]] = {}
    seen = []
    with torch.no_grad():
        for t in (0, STEPS - 1) if backward else (STEPS - 1, 0):
            seen.append(runs.record(*runs.changed(t), full=True)[1].calls)
    if any(len(calls) != len(runs.whole) for calls in seen):
        return []
    moved = [{number for number, (a, b) in enumerate(zip(runs.whole, calls, strict=True))
              if any(u.shape == v.shape and not torch.equal(u, v) for u, v in zip(a.values, b.values, strict=False))}
             for calls in seen]
    for number, call in enumerate(runs.whole):
        if call.name in ("sigmoid", "sigmoid_", "gru_cell"):
            groups.setdefault((call.line, call.name), []).append(number)
    for (line, _), numbers in groups.items():
        last = sum(number in moved[0] for number in numbers)
        if len(numbers) >= STEPS and 2 * last * STEPS > 3 * len(numbers) and last >= STEPS - 1 and sum(
                number in moved[1] for number in numbers) >= last:
            return [Finding("initial-state", "A layer or direction starts with a state that has already read the "
                            "sequence.", line)]
    return []


def _mixed(layer: Layer) -> list[Finding]:
    """Find results that do not depend on each sequence of a batch, and values that depend on several."""
    runs = layer.runs
    if runs.form.batch == 1:  # the layer may take more
        try:
            runs = runs_of(runs.caller, replace(runs.form, batch=2 if "B" in runs.form.layout else 1))
        except Exception:
            return []
    sequences = range(runs.form.batch)
    with torch.no_grad():
        whole, _ = runs.record(runs.x)
        others = [runs.record(*runs.shifted(b))[0] for b in sequences]
    for number, result in enumerate(whole):
        moved = torch.stack([other[number] != result for other in others]).flatten(1)
        # A value that no text moves may lie where a ReLU or an argmax is flat.
        is_of_others = moved.any(0).all() and not moved.any(1).all()
        if is_of_others or (result.numel() > 1 and moved.sum(0).max() > 1):
            return [Finding("unknown", "A result does not depend on each text of the batch, or mixes several: the axes "
                            "of batch and time may be confused.", _return_line(runs))]
    return []


def _last_layer(layer: Layer) -> list[Finding]:
    """Find results that the last layer has no part in."""
    runs = layer.runs
    if len(layer.tracks) != 1 or len(layer.tracks[0].after) < 2:
        return []
    site = layer.tracks[0].after[-1]
    with torch.no_grad():
        own, _ = runs.record(runs.x)
        other, _ = runs.record(runs.x, replace={site: runs.value(site) + 0.3})
    if own and all(map(torch.equal, own, other)):
        return [Finding("unknown", "The result does not depend on the states of the last layer.", _return_line(runs))]
    return []


def _sharing(layer: Layer) -> list[Finding]:
    seen: set[tuple[int, int]] = set()
    for cells in layer.cells:
        for cell in cells:
            own = {(block.leaf, block.place) for group in cell.parts.groups for block in group if block.source == "h"}
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
        if a.shape[axis] != form.batch:  # columns
            axis = a.dim() - 1
        if a.shape[axis] == form.batch and not _near(a.select(axis, 1), b.select(axis, 1)):
            return [Finding("padding", "A short sequence has another result next to a longer one.", _return_line(runs))]
    return []


# ---------------------------------------------------------------- lines


def _source(runs: Runs) -> list[str]:
    return [line.rstrip("\n") for line in linecache.getlines(runs.caller.file)]


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
