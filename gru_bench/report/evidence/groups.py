"""Groups of confirm runs that belong together, with what each run predicts for the same test examples.

Nothing is dropped silently: a warning is returned for whatever cannot be shown.

Shapes: `R` runs (seeds) of a model, `N` test examples, `C` classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import PRESETS, MetricName, RunConfig, Scalar, flat
from gru_bench.errors import RunError
from gru_bench.report.document.numbers import KINDS, Kind, Number, Scale, plain, scale_of, slug
from gru_bench.report.document.sentences import Field, Statement
from gru_bench.report.evidence.gaps import gap
from gru_bench.report.evidence.progress import study_data, study_name
from gru_bench.report.evidence.store import Store
from gru_bench.results.logged_metrics import SPLIT_NAMES, Metric, score
from gru_bench.results.runs import TWO_CLASSES, DataSummary, Predictions
from gru_bench.stats import metrics
from gru_bench.stats.estimate import Estimate, accuracy_interval, may_be_guessing
from gru_bench.stats.intervals import Scored, deviation, interval, interval_together
from gru_bench.stats.metrics import guessing
from gru_bench.tracking import LoggedRun, LoggedStudy

UNCATEGORIZED = "(none)"
"""The name of the category of reviews that have none."""
LISTED_CLASSES = 200
"""Largest number of classes that a table lists: of more, it lists the largest ones."""
UNEVEN = 2
"""Ratio of the largest class to the smallest one from which on accuracy alone says little about the small ones."""


def model_name(model: str) -> str:
    """Return what a report calls a model."""
    return PRESETS[model].label if model in PRESETS else plain(model)


@dataclass(frozen=True)
class Group:
    """The confirm runs of one model of one study that belong together, and what they predict."""

    key: str
    label: str
    model: str
    study: LoggedStudy
    data: DataSummary | None
    """The data of the study; None where its run does not hold it."""
    runs: tuple[LoggedRun, ...]
    example_N: NDArray[np.str_]
    label_N: NDArray[np.integer[Any]]
    category_N: NDArray[np.str_]
    tokens_N: NDArray[np.int32]
    probability_RNC: NDArray[np.float32]
    """Probability of each class."""
    whole: bool = True
    """Whether all probabilities are known."""
    metric: MetricName = "accuracy"
    """Score that the report compares."""
    group_N: NDArray[np.str_] | None = None
    """Name of each example's group. None where the data have no groups."""

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
        return self.study.summary.best.get(self.model, {}) if self.study.summary is not None else {}

    @property
    def backend(self) -> str:
        """Return the backends that the runs used."""
        return ", ".join(sorted({plain(run.backend) for run in self.runs if run.backend})) or "not logged"

    @property
    def seeds(self) -> Number:
        """Return the number of seeds."""
        return self.number("seeds", len(self.runs), "count")

    def score_by(self, metric: MetricName) -> Number:
        """Return a score: the mean over seeds, with its interval where there are enough seeds for one."""
        return self.estimate(_named(metric), interval(metric, self.scored), scale_of(metric).kind)

    @cached_property
    def accuracy(self) -> Number:
        """Return the test accuracy."""
        return self.score_by("accuracy")

    @cached_property
    def score(self) -> Number:
        """Return the score that the report compares."""
        return self.score_by(self.metric)

    @property
    def scale(self) -> Scale:
        """Return how the score is shown."""
        return scale_of(self.metric)

    @cached_property
    def guessing(self) -> Number:
        """Return this score of guessing, for someone who knows how frequent each class is."""
        return self.number("guessing", guessing(self.metric, self.label_N, len(self.classes)), self.scale.kind,
                           "of the frequencies of the classes, without a look at the text")

    @cached_property
    def may_be_guessing(self) -> bool:
        """Return whether the interval of this score does not lie on the better side of guessing."""
        guess = self.guessing.value
        return guess is not None and may_be_guessing(self.metric, interval(self.metric, self.scored), guess)

    @cached_property
    def score_deviation(self) -> Number:
        """Return the deviation of this score from seed to seed; without a value for a single seed."""
        name = "deviation" if self.metric == "accuracy" else f"{_named(self.metric)}-deviation"
        number = self.number(
            name, deviation(self.metric, self.scored), self.scale.kind, "part of the standard deviation over seeds "
            f"that the noise of the test set does not explain{', in points' if self.scale.kind == 'percent' else ''}",
            decimals=2 if self.scale.kind == "percent" else 4)
        still = "; 0 means that seeds differ no more than this noise explains, not that they agree"
        return replace(number, method=number.method + still) if number.is_zero else number

    @property
    def has_together(self) -> bool:
        """Return whether the seeds can be scored together: there are several, and all their probabilities are known."""
        return len(self.runs) > 1 and self.whole

    @cached_property
    def score_together(self) -> Number:
        """Return this score of all seeds together, with its interval over test reviews only.

        It is about these very seeds. No comparison of models uses it.
        """
        return self.estimate(f"together.{slug(self.metric)}", interval_together(self.metric, self.scored),
                             self.scale.kind)

    def scores_by_run(self, metric: MetricName) -> tuple[Number, ...]:
        """Return a score of each run, in the order of `runs`."""
        return tuple(
            Number(f"{self.key}.run-{place}.{_named(metric)}", value, scale_of(metric).kind, (run.run_id,),
                   self.example_N.size, "one run")
            for place, (run, value) in enumerate(zip(self.runs, self.scored.scores(metric), strict=True), start=1))

    @cached_property
    def scored(self) -> Scored:
        """Return what the runs predict, for the estimates of any score."""
        return Scored(self.label_N, self.probability_RNC, self.group_N)

    @property
    def predicted_RN(self) -> NDArray[np.int_]:
        """Return the class that seed r predicts for example i, as its position."""
        return self.scored.predicted_RN

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, as a report shows them."""
        return class_names(self.data, self.probability_RNC[0])

    @property
    def is_binary(self) -> bool:
        """Return whether there are two classes."""
        return self.scored.classes == 2

    @cached_property
    def counts_RCC(self) -> NDArray[np.int_]:
        """Return the confusion matrix of each seed: a row for each true class, a column for each predicted one."""
        return np.stack([metrics.counts(self.label_N, predicted_N, len(self.classes))
                         for predicted_N in self.predicted_RN])

    @property
    def is_uneven(self) -> bool:
        """Return whether the classes of the test examples are uneven."""
        return are_uneven(np.bincount(self.label_N, minlength=len(self.classes)))

    @cached_property
    def correct_RN(self) -> NDArray[np.bool_]:
        """Return whether seed r classifies example i correctly."""
        return self.scored.correct_RN

    def number(
        self, name: str, value: float | None, kind: Kind, method: str = "", examples: int | None = None, **more: Any
    ) -> Number:
        """Return a number of this group that is computed from all its runs, and from all examples or so many."""
        size = self.example_N.size if examples is None else examples
        return Number(f"{self.key}.{name}", value, kind, self.ids, size, method, **more)

    def of_study(self, name: str, value: float | None, kind: Kind, method: str = "", **more: Any) -> Number:
        """Return a number of this group that the study's own run holds."""
        return Number(f"{self.key}.{name}", value, kind, (self.study.run.run_id,), method=method, **more)

    def estimate(self, name: str, found: Estimate, kind: Kind = "percent") -> Number:
        """Return an estimate, without an interval where there are too few seeds for one."""
        if not found.evidence_level.has_interval:
            return self.number(name, found.estimate, kind, "mean of two seeds: an estimate only")
        return self.number(name, found.estimate, kind, f"95 % interval: {found.method}", found.examples,
                           low=found.low, high=found.high)

    def over_runs(self, name: str, values: Sequence[float], kind: Kind) -> Number:
        """Return the mean of a value over runs, with its lowest and highest."""
        if len(values) < 2:
            return self.number(name, values[0] if values else None, kind, "one run" if values else "not logged")
        return self.number(name, float(np.mean(values)), kind, "mean over runs; lowest to highest",
                           low=min(values), high=max(values))

    def logged(self, metric: Metric) -> Number:
        """Return the mean of a logged metric over runs, with its lowest and highest; bytes in MB."""
        name = slug(metric.key.partition("/")[2]).removesuffix("-bytes")
        scale = 1e6 if metric.unit == "bytes" else 1
        values = [run.metrics[metric.key] / scale for run in self.runs if metric.key in run.metrics]
        return self.over_runs(name, values, KINDS[metric.unit])

    def accuracy_on(self, name: str, inside_N: NDArray[np.bool_]) -> Number:
        """Return the accuracy on some of the examples, with its interval where there are enough seeds for one."""
        correct_RN = self.correct_RN[:, inside_N]
        size = correct_RN.shape[1]
        group_N = None if self.group_N is None else self.group_N[inside_N]
        if len(np.unique(np.arange(size) if group_N is None else group_N)) > 1:
            found = accuracy_interval(correct_RN, group_N=group_N)
            if found.evidence_level.has_interval:
                return self.estimate(name, found)
        return self.number(name, float(correct_RN.mean()), "percent", "mean over seeds", size)


def are_uneven(counts: Iterable[int]) -> bool:
    """Return whether the largest class has at least `UNEVEN` times the examples of the smallest one."""
    count_C = np.fromiter(counts, np.int64)
    return bool(count_C.max() >= UNEVEN * count_C.min())


def _named(metric: MetricName) -> str:
    """Return the part of a key that stands for a score."""
    return "accuracy" if metric == "accuracy" else f"score-{slug(metric)}"


def families(groups: Sequence[Group]) -> list[list[Group]]:
    """Return lists of the groups that share a test set."""
    found: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        found.setdefault((group.fingerprint, *group.example_N.tolist()), []).append(group)
    return list(found.values())


def confirm_groups(studies: Sequence[LoggedStudy], store: Store) -> tuple[list[Group], list[Statement]]:
    """Return the groups of confirm runs that can be shown, and warnings of what cannot."""
    groups: list[Group] = []
    metric = metric_of(studies)
    gaps = _several_metrics(studies)
    taken: set[str] = set()
    several = Counter(model for study in studies for model in {run.model for run in study.confirms})
    for study in studies:
        name, place = study_name(study), slug(study_name(study), "study")
        if study.summary is None:
            gaps.append(gap("unfinished-study", study=name))
        gaps += _extended(study, name, free_name(f"extended-{place}", taken))
        expected = _expected(study)
        if not expected:
            gaps.append(gap("no-confirm-run", study=name))
        for model in expected:
            label = f"{model_name(model)} ({name})" if several[model] > 1 else model_name(model)
            key = free_name(f"{place}-{slug(model, 'model')}", taken)
            runs, said = _chosen(study, model, key, label)
            if runs and (read := runs[0].config().model).is_bidirectional and not read.preset.bidirectional:
                label += ", both directions"
            group, missing = scored(store, runs, key, label, model, study)
            gaps += [*said, *missing]
            if group is None:
                gaps.append(gap("no-confirm-run-of-model", model=label))
            else:
                groups.append(replace(group, metric=metric))
    return groups, gaps


def metric_of(studies: Sequence[LoggedStudy]) -> MetricName:
    """Return the score that a report compares: the one that its studies are about, or accuracy where they differ."""
    found = {study.plan().metric for study in studies}
    return found.pop() if len(found) == 1 else "accuracy"


def _several_metrics(studies: Sequence[LoggedStudy]) -> list[Statement]:
    names = [f"{study_name(study)} is about {scale_of(study.plan().metric).score}" for study in studies]
    if len({study.plan().metric for study in studies}) < 2:
        return []
    return [gap("several-metrics", metrics="; ".join(names))]


def _expected(study: LoggedStudy) -> tuple[str, ...]:
    """Return the models that a study is to confirm, as far as it tells."""
    planned = study.summary.models if study.summary is not None else study.plan().models
    return tuple(dict.fromkeys([*planned, *sorted({run.model for run in study.confirms})]))


def _extended(study: LoggedStudy, name: str, key: str) -> list[Statement]:
    """Disclose a confirm set that has grown since the study began: its size is part of the design."""
    planned = study.plan().confirm
    seeds = Counter(model for model, _ in {(run.model, run.seed) for run in study.confirms})
    now = max([len(study.summary.confirm_seeds) if study.summary else 0, *seeds.values()])
    if planned is None or now <= planned:
        return []
    return [gap("extended-study", study=name, planned=Number(f"{key}.planned", planned, "count", (study.run.run_id,)),
                now=Number(f"{key}.now", now, "count", (study.run.run_id,)))]


def _chosen(study: LoggedStudy, model: str, key: str, label: str) -> tuple[list[LoggedRun], list[Statement]]:
    """Return one run for each seed, all with the final configuration of the study, and warnings of the others."""
    said: list[Statement] = []

    def tell(code: str, **fields: Field) -> None:
        said.append(gap(code, model=label, **fields))

    def number(name: str, value: int, runs: Sequence[LoggedRun]) -> Number:
        return Number(f"{key}.{name}", value, "count", tuple(run.run_id for run in runs))

    final = None
    kept: dict[int | None, LoggedRun] = {}
    others: list[LoggedRun] = []
    own = [run for run in study.confirms if run.model == model]
    for run in sorted((run for run in own if run.complete), key=lambda run: run.started, reverse=True):
        try:
            settings = _settings(run)
        except RunError:
            tell("unreadable-settings", run=run.run_id)
            continue
        final = final or settings
        if settings == final:
            kept.setdefault(run.seed, run)
        else:
            others.append(run)
    if others:
        tell("other-settings", runs=number("other-configuration", len(others), others))
    lost = [run for run in own if not run.complete and run.seed not in kept]
    seeds = sorted({run.seed for run in lost}, key=lambda seed: seed or 0)
    if lost:
        names = ", ".join("unknown" if seed is None else str(seed) for seed in seeds)
        tell("incomplete-runs", seeds=number("lost-seeds", len(seeds), lost), names=names)
    absent = sorted(set(study.summary.confirm_seeds) - {*kept, *seeds}) if study.summary else []
    if absent and kept:
        tell("seeds-without-run", seeds=number("absent-seeds", len(absent), [study.run]),
             names=", ".join(map(str, absent)))
    asked = None if study.plan().looks else study.plan().confirm  # how many seeds looks take is not known before
    if study.summary is None and asked is not None and (left := asked - len(kept)) > 0:
        tell("seeds-to-come", left=number("missing-seeds", left, [study.run]),
             planned=number("planned-seeds", asked, [study.run]))
    return sorted(kept.values(), key=lambda run: run.seed or 0), said


def scored(
    store: Store, runs: Sequence[LoggedRun], key: str, label: str, model: str, study: LoggedStudy, split: str = "test"
) -> tuple[Group | None, list[Statement]]:
    """Return the runs' predictions of a split as one group, and warnings of runs left out; None for no run."""
    said: list[Statement] = []
    usable: list[LoggedRun] = []
    read: list[Predictions] = []
    for run in runs:
        try:
            predictions = store.predictions(run.run_id, split).by_id()
        except RunError:
            said.append(gap("unreadable-predictions", model=label, run=run.run_id, split=split))
            continue
        if read and not _same_examples(read[0], predictions):
            said.append(gap("other-examples", model=label, run=run.run_id, split=split))
            continue
        logged = run.metrics.get(score("accuracy", SPLIT_NAMES[split]).key)
        right = metrics.correct(predictions.label_N, predictions.probability_NC).mean()
        if logged is not None and abs(logged - right) > 1e-6:
            said.append(gap("other-accuracy", model=label, run=run.run_id, split=split))
        usable.append(run)
        read.append(predictions)
    if not read:
        return None, said
    first = read[0]
    return Group(
        key, label, model, study, study_data(study, store), tuple(usable),
        first.example_id_N, first.label_N, first.category_N, first.tokens_N,
        np.stack([predictions.probability_NC for predictions in read]), all(predictions.whole for predictions in read),
        group_N=first.group_N,
    ), said


def class_names(data: DataSummary | None, probability_NC: NDArray[np.float32]) -> tuple[str, ...]:
    """Return the names of the classes that a run predicts, or numbers where the data does not tell their names."""
    count = probability_NC.shape[1]
    known = TWO_CLASSES if data is None else data.classes
    if len(known) != count:
        return tuple(f"class {place}" for place in range(count))
    return tuple(map(plain, known))


def class_keys(names: Sequence[str]) -> list[str]:
    """Return a part of a key for each class, made from its name."""
    taken: set[str] = set()
    return [f"class.{free_name(slug(name), taken)}" for name in names]


def free_name(name: str, taken: set[str]) -> str:
    """Return `name`, or where it is taken the first of `name-2`, `name-3`, ... that is not."""
    numbered = (f"{name}-{place}" for place in count(2))
    free = next(one for one in chain([name], numbered) if one not in taken)
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
