"""What a sweep makes of how its runs end, with workers that only say so."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.errors import RunError
from gru_bench.evidence.progress import baseline_runs
from gru_bench.results.baselines import baseline_names
from gru_bench.results.diagnostics import DIAGNOSTICS
from gru_bench.results.logged_metrics import CHECK
from gru_bench.sweep import runs
from gru_bench.sweep.active_run import Assignment
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.runner import Conductor
from gru_bench.sweep.sharing import trials
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.workers.messages import Failed, Finished, Job, Message, WasPruned
from gru_bench.sweep.workers.tasks import MeasureBaselines, Train
from gru_bench.tracking import NOTE, LoggedStudy, RunWriter, Store, open_reader
from gru_bench.tracking.pending import PendingRun
from tests.support.commands import mentions
from tests.support.diagnostics import some_diagnostics
from tests.support.runs import all_baselines, baseline, result
from tests.support.trained_study import made_up_linear
from tests.support.values import present
from tests.support.workers import EPOCH, KILLED, NAN, WELL, Actors, Script, checked, states, swept

pytestmark = pytest.mark.usefixtures("database")


def logged() -> LoggedStudy:
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    return study


class TestFailures:
    @pytest.fixture(autouse=True)
    def _two(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a search end at the second failure in a row, and a trial at its second attempt."""
        monkeypatch.setattr(runs, "MOST_FAILURES", 2)
        monkeypatch.setattr(trials, "MOST_ATTEMPTS", 2)

    def test_failed_trials_in_a_row_end_a_sweep(self, easy_csv: Path) -> None:
        with pytest.raises(RunError, match=r"last 2 trials of torch failed.*the loss is not finite"):
            swept(easy_csv, Script((NAN,), (NAN,)))

    def test_complete_and_pruned_trials_between_failures_reset_their_count(self, easy_csv: Path) -> None:
        found = states(swept(easy_csv, Script((NAN,), WELL, (NAN,), (*checked(0.5, 0.5), WasPruned()), (NAN,))))
        assert found == {"failed": 3, "complete": 1, "pruned": 1}
        (reason,) = {run.reason for run in logged().trials if run.tags["gru_bench.state"] == "pruned"}
        mentions(reason, "at check 2", "successive-halving pruner")

    @pytest.mark.slow
    def test_workers_that_always_die_before_the_first_epoch_end_a_sweep(self, easy_csv: Path) -> None:
        script = Script((KILLED,), (KILLED,))
        with pytest.raises(RunError, match=r"2 trials of torch.*worker process"):
            swept(easy_csv, script)
        assert list(script.tries.values()) == [2, 2]

    def test_workers_that_are_killed_during_training_use_up_the_attempts_of_their_own_trial(
        self, easy_csv: Path
    ) -> None:
        script = Script((*checked(0.5), EPOCH, KILLED), WELL)
        summary = swept(easy_csv, script, trials=2)
        assert sorted(script.tries.values()) == [1, 2]
        assert states(summary) == {"failed": 1, "complete": 1}


@pytest.mark.parametrize("when", ["at its beginning", "during training", "at its end"])
def test_a_full_disk_is_never_blamed_on_a_trial(
    easy_csv: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no space for runs, but the search can still write."""
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    begin = RunLog.begin
    for _ in range(trials.MOST_ATTEMPTS + 1):
        with monkeypatch.context() as patch:
            def says(config: RunConfig, patch: pytest.MonkeyPatch = patch) -> Sequence[Message]:
                patch.setattr(PendingRun, "send", full)
                return WELL if when == "at its end" else (EPOCH, Failed("machine", f"no space: {config.seed}"))

            def beginning(log: RunLog, run: Assignment, patch: pytest.MonkeyPatch = patch) -> RunWriter:
                if when == "at its beginning":
                    patch.setattr(PendingRun, "send", full)
                return begin(log, run)

            patch.setattr(RunLog, "begin", beginning)
            with pytest.raises(RunError, match="space"):
                swept(easy_csv, says, trials=1)
    found = optuna.load_study(study_name="study/torch", storage=open_storage(None)).trials
    assert {trial.user_attrs.get("attempt", 1) for trial in found} == {1}
    assert states(swept(easy_csv, lambda _: WELL, trials=1))["complete"] == 1
    assert not [trial for trial in found if "failed_at" in trial.user_attrs]


def test_a_worker_that_finds_other_data_ends_the_sweep_and_its_trial_is_queued_again(easy_csv: Path) -> None:
    changed = Failed("machine", "the data must stay the same, but reviews.csv was changed: restore the file")
    with pytest.raises(RunError, match=r"reviews\.csv was changed"):
        swept(easy_csv, lambda _: WELL, trials=1, baselines=changed)
    with pytest.raises(RunError, match=r"reviews\.csv was changed"):
        swept(easy_csv, Script((EPOCH, changed)))
    (run,) = logged().trials
    assert (run.complete, run.status) == (False, "KILLED")
    summary = swept(easy_csv, lambda _: WELL, trials=1)
    assert states(summary) == {"complete": 1}


def test_the_decisions_at_checks_are_logged(easy_csv: Path) -> None:
    text = io.StringIO()
    script = Script((*checked(0.6, 0.7, 0.7, 0.8), *WELL), (*checked(0.5, 0.5), WasPruned()))
    swept(easy_csv, script, trials=2, console=Console(file=text, width=200))
    study = logged()
    found = {run.tags["gru_bench.trial"]: run for run in study.trials}
    assert found["0"].tags["gru_bench.checks"] == (
        "0.25 epochs: 60.0 %, continue; 0.50 epochs: 70.0 %, continue; 0.75 epochs: 70.0 %, continue; "
        "1.00 epochs: 80.0 %, continue")
    assert found["1"].tags["gru_bench.checks"] == "0.25 epochs: 50.0 %, continue; 0.50 epochs: 50.0 %, prune"
    mentions(found["1"].reason, "at check 2", "successive-halving pruner")
    assert found["1"].metrics[CHECK.key] == 0.5
    mentions(text.getvalue(), "torch trial 1", "pruned")
    assert "epochs: " not in text.getvalue()
    trial = present(study.summary).trials[1]
    assert (trial.state, trial.value, trial.epochs) == ("pruned", 0.5, 0.5)


def test_confirmation_runs_alone_are_scored_on_test_and_trained_on_a_chosen_backend(easy_csv: Path) -> None:
    submitted = list[Train]()
    summary = swept(easy_csv, lambda _: WELL, trials=2, confirm=2, settings={"model.backend": "torch"},
                    submitted=submitted)
    assert [(task.config.seed, task.score_test, task.config.model.backend) for task in submitted] == [
        (0, False, "auto"), (0, False, "auto"), (10_000, True, "torch"), (10_001, True, "torch")]
    assert 0 < present(summary.search_seconds) <= summary.seconds


@pytest.mark.parametrize("texts", [True, False])
def test_each_baseline_is_a_run_whose_ngrams_are_kept_only_where_texts_are(easy_csv: Path, texts: bool) -> None:
    fitted = tuple(replace(one, weights=made_up_linear().weights.arrays()) for one in all_baselines())
    swept(easy_csv, lambda _: WELL, trials=0, confirm=1, baselines=fitted, texts=texts)
    study = logged()
    assert [(run.model, run.role, run.complete, run.status) for run in baseline_runs(study)] == [
        (name, "baseline", True, "FINISHED") for name in baseline_names()]
    store = open_reader()
    for run, one in zip(baseline_runs(study), fitted, strict=True):
        assert {key: run.metrics[key] for key in one.metrics} == one.metrics
        assert run.params.items() >= {key: str(value) for key, value in one.settings.items()}.items()
        for split, found in one.predictions.items():
            assert np.array_equal(store.predictions(run.run_id, split).probability_NC, found.probability_NC)
        assert (store.text(run.run_id, "model/model.safetensors") is not None) == texts


class TestBaselines:
    """They are fitted once, by one of the starts of a study."""

    @pytest.fixture(autouse=True)
    def _counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fits = 0
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens once while the baselines are fitted."""
        submit = Actors.submit

        def counted(actors: Actors, job: Job) -> None:
            if isinstance(job.task, MeasureBaselines):
                self.fits += 1
                meanwhile, self.meanwhile = self.meanwhile, lambda: None
                meanwhile()
            submit(actors, job)

        monkeypatch.setattr(Actors, "submit", counted)

    def test_a_later_start_reads_them(self, easy_csv: Path) -> None:
        swept(easy_csv, lambda _: WELL, trials=0, confirm=1)
        before = logged()
        swept(easy_csv, lambda _: WELL, trials=0, confirm=2)
        after = logged()
        assert self.fits == 1
        assert after.baselines == before.baselines
        first, second = ([line for line in study.run.tags[NOTE].splitlines() if "(baseline)" in line]
                         for study in (before, after))
        assert len(first) == 3
        assert first == second

    def test_two_starts_at_once_fit_them_once(self, easy_csv: Path) -> None:
        trains = threading.Event()

        def says(_: RunConfig) -> Sequence[Message]:
            trains.set()
            return WELL

        other = threading.Thread(target=lambda: swept(easy_csv, says, trials=0, confirm=1))

        def meanwhile() -> None:
            other.start()
            assert trains.wait(60)  # the other start has passed the baselines

        self.meanwhile = meanwhile
        swept(easy_csv, says, trials=0, confirm=1)
        other.join()
        study = logged()
        assert self.fits == 1
        assert study.run.complete
        assert [run.complete for run in study.baselines] == [True] * 3

    @pytest.mark.parametrize("is_killed", [False, True])
    def test_the_next_start_fits_them_after_one_that_ended_meanwhile(
        self, easy_csv: Path, is_killed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted() -> None:
            raise KeyboardInterrupt

        self.meanwhile = interrupted
        with monkeypatch.context() as killed:
            if is_killed:
                killed.setattr(Conductor, "_stop_early", lambda *_: None)
            with pytest.raises(KeyboardInterrupt):
                swept(easy_csv, lambda _: WELL, trials=0, confirm=1)
        assert logged().baselines == ()
        swept(easy_csv, lambda _: WELL, trials=0, confirm=1)
        assert self.fits == 2
        assert [run.complete for run in logged().baselines] == [True] * 3


def test_baselines_that_cannot_be_measured_are_tried_again_by_the_next_start(easy_csv: Path) -> None:
    failed = Failed("run", "the fit failed")
    summary = swept(easy_csv, lambda _: WELL, trials=0, confirm=1, baselines=failed)
    mentions(" ".join(summary.notes), "baselines could not be measured", "the fit failed")
    assert logged().baselines == ()
    swept(easy_csv, lambda _: WELL, trials=0, confirm=1)
    assert [run.complete for run in logged().baselines] == [True] * 3


def test_the_baselines_are_shown_by_the_score_of_the_study(easy_csv: Path) -> None:
    text = io.StringIO()
    measured = tuple(baseline(name, test_accuracy=0.8, test_macro_f1=0.61) for name in baseline_names())
    swept(easy_csv, lambda _: WELL, trials=0, confirm=1, settings={"training.metric": "macro_f1"}, baselines=measured,
          console=Console(file=text, width=200))
    (line,) = [line for line in text.getvalue().splitlines() if line.startswith("baselines")]
    mentions(line, "macro F1", "majority class 61.0 %", "TF-IDF + logistic regression 61.0 %")
    assert "80.0" not in line


def test_the_first_confirmation_run_holds_its_diagnostics(easy_csv: Path) -> None:
    diagnosed, submitted = some_diagnostics().to_json(), list[Train]()

    def says(config: RunConfig) -> Sequence[Message]:
        return EPOCH, Finished(replace(result(), diagnostics=diagnosed if config.seed == 10_000 else ""))

    swept(easy_csv, says, trials=1, confirm=2, diagnostics=True, texts=True, submitted=submitted)
    assert [(task.config.seed, task.diagnostics, task.texts) for task in submitted] == [
        (0, False, True), (10_000, True, True), (10_001, False, True)]
    store, study = Store(), logged()
    assert [store.text(run.run_id, DIAGNOSTICS) for run in study.confirms] == [diagnosed, None]
    swept(easy_csv, says, trials=0, confirm=1, name="without", submitted=submitted)
    assert not submitted[-1].diagnostics
