"""Time and peak memory of `gru-bench compare` on many predictions.

    python benchmarks/compare.py                              100,000 examples, 10 models, 5 seeds: a minute
    python benchmarks/compare.py --examples 5000 --models 3

Each model has one CSV file with the columns id, label, prediction and seed, in a temporary folder. The whole command is
measured, from its start to the verdicts as JSON, and once more to the written report. Goal: under 60 seconds of a core
and 2 GB for the verdicts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def fill(folder: Path, examples: int, models: int, seeds: int) -> list[Path]:
    """Write the files of predictions and return their paths."""
    rng = np.random.default_rng(0)
    label_N = rng.integers(0, 2, examples)
    difficulty_N = rng.normal(1.2, 1.0, examples)
    paths = []
    for model in range(models):
        path = folder / f"model-{model}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write("id,label,prediction,seed\n")
            for seed in range(seeds):
                right_N = rng.normal(difficulty_N + 0.02 * model, 0.5) > 0
                for place in rng.permutation(examples).tolist():
                    label = label_N[place]
                    file.write(f"review-{place},{label},{label if right_N[place] else 1 - label},{seed}\n")
        paths.append(path)
    return paths


def main() -> None:
    """Measure the command and print its seconds and its memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = fill(folder, given.examples, given.models, given.seeds)
        size = sum(path.stat().st_size for path in paths)
        print(f"{given.models} files, {size / 1e6:,.0f} MB, {given.examples * given.models * given.seeds:,} rows")
        for what, options in (("verdicts", ["--json"]), ("report", ["--out", str(folder / "report")])):
            with (folder / "output").open("w", encoding="utf-8") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "gru_bench", "compare", *map(str, paths), *options], stdout=output)
                _, status, usage = os.wait4(process.pid, 0)
            assert status == 0, f"the command ended with {status}"
            print(f"{what:8}  {usage.ru_utime + usage.ru_stime:6.1f} s of a core  "
                  f"{usage.ru_maxrss / 1024:6,.0f} MB")


if __name__ == "__main__":
    main()
