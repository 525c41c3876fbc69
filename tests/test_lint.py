"""The command gru-bench lint: what it looks at, what it prints, and how it ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gru_bench.tracking
from gru_bench.checks import CHECKS
from gru_bench.errors import ExitCode
from gru_bench.lint import app
from tests.support.commands import ROOT, completed, mentions
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study

QUIET = """
models = ["torch"]
[embedding]
name = "random"
"""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    """A store with a sound study, and one of two seeds whose best size lies at an end of its range."""
    found = FakeStore()
    small = TestSet.draw(1000)
    add_study(found, "sound", {"torch": 0.4}, best=BEST | {"model.hidden_size": 128}, test_set=small)
    add_study(found, "quick", {"torch": 0.4}, seeds=2, test_set=small, experiment="mine")
    monkeypatch.setattr(gru_bench.tracking, "open_reader", lambda *_, **__: found)
    return found


@pytest.mark.usefixtures("store")
class TestLogged:
    def test_a_sound_study(self) -> None:
        done = completed(app, "--study", "sound")
        assert done.returncode == ExitCode.DONE
        assert done.stdout.startswith("no warnings on sound; checks passed: 12, not applicable: 7; ")

    def test_every_study_of_every_experiment(self) -> None:
        done = completed(app)
        assert done.returncode == ExitCode.NO
        first, second, last = done.stdout.splitlines()
        assert first.startswith("GRU001 Torch GRU: the best value of hidden size, 250, is at an end of its range")
        assert first.endswith(f" {CHECKS['GRU001'].remedy}")
        mentions(second, "GRU003 Torch GRU", "2 seeds", CHECKS["GRU003"].remedy)
        mentions(last, "2", "quick, sound", "docs/checks.md")

    @pytest.mark.parametrize("words", [("--ignore", "GRU001,gru003"), ("--ignore", "GRU001", "--ignore", " GRU003 ")])
    def test_codes_are_ignored(self, words: tuple[str, ...]) -> None:
        done = completed(app, "--study", "quick", *words)
        assert done.returncode == ExitCode.DONE
        assert "GRU" not in done.stdout

    def test_a_name_that_is_not_logged_is_a_study_of_the_package(self) -> None:
        done = completed(app, "--study", "smoke")
        assert done.returncode == ExitCode.NO
        assert done.stdout.startswith("GRU003 Each model of smoke has only 2 seeds")

    def test_files_and_logged_studies_together(self, tmp_path: Path) -> None:
        (tmp_path / "mine.toml").write_text(QUIET, encoding="utf-8")
        done = completed(app, "--study", str(tmp_path / "mine.toml"), "--study", "sound")
        assert done.returncode == ExitCode.DONE
        assert done.stdout.startswith(f"no warnings on {tmp_path / 'mine.toml'}, sound; ")

    @pytest.mark.parametrize(("words", "message"), [
        (("--study", "sund"), "unknown study 'sund'. Did you mean 'sound'? It must be one of amazon, bidirectional,"),
        (("--study", "gone.toml"), "No such file: 'gone.toml'"),
        (("--ignore", "GRU099"), "unknown code 'GRU099'"),
    ])
    def test_what_is_unknown_is_refused(
        self, words: tuple[str, ...], message: str
    ) -> None:
        done = completed(app, *words)
        assert done.returncode == ExitCode.MISTYPED
        assert message in done.stderr


def test_a_file_needs_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(f"confirm = 1\n{QUIET}", encoding="utf-8")
    done = completed(app, "--study", "mine.toml")
    assert done.returncode == ExitCode.NO
    assert "Each model of mine has only 1 seed" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_an_empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = completed(app)
    assert done.returncode == ExitCode.FAILED
    mentions(done.stderr, "mlflow.db", "Run a sweep in this directory first")
    done = completed(app, "--study", "bidirectional")
    assert done.returncode == ExitCode.DONE
    monkeypatch.setattr(gru_bench.tracking, "open_reader", lambda *_, **__: FakeStore())
    done = completed(app)
    assert done.returncode == ExitCode.INCOMPLETE
    mentions(done.stderr, "no study has been logged", "name a built-in study")


def test_every_code_has_a_section_of_its_own() -> None:
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (GRU\d+)\n\n(.+)", page, re.MULTILINE)
    assert [code for code, _ in sections] == list(CHECKS)
