"""Who may import whom: packages one way, each library behind its own modules, and what loading a module brings."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.commands import ROOT

ORDER = ("errors", "platforms", "config", "resources", "results", "data", "cli", "kernels", "evaluation", "models",
         "tracking", "checks", "train", "report", "diagnose", "sweep", "archive", "use", "teach", "lint",
         "doctor", "__main__")
"""Packages and the files beside them: each imports only those before it."""
MOST_MODULES = 14
"""Of a folder: few enough to see at a glance."""
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "mlflow": ("tracking.client", "tracking.registry", "tracking.sync", "tracking.export", "use.served"),
    "optuna": ("sweep.search", "sweep.space", "sweep.export", "sweep.sharing."),
    "ray": ("sweep.workers.ray",),
    "torch": ("kernels.", "models.", "train.", "diagnose.compute", "sweep.workers.tasks", "use.predictor",
              "teach."),
    "numba": ("kernels.",),
    "gensim": ("data.embeddings",),
    "sklearn": ("evaluation.baseline",),
    "scipy": ("evaluation.",),
    "matplotlib": ("report.figures.", "report.homework.training_loss", "report.homework.diagrams.draw"),
    "jinja2": ("report.render.",),
    "pandas": ("tracking.registry", "use.api", "use.shown", "use.served"),
    "psutil": ("platforms",),
    "platformdirs": ("platforms",),
    "typer": ("cli", "__main__", "sweep.__main__", "train.__main__", "report.__main__", "diagnose.__main__",
              "archive.__main__", "tracking.__main__", "use.predict", "use.save_model", "teach.__main__", "lint",
              "doctor"),
}
"""Library -> the modules that may import it, anywhere in their code."""
HEAVY = {"torch", "mlflow", "optuna", "gensim", "sklearn", "matplotlib", "pandas", "numba", "scipy", "ray"}


def modules() -> dict[str, Path]:
    """Dotted name below gru_bench -> file."""
    names = {}
    for path in sorted((ROOT / "gru_bench").rglob("*.py")):
        parts = path.relative_to(ROOT / "gru_bench").with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """Every name that a module imports anywhere in its code, but for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node)


def imports(path: Path) -> set[str]:
    return set(imported(ast.parse(path.read_text(encoding="utf-8"))))


IMPORTS = {module: imports(path) for module, path in MODULES.items()}


def ours(module: str) -> set[str]:
    """The modules of ours that one imports: of `from x import y` the module y where it is one, else x."""
    found = set()
    for name in IMPORTS[module]:
        if name.startswith("gru_bench."):
            inner = name.removeprefix("gru_bench.")
            found.add(inner if inner in MODULES else inner.rpartition(".")[0])
    return found - {module, ""}


def test_packages_import_one_way() -> None:
    upward = [f"{module} imports {other}" for module in MODULES if module for other in ours(module)
              if ORDER.index(other.partition(".")[0]) > ORDER.index(module.partition(".")[0])]
    assert not upward


def test_no_module_imports_itself_through_others() -> None:
    reached = {module: ours(module) for module in MODULES}
    for _ in MODULES:
        reached = {module: others.union(*(reached[other] for other in others)) for module, others in reached.items()}
    assert [module for module, others in reached.items() if module in others] == []


def test_compiled_code_calls_the_kernel_alone() -> None:
    """What it calls besides would not be in the digest that says when to compile again."""
    compiled = {module for module in MODULES if module.startswith("kernels.")} - {"kernels.fused", "kernels.module"}
    assert not {module: others for module in compiled if (others := ours(module) - compiled)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_behind_its_modules(library: str) -> None:
    users = {module for module, names in IMPORTS.items() if any(name.partition(".")[0] == library for name in names)}
    assert users
    assert not {user for user in users if not any(
        user == place or (place.endswith(".") and user.startswith(place)) for place in LIBRARIES[library])}


def test_folders_can_be_seen_at_a_glance() -> None:
    folders = {path.parent for path in MODULES.values()}
    assert not {folder: count for folder in folders if (count := len(list(folder.glob("*.py")))) > MOST_MODULES}


def test_no_test_imports_another_test() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        tests = {name for name in imports(path) if name.startswith("tests.") and ".test_" in name}
        assert not tests, path


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(("module", "allowed"), [
    ("gru_bench", set()),
    ("gru_bench.config", set()),
    ("gru_bench.results.runs", set()),
    ("gru_bench.results.diagnostics", set()),
    ("gru_bench.results.logged_metrics", set()),
    ("gru_bench.evaluation.metrics", set()),
    ("gru_bench.evaluation.statistics", {"scipy"}),
    ("gru_bench.evaluation.together", set()),
    ("gru_bench.evaluation.compare", {"scipy"}),
    ("gru_bench.tracking", set()),
    ("gru_bench.data.corpus", set()),
    ("gru_bench.kernels", set()),
    ("gru_bench.data.embeddings", set()),
    ("gru_bench.data.batching", set()),
    ("gru_bench.data.recall_task", set()),
    ("gru_bench.sweep.spec", set()),
    ("gru_bench.sweep.workers.local", set()),
    ("gru_bench.sweep.workers.ray", set()),
    ("gru_bench.sweep.console.progress", set()),
    ("gru_bench.report.build", {"scipy"}),
    ("gru_bench.report.sections.diagnostics", {"scipy"}),
    ("gru_bench.train.__main__", set()),
    ("gru_bench.sweep.__main__", set()),
    ("gru_bench.report.__main__", set()),
    ("gru_bench.archive.__main__", set()),
    ("gru_bench.archive.container", set()),
    ("gru_bench.diagnose.__main__", set()),
    ("gru_bench.use.predict", set()),
    ("gru_bench.use.save_model", set()),
    ("gru_bench.use.trained", set()),
    ("gru_bench.use.model_folder", set()),
    ("gru_bench.use.winner", {"scipy"}),
    ("gru_bench.teach", set()),
    ("gru_bench.teach.__main__", set()),
    ("gru_bench.teach.child", set()),
    ("gru_bench.doctor", set()),
    ("gru_bench.lint", set()),
    ("gru_bench.teach.check", {"torch"}),
])
def test_loads_only(module: str, allowed: set[str]) -> None:
    assert loaded(f"import {module}") & HEAVY <= allowed


def test_the_trainer_knows_neither_search_nor_tracking() -> None:
    assert not loaded("import gru_bench.train.loop") & {"mlflow", "optuna", "gensim", "pandas"}


def test_the_diagnostics_know_neither_search_nor_tracking() -> None:
    assert not loaded("import gru_bench.diagnose.compute") & {"mlflow", "optuna", "gensim", "pandas", "matplotlib"}


def test_the_search_knows_no_torch_and_no_tracking() -> None:
    assert not loaded("import gru_bench.sweep.search") & {"mlflow", "torch"}


def test_the_report_reads_through_tracking_alone() -> None:
    got = loaded("import gru_bench.report.render.files, gru_bench.report.build")
    assert not got & {"torch", "optuna", "gensim", "mlflow"}
