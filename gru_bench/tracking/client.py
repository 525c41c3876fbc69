"""MLflow's client for a tracking URI, with its errors turned into ours.

mlflow is imported when it is first needed, because the import takes a second and reads settings from the environment.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gru_bench.errors import RunError, UsageError, argument, first_line, without_passwords
from gru_bench.platforms import remove, replace
from gru_bench.tracking.failures import LOCKED, brief, failed, is_away, is_of_disk

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
"""Folder beside a database file with the artifacts of its runs."""
_ADDRESSES = (("runs", "artifact_uri"), ("logged_models", "artifact_location"), ("model_versions", "source"),
              ("model_versions", "storage_location"))
"""Tables and columns of MLflow with addresses below that of an experiment."""
URI_KINDS = "a file such as sqlite:///mlflow.db, or a server such as http://127.0.0.1:5000"
ID_TAG, PARENT_TAG = "gru_bench.id", "gru_bench.parent"
"""Tags with our id of a run, and that of its parent run."""
NOTE = "mlflow.note.content"
"""Tag that MLflow shows as the description of a run, as Markdown."""
AGAIN = "gru_bench.again"
"""Tag of the confirmation runs of a study that asks the question of another one again: the id of that one's own run."""
TEST_SET = "gru_bench.test_set"
"""Tag with the digest of the test examples that a run was scored on (`results.runs.digest_of_examples`)."""
ROWS_TAG = "gru_bench.data_rows"
"""Tag with the numbers of texts of a run's data as JSON: `num_rows` in all, and each split's. MLflow shows it as the
profile of the data set."""


def open_client(uri: str, database: Path | None) -> MlflowClient:
    """Return the client for a tracking URI; a database file that does not exist is created.

    Args:
        uri: MLflow's tracking URI.
        database: The database file that the URI names; None for a server.

    Raises:
        UsageError: The URI is not valid for MLflow.
        RunError: The store does not answer or is damaged.
    """
    from filelock import FileLock

    if database is None:
        return cast("MlflowClient", _WrappedClient(_answering_client(uri), without_passwords(uri)))
    require_folder(database)
    # Several processes that create the file at the same time would damage it.
    with FileLock(f"{database}.lock"):
        if not database.exists():
            _prepare(database)
        with reading(database):
            pass  # it is not damaged: MLflow would retry for minutes
        client = _answering_client(uri)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            with connection:
                _move_addresses(connection, database.parent)
    return cast("MlflowClient", _WrappedClient(client, uri))


def _move_addresses(connection: sqlite3.Connection, home: Path) -> None:
    """Let the addresses of artifacts lead to `home`, to which a study's folder was moved or copied.

    Raises:
        RunError: The artifacts of an experiment are neither here nor where they were logged.
    """
    for experiment, address in connection.execute(
            "SELECT experiment_id, artifact_location FROM experiments WHERE lifecycle_stage = 'active'").fetchall():
        try:
            folder = folder_of(address or "", home)
        except FileNotFoundError as error:
            raise RunError(f"the artifacts of the runs in {home / DEFAULT_DATABASE} are needed, but {error}: move or "
                           f"copy {ARTIFACTS} with the database") from None
        if folder is None or address in (str(folder), folder.as_uri()):
            continue
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                           (folder.as_uri(), experiment))
        for table, column in _ADDRESSES:
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old)) "
                f"WHERE substr({column}, 1, length(:old)) = :old",
                {"new": folder.as_uri(), "old": f"{address}/"})


def folder_of(address: str, home: Path) -> Path | None:
    """Return the local folder that an address of artifacts means; None for one on a server or in a cloud.

    MLflow stores absolute addresses. Those below `ARTIFACTS` are found in the folder of the database wherever it was
    moved or copied to.

    Args:
        address: A `file:` URI or a path.
        home: Folder of the database.

    Raises:
        FileNotFoundError: The folder is missing, at its address and in `home`.
    """
    parts = urlsplit(address)
    is_path = not parts.scheme or Path(address).is_absolute()
    if not address or not (is_path or (parts.scheme == "file" and parts.netloc in ("", "localhost"))):
        return None
    stored = Path(address if is_path else url2pathname(parts.path))
    folders = stored.parts
    if ARTIFACTS not in folders:
        return stored
    here = home.joinpath(ARTIFACTS, *folders[len(folders) - folders[::-1].index(ARTIFACTS):])
    if here.is_dir() or here == stored:
        return here
    if stored.is_absolute() and stored.is_dir():
        return stored
    raise FileNotFoundError(f"{stored} is missing, and so is {here}")


def _prepare(database: Path) -> None:
    """Create a database file completely or not at all, because MLflow cannot use an incomplete one."""
    # Move away the logs of an earlier file of that name: SQLite would apply them to the new file.
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            replace(database.with_name(f"{database.name}{suffix}"), database.with_name(f"{database.name}.lost{suffix}"))
    half_made = database.with_name(f"{database.name}.new")
    remove(half_made)
    load_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _opening(f"sqlite:///{database}"):
        SqlAlchemyStore(f"sqlite:///{half_made}", "mlruns").engine.dispose()  # closes the file
    replace(half_made, database)


def unreadable(database: Path, error: Exception) -> RunError:
    """Return the error for a database file that cannot be read: locked, damaged, or of another program."""
    if LOCKED in str(error):
        return RunError(f"the tracking store {str(database)!r} is locked by another process: end that process, then "
                        "run this again")
    if is_of_disk(error):
        return failed(str(database), "open", error)
    return RunError(f"{str(database)!r} cannot be read as an MLflow database ({first_line(error)}): restore a copy, "
                    f"move it away to start a new one, or use another store ({argument('tracking_uri')})")


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database file for reading.

    Raises:
        RunError: The file is damaged, or cannot be read because its folder is read-only.
    """
    uri = f"{database.as_uri()}?mode=ro"
    try:
        try:
            connection = _opened(uri)
        except sqlite3.OperationalError:
            if os.access(database.parent, os.W_OK):
                raise
            # SQLite would write files beside the database, to coordinate readers and writers. Here there is no writer.
            log = database.with_name(f"{database.name}-wal")
            if log.exists() and log.stat().st_size:
                raise RunError(f"{database.name} cannot be read, because {log.name} must be merged into it and the "
                               f"folder {database.parent} is read-only: make it writable, or run this as its owner"
                               ) from None
            connection = _opened(f"{uri}&immutable=1")
        with closing(connection):
            yield connection
    except sqlite3.Error as error:
        if database.exists():
            raise unreadable(database, error) from error
        raise RunError(
            f"the tracking store {str(database)!r} was removed while in use: put it back and run this again; without "
            "it, its runs are lost") from error


def require_tables(database: Path) -> None:
    """Check that a database file has MLflow's tables, without loading MLflow.

    Raises:
        RunError: It lacks one of them, or cannot be read.
    """
    with reading(database) as connection:
        connection.execute("SELECT 1 FROM experiments, runs, tags, params, metrics, latest_metrics LIMIT 0")


def _opened(uri: str) -> sqlite3.Connection:
    """Open a database file and read from it, because SQLite checks it only then."""
    connection = sqlite3.connect(uri, uri=True)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def require_uri(uri: str) -> None:
    """Check that a text is a tracking URI, because MLflow may try for minutes to use any other.

    Raises:
        UsageError: The text is not a tracking URI.
    """
    database = sqlite_path(uri)
    try:
        parts = urlsplit(uri)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_server = False
    if database is None and not is_server:
        is_database = "://" in uri and not uri.startswith(("sqlite", "http"))
        raise UsageError(f"{argument('tracking_uri')} must be {URI_KINDS}, but got {without_passwords(uri)!r}" + (
            ": start an MLflow server in front of it (mlflow server --backend-store-uri)" if is_database else ""))
    if database is not None and database.is_dir():
        raise UsageError(f"{argument('tracking_uri')} must be a file, but {uri!r} is a folder: try "
                         f"sqlite:///{database / DEFAULT_DATABASE}")


def require_folder(database: Path) -> None:
    """Refuse a database file whose folder does not exist.

    Raises:
        UsageError: The folder does not exist.
    """
    if not database.parent.is_dir():
        raise UsageError(f"{argument('tracking_uri')} must be a file in an existing folder, but got "
                         f"'sqlite:///{database}': create {database.parent} first")


def _answering_client(uri: str) -> MlflowClient:
    """Return the client for `uri`, once the store answers.

    Raises:
        UsageError: The URI is not valid for MLflow.
        RunError: The store does not answer or is damaged.
    """
    mlflow = load_mlflow()
    with _opening(uri):
        client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _opening(uri: str) -> Iterator[None]:
    """Turn errors of opening a store into ours, which name its URI.

    Raises:
        UsageError: The URI is not valid for MLflow.
        RunError: The store does not answer or is damaged.
    """
    shown = without_passwords(uri)
    unanswered = (f"the tracking store {shown!r} does not respond: {{}}. Start its server, or leave out "
                  f"{argument('tracking_uri')} to use mlflow.db in this directory")
    try:
        yield
    except load_mlflow().exceptions.MlflowException as error:
        raise RunError(unanswered.format(brief(error) if is_away(error) else first_line(error))) from error
    except Exception as error:
        if (database := sqlite_path(uri)) is not None:
            raise unreadable(database, error) from error
        raise UsageError(f"{argument('tracking_uri')} must be {URI_KINDS}, but got {shown!r}: "
                         f"{first_line(error)}") from error


def shown_version(uri: str) -> str:
    """Return the version of MLflow whose pages show a store; empty where its server does not say.

    A database is shown by the MLflow that is installed here.
    """
    if not uri.startswith(("http://", "https://")):
        return version("mlflow")
    mlflow = load_mlflow()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(get_default_host_creds(uri), "/version", "GET", raise_on_status=False)
    except mlflow.exceptions.MlflowException as error:
        raise failed(without_passwords(uri), "return its version", error) from error
    return str(answer.text).strip() if answer.status_code == HTTPStatus.OK else ""


def replace_artifacts(uri: str, artifact_uri: str, folder: Path, place: str) -> None:
    """Replace the artifacts of a run below `place` by the files of a folder.

    Args:
        uri: MLflow's tracking URI.
        artifact_uri: Where the run keeps its artifacts.
        folder: The folder.
        place: Path among the run's artifacts.

    Raises:
        MlflowException, OSError: The artifacts cannot be written.
    """
    load_mlflow()
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(artifact_uri, tracking_uri=uri)
    with suppress(NotImplementedError):  # not every kind of store can remove files: it keeps those of other names
        repository.delete_artifacts(place)
    repository.log_artifacts(str(folder), place)


class _WrappedClient:
    """MLflow's client, with its errors (a full disk, a server that went away) turned into RunError."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            except load_mlflow().exceptions.MlflowException as error:
                raise failed(self._uri, name, error) from error

        return wrapped


def load_mlflow() -> Any:
    """Import mlflow with its telemetry, log lines and progress bars switched off."""
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

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it also raises the errors that it logs
    return mlflow


def sqlite_path(uri: str) -> Path | None:
    """Return the file that a `sqlite:///` URI names; None for any other URI."""
    if not uri.startswith("sqlite:///") or uri == "sqlite:///":
        return None
    return Path(uri.removeprefix("sqlite:///")).resolve()
