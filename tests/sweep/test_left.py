"""Studies that are half done: `--check` says truly whether a start of the same command has something left to do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from gru_bench.config import RunConfig
from gru_bench.errors import ExitCode
from gru_bench.sweep.__main__ import app
from gru_bench.sweep.workers.local import Message
from gru_bench.sweep.workers.tasks import Train
from tests.support.commands import completed, mentions
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
