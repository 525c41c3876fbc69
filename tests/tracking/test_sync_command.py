"""What `gru-bench sync` says where runs are left."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.errors import ExitCode
from gru_bench.tracking.__main__ import app
from gru_bench.tracking.outbox import Waiting
from tests.support.commands import completed, mentions


@pytest.mark.parametrize(("uri", "remedy", "other"), [
    ("sqlite:////full/mlflow.db", "free some space", "server"), ("http://127.0.0.1:9", "start the server", "space")])
def test_the_remedy_suits_the_store(uri: str, remedy: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload_all(directory: Path) -> list[str]:
        return ["no answer"]

    monkeypatch.setattr("gru_bench.tracking.upload.upload_all", upload_all)
    monkeypatch.setattr("gru_bench.tracking.outbox.waiting", lambda directory: [Waiting(uri, 2, 0)])
    done = completed(app)
    assert done.returncode == ExitCode.INCOMPLETE
    mentions(done.stderr, "2 runs wait", uri, remedy)
    assert other not in done.stderr
