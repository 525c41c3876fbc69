"""A sweep under fire: workers and whole sweeps are killed at random moments, and it ends with what was asked for.

Every draw follows from a seed; what is hit at a moment depends on the machine. With its figures: `pytest -n 0 -m
service -k chaos`; longer: `--kills 200`; otherwise: `--chaos-seed 2`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest

from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.tracking import Reader, open_reader
from tests.support.commands import ROOT, command
from tests.support.values import present

SCRIPT = str(ROOT / "sweeps" / "run.py")
TRIALS = {"files": 8, "servers": 8, "ray": 5}
"""Trials asked for at first: where the studies are stored, or the trials trained. On Ray each takes longest."""
CONFIRM, MORE = 2, 3
WORKERS = 2
LEAST_SECONDS, MOST_SECONDS = 0.5, 3.0
"""Between two blows."""
AT_START = 0.2
"""Share of the blows that may hit a sweep which does not train yet; the others wait until one does."""
PATIENCE_SECONDS = 600.0
"""For a sweep that nobody disturbs any more."""
STUDY = """
purpose = "What is left when everything is killed?"
base = "none"
models = ["torch"]
[embedding]
dimension = 12
[model]
hidden_size = 16
[training]
epochs = 30
batch_size = 8
threads = 1
log_every = 5
[space]
training.lr = { low = 1e-3, high = 1e-2, log = true }
model.hidden_size = { low = 8, high = 24 }
"""
KILLS = {"files": 5, "servers": 3, "ray": 3}
"""Least kills without `--kills`."""
RESTART = 3
"""After so many blows the server is killed and started again."""
BLOWS = {"kill a worker": 12, "kill a sweep": 3, "SIGTERM": 2, "Ctrl-C": 2, "Ctrl-C twice": 1, "start another": 3}
"""What happens, and how often it does relative to the others."""


@dataclass
class Chaos:
    """One study, the processes that work on it, and what is done to them."""

    directory: Path
    csv: Path
    seed: int
    trials: int
    storage: str | None = None
    tracking: str | None = None
    cluster: str | None = None
    """Address of the Ray cluster that trains."""
    disturb: Callable[[int], None] = lambda _: None
    """Called after each blow with their number so far: what else may go wrong, such as a server."""
    blows: Counter[str] = field(default_factory=Counter)
    ends: list[float] = field(default_factory=list)
    """Seconds from a request to end to the end."""
    _sweeps: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _logs: dict[int, Path] = field(default_factory=dict)
    _asked: dict[int, int] = field(default_factory=dict)
    """The trials that each sweep was started for."""
    _starts: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        (self.directory / "chaos.toml").write_text(STUDY, encoding="utf-8")
        self._random = random.Random(self.seed)

    @property
    def kills(self) -> int:
        return sum(count for blow, count in self.blows.items() if blow.startswith("kill"))

    def arguments(self) -> list[str]:
        where = ["--storage", self.storage] if self.storage else []
        where += ["--tracking-uri", self.tracking] if self.tracking else []
        where += ["--cluster", self.cluster, "--device", "cpu"] if self.cluster else []
        return ["--study", "chaos.toml", "--data", str(self.csv), "--trials", str(self.trials), "--confirm",
                str(CONFIRM), "--no-texts", *where]

    def run(self, kills: int) -> None:
        """Deal blows until there were as many kills, then let the study come to its end."""
        while self.kills < kills:
            self._collect()
            if self._finished:
                # All was done before enough was killed: ask for more, as a user would.
                self._finished, self.trials = False, self.trials + MORE
            if not self._sweeps:
                self._start()
            time.sleep(self._random.uniform(LEAST_SECONDS, MOST_SECONDS))
            (blow,) = self._random.choices(list(BLOWS), list(BLOWS.values()))
            if self._deal(blow):
                self.blows[blow] += 1
                self.disturb(self.blows.total())
        deadline = time.monotonic() + PATIENCE_SECONDS
        self._collect()
        while self._sweeps or not self._finished:
            assert time.monotonic() < deadline, self.log()
            if not self._sweeps:
                self._start()
            time.sleep(0.2)
            self._collect()

    def stop(self) -> None:
        for sweep in self._sweeps:
            sweep.kill()
            sweep.wait()

    def log(self, *first: Path) -> str:
        paths = dict.fromkeys((*first, *sorted(self.directory.glob("sweep-*.log"))[-4:]))
        return "\n".join(f"== {path.name}\n{path.read_text(encoding='utf-8')[-1500:]}" for path in paths)

    _finished = False

    def _start(self) -> None:
        self._starts += 1
        path = self.directory / f"sweep-{self._starts:03}.log"
        with path.open("wb") as log:
            sweep = subprocess.Popen(
                [sys.executable, SCRIPT, *self.arguments(), "--workers", str(WORKERS)], cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._sweeps.append(sweep)
        self._logs[sweep.pid], self._asked[sweep.pid] = path, self.trials

    def _collect(self) -> None:
        """Take note of sweeps that have ended; one that says that all is done has done it, so more is asked for.

        A run that was killed too often is given up for that start, which says so, and tried again by the next one. What
        a sweep that was killed after another's end has left waits for the next one too.
        """
        sweeps = list(self._sweeps)
        for sweep in [sweep for sweep in sweeps if sweep.poll() is not None]:
            self._sweeps.remove(sweep)
            well = sweep.returncode in (0, 3, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
            assert well or self._found_no_server(sweep), (
                f"exit code {sweep.returncode}\n{self.log(self._logs[sweep.pid])}")
            if sweep.returncode in (0, 3):
                done = "the study chaos is done" in self._logs[sweep.pid].read_text(encoding="utf-8")
                assert done == (sweep.returncode == 0)
                if self._asked[sweep.pid] == self.trials:
                    self._finished = done and sweeps == [sweep]

    def _found_no_server(self, sweep: subprocess.Popen[bytes]) -> bool:
        """Return whether a sweep has not begun because the server was away, as it says."""
        log = self._logs[sweep.pid].read_text(encoding="utf-8")
        return (sweep.returncode == 1 and self.tracking is not None and "does not respond: Connection refused" in log
                and " to do" not in log)

    def _deal(self, blow: str) -> bool:
        """Deal a blow; return False where there was nothing to hit."""
        if blow == "start another":
            if len(self._sweeps) < 2:
                self._start()
            return True
        early = self._random.random() < AT_START
        targets = [sweep for sweep in self._sweeps if early or " to do" in self._logs[sweep.pid].read_text()]
        if not targets:
            return False
        sweep = self._random.choice(targets)
        if blow == "kill a worker":
            workers = self._workers(sweep.pid)
            if not workers:
                return False
            _signal(self._random.choice(workers), signal.SIGKILL)
            return True
        if blow == "kill a sweep":
            sweep.kill()
            sweep.wait()
            return True
        # What is asked before the sweep has begun ends the interpreter somehow: ask those that train.
        if not self._workers(sweep.pid):
            return False
        kind = signal.SIGTERM if blow == "SIGTERM" else signal.SIGINT
        asked = time.monotonic()
        for _ in range(2 if blow == "Ctrl-C twice" else 1):
            for pid in (sweep.pid, *(self._workers(sweep.pid) if kind == signal.SIGINT else ())):
                _signal(pid, kind)
            time.sleep(0.05)
        sweep.wait(60)
        self.ends.append(time.monotonic() - asked)
        return True

    def _workers(self, pid: int) -> list[int]:
        """Return the processes that train for a sweep; on a cluster, those that train for any."""
        if self.cluster:
            processes = (path.name for path in Path("/proc").glob("[0-9]*"))
            return [int(process) for process in processes if _is_called(process, b"ray::gru-bench: ")]
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
            return [int(child) for child in children if _is_called(child, b"spawn_main")]
        return []

    def check(self) -> str:
        """Check what is left, in both stores by themselves and by our own command; return the figures."""
        url = self.storage or str(self.directory / "optuna.journal")
        trials = optuna.load_study(study_name="chaos/torch", storage=open_storage(url)).trials
        counted = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")
                   or "failed_at" in trial.user_attrs]
        states = Counter(trial.state.name for trial in counted)
        assert len(counted) == self.trials
        assert not [trial for trial in trials if trial.state.name == "RUNNING"]
        settings = Counter(tuple(sorted(trial.params.items())) for trial in counted)
        assert max(settings.values()) == 1

        store = open_reader(self.tracking or f"sqlite:///{self.directory / 'mlflow.db'}")
        (study,) = store.studies("easy")
        runs = [study.run, *study.trials, *study.confirms]
        assert study.summary is not None
        assert not [run.name for run in runs if run.status == "RUNNING"]
        ends = Counter(run.tags["gru_bench.state"] for run in study.trials)
        assert (ends["complete"], ends["pruned"]) == (states["COMPLETE"], states["PRUNED"])
        whole = [run.seed for run in study.confirms if run.complete]
        assert sorted(map(present, whole)) == list(study.summary.confirm_seeds), self.log()

        redone, trained = self._epochs(store, [run.run_id for run in (*study.trials, *study.confirms)],
                                       {run.run_id: (run.tags["gru_bench.settings"], run.seed) for run in runs[1:]})
        agreed = command(SCRIPT, *self.arguments(), "--check", cwd=self.directory)
        assert agreed.returncode == 0, agreed.stdout + agreed.stderr
        blows = ", ".join(f"{number} x {blow}" for blow, number in self.blows.items())
        broken = sum(trial.state.name == "FAIL" for trial in trials)
        return "\n".join([
            f"{self.kills} kills in {self._starts} starts ({blows})",
            f"{len(counted)} of {self.trials} trials ({dict(states)}), {sum(settings.values()) - len(settings)} "
            f"duplicates, {len(whole)} of {CONFIRM} confirmation seeds, 0 running",
            f"{broken - states['FAIL']} trials interrupted and queued again",
            f"{trained} epochs trained, {redone} of them twice ({redone / self.kills:.2f} a kill)",
            f"asked to end, sweeps ended within {max(self.ends, default=0.0):.1f} s",
            f"{time.monotonic() - self._begun:.0f} s in all", agreed.stdout])

    def _epochs(self, store: Reader, run_ids: list[str], names: dict[str, object]) -> tuple[int, int]:
        """Return how many epochs were trained more than once, and how many in all.

        A run that goes on from a checkpoint logs the epochs before it again, with the seconds that they took then.
        """
        took: dict[object, set[float]] = {}
        for run_id, metrics in store.histories(run_ids, ["time/epoch_seconds"]).items():
            for epoch, seconds in metrics.get("time/epoch_seconds", ()):
                took.setdefault((names[run_id], epoch), set()).add(seconds)
        trained = sum(map(len, took.values()))
        return trained - len(took), trained


def _is_called(pid: str, name: bytes) -> bool:
    with suppress(OSError):
        return name in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _signal(pid: int, kind: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, kind)


@pytest.mark.service
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("where", KILLS)
def test_chaos(
    where: str, tmp_path: Path, easy_csv: Path, empty_database: Path, request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On files; on PostgreSQL and an MLflow server that is killed and started again on the way; on a Ray cluster."""
    chaos = Chaos(tmp_path, easy_csv, request.config.getoption("--chaos-seed"), TRIALS[where])
    if where == "servers":
        server = request.getfixturevalue("own_server")
        server.start()

        def disturb(blows: int) -> None:
            if blows == RESTART:
                server.stop(signal.SIGKILL)
                server.start()

        chaos.storage, chaos.tracking = request.getfixturevalue("postgres_url"), server.uri
        chaos.disturb = disturb
    else:
        shutil.copy(empty_database, tmp_path)
    if where == "ray":
        chaos.cluster = request.getfixturevalue("two_nodes").address
    try:
        chaos.run(request.config.getoption("--kills") or KILLS[where])
        figures = chaos.check()
    finally:
        chaos.stop()
    with capsys.disabled():
        print(f"\n{figures}")
