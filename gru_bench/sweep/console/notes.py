"""What a start has to tell beside its progress."""

from __future__ import annotations

from collections.abc import Iterable

from gru_bench.sweep.console.progress import ProgressDisplay


class Notes:
    """The notes of a start, each once. They are logged at the end of the study, and shown then unless they were."""

    def __init__(self, display: ProgressDisplay) -> None:
        """Begin with none."""
        self._display = display
        self.all: list[str] = []
        self.shown: set[str] = set()
        """Those that have been shown to the user."""

    def add(self, notes: Iterable[str]) -> None:
        """Add notes that are shown at the end."""
        self.all += (note for note in notes if note not in self.all)

    def show(self, note: str) -> None:
        """Add a note, and show it now."""
        if note not in self.all:
            self.all.append(note)
            self.shown.add(note)
            self._display.note(f"note: {note}")
