"""The classifiers. Each is a recurrence, a pooling, and a head that is the same for all.

    scratch        our GRU of gru.py
    torch          torch.nn.GRU
    bidirectional  torch.nn.GRU in both directions
    rnn            our vanilla RNN of rnn.py, which has no gates

A model reads a batch as the vectors of its distinct tokens and an index into them. It runs on one of these backends:

    reference  the plain torch loop of gru.py
    torch      the kernels of torch.nn.GRU and torch.nn.RNN (cuDNN on an NVIDIA card)
    fused      our kernel (kernels/), for a GRU on a CPU

Shapes: `U` distinct tokens of a batch, `B` sequences, `T` steps, `E` vector width, `H` hidden width,
`D` = H times directions, `C` = 2 classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from gru_bench.config import ModelConfig, Pooling
from gru_bench.errors import UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.models.gru import GRU, reference_gru
from gru_bench.models.pooling import pool
from gru_bench.models.rnn import RNN, reference_rnn

CLASSES = 2
Backend = Literal["reference", "torch", "fused"]
Module = TypeVar("Module", bound=nn.Module)
Kernel = Callable[..., tuple[Tensor, Tensor]]
"""`torch.gru` or `torch.rnn_tanh`, which take the same arguments."""


def build_model(config: ModelConfig, input_size: int, generator: torch.Generator) -> Classifier:
    """Return a classifier with initial weights, drawn uniformly in +-1/sqrt(hidden_size).

    Args:
        config: Settings of the model.
        input_size: Length of the word vectors, E.
        generator: Source of the weights.

    Raises:
        UsageError: where the model does not support a setting, such as `reset` 'before' in nn.GRU.
    """
    if config.name == "rnn" and config.reset == "before":
        raise UsageError("model.reset must be left at 'after' for the model 'rnn', which has no reset gate, but got "
                         "'before': leave it out")
    if config.name != "scratch" and config.reset == "before":
        raise UsageError(f"model.reset must be 'after' for the model {config.name!r}, whose torch.nn.GRU has no "
                         "other, but got 'before': choose the model 'scratch'")
    return Classifier(config, input_size, generator)


def choose_backend(config: ModelConfig, device: torch.device) -> Backend:
    """Return the backend that will run: the one in the settings, or for `auto` the fastest one that supports the model.

    Raises:
        UsageError: where the backend in the settings cannot run this model on this device. The message says why.
    """
    if config.name == "rnn":
        no_fused: str | None = "it computes gates, and a vanilla RNN has none"
    else:
        no_fused = f"it runs on a CPU, not on {device.type}" if device.type != "cpu" else kernels.unavailable()
    no_torch = "torch has no GRU whose reset gate acts before the product" if config.reset == "before" else None
    if config.backend == "auto":
        if no_fused is None:
            return "fused"
        return "torch" if no_torch is None else "reference"
    reason = {"fused": no_fused, "torch": no_torch, "reference": None}[config.backend]
    if reason is not None:
        raise UsageError(f"model.backend must be able to run here, but got {config.backend!r}: {reason}; "
                         "try --set model.backend=auto")
    return config.backend


def fallback(config: ModelConfig, device: torch.device) -> str | None:
    """Return the reason, as a sentence, why `auto` takes a slower backend for a GRU on this CPU. None where it does
    not."""
    if config.backend != "auto" or config.name == "rnn" or device.type != "cpu":
        return None
    reason = kernels.unavailable()
    if reason is None:
        return None
    return f"training takes several times as long here, on the backend {choose_backend(config, device)!r}: {reason}"


class Classifier(nn.Module):
    """A classifier: recurrence, pooling, dropout, ReLU if set, and a linear layer with log-softmax."""

    def __init__(self, config: ModelConfig, input_size: int, generator: torch.Generator) -> None:
        """Draw the weights from `generator`. The global generator of torch is not used."""
        super().__init__()
        self.config = config
        self.bidirectional = config.name == "bidirectional"
        bound = 1 / math.sqrt(config.hidden_size)
        self.gru: GRU | nn.GRU
        if config.name == "rnn":
            self.rnn = RNN(input_size, config.hidden_size, config.layers, generator=generator)
        elif config.name == "scratch":
            self.gru = GRU(input_size, config.hidden_size, config.layers, reset=config.reset, generator=generator)
        else:
            self.gru = _drawn(bound, generator, lambda: nn.GRU(
                input_size, config.hidden_size, config.layers, bidirectional=self.bidirectional, batch_first=True))
        width = config.hidden_size * (2 if self.bidirectional else 1)
        features = 2 * width if config.pooling == "meanmax" else width
        self.linear = _drawn(bound, generator, lambda: nn.Linear(features, CLASSES))

    def forward(
        self,
        rows_UE: Tensor,
        index_BT: Tensor,
        length_B: Tensor,
        *,
        backend: Backend,
        generator: torch.Generator | None = None,
        bf16: bool = False,
    ) -> Tensor:
        """Return log-probabilities, B x C.

        Args:
            rows_UE: Vectors of the distinct tokens of the batch.
            index_BT: Row of `rows_UE` for each token. Entries beyond the length of a review have no effect.
            length_B: Number of tokens of each review, 1 to T.
            backend: Implementation of the recurrence that runs.
            generator: Source of the dropout masks. It is needed in training mode where dropout is above 0.
            bf16: Whether the backend `fused` computes products in bfloat16. The other backends follow `torch.autocast`.
        """
        share = self.config.dropout if self.training else 0.0

        def drop(values: Tensor) -> Tensor:
            return dropped_out(values, share, generator)

        between = drop if share else None
        if self.config.name == "rnn":
            output_BTD = run_rnn(self.rnn, embedding(index_BT, rows_UE), length_B, backend=backend, between=between)
            features_BF = pool(output_BTD, length_B, self.config.pooling, bidirectional=self.bidirectional)
        else:
            features_BF = run_gru(
                self.gru, rows_UE, index_BT, length_B, backend=backend, between=between, pooling=self.config.pooling,
                bf16=bf16)
        return self._head(drop(features_BF))

    def decide(self, output_BTD: Tensor, length_B: Tensor) -> Tensor:
        """Return the log-probabilities, B x C, for the output of the recurrence: pooling and head only, without
        dropout."""
        return self._head(pool(output_BTD, length_B, self.config.pooling, bidirectional=self.bidirectional))

    def _head(self, features_BF: Tensor) -> Tensor:
        if self.config.relu:
            features_BF = torch.relu(features_BF)
        return torch.log_softmax(self.linear(features_BF), dim=1)


def run_gru(
    gru: GRU | nn.GRU,
    rows_UE: Tensor,
    index_BT: Tensor,
    length_B: Tensor,
    *,
    backend: Backend,
    between: Callable[[Tensor], Tensor] | None = None,
    pooling: Pooling | None = None,
    bf16: bool = False,
) -> Tensor:
    """Run a GRU on one of the backends.

    Returns:
        The output of the last layer, B x T x D, zero beyond each length, or with a `pooling` its features (`pool`).
    """
    if isinstance(gru, GRU):
        weights, bidirectional, reset = gru.weights(), gru.bidirectional, gru.reset
    else:  # nn.GRU registers its parameters in the same order
        weights, bidirectional, reset = list(gru.parameters()), gru.bidirectional, "after"
    if backend == "fused":
        return kernels.fused_gru(
            rows_UE, index_BT, length_B, weights, bidirectional=bidirectional, reset=reset, between=between,
            pooling=pooling, bf16=bf16)
    x_BTE = embedding(index_BT, rows_UE)
    if backend == "reference":
        output_BTD = reference_gru(
            x_BTE, length_B, weights, bidirectional=bidirectional, reset=reset, between=between)
    else:
        output_BTD = torch_gru(x_BTE, length_B, weights, bidirectional=bidirectional, between=between)
    if pooling is None:
        return output_BTD
    return pool(output_BTD, length_B, pooling, bidirectional=bidirectional)


def run_rnn(
    rnn: RNN,
    x_BTE: Tensor,
    length_B: Tensor,
    *,
    backend: Backend,
    between: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run a vanilla RNN's weights on the backend `reference` or `torch`; the output is B x T x D."""
    if backend == "reference":
        return reference_rnn(x_BTE, length_B, rnn.weights(), bidirectional=rnn.bidirectional, between=between)
    if backend == "fused":
        raise ValueError("a vanilla RNN must run on the backend 'reference' or 'torch', but got 'fused'")
    return torch_unpacked(
        x_BTE, length_B, rnn.weights(), torch.rnn_tanh, bidirectional=rnn.bidirectional, between=between)


def torch_gru(
    x_BTE: Tensor,
    length_B: Tensor,
    weights: Sequence[Tensor],
    *,
    bidirectional: bool,
    between: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run torch's own GRU kernels; see `torch_unpacked`."""
    return torch_unpacked(x_BTE, length_B, weights, torch.gru, bidirectional=bidirectional, between=between)


def torch_unpacked(
    x_BTE: Tensor,
    length_B: Tensor,
    weights: Sequence[Tensor],
    kernel: Kernel,
    *,
    bidirectional: bool,
    between: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run one of torch's own kernels on padded sequences of any lengths, without packing them.

    Padding stands at the end, where it cannot reach a forward state. For the backward direction each sequence
    is reversed by its own length, read forward, and reversed again: the same function as a packed sequence's,
    without the loss of cuDNN's fastest algorithm. Without padding torch runs all layers and directions at once.
    """
    directions = 2 if bidirectional else 1
    layers = len(weights) // (4 * directions)
    steps = x_BTE.shape[1]
    # On a graphics card this check would make the host wait for the card.
    padded = length_B.device.type != "cpu" or int(length_B.min()) < steps
    if not padded and (between is None or layers == 1):
        return _run_kernel(kernel, x_BTE, weights, layers, bidirectional)
    at_T = torch.arange(steps, device=x_BTE.device)
    inside_BT1 = (at_T < length_B[:, None])[..., None]
    reversed_BT1 = torch.where(inside_BT1[..., 0], length_B[:, None] - 1 - at_T, at_T)[..., None]
    layer_input = x_BTE
    for layer in range(layers):
        halves = []
        for direction in range(directions):
            start = 4 * (layer * directions + direction)
            own = weights[start:start + 4]
            if direction == 1:
                mirrored = layer_input.gather(1, reversed_BT1.expand_as(layer_input))
                output = _run_kernel(kernel, mirrored, own)
                output = output.gather(1, reversed_BT1.expand_as(output))
            else:
                output = _run_kernel(kernel, layer_input, own)
            halves.append(torch.where(inside_BT1, output, 0.0))
        layer_input = torch.cat(halves, dim=2) if bidirectional else halves[0]
        if between is not None and layer < layers - 1:
            layer_input = between(layer_input)
    return layer_input


def _run_kernel(
    kernel: Kernel, x_BTE: Tensor, weights: Sequence[Tensor], layers: int = 1, bidirectional: bool = False
) -> Tensor:
    h0 = x_BTE.new_zeros(layers * (2 if bidirectional else 1), x_BTE.shape[0], weights[1].shape[1])
    output_BTD: Tensor = kernel(
        x_BTE, h0, list(weights), has_biases=True, num_layers=layers, dropout=0.0, train=torch.is_grad_enabled(),
        bidirectional=bidirectional, batch_first=True)[0]
    return output_BTD


def dropped_out(values: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Return the values after dropout: a share of them is 0, and the rest is scaled to keep the mean.

    Args:
        values: Any shape.
        share: Share of the values that is set to 0.
        generator: Source of the mask.
    """
    if share == 0.0:
        return values
    kept = torch.empty_like(values).bernoulli_(1 - share, generator=generator)
    return (values * kept).div_(1 - share)


def _drawn(bound: float, generator: torch.Generator, make: Callable[[], Module]) -> Module:
    """Return a torch module with parameters drawn uniformly in +-bound from `generator`, not from the global one."""
    with torch.device("meta"):
        module = make()
    for owner in module.modules():
        for name, meta in list(owner.named_parameters(recurse=False)):
            # Not `to_empty`, whose first call on a meta tensor loads half a second of torch's symbolic algebra.
            setattr(owner, name, nn.Parameter(torch.empty(meta.shape).uniform_(-bound, bound, generator=generator)))
    return module
