"""The notebook of the docs: its stored outputs are those of one run from its first cell to its last, and it runs."""

from __future__ import annotations

import ast
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tests.support.commands import ROOT
from tests.support.sweeps import without_worker_processes


@cache
def cells() -> list[dict[str, Any]]:
    """Its cells of code."""
    content = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_its_outputs_and_pictures_are_those_of_one_run() -> None:
    assert [cell["execution_count"] for cell in cells()] == list(range(1, len(cells()) + 1))
    for cell in cells():
        outputs = {kind for output in cell["outputs"] for kind in output.get("data", {})}
        assert {output["output_type"] for output in cell["outputs"]} <= {"execute_result", "stream"}, source(cell)
        assert ("image/png" in outputs) == source(cell).startswith("study.plot"), source(cell)
    assert sum(source(cell).count("\n") + 1 for cell in cells()) <= 40


def test_it_runs(tmp_path: Path, empty_database: Path) -> None:
    """With fewer reviews, and with the workers in this process."""
    (tmp_path / "notebook-stores").mkdir()
    shutil.copy(empty_database, tmp_path / "notebook-stores")
    shown: list[Any] = []
    there: dict[str, Any] = {"__name__": "notebook"}
    with without_worker_processes():
        for cell in cells():
            *before, last = ast.parse(source(cell).replace("sample(2000,", "sample(400,")).body
            exec(compile(ast.Module(before, []), "notebook", "exec"), there)
            assert isinstance(last, ast.Expr)
            shown.append(eval(compile(ast.Expression(last.value), "notebook", "eval"), there))
    assert all(one is not None for one in shown)
    pictures = [one for one in shown if isinstance(one, Figure)]
    assert len(pictures) == sum("study.plot" in source(cell) for cell in cells())
    assert all(picture._repr_png_().startswith(b"\x89PNG") for picture in pictures)  # type: ignore[attr-defined]
    assert 0 <= shown[-1] <= 1
