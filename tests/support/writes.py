"""Runs of another format."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gru_bench.tracking import Store
from gru_bench.tracking.reader import FORMAT_TAG


def change_format(database: Path, store: Store, tag: str | None) -> None:
    """Log a run, then let it be of another format; None for no format."""
    store.start("reviews", "r", role="single").kill("done")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tags WHERE key = ?", (FORMAT_TAG,))
        if tag is not None:
            connection.execute("INSERT INTO tags (key, value, run_uuid) SELECT ?, ?, run_uuid FROM runs",
                               (FORMAT_TAG, tag))
