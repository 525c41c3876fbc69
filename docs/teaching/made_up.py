"""Makes up a class for docs/teaching.md: thirty submissions, their predictions, and the accuracies that they claim.

    python docs/teaching/made_up.py STUDY

It writes submissions/ and claims.csv here. Each prediction is that of one of the runs of the study, but
those of two students are worse, and two have handed in the same ones.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np

import gru_bench as gb

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


def main(study: str) -> None:
    """Write the class."""
    generator = np.random.default_rng(1)
    folder = Path("submissions")
    folder.mkdir()
    frame = gb.open_study(study).predictions()
    runs = [run for _, run in frame.groupby("run", sort=False)]
    classes = sorted(set(frame["label"]))
    texts = [CELL.replace(*change) for change in CHANGES] + list(OTHERS)
    claims, handed_in = [], []
    for number in range(30):
        student = f"student{number + 1:02}"
        text = texts[number] if number < len(texts) else texts[number % 2]
        if number % 3 == 2:
            (folder / f"{student}.ipynb").write_text(notebook(text), encoding="utf-8")
        else:
            (folder / f"{student}.py").write_text(text, encoding="utf-8")
        run = runs[0]
        of_runs = np.stack([one["predicted"].to_numpy() for one in runs])
        predicted = of_runs[generator.integers(len(runs), size=len(run)), np.arange(len(run))]
        changed = generator.random(len(run)) < (0.2 if number in (5, 6) else 0)  # two that did not train well
        predicted[changed] = [classes[1 - classes.index(one)] for one in predicted[changed]]
        handed_in.append(handed_in[-1] if number == 20 else predicted)  # student 21 has copied
        predicted = handed_in[-1]
        with (folder / f"{student}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerows([("id", "label"), *zip(run["example"], predicted, strict=True)])
        accuracy = 100 * float((predicted == run["label"]).mean()) + (6 if number == 9 else 0)  # one that boasts
        claims.append((student, f"{accuracy:.1f}", "" if number == 12 else f"submissions/{student}.csv"))
    with Path("claims.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("student", "accuracy", "predictions"), *claims])


if __name__ == "__main__":
    main(sys.argv[1])
