"""What `gru-bench train` suggests next."""

from __future__ import annotations

from gru_bench.config import SOURCE, RunConfig, with_settings
from gru_bench.train.__main__ import _next_steps


def sweep_after(name: str, typed: str | None) -> str:
    own = {SOURCE: "0" * 64, "data.limit": 3000} if ":" in name else {}
    settings = {"model.name": name, **own}
    commands = [command for command, _ in _next_steps(with_settings(RunConfig(), settings), typed, "3f2a", False, None)]
    return next(command for command in commands if " sweep " in command)


def test_the_study_that_is_suggested_has_the_model_that_was_trained() -> None:
    assert sweep_after("torch", "torch") == "gru-bench sweep --study torch"
    assert sweep_after("bidirectional", None) == "gru-bench sweep --study bidirectional"
    assert sweep_after("homework.py:MyGRU", "src/homework.py:MyGRU").endswith(
        "--model src/homework.py:MyGRU --limit 3000")
