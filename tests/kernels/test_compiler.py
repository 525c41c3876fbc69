"""Compiled code on disk: when it is used again, when it is not, and where it lies."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from gru_bench.kernels import compiler
from gru_bench.kernels.machine import VECTOR_BYTES
from tests.support.commands import ROOT, printed

CALLER = """
from gru_bench.kernels.compiler import jit
from gru_bench.kernels.vectors import lanes_of, load, sigmoid, store


@jit()
def squash(values):
    store(values, 0, sigmoid(load(values, 0, 1)), 1)
    return lanes_of(values)
"""
"""A module of the kernel that calls a function of another one."""
RUN = """
import numpy as np
from gru_bench.kernels.caller import squash
values = np.zeros(64, np.float32)
print(squash(values), values[0], sum(squash.stats.cache_hits.values()))
"""
LANES = VECTOR_BYTES // 4


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a copy of the package, without compiled code."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    root = tmp_path / "copy"
    shutil.copytree(ROOT / "gru_bench", root / "gru_bench", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "gru_bench" / "kernels" / "caller.py").write_text(CALLER)
    return root


def places(folder: Path) -> list[Path]:
    """The folders of compiled code below a folder."""
    return [path for path in folder.rglob("gru_bench-*") if path.is_dir()]


def test_a_change_in_another_file_of_the_kernel_is_seen(copy: Path) -> None:
    assert printed(RUN, copy) == f"{LANES} 0.5 0"
    vectors = copy / "gru_bench" / "kernels" / "vectors.py"
    before = vectors.read_text()
    vectors.write_text(before.replace("0.5 + 0.5 * tanh", "0.25 + 0.5 * tanh"))
    assert printed(RUN, copy) == f"{LANES} 0.25 0"
    vectors.write_text(before)
    assert printed(RUN, copy) == f"{LANES} 0.5 1"


def test_code_for_other_registers_is_not_used(copy: Path) -> None:
    other = 16 if VECTOR_BYTES > 16 else 32
    elsewhere = f"from gru_bench.kernels import machine; machine.VECTOR_BYTES = {other}\n{RUN}"
    assert [printed(program, copy) for program in (RUN, elsewhere, RUN)] == [
        f"{LANES} 0.5 0", f"{other // 4} 0.5 0", f"{LANES} 0.5 1"]


def test_a_change_of_the_torch_operation_compiles_nothing(copy: Path) -> None:
    printed(RUN, copy)
    with (copy / "gru_bench" / "kernels" / "fused.py").open("a") as file:
        file.write("\n")
    assert printed(RUN, copy) == f"{LANES} 0.5 1"


def test_code_lies_beside_the_modules_where_that_can_be_written(copy: Path) -> None:
    printed(RUN, copy)
    (place,) = places(copy)
    assert place.parent == copy / "gru_bench" / "kernels" / "__pycache__"


def test_code_lies_where_numba_is_told_to_put_it(copy: Path, tmp_path: Path) -> None:
    printed(RUN, copy, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    assert len(places(tmp_path / "numba")) == 1
    assert places(copy) == []


def test_code_of_an_installation_that_cannot_be_written_lies_in_the_cache_of_the_user(
    copy: Path, tmp_path: Path
) -> None:
    # A file where the folder should be: nobody can write below it, not even an administrator.
    (copy / "gru_bench" / "kernels" / "__pycache__").write_text("")
    home = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    assert [printed(RUN, copy, **home) for _ in range(2)] == [f"{LANES} 0.5 0", f"{LANES} 0.5 1"]
    assert len(places(tmp_path / "home")) == 1


def test_the_settings_of_numba_stay_as_they_are(copy: Path) -> None:
    assert printed(
        """
        from numba.core import caching, config
        before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, [*caching.CacheImpl._locator_classes]
        import gru_bench.kernels.caller
        print(before == (config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, caching.CacheImpl._locator_classes))
        """, copy) == "True"


def test_code_that_nobody_has_used_for_a_week_is_removed(tmp_path: Path) -> None:
    now, day = time.time(), 24 * 3600
    for name, age in (("gru_bench-old", 8 * day), ("gru_bench-recent", 6 * day), ("other", 8 * day)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code").write_text("")
        os.utime(tmp_path / name, (now - age, now - age))
    ours = Path(compiler._folder(tmp_path))
    assert {*tmp_path.iterdir()} == {ours, tmp_path / "gru_bench-recent", tmp_path / "other"}


def test_a_start_counts_as_use(tmp_path: Path) -> None:
    ours = Path(compiler._folder(tmp_path))
    os.utime(ours, (0, 0))
    compiler._folder.cache_clear()
    assert Path(compiler._folder(tmp_path)) == ours
    assert ours.stat().st_mtime > time.time() - 3600


def test_code_is_kept_where_its_folder_was_removed_in_the_meantime(copy: Path) -> None:
    said = printed(RUN.replace("values =", "import shutil; shutil.rmtree(squash.stats.cache_path)\nvalues ="), copy)
    assert said == f"{LANES} 0.5 0"
    assert printed(RUN, copy) == f"{LANES} 0.5 1"
