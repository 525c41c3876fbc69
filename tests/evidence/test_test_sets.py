"""A report names the other models of the store that were scored on its test examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.document.blocks import Paragraph
from gru_bench.evidence.collect import collect
from gru_bench.report import verify
from gru_bench.report.render import files, record
from gru_bench.report.sections.summary import others_on_test, summary
from gru_bench.results.runs import OnTest, digest_of_examples
from gru_bench.stats.verdict import adjusted_tests
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import said
from tests.support.reports import build

REVIEWS = TestSet.draw(300)


@pytest.fixture
def store() -> FakeStore:
    """A store with a study of two models, and two other studies on the same test reviews in other experiments."""
    store = FakeStore()
    add_study(store, "pair", {"torch": 0.0, "scratch": 0.2}, test_set=REVIEWS, search=False)
    add_study(store, "other", {"torch": 0.0}, test_set=REVIEWS, search=False, experiment="elsewhere")
    add_study(store, "larger", {"bidirectional": 0.0}, test_set=REVIEWS, search=False, experiment="amazon",
              fingerprint="other")
    add_study(store, "apart", {"bidirectional": 0.0}, test_set=TestSet.draw(300, seed=1), search=False,
              experiment="amazon", fingerprint="another")
    return store


def test_a_digest_is_that_of_the_examples_whatever_their_order() -> None:
    ids = REVIEWS.id_N
    assert digest_of_examples(ids) == digest_of_examples(ids[::-1])
    assert digest_of_examples(ids) != digest_of_examples(ids[1:])
    assert len(digest_of_examples(ids)) == 16


def test_models_of_other_studies_are_named_and_change_no_verdict(store: FakeStore) -> None:
    (study,) = store.studies("movie-reviews")
    evidence = collect([study], store)
    test_set, (pair,) = evidence.test_set, evidence.compared
    assert (test_set.size, pair.family, pair.design and pair.design.family) == (4, 1, 1)
    alone = FakeStore({"movie-reviews": [study]}, store.metrics, store.predicted)
    (single,) = collect([study], alone).compared
    assert [pair.tests] == [single.tests] == adjusted_tests([pair.difference])
    assert others_on_test(collect([study], alone)) == ()
    mentions(said(others_on_test(evidence)[0]), "2 other models", "these test texts",
             "(Bidirectional GRU of larger and Torch GRU of other)", "this report alone")
    *_, notes = (block for block in summary(evidence) if isinstance(block, Paragraph))
    assert said(others_on_test(evidence)[0]) in said(notes.text)


def test_studies_that_are_run_later_leave_a_report_true(store: FakeStore, tmp_path: Path) -> None:
    report = build(store.studies("movie-reviews"), store, experiment="movie-reviews", tracking_uri=store.uri)
    files.write(report, tmp_path)
    add_study(store, "later", {"torch": 0.0}, test_set=REVIEWS, search=False, experiment="later")
    written = record.read(tmp_path)
    assert written.on_test == {digest_of_examples(REVIEWS.id_N): OnTest(
        (("larger", "bidirectional"), ("other", "torch"), ("pair", "scratch"), ("pair", "torch")), 3)}
    assert verify.differences(tmp_path, written, store) == []
