"""Groups of confirmation runs that belong together, with what each run predicts for the same test examples.

Nothing is dropped silently: a warning is returned for whatever cannot be shown.

Shapes: `R` runs (seeds) of a model, `N` test examples, `C` classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import PRESETS, MetricName, RunConfig, Scalar, flat, is_own, preset_of
from gru_bench.data.groups import strata_of
from gru_bench.document.numbers import (
    KINDS,
    Kind,
    Number,
    Numbers,
    Scale,
    plain,
    scale_of,
    slug,
)
from gru_bench.document.sentences import Field, Sentence, say
from gru_bench.errors import RunError
from gru_bench.evidence.progress import study_data, study_name
from gru_bench.evidence.store import Store
from gru_bench.results.baselines import MAJORITY
from gru_bench.results.logged_metrics import SPLIT_NAMES, TRAIN_SECONDS, Metric
from gru_bench.results.runs import DataSummary, Predictions
from gru_bench.stats import metrics
from gru_bench.stats.classes import RARE, are_uneven
from gru_bench.stats.estimate import Estimate, accuracy_interval, may_be_guessing
from gru_bench.stats.intervals import interval
from gru_bench.stats.scores import Scored, guessing, score
from gru_bench.tracking import FILE, LoggedRun, LoggedStudy

UNCATEGORIZED = "(none)"
"""The name of the category of texts that have none."""
LISTED_CLASSES = 200
"""Largest number of classes that a table lists: of more, it lists the largest ones."""


def model_name(model: str) -> str:
    """Return what a report calls a model."""
    return plain(preset_of(model).label if model in PRESETS or is_own(model) else model)


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelRuns(Scored):
    """The confirmation runs of one model of one study that belong together, and what they predict."""

    numbers: Numbers
    """Gives its numbers their keys. `of_study`, `of_runs` and those after them say what numbers are computed from."""
    label: str
    model: str
    study: LoggedStudy
    data: DataSummary | None
    """The data of the study; None where its run does not hold it."""
    runs: tuple[LoggedRun, ...]
    example_N: NDArray[np.str_]
    category_N: NDArray[np.str_]
    tokens_N: NDArray[np.int32]
    whole: bool = True
    """Whether all probabilities are known."""
    metric: MetricName = "accuracy"
    """Score that the report compares."""
    given_classes: tuple[str, ...] = ()
    """Names of the classes of files of predictions. Empty where the data of a study tell them."""
    group_columns: tuple[str, ...] = ()
    """The columns of groups of files of predictions."""
    refusals: Mapping[str, int] = field(default_factory=dict)
    """Prediction that is no class and counts as wrong -> how often it is predicted, the most frequent first."""
    split: str = "test"
    """The split of the examples."""

    @property
    def key(self) -> str:
        """Return the first part of the keys of its numbers."""
        return self.numbers.key

    @property
    def parts(self) -> tuple[ModelRuns, ...]:
        """Return the groups whose runs it is of: itself, or the two models of an average."""
        return (self,)

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the runs' ids."""
        return tuple(run.run_id for part in self.parts for run in part.runs)

    @property
    def trial_ids(self) -> tuple[str, ...]:
        """Return the ids of the trials of its search."""
        return tuple(run.run_id for run in self.study.trials if run.model == self.model)

    @property
    def of_study(self) -> Numbers:
        """Return what makes those of its numbers that the study's own run holds."""
        return self.numbers.on((self.study.run.run_id,))

    @property
    def of_runs(self) -> Numbers:
        """Return what makes the numbers that its runs logged and that no texts enter, such as seconds and settings."""
        return self.numbers.on(self.ids)

    @property
    def on_examples(self) -> Numbers:
        """Return what makes the numbers that are computed from what its runs predict for all examples."""
        return self.numbers.on(self.ids, self.example_N.size, self.split)

    @property
    def on_validation(self) -> Numbers:
        """Return what makes the numbers that are computed from what its runs predict for the validation texts."""
        return self.numbers.on(self.ids, self.data.validation or None if self.data else None, "validation")

    @property
    def on_trials(self) -> Numbers:
        """Return what makes the numbers that are computed from the validation scores of the trials of its search."""
        return replace(self.on_validation, runs=self.trial_ids)

    @property
    def is_logged(self) -> bool:
        """Return whether the settings of its runs are known: those of files of predictions are not."""
        return self.runs[0].role != FILE

    @property
    def grouped_by(self) -> tuple[str, ...]:
        """Return the columns that tell the groups of its examples; empty where no column does, or it was not logged."""
        logged = "" if self.data is None else self.data.group_column
        return self.group_columns or ((plain(logged),) if logged else ())

    @property
    def has_classes(self) -> bool:
        """Return whether the classes are known, and not whether each answer is right alone."""
        return self.class_count > 0

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
    def processor(self) -> str:
        """Return the processors that the runs were trained on."""
        return ", ".join(sorted({plain(name) for run in self.runs if (name := run.tags.get("gru_bench.machine"))})
                         ) or "not logged"

    @property
    def seconds(self) -> Number:
        """Return the median of the seconds of training, with the lowest and the highest run."""
        return self.of_runs.over_runs(
            "median-train-seconds", [run.metrics[TRAIN_SECONDS.key] for run in self.runs
                                     if TRAIN_SECONDS.key in run.metrics], "amount", "median")

    @property
    def seeds(self) -> Number:
        """Return the number of seeds."""
        return self.of_runs.add("seeds", len(self.runs), "count")

    def score_by(self, metric: MetricName) -> Number:
        """Return a score: the mean over seeds, with its interval where there are enough seeds for one."""
        return self.estimated(_named(metric), interval(metric, self), scale_of(metric).kind)

    def estimated(self, name: str, found: Estimate, kind: Kind = "percent") -> Number:
        """Return an estimate on all examples. The majority class reads no text, so that it has no interval."""
        if self.model == MAJORITY:
            return self.on_examples.add(name, found.estimate, kind, "of the frequencies of the classes")
        return self.on_examples.estimate(name, found, kind)

    @cached_property
    def accuracy(self) -> Number:
        """Return the test accuracy."""
        return self.score_by("accuracy")

    @cached_property
    def score(self) -> Number:
        """Return the score that the report compares."""
        return self.score_by(self.metric)

    @property
    def rank(self) -> float:
        """Return the score, with the sign at which lower is better."""
        value = self.score.value or 0.0
        return -value if self.scale.higher_is_better else value

    @property
    def scale(self) -> Scale:
        """Return how the score is shown."""
        return scale_of(self.metric)

    @cached_property
    def guessing(self) -> Number:
        """Return this score of guessing, for someone who knows how frequent each class is; without a value where no
        class is known."""
        value = None
        if self.has_classes:
            value = guessing(self.metric, self.label_N, len(self.averaged))
        return self.on_examples.add("guessing", value, self.scale.kind,
                                    "of the frequencies of the classes, without reading the text")

    @cached_property
    def may_be_guessing(self) -> bool:
        """Return whether the interval of this score does not lie on the better side of guessing."""
        guess = self.guessing.value
        return guess is not None and may_be_guessing(self.metric, interval(self.metric, self), guess)

    def scores_by_run(self, metric: MetricName) -> tuple[Number, ...]:
        """Return a score of each run, in the order of `runs`."""
        return tuple(
            replace(self.on_examples, runs=(run.run_id,)).add(
                f"run-{place}.{_named(metric)}", value, scale_of(metric).kind, "one run")
            for place, (run, value) in enumerate(zip(self.runs, self.scores(metric), strict=True), start=1))

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, as a report shows them."""
        return self.given_classes or class_names(self.data, self.class_count)

    @cached_property
    def are_uneven(self) -> bool:
        """Return whether its classes are uneven: over all splits where that is logged, else on its examples."""
        counts = () if self.data is None else self.data.class_counts
        return are_uneven(counts if len(counts) == self.class_count else np.bincount(self.label_N).tolist())

    @cached_property
    def rare_classes(self) -> tuple[str, ...]:
        """Return the classes with fewer than `RARE` examples, the rarest first."""
        size_C = np.bincount(self.label_N, minlength=len(self.classes))
        return tuple(self.classes[index] for index in np.argsort(size_C, kind="stable") if size_C[index] < RARE)

    @property
    def is_binary(self) -> bool:
        """Return whether there are two classes."""
        return self.class_count == 2

    @cached_property
    def counts_RCC(self) -> NDArray[np.int_]:
        """Return the confusion matrix of each seed: a row for each true class, a column for each predicted one."""
        return np.stack([metrics.counts(self.label_N, predicted_N, len(self.classes))
                         for predicted_N in self.predicted_RN])

    def logged(self, metric: Metric) -> Number:
        """Return the mean of a logged metric that no texts enter, with its lowest and highest run; bytes in MB."""
        name = slug(metric.key.partition("/")[2]).removesuffix("-bytes")
        scale = 1e6 if metric.unit == "bytes" else 1
        values = [run.metrics[metric.key] / scale for run in self.runs if metric.key in run.metrics]
        return self.of_runs.over_runs(name, values, KINDS[metric.unit])

    def groups_of(self, inside_N: NDArray[np.bool_]) -> tuple[NDArray[np.str_] | None, NDArray[np.str_] | None]:
        """Return the groups of some of the examples, and the strata of these; None where the data have none."""
        return (None if self.group_N is None else self.group_N[inside_N],
                None if self.stratum_N is None else self.stratum_N[inside_N])

    def accuracy_on(self, numbers: Numbers, inside_N: NDArray[np.bool_]) -> Number:
        """Return the accuracy on some of the examples, with its interval where there are enough seeds for one.

        Args:
            numbers: Gives the number its key.
            inside_N: The examples.
        """
        correct_RN = self.correct_RN[:, inside_N]
        size = correct_RN.shape[1]
        (group_N, stratum_N), own = self.groups_of(inside_N), numbers.on(self.ids, size, self.split)
        if len(np.unique(np.arange(size) if group_N is None else group_N)) > 1:
            found = accuracy_interval(correct_RN, group_N, stratum_N)
            if found.has_interval:
                return own.estimate("", found)
        return own.add("", float(correct_RN.mean()), "percent", "mean over seeds")


def _named(metric: MetricName) -> str:
    return "accuracy" if metric == "accuracy" else f"score-{slug(metric)}"


def in_order(groups: Sequence[ModelRuns]) -> list[ModelRuns]:
    """Return groups in order of their scores, the best first."""
    return sorted(groups, key=lambda group: group.rank)


def confirm_groups(
    studies: Sequence[LoggedStudy], store: Store, numbers: Numbers
) -> tuple[list[ModelRuns], list[Sentence]]:
    """Return the groups of confirmation runs on the same test texts, and warnings of what cannot be shown."""
    groups: list[ModelRuns] = []
    gaps: list[Sentence] = []
    several = Counter(model for study in studies for model in {run.model for run in study.confirms})
    for study in studies:
        name, own_run = study_name(study), study.run.run_id
        gaps += _extended(study, name, numbers.named("extended", name, same=own_run).on([own_run]))
        for model in _expected(study):
            label = f"{model_name(model)} ({name})" if several[model] > 1 else model_name(model)
            own = numbers.named(name, model, same=own_run)
            runs, said = _chosen(study, model, own, label)
            if runs and (read := runs[0].config().model).is_bidirectional and not read.preset.bidirectional:
                label += ", both directions"
            group, missing = group_of(store, runs, own, label, model, study, study.plan().metric)
            gaps += [*said, *missing]
            if group is None:
                gaps.append(say("{model} has no complete confirmation run and is left out.", model=label))
            elif groups and not (group.fingerprint == groups[0].fingerprint
                                 and np.array_equal(group.example_N, groups[0].example_N)):
                gaps.append(say("{model} was scored on other test texts than {first} and is left out.", model=label,
                                first=groups[0].label))
            else:
                groups.append(group)
    return groups, gaps


def metric_of(studies: Sequence[LoggedStudy]) -> MetricName:
    """Return the score that a report compares: the one that its studies, which are one or more, are about."""
    return studies[0].plan().metric


def _expected(study: LoggedStudy) -> tuple[str, ...]:
    """Return the models that a study is to confirm, as far as it tells."""
    planned = study.summary.models if study.summary is not None else study.plan().models
    return tuple(dict.fromkeys([*planned, *sorted({run.model for run in study.confirms})]))


def _extended(study: LoggedStudy, name: str, numbers: Numbers) -> list[Sentence]:
    """Disclose confirmation seeds that were added after the study began: their number is part of the design."""
    planned = study.plan().confirm
    seeds = Counter(model for model, _ in {(run.model, run.seed) for run in study.confirms})
    now = max([len(study.summary.confirm_seeds) if study.summary else 0, *seeds.values()])
    if planned is None or now <= planned:
        return []
    return [say("{study} was started with {planned} confirmation seeds per model and now has {now}. Adding seeds "
                "because of results makes intervals too narrow. To avoid this, use only new seeds, and none of these.",
                study=name, planned=numbers.add("planned", planned), now=numbers.add("now", now))]


def _chosen(
    study: LoggedStudy, model: str, numbers: Numbers, label: str
) -> tuple[list[LoggedRun], list[Sentence]]:
    """Return one run for each seed, all with the final configuration of the study, and warnings of the others."""
    said: list[Sentence] = []

    def tell(template: str, **fields: Field) -> None:
        said.append(say(f"{{model}}: {template}", model=label, **fields))

    def number(name: str, value: int, runs: Sequence[LoggedRun]) -> Number:
        return numbers.on([run.run_id for run in runs]).add(name, value)

    final = None
    kept: dict[int | None, LoggedRun] = {}
    others: list[LoggedRun] = []
    own = [run for run in study.confirms if run.model == model]
    for run in sorted((run for run in own if run.complete), key=lambda run: run.started, reverse=True):
        try:
            settings = _settings(run)
        except RunError:
            tell("the run {run} has no readable settings and is left out.", run=run.run_id)
            continue
        final = final or settings
        if settings == final:
            kept.setdefault(run.seed, run)
        else:
            others.append(run)
    if others:
        tell("{runs} {runs:confirmation run is|confirmation runs are} left out (earlier settings or other data).",
             runs=number("other-configuration", len(others), others))
    lost = [run for run in own if not run.complete and run.seed not in kept]
    seeds = sorted({run.seed for run in lost}, key=lambda seed: seed or 0)
    asked = study.plan().confirm
    left = 0 if study.summary is not None or asked is None else asked - len(kept)
    if lost and left <= 0:
        names = ", ".join("unknown" if seed is None else str(seed) for seed in seeds)
        tell("{seeds} {seeds:confirmation run is|confirmation runs are} not complete ({seeds:seed|seeds} {names})"
             f"{'; the numbers use the other runs' if kept else ''}.", seeds=number("lost-seeds", len(seeds), lost),
             names=names)
    absent = sorted(set(study.summary.confirm_seeds) - {*kept, *seeds}) if study.summary else []
    if absent and kept:
        tell("{seeds} planned seeds without a run: {names}.", seeds=number("absent-seeds", len(absent), [study.run]),
             names=", ".join(map(str, absent)))
    if left > 0 and asked is not None and kept:
        tell("{left} of the {planned} planned confirmation seeds {left:has|have} no complete run yet.",
             left=number("missing-seeds", left, [study.run]), planned=number("planned-seeds", asked, [study.run]))
    return sorted(kept.values(), key=lambda run: run.seed or 0), said


def group_of(
    store: Store, runs: Sequence[LoggedRun], numbers: Numbers, label: str, model: str, study: LoggedStudy,
    metric: MetricName = "accuracy", split: str = "test",
) -> tuple[ModelRuns | None, list[Sentence]]:
    """Return the runs' predictions of a split as one group, and warnings of runs left out; None for no run."""
    said: list[Sentence] = []
    usable: list[LoggedRun] = []
    read: list[Predictions] = []
    for run in runs:
        try:
            predictions = store.predictions(run.run_id, split).by_id()
        except RunError:
            said.append(say("{model}: the run {run} has no readable {split} predictions and is left out.", model=label,
                            run=run.run_id, split=split))
            continue
        if read and not (np.array_equal(read[0].example_id_N, predictions.example_id_N)
                         and np.array_equal(read[0].label_N, predictions.label_N)):
            said.append(say("{model}: the run {run} was scored on other {split} texts and is left out.", model=label,
                            run=run.run_id, split=split))
            continue
        logged = run.metrics.get(score("accuracy", SPLIT_NAMES[split]).key)
        right = metrics.correct(predictions.label_N, predictions.probability_NC).mean()
        if logged is not None and abs(logged - right) > 1e-6:
            said.append(say("{model}: the {split} accuracy logged by the run {run} differs from that of its "
                            "predictions; the predictions are used.", model=label, run=run.run_id, split=split))
        usable.append(run)
        read.append(predictions)
    if not read:
        return None, said
    first, data = read[0], study_data(study, store)
    return ModelRuns(
        first.label_N, np.stack([predictions.probability_NC for predictions in read]), first.group_N,
        stratum_N=_strata(first) if data is not None and data.has_strata else None,
        numbers=numbers, label=label, model=model,
        study=study, data=data, runs=tuple(usable), example_N=first.example_id_N,
        category_N=first.category_N, tokens_N=first.tokens_N, whole=all(predictions.whole for predictions in read),
        metric=metric, split=split, is_fitted_once=usable[0].role == "baseline",
    ), said


def _strata(predictions: Predictions) -> NDArray[np.str_] | None:
    """Return the name of the stratum of each example's group; None without groups."""
    if predictions.group_N is None:
        return None
    stratum_of = strata_of(zip(predictions.group_N, predictions.label_N, predictions.category_N, strict=True))
    return np.array([f"{label} {category}" for label, category in map(stratum_of.__getitem__, predictions.group_N)])


def class_names(data: DataSummary | None, count: int) -> tuple[str, ...]:
    """Return the names of so many classes, or numbers where the data does not tell their names."""
    known = () if data is None else data.classes
    if len(known) != count:
        return tuple(f"class {place}" for place in range(count))
    return tuple(map(plain, known))


def _settings(run: LoggedRun) -> tuple[str, RunConfig]:
    """Return what must be equal between the runs of a group: the data, and all settings but the seed."""
    config = run.config()
    free = {"threads": None, "device": "auto"}
    return run.fingerprint, config.model_copy(
        update={"seed": 0, "training": config.training.model_copy(update=free)})
