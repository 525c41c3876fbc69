"""The line of a wrong step: where its value is computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.explain import Explained
from gru_bench.gru_check.subject import Value


def lines(it: Explained, findings: Sequence[Finding]) -> dict[str, int]:
    """Return code -> line of the student's file. A code whose line is not known for certain is left out."""
    values, quantities = it.call()
    found: dict[str, int] = {}
    for finding in findings:
        name = finding.quantity
        if name == "new" and any(torch.allclose(quantities["new"], quantities[other]) for other in ("n", "h")):
            continue
        line = _line(values, quantities[name]) if name else 0
        if name == "z h" and line != _line(values, quantities["n"]):
            line = 0
        # Of one product for input and state, the state may be wrong where both are put together.
        wide = quantities["x"].shape[-1] + quantities["n"].shape[-1]
        if name == "n" and any(value.line != line and value.tensor.shape[-1:] == (wide,) for value in values):
            line = 0
        if line:
            found[finding.code] = line
    return found


def _line(values: Sequence[Value], wanted: Tensor) -> int:
    return next((value.line for value in values if value.line and value.has(wanted)), 0)
