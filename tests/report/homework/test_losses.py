"""The training losses are those of the logged windows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.homework_study import Made
from tests.support.renderings import content_of


def test_losses_are_those_of_the_windows(made: Made) -> None:
    store, study, report = made
    curve = content_of(report, "training-loss").curves[0]
    runs = [run for run in study.confirms if run.model == "scratch"]
    assert [name for name, _ in curve.seeds] == [f"seed {run.seed}" for run in runs]
    lowest = [min(loss for _, loss in store.metrics[run.run_id]["loss/train_window"]) for run in runs]
    assert (curve.lowest.value, curve.lowest.low, curve.lowest.high) == (
        pytest.approx(np.mean(lowest)), min(lowest), max(lowest),
    )
    assert curve.window.value == 800
