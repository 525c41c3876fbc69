"""What an error of a tracking store means for another attempt, and the message for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from gru_bench.errors import FULL_DISK, GruBenchError, RunError, UsageError, first_line

LOCKED = "database is locked"
"""Words of an error that says that another process writes to the file."""
PASSING = (LOCKED, "UNIQUE constraint", "IntegrityError", "UniqueViolation")
"""Words of errors that say so, or that another process has written the same row at this moment."""
DISK = ("disk is full", "disk I/O error")
"""Words of errors of SQLite that say that a file cannot be written."""
TRY_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
"""HTTP statuses of a server that cannot answer now, beside those of errors of the server."""


class AwayError(GruBenchError):
    """A store does not respond. It is no RunError: what the store holds is neither missing nor damaged."""


def is_away(error: BaseException) -> bool:
    """Return whether an error means that the store cannot answer now, so that another attempt may succeed: its server
    is away or fails, or another process writes to its file or has written the same row at this moment."""
    import requests

    silent = (requests.ConnectionError, requests.Timeout, requests.exceptions.RetryError,
              requests.exceptions.ChunkedEncodingError, ConnectionError, TimeoutError)
    links = list(_links(error))
    status = next((code for link in links if (code := _status(link)) is not None), None)
    text = "\n".join(map(str, links))
    if isinstance(error, UsageError) or getattr(error, "errno", None) in FULL_DISK:
        return False
    if any(word in text for word in PASSING):
        return True
    if any(type(link) in (sqlite3.OperationalError, sqlite3.DatabaseError) for link in links):
        return False  # the file is damaged, or cannot be read or written
    return any(isinstance(link, silent) for link in links) or (status is not None and (
        status in TRY_LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR))


def brief(error: BaseException) -> str:
    """Return a short reason why a store does not answer, such as `Connection refused` or `database is locked`."""
    if any(LOCKED in str(link) for link in _links(error)):
        return LOCKED
    reasons = [reason for link in _links(error) if (reason := getattr(link, "strerror", None))]
    return str(reasons[-1]) if reasons else first_line(error.__cause__ or error)


def failed(uri: str, doing: str, error: Exception) -> RunError:
    """Return the error for a store that fails to do something; `uri` is shown."""
    ours = RunError(
        f"the disk of the tracking store {uri!r} is full or cannot be written: free some space, or raise the limit of "
        "file sizes (ulimit -f), and run this again; what was logged so far is safe"
        if is_of_disk(error) else
        f"the tracking store {uri!r} failed to {doing}: {first_line(error)}")
    ours.__cause__ = error
    return ours


def is_of_disk(error: BaseException) -> bool:
    """Return whether an error means that a file cannot be written, because the disk is full or fails."""
    return getattr(error, "errno", None) in FULL_DISK or any(words in str(error) for words in DISK)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error of MLflow or requests; None for other errors."""
    code: Any = getattr(error, "get_http_status_code", None)
    return int(code()) if code is not None else getattr(getattr(error, "response", None), "status_code", None)


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes; libraries store the cause in different attributes."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        parts = (*link.args, getattr(link, "reason", None))
        link = link.__cause__ or link.__context__ or next((part for part in parts if isinstance(part, Exception)), None)
