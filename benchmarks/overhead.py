"""Cost of search and tracking: the time of a sweep against the same training without both.

    python benchmarks/overhead.py                    4 trials and 2 confirmation runs on 6,000 reviews, some minutes
    python benchmarks/overhead.py --limit 0 --rounds 1

    sweep    the sweep command: Optuna proposes and prunes, MLflow gets every epoch, window loss, prediction and model
    bare     the same jobs on the same pool of workers; the confirmation runs get the best trial's settings. Neither
             optuna nor mlflow is imported, and nothing is logged

Both run in separate processes, are timed from start to end, and take turns. Reviews, word vectors and baselines are in
the cache before. Both must reach exactly the same accuracies in every run, bit for bit, or the program ends. The time
differs by the cost of search and tracking, some of it paid once (imports, a new database) and some in each run; as
training itself varies by a few per cent, the processor time of the main process (without workers) is shown too.
Goal: under 2 % of the wall time of a default study.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from contenders import environment
from fraction import Fraction, add_arguments, chosen

ANSWER = "answer.json"
GOAL = 0.02


def sweep(fraction: Fraction) -> None:
    """Run the sweep command in the working directory, where its trials are queued."""
    sys.argv = ["run.py", *fraction.command()]
    from gru_bench.sweep.__main__ import main as command

    try:
        command()
    except SystemExit as end:
        if end.code:
            raise
    used = processor_seconds()
    from gru_bench.tracking import open_reader

    store = open_reader("sqlite:///mlflow.db")
    (study,) = (found for name in store.experiments() for found in store.studies(name))
    if study.summary is None:
        raise SystemExit("the sweep has not come to its end")
    reached = {f"{t.model} {t.number}": t.value for t in study.summary.trials}
    reached |= {f"{run.model} seed {run.seed}": run.metrics["score/test_accuracy"]
                for run in study.confirms if run.complete}
    Path(ANSWER).write_text(json.dumps({"reached": reached, "processor": used}))


def bare(fraction: Fraction) -> None:
    """Train what the sweep trains and keep nothing."""
    from gru_bench.sweep.workers.local import Job, Pool, cards, default_workers, fair_threads
    from gru_bench.sweep.workers.tasks import MeasureBaselines, Train

    spec = fraction.spec()
    shared = cards(spec.base.training.device)
    workers = default_workers(spec.base.training.device, shared)
    threads = spec.base.training.threads or fair_threads(workers)
    drawn = fraction.drawn()
    reached: dict[str, float] = {}

    def job(key: str, model: str, settings: dict[str, Any], seed: int, test: bool) -> Job:
        config = spec.config(model, {**settings, "training.threads": threads}, seed)
        return Job(key, Train(config, score_test=test))

    with Pool(workers, shared) as pool:
        pool.submit(Job("baselines", MeasureBaselines(spec.base.data)))
        for model in spec.models:
            trials = [job(f"{model} {n}", model, s, spec.seed, False) for n, s in enumerate(drawn[model])]
            train(pool, trials, reached)
            best = max(range(len(trials)), key=lambda n: (reached[trials[n].key], -n)) if trials else None
            tuned = drawn[model][best] if best is not None else {}
            train(pool, [job(f"{model} seed {seed}", model, tuned, seed, True) for seed in spec.confirm_seeds],
                  reached)
        train(pool, [], reached, to_the_end=True)
    Path(ANSWER).write_text(json.dumps({"reached": reached, "processor": processor_seconds()}))


def train(pool: Any, jobs: list[Any], reached: dict[str, float], *, to_the_end: bool = False) -> None:
    """Run jobs and note what each reaches; with `to_the_end`, also wait for all other jobs."""
    from gru_bench.results.runs import EpochRecord, RunResult
    from gru_bench.stats.metrics import correct
    from gru_bench.sweep.workers.local import Failed, Finished

    waiting, open_keys = list(jobs), {job.key for job in jobs}
    while open_keys or (to_the_end and pool.busy):
        while waiting and pool.idle:
            pool.submit(waiting.pop(0))
        for job, message in pool.messages(0.5):
            match message:
                case EpochRecord():
                    pool.answer(job, go_on=True)
                case Failed(_, reason):
                    raise SystemExit(f"{job.key} failed: {reason}")
                case Finished(RunResult() as result) if job.key in open_keys:
                    test = result.predictions.get("test")
                    accuracies = [e.validation_accuracy for e in result.epochs if e.validation_accuracy is not None]
                    reached[job.key] = max(accuracies) if test is None else float(
                        correct(test.label_N, test.probability_NC).mean())
                    open_keys.discard(job.key)


def processor_seconds() -> float:
    """Return the processor seconds that this process, without its children, has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def same_work(first: dict[str, float], second: dict[str, float]) -> None:
    """End the program where the runs or what they reach differ at all."""
    if first.keys() != second.keys() or any(abs(first[key] - second[key]) > 1e-9 for key in first):
        raise SystemExit(f"the two have not trained the same: {first} and {second}")


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, trials=4, confirm=2)
    parser.add_argument("--rounds", type=int, default=3, help="times each is run (default 3)")
    parser.add_argument("--run", choices=["sweep", "bare"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    fraction = chosen(asked)
    if asked.run:
        {"sweep": sweep, "bare": bare}[asked.run](fraction)
        return
    console = Console(width=120, highlight=False)
    names = ["sweep", "bare"]
    wall: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    runs = 0
    with console.status("preparing reviews, word vectors and baselines") as status, \
            tempfile.TemporaryDirectory() as temporary:
        fraction.warm()
        for turn in range(asked.rounds):
            answers = {}
            for name in names if turn % 2 == 0 else names[::-1]:
                status.update(f"round {turn + 1} of {asked.rounds}: {name}")
                folder = Path(temporary) / f"{name}-{turn}"
                folder.mkdir()
                fraction.queue(folder)
                begin = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--study", fraction.study, "--run",
                     name], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
                wall[name].append(time.perf_counter() - begin)
                if done.returncode or not (folder / ANSWER).exists():
                    raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
                answers[name] = json.loads((folder / ANSWER).read_text())
                processor[name].append(answers[name]["processor"])
            same_work(answers["sweep"]["reached"], answers["bare"]["reached"])
            runs = len(answers["sweep"]["reached"])
    table = Table(title=f"{fraction.described()}; {runs} runs, {asked.rounds} rounds")
    for column in ("", "seconds", "fastest", "slowest", "main process, processor seconds"):
        table.add_column(column, justify="left" if not column else "right")
    for name in names:
        table.add_row(name, f"{median(wall[name]):.2f}", f"{min(wall[name]):.2f}", f"{max(wall[name]):.2f}",
                      f"{median(processor[name]):.2f}")
    console.print(table)
    lost = median(a - b for a, b in zip(wall["sweep"], wall["bare"], strict=True))
    spent = median(a - b for a, b in zip(processor["sweep"], processor["bare"], strict=True))
    share = lost / median(wall["bare"])
    console.print(f"search and tracking: {lost:.2f} s of wall time, {100 * share:.1f} % of the bare time (goal: under "
                  f"{100 * GOAL:.0f} %), {1000 * lost / runs:.0f} ms a run; {spent:.2f} s of one core")


if __name__ == "__main__":
    main()
