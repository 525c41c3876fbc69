"""What commands print and how they end: no control characters, no password, short complaints; and their options."""

from __future__ import annotations

import errno
import io
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import typer
from rich.table import Table
from rich.text import Text

from gru_bench import __main__ as main_command
from gru_bench import cli, platforms
from gru_bench.config import MetricName, RunConfig, with_settings
from gru_bench.errors import DataError, DifferenceError, ExitCode, GruBenchError, IncompleteError, UsageError
from gru_bench.sweep import __main__ as sweep_command
from gru_bench.sweep.spec import known_studies
from gru_bench.train import __main__ as train_command
from tests.support.commands import completed, mentions
from tests.support.reviews import reviews, write


def test_no_password_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ["postgresql://gru:se%3Acret@head:5432/gru", "--tracking-uri=http://me:secret@head:5000", "a:b@c", "--x=1"]
    monkeypatch.setattr(sys, "argv", ["/bin/run.py", "--storage", *urls])
    assert cli.command_line() == (
        "run.py --storage postgresql://gru@head:5432/gru --tracking-uri=http://me@head:5000 a:b@c --x=1")


HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\u2066c\r\ud83d\u2028d"


SHOWN = r"a\x1b]0;owned\x1b[2J\x9b31m\u202eb\u2066c\ud83d\u2028d"  # rich drops what rings the bell or goes back


def test_what_comes_from_files_is_not_obeyed_by_a_terminal(capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("name")
    table.add_row(Text(HOSTILE))
    console = cli.out()
    console.print(HOSTILE, markup=False)
    console.print(table)
    with console.status(HOSTILE):
        pass
    printed = capsys.readouterr().out
    assert printed.startswith(f"{SHOWN}\n")
    assert printed.count(r"a\x1b]0;owned\x1b[") == 2  # a table crops what has become longer
    assert all(character == "\n" or character.isprintable() for character in printed)
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise DataError(f"é ✓ no column {HOSTILE}")

    done = completed(application)
    code, said = done.returncode, done.stderr
    whole = SHOWN.replace("owned", r"owned\x07").replace("c", r"c\r")  # a message loses no character
    assert (code, said) == (1, f"error: é ✓ no column {whole}\n")


def test_colors_of_our_own_are_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    cli.out().print("[red]warm[/red]")
    assert capsys.readouterr().out == "\x1b[31mwarm\x1b[0m\n"


def test_a_long_complaint_is_shortened_in_its_middle() -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise DataError(f"labels must be 0 or 1, but got {'x' * 20_000_000}: change them")

    done = completed(application)
    code, said = done.returncode, done.stderr
    assert code == 1
    assert said.startswith("error: labels must be 0 or 1, but got xxx")
    assert "xxx ... (19,998,044 characters left out) ... xxx" in said
    assert said.endswith("xxx: change them\n")
    assert len(said) < 2100


@pytest.mark.parametrize(("code", "message"), [
    (errno.EROFS, "cannot read and write /x/mlflow.db.lock (Read-only"),
    (errno.EACCES, "cannot read and write /x/mlflow.db.lock (Permission"),
    (errno.ENOSPC, "no space left on the disk, needed to write /x/mlflow.db.lock: free"),
    (errno.EDQUOT, "no space left on the disk, needed to write /x/mlflow.db.lock: free"),
    (errno.EFBIG, "a file /x/mlflow.db.lock must not grow any more (File too large): raise the limit"),
])
def test_a_failing_folder_is_told(code: int, message: str) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise OSError(code, os.strerror(code), "/x/mlflow.db.lock")

    done = completed(application)
    ended, said = done.returncode, done.stderr
    assert ended == 1
    assert said.startswith(f"error: {message}")


@pytest.mark.parametrize("error", [
    MemoryError(), ImportError("libtorch_cpu.so: failed to map segment from shared object")])
def test_what_does_not_fit_into_memory_ends_a_command_with_a_message(error: Exception) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise error

    done = completed(application)
    assert done.returncode == ExitCode.FAILED
    mentions(done.stderr, "error:", "out of memory", "close other programs")


def test_another_failure_of_the_system_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(sys, "argv", ["gru-bench"])
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.ended(application)


@pytest.mark.parametrize(("error", "code"), [
    (DataError("x"), 1), (UsageError("x"), 2), (IncompleteError("x"), 3), (DifferenceError("x"), 4)])
def test_an_error_ends_a_command_with_its_code(error: GruBenchError, code: int) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise error

    done = completed(application)
    assert (done.returncode, done.stderr) == (code, "error: x\n")


@pytest.mark.parametrize("continues", [False, True])
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt_any_command(kind: signal.Signals, continues: bool) -> None:
    """Only a command that continues says so."""
    application, closed = cli.app(), []

    def wait() -> None:
        try:
            signal.raise_signal(kind)
            time.sleep(60)
        finally:
            closed.append(True)

    application.command()(cli.continued()(wait) if continues else wait)
    # Where tests run in the background of a shell, Ctrl-C is ignored from the start.
    handler = signal.default_int_handler if kind is signal.SIGINT else signal.SIG_DFL
    inherited = signal.signal(kind, handler)
    try:
        done = completed(application)
        code, said = done.returncode, done.stderr
        assert signal.getsignal(kind) is handler
    finally:
        signal.signal(kind, inherited)
    assert (code, closed) == (ExitCode.INTERRUPTED, [True])
    assert said == f"error: interrupted{'; the same command continues from here' * continues}\n"


def context(**params: Any) -> Any:
    names = [option.removeprefix("--").replace("-", "_") for option in train_command.OPTIONS.values()]
    return SimpleNamespace(params={**dict.fromkeys(names), **params})


def test_settings_are_those_whose_options_were_typed() -> None:
    assert cli.given(context(), cli.SETTING_OPTIONS) == {}
    found = cli.given(context(split_column="part", limit=0, lr=0.1), cli.SETTING_OPTIONS)
    assert found == {"data.split_column": "part", "data.limit": 0}
    assert cli.given(context(lr=0.1, seed=0), train_command.OPTIONS) == {"training.lr": 0.1, "seed": 0}
    with pytest.raises(UsageError, match=r"training.device must be auto, cpu, cuda .*, but got 'tpu'"):
        with_settings(RunConfig(), {"training.device": "tpu"})


@pytest.mark.parametrize(("application", "options"), [
    (train_command.app, train_command.OPTIONS), (sweep_command.app, cli.SETTING_OPTIONS | sweep_command.OPTIONS)])
def test_every_option_in_a_table_exists(application: typer.Typer, options: dict[str, str]) -> None:
    known = {name for option in cli.command_of(application).params for name in option.opts}
    assert set(options.values()) <= known


@pytest.mark.parametrize(("spec", "argv", "program"), [
    (None, ["/bin/gru-bench", "sweep"], "gru-bench"),
    (None, ["gru-bench.exe", "sweep"], "gru-bench"),
    (None, ["sweeps/run.py"], "python sweeps/run.py"),
    ("gru_bench.sweep.__main__", ["/x/gru_bench/sweep/__main__.py"], "python -m gru_bench.sweep"),
    ("gru_bench.__main__", ["/x/gru_bench/__main__.py", "sweep"], "python -m gru_bench"),
])
def test_a_program_is_named_as_it_was_started(
    spec: str | None, argv: list[str], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec and SimpleNamespace(name=spec))
    monkeypatch.setattr(sys, "argv", argv)
    assert cli.line(cli.program()) == program


def test_help_joins_the_lines_of_a_paragraph_and_keeps_those_of_a_list() -> None:
    application = typer.Typer()
    application.command(help="First.\n\nOne\ntwo.\n\n  a\n  b\n\n[bold]c[/bold]\n[bold]d[/bold]\n\nEnd.")(lambda: None)
    shown = "First.\n\nOne two.\n\n  a\n  b\n\n[bold]c[/bold]\n[bold]d[/bold]\n\nEnd."
    assert cli.command_of(application).help == shown


def test_the_help_lists_all_metrics_and_all_studies() -> None:
    pages = {option.opts[0]: option.help for option in cli.command_of(sweep_command.app).params}
    mentions(pages["--metric"], *get_args(MetricName))
    mentions(pages["--study"], *known_studies())


@pytest.mark.parametrize(("words", "said"), [
    (["train", "--limit", "3k"], "--limit must be a whole number, but got '3k'"),
    (["train", "--limit=3k"], "--limit must be a whole number, but got '3k'"),
    (["train", "--lr", "fast"], "--lr must be a number, but got 'fast'")])
def test_a_word_in_the_place_of_a_number_is_said_in_one_sentence(words: list[str], said: str) -> None:
    done = completed(main_command.app, *words)
    assert (done.returncode, done.stderr) == (2, f"error: {said}\n")


class TestQuoted:
    """A command that is printed can be typed in the shell of the system."""

    @pytest.mark.skipif(platforms.WINDOWS, reason="Windows has no sh")
    @pytest.mark.parametrize("word", [
        "--study", "lr=0.01", "a b", "it's", 'say "x"', "$HOME", "`id`", "a!b", "50%", "\\\\server\\x", "ends\\",
        "a\nb", "", "~", "#", "&", "|", "a\\b", "C:\\new\\tab", "'", '"', "отзывы", "*", "(", "-", "\\"])
    def test_a_shell_and_the_record_read_it_back(self, word: str) -> None:
        assert shlex.split(cli.line(["run", word])) == ["run", word]
        said = subprocess.run(["sh", "-c", f"printf %s {cli.line([word])}"], capture_output=True, check=True)
        assert said.stdout.decode() == word

    def test_on_windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "WINDOWS", True)
        assert cli.line(["run", "a b", 'say "x"', ""]) == 'run "a b" "say \\"x\\"" ""'


class TestEncoding:
    """Windows writes pipes and files in cp1252, which has no letters of other scripts."""

    @pytest.mark.parametrize(("encoding", "shown"), [
        ("cp1252", "-1.2 – 3 \\u043e\\u0442\\u0437 \\U0001f600 <= ü"),
        ("ascii", "-1.2 - 3 \\u043e\\u0442\\u0437 \\U0001f600 <= \\xfc"), ("utf-8", "−1.2 – 3 отз 😀 ≤ ü")])
    def test_no_text_ends_a_command(self, encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        monkeypatch.setattr(sys, "argv", ["gru-bench"])
        application = cli.app()

        @application.command()
        def say() -> None:
            cli.out().print("−1.2 – 3 отз 😀 ≤ ü", markup=False)
            raise DataError("no отз 😀")

        assert cli.ended(application) == 1
        streams[0].flush()
        assert streams[0].buffer.getvalue().decode(encoding) == f"{shown}\n"

    @pytest.mark.parametrize(("encoding", "ascii_only"), [("utf-8", False), ("ascii", True)])
    def test_a_spinner_has_characters_of_the_terminal(
        self, encoding: str, ascii_only: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        frames = cli.out().status("reading").renderable.frames
        assert "".join(frames).isascii() == ascii_only


class TestStreams:
    def ended(self, say: Callable[[], object]) -> int:
        application = cli.app()
        application.command()(lambda: say())
        try:
            return cli.ended(application)
        except SystemExit as left:
            return int(str(left.code))

    @pytest.mark.parametrize("say", [lambda: print("x"), lambda: print("x" * 100_000), lambda: cli.out().print("x")],
                             ids=["at the end", "before the end", "console"])
    def test_a_command_whose_output_nobody_reads_ends_without_a_word(
        self, say: Callable[[], object], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        reads, writes = os.pipe()
        os.close(reads)
        monkeypatch.setattr(sys, "argv", ["gru-bench"])
        with os.fdopen(writes, "w", encoding="utf-8") as pipe:
            monkeypatch.setattr(sys, "stdout", pipe)
            assert self.ended(say) == ExitCode.FAILED
        assert capfd.readouterr().err == ""

    def test_a_command_without_standard_streams_does_its_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["gru-bench"])
        for name in ("stdin", "stdout", "stderr"):
            monkeypatch.setattr(sys, name, None)
        done = []

        def say() -> None:
            done.append(sys.stdin.read())
            cli.out().print("x")
            raise UsageError("y")

        assert self.ended(say) == ExitCode.MISTYPED
        assert done == [""]
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            assert os.get_inheritable(stream.fileno())
            stream.close()


@pytest.mark.usefixtures("database")
def test_a_file_as_it_was_downloaded_needs_no_other_option(tmp_path: Path) -> None:
    write(tmp_path / "imdb.csv", [(text, ("negative", "positive")[label]) for text, label in reviews(120)],
          ("review", "sentiment"))
    quick = ["--epochs", "1", "--hidden-size", "4", "--set", "embedding.dimension=6", "--set", "training.threads=1",
             "--set", "model.backend=torch"]
    done = completed(train_command.app, "--data", "imdb.csv", *quick)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    mentions(said, "'review'", "'sentiment'", "specify the text column and the label column")
    assert said.count("the text column") == 1


def test_refuses_a_wrong_option_for_the_data(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", [(text, ("negative", "positive")[label]) for text, label in reviews(60)])
    for application in (train_command.app, sweep_command.app):
        study = ["--study", "smoke"] if application is sweep_command.app else []
        done = completed(application, *study, "--data", "a.csv", "--encoding", "utf-9")
        assert done.returncode == ExitCode.MISTYPED
        mentions(done.stderr, "data.encoding", "'utf-9'", "utf-8")


def test_windows_limits_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "WINDOWS", False)
    assert cli.checked_workers(1_000) == 1_000
    monkeypatch.setattr(platforms, "WINDOWS", True)
    monkeypatch.setattr(platforms, "cores", lambda: 128)
    assert cli.checked_workers(None) is None
    assert cli.checked_workers(60) == 60
    assert platforms.worker_per_core() == 60
    with pytest.raises(UsageError, match=r"workers must be at most 60 on Windows, .* but got 61"):
        cli.checked_workers(61)
