"""The sandbox: nothing of a student's file outlives the check or exceeds its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from gru_bench import platforms
from gru_bench.errors import RunError, UsageError
from gru_bench.gru_check import sandbox
from gru_bench.gru_check.codes import Verdict
from gru_bench.gru_check.sandbox import Options
from tests.gru_check.students import SPLIT
from tests.support.commands import ROOT

posix = pytest.mark.skipif(platforms.WINDOWS, reason="os.fork")


def checked(
    tmp_path: Path, first_lines: str, timeout: float = 60, name: str = "mine.py", make: str | None = None
) -> Verdict:
    """Verdict on a right cell, whose file begins with these lines."""
    path = tmp_path / name
    path.write_text(first_lines + "\n" + SPLIT, encoding="utf-8")
    return sandbox.run(path, Options("GRUCell", make, timeout))


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A word that occurs in the command line of each process of a test. None of them must be left."""
    word = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    yield word
    assert not marked(word)


def marked(word: str) -> list[int]:
    return [process.pid for process in psutil.process_iter(["cmdline"]) if word in (process.info["cmdline"] or ())]


def sleeper(mark: str) -> str:
    return f"[sys.executable, '-c', 'import time; time.sleep(600)', '{mark}']"


class TestProcesses:
    @pytest.mark.slow
    def test_a_process_in_a_session_of_its_own_neither_delays_nor_outlives_the_check(
        self, tmp_path: Path, mark: str
    ) -> None:
        begin = time.monotonic()
        verdict = checked(tmp_path, f"import subprocess, sys\nsubprocess.Popen({sleeper(mark)}, "
                          "start_new_session=True)", timeout=120)
        assert verdict.code == "equal"
        assert time.monotonic() - begin < 100

    @posix
    @pytest.mark.slow
    def test_forks_end_with_the_check(self, tmp_path: Path, mark: str) -> None:
        """One, one of a process that ends, and one that holds back all signals."""
        sleep = f"os.execv(sys.executable, {sleeper(mark)})"
        verdict = checked(tmp_path, f"""
import os, signal, sys
if os.fork() == 0:
    {sleep}
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    {sleep}
if os.fork() == 0:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    os.setsid()
    {sleep}
""")
        assert verdict.code == "equal"

    @posix
    @pytest.mark.slow
    def test_a_fork_ends_with_the_check_that_it_ends(self, tmp_path: Path, mark: str) -> None:
        with suppress(RunError):  # in a name space it cannot end the first process
            checked(tmp_path, "import os, sys\nif os.fork() == 0:\n    os.kill(os.getppid(), 9)\n"
                    f"    os.execv(sys.executable, {sleeper(mark)})")

    @posix
    @pytest.mark.slow
    def test_a_file_that_kills_what_watches_over_it_has_no_verdict(self, tmp_path: Path, mark: str) -> None:
        with pytest.raises(RunError, match="killed its monitoring process"):
            checked(tmp_path, f"import os, subprocess, sys, time\nsubprocess.Popen({sleeper(mark)}, "
                    "start_new_session=True)\nos.killpg(0, 9)\ntime.sleep(600)")

    @posix
    @pytest.mark.slow
    @pytest.mark.parametrize("number", [getattr(signal, "SIGKILL", 9), getattr(signal, "SIGHUP", 1)])
    def test_all_ends_when_the_command_is_killed(self, number: int, tmp_path: Path, mark: str) -> None:
        path = tmp_path / "mine.py"
        path.write_text(f"import os, subprocess, sys\nsubprocess.Popen({sleeper(mark)}, start_new_session=True)\n"
                        "while True: pass\nclass A: pass\n", encoding="utf-8")
        copies = tmp_path / "copies"
        copies.mkdir()
        command = subprocess.Popen(
            [sys.executable, "-m", "gru_bench.gru_check", f"{path}:A", "--timeout", "200"], cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(copies)}, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # nohup hands on that it is ignored
        deadline = time.monotonic() + 60
        while not marked(mark):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        begin = time.monotonic()
        command.send_signal(number)
        command.wait()
        while marked(mark) or any(copies.iterdir()):
            assert time.monotonic() - begin < 20
            time.sleep(0.1)

    @posix
    @pytest.mark.slow
    def test_a_file_that_kills_does_not_end_the_others(self, tmp_path: Path, mark: str) -> None:
        kills = f"import os, subprocess, sys\nsubprocess.Popen({sleeper(mark)}, start_new_session=True)\n"
        texts = {"kills.py": f"{kills}os.kill(os.getppid(), 9)\n", "right.py": f"import time\ntime.sleep(8)\n{SPLIT}"}
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        options = Options(None, None, 120)
        with ThreadPoolExecutor(2) as pool:
            killing, right = [pool.submit(sandbox.run, tmp_path / name, options) for name in texts]
            assert isinstance(killing.exception(), (RunError, UsageError))
            assert not marked(mark)
            assert right.result().code == "equal"

    @posix
    @pytest.mark.slow
    def test_a_file_may_have_only_so_many_processes(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=f"{sandbox.MOST_PROCESSES} processes"):
            checked(tmp_path, "import os, time\nfor _ in range(7): os.fork()\ntime.sleep(600)")


class TestLimits:
    @posix
    @pytest.mark.slow
    def test_the_memory_of_forks_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sandbox, "MEMORY", 1)
        with pytest.raises(RunError, match=r"more than 1 GB of memory"):
            checked(tmp_path, "import os, time\nfor n in range(5):\n    if os.fork() == 0:\n"
                    "        x = bytearray(b'x') * (300 * 2 ** 20)\n        time.sleep(600)\ntime.sleep(600)")

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
            with pytest.raises(RunError, match="larger than 100 MB"):
                checked(tmp_path, "import os\nfor _ in range(4096):\n    os.write(2, b'x' * 65536)\nos._exit(3)")
        finally:
            done.set()
            thread.join()
        assert most - before < 50 << 20

    @pytest.mark.slow
    def test_a_large_cell_is_checked(self, tmp_path: Path) -> None:
        assert checked(tmp_path, "", timeout=300, make="GRUCell(300, 640)").code == "equal"


class TestIsolation:
    def test_no_module_comes_from_the_working_directory_or_the_students_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "homework"
        for where in (tmp_path, folder):
            where.mkdir(exist_ok=True)
            for name in ("json", "argparse", "ctypes", "platformdirs", "runpy", "gru_bench", "sitecustomize"):
                (where / f"{name}.py").write_text("raise SystemExit(7)\n", encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", str(tmp_path), str(folder)]))
        monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(folder), *sys.path])
        words, environment = sandbox.command("{", away_from=folder)
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert "JSONDecodeError" in done.stderr  # the order is read, and is none

    @pytest.mark.slow
    def test_a_folder_with_names_of_pythons_modules_is_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
