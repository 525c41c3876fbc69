"""What is kept of a notebook, where its lines are, and which class of a file is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.errors import DataError, ExitCode, RunError
from gru_bench.gru_check.load import load
from gru_bench.gru_check.submission import Code, read
from tests.gru_check.students import SPLIT, check, notebook
from tests.support.commands import mentions


def loaded(*cells: str) -> tuple[dict[str, object], str]:
    """What a notebook defines, and what was left out of it."""
    module, left_out = load(notebook(*cells))
    return vars(module), left_out


def test_imports_definitions_and_assignments_are_executed_and_nothing_else() -> None:
    space, left_out = loaded(
        "from __future__ import annotations\nimport math; print('x'); raise ValueError",
        "a, b = 1, [math.pi]\nc: int = 2",
        "%matplotlib inline\n!pip install torch\nclass A:\n    def copy(self) -> A: return self\nA.x = a",
        "for i in range(3):\n    a = 7\ndef f(): return a", "%%bash\nls -l", "def broken(:\n", "b[0] = f()\nf?")
    assert left_out == ""
    assert (space["a"], space["b"], space["c"], space["A"].x) == (1, [1], 2, 1)  # type: ignore[attr-defined]
    assert "i" not in space


@pytest.mark.parametrize("statement", [
    "import no_such_module", "frame = open('x.csv').read()", "g = unknown(3)", "class A(unknown): pass",
    "x = exit()", "x = await f()"])
def test_a_definition_that_fails_is_left_out_and_said(statement: str) -> None:
    space, left_out = loaded("A = 1", f"\n{statement}\ny = 2")
    assert (space["A"], space["y"]) == (1, 2)
    mentions(left_out, "cell 2, line 2")


def test_lines_keep_their_numbers() -> None:
    code = read(notebook("import torch; print(torch.rand(\n    3)); x = 1", "%%time\ntrain(\n\n)\ny = 2\n", "z = 3"))
    assert code.text.split("\n")[2:] == ["", "train(", "", ")", "y = 2", "", "z = 3"]
    assert [code.place(line) for line in (0, 1, 3, 9)] == ["", "cell 1, line 1", "cell 2, line 1", "cell 3, line 1"]
    assert Code("x = 1").place(1) == "line 1"  # a file of Python has no cells


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', "\ufffe"])
def test_a_damaged_notebook_is_refused(text: str) -> None:
    path = Path("homework.ipynb")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as refused:
        check(path)
    mentions(str(refused.value), "homework.ipynb", "notebook")


def test_a_gru_in_a_notebook_is_checked() -> None:
    wrong = SPLIT.replace("(1 - z) * n", "n")
    path = notebook("import pandas as pd\nreviews = pd.read_csv('reviews.csv')", wrong, "GRUCell(3, 4).fit(reviews)")
    verdict = check(path)
    assert (verdict.name, verdict.code, verdict.exit_code) == ("GRUCell", "mixing", ExitCode.NO)
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "return" in text)
    assert read(path).place(verdict.findings[0].line) == f"cell 2, line {line}"


@pytest.mark.parametrize("wrong", [
    SPLIT.replace("torch.tanh", "torch.tahn"), SPLIT.replace("return z", "return torch.randn_like(h) + z")])
def test_errors_name_the_cell_of_a_notebook(wrong: str) -> None:
    with pytest.raises(RunError, match=r"homework.ipynb, cell 2, line "):
        check(notebook("import torch\n\n", wrong))


CUDA = """
import torch
from torch import nn
device = torch.device('cuda')


class GRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x = nn.Linear(input_size, 3 * hidden_size).to(device)
        self.h = nn.Linear(hidden_size, 3 * hidden_size, device="cuda:0")
        self.hidden_size = hidden_size
        self.cuda()

    def forward(self, x):
        h = torch.zeros(len(x), self.hidden_size, device=device).cuda()
        for t in range(x.shape[1]):
            x_r, x_z, x_n = self.x(x[:, t].to("cuda")).chunk(3, 1)
            h_r, h_z, h_n = self.h(h).chunk(3, 1)
            z = torch.sigmoid(x_z + h_z)
            h = z * h + (1 - z) * torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return h
"""


def test_a_notebook_for_a_gpu_is_checked_on_the_cpu() -> None:
    assert check(notebook(CUDA, "model = GRU(3, 4).to(device)")).code == "equal"


@pytest.mark.parametrize(("text", "parts"), [
    ("class Config: pass\n", ["has no class", "homework.ipynb:NAME"]),
    ("class A(nn.Module): pass\nclass B(nn.Module): pass\n", ["several classes", "A, B", "homework.ipynb:B"]),
    ("class GRU(nn.Module): pass\nclass GRU2(nn.Module): pass\n", ["several classes", "GRU, GRU2"]),
    ("class GRU(Base): pass\n", ["has no class", "cell 2, line 1", "'Base'"])])
def test_a_file_without_one_class_that_may_be_meant_is_not_checked(text: str, parts: list[str]) -> None:
    with pytest.raises(RunError) as refused:
        check(notebook("from torch import nn", text))
    mentions(str(refused.value), *parts)


def test_the_class_that_has_gru_in_its_name_and_is_no_part_of_another_is_checked() -> None:
    more = ("class Data(nn.Module): pass\nclass GRUConfig: pass\nclass Layers(nn.Module):\n    cell = GRUCell\n"
            "class MyGRU(GRUCell):\n    layers = Layers\n")
    assert check(notebook(SPLIT, more)).name == "MyGRU"
