"""A process is alive while its lease is renewed, and what a dead one holds is free."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gru_bench.platforms import ENDED, process_start
from gru_bench.sweep.sharing import leases
from gru_bench.sweep.sharing.leases import LEASE_SECONDS, Lease, LeaseWatch
from tests.support.searches import Notes, asked, search_in
from tests.support.values import present


def lease(process: str, count: int = 0, **changes: object) -> dict[str, object]:
    return {"start": "abc", "process": process, "lease": count, "ended": False, **changes}


class TestLiveness:
    def test_a_start_of_a_killed_process_of_this_machine_is_dead_at_once(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        name = leases._process_name(process.pid)
        watch = LeaseWatch()
        assert not watch.is_dead(lease(name))
        process.kill()
        while process_start(process.pid) != ENDED:
            time.sleep(0.01)
        assert watch.is_dead(lease(name))  # killed, though nobody has collected it
        process.wait()
        assert watch.is_dead(lease(name))

    def test_a_later_process_with_the_same_id_is_another_process(self) -> None:
        machine, pid, start = leases.this_process().rsplit(" ", 2)
        assert LeaseWatch().is_dead(lease(f"{machine} {pid} {float(start) - 60}"))

    def test_a_start_elsewhere_is_dead_once_its_lease_expires(self) -> None:
        now = 0.0
        watch = LeaseWatch(lambda: now)
        for count in range(5):
            assert not watch.is_dead(lease("elsewhere 7 1", count))
            now += LEASE_SECONDS
        assert not watch.is_dead(lease("elsewhere 7 1", 4))
        now += 0.1
        assert watch.is_dead(lease("elsewhere 7 1", 4))
        assert not watch.is_dead(lease("elsewhere 7 1", 5))

    def test_a_process_of_this_machine_that_hangs_is_dead_once_its_lease_expires(self) -> None:
        now = 0.0
        watch = LeaseWatch(lambda: now)
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            hangs = leases._process_name(process.pid)
            assert not watch.is_dead(lease(hangs, 3))
            now += LEASE_SECONDS + 1
            assert watch.is_dead(lease(hangs, 3))
            assert not watch.is_dead(lease(hangs, 4))
        finally:
            process.kill()
            process.wait()

    def test_a_start_is_dead_once_it_has_ended_or_left_while_its_process_goes_on(self) -> None:
        notes = Notes()
        first, second, third = (Lease(notes) for _ in range(3))
        assert third.dead([first.owner, second.owner]) == set()
        first.end(1.0)
        second.leave()  # cut off before it could end its lease
        assert third.dead([first.owner, second.owner, third.owner]) == {first.owner, second.owner}
        assert not third.has_others()

    def test_a_start_that_the_study_does_not_know_is_dead(self) -> None:
        assert Lease(Notes()).is_dead("0" * 32)

    def test_the_trials_of_a_dead_machine_are_recovered_once_its_lease_expires(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(leases, "machine", lambda: "elsewhere/1")
            leases._process_name.cache_clear()
            there = search_in(tmp_path)
            number, settings = asked(there)
            planned = present(there.work.take("confirm x 1"))
        leases._process_name.cache_clear()
        now = 0.0
        here = search_in(tmp_path)
        here.lease._watch = LeaseWatch(lambda: now)
        assert (here.orphans(), here.work.orphans()) == ([], [])
        now += LEASE_SECONDS
        there.lease.renew(20.0)  # it lives
        assert (here.orphans(), here.work.orphans()) == ([], [])
        now += LEASE_SECONDS
        assert here.lease.has_others(elsewhere=True)
        now += 1
        assert (here.orphans(), here.work.orphans()) == ([number], [planned])
        assert not here.lease.has_others()
        here.give_up(number, "its machine is gone")
        assert asked(here)[1] == settings
        assert here.work.give_up(planned, "its machine is gone")
        assert here.work.take("confirm x 1") is not None
        assert not there.report(number, 1, 0.5)
        assert not there.work.complete(planned, 0.5)

    def test_a_lease_shows_which_other_starts_work_and_search(self, monkeypatch: pytest.MonkeyPatch) -> None:
        notes = Notes()
        first = Lease(notes)
        monkeypatch.setattr(leases, "this_process", lambda: "elsewhere 7 1")
        second = Lease(notes)
        assert (first.start, second.start, first.starts) == (1, 2, 2)
        assert first.has_others()
        for searching in (["torch"], []):
            second.note_searching(searching)
            assert [other["searching"] for other in first.others().values()] == [searching]
        second.renew(4.0)
        assert first.seconds() == 0.0  # not every time
        second.renew(11.0)
        first.renew(30.0)
        assert first.seconds() == second.seconds() == 41.0
        assert first.has_others(elsewhere=True)
        assert not second.has_others(elsewhere=True)  # the first is on this machine
        second.end(12.0)
        second.renew(30.0)  # it still waits for the tracking store
        assert not first.has_others()
        assert second.has_others()
        assert first.seconds() == 42.0
