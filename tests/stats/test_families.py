"""A report on several models has some false finding seldom: a short run of benchmarks/families.py."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.support.benchmarks import benchmark


@pytest.fixture(scope="module")
def families() -> ModuleType:
    return benchmark("families")


def test_the_table_has_a_row_for_each_number_of_models(
    families: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "Pool", Serial)
    monkeypatch.setattr(families, "_chunk", lambda _, job: np.array([job[1], 0]))
    families.main(["--repetitions", "60", "--models", "3,5"])
    heading, three, five = capsys.readouterr().out.splitlines()
    assert "adjusted" in heading
    assert three.split()[:4] == ["3", "3", "100.0", "0.0"]
    assert five.split()[:2] == ["5", "10"]


def test_with_a_linear_model_there_is_a_row_for_each_design(
    families: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "Pool", Serial)
    monkeypatch.setattr(families, "_chunk", lambda _, job: np.array([0, 0, job[1], 0]))
    families.main(["--repetitions", "60", "--models", "1,3", "--linear"])
    heading, *rows = capsys.readouterr().out.splitlines()
    assert "linear different" in heading
    assert [row.split()[:3] for row in rows] == [
        [design, *size] for design in ("texts", "groups") for size in (["1", "0"], ["3", "3"])]
    assert all(row.split()[5] == "100.0" for row in rows)


class Serial:
    """A pool of no processes."""

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def map(self, function: object, jobs: list[object], chunksize: int) -> list[object]:
        """Return the results one after the other."""
        assert callable(function)
        assert chunksize == 1
        return [function(job) for job in jobs]


def test_an_adjusted_finding_is_one_of_the_pair_alone(families: ModuleType) -> None:
    alone, adjusted = families.counted(4, 6, np.random.default_rng(0), 400)
    assert 0 <= adjusted <= alone <= 6


@pytest.mark.slow
def test_false_findings_are_rare_after_the_adjustment(families: ModuleType) -> None:
    shares = families.counted(5, 150, np.random.default_rng(1)) / 150
    assert shares[0] > 0.08  # 19 % in long runs
    assert shares[1] <= 0.07


@pytest.mark.parametrize("design", ["texts", "groups"])
def test_few_of_some_reports_find_what_is_false_of_the_linear_model(families: ModuleType, design: str) -> None:
    sums = families.counted_with_linear(design, 3, 20, np.random.default_rng(0), 400)
    assert sums.shape == (4,)
    assert sums.max() <= 5  # 1.1 are expected


@pytest.mark.parametrize("design", ["texts", "groups"])
def test_few_of_some_reports_find_what_is_false_of_the_one_that_is_chosen(families: ModuleType, design: str) -> None:
    sums = families.counted_with_choice(design, 3, 20, np.random.default_rng(0), 400)
    assert sums.shape == (2,)
    assert sums.max() <= 5  # 1.1 are expected


def test_of_a_choice_there_is_a_row_for_each_design(
    families: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "Pool", Serial)
    monkeypatch.setattr(families, "_chunk", lambda _, job: np.array([job[1], 0]))
    families.main(["--repetitions", "60", "--choice"])
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["models", "pairs", "different"]
    assert [row.split()[:4] for row in rows] == [[design, "3", "2", "100.0"] for design in ("texts", "groups")]


@pytest.mark.slow
@pytest.mark.parametrize("design", ["texts", "groups"])
def test_the_family_of_the_one_that_is_chosen_keeps_its_error_rate(families: ModuleType, design: str) -> None:
    share = families.counted_with_choice(design, 3, 300, np.random.default_rng(1)) / 300
    assert share.max() <= 0.085  # 5.5 % and less than three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("design", ["texts", "groups"])
def test_each_family_keeps_its_error_rate(families: ModuleType, design: str) -> None:
    share = families.counted_with_linear(design, 3, 300, np.random.default_rng(1)) / 300
    assert share.max() <= 0.085  # 5.5 % and less than three standard errors
