"""Compiled code on disk: when it is used again, when it is not, and in which folder it is kept."""

from __future__ import annotations

import os
import shutil
import time
from importlib import resources
from pathlib import Path

import pytest

from gru_bench.kernels import compiler
from gru_bench.kernels.machine import VECTOR_BYTES
from tests.support.commands import ROOT, printed

CALLER = """
from gru_bench.kernels.compiler import jit
from gru_bench.kernels.vectors import LANES, at, load, sigmoid, store


@jit()
def squash(values):
    store(at(values, 0), 0, sigmoid(load(at(values, 0), 0, 1)), 1)
    return LANES
"""
"""A module of the kernel that calls a function of another one."""
RUN = """
from numba.core import caching, config
before = config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, [*caching.CacheImpl._locator_classes]
import numpy as np
from gru_bench.kernels.caller import squash
values = np.zeros(64, np.float32)
print(squash(values), values[0], sum(squash.stats.cache_hits.values()))
assert before == (config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES, caching.CacheImpl._locator_classes)
"""
"""Prints the lanes of a vector, a result, and how much of the code was found on disk; numba's settings must stay."""
LANES = VECTOR_BYTES // 4
COMPILED, LOADED = f"{LANES} 0.5 0", f"{LANES} 0.5 1"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a copy of the package, without compiled code."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    root = tmp_path / "copy"
    shutil.copytree(ROOT / "gru_bench", root / "gru_bench", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "gru_bench" / "kernels" / "caller.py").write_text(CALLER)
    return root


def folders_of_code(root: Path) -> list[Path]:
    return [path for path in root.rglob("gru_bench-*") if path.is_dir()]


class TestDigest:
    """The digest that names the folder of compiled code."""

    @pytest.fixture
    def sources(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A copy of the kernel's sources, which the digest is taken of."""
        folder = tmp_path / "kernels"
        shutil.copytree(ROOT / "gru_bench" / "kernels", folder, ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(resources, "files", lambda _: folder)
        assert compiler._digest() == compiler._DIGEST
        return folder

    @pytest.mark.parametrize("name", ["vectors.py", "forward.py", "machine.py", "another.py"])
    def test_changes_with_a_source_that_holds_compiled_code(self, sources: Path, name: str) -> None:
        with (sources / name).open("a") as file:
            file.write("\n")
        assert compiler._digest() != compiler._DIGEST

    @pytest.mark.parametrize("name", ["fused.py", "module.py", "threads.py", "__init__.py"])
    def test_stays_where_a_source_without_compiled_code_changes(self, sources: Path, name: str) -> None:
        with (sources / name).open("a") as file:
            file.write("\n")
        assert compiler._digest() == compiler._DIGEST

    @pytest.mark.parametrize(("register", "value"), [("VECTOR_BYTES", 8), ("REGISTERS", 8)])
    def test_changes_with_the_registers(self, monkeypatch: pytest.MonkeyPatch, register: str, value: object) -> None:
        monkeypatch.setattr(compiler, register, value)
        assert compiler._digest() != compiler._DIGEST


def test_compiled_code_is_kept_in_a_folder_of_its_digest(tmp_path: Path) -> None:
    folder = Path(compiler._folder(tmp_path))
    assert folder == tmp_path / f"gru_bench-{compiler._DIGEST}"
    assert folder.is_dir()


def test_code_is_kept_in_memory_where_no_folder_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no locator available")  # as numba does

    monkeypatch.setattr(compiler, "_Cache", fail)
    double = compiler.jit()(lambda number: 2 * number)
    assert double(21) == 42
    assert double.stats.cache_path is None


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


@pytest.mark.slow
def test_a_change_in_another_file_of_the_kernel_is_compiled_again(copy: Path) -> None:
    """The folder is next to the modules, where that can be written, and may be removed while the code is used."""
    vectors = copy / "gru_bench" / "kernels" / "vectors.py"
    before = vectors.read_text()
    removing = RUN.replace("values =", "import shutil; shutil.rmtree(squash.stats.cache_path)\nvalues =")
    assert printed(removing, copy) == COMPILED
    (folder,) = folders_of_code(copy)
    assert folder.parent == copy / "gru_bench" / "kernels" / "__pycache__"
    vectors.write_text(before.replace("0.5 + 0.5 * tanh", "0.25 + 0.5 * tanh"))
    assert printed(RUN, copy) == f"{LANES} 0.25 0"
    vectors.write_text(before)
    assert printed(RUN, copy) == LOADED


@pytest.mark.slow
def test_code_is_kept_where_numba_is_told_to_put_it(copy: Path, tmp_path: Path) -> None:
    printed(RUN, copy, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    assert len(folders_of_code(tmp_path / "numba")) == 1
    assert folders_of_code(copy) == []


@pytest.mark.slow
def test_code_of_an_installation_that_cannot_be_written_is_kept_in_the_cache_of_the_user(
    copy: Path, tmp_path: Path
) -> None:
    # A file where the folder should be: nobody can write below it, not even an administrator.
    (copy / "gru_bench" / "kernels" / "__pycache__").write_text("")
    home = {name: str(tmp_path / "home") for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    assert [printed(RUN, copy, **home) for _ in range(2)] == [COMPILED, LOADED]
    assert len(folders_of_code(tmp_path / "home")) == 1
