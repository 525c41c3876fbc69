"""`GRU`: the fused kernel in place of `torch.nn.GRU`, with the same arguments, parameters and results.

Shapes: T steps, B sequences, N tokens of all sequences, E input width, H hidden units, D = H * directions,
S = layers * directions.
"""

from __future__ import annotations

from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence

from gru_bench.kernels.fused import fused_gru_states, unavailable

__all__ = ["GRU"]


class GRU(nn.GRU):
    """`torch.nn.GRU` whose forward and backward pass the fused kernel computes, in float32 on a CPU.

    Everything but the computation is torch's own: arguments, parameters, initial values, state dicts, errors. Outputs
    and gradients differ from torch's by rounding alone. Dropout between layers has the same distribution, but draws
    other numbers. Where the kernel cannot compute a call, torch does, and `fallback_reason` says why. There are no
    second derivatives: for a gradient penalty, take `torch.nn.GRU`. `torch.jit.script` cannot read this module.
    """

    fallback_reason: str | None = "the module has not been called yet."
    """Why torch computed the last call, as a sentence. None: the kernel computed it."""

    @overload
    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    @overload
    def forward(self, input: PackedSequence, hx: Tensor | None = None) -> tuple[PackedSequence, Tensor]: ...

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Return the outputs of the last layer, and the last state of each layer, direction and sequence.

        Args:
            input: Padded (T, B, E), or (B, T, E) if `batch_first`, or one sequence (T, E), or packed sequences.
            hx: States before the first step (S, B, H), or (S, H) for one sequence. None: zeros.

        Raises:
            ValueError: as torch.nn.GRU does.
            RuntimeError: as torch.nn.GRU does.
        """
        self.fallback_reason = self._reason(input, hx)
        if self.fallback_reason is not None:
            by_torch: tuple[Tensor | PackedSequence, Tensor] = super().forward(input, hx)
            return by_torch
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        if input.dim() == 2:
            batch_dim = 0 if self.batch_first else 1
            output, state = self._padded(input.unsqueeze(batch_dim), None if hx is None else hx.unsqueeze(1))
            return output.squeeze(batch_dim), state.squeeze(1)
        return self._padded(input, hx)

    def _reason(self, input: Tensor | PackedSequence, hx: Tensor | None) -> str | None:
        """Return None if the kernel can compute this call, or else the reason as a sentence."""
        # torch exports the second without a type.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return "torch.compile, torch.export and torch.jit cannot look into the kernel."
        reason = unavailable()
        if reason is not None:
            return reason
        x = input.data if isinstance(input, PackedSequence) else input
        given = [x, *(weight for own in self.all_weights for weight in own)]
        if hx is not None:
            given.append(hx)
        for tensor in given:
            if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
                return f"the kernel takes plain tensors, but was given a {type(tensor).__name__} ({tensor.layout})."
            if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
                return f"the kernel takes float32 on a CPU, but was given {tensor.dtype} on {tensor.device}."
        if torch.is_autocast_enabled("cpu"):
            return "the kernel does not follow torch.autocast."
        # torch has no public way to ask for the first. tests/kernels/test_module.py notices if it goes.
        if torch._C._are_functorch_transforms_active() or any(
                forward_ad.unpack_dual(tensor).tangent is not None for tensor in given):
            return "the kernel has no transforms of torch.func and no forward-mode derivatives."
        if isinstance(input, Tensor) and (x.dim() not in (2, 3) or (hx is not None and hx.dim() != x.dim())):
            return "the input and the states do not fit."  # torch says how
        if x.numel() == 0:
            return "the input is empty."
        return None

    def _padded(self, x: Tensor, h0_SBH: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run on sequences of one length, x (T, B, E) or (B, T, E)."""
        self._check(x, h0_SBH, None)
        one, other, inputs = x.shape
        index = torch.arange(one * other).view(one, other)
        index_BT = index if self.batch_first else index.t()
        batch, steps = index_BT.shape
        output_ND, state_SBH = self._run(
            x.reshape(one * other, inputs), index_BT, torch.full((batch,), steps), h0_SBH)
        output = output_ND.view(batch, steps, -1)
        if not self.batch_first:
            output = output.transpose(0, 1)
        # A copy also if the order is right: the gradient needs the values, and a caller may overwrite his.
        return output.clone(memory_format=torch.contiguous_format), state_SBH

    def _packed(self, packed: PackedSequence, h0_SBH: Tensor | None) -> tuple[PackedSequence, Tensor]:
        """Run on packed sequences. The kernel orders tokens by sequence, a packed batch by step."""
        x_NE, sizes_T, sorted_B, unsorted_B = packed
        if h0_SBH is not None:
            h0_SBH = self.permute_hidden(h0_SBH, sorted_B)
        self._check(x_NE, h0_SBH, sizes_T)
        tokens = _packed_tokens(sizes_T)
        output_ND, state_SBH = self._run(x_NE, tokens.index_BT, tokens.lengths_B, h0_SBH)
        output = _reordered(output_ND, tokens.order_N, tokens.inverse_N)
        return PackedSequence(output, sizes_T, sorted_B, unsorted_B), self.permute_hidden(state_SBH, unsorted_B)

    def _check(self, x: Tensor, h0_SBH: Tensor | None, sizes_T: Tensor | None) -> None:
        """Raise torch's own error for what does not fit."""
        self.check_input(x, sizes_T)
        if h0_SBH is not None:
            self.check_hidden_size(h0_SBH, self.get_expected_hidden_size(x, sizes_T))

    def _run(
        self, rows_NE: Tensor, index_BT: Tensor, lengths_B: Tensor, h0_SBH: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return output_ND, sequence after sequence, and state_SBH."""
        zeros = rows_NE.new_zeros(3 * self.hidden_size)
        weights = [weight for own in self.all_weights for weight in (own if self.bias else (*own, zeros, zeros))]
        drops = self.training and self.dropout > 0
        return fused_gru_states(
            rows_NE, index_BT, lengths_B, weights, bidirectional=self.bidirectional, initial_SBH=h0_SBH,
            between=(lambda x_ND: nn.functional.dropout(x_ND, self.dropout)) if drops else None)


class _PackedTokens(NamedTuple):
    """The tokens of a packed batch.

    order_N is the number of each packed token when they are numbered sequence after sequence, inverse_N its inverse.
    """

    index_BT: Tensor
    lengths_B: Tensor
    order_N: Tensor
    inverse_N: Tensor


def _packed_tokens(sizes_T: Tensor) -> _PackedTokens:
    """Return the tokens of a packed batch, from its number of sequences at each step."""
    number_B, step_T1 = torch.arange(int(sizes_T[0])), torch.arange(len(sizes_T)).unsqueeze(1)
    inside_TB = number_B < sizes_T.unsqueeze(1)
    lengths_B = inside_TB.sum(0)
    packed_TB = (sizes_T.cumsum(0) - sizes_T).unsqueeze(1) + number_B
    order_N = (lengths_B.cumsum(0) - lengths_B + step_T1)[inside_TB]
    return _PackedTokens(packed_TB.t(), lengths_B, order_N, packed_TB.t()[inside_TB.t()])


class _Reordered(torch.autograd.Function):
    """The rows of a matrix in another order. The gradient of `index_select` would add them up one by one."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, order_N: Tensor, inverse_N: Tensor) -> Tensor:
        ctx.back = inverse_N, order_N
        return x_ND.index_select(0, order_N)

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, None, None]:
        return _reordered(grad_ND, *ctx.back), None, None


def _reordered(x_ND: Tensor, order_N: Tensor, inverse_N: Tensor) -> Tensor:
    result: Tensor = _Reordered.apply(x_ND, order_N, inverse_N)  # type: ignore[no-untyped-call]  # torch leaves it so
    return result
