"""gru-bench: sweeps and reports for recurrent text classifiers.

The names below are loaded when they are first used: importing gru_bench loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gru_bench._version import __version__

if TYPE_CHECKING:
    from gru_bench.api import compare, load_model, open_study, run_study

__all__ = ["__version__", "compare", "load_model", "open_study", "run_study"]


def __getattr__(name: str) -> Any:
    """Return a public name, loaded from its module."""
    if name not in __all__:
        raise AttributeError(f"module 'gru_bench' has no attribute {name!r}")
    return getattr(import_module("gru_bench.api"), name)


def __dir__() -> list[str]:
    """Return all public names, loaded or not."""
    return list(__all__)
