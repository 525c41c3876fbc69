"""The training loss: the negative log-likelihood of a batch, weighted by class.

Shapes: `B` texts of a batch, `C` classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from gru_bench.data.corpus import Corpus


def training_loss(log_BC: Tensor, label_B: Tensor, weight_C: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the mean loss in nats per text twice: as it is logged, and as its gradient trains a model.

    Args:
        log_BC: Log-probabilities.
        label_B: Position of the class of each text.
        weight_C: Weight of the texts of each class.
    """
    loss = nll_loss(log_BC, label_B)
    if weight_C is None:
        return loss, loss
    # The sum is divided by the number of texts, not by their weights, so that micro-batches stay equal.
    return loss, (nll_loss(log_BC, label_B, reduction="none") * weight_C[label_B]).mean()


def balanced(corpus: Corpus) -> Tensor:
    """Return the weight of each class, n / (K n_k); 0 for a class without training texts."""
    count_C = np.bincount(corpus.train.label_N, minlength=len(corpus.classes))
    weight_C = np.divide(len(corpus.train), len(count_C) * count_C, out=np.zeros(len(count_C)), where=count_C > 0)
    return torch.from_numpy(weight_C.astype(np.float32))
