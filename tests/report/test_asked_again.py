"""A question that several studies ask: p is multiplied by their number, whichever of them a report is on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gru_bench.evidence.collect import collect
from gru_bench.evidence.pairs import Pair
from gru_bench.report import verify
from gru_bench.report.render import files, record
from gru_bench.report.sections.summary import about_examples
from gru_bench.stats.verdict import adjusted_tests
from gru_bench.tracking import AGAIN, LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_validation
from tests.support.renderings import said
from tests.support.reports import build
from tests.support.values import present

REVIEWS = TestSet.draw(600)
SKILLS = {"torch": 0.0, "bidirectional": 0.2}


def added(store: FakeStore, name: str, again: LoggedStudy | None = None) -> LoggedStudy:
    """Add a study of two models, which asks the question of another one again, if one is given."""
    study = add_study(store, name, SKILLS, seeds=5, test_set=REVIEWS, search=False)
    if again is not None:
        confirms = tuple(replace(run, tags={**run.tags, AGAIN: again.original}) for run in study.confirms)
        study = replace(study, confirms=confirms)
    study = with_validation(store, study)
    store.by_experiment["movie-reviews"] = [
        *(one for one in store.by_experiment["movie-reviews"] if one.name != name), study]
    return study


def ps(pair: Pair) -> tuple[float, float]:
    return present(pair.tests).different, present(pair.tests).equivalent


@pytest.mark.parametrize("judged", [0, 1, 2])
def test_p_of_each_study_is_multiplied_by_the_number_of_studies(judged: int) -> None:
    """Also of the original, and of pairs with the linear model and with the average."""
    store = FakeStore()
    studies = [first := added(store, "first")]
    studies.append(more := added(store, "more", again=first))
    studies.append(added(store, "most", again=more))
    assert len({study.original for study in studies}) == 1
    evidence = collect([studies[judged]], store)
    assert evidence.test_set.asked == {first.run.run_id: 3}
    for pairs in (evidence.compared, evidence.against, evidence.taken):
        assert pairs
        once = adjusted_tests([pair.difference for pair in pairs], evidence.margin.value)
        for pair, tests in zip(pairs, once, strict=True):
            one = present(tests)
            assert ps(pair) == pytest.approx([min(1, 3 * p) for p in (one.different, one.equivalent)])
            assert "times 3 because 3 studies ask the question" in pair.number("p").method
            assert pair.number("detectable").value == pair.difference.detectable(3 * pair.family)
    mentions(" ".join(map(said, about_examples(evidence))), studies[judged].name, "3 studies", "--again",
             "multiplied by 3")


def test_a_question_that_is_asked_once_has_p_as_it_is() -> None:
    """A second study counts once it has a complete confirmation run, and a study of its own question never."""
    store = FakeStore()
    first = added(store, "first")
    added(store, "other")
    more = added(store, "more", again=first)
    unfinished = replace(more, confirms=tuple(replace(run, complete=False) for run in more.confirms))
    store.by_experiment["movie-reviews"].remove(more)
    store.by_experiment["movie-reviews"].append(unfinished)
    evidence = collect([first], store)
    (pair,) = evidence.compared
    assert (evidence.test_set.asked, pair.asked) == ({}, 1)
    assert [pair.tests] == adjusted_tests([pair.difference], evidence.margin.value)
    assert "--again" not in " ".join(map(said, about_examples(evidence)))


def test_a_study_whose_original_is_in_another_store_asks_twice() -> None:
    store = FakeStore()
    more = added(store, "more", again=added(FakeStore(), "first"))
    assert collect([more], store).compared[0].asked == 2


def test_a_report_stays_true_when_its_question_is_asked_again(tmp_path: Path) -> None:
    store = FakeStore()
    first = added(store, "first")
    added(store, "more", again=first)
    report = build([first], store, experiment="movie-reviews", tracking_uri=store.uri)
    files.write(report, tmp_path)
    added(store, "most", again=first)
    written = record.read(tmp_path)
    assert [one.asked for one in written.on_test.values()] == [{first.run.run_id: 2}]
    assert verify.differences(tmp_path, written, store) == []
