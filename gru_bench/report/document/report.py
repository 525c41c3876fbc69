"""A report: what it says first, its sections, and where it comes from. Renderers take all of it from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gru_bench.report.document.blocks import Paragraph, Table, numbers_in
from gru_bench.report.document.figure import Figure
from gru_bench.report.document.findings import Findings
from gru_bench.report.document.numbers import MISSING, Number
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import KnownRun, Sentence


@dataclass(frozen=True)
class Source:
    """What a report was made from; it is needed to compute the report again."""

    experiment: str
    studies: tuple[tuple[str, str], ...]
    """The name of each study, and the id of its own run."""
    margin: float
    """The largest difference of no practical weight: 0.01 is one point of accuracy."""
    tracking_uri: str
    """Without a user's name and password; a file below the working directory is named from there."""
    cautions_before: tuple[str, ...]
    """Cautions that were known before the studies were read."""
    known_studies: tuple[str, ...]
    """Names of the experiment's studies, which a new study must not have."""
    mcnemar_runs: tuple[str, str] | None
    """Two runs to compare by McNemar's test; None where none were named."""
    models_on_test: tuple[tuple[str, int], ...]
    """Digest of each test set, and the number of models in the store that had been scored on it."""


@dataclass(frozen=True)
class Report:
    """The whole content of a report."""

    title: str
    subtitle: str
    purposes: tuple[Paragraph, ...]
    """The question of each study."""
    summary: tuple[Sentence, ...]
    cautions: tuple[Sentence, ...]
    sections: tuple[Section, ...]
    """In order."""
    runs: tuple[KnownRun, ...]
    """All runs of all studies."""
    source: Source
    findings: Findings = field(default_factory=Findings)
    """The same as data."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return the figures of all sections."""
        return tuple(figure for section in self.sections for figure in section.figures)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Return the tables of all sections."""
        return tuple(table for section in self.sections for table in section.tables)

    def numbers(self) -> Mapping[str, Number]:
        """Return every number by its key."""
        return self._numbers

    @cached_property
    def _numbers(self) -> Mapping[str, Number]:
        found: dict[str, Number] = {}
        for number in numbers_in(self):
            known = found.setdefault(number.key, number)
            if known.text != number.text or (known.text != MISSING and known.value != number.value):
                raise AssertionError(f"two numbers share the key {number.key}: {known} and {number}")
        return found
