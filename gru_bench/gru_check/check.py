"""A student's file -> a verdict: what its recurrence is, or why it is no GRU."""

from __future__ import annotations

import copy
import inspect
import itertools
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.errors import ExitCode, RunError
from gru_bench.gru_check import calls, load, submission
from gru_bench.gru_check.attempts import Attempts
from gru_bench.gru_check.calls import STEPS, Caller, sample
from gru_bench.gru_check.cell.blocks import examples, outcomes, take_apart
from gru_bench.gru_check.cell.examine import TOLERANCE, Cell, as_torch, examine
from gru_bench.gru_check.cell.family import Member, right_members
from gru_bench.gru_check.codes import KINDS, Finding, Verdict
from gru_bench.gru_check.fitting import fitting
from gru_bench.gru_check.forms import Form, constructor, parameters_of, size_of, widths
from gru_bench.gru_check.kept import kept
from gru_bench.gru_check.layers import Layer, examine_layer
from gru_bench.gru_check.states import (
    Runs,
    Step,
    Track,
    fitting_results,
    new_state,
    runs_of,
    step_of_cell,
    step_of_track,
    tracks,
)
from gru_bench.gru_check.trace import LIBRARY, Recorder, Site

ZEROS = {"zeros", "new_zeros", "zeros_like"}
GATES = {"sigmoid", "gru_cell"}
REPEATS = 24
"""Number of calls with the same input that must give the same result."""
_SQUARE = {**load.SIZES, "E": load.SIZES["H"]}
"""Sizes for those that need inputs as wide as the state."""


def check_file(path: Path, name: str | None, make: str | None, defines: Mapping[str, str] | None) -> Verdict:
    """Run a file, and return what its GRU is. It must be called in `prepared`.

    Args:
        path: The file: Python, or a notebook.
        name: The class, function or object in it. None: it is found by trying.
        make: An expression that builds it.
        defines: Values of names at its top level.

    Raises:
        GruBenchError: When the file cannot be run or the object not be called.
    """
    text, names = "", []
    with suppress(SyntaxError, ValueError, OSError, RecursionError, MemoryError):  # `load` says what is wrong
        text = submission.read(path).text
        names = submission.candidates(text)
        if name is not None:
            load.check_name(path, name, text)
    module, attempts = load.load(path, defines), Attempts()
    if name is not None:
        names = [name]
    elif make:
        names.sort(key=lambda own: own not in re.findall(r"\w+", make))
    found: dict[str, Verdict | None] = {}
    for own in names[:1] if make else names:
        found[own] = verdict = attempts.run(own, partial(_named, module, path, own, make, attempts))
        if verdict is not None and not _rank(verdict):
            break
    errors = {one.what: one.error for one in attempts if one.what in found and one.error}
    best = min(filter(None, found.values()), key=_rank, default=None)
    if best is None:
        raise next(iter(errors.values()), load.nothing_in(path))
    for own in [own for own in found if isinstance(made := getattr(module, own, None), type)
                and issubclass(made, nn.Module)]:
        # A right cell does not speak for the layer that uses it, nor a baseline for the GRU beside it.
        stands_for = best.exit_code != ExitCode.NOT_FINE and best.name in submission.uses(text, own) - {own}
        if own in errors and (stands_for or (_rank(best) and "gru" in own.lower()
                                             and own not in submission.uses(text, best.name))):
            raise errors[own]
        if stands_for and (verdict := found[own]) is not None and verdict.code == "unknown":
            best = verdict
    others = [own for own in names if own != best.name and own not in submission.uses(text, best.name)]
    notes = [*best.notes, *([f"Checked {best.name}. The file also contains {', '.join(others)}."] if others else []),
             *([attempts.words] if best.code == "unknown" else [])]
    return replace(best, notes=tuple(notes))


def _rank(verdict: Verdict) -> int:
    """Return 0 for a recurrence written from scratch, and more for what says less about the file."""
    codes = [finding.code for finding in verdict.findings]
    return 3 if verdict.code == "unknown" else 2 if {"lstm", "rnn"} & set(codes) else 1 if "library" in codes else 0


def _named(module: ModuleType, path: Path, name: str, make: str | None, attempts: Attempts) -> Verdict:
    """Return what an object of a loaded file is, with the mistakes that the options of its constructor bring."""
    verdict = _built(module, path, name, make, {}, attempts)
    if make is None and verdict.exit_code == ExitCode.DONE and isinstance(getattr(module, name, None), type):
        found = [replace(finding, detail=f"{finding.detail} (with {key}={value})".strip())
                 for key, value in _options(getattr(module, name))
                 if (other := attempts.run(f"{key}={value}", partial(
                     _built, module, path, name, None, {key: value}, attempts))) is not None
                 for finding in other.findings if not finding.kind.right and finding.code != "unknown"]
        verdict = replace(verdict, findings=(*found, *verdict.findings))
    lines = fitting(module, name) if make is None and verdict.exit_code == ExitCode.DONE else ""
    return replace(verdict, name=name, fitting=lines)


def _built(
    module: ModuleType, path: Path, name: str, make: str | None, chosen: Mapping[str, Any], attempts: Attempts
) -> Verdict:
    """Build an object, if need be with an input as wide as its state, and return what it is."""
    failed: Exception | None = None
    for sizes in (load.SIZES, _SQUARE):
        verdict = attempts.run(f"built with E = {sizes['E']}, H = {sizes['H']}", partial(
            _built_with, module, path, name, make, chosen, sizes, attempts))
        if verdict is not None:
            return verdict
        failed = failed or attempts[-1].error
    assert failed is not None
    raise failed


def _built_with(
    module: ModuleType, path: Path, name: str, make: str | None, chosen: Mapping[str, Any], sizes: Mapping[str, int],
    attempts: Attempts,
) -> Verdict:
    return examine_source(load.build(module, path, name, make, chosen, sizes), attempts)


def _options(target: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a constructor can be asked for besides: more layers, both directions, dropout."""
    for parameter in constructor(target):
        lower, default = parameter.name.lower(), parameter.default
        if re.search(r"bidir|^bi$|both", lower) and default is False:
            yield parameter.name, True
        elif size_of(parameter.name) == "L" and (default == 1 or default is parameter.empty):
            yield parameter.name, 3
        elif re.search(r"drop|^p$", lower) and (default in (0, 0.0) or default is parameter.empty):
            yield parameter.name, 0.5


def check_object(built: Any) -> Verdict:
    """Return what an object is that exists already: a module of torch, or a function. It stays as it is."""
    owner = type(built) if isinstance(built, nn.Module) else built
    module = sys.modules.get(getattr(owner, "__module__", ""), ModuleType("object"))
    with prepared(), kept(built, vars(module), module.__name__):
        return examine_source(load.Source(
            _file_of(built), getattr(owner, "__name__", type(built).__name__), module,
            copy.deepcopy(built).cpu() if isinstance(built, nn.Module) else built, {}), Attempts())


def _file_of(built: Any) -> Path:
    """Return the file of the code that runs when an object is called. Code without a file, as in a cell of a notebook,
    has a name all the same."""
    function = inspect.unwrap(built.forward if isinstance(built, nn.Module) else getattr(built, "func", built))
    function = function if inspect.isroutine(function) else type(function).__call__
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return Path("object" if code is None else code.co_filename)


@contextmanager
def prepared() -> Iterator[None]:
    """Let torch compute in float64 and with gradients, on one thread and in silence for a while."""
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    random = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # the tensors are small
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)
        torch.set_num_threads(threads)
        torch.set_rng_state(random)


# ---------------------------------------------------------------- one object


def examine_source(source: load.Source, attempts: Attempts) -> Verdict:
    """Return what an object is."""
    caller = Caller(source, attempts, _scatter(source.built))
    try:
        verdict = _examined(caller)
    except RunError:
        if (other := _other_recurrence(caller)) is None:
            raise
        return Verdict((other,), "not recognized")
    except RuntimeError as failed:
        if "inplace operation" not in str(failed):
            raise
        raise RunError(f"{source.path.name}: {source.name} overwrites a tensor that its gradient needs, so it cannot "
                       "be trained: write h = z * h in place of h *= z or h.mul_(z)") from failed
    if not caller.is_known and (other := _other_recurrence(caller)) is not None:
        return replace(verdict, findings=(other,))
    if line := [caller.library[name] for name in ("gru", "gru_cell") if name in caller.library]:
        return replace(verdict, findings=(*verdict.findings, Finding("library", "", line[0])))
    return verdict


def _other_recurrence(caller: Caller) -> Finding | None:
    """Return the finding for what is an LSTM, or a recurrence of torch that is no GRU."""
    for name, line in caller.library.items():
        if name.startswith("lstm"):
            return Finding("lstm", f"It uses torch.{LIBRARY[name]}.", line)
        if name.startswith("rnn"):
            return Finding("rnn", f"It uses torch.{LIBRARY[name]}.", line)
    for width, hidden in itertools.product(*widths(caller.built, caller.source.sizes)):
        generator = torch.Generator().manual_seed(3)
        x, h, c = (torch.rand(3, size, generator=generator) - 0.5 for size in (width, hidden, hidden))
        results = caller.attempts.run("a cell, forward(x, (h, c))", partial(caller.call_pair, x, h, c))
        if results is not None and len(results) == 2 and _fits_lstm(*results):
            return Finding("lstm", "Its state is a pair, whose parts fit h = o * tanh(c).")
    return None


def _is_lstm(runs: Runs, track: Track) -> bool:
    """Return whether one state of a layer is the other one behind tanh and a gate that the layer computes."""
    values = [value for call in runs.whole for value in call.values]
    for one, other in itertools.permutations(track.after, 2):
        h, c = map(runs.value, (one, other))
        if h.shape == c.shape and _fits_lstm(h, c) and any(
                value.shape == h.shape and torch.allclose(value * torch.tanh(c), h, rtol=0, atol=1e-10)
                for value in values):
            return True
    return False


def _fits_lstm(h: Tensor, c: Tensor) -> bool:
    """Return whether a hidden state is a cell state behind tanh and an output gate."""
    gate = h / torch.tanh(c)
    return h.shape == c.shape and bool(((gate > 0) & (gate < 1)).all()) and bool((gate != gate.flatten()[0]).any())


def _examined(caller: Caller) -> Verdict:
    ran: dict[Form, tuple[Runs, list[Track]]] = {}

    def accepts(form: Form) -> bool:
        if form.kind == "cell":
            return bool(caller.attempts.run(f"{form.words}, of each sequence by itself", partial(
                _is_cell, caller, form)))
        found = caller.attempts.run(f"the states of {form.words}", partial(_states, caller, form))
        if found is not None and found[1]:
            ran[form] = found
        return form in ran

    form = calls.find_form(caller, accepts)
    _refuse_without_answer(caller, form)
    if form.kind == "none":
        return Verdict((_idle(caller, form),), "not recognized")
    if form.kind == "cell":
        return _best_result(caller, form)
    verdict = _layer_verdict(*ran[form])
    if form.batch > 2:  # no form has so many by itself
        return replace(verdict, notes=(*verdict.notes, f"Its batch size is fixed, so it was checked with {form.batch} "
                                       "sequences."))
    return verdict


def _states(caller: Caller, form: Form) -> tuple[Runs, list[Track]]:
    runs = runs_of(caller, form)
    return runs, tracks(runs)


def _idle(caller: Caller, form: Form) -> Finding:
    """Return the finding for a layer in which no state passes from step to step."""
    form = replace(form, kind="layer")
    _refuse_random(caller, form)
    unknown = Finding("unknown", "No state passes from one step to the next.")
    x, h = sample(form)
    if "T" in form.layout and caller.attempts.run("a shorter input", partial(caller.call, form, x[:3], h)) is None:
        return Finding("unknown", f"It runs on sequences of length {STEPS}, but not of length 3, so that its states "
                       "cannot be found: take the length from the input.")

    def seen() -> Finding:
        runs = runs_of(caller, form)
        first = [(number, 0) for number, call in enumerate(runs.whole) if call.name in ZEROS]
        with torch.no_grad():
            own, _ = runs.record(runs.x)
            other, _ = runs.record(runs.x + 1.0) if runs.rows is None else runs.record(runs.x, rows=runs.rows + 1.0)
            moved, _ = runs.record(runs.x, replace={site: torch.full_like(runs.value(site), 0.3)
                                                    for site in first[:1]})
            by_first, _ = runs.record(*runs.changed(0))
        if sum(call.name in GATES for call in runs.whole) >= STEPS and len(own) == 1 and (
                own[0].shape[0] != STEPS) and torch.equal(own[0], by_first[0]) and not torch.equal(own[0], other[0]):
            return Finding("wrong-candidate", "No step reads the state of the step before.")
        if all(map(torch.equal, own, other)) and not all(map(torch.equal, own, moved)):
            return Finding("wrong-candidate", "The state never changes: the candidate does not enter it.")
        return unknown

    return caller.attempts.run("other inputs and states", seen) or unknown


def _scatter(built: Any) -> frozenset[int]:
    """Give parameters random values, so that no two are alike and none is zero. Return which were not zero before."""
    generator = torch.Generator().manual_seed(17)
    nonzero = set()
    for tensor in parameters_of(built):
        if not tensor.is_leaf or not (tensor.requires_grad or isinstance(tensor, nn.Parameter)):
            continue
        size = max(tensor.shape, default=1)
        scale = 0.5 if tensor.dim() < 2 else min(0.6, 1.5 / size ** 0.5)
        if bool((tensor != 0).any()):
            nonzero.add(id(tensor))
        tensor.requires_grad_(True)
        tensor.data = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * scale
    return frozenset(nonzero)


def _is_cell(caller: Caller, form: Form) -> bool:
    """Return whether the new state of each sequence depends on its own input and state, and on both."""
    x, _ = sample(form)
    h = torch.rand(form.batch, form.hidden, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    other_x, other_h = x.clone(), h.clone()
    other_x[0] += 0.5
    other_h[0] += 0.5
    base, by_x, by_h = (_stepped(caller, form, *given) for given in ((x, h), (other_x, h), (x, other_h)))
    return (torch.equal(base[1:], by_x[1:]) and torch.equal(base[1:], by_h[1:])
            and not (torch.equal(base, by_x) and torch.equal(base, by_h)))


def _stepped(caller: Caller, form: Form, x: Tensor, h: Tensor | None, *, fresh: bool = True) -> Tensor:
    """Return the state after one step of a cell."""
    with torch.no_grad():
        return new_state(caller.call(form, x, h, Recorder(caller.file), fresh=fresh), form)


def _leaves(found: Mapping[int, Tensor]) -> list[Tensor]:
    """Return the tensors that may be parameters, ready for gradients."""
    leaves = []
    for leaf in found.values():
        if not leaf.is_leaf or leaf.numel() < 2:
            continue
        if not leaf.requires_grad:
            first = leaf.reshape(-1)[0]
            if bool((leaf == first).all()) and float(first) != 0:
                continue  # a constant
            leaf.requires_grad_(True)
        leaves.append(leaf)
    return leaves


def _cell_verdict(caller: Caller, form: Form) -> Verdict:
    found = _randomness(caller, form, None)
    step = step_of_cell(caller, form)
    if ignored := _ignored(caller, form, step):
        return Verdict((*found, *ignored), form.words)
    x, h = examples(step, 2)
    with torch.no_grad():
        one, other = (step.record(x[m], h[m]).leaves for m in range(2))
    leaves = _leaves({key: leaf for key, leaf in one.items() if key in other})
    caller.remember()
    cell = examine(step, leaves)
    if cell.member is None:
        return Verdict((*found, _unknown(cell)), form.words)
    caller.is_known = True
    return _verdict([*found, *_kept(caller, form, step), *_without_state(caller, form, step),
                     *_untrained(caller, [cell], leaves)], [cell], form.words)


def _untrained(caller: Caller, cells: Sequence[Cell], leaves: Sequence[Tensor]) -> list[Finding]:
    """Find weights of cells that are not among the parameters of their module."""
    if not isinstance(caller.built, nn.Module):
        return []
    known = {id(parameter) for parameter in caller.built.parameters()}
    used = {block.leaf for cell in cells for group in cell.parts.groups for block in group}
    return [Finding("untrained")] if any(id(leaves[number]) not in known for number in used) else []


def _best_result(caller: Caller, form: Form) -> Verdict:
    """Return the verdict on a cell. One that returns its gates too is a GRU where any of its results is a GRU's."""
    x, h = examples(step_of_cell(caller, form), 1)
    with torch.no_grad():
        results = fitting_results(caller.call(form, x[0], h[0], Recorder(caller.file)), form)
    best = _cell_verdict(caller, form)
    others = [place for place, result in enumerate(results) if not torch.equal(result, results[-1])]
    for place in others if best.exit_code != ExitCode.DONE else ():
        other = _cell_verdict(caller, replace(form, result=place))
        if other.exit_code == ExitCode.DONE:
            return other
    return best


def _ignored(caller: Caller, form: Form, step: Step) -> list[Finding]:
    """Find a cell whose new state does not depend on the state that is passed."""
    x, h = examples(step, 1)
    one, other = (_stepped(caller, form, x[0], state) for state in (h[0], -h[0]))
    return [Finding("initial-state", "The state that is passed, h, is ignored.")] if torch.equal(one, other) else []


def _without_state(caller: Caller, form: Form, step: Step) -> list[Finding]:
    """Find a cell that begins with another state than zeros where none is passed, unless it learns that state."""
    if any(a.role == "state" and a.required for a in caller.arguments):
        return []
    x, h = examples(step, 1)
    starts = [torch.zeros_like(h[0]), *(p.detach().reshape(1, -1).expand_as(h[0]) for p in
                                        parameters_of(caller.built)
                                        if p.numel() == h[0].shape[-1] and id(p) not in caller.nonzero)]
    own = caller.attempts.run("a cell without a state", partial(_stepped, caller, form, x[0], None))
    if own is None:
        return []
    known = [_stepped(caller, form, x[0], start) for start in starts]
    return [] if any(torch.allclose(own, one, rtol=0, atol=TOLERANCE) for one in known) else [
        Finding("initial-state", "Where no state is passed, the first one is not zeros.")]


def _kept(caller: Caller, form: Form, step: Step) -> list[Finding]:
    """Find a cell whose second call depends on its first, with a state passed or, where it may be left out, without."""
    x, h = examples(step, 1)

    def differs(state: Tensor | None) -> int:
        """Return the number of the first call that gives another result than call 1. 0: none does."""
        first, *others = (_stepped(caller, form, x[0], state, fresh=not n) for n in range(REPEATS))
        return next((n for n, other in enumerate(others, 2) if not torch.equal(first, other)), 0)

    found = []
    if number := differs(h[0]):
        found = [Finding("state-kept", f"The same input and state give another result at call {number}.")]
    elif not any(a.role == "state" and a.required for a in caller.arguments) and (
            again := caller.attempts.run("a cell without a state, again", partial(differs, None))):
        found = [Finding("state-kept", f"Where no state is passed, call {again} depends on those before.")]
    caller.restore()
    return found


def _layer_verdict(runs: Runs, found: list[Track]) -> Verdict:
    caller, form = runs.caller, runs.form
    leaves = _leaves(runs.leaves)
    caller.remember()
    random = _randomness(caller, form, Layer(runs, tuple(found), ()))
    if coupled := [track for track in found if track.coupled]:
        finding = (Finding("lstm", "Of its two states, one is the other behind tanh and a gate.")
                   if _is_lstm(runs, coupled[0]) else
                   Finding("wrong-candidate", "More than the state is carried from step to step."))
        return Verdict((finding,), form.words)
    cells = []
    found = [_without_sums(runs, track, leaves) for track in found]
    for track in found:
        own: list[Cell] = []
        for level in range(len(track.before)):
            if all(cell.member is not None for cell in own):
                own.append(examine(step_of_track(runs, track, level), leaves))
        cells.append(tuple(own))
    layer = Layer(runs, tuple(found), tuple(cells))
    flat = [cell for own in cells for cell in own]
    if unknown := [cell for cell in flat if cell.member is None]:
        finding = _unknown(unknown[0])
        computed = (" If a cell reads something computed from the input, such as a projection or a norm, check the "
                    f"cell alone: {caller.source.path.name}:CELL.") if finding.code == "unknown" else ""
        return Verdict((*random, replace(finding, detail=finding.detail + computed)), form.words)
    caller.is_known = True
    shape = form.words + (", both directions" if len(found) == 2 and any(
        track.backward for track in found) else "") + (
        f", {len(found[0].before)} layers" if len(found[0].before) > 1 else "")
    verdict = _verdict([*random, *examine_layer(layer), *_untrained(caller, flat, leaves)], flat, shape)
    hidden = flat[0].step.hidden
    if len(found) == 2 and any(leaf.dim() == 2 and 2 * hidden in leaf.shape and max(leaf.shape) == 3 * hidden
                               for leaf in leaves):
        verdict = replace(verdict, notes=(*verdict.notes, "Layers above the first, which read both directions, were "
                                          "not checked."))
    return verdict


def _without_sums(runs: Runs, track: Track, leaves: Sequence[Tensor]) -> Track:
    """Return a track without what has no parameters, such as a running sum of states."""
    levels = range(len(track.before))
    if len(levels) == 1:
        return track
    parts = [take_apart(step_of_track(runs, track, level), leaves) for level in levels]
    kept = [level for level in levels if parts[level].groups or parts[level].odd]
    return replace(track, before=tuple(track.before[level] for level in kept),
                   after=tuple(track.after[level] for level in kept)) if kept else track


# ---------------------------------------------------------------- randomness


def _randomness(caller: Caller, form: Form, layer: Layer | None) -> list[Finding]:
    """Return what is random in evaluation.

    Raises:
        RunError: When something is random that is neither dropout nor the initial state.
    """
    x, h = (layer.runs.x, layer.runs.h0) if layer else sample(form)
    rows = layer.runs.rows if layer else None
    held = {site: layer.runs.value(site) for track in layer.tracks for site in track.before} if layer else {}
    after = [site for track in layer.tracks for site in track.after] if layer else []

    def run(
        seed: int, keep_dropout: bool = False, held: Mapping[Site, Tensor] | None = None
    ) -> tuple[list[Tensor], Recorder]:
        recorder = Recorder(caller.file, keep_dropout=keep_dropout, calm=False, rows=rows, replace=held, read=after)
        torch.manual_seed(seed)
        with torch.no_grad():
            return caller.call(form, x, h, recorder), recorder

    def goes_on(seed: int, held: Mapping[Site, Tensor]) -> list[Tensor]:
        """Return the states that a step gives, after states that are held."""
        _, recorder = run(seed, held=held)
        return [recorder.found[site] for site in after]

    def starts_alone() -> bool:
        """Return whether only the states before the held ones are random."""
        try:
            return not alike(goes_on(0, {}), goes_on(1, {})) and all(
                alike(goes_on(0, held), goes_on(seed, held)) for seed in range(1, 8))
        except RuntimeError:  # what runs is random
            return False

    def alike(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
        return all(u.shape == v.shape and torch.equal(u, v) for u, v in zip(a, b, strict=False))

    def differ(keep_dropout: bool) -> Recorder | None:
        (a, recorder), (b, _) = (run(seed, keep_dropout) for seed in (0, 1))
        return None if alike(a, b) else recorder

    recorder = differ(True)
    if recorder is None:
        caller.calm = False  # what it draws, if anything, is always the same, and so is part of its function
        return []
    found = [Finding("dropout", "Two calls in evaluation differ.", recorder.dropout[0])] if recorder.dropout else []
    rest = differ(False)
    if rest is None:
        return found
    if layer is not None and starts_alone():
        name, line = rest.random[0] if rest.random else ("", 0)
        return [*found, Finding("initial-state", f"The initial state is random{f' ({name})' if name else ''}.", line)]
    raise _random(caller, rest)


def _random(caller: Caller, recorder: Recorder) -> RunError:
    name, line = recorder.random[0] if recorder.random else ("a random function", 0)
    return RunError(f"{load.place(caller.source.path, line)}: {caller.source.name} is random in "
                    f"evaluation, by {name}, and not by dropout: its output cannot be compared; remove it for the "
                    "check")


def _refuse_without_answer(caller: Caller, form: Form) -> None:
    """Refuse what gives values that are not numbers, and what changes its own weights."""
    x, h = sample(form)
    weights = [weight for weight in parameters_of(caller.built)
               if isinstance(weight, nn.Parameter) or weight.requires_grad]
    before = [weight.detach().clone() for weight in weights]
    recorder = Recorder(caller.file, full=True)
    with torch.no_grad():
        results = caller.attempts.run("the first call that ran", partial(caller.call, form, x, h, recorder))
    if results is None:  # such as ids that an embedding lacks
        return
    name, subject = caller.source.path.name, caller.source.name
    if any(map(_not_finite, results)):
        line = next((call.line for call in recorder.calls if any(map(_not_finite, call.values))), 0)
        raise RunError(f"{load.place(caller.source.path, line)}: {subject} gives nan or inf for inputs of usual "
                       "size: check for a division by zero, or a square root or logarithm of a negative number")
    if any(weight.shape != old.shape or not torch.equal(weight, old)
           for weight, old in zip(weights, before, strict=True)):
        raise RunError(f"{name}: {subject} {load.CHANGES_WEIGHTS}")


def _not_finite(value: Tensor) -> bool:
    return value.is_floating_point() and not bool(value.isfinite().all())


def _refuse_random(caller: Caller, form: Form) -> None:
    """Raise an error where two calls differ that are no GRU's."""
    x, h = sample(form)
    results = []
    for seed in (0, 1):
        recorder = Recorder(caller.file, calm=False)
        torch.manual_seed(seed)
        with torch.no_grad():
            results.append(caller.call(form, x, h, recorder))
    if any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(*results, strict=False)):
        raise _random(caller, recorder)


# ---------------------------------------------------------------- verdicts


def _verdict(around: Sequence[Finding], cells: Sequence[Cell], words: str) -> Verdict:
    findings: dict[str, Finding] = {}
    for finding in [*(f for cell in cells for f in cell.findings), *around]:
        findings.setdefault(finding.code, finding)
    if "detached" in findings and around:
        findings["detached"] = next((f for f in around if f.code == "detached" and f.line), findings["detached"])
    order = list(KINDS)
    wrong = [f for f in findings.values() if not f.kind.right]
    warnings = [f for f in findings.values() if f.kind.warning]
    right = sorted((f for f in findings.values() if f.kind.right and not f.kind.warning),
                   key=lambda f: order.index(f.code))
    notes = []
    error = max(cell.error for cell in cells)
    if not wrong:
        if not any(cell.is_fixed for cell in cells):
            notes.append(f"Largest difference of states from the reference: {error:.1e}. Gradients are equal too.")
        if not right:
            right = [Finding("equal")]
    if not wrong and (reference := _against_torch(cells)) is not None:
        notes.append(f"Largest difference from torch.nn.GRUCell with its weights: {reference:.1e}.")
    return Verdict((*wrong, *right, *warnings), words, tuple(notes))


def _against_torch(cells: Sequence[Cell]) -> float | None:
    """Return the largest difference from nn.GRUCell with the same weights; None where it has no such form."""
    most = 0.0
    for cell in cells:
        assert cell.member is not None
        reference = as_torch(cell.member)
        if reference is None:
            return None
        x, h = examples(cell.step, 3, seed=41)
        with torch.no_grad():
            for own_x, own_h in zip(x, h, strict=True):
                most = max(most, float((reference(own_x, own_h) - cell.step.run(own_x, own_h, False)).abs().max()))
    return most if most <= TOLERANCE else None


def _unknown(cell: Cell) -> Finding:
    """Return what is known of a cell that no member equals, or else the first step and unit that differ."""
    if cell.findings:
        return cell.findings[0]
    step = cell.step
    member = _closest(cell)
    if member is None:
        return Finding("unknown", "Its parameters do not form the sums of a GRU over its input: step 1, unit 1 "
                       "cannot be computed.")
    x, h = torch.randn(6, step.batch, step.width, generator=torch.Generator().manual_seed(7),
                       dtype=torch.float64), torch.zeros(step.batch, step.hidden)
    own = h
    with torch.no_grad():
        for t, x_BE in enumerate(x):
            own, h = step.run(x_BE, own, False), member.step(x_BE, h)
            difference = (own - h).abs()[0]
            if float(difference.max()) > TOLERANCE:
                unit = int((difference > TOLERANCE).nonzero()[0])
                return Finding("unknown", f"It first differs from the nearest GRU at step {t + 1}, unit {unit + 1}: "
                               f"{float(own[0, unit]):.6g} where the GRU has {float(h[0, unit]):.6g}.")
    return Finding("unknown", "It differs from a GRU, but not on six random steps from a zero state.")


def _closest(cell: Cell) -> Member | None:
    """Return the right GRU that comes nearest to a cell."""
    x, h, new = outcomes(cell.step)
    with torch.no_grad():
        return min(right_members(cell.parts), key=lambda member: float((member.step(x, h) - new).abs().max()),
                   default=None)
