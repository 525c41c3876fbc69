"""Each pooling against values computed by hand."""

from __future__ import annotations

import torch

from gru_bench.config import Pooling
from gru_bench.models.pooling import pool


def test_each_pooling_reads_no_padding() -> None:
    output_BTD = torch.tensor([[[-1.0, 10.0], [-3.0, 30.0], [0.0, 0.0]], [[-1.0, -2.0], [-3.0, -4.0], [-5.0, -1.0]]])
    length_B = torch.tensor([2, 3])
    expected: dict[Pooling, list[list[float]]] = {
        "last": [[-3, 30], [-5, -1]], "final": [[-3, 10], [-5, -2]], "mean": [[-2, 20], [-3, -7 / 3]],
        "max": [[-1, 30], [-1, -1]], "meanmax": [[-2, 20, -1, 30], [-3, -7 / 3, -1, -1]],
    }
    for pooling, values in expected.items():
        got = pool(output_BTD, length_B, pooling, bidirectional=True)
        torch.testing.assert_close(got, torch.tensor(values, dtype=torch.float32))
