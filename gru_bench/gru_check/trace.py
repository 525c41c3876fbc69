"""A recorder of the torch functions that a student's code calls: their values, their lines, and their randomness.

The recorder also takes part. It keeps float64 throughout, it may replace the result of one call by a tensor of ours
(this sets the state between two steps), and it may undo what hides the recurrence from us: dropout, and whatever
cuts gradients.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

LIBRARY = {"gru": "nn.GRU", "gru_cell": "nn.GRUCell", "lstm": "nn.LSTM", "lstm_cell": "nn.LSTMCell",
           "rnn_tanh": "nn.RNN", "rnn_relu": "nn.RNN", "rnn_tanh_cell": "nn.RNNCell", "rnn_relu_cell": "nn.RNNCell"}
"""Functions of torch that compute a recurrence -> the class that calls them."""
Site = tuple[int, int]
"""A result in a trace: number of the call, and place among its results."""
STATE: Site = (-1, 0)
"""Stands for the state before a step."""
Edit = Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any], Mapping[Site, Tensor]], Any]
"""Takes the place of one call: (function, arguments, keyword arguments, earlier results) -> result."""

_GET_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]  # a Tensor to mypy, a descriptor in truth
_DROPOUTS = {"dropout", "dropout_", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d",
             "feature_alpha_dropout"}
_RANDOM = {"rand", "randn", "normal", "rand_like", "randn_like", "bernoulli", "randint", "randint_like", "randperm",
           "normal_", "uniform_", "bernoulli_", "random_", "exponential_", "multinomial", "poisson", "trunc_normal_",
           "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_",
           "gumbel_softmax"}
_PLAIN = {"size", "dim", "numel", "stride", "is_floating_point", "__len__", "__bool__", "__hash__", "__repr__", "item"}
"""Functions that return no tensor."""


@dataclass
class Call:
    """One call of a torch function."""

    name: str
    line: int
    """Line of the student's file. 0: none of its lines led to the call."""
    inputs: list[Site] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)
    """Keys of the parameters and constants that it took."""
    values: list[Tensor] = field(default_factory=list)
    """What the call returned, flat, as it was then."""


class Done(BaseException):
    """Ends a run that has given what was asked of it. No `except Exception` of the student's code holds it up."""


class Recorder(TorchFunctionMode):
    """A mode under which a student's code runs once."""

    def __init__(
        self, file: str, *, full: bool = False, keep_cuts: bool = False, keep_dropout: bool = False,
        calm: bool = True, replace: Mapping[Site, Tensor] | None = None, read: Sequence[Site] = (),
        rows: Tensor | None = None, edits: Mapping[int, Edit] | None = None, state: Tensor | None = None,
        stop: bool = False,
    ) -> None:
        """Prepare a recording.

        Args:
            file: Path of the student's file.
            full: Whether to keep all calls with their values and lines.
            keep_cuts: Whether to leave what cuts gradients as it is.
            keep_dropout: Whether to leave dropout as it is.
            calm: Whether random functions return zeros.
            replace: Tensors that take the place of results.
            read: Results to keep in `found`.
            rows: Vectors of token ids, which take the place of the embedding's weights.
            edits: Number of a call -> what is done in its place.
            state: The state before the step, for the edits.
            stop: Whether to raise `Done` once the results to read are there.
        """
        super().__init__()
        self.file, self.full, self.calm = file, full, calm
        self.keep_cuts, self.keep_dropout = keep_cuts, keep_dropout
        self.replace, self.read, self.rows = dict(replace or {}), set(read), rows
        self.edits = dict(edits or {})
        self.stop = stop
        self.live: dict[Site, Tensor] = {} if state is None else {STATE: state}
        """All results so far, where there are edits."""
        self.calls: list[Call] = []
        self.found: dict[Site, Tensor] = {}
        self.count = 0
        self.random: list[tuple[str, int]] = []
        """Random functions that ran, with their lines."""
        self.dropout: list[int] = []
        """Lines whose dropout was active."""
        self.library: dict[str, int] = {}
        """Functions of `LIBRARY` that ran, with their lines."""
        self.cuts: list[int] = []
        """Lines that cut gradients."""
        self.leaves: dict[int, Tensor] = {}
        """Tensors that no recorded call made: parameters and constants."""
        self._made: dict[int, tuple[Site, Tensor]] = {}
        self._memory: dict[tuple[int, int], Site] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function, and record it."""
        name = getattr(func, "__name__", "")
        if name in _PLAIN:
            return func(*args, **(kwargs or {}))
        kwargs = dict(kwargs or {})
        if name == "_set_grad_enabled":
            if not args[0]:
                self.cuts.append(self.line())
            if not self.keep_cuts:
                return None
        if (name in ("detach", "detach_") or func == _GET_DATA) and isinstance(args[0], Tensor):
            self.cuts.append(self.line())
            return func(*args, **kwargs) if self.keep_cuts else args[0]
        if name in _DROPOUTS and _is_active(args, kwargs):
            self.dropout.append(self.line())
            return func(*args, **kwargs) if self.keep_dropout else args[0]
        if name == "embedding" and self.rows is not None:
            return self._record(name, self.rows[args[0]], ())
        if name in LIBRARY:
            self.library.setdefault(name, self.line())
        if name in _RANDOM:
            self.random.append((name, self.line()))
        if name in ("float", "half", "bfloat16"):
            return args[0].double()
        if name == "cuda":
            return args[0]
        if name == "numpy":
            return func(args[0].detach(), *args[1:], **kwargs)
        args, kwargs = _in_float64(name, args, kwargs)
        if name == "gru" and len(args) == 9 and isinstance(args[3], bool):
            return _unrolled_gru(self, *args)
        if name == "gru" and len(args) == 9 and int(args[1].min()) == int(args[1].max()):  # packed, all of one length
            data, sizes, h0, weights, has_biases, layers, share, train, both = args
            x = self.__torch_function__(torch.reshape, (), (data, (len(sizes), int(sizes[0]), data.shape[-1])))
            outputs, final = _unrolled_gru(self, x, h0, weights, has_biases, layers, share, train, both, False)
            return self.__torch_function__(torch.flatten, (), (outputs, 0, 1)), final
        edit = self.edits.get(self.count)
        result = func(*args, **kwargs) if edit is None else edit(func, args, kwargs, self.live)
        if name in ("empty", "empty_like", "new_empty") and isinstance(result, Tensor) and result.is_floating_point():
            result.zero_()  # what memory holds is no part of the answer
        if self.calm and name in _RANDOM and isinstance(result, Tensor):
            with torch.no_grad():
                result = result.zero_() if name.endswith("_") else torch.zeros_like(result)
        return self._record(name, result, (*args, *kwargs.values()))

    def _record(self, name: str, result: Any, args: Sequence[Any]) -> Any:
        several = isinstance(result, (tuple, list))
        tensors = list(result) if several else [result]
        if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
            return result
        if not tensors[0].is_floating_point():
            return result
        number, self.count = self.count, self.count + 1
        before = list(tensors)
        for place, tensor in enumerate(tensors):
            own = (number, place)
            if own in self.replace:
                tensors[place] = tensor = self.replace[own].reshape(tensor.shape).clone()  # no view: h.detach_()
            if own in self.read:
                self.found[own] = tensor
                if self.stop and len(self.found) == len(self.read):
                    raise Done
            if self.edits:
                self.live[own] = tensor
        if self.full:
            inputs: list[Site] = []
            leaves: list[int] = []
            for arg in _tensors(args):
                if id(arg) in self.leaves or isinstance(arg, torch.nn.Parameter):
                    self.leaves[id(arg)] = arg
                    leaves.append(id(arg))
                    continue
                known = self._made.get(id(arg))
                # Variable(h.data) is a new object on the same memory.
                site = known[0] if known is not None else self._memory.get((arg.data_ptr(), arg.numel()))
                if site is not None:
                    inputs.append(site)
                elif arg.is_floating_point():
                    self.leaves[id(arg)] = arg
                    leaves.append(id(arg))
            values = [tensor.detach().clone().reshape(-1) for tensor in tensors]
            self.calls.append(Call(name, self.line(), inputs, leaves, values))
            for place, tensor in enumerate(tensors):
                if id(tensor) not in self.leaves:
                    self._made[id(tensor)] = ((number, place), tensor)
                    self._memory[tensor.data_ptr(), tensor.numel()] = (number, place)
        if not several:
            return tensors[0]
        if all(a is b for a, b in zip(before, tensors, strict=True)):
            return result
        return tuple(tensors) if isinstance(result, tuple) else tensors

    def line(self) -> int:
        """Return the line of the student's file that led here."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self.file:
                return frame.f_lineno
            frame = frame.f_back
        return 0


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for arg in args:
        if isinstance(arg, Tensor):
            found.append(arg)
        elif isinstance(arg, (tuple, list)):
            found += _tensors(arg)
    return found


def _is_active(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    rest = [*args[1:], *kwargs.values()]
    training = kwargs.get("training", kwargs.get("train", next(
        (arg for arg in args[1:] if isinstance(arg, bool)), True)))
    share = kwargs.get("p", next((arg for arg in rest if isinstance(arg, (int, float)) and not isinstance(arg, bool)),
                                 0.5))
    return bool(training) and float(share) > 0


class OnCpu(TorchFunctionMode):
    """A mode under which tensors stay on the CPU, where the check runs, whatever device the code names."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function."""
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        return func(*map(_on_cpu, args), **{key: _on_cpu(value) for key, value in (kwargs or {}).items()})


def _on_cpu(arg: Any) -> Any:
    if isinstance(arg, torch.device):
        return torch.device("cpu")
    return "cpu" if isinstance(arg, str) and _DEVICE.fullmatch(arg) else arg


_DEVICE = re.compile(r"(cuda|mps|xpu)(:\d+)?")
_NARROW = (torch.float32, torch.float16, torch.bfloat16)


def _in_float64(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with float64 in place of narrower types, and the CPU in place of other devices."""
    if kwargs and kwargs.get("dtype") in _NARROW:
        kwargs["dtype"] = torch.float64
    if name in ("__setitem__", "__getitem__", "__get__", "copy_"):
        return args, kwargs
    return tuple(_widened(arg) for arg in args), {key: _widened(value) for key, value in kwargs.items()}


def _widened(arg: Any) -> Any:
    if isinstance(arg, torch.dtype):
        return torch.float64 if arg in _NARROW else arg
    if isinstance(arg, Tensor):
        return arg.double() if arg.dtype in _NARROW else arg
    if isinstance(arg, (list, tuple)) and arg and isinstance(arg[0], Tensor):
        return type(arg)(_widened(item) for item in arg) if type(arg) in (list, tuple) else arg
    return _on_cpu(arg)


def _unrolled_gru(
    recorder: Recorder, x: Tensor, h0: Tensor, weights: Sequence[Tensor], has_biases: bool, layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """Return what torch.gru returns, in recorded steps."""
    def run(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return recorder.__torch_function__(func, (), args, kwargs)

    each = 4 if has_biases else 2
    directions = 2 if bidirectional else 1
    steps = list(run(torch.unbind, x, dim=1 if batch_first else 0))
    final = []
    for layer in range(layers):
        halves = []
        for direction in range(directions):
            place = layer * directions + direction
            w, u, *biases = weights[place * each:(place + 1) * each]
            h = run(torch.select, h0, 0, place)
            outputs: list[Any] = [None] * len(steps)
            for t in reversed(range(len(steps))) if direction else range(len(steps)):
                x_r, x_z, x_n = run(torch.chunk, run(torch.nn.functional.linear, steps[t], w, *biases[:1]), 3, dim=-1)
                h_r, h_z, h_n = run(torch.chunk, run(torch.nn.functional.linear, h, u, *biases[1:]), 3, dim=-1)
                r = run(torch.sigmoid, run(torch.add, x_r, h_r))
                z = run(torch.sigmoid, run(torch.add, x_z, h_z))
                n = run(torch.tanh, run(torch.add, x_n, run(torch.mul, r, h_n)))
                kept, new = run(torch.mul, z, h), run(torch.mul, run(torch.rsub, z, 1), n)
                h = run(torch.add, kept, new)
                outputs[t] = h
            final.append(h)
            halves.append(outputs)
        steps = [run(torch.cat, pair, dim=-1) for pair in zip(*halves, strict=True)] if bidirectional else halves[0]
    return run(torch.stack, steps, dim=1 if batch_first else 0), run(torch.stack, final, dim=0)
