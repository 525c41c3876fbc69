"""What a check can find: one word each, with what it means, how it should be, and whether what has it is a GRU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gru_bench.errors import ExitCode


@dataclass(frozen=True)
class Kind:
    """One kind of finding."""

    right: bool
    """Whether what has it is a GRU."""
    meaning: str
    """What it is, as a sentence."""
    equation: str
    """The lines as they should be, or those that bring its weights into torch.nn.GRU."""
    warning: bool = False
    """Whether a right GRU that has it should be looked at, such as one that is not written from scratch."""


_STEP = """r = torch.sigmoid(W_ir(x) + W_hr(h))
z = torch.sigmoid(W_iz(x) + W_hz(h))
n = torch.tanh(W_in(x) + r * W_hn(h))
h = z * h + (1 - z) * n"""
"""One step of torch.nn.GRU."""

KINDS: Mapping[str, Kind] = {
    "equal": Kind(True, "It equals torch.nn.GRU.", _STEP),
    "update-inverted": Kind(True, "Its z means 1 - z: h' = (1 - z) * h + z * n. PyTorch has h' = z * h + (1 - z) * n.",
        "gru.weight_ih_l0[H:2 * H] = -mine.W_z\ngru.weight_hh_l0[H:2 * H] = -mine.U_z\n"
        "gru.bias_ih_l0[H:2 * H] = -mine.b_z"),
    "reset-before": Kind(
        True, "The reset gate acts on the state before the product, U_n (r * h), as in Cho et al. 2014. PyTorch has "
        "r * (U_n h + b_hn).",
        "n = torch.tanh(W_n(x) + U_n(r * h))   # before, Cho et al.\n"
        "n = torch.tanh(W_n(x) + r * U_n(h))   # after, PyTorch"),
    "gate-order": Kind(True, "Its gates are not stacked in the order of nn.GRU, which is r, z, n.",
        "z, r, n = mine.weight_ih.chunk(3)\ngru.weight_ih_l0.copy_(torch.cat((r, z, n)))"),
    "single-bias": Kind(True, "Its gates have fewer biases than those of nn.GRU, which have two each.",
        "self.U_n = nn.Linear(H, H)   # bias=True is the default\nn = torch.tanh(self.W_n(x) + r * self.U_n(h))"),
    "no-bias": Kind(True, "It has no bias: it is nn.GRU(bias=False).",
        "self.W_z = nn.Linear(E, H)"),
    "library": Kind(True, "It uses torch.nn.GRU or torch.nn.GRUCell: it is a GRU, but not written from scratch.",
        _STEP, True),
    "padding": Kind(True, "Padding reaches the state: the result depends on what is beyond the length of a sequence.",
        "new = cell(x[:, t], h)\nh = torch.where((t < lengths)[:, None], new, h)", True),
    "untrained": Kind(
        True, "Weights of the recurrence are not among its parameters(), so that no optimizer trains them.",
        "self.U_z = nn.Parameter(torch.randn(H, H))\nself.cells = nn.ModuleList([Cell(E, H), Cell(H, H)])", True),
    "candidate-activation": Kind(False, "The candidate must go through tanh.",
        "n = torch.tanh(W_n(x) + r * U_n(h))"),
    "gate-activation": Kind(False, "A gate must go through a sigmoid, so that it lies between 0 and 1.",
        "z = torch.sigmoid(W_z(x) + U_z(h))\nr = torch.sigmoid(W_r(x) + U_r(h))"),
    "reset-unused": Kind(False, "The reset gate has no effect on the state.",
        "n = torch.tanh(W_n(x) + r * U_n(h))"),
    "reset-on-input": Kind(False, "The reset gate acts on the input. It must act only on the state.",
        "n = torch.tanh(W_n(x) + r * U_n(h))   # not r * (W_n(x) + U_n(h))"),
    "gate-without-state": Kind(False, "A gate or the candidate does not see the state.",
        "z = torch.sigmoid(W_z(x) + U_z(h))"),
    "shared-matrices": Kind(False, "Two gates share a matrix, and each must have its own.",
        "self.U_r = nn.Linear(H, H)\nself.U_z = nn.Linear(H, H)\nself.U_n = nn.Linear(H, H)"),
    "mixing": Kind(False, "The weights of the old state and of the candidate do not sum to one.",
        "h = z * h + (1 - z) * n"),
    "wrong-candidate": Kind(
        False, "The mixing or the candidate uses the wrong one of old state, new state and candidate.",
        "n = torch.tanh(W_n(x) + r * U_n(h))\nh_new = z * h + (1 - z) * n   # the old h in both lines"),
    "detached": Kind(False, "No gradient reaches the steps before: the state is cut off from them.",
        "h = cell(x[t], h)   # not cell(x[t], h.detach())"),
    "state-kept": Kind(False, "The state of one call is kept and used by the next, so that texts influence each other.",
        "def forward(self, x):\n    h = x.new_zeros(x.size(0), self.hidden_size)"),
    "initial-state": Kind(False, "The initial state is wrong: it must be zeros, or h0 if given.",
        "def forward(self, x, h0=None):\n"
        "    h = x.new_zeros(x.size(0), self.hidden_size) if h0 is None else h0"),
    "last-step": Kind(False, "The last step is left out.",
        "for t in range(x.size(1)):   # not range(x.size(1) - 1)\n    h = cell(x[:, t], h)\n    outputs.append(h)"),
    "read-backwards": Kind(False, "The sequence is read from its end to its start.",
        "for t in range(x.size(1)):"),
    "backward-end": Kind(False, "The backward half is read at the wrong end, or in the wrong order.",
        "features = torch.cat((forward[:, -1], backward[:, 0]), dim=1)\n"
        "outputs = torch.cat((forward, backward.flip(1)), dim=2)   # if it was collected in reading order"),
    "dropout": Kind(False, "Dropout is active in evaluation.",
        "self.dropout = nn.Dropout(0.5)\nx = F.dropout(x, 0.5, training=self.training)"),
    "shared-layers": Kind(False, "Two layers or directions share their weights.",
        "self.cells = nn.ModuleList(\n    [Cell(E if layer == 0 else H, H) for layer in range(layers)])"),
    "lstm": Kind(False, "It is an LSTM: a cell state is carried next to the hidden state.", _STEP),
    "rnn": Kind(False, "It is an RNN without gates.", _STEP),
    "unknown": Kind(False, "It is not a known GRU, nor a known mistake.",
        "cell = nn.GRUCell(E, H)\nprint(mine(x, h) - cell(x, h))   # after you copied the weights"),
}
"""Code -> what it means. Those of a right GRU come first, the warnings among them last."""


@dataclass(frozen=True)
class Finding:
    """One finding about a GRU."""

    code: str
    detail: str = ""
    """What was seen here, as a sentence."""
    line: int = 0
    """Line of the file. 0: not known."""
    quantity: str = ""
    """Quantity of a step that is wrong, as `fit.inner` names it, by which its line is found. Empty: none is known."""

    @property
    def kind(self) -> Kind:
        """Return what the code means."""
        return KINDS[self.code]

    @property
    def said(self) -> str:
        """Return the code, what it means, and what was seen here."""
        return " ".join(filter(None, (f"[{self.code}] {self.kind.meaning}", self.detail)))


@dataclass(frozen=True)
class Verdict:
    """What a check found out."""

    findings: tuple[Finding, ...]
    """At least one. The first is the most important."""
    form: str
    """What the object is, in words: a cell, or a layer and how it is called."""
    notes: tuple[str, ...] = ()
    """What else the reader should know, as sentences."""
    name: str = ""
    """The object in the file. Empty: it does not come from a file."""

    @property
    def code(self) -> str:
        """Return the code of the first finding."""
        return self.findings[0].code

    @property
    def words(self) -> str:
        """Return the verdict in a few words."""
        if self.exit_code == ExitCode.DONE:
            library = any(finding.code == "library" for finding in self.findings)
            return "a GRU, not written from scratch" if library else "a GRU"
        return "not identified" if self.exit_code == ExitCode.INCOMPLETE else "not a GRU"

    @property
    def exit_code(self) -> ExitCode:
        """Return 0 for a GRU, 4 for none, 3 for what was not identified."""
        if all(finding.kind.right for finding in self.findings):
            return ExitCode.DONE
        return ExitCode.INCOMPLETE if self.code == "unknown" else ExitCode.NO
