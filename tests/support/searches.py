"""A search on a storage in a folder, for tests of what several processes share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gru_bench.config import Scalar
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.storage import open_storage
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


def spec_in(directory: Path, trials: int = TOTAL) -> StudySpec:
    (directory / "shared.toml").write_text(STUDY, encoding="utf-8")
    return load_study(str(directory / "shared.toml"), trials=trials)


def search_in(directory: Path, trials: int = TOTAL) -> Search:
    storage = open_storage(str(directory / "optuna.journal"))
    return StudyRecord(spec_in(directory, trials), storage, "data").searches["torch"]


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
