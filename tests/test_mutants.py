"""The list of faults in mutants.toml fits the code; whether tests notice the faults is what mutants.py finds out."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import ROOT, Mutant, mutants

LEAST = 40


def test_the_list_has_enough_faults_and_none_twice() -> None:
    faults = mutants()
    assert len(faults) >= LEAST
    assert len({(fault.file, fault.line, fault.becomes) for fault in faults}) == len(faults)


@pytest.mark.parametrize("fault", mutants(), ids=lambda fault: fault.reason)
def test_a_fault_changes_one_line_of_a_file_and_names_the_tests_that_should_notice_it(fault: Mutant) -> None:
    assert fault.occurrences(ROOT) == 1
    text = (ROOT / fault.file).read_text("utf-8")
    planted = fault.planted(text)
    assert planted != text
    if fault.file.endswith(".py"):
        ast.parse(planted)
    assert fault.tests
    assert all((ROOT / test).is_file() for test in fault.tests)


def test_a_fault_keeps_the_indentation_of_its_line() -> None:
    fault = Mutant("some.py", "b = 1", "if b:\n    b = 2", "", ())
    assert fault.planted("def a():\n    b = 1\n    return b\n") == (
        "def a():\n    if b:\n        b = 2\n    return b\n")
