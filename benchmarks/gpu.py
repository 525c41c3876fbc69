"""Whether the three GRUs train on a GPU as they do on a CPU, and how fast.

    python benchmarks/gpu.py                             on a machine with an NVIDIA GPU, some minutes
    python benchmarks/gpu.py --device cpu --limit 100    a trial of this script without one

Each model is trained on the same movie reviews, on the device by torch's kernel and on one core of the CPU by ours.
Both compute products in float32, but add in another order. Where the training loss of an epoch differs by more than
`TOLERANCE`, the exit code is 1. Without the device it is 2.

The speed is that of the last epoch, in tokens per second, because the first one loads the kernels.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

TOLERANCE = 2e-3
"""Largest difference of a training loss, in nats per review. It grows over the steps from the rounding of float32."""
MODELS = ("scratch", "torch", "bidirectional")


def config_of(model: str, device: str, backend: str, limit: int) -> Any:
    """Return the settings of a run."""
    from gru_bench.config import RunConfig, with_settings

    return with_settings(RunConfig(), {
        "data.limit": limit, "embedding.name": "random", "embedding.trainable": True, "model.name": model,
        "model.backend": backend, "model.layers": 2, "model.pooling": "mean", "training.batch_size": 32,
        "training.device": device, "training.epochs": 2, "training.threads": 1})


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each model, and return the exit code."""
    parser = argparse.ArgumentParser(description="Train the three GRUs on a GPU and on the CPU, and compare them.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default cuda)")
    parser.add_argument("--limit", type=int, default=8_000, help="reviews, before they are split (default 8000)")
    asked = parser.parse_args(arguments)

    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.errors import UsageError
    from gru_bench.train.loop import train
    from gru_bench.train.placement import choose_device

    try:
        choose_device(asked.device)
    except UsageError as error:
        print(f"error: {error}; --device cpu tries the script without a GPU", file=sys.stderr)
        return 2
    data = config_of(MODELS[0], "cpu", "auto", asked.limit)
    corpus = load_corpus(data.data)
    vectors = load_vectors(data.embedding, corpus)
    print(f"{'model':14} {'largest difference':>18} {'tokens/s':>10} {'on a core':>10}")
    differs = False
    for model in MODELS:
        on_cpu = train(config_of(model, "cpu", "auto", asked.limit), corpus, vectors)
        there = train(config_of(model, asked.device, "torch", asked.limit), corpus, vectors)
        difference = max(abs(one.train_loss - other.train_loss)
                         for one, other in zip(there.epochs, on_cpu.epochs, strict=True))
        differs = differs or not difference <= TOLERANCE
        print(f"{model:14} {difference:18.1e} {there.epochs[-1].tokens_per_second:10,.0f} "
              f"{on_cpu.epochs[-1].tokens_per_second:10,.0f}", flush=True)
    print(", ".join(there.card.values()) or f"no GPU: {there.device}")
    if differs:
        print(f"error: a training loss must differ by at most {TOLERANCE:g} nats per review", file=sys.stderr)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
