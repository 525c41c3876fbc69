"""Writes that wait in a queue, and where they wait."""

from __future__ import annotations

from pathlib import Path

from gru_bench.tracking import queue
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
