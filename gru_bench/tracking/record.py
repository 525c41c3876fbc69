"""A run as it is written: what one process logs of it, in memory, and at rest as a folder.

    run.json     the `RunRecord`
    files/       its artifacts, at their paths

A record contains all of a run, or a part that is added to a run that MLflow has already. It may be uploaded twice
(`gru_bench.tracking.sender`).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from gru_bench.config import MetricName
from gru_bench.tracking.client import NOTE

DIED = "its process ended unexpectedly"
INTERRUPTED = ("Interrupted, so it has no result. The study repeats it in another run, unless it was interrupted too "
               "often.")
"""Description of a run of a study that was interrupted."""
OPEN = ("RUNNING", "")
"""Statuses of a record whose run has not ended."""
LATEST = 253_402_300_799_999
"""The end of the year 9999 in milliseconds since 1970. No later time can be shown."""


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int
    time: int
    """In milliseconds since 1970."""


@dataclass(frozen=True)
class RunRecord:
    """A run, or a part of one."""

    run_id: str
    """Our id of the run, for life. MLflow's run has it as a tag."""
    time: int
    """When the run began, or when this part was written, in milliseconds since 1970."""
    experiment: str = ""
    """Name of the experiment, for a run without a parent."""
    parent: str | None = None
    """Id of the parent run."""
    first_tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of a run that begins. Empty: the record is a part of a run that MLflow has."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags that are set last, because `gru_bench.complete` is one of them."""
    params: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    dataset: tuple[str, str] | None = None
    """Name and fingerprint of the data that the run trains on."""
    model: str = ""
    """Name of the model whose weights are among the artifacts; empty if there are none."""
    status: str = ""
    """New MLflow status of the run; empty changes nothing."""
    ended: int | None = None
    """When the run ended, in milliseconds since 1970."""
    view: MetricName | None = None
    """Score of the studies that the run's experiment gets a saved view for; None changes nothing."""

    @property
    def study(self) -> str:
        """Name of the study of a run that begins; otherwise empty."""
        return self.first_tags.get("gru_bench.study", "")

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def from_json(cls, text: str | bytes) -> RunRecord:
        """Parse a record from the text of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: The text is not a record.
        """
        values = json.loads(text)
        if "dataset" in values:
            values["dataset"] = tuple(values["dataset"])
        values["points"] = tuple(Point(*point) for point in values.get("points", ()))
        return cls(**values)

    def killed(self, reason: str) -> RunRecord:
        """Return the record of the same run as one that was interrupted, even if it was complete."""
        note = {} if self.parent is None else {NOTE: INTERRUPTED}
        return replace(self, status="KILLED", ended=self.ended or now(), tags={
            **self.tags, **note, "gru_bench.state": "killed", "gru_bench.complete": "false",
            "gru_bench.reason": reason[:4000]})


def new_id() -> str:
    """Return the id of a new run."""
    return uuid.uuid4().hex


def now() -> int:
    """Return the current time in milliseconds since 1970."""
    return int(time.time() * 1000)
