"""The network of a run: before its first step, restored from its weights, and what it predicts.

Shapes: `V` rows of the vector table, `E` vector width, `U` distinct tokens of a batch, `B` examples of a batch,
`T` steps, `N` examples of a split, `C` classes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.batches import Encoded, make_batches, scoring_plan
from gru_bench.errors import DataError
from gru_bench.kernels import fused as kernels
from gru_bench.models.backends import Backend
from gru_bench.models.classifier import Classifier
from gru_bench.models.trained import TABLE, TrainedModel
from gru_bench.stats.metrics import of_two

SCORED_TOKENS = 32_768
"""Largest number of tokens, padding included, in a batch that is scored. Without a backward pass, it needs no more
memory than a micro-batch in training."""


def seed_of(config: RunConfig, *purpose: object) -> int:
    """Return the seed of one stream of random numbers. Each model, purpose and epoch has its own stream."""
    text = ":".join(map(str, (config.seed, config.model.name, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def untrained(config: RunConfig, table_VE: Tensor, classes: int = 2) -> Classifier:
    """Return the model of a run before its first step, for these word vectors and so many classes."""
    return Classifier(config.model, table_VE, torch.Generator().manual_seed(seed_of(config, "weights")), classes,
                      trainable=config.embedding.trainable)


def restored(trained: TrainedModel, place: int = 0) -> Classifier:
    """Return the network of a trained model, for the seed at a position.

    Raises:
        DataError: where the weights do not fit the settings, or the vectors do not fit the words.
    """
    def tensor(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.require(values, np.float32, "W"))  # without a copy, unless the values are mapped

    seed, table_VE = trained.seeds[place], tensor(trained.table(place))
    if len(table_VE) != len(trained.words_V):
        raise DataError(f"the seed {seed} must have a vector for each of the {len(trained.words_V):,} words, but has "
                        f"{len(table_VE):,}: train or save the model again")
    try:
        network = untrained(with_settings(trained.config, {"embedding.trainable": False}), table_VE,
                            len(trained.classes))
        network.load_state_dict({name: tensor(values) for name, values in trained.weights_S[place].items()
                                 if name != TABLE})
    except RuntimeError as error:
        raise DataError(f"the weights of seed {seed} must fit the model's settings, but do not "
                        f"({str(error).splitlines()[-1].strip()}): train or save the model again") from error
    return network


@kernels.flushed(torch_threads=True)
def predict(
    model: Classifier, encoded: Encoded, *, backend: Backend, tokens: int = SCORED_TOKENS,
) -> NDArray[np.float32]:
    """Return the probabilities of the examples of a split, in its order, N x C.

    Args:
        model: The model.
        encoded: The examples.
        backend: Backend that computes the model.
        tokens: Largest number of tokens, padding included, in a batch.
    """
    model.eval()
    device, classes = model.table_VE.device, model.linear.out_features
    plan = scoring_plan(encoded, tokens)
    # In the order of the plan: each batch is written where the one before it ends.
    ordered_NC = torch.empty((len(encoded), classes), device=device)
    start = 0
    with torch.inference_mode():
        for batch in make_batches(encoded, plan):
            there = batch.to(device)
            rows_UE = model.table_VE.index_select(0, there.distinct_U)
            log_BC = model(rows_UE, there.index_BT, there.length_B, backend=backend, equal_lengths=there.equal_lengths)
            ordered_NC[start:start + len(batch)] = log_BC.exp()
            start += len(batch)
    kernels.release()
    probability_NC = np.empty((len(encoded), classes), np.float32)
    probability_NC[np.concatenate([np.zeros(0, np.int64), *plan])] = ordered_NC.cpu().numpy()
    return of_two(probability_NC[:, 1]) if classes == 2 else probability_NC
