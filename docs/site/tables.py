"""Tables of settings, keys of study files, exit codes and metrics, and findings on GRUs, from the code."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from types import ModuleType

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gru_bench import config, errors
from gru_bench.config import RunConfig, flat
from gru_bench.gru_check.codes import KINDS
from gru_bench.results import logged_metrics
from gru_bench.stats.scores import SCORES, score
from gru_bench.sweep import spec


@cache
def meanings(module: ModuleType) -> dict[str, str]:
    """Return `Class.field` -> the docstring below the field, on one line."""
    return {f"{owner.name}.{ast.unparse(target)}": " ".join(below.value.value.split())
            for owner in ast.parse(inspect.getsource(module)).body if isinstance(owner, ast.ClassDef)
            for field, below in zip(owner.body, owner.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign | ast.Assign)
            for target in ([field.target] if isinstance(field, ast.AnnAssign) else field.targets)
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)}


def settings() -> str:
    """Return a Markdown table of all settings with their defaults."""
    return table(("setting", "default", "meaning"), (
        (f"`{name}`", f"`{written(default)}`", _meaning(name)) for name, default in flat(RunConfig()).items()))


def keys() -> str:
    """Return a Markdown table of the keys of a study file that are not settings."""
    return table(("key", "default", "meaning"), (
        (f"`{name}`", _default(field), meanings(spec)[f"StudySpec.{name}"])
        for name, field in spec.StudySpec.model_fields.items() if name in spec.KEYS and name != "base"))


def exit_codes() -> str:
    """Return a Markdown table of the exit codes of all commands."""
    said = meanings(errors)
    return table(("code", "meaning"), ((str(code.value), said[f"ExitCode.{code.name}"]) for code in errors.ExitCode))


def metrics() -> str:
    """Return a Markdown table of the metrics that are logged to MLflow."""
    several = (score(name, split) for name in SCORES for split in ("val", "test"))
    single = (one for one in vars(logged_metrics).values() if isinstance(one, logged_metrics.Metric))
    better = {True: "higher", False: "lower", None: ""}
    return table(("key", "meaning", "unit", "better"), (
        (f"`{one.key}`", one.label, "fraction" if one.unit == "share" else one.unit, better[one.higher_is_better])
        for one in sorted((*several, *single), key=lambda one: one.key)))


def findings() -> str:
    """Return a section in Markdown for each finding about a GRU."""
    what = {True: "a GRU", False: "not a GRU"}
    return "\n\n".join(
        f"## {code}\n\n*{what[kind.right]}{', with a warning' if kind.warning else ''}.* {_literal(kind.meaning)}\n\n"
        f"```python\n{kind.equation}\n```" for code, kind in KINDS.items())


def _literal(sentence: str) -> str:
    """Return a sentence without marks of Markdown, which its formulas would otherwise be."""
    return re.sub(r"([*_\[\]])", r"\\\1", sentence)


def table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = (heads, ["---"] * len(heads), *([cell.replace("|", r"\|") for cell in row] for row in rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(default: object) -> str:
    """Return a default as a user types it."""
    if default is None or isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _meaning(setting: str) -> str:
    section, _, name = setting.rpartition(".")
    owner = RunConfig.model_fields[section].annotation if section else RunConfig
    assert isinstance(owner, type)
    return meanings(config)[f"{owner.__name__}.{name}"]


def _default(field: FieldInfo) -> str:
    """Return the default of a key as code; empty where it has none, or an empty one."""
    default = field.get_default(call_default_factory=True)
    return "" if default is PydanticUndefined or default in (None, {}, [], "") else f"`{written(default)}`"
