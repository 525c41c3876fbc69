"""A report: its sections, what it finds as data, and where it comes from. Renderers take all of it from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from pydantic import Field

from gru_bench.config import MetricName
from gru_bench.document.blocks import Block, Table, numbers_in, parts_in
from gru_bench.document.figure import Figure
from gru_bench.document.numbers import Number
from gru_bench.document.sentences import Anchor, KnownRun, Sentence, in_text
from gru_bench.results.runs import OnTest

OPEN = ("summary", "results", "comparisons", "learning", "errors")
"""Names of the sections that every page shows unfolded. The others are folded under their headings."""


@dataclass(frozen=True)
class Section:
    """A section: a heading and blocks. Each is made by one function of a file of its own."""

    name: str
    """Its id on a page: lower-case words joined by hyphens."""
    title: str
    blocks: tuple[Block, ...]
    appendix: bool = False
    """Whether it is an appendix on paper; all sections after it must be appendices too."""

    @property
    def is_folded(self) -> bool:
        """Return whether a page folds it under its heading."""
        return self.name not in OPEN

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Return its figures, in order."""
        return tuple(one for one in parts_in(self.blocks) if isinstance(one, Figure))

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Return its tables, in order."""
        return tuple(one for one in parts_in(self.blocks) if isinstance(one, Table))


@dataclass(frozen=True)
class ModelScore:
    """The score of a model over its confirmation seeds. Accuracies are fractions."""

    label: str
    model: str
    study: str
    score: float | None
    low: float | None
    """Low end of the 95 % interval; None where there are too few seeds for one."""
    high: float | None
    seeds: int | None
    """None: a baseline, which is fitted once."""
    groups: int | None = None
    """Number of groups of the test texts. None: each stands alone."""
    group_columns: tuple[str, ...] = ()
    """The columns that tell them; empty where no column does."""
    refusals: int = 0
    """Number of its predictions that are no class and count as wrong."""


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
    """Name of the interval."""
    margin: float
    p: float | None
    """Two-sided, times the number of studies that ask the question, after Holm. None where there was no test."""
    p_equivalent: float | None
    """Of equivalence within the margin: two one-sided tests, after Holm."""
    family: int
    """Number of pairs that are tested together: those of the report, of one kind."""
    seeds: tuple[int | None, int | None]
    """None: fitted once."""
    examples: int
    settled: bool
    """Whether it is found different or equivalent, from enough seeds for a claim."""
    sentence: str
    needed: str
    """How many new test texts could settle it, or that no number could, as a text; empty where it is settled."""
    texts_needed: int | None
    """Test texts of a new test set that could settle it with these seeds. None where it is settled, and where no number
    could."""


@dataclass(frozen=True)
class Findings:
    """All that a report finds."""

    studies: tuple[str, ...] = ()
    score: str = ""
    """Name of the score, such as `accuracy`."""
    metric: MetricName = "accuracy"
    """The score, as `training.metric` names it."""
    models: tuple[ModelScore, ...] = ()
    """Those that were trained, with the scores of single seeds, then the baselines."""
    pairs: tuple[Answer, ...] = ()
    """Those of models that were trained, then each of these with the linear model on its data."""
    candidates: tuple[ModelScore, ...] = ()
    """The classifiers that can be taken, each with the score of what is served."""
    chosen: str | None = None
    """Label of the one to take: the best on validation texts. None where nothing is chosen."""
    taken: tuple[Answer, ...] = ()
    """That one with each other one; where nothing is chosen, all pairs of them."""
    notes: tuple[str, ...] = ()
    """What is said of all pairs, such as the groups of the test texts, and how many other models met the same ones."""
    groups_are_off: bool = False
    """Whether somebody has turned off the groups of the test texts. No claim is judged then."""


@dataclass(frozen=True)
class SourceStudy:
    """A study that a report is on: its name, and the id of the run that its other runs are below."""

    name: str
    run: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a report was made from, as its record holds it; it is needed to compute the report again."""

    experiment: str
    """Several are joined by commas."""
    tracking_uri: str
    """Without a user's name and password; a file below the working directory is named from there."""
    margin: Annotated[float, Field(gt=0)]
    """The largest difference of no practical weight: 0.01 is one point of accuracy."""
    warnings_before: tuple[str, ...]
    """Warnings that were known before the studies were read."""
    on_test: Mapping[str, OnTest]
    """Digest of each test set -> the models in the store that had been scored on it."""
    studies: tuple[SourceStudy, ...]
    files: tuple[Mapping[str, str], ...] = ()
    """The name of each file of predictions, and the SHA-256 of its content. Empty for a report on studies alone."""


@dataclass(frozen=True)
class RunSet:
    """Runs that at least one number rests on."""

    key: str
    """Its id on the page."""
    title: str
    runs: tuple[KnownRun, ...]
    anchored: bool
    """Whether the report shows the runs at an anchor of its own; otherwise the page lists them at its end."""


@dataclass(frozen=True)
class Report:
    """The whole content of a report."""

    title: str
    subtitle: str
    in_short: tuple[Sentence, ...]
    """What a terminal prints of it: the decision, and a sentence on each pair of models."""
    warnings: tuple[Sentence, ...]
    """The same warnings that the summary lists, without remedies."""
    sections: tuple[Section, ...]
    """In order; the first is the summary."""
    runs: tuple[KnownRun, ...]
    """All runs of all studies."""
    source: Source
    findings: Findings = field(default_factory=Findings)
    """Scores and verdicts as data."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return the figures of all sections."""
        return tuple(figure for section in self.sections for figure in section.figures)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Return the tables of all sections."""
        return tuple(table for section in self.sections for table in section.tables)

    @cached_property
    def numbers(self) -> Mapping[str, Number]:
        """Return every number that is shown, by its key."""
        found: dict[str, Number] = {}
        for number in numbers_in(tuple(section.blocks for section in self.sections)):
            found.setdefault(number.key, number)
        return found

    @cached_property
    def run_sets(self) -> Mapping[frozenset[str], RunSet]:
        """Return the sets of runs behind its numbers, by the runs' ids: those with an anchor first."""
        known = {run.run_id: run for run in self.runs}

        def named(ids: tuple[str, ...]) -> tuple[KnownRun, ...]:
            return tuple(known.get(run_id, KnownRun(run_id, run_id, "", None)) for run_id in dict.fromkeys(ids))

        found: dict[frozenset[str], RunSet] = {}
        for anchor in parts_in(tuple(section.blocks for section in self.sections)):
            if isinstance(anchor, Anchor):
                found.setdefault(frozenset(anchor.runs), RunSet(
                    anchor.key, in_text(anchor.parts), named(anchor.runs), anchored=True))
        models = {ids: some.title for ids, some in found.items() if some.title not in ids}
        others = 0
        for number in self.numbers.values():
            ids = frozenset(number.runs)
            if ids and ids not in found:
                others += 1
                runs = named(number.runs)
                found[ids] = RunSet(f"source-{others}", _title(ids, runs, models), runs, anchored=False)
        return found


def _title(ids: frozenset[str], runs: tuple[KnownRun, ...], models: Mapping[frozenset[str], str]) -> str:
    """Return the models whose confirmation sets make up a set of runs, else what the runs have in common."""
    inside = [own for own in models if own <= ids]
    if sum(map(len, inside)) == len(ids):
        return ", ".join(models[own] for own in inside)
    return runs[0].name if len(runs) == 1 else ", ".join(dict.fromkeys(run.study for run in runs))
