"""The closing table of a sweep: scores with their intervals, warnings, and commands to copy."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from gru_bench import cli
from gru_bench.errors import UsageError
from gru_bench.report.render import record
from gru_bench.stats.text import percent
from gru_bench.sweep.__main__ import _results, _show_next
from gru_bench.sweep.console.opening import backend_note
from gru_bench.sweep.plan import SearchState, StudyState, left_to_do
from gru_bench.sweep.sharing.work import StoredState, StoredTrial, digest, run_key
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.summary import Conclusion
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, add_study, logged
from tests.support.runs import confirmed, summary
from tests.support.searches import DONE_BASELINES
from tests.support.studies import study_file


def shown(table: Table, width: int = 200) -> list[list[str]]:
    text = io.StringIO()
    Console(file=text, width=width).print(table)
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.getvalue().splitlines()
            if line.startswith("│")]


class TestClosing:
    summary = add_study(FakeStore(), "pair", {"scratch": 0.0, "bidirectional": 0.2}).summary

    def test_a_search_that_nothing_confirms_shows_its_best_trials(self) -> None:
        assert self.summary is not None
        table = _results(replace(self.summary, best_value={"scratch": 0.94, "bidirectional": 0.6}), Conclusion())
        assert shown(table)[:2] == [["scratch", "94.0 %"], ["bidirectional", "60.0 %"]]
        mentions(str(table.title), "not confirmed")

    def test_names_what_is_left_of_an_unfinished_study(self) -> None:
        spec, settings = load_study("smoke", models=["scratch"], trials=3), {"training.lr": 0.01}
        spec = spec.model_copy(update={"confirm": 1})
        key = run_key("scratch", digest(settings), spec.confirm_seeds[0])

        def left(counted: int, end: StoredState = "complete") -> list[str]:
            work = {**DONE_BASELINES, key: StoredTrial(0, end, {}, key=key, failed_at=1)}
            trials = tuple(StoredTrial(n, "complete", settings) for n in range(counted))
            search = SearchState(trials, best=trials[0])
            return list(left_to_do(StudyState(spec, {"scratch": search}, work, in_time=False)))

        assert left(3) == left(4) == []
        mentions(*left(1), "1 of 3 trials", "timeout")
        mentions(*left(3, "failed"), "scratch", str(spec.confirm_seeds[0]), "failed")

    def test_shows_an_interval_from_three_seeds_on(self) -> None:
        assert self.summary is not None
        found = {"one": confirmed(80), "two": confirmed(70, 80), "three": confirmed(70, 80, 84)}
        majority = logged("m", model="majority", metrics={"score/val_accuracy": 0.503, "score/test_accuracy": 0.501})
        whole = replace(self.summary, models=tuple(found), best_value={"three": 0.9})
        rows = {row[0]: row[1:] for row in shown(_results(whole, Conclusion("", found, [majority])))}
        assert rows["one"][0] == "80.0 %"
        assert rows["one"][1].endswith("% (test texts alone)")
        assert rows["one"][2:] == ["1", ""]
        assert rows["two"][:3] == ["75.0 %", "2 seeds: no interval", "2: 70.0 to 80.0 %"]
        assert rows["three"][2] == "3: 70.0 to 84.0 %"
        low, high = found["three"].estimate.low, found["three"].estimate.high
        assert rows["three"][1] == f"{100 * low:.1f} to {percent(high)}"
        assert rows["three"][3] == "90.0 %"
        assert rows["majority class (baseline)"] == ["50.1 %", "", "", "50.3 %"]

    def test_a_narrow_terminal_shows_whole_names_of_models(self) -> None:
        assert self.summary is not None
        concluded = Conclusion(scores={"bidirectional": confirmed(70, 80)})
        rows = shown(_results(self.summary, concluded), width=80)
        assert "bidirectional" in [row[0] for row in rows]


@pytest.mark.parametrize(("models", "settings", "told"), [
    ("torch", 'model.backend = "torch"', True),
    ("scratch", 'model.scratch.backend = "torch"', True),
    ("torch", 'model.backend = "torch"\ntraining.device = "cuda"', False),
    ("torch", "", False),
])
def test_a_study_on_the_backend_torch_is_told_of_a_faster_one(
    tmp_path: Path, models: str, settings: str, told: bool
) -> None:
    spec = load_study(study_file(tmp_path, f'models = ["{models}"]\n{settings}'), name="my study")
    note = backend_note(spec)
    assert ("model.backend=auto" in note) == told
    assert bool(note) == told


def test_printed_commands_can_be_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Done:
        seconds = 1.0
        state = StudyState(load_study("smoke"), {}, DONE_BASELINES)
        summary = replace(summary(), name="x; touch y #")
        is_confirmed = True

        def page(self, served: str) -> str:
            return f"{served}/#/experiments/1/runs/abc"

        def view_url(self, served: str) -> str:
            return f"{served}/#/view" if self.is_confirmed else ""

    end: Any = Done()
    _show_next(cli.out(), end, "sqlite:///a b.db", has_report=False)
    printed = capsys.readouterr().out
    of_study = ["--study", "x; touch y #", "--tracking-uri", "sqlite:///a b.db"]
    for words in (["report", *of_study], ["predict", *of_study, "A text of yours."]):
        assert f"  {cli.line(['gru-bench', *words])}\n" in printed
    assert "http://127.0.0.1:5000/#/experiments/1/runs/abc\n" in printed
    assert "http://127.0.0.1:5000/#/view\n" in printed
    assert f"  {cli.line(['mlflow', 'ui', '--backend-store-uri', 'sqlite:///a b.db'])}\n" in printed
    end.is_confirmed = False
    _show_next(cli.out(), end, None, has_report=True)
    mentions(capsys.readouterr().out, "no saved view", "3.15")
    again = cli.line(["gru-bench", "report", "--out", str(tmp_path / "a; touch b")])
    with pytest.raises(UsageError, match=re.escape(f"write a report first ({again})")):
        record.read(tmp_path / "a; touch b")
