"""Where files that are no code lie: beside the package in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path

from gru_bench.errors import RunError

_PACKAGE = Path(__file__).resolve().parent
_PLACES = {
    # name: (from the checkout's root, from the installed package)
    "templates": ("templates", "_templates"),
    "studies": ("sweeps/studies", "_studies"),
}


def resource(name: str, package: Path = _PACKAGE) -> Path:
    """Return the folder `templates` or `studies`.

    A checkout (the folder above the package holds pyproject.toml) comes first: an editable install
    leaves copies inside the package that no longer change with the files they were made from.

    Args:
        name: of the folder.
        package: the package's own folder.

    Raises:
        KeyError: for another name.
        RunError: where the folder is in neither place.
    """
    beside, inside = _PLACES[name]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / beside).is_dir():
        return checkout / beside
    if (package / inside).is_dir():
        return package / inside
    raise RunError(
        f"{name} must lie in {checkout / beside} or {package / inside}, but neither exists: "
        "install gru-bench again"
    )
