"""What users build on, in one file: a change of a public name, an option, a setting or a key is seen in its difference.

After a change that is meant, write tests/public.txt again with `python -m tests.test_public` and read the difference.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module

import gru_bench
from gru_bench import cli, kernels
from gru_bench.__main__ import SUBCOMMANDS
from gru_bench.config import RunConfig, flat
from gru_bench.errors import ExitCode
from gru_bench.inference.fitted import FittedModel
from gru_bench.inference.shown import Effects, Verdict
from gru_bench.results import logged_metrics
from gru_bench.stats.scores import SCORES, score
from gru_bench.study import Study
from gru_bench.sweep.spec import KEYS
from tests.support.commands import ROOT

RETURNED = (Study, FittedModel, Verdict, Effects)
"""The classes of what public functions return."""
LISTED = ROOT / "tests" / "public.txt"


def python_names() -> Iterator[str]:
    """Yield each public function with its parameters, and each public method and property of a class and of what they
    return."""
    for module in (gru_bench, kernels):
        yield from (f"{module.__name__}.{name}{parameters(getattr(module, name))}" for name in sorted(module.__all__))
    for kind in (*RETURNED, kernels.GRU):
        members = {**dict.fromkeys(getattr(kind, "__dataclass_fields__", ())), **vars(kind)}
        yield from (f"{kind.__name__}.{name}{parameters(value)}"
                    for name, value in sorted(members.items()) if not name.startswith("_"))


def parameters(found: object) -> str:
    """Return the names of the parameters of a function or class in brackets; of anything else nothing."""
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    if not callable(found):
        return ""
    return f"({', '.join(name for name in inspect.signature(found).parameters if name not in ('self', 'cls'))})"


def options() -> Iterator[str]:
    """Yield each command with its arguments and options."""
    for name, subcommand in SUBCOMMANDS.items():
        command = cli.command_of(import_module(f"gru_bench.{subcommand.module}").app)
        for words, each in [(f"{name} {inner}", one) for inner, one in getattr(command, "commands", {}).items()] or [
                (name, command)]:
            yield f"gru-bench {words}"
            yield from (f"gru-bench {words} {'/'.join((*found.opts, *found.secondary_opts))}" for found in each.params)


def metrics() -> Iterator[str]:
    """Yield the key of each metric that is logged to MLflow."""
    yield from sorted({*(one.key for one in vars(logged_metrics).values() if isinstance(one, logged_metrics.Metric)),
                       *(score(name, split).key for name in SCORES
                         for split in ("val", "test"))})


def listed() -> str:
    """Return the text of tests/public.txt."""
    parts = {
        "Python": python_names(), "commands": options(), "exit codes": (f"{code:d} {code.name}" for code in ExitCode),
        "settings": flat(RunConfig()), "keys of a study file": sorted(KEYS), "metrics in MLflow": metrics()}
    return "\n\n".join("\n".join((f"# {title}", *lines)) for title, lines in parts.items()) + "\n"


def test_what_users_build_on_is_what_is_listed() -> None:
    assert listed() == LISTED.read_text(encoding="utf-8"), "python -m tests.test_public writes it again"


if __name__ == "__main__":
    LISTED.write_text(listed(), encoding="utf-8")
