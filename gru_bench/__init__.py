"""gru-bench: sweeps and reports for recurrent text classifiers.

The names below are loaded when they are first used: importing gru_bench loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gru_bench.api import SavedModel, Study, compare, load_model, open_study, run_study

__version__ = "0.1.0"

_PLACES = {
    **dict.fromkeys(("run_study", "open_study", "load_model", "compare", "Study", "SavedModel"), "gru_bench.api")}
"""Public name -> the module that holds it. No name is that of a package of gru_bench."""
__all__ = ["SavedModel", "Study", "__version__", "compare", "load_model", "open_study", "run_study"]


def __getattr__(name: str) -> Any:
    """Return a public name, loaded from its module."""
    if name not in _PLACES:
        raise AttributeError(f"module 'gru_bench' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Return all names, loaded or not."""
    return sorted({*globals(), *_PLACES})
