"""A student's file -> a verdict: what its recurrence is, or why it is no GRU."""

from __future__ import annotations

import ast
import copy
import inspect
import io
import itertools
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gru_bench.errors import RunError
from gru_bench.gru_check import behavior, calls, load, submission
from gru_bench.gru_check.build import build
from gru_bench.gru_check.codes import KINDS, Finding, Verdict
from gru_bench.gru_check.explain import Explained, explain, lines, mistakes, place_biases, reading
from gru_bench.gru_check.forms import weights_of
from gru_bench.gru_check.subject import Subject, same
from gru_bench.gru_check.watch import settings_kept


def check_file(path: Path, name: str | None, make: str | None) -> Verdict:
    """Run a file, and return what its GRU is. It must be called in `prepared`.

    Args:
        path: The file: Python, or a notebook.
        name: The class or object in it. None: the one class with GRU in its name.
        make: An expression that builds it.

    Raises:
        GruBenchError: When the file cannot be run or the object not be called.
    """
    module, left_out = load.load(path)
    name = name or make or _meant(module, path, left_out)
    verdict = examine(build(module, path, name, make))
    return replace(verdict, name=name, notes=(*verdict.notes, *filter(None, [left_out])))


def _meant(module: ModuleType, path: Path, left_out: str) -> str:
    """Return the name of the one class of a file that has GRU in its name, or of its only one. A class that another
    one uses is a part of it."""
    tree = ast.parse(submission.read(path).text)
    nodes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    called = [name for name in load.defined(module) if name in nodes and _is_called(getattr(module, name))]
    likely = [name for name in called if "gru" in name.lower()] or called
    whole = [name for name in likely if not any(
        isinstance(part, ast.Name) and part.id == name
        for other in called if other != name for part in ast.walk(nodes[other]))]
    if len(whole) == 1:
        return whole[0]
    which = f"several classes that may be a GRU, {', '.join(likely)}" if likely else "no class that may be a GRU"
    raise RunError(f"{path.name} has {which}: name one by {path.name}:{likely[-1] if likely else 'NAME'}. {left_out}"
                   .rstrip())


def _is_called(value: Any) -> bool:
    return isinstance(value, type) and (issubclass(value, nn.Module) or any(
        "__call__" in vars(base) for base in value.__mro__))


def check_object(built: Any) -> Verdict:
    """Return what a module of torch is that exists already. It stays as it is."""
    with prepared(), redirect_stdout(io.StringIO()):
        return examine(Subject(_file_of(built), type(built).__name__, copy.deepcopy(built).cpu(), {}))


def _file_of(built: nn.Module) -> Path:
    """Return the file of the code that runs when a module is called. Code without a file, as in a cell of a notebook,
    has a name all the same."""
    code = getattr(inspect.unwrap(type(built).forward), "__code__", None)
    return Path("object" if code is None else code.co_filename)


@contextmanager
def prepared() -> Iterator[None]:
    """Let torch compute in float64 and with gradients, on one thread and in silence for a while."""
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    try:
        with settings_kept(), warnings.catch_warnings(), torch.enable_grad():
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(1)  # the tensors are small
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(random)


# ---------------------------------------------------------------- one object


def examine(subject: Subject) -> Verdict:
    """Return what an object is."""
    with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
        if other := [finding for code, finding in behavior.of_torch(subject).items() if code != "library"]:
            return Verdict(tuple(other), "not a GRU")
        called, fault = calls.find(subject)
        return Verdict(tuple(_findings(called, fault)), called.form.words)


def _findings(subject: Subject, fault: str) -> list[Finding]:
    if fault == "mixed":
        return [Finding("unknown", "The result of a text depends on the others of its batch: batch and time may be "
                        "confused.")]
    if not all(bool(torch.isfinite(one).all()) for one in subject.call(*subject.given())):
        return [Finding("unknown", "It computes nan or inf.")]
    around = [*behavior.chance(subject), *behavior.kept(subject)]
    if fault == "input":
        return [*around, Finding("wrong-candidate", "The result does not depend on the input.")]
    if subject.form.kind == "cell" and fault == "state":
        return [*around, Finding("initial-state", "The state that it is given is ignored.")]
    it = explain(subject)
    if it is None:
        return [*around, *(_unused(subject) or [Finding(
            "unknown", "No known GRU has these results. If its cell reads what another layer computes, check the cell "
            "alone.")])]
    findings = [*around, *mistakes(it), *place_biases(it), *_order(it)]
    if it.by_values and all(finding.kind.right for finding in findings):
        conventions = f" ({', '.join(finding.code for finding in findings)})" if findings else ""
        return _unused(subject) or [Finding(
            "unknown", f"Its cell is a GRU{conventions}, but its results are no linear function of the states, so that "
            "it is not known which of them are used.")]
    if not it.by_values and "initial-state" not in {finding.code for finding in findings}:
        findings += [*(reading(it) if subject.form.kind == "layer" else []), *behavior.first_state(subject)]
    findings += behavior.detached(subject)
    findings += behavior.untrained(subject, [block.tensor for cell in it.cells for block in (*cell.x, *cell.h)])
    return _sorted(it, [*findings, *behavior.of_torch(subject).values(), *behavior.padding(subject)])


def _order(it: Explained) -> list[Finding]:
    """Say whether the gates are stacked in another order than r, z, n."""
    cell, own = it.found.layout.first, it.found.own[0].tolist()
    pairs = [pair for blocks, numbers in ((cell.x, own[:3]), (cell.h, own[3:]))
             for pair in itertools.combinations([blocks[number] for number in numbers if number >= 0], 2)]
    turned = any(one.tensor is other.tensor and one.number > other.number for one, other in pairs)
    return [Finding("gate-order")] if turned else []


def _sorted(it: Explained, findings: Sequence[Finding]) -> list[Finding]:
    """Return each code once, mistakes first with their lines, then conventions and warnings."""
    unique = {finding.code: finding for finding in reversed(findings)}
    wrong = [finding for finding in reversed(unique.values()) if not finding.kind.right and finding.code != "unknown"]
    unknown = [] if wrong else [finding for code, finding in unique.items() if code == "unknown"]
    right = [unique[code] for code, kind in KINDS.items() if kind.right and code in unique]
    if not wrong and not unknown and all(finding.kind.warning for finding in right):
        right.insert(0, Finding("equal"))
    known = lines(it, [*wrong, *right])
    return [replace(finding, line=finding.line or known.get(finding.code, 0)) for finding in (*wrong, *unknown, *right)]


def _unused(subject: Subject) -> list[Finding]:
    """Say whether the results stay the same with other weights for the state."""
    hidden, changed = subject.hidden, subject.copy()
    square = [one for one in weights_of(changed).values() if hidden and one.dim() == 2 and hidden in one.shape
              and not any(size % hidden for size in one.shape)]
    for one in square:
        one.data = 0.5 * one.data
    unused = square and same(subject.call(*subject.given()), subject.call(*subject.given(), built=changed))
    return [Finding("unknown", "The result does not depend on the recurrence: with other weights for the state it "
                    "is the same.")] if unused else []
