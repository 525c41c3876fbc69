"""A GRU that a study would call in another way is told the lines that make it a model of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.gru_check import load
from gru_bench.gru_check.check import check_file, prepared
from gru_bench.gru_check.fitting import NAME, fitting
from gru_bench.models.own import kind_by_trying
from tests.support.own import OWN, written


@pytest.mark.parametrize(("name", "kind", "lines"), [
    ("TimeFirst", "layer", 2), ("StateFirst", "cell", 2), ("Needy", "layer", 2), ("TimeFirstNeedy", "layer", 3)])
def test_the_lines_make_a_class_fit(name: str, kind: str, lines: int, tmp_path: Path) -> None:
    path = tmp_path / "homework.py"
    path.write_text(OWN + (
        "\n\nclass TimeFirstNeedy(Needy):\n    def forward(self, x):\n"
        "        outputs, state = super().forward(x.transpose(0, 1))\n        return outputs.transpose(0, 1), state\n"),
        encoding="utf-8")
    with prepared():
        found = fitting(load.load(path), name)
        path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{found}\n", encoding="utf-8")
        assert kind_by_trying(getattr(load.load(path), NAME), f"homework.py:{NAME}") == kind
    assert len(found.splitlines()) == lines


def test_a_verdict_has_the_lines_where_they_are_needed(tmp_path: Path) -> None:
    path = written(tmp_path)
    with prepared():
        assert check_file(path, "TimeFirst", None, None).fitting.startswith(f"class {NAME}(TimeFirst):\n")
        assert "d2=hidden_size, d3=1" in check_file(path, "Needy", None, None).fitting
        for name in ("BatchFirst", "Cell"):
            assert not check_file(path, name, None, None).fitting
        module = load.load(path)
    assert not fitting(module, "LastState")
    assert not fitting(module, "function")
