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
    pytest.param([(SMALL.replace('"scratch", ', ""), [], "")], SMALL, [], "scratch: 0 of 1 trials",
                 id="the file gained a model"),
    pytest.param([(SMALL, ["--model", "torch"], "")], SMALL, [], "scratch: 0 of 1 trials", id="begun by one model"),
    pytest.param([(SMALL, ["--model", "torch"], "")], SMALL, ["--model", "torch"], "", id="one model done"),
    pytest.param([(SMALL, ["--model", "torch"], "")], SMALL, ["--model", "scratch"], "scratch: 0 of 1 trials",
                 id="the other model left"),
    pytest.param([(BY_SIZE, ["--model", "torch"], ""), (BY_SIZE, ["--model", "scratch"], "")], BY_SIZE, [], "",
                 id="defaults by the size of the data, each model by a start of its own"),
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


def test_a_start_of_one_model_is_done_and_names_the_models_that_are_not(command: Command) -> None:
    for options in ([], ["--check"]):
        code, printed = command.run(NO_SEARCH, "--model", "torch", *options)
        assert code == ExitCode.DONE
        mentions(printed, "scratch is still to be searched or confirmed")
    code, printed = command.run(NO_SEARCH)
    assert code == ExitCode.DONE
    assert "still to be" not in printed
