"""The command gru-bench: one help page that teaches, subcommands that load late, completion, and its exit codes."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gru_bench import cli
from gru_bench.__main__ import SUBCOMMANDS, app
from gru_bench.errors import ExitCode
from tests.support.commands import ROOT, SLOW, command, completed, mentions

MODULES = ("train", "sweep", "report", "gru_check", "inference",
           "predictions")


def test_help_teaches_and_loads_no_subcommand() -> None:
    done = command("-X", "importtime", "-m", "gru_bench", "--help")
    assert done.returncode == ExitCode.DONE
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {*SLOW, *(f"gru_bench.{package}" for package in MODULES)}
    page = " ".join(done.stdout.split())
    for words in ("gru-bench sweep --study smoke", "gru-bench report", "mlflow ui"):
        assert words in page
    for name, subcommand in SUBCOMMANDS.items():
        assert f"│ {name} " in page
        assert subcommand.help.split()[0] in page
    for code in ExitCode:
        assert f"{code} {code.meaning}" in page


def test_every_module_with_a_command_is_a_subcommand() -> None:
    modules = {subcommand.module for subcommand in SUBCOMMANDS.values()}
    packages = {path.parent.name for path in (ROOT / "gru_bench").glob("*/__main__.py")}
    assert {f"{package}.__main__" for package in packages} <= modules
    assert {module.partition(".")[0] for module in modules} == set(MODULES)


@pytest.mark.parametrize(("words", "usage"), [
    (["sweeps/run.py", "--help"], "python sweeps/run.py [OPTIONS]"),
])
def test_help_names_the_command_as_it_was_typed(words: list[str], usage: str) -> None:
    done = command(*words, cwd=ROOT)
    assert done.returncode == ExitCode.DONE
    assert f"Usage: {usage}" in done.stdout


@pytest.mark.parametrize("words", [[], *([name] for name in SUBCOMMANDS)])
def test_help_of_a_subcommand_names_it(words: list[str]) -> None:
    done = completed(app, *words, "-h")
    assert done.returncode == ExitCode.DONE
    assert f"Usage: {' '.join(['gru-bench', *words])} [OPTIONS]" in done.stdout
    assert "<bool>" not in done.stdout  # a flag takes no value


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_both_forms_show_the_same_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = []
    module = import_module(f"gru_bench.{SUBCOMMANDS[name].module}")
    for application, words in ((app, [name]), (module.app, [])):
        monkeypatch.setattr(sys, "argv", ["gru-bench", *words, "--help"])
        assert cli.ended(application, "gru-bench") == ExitCode.DONE
        pages.append(capsys.readouterr().out.replace(f"gru-bench {name}", "gru-bench").split())
    assert pages[0] == pages[1]
    assert ("--install-completion" in pages[0]) is False


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    monkeypatch.setattr(sys, "argv", ["gru-bench", "--version"])
    assert cli.ended(app) == ExitCode.DONE
    assert capsys.readouterr().out == f"gru-bench {version('gru-bench')}\n"


@pytest.mark.parametrize(("words", "parts"), [
    (["swep"], ["'swep'", "'sweep'"]),
    (["--no-such-option"], ["--no-such-option"]),
    (["sweep"], ["--study"]),
    (["train", "--model", "lstm"], ["model.name"]),
    (["gru-check", "mine.py"], ["mine.py"]),
    (["predict"], ["quotes", "--file"]),
    (["save-model"], ["folder", "--register"]),
])
def test_refuses_what_is_wrongly_typed(words: list[str], parts: list[str]) -> None:
    done = completed(app, *words)
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, *parts)


def test_no_command_shows_the_help_page() -> None:
    done = completed(app)
    assert done.returncode == ExitCode.MISTYPED
    assert "gru-bench sweep --study smoke" in done.stdout + done.stderr


@pytest.mark.parametrize(("typed", "offered"), [
    ("sw", {"sweep"}), ("", set(SUBCOMMANDS)), ("sweep --tri", {"--trials"}),
])
def test_a_shell_completes(
    typed: str, offered: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"gru-bench {typed}"
    for name, value in (("_GRU_BENCH_COMPLETE", "complete_bash"), ("COMP_WORDS", words),
                        ("COMP_CWORD", str(len(words.split(" ")) - 1))):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        cli.ended(app, "gru-bench")
    assert set(capsys.readouterr().out.split()) == offered


def test_completion_is_installed_for_the_command(tmp_path: Path) -> None:
    # By default typer takes the shell that has started it, and a test need not have been started by one.
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = command("-m", "gru_bench", "--show-completion", "bash", env=environment).stdout
    assert "_GRU_BENCH_COMPLETE=complete_bash" in shown
    assert shown.rstrip().endswith(" gru-bench")
    done = command("-m", "gru_bench", "--install-completion", "bash", env=environment)
    assert done.returncode == ExitCode.DONE
    assert (tmp_path / ".bash_completions" / "gru-bench.sh").read_text(encoding="utf-8").strip() == shown.strip()
