"""The words behind a decision: a text is read again without each of them (Zeiler and Fergus 2014; Li et al. 2016).

Shapes: `B` texts, `C` classes, `T` tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def occlusion(
    read: Callable[[Sequence[Sequence[int]]], Tensor], rows: Sequence[int], label: int, most: int | None = None
) -> Tensor:
    """Return, for each token of a text, the loss of log-odds of a class if the token is left out, T.

    Args:
        read: Returns the log-probabilities, B x C, of texts of one length, which are rows of the vector table.
        rows: The row of each token that is read. Without its only token, a text is one step of padding, row 0.
        label: Position of the class.
        most: Largest number of tokens that are left out in turn, from the start. None: all.
    """
    without = [[*rows[:place], *rows[place + 1:]] or [0] for place in range(len(rows[:most]))]
    if not without:
        return torch.zeros(0)
    return log_odds(read([rows]), label) - log_odds(read(without), label)


def log_odds(log_BC: Tensor, label: int) -> Tensor:
    """Return the log-odds of a class against all others, B: log p less the logarithm of the rest."""
    others = [place for place in range(log_BC.shape[1]) if place != label]
    return log_BC[:, label] - log_BC[:, others].logsumexp(dim=1)
