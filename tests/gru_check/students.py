"""A generator of students' GRUs: right ones in several honest styles, and mutants of them with one mistake each.

A style is the text of a file. A mutant replaces one or two of its lines. Every style has the lines that its mutants
replace exactly once, which `written` asserts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gru_bench.gru_check.check import check_file, prepared
from gru_bench.gru_check.codes import Verdict

SPLIT = '''
import torch
from torch import nn


class GRUCell(nn.Module):
    """Six linear layers, one for each product."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W_r = nn.Linear(input_size, hidden_size)
        self.U_r = nn.Linear(hidden_size, hidden_size)
        self.W_z = nn.Linear(input_size, hidden_size)
        self.U_z = nn.Linear(hidden_size, hidden_size)
        self.W_n = nn.Linear(input_size, hidden_size)
        self.U_n = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, h):
        r = torch.sigmoid(self.W_r(x) + self.U_r(h))
        z = torch.sigmoid(self.W_z(x) + self.U_z(h))
        n = torch.tanh(self.W_n(x) + r * self.U_n(h))
        return z * h + (1 - z) * n
'''

FUSED = '''
import torch
import torch.nn as nn
import torch.nn.functional as F


class MyGRU(nn.Module):
    """One linear layer for the input and one for the state; batch first; outputs and last state."""

    def __init__(self, input_dim, hidden_dim):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.x2h = nn.Linear(input_dim, 3 * hidden_dim, bias=True)
        self.h2h = nn.Linear(hidden_dim, 3 * hidden_dim, bias=True)

    def forward(self, x, h0=None):
        batch, steps, _ = x.shape
        h = h0 if h0 is not None else x.new_zeros(batch, self.hidden_dim)
        outputs = []
        for t in range(steps):
            x_r, x_z, x_n = self.x2h(x[:, t]).chunk(3, dim=1)
            h_r, h_z, h_n = self.h2h(h).chunk(3, dim=1)
            reset = torch.sigmoid(x_r + h_r)
            update = torch.sigmoid(x_z + h_z)
            new = torch.tanh(x_n + reset * h_n)
            h = update * h + (1 - update) * new
            outputs.append(h)
        return torch.stack(outputs, dim=1), h
'''

RAW = '''
import math
import torch


class RawGRU(torch.nn.Module):
    """Raw matrices, time first, Cho's reset gate, the last state."""

    def __init__(self, n_in, n_hidden):
        super().__init__()
        scale = 1 / math.sqrt(n_hidden)
        def mat(*shape):
            return torch.nn.Parameter(torch.randn(*shape) * scale)
        self.Wxz, self.Whz, self.bz = mat(n_in, n_hidden), mat(n_hidden, n_hidden), mat(n_hidden)
        self.Wxr, self.Whr, self.br = mat(n_in, n_hidden), mat(n_hidden, n_hidden), mat(n_hidden)
        self.Wxh, self.Whh, self.bh = mat(n_in, n_hidden), mat(n_hidden, n_hidden), mat(n_hidden)
        self.n_hidden = n_hidden

    def forward(self, xs):
        H = torch.zeros((xs.shape[1], self.n_hidden), device=xs.device)
        for X in xs:
            Z = torch.sigmoid(torch.matmul(X, self.Wxz) + torch.matmul(H, self.Whz) + self.bz)
            R = torch.sigmoid(torch.matmul(X, self.Wxr) + torch.matmul(H, self.Whr) + self.br)
            H_tilde = torch.tanh(torch.matmul(X, self.Wxh) + torch.matmul(R * H, self.Whh) + self.bh)
            H = Z * H + (1 - Z) * H_tilde
        return H
'''

EINSUM = '''
import torch
from torch import nn


class EinsumCell(nn.Module):
    """Stacked matrices and einsum, no bias, gates z, r, n."""

    def __init__(self, E, H):
        super().__init__()
        self.w = nn.Parameter(torch.empty(3, E, H).uniform_(-0.5, 0.5))
        self.u = nn.Parameter(torch.empty(3, H, H).uniform_(-0.5, 0.5))

    def forward(self, x, state):
        wx = torch.einsum("be,geh->gbh", x, self.w)
        uh = torch.einsum("bh,ghk->gbk", state, self.u)
        z = torch.sigmoid(wx[0] + uh[0])
        r = torch.sigmoid(wx[1] + uh[1])
        n = (wx[2] + r * uh[2]).tanh()
        new_state = (1 - z) * state + z * n
        return new_state, new_state
'''

NOTEBOOK = '''
import torch
import torch.nn as nn
import torch.nn.functional as F

input_size = 30
hidden_size = 10
output_size = 2


class GRUClassifier(nn.Module):
    """The homework's form: sizes are globals of the notebook, one review at a time, log-probabilities."""

    def __init__(self):
        super(GRUClassifier, self).__init__()
        self.update_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.reset_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)
        self.linear = nn.Linear(hidden_size, output_size)

    def forward(self, review):
        hidden = torch.zeros(1, hidden_size)
        length = review.size(0)
        for i in range(length):
            word = review[i].view(1, -1)
            combined = torch.cat((word, hidden), 1)
            zt = torch.sigmoid(self.update_gate(combined))
            rt = torch.sigmoid(self.reset_gate(combined))
            combined_reset = torch.cat((word, rt * hidden), 1)
            ht = torch.tanh(self.candidate(combined_reset))
            hidden = (1 - zt) * hidden + zt * ht
        return F.log_softmax(self.linear(hidden), dim=1)
'''

TOKENS = '''
import torch
from torch import nn
from torch.nn import functional as F


class Step(nn.Module):
    def __init__(self, in_features, hidden_features):
        super().__init__()
        self.weight_ih = nn.Parameter(torch.randn(3 * hidden_features, in_features))
        self.weight_hh = nn.Parameter(torch.randn(3 * hidden_features, hidden_features))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden_features))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden_features))

    def forward(self, x, h):
        gi = F.linear(x, self.weight_ih, self.bias_ih)
        gh = F.linear(h, self.weight_hh, self.bias_hh)
        i_r, i_z, i_n = gi.chunk(3, 1)
        h_r, h_z, h_n = gh.chunk(3, 1)
        r = F.sigmoid(i_r + h_r)
        z = F.sigmoid(i_z + h_z)
        n = F.tanh(i_n + r * h_n)
        return n + z * (h - n)


class Sentiment(nn.Module):
    """Token ids, an embedding, both directions, several layers' worth of options, class scores."""

    def __init__(self, vocab_size, embedding_dim, hidden_dim, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.forward_cell = Step(embedding_dim, hidden_dim)
        self.backward_cell = Step(embedding_dim, hidden_dim)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2 * hidden_dim, num_classes)
        self.hidden_dim = hidden_dim

    def run(self, cell, xs, h):
        states = []
        for x in xs:
            h = cell(x, h)
            states.append(h)
        return states

    def forward(self, ids):
        xs = self.embedding(ids).unbind(1)
        zeros = torch.zeros(ids.size(0), self.hidden_dim)
        ahead = self.run(self.forward_cell, xs, zeros)
        back = self.run(self.backward_cell, xs[::-1], zeros)
        features = torch.cat([ahead[-1], back[-1]], dim=1)
        return self.fc(self.dropout(features))
'''

STACK = '''
import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, d_in, d_hidden):
        super().__init__()
        self.gates = nn.Linear(d_in + d_hidden, 2 * d_hidden)
        self.new_x = nn.Linear(d_in, d_hidden)
        self.new_h = nn.Linear(d_hidden, d_hidden)

    def forward(self, x, h):
        r, z = torch.sigmoid(self.gates(torch.cat([h, x], dim=-1))).chunk(2, dim=-1)
        n = torch.tanh(self.new_x(x) + r * self.new_h(h))
        return torch.lerp(n, h, z)


class StackedGRU(nn.Module):
    """Layers of cells, padding by lengths, outputs and the states of all layers."""

    def __init__(self, input_size, hidden_size, num_layers=2, dropout=0.1):
        super().__init__()
        self.cells = nn.ModuleList(
            [Cell(input_size if i == 0 else hidden_size, hidden_size) for i in range(num_layers)])
        self.drop = nn.Dropout(dropout)
        self.hidden_size = hidden_size

    def forward(self, x, lengths=None):
        states = [x.new_zeros(x.size(0), self.hidden_size) for _ in self.cells]
        outputs = []
        for t in range(x.size(1)):
            inp = x[:, t]
            for i, cell in enumerate(self.cells):
                new = cell(inp, states[i])
                if lengths is not None:
                    new = torch.where((t < lengths).unsqueeze(1), new, states[i])
                states[i] = new
                inp = self.drop(new)
            outputs.append(states[-1])
        return torch.stack(outputs, 1), torch.stack(states)
'''

COLUMNS = '''
import torch
from torch import nn


class ColumnCell(nn.Module):
    """Columns, as on a blackboard: one example at a time."""

    def __init__(self, E, H):
        super().__init__()
        self.Wr, self.Wz, self.Wn = [nn.Parameter(torch.randn(H, E)) for _ in range(3)]
        self.Ur, self.Uz, self.Un = [nn.Parameter(torch.randn(H, H)) for _ in range(3)]
        self.br, self.bz, self.bn = [nn.Parameter(torch.zeros(H, 1)) for _ in range(3)]

    def forward(self, x, h):
        r = torch.sigmoid(self.Wr @ x + self.Ur @ h + self.br)
        z = torch.sigmoid(self.Wz @ x + self.Uz @ h + self.bz)
        n = torch.tanh(self.Wn @ x + self.Un @ (r * h) + self.bn)
        return (1 - z) * h + z * n
'''

LECTURE = '''
import torch
from torch import nn


def matrices(n, d):
    return nn.Parameter(0.5 * torch.randn(n, d)), nn.Parameter(0.5 * torch.randn(n, n))


class LectureGRU(nn.Module):
    """Columns in a layer: states are H x B, the matrices come from a function, no biases."""

    def __init__(self, d, n):
        super().__init__()
        self.n = n
        self.W_r, self.U_r = matrices(n, d)
        self.W_z, self.U_z = matrices(n, d)
        self.W, self.U = matrices(n, d)

    def forward(self, x):
        h = torch.zeros(self.n, x.shape[1])
        hs = []
        for x_t in x.transpose(1, 2):
            r = torch.sigmoid(self.W_r @ x_t + self.U_r @ h)
            z = torch.sigmoid(self.W_z @ x_t + self.U_z @ h)
            h_hat = torch.tanh(self.W @ x_t + r * (self.U @ h))
            h = z * h + (1 - z) * h_hat
            hs.append(h.T)
        return torch.stack(hs)
'''

BOTH = '''
import torch
from torch import nn


class Direction(nn.Module):
    def __init__(self, n_in, n, turned):
        super().__init__()
        self.w = nn.Parameter(torch.randn(n_in, 3 * n))
        self.u = nn.Parameter(torch.randn(n, 3 * n))
        self.b = nn.Parameter(torch.zeros(3 * n))
        self.n, self.turned = n, turned

    def forward(self, x):
        n = self.n
        h = x.new_zeros(x.shape[0], n)
        out = [None] * x.shape[1]
        for t in reversed(range(x.shape[1])) if self.turned else range(x.shape[1]):
            a, c = x[:, t] @ self.w + self.b, h @ self.u[:, :2 * n]
            r = torch.sigmoid(a[:, :n] + c[:, :n])
            z = torch.sigmoid(a[:, n:2 * n] + c[:, n:])
            h = z * h + (1 - z) * torch.tanh(a[:, 2 * n:] + (r * h) @ self.u[:, 2 * n:])
            out[t] = h
        return torch.stack(out, 1), h


class BothWays(nn.Module):
    """Slices of stacked matrices, both directions, outputs and stacked final states."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.halves = nn.ModuleList([Direction(input_size, hidden_size, turned) for turned in (False, True)])

    def forward(self, x):
        outs, last = zip(*[half(x) for half in self.halves])
        return torch.cat(outs, 2), torch.stack(last)
'''


WRAPPER = '''
import torch
from torch import nn


class Wrapped(nn.Module):
    """Nothing written from scratch."""

    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.recurrence = nn.GRU(input_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        outputs, _ = self.recurrence(x)
        return self.out(outputs[:, -1])
'''


@dataclass(frozen=True)
class Style:
    """A style: its text, and the name of the object."""

    text: str
    name: str
    conventions: tuple[str, ...]


STYLES: Mapping[str, Style] = {
    "split": Style(SPLIT, "GRUCell", ("equal",)),
    "fused": Style(FUSED, "MyGRU", ("equal",)),
    "raw": Style(RAW, "RawGRU", ("reset-before", "single-bias")),
    "einsum": Style(EINSUM, "EinsumCell", ("update-inverted", "gate-order", "no-bias")),
    "notebook": Style(NOTEBOOK, "GRUClassifier", ("update-inverted", "reset-before", "single-bias")),
    "tokens": Style(TOKENS, "Sentiment", ("equal",)),
    "stack": Style(STACK, "StackedGRU", ("equal",)),
    "lecture": Style(LECTURE, "LectureGRU", ("no-bias",)),
    "both": Style(BOTH, "BothWays", ("reset-before", "single-bias")),
    "wrapper": Style(WRAPPER, "Wrapped", ("equal", "library")),
    "columns": Style(COLUMNS, "ColumnCell", ("update-inverted", "reset-before", "single-bias")),
}


@dataclass(frozen=True)
class Student:
    """One student's file, and what should be found."""

    style: str
    title: str
    codes: tuple[str, ...]
    """All codes of a right one; of a mutant the first."""
    changes: tuple[str, ...] = ()
    """What is replaced, each followed by what replaces it."""

    @property
    def name(self) -> str:
        """The object in the file."""
        return STYLES[self.style].name

    def written(self) -> str:
        """The text of the file."""
        text = STYLES[self.style].text
        for old, new in zip(self.changes[::2], self.changes[1::2], strict=True):
            assert text.count(old) == 1, f"{self.style}: {old!r} stands {text.count(old)} times"
            text = text.replace(old, new)
        return text


RIGHT_CHANGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "split": {
        "z means 1 - z": ("update-inverted", "return z * h + (1 - z) * n", "return (1 - z) * h + z * n"),
        "one bias": ("single-bias",
            "U_r = nn.Linear(hidden_size, hidden_size", "U_r = nn.Linear(hidden_size, hidden_size, bias=False",
            "U_z = nn.Linear(hidden_size, hidden_size", "U_z = nn.Linear(hidden_size, hidden_size, bias=False",
            "U_n = nn.Linear(hidden_size, hidden_size", "U_n = nn.Linear(hidden_size, hidden_size, bias=False"),
        "reset before": ("reset-before", "r * self.U_n(h)", "self.U_n(r * h)"),
        "r means 1 - r": ("equal", "r * self.U_n(h)", "(1 - r) * self.U_n(h)"),
        "a matrix with the other sign": ("unknown", "self.W_z(x) + self.U_z(h)", "self.W_z(x) - self.U_z(h)"),
        "a number in the sum of a gate": ("unknown", "self.W_z(x) + self.U_z(h)", "self.W_z(x) + self.U_z(h) + 1.0"),
    },
    "fused": {
        "gates z, r, n": ("gate-order", "x_r, x_z, x_n = ", "x_z, x_r, x_n = ", "h_r, h_z, h_n = ", "h_z, h_r, h_n = "),
        "gates n, z, r": ("gate-order", "x_r, x_z, x_n = ", "x_n, x_z, x_r = ", "h_r, h_z, h_n = ", "h_n, h_z, h_r = "),
        "no bias": ("no-bias", "(input_dim, 3 * hidden_dim, bias=True", "(input_dim, 3 * hidden_dim, bias=False",
            "(hidden_dim, 3 * hidden_dim, bias=True", "(hidden_dim, 3 * hidden_dim, bias=False"),
        "products of all steps at once": ("equal",
            "= []\n", "= []\n        projected = self.x2h(x)\n", "self.x2h(x[:, t])", "projected[:, t]"),
        "a buffer of outputs": ("equal", "outputs = []", "outputs = torch.zeros(batch, steps, self.hidden_dim)",
            "outputs.append(h)", "outputs[:, t, :] = h", "torch.stack(outputs, dim=1)", "outputs"),
    },
    "raw": {
        "sigmoid by hand": ("reset-before single-bias",
            "torch.sigmoid(torch.matmul(X, self.Wxz) + torch.matmul(H, self.Whz) + self.bz",
            "1 / (1 + torch.exp(-(X @ self.Wxz + H @ self.Whz + self.bz))"),
    },
    "lecture": {
        "no parameters": ("no-bias untrained",
            "nn.Parameter(0.5 * torch.randn(n, d)), nn.Parameter(0.5 * torch.randn(n, n)",
            "torch.randn(n, d), torch.randn(n, n"),
        "biases": ("single-bias", "self.W,", "self.b = nn.Parameter(torch.zeros(3, n, 1))\n        self.W,",
            "U_r @ h)", "U_r @ h + self.b[0])", "U_z @ h)", "U_z @ h + self.b[1])",
            "(self.U @ h)", "(self.U @ h) + self.b[2]"),
        "state as columns": ("no-bias", "forward(self, x)", "forward(self, x, h0=None)",
            "torch.zeros(self.n, x.shape[1])", "torch.zeros(self.n, x.shape[1]) if h0 is None else h0",
            "torch.stack(hs)", "torch.stack(hs), h"),
        "a mask that keeps everything": ("no-bias", "x.transpose", "(x * (torch.rand(x.shape) >= 0.0)).transpose"),
    },
    "tokens": {
        "mixing in words": ("equal", "return n + z * (h - n)", "return (1.0 - z) * n + z * h"),
    },
    "stack": {
        "one layer": ("equal", "num_layers=2", "num_layers=1"),
        "padding": ("equal padding", "new = torch.where((t < lengths).unsqueeze(1), new, states[i])", "pass"),
        "cells in a list": ("equal untrained", "nn.ModuleList(", "list("),
    },
}

MUTANTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "split": {
        "kept where none is passed": ("state-kept", "def forward(self, x, h):",
            "kept = None\n\n    def forward(self, x, h=None):\n        h = h if h is not None else self.kept\n"
            "        h = h if h is not None else x.new_zeros(len(x), self.U_r.in_features)",
            "return z * h + (1 - z) * n", "h = z * h + (1 - z) * n\n        self.kept = h.detach()\n        return h"),
        "no tanh": ("candidate-activation", "torch.tanh(self.W_n(x) + r * self.U_n(h)", "self.W_n(x) + r * self.U_n(h"),
        "sigmoid for tanh": ("candidate-activation", "torch.tanh(", "torch.sigmoid("),
        "relu for tanh": ("candidate-activation", "torch.tanh(", "torch.relu("),
        "tanh for z": ("gate-activation", "z = torch.sigmoid(", "z = torch.tanh("),
        "no sigmoid of r": ("gate-activation", "torch.sigmoid(self.W_r(x) + self.U_r(h)", "self.W_r(x) + self.U_r(h"),
        "tanh for both": ("gate-activation", "z = torch.sigmoid(", "z = torch.tanh(", "r = torch.sigmoid(",
            "r = torch.tanh("),
        "softmax for z": ("gate-activation", "sigmoid(self.W_z(x) + self.U_z(h)",
            "softmax(self.W_z(x) + self.U_z(h), dim=-1"),
        "reset unused": ("reset-unused", "r * self.U_n(h)", "self.U_n(h)"),
        "a product without reset": ("unknown", "self.U_n ",
            "self.V_n = nn.Linear(hidden_size, hidden_size)\n        self.U_n ", "r *", "self.V_n(h) + r *"),
        "reset before and after": ("unknown", "self.U_n ",
            "self.V_n = nn.Linear(hidden_size, hidden_size)\n        self.U_n ", "r *", "self.V_n(r * h) + r *"),
        "z for r": ("reset-unused", "r * self.U_n(h)", "z * self.U_n(h)"),
        "reset on input": ("reset-on-input", "self.W_n(x) + r * self.U_n(h)", "r * self.W_n(x) + self.U_n(h)"),
        "reset on both": ("reset-on-input", "self.W_n(x) + r * self.U_n(h)", "r * (self.W_n(x) + self.U_n(h))"),
        "z without state": ("gate-without-state", "self.W_z(x) + self.U_z(h)", "self.W_z(x)"),
        "r without state": ("gate-without-state", "self.W_r(x) + self.U_r(h)", "self.W_r(x)"),
        "U shared by r and z": ("shared-matrices", "self.W_z(x) + self.U_z(h)", "self.W_z(x) + self.U_r(h)"),
        "W shared by r and z": ("shared-matrices", "self.W_z(x) + self.U_z(h)", "self.W_r(x) + self.U_z(h)"),
        "U shared by z and n": ("shared-matrices", "self.U_n(h)", "self.U_z(h)"),
        "W shared by z and n": ("shared-matrices", "self.W_n(x)", "self.W_z(x)"),
        "U and W shared by r and n": ("shared-matrices", "W_n(x) + r * self.U_n", "W_r(x) + r * self.U_r"),
        "tanh of the product with the state": ("candidate-activation", "torch.tanh(self.W_n(x) + ",
            "self.W_n(x) + torch.tanh("),
        "tanh of each product": ("candidate-activation", " + r * ", ") + r * torch.tanh("),
        "sigmoid of a part": ("gate-activation", " + self.U_z(h)", ") + self.U_z(h"),
        "sigmoid of each product": ("gate-activation", "(x) + self.U_r", "(x)) + torch.sigmoid(self.U_r"),
        "twice the sigmoid": ("gate-activation", "r = torch.sigmoid(", "r = 2 * torch.sigmoid("),
        "r before and after": ("wrong-candidate", "r * self.U_n(h)", "r * self.U_n(r * h)"),
        "z on the input": ("wrong-candidate", "self.W_n(x) + r", "z * self.W_n(x) + r"),
        "state scaled by z first": ("unknown", "        n = torch.tanh(", "        h = z * h\n        n = torch.tanh("),
        "product in the mixture": ("unknown", "z * h + (1 - z) * n", "z * self.U_n(h) + (1 - z) * n"),
        "products for sums": ("mixing", "z * h + (1 - z) * n", "z * h * (1 - z) * n"),
        "all doubled": ("mixing", "z * h + (1 - z) * n", "2 * (z * h + (1 - z) * n)"),
        "squares of z": ("gate-activation", "z * h + (1 - z) * n", "z ** 2 * h + (1 - z ** 2) * n"),
        "z twice": ("mixing", "z * h + (1 - z) * n", "z * h + z * n"),
        "r for 1 - z": ("mixing", "z * h + (1 - z) * n", "z * h + r * n"),
        "candidate unweighed": ("mixing", "z * h + (1 - z) * n", "z * h + n"),
        "state unweighed": ("mixing", "z * h + (1 - z) * n", "h + (1 - z) * n"),
        "candidate alone": ("wrong-candidate", "z * h + (1 - z) * n", "z * n + (1 - z) * n"),
        "reset state mixed": ("wrong-candidate", "z * h + (1 - z) * n", "z * (r * h) + (1 - z) * n"),
        "detached": ("detached", "h):\n", "h):\n        h = h.detach()\n"),
        "no_grad": ("detached", "    def forward(self, x, h):", "    @torch.no_grad()\n    def forward(self, x, h):"),
    },
    "fused": {
        "no tanh": ("candidate-activation", "torch.tanh(x_n + reset * h_n)", "x_n + reset * h_n"),
        "no sigmoid of z": ("gate-activation", "torch.sigmoid(x_z + h_z)", "x_z + h_z"),
        "relu for r": ("gate-activation", "torch.sigmoid(x_r + h_r)", "F.relu(x_r + h_r)"),
        "reset unused": ("reset-unused", "x_n + reset * h_n", "x_n + h_n"),
        "reset on input": ("reset-on-input", "x_n + reset * h_n", "reset * x_n + h_n"),
        "z without state": ("gate-without-state", "x_z + h_z", "x_z"),
        "candidate without state": ("gate-without-state", "x_n + reset * h_n", "x_n"),
        "mixing": ("mixing", "update * h + (1 - update) * new", "(1 - update) * h + (1 - update) * new"),
        "new state used": ("wrong-candidate", "update * h + (1 - update) * new",
            "(1 - update) * new\n            h = update * h + h"),
        "detached": ("detached", "append(h)", "append(h)\n            h = h.detach()"),
        "data": ("detached", "self.h2h(h)", "self.h2h(h.data)", "update * h +", "update * h.data +"),
        "ones at first": ("initial-state", "x.new_zeros(", "x.new_ones("),
        "h0 ignored": ("initial-state", "h0 if h0 is not None else x.new_zeros", "x.new_zeros"),
        "random at first": ("initial-state", "x.new_zeros", "torch.randn"),
        "learned from ones": ("initial-state", "= hidden_dim",
            "= hidden_dim\n        self.first = nn.Parameter(torch.ones(hidden_dim))",
            "x.new_zeros(batch, self.hidden_dim", "self.first.expand(batch, -1"),
        "state mixed with itself": ("wrong-candidate", "(1 - update) * new", "(1 - update) * h"),
        "outputs turned": ("read-backwards", "torch.stack(outputs, dim=1)", "torch.stack(outputs[::-1], dim=1)"),
        "last step left out": ("last-step", "range(steps)", "range(steps - 1)"),
        "states before each step": ("last-step", "            outputs.append(h)\n", "",
            "            x_r, x_z,", "            outputs.append(h)\n            x_r, x_z,", "dim=1), h", "dim=1)"),
        "read backwards": ("read-backwards", "range(steps)", "range(steps - 1, -1, -1)"),
        "state kept": ("state-kept", "= hidden_dim", "= hidden_dim\n        self.h = None",
            "x.new_zeros(batch, self.hidden_dim",
            "(self.h if self.h is not None else x.new_zeros(batch, self.hidden_dim)", "        return",
            "        self.h = h.detach()\n        return"),
        "dropout": ("dropout", "            outputs.append(h)", "            outputs.append(F.dropout(h, 0.5))"),
    },
    "raw": {
        "no tanh": ("candidate-activation", "torch.tanh(", "("),
        "no sigmoid": ("gate-activation", "Z = torch.sigmoid(", "Z = ("),
        "reset unused": ("reset-unused", "R * H", "H"),
        "update gate on state": ("reset-unused", "R * H", "Z * H"),
        "candidate sees no state": ("gate-without-state", "torch.matmul(R * H, self.Whh) + ", ""),
        "shared": ("shared-matrices", "torch.matmul(H, self.Whr)", "torch.matmul(H, self.Whz)"),
        "shared with candidate": ("shared-matrices", "self.Whh) + self.bh", "self.Whr) + self.bh"),
        "mixing": ("mixing", "Z * H + (1 - Z)", "Z * H + (1 - R)"),
        "candidate in both": ("wrong-candidate", "Z * H + (1 - Z)", "Z * H_tilde + (1 - Z)"),
        "ones": ("initial-state", "torch.zeros(", "torch.ones("),
        "backwards": ("read-backwards", "for X in xs:", "for X in reversed(xs):"),
        "last step": ("last-step", "for X in xs:", "for X in xs[:-1]:"),
        "detached": ("detached", " H +", " H.detach() +", "torch.matmul(H, self.Whz",
            "torch.matmul(H.detach(), self.Whz"),
        "no gradient": ("detached", "        for X in xs:\n", "        for X in xs:\n            H = H.data\n"),
    },
    "einsum": {
        "relu": ("candidate-activation", ".tanh()", ".relu()"),
        "gate": ("gate-activation", "r = torch.sigmoid(wx[1] + uh[1])", "r = torch.tanh(wx[1] + uh[1])"),
        "reset unused": ("reset-unused", "r * uh[2]", "uh[2]"),
        "shared": ("shared-matrices", "r = torch.sigmoid(wx[1] + uh[1])", "r = torch.sigmoid(wx[1] + uh[0])"),
        "all shared": ("shared-matrices", "empty(3, E, H)", "empty(2, E, H)", "empty(3, H, H)", "empty(2, H, H)",
            "wx[1] + uh[1]", "wx[0] + uh[0]", "wx[2] + r * uh[2]", "wx[1] + r * uh[1]"),
        "mixing": ("mixing", "(1 - z) * state + z * n", "(1 - z) * state + n"),
    },
    "notebook": {
        "no tanh": ("candidate-activation", "torch.tanh(", "("),
        "reset forgotten": ("reset-unused", "(word, rt * hidden)", "(word, hidden)"),
        "mixing": ("mixing", "(1 - zt) * hidden + zt * ht", "zt * hidden + zt * ht"),
        "state": ("initial-state", "torch.zeros(1, hidden_size)", "torch.ones(1, hidden_size)"),
        "random state": ("initial-state", "torch.zeros(1, hidden_size)", "torch.rand(1, hidden_size)"),
        "last word": ("last-step", "range(length)", "range(length - 1)"),
        "backwards": ("read-backwards", "range(length)", "reversed(range(length))"),
        "kept": ("state-kept", "torch.zeros(1, hidden_size)", "self.hidden", "self.linear ",
            "self.hidden = torch.zeros(1, hidden_size)\n        self.linear ", "        return",
            "        self.hidden = hidden.detach()\n        return"),
        "dropout": ("dropout", "self.linear(hidden)", "self.linear(F.dropout(hidden, p=0.3))"),
    },
    "tokens": {
        "backward end": ("backward-end", "ahead[-1], back[-1]", "ahead[-1], back[0]"),
        "backward aligned at the end": ("backward-end", "[ahead[-1], back[-1]]", "[ahead[-1], back[::-1][-1]]"),
        "both read ahead": ("backward-end", "xs[::-1], zeros", "xs, zeros"),
        "backward outputs not turned": ("backward-end", "ahead[-1], back[-1]], dim=",
            "torch.stack(ahead, 1), torch.stack(back, 1)], dim=-"),
        "backward begins with the last state": ("unknown", "xs[::-1], zeros", "xs[::-1], ahead[-1]"),
        "directions share": ("shared-layers", "self.run(self.backward_cell", "self.run(self.forward_cell"),
        "forward end": ("last-step", "ahead[-1], back", "ahead[-2], back"),
        "dropout": ("dropout", "self.fc(self.dropout(features))", "self.fc(F.dropout(features))"),
        "mixing": ("mixing", "n + z * (h - n)", "n + z * h"),
    },
    "stack": {
        "layers share": ("shared-layers", " if i == 0 else hidden_size, hidden_size) for i in range(num_layers)]",
            ", hidden_size)] + [Cell(hidden_size, hidden_size)] * (num_layers - 1)",
            "num_layers=2", "num_layers=3"),
        "dropout": ("dropout", "self.drop(new)", "torch.dropout(new, 0.2, True)"),
        "no tanh": ("candidate-activation", "torch.tanh(", "("),
        "second layer begins with ones": ("initial-state", "cells]", "cells]\n        states[1] = states[1] + 1"),
        "state passed on": ("wrong-candidate", "r * self.new_h(h)", "r * self.new_h(z * h)"),
    },
    "lecture": {
        "softmax": ("gate-activation", "sigmoid(self.W_z @ x_t + self.U_z @ h",
            "softmax(self.W_z @ x_t + self.U_z @ h, dim=0"),
        "half a candidate": ("mixing", "(1 - z) * h_hat", "0.5 * (1 - z) * h_hat"),
        "ones": ("initial-state", "torch.zeros(", "torch.ones("),
    },
    "both": {
        "final states of the last step": ("backward-end", "stack(last)", "stack([out[:, -1] for out in outs])"),
        "the same slice for both gates": ("shared-matrices", ":n] + c[:, :n", "n:2 * n] + c[:, n:"),
        "slice of a gate in the candidate": ("shared-matrices", "u[:, 2 * n:]", "u[:, n:2 * n]"),
        "kept in a dictionary": ("state-kept", " = n, turned", ", self.states = n, turned, {}",
            "x.new_zeros(x.shape[0], n", "self.states.get(x.shape[0], x.new_zeros(x.shape[0], n)",
            "        return torch.stack", "        self.states[x.shape[0]] = h.detach()\n        return torch.stack"),
    },
    "wrapper": {
        "LSTM": ("lstm", "nn.GRU", "nn.LSTM"),
        "last step": ("last-step", "outputs[:, -1]", "outputs[:, -2]"),
    },
    "columns": {
        "no sigmoid": ("gate-activation", "z = torch.sigmoid(", "z = ("),
        "reset on input": ("reset-on-input", "self.Wn @ x + self.Un @ (r * h)", "r * (self.Wn @ x) + self.Un @ h"),
        "mixing": ("mixing", "(1 - z) * h + z * n", "h + z * n"),
        "r without state": ("gate-without-state", "self.Wr @ x + self.Ur @ h", "self.Wr @ x"),
    },
}
"""Style -> title -> codes, and the texts that are replaced, each followed by what replaces it."""


def right_ones() -> Iterator[Student]:
    """Yield students whose GRU is right, with all codes that it should get."""
    for style, own in STYLES.items():
        yield Student(style, "as it stands", own.conventions)
        for title, (codes, *changes) in RIGHT_CHANGES.get(style, {}).items():
            yield Student(style, title, tuple(codes.split()), tuple(changes))


def mutants() -> Iterator[Student]:
    """Yield students with one mistake each, with the code that should come first."""
    for style, own in MUTANTS.items():
        for title, (code, *changes) in own.items():
            yield Student(style, title, (code,), tuple(changes))


def notebook(*cells: str, name: str = "homework.ipynb") -> Path:
    """Write a notebook of code cells."""
    path = Path(name)
    path.write_text(json.dumps({"nbformat": 4, "cells": [
        {"cell_type": "markdown", "source": ["# Not code"]},
        *({"cell_type": "code", "source": text.splitlines(keepends=True)} for text in cells)]}), encoding="utf-8")
    return path


def check(path: Path, name: str | None = None, make: str | None = None) -> Verdict:
    """Verdict on a file, which is run in this process."""
    with prepared():
        return check_file(path, name, make)
