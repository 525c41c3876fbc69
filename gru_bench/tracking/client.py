"""MLflow's client for a tracking URI, opened once and with its failures told as ours.

mlflow is imported when a store is first asked for something that only it can do: that takes a second, and it
reads its settings from the environment then.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gru_bench.errors import RunError, UsageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_DATABASE = "mlflow.db"
URI_KINDS = "a file such as sqlite:///mlflow.db, or a server such as http://127.0.0.1:5000"


def open_client(uri: str, database: Path | None) -> MlflowClient:
    """Return the client for `uri`, which is the file `database` where that is given; a new file is prepared.

    Raises:
        UsageError: for a URI that MLflow cannot mean.
        RunError: for a store that does not answer or is damaged.
    """
    from filelock import FileLock

    if database is None:
        return cast("MlflowClient", _Plain(_answering_client(uri), uri))
    if not database.parent.is_dir():
        raise UsageError(f"--tracking-uri must name a file in a folder that exists, but got {uri!r}: "
                         f"make {database.parent} first")
    # Processes that prepare a new file at once would break it for good.
    with FileLock(f"{database}.lock"):
        client = _answering_client(uri)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    return cast("MlflowClient", _Plain(client, uri))


def _answering_client(uri: str) -> MlflowClient:
    mlflow = _mlflow()
    try:
        client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except mlflow.exceptions.MlflowException as error:
        raise RunError(f"the tracking store must answer, but {uri!r} does not: {first_line(error)}. Start "
                       "its server, or leave --tracking-uri out to use mlflow.db in this directory") from error
    except Exception as error:
        raise UsageError(f"--tracking-uri must be {URI_KINDS}, but got {uri!r}: "
                         f"{first_line(error)}") from error
    return client


class _Plain:
    """MLflow's client, whose failures are told as ours: a full disk, a server that went away."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def told(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            except _mlflow().exceptions.MlflowException as error:
                raise RunError(f"the tracking store must do what it is asked, but {self._uri!r} fails to {name}: "
                               f"{first_line(error)}") from error

        return told


def _mlflow() -> Any:
    """Import mlflow with its look-ups, chatter and progress bars off."""
    for key, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }.items():
        os.environ.setdefault(key, value)
    import mlflow
    import mlflow.exceptions

    return mlflow


def sqlite_path(uri: str) -> Path | None:
    """Return the file that a `sqlite:///` URI names; None for anything else."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///")).resolve()


def first_line(error: Exception) -> str:
    """Return what an error says first, of a length that can be shown."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
