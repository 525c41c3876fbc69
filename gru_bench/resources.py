"""Paths of the folders that hold no code. They lie beside the package in a checkout and inside it when installed."""

from __future__ import annotations

from pathlib import Path

from gru_bench.errors import RunError

_PACKAGE = Path(__file__).resolve().parent
_PLACES = {
    # name: (path below the checkout, path below the installed package)
    "templates": ("templates", "_templates"),
    "studies": ("sweeps/studies", "_studies"),
}


def resource(name: str, package: Path = _PACKAGE) -> Path:
    """Return the path of the folder `templates` or `studies`.

    A checkout is searched first (the folder above the package then holds pyproject.toml), because an editable install
    leaves copies inside the package that become outdated.

    Args:
        name: The folder's name, `templates` or `studies`.
        package: The folder of the installed package.

    Raises:
        KeyError: For any other name.
        RunError: When the folder is in neither place.
    """
    beside, inside = _PLACES[name]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / beside).is_dir():
        return checkout / beside
    if (package / inside).is_dir():
        return package / inside
    raise RunError(
        f"the folder {name} must be at {checkout / beside} or {package / inside}, but neither exists: install "
        "gru-bench again"
    )
