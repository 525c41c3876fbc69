"""A section of a report: its heading and numbers, the figures drawn from them, and its templates.

`templates/sections/NAME.html.j2`, `NAME.tex.j2` and, where there is one, `NAME.md.j2` show it; they are given
the section as `section` and the whole report as `w`. A section that has numbers of its own is made by a module
of its own from the `Evidence`, in one line of `report.build`.
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
    """Lower-case words joined by hyphens: of its templates, and its id on the page."""
    title: str
    content: Any = None
    """A frozen dataclass whose numbers join those of the report; None where the templates show its fields."""
    pictures: Callable[[Any], Sequence[Picture]] | None = None
    """Makes the figures from the content; it imports what draws when called."""
    tables: tuple[str, ...] = ()
    """Each a LaTeX file of its own, `templates/tables/NAME.tex.j2`, to be included in other documents too."""
    appendix: bool = False
    """Whether it stands behind the text on paper; no section after it may stand before."""
    template: str = ""
    """Of its templates, where it shares them with other sections."""

    @property
    def form(self) -> str:
        """Return the name of its templates."""
        return self.template or self.name

    def drawn(self) -> Sequence[Picture]:
        """Return its figures."""
        return () if self.pictures is None else self.pictures(self.content)
