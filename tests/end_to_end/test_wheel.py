"""The wheel alone, in an environment without the checkout, sweeps, reports, predicts, compares and checks."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from gru_bench import __version__
from tests.support.commands import ROOT

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder),
                    str(ROOT)], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_source_distribution_builds_the_same_wheel_and_has_no_examples(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)], cwd=ROOT,
                   check=True, capture_output=True)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = archive.getnames()
    assert not [name for name in names if "/reports/example" in name]
    assert source.stat().st_size < 4_000_000
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w",
                    str(tmp_path), str(source)], check=True)
    (again,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(again) as built, zipfile.ZipFile(wheel) as first:
        assert {entry.filename: entry.CRC for entry in built.infolist()} == {
            entry.filename: entry.CRC for entry in first.infolist()}


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Console scripts of an environment that has the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    # Paths added this way do not process the .pth files in them: an editable install stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-q",
                    "--no-deps", "--ignore-installed", str(wheel)], check=True)
    return folder / "bin"


def test_the_wheel_has_one_top_level_name_and_the_templates_and_studies(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gru_bench"}
    for folder, inside in (("templates", "_templates"), ("sweeps/studies", "_studies")):
        for path in (ROOT / folder).rglob("*.*"):
            assert f"gru_bench/{inside}/{path.relative_to(ROOT / folder)}" in names


def test_an_installed_wheel_sweeps_reports_predicts_compares_and_checks(
    scripts: Path, tmp_path: Path, database: Path
) -> None:
    where = subprocess.run([scripts / "python", "-c", "import gru_bench; print(gru_bench.__file__)"], cwd=tmp_path,
                           capture_output=True, text=True, check=True).stdout
    assert str(scripts.parent) in where
    small = ["--study-name", "small", "--model", "scratch", "--limit", "120", "--trials", "1", "--confirm", "1",
             "--epochs", "1", "--set", "model.backend=torch", "--set", "training.threads=1", "--workers", "1"]
    for name, wrong in (("first", 5), ("second", 7)):
        (tmp_path / f"{name}.csv").write_text("id,label,prediction\n" + "".join(
            f"{row},{row % 2},{(row + (row % wrong == 0)) % 2}\n" for row in range(60)), encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "import torch\n\n\nclass GRU(torch.nn.Module):\n    def __init__(self, input_size, hidden_size):\n"
        "        super().__init__()\n        self.gru = torch.nn.GRU(input_size, hidden_size, batch_first=True)\n\n"
        "    def forward(self, x):\n        return self.gru(x)[0]\n", encoding="utf-8")
    for words, printed in (
        (["gru-bench", "sweep", "--study", "smoke", *small], "the study small is done"),
        (["python", "-m", "gru_bench.report"], "report.html"),
        (["gru-bench", "predict", "--study", "small", "A good film."], "good"),
        (["gru-bench", "save-model", "--study", "small", "model"], "model"),
        (["gru-bench", "predict", "--model", "model", "A good film."], "good"),
        (["gru-bench", "compare", "first.csv", "second.csv", "--out", "compared"], "compared"),
        (["gru-bench", "gru-check", "mine.py"], "GRU"),
    ):
        done = subprocess.run([scripts / words[0], *words[1:]], cwd=tmp_path, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert printed in done.stdout
    assert len(list(tmp_path.glob("reports/*/report.html"))) == len(list(tmp_path.glob("reports/*/report.tex"))) == 1
    assert (tmp_path / "compared" / "report.html").exists()
    assert [path.name for path in scripts.glob("gru-bench*")] == ["gru-bench"]
    version = subprocess.run([scripts / "gru-bench", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == f"gru-bench {__version__}"
