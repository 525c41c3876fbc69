"""Students' GRUs: a right one is found right with its conventions, and a mistake is named by its code."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gru_bench.errors import ExitCode, GruBenchError, RunError, UsageError
from gru_bench.gru_check import assert_is_gru
from gru_bench.gru_check.check import check_object
from gru_bench.gru_check.codes import KINDS
from tests.gru_check.students import STYLES, WRAPPER, Student, check, mutants, right_ones
from tests.support.commands import mentions

RIGHT, MUTANTS = tuple(right_ones()), tuple(mutants())
LINES = {
    "split: no tanh": "n = self.W_n(x) + r * self.U_n(h)",
    "split: tanh for z": "z = torch.tanh(",
    "split: z twice": "return z * h + z * n",
    "split: reset on input": "n = torch.tanh(r * self.W_n(x)",
    "split: a product without reset": "self.V_n(h) + r * self.U_n(h)",
    "split: reset before and after": "self.V_n(r * h) + r * self.U_n(h)",
    "fused: detached": "h = h.detach()",
    "fused: ones at first": "x.new_ones(",
    "fused: last step left out": "range(steps - 1)",
    "notebook: mixing": "hidden = zt * hidden + zt * ht",
    "tokens: dropout": "F.dropout(features)",
    "wrapper: LSTM": "self.recurrence(x)",
}
"""Mutant -> words of the line that must be named."""


FAST = frozenset({
    "split: as it stands", "einsum: as it stands", "notebook: as it stands", "columns: as it stands",
    "tokens: as it stands", "split: no tanh", "split: tanh for z", "split: reset unused", "split: reset on input",
    "split: z without state", "split: U shared by r and z", "split: z twice", "split: candidate alone",
    "fused: detached", "notebook: kept", "fused: ones at first", "fused: last step left out", "raw: backwards",
    "tokens: backward end", "tokens: directions share", "tokens: dropout", "stack: padding", "stack: cells in a list",
    "wrapper: as it stands", "wrapper: LSTM"})
"""One student for each code; all others are slow."""


def written(text: str) -> Path:
    path = Path("student.py")
    path.write_text(text, encoding="utf-8")
    return path


def title(student: Student) -> str:
    return f"{student.style}: {student.title}"


def cases(students: Sequence[Student]) -> list[Any]:
    return [pytest.param(student, id=title(student), marks=() if title(student) in FAST else pytest.mark.slow)
            for student in students]


def test_every_code_of_a_generated_student_has_a_fast_one() -> None:
    fast = [student for student in (*RIGHT, *MUTANTS) if title(student) in FAST]
    assert len(fast) == len(FAST)
    assert {code for student in fast for code in student.codes} == KINDS.keys() - {"unknown", "rnn"}


@pytest.mark.parametrize("student", cases(RIGHT))
def test_a_right_gru_is_found_right_with_its_conventions(student: Student) -> None:
    verdict = check(written(student.written()), student.name)
    assert tuple(finding.code for finding in verdict.findings) == student.codes
    assert verdict.exit_code == ExitCode.DONE
    assert bool(verdict.outlook) == (not verdict.has("untrained"))


@pytest.mark.parametrize("student", cases(MUTANTS))
def test_a_mistake_is_named_by_its_code_and_line(student: Student) -> None:
    verdict = check(written(student.written()), student.name)
    assert (verdict.code,) == student.codes
    assert verdict.exit_code == ExitCode.NOT_FINE
    if (words := LINES.get(title(student))) is not None:
        assert words in student.written().splitlines()[verdict.findings[0].line - 1]


@pytest.mark.slow
@pytest.mark.parametrize("step", [
    "return torch.tanh(z * h + (1 - z) * n)",
    "return torch.nn.functional.layer_norm(z * h + (1 - z) * n, (z.shape[-1],))",
])
def test_what_is_neither_a_gru_nor_a_known_mistake_is_unknown(step: str) -> None:
    verdict = check(written(STYLES["split"].text.replace("return z * h + (1 - z) * n", step)), "GRUCell")
    assert verdict.code == "unknown"
    assert verdict.exit_code == ExitCode.NOT_JUDGED
    mentions(verdict.findings[0].detail, "step 1", "unit 1")


@pytest.mark.parametrize(("sum_of_n", "codes"), [
    ("torch.tanh(2.0 * torch.sinh(A))", {"candidate-activation", "unknown"}),
    ("torch.tanh(3.0 * A)", {"equal"}), ("torch.tanh(A + 1.0)", {"equal"})])
def test_only_a_number_in_a_sum_is_as_good_as_other_weights(sum_of_n: str, codes: set[str]) -> None:
    text = STYLES["split"].text.replace("torch.tanh(self.W_n(x) + r * self.U_n(h))", sum_of_n.replace(
        "A", "(self.W_n(x) + r * self.U_n(h))"))
    assert check(written(text), "GRUCell").code in codes


@pytest.mark.slow
def test_both_gates_with_the_same_unknown_function_are_named() -> None:
    assert check(written(STYLES["split"].text.replace("torch.sigmoid(", "torch.erf(")), "GRUCell"
                 ).code == "gate-activation"


@pytest.mark.parametrize("noise", [
    "z * h + (1 - z) * n + 0.1 * torch.randn(h.shape)",
    "z * h + (1 - z) * n * torch.rand(h.shape)",
    pytest.param("torch.where(torch.rand(h.shape) < 0.5, z * h + (1 - z) * n, -n)", marks=pytest.mark.slow),
])
def test_refuses_what_is_random_in_evaluation_and_no_dropout(noise: str) -> None:
    with pytest.raises(RunError, match="is random in evaluation"):
        check(written(STYLES["split"].text.replace("z * h + (1 - z) * n", noise)), "GRUCell")


@pytest.mark.parametrize("mask", [
    "x * (torch.rand(x.shape) > 0.4).double() / (1 - 0.4)", "x.masked_fill(torch.rand(x.shape) < 0.3, 0.0)",
    "x * torch.bernoulli(torch.full_like(x, 0.8)) / 0.8", "x * torch.floor(torch.rand(x.shape) + 0.7)"])
def test_refuses_a_random_mask_drawn_by_hand_with_its_line(mask: str) -> None:
    text = STYLES["split"].text.replace("        r =", f"        x = {mask}\n        r =")
    line = next(n for n, line in enumerate(text.splitlines(), 1) if mask in line)
    with pytest.raises(RunError, match=f"line {line}: GRUCell is random in evaluation"):
        check(written(text), "GRUCell")


@pytest.mark.slow
def test_noise_that_is_always_the_same_is_part_of_the_function() -> None:
    path = written(STYLES["split"].text.replace(
        "return z * h", "return torch.randn(h.shape, generator=torch.Generator().manual_seed(3)) + z * h"))
    assert check(path, "GRUCell").exit_code != ExitCode.DONE


@pytest.mark.parametrize("argument", ["x", "h"])
def test_a_cell_may_write_over_its_arguments_before_it_uses_them(argument: str) -> None:
    path = written(STYLES["split"].text.replace("        r =", f"        {argument}.mul_(1.0)\n        r ="))
    assert check(path, "GRUCell").code == "equal"


class TestAssertIsGru:
    def test_accepts_modules_of_torch(self) -> None:
        assert assert_is_gru(nn.GRUCell(5, 4)).code == "equal"
        assert assert_is_gru(nn.GRU(5, 4, batch_first=True)).code == "equal"
        assert assert_is_gru(nn.GRU(5, 4, bias=False)).code == "no-bias"

    def test_needs_no_gradients_of_the_caller(self) -> None:
        with torch.no_grad():
            assert assert_is_gru(nn.GRU(5, 4)).code == "equal"
            assert not torch.is_grad_enabled()

    def test_refuses_another_recurrence(self) -> None:
        with pytest.raises(AssertionError, match=r"\[rnn\]"):
            assert_is_gru(nn.RNNCell(5, 4))

    @pytest.mark.parametrize(("off", "code"), [(1e-12, "equal"), (4e-12, "unknown")])
    def test_equal_means_within_the_tolerance(self, off: float, code: str) -> None:
        class Cell(nn.GRUCell):
            def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
                return super().forward(input, hx) + off

        verdict = check_object(Cell(5, 4))
        assert verdict.code == code
        assert verdict.exit_code == (ExitCode.DONE if code == "equal" else ExitCode.NOT_JUDGED)

    def test_refuses_a_convention_that_is_not_allowed(self) -> None:
        with pytest.raises(AssertionError, match=r"\[no-bias\]"):
            assert_is_gru(nn.GRU(5, 4, bias=False), "equal")
        with pytest.raises(ValueError, match=r"convention.*equal, update-inverted.*'mixing'"):
            assert_is_gru(nn.GRU(5, 4), "mixing")

    def test_leaves_the_module_and_torch_as_they_were(self) -> None:
        module = nn.GRU(5, 4).train()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        random = torch.get_rng_state()
        assert_is_gru(module)
        assert module.training
        assert torch.get_default_dtype() == torch.float32
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def of_weights(x: Tensor, h: Tensor) -> Tensor:
    """A GRU of weights that belong to this module."""
    SEEN.append(len(x))
    w_r, w_z, w_n, u_r, u_z, u_n = WEIGHTS["gates"]
    r, z = torch.sigmoid(x @ w_r + h @ u_r), torch.sigmoid(x @ w_z + h @ u_z)
    return z * h + (1 - z) * torch.tanh(x @ w_n + r * (h @ u_n)) / SCALE


WEIGHTS = {"gates": [torch.randn(width, 4).requires_grad_() for width in (5, 5, 5, 4, 4, 4)]}
SEEN = [3]
SCALE = 1.0
OTHER = torch.arange(6.0)


class TestWhatBelongsToTheCaller:
    @pytest.mark.parametrize("built", [of_weights, nn.GRUCell(5, 4)])
    def test_is_as_it_was_after_a_check(self, built: Any) -> None:
        self.check(built)

    def test_is_as_it_was_after_a_check_that_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.modules[__name__], "SCALE", math.nan)
        with pytest.raises(RunError):
            self.check(of_weights)

    def check(self, built: Any) -> None:
        held = [*WEIGHTS["gates"], OTHER]
        before = [(one.data_ptr(), one.dtype, one.requires_grad, one.detach().clone()) for one in held]
        lists = (WEIGHTS, WEIGHTS["gates"], SEEN)
        try:
            assert_is_gru(built)
        finally:
            assert all(own is other for own, other in zip(lists, (WEIGHTS, WEIGHTS["gates"], SEEN), strict=True))
            assert all(own is other for own, other in zip(held, [*WEIGHTS["gates"], OTHER], strict=True))
            assert SEEN == [3]
            for own, (memory, dtype, gradient, value) in zip(held, before, strict=True):
                assert (own.data_ptr(), own.dtype, own.requires_grad) == (memory, dtype, gradient)
                assert torch.equal(own, value)


@pytest.mark.parametrize("name", ["<string>", "/tmp/ipykernel_1/2.py"])
def test_a_class_without_a_file_is_checked(name: str) -> None:
    text = STYLES["split"].text + WITHOUT_FILE
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

SPLIT = next(student for student in RIGHT if student.style == "split")


@pytest.mark.parametrize(("old", "new"), [
    ("def forward(self, x, h):\n", "def forward(self, x, h):\n        h = torch.zeros_like(h)\n"),
    ("def forward(self, x, h):\n", "def forward(self, x, h=None):\n"
     "        h = torch.ones(len(x), self.U_r.out_features) if h is None else h\n"),
])
def test_a_cell_must_use_the_state_that_it_is_given_and_start_from_zeros(old: str, new: str) -> None:
    assert check(written(SPLIT.written().replace(old, new)), SPLIT.name).code == "initial-state"


@pytest.mark.parametrize("sizes", ["(3, 5)", "(input_size=2, hidden_size=7)"])
def test_sizes_are_read_from_the_expression_that_builds_the_object(sizes: str) -> None:
    assert check(written(SPLIT.written()), SPLIT.name, SPLIT.name + sizes).code == SPLIT.codes[0]


OWN_BATCH = SPLIT.written() + """

BATCH = 32
WIDTH = 4


class Net(nn.Module):
    def __init__(self, input_size):
        super().__init__()
        self.cell = GRUCell(input_size, WIDTH)

    def forward(self, x):
        h = torch.zeros(BATCH, WIDTH)
        for t in range(x.shape[AXIS]):
            h = self.cell(STEP, h)
        return h
"""
AXES = {"BTE": ("1", "x[:, t]"), "TBE": ("0", "x[t]")}


@pytest.mark.parametrize("layout", AXES)
@pytest.mark.parametrize("batch", [1, 4, 32])
def test_a_batch_size_of_its_own_is_found_and_used(layout: str, batch: int) -> None:
    axis, step = AXES[layout]
    path = written(OWN_BATCH.replace("BATCH = 32", f"BATCH = {batch}").replace("AXIS", axis).replace("STEP", step))
    verdict = check(path, "Net")
    assert verdict.code == "equal"
    assert (f"with {batch} sequences" in " ".join(verdict.notes)) == (batch > 1)


def test_a_mistake_beside_a_batch_size_of_its_own_is_named() -> None:
    axis, step = AXES["BTE"]
    path = written(OWN_BATCH.replace("AXIS", axis).replace("STEP", step).replace("(1 - z) * n", "n"))
    assert check(path, "Net").code == "mixing"


def test_a_value_that_is_given_for_a_name_takes_the_place_of_the_files_own() -> None:
    axis, step = AXES["BTE"]
    path = written(OWN_BATCH.replace("AXIS", axis).replace("STEP", step))
    verdict = check(path, "Net", defines={"BATCH": "1", "WIDTH": "3"})
    assert verdict.code == "equal"
    assert "batch size" not in " ".join(verdict.notes)


@pytest.mark.parametrize(("biases", "code", "counts"), [
    ("rzn", "single-bias", "r 1, z 1, n 1."), ("n", "single-bias", "r 0, z 0, n 1."),
    ("u", "single-bias", "r 0, z 0, n 1, of which 1 inside"), ("z", "single-bias", "r 0, z 1, n 0."),
    ("rz", "single-bias", "r 1, z 1, n 0."), ("rzu", "single-bias", "r 1, z 1, n 1, of which 1 inside"),
    ("nu", "single-bias", "r 0, z 0, n 2, of which 1 inside"), ("rznu", "equal", ""), ("", "no-bias", "")])
def test_biases_are_counted_for_each_gate(biases: str, code: str, counts: str) -> None:
    text = SPLIT.written()
    for own, layer in {"r": "W_r", "z": "W_z", "n": "W_n", "u": "U_n", "": "U_r", " ": "U_z"}.items():
        if own not in biases or not own:
            text = re.sub(rf"(self.{layer} = nn.Linear\(.*)\)", r"\1, bias=False)", text)
    verdict = check(written(text), SPLIT.name)
    assert [finding.code for finding in verdict.findings] == [code]
    mentions(verdict.findings[0].detail, counts)


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


@pytest.mark.parametrize(("last", "padding"), [("lengths - 1", False), ("-1", True)])
def test_padding_is_found_where_there_are_few_words(last: str, padding: bool) -> None:
    verdict = check(written(FEW_WORDS.replace("LAST", last)), "Net")
    assert verdict.code == "equal"
    assert verdict.has("padding") == padding


def test_an_index_of_padding_is_a_warning_beside_a_right_gru() -> None:
    path = written(FEW_WORDS.replace("tokens, lengths", "tokens").replace("Embedding(6, 3", "Embedding(6, 3, "
                    "padding_idx=0").replace("torch.arange(len(tokens)), LAST", ":, -1"))
    verdict = check(path, "Net")
    assert [finding.code for finding in verdict.findings] == ["equal", "padding"]
    assert verdict.exit_code == ExitCode.DONE


BATCHES = SPLIT.written() + """

class Net(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_size):
        super().__init__()
        self.words = nn.Embedding(vocab_size, embed_dim)
        self.cell = GRUCell(embed_dim, hidden_size)
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


@pytest.mark.parametrize(("vectors", "result", "code"), [
    ("self.words(tokens)", "states[:, -1]", "equal"), ("self.words(tokens)", "states[-1]", "unknown"),
    ("self.words(tokens)", "(torch.softmax(states.sum(-1), 0).unsqueeze(-1) * states).sum(1)", "unknown"),
    ("self.words(tokens).view(tokens.shape[1], len(tokens), -1).transpose(0, 1)", "h", "unknown")])
def test_a_result_must_depend_on_its_own_text_alone(vectors: str, result: str, code: str) -> None:
    text = BATCHES.replace("self.words(tokens)", vectors).replace("RESULT", result)
    assert check(written(text), "Net").code == code


OTHERS = """
import numpy as np
import torch
from torch import nn


class LSTMCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x = nn.Linear(input_size, 4 * hidden_size)
        self.h = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (self.x(x) + self.h(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class LSTMLayer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = LSTMCell(input_size, hidden_size)
        self.hidden_size = hidden_size

    def forward(self, x):
        h = c = x.new_zeros(len(x), self.hidden_size)
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
        return h


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size)

    def forward(self, x):
        return self.rnn(x)[0]


class Elman(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x = nn.Linear(input_size, hidden_size)
        self.h = nn.Linear(hidden_size, hidden_size)
        self.hidden_size = hidden_size

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden_size)
        for t in range(x.shape[1]):
            h = torch.tanh(self.x(x[:, t]) + self.h(h))
        return h


class ArrayGRU:
    def __init__(self, input_size, hidden_size):
        self.W = np.ones((3, hidden_size, input_size))

    def forward(self, x, h):
        return np.tanh(self.W[0] @ x)
"""


@pytest.mark.parametrize(("name", "code", "said"), [
    ("LSTMCell", "lstm", "pair"), ("LSTMLayer", "lstm", "two states"), ("RNN", "rnn", "torch.nn.RNN"),
    ("Elman", "rnn", "tanh")])
def test_another_recurrence_is_named(name: str, code: str, said: str) -> None:
    verdict = check(written(OTHERS), name)
    assert verdict.code == code
    mentions(verdict.findings[0].detail, said)


def test_arrays_of_numpy_are_refused() -> None:
    with pytest.raises(RunError, match=r"ArrayGRU.*NumPy"):
        check(written(OTHERS), "ArrayGRU")


FUNCTIONAL = """
import torch


def get_params(vocab_size, num_hiddens):
    def three():
        return [torch.randn(*shape, requires_grad=True) for shape in (
            (vocab_size, num_hiddens), (num_hiddens, num_hiddens), (num_hiddens,))]
    return [*three(), *three(), *three()]


def gru(inputs, state, params):
    W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h = params
    H, = state
    outputs = []
    for X in inputs:
        Z = torch.sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = torch.sigmoid(X @ W_xr + H @ W_hr + b_r)
        H = Z * H + (1 - Z) * torch.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
        outputs.append(H)
    return torch.stack(outputs), (H,)
"""


@pytest.mark.parametrize(("state", "code"), [("H, = state", "reset-before"), ("H = state", "reset-before"),
                                             ("H, = state; H = H * 0", "initial-state")])
def test_a_function_that_takes_its_weights_is_checked(state: str, code: str) -> None:
    assert check(written(FUNCTIONAL.replace("H, = state", state))).code == code


def test_weights_that_no_function_makes_are_refused() -> None:
    with pytest.raises(GruBenchError, match="takes its weights as params"):
        check(written(FUNCTIONAL.replace("def get_params", "def build")), "gru")


def test_the_class_is_found_by_trying() -> None:
    """The layer comes before its cell, and what is written from scratch before a wrapper."""
    verdict = check(written(f"{WRAPPER}\n{OTHERS}\n{FEW_WORDS.replace('LAST', '-1')}"))
    assert verdict.name == "Net"
    others = " ".join(verdict.notes).partition("also contains")[2]
    assert "Wrapped" in others
    assert "GRUCell" not in others


CONFIGURED = SPLIT.written().replace("GRUCell(", "Net(").replace("input_size, hidden_size):", "config):\n"
                                     "        input_size, hidden_size = config", 1)


def test_a_baseline_does_not_stand_for_a_gru_that_cannot_be_built() -> None:
    baseline = WRAPPER.replace("nn.GRU", "nn.LSTM")
    with pytest.raises(UsageError, match="GRUNet"):
        check(written(baseline + CONFIGURED.replace("Net(", "GRUNet(")))
    assert check(written(baseline + CONFIGURED)).code == "lstm"  # nothing says that it is a GRU


@pytest.mark.parametrize(("result", "code"), [("states[:, -1]", "equal"), ("states[-1]", "unknown"),
                                              ("states @ torch.ones(99)", None)])
def test_a_cell_does_not_stand_for_the_layer_that_uses_it(result: str, code: str | None) -> None:
    path = written(BATCHES.replace("RESULT", result))
    if code is None:
        with pytest.raises(RunError, match="size mismatch"):
            check(path)
    else:
        verdict = check(path)
        assert (verdict.name, verdict.code) == ("Net", code)


def test_an_expression_tells_which_class_is_meant() -> None:
    verdict = check(written(WRAPPER + CONFIGURED), None, "Net((E, H))")
    assert (verdict.name, verdict.code) == ("Net", "equal")


def test_a_cell_that_reads_something_computed_is_to_be_checked_alone() -> None:
    path = written(BATCHES.replace("self.words(tokens)", "torch.relu(self.words(tokens))").replace("RESULT", "h"))
    finding = check(path, "Net").findings[0]
    assert finding.code == "unknown"
    mentions(finding.detail, "student.py:CELL")


def test_a_layer_for_one_length_alone_is_told() -> None:
    text = BATCHES.replace("embed_dim, hidden_size):", "embed_dim, hidden_size, seq_len):\n"
                           "        self.seq_len = seq_len").replace("x.shape[1])", "self.seq_len)").replace(
                               "self.seq_len = seq_len\n        super().__init__()",
                               "super().__init__()\n        self.seq_len = seq_len")
    finding = check(written(text.replace("RESULT", "h")), "Net").findings[0]
    assert finding.code == "unknown"
    mentions(finding.detail, "length 6")


def test_two_recurrences_side_by_side_need_not_be_directions() -> None:
    text = STYLES["tokens"].text.replace("xs[::-1], zeros", "xs, zeros")
    verdict = check(written(text), STYLES["tokens"].name)
    assert verdict.code == "backward-end"
    mentions(verdict.findings[0].detail, "layers", "directions")
    assert "both directions" not in verdict.form
