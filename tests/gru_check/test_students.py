"""Students' GRUs: a right one is found right with its conventions, and a mistake is named by its code."""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gru_bench.errors import ExitCode, RunError
from gru_bench.gru_check import assert_is_gru
from gru_bench.gru_check.check import check_object
from gru_bench.gru_check.codes import KINDS
from tests.gru_check import styles
from tests.gru_check.students import STYLES, WRAPPER, Student, check, mutants, right_ones
from tests.support.commands import mentions

RIGHT, MUTANTS = tuple(right_ones()), tuple(mutants())
FAST = {code: student for student in reversed((*RIGHT, *MUTANTS)) for code in student.codes}.values()
"""One student for each code. All others are slow."""
NAMED_OTHERWISE = {
    "log_softmax": ("equal",),  # one bias in a sum of two is as good as two
    "mixed_with_reset": ("reset-unused",),  # the gates may be named the other way round
    "state_mixed_with_itself": ("wrong-candidate",),  # so it is among the students
    "candidate_without_state": ("gate-without-state",),  # so it is among the students
    "second_layer_reads_input": ("backward-end",),  # two directions that read the same way look the same
    "lstm_called_gru": ("unknown",), "rnn_called_gru": ("unknown",), "rnn_cell_called_gru": ("unknown",)}
"""Style -> codes where they are not those that the authors of the styles expected."""


def written(text: str) -> Path:
    path = Path("student.py")
    path.write_text(text, encoding="utf-8")
    return path


def cases(students: Sequence[Student]) -> list[Any]:
    return [pytest.param(student, id=f"{student.style}: {student.title}",
                         marks=() if student in FAST else pytest.mark.slow) for student in students]


def changed(student: Student) -> set[int]:
    """Lines that a mutant's change wrote."""
    before, after = (text.splitlines() for text in (STYLES[student.style].text, student.written()))
    return {line for tag, _, _, first, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
            if tag != "equal" for line in range(first + 1, end + 1)}


def test_every_code_has_a_student() -> None:
    assert {code for student in FAST for code in student.codes} == KINDS.keys() - {"rnn"}


@pytest.mark.parametrize("student", cases(RIGHT))
def test_a_right_gru_is_found_right_with_its_conventions(student: Student) -> None:
    verdict = check(written(student.written()), student.name)
    assert tuple(finding.code for finding in verdict.findings) == student.codes
    assert verdict.exit_code == (ExitCode.INCOMPLETE if student.codes == ("unknown",) else ExitCode.DONE)


@pytest.mark.parametrize("student", cases(MUTANTS))
def test_a_mistake_is_named_by_its_code_and_by_no_wrong_line(student: Student) -> None:
    verdict = check(written(student.written()), student.name)
    assert (verdict.code,) == student.codes
    assert verdict.findings[0].line in {0, *changed(student)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_most_mistakes_get_a_line() -> None:
    lines = [check(written(student.written()), student.name).findings[0].line for student in MUTANTS]
    assert sum(map(bool, lines)) >= 66


@pytest.mark.parametrize("style", [
    pytest.param(style, id=style.name, marks=pytest.mark.slow if number % 4 else ())
    for number, style in enumerate(styles.STYLES)])
def test_a_class_in_any_style_is_checked(style: styles.Style) -> None:
    verdict = check(written(style.source), None, style.make)
    codes = tuple(finding.code for finding in verdict.findings)
    expected = NAMED_OTHERWISE.get(style.name, style.codes)
    assert (set(codes) == set(expected)) if style.right else codes[0] == expected[0]
    if not style.right:
        assert verdict.findings[0].line in (0, style.line)
        assert verdict.exit_code != ExitCode.DONE


@pytest.mark.parametrize("noise", [
    "z * h + (1 - z) * n + 0.1 * torch.randn(h.shape)",
    "z * (h * (torch.rand(h.shape) > 0.4)) + (1 - z) * n"])
def test_refuses_what_is_random_in_evaluation_with_its_line(noise: str) -> None:
    text = SPLIT.replace("z * h + (1 - z) * n", noise)
    line = next(n for n, line in enumerate(text.splitlines(), 1) if noise in line)
    with pytest.raises(RunError, match=rf"line {line}: GRUCell\(5, 4\) is random in evaluation"):
        check(written(text), "GRUCell")


class TestAssertIsGru:
    def test_accepts_modules_of_torch(self) -> None:
        assert assert_is_gru(nn.GRUCell(5, 4)).code == "equal"
        assert assert_is_gru(nn.GRU(5, 4, batch_first=True)).code == "equal"
        assert assert_is_gru(nn.GRU(5, 4, bias=False)).code == "no-bias"
        assert assert_is_gru(nn.GRU(5, 4, num_layers=2, bidirectional=True)).code == "equal"

    @pytest.mark.slow
    def test_two_layers_in_both_directions_with_a_head_that_is_not_linear_are_not_identified(self) -> None:
        class Net(nn.GRU):
            def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # type: ignore[override]
                return torch.relu(super().forward(input)[0])

        assert check_object(Net(5, 4, 2, bidirectional=True)).code == "unknown"

    @pytest.mark.parametrize(("off", "code"), [(1e-12, "equal"), (4e-12, "unknown")])
    def test_equal_means_within_the_tolerance(self, off: float, code: str) -> None:
        class Cell(nn.GRUCell):
            def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
                return super().forward(input, hx) + off

        assert check_object(Cell(5, 4)).code == code

    def test_refuses_another_recurrence_and_a_convention_that_is_not_allowed(self) -> None:
        with pytest.raises(AssertionError, match=r"\[rnn\]"):
            assert_is_gru(nn.RNNCell(5, 4))
        with pytest.raises(AssertionError, match=r"\[no-bias\]"):
            assert_is_gru(nn.GRU(5, 4, bias=False), "equal")
        with pytest.raises(ValueError, match=r"convention.*equal, update-inverted.*'mixing'"):
            assert_is_gru(nn.GRU(5, 4), "mixing")

    def test_leaves_the_module_and_torch_as_they_were(self) -> None:
        module = nn.GRU(5, 4).train()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        random = torch.get_rng_state()
        with torch.no_grad():
            assert_is_gru(module)
            assert not torch.is_grad_enabled()
        assert module.training
        assert torch.get_default_dtype() == torch.float32
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("name", ["<string>", "/tmp/ipykernel_1/2.py"])
def test_a_class_without_a_file_is_checked(name: str) -> None:
    text = SPLIT + WITHOUT_FILE
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "return z * h + n" in line)
    done = subprocess.run([sys.executable, "-c", f"exec(compile({text!r}, {name!r}, 'exec'))"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["equal", "mixing", str(line)]), done.stderr


WITHOUT_FILE = """
from gru_bench.gru_check import assert_is_gru
from gru_bench.gru_check.check import check_object


class Wrong(GRUCell):
    def forward(self, x, h):
        r = torch.sigmoid(self.W_r(x) + self.U_r(h))
        z = torch.sigmoid(self.W_z(x) + self.U_z(h))
        n = torch.tanh(self.W_n(x) + r * self.U_n(h))
        return z * h + n


print(assert_is_gru(GRUCell(5, 4)).code)
finding = check_object(Wrong(5, 4)).findings[0]
print(finding.code, finding.line)
"""
SPLIT = STYLES["split"].text


FORWARD = "    def forward(self, x, h):\n"


@pytest.mark.parametrize(("changes", "make", "code"), [
    ({FORWARD: FORWARD + "        h = torch.zeros_like(h)\n"}, None, "initial-state"),
    ({FORWARD: FORWARD.replace("h)", "h, /)")}, None, "equal"),
    ({FORWARD: "    def forward(self, x, h=None):\n        h = torch.ones(len(x), 4) if h is None else h\n"}, None,
     "initial-state"),
    ({FORWARD: "    calls = 0\n" + FORWARD + "        self.calls += 1\n", "* n\n": "* n + (self.calls % 7 == 0)\n"},
     None, "state-kept"),
    ({FORWARD: FORWARD + "        x.mul_(1.0)\n"}, None, "equal"),
    ({FORWARD: FORWARD + "        h.mul_(1.0)\n"}, None, "equal"),
    ({"(1 - z) * n": "(1 - z) * n, (r, n)"}, None, "equal"),
    ({"return z * h": "return h.clone().mul_(z.mul_(1.0))"}, None, "detached"),
    ({"return z * h + (1 - z) * n": "return torch.tanh(z * h + (1 - z) * n)"}, None, "unknown"),
    ({"return z * h + (1 - z) * n": "return nn.functional.layer_norm(z * h + (1 - z) * n, (4,))"}, None, "unknown"),
    ({"return z * h + (1 - z) * n": "return torch.tanh(2 * torch.sinh(z * h + (1 - z) * n))"}, None, "unknown"),
    ({"input_size": "apples", "hidden_size": "pears"}, None, "equal"),
    ({"input_size, hidden_size):": "sizes):\n        input_size, hidden_size = sizes"}, "GRUCell((E, H))", "equal"),
    ({}, "GRUCell(3, 5)", "equal"), ({}, "GRUCell(input_size=2, hidden_size=7)", "equal"),
    ({}, "GRUCell(4, 4)", "equal")])
def test_a_changed_cell_gets_its_code(changes: dict[str, str], make: str | None, code: str) -> None:
    text = SPLIT
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    assert check(written(text), "GRUCell", make).code == code


@pytest.mark.parametrize(("base", "body", "codes"), [
    ("GRU", "pass", ["equal", "library"]), ("LSTM", "pass", ["lstm"]),
    ("GRU", "def __init__(self, *args, **kwargs):\n        super().__init__(*args, **kwargs)", ["equal", "library"])])
def test_a_subclass_of_torchs_classes_is_built_as_they_are(base: str, body: str, codes: list[str]) -> None:
    text = f"from torch import nn\n\n\nclass MyGRU(nn.{base}):\n    {body}\n"
    assert [finding.code for finding in check(written(text)).findings] == codes


OWN_BATCH = SPLIT + """

class Net(nn.Module):
    def __init__(self, input_size):
        super().__init__()
        self.cell = GRUCell(input_size, 4)

    def forward(self, x, lengths=None):
        h = torch.zeros(BATCH, 4)
        for t in range(x.shape[1]):
            new = self.cell(x[:, t], h)
            h = new if lengths is None or not KEEPS else torch.where((t < lengths)[:, None], new, h)
        return h
"""


@pytest.mark.parametrize(("batch", "keeps", "codes"), [
    (1, False, ["equal", "padding"]), (2, False, ["equal", "padding"]), (4, False, ["equal", "padding"]),
    (4, True, ["equal"]), (32, False, ["equal", "padding"])])
def test_a_batch_size_of_its_own_is_found_and_used_for_padding_too(batch: int, keeps: bool, codes: list[str]) -> None:
    text = OWN_BATCH.replace("BATCH", str(batch)).replace("KEEPS", str(keeps))
    assert [finding.code for finding in check(written(text), "Net").findings] == codes


@pytest.mark.parametrize(("biases", "code"), [
    ("rzn", "single-bias"), ("n", "single-bias"), ("u", "single-bias"), ("rz", "single-bias"), ("rzu", "single-bias"),
    ("nu", "single-bias"), ("rznu", "equal"), ("", "no-bias")])
def test_biases_are_found_for_each_gate(biases: str, code: str) -> None:
    text = SPLIT
    for own, layer in {"r": "W_r", "z": "W_z", "n": "W_n", "u": "U_n", "-": "U_r", "+": "U_z"}.items():
        if own not in biases:
            text = re.sub(rf"(self.{layer} = .*)\)", r"\1, bias=False)", text)
    assert [finding.code for finding in check(written(text), "GRUCell").findings] == [code]


LAYER = SPLIT + """

class Net(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_size):
        super().__init__()
        self.words = nn.Embedding(vocab_size, embed_dim)
        self.cell = GRUCell(embed_dim, hidden_size)
        self.out = nn.Linear(hidden_size, 2)
        self.other = nn.Linear(embed_dim, 2)
        self.hidden_size = hidden_size

    def forward(self, tokens):
        x = self.words(tokens)
        h, states = torch.zeros(len(x), self.hidden_size), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            states.append(h)
        states = torch.stack(states, 1)
        return RESULT
"""


@pytest.mark.parametrize(("vectors", "result", "code", "said"), [
    ("self.words(tokens)", "self.out(states[:, -1])", "equal", ""),
    ("self.words(tokens)", "states[-1]", "unknown", "batch"),
    ("self.words(tokens)", "(torch.softmax(states.sum(-1), 0).unsqueeze(-1) * states).sum(1)", "unknown", "batch"),
    ("self.words(tokens).view(tokens.shape[1], len(tokens), -1).transpose(0, 1)", "h", "unknown", "batch"),
    ("self.words(tokens)", "self.other(x.mean(1))", "unknown", "does not depend on the recurrence"),
    ("self.words(tokens)", "self.out(states.max(1)[0])", "unknown", "cell is a GRU"),
    ("self.words(tokens)", "self.out(torch.relu(h))", "unknown", "cell is a GRU")])
def test_a_layer_that_is_not_identified_is_told_why(vectors: str, result: str, code: str, said: str) -> None:
    text = LAYER.replace("self.words(tokens)", vectors).replace("RESULT", result)
    verdict = check(written(text), "Net")
    assert verdict.code == code
    mentions(verdict.findings[0].detail, said)
    if said == "cell is a GRU":
        assert check(written(text.replace("(1 - z) * n", "n")), "Net").code == "mixing"


def test_an_index_of_padding_is_a_warning_beside_a_right_gru() -> None:
    text = LAYER.replace("embed_dim)\n        self.cell", "embed_dim, padding_idx=0)\n        self.cell")
    verdict = check(written(text.replace("RESULT", "h")), "Net")
    assert [finding.code for finding in verdict.findings] == ["equal", "padding"]


def test_the_one_class_with_gru_in_its_name_is_checked() -> None:
    assert check(written(WRAPPER + SPLIT)).name == "GRUCell"
    two = SPLIT + SPLIT.replace("class GRUCell", "class OtherGRU")
    with pytest.raises(RunError, match=r"several classes.*GRUCell, OtherGRU.*student.py:"):
        check(written(two))


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new", "code"), [
    ("zt * ht", "ht", "mixing"), ("rt * hidden", "rt * hidden", "update-inverted"), ("torch.tanh(", "(",
                                                                                    "candidate-activation")])
def test_a_layer_whose_sizes_stand_in_the_file_is_checked(old: str, new: str, code: str) -> None:
    text = STYLES["notebook"].text.replace("= 30", "= 300").replace("hidden_size = 10", "hidden_size = 100")
    assert check(written(text.replace(old, new)), "GRUClassifier").code == code


@pytest.mark.parametrize(("result", "code"), [
    ("torch.sigmoid(self.one(h)).squeeze(1)", "equal"), ("self.one(h).flatten()", "equal"),
    ("(torch.softmax(self.one(states), 1) * states).sum(1)", "unknown")])
def test_a_head_with_one_output_is_no_bias(result: str, code: str) -> None:
    made = "        self.one = nn.Linear(hidden_size, 1)\n        self.other"
    text = LAYER.replace("RESULT", result).replace("        self.other", made)
    assert check(written(text), "Net").code == code


@pytest.mark.parametrize(("changes", "make"), [
    (("= hidden_dim\n", "= hidden_dim\n        self.first = nn.Parameter(torch.zeros(hidden_dim))\n",
      "x.new_zeros(batch, self.hidden_dim)", "self.first.expand(batch, -1)"), None),  # a learned state of zeros
    ((), "MyGRU(4, 4)")])  # input and state of one width are told by name
def test_a_changed_layer_stays_right(changes: tuple[str, ...], make: str | None) -> None:
    student = Student("fused", "changed", ("equal",), changes)
    assert [finding.code for finding in check(written(student.written()), "MyGRU", make).findings] == ["equal"]
