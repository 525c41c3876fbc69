"""What one system lacks is asked for in one place, and each answer has a form for the other systems."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gru_bench import platforms
from tests.support.commands import ROOT
from tests.support.sources import nodes

HERE = "platforms.py"
ELSEWHERE = ("kernels", "gru_check")
"""Folders that bring no file into place and have checks of the processor of their own."""
UNIX_MODULES = {"resource", "fcntl", "pwd", "grp", "termios"}
UNIX_NAMES = {"os.fork", "os.kill", "os.killpg", "os.getuid", "os.geteuid", "os.symlink", "os.sched_getaffinity",
              "os.setsid", "os.chmod", "signal.pthread_sigmask", "signal.SIGKILL", "signal.SIGHUP", "signal.alarm",
              "sys.platform", "platform.system", "multiprocessing.resource_tracker"}


def modules() -> Iterator[tuple[str, tuple[ast.AST, ...]]]:
    for path in sorted((ROOT / "gru_bench").rglob("*.py")):
        if path.name != HERE and path.relative_to(ROOT / "gru_bench").parts[0] not in ELSEWHERE:
            yield str(path.relative_to(ROOT)), nodes(path)


def test_no_other_module_uses_what_some_systems_lack() -> None:
    found = []
    for name, tree in modules():
        for node in tree:
            if isinstance(node, ast.Import):
                found += [(name, alias.name) for alias in node.names if alias.name in UNIX_MODULES]
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found += [(name, one) for one in sorted(names & UNIX_NAMES | {str(node.module)} & UNIX_MODULES)]
            elif isinstance(node, ast.Attribute) and ast.unparse(node) in UNIX_NAMES:
                found.append((name, ast.unparse(node)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/proc/"):
                found.append((name, node.value))
    assert not found


def test_files_are_moved_and_removed_in_one_place() -> None:
    """A virus scanner may hold any of them open."""
    found = []
    for name, tree in modules():
        for node in tree:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                method, count = node.func.attr, len(node.args)
                of_a_path = (method == "replace" and count == 1 and ast.unparse(node.func.value) != "platforms"
                             and not node.keywords) or method == "unlink"
                if of_a_path:
                    found.append((name, ast.unparse(node)))
    assert not found


def test_text_files_name_their_encoding() -> None:
    """Without a name, Windows writes cp1252."""
    found = []
    for name, tree in modules():
        for node in tree:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                method = node.func.attr
                named = {word.arg for word in node.keywords}
                binary = method == "open" and any(isinstance(mode, ast.Constant) and "b" in str(mode.value)
                                                  for mode in node.args)
                if (method in ("read_text", "write_text") and "encoding" not in named) or (
                        method == "open" and ast.unparse(node.func.value) not in ("gzip", "os")
                        and not binary and "encoding" not in named):
                    found.append((name, ast.unparse(node)))
    assert not found


class TestProcesses:
    @pytest.fixture(params=[platforms.LINUX, False], ids=["here", "psutil"], autouse=True)
    def _system(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platforms, "LINUX", request.param)

    def test_a_process_is_alive_until_it_has_ended(self) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        start = platforms.process_start(process.pid)
        assert platforms.is_alive(process.pid, start)
        process.kill()
        while platforms.process_start(process.pid) != platforms.ENDED:  # nobody has collected it
            time.sleep(0.01)
        assert not platforms.is_alive(process.pid, start)
        process.wait()
        assert not platforms.is_alive(process.pid, start)

    def test_a_later_process_of_the_same_id_is_another(self) -> None:
        start = platforms.process_start(os.getpid())
        assert platforms.is_alive(os.getpid(), start)
        assert not platforms.is_alive(os.getpid(), str(float(start) - 10))

    def test_a_start_that_is_not_known_is_no_other(self) -> None:
        assert platforms.is_alive(os.getpid(), platforms.UNKNOWN)


def test_the_peak_memory_is_in_bytes_on_each_system(monkeypatch: pytest.MonkeyPatch) -> None:
    here = platforms.peak_memory()
    assert 10 << 20 < here < 1 << 40
    monkeypatch.setattr(platforms, "WINDOWS", True)
    assert here / 10 < platforms.peak_memory() <= 2 * here


class TestHeldOpen:
    """Windows refuses to replace or remove a file that another program holds open."""

    @pytest.fixture(autouse=True)
    def _windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platforms, "WINDOWS", True)
        monkeypatch.setattr(platforms, "HELD_SECONDS", 0.2)
        self.refusals = 0
        real = os.replace

        def refuse(source: Path, target: Path) -> None:
            self.refusals -= 1
            if self.refusals >= 0:
                raise PermissionError(13, "used by another process")
            real(source, target)

        monkeypatch.setattr(os, "replace", refuse)
        Path("old").write_text("old", encoding="utf-8")
        Path("new").write_text("new", encoding="utf-8")

    def test_it_is_tried_again_for_a_moment(self) -> None:
        self.refusals = 3
        platforms.replace(Path("new"), Path("old"))
        assert Path("old").read_text(encoding="utf-8") == "new"
        assert not Path("new").exists()

    def test_it_is_an_error_only_where_the_new_file_is_needed(self) -> None:
        self.refusals = 1_000
        with pytest.raises(PermissionError):
            platforms.replace(Path("new"), Path("old"))
        platforms.replace_if_free(Path("new"), Path("old"))
        assert Path("old").read_text(encoding="utf-8") == "old"
        assert not Path("new").exists()

    def test_a_file_that_cannot_be_removed_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path, missing_ok: bool = False) -> None:
            raise PermissionError(13, "used by another process")

        monkeypatch.setattr(Path, "unlink", refuse)
        platforms.remove(Path("old"))
        monkeypatch.setattr(platforms, "WINDOWS", False)
        with pytest.raises(PermissionError):
            platforms.remove(Path("old"))

    def test_on_other_systems_a_refusal_is_one_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platforms, "WINDOWS", False)
        self.refusals = 1
        with pytest.raises(PermissionError):
            platforms.replace(Path("new"), Path("old"))
        assert self.refusals == 0


@pytest.mark.parametrize(("name", "reserved"), [
    ("con", True), ("NUL", True), ("aux.txt", True), ("com1", True), ("lpt9.tar.gz", True), ("nul ", True),
    ("console", False), ("my-con", False), ("com10", False), ("", False),
])
def test_names_of_devices(name: str, reserved: bool) -> None:
    assert platforms.is_reserved(name) is reserved


def test_the_cache_is_where_the_system_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = platforms.cache_folder()
    assert "gru-bench" in folder.parts
    if platforms.LINUX:
        assert folder == tmp_path / ".cache" / "gru-bench"


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_pwd() -> str:
        raise ModuleNotFoundError("No module named 'pwd'")

    monkeypatch.setattr("getpass.getuser", without_pwd)
    assert platforms.user() == "unknown"


@pytest.mark.skipif(platforms.WINDOWS, reason="a process group")
def test_a_process_ends_with_its_group() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen([
        sys.executable, "-c", f"import subprocess, time\nprint(subprocess.Popen({sleep!r}).pid, flush=True)\n"
        "time.sleep(60)"], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    with child.stdout:
        pid = int(child.stdout.readline())
    platforms.end_group(child)
    assert child.returncode is not None
    deadline = time.monotonic() + 10
    while platforms.is_alive(pid, platforms.process_start(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(platforms.WINDOWS, reason="no such limit")
def test_processor_time_is_limited() -> None:
    done = subprocess.run([sys.executable, "-c", "from gru_bench import platforms\nplatforms.cores = lambda: 1\n"
                           "platforms.limit_processor_time(0.1)\nwhile True: pass"], cwd=ROOT)
    assert done.returncode < 0


@pytest.mark.skipif(platforms.WINDOWS, reason="no such limit")
def test_the_size_of_written_files_is_limited(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "from gru_bench import platforms\nplatforms.limit_file_size(1000)\n"
                           f"with open({str(tmp_path / 'x')!r}, 'wb') as file: file.write(bytes(2000))"],
                          cwd=ROOT, capture_output=True)
    assert done.returncode == 1
    assert b"OSError" in done.stderr
    assert (tmp_path / "x").stat().st_size <= 1000
