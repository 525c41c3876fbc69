"""What a report shows: frozen values, numbers with their sources, and sentences. Both templates take these."""

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
    """One model of one study: a line of the evaluation table and what stands behind it."""

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
    """Most memory the process held, in MB."""
    confusion: tuple[Number, Number, Number, Number]
    """Mean counts over seeds: true negative, false positive, false negative, true positive."""
    confusion_spread: tuple[Number, Number, Number, Number]
    """Their standard deviations over seeds."""
    runs: tuple[RunLink, ...]


@dataclass(frozen=True)
class BaselineRow:
    """A model that is no GRU, as context."""

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
    """A training loss within epochs: mean, lowest and highest over seeds, at shares of epochs."""

    epoch: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """How a row learned."""

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
    """Iterations a loss is averaged over."""
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
    """Accuracy on reviews of so many tokens, by row."""

    low: Number
    high: Number
    examples: Number
    accuracy: tuple[Number, ...]


@dataclass(frozen=True)
class LengthTable:
    """Accuracy by length for the rows that share a test set; tokens are those the first of them read."""

    key: str
    labels: tuple[str, ...]
    bins: tuple[LengthBin, ...]
    caution: Sentence
    """That lengths go with categories, where they do."""


@dataclass(frozen=True)
class Confidence:
    """Predictions of a range of confidence, and how often they are right; averaged over seeds."""

    low: Number
    high: Number
    share: Number
    confidence: Number
    accuracy: Number
    few: bool
    """Whether so few predictions of a seed lie here that its accuracy says little: no figure shows it."""


@dataclass(frozen=True)
class Reliability:
    """Whether a row's confidence can be trusted."""

    key: str
    label: str
    bins: tuple[Confidence, ...]


@dataclass(frozen=True)
class Review:
    """A test review, shortened, and who answers it rightly."""

    text: str
    said: Sentence


@dataclass(frozen=True)
class HardReviews:
    """The reviews on which the rows that share a test set disagree most, and some that no run answers rightly."""

    key: str
    disagreed: tuple[Review, ...]
    failed: tuple[Review, ...]
    failed_count: Sentence
    """Empty where some run answers each review rightly."""


@dataclass(frozen=True)
class BestOfTrials:
    """What the best of so many fresh random trials is expected to reach on validation."""

    trials: Number
    best: Number


@dataclass(frozen=True)
class ExpectedBest:
    """How far the budget of a search mattered."""

    key: str
    label: str
    points: tuple[BestOfTrials, ...]


@dataclass(frozen=True)
class SettingComparison:
    """A setting of the homework beside that of each tuned row."""

    name: str
    homework: Number
    ours: tuple[Number | str, ...]


@dataclass(frozen=True)
class HomeworkSettings:
    """The homework's settings beside those of the tuned rows."""

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
    """Which end of its range the best value lies at; empty inside."""


@dataclass(frozen=True)
class Search:
    """What the search of one model found, and what was left of it on fresh seeds."""

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
    """Why the shares of importance are not to be relied on; empty where they are."""
    best: Number
    confirmed: Number
    test: Number
    gap: Sentence
    edges: Sentence


@dataclass(frozen=True)
class DataView:
    """What data stands behind the numbers."""

    key: str
    summary: DataSummary
    name: str
    studies: tuple[str, ...]
    facts: tuple[tuple[str, Number | str], ...]
    categories: tuple[tuple[str, Number], ...]


@dataclass(frozen=True)
class RunCounts:
    """What became of the runs of a study, by stage."""

    key: str
    study: str
    stage: str
    complete: Number
    pruned: Number
    failed: Number
    other: Number
    reasons: tuple[tuple[str, str], ...]
    """What is not complete: run name, and why."""


@dataclass(frozen=True)
class StudyView:
    """A study's own words and where it is kept."""

    name: str
    purpose: str
    run_id: str
    url: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """What a report was made from besides its studies: with it, it can be made again."""

    tracking_uri: str
    """Without a user's name and password; a file below the working directory is named from there."""
    cautions_before: tuple[str, ...]
    """What was known to be missing before the studies were read."""
    known_studies: tuple[str, ...]
    """Names of studies that a new one must not have."""
    mcnemar_runs: tuple[str, str] | None
    """Two runs that were to be compared."""


@dataclass(frozen=True)
class Report:
    """All that is shown."""

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
    """What to type for the reviews that a limit holds back from open comparisons."""
    next_step_commands: tuple[str, ...]
    """What to type for the new confirm sets that the sentences of open comparisons name."""
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
    """In the order in which they stand."""
    source: Source

    def numbers(self) -> dict[str, Number]:
        """Return every number by its key."""
        found: dict[str, Number] = {}
        for number in numbers_in(self):
            known = found.setdefault(number.key, number)
            if known.text != number.text or (known.text != MISSING and known.value != number.value):
                raise AssertionError(f"two numbers share the key {number.key}: {known} and {number}")
        return found
