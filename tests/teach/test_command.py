"""The command gru-check: what it prints, its exit codes, and every way in which a file can fail."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from gru_bench import cli
from gru_bench.errors import ExitCode, GruBenchError, RunError
from gru_bench.teach.__main__ import app
from gru_bench.teach.check import check
from gru_bench.teach.child import Request
from gru_bench.teach.child import run as run_child
from gru_bench.teach.codes import KINDS
from tests.support.commands import ROOT, run
from tests.teach.students import NOTEBOOK, SPLIT, STYLES


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def shown(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of the command."""
    monkeypatch.setattr(sys, "argv", ["gru-bench gru-check", *words])
    code = cli.ended(app)
    return code, capsys.readouterr().out


def test_the_homework_is_a_gru(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"print('noise')\n{NOTEBOOK}")
    code, said = shown([f"{path}:GRUClassifier", "--no-speed"], monkeypatch, capsys)
    assert code == ExitCode.DONE
    assert said.startswith("This executes mine.py in a process of its own: at most 120 s and 4 GB.\n")
    assert "GRUClassifier: a GRU\n" in said
    assert "noise" not in said
    for words in ("[update-inverted]", "[reset-before]", "[single-bias]", "docs/gru-check/reset-before.md",
                  "at mine.py, line 32"):
        assert words in said


def test_a_mistake_ends_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gru_bench.teach.child.run", lambda request, timeout: check(Path(request.path), request.name))
    path = written(tmp_path, SPLIT.replace("r * self.U_n(h)", "self.U_n(h)"))
    code, said = shown([f"{path}:GRUCell", "--no-speed"], monkeypatch, capsys)
    assert code == ExitCode.NO
    assert "GRUCell: not a GRU\n" in said
    assert "[reset-unused] The reset gate has no effect" in said


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("import time\ntime.sleep(60)\nclass A: pass\n", "time", "must be checked within 3 s, but was not"),
    ("x = bytearray(3 * 2 ** 30)\nclass A: pass\n", "memory", "memory"),
])
def test_limits(text: str, kind: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RunError, match=message):
        run_child(Request(str(path), "A", None, {}, 1.0, False), timeout=3.0 if kind == "time" else 60.0)


@pytest.mark.parametrize(("name", "text", "message"), [
    ("GruCell", SPLIT, "unknown name in mine.py 'GruCell'. Did you mean 'GRUCell'? It must be one of GRUCell."),
    ("A", "def A(:\n", "mine.py must be Python, but it cannot be read at line 1"),
    ("A", "x = 1 / 0\nclass A: pass\n", "mine.py, line 1: ZeroDivisionError to run the file: division by zero"),
    ("A", "x = batch_size\nclass A: pass\n", "the name 'batch_size' is not defined: give its value with "
                                             "--define batch_size=VALUE"),
    ("A", "open('reviews.txt')\nclass A: pass\n", "code at the top level of the file reads files"),
    ("A", "import no_such_module\nclass A: pass\n", "No module named 'no_such_module': install it"),
    ("A", "raise SystemExit(3)\nclass A: pass\n", "the file ends the program"),
    ("A", "class A:\n    def __init__(self, options): pass\n", "add --make \"A(...)\""),
    ("A", "A = 3\n", "A must be a class or a function that builds a GRU, but it is a int"),
    ("GRUCell", SPLIT.replace("self.W_r(x) +", "self.W_q(x) +"),
     "mine.py, line 19: AttributeError in every call that was tried"),
    ("GRUCell", SPLIT.replace("self.W_r(x) +", "scale * self.W_r(x) +"), "--define scale=VALUE"),
    ("GRUCell", SPLIT.replace("return z * h", "return torch.randn_like(h) + z * h"),
     "mine.py, line 22: GRUCell is random in evaluation, by randn_like, and not by dropout"),
    ("GRUCell", SPLIT.replace("self.W_r(x) +", "self.W_r(x).cuda() +"), "mine.py needs CUDA"),
])
def test_failures_say_what_to_do(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(GruBenchError, match=re.escape(message)):
        check(written(tmp_path, text), name)


def test_a_global_of_the_notebook_is_given(tmp_path: Path) -> None:
    text = NOTEBOOK.replace("torch.zeros(1, hidden_size)", "torch.zeros(batch_size, hidden_size)")
    assert check(written(tmp_path, text), "GRUClassifier", defines={"batch_size": "1"}).code == "update-inverted"


def test_an_expression_builds_it(tmp_path: Path) -> None:
    text = SPLIT.replace("input_size, hidden_size):", "sizes):\n        input_size, hidden_size = sizes")
    assert check(written(tmp_path, text), "GRUCell", "GRUCell((E, H))").code == "equal"


@pytest.mark.parametrize(("words", "message"), [
    (["mine.py"], "FILE.py:NAME must be a file and a name in it, such as homework.py:GRU, but got 'mine.py'"),
    (["none.py:GRU"], "there is no 'none.py'"),
    (["mine.py:GRU", "--define", "batch_size"], "--define must be NAME=VALUE, such as batch_size=1"),
])
def test_what_is_wrongly_typed(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    written(tmp_path, SPLIT)
    code, said = run(app, words, monkeypatch, capsys)
    assert (code, message in said) == (ExitCode.MISTYPED, True), said


@pytest.mark.parametrize("code", KINDS)
def test_every_finding_has_a_page_and_a_picture(code: str) -> None:
    page = ROOT / "docs" / "gru-check" / f"{code}.md"
    text = page.read_text(encoding="utf-8")
    assert f"`[{code}]`" in text
    assert f"]({code}.svg)" in text
    assert len(text.splitlines()) <= 20
    picture = page.with_suffix(".svg").read_text(encoding="utf-8")
    assert picture.rstrip().endswith("</svg>")
    assert len(picture) < 20_000
    assert f"[`{code}`](gru-check/{code}.md)" in (ROOT / "docs" / "gru-check.md").read_text(encoding="utf-8")


def test_every_finding_has_a_drawing() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "gru-check" / "draw.py"))
    assert drawn["PICTURES"].keys() == KINDS.keys()
    assert drawn["svg"]("mixing") == drawn["svg"]("mixing")


def test_styles_are_files_that_run() -> None:
    for style in STYLES.values():
        compile(style.text, "style", "exec")
