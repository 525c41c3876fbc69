"""The runs of a study in the tracking store: what holds when a study goes on or a store is lost."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from gru_bench.config import DataConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.errors import UsageError
from gru_bench.platforms import machine
from gru_bench.sweep.runner import Sweep
from gru_bench.sweep.sharing.leases import this_process
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.tracking import Store, StudyPlan
from tests.support.workers import WELL, Script, states, swept

pytestmark = pytest.mark.usefixtures("database")


def test_a_study_that_was_begun_without_reviews_stays_so(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, asked = open_storage("optuna.journal"), list[bool]()

    def noted(*_: object, texts: bool) -> list[object]:
        asked.append(texts)
        return []

    monkeypatch.setattr("gru_bench.sweep.runner.follow_ups", noted)
    swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL), storage=storage)
    printed = io.StringIO()
    swept(easy_csv, Script(), storage=storage, texts=True, console=Console(file=printed, width=200))
    assert "note: no reviews are stored, because the study was begun with --no-texts" in printed.getvalue()
    assert asked == [False, False]
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    assert study.run.params["texts"] == "False"
    assert store.texts(study.run.run_id, "test") is None


def test_a_study_that_holds_reviews_is_not_gone_on_with_as_if_it_held_none(easy_csv: Path) -> None:
    storage = open_storage("optuna.journal")
    swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL), storage=storage, texts=True)
    store = Store()
    (before,) = store.studies(store.experiments()[0])
    assert store.texts(before.run.run_id, "test") is not None
    with pytest.raises(UsageError, match=r"'study' was begun without it and holds reviews: leave --no-texts out"):
        swept(easy_csv, Script(), storage=storage)
    assert Store().studies(store.experiments()[0]) == [before]


def test_a_study_whose_process_died_before_mlflow_had_it_is_not_begun_twice(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprint = load_corpus(DataConfig(name=str(easy_csv))).fingerprint
    begin_and_die = f"""
import os
from gru_bench.tracking import Store
Store().start("easy", "study", role="study", study="study", model="torch", fingerprint={fingerprint!r})
os._exit(1)
"""
    check = Sweep._check

    def die_meanwhile(sweep: Sweep) -> None:
        check(sweep)
        subprocess.run([sys.executable, "-c", begin_and_die], check=False)

    monkeypatch.setattr(Sweep, "_check", die_meanwhile)
    swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL))
    store = Store()
    (study,) = store.studies("easy")
    assert len(study.trials) == 5
    assert [run.run_id for run in store.runs("easy") if run.role == "study"] == [study.run.run_id]


def test_the_plan_of_a_study_is_read_back_as_its_file_says(easy_csv: Path) -> None:
    swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL))
    store, spec = Store(), load_study("study.toml")
    (study,) = store.studies(store.experiments()[0])
    assert study.plan() == StudyPlan(
        models=tuple(spec.models), trials=spec.trials, confirm=spec.confirm, margin=spec.margin / 100,
        contents=("search",), protocol=spec.protocol)


class TestALostStore:
    """Of search and tracking store one is lost, whole or in part, and the same command is typed again."""

    @staticmethod
    def trials() -> Counter[tuple[str, str]]:
        """Return role and number of the runs of trials, and how many there are of each."""
        store = Store(create=False)
        return Counter((run.role, run.tags["gru_bench.trial"]) for run in store.runs("easy") if run.role != "study")

    @pytest.mark.parametrize("kept", [0, 20], ids=["the whole journal", "its end"])
    def test_runs_of_a_lost_search_are_set_aside(self, easy_csv: Path, kept: int) -> None:
        journal, script = Path("optuna.journal"), Script(*[WELL] * 9)
        swept(easy_csv, script)
        whole = journal.read_bytes().split(b"\n")
        left = b"".join(line + b"\n" for line in whole[:kept])
        journal.write_bytes(left.replace(this_process().encode(), f"{machine()} 999999999 1".encode()))
        summary = swept(easy_csv, script)
        assert states(summary)["complete"] == 5
        assert any("runs of trials that it does not know are set aside" in note for note in summary.notes)
        found = self.trials()
        assert {count for (role, _), count in found.items() if role == "trial"} == {1}
        assert sum(count for (role, _), count in found.items() if role == "superseded") >= (1 if kept else 5)
        assert swept(easy_csv, script).notes == ()

    def test_that_runs_are_lost_is_told(self, easy_csv: Path, empty_database: Path) -> None:
        script = Script(*[WELL] * 5)
        swept(easy_csv, script)
        shutil.copy(empty_database, "another.db")
        assert swept(easy_csv, script, uri="sqlite:///another.db").notes == (
            "The runs of 5 trials of earlier starts are not in this tracking store: it was lost, or is another.",)
