"""Values are shown in short in messages, and each kind of error has its exit code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest

from gru_bench.errors import (
    DataError,
    DifferenceError,
    ExitCode,
    GruBenchError,
    IncompleteError,
    MachineError,
    RunError,
    UsageError,
    argument,
    at_the_command_line,
    shown,
    without_passwords,
)
from tests.support.commands import ROOT
from tests.support.sources import parsed


@pytest.mark.parametrize(("value", "text"), [
    ("x" * 1000, "'" + "x" * 99 + "... (1,000 characters)"), ("a", "'a'"), (None, "None"), (2.5, "2.5"), (True, "True"),
    (-3, "-3"), (10**5000, "a value of type int"), ([1], "[1]"), ("\ud83d", r"'\ud83d'"), ("a\nb", r"'a\nb'"),
], ids=range(10))
def test_values_are_shown_in_short(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_name_without_quotes_is_cut_and_cannot_steer_a_screen() -> None:
    assert shown("plain", "") == "plain"
    assert shown("a\x1b[2Jb\n", "") == r"a\x1b[2Jb\n"
    assert shown("x" * 300, "", 200) == "x" * 200 + "... (300 characters)"
    assert shown("\n" * 300, "") == r"\n" * 50 + "... (300 characters)"


def test_a_message_cannot_steer_a_screen_and_can_be_written() -> None:
    message = str(DataError("a\x1b[2J\ud800.csv must hold\n\ttexts"))
    assert message == "a\\x1b[2J\\ud800.csv must hold\n\ttexts"


def test_the_table_of_exit_codes() -> None:
    assert {int(code): code.meaning for code in ExitCode} == {
        0: "success, or yes", 1: "failed", 2: "usage error", 3: "incomplete or undecided",
        4: "no", 130: "interrupted"}


@pytest.mark.parametrize(("error", "code"), [
    (GruBenchError, 1), (DataError, 1), (RunError, 1), (MachineError, 1), (UsageError, 2),
    (IncompleteError, 3), (DifferenceError, 4),
])
def test_each_error_has_its_exit_code(error: type[GruBenchError], code: int) -> None:
    assert error.exit_code == code


@pytest.mark.parametrize(("url", "safe"), [
    ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
    ("postgresql://me:sec@secret@host/db", "postgresql://me@host/db"),
    ("postgresql://me@corp:secret@host/db", "postgresql://me@corp@host/db"),
    ("postgresql://me:se/secret@host/db", "postgresql://me@host/db"),
    ("postgresql://me:s/secret?x@host/db", "postgresql://me@host/db"),
    ("postgresql://me:se#secret@x@host/db", "postgresql://me@host/db"),
    ("http://:secret@host:5000", "http://@host:5000"),
    ("mysql+pymysql://me:sec%40ret@host/db?charset=utf8", "mysql+pymysql://me@host/db?charset=utf8"),
    ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me"),
    ("postgresql://host/db?password=secret&sslmode=require", "postgresql://host/db?sslmode=require"),
    ("postgresql://host/db?a=1&PassWord=secret&sslpassword=secret&b=2", "postgresql://host/db?a=1&b=2"),
    ("mysql://host/db?passwd=secret", "mysql://host/db"),
    ("https://host/mlflow?access_token=secret#top", "https://host/mlflow#top"),
    ("mssql+pyodbc://?odbc_connect=UID%3Dme%3BPWD%3Dsecret%3BServer%3Dx",
     "mssql+pyodbc://?odbc_connect=UID%3Dme%3BPWD%3D%3BServer%3Dx"),
    ("cannot reach http://me:secret@host:5000: refused", "cannot reach http://me@host:5000: refused"),
])
def test_no_place_of_a_url_shows_a_password(url: str, safe: str) -> None:
    assert without_passwords(url) == safe
    assert without_passwords(f"--storage={url}") == f"--storage={safe}"


@pytest.mark.parametrize("text", [
    "sqlite:///C:/Users/me/mlflow.db", "http://host:5000/a@b", "postgresql://me@host:5432/db", "http://[::1]:5000",
    "a:b@c", "postgresql://host/db?sslmode=require", "optuna.journal", "http://host/p:q@x",
])
def test_what_holds_no_password_is_left(text: str) -> None:
    assert without_passwords(text) == text


# ---------------------------------------------------------------- options in messages


COMMANDS = ("*__main__.py", "errors.py", "cli.py", "diagnose/*", "gru_check/*",
            "inference/predict.py", "inference/files.py", "inference/save_model.py", "predictions/parts.py",
            "sweep/workers/ray.py", "sweep/console/description.py", "report/findings.py", "report/sections/*")
"""Files whose texts are of commands alone, or are parts of a report, which shows commands."""
OPTION = re.compile(r"(?<![\w-])--(?:set|study-name|tracking-uri|test-data|run-code|text-column|"
                    r"label-column|category-column|split-column|group-column|id-column|limit|epochs|device|metric|"
                    r"storage|workers|timeout|trials|confirm|force|embedding|encoding)(?![\w-])")
ARGUMENT = re.compile(r"(?=.* ).*\b(?:tracking_uri|run_code|study_name)\b(?!=)", re.DOTALL)
COMMAND = re.compile(r"\bgru-bench [a-z-]+[^();:,\n]*")
"""A whole command, which is the same for everybody."""


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """The texts of a module that are neither docstrings nor an option alone, such as those of tables of options."""
    for node in ast.walk(tree):
        within = [child for child in ast.iter_child_nodes(node) if not isinstance(node, ast.Expr)]
        yield from (child for child in within if isinstance(child, ast.Constant) and isinstance(child.value, str)
                    and not OPTION.fullmatch(child.value))


@pytest.mark.parametrize(("name", "value", "in_python", "typed"), [
    ("run_code", "", "run_code", "--run-code"), ("id", "", "id", "--id-column"), ("name", "", "name", "--study-name"),
    ("refusals", "wrong", "refusals='wrong'", "--refusals wrong"),
])
def test_an_argument_is_named_as_the_user_types_it(name: str, value: str, in_python: str, typed: str) -> None:
    assert argument(name, value) == in_python
    with at_the_command_line():
        assert argument(name, value) == typed
    assert argument(name, value) == in_python


def test_a_message_names_arguments_and_options_as_the_user_types_them() -> None:
    found = [f"{name}:{text.lineno} {text.value!r}" for path in sorted((ROOT / "gru_bench").rglob("*.py"))
             if not any(fnmatch(name := path.relative_to(ROOT / "gru_bench").as_posix(), plain) for plain in COMMANDS)
             for text in texts(parsed(path))
             if OPTION.search(COMMAND.sub("", str(text.value))) or ARGUMENT.search(str(text.value))]
    assert not found, "use errors.argument"
