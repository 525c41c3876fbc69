"""Makes up thirty submissions for docs/teaching.md, in submissions/.

    python docs/teaching/made_up.py
"""

from __future__ import annotations

import json
from pathlib import Path

CELL = '''import torch
from torch import nn


class GRUCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x = nn.Linear(input_size, 3 * hidden_size)
        self.h = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, x, h):
        x_r, x_z, x_n = self.x(x).chunk(3, 1)
        h_r, h_z, h_n = self.h(h).chunk(3, 1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return z * h + (1 - z) * n


class GRUClassifier(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.cell = GRUCell(input_size, hidden_size)
        self.out = nn.Linear(hidden_size, num_classes)
        self.hidden_size = hidden_size

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden_size)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.out(h)
'''
"""A right solution."""
CHANGES = (
    ("", ""), ("z * h + (1 - z) * n", "(1 - z) * h + z * n"), ("r * h_n", "h_n"), ("torch.tanh(x_n", "(x_n"),
    ("z * h + (1 - z) * n", "z * h + n"), ("range(x.shape[1])", "range(x.shape[1] - 1)"),
    ("x.new_zeros(", "torch.randn("), ("h = self.cell(x[:, t], h)", "h = self.cell(x[:, t], h).detach()"),
    ("            h = self", "            h = nn.functional.dropout(h)\n            h = self"),
    ("x_n + r * h_n", "r * (x_n + h_n)"), ("torch.sigmoid(x_z + h_z)", "torch.relu(x_z + h_z)"),
)
"""What students write in place of what. The first is right, the second a convention."""
WRAPPER = CELL.replace("self.cell = GRUCell(input_size, hidden_size)",
                       "self.gru = nn.GRU(input_size, hidden_size, batch_first=True)").replace(
    "        h = x.new_zeros(len(x), self.hidden_size)\n        for t in range(x.shape[1]):\n"
    "            h = self.cell(x[:, t], h)\n        return self.out(h)",
    "        outputs, h = self.gru(x)\n        return self.out(h[-1])")
OTHERS = (
    WRAPPER.partition("class GRUCell")[0] + WRAPPER[WRAPPER.index("class GRUClassifier"):],
    (WRAPPER.partition("class GRUCell")[0] + WRAPPER[WRAPPER.index("class GRUClassifier"):]).replace(
        "nn.GRU(", "nn.LSTM(").replace("h[-1]", "h[0][-1]"),
    CELL + "\nwhile True:\n    print('still training')\n",
    "import pandas as pd\n\nreviews = pd.read_csv('reviews.csv')\n" + CELL,
    CELL.replace("def forward(self, x, h):", "def forward(self, x, h)"),
)
"""A wrapper, an LSTM, a file that never ends, one that reads data, and one that is not Python."""


def notebook(text: str) -> str:
    """Return a notebook of this code that also reads data and trains."""
    cells = ["import pandas as pd\nreviews = pd.read_csv('reviews.csv')", text, "train(GRUClassifier(300, 100, 2))"]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None,
         "source": cell.splitlines(keepends=True)} for cell in cells]})


def main() -> None:
    """Write the submissions."""
    folder = Path("submissions")
    folder.mkdir()
    texts = [CELL.replace(*change) for change in CHANGES] + list(OTHERS)
    for number in range(30):
        student = f"student{number + 1:02}"
        text = texts[number] if number < len(texts) else texts[number % 2]
        if number % 3 == 2:
            (folder / f"{student}.ipynb").write_text(notebook(text), encoding="utf-8")
        else:
            (folder / f"{student}.py").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
