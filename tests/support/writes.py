"""Writes that wait in a queue, and where they wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gru_bench.tracking import Store, queue
from gru_bench.tracking.queue import Beginning, Operation
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG

NOBODY = "http://127.0.0.1:9"


def root() -> Path:
    return Path.cwd() / queue.FOLDER


def operations() -> list[Operation]:
    return [
        Operation("local-1", 1, Beginning("reviews", None), params={"a": "1"},
                  tags={"gru_bench.role": "study", FORMAT_TAG: FORMAT, "mlflow.runName": "s"}),
        Operation("local-2", 2, Beginning("reviews", "local-1"), tags={"gru_bench.role": "trial", FORMAT_TAG: FORMAT}),
        Operation("local-2", 3, metrics=(("loss/train", 0.5, 1), ("loss/train", float("nan"), 2))),
        Operation("local-1", 4, dataset=("reviews", "f" * 64)),
        Operation("local-2", 5, metrics=(("loss/val", 0.25, 1),), tags={"gru_bench.complete": "true"},
                  status="FINISHED"),
        Operation("local-1", 6, status="KILLED"),
    ]


def change_format(database: Path, store: Store, tag: str | None) -> None:
    """Log a run, then let it be of another format, or of the time when runs had no tag for it."""
    store.start("reviews", "r", role="single").kill("done")
    store.close()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tags WHERE key = ?", (FORMAT_TAG,))
        if tag is not None:
            connection.execute("INSERT INTO tags (key, value, run_uuid) SELECT ?, ?, run_uuid FROM runs",
                               (FORMAT_TAG, tag))
