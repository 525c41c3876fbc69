"""A tracking store that calls wait for while it does not respond."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from gru_bench.errors import RunError, without_passwords
from gru_bench.tracking.client import load_mlflow, require_folder, require_tables
from gru_bench.tracking.failures import brief, failed, is_away
from gru_bench.tracking.reader import Reader
from gru_bench.tracking.source import Source

T = TypeVar("T")

MOST_SECONDS = 600.0
"""Seconds to wait for a store that does not respond."""
POLL_SECONDS = 0.5
"""Seconds between two calls to such a store."""
QUIET_SECONDS = 10.0
"""Seconds after a failed call in which no other is made that may be left out."""
REQUEST_SECONDS = "30"
"""Seconds after which MLflow gives up a request: fewer than those after which a start counts as dead."""


class PatientReader(Reader):
    """A tracking store that is written to: a call waits while it does not respond."""

    def __init__(
        self, uri: str | None = None, *, say: Callable[[str], None] = lambda _: None, patience: float = MOST_SECONDS,
    ) -> None:
        """Open the store; a new database file is created at the first write.

        Args:
            uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.
            say: Called with sentences for the user, such as that the server does not respond.
            patience: Seconds to wait for a store that does not respond.

        Raises:
            UsageError: The URI is not valid for MLflow.
            RunError: The store is damaged, refuses access or does not respond.
        """
        super().__init__(uri)
        # A call is repeated here, which first finds out what was written after all.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", REQUEST_SECONDS)
        self._say = say
        self.patience = patience
        """Seconds to wait for a store that does not respond."""
        self.while_waiting: Callable[[], None] = lambda: None
        """Called at least twice a second during such a wait."""
        self._is_repeating = False
        """Whether the present call is repeated by another one."""
        self._failed = -QUIET_SECONDS
        """When a call failed last."""
        if self.database is None:
            assert self.client is not None  # opened now, so that errors of the store are raised now
            return
        require_folder(self.database)
        if self.database.exists():
            require_tables(self.database)
        threading.Thread(target=load_mlflow, daemon=True).start()  # it takes as long as importing torch

    def patiently(self, call: Callable[[], T]) -> T:
        """Return what a call to the store returns. It is repeated while the store does not respond, or another process
        writes to its file; a call within another one is repeated with it.

        Raises:
            RunError: The store refuses something, or has not responded for `patience` seconds.
            KeyboardInterrupt: The user has interrupted the wait.
        """
        if self._is_repeating:
            return call()
        if not self.patience and self._is_quiet:
            raise RunError(f"the tracking store {without_passwords(self.uri)} does not respond")
        until: float | None = None
        self._is_repeating = True
        try:
            while True:
                try:
                    return call()
                except Exception as error:
                    until = self._wait(error, until)
        finally:
            self._is_repeating = False

    def at_once(self, call: Callable[[], object]) -> None:
        """Make a call to the store that may be left out while the store does not respond.

        Raises:
            RunError: The store refuses something.
        """
        if self._is_quiet:
            return
        try:
            call()
        except Exception as error:
            if not is_away(error):
                raise self._as_ours(error) from error
            self._failed = time.monotonic()

    @property
    def _is_quiet(self) -> bool:
        """Whether a call has failed a moment ago."""
        return time.monotonic() - self._failed < QUIET_SECONDS

    def _wait(self, error: Exception, until: float | None) -> float:
        """Wait for a moment after a call has failed; return the time until which the call is repeated.

        Raises:
            RunError: Another call would fail too, or this time has passed.
        """
        if not is_away(error):
            raise self._as_ours(error) from error
        shown, self._failed = without_passwords(self.uri), time.monotonic()
        if until is None:
            until = self._failed + self.patience
            if self.patience:
                self._say(f"waiting for {shown}, which does not respond ({brief(error)}). After Ctrl-C, the same "
                          "command continues")
        if self._failed >= until:
            raise RunError(f"the tracking store {shown} has not responded for {self.patience:.0f} seconds "
                           f"({brief(error)}): start its server, then run this again") from error
        self.while_waiting()
        time.sleep(POLL_SECONDS)
        return until

    def _as_ours(self, error: Exception) -> Exception:
        return failed(without_passwords(self.uri), "accept a run", error) if isinstance(error, OSError) else error

    def _read(self, read: Callable[[Source], T]) -> T | None:
        return self.patiently(lambda: super(PatientReader, self)._read(read))
