"""A file with GRUs of a user's own, right ones and wrong ones."""

from __future__ import annotations

from pathlib import Path

OWN = '''import torch
from torch import nn


class BatchFirst(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.x = nn.Linear(input_size, 3 * hidden_size)
        self.h = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x):
        h = torch.zeros(x.shape[0], self.hidden_size)
        outputs = []
        for t in range(x.shape[1]):
            rx, zx, nx = self.x(x[:, t]).chunk(3, dim=1)
            rh, zh, nh = self.h(h).chunk(3, dim=1)
            r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
            h = (1 - z) * torch.tanh(nx + r * nh) + z * h
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class LeftOver(BatchFirst):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.head = nn.Linear(hidden_size, 2)


class TimeFirst(BatchFirst):
    def forward(self, x):
        return super().forward(x.transpose(0, 1))[0].transpose(0, 1)


class OutputsAlone(BatchFirst):
    def forward(self, x):
        return super().forward(x)[0]


class LastState(BatchFirst):
    def forward(self, x):
        return super().forward(x)[1]


class Unstacked(BatchFirst):
    def forward(self, x):
        return list(super().forward(x)[0].unbind(1))


class Cell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.gru = nn.GRUCell(input_size, hidden_size)

    def forward(self, x, h):
        return self.gru(x, h)


class StateFirst(Cell):
    def forward(self, h, x):
        return self.gru(x, h)


class Stacked(nn.Module):
    def __init__(self, d1, d2, num_layers=2, bias=False, dropout=0.1):
        super().__init__()
        self.gru = nn.GRU(d1, d2, num_layers, bias, batch_first=True, dropout=dropout)

    def forward(self, x):
        return self.gru(x)


class Needy(Stacked):
    def __init__(self, d1, d2, d3, dropout=0.1):
        super().__init__(d1, d2, d3, dropout=dropout)


class BothWays(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.gru(x)


class Narrow(BatchFirst):
    def forward(self, x):
        return super().forward(x)[0][..., :2]


class NotFinite(BatchFirst):
    def forward(self, x):
        return super().forward(x)[0] / 0


class Keeps(BatchFirst):
    kept = 0.0

    def forward(self, x):
        self.kept = self.kept + 1.0
        return super().forward(x)[0] + self.kept


class Looks(BatchFirst):
    def forward(self, x):
        return super().forward(x + x.flip(1))[0]


class Detached(BatchFirst):
    def forward(self, x):
        return super().forward(x)[0].detach().requires_grad_()


class FixedBatch(BatchFirst):
    def forward(self, x):
        return super().forward(x)[0] + torch.zeros(64, 1, 1)


class OneForAll(BatchFirst):
    def forward(self, x):
        return super().forward(x)[0] + torch.zeros(1, 1, 1)


class Long(BatchFirst):
    def forward(self, x):
        if x.shape[1] > 8:
            raise [RuntimeError("no such size"), KeyError("gate"), AssertionError(),
                   RuntimeError("CUDA out of memory")][len(x) - 1]
        return super().forward(x)


class Masked(BatchFirst):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.register_buffer("mask", torch.full((5, 5), float("-inf")).triu(1))


class NoParameters(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.w = torch.ones(input_size, hidden_size)

    def forward(self, x):
        return torch.tanh((x @ self.w).cumsum(1))


class Three(BatchFirst):
    def forward(self, x, y, z):
        return x


class Fails(BatchFirst):
    def forward(self, x):
        raise ValueError("no such gate")


def function(input_size, hidden_size):
    return lambda x: x
'''


def written(folder: Path) -> Path:
    """Return the file `homework.py` in a folder."""
    path = folder / "homework.py"
    path.write_text(OWN, encoding="utf-8")
    return path
