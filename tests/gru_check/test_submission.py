"""What is kept of a notebook, where its lines are, and which class of a file is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.errors import DataError, ExitCode, RunError
from gru_bench.gru_check.submission import Code, candidates, read
from tests.gru_check.students import SPLIT, check, notebook
from tests.support.commands import mentions

KEPT = ("import torch\nfrom torch import nn\nimport numpy as np", "sizes = (3, 4)\nscale: float = 1 / sizes[0]",
        "W = [torch.randn(3, 3, requires_grad=True) for _ in range(2)]", "b = torch.zeros(3).requires_grad_()",
        "def f():\n    return 1", "class A(nn.Module):\n    pass",
        "try:\n    import math\nexcept ImportError:\n    math = None",
        "a, b = 1, 'two'", "import os.path", "def g(x: int = b, y=lambda z: z) -> 'Unknown': pass",
        "class B(A, metaclass=type): pass")
LEFT_OUT = ("print('x')", "frame = read_csv('x.csv')", "weights = torch.load('x.pt')", "model = f()",
            "for i in range(3):\n    pass", "table = np.loadtxt('x')", "n = len(reviews)", "import no_such_module",
            "A.x = 3", "%matplotlib inline", "!pip install torch", "%%bash\nls", "def broken(:\n", "W[0] = 3",
            "g = lambda: open('x')", "class B(Unknown):\n    pass", "@unknown\ndef g(): pass",
           "def g(x=unknown): pass", "def g(x: unknown): pass", "def g() -> unknown: pass",
            "import namespace.part", "from namespace.part import x")


def test_statements_that_define_are_kept() -> None:
    code = read(notebook(*KEPT))
    assert code.left_out == ()
    assert [line for line in code.text.splitlines() if line] == [line for text in KEPT for line in text.splitlines()]


@pytest.mark.parametrize("statement", LEFT_OUT)
def test_statements_that_work_are_left_out_and_said(statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("installed/namespace").mkdir(parents=True)  # as google is, of which google.colab is another part
    monkeypatch.syspath_prepend("installed")
    code = read(notebook("import torch\nimport numpy as np\nfrom pandas import read_csv\ndef f(): pass\nW = [1]",
                         statement))
    if not statement.startswith(("%m", "!")):
        assert code.left_out == (statement.splitlines()[0],)
        assert code.left_out[0] in code.note
    assert not set(code.text.split("\n")[5:]) & set(statement.splitlines())
    compile(code.text, "x", "exec")


def test_a_cell_is_kept_in_part_and_lines_keep_their_numbers() -> None:
    code = read(notebook("import torch; print(torch.rand(\n    3)); x = 1", "%%time\ntrain(\n\n)\ny = 2\n", "z = 3"))
    assert code.text.split("\n")[2:] == ["", "0", "", "", "y = 2", "", "z = 3"]
    space: dict[str, object] = {}
    exec(code.text, space)
    assert {"x", "y", "z"} <= space.keys()
    assert [code.place(line) for line in (0, 1, 3, 9)] == ["", "cell 1, line 1", "cell 2, line 1", "cell 3, line 1"]


def test_a_file_of_python_has_lines_alone() -> None:
    assert Code("x = 1").place(1) == "line 1"


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
    SPLIT.replace("torch.tanh", "torch.tahn"), SPLIT.replace("return z", "return torch.randn_like(h) + z"),
    SPLIT.replace("return z", "return h.sub(2).log() + z"), f"n = 1 / 0\n{SPLIT}"])
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


@pytest.mark.parametrize(("text", "names"), [
    ("class Cell:\n    def forward(self): 1\nclass MyGRU:\n    def forward(self): Cell()\n", ["MyGRU", "Cell"]),
    ("class Data(Dataset):\n    def __getitem__(self, i): 1\nclass Net(Module): pass\n", ["Net"]),
    ("def gru_step(x, h): 1\ndef plot(): 1\nclass GRU:\n    def __call__(self): 1\n", ["GRU", "gru_step"]),
    ("class Net(Module): pass\nclass ScratchGRU(Module): pass\n", ["ScratchGRU", "Net"]),
    ("x = 1\n", [])])
def test_likely_classes_come_first(text: str, names: list[str]) -> None:
    assert candidates(text) == names
