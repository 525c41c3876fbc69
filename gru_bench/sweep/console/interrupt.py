"""Ctrl-C and SIGTERM while a sweep trains: the first ends it in order; a second one, or a slow end, ends it at once.

In all other commands, and before and after the training of a sweep, both signals raise the KeyboardInterrupt of
`gru_bench.cli`.

Neither loses work: the next start takes up what was running. After an orderly end it knows this sooner.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from gru_bench.cli import INTERRUPTED
from gru_bench.errors import ExitCode

GRACE_SECONDS = 4.0
"""Seconds allowed for an orderly end, which takes a fraction of a second unless a server does not answer."""
SHOW_CURSOR = b"\x1b[?25h"
INTERRUPTED_MESSAGE = f"\n{INTERRUPTED}\n".encode()


class Interrupt:
    """Context that handles both signals; a loop reads from `asked` whether the sweep is to end.

    In a thread other than the main one, which receives no signals, it handles none.
    """

    def __init__(self, *, ends_process: bool = True) -> None:
        """Prepare the context; signals are handled once it is entered.

        Args:
            ends_process: Whether the process is there for the sweep alone, so that it may be ended. If not, as in a
                notebook, SIGTERM stays as it is, and a second Ctrl-C raises KeyboardInterrupt.
        """
        self.asked = False
        self._ends_process = ends_process
        self._before: dict[signal.Signals, Any] = {}
        self._timer = threading.Timer(GRACE_SECONDS, exit_now)
        self._timer.daemon = True

    def __enter__(self) -> Interrupt:
        """Install the signal handlers."""
        if threading.current_thread() is threading.main_thread():
            kinds = (signal.SIGINT, signal.SIGTERM) if self._ends_process else (signal.SIGINT,)
            self._before = {kind: signal.signal(kind, self._take) for kind in kinds}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Restore the signal handlers, unless a signal came and the process ends: the timer then limits the rest."""
        if self.asked and self._ends_process:
            return
        for signal_kind, handler in self._before.items():
            signal.signal(signal_kind, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked and not self._ends_process:
            raise KeyboardInterrupt
        if self.asked:
            exit_now()
        self.asked = True
        if self._ends_process:
            self._timer.start()


def exit_now() -> None:
    """End this process at once; its workers notice and end too."""
    if os.isatty(1):
        os.write(1, SHOW_CURSOR)  # the live display hides the cursor
    os.write(2, INTERRUPTED_MESSAGE)
    os._exit(ExitCode.INTERRUPTED)
