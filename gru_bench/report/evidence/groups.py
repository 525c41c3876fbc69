"""Groups of confirm runs that belong together, with what each run predicts for the same test examples.

Nothing is dropped silently: a sentence is returned for whatever cannot be shown.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.errors import RunError
from gru_bench.evaluation import metrics
from gru_bench.evaluation.statistics import Estimate, accuracy_interval, seed_deviation
from gru_bench.report.document.numbers import Kind, Number, plain, slug
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.progress import study_data, study_name, unfinished
from gru_bench.report.evidence.store import Store
from gru_bench.results.logged_metrics import SPLIT_NAMES, score
from gru_bench.results.runs import DataSummary, Predictions, StudySummary
from gru_bench.tracking import LoggedRun, LoggedStudy

MODEL_NAMES = {"scratch": "Scratch GRU", "torch": "Torch GRU", "bidirectional": "Bidirectional GRU",
               "rnn": "Vanilla RNN"}
DEVIATION = "part of the standard deviation over seeds that the noise of the test set does not explain, in points"
UNCATEGORIZED = "(none)"
"""The name of the category of reviews that have none."""


def model_name(model: str) -> str:
    """Return what a report calls a model."""
    return MODEL_NAMES.get(model, plain(model))


@dataclass(frozen=True)
class Group:
    """The confirm runs of one model of one study that belong together, and what they predict."""

    key: str
    label: str
    study: str
    model: str
    parent: LoggedRun
    """The study's own run."""
    summary: StudySummary | None
    data: DataSummary | None
    """The data of the study; None where its run does not hold it."""
    unfinished: bool
    """Whether the study has something left to do: it is to be continued first, and no new seeds are advised."""
    runs: tuple[LoggedRun, ...]
    example_N: NDArray[np.str_]
    label_N: NDArray[np.int8]
    category_N: NDArray[np.str_]
    tokens_N: NDArray[np.int32]
    probability_RN: NDArray[np.float32]

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the runs' ids."""
        return tuple(run.run_id for run in self.runs)

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the data and its split."""
        return self.runs[0].fingerprint

    @cached_property
    def config(self) -> RunConfig:
        """Return the settings of the runs, which differ in the seed alone."""
        return self.runs[0].config()

    @cached_property
    def settings(self) -> Mapping[str, Scalar]:
        """Return the same settings by their dotted names."""
        return flat(self.config)

    @property
    def tuned(self) -> Mapping[str, Scalar]:
        """Return the settings that the search of the model chose; empty without a search."""
        return self.summary.best.get(self.model, {}) if self.summary is not None else {}

    @property
    def backend(self) -> str:
        """Return the backends that the runs used."""
        return ", ".join(sorted({plain(run.backend) for run in self.runs if run.backend})) or "not logged"

    @property
    def seeds(self) -> Number:
        """Return the number of seeds."""
        return self.number("seeds", len(self.runs), "count")

    @cached_property
    def accuracy(self) -> Number:
        """Return the test accuracy: the mean over seeds, with its interval where there are enough seeds for one."""
        return self.estimate("accuracy", accuracy_interval(self.correct_RN))

    @cached_property
    def deviation(self) -> Number:
        """Return the deviation of the accuracy from seed to seed; without a value for a single seed."""
        value = seed_deviation(self.correct_RN)
        still = ""
        if value is not None and value < 5e-5:
            still = "; 0.00 means that seeds differ no more than this noise explains, not that they agree"
        return self.number("deviation", value, "percent", DEVIATION + still, decimals=2)

    @property
    def run_accuracies(self) -> tuple[Number, ...]:
        """Return the test accuracy of each run, in the order of `runs`."""
        return tuple(
            Number(f"{self.key}.run-{place}.accuracy", float(correct_N.mean()), "percent", (run.run_id,),
                   self.example_N.size, "one run")
            for place, (run, correct_N) in enumerate(zip(self.runs, self.correct_RN, strict=True), start=1))

    @cached_property
    def correct_RN(self) -> NDArray[np.bool_]:
        """Return whether seed r classifies example i correctly."""
        right_RN = metrics.predicted(self.probability_RN) == (self.label_N == 1)
        return np.asarray(right_RN, dtype=np.bool_)

    def number(self, name: str, value: float | None, kind: Kind, method: str = "", **more: Any) -> Number:
        """Return a number of this group that is computed from all its runs."""
        return Number(f"{self.key}.{name}", value, kind, self.ids, self.example_N.size, method, **more)

    def estimate(self, name: str, found: Estimate) -> Number:
        """Return an estimate as a percentage, without an interval where there are too few seeds for one."""
        if not found.evidence_level.has_interval:
            return self.number(name, found.estimate, "percent", "mean of two seeds: an estimate only")
        method = f"95 % interval: {found.method}"
        return self.number(name, found.estimate, "percent", method, low=found.low, high=found.high)

    def over_runs(self, name: str, values: Sequence[float], kind: Kind) -> Number:
        """Return the mean of a value over runs, with its lowest and highest."""
        if not values:
            return self.number(name, None, kind, "not logged")
        if len(values) == 1:
            return self.number(name, values[0], kind, "one run")
        method = "mean over runs; lowest to highest"
        return self.number(name, float(np.mean(values)), kind, method, low=min(values), high=max(values))

    def accuracy_on(self, name: str, inside_N: NDArray[np.bool_]) -> Number:
        """Return the accuracy on some of the examples, with its interval where there are enough seeds for one."""
        correct_RN = self.correct_RN[:, inside_N]
        key, size = f"{self.key}.{name}", int(inside_N.sum())
        found = accuracy_interval(correct_RN) if size > 1 else None
        if found is None or not found.evidence_level.has_interval:
            return Number(key, float(correct_RN.mean()), "percent", self.ids, size, "mean over seeds")
        method = f"95 % interval: {found.method}"
        return Number(key, found.estimate, "percent", self.ids, size, method, found.low, found.high)


def families(groups: Sequence[Group]) -> list[list[Group]]:
    """Return lists of the groups that share a test set."""
    found: list[list[Group]] = []
    for group in groups:
        for family in found:
            if family[0].fingerprint == group.fingerprint and np.array_equal(family[0].example_N, group.example_N):
                family.append(group)
                break
        else:
            found.append([group])
    return found


def confirm_groups(studies: Sequence[LoggedStudy], store: Store) -> tuple[list[Group], list[Sentence]]:
    """Return the groups of confirm runs that can be shown, and sentences about what cannot."""
    groups: list[Group] = []
    gaps: list[Sentence] = []
    taken: set[str] = set()
    places: set[str] = set()
    several = Counter(model for study in studies for model in {run.model for run in study.confirms})
    for study in studies:
        name = study_name(study)
        place = slug(name, "study")
        whole = [run for run in study.confirms if run.complete]
        if study.summary is None:
            gaps.append((f"The study {name} is not finished: this report shows what it has so far.",))
        gaps += _extended(study, name, free_name(f"extended-{place}", places))
        expected = _expected(study)
        if not whole and not expected:
            gaps.append((f"The study {name} has no complete confirm run yet.",))
        for model in expected:
            label = model_name(model)
            label = f"{label} ({name})" if several[model] > 1 else label
            key = free_name(f"{place}-{slug(model, 'model')}", taken)
            runs, said = _chosen(study, model, key, label, [run for run in whole if run.model == model])
            gaps += said
            group, said = scored(store, runs, key, label, model, study)
            gaps += said
            if group is None:
                gaps.append((f"{label} has no complete confirm run and is left out.",))
            else:
                groups.append(group)
    return groups, gaps


def _expected(study: LoggedStudy) -> tuple[str, ...]:
    """Return the models that a study is to confirm, as far as it tells."""
    if study.summary is not None:
        return study.summary.models
    return tuple(dict.fromkeys([*study.plan().models, *sorted({run.model for run in study.confirms})]))


def _extended(study: LoggedStudy, name: str, key: str) -> list[Sentence]:
    """Disclose a confirm set that has grown since the study began: its size is part of the design."""
    planned = study.plan().confirm
    seeds = Counter(model for model, _ in {(run.model, run.seed) for run in study.confirms})
    now = max([len(study.summary.confirm_seeds) if study.summary else 0, *seeds.values()])
    if planned is None or now <= planned:
        return []
    return [(
        f"The confirm set of {name} was extended: the study began with ",
        Number(f"{key}.planned", planned, "count", (study.run.run_id,)), " seeds for each model and now has ",
        Number(f"{key}.now", now, "count", (study.run.run_id,)), ". If seeds are added after a look at the "
        "result, intervals become too narrow and verdicts too confident. A new confirm set avoids both.",
    )]


def _chosen(
    study: LoggedStudy, model: str, key: str, label: str, runs: list[LoggedRun]
) -> tuple[list[LoggedRun], list[Sentence]]:
    """Return one run for each seed, all with the final configuration of the study, and sentences about the others."""
    said: list[Sentence] = []
    final = None
    kept: dict[int | None, LoggedRun] = {}
    others = []
    for run in sorted(runs, key=lambda run: run.started, reverse=True):
        try:
            settings = _settings(run)
        except RunError:
            said.append((f"{label}: the run {run.run_id} has no readable settings and is left out.",))
            continue
        final = final or settings
        if settings != final:
            others.append(run)
        else:
            kept.setdefault(run.seed, run)
    if others:
        count = Number(f"{key}.other-configuration", len(others), "count", tuple(r.run_id for r in others))
        said.append((f"{label}: ", count, *_runs_are(others), " left out (earlier settings or other data)."))
    lost = sorted(
        {r.seed for r in study.confirms if r.model == model and not r.complete and r.seed not in kept},
        key=lambda seed: (seed is None, seed or 0),
    )
    if lost:
        gone = tuple(r.run_id for r in study.confirms if r.model == model and not r.complete and r.seed in lost)
        count = Number(f"{key}.lost-seeds", len(lost), "count", gone)
        names = ", ".join("unknown" if seed is None else str(seed) for seed in lost)
        said.append((f"{label}: ", count, *_runs_are(lost), f" not complete (seed{'s' * (len(lost) > 1)} {names}); "
                     "the numbers use the other runs."))
    planned = set(study.summary.confirm_seeds) if study.summary else set()
    absent = sorted(planned - set(kept) - set(lost))
    if absent and kept:
        count = Number(f"{key}.absent-seeds", len(absent), "count", (study.run.run_id,))
        said.append((f"{label}: ", count, " planned seeds without a run: "
                     f"{', '.join(map(str, absent))}."))
    asked = study.plan().confirm
    if study.summary is None and asked is not None and (left := asked - len(kept)) > 0:
        own = (study.run.run_id,)
        said.append((f"{label}: ", Number(f"{key}.missing-seeds", left, "count", own), " of the ",
                     Number(f"{key}.planned-seeds", asked, "count", own), " planned confirm seeds "
                     f"{'has' if left == 1 else 'have'} no complete run yet."))
    return sorted(kept.values(), key=lambda run: (run.seed is None, run.seed or 0)), said


def _runs_are(runs: Sequence[object]) -> tuple[str]:
    """Return the words after a number of confirm runs."""
    return (" confirm run is",) if len(runs) == 1 else (" confirm runs are",)


def scored(
    store: Store, runs: Sequence[LoggedRun], key: str, label: str, model: str, study: LoggedStudy, split: str = "test"
) -> tuple[Group | None, list[Sentence]]:
    """Return the runs' predictions of a split as one group, and sentences about runs left out; None for no run."""
    said: list[Sentence] = []
    usable: list[LoggedRun] = []
    read: list[Predictions] = []
    for run in runs:
        try:
            predictions = store.predictions(run.run_id, split)
        except RunError:
            said.append((f"{label}: the run {run.run_id} has no readable {split} predictions and is left out.",))
            continue
        order_N = np.argsort(predictions.example_id_N, kind="stable")
        predictions = Predictions(*(getattr(predictions, name)[order_N] for name in (
            "example_id_N", "label_N", "probability_N", "category_N", "tokens_N", "dropped_N")))
        if read and not _same_examples(read[0], predictions):
            said.append((f"{label}: the run {run.run_id} was scored on other {split} examples and is left out.",))
            continue
        logged = run.metrics.get(score("accuracy", SPLIT_NAMES[split]).key)
        right = metrics.correct(predictions.label_N, predictions.probability_N).mean()
        if logged is not None and abs(logged - right) > 1e-6:
            said.append((f"{label}: the {split} accuracy logged by the run {run.run_id} differs from that of its "
                         "predictions; the predictions are used.",))
        usable.append(run)
        read.append(predictions)
    if not read:
        return None, said
    first = read[0]
    return Group(
        key, label, study_name(study), model, study.run, study.summary, study_data(study, store),
        unfinished(study), tuple(usable),
        first.example_id_N, first.label_N, first.category_N, first.tokens_N,
        np.stack([predictions.probability_N for predictions in read]),
    ), said


def free_name(name: str, taken: set[str]) -> str:
    """Return `name`, or where it is taken the first of `name-2`, `name-3`, ... that is not."""
    place = 2
    free = name
    while free in taken:
        free, place = f"{name}-{place}", place + 1
    taken.add(free)
    return free


def _settings(run: LoggedRun) -> tuple[str, RunConfig]:
    """Return what must be equal between the runs of a group: the data, and all settings but the seed."""
    config = run.config()
    free = {"threads": None, "device": "auto"}
    return run.fingerprint, config.model_copy(
        update={"seed": 0, "training": config.training.model_copy(update=free)})


def _same_examples(one: Predictions, two: Predictions) -> bool:
    return np.array_equal(one.example_id_N, two.example_id_N) and np.array_equal(one.label_N, two.label_N)
