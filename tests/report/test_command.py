"""The report command: what it picks, where it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gru_bench.tracking
from gru_bench.cli import ended
from gru_bench.errors import IncompleteError, UsageError
from gru_bench.evaluation import statistics
from gru_bench.report.__main__ import Choice, app, choose
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import soup_of


@pytest.fixture
def store() -> FakeStore:
    """Two experiments; in the first, newest first, a study of each kind."""
    store = FakeStore()
    small = TestSet.draw(200)
    add_study(store, "newest", {"torch": 0.0}, test_set=small)
    add_study(store, "early", {"scratch": 0.0}, test_set=small, seeds=0, failed=1)
    add_study(store, "oldest", {"bidirectional": 0.1}, test_set=small)
    add_study(store, "elsewhere", {"torch": 0.0}, test_set=small, experiment="reviews.csv")
    return store


def names(choice: Choice) -> list[str]:
    return [study.run.name for study in choice.studies]


def test_by_default_all_complete_studies_of_the_experiment_written_last(store: FakeStore) -> None:
    choice = choose(store, None, [])
    assert choice.experiment == "movie-reviews"
    assert names(choice) == ["oldest", "newest"]
    assert choice.missing == (("The study early is left out: it has no complete confirm run yet.",),)
    assert choice.remarks == (
        "study early: left out, it has no complete confirm run (trials so far: 16, confirm runs: 1, none of these "
        "complete)",
        "experiment movie-reviews; there are others (--experiment): reviews.csv",
    )


def test_a_named_experiment(store: FakeStore) -> None:
    choice = choose(store, "reviews.csv", [])
    assert names(choice) == ["elsewhere"]
    assert choice.remarks == ()


def test_named_studies_in_the_order_named_wherever_they_are(store: FakeStore) -> None:
    assert names(choose(store, None, ["newest", "oldest"])) == ["newest", "oldest"]
    elsewhere = choose(store, None, ["elsewhere"])
    assert elsewhere.experiment == "reviews.csv"


def test_of_a_study_logged_twice_the_newest_complete_one_is_taken(store: FakeStore) -> None:
    first = store.by_experiment["movie-reviews"][0]
    broken = replace(first, summary=None, confirms=())
    store.by_experiment["movie-reviews"].insert(0, broken)
    choice = choose(store, None, ["newest"])
    assert choice.studies == (first,)
    assert "study newest: logged 2 times, the newest complete one is taken" in choice.remarks


def test_a_study_under_way_shows_what_there_is(store: FakeStore) -> None:
    first = store.by_experiment["movie-reviews"][0]
    store.by_experiment["movie-reviews"][0] = replace(first, summary=None)
    assert names(choose(store, None, ["newest"])) == ["newest"]


@pytest.mark.parametrize(
    ("experiment", "studies", "error", "message"),
    [
        (None, ["new"], UsageError, r"unknown study 'new'\. Did you mean 'newest'\? It must be one of early, else"),
        ("reviews.csv", ["newest"], UsageError, "unknown study 'newest': it must be one of elsewhere."),
        ("movies", [], UsageError, r"unknown experiment 'movies'\. Did you mean 'movie-reviews'\? It must be one of m"),
        (None, ["newest", "elsewhere"], UsageError, "studies of one experiment, but newest, elsewhere lie in several"),
        (None, ["early"], IncompleteError, r"but the study early has none \(trials so far: 16, confirm runs: 1"),
    ],
)
def test_what_cannot_be_picked(
    store: FakeStore, experiment: str | None, studies: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        choose(store, experiment, studies)


def test_nothing_logged_yet() -> None:
    with pytest.raises(IncompleteError, match=r"but nothing has been logged yet: run one to its end \(gru-bench sw"):
        choose(FakeStore(), None, [])


def test_only_studies_without_confirm_runs() -> None:
    store = FakeStore()
    add_study(store, "early", {"scratch": 0.0}, seeds=0, failed=1)
    with pytest.raises(IncompleteError, match="but the experiment movie-reviews has none: run one to its end"):
        choose(store, None, [])


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command on a store in memory; return its exit code."""

    def run(store: FakeStore, *arguments: str) -> int:
        monkeypatch.setattr(gru_bench.tracking, "Store", lambda uri=None, create=True: store)
        monkeypatch.setattr(sys, "argv", ["gru-bench", *arguments])
        return ended(app)

    return run


def test_it_writes_and_says_where(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(store) == 0
    assert (tmp_path / "reports" / "movie-reviews" / "report.html").is_file()
    out = capsys.readouterr().out
    page = tmp_path / "reports" / "movie-reviews" / "report.html"
    assert f"wrote reports/movie-reviews/report.html: {page.resolve().as_uri()}\n" in out
    assert "and beside it report.tex, numbers.json, report.md, tables and figures\n" in out
    assert "there are others (--experiment): reviews.csv" in out
    # What was found, as the page says it.
    soup = soup_of(page.read_text())
    shown = [item.get_text().replace("\xa0", " ") for item in soup.select(".verdicts li, .warning li")]
    lines = out.splitlines()
    assert [line.removeprefix("- ") for line in lines if line.startswith("- ")] == shown
    care = lines.index("cautions:")
    assert lines[care + 1] == "- The study early is left out: it has no complete confirm run yet."
    assert any("Test accuracy" in line for line in lines[:care])


def test_a_folder_is_named_after_the_studies_or_by_the_user(
    store: FakeStore, command: Callable[..., int], tmp_path: Path
) -> None:
    assert command(store, "--study", "newest", "--study", "oldest") == 0
    assert (tmp_path / "reports" / "newest-oldest" / "report.html").is_file()
    assert command(store, "--study", "newest", "--out", "there/it is") == 0
    assert (tmp_path / "there" / "it is" / "report.tex").is_file()


def test_without_a_tex_all_else_is_written(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gru_bench.report.render.pdf.shutil.which", lambda name: None)
    assert command(store, "--out", "x", "--pdf") == 1
    assert {"report.html", "report.tex", "report.md", "numbers.json"} <= {path.name for path in Path("x").iterdir()}
    err = " ".join(capsys.readouterr().err.split())
    assert "none was found; all other files are written: install one (Debian, Ubuntu: apt install latexmk" in err


def test_the_margin_is_given_in_points(store: FakeStore, command: Callable[..., int], tmp_path: Path) -> None:
    assert command(store, "--out", "x", "--margin", "2.5") == 0
    page = (tmp_path / "x" / "report.html").read_text()
    assert ">2.5</data> points, chosen when this report was made: at their start the studies had logged" in page
    assert command(store, "--out", "y") == 0
    assert ">1.0</data> points, fixed beforehand: each study logged it" in (tmp_path / "y" / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--study", "nonsense"), 2, "error: unknown study 'nonsense'"),
        (("--study", "early"), 3, "error: a report needs a study with a complete confirm run"),
        (("--out", "file"), 2, "error: --out must name a folder, but file is a file: choose another name"),
        (("--out", "file/below"), 2, "error: --out must name a folder, but file is a file: choose another name"),
        (("--margin", "-1"), 2, "--margin must be above 0 and at most 50 points, but got -1: try --margin 1"),
        (("--nonsense",), 2, "--nonsense"),
    ],
)
def test_how_it_ends_badly(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...],
    code: int, message: str,
) -> None:
    Path("file").touch()
    assert command(store, *arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_help_is_quick_and_without_a_store_one_line_says_what_to_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gru_bench.report"]
    took = []
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
        took.append(time.perf_counter() - begin)
    assert "--tracking-uri" in done.stdout
    assert min(took) < 1.0  # 0.25 s on an idle machine
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "gru-bench sweep --study smoke" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_in_the_terminal_are_not_markup(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = three_models()
    add_study(store, "[red]x", {"torch": 0.0}, seeds=0, failed=1)
    assert command(store) == 0
    assert "study [red]x: left out" in capsys.readouterr().out


def test_two_named_checkpoints_are_tested_and_labelled(
    store: FakeStore, command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a, b = (next(run.run_id for run in study.confirms if run.complete) for study in store.by_experiment["movie-reviews"]
            if study.run.name in ("newest", "oldest"))
    assert command(store, "--out", "x", "--mcnemar", a, b) == 0
    right = [store.predicted[run, "test"] for run in (a, b)]
    a_N, b_N = ((p.probability_N >= 0.5) == (p.label_N == 1) for p in right)
    found = json.loads((tmp_path / "x" / "numbers.json").read_text())
    only = int((a_N & ~b_N).sum()), int((b_N & ~a_N).sum())
    assert found["mcnemar_runs"] == [a, b]
    assert [found["numbers"][f"mcnemar.only-{side}"]["value"] for side in ("first", "second")] == list(only)
    assert found["numbers"]["mcnemar.p"]["value"] == statistics.mcnemar(*only)
    for name in ("report.html", "report.md", "report.tex"):
        assert "not the procedures that trained them" in (tmp_path / "x" / name).read_text()
    capsys.readouterr()
    assert command(store, "--verify", "x") == 0
    assert command(store, "--mcnemar", a, "nonsense") == 2
    assert f"unknown run 'nonsense': it must be one of {a}"[:30] in capsys.readouterr().err
    assert command(store, "--mcnemar", a, a) == 2
    assert "must name two different runs" in capsys.readouterr().err
