"""What `gru-bench sync` says where writes are left."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.errors import ExitCode
from gru_bench.tracking.__main__ import app
from gru_bench.tracking.queue import Waiting
from tests.support.commands import completed, mentions


@pytest.mark.parametrize(("uri", "remedy", "other"), [
    ("sqlite:////full/mlflow.db", "free some space", "server"), ("http://127.0.0.1:9", "start the server", "space")])
def test_the_remedy_suits_the_store(uri: str, remedy: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def sync_all(directory: Path) -> list[str]:
        return ["no answer"]

    monkeypatch.setattr("gru_bench.tracking.sync.sync_all", sync_all)
    monkeypatch.setattr("gru_bench.tracking.queue.waiting", lambda directory: [Waiting(uri, 2, 1)])
    done = completed(app)
    assert done.returncode == ExitCode.INCOMPLETE
    mentions(done.stderr, "2 writes of 1 run", uri, remedy)
    assert other not in done.stderr
