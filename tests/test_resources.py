"""Templates and study files are found in a checkout first and in the installed package second."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.errors import RunError
from gru_bench.resources import resource


def test_this_checkout_is_found() -> None:
    assert (resource("templates") / "report.html.j2").is_file()


@pytest.mark.parametrize(("name", "beside", "inside"), [
    ("templates", "templates", "_templates"), ("studies", "sweeps/studies", "_studies"),
])
def test_the_checkout_wins_over_stale_copies(tmp_path: Path, name: str, beside: str, inside: str) -> None:
    package = tmp_path / "gru_bench"
    (package / inside).mkdir(parents=True)
    assert resource(name, package) == package / inside
    # Some other package's folder of that name, as in site-packages, is not ours.
    (tmp_path / beside).mkdir(parents=True)
    assert resource(name, package) == package / inside
    (tmp_path / "pyproject.toml").touch()
    assert resource(name, package) == tmp_path / beside


def test_neither_place(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"folder templates must be at .* but neither exists: install gru-bench again"):
        resource("templates", tmp_path / "gru_bench")


def test_another_name() -> None:
    with pytest.raises(KeyError):
        resource("models")
