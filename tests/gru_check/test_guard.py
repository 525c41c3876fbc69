"""The guard: nothing of a student's file outlives the check, exceeds its limits, or writes its verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gru_bench import platforms
from gru_bench.errors import RunError
from gru_bench.gru_check import guard
from gru_bench.gru_check.child import Options
from gru_bench.gru_check.claim import DRAWN, drawn, holds
from gru_bench.gru_check.codes import Verdict
from tests.gru_check.students import SPLIT
from tests.support.commands import ROOT, mentions

posix = pytest.mark.skipif(platforms.WINDOWS, reason="os.fork")
FORGED = """
import json, os, sys
line = json.dumps({"verdict": {"findings": [{"code": "equal"}], "form": "forged", "notes": [], "name": "A"},
                   "claims": []}) + "\\n"
"""


def checked(
    tmp_path: Path, first_lines: str, timeout: float = 60, memory: float = 4, name: str = "mine.py", speed: bool = False
) -> Verdict:
    """Verdict on a right cell, whose file begins with these lines."""
    path = tmp_path / name
    path.write_text(first_lines + "\n" + SPLIT, encoding="utf-8")
    return guard.run(path, Options("GRUCell", None, {}, memory, timeout, speed))


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """A word that occurs in the command line of each process of a test. None of them must be left."""
    word = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    yield word
    assert not marked(word)


def marked(word: str) -> list[int]:
    import psutil

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
        mentions(" ".join(verdict.notes), "1 process", "ended")

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
        mentions(" ".join(verdict.notes), "3 processes", "ended")

    @posix
    @pytest.mark.slow
    def test_a_fork_ends_with_the_check_that_it_ends(self, tmp_path: Path, mark: str) -> None:
        with pytest.raises(RunError):
            checked(tmp_path, "import os, sys\nif os.fork() == 0:\n    os.kill(os.getppid(), 9)\n"
                    f"    os.execv(sys.executable, {sleeper(mark)})")

    @posix
    @pytest.mark.slow
    def test_a_file_that_kills_the_guard_has_no_verdict(self, tmp_path: Path, mark: str) -> None:
        with pytest.raises(RunError, match="ended the process that watches"):
            checked(tmp_path, f"import os, subprocess, sys\nsubprocess.Popen({sleeper(mark)}, start_new_session=True)\n"
                    "os.kill(os.getppid(), 9)")

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
    def test_a_file_that_kills_its_guard_does_not_end_the_others(self, tmp_path: Path, mark: str) -> None:
        kills = f"import os, subprocess, sys\nsubprocess.Popen({sleeper(mark)}, start_new_session=True)\n"
        texts = {"kills.py": f"{kills}os.kill(os.getppid(), 9)\n", "right.py": f"import time\ntime.sleep(8)\n{SPLIT}"}
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        options = Options(None, None, {}, 4, 120)
        with guard.Guards() as guards, ThreadPoolExecutor(2) as pool:
            killing, right = [pool.submit(guard.run, tmp_path / name, options, guards) for name in texts]
            assert isinstance(killing.exception(), RunError)
            assert not marked(mark)
            assert right.result().code == "equal"

    @posix
    @pytest.mark.slow
    def test_a_file_may_have_only_so_many_processes(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=f"at most {guard.MOST_PROCESSES} processes"):
            checked(tmp_path, "import os, time\nfor _ in range(7): os.fork()\ntime.sleep(600)")


class TestLimits:
    @posix
    @pytest.mark.slow
    def test_the_memory_of_forks_counts(self, tmp_path: Path) -> None:
        with pytest.raises(RunError, match=r"1 GB of memory, but took more"):
            checked(tmp_path, "import os, time\nfor n in range(5):\n    if os.fork() == 0:\n"
                    "        x = bytearray(b'x') * (300 * 2 ** 20)\n        time.sleep(600)\ntime.sleep(600)",
                    memory=1)

    @pytest.mark.slow
    def test_much_output_takes_no_memory_of_the_command(self, tmp_path: Path) -> None:
        before = platforms.taken_memory([os.getpid()])
        most = 0

        def watch() -> None:
            nonlocal most
            while not done.wait(0.1):
                most = max(most, platforms.taken_memory([os.getpid()]))

        done = threading.Event()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            with pytest.raises(RunError, match=r"at most 100 MB.*output was cut"):
                checked(tmp_path, "import os\nfor _ in range(4096):\n    os.write(2, b'x' * 65536)\nos._exit(3)")
        finally:
            done.set()
            thread.join()
        assert most - before < 50 << 20

    def test_a_reader_keeps_the_end_of_what_it_reads(self) -> None:
        reads, writes = os.pipe()
        with os.fdopen(reads, "rb") as pipe:
            reader = guard._Reader(pipe, 1000)
            for _ in range(100):
                os.write(writes, b"x" * 4000)
            os.write(writes, b"end")
            os.close(writes)
            reader.join(10)
            kept = reader.take()
        assert len(kept) == 1000
        assert kept.endswith(b"xend")
        assert reader.dropped == reader.size - 1000 == 399_003


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
        done = subprocess.run(guard.command("gru_bench.platforms", away_from=folder), capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

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


class TestVerdicts:
    @pytest.mark.slow
    @pytest.mark.parametrize("how", [
        "for fd in range(3, 64):\n    try: os.write(fd, line.encode())\n    except OSError: pass\nos._exit(0)",
        "f = sys._getframe()\nwhile f:\n    if 'answer' in f.f_locals: f.f_locals['answer'](json.loads(line))\n"
        "    f = f.f_back\nos._exit(0)",
        "import gc\nfor f in gc.get_objects():\n    if getattr(f, '__qualname__', '').endswith('.answer'):\n"
        "        f(json.loads(line))\nos._exit(0)",
        "from gru_bench.gru_check import check\nfrom gru_bench.gru_check.codes import Finding, Verdict\n"
        "check.check_loaded = lambda *_: check.Checked(Verdict((Finding('equal'),), 'forged'), None)",
        "for fd in range(3):\n    try:\n        with open(f'/proc/{os.getppid()}/fd/{fd}', 'w') as f: "
        "f.write(line)\n    except OSError: pass\nos._exit(0)",
    ], ids=["descriptors", "frames", "objects", "the check", "descriptors of the guard"])
    def test_a_file_cannot_write_its_own_verdict(self, how: str, tmp_path: Path) -> None:
        with pytest.raises(RunError):
            checked(tmp_path, FORGED + how)

    def claim(self, **changes: Any) -> dict[str, Any]:
        return {"batch": 2, "weight_ih": [[0.5], [-1.0], [1.5]], "weight_hh": [[-0.5], [0.75], [0.5]],
                "bias_ih": [0.25, 0.25, 0.25], "bias_hh": [0, 0, 0.25], "before": [[0.125]], **changes}

    def states(self, seed: int, u_r: float = -0.5, u_z: float = 0.75, u_n: float = 0.5, v: float = 0.125) -> list[Any]:
        """States of the cell of `claim`, computed with torch."""
        import torch

        x, h = map(torch.from_numpy, drawn(seed, 0, 2, 1, 1))
        r, z = torch.sigmoid(0.5 * x + u_r * h + 0.25), torch.sigmoid(-x + u_z * h + 0.25)
        n = torch.tanh(1.5 * x + 0.25 + r * (u_n * h + 0.25) + v * (r * h))
        states: list[Any] = (z * h + (1 - z) * n).tolist()
        return states

    def test_states_of_a_gru_agree_with_its_claim(self) -> None:
        assert len(self.states(5)) == DRAWN
        assert holds([self.claim()], 5, [self.states(5)])

    def test_what_is_no_gru_or_was_drawn_from_another_seed_does_not_agree(self) -> None:
        states = self.states(5)
        assert not holds([self.claim()], 6, [states])
        assert not holds([self.claim(before=[[0.25]])], 5, [states])
        assert not holds([], 5, [])
        assert not holds([self.claim()], 5, [])
        assert not holds([{}], 5, [states])
        assert not holds([self.claim(weight_ih=[0.5, -1.0, 1.5])], 5, [states])
        assert not holds([self.claim()], 5, [[[["nan"]]]])

    @pytest.mark.parametrize(("u_r", "u_z", "u_n", "v", "is_one"), [
        (0, 0.75, 0.5, 0.125, False), (-0.5, 0, 0.5, 0.125, False), (-0.5, 0.75, 0, 0, False),
        (-0.5, 0.75, 0, 0.125, True), (-0.5, 0.75, 0.5, 0, True)])
    def test_each_gate_of_a_claimed_gru_reads_the_state(
        self, u_r: float, u_z: float, u_n: float, v: float, is_one: bool
    ) -> None:
        claim = self.claim(weight_hh=[[u_r], [u_z], [u_n]], before=[[v]])
        assert holds([claim], 5, [self.states(5, u_r, u_z, u_n, v)]) == is_one

    def test_an_answer_that_is_no_object_is_passed_over(self) -> None:
        assert guard._answer(b"[1]") is None
        assert guard._answer(b"\xff{") is None
        assert guard._answer(json.dumps({"done": True}).encode()) == {"done": True}


@pytest.mark.slow
def test_the_speed_of_a_file_is_measured(tmp_path: Path) -> None:
    verdict = checked(tmp_path, "", timeout=300, speed=True)
    own, torch_gru, *_ = verdict.speed
    assert (own[0], torch_gru[0]) == ("GRUCell (300 -> 100)", "torch.nn.GRU")
    assert all(0 < least <= median <= most for _, median, least, most in verdict.speed)
    assert "speed" not in " ".join(verdict.notes)


@pytest.mark.slow
def test_output_in_another_encoding_is_shown(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="code 3: caf"):
        checked(tmp_path, "import os\nos.write(2, b'caf\\xe9')\nos._exit(3)")
