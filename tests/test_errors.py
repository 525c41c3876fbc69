"""Values are shown in short in messages, and each kind of error has its exit code."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from contextvars import copy_context
from fnmatch import fnmatch
from typing import Any

import pytest

import gru_bench as gb
from gru_bench.config import RunConfig, flat
from gru_bench.errors import (
    ARGUMENTS,
    IN_PYTHON,
    ChangedStudyError,
    DataError,
    DifferenceError,
    ExitCode,
    GruBenchError,
    IncompleteError,
    MachineError,
    RunError,
    UsageError,
    given_as,
    given_together,
    named,
    same_command,
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
        0: "done or yes", 1: "failed", 2: "wrongly typed", 3: "not complete yet", 4: "the answer is no",
        130: "interrupted"}


@pytest.mark.parametrize(("error", "code"), [
    (GruBenchError, 1), (DataError, 1), (RunError, 1), (MachineError, 1), (UsageError, 2), (ChangedStudyError, 2),
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


@pytest.mark.parametrize(("typed", "in_python", "asked"), [
    ("--limit 300", "limit=300", ("--limit", 300)),
    ("--study-name NAME", "name='NAME'", ("--study-name", "NAME")),
    ('--study-name "a b"', "name='a b'", ("--study-name", "a b", '"a b"')),
    ("--text-column", "text=", ("--text-column",)),
    ("--force", "force=True", ("--force",)),
    ("--set training.lr=0.001", "settings={'training.lr': 0.001}", ("training.lr", 0.001)),
    ("--set embedding.trainable=true", "settings={'embedding.trainable': True}", ("embedding.trainable", True, "true")),
    ("--encoding cp1252", "settings={'data.encoding': 'cp1252'}", ("--encoding", "cp1252")),
    ("--test-data", "settings={'data.test_name': ...}", ("--test-data",)),
])
def test_an_option_is_spelled_for_the_one_who_asks(typed: str, in_python: str, asked: tuple[Any, ...]) -> None:
    assert given_as(*asked) == typed
    assert as_python(given_as, *asked) == in_python


def test_options_that_are_given_together_share_one_dictionary_of_settings_in_python() -> None:
    asked = ("--embedding", "random"), ("embedding.trainable", True, "true"), ("--limit", 300)
    assert given_together(*asked) == "--embedding random --set embedding.trainable=true --limit 300"
    assert as_python(given_together, *asked) == (
        "limit=300, settings={'embedding.name': 'random', 'embedding.trainable': True}")


def as_python(function: Any, *arguments: Any) -> Any:
    context = copy_context()
    context.run(IN_PYTHON.set, True)
    return context.run(function, *arguments)


def test_names_of_options_and_the_way_to_go_on_are_those_of_the_one_who_asks() -> None:
    assert (named("--tracking-uri"), same_command()) == ("--tracking-uri", "the same command")
    assert (as_python(named, "--tracking-uri"), as_python(same_command)) == ("tracking_uri", "the same call")


def test_options_have_arguments_or_settings_that_exist() -> None:
    calls = (gb.run_study, gb.open_study, gb.Study.save_model)
    known = {name for call in calls for name in inspect.signature(call).parameters} | set(flat(RunConfig()))
    assert not set(ARGUMENTS.values()) - known


PLAIN = ("*__main__.py", "errors.py", "cli.py", "doctor.py", "lint.py", "archive/*", "diagnose/*", "gru_check/*",
         "grade/*", "inference/predict.py", "inference/files.py", "inference/save_model.py", "predictions/parts.py",
         "sweep/workers/ray.py", "sweep/console/description.py", "report/findings.py", "report/evidence/verdicts.py",
         "report/evidence/next_steps.py", "report/trials.py", "report/sections/*")
"""Files whose texts are of commands alone, or are parts of a report, which is the same for everybody."""
BY_HAND = re.compile(rf"(?<![\w-])(?:{'|'.join(ARGUMENTS)}|--set [\w.]+=)(?![\w-])|(?:^|\s)--$|the same command")
COMMAND = re.compile(r"\bgru-bench [a-z-]+[^();:,\n]*")
"""A whole command, which is the same for everybody."""


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """The texts of a module that are neither docstrings nor an option alone, such as those that `given_as` takes."""
    for node in ast.walk(tree):
        within = [child for child in ast.iter_child_nodes(node) if not isinstance(node, ast.Expr)]
        yield from (child for child in within if isinstance(child, ast.Constant) and isinstance(child.value, str)
                    and child.value not in ARGUMENTS)


def test_no_message_that_a_call_of_python_may_show_writes_an_option_by_hand() -> None:
    found = [f"{name}:{text.lineno} {text.value!r}" for path in sorted((ROOT / "gru_bench").rglob("*.py"))
             if not any(fnmatch(name := path.relative_to(ROOT / "gru_bench").as_posix(), plain) for plain in PLAIN)
             for text in texts(parsed(path)) if BY_HAND.search(COMMAND.sub("", str(text.value)))]
    assert not found, "spell options by gru_bench.errors.given_as or named"
