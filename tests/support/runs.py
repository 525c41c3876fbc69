"""A made-up run, its predictions and its study, and what tests compare runs by."""

from __future__ import annotations

import numpy as np

from gru_bench.config import RunConfig, Scalar
from gru_bench.data.vectors import Vectors
from gru_bench.models.saved import with_model
from gru_bench.results.baselines import CLASSIFIER, MAJORITY, REGRESSION, REGULARIZATION, BaselineResult, baseline_names
from gru_bench.results.logged_metrics import PARAMETERS, PREDICT_SECONDS, SPLIT_NAMES, TRAIN_SECONDS
from gru_bench.results.runs import (
    DataSummary,
    EpochRecord,
    Predictions,
    RunResult,
    StudySummary,
    TrialSummary,
    WindowLoss,
)
from gru_bench.stats.intervals import interval
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored, score, scores
from gru_bench.sweep.summary import Confirmed


def predictions(count: int = 4) -> Predictions:
    return Predictions(
        example_id_N=np.array([f"id{n}" for n in range(count)]), label_N=np.arange(count, dtype=np.int8) % 2,
        probability_NC=of_two(np.linspace(0.1, 0.9, count, dtype=np.float32)),
        category_N=np.array(["", "a", "b & c", "é"]),
        tokens_N=np.arange(count, dtype=np.int32), dropped_N=np.ones(count, dtype=np.int32))


def result() -> RunResult:
    return RunResult(
        config=RunConfig(seed=3), backend="fused", device="cpu",
        epochs=(EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0), EpochRecord(2, 0.5, 0.65, 0.5, 2.0, 300.0)),
        window_losses=(WindowLoss(10, 1, 0.5, 0.69), WindowLoss(20, 1, 1.0, 0.66)), best_epoch=1, parameters=12,
        parameter_tensors=2, train_seconds=4.5, predict_seconds=0.5, peak_memory_bytes=1000,
        predictions={"validation": predictions(), "test": predictions()},
        weights={"linear.weight": np.ones((2, 3), dtype=np.float32)}, classes=("negative", "positive"))


def modeled(one: RunResult) -> RunResult:
    """The result with the files of a model of three words, as a worker returns it."""
    return with_model(one, Vectors("made up", np.eye(4, 3, -1, np.float32), np.arange(1, 4, dtype=np.int32),
                                   ["", "a", "b", "c"]))


def baseline(model: str, **metrics: float) -> BaselineResult:
    """A baseline that answers as `predictions` does, but with some other metrics: `val_accuracy=0.8`."""
    found = {split: predictions() for split in SPLIT_NAMES}
    settings: dict[str, Scalar] = {} if model == MAJORITY else {CLASSIFIER: REGRESSION, REGULARIZATION: 1.0}
    cost = {TRAIN_SECONDS.key: 1.5, PREDICT_SECONDS.key: 0.2, PARAMETERS.key: 5.0}
    measured = {score(key, short).key: value for split, short in SPLIT_NAMES.items()
                for key, value in scores(found[split].label_N, found[split].probability_NC).items()}
    changed = {f"score/{key}": value for key, value in metrics.items()}
    return BaselineResult(model, ("negative", "positive"), settings, cost | measured | changed, found)


def all_baselines() -> tuple[BaselineResult, ...]:
    return tuple(map(baseline, baseline_names()))


def summary() -> StudySummary:
    data = DataSummary("d", "f", 8, 1, 1, 0.5, {"a": 10}, 0, 0, 5, "corpus", 3, 4, 0.1, None, 0.0, 10,
                       ("negative", "positive"), (5, 5))
    return StudySummary(
        "s", "why", ("torch",), {"training.lr": {"low": 1e-4, "high": 1e-2, "log": True}}, "tpe", "halving", "accuracy",
        3, 0, (10000, 10001), (TrialSummary(0, "torch", "complete", 0.8, 3, {"training.lr": 1e-3}),),
        {"torch": {"training.lr": 1e-3}}, {"torch": 0.8}, {"torch": {}}, "PED-ANOVA", data,
        12.0, ("a note",))


def windows(result: RunResult) -> list[tuple[int, float]]:
    return [(point.iteration, point.loss) for point in result.window_losses]


def losses(result: RunResult) -> list[tuple[float, float | None, float | None]]:
    return [(e.train_loss, e.validation_loss, e.validation_accuracy) for e in result.epochs]


def answered(right: int, positive: int = 50, examples: int = 100) -> Predictions:
    """Predictions of which so many are right."""
    label_N = (np.arange(examples) < positive).astype(np.int8)
    hit_N = np.arange(examples) < right
    return Predictions(
        np.arange(examples).astype(np.str_), label_N,
        of_two(np.where(hit_N == (label_N == 1), 0.9, 0.1).astype(np.float32)),
        np.full(examples, ""), np.ones(examples, np.int32), np.zeros(examples, np.int32))


def confirmed(*right: int) -> Confirmed:
    """The score of a model with so many right answers of 100 for each seed."""
    runs = [answered(count) for count in right]
    scored = Scored(runs[0].label_N, np.stack([run.probability_NC for run in runs]))
    return Confirmed(interval("accuracy", scored), tuple(scored.scores("accuracy")))
