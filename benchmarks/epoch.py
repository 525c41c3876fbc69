"""Time of one training epoch: ours against nn.GRU in a typical program.

    python benchmarks/epoch.py --reviews 2000     two minutes, on some of the reviews
    python benchmarks/epoch.py                    the whole default corpus, a quarter of an hour

Each contender trains the same classifier (hidden 100, frozen 300-d vectors, pooling `final`, clipping, Adam, B = 64)
on the same reviews once. The time is that of the training pass alone, from the request of the first batch to the last
update, on ids that are in memory already. Contenders:

    ours      gru_bench.train.loop.train on the fused backend
    packed    Dataset + DataLoader (shuffled, padded when collated) + nn.Embedding + packed nn.GRU

Before anything is timed, both must give the same probabilities and loss (to 1e-4) and the same gradient norm (to 1e-3
of itself) for the same weights and reviews. Each runs in a process of its own; they take turns; the ratio is the median
over rounds of packed / ours. With `--reviews` the times are those of that part of the reviews: nothing is extrapolated.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from contenders import PeerTrainer, Process, alternated, loader, peer_model, ratio, reviews_of, serve

from gru_bench.platforms import cores

CHECKED = 64
NAMES = ("ours", "packed")


def part(split: Any, count: int | None) -> Any:
    """Return `count` examples of a split, drawn by a fixed seed; all where it is None."""
    if count is None or count >= len(split):
        return split
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[:count])
    spans = [np.arange(split.offsets_N1[n], split.offsets_N1[n + 1]) for n in chosen]
    return replace(
        split, ids=split.ids[np.concatenate(spans)],
        offsets_N1=np.cumsum([0, *map(len, spans)]), label_N=split.label_N[chosen],
        example_id_N=split.example_id_N[chosen], category_N=split.category_N[chosen])


class Contender:
    """One way to train; lives in a process of its own."""

    def __init__(self, name: str, asked: dict[str, Any]) -> None:
        import torch

        from gru_bench.config import RunConfig, with_settings
        from gru_bench.data.batches import encode
        from gru_bench.data.corpus import load_corpus
        from gru_bench.data.vectors import load_vectors
        from gru_bench.models.classifier import Classifier

        self.is_ours, reviews = name == "ours", asked.pop("reviews")
        self.config = with_settings(
            RunConfig(), {"training.epochs": 1, "training.device": "cpu", "model.backend": "fused", **asked})
        corpus = load_corpus(self.config.data)
        self.vectors = load_vectors(self.config.embedding, corpus)
        few = part(corpus.validation, CHECKED)
        self.corpus = replace(corpus, train=part(corpus.train, reviews), validation=few)
        self.few = encode(few, self.vectors, self.config.data.max_length)
        table_VE = torch.from_numpy(np.array(self.vectors.table_VE))
        self.model = Classifier(self.config.model, table_VE, torch.Generator().manual_seed(0))
        self.weights = list(self.model.parameters())
        if not self.is_ours:
            peer = peer_model(self.config, self.vectors.table_VE)
            own = [*peer.gru.parameters(), *peer.linear.parameters()]
            with torch.no_grad():
                for values, drawn in zip(own, self.weights, strict=True):
                    values.copy_(drawn)
            self.model, self.weights = peer, own
            self.reviews = reviews_of(encode(self.corpus.train, self.vectors, self.config.data.max_length))
        self.round = 0

    def check(self) -> dict[str, Any]:
        """Return probabilities, loss and gradient of a few reviews before training."""
        import torch

        from gru_bench.data.batches import make_batches

        self.model.eval()
        if self.is_ours:
            (batch,) = make_batches(self.few, [np.arange(len(self.few))])
            rows = self.model.table_VE[batch.distinct_U]
            log = self.model(rows, batch.index_BT, batch.length_B, backend="fused")
        else:
            ((ids, lengths, _),) = loader(reviews_of(self.few), CHECKED, None)
            log = self.model(ids, lengths)
        loss = torch.nn.functional.nll_loss(log, torch.from_numpy(self.few.label_N.astype(np.int64)))
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.weights if p.grad is not None])
        self.model.zero_grad()
        return {"probabilities": log[:, 1].exp().tolist(), "loss": loss.item(), "norm": norm.item()}

    def turn(self) -> dict[str, float]:
        """Train on all reviews once."""
        import resource

        self.round += 1
        if self.is_ours:
            from gru_bench.train.loop import train

            record = train(self.config, self.corpus, self.vectors).epochs[0]
            seconds, loss = record.seconds, record.train_loss
            reviews, tokens = len(self.corpus.train), round(record.tokens_per_second * seconds)
        else:
            trainer = PeerTrainer(self.config, self.model)
            begin = time.perf_counter()
            loss, reviews, tokens = trainer.epoch(loader(self.reviews, self.config.training.batch_size, self.round))
            seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"seconds": seconds, "reviews": reviews, "tokens": tokens, "loss": loss, "peak": peak}


def prepared(processes: dict[str, Process], what: dict[str, Any], threads: int) -> None:
    """Let each contender prepare, and end the program where they do not compute the same."""
    ours, theirs = (process.ask({**what, "training.threads": threads}) for process in processes.values())
    if not (np.allclose(theirs["probabilities"], ours["probabilities"], rtol=0, atol=1e-4)
            and abs(theirs["loss"] - ours["loss"]) < 1e-4 and abs(theirs["norm"] / ours["norm"] - 1) < 1e-3):
        raise SystemExit(f"packed and ours differ: {json.dumps(theirs)} and {json.dumps(ours)}")


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    from gru_bench.config import parsed_settings

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, help="training reviews drawn from the default corpus (default all)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each contender (default all cores)")
    parser.add_argument("--rounds", type=int, default=3, help="epochs per contender (default 3)")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="any other setting of a run, such as model.name=torch; may be repeated")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(partial(Contender, asked.serve))
        return
    settings = {"model.name": "bidirectional", "model.hidden_size": 100, "training.batch_size": 64,
                "embedding.trainable": False, **parsed_settings(asked.settings)}
    console = Console(width=120, highlight=False)
    processes = {name: Process(__file__, name, asked.threads) for name in NAMES}
    with console.status("preparing reviews and word vectors, checking that both compute the same") as status:
        prepared(processes, {"reviews": asked.reviews, **settings}, asked.threads)
        answers = alternated(processes, asked.rounds, on_turn=status.update)
    read = {(int(each["reviews"]), int(each["tokens"])) for those in answers.values() for each in those}
    if len(read) > 1:
        raise SystemExit(f"contenders have read different numbers of (reviews, tokens): {read}")
    ((reviews, tokens),) = read
    table = Table(title=f"one epoch of {reviews:,} reviews, {tokens:,} tokens: {settings['model.name']}, "
                        f"hidden {settings['model.hidden_size']}, B = {settings['training.batch_size']}, "
                        f"{asked.threads} threads, {asked.rounds} rounds")
    for column in ("contender", "seconds", "fastest", "slowest", "reviews/s", "loss", "peak MB", "contender / ours"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    seconds = {name: [a["seconds"] for a in those] for name, those in answers.items()}
    for name in NAMES:
        middle = median(seconds[name])
        table.add_row(
            name, f"{middle:.2f}", f"{min(seconds[name]):.2f}", f"{max(seconds[name]):.2f}", f"{reviews / middle:,.0f}",
            f"{answers[name][0]['loss']:.3f}", f"{max(a['peak'] for a in answers[name]):,.0f}",
            f"{ratio(seconds[name], seconds['ours']):.1f}x")
    console.print(table)
    console.print("loss: mean over the first round's batches, each before its own update")


if __name__ == "__main__":
    main()
