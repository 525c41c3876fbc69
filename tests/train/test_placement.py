"""What runs where: the backend and the device that a run takes, and what is refused."""

from __future__ import annotations

import pytest
import torch

from gru_bench.config import RunConfig, Scalar, with_settings
from gru_bench.errors import UsageError
from gru_bench.train.placement import Placement, place
from tests.support.commands import mentions


def placed(device: str = "cpu", **model: Scalar) -> Placement:
    """Where a model runs on a machine that has this device."""
    settings = {f"model.{key}": value for key, value in model.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_bench.train.placement.choose_device", lambda _: torch.device(device))
        return place(with_settings(RunConfig(), settings))


def test_auto_takes_the_fastest_backend_that_can_run() -> None:
    assert placed(name="torch") == Placement(torch.device("cpu"), "fused")
    assert placed("cuda", name="scratch") == Placement(torch.device("cuda"), "torch")
    assert placed("cuda", name="scratch", reset="before") == Placement(torch.device("cuda"), "reference")


def test_auto_takes_torch_where_the_fused_kernel_cannot_load_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.kernels.fused.unavailable", lambda: "no kernel today.")
    found = placed(name="torch")
    assert found.backend == "torch"
    mentions(found.note or "", "'torch'", "no kernel today.")
    # A backend that was asked for, and a device that never had ours, is not commented on.
    assert placed(backend="torch").note is None
    assert placed("cuda").note is None
    with pytest.raises(UsageError, match=r"'fused' cannot run here: no kernel today; try"):
        placed(backend="fused")


def test_auto_takes_the_loop_where_the_reset_gate_acts_before_the_product_and_says_why() -> None:
    found = placed(name="scratch", reset="before")
    assert found.backend == "reference"
    mentions(found.note or "", "'reference'", "reset gate acts before the product")
    assert placed("cuda", name="scratch", reset="before").note is None


@pytest.mark.parametrize(("backend", "reset", "expected"), [
    ("torch", "after", "torch"), ("reference", "after", "reference"), ("auto", "before", "reference")])
def test_numba_is_not_loaded_for_a_backend_that_does_without_it(
    backend: str, reset: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gru_bench.kernels.fused.unavailable", lambda: pytest.fail("the kernel was loaded"))
    assert placed(name="scratch", backend=backend, reset=reset).backend == expected


@pytest.mark.parametrize(("device", "model", "message"), [
    ("cuda", {"backend": "fused"}, r"model\.backend.*'fused'.*CPU"),
    ("cpu", {"name": "scratch", "backend": "torch", "reset": "before"}, r"model\.backend.*'torch'.*reset gate"),
    ("cpu", {"name": "scratch", "backend": "fused", "reset": "before"}, r"model\.backend.*'fused'.*reset gate"),
    ("cpu", {"name": "torch", "reset": "before"}, r"model\.reset.*'after'.*'torch'.*'scratch'"),
    ("cpu", {"name": "bidirectional", "bidirectional": False},
     r"model\.bidirectional.*'bidirectional'.*false.*'torch'")])
def test_what_a_model_or_a_backend_cannot_do_is_refused(
    device: str, model: dict[str, Scalar], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        placed(device, **model)
