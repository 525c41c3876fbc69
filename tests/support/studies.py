"""A study file, and the settings of a small study with ablations."""

from __future__ import annotations

from pathlib import Path


def study_file(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    return str(tmp_path / "mine.toml")


HOMEWORK = """
base = "none"
models = ["scratch", "torch"]
[data]
max_length = "none"
[model]
backend = "auto"
[model.torch]
backend = "torch"
relu = true
[training.scratch]
lr = 0.5
[ablations]
model = "torch"
seeds = 3
settings = { data.validation_share = 0.2 }
[ablations.other.pooling]
question = "Which state?"
settings = { model.pooling = "last" }
[ablations.other.size]
question = "How wide?"
settings = { model.hidden_size = 7 }
"""
