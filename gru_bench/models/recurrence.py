"""The backends of a recurrence: what computes the states of a GRU or RNN over a batch.

    reference  the equations as `gru.py` and `rnn.py` write them, in a plain torch loop
    torch      the kernels of torch.nn.GRU and torch.nn.RNN (cuDNN on an NVIDIA card)
    fused      our kernel (kernels/), for a GRU on a CPU
    own        the user's own class (`own.py`), the only one of such a model

The first three compute the same function of the same weights, and differ by rounding.

Shapes: `U` distinct tokens of a batch, `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times
directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import embedding

from gru_bench.config import ModelConfig, Pooling, Reset
from gru_bench.errors import UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.models import own
from gru_bench.models.gru import GRU
from gru_bench.models.layers import Between, run_layers
from gru_bench.models.own import Own
from gru_bench.models.pooling import pool
from gru_bench.models.rnn import RNN

Backend = Literal["fused", "torch", "reference", "own"]
"""The backends, the fastest one first. `own` is chosen for a class of the user's own alone."""


def unsupported(backend: Backend, *, gated: bool, reset: Reset) -> str | None:
    """Return why a backend cannot compute a recurrence on any machine, as a clause. None where it can.

    Args:
        backend: The backend.
        gated: Whether the recurrence is a GRU. Otherwise it is a vanilla RNN.
        reset: Whether the reset gate acts after or before the hidden product.
    """
    if backend == "own":
        return "it is the backend of classes of your own"
    if backend == "torch" and reset == "before":
        return "torch has no GRU whose reset gate acts before the product"
    if backend == "fused" and not gated:
        return "it computes gates, and a vanilla RNN has none"
    return None


def check_model(config: ModelConfig) -> None:
    """Check that a model supports its settings.

    Raises:
        UsageError: where it does not, such as `reset` 'before' in nn.GRU.
    """
    preset = config.preset
    if preset.cell == "own":
        for setting, usual in (("reset", "after"), ("backend", "auto")):
            if (value := getattr(config, setting)) != usual:
                raise UsageError(f"model.{setting} must be left at {usual!r} for the model {config.name!r}, which is a "
                                 f"class of your own, but got {value!r}: leave it out")
        own.kind_of(config.name, config.source)
        return
    if preset.bidirectional and not config.is_bidirectional:
        raise UsageError(f"model.bidirectional must be true or left out for the model {config.name!r}, but got false: "
                         "choose a model that reads in one direction, such as 'torch'")
    if config.reset == "before" and preset.cell == "rnn":
        raise UsageError(f"model.reset must be left at 'after' for the model {config.name!r}, which has no reset gate, "
                         f"but got {config.reset!r}: leave it out")
    if config.reset == "before" and preset.from_torch:
        raise UsageError(f"model.reset must be 'after' for the model {config.name!r}, whose torch.nn.GRU has no "
                         f"other, but got {config.reset!r}: choose the model 'scratch'")


def choose_backend(config: ModelConfig, device: torch.device) -> Backend:
    """Return the backend that will run: the one in the settings, or for `auto` the fastest one that can.

    Raises:
        UsageError: where the model does not support a setting, or where the backend in the settings cannot run this
            model on this device. The message says why.
    """
    check_model(config)
    if config.preset.cell == "own":
        return "own"
    if config.backend == "auto":
        return next(backend for backend in get_args(Backend) if _cannot_run(backend, config, device) is None)
    if (reason := _cannot_run(config.backend, config, device)) is not None:
        raise UsageError(f"model.backend must be able to run here, but got {config.backend!r}: {reason}; "
                         "try model.backend=auto")
    return config.backend


def fallback(config: ModelConfig, device: torch.device) -> str | None:
    """Return the reason, as a sentence, why `auto` takes a slower backend than our kernel on this CPU. None where it
    does not."""
    if config.backend != "auto" or device.type != "cpu" or config.preset.cell != "gru":
        return None
    reason = kernels.unavailable()
    if reason is None:
        return None
    return f"training takes several times as long here, on the backend {choose_backend(config, device)!r}: {reason}"


def _cannot_run(backend: Backend, config: ModelConfig, device: torch.device) -> str | None:
    reason = unsupported(backend, gated=config.preset.cell == "gru", reset=config.reset)
    if reason is not None or backend != "fused":
        return reason
    return f"it runs on a CPU, not on {device.type}" if device.type != "cpu" else kernels.unavailable()


def run(
    recurrence: GRU | Own,
    backend: Backend,
    rows_UE: Tensor,
    index_BT: Tensor,
    length_B: Tensor,
    *,
    between: Between | None = None,
    pooling: Pooling | None = None,
    equal_lengths: bool = False,
) -> Tensor:
    """Run all layers of a recurrence on one of the backends.

    Args:
        recurrence: The recurrence.
        backend: Backend that runs.
        rows_UE: Vectors of the distinct tokens of the batch.
        index_BT: Row of `rows_UE` for each token. Entries beyond the length of a sequence have no effect.
        length_B: Number of tokens of each sequence, 1 to T, in any order.
        between: Function for the output of every layer except the last.
        pooling: Reduction of the output over time (`pool`).
        equal_lengths: Whether all sequences are known to have T tokens. A graphics card cannot find out without making
            the host wait.

    Returns:
        The output of the last layer, B x T x D, zero beyond each length, or with a `pooling` its features.

    Raises:
        ValueError: for a backend that cannot compute the recurrence.
    """
    output: Tensor
    if isinstance(recurrence, Own):
        output = recurrence(embedding(index_BT, rows_UE), length_B, between=between)
    elif reason := unsupported(backend, gated=not isinstance(recurrence, RNN), reset=recurrence.reset):
        raise ValueError(f"the backend must be able to compute this recurrence, but got {backend!r}: {reason}")
    elif backend == "fused":
        in_kernel = pooling if pooling in kernels.POOLINGS else None
        output = kernels.fused_gru(
            rows_UE, index_BT, length_B, list(recurrence.parameters()), bidirectional=recurrence.bidirectional,
            reset=recurrence.reset, between=between, pooling=in_kernel)
        if in_kernel is not None:
            return output
    elif backend == "torch":
        output = torch_layers(recurrence, embedding(index_BT, rows_UE), length_B, between=between,
                              equal_lengths=equal_lengths)
    else:
        output = recurrence(embedding(index_BT, rows_UE), length_B, between=between)
    if pooling is None:
        return output
    return pool(output, length_B, pooling, bidirectional=recurrence.bidirectional)


def torch_layers(
    recurrence: GRU, x_BTE: Tensor, length_B: Tensor, *, between: Between | None = None, equal_lengths: bool = False,
) -> Tensor:
    """Return the output of the last layer from one of torch's own kernels, without packing the sequences.

    It is the same function as a packed sequence's, without the loss of cuDNN's fastest algorithm. Without padding torch
    runs all layers and directions at once. The arguments are those of `run`.
    """
    # On a graphics card this check would make the host wait for the card.
    equal_lengths = equal_lengths or (length_B.device.type == "cpu" and int(length_B.min()) == x_BTE.shape[1])
    if equal_lengths and (between is None or recurrence.layers == 1):
        return _run_kernel(recurrence, x_BTE, list(recurrence.parameters()))

    def read(layer: int, direction: int, x_BTE: Tensor) -> Tensor:
        return _run_kernel(recurrence, x_BTE, recurrence.weights_of(layer, direction))

    return run_layers(read, x_BTE, length_B, layers=recurrence.layers, directions=recurrence.directions,
                      between=between)


def _run_kernel(recurrence: GRU, x_BTE: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Return the output of torch's kernel: of one layer and direction, or of all whose weights are given."""
    kernel = torch.rnn_tanh if isinstance(recurrence, RNN) else torch.gru
    one = len(weights) == 4
    h0 = x_BTE.new_zeros(len(weights) // 4, x_BTE.shape[0], recurrence.hidden_size)
    output_BTD: Tensor = kernel(
        x_BTE, h0, list(weights), has_biases=True, num_layers=1 if one else recurrence.layers, dropout=0.0,
        train=torch.is_grad_enabled(), bidirectional=recurrence.bidirectional and not one, batch_first=True)[0]
    return output_BTD
