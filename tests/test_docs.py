"""README tells the truth about the tree, the studies and the commands."""

from __future__ import annotations

import re

import pytest

from gru_bench.sweep.spec import known_studies
from tests.support.commands import ROOT, command

README = (ROOT / "README.md").read_text()


def listed() -> set[str]:
    """The paths of the tree, built from its indentation."""
    block = next(block for block in README.split("```") if "pyproject.toml" in block and "sweeps/" in block)
    paths, parents = set(), list[str]()
    for line in filter(str.strip, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 4
        name = line.split()[0]
        parents = [*parents[:depth], name]
        paths.add("".join(parents))
    return paths


def test_every_module_stands_in_the_tree_and_every_line_exists() -> None:
    paths = listed()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "gru_bench").rglob("*.py")}
    assert modules == {path for path in paths if path.startswith("gru_bench/") and path.endswith(".py")}
    for path in paths:
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_every_study_is_named() -> None:
    line = next(line for line in README.splitlines() if "studies/*.toml" in line)
    assert {name.strip(",") for name in line.split()[1:]} == set(known_studies())


@pytest.mark.parametrize("module", ["gru_bench.train", "gru_bench.sweep", "gru_bench.report", "gru_bench.diagnose"])
def test_every_option_in_readme_exists(module: str) -> None:
    shown = command("-m", module, "--help").stdout
    program = {"gru_bench.train": "-m gru_bench.train", "gru_bench.sweep": "sweeps/run.py",
               "gru_bench.report": "-m gru_bench.report", "gru_bench.diagnose": "-m gru_bench.diagnose"}[module]
    for line in re.findall(rf"python {re.escape(program)}([^`\n|]*)", README):
        for option in re.findall(r"--[a-z-]+", line):
            assert option in shown, option


def test_the_example_of_own_data_works_beside_the_quick_start() -> None:
    (block,) = (block for block in README.split("```") if "--data mine.csv" in block)
    assert re.search(r"--study bidirectional --study-name (?!bidirectional\b)\w+ --data mine\.csv", block)


def test_pictures_exist() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).exists(), path
