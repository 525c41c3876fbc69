"""Adam over a model's weights and, where the word vectors are trained, over the distinct rows of a batch.

A dense Adam would move all of the vector table at every step, and torch's refuses sparse gradients. Here only
the rows of the words in a batch are touched: a row's moments rest while its word is absent, and their bias
correction counts the batches that held the word. So a rare word's first step is as long as a common word's,
and a word that is absent is not carried on by its old momentum, as dense Adam would.

Shapes: `V` rows of the table, `E` vector width, `U` distinct tokens of a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.kernels import fused as kernels

EPSILON = 1e-8


class Optimizer:
    """One step over weights and rows together, with one norm for clipping."""

    def __init__(
        self, model: nn.Module, table_VE: Tensor | None, *, lr: float, betas: tuple[float, float],
        clip_norm: float | None, fused: bool = False,
    ) -> None:
        """Prepare the moments.

        Args:
            model: whose parameters are stepped.
            table_VE: word vectors to train in place, or None where they are frozen.
            lr: step size.
            betas: decay of the first and second moment, per step.
            clip_norm: largest norm of all gradients together; None means no clipping.
            fused: whether rows are moved by the kernel, on a processor.
        """
        self.parameters: list[Tensor] = list(model.parameters())
        self.lr, self.betas, self.clip_norm = lr, betas, clip_norm
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)
        self.rows = None if table_VE is None else RowAdam(table_VE, lr=lr, betas=betas, fused=fused)

    def set_rate(self, lr: float) -> None:
        """Take steps of size `lr` from now on."""
        self.lr = lr
        if self.rows is not None:
            self.rows.lr = lr

    @torch.no_grad()
    def step(self, distinct_U: Tensor, rows_UE: Tensor) -> None:
        """Apply the gradients that lie on the parameters and on `rows_UE`, and clear them."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.clip_norm is not None:
            clipped = gradients if rows_UE.grad is None else [*gradients, rows_UE.grad]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(clipped)))
            torch._foreach_mul_(clipped, (self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        self.steps += 1
        # What torch.optim.Adam(fused=True) calls; around it, the class spends as long again on a small model, and
        # its first step loads half a second of torch's compiler.
        torch._fused_adam_(
            self.parameters, gradients, self.first, self.second, [], [self.steps] * len(gradients), lr=self.lr,
            beta1=self.betas[0], beta2=self.betas[1], weight_decay=0.0, eps=EPSILON, amsgrad=False, maximize=False)
        for parameter in self.parameters:
            parameter.grad = None
        if self.rows is not None and rows_UE.grad is not None:
            self.rows.step(distinct_U, rows_UE.grad)

    def state_dict(self) -> dict[str, Any]:
        """Return all moments, as tensors."""
        state: dict[str, Any] = {"first": self.first, "second": self.second, "steps": self.steps}
        if self.rows is not None:
            state["rows"] = self.rows.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, in place."""
        torch._foreach_copy_([*self.first, *self.second, self.steps],
                             [*state["first"], *state["second"], state["steps"]])
        if self.rows is not None:
            self.rows.load_state_dict(state["rows"])


class RowAdam:
    """Adam (Kingma and Ba 2015, algorithm 1) on the rows of a table that a batch holds; row 0 stays zero."""

    def __init__(self, table_VE: Tensor, *, lr: float, betas: tuple[float, float], fused: bool = False) -> None:
        """Start with zero moments for each row of `table_VE`, which is changed in place; `fused`: by the kernel."""
        self.table_VE = table_VE
        self.lr, (self.beta1, self.beta2), self.fused = lr, betas, fused
        self.first_VE = torch.zeros_like(table_VE)
        self.second_VE = torch.zeros_like(table_VE)
        self.steps_V = torch.zeros(len(table_VE), 1, device=table_VE.device)

    @torch.no_grad()
    def step(self, distinct_U: Tensor, gradient_UE: Tensor) -> None:
        """Move the rows `distinct_U`, each named once, against their gradients."""
        if self.fused:
            kernels.adam_rows(
                distinct_U, gradient_UE.contiguous(), self.table_VE, self.first_VE, self.second_VE, self.steps_V,
                lr=self.lr, betas=(self.beta1, self.beta2), epsilon=EPSILON)
            return
        steps_U = self.steps_V[distinct_U] + 1
        first_UE = self.first_VE[distinct_U].lerp_(gradient_UE, 1 - self.beta1)
        second_UE = self.second_VE[distinct_U].mul_(self.beta2).addcmul_(
            gradient_UE, gradient_UE, value=1 - self.beta2)
        self.steps_V[distinct_U], self.first_VE[distinct_U], self.second_VE[distinct_U] = (
            steps_U, first_UE, second_UE)
        root_UE = (second_UE / (1 - self.beta2 ** steps_U)).sqrt_().add_(EPSILON)
        rows_UE = self.table_VE[distinct_U] - self.lr * (first_UE / (1 - self.beta1 ** steps_U)) / root_UE
        self.table_VE[distinct_U] = torch.where(distinct_U[:, None] == 0, 0.0, rows_UE)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the table with its moments and step counts."""
        return {"table": self.table_VE, "first": self.first_VE, "second": self.second_VE, "steps": self.steps_V}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` returned, in place."""
        for name, own in self.state_dict().items():
            own.copy_(state[name])
