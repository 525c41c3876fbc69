"""The checks of benchmarks/gpu.py run on a CPU as they will on a card, and say what they could not do."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.support.benchmarks import benchmark
from tests.support.commands import ROOT, command

SCRIPT = ROOT / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    return benchmark("gpu")


def verdicts(path: Path) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in json.loads(path.read_text())["checks"]}


def names(gpu: ModuleType) -> list[str]:
    return [check.__name__.replace("_", " ") for check in gpu.CHECKS]


def test_a_dry_run_makes_every_check(gpu: ModuleType, tmp_path: Path) -> None:
    done = command(str(SCRIPT), "--dry", "--strict", "--out", str(tmp_path / "gpu.json"))
    with_card = torch.cuda.is_available()
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert verdicts(tmp_path / "gpu.json") == dict.fromkeys(names(gpu), "ok") | (
        {} if with_card else {"card tests": "SKIPPED"}), done.stdout
    assert done.returncode == (0 if with_card else 1), done.stderr
    assert ("SKIPPED" in done.stdout) is not with_card
    assert all(check["values"] for check in found["checks"] if check["verdict"] == "ok")
    times = [ms for check in found["checks"] for row in check["values"] for ms in row.get("ms", {}).values()]
    assert times
    assert set(times) == {None}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a graphics card is here")
@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
def test_without_a_card_every_check_is_skipped(
    gpu: ModuleType, tmp_path: Path, strict: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GRU_BENCH_CACHE", os.environ["GRU_BENCH_CACHE"])  # the command sets another one
    assert gpu.main([*strict, "--out", str(tmp_path / "gpu.json")]) == code
    assert verdicts(tmp_path / "gpu.json") == dict.fromkeys(names(gpu), "SKIPPED")
    assert capsys.readouterr().out.count("SKIPPED") == len(gpu.CHECKS)


class TestVerdicts:
    def check(self, gpu: ModuleType, does: Any, ends: float = float("inf")) -> Any:
        def one(_: object) -> Any:
            return does()

        return gpu.checked(one, gpu.DRY, ends)

    def test_what_differs_has_failed(self, gpu: ModuleType) -> None:
        result = self.check(gpu, lambda: gpu.agree("the loss", 0.2, 0.1, {}))
        assert (result.verdict, result.said) == (
            "FAILED", "AssertionError: the loss must differ by at most 0.1, but differs by 0.2")

    def test_nan_differs_from_everything(self, gpu: ModuleType) -> None:
        assert self.check(gpu, lambda: gpu.agree("the loss", float("nan"), 0.1, {})).verdict == "FAILED"

    def test_when_no_time_is_left(self, gpu: ModuleType) -> None:
        result = self.check(gpu, lambda: pytest.fail("begun"), time.monotonic() - 1)
        assert (result.verdict, result.said) == ("SKIPPED", "no time is left")

    def test_a_part_that_was_skipped(self, gpu: ModuleType) -> None:
        result = self.check(gpu, lambda: [{"loss": 1.0}, {"said": "no bfloat16", "skipped": True}])
        assert (result.verdict, result.said) == ("SKIPPED", "no bfloat16")
