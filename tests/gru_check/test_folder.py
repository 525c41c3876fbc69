"""A folder of submissions: every file gets its row, none stops the others, and nothing outlives the command."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gru_bench import platforms
from gru_bench.errors import ExitCode, RunError
from gru_bench.gru_check import folder
from gru_bench.gru_check.__main__ import app
from gru_bench.gru_check.codes import Finding, Verdict
from gru_bench.gru_check.folder import COLUMNS, NOT_CHECKED, Row, entries, write_rows
from gru_bench.gru_check.sandbox import Options
from gru_bench.gru_check.submission import Code
from tests.gru_check.students import SPLIT, WRAPPER, mutants, notebook, right_ones
from tests.support.commands import ROOT, completed, mentions

ACCIDENTS = {
    "hangs": "while True: pass",
    "sleeps": "import time\ntime.sleep(600)",
    "forks": "import os, time\nfor _ in range(3): os.fork()\ntime.sleep(600)",
    "starts": "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
              "raise SystemExit",
    "leaves": "import os\nos._exit(0)",
    "crashes": "import ctypes\nctypes.string_at(0)",
    "takes": "x = bytearray(10 * 2 ** 30)",
    "prints": "while True: print('x' * 1000)",
    "prints_much": "print('x' * 10_000_000)\n" + SPLIT,
    "reads": "print(open('../claims.csv').read())",
    "writes": "import pathlib\npathlib.Path(__file__).write_text('x')\nraise SystemExit",
    "fills": "with open('large', 'wb') as file:\n    while True: file.write(bytes(10 ** 6))",
    "recurs": "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()",
    "broken": "def f(:",
    "raises": "raise KeyboardInterrupt",
}
"""Name of a file -> what it does when it is executed."""


def rows_of(path: Path) -> dict[str, Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: Row(**row) for row in csv.DictReader(file)}


def state(root: Path) -> dict[str, tuple[str, int]]:
    """Content and time of change of each file."""
    return {str(path.relative_to(root)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Verdicts without processes; the names of the files that were checked."""
    seen: list[str] = []

    def run(path: Path, options: Options, guards: object) -> Verdict:
        seen.append(path.name)
        if "stop" in path.read_text(encoding="utf-8"):
            raise KeyboardInterrupt
        if "refused" in path.read_text(encoding="utf-8"):
            raise RunError("refused")
        if "right" in path.read_text(encoding="utf-8"):
            return Verdict((Finding("equal"),), "a layer, forward(x), batch first", name="GRU")
        return Verdict((Finding("mixing", "It mixes.", 1), Finding("no-bias"), Finding("library", "", 5)), "a cell",
                       name="GRU")

    monkeypatch.setattr(folder, "run", run)
    return seen


def test_every_entry_of_a_folder_is_there_but_for_hidden_ones_environments_and_the_table() -> None:
    for name in ("a/env/pyvenv.cfg", "a/env/lib/six.py", "g/.venv/six.py", "g/g.py", "g/node_modules/x.py",
                 "g/site-packages/six.py", "venv/pyvenv.cfg", "venv/six.py", "b.py",
                 "a/x.ipynb", "a/.ipynb_checkpoints/x.ipynb", "a/x.pdf", "__pycache__/b.py", ".hidden.py",
                 ".DS_Store", "__MACOSX/b.py", "C.PY", "d.zip", "e/essay.pdf", "f/g/x.py", "f/g/y.py", "table.csv"):
        path = Path("all") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("all/h.py").mkdir()
    assert entries(Path("all"), Path("all/table.csv")) == [
        "C.PY", "a/x.ipynb", "b.py", "d.zip", "e", "f/g/x.py", "f/g/y.py", "g/g.py", "h.py"]


def test_every_entry_has_a_row_and_what_is_no_code_is_not_checked(fast: list[str]) -> None:
    Path("all/empty").mkdir(parents=True)
    Path("all/essay.pdf").touch()
    Path("all/ada.py").write_text("# right", encoding="utf-8")
    done = completed(app, "all", "--csv", "all/t.csv")
    assert done.returncode == ExitCode.INCOMPLETE
    mentions(done.stdout, "3 submissions", "2 not checked")
    rows = rows_of(Path("all/t.csv"))
    assert {name: row.verdict for name, row in rows.items()} == {
        "ada.py": "a GRU", "empty": NOT_CHECKED, "essay.pdf": NOT_CHECKED}
    mentions(rows["empty"].note, "contains neither a Python file nor a notebook")
    mentions(rows["essay.pdf"].note, "is neither a Python file nor a notebook")
    assert fast == ["ada.py"]


def test_a_row_holds_mistakes_conventions_and_the_first_line() -> None:
    verdict = Verdict((Finding("mixing", "It mixes."), Finding("no-bias"), Finding("padding", "", 12)), "a layer",
                      name="GRU")
    row = Row.of("ada/x.py", verdict, Code("\n" * 11 + "  h = cell(x)"))
    assert (row.student, row.verdict, row.codes, row.line, row.statement, row.convention, row.form, row.note) == (
        "ada", "not a GRU", "mixing, padding", "line 12", "h = cell(x)", "no-bias", "a layer", "It mixes.")


def test_the_table_is_a_new_one_or_one_of_this_command(fast: list[str]) -> None:
    Path("all").mkdir()
    for name in ("a.py", "b.py", "c.py"):
        Path("all", name).write_text(f"# {name}", encoding="utf-8")
    for _ in range(2):
        done = completed(app, "all", "--csv", "t.csv", "--jobs", "2")
        assert done.returncode == ExitCode.NO, done.stderr
        mentions(done.stdout, "a.py: not a GRU (mixing, library; line 1; no-bias)", "3 submissions: 3 not a GRU")
    assert sorted(fast) == ["a.py", "a.py", "b.py", "b.py", "c.py", "c.py"]
    assert list(rows_of(Path("t.csv"))) == ["a.py", "b.py", "c.py"]
    assert tuple(Path("t.csv").read_text(encoding="utf-8").splitlines()[0].split(",")) == COLUMNS
    Path("other.csv").write_text("file,points\n", encoding="utf-8")
    for name in ("other.csv", "no/t.csv", "."):
        done = completed(app, "all", "--csv", name)
        assert done.returncode == ExitCode.MISTYPED
        mentions(done.stderr, "--csv")


def test_names_that_are_formulas_are_written_as_text() -> None:
    rows = [Row("=a", "=a.py", "a GRU", note='say "x", y'), Row("b", "b.py", NOT_CHECKED, seconds="1.0")]
    write_rows(Path("t.csv"), rows)
    written = rows_of(Path("t.csv"))
    assert written["b.py"] == rows[1]
    assert written["'=a.py"].note == rows[0].note


def test_rows_stay_after_an_interruption(fast: list[str]) -> None:
    Path("all").mkdir()
    for name, text in (("a.py", "# a"), ("b.py", "# stop"), ("c.py", "# c")):
        Path("all", name).write_text(text, encoding="utf-8")
    assert completed(app, "all", "--csv", "t.csv", "--jobs", "1").returncode == ExitCode.INTERRUPTED
    assert list(rows_of(Path("t.csv"))) == ["a.py"]


def test_the_exit_code_is_the_highest_of_the_files(fast: list[str]) -> None:
    Path("all").mkdir()
    Path("all/a.py").write_text("# right", encoding="utf-8")
    assert completed(app, "all").returncode == ExitCode.DONE
    Path("all/c.py").write_text("# refused", encoding="utf-8")
    assert completed(app, "all").returncode == ExitCode.INCOMPLETE
    Path("all/b.py").write_text("# b", encoding="utf-8")
    assert completed(app, "all").returncode == ExitCode.NO


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_folder_of_sixty_files_with_accidents_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """All files have a row, nothing is left running, and the teacher's files are as they were."""
    root = Path("course").resolve()
    submissions = root / "submissions"
    submissions.mkdir(parents=True)
    (root / "claims.csv").write_text("student,accuracy\n", encoding="utf-8")
    monkeypatch.chdir(submissions)
    for name, text in ACCIDENTS.items():
        Path(f"{name}.py").write_text(f"{text}\nclass GRU: pass\n", encoding="utf-8")
    students = [student for student in (*right_ones(), *mutants()) if student.codes != ("unknown",)]
    for number, student in enumerate(students[:120:3]):
        Path(f"student{number:02}.py").write_text(student.written(), encoding="utf-8")
    Path("wrapper.py").write_text(WRAPPER, encoding="utf-8")
    notebook("import pandas as pd\npd.read_csv('x.csv')", SPLIT, "raise SystemExit", name="book.ipynb")
    while len(list(Path().iterdir())) < 60:
        Path(f"copy{len(list(Path().iterdir())):02}.py").write_text(SPLIT, encoding="utf-8")
    before, mark = state(root), f"mark-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.chdir(root)
    done = subprocess.run(
        [sys.executable, "-m", "gru_bench.gru_check", "submissions", "--csv", "../checked.csv", "--timeout", "40",
         "--jobs", "2"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": mark},
        timeout=1700, check=False)
    assert done.returncode == ExitCode.NO, done.stdout + done.stderr
    rows = rows_of(root.parent / "checked.csv")
    assert list(rows) == entries(submissions)
    assert len(rows) == 60
    assert {name: rows[f"{name}.py"].verdict for name in ACCIDENTS if name != "prints_much"} == {
        name: NOT_CHECKED for name in ACCIDENTS if name != "prints_much"}
    assert rows["prints_much.py"].verdict == rows["book.ipynb"].verdict == "a GRU"
    assert rows["wrapper.py"].verdict == "a GRU, not written from scratch"
    assert not [row for name, row in rows.items() if name.startswith("student") and row.verdict not in (
        "a GRU", "not a GRU", "a GRU, not written from scratch")]
    assert sum(row.verdict == "not a GRU" for row in rows.values()) > 15
    assert state(root) == before
    assert not [process.pid for process in psutil.process_iter(["environ"])
                if (process.info["environ"] or {}).get("MARK") == mark]
    for name, said in (("fills", "100 MB"), ("sleeps", "within 40 s"), ("takes", "memory")):
        mentions(rows[f"{name}.py"].note, said)


@pytest.mark.slow
@pytest.mark.skipif(platforms.WINDOWS, reason="SIGINT")
def test_ctrl_c_ends_all_and_keeps_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("all").mkdir()
    Path("all/a.py").write_text(SPLIT, encoding="utf-8")
    for name in ("b.py", "c.py", "d.py"):
        Path("all", name).write_text(ACCIDENTS["sleeps"], encoding="utf-8")
    command = subprocess.Popen(
        [sys.executable, "-m", "gru_bench.gru_check", "all", "--csv", "t.csv", "--jobs", "2"], text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 90
    while not (Path("t.csv").exists() and "a.py" in rows_of(Path("t.csv"))):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    below = psutil.Process(command.pid).children(recursive=True)
    begin = time.monotonic()
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert time.monotonic() - begin < 15
    assert command.returncode == ExitCode.INTERRUPTED
    assert not [one for one in below if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert list(rows_of(Path("t.csv"))) == ["a.py"]
