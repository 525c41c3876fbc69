"""Ctrl-C and SIGTERM while a sweep trains: the first ends it in order, a second one (or a long wait) at once.

In all other commands, and before and after the training of a sweep, both signals raise the KeyboardInterrupt of
`gru_bench.cli`.

Neither loses anything: what a process leaves under way, the next one takes up. An orderly end only tells it sooner.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType

from gru_bench.cli import INTERRUPTED
from gru_bench.errors import ExitCode

GRACE_SECONDS = 4.0
"""An orderly end takes a fraction of a second, unless a server does not answer."""
SHOW_CURSOR = b"\x1b[?25h"
FAREWELL = f"\n{INTERRUPTED}\n".encode()


class Interrupt:
    """Takes both signals while it is entered; `asked` tells a loop that passes by."""

    def __init__(self) -> None:
        """Prepare; no signal is taken yet."""
        self.asked = False
        self._timer = threading.Timer(GRACE_SECONDS, leave)
        self._timer.daemon = True

    def __enter__(self) -> Interrupt:
        """Take the signals."""
        self._before = {kind: signal.signal(kind, self._take) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Give the signals back, unless one came: then what is still to be closed has the rest of the time."""
        if self.asked:
            return
        for signal_kind, handler in self._before.items():
            signal.signal(signal_kind, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            leave()
        self.asked = True
        self._timer.start()


def leave() -> None:
    """End this process at once; its workers notice and end too."""
    if os.isatty(1):
        os.write(1, SHOW_CURSOR)  # a live display hides it
    os.write(2, FAREWELL)
    os._exit(ExitCode.INTERRUPTED)
