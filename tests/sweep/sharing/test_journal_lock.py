"""A process that is stopped while it holds the lock of a search: who waits is told, and goes on after a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gru_bench.platforms import WINDOWS, machine
from gru_bench.sweep.sharing import journal_lock
from gru_bench.sweep.sharing.journal_lock import JournalLock
from tests.support.commands import mentions

pytestmark = pytest.mark.skipif(WINDOWS, reason="processes are stopped by a signal")

STOPPED = """
import os, signal
from pathlib import Path
from gru_bench.sweep.sharing.journal_lock import JournalLock

lock = JournalLock(Path("step.lock"), print)
with lock:
    os.kill(os.getpid(), signal.SIGSTOP)
    lock.require()
"""


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that has stopped itself while it held the lock."""
    for name, seconds in (("QUIET_SECONDS", 0.05), ("POLL_SECONDS", 0.05), ("LEASE_SECONDS", 0.3)):
        monkeypatch.setattr(journal_lock, name, seconds)
    process = subprocess.Popen([sys.executable, "-c", STOPPED], stderr=subprocess.PIPE, text=True)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    yield process
    process.kill()
    process.communicate()


def test_another_process_says_who_holds_the_lock_and_takes_it_after_a_lease(stopped: subprocess.Popen[str]) -> None:
    said = list[str]()
    lock = JournalLock(Path("step.lock"), said.append)
    with lock:
        assert not lock.is_lost
        lock.require()
        (sentence,) = said
        mentions(sentence, str(stopped.pid), machine().partition("/")[0], "stopped", f"kill -CONT {stopped.pid}")
        stopped.send_signal(signal.SIGCONT)
        _, error = stopped.communicate(timeout=60)
        assert stopped.returncode == 1
        mentions(error, "RunError", "another one has taken its place")
        assert not lock.is_lost
    with lock, lock:  # it is free again, and reentrant
        assert not lock.is_lost
    assert len(said) == 1


def test_a_lock_is_not_taken_from_a_process_that_runs_again(
    stopped: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_lock, "LEASE_SECONDS", 600.0)
    said = list[str]()

    def say(sentence: str) -> None:
        said.append(sentence)
        stopped.send_signal(signal.SIGCONT)

    with JournalLock(Path("step.lock"), say):
        stopped.communicate(timeout=60)
        assert stopped.returncode == 0
    assert not Path("step.lock.lost").exists()
