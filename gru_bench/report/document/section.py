"""A section of a report: a heading and blocks. A section is made by one function of a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gru_bench.report.document.blocks import Block, Table, every
from gru_bench.report.document.figure import Figure
from gru_bench.report.document.sentences import Sentence


@dataclass(frozen=True)
class Section:
    """One section."""

    name: str
    """Its id on a page: lower-case words joined by hyphens."""
    title: str
    blocks: tuple[Block, ...]
    summary: tuple[Sentence, ...] = ()
    """What the summary of the report says of it."""
    appendix: bool = False
    """Whether it is an appendix on paper; all sections after it must be appendices too."""

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Return its figures, in order."""
        return tuple(one for one in every(self.blocks) if isinstance(one, Figure))

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Return its tables, in order."""
        return tuple(one for one in every(self.blocks) if isinstance(one, Table))
