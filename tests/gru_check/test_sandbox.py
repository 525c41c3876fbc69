"""The process of a file: its limits, and what is imported there."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from gru_bench import platforms
from gru_bench.errors import RunError
from gru_bench.gru_check import sandbox
from gru_bench.gru_check.codes import Verdict
from gru_bench.gru_check.sandbox import Options
from tests.gru_check.students import SPLIT

posix = pytest.mark.skipif(platforms.WINDOWS, reason="os.fork")


def checked(
    tmp_path: Path, first_lines: str, timeout: float = 60, name: str = "mine.py", make: str | None = None
) -> Verdict:
    """Verdict on a right cell, whose file begins with these lines."""
    path = tmp_path / name
    path.write_text(first_lines + "\n" + SPLIT, encoding="utf-8")
    return sandbox.run(path, Options("GRUCell", make, timeout))


SLEEP = "[sys.executable, '-c', 'import time; time.sleep(600)']"


class TestLimits:
    @posix
    @pytest.mark.slow
    def test_what_a_file_starts_ends_with_the_check(self, tmp_path: Path) -> None:
        verdict = checked(tmp_path, f"import subprocess, sys\nprocess = subprocess.Popen({SLEEP})\n"
                          f"open({str(tmp_path / 'pid')!r}, 'w').write(str(process.pid))")
        assert verdict.code == "equal"
        pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
        deadline = time.monotonic() + 10
        while platforms.is_alive(pid, platforms.process_start(pid)):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    @pytest.mark.slow
    def test_much_output_takes_no_memory_of_the_command(self, tmp_path: Path) -> None:
        before, most = psutil.Process().memory_info().rss, 0

        def watch() -> None:
            nonlocal most
            while not done.wait(0.1):
                most = max(most, psutil.Process().memory_info().rss)

        done = threading.Event()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            with pytest.raises(RunError, match="100 MB"):
                checked(tmp_path, "import os\nfor _ in range(4096):\n    os.write(2, b'x' * 65536)\nos._exit(3)")
        finally:
            done.set()
            thread.join()
        assert most - before < 50 << 20

    @pytest.mark.slow
    def test_a_large_cell_is_checked(self, tmp_path: Path) -> None:
        assert checked(tmp_path, "", timeout=300, make="GRUCell(300, 640)").code == "equal"


@pytest.mark.slow
def test_a_folder_with_names_of_pythons_modules_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("json", "argparse", "typing", "numpy", "queue"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not mine')\n", encoding="utf-8")
    (tmp_path / "mytools.py").write_text("import mymore\n", encoding="utf-8")
    (tmp_path / "mymore.py").write_text("WIDTH = 3\n", encoding="utf-8")
    assert checked(tmp_path, "import json, argparse, mytools\nassert mytools.mymore.WIDTH == 3").code == "equal"


@pytest.mark.slow
def test_output_in_another_encoding_is_shown(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="code 3: caf"):
        checked(tmp_path, "import os\nos.write(2, b'caf\\xe9')\nos._exit(3)")
