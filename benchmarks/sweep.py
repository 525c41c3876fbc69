"""Time of a fraction of a study: the sweep command against a typical program of Optuna, nn.GRU and MLflow.

    python benchmarks/sweep.py                          4 trials on 6,000 reviews, a quarter of an hour
    python benchmarks/sweep.py --limit 0 --trials 2     all reviews; the peer takes an hour or so

    ours    python -m gru_bench.sweep, with as many workers as it chooses, in an empty folder
    peer    one process with all cores: Optuna on SQLite with `study.optimize` and a median pruner, nn.GRU on packed
            batches of a shuffled DataLoader, Adam, MLflow on SQLite: `log_metric` for the loss of each step and for
            the validation of each epoch

Both train the same trials, which are drawn and queued beforehand, with the same epochs, batch size, pooling, dropout,
clipping and schedule on the same reviews and vectors. Both end by choosing the best trial,
without confirmation runs. The time is that of the whole
process, imports included. Reviews, word vectors and baselines are in the cache before, and the peer is given its
reviews as ids from there. The program ends without a ratio if trials, settings or epochs differ. Each
draws its own weights and batches, so their accuracies differ as those of two seeds do; epoch.py checks that both
compute the same. If word vectors are trained, the peer runs Adam over the whole table, as `nn.Embedding` does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from contenders import PeerTrainer, cores, environment, loader, peer_model, ratio, reviews_of
from fraction import Fraction, add_arguments, chosen

ANSWER = "peer.json"


def peer(fraction: Fraction) -> None:
    """Run the peer's sweep in the working directory."""
    import mlflow
    import optuna
    import torch

    from gru_bench.data.batches import encode
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors

    spec = fraction.spec()
    corpus = load_corpus(spec.base.data)
    vectors = load_vectors(spec.base.embedding, corpus)
    train, validation = (reviews_of(encode(split, vectors, spec.base.data.max_length))
                         for split in (corpus.train, corpus.validation))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("sweep")
    done: list[dict[str, Any]] = []

    def run(trial: optuna.Trial, model_name: str) -> float:
        settings = {key: _suggested(trial, key, span) for key, span in spec.space.items()}
        config = spec.config(model_name, settings, spec.seed)
        training = config.training
        torch.manual_seed(trial.number)
        model = peer_model(config, vectors.table_VE)
        steps = -(-len(train) // training.batch_size)
        trainer = PeerTrainer(config, model, steps * training.epochs)
        best, step = 0.0, 0
        record = {"model": model_name, "settings": settings, "epochs": 0, "value": None}
        done.append(record)

        def on_step(loss: float) -> None:
            nonlocal step
            step += 1
            mlflow.log_metric("loss/train", loss, step=step)

        with mlflow.start_run(run_name=f"{model_name} trial {trial.number}"):
            mlflow.log_params(settings)
            batches = loader(train, training.batch_size, trial.number)
            for epoch in range(1, training.epochs + 1):
                trainer.epoch(batches, on_step)
                accuracy = trainer.accuracy(loader(validation, training.batch_size, None))
                mlflow.log_metric("accuracy/val", accuracy, step=epoch)
                best = max(best, accuracy)
                record |= {"epochs": epoch, "value": best}
                trial.report(best, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
        return best

    for model_name, trials in fraction.drawn().items():
        study = optuna.create_study(
            study_name=model_name, storage="sqlite:///optuna.db", direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1))
        for settings in trials:
            study.enqueue_trial(settings)
        study.optimize(partial(run, model_name=model_name), n_trials=len(trials), n_jobs=1)
    Path(ANSWER).write_text(json.dumps(done))


def _suggested(trial: Any, key: str, span: Any) -> Any:
    if span.choices is not None:
        return trial.suggest_categorical(key, span.choices)
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(key, span.low, span.high, log=span.log, step=int(span.step or 1))
    return trial.suggest_float(key, span.low, span.high, log=span.log, step=span.step)


def trained(folder: Path) -> list[dict[str, Any]]:
    """Return the trials of a finished sweep of ours."""
    from gru_bench.tracking import open_reader

    store = open_reader(f"sqlite:///{folder / 'mlflow.db'}")
    (study,) = (found for name in store.experiments() for found in store.studies(name))
    if study.summary is None:
        raise SystemExit("the sweep has not come to its end")
    return [{"model": t.model, "settings": dict(t.settings), "epochs": t.epochs, "value": t.value}
            for t in study.summary.trials]


def timed(command: list[str], folder: Path, threads: int | None) -> float:
    """Run a command in a folder and return its seconds; end the program with its output where it fails."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment(threads), capture_output=True,
                          text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return seconds


def same_work(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """End the program where the trials differ in anything but what they reach."""
    def work(trials: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps([t["model"], float(t["epochs"]), t["settings"]], sort_keys=True) for t in trials)

    if work(ours) != work(theirs):
        raise SystemExit(f"ours and the peer have not trained the same:\n{work(ours)}\n{work(theirs)}")


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, trials=4, confirm=0)
    parser.add_argument("--rounds", type=int, default=1, help="sweeps of each (default 1)")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    fraction = chosen(asked)
    if asked.peer:
        peer(fraction)
        return
    console = Console(width=120, highlight=False)
    again = [str(Path(__file__).resolve()), *sys.argv[1:], "--study", fraction.study, "--peer"]
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    found: dict[str, list[dict[str, Any]]] = {}
    with console.status("preparing reviews, word vectors and baselines") as status, \
            tempfile.TemporaryDirectory() as temporary:
        fraction.warm()
        for turn in range(asked.rounds):
            for name in ("ours", "peer") if turn % 2 == 0 else ("peer", "ours"):
                status.update(f"round {turn + 1} of {asked.rounds}: {name}")
                folder = Path(temporary) / f"{name}-{turn}"
                folder.mkdir()
                if name == "ours":
                    fraction.queue(folder)
                    seconds[name].append(timed(["-m", "gru_bench.sweep", *fraction.command()], folder, None))
                    found[name] = trained(folder)
                else:
                    seconds[name].append(timed(again, folder, cores()))
                    found[name] = json.loads((folder / ANSWER).read_text())
            same_work(found["ours"], found["peer"])
    table = Table(title=f"{fraction.described()}; {cores()} cores, {asked.rounds} rounds")
    for column in ("sweep", "seconds", "trials", "epochs", "best validation accuracy", "contender / ours"):
        table.add_column(column, justify="left" if column == "sweep" else "right")
    for name, times in seconds.items():
        trials = found[name]
        table.add_row(
            name, f"{median(times):.1f}", str(len(trials)), f"{sum(t['epochs'] for t in trials):g}",
            f"{100 * max(t['value'] for t in trials):.1f} %", f"{ratio(times, seconds['ours']):.1f}x")
    console.print(table)


if __name__ == "__main__":
    main()
