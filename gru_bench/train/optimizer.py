"""The optimizers: they move the weights of a model and, if word vectors are trained, the rows of a batch.

    adam   Adam (Kingma and Ba 2015). A weight decay adds the gradient of an L2 penalty to the gradient, as in torch.
    adamw  Adam with decoupled weight decay (Loshchilov and Hutter 2019): each step also multiplies a weight by
           1 - learning rate * decay.

A dense Adam would move the whole vector table at every step, and torch's Adam refuses sparse gradients. This one moves
only the rows of the words in the batch. The moments of a row do not change while its word is absent, and their bias
correction counts the batches that contained the word. So the first step of a rare word is as long as that of a frequent
word, and an absent word does not move by its old momentum, as it would with dense Adam.

Rows have no weight decay: it would shrink a word's vector more, the more batches contain the word.

Shapes: `V` rows of the table, `E` vector width, `U` distinct tokens of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from gru_bench.config import OptimizerName, TrainingConfig
from gru_bench.kernels import fused as kernels

RULES: Mapping[OptimizerName, Callable[..., object]] = {"adam": adam, "adamw": adamw}
"""Name of an optimizer -> the function of torch that moves the weights."""
EPSILON = 1e-8
AVERAGED_EVERY = 10
"""Iterations between two updates of the average of the weights. An update moves all rows of the table."""
_PIECE = 1_000_000
"""Values that are exchanged with those of the average at a time."""


class Optimizer:
    """One of the optimizers over weights and vector rows."""

    def __init__(
        self, model: nn.Module, table_VE: Tensor | None, training: TrainingConfig, *, fused: bool = False
    ) -> None:
        """Start with zero moments.

        Args:
            model: Model whose parameters are trained.
            table_VE: Word vectors, which are trained in place. None where they are frozen.
            training: Name and settings of the optimizer.
            fused: Whether the fused kernel moves the rows, which needs a CPU.
        """
        self.parameters: list[Tensor] = [weight for weight in model.parameters() if weight.requires_grad]
        self.training, self.lr, self.fused = training, training.lr, fused
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]
        """Number of steps of each parameter."""
        self.table_VE = table_VE
        self.rows: dict[str, Tensor] = {}
        """Moments and numbers of steps of the rows. Empty where the vectors are frozen."""
        if table_VE is not None:
            self.rows = {
                "first": torch.zeros_like(table_VE), "second": torch.zeros_like(table_VE),
                "steps": torch.zeros(len(table_VE), 1, device=table_VE.device)}
        self.trained = self.parameters if table_VE is None else [*self.parameters, table_VE]
        self.average = [torch.zeros_like(values) for values in self.trained] if training.average else []
        """Moving average of everything that is trained, without a bias towards 0: the first update is a copy."""

    @torch.no_grad()
    def step(self, distinct_U: Tensor, rows_UE: Tensor) -> None:
        """Do one step with the gradients of the parameters and of `rows_UE`, and clear the gradients.

        A parameter without a gradient stays as it is, even with a weight decay: the loss does not reach it.

        Args:
            distinct_U: Rows of the vector table in the batch, each once.
            rows_UE: Vectors of these rows, with their gradient.
        """
        training = self.training
        reached = [place for place, weight in enumerate(self.parameters) if weight.grad is not None]
        parameters, first, second, steps = (
            [of_all[place] for place in reached]
            for of_all in (self.parameters, self.first, self.second, self.steps))
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        # torch.optim.Adam(fused=True) calls the same, but doubles its time on a small model, and its first step loads
        # torch's compiler for half a second.
        RULES[training.optimizer](
            parameters, gradients, first, second, [], steps, fused=True, lr=self.lr, beta1=training.beta1,
            beta2=training.beta2, weight_decay=training.weight_decay, eps=EPSILON, amsgrad=False, maximize=False)
        for parameter in parameters:
            parameter.grad = None
        if self.table_VE is not None and rows_UE.grad is not None:
            move = kernels.adam_rows if self.fused else adam_rows
            move(distinct_U, rows_UE.grad.contiguous(), self.table_VE, *self.rows.values(), lr=self.lr,
                 betas=(training.beta1, training.beta2), epsilon=EPSILON)
        if self.average and int(max(self.steps)) % AVERAGED_EVERY == 0:
            share = _gained(training.average, 1) / _gained(training.average, self._updates)
            for average, values in zip(self.average, self.trained, strict=True):
                average.lerp_(values, share)

    @property
    def _updates(self) -> int:
        return int(max(self.steps)) // AVERAGED_EVERY if self.average else 0

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average in the place of the weights and rows within a `with` block, if there is one."""
        if not self._updates:
            yield
            return
        _swap(self.trained, self.average)
        try:
            yield
        finally:
            _swap(self.trained, self.average)

    def state_dict(self) -> dict[str, Any]:
        """Return all moments, and the average, as tensors."""
        state: dict[str, Any] = {
            "first": self.first, "second": self.second, "steps": self.steps, "rows": self.rows}
        if self.average:
            state["average"] = self.average
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state that `state_dict` returned, in place."""
        for own, stored in ((self.first, state["first"]), (self.second, state["second"]), (self.steps, state["steps"]),
                            (self.average, state.get("average", []))):
            for values, source in zip(own, stored, strict=True):
                values.copy_(source)
        for name, values in self.rows.items():
            values.copy_(state["rows"][name])


def _gained(decay: float, updates: int) -> float:
    """Return the share of an average that starts at 0 that its updates make up (Kingma and Ba 2015, section 3)."""
    return float(1 - decay ** (AVERAGED_EVERY * updates))


@torch.no_grad()
def _swap(some: list[Tensor], others: list[Tensor]) -> None:
    """Exchange the values of two lists of tensors in place, in pieces, so that they need no second copy."""
    for one, other in zip(some, others, strict=True):
        for piece, other_piece in zip(torch.split(one.view(-1), _PIECE), torch.split(other.view(-1), _PIECE),
                                      strict=True):
            kept = piece.clone()
            piece.copy_(other_piece)
            other_piece.copy_(kept)


def adam_rows(
    distinct_U: Tensor, gradient_UE: Tensor, table_VE: Tensor, first_VE: Tensor, second_VE: Tensor, steps_V: Tensor,
    *, lr: float, betas: tuple[float, float], epsilon: float,
) -> None:
    """Do one step of Adam on rows of a table, in place. The arguments are those of `kernels.fused.adam_rows`, which
    computes the same."""
    beta1, beta2 = betas
    steps_U = steps_V[distinct_U] + 1
    first_UE = first_VE[distinct_U].lerp_(gradient_UE, 1 - beta1)
    second_UE = second_VE[distinct_U].mul_(beta2).addcmul_(gradient_UE, gradient_UE, value=1 - beta2)
    steps_V[distinct_U], first_VE[distinct_U], second_VE[distinct_U] = steps_U, first_UE, second_UE
    root_UE = (second_UE / (1 - beta2 ** steps_U)).sqrt_().add_(epsilon)
    rows_UE = table_VE[distinct_U] - lr * (first_UE / (1 - beta1 ** steps_U)) / root_UE
    table_VE[distinct_U] = torch.where(distinct_U[:, None] == 0, 0.0, rows_UE)
