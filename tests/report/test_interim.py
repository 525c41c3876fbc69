"""Studies with interim analyses in a report: the plan's verdict, what departs from it, findings as data, claims."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from gru_bench.checks import of_logged
from gru_bench.errors import ExitCode, RunError, UsageError
from gru_bench.report.document.report import Report
from gru_bench.report.findings import judged
from gru_bench.results.interim import INTERIM, PLAN, InterimAnalysis, InterimPlan, interim_json
from gru_bench.results.runs import parsed
from gru_bench.tracking import LoggedStudy
from tests.support.checks import warnings_of
from tests.support.commands import mentions
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, under_way, with_interim, with_validation
from tests.support.renderings import all_said, figure_of, said, table_of, words_of
from tests.support.reports import build

INSIDE = BEST | {"model.hidden_size": 128}


def studied(
    skills: dict[str, float], planned: Sequence[int] = (5, 8), taken: int = 1, *, examples: int = 300, **options: Any,
) -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    study = add_study(store, "grown", skills, seeds=planned[taken - 1], best=INSIDE,
                      test_set=TestSet.draw(examples), **options)
    return store, with_interim(store, study, planned, taken)


DIFFERENT = {"scratch": 0.2, "torch": 1.4}
EQUAL = {"scratch": 0.4, "torch": 0.4}
OPEN = 4000
"""Test examples with which two equal models are not settled yet, but more seeds would do."""


def reported(store: FakeStore, study: LoggedStudy) -> Report:
    return build([study], store)


def summary_of(report: Report) -> str:
    return all_said(report.in_short)


@pytest.fixture(scope="module")
def different() -> Report:
    """The report on a study whose models differ, which its first interim analysis showed."""
    return reported(*studied(DIFFERENT))


@pytest.fixture(scope="module")
def equivalent() -> Report:
    """The report on a study whose models are equivalent, which its first interim analysis showed."""
    return reported(*studied({"scratch": 2.0, "torch": 2.0}, (10, 20), 1, examples=2000))


@pytest.fixture(scope="module")
def undecided() -> Report:
    """The report on a study whose interim analyses settled nothing, though more seeds would do."""
    return reported(*studied(EQUAL, (5, 6), 2, examples=OPEN))


def test_the_numbers_of_an_interim_analysis_come_from_its_own_runs(undecided: Report) -> None:
    def found(other: str) -> dict[str, tuple[int, int | None]]:
        return {key.partition(".interim-")[2]: (len(one.runs), one.examples) for key, one in undecided.numbers.items()
                if ".interim-" in key and key.startswith("pair.grown-") and other in key}

    assert found("grown-scratch.grown-torch") == {
        "1": (10, OPEN), "1.place": (10, None), "1.seeds": (10, None), "1.boundary": (10, OPEN),
        "2": (12, OPEN), "2.place": (12, None), "2.seeds": (12, None), "2.boundary": (12, OPEN)}
    assert found("grown-torch.baseline-tfidf") == {
        "1": (6, OPEN), "1.place": (6, None), "1.seeds": (6, None), "1.boundary": (6, OPEN),
        "2": (7, OPEN), "2.place": (7, None), "2.seeds": (7, None), "2.boundary": (7, OPEN)}


def test_the_repeated_interval_is_the_headline_and_the_usual_one_is_folded(different: Report) -> None:
    report = different
    mentions(summary_of(report), "Torch GRU is better than Scratch GRU", "(repeated 95 % interval ",
             "interim analysis 1 of 2")
    numbers = report.numbers
    theta = next(one for key, one in numbers.items() if key.endswith(".difference"))
    usual = next(one for key, one in numbers.items() if key.endswith(".usual"))
    assert theta.low is not None
    assert usual.low is not None
    assert theta.value == usual.value
    assert theta.low < usual.low
    mentions(words_of(report, "comparisons"), "stopped after analysis 1", "5, 8 seeds", "too narrow")
    assert [figure.name for figure in report.figures if figure.name.startswith("interim")] == ["interim-grown"]


def test_the_figure_has_each_interim_analysis_with_its_boundary() -> None:
    store, study = studied(EQUAL, (5, 6, 7), 3, examples=600)
    report = reported(store, study)
    figure = figure_of(report, "interim-grown")
    rows = figure.values.csv().splitlines()
    assert rows[0] == "pair,interim,seeds,difference,low,high,boundary,finding"
    assert len(rows) == 1 + 3 * 3
    assert figure.svg.count("<svg") == 1
    mentions(summary_of(report), "open after interim analysis 3 of 3")


def test_a_mixture_that_no_analysis_waits_for_is_no_settled_pair() -> None:
    store = FakeStore()
    study = with_validation(store, add_study(store, "grown", {"torch": -0.8, "bidirectional": 0.35}, seeds=5,
                                             test_set=TestSet.draw(600)))
    report = reported(store, with_interim(store, study, (5, 10), 1))
    assert [pair.settled for pair in report.findings.pairs if "mixture" in pair.models] == [True, False]
    mentions(words_of(report, "comparisons"), "because every pair was settled; pairs of the mixture are not waited for")


def test_repeated_intervals_are_not_called_unadjusted(different: Report) -> None:
    captions = figure_of(different, "differences").caption, said(table_of(different, "verdicts").caption)
    for caption in captions:
        assert "repeated 95 % intervals" in caption
        assert "adjusted 95" not in caption


def test_equal_models_are_equivalent_by_the_interval_of_their_interim_analysis(equivalent: Report) -> None:
    mentions(summary_of(equivalent), "are equivalent within 1.0 points", "settled at interim analysis 1 of 2")


def test_a_plan_that_was_followed_has_no_warning() -> None:
    store, study = studied(DIFFERENT)
    assert not warnings_of(of_logged([study], store), "GRU013")


@pytest.mark.parametrize(("spoil", "words"), [
    ("digest", "match its digest"),
    ("data", "different data"),
    ("sizes", "interim analysis 1 does not follow the plan"),
    ("missing", "interim analysis 1 has 1 seed of Torch GRU fewer"),
    ("found", "nothing settled"),
    ("lost", "gone (torch 1099)"),
    ("extra", "(seeds 1004)"),
])
def test_each_departure_from_the_plan_is_warned_of(spoil: str, words: str) -> None:
    store, study = studied(DIFFERENT)
    key = study.run.run_id
    plan, _ = InterimPlan.from_json(store.artifacts[key, PLAN])
    (analysis,) = parsed(list[InterimAnalysis], store.artifacts[key, INTERIM])
    if spoil == "digest":
        values = json.loads(store.artifacts[key, PLAN])
        store.artifacts[key, PLAN] = json.dumps({**values, "margin": 0.02})
    elif spoil == "data":
        store.artifacts[key, PLAN] = replace(plan, data="others").to_json()
    elif spoil == "sizes":
        store.artifacts[key, PLAN] = replace(plan, interim=(4, 8)).to_json()
    else:
        torch = {"missing": analysis.seeds["torch"][:4], "lost": (*analysis.seeds["torch"][:4], 1099),
                 "extra": analysis.seeds["torch"][:4]}.get(spoil, analysis.seeds["torch"])
        settled = () if spoil == "found" else analysis.settled
        store.artifacts[key, INTERIM] = interim_json(
            [replace(analysis, seeds={**analysis.seeds, "torch": torch}, settled=settled)])
    found = warnings_of(of_logged([study], store), "GRU013")
    assert any(words in one.text for one in found), found
    assert "(GRU013)" in all_said(reported(store, study).warnings)


def test_models_of_other_studies_are_not_compared_with_those_of_a_study_with_interim_analyses() -> None:
    store, study = studied(DIFFERENT)
    plain = add_study(store, "plain", {"bidirectional": 0.4, "rnn": 0.4}, best=INSIDE, test_set=TestSet.draw(300))
    report = build([study, plain], store)
    assert [({*pair.models}, pair.interim) for pair in report.findings.pairs if "tfidf" not in pair.models] == [
        ({"torch", "scratch"}, 1), ({"bidirectional", "rnn"}, None)]
    assert {pair.models[0]: pair.interim for pair in report.findings.pairs if "tfidf" in pair.models} == {
        "scratch": 1, "torch": 1, "bidirectional": None, "rnn": None}
    assert words_of(report, "comparisons").count("a study with interim analyses") >= 4  # of one study and the other


def test_comparisons_with_the_linear_model_are_part_of_the_plan_or_get_no_verdict() -> None:
    """Its pairs are a second family at the same analyses; a plan without them gives none, rather than a test at 5 %."""
    store, study = studied(DIFFERENT)
    key = study.run.run_id
    pairs = reported(store, study).findings.pairs
    assert [(pair.models, pair.family, pair.interim, pair.interim_planned, pair.p) for pair in pairs] == [
        (("torch", "scratch"), 1, 1, 2, None), (("scratch", "tfidf"), 2, 1, 2, None),
        (("torch", "tfidf"), 2, 1, 2, None)]
    assert pairs[1].interval == "repeated 95 % interval"
    plan, _ = InterimPlan.from_json(store.artifacts[key, PLAN])
    store.artifacts[key, PLAN] = replace(plan, is_with_linear=False).to_json()
    report = reported(store, study)
    assert [pair.models for pair in report.findings.pairs] == [("torch", "scratch")]
    mentions(words_of(report, "comparisons"), "the plan of interim analyses does not include the linear model")


def test_before_the_first_interim_analysis_there_is_no_verdict() -> None:
    store, study = studied(DIFFERENT)
    del store.artifacts[study.run.run_id, INTERIM]
    report = reported(store, under_way(store, study))
    mentions(summary_of(report), "No verdict", "no interim analysis is done yet")
    assert report.findings.pairs[0].settled is False


def test_the_interval_of_too_few_seeds_is_the_usual_one_and_is_called_so() -> None:
    report = reported(*studied(DIFFERENT, (2, 4), 2))
    mentions(summary_of(report), "No verdict on Torch GRU and Scratch GRU from 4 seeds", "(95 % interval ")
    assert report.findings.pairs[0].interval == "95 % interval"


def test_the_margin_of_a_plan_cannot_be_replaced() -> None:
    store, study = studied(DIFFERENT)
    assert build([study], store, margin=0.01).findings.pairs[0].margin == 0.01
    with pytest.raises(UsageError, match=r"margin .*plan"):
        build([study], store, margin=0.05)


def test_damaged_plans_are_named() -> None:
    store, study = studied(DIFFERENT)
    store.artifacts[study.run.run_id, PLAN] = "{}"
    with pytest.raises(RunError, match=r"must contain plan\.json as it was logged"):
        reported(store, study)
    del store.artifacts[study.run.run_id, PLAN]  # it is not taken for a study of one size, whose level is another
    with pytest.raises(RunError, match=r"must contain plan\.json as it was logged"):
        reported(store, study)


def test_a_new_confirm_set_of_a_study_with_interim_analyses_has_no_interim_analyses(undecided: Report) -> None:
    commands = " ".join(undecided.findings.next_commands)
    assert "--confirm " in commands
    assert "--interim" not in commands
    step = undecided.findings.pairs[0].next_step
    mentions(step, "new test texts", "0.025")
    for absent in ("plan interim", "old and the new models"):
        assert absent not in step


def test_findings_are_the_report_as_data(different: Report) -> None:
    found = different.findings
    pair = found.pairs[0]
    assert json.loads(json.dumps(asdict(found)))["pairs"][0]["better"] == "Torch GRU"
    assert (pair.a, pair.b, pair.models) == ("Torch GRU", "Scratch GRU", ("torch", "scratch"))
    assert (pair.interim, pair.interim_planned, pair.interval, pair.p) == (1, 2, "repeated 95 % interval", None)
    assert [one.model for one in found.models] == ["scratch", "torch", "majority", "tfidf"]
    store = FakeStore()
    plain = add_study(store, "plain", DIFFERENT, best=INSIDE, test_set=TestSet.draw(200))
    for usual in build([plain], store).findings.pairs:
        assert (usual.interim, usual.interval) == (None, "95 % interval")
        assert usual.p is not None


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


def test_a_claim_that_is_not_settled_says_how_to_go_on(undecided: Report) -> None:
    code, (sentence, _, command, *_) = judged("torch > scratch", undecided.findings)
    assert code is ExitCode.INCOMPLETE
    assert sentence.startswith("not settled: Inconclusive")
    assert command.strip().startswith("gru-bench sweep --again grown ")


def test_a_claim_that_no_seeds_would_settle_asks_for_more_test_examples() -> None:
    code, lines = judged("torch > scratch", reported(*studied(EQUAL, (5, 6), 2, examples=600)).findings)
    assert code is ExitCode.INCOMPLETE
    assert "new test texts" in lines[0]


def test_a_claim_on_equivalent_models_is_refuted(equivalent: Report) -> None:
    code, (sentence,) = judged("torch > scratch", equivalent.findings)
    assert code is ExitCode.NO
    assert sentence.startswith("equivalent: ")


@pytest.mark.parametrize(("claim", "words"), [
    ("torch", "--claim .*>.*torch"), ("a > b > c", "--claim .*a > b > c"),
    ("torch > rnn", "torch and rnn.*torch and scratch")])
def test_a_claim_that_names_no_pair_of_the_report_is_refused(claim: str, words: str, different: Report) -> None:
    with pytest.raises(UsageError, match=words):
        judged(claim, different.findings)


def test_a_claim_must_name_one_pair() -> None:
    store = FakeStore()
    studies = [add_study(store, name, DIFFERENT, best=INSIDE, test_set=TestSet.draw(100)) for name in ("one", "two")]
    with pytest.raises(UsageError, match="pairs are torch and scratch"):
        judged("torch > scratch", build(studies, store).findings)
