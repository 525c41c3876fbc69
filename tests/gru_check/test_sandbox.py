"""The process of a file: what it may be given, import and print."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.errors import RunError
from gru_bench.gru_check import sandbox
from gru_bench.gru_check.codes import Verdict
from gru_bench.gru_check.sandbox import Options
from tests.gru_check.students import SPLIT

pytestmark = pytest.mark.slow


def checked(tmp_path: Path, first_lines: str, make: str | None = None) -> Verdict:
    """Verdict on a right cell, whose file begins with these lines."""
    path = tmp_path / "mine.py"
    path.write_text(first_lines + "\n" + SPLIT, encoding="utf-8")
    return sandbox.run(path, Options("GRUCell", make, 300))


def test_a_large_cell_is_checked(tmp_path: Path) -> None:
    assert checked(tmp_path, "", "GRUCell(300, 640)").code == "equal"


def test_a_folder_with_names_of_pythons_modules_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("json", "argparse", "typing", "numpy", "queue"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not mine')\n", encoding="utf-8")
    (tmp_path / "mytools.py").write_text("import mymore\n", encoding="utf-8")
    (tmp_path / "mymore.py").write_text("WIDTH = 3\n", encoding="utf-8")
    assert checked(tmp_path, "import json, argparse, mytools\nassert mytools.mymore.WIDTH == 3").code == "equal"


@pytest.mark.parametrize(("first_lines", "said"), [
    ("import os\nos.write(2, b'caf\\xe9')\nos._exit(3)", "code 3: caf"),
    ("import os\nfor _ in range(4096):\n    os.write(2, b'x' * 65536)\nos._exit(3)", "100 MB")])
def test_the_end_of_its_output_is_shown(first_lines: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=said):
        checked(tmp_path, first_lines)
