"""What a report finds, as data: a score for each model, and an answer on each pair of models."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gru_bench.config import MetricName


@dataclass(frozen=True)
class ModelScore:
    """The score of a model over its confirm seeds. Accuracies are shares."""

    label: str
    model: str
    study: str
    score: float | None
    low: float | None
    """Low end of the 95 % interval; None where there are too few seeds for one."""
    high: float | None
    seeds: int


@dataclass(frozen=True)
class BaselineScore:
    """The same score of a baseline, which was fitted once; None where it was not logged."""

    name: str
    score: float | None


@dataclass(frozen=True)
class Answer:
    """What is found on a pair of models. Differences are those of `a` minus `b`, in the unit of the score."""

    a: str
    b: str
    models: tuple[str, str]
    studies: tuple[str, str]
    finding: str
    """A value of `gru_bench.stats.verdict.Finding`."""
    better: str | None
    """Label of the model that is found better."""
    difference: float
    low: float | None
    high: float | None
    interval: str
    """Name of the interval: of a study with looks it is the repeated one."""
    margin: float
    p: float | None
    """Two-sided, after Holm. None where there was no test, and for a pair of a study with looks."""
    p_beyond: float | None
    """The same of a difference of more than the margin."""
    p_equivalent: float | None
    """Of equivalence within the margin: two one-sided tests, after Holm."""
    family: int
    """Number of pairs that the p values allow for: all pairs of models in the store that were scored on the same test
    examples. Of a study with looks: the pairs of its plan."""
    seeds: tuple[int, int]
    examples: int
    look: int | None
    """The look that settled the pair, or the last one, from 1. None without looks."""
    looks: int | None
    """Looks planned."""
    settled: bool
    """Whether it is found different or equivalent."""
    sentence: str
    next_step: str
    """What could settle it; empty where it is settled."""


@dataclass(frozen=True)
class Findings:
    """All that a report finds."""

    studies: tuple[str, ...] = ()
    score: str = ""
    """Name of the score, such as `accuracy`."""
    metric: MetricName = "accuracy"
    """The score, as `training.metric` names it."""
    models: tuple[ModelScore, ...] = ()
    """Empty where the report is on trials alone."""
    baselines: tuple[BaselineScore, ...] = ()
    pairs: tuple[Answer, ...] = ()
    next_commands: tuple[str, ...] = ()
    """What to type where a pair is open."""
    notes: tuple[str, ...] = ()
    """What is said of all pairs, such as how many other models met the same test reviews."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return asdict(self)
