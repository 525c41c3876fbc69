"""A trial belongs to one process at a time, whether a search proposes it or it is planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import MOST_ATTEMPTS, Trials
from gru_bench.sweep.sharing.work import is_free
from tests.support.searches import search_in
from tests.support.values import present

KEY = "confirm x 1"
Start = Callable[[], Search]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a study that has one trial to search and one planned run."""
    return lambda: search_in(tmp_path, trials=1)


@pytest.mark.parametrize("planned", [False, True], ids=["search", "planned"])
class TestEither:
    @staticmethod
    def begin(search: Search, planned: bool) -> tuple[Trials, int | None]:
        """Return the trials, and the number of the one that the process may do, if it may do any."""
        if planned:
            return search.work, search.work.take(KEY)
        asked = search.ask()
        return search, asked[0] if asked is not None else None

    def begun(self, search: Search, planned: bool) -> tuple[Trials, int]:
        trials, number = self.begin(search, planned)
        return trials, present(number)

    def test_one_process_alone_has_a_trial_and_ends_it_once(self, start: Start, planned: bool) -> None:
        a, b = start(), start()
        trials, number = self.begun(a, planned)
        for other in (a, b):
            assert self.begin(other, planned)[1] is None
        assert trials.complete(number, 0.5)
        assert not trials.complete(number, 0.6)
        for other in (a, b, start()):
            assert self.begin(other, planned)[1] is None
        assert [trial.value for trial in trials.study.trials] == [0.5]

    def test_a_trial_that_may_kill_its_process_is_tried_four_times(self, start: Start, planned: bool) -> None:
        search = start()
        for attempt in range(1, MOST_ATTEMPTS + 1):
            trials, number = self.begun(search, planned)
            assert trials.study.trials[number].user_attrs.get("attempt", 1) == attempt
            assert trials.study.trials[number].user_attrs.get("retry_of") == (attempt - 2 if attempt > 1 else None)
            assert trials.give_up(number, "killed") == (attempt < MOST_ATTEMPTS)
        assert self.begin(search, planned)[1] is None

    def test_an_interruption_does_not_count_as_an_attempt(self, start: Start, planned: bool) -> None:
        search = start()
        for _ in range(MOST_ATTEMPTS + 2):
            trials, number = self.begun(search, planned)
            assert trials.give_up(number, "interrupted", fault=False)

    def test_a_process_cannot_end_a_trial_that_was_given_to_another(self, start: Start, planned: bool) -> None:
        a, b = start(), start()
        first, number = self.begun(a, planned)
        second = b.work if planned else b
        assert second.give_up(number, "seemed dead")
        _, again = self.begun(b, planned)
        assert not first.complete(number, 0.5)
        assert not first.fail(number, "not finite")
        first.note_run(number, "late")
        assert second.complete(again, 0.7)
        assert ["run_id" in trial.user_attrs for trial in first.study.trials] == [False, False]

    def test_later_starts_repeat_a_failed_trial_only_if_it_was_planned(self, start: Start, planned: bool) -> None:
        a, b = start(), start()
        trials, number = self.begun(a, planned)
        assert trials.fail(number, "not finite")
        for other in (a, b):
            assert self.begin(other, planned)[1] is None
        # Settings that fail do so again; planned runs are asked for by name, so a later start tries again.
        assert (self.begin(start(), planned)[1] is not None) == planned

    def test_a_trial_without_an_owner_is_an_orphan(self, start: Start, planned: bool) -> None:
        search = start()
        trials, number = self.begun(search, planned)
        trials.give_up(number, "interrupted", fault=False)
        # It began the retry, and died before it wrote its name.
        trials.study._storage.set_trial_state_values(trials._id(1), state=TrialState.RUNNING)
        (orphan,) = trials.orphans()
        trials.give_up(orphan, "died")
        assert self.begin(search, planned)[1] == 2


class TestPlanned:
    @staticmethod
    def done(search: Search, run_id: str = "r") -> int:
        number = present(search.work.take(KEY))
        search.work.note_run(number, run_id)
        assert search.work.complete(number, 0.5)
        return number

    @staticmethod
    def free(search: Search, *keys: str) -> list[str]:
        latest = search.work.latest()
        return [key for key in keys if is_free(latest.get(key), search.lease.start)]

    def test_takes_the_named_one_of_several_waiting_runs(self, start: Start) -> None:
        search = start()
        for key in ("a", "b", "c"):
            search.work.give_up(present(search.work.take(key)), "interrupted", fault=False)
        number = present(search.work.take("b"))
        assert [(trial.number, trial.user_attrs["key"]) for trial in search.work.study.trials
                if trial.state.name == "RUNNING"] == [(number, "b")]
        assert self.free(search, "a", "b", "c", "d") == ["a", "c", "d"]
        search.work.complete(number, 0.5)
        assert self.free(search, "a", "b", "c", "d") == ["a", "c", "d"]

    def test_a_search_does_not_count_planned_runs(self, start: Start) -> None:
        search = start()
        self.done(search)
        assert (search.stored, search.trials()) == ([], [])

    def test_a_planned_run_is_queued_again_once_if_its_logged_run_was_deleted(self, start: Start) -> None:
        search = start()
        number = self.done(search)
        search.work.reopen(KEY, "another")
        assert self.free(search, KEY) == []
        search.work.reopen(KEY, "r")
        search.work.reopen(KEY, "r")
        again = self.done(search, "s")
        assert search.work.study.trials[again].user_attrs["retry_of"] == number
        assert (len(search.work.study.trials), search.work.latest()[KEY].run_id) == (2, "s")

    def test_planned_runs_are_in_the_record_of_the_study_next_to_its_search(self, start: Start, tmp_path: Path) -> None:
        start()
        names = optuna.get_all_study_names(open_storage(str(tmp_path / "optuna.journal")))
        assert names == ["shared", "shared/torch"]
