"""What an error of a tracking store means for another attempt."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    BAD_REQUEST,
    INTERNAL_ERROR,
    PERMISSION_DENIED,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

from gru_bench.errors import RunError, UsageError
from gru_bench.tracking.client import unreadable
from gru_bench.tracking.failures import failed, is_away
from tests.support.commands import mentions


def of_mlflow(text: str, code: int, cause: Exception | None = None) -> RunError:
    """Return the error of a call of MLflow's client, as the client turns it into ours."""
    error = MlflowException(text, code)
    error.__cause__ = cause
    return failed("the store", "log_batch", error)


@pytest.mark.parametrize(("error", "expected"), [
    (of_mlflow("(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name", BAD_REQUEST), True),
    (of_mlflow("(raised as a result of Query-invoked autoflush)\ndatabase is locked", TEMPORARILY_UNAVAILABLE,
               sqlite3.OperationalError("database is locked")), True),
    (of_mlflow("no such table", TEMPORARILY_UNAVAILABLE, sqlite3.OperationalError("no such table")), False),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
    (UsageError("no URI"), False),
    (of_mlflow("database or disk is full", TEMPORARILY_UNAVAILABLE), True),  # that of a server
    (of_mlflow("API request failed", INTERNAL_ERROR, requests.ConnectionError("refused")), True),
    (of_mlflow("the server failed", INTERNAL_ERROR), True),
    (ConnectionResetError("reset by peer"), True),
    (of_mlflow("Changing param values is not allowed", BAD_REQUEST), False),
    (of_mlflow("no such run", RESOURCE_DOES_NOT_EXIST), False),
    (of_mlflow("the token has expired", PERMISSION_DENIED), False),
    (TypeError("a bug of ours"), False),
])
def test_another_attempt_may_succeed_where_a_store_cannot_answer_now(error: Exception, expected: bool) -> None:
    assert is_away(error) == expected


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
    sqlite3.OperationalError("disk I/O error"), sqlite3.OperationalError("database or disk is full")])
def test_a_disk_that_is_full_is_no_damaged_database(error: Exception) -> None:
    for told in (failed("mlflow.db", "log_batch", error), unreadable(Path("mlflow.db"), error)):
        mentions(str(told), "the disk of the tracking store 'mlflow.db'", "ulimit -f")
        assert not is_away(told)


@pytest.mark.parametrize("error", [
    requests.exceptions.ChunkedEncodingError("Connection broken: IncompleteRead(10 bytes read, 90 more expected)"),
    requests.ConnectionError("refused"), ConnectionResetError("reset by peer")])
def test_a_server_that_dies_within_an_answer_is_away(error: Exception) -> None:
    told = RunError("the tracking store")
    told.__cause__ = RuntimeError(f"API request failed with exception {error}")
    told.__cause__.__context__ = error  # as MLflow wraps it
    assert is_away(told)
    assert not is_away(RunError("the tracking store will not"))
