"""What a start of a study says of its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench import cli
from gru_bench.sweep.console.opening import show_data
from tests.support.reviews import load, reviews, write


def test_near_duplicates_are_shown_unless_texts_are_kept_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = write(tmp_path / "test.csv", [(text.upper(), label) for text, label in reviews(20)])
    corpus = load(write(tmp_path / "a.csv", reviews(200)), tmp_path / "cache", test_name=test)
    show_data(cli.out(), corpus, texts=True)
    shown = capsys.readouterr().out
    assert corpus.sizes in shown
    assert shown.count("near-duplicate: 'REVIEW ") == len(corpus.near_examples) == 3
    show_data(cli.out(), corpus, texts=False)
    assert "near-duplicate:" not in capsys.readouterr().out
