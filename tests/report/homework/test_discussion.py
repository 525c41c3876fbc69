"""The conclusion on the homework's claim follows from the verdicts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gru_bench.report.evidence.collect import collect
from gru_bench.report.homework.discussion import BECOMES, discussion
from gru_bench.stats.verdict import Finding
from tests.support.commands import mentions
from tests.support.homework_study import conclusions_of, homework, homework_report
from tests.support.sections import build_only


@pytest.mark.parametrize(("skills", "words"), [
    ({"scratch": 0.0, "torch": 0.0, "bidirectional": 0.3}, "is confirmed against Scratch GRU and Torch GRU"),
    ({"scratch": 0.3, "torch": 0.3, "bidirectional": 0.0}, "is contradicted against Scratch GRU and Torch GRU"),
    ({"scratch": 0.0, "torch": 0.3, "bidirectional": 0.3}, "is confirmed against Scratch GRU; it "),
])
def test_the_conclusion_follows_from_the_verdicts(skills: dict[str, Any], words: str) -> None:
    store, studies = homework(skills=skills, seeds=6)
    report = build_only(studies, store, discussion)
    (conclusion,) = conclusions_of(report)
    mentions(conclusion, "the bidirectional GRU is better", words)
    evidence = collect(studies, store)
    for compared in evidence.compared:
        if "bidirectional" in (compared.a.model, compared.b.model):
            behind = compared.b.model == "bidirectional"
            other = compared.a if behind else compared.b
            becomes = BECOMES[compared.verdict.finding][behind]
            assert re.search(rf"{becomes} against [^;]*{other.label}", conclusion)


def test_every_finding_has_a_word_in_the_conclusion() -> None:
    assert set(BECOMES) == set(Finding)
    assert all(becomes == "stays open" for finding in (
        Finding.INCONCLUSIVE, Finding.TOO_FEW_GROUPS, Finding.GUESSING)
               for becomes in BECOMES[finding])


def test_few_seeds_leave_the_claim_open() -> None:
    report = homework_report(discussion, seeds=2)
    assert "stays open against Scratch GRU and Torch GRU" in conclusions_of(report)[-1]


def test_a_study_without_a_bidirectional_model_says_nothing_about_the_claim() -> None:
    report = homework_report(discussion, skills={"scratch": 0.0, "torch": 0.1})
    assert "says nothing about the claim" in conclusions_of(report)[-1]
