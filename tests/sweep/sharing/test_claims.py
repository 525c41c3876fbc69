"""A claim belongs to one process at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable

import pytest

from gru_bench.sweep.sharing.claims import MOST_ATTEMPTS, Claims
from tests.support.searches import Notes


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
        assert (b.unfinished(["seed 1"]), b.available(["seed 1"])) == (["seed 1"], [])
        assert not b.finish("seed 1")
        assert a.finish("seed 1")
        assert b.unfinished(["seed 1"]) == []
        assert not b.take("seed 1")

    def test_what_a_dead_process_had_is_taken_up_three_times(self, make: Callable[[str, int], Claims]) -> None:
        claims = make("a", 1)
        for attempt in range(1, MOST_ATTEMPTS + 1):
            assert claims.take("seed 1")
            assert claims.release("seed 1", fault=True) == (attempt < MOST_ATTEMPTS)
        assert not claims.take("seed 1")
        assert make("b", 2).take("seed 1")  # a later start of the study may try again

    def test_an_interruption_is_no_attempt(self, make: Callable[[str, int], Claims]) -> None:
        claims = make("a", 1)
        for _ in range(MOST_ATTEMPTS + 2):
            assert claims.take("seed 1")
            assert claims.release("seed 1", fault=False)

    def test_what_failed_is_for_a_later_start(self, make: Callable[[str, int], Claims]) -> None:
        a, b = make("a", 1), make("b", 2)
        assert a.take("seed 1")
        assert a.fail("seed 1")
        assert a.unfinished(["seed 1"]) == []
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
