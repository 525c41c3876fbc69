"""A section of a report: its heading and numbers, the figures drawn from them, and its templates.

`templates/sections/NAME.html.j2`, `NAME.tex.j2` and, where it exists, `NAME.md.j2` render it. They get the section as
`section` and the whole report as `w`. A section with numbers of its own is made by a module of its own, which
`report.build` calls in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gru_bench.report.figures.figure import Picture

@dataclass(frozen=True)
class Section:
    """One section."""

    name: str
    """The name of its templates and its id on the page: lower-case words joined by hyphens."""
    title: str
    content: Any = None
    """A frozen dataclass whose numbers join those of the report; None where the templates show its fields."""
    pictures: Callable[[Any], Sequence[Picture]] | None = None
    """Makes the figures from the content; it imports the drawing code when it is called."""
    tables: tuple[str, ...] = ()
    """Names of its LaTeX tables, `templates/tables/NAME.tex.j2`: files that other documents can include too."""
    appendix: bool = False
    """Whether it is an appendix on paper; all sections after it must be appendices too."""
    template: str = ""
    """The name of its templates, where it shares them with other sections."""

    @property
    def form(self) -> str:
        """Return the name of its templates."""
        return self.template or self.name

    def drawn(self) -> Sequence[Picture]:
        """Return its figures."""
        return () if self.pictures is None else self.pictures(self.content)
