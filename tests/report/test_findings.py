"""What a report finds, as data, and claims on two models."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from gru_bench.document.report import Report
from gru_bench.errors import ExitCode, UsageError
from gru_bench.report.findings import judged
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study
from tests.support.reports import build

INSIDE = BEST | {"model.hidden_size": 128}


def reported(skills: dict[str, float], seeds: int = 5, examples: int = 300) -> Report:
    store = FakeStore()
    study = add_study(store, "grown", skills, seeds=seeds, best=INSIDE, test_set=TestSet.draw(examples))
    return build([study], store)


DIFFERENT = {"scratch": 0.2, "torch": 1.4}
EQUAL = {"scratch": 0.4, "torch": 0.4}


@pytest.fixture(scope="module")
def different() -> Report:
    """The report on a study whose models differ."""
    return reported(DIFFERENT)


@pytest.fixture(scope="module")
def equivalent() -> Report:
    """The report on a study whose models are equivalent."""
    return reported({"scratch": 2.0, "torch": 2.0}, 10, examples=2000)


@pytest.fixture(scope="module")
def undecided() -> Report:
    """The report on a study that settles nothing, though more seeds would do."""
    return reported(EQUAL, 5, examples=6000)


def test_findings_are_the_report_as_data(different: Report) -> None:
    found = different.findings
    pair = found.pairs[0]
    assert json.loads(json.dumps(asdict(found)))["pairs"][0]["better"] == "Torch GRU"
    assert (pair.a, pair.b, pair.models) == ("Torch GRU", "Scratch GRU", ("torch", "scratch"))
    assert pair.interval == "95 % interval"
    assert all(one.p is not None for one in found.pairs)
    assert [one.model for one in found.models] == ["scratch", "torch", "majority", "tfidf"]


@pytest.mark.parametrize(("claim", "code", "start"), [
    ("torch > scratch", ExitCode.DONE, "proven: Torch GRU is better"),
    ("scratch < torch", ExitCode.DONE, "proven: Torch GRU is better"),
    ("Scratch GRU > Torch GRU", ExitCode.NO, "refuted: Torch GRU is better")])
def test_a_claim_on_models_that_differ_is_proven_or_refuted(
    claim: str, code: ExitCode, start: str, different: Report
) -> None:
    found, (sentence,) = judged(claim, different.findings)
    assert found is code
    assert sentence.startswith(start)


def test_a_claim_that_is_not_settled_is_neither(undecided: Report) -> None:
    code, (sentence, *_) = judged("torch > scratch", undecided.findings)
    assert code is ExitCode.INCOMPLETE
    assert sentence.startswith("not settled: Inconclusive")


def test_a_claim_that_is_not_settled_says_how_many_test_texts_would_do() -> None:
    code, lines = judged("torch > scratch", reported(EQUAL, 6, examples=600).findings)
    assert code is ExitCode.INCOMPLETE
    assert "With these seeds, no number of test texts would detect" in lines[0]


def test_a_claim_on_equivalent_models_is_refuted(equivalent: Report) -> None:
    code, (sentence,) = judged("torch > scratch", equivalent.findings)
    assert code is ExitCode.NO
    assert sentence.startswith("equivalent: ")


@pytest.mark.parametrize(("claim", "words"), [
    ("torch", "--claim .*>.*torch"), ("a > b > c", "--claim .*a > b > c"),
    ("torch > bidirectional", "torch and bidirectional.*torch and scratch")])
def test_a_claim_that_names_no_pair_of_the_report_is_refused(claim: str, words: str, different: Report) -> None:
    with pytest.raises(UsageError, match=words):
        judged(claim, different.findings)


def test_a_claim_must_name_one_pair() -> None:
    store = FakeStore()
    studies = [add_study(store, name, DIFFERENT, best=INSIDE, test_set=TestSet.draw(100)) for name in ("one", "two")]
    with pytest.raises(UsageError, match="pairs are torch and scratch"):
        judged("torch > scratch", build(studies, store).findings)
