"""What `--check` and a start of the same command answer, whatever the stores of a study hold."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, chdir, nullcontext
from pathlib import Path

import pytest
from mlflow.tracking._tracking_service import utils

from gru_bench.config import RunConfig
from gru_bench.errors import ExitCode
from gru_bench.sweep.__main__ import app
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.runner import Conductor
from gru_bench.sweep.workers.messages import Message
from gru_bench.sweep.workers.tasks import Train
from gru_bench.tracking import open_reader
from tests.support.commands import completed, mentions
from tests.support.mlflow_stores import client_of
from tests.support.workers import NAN, WELL, Actors

pytestmark = pytest.mark.usefixtures("database")

SMALL = """
base = "none"
models = ["scratch", "torch"]
trials = 1
confirm = 1
[embedding]
name = "random"
dimension = 4
[training]
epochs = 3
[space]
training.lr = { low = 1e-4, high = 1e-1, log = true }
"""
NO_SEARCH = SMALL.partition("[space]")[0].replace("trials = 1", "trials = 0")
BY_SIZE = """
models = ["scratch", "torch"]
trials = 0
confirm = 1
[embedding]
name = "random"
dimension = 4
"""


class Command:
    """The command `sweep` of one study file, with workers that train nothing."""

    def __init__(self, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.csv, self.failing = csv, ""
        self.trained: list[Train] = []
        monkeypatch.setattr("gru_bench.sweep.workers.local.Pool", lambda *_: nullcontext(self.actors()))

    def actors(self) -> Actors:
        return Actors(self.says, submitted=self.trained)

    def says(self, config: RunConfig) -> Sequence[Message]:
        return (NAN,) if config.model.name == self.failing and config.seed >= 10_000 else WELL

    def run(self, text: str, *options: str, failing: str = "") -> tuple[int, str]:
        """Write the study file, run the command, and return its exit code and what it prints."""
        self.failing = failing
        Path("mine.toml").write_text(text, encoding="utf-8")
        done = completed(app, "--study", "mine.toml", "--data", str(self.csv), *options)
        assert done.returncode in (ExitCode.DONE, ExitCode.INCOMPLETE), done.stderr
        return done.returncode, done.stdout


@pytest.fixture
def command(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(easy_csv, monkeypatch)


@pytest.mark.parametrize(("begun", "text", "options", "left"), [
    pytest.param([(SMALL, [], "")], SMALL, [], "", id="all done"),
    pytest.param([(SMALL, [], "")], SMALL, ["--trials", "2"], "scratch: 1 of 2 trials", id="trials left"),
    pytest.param([(SMALL, [], "")], SMALL, ["--confirm", "2"], "torch: confirmation seed 10001",
                 id="confirmation left"),
    pytest.param([(SMALL, [], "torch")], SMALL, [], "torch: confirmation seed 10000",
                 id="a confirmation run failed"),
    pytest.param([(SMALL, ["--model", "torch"], "")], SMALL, ["--model", "torch"], "", id="of one model"),
    pytest.param([(SMALL, [], "")], SMALL, ["--model", "torch"], "", id="one model left out"),
    pytest.param([(SMALL, [], "")], SMALL.replace('"scratch", ', ""), [], "", id="one model taken out of the file"),
    pytest.param([(BY_SIZE, [], "")], BY_SIZE, ["--confirm", "2"], "torch: confirmation seed 10001",
                 id="defaults by the size of the data, confirmation left"),
])
def test_a_check_and_a_start_agree_on_what_is_left(
    command: Command, begun: list[tuple[str, list[str], str]], text: str, options: list[str], left: str
) -> None:
    for start in begun:
        command.run(start[0], *start[1], failing=start[2])
    command.trained.clear()
    code, printed = command.run(text, *options, "--check")
    assert code == (ExitCode.INCOMPLETE if left else ExitCode.DONE)
    mentions(printed, left)
    failed = begun[-1][2]
    code, printed = command.run(text, *options, failing=failed)  # it fails again
    assert bool(command.trained) == bool(left)
    assert code == (ExitCode.INCOMPLETE if failed else ExitCode.DONE)
    mentions(printed, *[left] * bool(failed))
    assert command.run(text, *options, "--check")[0] == code
    if failed:
        assert [command.run(text, *options, *also)[0] for also in ([], ["--check"])] == [ExitCode.DONE] * 2


@pytest.mark.parametrize(("begun", "text", "options"), [
    pytest.param(["--model", "torch"], SMALL, [], id="models added"),
    pytest.param(["--model", "torch"], SMALL, ["--model", "scratch"], id="another model"),
    pytest.param([], SMALL, ["--model", "torch", "--confirm", "2"], id="one left out, confirmation left"),
    pytest.param([], SMALL.replace('"scratch", ', ""), ["--trials", "2"], id="one taken out, trials left"),
])
def test_other_models_than_a_study_began_with_are_refused_while_work_is_left(
    command: Command, begun: list[str], text: str, options: list[str]
) -> None:
    command.run(SMALL, *begun)
    command.trained.clear()
    for more in ([], ["--check"]):
        Path("mine.toml").write_text(text, encoding="utf-8")
        refused = completed(app, "--study", "mine.toml", "--data", str(command.csv), *options, *more)
        assert refused.returncode == ExitCode.MISTYPED
        mentions(refused.stderr, "'mine'", "torch", "--study-name")
    assert command.trained == []


# ---------------------------------------------------------------- state of the stores x --check x start x --check

WORDS = ("--study", "mine.toml", "--data", "easy.csv")


def ran(*options: str, starts_workers: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command in the working directory, with workers that train nothing, or that must not be started."""
    def pool(*_: object) -> AbstractContextManager[Actors]:
        assert starts_workers, "workers are started"
        return nullcontext(Actors(lambda _: WELL))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_bench.sweep.workers.local.Pool", pool)
        return completed(app, *WORDS, *options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, easy_csv: Path, empty_database: Path) -> Path:
    """A folder with a finished study."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(empty_database, folder)
    shutil.copy(easy_csv, folder)
    (folder / "mine.toml").write_text(SMALL, encoding="utf-8")
    with chdir(folder):
        assert ran().returncode == ExitCode.DONE
    return folder


def nothing() -> None:
    Path("optuna.journal").unlink()
    lost()


def lost() -> None:
    for file in Path().glob("mlflow.db*"):  # what has been written is in its log, too
        file.unlink()


def emptied() -> None:
    lost()
    shutil.copy("empty.db", "mlflow.db")


def begun(at: str, of: type = Conductor) -> None:
    """Begin the study, interrupted in this method."""
    nothing()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of, at, interrupted)
        assert ran().returncode == ExitCode.INTERRUPTED


def deleted(role: str) -> None:
    utils._artifact_repos_cache.clear()
    store = open_reader()
    client_of(store).delete_run(next(run.mlflow_id for run in store.runs("easy") if run.role == role))


def appended() -> None:
    with Path("easy.csv").open("a", encoding="utf-8") as file:
        file.write("one more text,1,\n")


def written(text: str) -> None:
    Path("mine.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("change", "options", "codes", "words"), [
    pytest.param(nothing, (), (3, 0, 0), "0 of 1 trials", id="nothing yet"),
    pytest.param(lambda: begun("__init__", RunLog), (), (3, 0, 0), "0 of 1 trials", id="begun, and not in MLflow"),
    pytest.param(lambda: begun("_ask"), (), (3, 0, 0), "0 of 1 trials", id="begun"),
    pytest.param(lambda: begun("end"), (), (3, 0, 0), "is RUNNING", id="all runs done, but not its end"),
    pytest.param(lambda: None, ("--trials", "2"), (3, 0, 0), "1 of 2 trials", id="more is asked for"),
    pytest.param(lambda: None, (), (0, 0, 0), "everything is done", id="finished"),
    pytest.param(lambda: None, ("--model", "torch"), (0, 0, 0), "everything is done", id="of one model"),
    pytest.param(lambda: written(SMALL.replace('"scratch", ', "")), (), (0, 0, 0), "everything is done",
                 id="a model was taken out"),
    pytest.param(lambda: written(f'purpose = "another one"\n{SMALL}'), (), (0, 0, 0), "everything is done",
                 id="another purpose"),
    pytest.param(lambda: None, ("--confirm", "0"), (0, 0, 0), "everything is done", id="fewer seeds"),
    pytest.param(lambda: Path("optuna.journal").unlink(), (), (4, 1, 4), "Restore the original storage",
                 id="journal lost"),
    pytest.param(emptied, (), (4, 1, 4), "restore the store", id="mlflow.db empty"),
    pytest.param(lost, (), (4, 1, 4), "restore the store", id="mlflow.db lost"),
    pytest.param(lambda: deleted("study"), (), (4, 1, 4), "mlflow runs restore", id="own run deleted"),
    pytest.param(lambda: deleted("trial"), (), (4, 0, 4), "mlflow runs restore", id="run of a trial deleted"),
    pytest.param(lambda: deleted("confirm"), (), (3, 0, 0), "mlflow runs restore", id="confirmation run deleted"),
    pytest.param(appended, (), (2, 2, 2), "easy.csv has changed", id="row appended"),
    pytest.param(lambda: shutil.copy("easy.csv", "other.csv"), ("--data", "other.csv"), (2, 2, 2),
                 "data was easy.csv and is now other.csv", id="other data"),
    pytest.param(lambda: written(f"{SMALL}[data]\nlimit = 60\n"), (), (2, 2, 2), "data.limit was none", id="limit"),
    pytest.param(lambda: None, ("--set", "data.validation_share=0.2"), (2, 2, 2), "data.validation_share was",
                 id="other split"),
    pytest.param(lambda: None, ("--set", "training.batch_size=8"), (2, 2, 2), "training.batch_size was",
                 id="other setting"),
])
def test_a_check_answers_what_the_same_command_would_do(
    finished: Path, empty_database: Path, change: Callable[[], object], options: Sequence[str],
    codes: tuple[int, int, int], words: str
) -> None:
    shutil.copytree(finished, "here")
    shutil.copy(empty_database, "here/empty.db")
    with chdir("here"):
        change()
        checked = ran(*options, "--check", starts_workers=False)
        trains = codes[0] == ExitCode.INCOMPLETE or codes[1] == ExitCode.FAILED
        started = ran(*options, starts_workers=trains)
        again = ran(*options, "--check", starts_workers=False)
        assert (checked.returncode, started.returncode, again.returncode) == codes, checked.stdout + started.stderr
        mentions(checked.stdout + checked.stderr, words)
        if codes[1] == ExitCode.MISTYPED:
            assert checked.stderr == started.stderr
        if codes[0] == codes[2]:
            assert (checked.stdout, checked.stderr) == (again.stdout, again.stderr)
        if checked.stdout:
            assert "do not match" not in checked.stdout
