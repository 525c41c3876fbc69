"""What `gru-bench train` suggests next."""

from __future__ import annotations

from gru_bench.config import SOURCE, RunConfig, with_settings
from gru_bench.train.__main__ import _next_steps


def sweep_after(name: str, typed: str | None) -> str:
    settings = {"model.name": name, **({SOURCE: "0" * 64} if ":" in name else {})}
    commands = [command for command, _ in _next_steps(with_settings(RunConfig(), settings), typed, "3f2a", False, None)]
    return next(command for command in commands if " sweep " in command)


def test_the_study_that_is_suggested_has_the_model_that_was_trained() -> None:
    assert sweep_after("torch", "torch") == "gru-bench sweep --study torch"
    assert sweep_after("bidirectional", None) == "gru-bench sweep --study bidirectional"
    assert sweep_after("homework.py:MyGRU", "src/homework.py:MyGRU").endswith("--model src/homework.py:MyGRU")
