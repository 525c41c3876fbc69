"""Students' GRUs: every right one is judged right with its convention, and every mutant is named by its code."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from gru_bench.errors import ExitCode, RunError
from gru_bench.teach import assert_is_gru
from gru_bench.teach.check import check
from gru_bench.teach.codes import KINDS
from tests.teach.students import STYLES, Student, mutants, right_ones

RIGHT, MUTANTS = tuple(right_ones()), tuple(mutants())
LINES = {
    "split: no tanh": "n = self.W_n(x) + r * self.U_n(h)",
    "split: tanh for z": "z = torch.tanh(",
    "split: z twice": "return z * h + z * n",
    "split: reset on input": "n = torch.tanh(r * self.W_n(x)",
    "fused: detached": "h = h.detach()",
    "fused: ones at first": "x.new_ones(",
    "fused: last step left out": "range(steps - 1)",
    "notebook: mixing": "hidden = zt * hidden + zt * ht",
    "tokens: dropout": "F.dropout(features)",
}
"""Mutant -> words of the line that must be named."""


def title(student: Student) -> str:
    return f"{student.style}: {student.title}"


def test_there_are_enough_of_them() -> None:
    assert len(RIGHT) >= 15
    assert len(MUTANTS) >= 60
    assert {student.style for student in RIGHT} == {student.style for student in MUTANTS} == set(STYLES)


def test_every_mistake_has_mutants() -> None:
    count = Counter(student.codes[0] for student in MUTANTS)
    assert set(count) == {code for code, kind in KINDS.items() if not kind.right} - {"unknown"}


def test_every_convention_has_a_right_one() -> None:
    assert {code for student in RIGHT for code in student.codes} == {
        code for code, kind in KINDS.items() if kind.right}


@pytest.mark.parametrize("student", RIGHT, ids=title)
def test_a_right_one_is_right(student: Student, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(student.written(), encoding="utf-8")
    verdict = check(path, student.name)
    assert tuple(finding.code for finding in verdict.findings) == student.codes
    assert verdict.exit_code == ExitCode.DONE


@pytest.mark.parametrize("student", MUTANTS, ids=title)
def test_a_mutant_is_named(student: Student, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(student.written(), encoding="utf-8")
    verdict = check(path, student.name)
    assert (verdict.code,) == student.codes
    assert verdict.exit_code == ExitCode.NO
    if (words := LINES.get(title(student))) is not None:
        assert words in student.written().splitlines()[verdict.findings[0].line - 1]


@pytest.mark.parametrize(("form", "step"), [
    ("state twice", "return torch.tanh(z * h + (1 - z) * n)"),
    ("normalized", "return torch.nn.functional.layer_norm(z * h + (1 - z) * n, (z.shape[-1],))"),
])
def test_what_is_no_member_is_not_identified(form: str, step: str, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(STYLES["split"].text.replace("return z * h + (1 - z) * n", step), encoding="utf-8")
    verdict = check(path, "GRUCell")
    assert verdict.code == "unknown"
    assert verdict.exit_code == ExitCode.INCOMPLETE
    assert "first at step 1, unit 1" in verdict.findings[0].detail


@pytest.mark.parametrize("noise", [
    "z * h + (1 - z) * n + 0.1 * torch.randn(h.shape)",
    "z * h + (1 - z) * n * torch.rand(h.shape)",
    "torch.where(torch.rand(h.shape) < 0.5, z * h + (1 - z) * n, -n)",
    "z * h + (1 - z) * (n + (torch.rand(h.shape) < 0.5))",
])
def test_what_is_random_and_no_dropout_is_refused(noise: str, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(STYLES["split"].text.replace("z * h + (1 - z) * n", noise), encoding="utf-8")
    with pytest.raises(RunError, match="is random in evaluation"):
        check(path, "GRUCell")


class TestAssertIsGru:
    def test_modules_of_torch(self) -> None:
        assert assert_is_gru(nn.GRUCell(5, 4)).code == "equal"
        assert assert_is_gru(nn.GRU(5, 4, batch_first=True)).code == "equal"
        assert assert_is_gru(nn.GRU(5, 4, bias=False)).code == "no-bias"

    def test_what_is_none(self) -> None:
        with pytest.raises(AssertionError, match=r"\[unknown\]"):
            assert_is_gru(nn.RNNCell(5, 4))

    def test_conventions(self) -> None:
        with pytest.raises(AssertionError, match=r"\[no-bias\]"):
            assert_is_gru(nn.GRU(5, 4, bias=False), "equal")
        with pytest.raises(ValueError, match="a convention must be one of equal, update-inverted"):
            assert_is_gru(nn.GRU(5, 4), "mixing")

    def test_the_module_and_torch_stay_as_they_were(self) -> None:
        module = nn.GRU(5, 4).train()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        random = torch.get_rng_state()
        assert_is_gru(module)
        assert module.training
        assert torch.get_default_dtype() == torch.float32
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


SPLIT = next(student for student in RIGHT if student.style == "split")


@pytest.mark.parametrize(("old", "new"), [
    ("def forward(self, x, h):\n", "def forward(self, x, h):\n        h = torch.zeros_like(h)\n"),
    ("def forward(self, x, h):\n", "def forward(self, x, h=None):\n"
     "        h = torch.ones(len(x), self.U_r.out_features) if h is None else h\n"),
])
def test_a_cell_must_take_the_state_that_it_is_given_and_begin_with_zeros(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(SPLIT.written().replace(old, new), encoding="utf-8")
    assert check(path, SPLIT.name).code == "initial-state"


@pytest.mark.parametrize("sizes", ["(3, 5)", "(input_size=2, hidden_size=7)"])
def test_sizes_typed_as_numbers_are_found(sizes: str, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(SPLIT.written(), encoding="utf-8")
    assert check(path, SPLIT.name, SPLIT.name + sizes).code == SPLIT.codes[0]


FEW_WORDS = SPLIT.written() + """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(6, 3)
        self.cell = GRUCell(3, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, tokens, lengths):
        h = torch.zeros(len(tokens), 4)
        states = []
        for t in range(tokens.shape[1]):
            h = self.cell(self.words(tokens[:, t]), h)
            states.append(h)
        states = torch.stack(states, 1)
        return self.out(states[torch.arange(len(tokens)), LAST])
"""


@pytest.mark.parametrize(("last", "code"), [("lengths - 1", "equal"), ("-1", "padding")])
def test_padding_is_found_where_there_are_few_words(last: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "student.py"
    path.write_text(FEW_WORDS.replace("LAST", last), encoding="utf-8")
    assert check(path, "Net").code == code
