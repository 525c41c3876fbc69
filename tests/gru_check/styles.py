"""GRU classes in many styles, right ones and mistakes, with what a perfect checker should say of each.

The classes were written by people who had not seen the checker.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """A class and what should be found.

    `right`: it computes a GRU, in any convention, perhaps with a warning or with a head that hides it (`unknown`).
    `equal` stands alone or beside a warning. `gate-order` is said of fused matrices only, `single-bias` of one bias
    vector per gate wherever it is added. `line` is that of the wrong step; for warnings, of what is warned about.
    """

    name: str
    source: str
    right: bool
    codes: tuple[str, ...]
    line: int | None = None
    make: str | None = None


def line_of(source: str, fragment: str) -> int:
    """The line, from 1, of a fragment that occurs once."""
    if source.count(fragment) != 1:
        raise ValueError(f"{fragment!r} occurs {source.count(fragment)} times")
    return source[: source.index(fragment)].count("\n") + 1


def right(name: str, source: str, *codes: str, at: str | None = None, make: str | None = None) -> Style:
    """A GRU; at: a fragment of the line that a warning is about."""
    return Style(name, source, True, codes, None if at is None else line_of(source, at), make)


def wrong(name: str, source: str, *codes: str, at: str | None, make: str | None = None) -> Style:
    """A mistake; at: a fragment of the wrong line."""
    return Style(name, source, False, codes, None if at is None else line_of(source, at), make)


RIGHT = [
    right(
        "beginner_loop",
        """\
import torch
import torch.nn as nn

# my first GRU!!
class MyGRU(nn.Module):
    def __init__(self, input_size=10, hidden_size=20):
        super().__init__()
        self.hidden_size = hidden_size
        # reset gate
        self.lin_ir = nn.Linear(input_size, hidden_size)
        self.lin_hr = nn.Linear(hidden_size, hidden_size)
        # update gate
        self.lin_iz = nn.Linear(input_size, hidden_size)
        self.lin_hz = nn.Linear(hidden_size, hidden_size)
        # new gate
        self.lin_in = nn.Linear(input_size, hidden_size)
        self.lin_hn = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        batch_size = x.shape[0]
        seq_len = x.shape[1]
        h = torch.zeros(batch_size, self.hidden_size)
        all_h = []
        for t in range(seq_len):
            xt = x[:, t, :]
            r = torch.sigmoid(self.lin_ir(xt) + self.lin_hr(h))
            z = torch.sigmoid(self.lin_iz(xt) + self.lin_hz(h))
            n = torch.tanh(self.lin_in(xt) + r * self.lin_hn(h))
            h = (1 - z) * n + z * h
            all_h.append(h)
        out = torch.stack(all_h, dim=1)
        return out, h
""",
        "equal",
    ),
    right(
        "d2l",
        """\
import torch
from torch import nn


class GRUScratch(nn.Module):
    def __init__(self, num_inputs, num_hiddens, sigma=0.01):
        super().__init__()
        self.num_inputs, self.num_hiddens = num_inputs, num_hiddens

        init_weight = lambda *shape: nn.Parameter(torch.randn(*shape) * sigma)
        triple = lambda: (init_weight(num_inputs, num_hiddens),
                          init_weight(num_hiddens, num_hiddens),
                          nn.Parameter(torch.zeros(num_hiddens)))
        self.W_xz, self.W_hz, self.b_z = triple()  # Update gate
        self.W_xr, self.W_hr, self.b_r = triple()  # Reset gate
        self.W_xh, self.W_hh, self.b_h = triple()  # Candidate hidden state

    def forward(self, inputs, H=None):
        if H is None:
            H = torch.zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
        outputs = []
        for X in inputs:
            Z = torch.sigmoid(torch.matmul(X, self.W_xz) + torch.matmul(H, self.W_hz) + self.b_z)
            R = torch.sigmoid(torch.matmul(X, self.W_xr) + torch.matmul(H, self.W_hr) + self.b_r)
            H_tilde = torch.tanh(torch.matmul(X, self.W_xh) + torch.matmul(R * H, self.W_hh) + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(H)
        return outputs, H
""",
        "reset-before",
        "single-bias",
    ),
    right(
        "concatenated_linear",
        """\
import torch
import torch.nn as nn

class GRU(nn.Module):
    def __init__(self, input_dim, hidden_dim):
        super(GRU, self).__init__()
        self.hidden_dim = hidden_dim
        self.update_gate = nn.Linear(input_dim + hidden_dim, hidden_dim)
        self.reset_gate = nn.Linear(input_dim + hidden_dim, hidden_dim)
        self.candidate = nn.Linear(input_dim + hidden_dim, hidden_dim)

    def forward(self, inputs):
        # inputs: (batch, time, input_dim)
        hidden = inputs.new_zeros(inputs.size(0), self.hidden_dim)
        hiddens = []
        for step in range(inputs.size(1)):
            combined = torch.cat((inputs[:, step], hidden), dim=1)
            update = self.update_gate(combined).sigmoid()
            reset = self.reset_gate(combined).sigmoid()
            combined_reset = torch.cat((inputs[:, step], reset * hidden), dim=1)
            proposal = self.candidate(combined_reset).tanh()
            hidden = (1 - update) * hidden + update * proposal
            hiddens.append(hidden)
        return torch.stack(hiddens, dim=1)
""",
        "update-inverted",
        "reset-before",
        "single-bias",
    ),
    right(
        "fused_chunk",
        """\
import math

import torch
from torch import Tensor, nn


class FusedGRU(nn.Module):
    def __init__(self, d_in: int, d_hidden: int, bias: bool = True) -> None:
        super().__init__()
        self.d_hidden = d_hidden
        self.x2h = nn.Linear(d_in, 3 * d_hidden, bias=bias)
        self.h2h = nn.Linear(d_hidden, 3 * d_hidden, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        std = 1.0 / math.sqrt(self.d_hidden)
        for w in self.parameters():
            w.data.uniform_(-std, std)

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if h is None:
            h = x.new_zeros(x.size(0), self.d_hidden)
        outs = []
        for x_t in x.unbind(dim=1):
            i_r, i_z, i_n = self.x2h(x_t).chunk(3, dim=-1)
            h_r, h_z, h_n = self.h2h(h).chunk(3, dim=-1)
            r = torch.sigmoid(i_r + h_r)
            z = torch.sigmoid(i_z + h_z)
            n = torch.tanh(i_n + r * h_n)
            h = n + z * (h - n)
            outs.append(h)
        return torch.stack(outs, dim=1), h
""",
        "equal",
    ),
    right(
        "fused_update_first",
        """\
import torch
from torch import nn


class GRULayer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        H = hidden_size
        k = H ** -0.5
        self.H = H
        self.W = nn.Parameter(torch.empty(input_size, 3 * H).uniform_(-k, k))
        self.U = nn.Parameter(torch.empty(H, 3 * H).uniform_(-k, k))
        self.b_input = nn.Parameter(torch.zeros(3 * H))
        self.b_recurrent = nn.Parameter(torch.zeros(3 * H))

    def forward(self, x):
        # keras order of the gates: update, reset, candidate
        H = self.H
        h = torch.zeros(x.shape[0], H, dtype=x.dtype, device=x.device)
        for t in range(x.shape[1]):
            mx = x[:, t] @ self.W + self.b_input
            mh = h @ self.U + self.b_recurrent
            z = torch.sigmoid(mx[:, :H] + mh[:, :H])
            r = torch.sigmoid(mx[:, H:2 * H] + mh[:, H:2 * H])
            hh = torch.tanh(mx[:, 2 * H:] + r * mh[:, 2 * H:])
            h = z * h + (1 - z) * hh
        return h
""",
        "gate-order",
    ),
    right(
        "fused_candidate_first",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class GruEncoder(nn.Module):
    def __init__(self, n_in, n_hid):
        super().__init__()
        self.w_x = nn.Parameter(torch.randn(3 * n_hid, n_in) / n_in ** 0.5)
        self.w_h = nn.Parameter(torch.randn(3 * n_hid, n_hid) / n_hid ** 0.5)
        self.b_x = nn.Parameter(torch.zeros(3 * n_hid))
        self.b_h = nn.Parameter(torch.zeros(3 * n_hid))
        self.n_hid = n_hid

    def forward(self, seq, h=None):
        # seq is (T, B, n_in)
        if h is None:
            h = seq.new_zeros(seq.size(1), self.n_hid)
        px = F.linear(seq, self.w_x, self.b_x)
        ys = []
        for p in px:
            cx, rx, zx = p.split(self.n_hid, dim=-1)
            ch, rh, zh = F.linear(h, self.w_h, self.b_h).split(self.n_hid, dim=-1)
            c = torch.tanh(cx + torch.sigmoid(rx + rh) * ch)
            z = torch.sigmoid(zx + zh)
            h = torch.lerp(h, c, z)
            ys.append(h)
        return torch.stack(ys), h
""",
        "update-inverted",
        "gate-order",
    ),
    right(
        "einsum_without_bias",
        """\
import torch
import torch.nn as nn


class EinsumGRU(nn.Module):
    def __init__(self, dim_in, dim_h):
        super().__init__()
        self.W = nn.Parameter(torch.empty(3, dim_h, dim_in))  # gates: r z n
        self.U = nn.Parameter(torch.empty(3, dim_h, dim_h))
        nn.init.xavier_normal_(self.W)
        for g in range(3):
            nn.init.orthogonal_(self.U[g])

    def forward(self, x):
        B, T, _ = x.shape
        Wx = torch.einsum("bti,ghi->gtbh", x, self.W)
        h = torch.zeros(B, self.U.shape[1], device=x.device)
        ys = []
        for t in range(T):
            Uh = torch.einsum("bj,ghj->gbh", h, self.U)
            r = torch.sigmoid(Wx[0, t] + Uh[0])
            z = torch.sigmoid(Wx[1, t] + Uh[1])
            n = torch.tanh(Wx[2, t] + r * Uh[2])
            h = z * h + (1 - z) * n
            ys.append(h)
        return torch.stack(ys, 1)
""",
        "no-bias",
    ),
    right(
        "scripted_step",
        """\
from typing import Optional, Tuple

import torch
from torch import Tensor, nn


@torch.jit.script
def gru_step(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    gi = torch.mm(x, w_ih.t()) + b_ih
    gh = torch.mm(h, w_hh.t()) + b_hh
    ri, zi, ni = gi.chunk(3, 1)
    rh, zh, nh = gh.chunk(3, 1)
    resetgate = torch.sigmoid(ri + rh)
    updategate = torch.sigmoid(zi + zh)
    newgate = torch.tanh(ni + resetgate * nh)
    return newgate + updategate * (h - newgate)


class ScriptGRU(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.randn(3 * hidden_size, input_size) * 0.2)
        self.weight_hh = nn.Parameter(torch.randn(3 * hidden_size, hidden_size) * 0.2)
        self.bias_ih = nn.Parameter(torch.randn(3 * hidden_size) * 0.2)
        self.bias_hh = nn.Parameter(torch.randn(3 * hidden_size) * 0.2)

    def forward(self, input: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        inputs = input.unbind(0)
        if state is None:
            state = torch.zeros(input.size(1), self.hidden_size, dtype=input.dtype, device=input.device)
        outputs = []
        for i in range(len(inputs)):
            state = gru_step(inputs[i], state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
            outputs += [state]
        return torch.stack(outputs), state
""",
        "equal",
    ),
    right(
        "compiled_step",
        """\
import torch
import torch.nn as nn


@torch.compile
def step(gates_x, gates_h, h):
    rx, zx, nx = gates_x.chunk(3, dim=-1)
    rh, zh, nh = gates_h.chunk(3, dim=-1)
    r = torch.sigmoid(rx + rh)
    z = torch.sigmoid(zx + zh)
    n = torch.tanh(nx + r * nh)
    return (1 - z) * n + z * h


class FastGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.inp = nn.Linear(input_size, 3 * hidden_size)
        self.rec = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x):
        gates = self.inp(x)
        h = torch.zeros(x.size(0), self.rec.in_features, device=x.device)
        hs = []
        for t in range(x.size(1)):
            h = step(gates[:, t], self.rec(h), h)
            hs.append(h)
        return torch.stack(hs, dim=1), h
""",
        "equal",
    ),
    right(
        "compiled_forward",
        """\
import torch
from torch import nn


class CompiledGRU(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.cand_x = nn.Linear(input_size, hidden_size)
        self.cand_h = nn.Linear(hidden_size, hidden_size, bias=False)

    @torch.compile(dynamic=True)
    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        for t in range(x.size(1)):
            r, z = self.gates(torch.cat([x[:, t], h], -1)).sigmoid().chunk(2, -1)
            n = torch.tanh(self.cand_x(x[:, t]) + r * self.cand_h(h))
            h = z * h + (1 - z) * n
        return h
""",
        "single-bias",
    ),
    right(
        "packed_tokens",
        """\
import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD = 0


class SentimentGRU(nn.Module):
    def __init__(self, vocab_size, embedding_dim, hidden_dim, num_classes=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.gru = nn.GRU(embedding_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, tokens):
        lengths = (tokens != PAD).sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        _, h_n = self.gru(packed)
        return self.fc(h_n[-1])
""",
        "equal",
        "library",
    ),
    right(
        "masked_tokens",
        """\
import torch
import torch.nn as nn


class TextGRU(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes, pad_idx=0):
        super().__init__()
        self.pad_idx = pad_idx
        self.hidden_dim = hidden_dim
        self.embed = nn.Embedding(vocab_size, embed_dim, padding_idx=pad_idx)
        self.i2h = nn.Linear(embed_dim, 3 * hidden_dim)
        self.h2h = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.out = nn.Linear(hidden_dim, num_classes)

    def forward(self, ids):
        emb = self.embed(ids)
        mask = (ids != self.pad_idx).unsqueeze(-1)
        h = emb.new_zeros(ids.size(0), self.hidden_dim)
        for t in range(ids.size(1)):
            xr, xz, xn = self.i2h(emb[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.h2h(h).chunk(3, dim=1)
            r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            # padding does not change the state
            h = torch.where(mask[:, t], (1 - z) * n + z * h, h)
        return self.out(h)
""",
        "equal",
    ),
    right(
        "packed_own_loop",
        """\
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence


class PackedGRUClassifier(nn.Module):
    # walks through the packed batch; sequences that have ended drop out from the bottom
    def __init__(self, vocab_size: int, emb_dim: int, hid_dim: int, n_classes: int, pad_id: int = 0):
        super().__init__()
        self.pad_id = pad_id
        self.hid_dim = hid_dim
        self.emb = nn.Embedding(vocab_size, emb_dim, padding_idx=pad_id)
        self.Wz = nn.Linear(emb_dim, hid_dim)
        self.Uz = nn.Linear(hid_dim, hid_dim, bias=False)
        self.Wr = nn.Linear(emb_dim, hid_dim)
        self.Ur = nn.Linear(hid_dim, hid_dim, bias=False)
        self.Wh = nn.Linear(emb_dim, hid_dim)
        self.Uh = nn.Linear(hid_dim, hid_dim, bias=False)
        self.head = nn.Linear(hid_dim, n_classes)

    def run(self, packed: PackedSequence) -> torch.Tensor:
        h = packed.data.new_zeros(int(packed.batch_sizes[0]), self.hid_dim)
        offset = 0
        for size in packed.batch_sizes.tolist():
            x = packed.data[offset:offset + size]
            offset += size
            old = h[:size]
            z = torch.sigmoid(self.Wz(x) + self.Uz(old))
            r = torch.sigmoid(self.Wr(x) + self.Ur(old))
            cand = torch.tanh(self.Wh(x) + self.Uh(r * old))
            h = torch.cat([(1 - z) * old + z * cand, h[size:]])
        return h[packed.unsorted_indices]

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        lengths = token_ids.ne(self.pad_id).sum(1).clamp(min=1)
        packed = pack_padded_sequence(self.emb(token_ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.head(self.run(packed))
""",
        "update-inverted",
        "reset-before",
        "single-bias",
    ),
    right(
        "dataclass_config",
        """\
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class GRUConfig:
    vocab_size: int = 1000
    d_embed: int = 32
    d_hidden: int = 48
    n_classes: int = 4
    dropout: float = 0.1


class GRUModel(nn.Module):
    def __init__(self, config: GRUConfig):
        super().__init__()
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.d_embed)
        self.x_proj = nn.Linear(config.d_embed, 3 * config.d_hidden)
        self.h_proj = nn.Linear(config.d_hidden, 3 * config.d_hidden)
        self.drop = nn.Dropout(config.dropout)
        self.lm_head = nn.Linear(config.d_hidden, config.n_classes)

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        b, t = idx.size()
        x = self.x_proj(self.drop(self.tok_emb(idx)))
        h = torch.zeros(b, self.config.d_hidden, device=idx.device)
        for i in range(t):
            xr, xz, xn = x[:, i].chunk(3, dim=-1)
            hr, hz, hn = self.h_proj(h).chunk(3, dim=-1)
            r = (xr + hr).sigmoid()
            z = (xz + hz).sigmoid()
            n = (xn + r * hn).tanh()
            h = z * h + (1.0 - z) * n
        return self.lm_head(self.drop(h))
""",
        "equal",
    ),
    right(
        "config_with_features",
        """\
import torch
import torch.nn as nn
from dataclasses import dataclass


@dataclass
class Config:
    input_size: int = 6
    hidden_size: int = 12


class SimpleGRU(nn.Module):
    def __init__(self, cfg: Config = Config()):
        super().__init__()
        self.cfg = cfg
        n_in, n_h = cfg.input_size, cfg.hidden_size
        self.Wr = nn.Linear(n_in + n_h, n_h)
        self.Wz = nn.Linear(n_in + n_h, n_h)
        self.Wn = nn.Linear(n_in + n_h, n_h)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.cfg.hidden_size)
        outputs = []
        for xt in torch.unbind(x, dim=1):
            xh = torch.cat([xt, h], dim=-1)
            r, z = torch.sigmoid(self.Wr(xh)), torch.sigmoid(self.Wz(xh))
            n = torch.tanh(self.Wn(torch.cat([xt, r * h], dim=-1)))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs, dim=1), h
""",
        "reset-before",
        "single-bias",
    ),
    right(
        "like_the_library",
        """\
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import init


class GRU(nn.Module):
    # Same names and shapes as torch.nn.GRU, so that state dicts can be exchanged.
    def __init__(self, input_size, hidden_size, batch_first=False):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.batch_first = batch_first
        self.weight_ih_l0 = nn.Parameter(torch.Tensor(3 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.Tensor(3 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.Tensor(3 * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.Tensor(3 * hidden_size))
        for p in self.parameters():
            init.uniform_(p, -1.0 / math.sqrt(hidden_size), 1.0 / math.sqrt(hidden_size))

    def forward(self, input, hx=None):
        if self.batch_first:
            input = input.transpose(0, 1)
        seq_len, batch, _ = input.shape
        h = input.new_zeros(batch, self.hidden_size) if hx is None else hx[0]
        output = []
        for t in range(seq_len):
            gi = F.linear(input[t], self.weight_ih_l0, self.bias_ih_l0)
            gh = F.linear(h, self.weight_hh_l0, self.bias_hh_l0)
            i_r, i_z, i_n = gi.chunk(3, 1)
            h_r, h_z, h_n = gh.chunk(3, 1)
            r = torch.sigmoid(i_r + h_r)
            z = torch.sigmoid(i_z + h_z)
            n = torch.tanh(i_n + r * h_n)
            h = (1 - z) * n + z * h
            output.append(h)
        output = torch.stack(output)
        if self.batch_first:
            output = output.transpose(0, 1)
        return output, h.unsqueeze(0)
""",
        "equal",
    ),
    right(
        "logits_of_last",
        """\
import torch
import torch.nn as nn

class GRUNet(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim):
        super(GRUNet, self).__init__()
        self.hidden_dim = hidden_dim
        self.W_z = nn.Linear(input_dim, hidden_dim)
        self.U_z = nn.Linear(hidden_dim, hidden_dim)
        self.W_r = nn.Linear(input_dim, hidden_dim)
        self.U_r = nn.Linear(hidden_dim, hidden_dim)
        self.W_h = nn.Linear(input_dim, hidden_dim)
        self.U_h = nn.Linear(hidden_dim, hidden_dim)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        h_t = torch.zeros(x.size(0), self.hidden_dim).to(x.device)
        for t in range(x.size(1)):
            x_t = x[:, t, :]
            z_t = torch.sigmoid(self.W_z(x_t) + self.U_z(h_t))
            r_t = torch.sigmoid(self.W_r(x_t) + self.U_r(h_t))
            h_tilde = torch.tanh(self.W_h(x_t) + r_t * self.U_h(h_t))
            h_t = (1 - z_t) * h_t + z_t * h_tilde
        logits = self.fc(h_t)
        return logits
""",
        "update-inverted",
    ),
    right(
        "log_softmax",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class NameClassifier(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2r = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2z = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2n = nn.Linear(input_size, hidden_size)
        self.h2n = nn.Linear(hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def init_hidden(self, batch_size):
        return torch.zeros(batch_size, self.hidden_size)

    def forward(self, line):
        # line: (letters, batch, input_size)
        hidden = self.init_hidden(line.size(1))
        for i in range(line.size(0)):
            combined = torch.cat((line[i], hidden), 1)
            r = torch.sigmoid(self.i2r(combined))
            z = torch.sigmoid(self.i2z(combined))
            n = torch.tanh(self.i2n(line[i]) + r * self.h2n(hidden))
            hidden = z * hidden + (1 - z) * n
        return F.log_softmax(self.h2o(hidden), dim=1)
""",
        "single-bias",
    ),
    right(
        "two_layers",
        """\
import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.n_out = n_out
        self.x = nn.Linear(n_in, 3 * n_out)
        self.h = nn.Linear(n_out, 3 * n_out)

    def forward(self, x, h):
        a = self.x(x)
        b = self.h(h)
        n = self.n_out
        rz = torch.sigmoid(a[..., :2 * n] + b[..., :2 * n])
        r, z = rz[..., :n], rz[..., n:]
        c = torch.tanh(a[..., 2 * n:] + r * b[..., 2 * n:])
        return c * (1 - z) + h * z


class StackedGRU(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers=2):
        super().__init__()
        self.hidden_size = hidden_size
        sizes = [input_size] + [hidden_size] * num_layers
        self.cells = nn.ModuleList(Cell(a, b) for a, b in zip(sizes[:-1], sizes[1:]))

    def forward(self, x):
        states = [x.new_zeros(x.size(0), self.hidden_size) for _ in self.cells]
        outputs = []
        for t in range(x.size(1)):
            inp = x[:, t]
            for layer, cell in enumerate(self.cells):
                states[layer] = cell(inp, states[layer])
                inp = states[layer]
            outputs.append(inp)
        return torch.stack(outputs, dim=1), torch.stack(states)
""",
        "equal",
    ),
    right(
        "bidirectional_loop",
        """\
import torch
from torch import nn


class GRUDirection(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.w_ih = nn.Linear(input_size, 3 * hidden_size)
        self.w_hh = nn.Linear(hidden_size, 3 * hidden_size)

    def step(self, x, h):
        xr, xz, xn = self.w_ih(x).chunk(3, -1)
        hr, hz, hn = self.w_hh(h).chunk(3, -1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h

    def forward(self, x, reverse=False):
        T = x.size(1)
        h = x.new_zeros(x.size(0), self.hidden_size)
        ys = [None] * T
        for t in (reversed(range(T)) if reverse else range(T)):
            h = self.step(x[:, t], h)
            ys[t] = h
        return torch.stack(ys, 1), h


class BiGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.fwd = GRUDirection(input_size, hidden_size)
        self.bwd = GRUDirection(input_size, hidden_size)

    def forward(self, x):
        out_f, h_f = self.fwd(x)
        out_b, h_b = self.bwd(x, reverse=True)
        return torch.cat([out_f, out_b], dim=-1), torch.stack([h_f, h_b])
""",
        "equal",
    ),
    right(
        "bidirectional_classes",
        """\
import torch
import torch.nn as nn


class BiGRUClassifier(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        # forward
        self.f_ih = nn.Linear(input_size, hidden_size * 3)
        self.f_hh = nn.Linear(hidden_size, hidden_size * 3)
        # backward
        self.b_ih = nn.Linear(input_size, hidden_size * 3)
        self.b_hh = nn.Linear(hidden_size, hidden_size * 3)
        self.classifier = nn.Linear(2 * hidden_size, num_classes)

    def gru_cell(self, ih, hh, x, h):
        ri, zi, ni = ih(x).chunk(3, dim=1)
        rh, zh, nh = hh(h).chunk(3, dim=1)
        reset = torch.sigmoid(ri + rh)
        update = torch.sigmoid(zi + zh)
        new = torch.tanh(ni + reset * nh)
        return update * h + (1 - update) * new

    def forward(self, x):
        bs, seq, _ = x.size()
        hf = torch.zeros(bs, self.hidden_size, device=x.device)
        hb = torch.zeros(bs, self.hidden_size, device=x.device)
        for t in range(seq):
            hf = self.gru_cell(self.f_ih, self.f_hh, x[:, t], hf)
            hb = self.gru_cell(self.b_ih, self.b_hh, x[:, seq - 1 - t], hb)
        return self.classifier(torch.cat((hf, hb), dim=1))
""",
        "equal",
    ),
    right(
        "attention_pooling",
        """\
import torch
from torch import nn


class AttentiveGRU(nn.Module):
    def __init__(self, input_dim, hidden_dim, num_classes):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.ih = nn.Linear(input_dim, 3 * hidden_dim)
        self.hh = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.score = nn.Linear(hidden_dim, 1)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_dim)
        states = []
        for t in range(x.size(1)):
            xr, xz, xn = self.ih(x[:, t]).chunk(3, -1)
            hr, hz, hn = self.hh(h).chunk(3, -1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            h = z * h + (1 - z) * torch.tanh(xn + r * hn)
            states.append(h)
        H = torch.stack(states, dim=1)
        alpha = torch.softmax(self.score(torch.tanh(H)), dim=1)
        context = (alpha * H).sum(dim=1)
        return self.fc(context)
""",
        "unknown",
    ),
    right(
        "max_pooling",
        """\
import torch
import torch.nn as nn

class MaxPoolGRU(nn.Module):
    def __init__(self, in_features, hidden, n_classes):
        super().__init__()
        self.hidden = hidden
        self.Wr, self.Ur = nn.Linear(in_features, hidden), nn.Linear(hidden, hidden)
        self.Wz, self.Uz = nn.Linear(in_features, hidden), nn.Linear(hidden, hidden)
        self.Wn, self.Un = nn.Linear(in_features, hidden), nn.Linear(hidden, hidden)
        self.fc = nn.Linear(hidden, n_classes)

    def forward(self, x):
        h = torch.zeros(x.shape[0], self.hidden)
        hs = []
        for i in range(x.shape[1]):
            r = torch.sigmoid(self.Wr(x[:, i]) + self.Ur(h))
            z = torch.sigmoid(self.Wz(x[:, i]) + self.Uz(h))
            n = torch.tanh(self.Wn(x[:, i]) + r * self.Un(h))
            h = (1 - z) * n + z * h
            hs.append(h)
        pooled, _ = torch.max(torch.stack(hs, dim=1), dim=1)
        return self.fc(pooled)
""",
        "unknown",
    ),
    right(
        "mean_pooling",
        """\
import torch
import torch.nn as nn


class MeanPoolGRU(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.x_to_gates = nn.Linear(input_size, 3 * hidden_size)
        self.h_to_gates = nn.Linear(hidden_size, 3 * hidden_size)
        self.classifier = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size, device=x.device)
        total = torch.zeros_like(h)
        for x_t in x.transpose(0, 1):
            xr, xz, xn = torch.chunk(self.x_to_gates(x_t), 3, dim=1)
            hr, hz, hn = torch.chunk(self.h_to_gates(h), 3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            h = z * h + (1 - z) * torch.tanh(xn + r * hn)
            total = total + h
        return self.classifier(total / x.size(1))
""",
        "equal",
    ),
    right(
        "two_dense_layers",
        """\
import torch
from torch import nn


class SentimentModel(nn.Module):
    def __init__(self, embed_dim=16, hidden_dim=24, num_classes=2):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.W = nn.Linear(embed_dim, 3 * hidden_dim)
        self.U = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.head = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, num_classes),
        )

    def forward(self, embedded):
        h = embedded.new_zeros(len(embedded), self.hidden_dim)
        for t in range(embedded.shape[1]):
            wr, wz, wn = self.W(embedded[:, t]).chunk(3, dim=1)
            ur, uz, un = self.U(h).chunk(3, dim=1)
            r = torch.sigmoid(wr + ur)
            z = torch.sigmoid(wz + uz)
            n = torch.tanh(wn + r * un)
            h = (1 - z) * n + z * h
        return self.head(h)
""",
        "unknown",
    ),
    right(
        "cell",
        """\
import torch
import torch.nn as nn


class MyGRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(3 * hidden_size))
        for weight in self.parameters():
            nn.init.uniform_(weight, -(hidden_size ** -0.5), hidden_size ** -0.5)

    def forward(self, x, h):
        gi = x @ self.weight_ih.T + self.bias_ih
        gh = h @ self.weight_hh.T + self.bias_hh
        i_r, i_z, i_n = gi.chunk(3, 1)
        h_r, h_z, h_n = gh.chunk(3, 1)
        r = torch.sigmoid(i_r + h_r)
        z = torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + r * h_n)
        return (1 - z) * n + z * h
""",
        "equal",
    ),
    right(
        "cell_of_the_paper",
        """\
import torch
from torch import nn


class ChoCell(nn.Module):
    # Cho et al. 2014, equations (5) to (8); no biases there either
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W, self.U = nn.Linear(input_size, hidden_size, bias=False), nn.Linear(hidden_size, hidden_size, bias=False)
        self.W_r = nn.Linear(input_size, hidden_size, bias=False)
        self.U_r = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W_z = nn.Linear(input_size, hidden_size, bias=False)
        self.U_z = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x, h):
        r = torch.sigmoid(self.W_r(x) + self.U_r(h))
        z = torch.sigmoid(self.W_z(x) + self.U_z(h))
        h_tilde = torch.tanh(self.W(x) + self.U(r * h))
        return z * h + (1 - z) * h_tilde
""",
        "reset-before",
        "no-bias",
    ),
    right(
        "inverted",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class GRUTagger(nn.Module):
    def __init__(self, input_size, hidden_size, num_tags):
        super().__init__()
        self.hidden_size = hidden_size
        self.ih = nn.Linear(input_size, 3 * hidden_size)
        self.hh = nn.Linear(hidden_size, 3 * hidden_size)
        self.tag = nn.Linear(hidden_size, num_tags)

    def forward(self, x):
        # a score for each tag at each step: (batch, time, num_tags)
        h = torch.zeros(x.size(0), self.hidden_size)
        scores = []
        for t in range(x.size(1)):
            xr, xz, xn = self.ih(x[:, t]).split(self.hidden_size, dim=1)
            hr, hz, hn = self.hh(h).split(self.hidden_size, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = h + z * (n - h)
            scores.append(self.tag(h))
        return torch.stack(scores, dim=1)
""",
        "update-inverted",
    ),
    right(
        "single_bias",
        """\
import torch
from torch import nn


class OneBiasGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.wx = nn.Linear(input_size, 3 * hidden_size, bias=True)
        self.wh = nn.Linear(hidden_size, 3 * hidden_size, bias=False)

    def forward(self, x, h0=None):
        batch = x.size(0)
        h = h0 if h0 is not None else torch.zeros(batch, self.hidden_size, device=x.device, dtype=x.dtype)
        out = []
        wx = self.wx(x)
        for t in range(x.size(1)):
            rx, zx, nx = wx[:, t].chunk(3, dim=-1)
            rh, zh, nh = self.wh(h).chunk(3, dim=-1)
            r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
            h = z * h + (1 - z) * torch.tanh(nx + r * nh)
            out.append(h)
        return torch.stack(out, dim=1), h
""",
        "single-bias",
    ),
    right(
        "wrapper",
        """\
import torch
import torch.nn as nn

class GRUModel(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, num_classes):
        super(GRUModel, self).__init__()
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.gru = nn.GRU(input_size, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(x.device)
        out, _ = self.gru(x, h0)
        out = out[:, -1, :]
        out = self.fc(out)
        return out
""",
        "equal",
        "library",
    ),
    right(
        "library_cell_in_loop",
        """\
import torch
import torch.nn as nn


class LoopedGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)

    def forward(self, x):
        h = None
        outputs = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outputs.append(h)
        return torch.stack(outputs, 1), h
""",
        "equal",
        "library",
    ),
    right(
        "preallocated",
        """\
import torch
import torch.nn as nn


class RecurrentLayer(nn.Module):
    def __init__(self, nInput, nHidden):
        super().__init__()
        self.nHidden = nHidden
        self.Wxr = nn.Parameter(torch.randn(nInput, nHidden) * 0.1)
        self.Whr = nn.Parameter(torch.randn(nHidden, nHidden) * 0.1)
        self.bxr = nn.Parameter(torch.zeros(nHidden))
        self.bhr = nn.Parameter(torch.zeros(nHidden))
        self.Wxz = nn.Parameter(torch.randn(nInput, nHidden) * 0.1)
        self.Whz = nn.Parameter(torch.randn(nHidden, nHidden) * 0.1)
        self.bxz = nn.Parameter(torch.zeros(nHidden))
        self.bhz = nn.Parameter(torch.zeros(nHidden))
        self.Wxn = nn.Parameter(torch.randn(nInput, nHidden) * 0.1)
        self.Whn = nn.Parameter(torch.randn(nHidden, nHidden) * 0.1)
        self.bxn = nn.Parameter(torch.zeros(nHidden))
        self.bhn = nn.Parameter(torch.zeros(nHidden))

    def forward(self, X):
        nBatch, nTime = X.shape[0], X.shape[1]
        Y = torch.zeros(nBatch, nTime, self.nHidden)
        h = torch.zeros(nBatch, self.nHidden)
        for t in range(nTime):
            x = X[:, t]
            r = torch.sigmoid(x @ self.Wxr + self.bxr + h @ self.Whr + self.bhr)
            z = torch.sigmoid(x @ self.Wxz + self.bxz + h @ self.Whz + self.bhz)
            n = torch.tanh(x @ self.Wxn + self.bxn + r * (h @ self.Whn + self.bhn))
            h = (1 - z) * n + z * h
            Y[:, t] = h
        return Y
""",
        "equal",
    ),
    right(
        "addmm",
        """\
import torch
from torch import nn


class AddmmGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        bound = hidden_size ** -0.5
        make = lambda *s: nn.Parameter(torch.empty(*s).uniform_(-bound, bound))
        self.hidden_size = hidden_size
        self.Wx = make(input_size, 3 * hidden_size)
        self.Wh = make(hidden_size, 3 * hidden_size)
        self.bx = make(3 * hidden_size)
        self.bh = make(3 * hidden_size)

    def forward(self, x, h=None):
        # (T, B, I) -> (T, B, H)
        T, B, I = x.shape
        H = self.hidden_size
        if h is None:
            h = x.new_zeros(B, H)
        gx = torch.addmm(self.bx, x.reshape(T * B, I), self.Wx).view(T, B, 3, H)
        out = torch.empty(T, B, H, dtype=x.dtype, device=x.device)
        for t in range(T):
            gh = torch.addmm(self.bh, h, self.Wh).view(B, 3, H)
            r = torch.sigmoid(gx[t, :, 0] + gh[:, 0])
            z = torch.sigmoid(gx[t, :, 1] + gh[:, 1])
            n = torch.tanh(torch.addcmul(gx[t, :, 2], r, gh[:, 2]))
            h = n - z * n + z * h
            out[t] = h
        return out, h
""",
        "equal",
    ),
    right(
        "parameter_dict",
        """\
import torch
import torch.nn as nn


class GRUParams(nn.Module):
    GATES = ("r", "z", "n")

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        k = 1 / hidden_size ** 0.5
        self.p = nn.ParameterDict()
        for g in self.GATES:
            self.p[f"W_{g}"] = nn.Parameter(torch.empty(hidden_size, input_size).uniform_(-k, k))
            self.p[f"U_{g}"] = nn.Parameter(torch.empty(hidden_size, hidden_size).uniform_(-k, k))
            self.p[f"b_{g}"] = nn.Parameter(torch.empty(hidden_size).uniform_(-k, k))
            self.p[f"c_{g}"] = nn.Parameter(torch.empty(hidden_size).uniform_(-k, k))

    def _x(self, gate, x):
        return x @ self.p[f"W_{gate}"].mT + self.p[f"b_{gate}"]

    def _h(self, gate, h):
        return h @ self.p[f"U_{gate}"].mT + self.p[f"c_{gate}"]

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.hidden_size)
        for x_t in x.unbind(1):
            r = (self._x("r", x_t) + self._h("r", h)).sigmoid()
            z = (self._x("z", x_t) + self._h("z", h)).sigmoid()
            n = (self._x("n", x_t) + r * self._h("n", h)).tanh()
            h = torch.lerp(n, h, z)
        return h
""",
        "equal",
    ),
    right(
        "functional_dropout",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class RegularizedGRU(nn.Module):
    def __init__(self, input_size, hidden_size, p_drop=0.3):
        super().__init__()
        self.p_drop = p_drop
        self.hidden_size = hidden_size
        self.gate = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.cand = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x):
        if self.training:
            x = F.dropout(x, self.p_drop)
        h = x.new_zeros(x.size(0), self.hidden_size)
        ys = []
        for t in range(x.size(1)):
            r, u = torch.sigmoid(self.gate(torch.cat([x[:, t], h], 1))).chunk(2, 1)
            c = torch.tanh(self.cand(torch.cat([x[:, t], r * h], 1)))
            h = u * h + (1 - u) * c
            ys.append(h)
        y = torch.stack(ys, 1)
        return F.dropout(y, self.p_drop, training=self.training)
""",
        "reset-before",
        "single-bias",
    ),
    right(
        "keyword_arguments",
        """\
import torch
from torch import nn


class RecurrentEncoder(nn.Module):
    # instantiated from a YAML file: _target_: models.RecurrentEncoder
    def __init__(self, *, input_dim: int, hidden_dim: int, output_dim: int | None = None, dropout=0.0, **kwargs):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.options = kwargs
        self.proj_in = nn.ModuleDict({g: nn.Linear(input_dim, hidden_dim) for g in "run"})
        self.proj_rec = nn.ModuleDict({g: nn.Linear(hidden_dim, hidden_dim) for g in "run"})
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Identity() if output_dim is None else nn.Linear(hidden_dim, output_dim)

    def step(self, x, h):
        reset = torch.sigmoid(self.proj_in["r"](x) + self.proj_rec["r"](h))
        update = torch.sigmoid(self.proj_in["u"](x) + self.proj_rec["u"](h))
        new = torch.tanh(self.proj_in["n"](x) + reset * self.proj_rec["n"](h))
        return update * h + (1 - update) * new

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        h = batch.new_zeros(batch.shape[0], self.hidden_dim)
        for t in range(batch.shape[1]):
            h = self.step(batch[:, t], h)
        return self.readout(self.dropout(h))
""",
        "equal",
    ),
    right(
        "language_model",
        """\
import torch
import torch.nn as nn

# character level language model, from the lecture notes
class CharGRU(nn.Module):
    def __init__(self, n_chars, n_embd, n_hidden):
        super().__init__()
        self.n_hidden = n_hidden
        self.wte = nn.Embedding(n_chars, n_embd)
        self.xh_to_z = nn.Linear(n_embd + n_hidden, n_hidden)
        self.xh_to_r = nn.Linear(n_embd + n_hidden, n_hidden)
        self.xh_to_hbar = nn.Linear(n_embd + n_hidden, n_hidden)
        self.lm_head = nn.Linear(n_hidden, n_chars)

    def forward(self, idx):
        b, t = idx.size()
        emb = self.wte(idx)
        hprev = torch.zeros(b, self.n_hidden, device=idx.device)
        hiddens = []
        for i in range(t):
            xt = emb[:, i, :]
            xh = torch.cat([xt, hprev], dim=1)
            r = torch.sigmoid(self.xh_to_r(xh))
            hprev_reset = r * hprev
            xhr = torch.cat([xt, hprev_reset], dim=1)
            hbar = torch.tanh(self.xh_to_hbar(xhr))
            z = torch.sigmoid(self.xh_to_z(xh))
            hprev = (1 - z) * hprev + z * hbar
            hiddens.append(hprev)
        return self.lm_head(torch.stack(hiddens, 1))
""",
        "update-inverted",
        "reset-before",
        "single-bias",
    ),
]

MISTAKES = [
    wrong(
        "candidate_sigmoid",
        """\
import torch
import torch.nn as nn


class GRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.W = nn.Linear(input_size, 3 * hidden_size)
        self.U = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        hs = []
        for t in range(x.size(1)):
            xr, xz, xn = self.W(x[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.U(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.sigmoid(xn + r * hn)
            h = (1 - z) * n + z * h
            hs.append(h)
        return torch.stack(hs, dim=1), h
""",
        "candidate-activation",
        at="n = torch.sigmoid(",
    ),
    wrong(
        "candidate_relu",
        """\
import torch
from torch import nn
import torch.nn.functional as F


class GRUScratch(nn.Module):
    def __init__(self, num_inputs, num_hiddens, sigma=0.1):
        super().__init__()
        self.num_hiddens = num_hiddens
        p = lambda *shape: nn.Parameter(torch.randn(*shape) * sigma)
        self.W_xz, self.W_hz, self.b_z = p(num_inputs, num_hiddens), p(num_hiddens, num_hiddens), p(num_hiddens)
        self.W_xr, self.W_hr, self.b_r = p(num_inputs, num_hiddens), p(num_hiddens, num_hiddens), p(num_hiddens)
        self.W_xh, self.W_hh, self.b_h = p(num_inputs, num_hiddens), p(num_hiddens, num_hiddens), p(num_hiddens)

    def forward(self, inputs, H=None):
        if H is None:
            H = torch.zeros(inputs.shape[1], self.num_hiddens)
        outputs = []
        for X in inputs:
            Z = torch.sigmoid(X @ self.W_xz + H @ self.W_hz + self.b_z)
            R = torch.sigmoid(X @ self.W_xr + H @ self.W_hr + self.b_r)
            H_tilde = F.relu(X @ self.W_xh + (R * H) @ self.W_hh + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(H)
        return torch.stack(outputs), H
""",
        "candidate-activation",
        at="F.relu(",
    ),
    wrong(
        "candidate_without_activation",
        """\
import torch
import torch.nn as nn


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.reset_x = nn.Linear(input_size, hidden_size)
        self.reset_h = nn.Linear(hidden_size, hidden_size)
        self.update_x = nn.Linear(input_size, hidden_size)
        self.update_h = nn.Linear(hidden_size, hidden_size)
        self.new_x = nn.Linear(input_size, hidden_size)
        self.new_h = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, h):
        r = torch.sigmoid(self.reset_x(x) + self.reset_h(h))
        z = torch.sigmoid(self.update_x(x) + self.update_h(h))
        n = self.new_x(x) + r * self.new_h(h)
        return (1 - z) * n + z * h
""",
        "candidate-activation",
        at="n = self.new_x(x)",
    ),
    wrong(
        "update_gate_tanh",
        """\
import torch
from torch import nn

class my_gru(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hs = hidden_size
        self.wr = nn.Linear(input_size + hidden_size, hidden_size)
        self.wz = nn.Linear(input_size + hidden_size, hidden_size)
        self.wh = nn.Linear(input_size + hidden_size, hidden_size)
        self.sigmoid = nn.Sigmoid()
        self.tanh = nn.Tanh()

    def forward(self, x):
        h = torch.zeros(x.shape[0], self.hs)
        for i in range(x.shape[1]):
            xh = torch.cat([x[:, i], h], 1)
            r = self.sigmoid(self.wr(xh))
            z = self.tanh(self.wz(xh))
            h_hat = self.tanh(self.wh(torch.cat([x[:, i], r * h], 1)))
            h = (1 - z) * h + z * h_hat
        return h
""",
        "gate-activation",
        at="z = self.tanh(",
    ),
    wrong(
        "reset_gate_without_sigmoid",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class GRULayer(nn.Module):
    def __init__(self, input_dim, hidden_dim):
        super().__init__()
        k = hidden_dim ** -0.5
        self.hidden_dim = hidden_dim
        self.w_ih = nn.Parameter(torch.empty(3 * hidden_dim, input_dim).uniform_(-k, k))
        self.w_hh = nn.Parameter(torch.empty(3 * hidden_dim, hidden_dim).uniform_(-k, k))
        self.b_ih = nn.Parameter(torch.empty(3 * hidden_dim).uniform_(-k, k))
        self.b_hh = nn.Parameter(torch.empty(3 * hidden_dim).uniform_(-k, k))

    def forward(self, x, h0=None):
        h = x.new_zeros(x.size(1), self.hidden_dim) if h0 is None else h0
        out = []
        for x_t in x:
            xr, xz, xn = F.linear(x_t, self.w_ih, self.b_ih).chunk(3, -1)
            hr, hz, hn = F.linear(h, self.w_hh, self.b_hh).chunk(3, -1)
            reset = xr + hr
            update = torch.sigmoid(xz + hz)
            new = torch.tanh(xn + reset * hn)
            h = (1 - update) * new + update * h
            out.append(h)
        return torch.stack(out), h
""",
        "gate-activation",
        at="reset = xr + hr",
    ),
    wrong(
        "both_gates_relu",
        """\
import torch
from torch import nn


class TextClassifier(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.cand = nn.Linear(input_size + hidden_size, hidden_size)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        for x_t in x.unbind(1):
            r, z = torch.relu(self.gates(torch.cat([x_t, h], dim=1))).chunk(2, dim=1)
            c = torch.tanh(self.cand(torch.cat([x_t, r * h], dim=1)))
            h = z * h + (1 - z) * c
        return self.fc(h)
""",
        "gate-activation",
        at="torch.relu(",
    ),
    wrong(
        "reset_computed_not_used",
        """\
import torch
import torch.nn as nn

class GRUFromScratch(nn.Module):
    def __init__(self, input_size, hidden_size):
        super(GRUFromScratch, self).__init__()
        self.hidden_size = hidden_size

        self.Wxr = nn.Linear(input_size, hidden_size)
        self.Whr = nn.Linear(hidden_size, hidden_size)
        self.Wxz = nn.Linear(input_size, hidden_size)
        self.Whz = nn.Linear(hidden_size, hidden_size)
        self.Wxn = nn.Linear(input_size, hidden_size)
        self.Whn = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        outputs = []
        for t in range(x.size(1)):
            reset = torch.sigmoid(self.Wxr(x[:, t]) + self.Whr(h))
            update = torch.sigmoid(self.Wxz(x[:, t]) + self.Whz(h))
            candidate = torch.tanh(self.Wxn(x[:, t]) + self.Whn(h))
            h = update * h + (1 - update) * candidate
            outputs.append(h.unsqueeze(1))
        return torch.cat(outputs, dim=1), h
""",
        "reset-unused",
        at="candidate = torch.tanh(",
    ),
    wrong(
        "reset_on_input",
        """\
import torch
import torch.nn as nn


class GRU(nn.Module):
    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.n_hidden = n_hidden
        self.x2h = nn.Linear(n_in, 3 * n_hidden)
        self.h2h = nn.Linear(n_hidden, 3 * n_hidden)

    def forward(self, x, state=None):
        if state is None:
            state = torch.zeros(x.shape[0], self.n_hidden, device=x.device)
        for t in range(x.shape[1]):
            xr, xz, xn = self.x2h(x[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.h2h(state).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(r * xn + hn)
            state = (1 - z) * n + z * state
        return state
""",
        "reset-on-input",
        at="n = torch.tanh(",
    ),
    wrong(
        "update_without_state",
        """\
import torch
from torch import nn


class SimpleGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        init = lambda *s: nn.Parameter(torch.randn(*s) * 0.3)
        self.W_r, self.U_r, self.b_r = init(input_size, hidden_size), init(hidden_size, hidden_size), init(hidden_size)
        self.W_z, self.b_z = init(input_size, hidden_size), init(hidden_size)
        self.W_n, self.U_n, self.b_n = init(input_size, hidden_size), init(hidden_size, hidden_size), init(hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        hs = []
        for t in range(x.size(1)):
            xt = x[:, t]
            r = torch.sigmoid(xt @ self.W_r + h @ self.U_r + self.b_r)
            z = torch.sigmoid(xt @ self.W_z + self.b_z)
            n = torch.tanh(xt @ self.W_n + (r * h) @ self.U_n + self.b_n)
            h = (1 - z) * h + z * n
            hs.append(h)
        return torch.stack(hs, 1)
""",
        "gate-without-state",
        at="z = torch.sigmoid(",
    ),
    wrong(
        "reset_without_state",
        """\
import torch
import torch.nn as nn


class GRUCellManual(nn.Module):
    def __init__(self, input_dim, hidden_dim):
        super().__init__()
        self.xr = nn.Linear(input_dim, hidden_dim)
        self.hr = nn.Linear(hidden_dim, hidden_dim)
        self.xz = nn.Linear(input_dim, hidden_dim)
        self.hz = nn.Linear(hidden_dim, hidden_dim)
        self.xn = nn.Linear(input_dim, hidden_dim)
        self.hn = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x, h_prev):
        r_t = torch.sigmoid(self.xr(x))
        z_t = torch.sigmoid(self.xz(x) + self.hz(h_prev))
        n_t = torch.tanh(self.xn(x) + r_t * self.hn(h_prev))
        h_t = (1 - z_t) * n_t + z_t * h_prev
        return h_t
""",
        "gate-without-state",
        at="r_t = torch.sigmoid(",
    ),
    wrong(
        "reset_matrices_twice",
        """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.W_r = nn.Linear(input_size, hidden_size)
        self.U_r = nn.Linear(hidden_size, hidden_size)
        self.W_z = nn.Linear(input_size, hidden_size)
        self.U_z = nn.Linear(hidden_size, hidden_size)
        self.W_h = nn.Linear(input_size, hidden_size)
        self.U_h = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        out = []
        for i in range(x.size(1)):
            xi = x[:, i, :]
            r = torch.sigmoid(self.W_r(xi) + self.U_r(h))
            z = torch.sigmoid(self.W_r(xi) + self.U_r(h))  # update gate
            g = torch.tanh(self.W_h(xi) + r * self.U_h(h))
            h = z * h + (1 - z) * g
            out.append(h)
        return torch.stack(out, dim=1), h
""",
        "shared-matrices",
        at="# update gate",
    ),
    wrong(
        "hidden_matrix_twice",
        """\
import torch
from torch import nn


class GRUScratch(nn.Module):
    def __init__(self, num_inputs, num_hiddens, sigma=0.2):
        super().__init__()
        self.num_hiddens = num_hiddens
        w = lambda *shape: nn.Parameter(torch.randn(*shape) * sigma)
        self.W_xz, self.W_hz, self.b_z = w(num_inputs, num_hiddens), w(num_hiddens, num_hiddens), w(num_hiddens)
        self.W_xr, self.W_hr, self.b_r = w(num_inputs, num_hiddens), w(num_hiddens, num_hiddens), w(num_hiddens)
        self.W_xh, self.W_hh, self.b_h = w(num_inputs, num_hiddens), w(num_hiddens, num_hiddens), w(num_hiddens)

    def forward(self, inputs, H=None):
        if H is None:
            H = torch.zeros((inputs.shape[1], self.num_hiddens))
        outputs = []
        for X in inputs:
            Z = torch.sigmoid(torch.matmul(X, self.W_xz) + torch.matmul(H, self.W_hz) + self.b_z)
            R = torch.sigmoid(torch.matmul(X, self.W_xr) + torch.matmul(H, self.W_hz) + self.b_r)
            H_tilde = torch.tanh(torch.matmul(X, self.W_xh) + torch.matmul(R * H, self.W_hh) + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(H)
        return torch.stack(outputs), H
""",
        "shared-matrices",
        at="R = torch.sigmoid(",
    ),
    wrong(
        "slice_used_twice",
        """\
import torch
import torch.nn as nn


class SlicedGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.ih = nn.Linear(input_size, 3 * hidden_size)
        self.hh = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x):
        H = self.hidden_size
        h = x.new_zeros(x.size(0), H)
        ys = []
        for x_t in x.unbind(1):
            gi, gh = self.ih(x_t), self.hh(h)
            r = torch.sigmoid(gi[:, :H] + gh[:, :H])
            z = torch.sigmoid(gi[:, H:2 * H] + gh[:, H:2 * H])
            n = torch.tanh(gi[:, H:2 * H] + r * gh[:, H:2 * H])
            h = (1 - z) * n + z * h
            ys.append(h)
        return torch.stack(ys, 1), h
""",
        "shared-matrices",
        at="n = torch.tanh(",
    ),
    wrong(
        "update_gate_twice",
        """\
import torch
import torch.nn as nn

class Mixer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.reset = nn.Linear(input_size + hidden_size, hidden_size)
        self.update = nn.Linear(input_size + hidden_size, hidden_size)
        self.new = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        outs = []
        for t in range(x.size(1)):
            cat = torch.cat([x[:, t], h], dim=1)
            r = torch.sigmoid(self.reset(cat))
            z = torch.sigmoid(self.update(cat))
            n = torch.tanh(self.new(torch.cat([x[:, t], r * h], dim=1)))
            h = z * h + z * n
            outs.append(h)
        return torch.stack(outs, dim=1)
""",
        "mixing",
        at="h = z * h + z * n",
    ),
    wrong(
        "one_minus_twice",
        """\
import torch
from torch import nn


class EncoderGRU(nn.Module):
    def __init__(self, vocab_size, embed_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.emb = nn.Embedding(vocab_size, embed_size)
        self.wi = nn.Linear(embed_size, 3 * hidden_size)
        self.wh = nn.Linear(hidden_size, 3 * hidden_size)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, tokens):
        e = self.emb(tokens)
        h = torch.zeros(tokens.size(0), self.hidden_size, device=tokens.device)
        for t in range(tokens.size(1)):
            xr, xz, xn = self.wi(e[:, t]).chunk(3, 1)
            hr, hz, hn = self.wh(h).chunk(3, 1)
            r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * h + (1 - z) * n
        return self.fc(h)
""",
        "mixing",
        at="h = (1 - z) * h + (1 - z) * n",
    ),
    wrong(
        "mixed_with_reset",
        """\
import torch
import torch.nn as nn


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W = nn.Parameter(torch.randn(3, input_size, hidden_size) * 0.3)
        self.U = nn.Parameter(torch.randn(3, hidden_size, hidden_size) * 0.3)
        self.b = nn.Parameter(torch.zeros(3, hidden_size))

    def forward(self, x, h):
        r = torch.sigmoid(x @ self.W[0] + h @ self.U[0] + self.b[0])
        z = torch.sigmoid(x @ self.W[1] + h @ self.U[1] + self.b[1])
        n = torch.tanh(x @ self.W[2] + r * (h @ self.U[2]) + self.b[2])
        return r * h + (1 - r) * n
""",
        "mixing",
        at="return r * h",
    ),
    wrong(
        "state_mixed_with_itself",
        """\
import torch
import torch.nn as nn


class GRUBlock(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2g = nn.Linear(input_size, 3 * hidden_size)
        self.h2g = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x, h=None):
        h = torch.zeros(x.size(0), self.hidden_size) if h is None else h
        states = []
        for x_t in x.permute(1, 0, 2):
            r_x, z_x, n_x = self.i2g(x_t).chunk(3, -1)
            r_h, z_h, n_h = self.h2g(h).chunk(3, -1)
            r = torch.sigmoid(r_x + r_h)
            z = torch.sigmoid(z_x + z_h)
            h_new = torch.tanh(n_x + r * n_h)
            h = z * h + (1 - z) * h
            states.append(h)
        return torch.stack(states, 1), h
""",
        "mixing",
        at="h = z * h + (1 - z) * h",
    ),
    wrong(
        "candidate_added_in_full",
        """\
import torch
from torch import nn


class ResidualLikeGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.in_r, self.rec_r = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)
        self.in_z, self.rec_z = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)
        self.in_n, self.rec_n = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        for t in range(x.size(1)):
            r = torch.sigmoid(self.in_r(x[:, t]) + self.rec_r(h))
            z = torch.sigmoid(self.in_z(x[:, t]) + self.rec_z(h))
            n = torch.tanh(self.in_n(x[:, t]) + self.rec_n(r * h))
            h = z * h + n
        return h
""",
        "mixing",
        at="h = z * h + n",
    ),
    wrong(
        "candidate_of_new_state",
        """\
import torch
import torch.nn as nn


class GRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.x2 = nn.Linear(input_size, 3 * hidden_size)
        self.h2 = nn.Linear(hidden_size, 2 * hidden_size)
        self.h2n = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        out = []
        for t in range(x.size(1)):
            xr, xz, xn = self.x2(x[:, t]).chunk(3, dim=1)
            hr, hz = self.h2(h).chunk(2, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            h = z * h
            n = torch.tanh(xn + r * self.h2n(h))
            h = h + (1 - z) * n
            out.append(h)
        return torch.stack(out, dim=1), h
""",
        "wrong-candidate",
        at="n = torch.tanh(",
    ),
    wrong(
        "candidate_without_state",
        """\
import torch
import torch.nn as nn


class GRULite(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.Wz = nn.Linear(input_size + hidden_size, hidden_size)
        self.Wn = nn.Linear(input_size, hidden_size)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        ys = []
        for x_t in x.unbind(1):
            z = torch.sigmoid(self.Wz(torch.cat([x_t, h], -1)))
            n = torch.tanh(self.Wn(x_t))
            h = z * h + (1 - z) * n
            ys.append(h)
        return torch.stack(ys, 1)
""",
        "wrong-candidate",
        at="n = torch.tanh(",
    ),
    wrong(
        "candidate_without_matrix",
        """\
import torch
from torch import nn


class GRU(nn.Module):
    def __init__(self, num_inputs, num_hiddens):
        super().__init__()
        self.num_hiddens = num_hiddens
        g = lambda *shape: nn.Parameter(torch.randn(*shape) * 0.25)
        self.W_xz, self.W_hz, self.b_z = g(num_inputs, num_hiddens), g(num_hiddens, num_hiddens), g(num_hiddens)
        self.W_xr, self.W_hr, self.b_r = g(num_inputs, num_hiddens), g(num_hiddens, num_hiddens), g(num_hiddens)
        self.W_xh, self.b_h = g(num_inputs, num_hiddens), g(num_hiddens)

    def forward(self, X, H=None):
        # X: (time, batch, num_inputs)
        if H is None:
            H = X.new_zeros(X.shape[1], self.num_hiddens)
        out = []
        for x in X:
            Z = torch.sigmoid(x @ self.W_xz + H @ self.W_hz + self.b_z)
            R = torch.sigmoid(x @ self.W_xr + H @ self.W_hr + self.b_r)
            H_tilde = torch.tanh(x @ self.W_xh + R * H + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            out.append(H)
        return torch.stack(out), H
""",
        "wrong-candidate",
        at="H_tilde = torch.tanh(",
    ),
    wrong(
        "detached_every_step",
        """\
import torch
import torch.nn as nn


class TruncatedGRU(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.wx = nn.Linear(input_dim, 3 * hidden_dim)
        self.wh = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_dim)
        for t in range(x.size(1)):
            h = h.detach()
            xr, xz, xn = self.wx(x[:, t]).chunk(3, 1)
            hr, hz, hn = self.wh(h).chunk(3, 1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
        return self.fc(h)
""",
        "detached",
        at="h = h.detach()",
    ),
    wrong(
        "detached_in_training",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class GRULayer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.randn(3 * hidden_size, input_size) * 0.2)
        self.weight_hh = nn.Parameter(torch.randn(3 * hidden_size, hidden_size) * 0.2)
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden_size))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden_size))

    def step(self, x, h):
        xr, xz, xn = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, 1)
        hr, hz, hn = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, 1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return n + z * (h - n)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        ys = []
        for t in range(x.size(1)):
            if self.training:
                h = h.detach()  # saves memory
            h = self.step(x[:, t], h)
            ys.append(h)
        return torch.stack(ys, 1), h
""",
        "detached",
        at="h = h.detach()",
    ),
    wrong(
        "state_of_last_call",
        """\
import torch
import torch.nn as nn

class StatefulGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.lin_x = nn.Linear(input_size, hidden_size * 3)
        self.lin_h = nn.Linear(hidden_size, hidden_size * 3)
        self.h = None

    def forward(self, x):
        if self.h is None:
            self.h = torch.zeros(x.size(0), self.hidden_size)
        outputs = []
        for t in range(x.size(1)):
            rx, zx, nx = self.lin_x(x[:, t]).chunk(3, dim=1)
            rh, zh, nh = self.lin_h(self.h).chunk(3, dim=1)
            r = torch.sigmoid(rx + rh)
            z = torch.sigmoid(zx + zh)
            n = torch.tanh(nx + r * nh)
            self.h = (1 - z) * n + z * self.h
            outputs.append(self.h)
        return torch.stack(outputs, dim=1)
""",
        "state-kept",
        at="if self.h is None:",
    ),
    wrong(
        "random_initial_state",
        """\
import torch
from torch import nn


class GRUModel(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.rz = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.nx = nn.Linear(input_size, hidden_size)
        self.nh = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, num_classes)

    def init_hidden(self, batch_size):
        return torch.randn(batch_size, self.hidden_size)

    def forward(self, x):
        h = self.init_hidden(x.size(0))
        for t in range(x.size(1)):
            r, z = torch.sigmoid(self.rz(torch.cat([x[:, t], h], 1))).chunk(2, 1)
            n = torch.tanh(self.nx(x[:, t]) + r * self.nh(h))
            h = (1 - z) * n + z * h
        return self.out(h)
""",
        "initial-state",
        at="torch.randn(",
    ),
    wrong(
        "ones_as_initial_state",
        """\
import torch
import torch.nn as nn


class OnesGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.w_i = nn.Linear(input_size, 3 * hidden_size)
        self.w_h = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x):
        hidden = torch.ones(x.size(0), self.hidden_size, device=x.device)
        result = []
        for step in range(x.size(1)):
            i_r, i_z, i_n = self.w_i(x[:, step]).chunk(3, dim=-1)
            h_r, h_z, h_n = self.w_h(hidden).chunk(3, dim=-1)
            r = torch.sigmoid(i_r + h_r)
            z = torch.sigmoid(i_z + h_z)
            n = torch.tanh(i_n + r * h_n)
            hidden = n + z * (hidden - n)
            result.append(hidden)
        return torch.stack(result, dim=1), hidden
""",
        "initial-state",
        at="torch.ones(",
    ),
    wrong(
        "zeros_inside_loop",
        """\
import torch
import torch.nn as nn

class GRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.Wr = nn.Linear(input_size, hidden_size)
        self.Ur = nn.Linear(hidden_size, hidden_size)
        self.Wz = nn.Linear(input_size, hidden_size)
        self.Uz = nn.Linear(hidden_size, hidden_size)
        self.Wn = nn.Linear(input_size, hidden_size)
        self.Un = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        outputs = []
        for t in range(x.size(1)):
            h = torch.zeros(x.size(0), self.hidden_size)
            r = torch.sigmoid(self.Wr(x[:, t]) + self.Ur(h))
            z = torch.sigmoid(self.Wz(x[:, t]) + self.Uz(h))
            n = torch.tanh(self.Wn(x[:, t]) + r * self.Un(h))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs, dim=1), h
""",
        "initial-state",
        at="h = torch.zeros(",
    ),
    wrong(
        "given_state_ignored",
        """\
import torch
import torch.nn as nn


class GRUDecoder(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.wi = nn.Linear(input_size, 3 * hidden_size)
        self.wh = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x, h0=None):
        h = torch.zeros(x.size(0), self.hidden_size, device=x.device)
        outputs = []
        for x_t in x.unbind(dim=1):
            xr, xz, xn = self.wi(x_t).chunk(3, dim=1)
            hr, hz, hn = self.wh(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs, dim=1), h
""",
        "initial-state",
        at="h = torch.zeros(",
    ),
    wrong(
        "last_step_left_out",
        """\
import torch
import torch.nn as nn


class GRUClassifier(nn.Module):
    def __init__(self, input_dim, hidden_dim, num_classes):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.Wx = nn.Parameter(torch.randn(input_dim, 3 * hidden_dim) * 0.2)
        self.Wh = nn.Parameter(torch.randn(hidden_dim, 3 * hidden_dim) * 0.2)
        self.b = nn.Parameter(torch.zeros(3 * hidden_dim))
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, x):
        B, T, D = x.shape
        h = torch.zeros(B, self.hidden_dim)
        for t in range(T - 1):
            xr, xz, xn = (x[:, t] @ self.Wx + self.b).chunk(3, dim=1)
            hr, hz, hn = (h @ self.Wh).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = z * h + (1 - z) * n
        return self.fc(h)
""",
        "last-step",
        at="range(T - 1)",
    ),
    wrong(
        "first_output_returned",
        """\
import torch
from torch import nn


class SequenceEncoder(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.gates_x = nn.Linear(input_size, 3 * hidden_size)
        self.gates_h = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, 2)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        outputs = []
        for x_t in x.unbind(1):
            xr, xz, xn = self.gates_x(x_t).chunk(3, 1)
            hr, hz, hn = self.gates_h(h).chunk(3, 1)
            r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            outputs.append(h)
        outputs = torch.stack(outputs)
        return self.proj(outputs[0])
""",
        "last-step",
        at="outputs[0]",
    ),
    wrong(
        "reads_backwards",
        """\
import torch
import torch.nn as nn


class GRULayer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.lin_ih = nn.Linear(input_size, 3 * hidden_size)
        self.lin_hh = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        for t in range(x.size(1) - 1, -1, -1):
            xr, xz, xn = self.lin_ih(x[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.lin_hh(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
        return h
""",
        "read-backwards",
        at="range(x.size(1) - 1, -1, -1)",
    ),
    wrong(
        "backward_end_library",
        """\
import torch
import torch.nn as nn


class BiGRUClassifier(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(hidden_size * 2, num_classes)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.fc(out[:, -1, :])
""",
        "backward-end",
        at="out[:, -1, :]",
    ),
    wrong(
        "backward_end_by_hand",
        """\
import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.ih = nn.Linear(input_size, 3 * hidden_size)
        self.hh = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x, h):
        xr, xz, xn = self.ih(x).chunk(3, 1)
        hr, hz, hn = self.hh(h).chunk(3, 1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h


class BiGRU(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.left = Cell(input_size, hidden_size)
        self.right = Cell(input_size, hidden_size)
        self.linear = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, x):
        T = x.size(1)
        hl = hr = torch.zeros(x.size(0), self.hidden_size)
        lefts, rights = [], []
        for t in range(T):
            hl = self.left(x[:, t], hl)
            lefts.append(hl)
        for t in reversed(range(T)):
            hr = self.right(x[:, t], hr)
            rights.insert(0, hr)
        last = torch.cat([lefts[-1], rights[-1]], dim=1)
        return self.linear(last)
""",
        "backward-end",
        at="rights[-1]",
    ),
    wrong(
        "batch_and_time_confused",
        """\
import torch
import torch.nn as nn


class TokenGRU(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.ih = nn.Linear(embed_dim, 3 * hidden_dim)
        self.hh = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, tokens):
        # tokens: (batch, time)
        batch_size, seq_len = tokens.shape
        x = self.embedding(tokens).view(seq_len, batch_size, -1)
        h = torch.zeros(batch_size, self.hidden_dim)
        for t in range(seq_len):
            xr, xz, xn = self.ih(x[t]).chunk(3, dim=1)
            hr, hz, hn = self.hh(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
        return self.fc(h)
""",
        "unknown",
        at=".view(seq_len, batch_size, -1)",
    ),
    wrong(
        "dropout_at_evaluation",
        """\
import torch
import torch.nn as nn
import torch.nn.functional as F


class DropGRU(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes, p=0.5):
        super().__init__()
        self.p = p
        self.hidden_size = hidden_size
        self.w_x = nn.Linear(input_size, 3 * hidden_size)
        self.w_h = nn.Linear(hidden_size, 3 * hidden_size)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        for t in range(x.size(1)):
            xr, xz, xn = self.w_x(x[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.w_h(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
        h = F.dropout(h, self.p)
        return self.fc(h)
""",
        "dropout",
        at="F.dropout(",
    ),
    wrong(
        "layers_share_weights",
        """\
import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, n_in, n_hid):
        super().__init__()
        self.ih = nn.Linear(n_in, 3 * n_hid)
        self.hh = nn.Linear(n_hid, 3 * n_hid)

    def forward(self, x, h):
        xr, xz, xn = self.ih(x).chunk(3, 1)
        hr, hz, hn = self.hh(h).chunk(3, 1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        return z * h + (1 - z) * torch.tanh(xn + r * hn)


class DeepGRU(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers=3):
        super().__init__()
        self.hidden_size = hidden_size
        cells = [Cell(input_size, hidden_size)] + [Cell(hidden_size, hidden_size)] * (num_layers - 1)
        self.layers = nn.ModuleList(cells)

    def forward(self, x):
        seq = list(x.unbind(1))
        for cell in self.layers:
            h = x.new_zeros(x.size(0), self.hidden_size)
            for t, x_t in enumerate(seq):
                h = cell(x_t, h)
                seq[t] = h
        return torch.stack(seq, 1)
""",
        "shared-layers",
        at="* (num_layers - 1)",
    ),
    wrong(
        "second_layer_reads_input",
        """\
import torch
import torch.nn as nn


class TwoLayerGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.x1, self.h1 = nn.Linear(input_size, 3 * hidden_size), nn.Linear(hidden_size, 3 * hidden_size)
        self.x2, self.h2 = nn.Linear(input_size, 3 * hidden_size), nn.Linear(hidden_size, 3 * hidden_size)

    def cell(self, wx, wh, x, h):
        xr, xz, xn = wx(x).chunk(3, dim=1)
        hr, hz, hn = wh(h).chunk(3, dim=1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h

    def forward(self, x):
        a = torch.zeros(x.size(0), self.hidden_size)
        b = torch.zeros(x.size(0), self.hidden_size)
        out = []
        for t in range(x.size(1)):
            a = self.cell(self.x1, self.h1, x[:, t], a)
            b = self.cell(self.x2, self.h2, x[:, t], b)
            out.append(b)
        return torch.stack(out, dim=1), torch.stack([a, b])
""",
        "unknown",
        at="b = self.cell(",
    ),
    right(
        "padding_reaches_state",
        """\
import torch
import torch.nn as nn

PAD_IDX = 0


class ReviewGRU(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PAD_IDX)
        self.ih = nn.Linear(embed_dim, 3 * hidden_dim)
        self.hh = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, text):
        # text: (batch, time), padded at the end
        embedded = self.embedding(text)
        h = torch.zeros(text.size(0), self.hidden_dim, device=text.device)
        for t in range(text.size(1)):
            xr, xz, xn = self.ih(embedded[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.hh(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
        return self.fc(h)
""",
        "equal",
        "padding",
    ),
    right(
        "padding_library",
        """\
import torch
from torch import nn


class LibraryClassifier(nn.Module):
    def __init__(self, vocab_size, embedding_dim, hidden_dim, output_dim, pad_idx=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=pad_idx)
        self.rnn = nn.GRU(embedding_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, output_dim)

    def forward(self, text):
        output, hidden = self.rnn(self.embedding(text))
        return self.fc(hidden.squeeze(0))
""",
        "equal",
        "library",
        "padding",
    ),
    wrong(
        "head_ignores_state",
        """\
import torch
import torch.nn as nn


class GRUWithHead(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.wx = nn.Linear(embed_dim, 3 * hidden_dim)
        self.wh = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.fc = nn.Linear(embed_dim, num_classes)

    def forward(self, tokens):
        emb = self.embedding(tokens)
        h = torch.zeros(tokens.size(0), self.hidden_dim)
        for t in range(tokens.size(1)):
            xr, xz, xn = self.wx(emb[:, t]).chunk(3, dim=1)
            hr, hz, hn = self.wh(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
        features = emb.mean(dim=1)
        return self.fc(features)
""",
        "unknown",
        at="features = emb.mean(dim=1)",
    ),
    right(
        "plain_list_of_weights",
        """\
import torch
import torch.nn as nn


class ListGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.x_layers = [nn.Linear(input_size, hidden_size) for _ in range(3)]
        self.h_layers = [nn.Linear(hidden_size, hidden_size) for _ in range(3)]

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        outs = []
        for t in range(x.size(1)):
            xr, xz, xn = [layer(x[:, t]) for layer in self.x_layers]
            hr, hz, hn = [layer(h) for layer in self.h_layers]
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            outs.append(h)
        return torch.stack(outs, dim=1), h
""",
        "equal",
        "untrained",
    ),
    right(
        "tensors_without_parameter",
        """\
import torch
import torch.nn as nn


class TensorGRU(nn.Module):
    def __init__(self, num_inputs, num_hiddens):
        super().__init__()
        self.num_hiddens = num_hiddens

        def three():
            return (torch.randn(num_inputs, num_hiddens, requires_grad=True),
                    torch.randn(num_hiddens, num_hiddens, requires_grad=True),
                    torch.zeros(num_hiddens, requires_grad=True))

        self.W_xz, self.W_hz, self.b_z = three()
        self.W_xr, self.W_hr, self.b_r = three()
        self.W_xh, self.W_hh, self.b_h = three()
        self.out = nn.Linear(num_hiddens, 2)

    def forward(self, X):
        H = torch.zeros(X.shape[0], self.num_hiddens)
        for t in range(X.shape[1]):
            x = X[:, t]
            Z = torch.sigmoid(x @ self.W_xz + H @ self.W_hz + self.b_z)
            R = torch.sigmoid(x @ self.W_xr + H @ self.W_hr + self.b_r)
            H_tilda = torch.tanh(x @ self.W_xh + (R * H) @ self.W_hh + self.b_h)
            H = Z * H + (1 - Z) * H_tilda
        return self.out(H)
""",
        "reset-before",
        "single-bias",
        "untrained",
    ),
    wrong(
        "lstm_called_gru",
        """\
import torch
import torch.nn as nn


class GRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.W = nn.Linear(input_size, 4 * hidden_size)
        self.U = nn.Linear(hidden_size, 4 * hidden_size)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden_size)
        c = torch.zeros_like(h)
        hs = []
        for t in range(x.size(1)):
            i, f, g, o = (self.W(x[:, t]) + self.U(h)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hs.append(h)
        return torch.stack(hs, dim=1), h
""",
        "lstm",
        at=None,
    ),
    wrong(
        "lstm_of_library",
        """\
import torch
from torch import nn


class GRUClassifier(nn.Module):
    def __init__(self, input_dim, hidden_dim, num_classes):
        super().__init__()
        self.gru = nn.LSTM(input_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, x):
        out, (h, c) = self.gru(x)
        return self.fc(h[-1])
""",
        "lstm",
        at=None,
    ),
    wrong(
        "rnn_called_gru",
        """\
import torch
import torch.nn as nn

class GRU(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(GRU, self).__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        hidden = torch.zeros(x.size(0), self.hidden_size)
        for t in range(x.size(1)):
            combined = torch.cat((x[:, t], hidden), 1)
            hidden = torch.tanh(self.i2h(combined))
        return self.h2o(hidden)
""",
        "rnn",
        at=None,
    ),
    wrong(
        "rnn_cell_called_gru",
        """\
import torch
from torch import nn


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W_x = nn.Linear(input_size, hidden_size)
        self.W_h = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, h):
        return torch.tanh(self.W_x(x) + self.W_h(h))
""",
        "rnn",
        at=None,
    ),
    wrong(
        "output_of_input",
        """\
import torch
import torch.nn as nn


class StepClassifier(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.ih = nn.Linear(input_size, 3 * hidden_size)
        self.hh = nn.Linear(hidden_size, 3 * hidden_size)
        self.fc = nn.Linear(input_size, num_classes)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        logits = []
        for t in range(x.size(1)):
            x_t = x[:, t]
            xr, xz, xn = self.ih(x_t).chunk(3, dim=1)
            hr, hz, hn = self.hh(h).chunk(3, dim=1)
            r = torch.sigmoid(xr + hr)
            z = torch.sigmoid(xz + hz)
            n = torch.tanh(xn + r * hn)
            h = (1 - z) * n + z * h
            logits.append(self.fc(x_t))
        return torch.stack(logits, dim=1)
""",
        "unknown",
        at="logits.append(self.fc(x_t))",
    ),
    wrong(
        "mixed_with_both_gates",
        """\
import torch
import torch.nn as nn


class BeginnerGRU(nn.Module):
    def __init__(self, input_size=8, hidden_size=16):
        super().__init__()
        self.hidden_size = hidden_size
        self.xr = nn.Linear(input_size, hidden_size)
        self.hr = nn.Linear(hidden_size, hidden_size)
        self.xz = nn.Linear(input_size, hidden_size)
        self.hz = nn.Linear(hidden_size, hidden_size)
        self.xn = nn.Linear(input_size, hidden_size)
        self.hn = nn.Linear(hidden_size, hidden_size)

    def forward(self, x):
        h = torch.zeros(x.size(0), self.hidden_size)
        outputs = torch.zeros(x.size(0), x.size(1), self.hidden_size)
        for t in range(x.size(1)):
            r = torch.sigmoid(self.xr(x[:, t]) + self.hr(h))
            z = torch.sigmoid(self.xz(x[:, t]) + self.hz(h))
            n = torch.tanh(self.xn(x[:, t]) + r * self.hn(h))
            h = (1 - r) * n + z * h
            outputs[:, t] = h
        return outputs
""",
        "mixing",
        at="h = (1 - r) * n + z * h",
    ),
]

STYLES = RIGHT + MISTAKES
