"""What `gru-bench train` says of an accuracy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gru_bench import cli
from gru_bench.data.corpus import Corpus
from gru_bench.errors import RunError
from gru_bench.results.runs import RunResult
from gru_bench.stats.estimate import wilson_interval
from gru_bench.stats.text import percent
from gru_bench.tracking import RunWriter
from gru_bench.train import loop
from gru_bench.train.__main__ import _show, accuracy_of, app
from tests.support.commands import mentions
from tests.support.runs import answered


def test_an_accuracy_is_shown_with_its_interval_and_with_what_guessing_reaches() -> None:
    low, high = wilson_interval(58, 100)
    mentions(accuracy_of(answered(58, positive=42))[0], "58.0 % (95 %", f"{100 * low:.1f} to {percent(high)}",
             "100 texts", "reaches 58.0 %")


@pytest.mark.parametrize(("right", "positive", "guessing"), [
    (60, 50, False),  # 50.2 % and more
    (59, 50, True),
    (20, 50, True),  # worse than a coin is no better than one
    (85, 20, True),  # always 0 is right for 80
    (100, 50, False),
])
def test_a_run_may_be_guessing_where_its_interval_includes_guessing(right: int, positive: int, guessing: bool) -> None:
    assert accuracy_of(answered(right, positive))[1] is guessing


def test_the_limit_is_named_only_where_it_left_texts_out(
    whole: RunResult, corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    for available, is_named in ((corpus.available, True), (corpus.available - corpus.held_back, False)):
        _show(cli.out(), whole, replace(corpus, available=available))
        assert ("--limit" in capsys.readouterr().out) == is_named


def test_a_store_that_fails_leaves_the_checkpoint_to_the_next_start(
    easy_csv: Path, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setattr(loop, "REFRESH_SECONDS", 0.0)
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "cache"))

    def deleted(*_: object) -> None:
        raise RunError("the run was deleted in MLflow")

    monkeypatch.setattr(RunWriter, "complete", deleted)
    words = ["--data", str(easy_csv), "--limit", "200", "--embedding", "random", "--hidden-size", "4", "--epochs", "2",
             "--set", "model.backend=torch", "--tracking-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    with pytest.raises(RunError, match="deleted in MLflow"):
        cli.command_of(app)(words, standalone_mode=False)
    assert list(tmp_path.rglob("*.pt"))
