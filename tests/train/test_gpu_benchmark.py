"""The checks of benchmarks/gpu.py run on a CPU as they will on a card, and say what they could not do."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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


@pytest.mark.slow
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
def test_without_a_graphics_card_every_check_is_skipped(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRU_BENCH_CACHE", os.environ["GRU_BENCH_CACHE"])  # the command sets another one
    assert gpu.main(["--out", str(tmp_path / "gpu.json")]) == 0
    assert verdicts(tmp_path / "gpu.json") == dict.fromkeys(names(gpu), "SKIPPED")


def test_a_difference_fails_a_check_and_a_missing_part_skips_it(gpu: ModuleType) -> None:
    def verdict(does: Callable[[], object], ends: float = math.inf) -> str:
        def one(_: object) -> object:
            return does()

        return str(gpu.checked(one, gpu.DRY, ends).verdict)

    assert verdict(lambda: gpu.agree("the loss", 0.2, 0.1, {})) == "FAILED"
    assert verdict(lambda: gpu.agree("the loss", math.nan, 0.1, {})) == "FAILED"
    assert verdict(lambda: [{"loss": 1.0}, {"said": "no bfloat16", "skipped": True}]) == "SKIPPED"
    assert verdict(lambda: pytest.fail("begun"), ends=0.0) == "SKIPPED"
