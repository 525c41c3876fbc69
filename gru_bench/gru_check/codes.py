"""What a check can find: one word each, with what it means, what to do, and whether the recurrence is still a GRU."""

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
    why: str
    """Why it matters, or how it differs from torch.nn.GRU."""
    see: str
    """How to see it in one's own code."""
    remedy: str
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
    "equal": Kind(
        True, "It equals torch.nn.GRU.",
        "It computes what torch.nn.GRU computes, weight for weight: its results agree in float64.",
        "Two states from six linear layers and from nn.GRUCell with the same weights are equal.",
        "Nothing to fix. Its weights load into nn.GRU: stack those of r, z and n in this order.", _STEP),
    "update-inverted": Kind(
        True, "Its z means 1 - z: h' = (1 - z) * h + z * n. PyTorch has h' = z * h + (1 - z) * n.",
        "The update gate says how much is new; in PyTorch and in Cho et al. 2014 it says how much is kept. Both are "
        "GRUs: since sigmoid(-a) = 1 - sigmoid(a), negating the weights of the update gate turns one into the other.",
        "With a large bias of the update gate the state is replaced. In PyTorch it is kept.",
        "Nothing to fix. To load its weights into nn.GRU, negate those of the update gate.",
        "gru.weight_ih_l0[H:2 * H] = -mine.W_z\ngru.weight_hh_l0[H:2 * H] = -mine.U_z\n"
        "gru.bias_ih_l0[H:2 * H] = -mine.b_z"),
    "reset-before": Kind(
        True, "The reset gate acts on the state before the product, U_n (r * h), as in Cho et al. 2014. PyTorch has "
        "r * (U_n h + b_hn).",
        "PyTorch and cuDNN use r * (U_n h + b_hn), because one product then serves all gates. Both are GRUs, but not "
        "the same function.",
        "Give nn.GRU the same weights: the states differ from the second step on.",
        "Nothing to fix. No weights of nn.GRU give the same function. To compare with it weight for weight, use the "
        "other form.",
        "n = torch.tanh(W_n(x) + U_n(r * h))   # before, Cho et al.\n"
        "n = torch.tanh(W_n(x) + r * U_n(h))   # after, PyTorch"),
    "gate-order": Kind(
        True, "Its gates are not stacked in the order of nn.GRU, which is r, z, n.",
        "The rows of the stacked matrices belong to the gates in another order. The function is the same.",
        "Copied unchanged, the weights give nn.GRU other states.",
        "Nothing to fix. To load its weights into nn.GRU, put their rows into the order r, z, n.",
        "z, r, n = mine.weight_ih.chunk(3)\ngru.weight_ih_l0.copy_(torch.cat((r, z, n)))"),
    "single-bias": Kind(
        True, "Its gates have fewer biases than those of nn.GRU, which have two each.",
        "For r and z the sum of the two is all that matters. Of the candidate's two, b_hn is inside the product with "
        "r. It is nn.GRU in which the biases that it lacks are 0.",
        "Count the parameters: nn.GRU has 6 H in its biases.",
        "Nothing to fix. To have the biases of nn.GRU, give each product its own.",
        "self.U_n = nn.Linear(H, H)   # bias=True is the default\nn = torch.tanh(self.W_n(x) + r * self.U_n(h))"),
    "no-bias": Kind(
        True, "It has no bias: it is nn.GRU(bias=False).",
        "It is correct, but less flexible: with zero input and zero state, a gate is always 0.5.",
        "With zero input and zero state the new state is zero.",
        "Nothing to fix. To have a bias, leave bias=False out.", "self.W_z = nn.Linear(E, H)"),
    "library": Kind(
        True, "It uses torch.nn.GRU or torch.nn.GRUCell: it is a GRU, but not written from scratch.",
        "The recurrence is right, but none of it is your own.",
        "Look for nn.GRU in the class, or in what it inherits.",
        "Nothing to fix where this is allowed. Otherwise write the equations of one step, and call it for each token.",
        _STEP, True),
    "padding": Kind(
        True, "Padding reaches the state: the result depends on what is beyond the length of a sequence.",
        "A short sequence in a batch is padded. Each step on padding changes the state, so that the result depends on "
        "the length of the others. padding_idx alone does not keep the state.",
        "Read a text by itself, then in a batch with a longer one: the results differ.",
        "Keep the old state beyond the length. With nn.GRU, pack the sequences by pack_padded_sequence.",
        "new = cell(x[:, t], h)\nh = torch.where((t < lengths)[:, None], new, h)", True),
    "untrained": Kind(
        True, "Weights of the recurrence are not among its parameters(), so that no optimizer trains them.",
        "Tensors without nn.Parameter, and modules in a Python list, keep their random values, so that this part of "
        "the recurrence learns nothing.",
        "Count the weights: sum(p.numel() for p in model.parameters()).",
        "Make each weight an nn.Parameter, and each list of modules an nn.ModuleList.",
        "self.U_z = nn.Parameter(torch.randn(H, H))\nself.cells = nn.ModuleList([Cell(E, H), Cell(H, H)])", True),
    "candidate-activation": Kind(
        False, "The candidate must go through tanh.",
        "Without it, the state is unbounded and may grow at each step. After a sigmoid it is never negative, after a "
        "rectifier both.",
        "Feed inputs of 10: states leave the range from -1 to 1, or are never negative.",
        "Put tanh around the whole sum.", "n = torch.tanh(W_n(x) + r * U_n(h))"),
    "gate-activation": Kind(
        False, "A gate must go through a sigmoid, so that it lies between 0 and 1.",
        "A gate lets a fraction through. tanh reaches down to -1 and changes signs; without a function the state "
        "explodes.",
        "Print z.min(), z.max() for large inputs.",
        "Put a sigmoid around the whole sum.",
        "z = torch.sigmoid(W_z(x) + U_z(h))\nr = torch.sigmoid(W_r(x) + U_r(h))"),
    "reset-unused": Kind(
        False, "The reset gate has no effect on the state.",
        "The gate is computed, or its matrices are there, but the new state does not depend on it. Nothing can then "
        "make the candidate forget.",
        "After backward() the gradient of W_r is zero or None.",
        "Let it act on the state in the candidate.", "n = torch.tanh(W_n(x) + r * U_n(h))"),
    "reset-on-input": Kind(
        False, "The reset gate acts on the input. It must act only on the state.",
        "r decides how much of the old state the candidate sees. Here it also, or only, weakens the input. With r near "
        "0 the word itself is lost.",
        "With a large negative bias of r the candidate no longer depends on x.",
        "Keep the product with the input outside.",
        "n = torch.tanh(W_n(x) + r * U_n(h))   # not r * (W_n(x) + U_n(h))"),
    "gate-without-state": Kind(
        False, "A gate or the candidate does not see the state.",
        "It is computed only from the input, and cannot depend on what was read before.",
        "Its gradient with respect to h is zero.",
        "Add its product with the state.", "z = torch.sigmoid(W_z(x) + U_z(h))"),
    "shared-matrices": Kind(
        False, "Two gates share a matrix, and each must have its own.",
        "One matrix is in the sums of two gates, or both gates are one. They cannot learn different things.",
        "Count the parameters: a GRU has 3 (E H + H H), and its biases.",
        "Make a matrix of its own for each.",
        "self.U_r = nn.Linear(H, H)\nself.U_z = nn.Linear(H, H)\nself.U_n = nn.Linear(H, H)"),
    "mixing": Kind(
        False, "The weights of the old state and of the candidate do not sum to one.",
        "The new state must lie between the old state and the candidate. Weights that sum to more let it grow, and "
        "weights that sum to less let it shrink.",
        "Set h and n to 1: the new state is not 1.",
        "Weigh both with one gate.", "h = z * h + (1 - z) * n"),
    "wrong-candidate": Kind(
        False, "The mixing or the candidate uses the wrong one of old state, new state and candidate.",
        "It uses the candidate instead of the old state, a state that was overwritten, the reset state, or the sum "
        "before its tanh.",
        "Set z to 1 by a large bias: the state must stay as it is.",
        "Mix the old state with the candidate, and keep the old state until the new one is complete.",
        "n = torch.tanh(W_n(x) + r * U_n(h))\nh_new = z * h + (1 - z) * n   # the old h in both lines"),
    "detached": Kind(
        False, "No gradient reaches the steps before: the state is cut off from them.",
        "The states are right, but no gradient passes from a step to the one before. The GRU then learns only from the "
        "last word.",
        "After backward() the gradient of the first input is zero.",
        "Remove .detach(), .data and torch.no_grad() from the recurrence. Detach only between texts, if at all.",
        "h = cell(x[t], h)   # not cell(x[t], h.detach())"),
    "state-kept": Kind(
        False, "The state of one call is kept and used by the next, so that texts influence each other.",
        "A call continues from the state that the last call left. Results then depend on the order of the texts, in "
        "evaluation too.",
        "Call the layer twice on the same text: the results differ.",
        "Make the state in forward.",
        "def forward(self, x):\n    h = x.new_zeros(x.size(0), self.hidden_size)"),
    "initial-state": Kind(
        False, "The initial state is wrong: it must be zeros, or h0 if given.",
        "It is ones, random, learned from other values than zeros, the state in which another layer ended, or h0 is "
        "ignored.",
        "Read one word and compare with nn.GRUCell(x, zeros).",
        "Start with h0 if it is given, and with zeros otherwise.",
        "def forward(self, x, h0=None):\n"
        "    h = x.new_zeros(x.size(0), self.hidden_size) if h0 is None else h0"),
    "last-step": Kind(
        False, "The last step is left out.",
        "The loop ends too early, or the states are collected before each step, so that the last word is never read.",
        "Change the last word: the result stays the same.",
        "Run over all steps, and collect the state after each.",
        "for t in range(x.size(1)):   # not range(x.size(1) - 1)\n    h = cell(x[:, t], h)\n    outputs.append(h)"),
    "read-backwards": Kind(
        False, "The sequence is read from its end to its start.",
        "The layer begins with the last word, or its outputs are in that order. That is right for the backward half of "
        "a bidirectional GRU, and wrong for a GRU of one direction.",
        "Change the first word: the first output must change, not only the last one.",
        "Start with step 0.", "for t in range(x.size(1)):"),
    "backward-end": Kind(
        False, "The backward half is read at the wrong end, or in the wrong order.",
        "The backward half begins with the last word. At the last position it has read one word; it has read all of "
        "them at position 0. Outputs must be reversed again, so that both halves of a position belong to one word.",
        "Keep the forward half fixed: the result does not depend on the first word.",
        "Take its state at position 0, or its final state, and reverse its outputs again.",
        "features = torch.cat((forward[:, -1], backward[:, 0]), dim=1)\n"
        "outputs = torch.cat((forward, backward.flip(1)), dim=2)   # if it was collected in reading order"),
    "dropout": Kind(
        False, "Dropout is active in evaluation.",
        "F.dropout drops by default, also after eval(). Accuracies are then random and too low.",
        "Call the layer twice after eval(): the results differ.",
        "Use nn.Dropout, or pass the mode.",
        "self.dropout = nn.Dropout(0.5)\nx = F.dropout(x, 0.5, training=self.training)"),
    "shared-layers": Kind(
        False, "Two layers or directions share their weights.",
        "They use the same matrices. [cell] * 2 lists the same cell twice.",
        "Count the parameters: they do not grow with the number of layers.",
        "Make new weights for each.",
        "self.cells = nn.ModuleList(\n    [Cell(E if layer == 0 else H, H) for layer in range(layers)])"),
    "lstm": Kind(
        False, "It is an LSTM: a cell state is carried next to the hidden state.",
        "Two states go from step to step: the cell state c, and the hidden state h = o * tanh(c). A GRU has one.",
        "The step returns or keeps a second state of the same size.",
        "Write a GRU: one state, the gates r and z, and a mixture instead of the cell state.", _STEP),
    "rnn": Kind(
        False, "It is an RNN without gates.",
        "The new state is one function of the input and the old state. Nothing decides what is kept, so that the state "
        "forgets within some steps.",
        "There is one matrix for the state. A GRU has three.",
        "Add the two gates, and mix the candidate with the old state.", _STEP),
    "unknown": Kind(
        False, "It is not a known GRU, nor a known mistake.",
        "The check found neither a GRU in a known convention nor a known mistake, or cannot see how the layer reads.",
        "Start with zero input and zero state, then with one of them.",
        "Compute one step by hand, and compare each quantity.",
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
            return "a GRU, not written from scratch" if self.has("library") else "a GRU"
        return "not identified" if self.exit_code == ExitCode.INCOMPLETE else "not a GRU"

    def has(self, code: str) -> bool:
        """Return whether a code is among the findings."""
        return any(finding.code == code for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """Return 0 for a GRU, 4 for none, 3 for what was not identified."""
        if all(finding.kind.right for finding in self.findings):
            return ExitCode.DONE
        return ExitCode.INCOMPLETE if self.code == "unknown" else ExitCode.NO
