"""`gru_bench.kernels.GRU` in place of torch.nn.GRU: the same results, gradients, parameters and errors."""

from __future__ import annotations

import copy
import pickle
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gru_bench.kernels import GRU
from gru_bench.kernels.fused import set_threads
from tests.support.batches import BOUND_32
from tests.support.commands import ROOT, mentions, printed
from tests.support.values import present

BOUND = 32 * 2.0**-24
"""For an error of float32: half of what tests/support/batches.py allows, because at most 81 tokens are summed here.

Rounding is off by 2^-24, tanh and sigmoid by up to 7 times as much, and the errors of a sum of K products grow like
sqrt(K). The worst of 1,000 cases is 1.0e-6, which is 17 times 2^-24; torch's own float32 GRU is off by 0.5e-6.
"""


@dataclass(frozen=True)
class Case:
    """A GRU and what it reads. All numbers are float32, so that both precisions compute the same function."""

    inputs: int
    hidden: int
    layers: int
    bidirectional: bool
    bias: bool
    batch_first: bool
    x: Tensor
    """(T, B, E), (B, T, E) if `batch_first`, or (T, E)."""
    h0: Tensor | None
    lengths: list[int] | None
    """Lengths of packed sequences. None: not packed."""
    is_sorted: bool
    seed: int
    state: dict[str, Tensor] = field(repr=False)

    def module(self, kind: type[nn.GRU], dtype: torch.dtype) -> nn.GRU:
        module = kind(self.inputs, self.hidden, self.layers, self.bias, self.batch_first,
                      bidirectional=self.bidirectional, dtype=dtype)
        module.load_state_dict(self.state)
        return module


def make_case(
    inputs: int, hidden: int, layers: int, bidirectional: bool, bias: bool, batch_first: bool, steps: int, batch: int,
    seed: int, *, has_h0: bool, one: bool = False, lengths: list[int] | None = None, is_sorted: bool = False,
) -> Case:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    x = drawn(batch, steps, inputs) if batch_first else drawn(steps, batch, inputs)
    h0 = drawn(layers * (1 + bidirectional), batch, hidden) if has_h0 else None
    if one:
        x, h0 = x.squeeze(0 if batch_first else 1), None if h0 is None else h0.squeeze(1)
    torch.manual_seed(seed)
    state = nn.GRU(inputs, hidden, layers, bias, bidirectional=bidirectional).state_dict()
    return Case(inputs, hidden, layers, bidirectional, bias, batch_first, x, h0, lengths, is_sorted, seed, state)


def draw_case(draw: random.Random) -> Case:
    """Return a case of small sizes. Widths start at 3: narrower, all sums of a gradient may cancel at once, and no
    bound in proportion to the largest holds in float32, not even for torch's own."""
    seed = draw.randrange(2**31)
    inputs, hidden, layers = draw.randint(3, 20), draw.randint(3, 40), draw.choice([1, 1, 2, 3])
    bidirectional, bias, batch_first = draw.random() < 0.5, draw.random() < 0.7, draw.random() < 0.5
    kind = draw.choice(["padded", "one", "packed", "packed"])
    steps, batch = draw.randint(1, 9), 1 if kind == "one" else draw.randint(1, 9)
    is_sorted = kind == "packed" and draw.random() < 0.5
    lengths = None
    if kind == "packed":
        lengths = sorted((draw.randint(1, steps) for _ in range(batch)), reverse=True)
        steps = lengths[0]
        if not is_sorted:
            draw.shuffle(lengths)
    return make_case(
        inputs, hidden, layers, bidirectional, bias, batch_first, steps, batch, seed, has_h0=draw.random() < 0.5,
        one=kind == "one", lengths=lengths, is_sorted=is_sorted)


@dataclass(frozen=True)
class Results:
    outputs: list[Tensor]
    """Output, without padding, and last states."""
    data_grads: list[Tensor]
    """Gradients of the input and, if given, of h0."""
    weight_grads: list[list[Tensor]]
    """Gradients of the parameters of each layer and direction."""

    def kinds(self) -> list[list[Tensor]]:
        return [self.outputs, self.data_grads, *self.weight_grads]


def run(case: Case, module: nn.GRU) -> Results:
    """Return everything that the module computes, for a loss that weighs each value of the output and the states."""
    dtype = module.weight_hh_l0.dtype
    assert isinstance(dtype, torch.dtype)
    x = case.x.to(dtype).requires_grad_()
    h0 = None if case.h0 is None else case.h0.to(dtype).requires_grad_()
    generator = torch.Generator().manual_seed(case.seed + 1)
    if case.lengths is None:
        output, state = module(x, h0)
        shown = output
    else:
        lengths = torch.tensor(case.lengths)
        packed, state = module(
            pack_padded_sequence(x, lengths, case.batch_first, enforce_sorted=case.is_sorted), h0)
        assert isinstance(packed, PackedSequence)
        shown, (output, back) = packed.data, pad_packed_sequence(packed, case.batch_first)
        assert torch.equal(back, lengths)
    weighed = [(torch.randn(value.shape, generator=generator).to(dtype) * value).sum() for value in (output, state)]
    data = [x] if h0 is None else [x, h0]
    weights = list(module.parameters())
    grads = list(torch.autograd.grad(weighed[0] + weighed[1], [*data, *weights]))
    each = 4 if case.bias else 2
    return Results([shown.detach(), output.detach(), state.detach()], grads[:len(data)],
                   [grads[i:i + each] for i in range(len(data), len(grads), each)])


def error(ours: Results, exact: Results) -> float:
    """The largest error of any value, relative to the largest value of its kind, as in tests/support/batches.py.

    The output and the last states are one kind, the gradients of the input and of h0 another, and the gradients of the
    parameters of a layer and direction another each.
    """
    worst = 0.0
    for values, references in zip(ours.kinds(), exact.kinds(), strict=True):
        scale = max(float(reference.abs().max()) for reference in references)
        for value, reference in zip(values, references, strict=True):
            assert value.shape == reference.shape
            worst = max(worst, float((value.double() - reference).abs().max()) / scale)
    return worst


@pytest.mark.parametrize(("seed", "cases"), [
    (0, 30), (1, 30), *(pytest.param(seed, 100, marks=pytest.mark.slow) for seed in range(2, 10))])
def test_equals_torch_gru_in_drawn_cases(seed: int, cases: int) -> None:
    """Outputs, last states and all gradients, against nn.GRU in float64, so that the error is our own."""
    set_threads(1 + seed % 2)
    draw = random.Random(seed)
    for _ in range(cases):
        case = draw_case(draw)
        gru = case.module(GRU, torch.float32)
        assert isinstance(gru, GRU)
        assert error(run(case, gru), run(case, case.module(nn.GRU, torch.float64))) < BOUND, case
        assert gru.fallback_reason is None


@pytest.mark.parametrize("lengths", [None, [300, 1, 129, 128, 127, 17]])
@pytest.mark.parametrize("has_h0", [False, True])
def test_equals_torch_gru_on_long_sequences(has_h0: bool, lengths: list[int] | None) -> None:
    """With gradients that are gathered over several chunks of 128 tokens."""
    case = make_case(50, 100, 2, True, True, True, 300, 6, 1, has_h0=has_h0, lengths=lengths)
    exact = run(case, case.module(nn.GRU, torch.float64))
    assert error(run(case, case.module(GRU, torch.float32)), exact) < BOUND_32


@pytest.mark.parametrize("lengths", [None, [1] * 70, [i % 3 + 1 for i in range(70)]])
def test_equals_torch_gru_on_many_sequences(lengths: list[int] | None) -> None:
    case = make_case(8, 20, 1, True, True, False, 3, 70, 2, has_h0=True, lengths=lengths)
    exact = run(case, case.module(nn.GRU, torch.float64))
    assert error(run(case, case.module(GRU, torch.float32)), exact) < BOUND_32


def test_the_last_states_are_those_at_the_end_of_each_sequence() -> None:
    """Not those after the padding, as a padded batch would give."""
    case = make_case(5, 7, 2, True, True, True, 6, 3, 3, has_h0=True, lengths=[2, 6, 1])
    gru = case.module(GRU, torch.float32)
    lengths = torch.tensor([2, 6, 1])
    _, state = gru(pack_padded_sequence(case.x, lengths, True, enforce_sorted=False), case.h0)
    for b, length in enumerate(lengths.tolist()):
        _, alone = gru(case.x[b, :length], present(case.h0)[:, b].contiguous())
        assert torch.equal(state[:, b], alone)


def test_repeats_bit_for_bit() -> None:
    case = make_case(50, 100, 2, True, True, True, 40, 9, 4, has_h0=True, lengths=[40, 3, 17, 22, 40, 9, 1, 30, 8])
    first, again = (run(case, case.module(GRU, torch.float32)) for _ in range(2))
    for values, same in zip(first.kinds(), again.kinds(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(values, same, strict=True))


@pytest.mark.parametrize("lengths", [None, [3, 5]])
def test_refuses_second_derivatives(lengths: list[int] | None) -> None:
    """Also of a gradient whose own input needs none, which would silently be taken for a constant."""
    gru = GRU(3, 4)
    x = torch.randn(5, 2, 3, requires_grad=True)
    output = gru(x if lengths is None else pack_padded_sequence(x, lengths, enforce_sorted=False))[1]
    with pytest.raises(RuntimeError, match=r"create_graph.*torch\.nn\.GRU"):
        torch.autograd.grad(output.sum(), x, create_graph=True)
    assert gru.fallback_reason is None
    assert torch.autograd.grad(output.sum(), x)[0].any()


# ---------------------------------------------------------------- a module of torch


@pytest.mark.parametrize("arguments", [
    {"input_size": 3, "hidden_size": 4},
    {"input_size": 3, "hidden_size": 4, "num_layers": 3, "bidirectional": True, "dropout": 0.1, "batch_first": True},
    {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bias": False, "device": "cpu", "dtype": torch.float64},
])
def test_parameters_and_their_first_values_are_those_of_torch(arguments: dict[str, Any]) -> None:
    torch.manual_seed(1)
    theirs = nn.GRU(**arguments)
    torch.manual_seed(1)
    ours = GRU(**arguments)
    assert repr(ours) == repr(theirs)
    pairs = list(zip(ours.named_parameters(), theirs.named_parameters(), strict=True))
    assert all(name == other and torch.equal(a, b) and a.dtype == b.dtype for (name, a), (other, b) in pairs)


def test_takes_its_arguments_in_the_order_of_torch() -> None:
    assert repr(GRU(3, 4, 2, False, True, 0.5, True)) == repr(nn.GRU(3, 4, 2, False, True, 0.5, True))


@pytest.mark.parametrize(("first", "second"), [(GRU, nn.GRU), (nn.GRU, GRU)])
def test_state_dicts_load_both_ways(first: type[nn.GRU], second: type[nn.GRU]) -> None:
    source, target = first(3, 4, 2, bidirectional=True), second(3, 4, 2, bidirectional=True)
    target.load_state_dict(source.state_dict())
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(source(x)[0], target(x)[0], rtol=0, atol=BOUND)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda gru: pickle.loads(pickle.dumps(gru))])
def test_a_copy_computes_the_same_and_shares_no_weights(copied: Callable[[GRU], GRU]) -> None:
    gru = GRU(3, 4, 2, bidirectional=True)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    before = gru(x)[0]
    other = copied(gru)
    assert type(other) is GRU
    assert torch.equal(other(x)[0], before)
    with torch.no_grad():
        other.get_parameter("weight_hh_l0").zero_()
    assert torch.equal(gru(x)[0], before)
    assert not torch.equal(other(x)[0], before)


def test_follows_weights_that_change_or_are_computed() -> None:
    gru = GRU(3, 4)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    doubled = {name: 2 * value.detach() for name, value in gru.named_parameters()}
    called = torch.func.functional_call(gru, doubled, (x,))[0]
    assert gru.fallback_reason is None
    gru.load_state_dict(doubled)
    assert torch.equal(gru(x)[0], called)
    normal = nn.utils.parametrizations.weight_norm(gru, "weight_hh_l0")
    output = normal(x)[0]
    assert torch.allclose(output, called, rtol=0, atol=BOUND)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in normal.parameters())


def test_requires_gradients_only_where_torch_does() -> None:
    gru = GRU(3, 4, 2)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    expected = gru(x)
    assert all(value.requires_grad for value in expected)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = gru(x)
        assert not any(value.requires_grad for value in got)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    gru.requires_grad_(False)
    assert not gru(x)[0].requires_grad
    h0 = torch.zeros(2, 2, 4, requires_grad=True)
    gru(x, h0)[0].sum().backward()
    assert present(h0.grad).abs().max() > 0


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_caller_may_overwrite_the_results(batch: int, batch_first: bool) -> None:
    gru = GRU(3, 4, batch_first=batch_first)
    x = torch.randn(batch, 1, 3, generator=torch.Generator().manual_seed(1))
    output, state = gru(x)
    expected = torch.autograd.grad(2 * output.sum() + state.sum(), list(gru.parameters()))
    output, state = gru(x)
    output.mul_(2)
    grads = torch.autograd.grad(output.sum() + state.sum(), list(gru.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(grads, expected, strict=True))


@pytest.mark.parametrize("batch_first", [False, True])
def test_takes_other_strides_and_returns_contiguous_outputs(batch_first: bool) -> None:
    gru = GRU(3, 4, batch_first=batch_first)
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    h0 = torch.randn(4, 5, 1, generator=torch.Generator().manual_seed(2)).transpose(0, 2)[:, :5 if batch_first else 2]
    strided = torch.zeros(5, 2, 6)
    strided[..., ::2] = x
    got, expected = gru(strided[..., ::2], h0), gru(x, h0.contiguous())
    assert got[0].is_contiguous()
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_dropout_is_off_in_evaluation_and_complete_at_1() -> None:
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    theirs, ours = nn.GRU(3, 4, 3, dropout=0.5), GRU(3, 4, 3, dropout=0.5)
    ours.load_state_dict(theirs.state_dict())
    assert not torch.equal(ours(x)[0], ours(x)[0])
    assert torch.allclose(ours.eval()(x)[0], theirs.eval()(x)[0], rtol=0, atol=BOUND)
    ours.dropout = theirs.dropout = 1.0
    assert torch.allclose(ours.train()(x)[0], theirs.train()(x)[0], rtol=0, atol=BOUND)


def test_dropout_has_the_distribution_of_torch() -> None:
    """Of 4,000 equal sequences: mean and deviation of each output, each to five standard errors of a difference."""
    theirs, ours = nn.GRU(3, 4, 2, dropout=0.3), GRU(3, 4, 2, dropout=0.3)
    ours.load_state_dict(theirs.state_dict())
    count = 4000
    torch.manual_seed(1)
    a, b = (gru(torch.ones(2, count, 3))[0].detach() for gru in (ours, theirs))
    deviation = b.std(1)
    assert deviation.min() > 1e-3
    assert ((a.mean(1) - b.mean(1)).abs() < 5 * deviation * (2 / count) ** 0.5).all()
    assert ((a.std(1) / deviation - 1).abs() < 5 * (1 / count) ** 0.5).all()


@pytest.mark.parametrize("given", [
    (torch.zeros(3),),
    (torch.zeros(1, 5, 2, 3),),
    (torch.zeros(5, 2, 4),),
    (torch.zeros(5, 4),),
    (torch.zeros(5, 2, 3), torch.zeros(2, 4)),
    (torch.zeros(5, 3), torch.zeros(2, 1, 4)),
    (torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)),
    (torch.zeros(5, 2, 3), torch.zeros(2, 3, 4)),
    (torch.zeros(5, 2, 3), torch.zeros(2, 2, 5)),
    (torch.zeros(5, 2, 3, dtype=torch.float64),),
    (torch.zeros(5, 2, 3), torch.zeros(2, 2, 4, dtype=torch.float64)),
    (torch.zeros(0, 2, 3),),
    (pack_padded_sequence(torch.zeros(5, 2, 4), torch.tensor([5, 3])),),
    (pack_padded_sequence(torch.zeros(5, 2, 3), torch.tensor([5, 3])), torch.zeros(2, 1, 4)),
    (pack_padded_sequence(torch.zeros(5, 2, 3), torch.tensor([5, 3])), torch.zeros(2, 4)),
])
def test_errors_are_those_of_torch(given: tuple[Any, ...]) -> None:
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        nn.GRU(3, 4, 2)(*given)
    with pytest.raises(theirs.type) as ours:
        GRU(3, 4, 2)(*given)
    assert str(ours.value) == str(theirs.value)


def test_trains_as_torch_does() -> None:
    """30 steps of Adam on packed sequences: is the first token positive? Errors of 1e-6 in a gradient may grow."""

    def losses(kind: type[nn.GRU]) -> list[float]:
        torch.manual_seed(1)
        gru, head = kind(4, 16, 2, batch_first=True, bidirectional=True), nn.Linear(32, 1)
        optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=0.01)
        found = []
        for _ in range(30):
            x, lengths = torch.randn(16, 9, 4), torch.randint(1, 10, (16,))
            _, state = gru(pack_padded_sequence(x, lengths, True, enforce_sorted=False))
            score = head(torch.cat([state[-2], state[-1]], 1))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(score, (x[:, 0, 0] > 0).float())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            found.append(loss.item())
        return found

    ours, theirs = losses(GRU), losses(nn.GRU)
    assert ours[-1] < 0.8 * ours[0]
    assert ours == pytest.approx(theirs, rel=1e-4)


# ---------------------------------------------------------------- where torch computes


@pytest.fixture(name="gru")
def _gru() -> GRU:
    torch.manual_seed(1)
    gru = GRU(3, 4)
    assert gru.fallback_reason
    return gru


X = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))


def test_torch_computes_in_float64(gru: GRU) -> None:
    assert gru.double()(X.double())[0].dtype == torch.float64
    mentions(present(gru.fallback_reason), "float32", "torch.float64")
    gru.float()(X)
    assert gru.fallback_reason is None


def test_torch_computes_on_other_devices() -> None:
    gru = GRU(3, 4, device="meta")
    assert gru(X.to("meta"))[0].shape == (5, 2, 4)
    mentions(present(gru.fallback_reason), "CPU", "meta")


def test_torch_computes_with_autocast(gru: GRU) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gru(X)
    mentions(present(gru.fallback_reason), "torch.autocast")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's forward mode
def test_torch_computes_transforms(gru: GRU) -> None:
    def loss(x: Tensor) -> Tensor:
        output, _ = gru.forward(x)
        return output.sum()

    gradient = torch.func.grad(loss)(X)
    mentions(present(gru.fallback_reason), "torch.func")
    x = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(x), x)
    assert torch.allclose(gradient, expected, rtol=0, atol=BOUND)
    gru(X)
    assert gru.fallback_reason is None
    tangent = torch.func.jvp(loss, (X,), (torch.ones_like(X),))[1]
    mentions(present(gru.fallback_reason), "forward-mode")
    assert torch.allclose(tangent, expected.sum(), rtol=0, atol=32 * BOUND)  # a sum of 30 values


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's forward mode
def test_torch_computes_forward_derivatives(gru: GRU) -> None:
    with forward_ad.dual_level():
        gru(X)
        assert gru.fallback_reason is None
        output, _ = gru(forward_ad.make_dual(X, torch.ones_like(X)))
        assert forward_ad.unpack_dual(output).tangent is not None
        mentions(present(gru.fallback_reason), "forward-mode")


def test_torch_computes_a_batch_of_no_sequences(gru: GRU) -> None:
    output, state = gru(torch.zeros(5, 0, 3))
    assert (output.shape, state.shape) == ((5, 0, 4), (1, 0, 4))
    mentions(present(gru.fallback_reason), "empty")


def test_torch_computes_where_the_kernel_cannot_run(gru: GRU, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.kernels.module.unavailable", lambda: "there is no compiler.")
    assert torch.equal(gru(X)[0], nn.GRU.forward(gru, X)[0])
    assert gru.fallback_reason == "there is no compiler."


@pytest.mark.filterwarnings("ignore:The tensor attributes self._flat_weights")  # as with torch.nn.GRU
def test_torch_computes_what_is_exported(gru: GRU) -> None:
    exported = torch.export.export(gru, (X,)).module()
    assert torch.allclose(exported(X)[0], gru(X)[0], rtol=0, atol=BOUND)


# ---------------------------------------------------------------- imports


def test_the_example_in_the_docs_prints_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$\n\nThis prints `None`", page, re.MULTILINE | re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out == "None\n"


@pytest.mark.slow
def test_loads_neither_search_nor_tracking_and_the_package_loads_nothing() -> None:
    said = printed(
        """
        import sys
        import gru_bench.kernels
        before = sorted({"torch", "numba", "numpy"} & sys.modules.keys())
        from gru_bench.kernels import GRU
        print(before, sorted({"mlflow", "optuna", "numba"} & sys.modules.keys()), GRU.__name__)
        """
    )
    assert said == "[] [] GRU"


def test_the_package_has_no_other_names() -> None:
    import gru_bench.kernels

    with pytest.raises(AttributeError, match="LSTM"):
        gru_bench.kernels.LSTM  # noqa: B018
