"""The section on data and runs shows each data set once, as the studies logged it."""

from __future__ import annotations

from dataclasses import replace

from gru_bench.document.blocks import Details, Heading
from gru_bench.report.sections.runs import runs
from gru_bench.results.runs import NearDuplicates, OnTest, digest_of_examples
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_data
from tests.support.renderings import Built, section_of, table_of, words_of
from tests.support.sections import build_only
from tests.support.values import present

PASSES = "passes over the training texts to train the vectors"


def test_data_that_studies_share_is_shown_once(built: Built) -> None:
    report, data = built.report, present(present(built.studies[0].summary).data)
    facts = dict(table_of(report, "data-1").rows)
    assert facts["training texts"].value == data.train
    assert set(facts["training texts"].runs) == {study.run.run_id for study in built.studies}
    assert facts["texts of the class positive over all splits, %"].text == f"{100 * data.positive_share:.1f}"
    assert facts["most tokens read of a text, from its start"].value == data.max_length
    assert facts["word vectors"] == "corpus"
    assert facts["fingerprint"] == data.fingerprint
    assert "texts left out by data.limit" not in facts
    assert PASSES not in facts
    heading, _, _, folded, *_ = section_of(report, "runs").blocks
    assert heading == Heading("movie-reviews", "data-1")
    assert isinstance(folded, Details)
    assert {name: number.value for name, number in table_of(report, "data-1-categories").rows} == data.categories


def test_the_table_counts_held_back_reviews_and_names_the_vectors_without_their_folder() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50, [""]))
    data = present(study.summary).data
    study = with_data(study, available=data.train + data.validation + data.test + 1234, max_length=None,
                      embedding="/home/me/vectors.bin", vector_passes=54)
    report = build_only([study], store, runs)
    facts = dict(table_of(report, "data-1").rows)
    assert facts["texts left out by data.limit"].text == "1,234"
    assert facts["most tokens read of a text, from its start"] == "all"
    assert facts["word vectors"] == "vectors.bin"
    assert facts[PASSES].text == "54"
    assert "category" not in words_of(report, "runs")


def test_the_studies_that_scored_the_test_reviews_until_the_newest_run_are_counted() -> None:
    store = FakeStore()
    here = TestSet.draw(50)
    one = add_study(store, "one", {"torch": 0.0}, seeds=2, test_set=here)
    other = add_study(store, "apart", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50, seed=1), fingerprint="other")
    alone = words_of(build_only([one], store, runs), "runs")
    assert "studies have used" not in alone
    add_study(store, "elsewhere", {"torch": 0.0}, seeds=2, test_set=here, experiment="elsewhere")
    later = add_study(store, "later", {"torch": 0.0}, seeds=2, test_set=here)
    place = store.by_experiment["movie-reviews"].index(later)
    store.by_experiment["movie-reviews"][place] = replace(later, confirms=tuple(
        replace(run, started=run.started + 1e6) for run in later.confirms))
    report = build_only([one], store, runs)
    mentions(words_of(report, "runs"), "2 studies have used", "If one was planned")
    assert report.source.on_test == {digest_of_examples(here.id_N): OnTest(
        (("elsewhere", "torch"), ("later", "torch"), ("one", "torch")), 2)}
    both = words_of(build_only([one, other], store, runs), "runs")
    assert both.count("studies have used") == 1


def test_groups_and_near_duplicates_are_counted() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50, [""]))
    data = present(study.summary).data
    study = with_data(study, available=data.train + data.validation + data.test + 30,
                      groups={"train": 90, "validation": 12, "test": 34}, near=NearDuplicates(30, 5, 6, removed=True))
    facts = dict(table_of(build_only([study], store, runs), "data-1").rows)
    assert [facts[f"groups of {split} texts"].value for split in ("training", "validation", "test")] == [90, 12, 34]
    assert facts["test texts with a near-duplicate in training"].value == 6
    assert facts["validation texts with a near-duplicate in training"].value == 5
    assert facts["training texts that are near-duplicates of them, removed"].value == 30
    assert "texts left out by data.limit" not in facts
