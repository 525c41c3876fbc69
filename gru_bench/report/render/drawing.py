"""Draws the figures of a report before it is written, on Linux in two processes."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from gru_bench.platforms import LINUX
from gru_bench.report.document.figure import Figure

PATIENCE = 60.0
"""Seconds to wait for the drawings of the second process, once those of the first are done."""


def draw(figures: Sequence[Figure]) -> None:
    """Draw figures and keep their drawings; on Linux a second process draws half of them at the same time.

    What that process has not drawn after `PATIENCE` seconds, or when it fails, is drawn later, where it is used.
    """
    for first in figures[:1]:
        _ = first._drawn  # loads the drawing libraries, which the second process then has too
    here, there = figures[1::2], figures[2::2]
    if LINUX and there and not multiprocessing.current_process().daemon:
        fork = multiprocessing.get_context("fork")
        receiver, sender = fork.Pipe(duplex=False)
        second = fork.Process(target=_send_drawn, args=(there, sender, receiver), daemon=True)
        with warnings.catch_warnings(), suppress(OSError):  # the system may refuse another process
            # The threads that a fork leaves behind are those of numpy and pyarrow, which are prepared for it.
            warnings.filterwarnings("ignore", message=".* is multi-threaded", category=DeprecationWarning)
            second.start()
        sender.close()
        for figure in here:
            _ = figure._drawn
        with receiver, suppress(EOFError, OSError):
            if receiver.poll(PATIENCE):
                for figure, drawn in zip(there, receiver.recv(), strict=True):
                    vars(figure)["_drawn"] = drawn
        if second.pid is not None:
            second.kill()
            second.join()


def _send_drawn(figures: Sequence[Figure], sender: Connection, receiver: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the first process says that it is interrupted
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    receiver.close()  # it would keep this process waiting after the first one was killed
    with suppress(BrokenPipeError):
        sender.send([figure._drawn for figure in figures])
