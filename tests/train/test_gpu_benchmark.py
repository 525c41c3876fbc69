"""benchmarks/gpu.py compares a device with the CPU, which is tried on the CPU itself."""

from __future__ import annotations

import re
from types import ModuleType

import pytest
import torch

from tests.support.benchmarks import benchmark
from tests.support.commands import mentions

TRIAL = ["--device", "cpu", "--limit", "60"]


@pytest.fixture
def gpu() -> ModuleType:
    return benchmark("gpu")


@pytest.mark.slow
def test_both_kernels_of_a_cpu_train_all_models_alike(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu.main(TRIAL) == 0
    rows = re.findall(r"^(\w+) +(\d\.\de[+-]\d+) +([\d,]+) +([\d,]+)$", capsys.readouterr().out, re.MULTILINE)
    assert [model for model, *_ in rows] == ["scratch", "torch", "bidirectional"]
    assert all(float(difference) < 1e-5 for _, difference, *_ in rows)
    assert all(int(speed.replace(",", "")) > 0 for _, _, *speeds in rows for speed in speeds)
    monkeypatch.setattr(gpu, "TOLERANCE", -1.0)
    monkeypatch.setattr(gpu, "MODELS", ("scratch",))
    assert gpu.main(TRIAL) == 1
    mentions(capsys.readouterr().err, "at most -1 nats")


def test_without_a_gpu_it_says_what_is_missing(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    mentions(capsys.readouterr().err, "'cuda'", "--device cpu")
