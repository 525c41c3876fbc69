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
from tests.support.commands import ROOT, SLOW, command, run

MODULES = ("train", "sweep", "report", "diagnose", "archive", "teach", "tracking", "use", "doctor", "lint")


def test_help_teaches_and_loads_no_subcommand() -> None:
    done = command("-X", "importtime", "-m", "gru_bench", "--help")
    assert done.returncode == ExitCode.DONE
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {*SLOW, *(f"gru_bench.{package}" for package in MODULES)}
    page = " ".join(done.stdout.split())
    for words in ("gru-bench sweep --study smoke", "gru-bench report", "gru-bench diagnose"):
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
    (["-m", "gru_bench", "--help"], "gru-bench [OPTIONS] COMMAND"),
    (["-m", "gru_bench", "-h"], "gru-bench [OPTIONS] COMMAND"),
    (["-m", "gru_bench", "sweep", "--help"], "gru-bench sweep [OPTIONS]"),
    (["-m", "gru_bench", "sync", "-h"], "gru-bench sync [OPTIONS]"),
    (["-m", "gru_bench", "archive", "export", "--help"], "gru-bench archive export [OPTIONS]"),
    (["-m", "gru_bench.sweep", "--help"], "python -m gru_bench.sweep [OPTIONS]"),
    (["-m", "gru_bench.archive", "import", "-h"], "python -m gru_bench.archive import [OPTIONS]"),
    (["-m", "gru_bench", "gru-check", "--help"], "gru-bench gru-check [OPTIONS]"),
    (["-m", "gru_bench.teach", "--help"], "python -m gru_bench.teach [OPTIONS]"),
    (["-m", "gru_bench.tracking", "--help"], "python -m gru_bench.tracking [OPTIONS]"),
    (["-m", "gru_bench", "predict", "--help"], "gru-bench predict [OPTIONS]"),
    (["-m", "gru_bench.use.save_model", "--help"], "python -m gru_bench.use.save_model [OPTIONS]"),
    (["-m", "gru_bench", "doctor", "--help"], "gru-bench doctor [OPTIONS]"),
    (["-m", "gru_bench.doctor", "-h"], "python -m gru_bench.doctor [OPTIONS]"),
    (["sweeps/run.py", "--help"], "python sweeps/run.py [OPTIONS]"),
])
def test_help_names_the_command_as_it_was_typed(words: list[str], usage: str) -> None:
    done = command(*words, cwd=ROOT)
    assert done.returncode == ExitCode.DONE
    assert f"Usage: {usage}" in done.stdout
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


@pytest.mark.parametrize(("words", "message"), [
    (["swep"], "No such command 'swep'. Did you mean 'sweep'?"),
    (["--no-such-option"], "No such option"),
    (["sweep"], "Missing option '--study'"),
    (["archive"], "Missing command"),
    (["archive", "export"], "Missing"),
    (["report", "--margin", "-1"], "--margin must be above 0 and at most 50 points, but got -1"),
    (["train", "--model", "lstm"], "--model must be one of"),
    (["diagnose", "--text", ""], "--text must hold words"),
    (["gru-check", "mine.py"], "FILE.py:NAME must be a file and a name in it"),
    (["sync", "now"], "extra argument"),
    (["predict", "A text."], "a model is needed"),
    (["save-model", "folder"], "Missing option '--study'"),
    (["doctor", "--tracking-uri", "here"], "--tracking-uri must be a file such as"),
])
def test_what_is_wrongly_typed(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(app, words, monkeypatch, capsys)
    assert (code, message in said) == (ExitCode.MISTYPED, True), said


def test_no_command_shows_the_help_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["gru-bench"])
    assert cli.ended(app) == ExitCode.MISTYPED
    assert "gru-bench sweep --study smoke" in "".join(capsys.readouterr())


@pytest.mark.parametrize(("typed", "offered"), [
    ("sw", {"sweep"}), ("", set(SUBCOMMANDS)), ("sweep --tri", {"--trials"}), ("archive ", {"export", "import"}),
    ("archive export --no-", {"--no-texts", "--no-weights"}),
])
def test_a_shell_completes(typed: str, offered: set[str]) -> None:
    words = f"gru-bench {typed}"
    env = {**os.environ, "_GRU_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words,
           "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert set(command("-m", "gru_bench", env=env).stdout.split()) == offered


def test_completion_is_installed_for_the_command(tmp_path: Path) -> None:
    shown = command("-m", "gru_bench", "--show-completion", "bash").stdout
    assert "_GRU_BENCH_COMPLETE=complete_bash" in shown
    assert shown.rstrip().endswith(" gru-bench")
    done = command("-m", "gru_bench", "--install-completion", "bash", env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == ExitCode.DONE
    assert (tmp_path / ".bash_completions" / "gru-bench.sh").read_text(encoding="utf-8").strip() == shown.strip()
