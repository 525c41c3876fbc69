"""Asked to end, a process ends: at once when asked twice, and soon in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from gru_bench.sweep.console.interrupt import GRACE_SECONDS, Interrupt


class TestACommand:
    CODE = """
import signal, sys, time
from gru_bench.sweep.console import interrupt
interrupt.GRACE_SECONDS = float(sys.argv[1])
with interrupt.Interrupt() as asked, asked.noted():
    print("ready", flush=True)
    while not asked.asked:
        time.sleep(0.01)
print("asked", flush=True)
time.sleep(60)  # a store that does not close
"""

    DROPPED = """
import sys, time
from gru_bench.sweep.console import interrupt
interrupt.GRACE_SECONDS = float(sys.argv[1])

class Object:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(30)

with interrupt.Interrupt():
    Object()  # what is raised in a destructor is dropped
    time.sleep(60)
"""

    def begun(self, grace: float, code: str = CODE) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", code, str(grace)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
    def test_a_second_signal_ends_it_at_once(self, kind: signal.Signals) -> None:
        process = self.begun(3600)
        process.send_signal(kind)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(kind)
        _, complaint = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "same command" in complaint

    def test_an_end_that_takes_too_long_is_cut_short(self) -> None:
        assert GRACE_SECONDS < 5
        process = self.begun(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130

    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_whose_exception_is_dropped_ends_it_too(self, kind: signal.Signals) -> None:
        process = self.begun(0.1, self.DROPPED)
        process.send_signal(kind)
        process.communicate(timeout=30)
        assert process.returncode == 130


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there")
def test_a_second_signal_raises_in_a_process_that_is_not_ours_to_end() -> None:
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
    with Interrupt(ends_process=False) as asked, asked.noted():
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert {kind: signal.getsignal(kind) for kind in before} == before


def test_a_thread_leaves_the_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interrupt() as asked:
            seen.append((asked.asked, signal.getsignal(signal.SIGINT)))

    (thread := threading.Thread(target=work)).start()
    thread.join()
    assert seen == [(False, before)]


def test_a_signal_while_a_class_is_made_is_no_other_error() -> None:
    """Python 3.11 raises a RuntimeError from what `__set_name__` raises."""
    class Field:
        def __set_name__(self, owner: type, name: str) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), Interrupt(ends_process=False):
        type("Made", (), {"field": Field()})
