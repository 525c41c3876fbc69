"""What a sweep makes of how its runs end, with workers that only say so."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock, Timeout
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.errors import RunError
from gru_bench.results.logged_metrics import CHECK
from gru_bench.results.runs import Baseline, Check
from gru_bench.sweep.runner import MOST_FAILURES
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import MOST_ATTEMPTS
from gru_bench.sweep.workers.local import CheckDone, Finished, Message, WasPruned
from gru_bench.tracking import Store, sync
from gru_bench.tracking import writer as writing
from gru_bench.tracking.client import open_client
from tests.support.runs import result
from tests.support.values import present
from tests.support.workers import EPOCH, KILLED, NAN, WELL, Script, states, swept

pytestmark = pytest.mark.usefixtures("database")


def test_trials_that_fail_one_after_another_end_a_sweep(easy_csv: Path) -> None:
    with pytest.raises(RunError, match="the last 3 of torch failed, the last because the loss is not finite"):
        swept(easy_csv, Script((NAN,), (NAN,), (NAN,)))


@pytest.mark.parametrize("well", [WELL, (EPOCH, WasPruned())], ids=["complete", "pruned"])
def test_one_that_ends_well_in_between_speaks_for_the_rest(easy_csv: Path, well: Sequence[Message]) -> None:
    found = states(swept(easy_csv, Script((NAN,), WELL, (NAN,), well, (NAN,))))
    assert found["failed"] == MOST_FAILURES
    assert found["complete"] + found["pruned"] == 2


def test_a_pruned_trial_says_by_what(easy_csv: Path) -> None:
    swept(easy_csv, Script(WELL, (EPOCH, WasPruned()), WELL, WELL, WELL))
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    reasons = {run.reason for run in study.trials} - {""}
    assert reasons == {"pruned after epoch 1 by the median pruner: its best validation accuracy was below the "
                       "median of earlier trials"}


def checked(*scores: float) -> tuple[Message, ...]:
    return tuple(CheckDone(Check(number, number / 4, score)) for number, score in enumerate(scores, 1))


def test_what_is_decided_at_checks_is_logged(easy_csv: Path) -> None:
    text = io.StringIO()
    script = Script((*checked(0.6, 0.7, 0.7, 0.8), *WELL), (*checked(0.5, 0.5), WasPruned()), *[WELL] * 3)
    swept(easy_csv, script, pruner="halving", console=Console(file=text, width=200))
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    found = {run.tags["gru_bench.trial"]: run for run in study.trials}
    assert found["0"].tags["gru_bench.checks"] == (
        "0.25 epochs: 60.0 %, go on; 0.50 epochs: 70.0 %, go on; 0.75 epochs: 70.0 %, go on; "
        "1.00 epochs: 80.0 %, go on")
    assert found["1"].tags["gru_bench.checks"] == "0.25 epochs: 50.0 %, go on; 0.50 epochs: 50.0 %, prune"
    assert found["1"].reason == ("pruned at check 2 by the successive-halving pruner: its score at this check was not "
                                 "in the best half of the trials so far")
    assert found["1"].metrics[CHECK.key] == 0.5
    assert "torch trial 1: 0.50 epochs: 50.0 %, prune" in text.getvalue()
    trial = present(study.summary).trials[1]
    assert (trial.state, trial.value, trial.epochs) == ("pruned", 0.5, 0.5)


def test_the_first_trial_is_shown_beside_the_linear_baseline_once(easy_csv: Path) -> None:
    text = io.StringIO()
    linear = Baseline("linear", 0.81, 0.8, 0.8, 10, 1.0)
    swept(easy_csv, Script(*[WELL] * 5), console=Console(file=text, width=200), baselines=(linear,))
    shown = "torch: its first trial reached validation accuracy 75.0 %, linear (baseline) 81.0 %"
    assert text.getvalue().count(shown) == 1


def test_trials_have_no_teachers_but_confirm_runs_do(easy_csv: Path) -> None:
    seen: list[tuple[int, int]] = []

    def says(config: RunConfig) -> Sequence[Message]:
        seen.append((config.seed, config.training.teachers))
        return WELL

    swept(easy_csv, says, trials=2, confirm=2, settings={"training.teachers": 3})
    assert seen == [(0, 0), (0, 0), (10_000, 3), (10_001, 3)]


def test_the_seconds_of_the_search_are_told_apart(easy_csv: Path) -> None:
    found = swept(easy_csv, Script(*[WELL] * 5))
    assert 0 < present(found.search_seconds) <= found.seconds


def test_a_study_may_ask_for_the_console_log_of_its_confirm_runs(easy_csv: Path) -> None:
    def console_log(name: str, **changes: Any) -> list[str]:
        text = io.StringIO()
        swept(easy_csv, lambda _: (*result().window_losses, EPOCH, Finished(result())), name=name, trials=1, confirm=1,
              console=Console(file=text, width=200), **changes)
        shown = re.findall(r"torch seed 10000: (.*?) *$", text.getvalue(), re.MULTILINE)
        return [line for line in shown if "train loss" not in line]  # the lines of epochs, which are always shown

    assert console_log("shown", console_log=True)[:6] == [
        "epoch 1  iteration 10  0.5 s  loss 0.6900", "epoch 1  iteration 20  1.0 s  loss 0.6600",
        "2 parameter tensors, 12 parameters; backend fused", "lowest loss 0.6600 at iteration 20 in epoch 1",
        "trained for 4.5 s", "test accuracy 50.00 % (2 of 4)"]
    assert console_log("silent") == console_log("homework", protocol="homework") == []


class TestANewStore:
    """MLflow takes seconds to load and to prepare a file; meanwhile runs begin, and no other process."""

    @pytest.fixture(autouse=True)
    def opens(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
        """MLflow waits for this."""
        database.unlink()
        event = threading.Event()

        def open_later(uri: str, database: Path | None) -> Any:
            assert event.wait(60)
            return open_client(uri, database)

        monkeypatch.setattr(sync, "open_client", open_later)
        return event

    @staticmethod
    def others_may_begin() -> bool:
        try:
            with FileLock("optuna.journal.step.lock", timeout=0):
                return True
        except Timeout:
            return False

    def test_runs_begin_before_mlflow_is_there(self, easy_csv: Path, opens: threading.Event) -> None:
        begun: list[bool] = []

        def says(config: RunConfig) -> Sequence[Message]:
            del config
            begun.append(self.others_may_begin())
            opens.set()
            return WELL

        swept(easy_csv, says)
        assert begun[0] is False
        assert self.others_may_begin()
        (study,) = Store(create=False).studies("easy")
        trials = optuna.load_study(study_name="study/torch", storage=open_storage(None)).trials
        assert {run.run_id for run in study.trials} == {trial.user_attrs["run_id"] for trial in trials}

    def test_others_may_begin_once_it_has_ended_badly(
        self, easy_csv: Path, opens: threading.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def says(config: RunConfig) -> Sequence[Message]:
            raise RunError(f"no {config.model.name} today")

        monkeypatch.setattr(writing, "LAST_SECONDS", 0.1)
        with pytest.raises(RunError, match="no torch today"):
            swept(easy_csv, says)
        assert self.others_may_begin()
        opens.set()


def test_workers_that_always_die_at_the_start_end_a_sweep(easy_csv: Path) -> None:
    script = Script((KILLED,), (KILLED,), (KILLED,))
    with pytest.raises(RunError, match="the last 3 of torch failed, the last because its worker process ended"):
        swept(easy_csv, script)
    assert list(script.tries.values()) == [MOST_ATTEMPTS] * MOST_FAILURES


def test_workers_that_are_killed_in_the_midst_of_training_do_not(easy_csv: Path) -> None:
    """They use up their own trial's tries, of which the first got further, and the sweep goes on to the others."""
    script = Script(*[(EPOCH, KILLED)] * 4, WELL)
    summary = swept(easy_csv, script)
    assert sorted(script.tries.values()) == [1] + [MOST_ATTEMPTS + 1] * 4
    assert states(summary)["complete"] == 1
    counted = [trial for trial in summary.trials if trial.reason and trial.state == "failed"]
    assert len({trial.settings["training.lr"] for trial in counted}) == 4
