"""The conclusion on the homework's claim follows from the verdicts, and what was learnt from these runs."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gru_bench.evaluation.statistics import Finding
from gru_bench.report.build import build
from gru_bench.report.evidence.collect import collect
from gru_bench.report.homework.discussion import BECOMES
from gru_bench.report.sections.comparisons import comparison_sentence
from tests.support.homework_study import homework, homework_report
from tests.support.renderings import Built, said, section_of, words_of
from tests.support.values import present


def test_the_networks_stand_beside_a_linear_model_and_the_kernel_beside_the_loop(made: Built) -> None:
    _, (study,), report = made
    text = words_of(report, "discussion")
    linear = max(baseline.test_accuracy for baseline in present(study.summary).baselines)
    assert f"classifies {100 * linear:.1f} % of these test reviews correctly: " in text
    assert "the same weights take 12.0 times as long in the readable loop" in text


@pytest.mark.parametrize(
    ("skills", "words"),
    [
        ({"scratch": 0.0, "torch": 0.0, "bidirectional": 0.3}, "holds up against Scratch GRU and Torch GRU"),
        ({"scratch": 0.3, "torch": 0.3, "bidirectional": 0.0}, "is contradicted against Scratch GRU and Torch GRU"),
        ({"scratch": 0.0, "torch": 0.3, "bidirectional": 0.3}, "holds up against Scratch GRU; it "),
    ],
)
def test_the_conclusion_follows_from_the_verdicts(skills: dict[str, Any], words: str) -> None:
    store, studies = homework(skills=skills, seeds=6)
    report = build(studies, store)
    (sentence,) = section_of(report, "discussion").summary
    conclusion, text = said(sentence), words_of(report, "discussion")
    assert sentence == report.summary[-1]
    assert f"Conclusion. {conclusion}" in text
    assert f"the claim that the bidirectional GRU is better {words}" in conclusion
    evidence = collect(studies, store)
    for compared in evidence.compared:
        verdict = said(comparison_sentence(evidence, compared))
        concerns = "bidirectional" in (compared.a.model, compared.b.model)
        assert (verdict in text) == concerns
        if concerns:
            behind = compared.b.model == "bidirectional"
            other = compared.a if behind else compared.b
            becomes = BECOMES[compared.verdict.finding][behind]
            assert re.search(rf"{becomes} against [^;]*{other.label}", conclusion)


def test_every_finding_has_its_word() -> None:
    assert set(BECOMES) == set(Finding)
    assert all(becomes == "stays open" for finding in (Finding.INCONCLUSIVE, Finding.TOO_FEW_SEEDS)
               for becomes in BECOMES[finding])


def test_few_seeds_leave_the_claim_open() -> None:
    assert "stays open against Scratch GRU and Torch GRU" in said(homework_report(seeds=2).summary[-1])


def test_a_study_without_a_bidirectional_model_does_not_speak_of_it() -> None:
    report = homework_report(skills={"scratch": 0.0, "torch": 0.1})
    assert "says nothing about the claim" in said(report.summary[-1])
