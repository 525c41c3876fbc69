"""A search on a storage in a folder, for tests of what several processes share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gru_bench.config import RunConfig, Scalar
from gru_bench.results.baselines import baseline_names
from gru_bench.sweep.plan import AskTrial, TrainPlanned, Work, next_work
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import Trials
from gru_bench.sweep.sharing.work import StoredTrial, baseline_key
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.study import StudyRecord

TOTAL = 24


STUDY = f"""
models = ["torch"]
trials = {TOTAL}
[training]
epochs = 2
[space]
training.lr = {{ low = 1e-4, high = 1e-1, log = true }}
"""


DONE_BASELINES = {
    baseline_key(name): StoredTrial(1000 + place, "complete", {}, key=baseline_key(name), run_id=f"id-baseline-{name}")
    for place, name in enumerate(baseline_names())}
"""The trials of the baselines of a study, once all are logged."""


def spec_in(directory: Path, trials: int = TOTAL) -> StudySpec:
    (directory / "shared.toml").write_text(STUDY, encoding="utf-8")
    return load_study(str(directory / "shared.toml"), trials=trials)


def search_in(directory: Path, trials: int = TOTAL) -> Search:
    storage = open_storage(str(directory / "optuna.journal"))
    return StudyRecord(spec_in(directory, trials), storage, "data", "mine").searches["torch"]


class Notes:
    """What keeps records, in memory."""

    def __init__(self) -> None:
        self.user_attrs: dict[str, Any] = {}

    def set_user_attr(self, key: str, value: Any) -> None:
        self.user_attrs[key] = value


def asked(search: Search) -> tuple[int, dict[str, Scalar]]:
    """The trial that a search proposes, which must propose one."""
    trial = search.ask()
    assert trial is not None
    return trial


@dataclass(frozen=True)
class Begun:
    """A run that a process has begun: a trial, or a confirmation run."""

    trials: Trials
    number: int
    config: RunConfig


def begun(record: StudyRecord) -> Begun | Work | None:
    """Begin the next run of a study and return it; other work, and none, is returned as it is planned.

    The baselines are done before.
    """
    while True:
        for key in DONE_BASELINES:
            if (number := record.work.take(key)) is not None:
                record.work.complete(number, 0.5)
        state = record.state()
        record.note_searching(state)
        match work := next_work(state):
            case AskTrial(model):
                search = record.searches[model]
                if (asked := search.ask()) is not None:
                    return Begun(search, asked[0], record.spec.config(model, asked[1], record.spec.seed))
            case TrainPlanned(run):
                if (number := record.work.take(run.key)) is not None:
                    return Begun(record.work, number, run.config)
            case _:
                return work
