"""The GRU from scratch: its equations in plain torch.

x is the input at one step, h the state before the step, and h' the state after it:

    r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)                reset gate
    z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)                update gate
    n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))             candidate, reset after the product
    n  = tanh(W_in x + b_in + W_hn (r * h) + b_hn)             candidate, reset before the product
    h' = z * h + (1 - z) * n

Reset before the product is the form of Cho et al. 2014, equations 5-8. Reset after the product is the form of cuDNN and
PyTorch, and the only one that can match `torch.nn.GRU` weight for weight. Cho et al. use the same sign of z. Texts that
write h' = (1 - z) * h + z * n swap z and 1 - z, which is the same model with the weights of the update gate negated.

Shapes: `B` sequences, `H` hidden width, `G` = 3H. Weights have the layout of `torch.nn.GRU`: their rows belong to the
gates r, z, n, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from gru_bench.config import Reset
from gru_bench.kernels.fused import fused_gru
from gru_bench.models.recurrence import Cell


def gates(
    input_gates_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor, reset: Reset
) -> tuple[Tensor, Tensor, Tensor]:
    """Return r, z and n of one step, each B x H.

    Args:
        input_gates_BG: W_i x + b_i for the three gates.
        h_BH: State before the step.
        weight_hh: Hidden weights, 3H x H.
        bias_hh: Hidden biases, 3H.
        reset: Whether the reset gate acts after or before the hidden product.
    """
    r_in, z_in, n_in = input_gates_BG.chunk(3, dim=1)
    if reset == "after":
        r_h, z_h, n_h = (h_BH @ weight_hh.T + bias_hh).chunk(3, dim=1)
        r, z = torch.sigmoid(r_in + r_h), torch.sigmoid(z_in + z_h)
        n = torch.tanh(n_in + r * n_h)
    else:
        w_r, w_z, w_n = weight_hh.chunk(3)
        b_r, b_z, b_n = bias_hh.chunk(3)
        r, z = torch.sigmoid(r_in + h_BH @ w_r.T + b_r), torch.sigmoid(z_in + h_BH @ w_z.T + b_z)
        n = torch.tanh(n_in + (r * h_BH) @ w_n.T + b_n)
    return r, z, n


def step(input_gates_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor, reset: Reset) -> Tensor:
    """Return the state after one step. The arguments are those of `gates`."""
    _, z, n = gates(input_gates_BG, h_BH, weight_hh, bias_hh, reset)
    return z * h_BH + (1 - z) * n


def _cell(reset: Reset) -> Cell:
    return Cell(
        step=partial(step, reset=reset),
        rows=3,
        torch=torch.gru if reset == "after" else "torch has no GRU whose reset gate acts before the product",
        fused=partial(fused_gru, reset=reset),
        module=nn.GRU if reset == "after" else None,
        gates=partial(gates, reset=reset))


CELLS: Mapping[Reset, Cell] = {"after": _cell("after"), "before": _cell("before")}
