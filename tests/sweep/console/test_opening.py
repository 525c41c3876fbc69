"""What a start of a study says of its data."""

from __future__ import annotations

from pathlib import Path

from gru_bench.sweep.console.opening import data_lines, record_lines
from gru_bench.sweep.plan import SearchState, StudyState
from gru_bench.sweep.sharing.trials import StoredTrial
from gru_bench.sweep.spec import load_study
from tests.support.commands import mentions
from tests.support.reviews import load, reviews, write


def test_near_duplicates_are_shown_unless_texts_are_kept_out(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", [(text.upper(), label) for text, label in reviews(20)])
    corpus = load(write(tmp_path / "a.csv", reviews(200)), tmp_path / "cache", test_name=test)
    lines = list(data_lines(corpus, texts=True))
    assert corpus.sizes in lines[0]
    assert sum(line.startswith("near-duplicate: 'REVIEW ") for line in lines) == len(corpus.near_examples) == 3
    assert list(data_lines(corpus, texts=False)) == lines[:-3]


def test_the_models_with_more_trials_than_asked_are_named_alone() -> None:
    searches = {model: SearchState(tuple(StoredTrial(n, "complete", {}) for n in range(trials)))
                for model, trials in (("scratch", 5), ("bidirectional", 1))}
    (line,) = record_lines(StudyState(load_study("smoke"), searches, {}))
    mentions(line, "3 trials", "5 of scratch")
    assert "bidirectional" not in line
