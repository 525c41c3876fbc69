"""What a check can find: one word each, with what it means, what to do, and whether the recurrence is still a GRU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gru_bench.errors import ExitCode

DOCS = "docs/gru-check"
FITTING = "As a model of a study it needs these lines, below it in"


@dataclass(frozen=True)
class Kind:
    """One kind of finding."""

    right: bool
    """Whether what has it is a GRU."""
    meaning: str
    remedy: str
    warning: bool = False
    """Whether a right GRU that has it should be looked at, such as one that is not written from scratch."""


KINDS: Mapping[str, Kind] = {
    "equal": Kind(True, "It equals torch.nn.GRU.", ""),
    "update-inverted": Kind(
        True, "Its z means 1 - z: h' = (1 - z) * h + z * n. PyTorch has h' = z * h + (1 - z) * n.",
        "Nothing to fix. To load its weights into nn.GRU, negate those of the update gate."),
    "reset-before": Kind(
        True, "The reset gate acts on the state before the product, U_n (r * h), as in Cho et al. 2014. PyTorch has "
        "r * (U_n h + b_hn).", "Nothing to fix. No weights of nn.GRU give the same function."),
    "gate-order": Kind(
        True, "Its gates are not stacked in the order of nn.GRU, which is r, z, n.",
        "Nothing to fix. To load its weights into nn.GRU, put their rows into the order r, z, n."),
    "single-bias": Kind(
        True, "Its gates have fewer biases than those of nn.GRU, which have two each.",
        "Nothing to fix. The two biases of r, and those of z, have the effect of one. Of the candidate's two, one is "
        "inside the product with r."),
    "no-bias": Kind(True, "It has no bias: it is nn.GRU(bias=False).", "Nothing to fix."),
    "library": Kind(
        True, "It computes by torch.nn.GRU or torch.nn.GRUCell: it is a GRU, but not written from scratch.",
        "Nothing to fix where this is allowed. Otherwise write the equations of one step yourself.", True),
    "padding": Kind(
        True, "Padding reaches the state: the result depends on what is beyond the length of a sequence.",
        "Keep the old state on padding: h = torch.where(inside, new, h). With nn.GRU, pack the sequences.", True),
    "candidate-activation": Kind(
        False, "The candidate must go through tanh.", "Write n = torch.tanh(...)."),
    "gate-activation": Kind(
        False, "A gate must go through a sigmoid, so that it lies between 0 and 1.",
        "Write torch.sigmoid(...) around the gate."),
    "reset-unused": Kind(
        False, "The reset gate has no effect on the state.",
        "Let it act on the state in the candidate: n = tanh(W_n x + r * (U_n h))."),
    "reset-on-input": Kind(
        False, "The reset gate acts on the input. It must act on the state alone.",
        "Take W_n x out of the product with r: n = tanh(W_n x + r * (U_n h))."),
    "gate-without-state": Kind(
        False, "A gate or the candidate does not see the state.", "Add its product with h: W x + U h + b."),
    "shared-matrices": Kind(
        False, "Two gates share a matrix, and each must have its own.",
        "Make a matrix of its own for each of W_r, W_z, W_n, U_r, U_z, U_n."),
    "mixing": Kind(
        False, "The weights of the old state and of the candidate do not sum to one.",
        "Write h' = z * h + (1 - z) * n."),
    "wrong-candidate": Kind(
        False, "The mixing or the candidate takes the wrong one of old state, new state and candidate.",
        "Mix the old state h with the candidate n, and compute n from the old state."),
    "detached": Kind(
        False, "No gradient reaches the steps before: the state is cut off from them.",
        "Remove .detach(), .data and torch.no_grad() from the recurrence."),
    "state-kept": Kind(
        False, "The state of one call is kept and used by the next, so that texts influence each other.",
        "Begin each call with a state of zeros."),
    "initial-state": Kind(
        False, "The initial state is not the one that is due: zeros, or h0 where it is given.",
        "Begin with h0 if it is given, and with torch.zeros(...) otherwise."),
    "last-step": Kind(
        False, "The last step is left out.", "Let the loop run over all steps, and read the state after the last."),
    "read-backwards": Kind(
        False, "The sequence is read from its end to its start.", "Let the loop run from step 0 to the last."),
    "backward-end": Kind(
        False, "The backward half is read at the wrong end, or in the wrong order.",
        "Read the backward half where it has seen all steps, which is step 0, and turn its outputs round again."),
    "dropout": Kind(
        False, "Dropout is active in evaluation.",
        "Use nn.Dropout, or pass training=self.training to F.dropout."),
    "shared-layers": Kind(
        False, "Two layers or directions share their weights.",
        "Make new weights for each: nn.ModuleList([Cell(...) for layer in range(layers)])."),
    "lstm": Kind(
        False, "It is an LSTM: a cell state is carried next to the hidden state.",
        "Write a GRU: one state, the gates r and z, and h' = z * h + (1 - z) * n."),
    "rnn": Kind(
        False, "It is an RNN without gates.",
        "Add the gates r and z: n = tanh(W_n x + r * (U_n h)), and h' = z * h + (1 - z) * n."),
    "unknown": Kind(
        False, "It is no GRU that is known here, and no known mistake.",
        "Compare your equations with those of the documentation, beginning at the step that differs."),
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

    @property
    def page(self) -> str:
        """Return the page of the documentation."""
        return f"{DOCS}/{self.code}.md"


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
    fitting: str = ""
    """Lines of Python that make a class a model of a study. Empty: it is one already, or none are known."""

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
