"""What an error of a tracking store means for another attempt, and the message for it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Literal

from gru_bench.errors import GruBenchError, RunError, UsageError, first_line

Meaning = Literal["unusable", "busy", "away", "refused", "unclear"]
BUSY = ("UNIQUE constraint", "IntegrityError", "UniqueViolation")
"""Words of an error that says that another process has written the same row at this moment."""
LOCKED = "database is locked"
"""Words of an error that says that another process writes to the file."""
TRY_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY,
             HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
"""HTTP statuses of a server that cannot answer now, whatever the request was."""
DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""HTTP statuses that may change, for example when an expired token is renewed."""


class MissingError(RunError):
    """A record cannot be uploaded: it is damaged, MLflow lacks its run or its experiment, or a user has deleted it."""


class AwayError(GruBenchError):
    """A store does not respond. It is no RunError: what the store holds is neither missing nor damaged."""


def meaning(error: BaseException) -> Meaning:
    """Return what an error of a tracking store means.

    - unusable: the disk of this machine is full, or the store is not an MLflow store that can be read
    - busy: another process has written the same row at this moment
    - away: the server cannot answer now, whatever it is asked, or another process writes to the file
    - refused: another attempt would get the same answer
    - unclear: anything else
    """
    import requests

    silent = (requests.ConnectionError, requests.Timeout, requests.exceptions.RetryError,
              requests.exceptions.ChunkedEncodingError, ConnectionError, TimeoutError)
    links = list(_links(error))
    status = next((code for link in links if (code := _status(link)) is not None), None)
    text = "\n".join(map(str, links))
    if isinstance(error, UsageError) or _is_out_of_space(error):
        return "unusable"
    if any(word in text for word in BUSY):
        return "busy"
    if LOCKED in text:
        return "away"
    if any(type(link) in (sqlite3.OperationalError, sqlite3.DatabaseError) for link in links):
        return "unusable"
    if status in TRY_LATER or any(isinstance(link, silent) for link in links):
        return "away"
    if isinstance(error, MissingError) or (status is not None and status not in DENIED and (
            HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR)):
        return "refused"
    return "unclear"


def is_away(error: BaseException) -> bool:
    """Return whether an error means that a server cannot answer now, and not that it refused a request."""
    return meaning(error) == "away"


def brief(error: BaseException) -> str:
    """Return a short reason why a store does not answer, such as `Connection refused` or `database is locked`."""
    if any(LOCKED in str(link) for link in _links(error)):
        return LOCKED
    reasons = [reason for link in _links(error) if (reason := getattr(link, "strerror", None))]
    return str(reasons[-1]) if reasons else first_line(error.__cause__ or error)


def failed(uri: str, doing: str, error: Exception) -> RunError:
    """Return the error for a store that fails to do something; `uri` is shown."""
    ours = RunError(
        f"no space left on the disk of the tracking store {uri!r}: free some and run this again; what was logged so "
        "far is safe"
        if _is_out_of_space(error) or "disk is full" in str(error) else
        f"the tracking store {uri!r} failed to {doing}: {first_line(error)}")
    ours.__cause__ = error
    return ours


def _is_out_of_space(error: BaseException) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


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
