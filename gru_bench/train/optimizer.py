"""The optimizer: Adam over the weights of a model and, if word vectors are trained, over the rows of a batch.

A dense Adam would move the whole vector table at every step, and torch's Adam refuses sparse gradients. This one moves
only the rows of the words in the batch. The moments of a row do not change while its word is absent, and their bias
correction counts the batches that contained the word. So the first step of a rare word is as long as that of a frequent
word, and an absent word does not move by its old momentum, as it would with dense Adam.

Shapes: `V` rows of the table, `E` vector width, `U` distinct tokens of a batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.kernels import fused as kernels

EPSILON = 1e-8


class Optimizer:
    """Adam over weights and vector rows, with one gradient norm for clipping both."""

    def __init__(
        self, model: nn.Module, table_VE: Tensor | None, *, lr: float, betas: tuple[float, float],
        clip_norm: float | None, fused: bool = False,
    ) -> None:
        """Start with zero moments.

        Args:
            model: Model whose parameters are trained.
            table_VE: Word vectors, which are trained in place. None where they are frozen.
            lr: Learning rate.
            betas: Decay of the first and of the second moment per step.
            clip_norm: Largest norm of all gradients together. None: no clipping.
            fused: Whether the fused kernel moves the rows, which needs a CPU.
        """
        self.parameters: list[Tensor] = list(model.parameters())
        self.lr, self.betas, self.clip_norm = lr, betas, clip_norm
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = torch.zeros((), device=self.parameters[0].device)
        self.rows = None if table_VE is None else RowAdam(table_VE, lr=lr, betas=betas, fused=fused)

    def set_rate(self, lr: float) -> None:
        """Set the learning rate of the next steps."""
        self.lr = lr
        if self.rows is not None:
            self.rows.lr = lr

    @torch.no_grad()
    def step(self, distinct_U: Tensor, rows_UE: Tensor) -> None:
        """Do one step with the gradients of the parameters and of `rows_UE`, and clear the gradients.

        Args:
            distinct_U: Rows of the vector table in the batch, each once.
            rows_UE: Vectors of these rows, with their gradient.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.clip_norm is not None:
            clipped = gradients if rows_UE.grad is None else [*gradients, rows_UE.grad]
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(clipped)))
            torch._foreach_mul_(clipped, (self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        self.steps += 1
        # torch.optim.Adam(fused=True) calls the same function, but doubles its time on a small model, and its first
        # step loads torch's compiler for half a second.
        torch._fused_adam_(
            self.parameters, gradients, self.first, self.second, [], [self.steps] * len(gradients), lr=self.lr,
            beta1=self.betas[0], beta2=self.betas[1], weight_decay=0.0, eps=EPSILON, amsgrad=False, maximize=False)
        for parameter in self.parameters:
            parameter.grad = None
        if self.rows is not None and rows_UE.grad is not None:
            self.rows.step(distinct_U, rows_UE.grad)

    def state_dict(self) -> dict[str, Any]:
        """Return all moments as tensors."""
        state: dict[str, Any] = {"first": self.first, "second": self.second, "steps": self.steps}
        if self.rows is not None:
            state["rows"] = self.rows.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state that `state_dict` returned, in place."""
        torch._foreach_copy_([*self.first, *self.second, self.steps],
                             [*state["first"], *state["second"], state["steps"]])
        if self.rows is not None:
            self.rows.load_state_dict(state["rows"])


class RowAdam:
    """Adam (Kingma and Ba 2015, algorithm 1) on the rows of a table that a batch contains. Row 0 stays zero."""

    def __init__(self, table_VE: Tensor, *, lr: float, betas: tuple[float, float], fused: bool = False) -> None:
        """Start with zero moments for each row of `table_VE`, which is changed in place. The arguments are
        `Optimizer`'s."""
        self.table_VE = table_VE
        self.lr, (self.beta1, self.beta2), self.fused = lr, betas, fused
        self.first_VE = torch.zeros_like(table_VE)
        self.second_VE = torch.zeros_like(table_VE)
        self.steps_V = torch.zeros(len(table_VE), 1, device=table_VE.device)

    @torch.no_grad()
    def step(self, distinct_U: Tensor, gradient_UE: Tensor) -> None:
        """Do one step on the rows `distinct_U`, each listed once, with their gradients."""
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
        """Return the table, its moments and its step counts."""
        return {"table": self.table_VE, "first": self.first_VE, "second": self.second_VE, "steps": self.steps_V}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load a state that `state_dict` returned, in place."""
        for name, own in self.state_dict().items():
            own.copy_(state[name])
