"""Whatever computes a model takes denormal numbers for 0, and what runs before and after it does not."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.inference.predictor import Predictor
from gru_bench.models import saved
from gru_bench.models.classifier import Classifier
from gru_bench.models.trained import TrainedModel
from gru_bench.sweep.workers.local import run_job
from gru_bench.sweep.workers.messages import Finished, Job
from gru_bench.sweep.workers.tasks import Train
from gru_bench.train.listener import Listener
from gru_bench.train.loop import train
from tests.support.denormals import flushed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there all threads are known to follow")


@pytest.fixture(autouse=True)
def _torch_threads() -> Any:
    """Two threads of torch, which are started before a model is computed."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    assert flushed() == 0
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is found while a model is computed: forward or backward, and the fraction that is flushed."""
    found: list[tuple[str, float]] = []
    forward = Classifier.forward

    def noting(self: Classifier, *arguments: Any, **named: Any) -> Tensor:
        found.append(("forward", flushed()))
        result = forward(self, *arguments, **named)
        if result.requires_grad:
            result.register_hook(lambda grad: found.append(("backward", flushed())))
        return result

    monkeypatch.setattr(Classifier, "forward", noting)
    return found


Use = Callable[[RunConfig, Corpus, Vectors], object]


def trains(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    outside: list[float] = []
    train(config, corpus, vectors, Listener(epoch=lambda record: outside.append(flushed())), score_test=True)
    assert set(outside) == {0}


def works(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    """As local workers and tasks of Ray do."""
    channel = SimpleNamespace(send=lambda message: None, recv=lambda: True)
    assert isinstance(run_job(Job("job", Train(config)), channel), Finished)


@pytest.mark.parametrize("use", [trains, works])
@pytest.mark.parametrize("backend", ["reference", "torch", "fused"])
def test_training(
    use: Use, backend: str, seen: list[tuple[str, float]], config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    settings = {"model.backend": backend, "training.threads": 2, "training.epochs": 1}
    use(with_settings(config, settings), corpus, vectors)
    assert set(seen) == {("forward", 1.0), ("backward", 1.0)}
    assert flushed() == 0


@pytest.mark.parametrize("served", [False, True])
def test_prediction(
    served: bool, seen: list[tuple[str, float]], config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
) -> None:
    model = TrainedModel.of(train(with_settings(config, {"training.epochs": 1}), corpus, vectors), vectors)
    torch.set_num_threads(2)
    seen.clear()
    if served:
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own type hints
            from gru_bench.inference.served import ServedModel

        saved.save(model, tmp_path / "model", "", {})
        answering = ServedModel()
        answering.load_context(SimpleNamespace(artifacts={"model": tmp_path / "model"}))
        answering.predict(None, pd.DataFrame({"text": ["good1 bad2"]}))
    else:
        Predictor(model).predict(["good1 bad2"])
    assert set(seen) == {("forward", 1.0)}
    assert flushed() == 0
