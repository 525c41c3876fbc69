"""Learning curves are means over seeds, with their range."""

from __future__ import annotations

import numpy as np
import pytest

from gru_bench.report.build import build
from tests.support.fake_store import three_models
from tests.support.renderings import Built


def test_curves_are_means_with_the_range_of_seeds(built: Built) -> None:
    store, studies, report = built
    runs = [run.run_id for run in studies[0].confirms]
    curve = report.curves[0]
    assert [epoch.epoch.value for epoch in curve.epochs] == [1, 2, 3, 4]
    values = [dict(store.metrics[run]["loss/val"])[2] for run in runs]
    shown = curve.epochs[1].validation_loss
    assert shown.value == pytest.approx(np.mean(values))
    assert (shown.low, shown.high) == (min(values), max(values))
    assert curve.window_losses is not None
    assert curve.window_losses.epoch[-1] == pytest.approx(4.0)


def test_an_epoch_that_only_some_seeds_reached_says_how_many() -> None:
    store, (study, *_) = three_models()
    short = study.confirms[0].run_id
    store.metrics[short] = {name: points[:2] for name, points in store.metrics[short].items()}
    curve = build([study], store).curves[0]
    assert [epoch.seeds.value for epoch in curve.epochs] == [5, 5, 4, 4]
