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

from gru_bench.cli import INTERRUPTED
from gru_bench.errors import ExitCode

GRACE_SECONDS = 4.0
"""Seconds allowed for an orderly end, which takes a fraction of a second unless a server does not answer."""
SHOW_CURSOR = b"\x1b[?25h"
INTERRUPTED_MESSAGE = f"\n{INTERRUPTED}\n".encode()


class Interrupt:
    """Context that handles both signals; a loop reads from `asked` whether the sweep is to end."""

    def __init__(self) -> None:
        """Prepare the context; signals are handled once it is entered."""
        self.asked = False
        self._timer = threading.Timer(GRACE_SECONDS, exit_now)
        self._timer.daemon = True

    def __enter__(self) -> Interrupt:
        """Install the signal handlers."""
        self._before = {kind: signal.signal(kind, self._take) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Restore the signal handlers, unless a signal came: the timer then limits what is still to be closed."""
        if self.asked:
            return
        for signal_kind, handler in self._before.items():
            signal.signal(signal_kind, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            exit_now()
        self.asked = True
        self._timer.start()


def exit_now() -> None:
    """End this process at once; its workers notice and end too."""
    if os.isatty(1):
        os.write(1, SHOW_CURSOR)  # the live display hides the cursor
    os.write(2, INTERRUPTED_MESSAGE)
    os._exit(ExitCode.INTERRUPTED)
