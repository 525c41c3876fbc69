"""Several processes on one study: each trial and each claim is one's, and what a dead one leaves is taken up."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from gru_bench.errors import RunError, UsageError
from gru_bench.sweep.console.interrupt import GRACE_SECONDS
from gru_bench.sweep.search import RETRIES, Search
from gru_bench.sweep.sharing import leases as owners
from gru_bench.sweep.sharing.claims import ATTEMPTS, Claims
from gru_bench.sweep.sharing.leases import LEASE_SECONDS, Presence, Watch
from gru_bench.sweep.sharing.storage import lock_for, open_storage, wrapped_errors
from gru_bench.sweep.spec import StudySpec, load_study

TOTAL = 24
STUDY = f"""
models = ["torch"]
trials = {TOTAL}
[training]
epochs = 2
[space]
training.lr = {{ low = 1e-4, high = 1e-1, log = true }}
"""


def spec_in(directory: Path) -> StudySpec:
    (directory / "shared.toml").write_text(STUDY)
    return load_study(str(directory / "shared.toml"))


def search_in(directory: Path) -> Search:
    return Search(spec_in(directory), "torch", open_storage(str(directory / "optuna.journal")), "data")


class Notes:
    """What keeps records, in memory."""

    def __init__(self) -> None:
        self.user_attrs: dict[str, Any] = {}

    def set_user_attr(self, key: str, value: Any) -> None:
        self.user_attrs[key] = value


def work(directory: Path, url: str | None, deaths: Sequence[Any], dies: int | None, death: Any) -> None:
    """Ask and complete until all is done; the process whose `dies` is set ends without a word after as many trials.

    The others wait after a few of their own for all deaths, so that they leave enough to do.
    """
    os.chdir(directory)
    search = Search(load_study("shared.toml"), "torch", open_storage(url), "data")
    done = 0
    while True:
        for orphan in search.orphans():
            with search.lock:
                if orphan in search.orphans():
                    search.give_up(orphan, "died")
        trial = search.ask()
        if trial is None:
            if not search.running:
                return
            time.sleep(0.01)
            continue
        if done == dies:
            death.set()
            os._exit(9)
        if dies is None and done == 4:
            assert all(other.wait(60) for other in deaths)
        search.report(trial[0], 1, 0.5)
        search.complete(trial[0], 0.5)
        done += 1


def contend(directory: Path, url: str | None) -> list[optuna.trial.FrozenTrial]:
    """Let four processes work on one study, of which two die on the way; return its trials."""
    spec_in(directory)
    context = multiprocessing.get_context("spawn")
    deaths = [context.Event(), context.Event()]
    roles = [(None, None), (None, None), (1, deaths[0]), (2, deaths[1])]
    processes = [context.Process(target=work, args=(directory, url, deaths, *role)) for role in roles]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 9, 9]
    return optuna.load_study(study_name="shared/torch", storage=open_storage(url)).trials


def check_contended(trials: list[optuna.trial.FrozenTrial]) -> None:
    states = [trial.state for trial in trials]
    assert states.count(TrialState.COMPLETE) == TOTAL
    assert states.count(TrialState.FAIL) == 2
    assert len(states) == TOTAL + 2
    broken = [trial for trial in trials if trial.state == TrialState.FAIL]
    retried = {trial.user_attrs["retry_of"]: trial for trial in trials if "retry_of" in trial.user_attrs}
    assert {trial.number: trial.params for trial in broken} == {of: trial.params for of, trial in retried.items()}


class TestExactlyN:
    def test_four_processes_on_a_journal_two_of_which_die(self, tmp_path: Path) -> None:
        check_contended(contend(tmp_path, None))

    @pytest.mark.service
    def test_four_processes_on_postgresql_two_of_which_die(self, tmp_path: Path, postgres_url: str) -> None:
        check_contended(contend(tmp_path, postgres_url))

    @pytest.mark.service
    def test_four_processes_on_sqlite_two_of_which_die(self, tmp_path: Path) -> None:
        check_contended(contend(tmp_path, f"sqlite:///{tmp_path / 'optuna.db'}"))

    def test_nothing_is_asked_beyond_the_total(self, tmp_path: Path) -> None:
        search, other = search_in(tmp_path), search_in(tmp_path)
        for n in range(TOTAL):
            assert (search, other)[n % 2].ask() is not None
        assert search.ask() is None
        assert other.ask() is None
        search.fail(0, "not finite")  # tried, so it counts
        assert other.ask() is None
        search.give_up(2, "killed")
        again = other.ask()
        assert again is not None
        assert again[1] == search.study.trials[2].params
        assert search.ask() is None


class TestBrokenOff:
    def test_a_configuration_is_queued_again_three_times(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        tried = []
        for _ in range(RETRIES + 1):
            number, settings = search.ask()
            tried.append(settings)
            again = search.give_up(number, "killed")
        assert not again
        assert tried == [tried[0]] * 4
        assert [trial.state for trial in search.trials()] == ["failed"] * 4
        assert search.counted == 1
        assert search.ask()[1] != tried[0]

    def test_an_interrupted_trial_is_not_blamed(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        for _ in range(RETRIES + 3):
            assert search.give_up(search.ask()[0], "interrupted", fault=False)
        assert search.counted == 0

    def test_a_try_that_got_further_than_all_before_is_not_counted(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        for epochs in (1, 2, 3):
            number, _ = search.ask()
            for epoch in range(1, epochs + 1):
                search.report(number, epoch, 0.5)
            assert search.give_up(number, "killed")
        # It stays where it is: a try that ended earlier does not set it back.
        for epochs, again in ((3, True), (1, True), (3, True), (2, False)):
            number, _ = search.ask()
            for epoch in range(1, epochs + 1):
                search.report(number, epoch, 0.5)
            assert search.give_up(number, "killed") is again
        assert search.counted == 1

    def test_given_up_twice_it_is_queued_once(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        number, settings = search.ask()
        # The process that gave it up died between queueing it again and ending it.
        search.study.enqueue_trial(settings, user_attrs={"retry_of": number, "attempt": 2})
        search.give_up(number, "killed")
        assert [trial.state for trial in search.study.trials] == [TrialState.FAIL, TrialState.WAITING]

    def test_a_process_that_died_while_asking_leaves_no_owner(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        search.study.ask()
        (orphan,) = search.orphans()
        search.give_up(orphan, "died")
        assert not search.running
        assert search.counted == 0

    def test_what_was_recorded_but_not_told_is_adopted(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        for state, ended in (("complete", TrialState.COMPLETE), ("pruned", TrialState.PRUNED)):
            number, _ = search.ask()
            search.report(number, 1, 0.7)
            search.report(number, 2, 0.8)
            search.adopt(number, state)
            assert (search.study.trials[number].state, search.study.trials[number].value) == (ended, 0.8)

    def test_a_trial_given_to_another_is_no_longer_ours(self, tmp_path: Path) -> None:
        search, other = search_in(tmp_path), search_in(tmp_path)
        number, _ = search.ask()
        other.give_up(number, "seemed dead")
        assert search.report(number, 1, 0.5) == "taken"
        assert not search.complete(number, 0.5)
        assert not search.prune(number)
        assert search.study.trials[number].state == TrialState.FAIL


class TestLiveness:
    def test_a_process_of_this_machine_is_looked_up(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        name = owners._named(process.pid)
        watch = Watch()
        assert not watch.is_dead(owners.owner(), 0)
        assert not watch.is_dead(name, 0)
        process.kill()
        while Path(f"/proc/{process.pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        assert watch.is_dead(name, 0)  # killed, though nobody has collected it
        process.wait()
        assert watch.is_dead(name, 0)

    def test_a_later_process_of_the_same_id_is_another(self) -> None:
        machine, pid, start = owners.owner().rsplit(" ", 2)
        assert Watch().is_dead(f"{machine} {pid} {int(start) - 1}", 0)

    def test_a_process_elsewhere_lives_while_its_lease_is_renewed(self) -> None:
        now = 0.0
        watch = Watch(lambda: now)
        for lease in range(5):
            assert not watch.is_dead("elsewhere 7 1", lease)
            now += LEASE_SECONDS
        assert not watch.is_dead("elsewhere 7 1", 4)
        now += 0.1
        assert watch.is_dead("elsewhere 7 1", 4)
        assert not watch.is_dead("elsewhere 7 1", 5)

    def test_a_process_that_hangs_is_taken_for_dead_here_too(self) -> None:
        now = 0.0
        watch = Watch(lambda: now)
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            assert not watch.is_dead(owners._named(process.pid), 3)
            assert not watch.is_dead(owners.owner(), 3)
            now += LEASE_SECONDS + 1
            assert watch.is_dead(owners._named(process.pid), 3)
            assert not watch.is_dead(owners._named(process.pid), 4)
            assert not watch.is_dead(owners.owner(), 3)  # nobody is dead to himself
        finally:
            process.kill()
            process.wait()

    def test_what_a_dead_machine_had_is_taken_up_after_its_lease(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(owners, "machine", lambda: "elsewhere/1")
            owners._named.cache_clear()
            there = search_in(tmp_path)
            number, settings = there.ask()
            assert there.claims.take("confirm x 1")
        owners._named.cache_clear()
        now = 0.0
        here = search_in(tmp_path)
        here.presence._watch = Watch(lambda: now)
        assert (here.orphans(), here.orphaned_claims()) == ([], [])
        now += LEASE_SECONDS
        there.presence.renew(20.0)  # it lives
        assert (here.orphans(), here.orphaned_claims()) == ([], [])
        now += LEASE_SECONDS
        assert here.presence.others(elsewhere=True)
        now += 1
        assert (here.orphans(), here.orphaned_claims()) == ([number], ["confirm x 1"])
        assert not here.presence.others()
        here.give_up(number, "its machine is gone")
        assert here.ask()[1] == settings
        assert here.claims.release("confirm x 1", fault=True)
        assert here.claims.take("confirm x 1")
        assert there.report(number, 1, 0.5) == "taken"
        assert not there.claims.finish("confirm x 1")

    def test_starts_sign_in_and_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        notes = Notes()
        first = Presence(notes, 1)
        monkeypatch.setattr(owners, "owner", lambda: "elsewhere 7 1")
        second = Presence(notes, 2)
        assert first.others()
        assert first.others(searching=True)
        second.stop_searching()
        assert not first.others(searching=True)
        second.renew(4.0)
        assert first.seconds() == 0.0  # not every time
        second.renew(11.0)
        first.renew(30.0)
        assert first.seconds() == second.seconds() == 41.0
        assert first.others(elsewhere=True)
        assert not second.others(elsewhere=True)  # the first is on this machine
        second.end(12.0)
        assert not first.others()
        assert second.others()
        assert first.seconds() == 42.0


class TestClaims:
    @pytest.fixture
    def make(self) -> Callable[[str, int], Claims]:
        notes = Notes()
        lock = multiprocessing.RLock()

        def made(owner: str, start: int) -> Claims:
            notes.set_user_attr("starts", max(start, notes.user_attrs.get("starts", 0)))
            return Claims(notes, lock, owner, start)

        return made

    def test_one_process_has_it(self, make: Callable[[str, int], Claims]) -> None:
        a, b = make("a", 1), make("b", 2)
        assert a.take("seed 1")
        assert not b.take("seed 1")
        assert not a.take("seed 1")
        assert (b.open(["seed 1"]), b.free(["seed 1"])) == (["seed 1"], [])
        assert not b.finish("seed 1")
        assert a.finish("seed 1")
        assert b.open(["seed 1"]) == []
        assert not b.take("seed 1")

    def test_what_a_dead_process_had_is_taken_up_three_times(self, make: Callable[[str, int], Claims]) -> None:
        claims = make("a", 1)
        for attempt in range(1, ATTEMPTS + 1):
            assert claims.take("seed 1")
            assert claims.release("seed 1", fault=True) == (attempt < ATTEMPTS)
        assert not claims.take("seed 1")
        assert make("b", 2).take("seed 1")  # a later start of the study may try again

    def test_an_interruption_is_no_attempt(self, make: Callable[[str, int], Claims]) -> None:
        claims = make("a", 1)
        for _ in range(ATTEMPTS + 2):
            assert claims.take("seed 1")
            assert claims.release("seed 1", fault=False)

    def test_what_failed_is_for_a_later_start(self, make: Callable[[str, int], Claims]) -> None:
        a, b = make("a", 1), make("b", 2)
        assert a.take("seed 1")
        assert a.fail("seed 1")
        assert a.open(["seed 1"]) == []
        assert not b.take("seed 1")  # it had begun by then
        assert make("c", 3).take("seed 1")

    def test_taken_over_it_is_no_longer_the_firsts(self, make: Callable[[str, int], Claims]) -> None:
        a, b = make("a", 1), make("b", 2)
        assert a.take("seed 1")
        assert b.release("seed 1", fault=True)
        assert b.take("seed 1")
        assert not a.finish("seed 1")
        assert b.finish("seed 1")

    def test_forgotten_it_is_free(self, make: Callable[[str, int], Claims]) -> None:
        claims = make("a", 1)
        assert claims.take("seed 1")
        assert claims.finish("seed 1")
        claims.forget()
        assert claims.take("seed 1")


class TestInterrupt:
    CODE = """
import signal, sys, time
from gru_bench.sweep.console import interrupt
interrupt.GRACE_SECONDS = float(sys.argv[1])
with interrupt.Interrupt() as asked:
    print("ready", flush=True)
    while not asked.asked:
        time.sleep(0.01)
print("asked", flush=True)
time.sleep(60)  # a store that does not close
"""

    def begun(self, grace: float) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", self.CODE, str(grace)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
    def test_asked_twice_it_ends_at_once(self, kind: signal.Signals) -> None:
        process = self.begun(3600)
        process.send_signal(kind)
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(kind)
        _, complaint = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "the same command goes on from here" in complaint

    def test_an_end_that_takes_too_long_is_cut_short(self) -> None:
        assert GRACE_SECONDS < 5
        process = self.begun(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130


def test_a_torn_line_is_mended_by_whoever_appends_next(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    search.ask()
    with (tmp_path / "optuna.journal").open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    search.complete(0, 0.5)
    assert [trial.value for trial in search_in(tmp_path).trials()] == [0.5]


def test_a_storage_that_goes_away_is_told_without_its_password() -> None:
    down = OperationalError("SELECT 1", {}, ConnectionError("connection refused"))
    with (pytest.raises(RunError, match=r"'postgresql://host/studies' does not any more: .*refused") as told_as,
          wrapped_errors("postgresql://me:secret@host/studies")):
        raise down
    assert "the same command goes on" in str(told_as.value)
    assert "secret" not in str(told_as.value)


def test_a_storage_that_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"must be a database URL such as .*, but got 'somewhere'"):
        open_storage("somewhere")
    with pytest.raises(UsageError, match="must be a database URL"):
        lock_for(optuna.storages.InMemoryStorage(), "study")
