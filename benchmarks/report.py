"""Time and peak memory of a report on a store of many runs, for each stage and for the whole command.

    python benchmarks/report.py                1,000 runs, half a minute
    python benchmarks/report.py --runs 10000

The store is an SQLite file in a temporary folder: three studies of ten confirmation runs each, logged as a sweep logs
them, with predictions for 3,300 test reviews, three epochs and 120 window losses; the rest are search trials.
One trial of each study is logged, and the others are copies of its rows. Goal: under 4 seconds and 300 MB for 1,000
runs, figures included. Memory is the peak memory of the process up to that stage.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from gru_bench.config import RunConfig, with_settings
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.runs import (
    DataSummary,
    EpochRecord,
    Predictions,
    RunResult,
    StudySummary,
    TrialSummary,
    WindowLoss,
)
from gru_bench.stats.metrics import of_two

STUDIES = {"scratch": 0.0, "torch": 0.01, "bidirectional": 0.15}
SEEDS, REVIEWS, EPOCHS, WINDOWS = 10, 3_300, 3, 120
EXPERIMENT = "movie-reviews"
SPACE: dict[str, dict[str, Any]] = {
    "training.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.hidden_size": {"low": 64, "high": 256},
    "model.dropout": {"low": 0.0, "high": 0.5},
}
BEST = {"training.lr": 0.0014, "model.hidden_size": 128, "model.dropout": 0.2}


def fill(database: Path, runs: int) -> None:
    """Log the studies to a new store and copy trials until it holds `runs` runs."""
    from gru_bench.tracking import Store

    store = Store(f"sqlite:///{database}")
    rng = np.random.default_rng(0)
    ease_N = rng.normal(1.35, 1.0, REVIEWS)
    label_N = rng.integers(0, 2, REVIEWS).astype(np.int8)
    trials = max(1, (runs - len(STUDIES) * (SEEDS + 1)) // len(STUDIES))
    for model, skill in STUDIES.items():
        parent = store.start(EXPERIMENT, model, role="study", study=model, fingerprint="f")
        for seed in range(SEEDS + 1):
            trial = seed == SEEDS
            config = with_settings(RunConfig(), {**BEST, "model.name": model, "seed": 0 if trial else 10_000 + seed})
            writer = store.start(
                EXPERIMENT, f"{model} {seed}", role="trial" if trial else "confirm", study=model, model=model,
                config=config, fingerprint="f", parent=parent.run_id)
            result = made_up(config, label_N, ease_N + skill, rng)
            for record in result.epochs:
                writer.epoch(record)
            writer.finish(result)
            if trial:
                copies(database, store.mlflow_id(writer.run_id), trials - 1)
        baseline = store.start(EXPERIMENT, f"{model} tfidf", role="baseline", study=model, model="tfidf",
                               fingerprint="f", parent=parent.run_id)
        answers = dict.fromkeys(("validation", "test"), result.predictions["test"])
        baseline.baseline(BaselineResult("tfidf", ("negative", "positive"), {}, {
            f"score/{split}_{key}": 0.87 for split in ("val", "test") for key in ("accuracy", "f1")}, answers))
        baseline.complete()
        reviews = range(REVIEWS)
        parent.texts("test", [f"{i:06d}" for i in reviews], [f"review {i}" + " word" * 150 for i in reviews])
        parent.text("study.json", summary(model, trials).to_json())
        parent.complete()


def made_up(config: RunConfig, label_N: Any, ease_N: Any, rng: np.random.Generator) -> RunResult:
    """Return a run whose predictions are drawn from a probit model."""
    right_N = ndtr(1.2 * (ease_N + 0.25 * rng.normal(size=REVIEWS)))
    predictions = Predictions(
        np.array([f"{i:06d}" for i in range(REVIEWS)]), label_N,
        of_two(np.where(label_N == 1, right_N, 1 - right_N).astype(np.float32)),
        np.where(np.arange(REVIEWS) % 4, "imdb", "rotten_tomatoes"), rng.integers(5, 400, REVIEWS, np.int32),
        np.zeros(REVIEWS, np.int32))
    epochs = tuple(
        EpochRecord(e, 0.6 / e, 0.5 / e + 0.1, 0.8 + 0.02 * e, 30.0, 50_000.0) for e in range(1, EPOCHS + 1))
    window_losses = tuple(
        WindowLoss(10 * i, 1 + i * EPOCHS // (WINDOWS + 1), i / 2, 0.7 / (1 + i / 40)) for i in range(1, WINDOWS + 1))
    return RunResult(
        config, "fused", "cpu", epochs, window_losses, EPOCHS, 120_802, 6, 90.0, 0.4, 900_000_000,
        {"validation": predictions, "test": predictions}, {}, classes=("negative", "positive"))


def summary(model: str, trials: int) -> StudySummary:
    """Return what a sweep leaves behind."""
    data = DataSummary(
        EXPERIMENT, "f", 26_000, 3_300, REVIEWS, 0.5, {"imdb": 24_000, "rotten_tomatoes": 8_000}, 96, 0, 100_000,
        "corpus", 300, 49_000, 0.02, 400, 0.1, 32_000, ("negative", "positive"), (16_000, 16_000))
    tried = tuple(TrialSummary(n, model, "complete", 0.8 + 1e-5 * n, EPOCHS, BEST) for n in range(trials))
    return StudySummary(
        model, "How fast is a report?", (model,), SPACE, "tpe", "halving", "validation accuracy", EPOCHS, 0,
        tuple(range(10_000, 10_000 + SEEDS)), tried, {model: BEST}, {model: 0.87},
        {model: dict(zip(SPACE, (0.6, 0.3, 0.1), strict=True))}, "PED-ANOVA", data, 900.0)


def copies(database: Path, run_id: str, count: int) -> None:
    """Copy the rows of a run of MLflow under new ids."""
    from gru_bench.tracking.client import ID_TAG

    with sqlite3.connect(database) as connection:
        new = [(f"{run_id[:16]}{n:016x}", run_id) for n in range(count)]
        for table in ("runs", "tags", "params", "latest_metrics", "metrics"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            values = ", ".join("?" if name == "run_uuid" else f'"{name}"' for name in columns)
            named = ", ".join(f'"{name}"' for name in columns)
            connection.executemany(
                f"INSERT INTO {table} ({named}) SELECT {values} FROM {table} WHERE run_uuid = ?", new)
        connection.executemany("UPDATE tags SET value = run_uuid WHERE run_uuid = ? AND key = ?",
                               [(copy, ID_TAG) for copy, _ in new])


def stages(database: Path, folder: Path) -> None:
    """Print seconds and peak memory after each stage of a report."""

    def stage(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        found = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name:<28}{time.perf_counter() - begin:8.2f} s{peak:8.0f} MB")
        return found

    def imports() -> None:
        import gru_bench.report.__main__
        import gru_bench.report.build
        import gru_bench.report.render.files
        import gru_bench.tracking  # noqa: F401

    stage("import", imports)
    from gru_bench.evidence.collect import collect
    from gru_bench.report.build import build
    from gru_bench.report.choice import choose
    from gru_bench.report.render.files import write
    from gru_bench.tracking import open_reader

    store = stage("open the store", lambda: open_reader(f"sqlite:///{database}"))
    choice = stage("read the studies", lambda: choose(store, None, []))
    report = stage("compute", lambda: build(collect(choice.studies, store), experiment=choice.experiment))
    stage("figures", lambda: [figure.svg for figure in report.figures])
    stage("all files", lambda: write(report, folder))


def main() -> None:
    """Fill a store, time the stages in one process and the command in another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="runs in the store (default 1,000)")
    parser.add_argument("--stages", nargs=2, metavar=("DATABASE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stages:
        stages(Path(options.stages[0]), Path(options.stages[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        database = Path(temporary) / "mlflow.db"
        # In a process of its own: those started later would begin with the peak memory of this one.
        filling = multiprocessing.get_context("spawn").Process(target=fill, args=(database, options.runs))
        filling.start()
        filling.join()
        if filling.exitcode:
            sys.exit("the store could not be filled")
        with sqlite3.connect(database) as connection:
            held = connection.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
        if abs(held - options.runs) > len(STUDIES) and options.runs > len(STUDIES) * (SEEDS + 2):
            sys.exit(f"the store must hold about {options.runs:,} runs, but holds {held:,}")
        print(f"{held:,} runs")
        subprocess.run([sys.executable, __file__, "--stages", str(database), f"{temporary}/stages"], check=True)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "gru_bench.report", "--tracking-uri", f"sqlite:///{database}", "--out",
                 f"{temporary}/command"], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                sys.exit("the command failed")
            times.append((time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
        seconds, busy, peak = min(times)
        print(f"{'python -m gru_bench.report':<28}{seconds:8.2f} s{peak:8.0f} MB   (best of {len(times)}; "
              f"{busy:.2f} s of it on a processor)")


if __name__ == "__main__":
    main()
