"""The scripts in benchmarks/ as modules, though they are no package."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.support.commands import ROOT


def benchmark(name: str) -> ModuleType:
    """The script of that name, imported as a module that processes of its own can find again."""
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(ROOT / "benchmarks"))  # a script may import another one beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return module
