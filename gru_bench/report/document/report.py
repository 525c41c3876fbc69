"""The content of a report: frozen values, numbers with their sources, and sentences, for the templates to show."""

from __future__ import annotations

from dataclasses import dataclass

from gru_bench.report.document.numbers import MISSING, Number, Sentence, numbers_in
from gru_bench.report.document.section import Section
from gru_bench.results.runs import DataSummary


@dataclass(frozen=True)
class RunLink:
    """A run that numbers came from."""

    run_id: str
    url: str | None
    seed: int | None
    accuracy: Number


@dataclass(frozen=True)
class KnownRun:
    """A run by its name, and its page where there is one."""

    run_id: str
    name: str
    study: str
    url: str | None


@dataclass(frozen=True)
class Setting:
    """A setting's value: a number, or text."""

    name: str
    value: Number | str


@dataclass(frozen=True)
class Row:
    """One model of one study: a row of the evaluation table, with its settings and runs."""

    key: str
    label: str
    study: str
    model: str
    backend: str
    fingerprint: str
    settings: tuple[Setting, ...]
    seeds: Number
    accuracy: Number
    deviation: Number
    extremes: tuple[Number, ...]
    """Accuracies of the lowest and of the highest seed; empty for one run."""
    f1: Number
    precision: Number
    recall: Number
    roc_auc: Number
    average_precision: Number
    loss: Number
    calibration: Number
    parameters: Number
    train_seconds: Number
    tokens_per_second: Number
    peak_memory: Number
    """Peak memory of the process, in MB."""
    confusion: tuple[Number, Number, Number, Number]
    """Mean counts over seeds: true negative, false positive, false negative, true positive."""
    confusion_spread: tuple[Number, Number, Number, Number]
    """Their standard deviations over seeds."""
    runs: tuple[RunLink, ...]


@dataclass(frozen=True)
class BaselineRow:
    """A baseline that is not a GRU, shown for context."""

    key: str
    name: str
    fingerprint: str
    accuracy: Number
    f1: Number
    seconds: Number


@dataclass(frozen=True)
class Comparison:
    """A pair of models on the same test examples; the first has the higher mean."""

    key: str
    a: str
    b: str
    difference: Number
    p: Number
    detectable: Number
    effect: Number
    """The difference over the larger of the two deviations over seeds."""
    chance: Number
    finding: str
    narrow: Number | None
    """The difference with its 90 % interval, where the finding rests on that."""
    sentence: Sentence


@dataclass(frozen=True)
class Epoch:
    """One epoch of a row, averaged over its seeds."""

    epoch: Number
    seeds: Number
    train_loss: Number
    validation_loss: Number
    validation_accuracy: Number


@dataclass(frozen=True)
class WindowLosses:
    """The training loss by window: mean, lowest and highest over seeds, by position in epochs."""

    epoch: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """The learning curve of a row."""

    key: str
    label: str
    epochs: tuple[Epoch, ...]
    window_losses: WindowLosses | None
    best: Number
    """The epoch of the best checkpoint, averaged over seeds."""


@dataclass(frozen=True)
class LossCurve:
    """The training loss of a model, averaged over windows of iterations."""

    label: str
    window: Number
    """Number of iterations that a loss is averaged over."""
    seeds: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]
    """Each seed's name, and its iterations and losses in nats per review."""
    first: Number
    last: Number
    lowest: Number
    lowest_at: Number


@dataclass(frozen=True)
class Category:
    """Accuracy on one category, by row."""

    name: str
    examples: Number
    accuracy: tuple[Number, ...]


@dataclass(frozen=True)
class CategoryTable:
    """Accuracy by category for the rows that share a test set."""

    key: str
    labels: tuple[str, ...]
    categories: tuple[Category, ...]


@dataclass(frozen=True)
class LengthBin:
    """Accuracy on reviews of a range of lengths, by row."""

    low: Number
    high: Number
    examples: Number
    accuracy: tuple[Number, ...]


@dataclass(frozen=True)
class LengthTable:
    """Accuracy by length for the rows that share a test set; lengths are counted in tokens of the first row."""

    key: str
    labels: tuple[str, ...]
    bins: tuple[LengthBin, ...]
    caution: Sentence
    """A caution that length and category are related; empty where they are not."""


@dataclass(frozen=True)
class Confidence:
    """The predictions in one range of confidence, and how often they are correct, averaged over seeds."""

    low: Number
    high: Number
    share: Number
    confidence: Number
    accuracy: Number
    few: bool
    """Whether there are too few predictions of a seed for a useful accuracy; the figure leaves such a range out."""


@dataclass(frozen=True)
class Reliability:
    """The reliability of a row: accuracy by confidence."""

    key: str
    label: str
    bins: tuple[Confidence, ...]


@dataclass(frozen=True)
class Review:
    """A shortened test review, and which models classify it correctly."""

    text: str
    said: Sentence


@dataclass(frozen=True)
class HardReviews:
    """For rows that share a test set: the reviews they disagree on most, and some that every run misclassifies."""

    key: str
    disagreed: tuple[Review, ...]
    failed: tuple[Review, ...]
    failed_count: Sentence
    """Empty where each review is classified correctly by some run."""


@dataclass(frozen=True)
class BestOfTrials:
    """The expected best validation accuracy of a number of fresh random trials."""

    trials: Number
    best: Number


@dataclass(frozen=True)
class ExpectedBest:
    """The expected best validation accuracy of a model by the number of random trials."""

    key: str
    label: str
    points: tuple[BestOfTrials, ...]


@dataclass(frozen=True)
class SettingComparison:
    """One setting: its value in the homework and in each tuned row."""

    name: str
    homework: Number
    ours: tuple[Number | str, ...]


@dataclass(frozen=True)
class HomeworkSettings:
    """The settings of the homework compared with those of the tuned rows."""

    labels: tuple[str, ...]
    settings: tuple[SettingComparison, ...]


@dataclass(frozen=True)
class Dimension:
    """A setting that was searched."""

    name: str
    range: str
    best: Number | str
    importance: Number
    edge: str
    """The end of its range at which the best value lies; empty where it lies at neither."""


@dataclass(frozen=True)
class Search:
    """The search of one model: its budget, its best trial, and the accuracy of fresh seeds."""

    key: str
    label: str
    sampler: str
    pruner: str
    objective: str
    trials: Number
    epochs: Number
    space: tuple[Dimension, ...]
    importance_method: str
    importance_caution: Sentence
    """Why the importance is unreliable; empty where it is not."""
    best: Number
    confirmed: Number
    test: Number
    gap: Sentence
    edges: Sentence


@dataclass(frozen=True)
class DataView:
    """The data behind the numbers."""

    key: str
    summary: DataSummary
    name: str
    studies: tuple[str, ...]
    facts: tuple[tuple[str, Number | str], ...]
    categories: tuple[tuple[str, Number], ...]


@dataclass(frozen=True)
class RunCounts:
    """How many runs of one stage of a study ended in which state."""

    key: str
    study: str
    stage: str
    complete: Number
    pruned: Number
    failed: Number
    other: Number
    reasons: tuple[tuple[str, str], ...]
    """The name of each run that is not complete, and why."""


@dataclass(frozen=True)
class StudyView:
    """A study: its name, purpose, notes and own run."""

    name: str
    purpose: str
    run_id: str
    url: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What a report was made from besides its studies; it is needed to compute the report again."""

    tracking_uri: str
    """Without a user's name and password; a file below the working directory is named from there."""
    cautions_before: tuple[str, ...]
    """Cautions that were known before the studies were read."""
    known_studies: tuple[str, ...]
    """Names of the experiment's studies, which a new study must not have."""
    mcnemar_runs: tuple[str, str] | None
    """Two runs to compare by McNemar's test; None where none were named."""


@dataclass(frozen=True)
class Report:
    """The whole content of a report."""

    title: str
    experiment: str
    period: str
    """The days on which the runs began."""
    studies: tuple[StudyView, ...]
    summary: tuple[Sentence, ...]
    cautions: tuple[Sentence, ...]
    rows: tuple[Row, ...]
    baselines: tuple[BaselineRow, ...]
    below_baseline: tuple[Sentence, ...]
    margin: Number
    """The largest difference of no practical weight."""
    comparisons: tuple[Comparison, ...]
    remove_limit_commands: tuple[str, ...]
    """Commands that repeat studies without data.limit, for open comparisons that need more reviews."""
    next_step_commands: tuple[str, ...]
    """Commands that make the new confirm sets which open comparisons need."""
    not_compared: tuple[Sentence, ...]
    mcnemar: Sentence
    """McNemar's test of two named runs; empty where none was asked for."""
    curves: tuple[Curve, ...]
    category_tables: tuple[CategoryTable, ...]
    length_tables: tuple[LengthTable, ...]
    reliability: tuple[Reliability, ...]
    hard_reviews: tuple[HardReviews, ...]
    searches: tuple[Search, ...]
    expected_best: tuple[ExpectedBest, ...]
    no_expected_best: tuple[Sentence, ...]
    homework_settings: HomeworkSettings | None
    budgets: Sentence
    data: tuple[DataView, ...]
    counts: tuple[RunCounts, ...]
    runs: tuple[KnownRun, ...]
    """All runs of all studies."""
    methods: tuple[Sentence, ...]
    sections: tuple[Section, ...]
    """In order."""
    source: Source

    def numbers(self) -> dict[str, Number]:
        """Return every number by its key."""
        found: dict[str, Number] = {}
        for number in numbers_in(self):
            known = found.setdefault(number.key, number)
            if known.text != number.text or (known.text != MISSING and known.value != number.value):
                raise AssertionError(f"two numbers share the key {number.key}: {known} and {number}")
        return found
