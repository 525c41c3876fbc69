"""Growth of the time with hidden width, review length and number of reviews: ours against padded nn.GRU.

    python benchmarks/scaling.py --quick      a minute or two
    python benchmarks/scaling.py              a quarter of an hour

Width and length: a training step as in `train_step.py`, one direction, B = 64, all sequences equally long, so that
there is no padding (150 tokens where the width grows, hidden 100 where the length grows). Number of reviews:
a training epoch as in `epoch.py` on that many reviews of the default corpus, one direction, hidden 100, B = 64, nn.GRU
in padded buckets of similar length. Contenders have processes of their own, take turns, and must first compute
the same. `grows` is the exponent by which time grows from the row above: 1 means in proportion, 2 with the square.
A step takes 6 E H products with input weights per token (E = 300) and 6 H H with hidden weights, so the exponent rises
with the width, from below 1 to 2.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from contenders import Process, alternated, cores, ratio
from epoch import prepared, same_work
from train_step import OURS, batches_of, compare

HERE = Path(__file__).resolve().parent
STEP = {"ours": OURS, "padded": "padded"}
EPOCH = {"ours": "ours", "padded": "buckets"}


def table_of(title: str, first: str, unit: str, rows: Sequence[tuple[int, dict[str, list[float]], float]]) -> Any:
    """Return a table with a row for each size: the size, seconds of each contender, and units of work to divide by."""
    from rich.table import Table

    table = Table(title=title)
    for column in (first, f"ours {unit}", "grows", f"padded {unit}", "grows", "padded / ours"):
        table.add_column(column, justify="right")
    above: tuple[int, float, float] | None = None
    for size, seconds, scale in rows:
        ours, padded = (median(seconds[name]) * scale for name in ("ours", "padded"))
        grows = ["", ""]
        if above is not None and size != above[0]:
            grows = [f"{math.log(now / before) / math.log(size / above[0]):.2f}"
                     for now, before in ((ours, above[1]), (padded, above[2]))]
        table.add_row(f"{size:,}", f"{ours:.2f}", grows[0], f"{padded:.2f}", grows[1],
                      f"{ratio(seconds['padded'], seconds['ours']):.1f}x")
        above = size, ours, padded
    return table


def main() -> None:
    from rich.console import Console

    from gru_bench.config import parsed_settings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three sizes of each, three rounds")
    parser.add_argument("--hidden", type=int, nargs="*", help="widths (default 32 64 128 256 512; none skips them)")
    parser.add_argument("--length", type=int, nargs="*", help="tokens of a review (default 25 50 100 200 400 800)")
    parser.add_argument("--reviews", type=int, nargs="*", help="training reviews (default 1000 2000 4000 8000 16000)")
    parser.add_argument("--batch", type=int, default=64, help="sequences per batch (default 64)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each contender (default all cores)")
    parser.add_argument("--rounds", type=int, help="rounds of each size (default 5)")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="any other setting of the epochs, such as data.limit=2000; may be repeated")
    asked = parser.parse_args()
    rounds = asked.rounds or (3 if asked.quick else 5)

    def sizes(given: list[int] | None, quick: list[int], full: list[int]) -> list[int]:
        return sorted(given) if given is not None else quick if asked.quick else full

    console = Console(width=120, highlight=False)
    where = f"B = {asked.batch}, {asked.threads} threads, median of {rounds} rounds"
    step = {name: Process(str(HERE / "train_step.py"), theirs, asked.threads) for name, theirs in STEP.items()}

    def steps(hidden: int, length: int) -> dict[str, list[float]]:
        return compare(step, {"sequences": asked.batch, "hidden": hidden, "threads": asked.threads,
                              "bidirectional": False, "steps": length}, rounds)

    with console.status("training steps"):
        per_step = 1e3 / batches_of(asked.batch)
        rows = [(hidden, steps(hidden, 150), per_step) for hidden in sizes(
            asked.hidden, [64, 128, 256], [32, 64, 128, 256, 512])]
        if rows:
            console.print(table_of(f"a training step by width of the state: 150 tokens, {where}", "hidden", "ms", rows))
        rows = [(length, steps(100, length), per_step) for length in sizes(
            asked.length, [50, 100, 200], [25, 50, 100, 200, 400, 800])]
        if rows:
            console.print(table_of(f"a training step by length: hidden 100, {where}", "tokens", "ms", rows))
    for process in step.values():
        process.end()
    wanted = sizes(asked.reviews, [500, 1000, 2000], [1000, 2000, 4000, 8000, 16000])
    if not wanted:
        return
    rows = []
    epoch = {name: Process(str(HERE / "epoch.py"), theirs, asked.threads) for name, theirs in EPOCH.items()}
    with console.status("training epochs"):
        for reviews in wanted:
            prepared(epoch, {"reviews": reviews, "model.name": "scratch", "training.batch_size": asked.batch,
                             **parsed_settings(asked.settings)}, asked.threads)
            answers = alternated(epoch, rounds)
            same_work(answers)
            seconds = {name: [a["seconds"] for a in those] for name, those in answers.items()}
            rows.append((int(answers["ours"][0]["reviews"]), seconds, 1.0))
    console.print(table_of(f"a training epoch by number of reviews: hidden 100, {where}", "reviews", "s", rows))


if __name__ == "__main__":
    main()
