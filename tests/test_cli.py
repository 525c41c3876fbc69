"""What commands print and how they end: no control characters, no password, short complaints."""

from __future__ import annotations

import errno
import os
import sys

import pytest
from rich.table import Table
from rich.text import Text

from gru_bench import cli
from gru_bench.errors import DataError
from tests.support.commands import run


def test_no_password_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ["postgresql://gru:se%3Acret@head:5432/gru", "--tracking-uri=http://me:secret@head:5000", "a:b@c", "--x=1"]
    monkeypatch.setattr(sys, "argv", ["/bin/run.py", "--storage", *urls])
    assert cli.command_line() == (
        "run.py --storage postgresql://gru@head:5432/gru --tracking-uri=http://me@head:5000 a:b@c --x=1")


HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\u2066c\r\ud83d\u2028d"


SHOWN = r"a\x1b]0;owned\x1b[2J\x9b31m\u202eb\u2066c\ud83d\u2028d"  # rich drops what rings the bell or goes back


def test_what_comes_from_files_is_not_obeyed_by_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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

    code, said = run(application, [], monkeypatch, capsys)
    assert (code, said) == (1, f"error: é ✓ no column {SHOWN}\n")


def test_colors_of_our_own_are_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    cli.out().print("[red]warm[/red]")
    assert capsys.readouterr().out == "\x1b[31mwarm\x1b[0m\n"


def test_a_long_complaint_is_shortened_in_its_middle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise DataError(f"labels must be 0 or 1, but got {'x' * 20_000_000}: change them")

    code, said = run(application, [], monkeypatch, capsys)
    assert code == 1
    assert said.startswith("error: labels must be 0 or 1, but got xxx")
    assert "xxx ... (19,998,044 characters left out) ... xxx" in said
    assert said.endswith("xxx: change them\n")
    assert len(said) < 2100


@pytest.mark.parametrize(("code", "message"), [
    (errno.EROFS, "this command must be able to read and write /x/mlflow.db.lock, but may not (Read-only"),
    (errno.EACCES, "this command must be able to read and write /x/mlflow.db.lock, but may not (Permission"),
    (errno.ENOSPC, "there must be free space on the disk to write /x/mlflow.db.lock, but none is left: free"),
    (errno.EDQUOT, "there must be free space on the disk to write /x/mlflow.db.lock, but none is left: free"),
])
def test_a_failing_folder_is_told(
    code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise OSError(code, os.strerror(code), "/x/mlflow.db.lock")

    ended, said = run(application, [], monkeypatch, capsys)
    assert ended == 1
    assert said.startswith(f"error: {message}")


def test_another_failure_of_the_system_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    application = cli.app()

    @application.command()
    def fail() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(sys, "argv", ["gru-bench"])
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.ended(application)
