"""A tracking store in memory, and builders of the studies in it; predictions are drawn from a probit model.

A report reads the fake store as it reads a real one: tests/tracking/test_store_contract.py holds the two together.

Shapes: `N` examples of a split, `R` runs, `C` classes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gru_bench.config import RunConfig, flat, with_settings
from gru_bench.errors import RunError, unknown
from gru_bench.results.baselines import CLASSIFIER, MAJORITY, REGRESSION, TFIDF
from gru_bench.results.runs import (
    MOST_WHOLE,
    DataSummary,
    Predictions,
    StudySummary,
    TrialSummary,
    digest_of_examples,
)
from gru_bench.stats import metrics as measured
from gru_bench.stats.scores import scores
from gru_bench.tracking import AGAIN, LoggedRun, LoggedStudy, Reader
from gru_bench.tracking.artifacts import LIKELIEST
from gru_bench.tracking.reader import RESTORE
from gru_bench.tracking.view import TRAINING
from tests.support.values import present

SPACE: dict[str, dict[str, Any]] = {
    "training.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.hidden_size": {"low": 32, "high": 256},
    "model.pooling": {"choices": ["final", "mean", "meanmax"]},
    "model.dropout": {"low": 0.0, "high": 0.5},
}
BEST: dict[str, Any] = {
    "training.lr": 0.00137, "model.hidden_size": 250, "model.pooling": "meanmax", "model.dropout": 0.31,
}
START = 1_763_942_400.0
TWO_CLASSES = ("negative", "positive")


@dataclass
class FakeStore:
    """A tracking store in memory, as a report reads it; tests fill its fields."""

    by_experiment: dict[str, list[LoggedStudy]] = field(default_factory=dict)
    """Experiment -> its studies, in the order in which they are returned."""
    metrics: dict[str, dict[str, list[tuple[int, float]]]] = field(default_factory=dict)
    """Run -> metric -> (step, value), in order of steps."""
    predicted: dict[tuple[str, str], Predictions] = field(default_factory=dict)
    """Run and split -> what the run predicted."""
    url: str | None = None
    """Address of the server that the store is; None where it is a file."""
    reviews: dict[str, dict[str, str]] = field(default_factory=dict)
    """Study run -> example id -> text of a test review."""
    artifacts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Run and path -> a text."""
    reads: list[str] = field(default_factory=list)
    """What was read: `histories`, or the id of the run whose predictions were."""
    odd: dict[str, str] = field(default_factory=dict)
    """Runs that were left out: id -> why."""
    attached: dict[str, list[str]] = field(default_factory=dict)
    """Run -> names of the files that were attached to it."""
    locked: str = ""
    """Why nothing can be attached; empty where it can."""
    uri: str = "sqlite:///mlflow.db"
    home: Path = Path()
    study = Reader.study

    def experiments(self) -> list[str]:
        """Return the experiments."""
        return list(self.by_experiment)

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return the studies of an experiment; UsageError for an unknown one."""
        if experiment not in self.by_experiment:
            raise unknown("experiment", experiment, self.by_experiment)
        return self.by_experiment[experiment]

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return all runs of an experiment, study by study."""
        return [run for study in self.studies(experiment) for run in study.runs]

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return run -> metric -> (step, value) of those that there are."""
        self.reads.append("histories")
        return {
            run_id: {m: self.metrics[run_id][m] for m in metrics if m in self.metrics.get(run_id, {})}
            for run_id in run_ids
        }

    def predictions(self, run_id: str, split: str) -> Predictions:
        """Return a run's predictions; RunError where it has none."""
        self.reads.append(run_id)
        if (run_id, split) not in self.predicted:
            raise RunError(f"the run {run_id} must contain the artifact predictions/{split}.parquet, but it cannot be "
                           f"read (there is no such file){RESTORE}")
        return self.predicted[run_id, split]

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        """Return example id -> review of the test split, where a study's own run holds them."""
        return self.reviews.get(run_id) if split == "test" else None

    def text(self, run_id: str, path: str) -> str | None:
        """Return a text artifact of a run; None where it was not logged."""
        return self.artifacts.get((run_id, path))

    def attach(self, run_id: str, folder: Path) -> str:
        """Note the names of the files that are attached to a run; return why they cannot be."""
        self.attached[run_id] = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
        return self.locked

    def confirmed_models(self, test_set: str) -> list[tuple[str, str]]:
        """Return the study and the name of each model that was scored on a test set."""
        return sorted((study, model) for _, study, model in {
            (study.run.run_id, study.name, run.model) for studies in self.by_experiment.values() for study in studies
            for run in study.confirms if run.complete and run.role == "confirm"
            and run.test_set == test_set})

    def studies_on_test(self, test_set: str, until: float) -> int:
        """Return how many studies had scored a test set by a time."""
        return len({
            study.run.run_id for studies in self.by_experiment.values() for study in studies
            for run in study.confirms if run.complete and run.role == "confirm" and run.started <= until
            and run.test_set == test_set})

    def studies_again(self, original: str) -> int:
        """Return how many studies ask the question of a study again."""
        return len({
            study.run.run_id for studies in self.by_experiment.values() for study in studies
            for run in study.confirms if run.complete and run.role == "confirm" and run.tags.get(AGAIN) == original})

    def run_url(self, run: LoggedRun) -> str | None:
        """Return the page of a run; None where the store is a file."""
        return f"{self.url}/#/experiments/{run.experiment_id}/runs/{run.run_id}?{TRAINING}" if self.url else None


Studies = tuple[FakeStore, list[LoggedStudy]]
"""A store, and the studies of its one experiment."""


def correct(store: FakeStore, runs: Sequence[LoggedRun], split: str = "test") -> NDArray[np.bool_]:
    """Return whether each complete run answers each example rightly: R runs x N examples."""
    read = [store.predicted[run.run_id, split] for run in runs if run.complete]
    return np.stack([measured.correct(p.label_N, p.probability_NC) for p in read])


def answered(predictions: Predictions, right_N: NDArray[np.bool_]) -> Predictions:
    """Return predictions that are right in these places and wrong in the others, all with a probability of 0.9."""
    probability_N = np.where(right_N == (predictions.label_N == 1), 0.9, 0.1)
    return replace(predictions, probability_NC=measured.of_two(probability_N.astype(np.float32)))


@dataclass(frozen=True)
class TestSet:
    """Examples with a latent ease, so that models err on the same ones more often than by chance."""

    __test__ = False
    id_N: NDArray[Any]
    label_N: NDArray[Any]
    category_N: NDArray[Any]
    ease_N: NDArray[Any]
    classes: tuple[str, ...] = TWO_CLASSES

    @classmethod
    def draw(
        cls, size: int = 2000, categories: Sequence[str] = ("imdb", "rotten_tomatoes"), seed: int = 0,
        classes: Sequence[str] = TWO_CLASSES,
    ) -> TestSet:
        """Return examples with drawn labels and eases, spread unevenly over the categories and over several classes."""
        rng = np.random.default_rng(seed)
        names, count = np.array(list(categories) or [""]), len(classes)
        place_N = rng.choice(len(names), size, p=_shares(len(names)))
        label_N = rng.integers(0, 2, size) if count == 2 else rng.choice(count, size, p=_shares(count))
        return cls(
            np.array([f"{seed}-{i:06d}" for i in range(size)]),
            label_N.astype(np.int8 if count <= 128 else np.int16),
            names[place_N],
            rng.normal(1.35, 1.0, size) - 0.45 * (place_N % 3),
            tuple(classes),
        )

    def predictions(self, rng: np.random.Generator, lean_N: NDArray[Any], skill: float) -> Predictions:
        """Return what one run predicts.

        Args:
            rng: Source of the run's own noise.
            lean_N: What the runs of one model share: how much easier or harder they find each example.
            skill: What is added to the ease of every example.
        """
        latent_N = self.ease_N + lean_N + skill + 0.25 * rng.normal(size=self.id_N.size)
        right_N = ndtr(1.2 * latent_N)
        if len(self.classes) > 2:
            probability_NC = self._of_classes(rng, right_N).astype(np.float32)
        else:
            probability_NC = measured.of_two(np.where(self.label_N == 1, right_N, 1 - right_N).astype(np.float32))
        zeros_N = np.zeros(self.id_N.size, np.int32)
        tokens_N = (5 + 37 * np.arange(self.id_N.size) % 396).astype(np.int32)
        return Predictions(
            self.id_N, self.label_N, probability_NC, self.category_N, tokens_N, zeros_N + 3,
            len(self.classes) <= MOST_WHOLE,
        )

    def _of_classes(self, rng: np.random.Generator, right_N: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities of more than two classes, N x C, from those of the true classes.

        The class after the true one is the most likely mistake. Of many classes only some probabilities are kept.
        """
        size, count = self.id_N.size, len(self.classes)
        every = np.arange(size)
        other_NC = rng.exponential(size=(size, count)) ** 2
        other_NC[every, (self.label_N + 1) % count] += 4.0
        other_NC[every, self.label_N] = 0.0
        found_NC: NDArray[Any] = other_NC * ((1 - right_N) / other_NC.sum(axis=1))[:, None]
        found_NC[every, self.label_N] = right_N
        if count > MOST_WHOLE:
            known_NC = found_NC >= np.sort(found_NC, axis=1)[:, [-LIKELIEST]]
            known_NC[every, self.label_N] = True
            found_NC = np.where(known_NC, found_NC, 0.0)
        return found_NC


def run_hash(*parts: object) -> str:
    """Return an id of the form that runs have."""
    return md5(repr(parts).encode(), usedforsecurity=False).hexdigest()


def logged(run_id: str, **values: Any) -> LoggedRun:
    """Return a run with sensible fields but for the given ones."""
    plain = LoggedRun(
        run_id=run_id, experiment_id="1", name=run_id, role="confirm", study="", model="", backend="fused",
        seed=None, status="FINISHED", complete=True, reason="", params={}, metrics={}, tags={}, started=START,
        mlflow_id=run_id,
    )
    found = replace(plain, **values)
    return found if found.status == "RUNNING" or found.ended is not None else replace(found, ended=found.started + 60)


def data_summary(test_set: TestSet, fingerprint: str = "3f6c90d2a41b") -> DataSummary:
    """Return the facts of data that has this test set."""
    names, counts = np.unique(test_set.category_N, return_counts=True)
    categories = {str(n): 10 * int(c) for n, c in zip(names, counts, strict=True)} if len(names) > 1 else {}
    return DataSummary(
        name="movie-reviews", fingerprint=fingerprint, train=16_384, validation=2048, test=test_set.id_N.size,
        positive_share=0.503, categories=categories, repeats_removed=96, test_repeats_removed=0,
        vocabulary=104_231, embedding="corpus", embedding_dimension=300, covered_words=48_903,
        dropped_share=0.0213, max_length=400, cut_share=0.1187, available=18_432 + test_set.id_N.size,
        classes=test_set.classes,
        class_counts=tuple((10 * np.bincount(test_set.label_N, minlength=len(test_set.classes))).tolist()),
    )


def baselines(store: FakeStore, study: str, test_set: TestSet, fingerprint: str) -> tuple[LoggedRun, ...]:
    """Return the runs of two baselines of a study, the second one linear, and let the store hold their predictions."""
    rng = np.random.default_rng([11, *study.encode()])
    linear = test_set.predictions(rng, 0.35 * rng.normal(size=test_set.id_N.size), 0.07)
    share_C = np.bincount(test_set.label_N, minlength=len(test_set.classes)) / test_set.id_N.size
    majority = replace(linear, probability_NC=np.tile(share_C, (test_set.id_N.size, 1)))
    runs = []
    for model, predictions, seconds in ((MAJORITY, majority, 0.01), (TFIDF, linear, 9.2)):
        run_id = run_hash(study, "baseline", model)
        store.predicted[run_id, "test"] = predictions
        found = scores(predictions.label_N, predictions.probability_NC, whole=predictions.whole)
        runs.append(logged(
            run_id, name=f"{study} {model}", role="baseline", study=study, model=model, backend="",
            params={} if model == MAJORITY else {CLASSIFIER: REGRESSION},
            tags={"gru_bench.data_fingerprint": fingerprint, "gru_bench.state": "complete"},
            metrics={f"score/test_{key}": value for key, value in found.items()} | {
                "score/val_accuracy": found["accuracy"] + 0.002, "time/train_seconds": seconds,
                "time/predict_seconds": 0.1, "size/parameters": 500.0}))
    return tuple(runs)


def measured_as(run: LoggedRun, **metrics: float) -> LoggedRun:
    """Return a run with some other scores: `test_accuracy=0.8`."""
    return replace(run, metrics={**run.metrics, **{f"score/{key}": value for key, value in metrics.items()}})


def with_answers(store: FakeStore, study: LoggedStudy, right_N: NDArray[Any], *models: str) -> LoggedStudy:
    """Return a study with linear models, by default one, whose predictions are right in these places."""
    linear = tuple(replace(measured_as(study.baselines[1], test_accuracy=float(right_N.mean())),
                           run_id=run_hash(study.run.run_id, model), model=model) for model in models or (TFIDF,))
    for run in linear:
        store.predicted[run.run_id, "test"] = answered(store.predicted[study.confirms[0].run_id, "test"], right_N)
    return replace(study, baselines=(study.baselines[0], *linear))


def add_study(
    store: FakeStore, name: str, models: dict[str, float], *, seeds: int = 5, failed: int = 0, epochs: int = 4,
    test_set: TestSet | None = None, search: bool = True, purpose: str = "Which pooling and size suit the GRU best?",
    experiment: str = "movie-reviews", fingerprint: str = "3f6c90d2a41b", seed: int = 0, finished: bool = True,
    best: dict[str, Any] | None = None, trials: int = 16,
) -> LoggedStudy:
    """Add a study to the store and return it.

    Args:
        store: The store that holds the study afterwards, with its histories and predictions.
        name: Name of the study.
        models: Model -> skill; 0.1 more is about two points of accuracy.
        seeds: Complete confirmation runs of each model.
        failed: Failed confirmation runs of each model, after the complete ones.
        epochs: Epochs of each run.
        test_set: Test examples that the runs predict; 2,000 by default.
        search: Whether the study searched for settings before.
        purpose: The question of the study.
        experiment: Experiment that the study belongs to.
        fingerprint: Fingerprint of its data.
        seed: Random seed of the predictions and histories.
        finished: Whether the study has come to its end; otherwise it has no summary.
        best: Settings that the search found.
        trials: Trials of each model: of five, three are complete, one is pruned and one has failed.
    """
    test_set = test_set or TestSet.draw()
    rng = np.random.default_rng([seed, *name.encode()])
    space = SPACE if search else {}
    chosen = (best or BEST) if search else {}
    config = with_settings(RunConfig(), {**chosen, "training.epochs": epochs})
    tags = {"gru_bench.data_fingerprint": fingerprint, "gru_bench.state": "complete"}
    confirms, trial_runs, trial_summaries = [], [], []
    for model, skill in models.items():
        params = {key: str(value) for key, value in flat(config).items()} | {"model.name": model}
        lean_N = 0.35 * np.random.default_rng([7, *model.encode()]).normal(size=test_set.id_N.size)
        for place in range(seeds + failed):
            run_id = run_hash(name, model, place)
            run = logged(
                run_id, backend="torch" if model == "torch" else "fused", name=f"{model} seed {1000 + place}",
                study=name, model=model, seed=1000 + place, tags=tags,
                params=params | {"seed": str(1000 + place)}, started=START + 3600 * place,
            )
            if place >= seeds:
                run = replace(
                    run, complete=False, status="FAILED", backend="", reason="the loss is not finite in epoch 2",
                    tags=tags | {"gru_bench.state": "failed"},
                )
                confirms.append(run)
                continue
            predictions = test_set.predictions(rng, lean_N, skill + 0.03 * rng.normal())
            found = scores(predictions.label_N, predictions.probability_NC, whole=predictions.whole)
            store.predicted[run_id, "test"] = predictions
            store.metrics[run_id] = histories(rng, skill, epochs)
            metrics = {f"score/test_{key}": value for key, value in found.items()} | {
                "time/train_seconds": {"scratch": 61.0, "torch": 204.0}.get(model, 117.0) + rng.normal(),
                "time/predict_seconds": 0.4,
                "time/tokens_per_second": {"scratch": 61234.0, "torch": 18020.0}.get(model, 33789.0) + rng.normal(),
                "size/parameters": 241_602.0 if model == "bidirectional" else 120_802.0,
                "size/peak_memory_bytes": 1.2e9,
                "score/best_epoch": float(epochs - 1),
                "score/val_accuracy": found["accuracy"] + 0.004,
            }
            scored_on = {"gru_bench.test_set": digest_of_examples(test_set.id_N)}
            confirms.append(replace(run, metrics=metrics, tags=tags | scored_on))
        for place in range(trials if search else 0):
            state = ("complete", "complete", "pruned", "complete", "failed")[place % 5]
            trial_runs.append(logged(
                run_hash(name, model, "trial", place), name=f"{model} trial {place}", role="trial", study=name,
                model=model, seed=config.seed, backend="fused" if state == "complete" else "",
                complete=state == "complete", status="FAILED" if state == "failed" else "FINISHED",
                reason="" if state == "complete" else "not in the better half at check 2", params=params,
                tags=tags | {"gru_bench.state": state},
            ))
            value = None if state == "failed" else 0.65 + 0.02 * rng.random()
            tried = {"training.lr": 1e-4 * 100 ** (7 * place % trials / trials), "model.hidden_size": 32 + 14 * place}
            trial_summaries.append(TrialSummary(place, model, state, value, epochs, {**chosen, **tried}))
    summary = StudySummary(
        name=name, purpose=purpose, models=tuple(models), space=space, sampler="TPE", pruner="halving",
        objective="validation accuracy of the best epoch", epochs=epochs, search_seed=0,
        confirm_seeds=tuple(range(1000, 1000 + seeds + failed)), trials=tuple(trial_summaries),
        best=dict.fromkeys(models, chosen) if search else {},
        best_value=dict.fromkeys(models, 0.872) if search else {},
        importance={m: dict(zip(space, (0.61, 0.22, 0.12, 0.05), strict=True)) for m in models} if search else {},
        importance_method="PED-ANOVA over complete trials" if search else "",
        data=data_summary(test_set, fingerprint), seconds=812.0,
    )
    parent = logged(
        run_hash(name, "study"), name=name, role="study", study=name, backend="", complete=finished,
        status="FINISHED" if finished else "RUNNING",
        tags=tags | {"gru_bench.state": "complete" if finished else "running",
                     "mlflow.source.name": shlex.join(["run.py", "--study", name])},
        params={"confirm": str(seeds + failed), "margin": "1.0"},
    )
    study = LoggedStudy(parent, summary if finished else None, tuple(trial_runs), tuple(confirms),
                        baselines=baselines(store, name, test_set, fingerprint) if finished else ())
    store.by_experiment.setdefault(experiment, []).append(study)
    return study


def with_validation(store: FakeStore, study: LoggedStudy, size: int = 500) -> LoggedStudy:
    """Return a study whose confirmation runs and linear models have predictions and scores of validation texts."""
    validation = TestSet.draw(size, seed=99)

    def scored(run: LoggedRun) -> LoggedRun:
        if not run.complete or run.model == MAJORITY:
            return run
        rng = np.random.default_rng([*run.model.encode(), run.seed or 0])
        lean_N = 0.35 * np.random.default_rng([*run.model.encode()]).normal(size=size)
        found = validation.predictions(rng, lean_N, {"bidirectional": 0.3, "torch": 0.1}.get(run.model, 0.0))
        store.predicted[run.run_id, "validation"] = found
        return measured_as(run, val_loss=measured.log_loss(found.label_N, found.probability_NC),
                           val_accuracy=float(measured.correct(found.label_N, found.probability_NC).mean()))

    return replace(study, confirms=tuple(map(scored, study.confirms)), baselines=tuple(map(scored, study.baselines)))


def summarized(study: LoggedStudy, **values: Any) -> LoggedStudy:
    """Return a study with other values in its summary."""
    summary: StudySummary = replace(present(study.summary), **values)
    return replace(study, summary=summary)


def with_data(study: LoggedStudy, **values: Any) -> LoggedStudy:
    """Return a study with other values in the summary of its data."""
    data: DataSummary = replace(present(study.summary).data, **values)
    return summarized(study, data=data)


def with_params(study: LoggedStudy, **params: str) -> LoggedStudy:
    """Return a study whose own run logged these parameters too."""
    return replace(study, run=replace(study.run, params={**study.run.params, **params}))


def under_way(store: FakeStore, study: LoggedStudy, **params: str) -> LoggedStudy:
    """Return a study that has logged its data and its baselines, and has no summary yet."""
    summary = present(study.summary)
    store.artifacts[study.run.run_id, "data.json"] = json.dumps(asdict(summary.data))
    return replace(with_params(study, **params), summary=None)


def histories(rng: np.random.Generator, skill: float, epochs: int) -> dict[str, list[tuple[int, float]]]:
    """Return curves that fall, and from the third epoch on over-fit."""
    iterations = -(-16_384 // 64)
    steps = np.arange(32, iterations * epochs + 1, 32)
    window_losses = 0.18 + 0.5 * np.exp(-steps / 260) - 0.05 * skill + 0.012 * rng.normal(size=steps.size)
    epoch = np.arange(1, epochs + 1)
    train = 0.2 + 0.4 * np.exp(-epoch / 1.2) + 0.006 * rng.normal(size=epochs)
    validation = 0.33 + 0.11 * np.exp(-epoch) + 0.012 * np.maximum(0, epoch - 2) + 0.006 * rng.normal(size=epochs)
    accuracy = 0.87 - 0.05 * np.exp(-epoch) + 0.003 * rng.normal(size=epochs)

    def points(x: NDArray[Any], y: NDArray[Any]) -> list[tuple[int, float]]:
        return [(int(a), float(b)) for a, b in zip(x, y, strict=True)]

    return {
        "loss/train": points(epoch, train), "loss/val": points(epoch, validation),
        "accuracy/val": points(epoch, accuracy), "loss/train_window": points(steps, window_losses),
    }


def _shares(size: int) -> NDArray[Any]:
    """Return the shares of so many categories, which fall with the root of their place."""
    share: NDArray[Any] = 1 / np.arange(1, size + 1) ** 0.5
    total: float = share.sum()
    return share / total


def three_models(**options: Any) -> Studies:
    """Return three studies of one model each on one test set, one of them with failed seeds."""
    store = FakeStore()
    for name, skill, failed in (("scratch", 0.0, 0), ("torch", 0.01, 1), ("bidirectional", 0.16, 0)):
        add_study(store, name, {name: skill}, failed=failed, **options)
    return store, store.by_experiment["movie-reviews"]


def one_each(skills: Mapping[str, float], **options: Any) -> Studies:
    """Return a study of each model alone, named after it; by default all on one test set."""
    store = FakeStore()
    for model, skill in skills.items():
        add_study(store, model, {model: skill}, **options)
    return store, store.by_experiment["movie-reviews"]


def many_studies(count: int, test_set: TestSet, *, skill: float = 0.0, **options: Any) -> Studies:
    """Return so many studies of the torch GRU on one test set, each with so much more skill than the one before."""
    store = FakeStore()
    for place in range(count):
        add_study(store, f"study {place}", {"torch": skill * place}, test_set=test_set, seed=place, **options)
    return store, store.by_experiment["movie-reviews"]


HOSTILE_NAMES = (
    "\\input{/etc/passwd} $x^2$ & 100% #1 _a~b {c} \"quotes\" 'single' <script>alert(1)</script> | `",
    "naïve café – “Ωμέγα” 中文 😀 \x00\x1b[31m \u202eevil",
    "[option] *star " + "Supercalifragilisticexpialidocious" * 3,
    "-- --- ,, `` ''",
)


def hostile_studies() -> Studies:
    """Return studies whose names, purposes, categories and reasons are as bad as names can be."""
    store = FakeStore(url="http://127.0.0.1:5000")
    categories = [*HOSTILE_NAMES, *(f"category number {i}" for i in range(22))]
    test_set = TestSet.draw(600, categories)
    for place, name in enumerate(HOSTILE_NAMES):
        add_study(
            store, name, {"scratch": 0.05 * place}, test_set=test_set, purpose=name, experiment=HOSTILE_NAMES[0],
            failed=1, seed=place,
        )
    return store, store.by_experiment[HOSTILE_NAMES[0]]


ODD_CLASSES = (
    "Übergrößen, Schuhe & Co", "50 % off <b>now</b>", "x_y^2 $z$ {c} \\input ~#", "it's \"quoted\" `so` | *", "😀 fun",
    "-1", "=SUM(1)", "科学", "[option]", "Home and Kitchen Appliances of Every Kind",
)
"""Names of classes that some format or spreadsheet would read as more than a name."""


def class_names(count: int) -> tuple[str, ...]:
    """Return names of so many classes, the odd ones first."""
    return (*ODD_CLASSES, *(f"class number {place}" for place in range(count)))[:count]


def of_classes(count: int, *, size: int = 900, models: Mapping[str, float] | None = None, **options: Any) -> Studies:
    """Return a study of each model on reviews of so many classes, with the texts of the reviews."""
    test_set = TestSet.draw(size, classes=class_names(count))
    store, studies = one_each(models or {"torch": 0.0}, test_set=test_set, fingerprint=f"{count:012d}", **options)
    for study in studies:
        store.reviews[study.run.run_id] = {example: f"review {example}" for example in test_set.id_N}
    return store, studies
