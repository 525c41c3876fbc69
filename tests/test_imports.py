"""Who may import whom: packages one way, each library behind its own modules, and what loading a module brings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import ROOT, command
from tests.support.sources import parsed

ORDER = ("_version", "errors", "platforms", "config", "wording", "resources", "results", "data", "cli", "kernels",
         "stats", "models", "gru_check", "tracking", "train", "document", "evidence", "checks", "report",
         "predictions", "diagnose", "sweep", "inference", "study", "api", "__main__")
"""Packages and the files beside them: each imports only those before it."""
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "mlflow": ("tracking.client", "tracking.registry", "tracking.source", "tracking.pending", "inference.served"),
    "optuna": ("sweep.study", "sweep.identity", "sweep.search", "sweep.sharing."),
    "ray": ("sweep.workers.ray",),
    "torch": ("data.batches", "kernels.", "models.", "train.", "diagnose.", "sweep.workers.tasks",
              "inference.networks", "gru_check."),
    "numba": ("kernels.",),
    "gensim": ("data.vectors",),
    "sklearn": ("stats.baseline",),
    "scipy": ("stats.",),
    "matplotlib": ("document.style", "report.figures."),
    "seaborn": ("document.style", "report.figures."),
    "jinja2": ("report.render.", "inference.card"),
    "yaml": ("inference.card",),
    "pandas": ("data.frames", "tracking.registry", "study", "inference.fitted", "inference.shown", "inference.served",
               "document.figure"),
    "psutil": ("platforms",),
    "platformdirs": ("platforms",),
    "typer": ("cli", "__main__", "sweep.__main__", "train.__main__", "report.__main__",
              "inference.predict", "inference.save_model",
              "predictions.__main__", "predictions.parts", "gru_check.__main__"),
}
"""Library -> the modules that may import it, anywhere in their code."""
HEAVY = {"torch", "mlflow", "optuna", "gensim", "sklearn", "matplotlib", "seaborn", "pandas", "numba", "scipy",
         "ray"}


def modules() -> dict[str, Path]:
    """Dotted name below gru_bench -> file."""
    names = {}
    for path in sorted((ROOT / "gru_bench").rglob("*.py")):
        parts = path.relative_to(ROOT / "gru_bench").with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imported(tree: ast.AST, *, types: bool = False) -> Iterator[str]:
    """Every name that a module imports anywhere in its code; with `types`, also for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr) or (not types and (
                isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node, types=types)


@cache
def imports(path: Path, *, types: bool = False) -> frozenset[str]:
    return frozenset(imported(parsed(path), types=types))


def ours(module: str, *, types: bool = False) -> set[str]:
    """The modules of ours that one imports: of `from x import y` the module y where it is one, else x."""
    found = set()
    for name in imports(MODULES[module], types=types):
        if name.startswith("gru_bench."):
            inner = name.removeprefix("gru_bench.")
            found.add(inner if inner in MODULES else inner.rpartition(".")[0])
    return found - {module, ""}


def layer(module: str) -> int:
    """The index in ORDER of a module: of the longest name there that it begins with."""
    return ORDER.index(max((name for name in ORDER if f"{module}.".startswith(f"{name}.")), key=len))


def test_packages_import_one_way() -> None:
    upward = [f"{module} imports {other}" for module in MODULES if module for other in ours(module)
              if layer(other) > layer(module)]
    assert not upward


def test_no_module_imports_itself_through_others() -> None:
    """Not even for types alone."""
    reached = {module: ours(module, types=True) for module in MODULES}
    for _ in MODULES:
        reached = {module: others.union(*(reached[other] for other in others)) for module, others in reached.items()}
    assert [module for module, others in reached.items() if module in others] == []


def test_compiled_code_calls_the_kernel_alone() -> None:
    """What it calls besides would not be in the digest that says when to compile again."""
    compiled = {module for module in MODULES if module.startswith("kernels.")} - {"kernels.fused", "kernels.module"}
    assert not {module: others for module in compiled if (others := ours(module) - compiled)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_behind_its_modules(library: str) -> None:
    users = {module for module, path in MODULES.items()
             if any(name.partition(".")[0] == library for name in imports(path))}
    assert users
    assert not {user for user in users if not any(
        user == place or (place.endswith(".") and user.startswith(place)) for place in LIBRARIES[library])}


def test_no_test_imports_another_test() -> None:
    another = re.compile(r"^\s*(from|import) tests\..*\btest_", re.MULTILINE)
    assert not [path for path in (ROOT / "tests").rglob("*.py") if another.search(path.read_text("utf-8"))]


@cache
def of_import(module: str) -> frozenset[str]:
    return frozenset(at_import(parsed(MODULES[module]))) if module in MODULES else frozenset()


def at_import(tree: ast.AST) -> Iterator[str]:
    """Every name that a module imports while it is imported: not in functions, and not for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.expr)) or (
                isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imported(ast.Module([node], []))
        else:
            yield from at_import(node)


def closure(module: str) -> set[str]:
    """The packages of other projects that importing a module of ours imports, as the sources say."""
    libraries: set[str] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0]] if name else []
        for other in of_import(name):
            if other.partition(".")[0] != "gru_bench":
                libraries.add(other.partition(".")[0])
                continue
            inner = other.partition(".")[2]
            waiting.append(inner if inner in MODULES else inner.rpartition(".")[0])
    return libraries


ALLOWED: Mapping[str, set[str]] = {
    "stats.estimate": {"scipy"}, "report.build": {"scipy"},
    "report.sections.diagnostics": {"scipy"}, "inference.taken": {"scipy"}, "gru_check.check": {"torch"}}
"""Module -> heavy packages that it may load."""


@pytest.mark.parametrize("module", [
    "", "config", "wording", "results.runs", "results.diagnostics", "results.logged_metrics", "stats.metrics",
    "tracking", "data.corpus", "kernels", "data.vectors", "data.batches",
    "sweep.spec", "sweep.plan", "sweep.workers.local", "sweep.workers.ray", "sweep.console.progress",
    "train.__main__", "sweep.__main__", "report.__main__",
    "inference.predict", "inference.save_model", "models.trained", "models.saved", "gru_check",
    "gru_check.__main__", "gru_check.sandbox", "gru_check.folder",
    *ALLOWED,
])
def test_importing_a_module_loads_no_heavy_library(module: str) -> None:
    assert closure(module) & HEAVY <= ALLOWED.get(module, set())


@pytest.mark.parametrize(("module", "unknown"), [
    ("train.loop", {"mlflow", "optuna", "gensim", "pandas"}),
    ("diagnose.compute", {"mlflow", "optuna", "gensim", "pandas", "matplotlib"}),
    ("sweep.search", {"mlflow", "torch"}),
    ("report.render.files", {"torch", "optuna", "gensim", "mlflow"}),
    ("report.build", {"torch", "optuna", "gensim", "mlflow"}),
])
def test_a_core_does_not_know_the_libraries_of_other_packages(module: str, unknown: set[str]) -> None:
    assert not closure(module) & unknown


@pytest.mark.parametrize(("modules", "unknown"), [
    ("gru_bench.sweep.__main__, gru_bench.train.__main__, gru_bench.report.__main__", HEAVY),
    ("gru_bench.train.loop, gru_bench.diagnose.compute", {"mlflow", "optuna", "gensim", "pandas", "matplotlib"}),
    ("gru_bench.report.render.files, gru_bench.report.build", {"torch", "optuna", "gensim", "mlflow"}),
])
def test_a_process_loads_what_the_sources_say(modules: str, unknown: set[str]) -> None:
    """Libraries import each other, which the sources of this project do not show."""
    done = command("-c", f"import {modules}, sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {name.partition(".")[0] for name in done.stdout.split()} & unknown
