"""What a start of a study says of its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gru_bench.sweep.console.opening import data_lines, record_lines, warning_lines
from gru_bench.sweep.plan import SearchState, StudyState
from gru_bench.sweep.sharing.work import StoredTrial
from gru_bench.sweep.spec import load_study
from tests.support.commands import mentions
from tests.support.fake_store import TestSet, data_summary
from tests.support.reviews import load, reviews, write


def test_near_duplicates_are_shown_unless_texts_are_kept_out(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", [(text.upper(), label) for text, label in reviews(20)])
    corpus = load(write(tmp_path / "a.csv", reviews(200)), tmp_path / "cache", test_name=test)
    lines = list(data_lines(corpus, texts=True))
    assert corpus.sizes in lines[0]
    assert sum(line.startswith("near-duplicate: 'REVIEW ") for line in lines) == len(corpus.near_examples) == 3
    assert list(data_lines(corpus, texts=False)) == lines[:-3]


def test_unusual_vectors_windows_and_models_are_warned_of() -> None:
    data = replace(data_summary(TestSet.draw(50)), vector_norm=2.0, vector_cosine=0.1)
    spec = load_study("compare")
    assert list(warning_lines(spec, data)) == []
    few = load_study("compare", settings={"training.log_every": 9000})
    other = spec.model_copy(update={"own": {"bidirectional": {"model.layers": 1}}})
    for lines, parts in ((warning_lines(spec, replace(data, vector_norm=0.02)), ("0.02", "embedding.scale")),
                         (warning_lines(spec, replace(data, vector_cosine=0.87)), ("0.87", "embedding.trainable=true")),
                         (warning_lines(few, data), ("training.log_every",)),
                         (warning_lines(other, data), ("model.layers (torch 2, bidirectional 1)",))):
        (line,) = lines
        mentions(line, *parts)


def test_the_models_with_more_trials_than_asked_are_named_alone() -> None:
    searches = {model: SearchState(tuple(StoredTrial(n, "complete", {}) for n in range(trials)))
                for model, trials in (("scratch", 5), ("bidirectional", 1))}
    (line,) = record_lines(StudyState(load_study("smoke"), searches, {}))
    mentions(line, "3 trials", "5 of scratch")
    assert "bidirectional" not in line
