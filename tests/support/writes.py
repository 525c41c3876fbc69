"""Records that wait in an outbox, and where they wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gru_bench.tracking import Store, outbox
from gru_bench.tracking.outbox import Outbox
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG
from gru_bench.tracking.record import Point, RunRecord

NOBODY = "http://127.0.0.1:9"
STUDY, TRIAL = "1" * 32, "2" * 32
"""Ids of the runs of `records`."""


def root() -> Path:
    return Path.cwd() / outbox.FOLDER


def records() -> list[RunRecord]:
    """Return a study's own run, a trial that has ended, and a part of the first."""
    return [
        RunRecord(STUDY, 1, "reviews", params={"a": "1"}, dataset=("reviews", "f" * 64), first_tags={
            "gru_bench.role": "study", "gru_bench.study": "s", FORMAT_TAG: FORMAT, "mlflow.runName": "s"}),
        RunRecord(TRIAL, 2, "reviews", STUDY, first_tags={
            "gru_bench.role": "trial", "gru_bench.study": "s", FORMAT_TAG: FORMAT}, tags={
            "gru_bench.complete": "true"}, status="FINISHED", ended=5, points=(
            Point("loss/train", 0.5, 1, 3), Point("loss/train", float("nan"), 2, 3), Point("loss/val", 0.25, 1, 5))),
        RunRecord(STUDY, 6, status="KILLED", ended=6),
    ]


def left(uri: str, *parts: RunRecord) -> Outbox:
    """Return the outbox of a process that has died, with some records, or with `records`."""
    own = Outbox.begin(root(), uri)
    for record in parts or records():
        own.put(record)
    release(own)
    return own


def release(own: Outbox) -> None:
    """Release the lock of an outbox, as the system does when its process dies."""
    assert own._lock is not None
    own._lock.release()


def change_format(database: Path, store: Store, tag: str | None) -> None:
    """Log a run, then let it be of another format; None for no format."""
    store.start("reviews", "r", role="single").kill("done")
    store.close()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tags WHERE key = ?", (FORMAT_TAG,))
        if tag is not None:
            connection.execute("INSERT INTO tags (key, value, run_uuid) SELECT ?, ?, run_uuid FROM runs",
                               (FORMAT_TAG, tag))
