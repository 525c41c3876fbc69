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
from gru_bench.gru_check.forms import Form
from gru_bench.gru_check.load import place
from gru_bench.gru_check.subject import STEPS, Subject, by_sequence, sample, state_of
from gru_bench.gru_check.watch import Watch

_CALLS = 12
"""Calls with the same input, which must give the same result."""
_NEAR = 1e-10


def chance(subject: Subject, form: Form) -> list[Finding]:
    """Call the object twice, as it is in evaluation.

    Raises:
        RunError: Its steps are random.
    """
    watch, same = _twice(subject, form, STEPS)
    if same:
        return []
    if watch.dropped:
        return [Finding("dropout", "Two calls in evaluation differ.", watch.dropped[0])]
    lines = {line for line, _ in watch.drawn}
    if form.kind == "layer" and lines and watch.drawn == _twice(subject, form, STEPS - 1)[0].drawn:
        return [Finding("initial-state", "The state before the first step is random.",
                        lines.pop() if len(lines) == 1 else 0)]
    raise RunError(f"{place(subject.source.path, watch.drawn[0][0] if lines else 0)}: {subject.source.written} is "
                   "random in evaluation, so that no two calls give the same result: draw random numbers only if "
                   "self.training")


def _twice(subject: Subject, form: Form, steps: int) -> tuple[Watch, bool]:
    """Return what is seen in the second one of two calls, and whether their results are the same."""
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        watch = Watch(subject.source.path, random=True)
        with torch.no_grad():
            results.append(subject.call(form, sample(form, form.batch, steps), state_of(form, form.batch), watch=watch))
    return watch, _same(*results)


def kept(subject: Subject, form: Form) -> list[Finding]:
    """Call one object again and again with the same input."""
    x, h = sample(form, form.batch), state_of(form, form.batch)
    for given in (h, None) if form.kind == "cell" else (h,):
        built, results = subject.copy(), list[list[Tensor]]()
        try:
            with torch.no_grad():
                for _ in range(_CALLS):
                    results.append(subject.call(form, x, given, built=built))
        except Exception:
            return [Finding("state-kept", "A further call fails.")] if results else []
        if not all(_same(results[0], own) for own in results):
            return [Finding("state-kept", "The same input gives another result at a later call.")]
    return []


def detached(subject: Subject, form: Form) -> list[Finding]:
    """Compare a gradient with a difference quotient, in evaluation and in training."""
    for training in (False, True):
        scale, cuts = torch.zeros((), requires_grad=True), set[int]()
        try:
            value = _moved(subject, form, scale, training, cuts)
            gradient = float(torch.autograd.grad(value, scale)[0])
        except RuntimeError as error:
            return [Finding("detached", f"Its gradient cannot be computed: {first_line(error)}")]
        with torch.no_grad():
            more, less = (float(_moved(subject, form, scale + step, training, cuts)) for step in (1e-5, -1e-5))
        expected = (more - less) / 2e-5
        if abs(expected - gradient) > 1e-6 * max(1.0, abs(expected)):
            said = "A gradient differs from the change of the result" + (" in training." if training else ".")
            return [Finding("detached", said, cuts.pop() if len(cuts) == 1 else 0)]
    return []


def _moved(subject: Subject, form: Form, scale: Tensor, training: bool, cuts: set[int]) -> Tensor:
    """Return a sum of a result, where a scale moves the state of a cell, the first input of a layer or its embeddings.

    `cuts` takes the lines that cut gradients.
    """
    def moved(tensor: Tensor) -> Tensor:
        return tensor + scale * torch.linspace(0.5, 1.5, tensor.numel()).reshape(tensor.shape)

    built, watch = subject.copy(), Watch(subject.source.path)
    x, h = sample(form, form.batch), state_of(form, form.batch)
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
    result = subject.call(form, x, h, built=built, watch=watch)[0]
    cuts.update(filter(None, watch.cuts))
    return (result * torch.rand(result.shape, generator=torch.Generator().manual_seed(4))).sum() + 0 * scale


def first_state(subject: Subject, form: Form) -> list[Finding]:
    """Call an object that may be given a state with zeros, with another one and with none."""
    hidden = form.hidden or subject.source.sizes.get("H", 0)
    if not hidden or not any(taken.role == "state" and not taken.required for taken in subject.taken):
        return []
    x, zeros = sample(form, form.batch), torch.zeros(form.batch, hidden)
    for state in [form.state] if form.state else ["1BH", "BH", "2BH"]:
        own = replace(form, state=state, hidden=hidden)
        try:
            with torch.no_grad():
                none, zero, other = (subject.call(own, x, h) for h in (None, zeros, zeros + 0.3))
        except Exception:
            continue
        if _same(zero, other):
            return [Finding("initial-state", "The state that it is given is ignored.")]
        if form.kind == "cell" and not _same(none, zero):
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


def padding(subject: Subject, form: Form) -> list[Finding]:
    """Compare a short sequence beside a longer one with the same among short ones."""
    roles = {taken.role for taken in subject.taken}
    index = next((table.padding_idx for table in subject.tables if table.padding_idx is not None), None)
    if form.kind == "cell" or form.batch < 2 or not (roles & {"lengths", "mask"} or index is not None):
        return []
    short = STEPS // 2
    x, h = sample(form, form.batch), state_of(form, form.batch)
    x[short:, 1:] = (index or 0) if form.vocabulary else 0.7
    lengths = [STEPS, *[short] * (form.batch - 1)]
    mask = torch.arange(STEPS)[:, None] < torch.tensor(lengths)
    alone = torch.cat([x[:short, 1:2], x[:short, 1:]], 1)
    try:
        with torch.no_grad():
            long = subject.call(form, x, h, lengths=lengths, mask=mask)
            brief = subject.call(form, alone, h, lengths=[short] * form.batch, mask=mask[:short, 1:2].expand(
                short, form.batch))
    except Exception:
        return []  # it takes no shorter sequences
    for one, other in zip(long, brief, strict=True):
        a, b = by_sequence(one, form, STEPS), by_sequence(other, form, short)
        if a is not None and b is not None and a.dim() == b.dim():
            a = a[:, :short] if a.dim() == 3 else a
            if a.shape == b.shape and not _near(a[1:], b[1:]):
                return [Finding("padding", "A short sequence has another result next to a longer one.")]
    return []


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(map(_near, one, other))


def _near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=_NEAR, equal_nan=True)
