"""The line of a wrong step: where its value is computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.explain import Explained
from gru_bench.gru_check.fit import inner
from gru_bench.gru_check.subject import Watch, sample, state_of

_QUANTITY = {
    "candidate-activation": "n", "reset-unused": "n", "reset-on-input": "n", "mixing": "new", "wrong-candidate": "new",
    "gate-activation": "z", "update-inverted": "new", "reset-before": "n"}
"""Code -> the quantity of a step that its line computes."""


def lines(it: Explained, findings: Sequence[Finding]) -> dict[str, int]:
    """Return code -> line of the student's file. A code whose line is not known is left out."""
    watch = Watch(it.subject.source.path, values=True)
    x, h = sample(it.form, it.form.batch), state_of(it.form, it.form.batch)
    with torch.no_grad():
        it.subject.call(it.form, x, h, watch=watch)
        quantities = inner(it.found, it.inputs(x), h)
    found: dict[str, int] = {}
    for finding in findings:
        name = _named(finding)
        if not name:
            continue
        wanted = quantities[name]
        for value in watch.values:
            own = value.tensor
            if value.line and own.numel() == wanted.numel() and any(torch.allclose(
                    own.reshape(-1), one.reshape(-1), rtol=0, atol=1e-9) for one in (wanted, wanted.t())):
                found[finding.code] = value.line
                break
    return found


def _named(finding: Finding) -> str:
    """Return the quantity of a step that a finding is about."""
    said = finding.detail.lower()
    if finding.code in ("gate-activation", "gate-without-state", "shared-matrices"):
        return "n" if "candidate" in said else "r" if said.startswith("the reset") else "z"
    if finding.code == "initial-state":
        return "start" if "ones" in said else ""
    if finding.code == "wrong-candidate" and "h' =" not in said:
        return "n"
    return _QUANTITY.get(finding.code, "")
