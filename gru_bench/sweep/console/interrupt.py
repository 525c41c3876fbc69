"""Ctrl-C and SIGTERM in a sweep: the first ends it in order; a second one, or a slow end, ends it at once.

While it trains, the first one is noted, and its loop ends it. Before and after, it raises KeyboardInterrupt, as in all
other commands. That alone is not enough there: Python drops an exception that is raised in a destructor or in the
callback of a weak reference, which run while modules are imported, and the sweep would go on.

Neither loses work: the next start takes up what was running. After an orderly end it knows this sooner.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any

from gru_bench.cli import INTERRUPTED
from gru_bench.errors import ExitCode

GRACE_SECONDS = 4.0
"""Seconds allowed for an orderly end, which takes a fraction of a second unless a server does not answer."""
SHOW_CURSOR = b"\x1b[?25h"
INTERRUPTED_MESSAGE = f"\n{INTERRUPTED}\n".encode()


class Interrupt:
    """Context that handles both signals. `asked` says whether one came.

    In a thread other than the main one, which receives no signals, it handles none.
    """

    def __init__(self, *, ends_process: bool = True) -> None:
        """Prepare the context; signals are handled once it is entered.

        Args:
            ends_process: Whether the process is there for the sweep alone, so that it may be ended. If not, as in a
                notebook, SIGTERM stays as it is, and a second Ctrl-C raises KeyboardInterrupt.
        """
        self.asked = False
        self._noted = False
        """Whether a signal is only noted."""
        self._ends_process = ends_process
        self._before: dict[signal.Signals, Any] = {}
        self._ends: SimpleQueue[bool] = SimpleQueue()
        """Gets whether the process must end. Unlike a lock, a signal's handler may use it whatever it interrupts."""

    def __enter__(self) -> Interrupt:
        """Install the signal handlers."""
        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=self._watch, daemon=True).start()
            kinds = (signal.SIGINT, signal.SIGTERM) if self._ends_process else (signal.SIGINT,)
            self._before = {kind: signal.signal(kind, self._take) for kind in kinds}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Restore the signal handlers, unless a signal came and the process ends: a thread then limits the rest."""
        if not (self.asked and self._ends_process):
            self._ends.put(False)
            for signal_kind, handler in self._before.items():
                signal.signal(signal_kind, handler)
        if error is not None and isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__  # Python 3.11 raises an error from it where a signal comes while a class is made

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Only note the first signal inside this context, whose loop reads `asked`."""
        self._noted = True
        try:
            yield
        finally:
            self._noted = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if self._ends_process:
            if not first:
                exit_now()
            self._ends.put(True)
        if not (first and self._noted):
            raise KeyboardInterrupt

    def _watch(self) -> None:
        if self._ends.get():
            time.sleep(GRACE_SECONDS)
            exit_now()


def exit_now() -> None:
    """End this process at once; its workers notice and end too."""
    if os.isatty(1):
        os.write(1, SHOW_CURSOR)  # the live display hides the cursor
    os.write(2, INTERRUPTED_MESSAGE)
    os._exit(ExitCode.INTERRUPTED)
