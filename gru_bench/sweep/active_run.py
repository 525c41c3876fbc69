"""A run that this process trains: what its worker says is logged, and its trial ends as the run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gru_bench.config import RunConfig, Scalar
from gru_bench.results.pruners import PRUNERS, REASON
from gru_bench.results.runs import Check, EpochRecord, RunResult
from gru_bench.stats.scores import best, compared, value_of
from gru_bench.sweep.plan import Role
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.trials import Trials
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.workers.messages import End, Failed, Finished, WasPruned
from gru_bench.tracking import RunWriter


@dataclass(frozen=True)
class Assignment:
    """A run that this process has taken from the study: a trial of a search, or a planned run."""

    trials: Trials
    """Those that its trial is one of: the search, or the planned work of the study."""
    number: int
    """Number of its trial."""
    config: RunConfig
    settings: Mapping[str, Scalar]
    """Settings that differ from the study's own. Their digest identifies the run later."""

    @property
    def search(self) -> Search | None:
        """The search, if it is a trial of one."""
        return self.trials if isinstance(self.trials, Search) else None

    @property
    def role(self) -> Role:
        """Whether it is a trial of a search or a confirmation run."""
        return "confirm" if self.search is None else "trial"

    @property
    def label(self) -> str:
        """Name under which the run is shown."""
        return f"{self.model} seed {self.config.seed}" if self.search is None else f"{self.model} trial {self.number}"

    @property
    def key(self) -> str:
        """Its Optuna study and the number of its trial, by which it is told from the other runs that are trained."""
        return f"{self.trials.study.study_name} {self.number}"

    @property
    def model(self) -> str:
        """Its model."""
        return self.config.model.name


REASSIGNED = "given to another process, because this one seemed dead"


@dataclass(frozen=True)
class Outcome:
    """How a run has ended."""

    state: Literal["complete", "tested", "pruned", "failed", "left"]
    """left: another process has the run now."""
    value: float | None = None
    """The accuracy that it reached."""
    reason: str = ""
    again: bool = False
    """Whether a failed run is queued again."""


class ActiveRun:
    """A run that this process trains."""

    def __init__(self, run: Assignment, writer: RunWriter, spec: StudySpec) -> None:
        """Take the run of a study, and its writer to the tracking store."""
        self.run, self.writer, self.spec = run, writer, spec
        self.scores: list[float] = []
        """Validation accuracy of each epoch so far."""
        self.checks: list[str] = []
        """What was decided at each check so far."""
        self._reassigned = False
        """Whether the run was given to another process."""
        run.trials.note_run(run.number, writer.run_id)

    @property
    def _search(self) -> Search:
        assert self.run.search is not None, "only trials report to a search"
        return self.run.search

    def restart(self, reason: str) -> None:
        """Log that the run begins again, and why."""
        self.scores.clear()
        self.checks.clear()
        self.writer.tags({"gru_bench.done_again": reason})

    def check(self, check: Check) -> bool:
        """Report a check to the search, and log the decision; return whether the run goes on."""
        verdict = self._search.check(self.run.number, check)
        self._reassigned = verdict == "reassigned"
        shown = compared(self.spec.metric, "val").written(check.score)
        self.checks.append(f"{check.epochs:.2f} epochs: {shown}, {verdict}")
        self.writer.check(check)
        self.writer.tags({"gru_bench.checks": "; ".join(self.checks)})
        return verdict == "continue"

    def report(self, record: EpochRecord) -> bool:
        """Report an epoch; return whether the run goes on."""
        score = record.score(self.spec.metric)
        if score is None:
            return True
        self.scores.append(score)
        self._reassigned = not self.run.trials.report(self.run.number, record.epoch, score)
        return not self._reassigned

    def end(self, message: End) -> Outcome:
        """Log the end of the run and end its trial."""
        match message:
            case Finished(result):
                assert isinstance(result, RunResult)
                return self._finished(result)
            case WasPruned():
                return self._pruned()
            case Failed("run", reason):
                self.writer.fail(reason)
                self.run.trials.fail(self.run.number, reason)
                return Outcome("failed", None, reason)
            case Failed(kind, reason):
                return Outcome("failed", None, reason, again=self.break_off(reason, fault=kind == "worker"))

    def break_off(self, reason: str, *, fault: bool = False) -> bool:
        """End a run that was interrupted and queue it again; return False if it was tried too often.

        Args:
            reason: Why it was interrupted.
            fault: Whether its worker has died, of which the run itself may be the cause.
        """
        try:
            self._kill(reason)
        finally:  # on a full disk too: the next start finds the beginning of the run, and must not blame its trial
            again = self.run.trials.give_up(self.run.number, reason, fault=fault)
        return again

    def _finished(self, result: RunResult) -> Outcome:
        self.writer.result(result)
        if self.run.role == "trial":
            value = best(self.spec.metric, self.scores)
        else:
            test = result.predictions["test"]
            value = value_of(self.spec.metric, test.label_N, test.probability_NC)
        # The run is complete in MLflow before its trial ends. If this process dies in between, another one adopts it.
        if self.writer.store.patiently(
                lambda: self.run.trials.complete(self.run.number, value, self.writer.complete)):
            return Outcome("complete" if self.run.role == "trial" else "tested", value)
        return self._left()

    def _pruned(self) -> Outcome:
        pruned = f"pruned at check {len(self.checks)} by the {PRUNERS[self.spec.pruner]}: {REASON}"
        if not self._reassigned and self.writer.store.patiently(
                lambda: self._search.prune(self.run.number, lambda: self.writer.prune(pruned))):
            return Outcome("pruned", best(self.spec.metric, self.scores) if self.scores else None, REASON)
        return self._left()

    def _left(self) -> Outcome:
        self._kill(REASSIGNED)
        return Outcome("left", None, REASSIGNED)

    def _kill(self, reason: str) -> None:
        """End the run in MLflow, unless another start has adopted it: its end was written, but the answer was lost."""
        self.writer.store.patiently(lambda: self.run.trials.close(
            self.run.number, self.writer.run_id, lambda: self.writer.kill(reason)))
