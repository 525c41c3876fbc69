"""What a start of a study says of its data."""

from __future__ import annotations

from pathlib import Path

from gru_bench.sweep.console.opening import data_lines
from tests.support.reviews import load, reviews, write


def test_near_duplicates_are_shown_unless_texts_are_kept_out(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", [(text.upper(), label) for text, label in reviews(20)])
    corpus = load(write(tmp_path / "a.csv", reviews(200)), tmp_path / "cache", test_name=test)
    lines = list(data_lines(corpus, texts=True))
    assert corpus.sizes in lines[0]
    assert sum(line.startswith("near-duplicate: 'REVIEW ") for line in lines) == len(corpus.near_examples) == 3
    assert list(data_lines(corpus, texts=False)) == lines[:-3]
