"""A store that does not respond: calls wait for it, and nothing is written twice or lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gru_bench.errors import RunError
from gru_bench.results.runs import EpochRecord
from gru_bench.tracking import Store, patience
from gru_bench.tracking.failures import failed
from tests.support.mlflow_stores import client_of
from tests.support.runs import baseline, modeled, result


class Wire:
    """The client of a store whose calls may fail before they reach it, or after they were carried out."""

    def __init__(self, store: Store) -> None:
        """Stand between a store and its client."""
        self.client, self.calls = store.client, list[str]()
        self.before = self.after = 0
        """How many of the next calls fail."""
        vars(store)["client"] = self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            if self.before:
                self.before -= 1
                raise failed("the store", name, ConnectionError("cut"))
            found = getattr(self.client, name)(*arguments, **named)
            if self.after:
                self.after -= 1
                raise failed("the store", name, ConnectionError("cut"))
            return found

        return call


@pytest.fixture
def wire(store: Store, monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr(patience, "POLL_SECONDS", 0.0)
    return Wire(store)


@pytest.fixture
def said(store: Store) -> list[str]:
    lines = list[str]()
    store._say = lines.append
    return lines


@pytest.mark.parametrize("kind", ["before", "after"])
@pytest.mark.parametrize("failures", [1, 3])
def test_each_run_and_point_is_written_once_whichever_calls_fail(
    store: Store, wire: Wire, said: list[str], kind: str, failures: int
) -> None:
    def fail() -> None:
        setattr(wire, kind, failures)

    fail()
    study = store.start("reviews", "s", role="study", study="s", fingerprint="abc")
    fail()
    run = store.start("reviews", "s seed 3", role="confirm", study="s", model="torch", fingerprint="abc",
                      parent=study.run_id)
    for epoch in (1, 2):
        run.epoch(EpochRecord(epoch, 1 / epoch, 0.6, 0.7, 2.0, 100.0))
    fail()
    run.result(modeled(result()))
    fail()
    run.complete()
    assert said
    assert len(store.runs("reviews")) == 2
    (found,) = [one for one in store.runs("reviews") if one.role == "confirm"]
    assert (found.complete, found.status) == (True, "FINISHED")
    history = client_of(store).get_metric_history(store.mlflow_id(run.run_id), "loss/train")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]
    assert len(store.predictions(run.run_id, "test").label_N) == 4


def test_curves_wait_for_nobody_and_come_with_the_end_of_the_run(store: Store, wire: Wire, said: list[str]) -> None:
    run = store.start("reviews", "r", role="single")
    wire.before = 10**6
    for epoch in (1, 2, 3):
        run.epoch(EpochRecord(epoch, 1 / epoch, 0.6, 0.7, 2.0, 100.0))
    assert wire.calls.count("log_batch") == 1  # it is asked once, not at each epoch
    assert not said
    wire.before = 0
    run.finish(result())
    history = store.histories([run.run_id], ["loss/train"])[run.run_id]["loss/train"]
    assert [step for step, _ in history] == [1, 2, 3]


def test_a_call_waits_as_long_as_the_patience_of_the_store(store: Store, wire: Wire, said: list[str]) -> None:
    wire.before = 10**6
    store.patience = 0.05
    waits = 0

    def waiting() -> None:
        nonlocal waits
        waits += 1

    store.while_waiting = waiting
    with pytest.raises(RunError, match="has not responded"):
        store.start("reviews", "r", role="single")
    assert waits
    assert len(said) == 1


def test_a_wait_is_ended_by_what_is_called_meanwhile(store: Store, wire: Wire) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    run = store.start("reviews", "r", role="single")
    wire.before = 10**6
    store.while_waiting = interrupt
    with pytest.raises(KeyboardInterrupt):
        run.complete()
    wire.before = 0
    store.while_waiting = lambda: None
    run.kill("interrupted")
    assert [one.state for one in store.runs("reviews")] == ["killed"]


def test_what_is_called_within_a_repeated_call_is_repeated_with_it(store: Store, wire: Wire) -> None:
    run = store.start("reviews", "r", role="single")
    begun = 0

    def both() -> None:
        nonlocal begun
        begun += 1
        run.complete()

    wire.before = 2
    store.patiently(both)
    assert begun == 3


def test_an_error_that_another_attempt_would_repeat_is_raised_at_once(store: Store, wire: Wire) -> None:
    run = store.start("reviews", "r", role="single")
    client_of(store).delete_run(store.mlflow_id(run.run_id))
    with pytest.raises(RunError, match="deleted"):
        store.writer(run.run_id).complete()


def test_params_that_are_known_at_the_end_of_a_run_arrive(store: Store) -> None:
    run, linear = store.start("reviews", "s tfidf", role="baseline", study="s", model="tfidf"), baseline("tfidf")
    assert store.runs("reviews")[0].params == {}
    run.baseline(linear)
    run.complete()
    assert store.runs("reviews")[0].params == {key: str(value) for key, value in linear.settings.items()}


def test_a_run_is_not_complete_before_it_is_said_to_be(store: Store) -> None:
    run = store.start("reviews", "r", role="single")
    run.result(result())
    assert [(one.complete, one.status) for one in store.runs("reviews")] == [(False, "RUNNING")]
