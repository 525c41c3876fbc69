"""Every model, in one direction and in both, computes on each backend what nn.GRU computes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gru_bench.config import POOLING_PARTS, ModelConfig, ModelName, Pooling, Reset
from gru_bench.kernels import fused as kernels
from gru_bench.models.backends import Backend, run, unsupported
from gru_bench.models.classifier import Classifier
from gru_bench.models.stack import Stack
from tests.support.sequences import LENGTHS, TOLERANCE, alone, close, generator, gradients, sequences, stack_of, table

MODELS: tuple[tuple[ModelName, bool | None, int], ...] = (
    ("scratch", None, 1), ("torch", None, 2), ("bidirectional", None, 1), ("scratch", True, 3))
"""Name, whether it reads in both directions, layers."""


def backends(stack: Stack) -> list[Backend]:
    return [backend for backend in get_args(Backend) if not unsupported(backend, stack.reset)]


def as_rows(x_BTE: Tensor) -> tuple[Tensor, Tensor]:
    """A batch whose tokens are all distinct: their vectors, and the index into them."""
    return x_BTE.flatten(0, 1), torch.arange(x_BTE.shape[0] * x_BTE.shape[1]).view(x_BTE.shape[:2])


def in_precision_of(backend: Backend, x_BTE: Tensor, recurrence: Stack) -> tuple[Tensor, Stack]:
    """Copies of both: for the kernel in float32, the only type that it has."""
    dtype = torch.float32 if backend == "fused" else torch.float64
    return x_BTE.detach().to(dtype, copy=True).requires_grad_(), deepcopy(recurrence).to(dtype)


@pytest.mark.parametrize(("name", "both", "layers"), MODELS)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_and_gradients_on_every_backend_are_those_of_torch(
    name: ModelName, both: bool | None, layers: int, lengths: list[int]
) -> None:
    """The output at each token, which is the state of the last layer, and the gradient of every weight and input, with
    the weights loaded into torch's module."""
    config = ModelConfig(name=name, bidirectional=both, layers=layers, hidden_size=4)
    ours = stack_of(Classifier(config, table(5), generator()).double())
    theirs = nn.GRU(5, 4, layers, bidirectional=config.is_bidirectional, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x_BTE, length_B = sequences(lengths)
    x_BTE.requires_grad_()
    expected = alone(theirs, x_BTE, length_B)
    expected_gradients = gradients(expected, [x_BTE, *theirs.parameters()])
    tried = backends(ours)
    assert len(tried) == 3
    for backend in tried:
        own_BTE, own = in_precision_of(backend, x_BTE, ours)
        got = run(own, backend, *as_rows(own_BTE), length_B)
        close(got, expected)
        for mine, wanted in zip(gradients(got, [own_BTE, *own.parameters()]), expected_gradients, strict=True):
            close(mine, wanted)


@pytest.mark.parametrize("pooling", POOLING_PARTS)
@pytest.mark.parametrize("both", [None, True])
def test_every_backend_classifies_and_learns_alike(both: bool | None, pooling: Pooling) -> None:
    x_BTE, length_B = sequences([3, 7, 1, 5])
    config = ModelConfig(name="scratch", bidirectional=both, hidden_size=4, pooling=pooling)

    drawn = Classifier(config, table(5), generator())

    def classified(backend: Backend) -> list[Tensor]:
        own_BTE, _ = in_precision_of(backend, x_BTE, stack_of(drawn))
        model = deepcopy(drawn).to(own_BTE.dtype)
        log_BC = model(*as_rows(own_BTE), length_B, backend=backend)
        return [log_BC, *gradients(log_BC, [own_BTE, *model.parameters()])]

    expected = classified("reference")
    for backend in set(backends(stack_of(drawn))) - {"reference"}:
        for mine, wanted in zip(classified(backend), expected, strict=True):
            close(mine, wanted)


def test_a_pooling_that_the_kernel_lacks_is_computed_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "POOLINGS", ("last", "final"))
    ours = Stack(5, 4, bidirectional=True, generator=generator())
    x_BTE, length_B = sequences([3, 7, 1])
    found: dict[Backend, list[Tensor]] = {}
    for backend in ("fused", "reference"):
        own_BTE, own = in_precision_of(backend, x_BTE, ours)
        got = run(own, backend, *as_rows(own_BTE), length_B, pooling="meanmax")
        found[backend] = [got, *gradients(got, [own_BTE, *own.parameters()])]
    assert found["reference"][0].shape == (3, 16)
    for mine, wanted in zip(found["fused"], found["reference"], strict=True):
        close(mine, wanted)


@pytest.mark.parametrize(("recurrence", "backend", "reason"), [
    (Stack(5, 4, reset="before"), "torch", "reset gate"), (Stack(5, 4, reset="before"), "fused", "reset gate"),
    (Stack(5, 4), "own", "classes of your own")])
def test_a_backend_that_cannot_compute_a_recurrence_is_refused(
    recurrence: Stack, backend: Backend, reason: str
) -> None:
    x_BTE, length_B = sequences([3])
    with pytest.raises(ValueError, match=f"'{backend}' .*{reason}"):
        run(recurrence.double(), backend, *as_rows(x_BTE), length_B)


@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=5), bidirectional=st.booleans(),
       reset=st.sampled_from(["after", "before"]), seed=st.integers(0, 99))
def test_padding_and_order_change_nothing(
    lengths: list[int], bidirectional: bool, reset: Reset, seed: int
) -> None:
    x_BTE, length_B = sequences(lengths, seed=seed)
    ours = Stack(5, 3, 2, reset=reset, bidirectional=bidirectional, generator=generator(seed)).double()
    together = ours(x_BTE, length_B)
    for b, n in enumerate(lengths):
        single = ours(x_BTE[b:b + 1, :n], length_B[b:b + 1])
        torch.testing.assert_close(together[b:b + 1, :n], single, rtol=0, atol=TOLERANCE)
        assert not together[b, n:].any()


class Recorded:
    """`torch.gru`, which notes how it is called. On the device meta it computes shapes only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real = torch.gru
        monkeypatch.setattr(torch, "gru", self)
        self.calls: list[tuple[int, int]] = []

    def __call__(self, x_BTE: Tensor, h0: Tensor, weights: list[Tensor], **more: Any) -> tuple[Tensor, Tensor]:
        self.calls.append((len(weights), more["num_layers"]))
        if x_BTE.device.type == "meta":
            return x_BTE.new_empty(*x_BTE.shape[:2], h0.shape[2] * (1 + more["bidirectional"])), h0
        output, state = self.real(x_BTE, h0, weights, **more)
        return output, state


@pytest.mark.parametrize(("equal", "calls"), [(True, [(16, 2)]), (False, [(4, 1)] * 4)])
def test_a_graphics_card_is_not_asked_whether_lengths_are_equal(
    equal: bool, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors on the device meta have no values, so that looking at one raises."""
    kernel, meta = Recorded(monkeypatch), torch.device("meta")
    output = run(
        Stack(5, 4, 2, bidirectional=True).to(meta), "torch", torch.empty(9, 5, device=meta),
        torch.empty(3, 7, dtype=torch.int64, device=meta), torch.empty(3, dtype=torch.int64, device=meta),
        equal_lengths=equal)
    assert output.shape == (3, 7, 8)
    assert kernel.calls == calls
