"""What is tried with a student's file: names, sizes, calls, options. One place catches what its code raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gru_bench.gru_check.trace import Recorder

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt:
    """Something that was tried."""

    what: str
    """In words."""
    error: Exception | None = None
    """Why it failed. None: it did not."""
    reached: int = 0
    """Number of torch functions that ran before it failed."""


class Attempts(list[Attempt]):
    """All that was tried, in order."""

    def run(self, what: str, action: Callable[[], T], recorder: Recorder | None = None) -> T | None:
        """Return the result of an action that runs the student's code, which may raise anything; None where it fails.

        Args:
            what: The action in words.
            action: What is done.
            recorder: What records it.
        """
        try:
            result = action()
        except Exception as error:
            self.append(Attempt(what, error, 0 if recorder is None else recorder.count))
            return None
        self.append(Attempt(what))
        return result

    @property
    def words(self) -> str:
        """Return how many attempts there were, and which of them succeeded, as a sentence."""
        done = list(dict.fromkeys(one.what for one in self if one.error is None))
        return (f"{len(self)} {'attempt' if len(self) == 1 else 'attempts'} to build and call it. These ran: "
                f"{'; '.join(done) or 'none'}.")
