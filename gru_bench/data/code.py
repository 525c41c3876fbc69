"""Python files with a model of the user's own: `FILE.py:CLASS` -> the name of the model and the SHA-256 of its file.

A file that a command names is kept in the cache under its SHA-256, and runs use this copy alone. What a store or
a saved model brings is code from elsewhere: it runs only if this machine keeps the same file, or where
`--run-code` allows it.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from gru_bench.config import PRESETS, is_own
from gru_bench.data.cache import default_cache
from gru_bench.errors import DataError, UsageError, argument, shown, unknown
from gru_bench.platforms import replacing
from gru_bench.results.own import digest_of

FOLDER = "code"
"""Folder below the root of the caches that holds the files."""
MOST_BYTES = 1 << 20
"""Most bytes of a file."""
_TYPED = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)")


def own_model(typed: str) -> tuple[str, str] | None:
    """Return the name of a model and the SHA-256 of its file, which is kept. None for the name of a preset.

    Args:
        typed: The model as it was typed, such as `src/homework.py:MyGRU`.

    Raises:
        UsageError: for a file that does not exist, or that does not define the class.
        DataError: for a file that is no Python.
    """
    found = _TYPED.fullmatch(typed)
    if found is None:
        if typed.endswith(".py"):
            raise UsageError(f"a model of your own must be FILE.py:CLASS, but got {shown(typed)}: add the name of the "
                             "class, as in homework.py:MyGRU")
        return None
    path, name = Path(found["file"]).expanduser(), found["name"]
    if not path.is_file():
        raise UsageError(f"No such file: {shown(str(path))}. Built-in models are {', '.join(PRESETS)}")
    text = _read(path)
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} must be Python, but it cannot be read: {error}") from None
    names = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    if name not in names:
        raise unknown(f"class in {path.name}", name, names) if names else UsageError(
            f"{path.name} defines no class, so not {name} either: check the file")
    model = f"{path.name}:{name}"
    if not is_own(model):
        raise UsageError(f"the file of a model must have a name without colons, but got {shown(path.name)}: rename it")
    return model, keep(text)


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            raise DataError(f"{path.name} must have at most {MOST_BYTES:,} bytes, but has {len(content):,}: put the "
                            "class into a file of its own")
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as UTF-8 text: {error}") from None


def keep(text: str) -> str:
    """Keep a file on this machine, which allows runs to use it, and return its SHA-256."""
    digest = digest_of(text)
    path = default_cache() / FOLDER / f"{digest}.py"
    if not path.is_file():
        with replacing(path) as file:
            file.write(text.encode())
    return digest


def kept(model: str, digest: str | None) -> str:
    """Return a file that this machine keeps.

    Args:
        model: The model, for error messages.
        digest: SHA-256 of the file. None: no command has read it.

    Raises:
        UsageError: where this machine does not keep it: it comes from elsewhere.
    """
    if digest is None:
        raise UsageError("a model of your own must be given as a model, or in models of a study file, but got "
                         f"model.name={model}")
    path = default_cache() / FOLDER / f"{digest}.py"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if digest_of(text) != digest:
        raise UsageError(f"the model {model} contains Python code that has not been allowed on this machine (SHA-256 "
                         f"{digest}): read it (code.py next to the weights), then allow it with {argument('run_code')}")
    return text
