"""A study file, and the text of one with settings of single models."""

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
"""
