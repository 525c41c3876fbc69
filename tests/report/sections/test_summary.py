"""The start of a report: accuracies, verdicts, the decision, and the checks by count."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gru_bench.checks import CHECKS, State, Subject, of_logged, outcomes
from gru_bench.document.blocks import Bullets, Details, Paragraph, Table
from gru_bench.document.figure import Figure
from gru_bench.document.numbers import MISSING
from gru_bench.document.report import Report
from gru_bench.evidence.collect import collect
from gru_bench.evidence.pairs import by_score
from gru_bench.report.sections.comparisons import comparisons
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.methods import methods
from gru_bench.report.sections.summary import MOST_WARNINGS, check_results, few_texts, summary
from tests.support.commands import mentions
from tests.support.fake_store import (
    FakeStore,
    TestSet,
    add_study,
    correct,
    many_studies,
    one_each,
    three_models,
    with_answers,
    with_params,
    with_validation,
)
from tests.support.renderings import Built, all_said, column_of, said, section_of, table_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only
from tests.support.values import present


def decision_of(report: Report) -> str:
    (paragraph,) = (block for block in section_of(report, "summary").blocks
                    if isinstance(block, Paragraph) and block.lead == "Decision.")
    return said(paragraph.text)


Items = tuple[tuple[str, str], ...]


def checks_of(report: Report) -> tuple[str, Items, Items]:
    """Return the line of the checks, the warnings, and what is folded below."""
    line, warnings, details = section_of(report, "summary").blocks[-4:-1]
    assert isinstance(line, Paragraph)
    assert isinstance(warnings, Bullets)
    assert isinstance(details, Details)
    (folded,) = details.blocks
    assert isinstance(folded, Bullets)
    first, second = (tuple((lead, said(text)) for lead, text in one.items) for one in (warnings, folded))
    return said(line.text), first, second


def test_the_summary_has_the_figure_the_decision_the_verdicts_and_the_checks(built: Built) -> None:
    blocks = section_of(built.report, "summary").blocks
    assert built.report.sections[0].name == "summary"
    kinds = [type(block) for block in blocks]
    # None is chosen, so that there are all pairs of what can be taken.
    assert kinds[:5] == [Paragraph, Table, Table, Table, Figure]
    assert kinds[-4:] == [Paragraph, Bullets, Details, Paragraph]
    assert isinstance(blocks[4], Figure)
    assert blocks[4].name == "differences"
    assert isinstance(blocks[-1], Paragraph)
    assert blocks[-1].lead == "Question."
    # Three studies with the same question ask it once.
    assert said(blocks[-1].text) == "Which pooling and size suit the GRU best?"
    assert decision_of(built.report) == said(built.report.in_short[0])


def test_two_codes_of_one_function_are_said_to_be_so(built: Built) -> None:
    store, studies, report = built
    said_so = "compute the same function by different code"
    assert {"scratch", "torch"} <= {group.model for group in collect(studies, store).groups}
    assert said_so in words_of(report, "summary")
    other = FakeStore()
    alone = add_study(other, "alone", {"torch": 0.4, "bidirectional": 0.4}, test_set=TestSet.draw(50))
    assert said_so not in words_of(build([alone], other), "summary")


def test_where_none_is_chosen_all_pairs_of_what_can_be_taken_are_shown(built: Built) -> None:
    store, studies, report = built
    evidence = collect(studies, store)
    assert evidence.candidates.chosen is None
    assert len(evidence.taken) == math.comb(len(evidence.candidates.every), 2)
    assert "Lead of the first" not in [column.heading for column in table_of(report, "candidates").columns]
    for row, pair in zip(table_of(report, "candidate-pairs").rows, by_score(evidence.taken), strict=True):
        assert (row[0], row[1], row[3]) == (pair.label, pair.number("difference"), pair.p)


def test_each_pair_of_models_and_each_model_with_the_linear_one_is_a_row_of_the_verdicts(built: Built) -> None:
    store, studies, report = built
    evidence = collect(studies, store)
    table = table_of(report, "comparisons")
    for row, pair in zip(table.rows, [*by_score(evidence.compared), *by_score(evidence.against)], strict=True):
        assert row[0] == pair.label
        assert (row[1], row[3]) == (pair.number("difference"), pair.p)
    assert said(table.rows[1][2]).startswith("better")
    different = present(evidence.pairs[1].tests).different
    assert (table.rows[1][3].value, table.rows[1][3].method) == (different, "two-sided, Holm over 3 pairs")
    assert [row[0].partition(" − ")[0] for row in table.rows[3:]] == [
        "Bidirectional GRU", "Torch GRU", "Scratch GRU"]


@pytest.mark.parametrize(("skill", "verdict"), [
    (0.0, "inconclusive"), (0.6, "better"), (-0.6, "worse")])
def test_each_model_has_a_sentence_on_the_linear_one_and_settled_ones_come_first(skill: float, verdict: str) -> None:
    store, test_set = FakeStore(), TestSet.draw(1000)
    study = add_study(store, "two", {"torch": skill, "scratch": 0.0}, test_set=test_set)
    right_N = correct(store, [run for run in study.confirms if run.model == "scratch"])[0]
    report, linear = build_only([with_answers(store, study, right_N)], store), "TF-IDF"
    rows = {row[0]: said(row[2]) for row in table_of(report, "comparisons").rows}
    assert len(rows) == 3
    assert rows[f"Torch GRU − {linear}"].startswith(verdict)
    sentences = [said(one) for one in report.in_short[1:]]
    assert sum(linear in sentence for sentence in sentences) == 2
    is_open = [sentence.startswith("Inconclusive") for sentence in sentences]
    assert is_open == sorted(is_open)


def test_a_model_that_is_found_worse_is_called_so() -> None:
    store, studies = one_each({"torch": 0.5, "scratch": 0.0}, test_set=TestSet.draw(1000))
    report = build_only([with_params(study, metric="macro_f1") for study in studies], store)
    ((_, theta, found, p, *_), *_) = table_of(report, "comparisons").rows
    assert theta.value > 0
    assert p.value < 0.05
    assert said(found).startswith("better")


def test_costs_of_a_candidate_are_sums_over_its_seeds_and_models() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0, "bidirectional": 0.1}, test_set=TestSet.draw(300))
    report = build([with_validation(store, study)], store)
    rows = {row[0].removesuffix(" (all seeds)"): row for row in table_of(report, "candidates").rows}
    for place, key in ((5, "size/parameters"), (6, "time/train_seconds"), (7, "time/predict_seconds")):
        of_model = {model: sum(run.metrics[key] for run in study.runs if run.model == model and run.complete and (
            run.role in ("confirm", "baseline"))) for model in ("torch", "bidirectional", "tfidf")}
        assert {name: row[place].value for name, row in rows.items()} == pytest.approx({
            "Torch GRU": of_model["torch"], "Bidirectional GRU": of_model["bidirectional"],
            "TF-IDF": of_model["tfidf"], "average": of_model["bidirectional"] + of_model["tfidf"]})
    linear = study.baselines[1]
    unknown = replace(linear, metrics={key: value for key, value in linear.metrics.items() if key != "size/parameters"})
    other = with_validation(store, replace(study, baselines=(study.baselines[0], unknown)))
    assert column_of(build([other], store), "candidates", "Parameters").count(MISSING) == 2


def test_all_of_many_pairs_are_in_the_table() -> None:
    store, studies = many_studies(5, TestSet.draw(100), skill=0.05)
    report = build_only(studies, store, comparisons)
    evidence = collect(studies, store)
    names = [pair.label for pair in by_score(evidence.compared)]
    shown = column_of(report, "comparisons", "Pair")
    assert shown[:10] == names
    assert len(shown) == 15  # and five with the linear model
    assert sum(": " in sentence for sentence in map(said, report.in_short)) >= 10


@pytest.mark.parametrize(("seeds", "warning", "qualifier", "sentence"), [
    (1, "only 1 seed: its interval covers test texts only", "these runs only", "in these runs"),
    (2, "only 2 seeds: too few for equivalence and claims", "few seeds", "with few seeds"),
    (3, "only 3 seeds: too few for equivalence", "few seeds", "with few seeds"),
])
def test_verdicts_of_fewer_than_five_seeds_are_labelled(
    seeds: int, warning: str, qualifier: str, sentence: str
) -> None:
    store, studies = three_models(seeds=seeds, test_set=TestSet.draw(300))
    report = build_only(studies, store, evaluation, comparisons)
    assert warning in all_said(report.warnings)
    verdicts = [text for text in map(said, report.in_short) if sentence in text.lower()]
    assert len(verdicts) == 6
    assert MISSING not in {p.text for p in column_of(report, "comparisons", "p")}
    assert all(said(found).endswith(qualifier) for found in column_of(report, "comparisons", "Verdict"))
    assert all(number.low is not None for number in column_of(report, "comparisons", "Difference"))
    numbers = report.numbers
    assert (numbers["scratch-scratch.accuracy"].low is None) == (seeds == 2)


@pytest.mark.parametrize("size", [199, 200])
def test_fewer_than_two_hundred_test_reviews_cause_a_warning(size: int) -> None:
    store, studies = one_each({"torch": 0.0}, seeds=2, test_set=TestSet.draw(size))
    report = build_only(studies, store)
    _, warnings, _ = checks_of(report)
    assert ("few test texts: 199" in all_said(report.warnings)) == (size == 199)
    assert ("few test texts: 199" in warnings[0][1]) == (size == 199)


def test_where_no_check_warns_this_is_said() -> None:
    passed = [replace(one, warnings=(), state=State.PASSED) for one in outcomes(Subject())]
    checks = check_results((), passed, ())[0]
    assert isinstance(checks, Paragraph)
    assert said(checks.text) == f"No checks warn, {len(passed)} passed."


def test_checks_are_counted_and_each_that_warns_has_a_line_with_its_sentences_and_remedy_folded() -> None:
    store, studies = three_models(seeds=3, test_set=TestSet.draw(100))
    report = build(studies, store)
    line, warnings, folded = checks_of(report)
    found = outcomes(of_logged(studies, store))
    warned = [one for one in found if one.warnings]
    passed, idle = ([one.check.code for one in found if one.state is state]
                    for state in (State.PASSED, State.NOT_APPLICABLE))
    others = len(report.warnings) - sum(len(one.warnings) for one in warned)
    assert [lead for lead, _ in warnings[:others]] == [""] * others  # what no check gives comes first
    for (code, text), one in zip(warnings[others:MOST_WARNINGS], warned, strict=False):
        assert code == one.check.code
        assert text.startswith(one.check.title)
        assert [label for label in ("Scratch GRU", "Torch GRU", "Bidirectional GRU") if label in text] == [
            label for label in ("Scratch GRU", "Torch GRU", "Bidirectional GRU")
            if any(warning.text.startswith(label) for warning in one.warnings)]
    mentions(line, f"{len(warned)} checks warn", f"{len(passed)} passed", f"{others} more warning")
    assert "not applicable" not in line
    assert len(warned) + len(passed) + len(idle) == len(CHECKS)
    for (code, text), one in zip(folded[:-1], warned, strict=True):
        assert code == one.check.code
        mentions(text.replace("\N{NO-BREAK SPACE}", " "), *(warning.text for warning in one.warnings),
                 CHECKS[code].remedy)
    assert folded[-1][1] == ", ".join(passed)  # those that do not apply are not there


def test_of_many_warnings_five_are_shown_and_the_others_folded() -> None:
    others = [(f"Warning {place}.",) for place in range(7)]
    _, shown, details = check_results(others, outcomes(Subject()), [])
    assert isinstance(shown, Bullets)
    assert isinstance(details, Details)
    assert [said(text) for _, text in shown.items] == [
        *(f"Warning {place}." for place in range(5)), "And 2 more, below."]
    (folded,) = details.blocks
    assert isinstance(folded, Bullets)
    assert [said(text) for _, text in folded.items[:2]] == ["Warning 5.", "Warning 6."]


def test_how_many_seeds_may_fail_unseen_stands_with_the_methods_alone() -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.0, "scratch": 0.0}, test_set=TestSet.draw(600), seed=1)
    report = build_only([study], store, methods, margin=0.2)
    assert said(table_of(report, "comparisons").rows[0][2]).startswith("equivalent within 20")
    assert "45" not in words_of(report, "summary") + all_said(report.in_short)
    assert report.numbers["methods.unseen"].text == "45"
    assert np.isclose(1 - 0.05 ** (1 / 5), 0.45, atol=0.005)


def test_the_caption_of_the_verdicts_names_the_families_that_there_are_and_a_choice_that_was_made() -> None:
    store = FakeStore()
    study = add_study(store, "two", {"torch": 0.1, "scratch": 0.0}, test_set=TestSet.draw(60))
    unscored = replace(study, baselines=tuple(replace(run, metrics={
        key: value for key, value in run.metrics.items() if "val" not in key}) for run in study.baselines))
    captions = [said(next(block for block in summary(collect([one], store))
                          if isinstance(block, Table) and block.key == "comparisons").caption)
                for one in (unscored, replace(study, baselines=()), with_validation(store, study))]
    assert ["linear model" in one for one in captions] == [True, False, True]
    assert ["on validation" in one for one in captions] == [False, False, True]


def test_the_weight_of_a_text_is_said_in_points_of_accuracy_for_accuracy_alone() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(60))
    for metric, is_said in (("accuracy", True), ("log_loss", False)):
        (warning,) = few_texts(collect([with_params(study, metric=metric)], store))
        assert ("points of accuracy" in said(warning)) == is_said
