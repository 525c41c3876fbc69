"""What an object does wrong around its equations: seen by calling it, and in its gradients.

Each function returns findings. Shapes: `N` sequences, `T` steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from gru_bench.errors import RunError, first_line
from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.forms import is_required
from gru_bench.gru_check.load import place
from gru_bench.gru_check.subject import STEPS, Subject, by_sequence, same
from gru_bench.gru_check.watch import Watch

_CALLS = 12
"""Calls with the same input, which must give the same result."""


def chance(subject: Subject) -> list[Finding]:
    """Call the object twice, as it is in evaluation.

    Raises:
        RunError: Its steps are random.
    """
    watch, is_same = _twice(subject, STEPS)
    if is_same:
        return []
    if watch.dropped:
        return [Finding("dropout", "Two calls in evaluation differ.", watch.dropped[0])]
    lines = {line for line, _ in watch.drawn}
    if subject.form.kind == "layer" and lines and watch.drawn == _twice(subject, STEPS - 1)[0].drawn:
        return [Finding("initial-state", "The state before the first step is random.",
                        lines.pop() if len(lines) == 1 else 0)]
    raise RunError(f"{place(subject.path, watch.drawn[0][0] if lines else 0)}: {subject.written} is "
                   "random in evaluation, so that no two calls give the same result: draw random numbers only if "
                   "self.training")


def _twice(subject: Subject, steps: int) -> tuple[Watch, bool]:
    """Return what is seen in the second one of two calls, and whether their results are the same."""
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        watch = Watch(subject.path, random=True)
        results.append(subject.call(*subject.given(steps=steps), watch=watch))
    return watch, same(*results)


def kept(subject: Subject) -> list[Finding]:
    """Call one object again and again with the same input."""
    x, h = subject.given()
    for given in (h, None) if subject.form.kind == "cell" else (h,):
        built, results = subject.copy(), list[list[Tensor]]()
        try:
            for _ in range(_CALLS):
                results.append(subject.call(x, given, built=built))
        except Exception:
            return [Finding("state-kept", "A further call fails.")] if results else []
        if not all(same(results[0], own) for own in results):
            return [Finding("state-kept", "The same input gives another result at a later call.")]
    return []


def detached(subject: Subject) -> list[Finding]:
    """Compare a gradient with a difference quotient, in evaluation and in training."""
    for training in (False, True):
        scale, cuts = torch.zeros((), requires_grad=True), set[int]()
        try:
            value = _moved(subject, scale, training, cuts)
            gradient = float(torch.autograd.grad(value, scale)[0])
        except RuntimeError as error:
            return [Finding("detached", f"Its gradient cannot be computed: {first_line(error)}")]
        more, less = (float(_moved(subject, scale.detach() + step, training, cuts)) for step in (1e-5, -1e-5))
        expected = (more - less) / 2e-5
        if abs(expected - gradient) > 1e-6 * max(1.0, abs(expected)):
            said = "A gradient differs from the change of the result" + (" in training." if training else ".")
            return [Finding("detached", said, cuts.pop() if len(cuts) == 1 else 0)]
    return []


def _moved(subject: Subject, scale: Tensor, training: bool, cuts: set[int]) -> Tensor:
    """Return a sum of a result, where a scale moves the state of a cell, the first input of a layer or its embeddings.

    `cuts` takes the lines that cut gradients.
    """
    def moved(tensor: Tensor) -> Tensor:
        return tensor + scale * torch.linspace(0.5, 1.5, tensor.numel()).reshape(tensor.shape)

    built, watch, form = subject.copy(), Watch(subject.path), subject.form
    x, h = subject.given()
    if isinstance(built, nn.Module):
        built.train(training)
        for part in built.modules():
            if isinstance(part, nn.RNNBase):
                part.dropout = 0.0
            if isinstance(part, nn.Embedding) and form.vocabulary:
                weight = moved(part.weight.detach())
                del part.weight
                part.weight = weight
    if form.kind == "cell" and h is not None:
        h = moved(h)
    elif not form.vocabulary:
        x = torch.cat([moved(x[:1]), x[1:]])
    result = subject.call(x, h, built=built, watch=watch, gradients=scale.requires_grad)[0]
    cuts.update(filter(None, watch.cuts))
    return (result * torch.rand(result.shape, generator=torch.Generator().manual_seed(4))).sum() + 0 * scale


def first_state(subject: Subject) -> list[Finding]:
    """Call an object that may be given a state with zeros, with another one and with none."""
    if not subject.hidden or "state" not in subject.taken or is_required(subject.taken["state"]):
        return []
    form, x, zeros = subject.form, subject.given()[0], torch.zeros(subject.form.batch, subject.hidden)
    for state in [form.state] if form.state else ["1BH", "BH", "2BH"]:
        called = subject.called(replace(form, state=state, hidden=subject.hidden))
        try:
            none, zero, other = (called.call(x, h) for h in (None, zeros, zeros + 0.3))
        except Exception:
            continue
        if same(zero, other):
            return [Finding("initial-state", "The state that it is given is ignored.")]
        if form.kind == "cell" and not same(none, zero):
            return [Finding("initial-state", "Where no state is given, it does not begin with zeros.")]
        return []
    return []


def untrained(subject: Subject, weights: Sequence[Tensor]) -> list[Finding]:
    """Look for weights of the recurrence that no optimizer sees."""
    known = {id(one) for part in subject.parts for one in part.parameters()}
    return [Finding("untrained")] if subject.parts and any(id(one) not in known for one in weights) else []


def of_torch(subject: Subject) -> dict[str, Finding]:
    """Return code -> finding for the recurrences of torch that an object has: library, lstm and rnn."""
    kinds = {nn.GRU: "library", nn.GRUCell: "library", nn.LSTM: "lstm", nn.LSTMCell: "lstm", nn.RNN: "rnn",
             nn.RNNCell: "rnn"}
    return {code: Finding(code, "" if code == "library" else f"It uses torch.nn.{kind.__name__}.")
            for kind, code in kinds.items() if any(isinstance(part, kind) for part in subject.parts)}


def padding(subject: Subject) -> list[Finding]:
    """Compare a short sequence beside a longer one with the same among short ones."""
    form, (x, h), short = subject.form, subject.given(), STEPS // 2
    index = next((table.padding_idx for table in subject.tables if table.padding_idx is not None), None)
    if form.kind == "cell" or form.batch < 2 or ("lengths" not in subject.taken and index is None):
        return []
    x[short:, 1:] = (index or 0) if form.vocabulary else 0.7
    alone = torch.cat([x[:short, 1:2], x[:short, 1:]], 1)
    try:
        long = subject.call(x, h, lengths=[STEPS, *[short] * (form.batch - 1)])
        brief = subject.call(alone, h, lengths=[short] * form.batch)
    except Exception:
        return []  # it takes no shorter sequences
    for one, other in zip(long, brief, strict=True):
        a, b = by_sequence(one, form, STEPS), by_sequence(other, form, short)
        if a is not None and b is not None and a.dim() == b.dim():
            a = a[:, :short] if a.dim() == 3 else a
            if a.shape == b.shape and not same([a[1:]], [b[1:]]):
                return [Finding("padding", "A short sequence has another result next to a longer one.")]
    return []
