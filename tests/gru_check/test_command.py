"""The command gru-check: what it prints, its exit codes, and every way in which a file can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from gru_bench import cli
from gru_bench.errors import ExitCode, GruBenchError
from gru_bench.gru_check.__main__ import app
from gru_bench.gru_check.codes import KINDS
from gru_bench.gru_check.sandbox import Options
from gru_bench.gru_check.sandbox import run as run_child
from tests.gru_check.students import NOTEBOOK, SPLIT, check
from tests.support.commands import ROOT, completed, mentions


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def shown(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of the command."""
    monkeypatch.setattr(sys, "argv", ["gru-bench gru-check", *words])
    code = cli.ended(app)
    return code, capsys.readouterr().out


def test_a_right_gru_ends_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"print('noise')\n{NOTEBOOK}")
    code, said = shown([f"{path}:GRUClassifier"], monkeypatch, capsys)
    assert code == ExitCode.DONE
    mentions(said.splitlines()[0], "mine.py", "120 s", "4 GB")
    assert "noise" not in said
    mentions(said, "GRUClassifier: a GRU", "[update-inverted]", "[reset-before]", "[single-bias]",
             "at mine.py, line 32", "n = torch.tanh(W_n(x) + U_n(r * h))")


def test_a_wrong_gru_ends_with_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gru_bench.gru_check.sandbox.run",
                        lambda path, options: check(path, options.name))
    path = written(tmp_path, SPLIT.replace("r * self.U_n(h)", "self.U_n(h)"))
    code, said = shown([f"{path}:GRUCell"], monkeypatch, capsys)
    assert code == ExitCode.NO
    mentions(said, "GRUCell: not a GRU", "[reset-unused]")
    assert "[single-bias]" not in said  # the bias of a gate that nothing uses cannot be seen


@pytest.mark.parametrize(("text", "parts"), [
    (SPLIT.replace("return z * h", "return torch.tanh(z * h").replace("(1 - z) * n", "(1 - z) * n)"),
     ["not identified", "[unknown]"]),
    (SPLIT.replace("return z * h", "return h.sub(2).log() + z * h"), ["not identified", "nan"]),
    ("def A(:\n", ["mine.py", "line 1"]), ("raise SystemExit(3)\n" + SPLIT, ["SystemExit"])])
def test_what_could_not_be_judged_ends_with_3(
    text: str, parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gru_bench.gru_check.sandbox.run", lambda path, options: check(path, options.name))
    path = written(tmp_path, text)
    monkeypatch.setattr(sys, "argv", ["gru-bench gru-check", str(path)])
    assert cli.ended(app) == ExitCode.INCOMPLETE
    captured = capsys.readouterr()
    mentions(captured.out + captured.err, *parts)


@pytest.mark.parametrize(("name", "text", "parts"), [
    ("GruCell", SPLIT, ["mine.py", "'GruCell'", "Did you mean 'GRUCell'?"]),
    ("A", "def A(:\n", ["mine.py", "line 1"]),
    ("A", "x = 1 / 0\nclass A: pass\n", ["mine.py, line 1", "ZeroDivisionError", "division by zero"]),
    ("A", "open('reviews.txt')\nclass A: pass\n", ["'reviews.txt'", "if __name__ =="]),
    ("A", "raise SystemExit(3)\nclass A: pass\n", ["SystemExit: 3", "if __name__ =="]),
    ("A", "class A:\n    def __init__(self, options): pass\n", ["--make \"A(...)\""]),
    ("A", "A = 3\n", ["mine.py: A must compute with weights that are tensors of torch"]),
    ("GRUCell", SPLIT.replace("self.W_r(x) +", "self.W_q(x) +"), [
        "mine.py, line 19", "GRUCell(5, 4)(x, h) with x of shape (7, 5) and h of shape (7, 4)", "AttributeError",
        "returns the new state"]),
    ("GRUCell", SPLIT.replace("return z * h", "return torch.randn_like(h) + z * h"),
     ["mine.py, line 22", "GRUCell(5, 4) is random"]),
    ("A", "import torch; torch.cuda.current_device()\nclass A: pass\n", ["mine.py", "CUDA"]),
    ("A", "%matplotlib inline\nclass A: pass\n", ["mine.py must be Python", "line 1"]),
    ("A", "# coding: no-such-encoding\nclass A: pass\n", ["mine.py", "encoding"]),
    ("A", "# caf\udce9\nclass A: pass\n", ["mine.py must be Python", "encoding"]),
    ("GRUCell", SPLIT.replace("return z", "new = z"), ["GRUCell(5, 4)(x, h)", "returned no tensor"]),
    ("A", f"x = {'-' * 100_000}1\nclass A: pass\n", ["mine.py must be Python"]),
])
def test_a_file_that_cannot_be_checked_is_explained(name: str, text: str, parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(GruBenchError) as refused:
        check(written(tmp_path, text), name)
    mentions(str(refused.value), *parts)


@pytest.mark.parametrize("first_line", [
    "import torch; torch.set_default_dtype(torch.float32)", "import torch; torch.set_grad_enabled(False)",
    "import torch; torch.set_default_device('meta')", "import torch; torch.set_default_device('cuda')",
    "\ufeff",
    "# -*- coding: latin-1 -*-\n# caf\udce9",
])
def test_settings_and_encodings_of_a_file_do_not_matter(first_line: str, tmp_path: Path) -> None:
    default = torch.get_default_dtype()
    assert check(written(tmp_path, f"{first_line}\n{SPLIT}"), "GRUCell").code == "equal"
    assert torch.get_default_dtype() == default
    assert torch.is_grad_enabled()


def test_a_file_imports_what_is_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "my_layers.py").write_text(SPLIT, encoding="utf-8")
    path = written(tmp_path, "from my_layers import GRUCell\nclass MyGRU(GRUCell): pass\n")
    assert run_child(path, Options("MyGRU", None, 60)).code == "equal"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "my_layers.py"]


@pytest.mark.parametrize(("words", "parts"), [
    (["mine.txt"], ["'mine.txt'", "mine.py"]),
    (["none.py:GRU"], ["'none.py'"]),
    (["mine.py", "--csv", "table.csv"], ["--csv", "folder"]),
    (["empty"], ["folder of submissions", ".ipynb"]),
    (["mine.py:GRU", "--timeout", "inf"], ["--timeout", "1000000"]),
])
def test_mistyped_arguments_end_with_2(words: list[str], parts: list[str], tmp_path: Path) -> None:
    written(tmp_path, SPLIT)
    (tmp_path / "empty").mkdir()
    done = completed(app, *words)
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, *parts)


@pytest.mark.parametrize("code", KINDS)
def test_every_finding_is_explained_and_listed(code: str) -> None:
    kind = KINDS[code]
    assert kind.meaning.endswith(".")
    if not kind.equation.startswith(("def ", "for ")):
        compile(kind.equation, code, "exec")
    assert f"`{code}`" in (ROOT / "docs" / "gru-check.md").read_text(encoding="utf-8")
