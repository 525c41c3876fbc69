"""The code of a submission: of a Python file all of it, of a notebook its cells, one below the other."""

from __future__ import annotations

import ast
import json
import re
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gru_bench.errors import DataError, shown

ENDINGS = (".py", ".ipynb")
MEMORY = 4
"""Gigabytes that it may take beyond what torch takes by itself."""
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign)
"""Statements of a notebook that are executed. Others train, plot or print."""
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python raises for a text that is no Python."""
_MAGIC = re.compile(r"^\s*[%!?].*$|^.*\?$", re.MULTILINE)
"""Lines that only a notebook can run."""


@dataclass(frozen=True)
class Code:
    """The code of a submission."""

    text: str
    cells: tuple[tuple[int, int], ...] = ()
    """For each cell of a notebook the line of the text before its first one, and its number."""

    def place(self, line: int) -> str:
        """Return where a line of the text is, such as `line 22`, or `cell 3, line 5`; empty for line 0."""
        begins, cell = max((one for one in self.cells if one[0] < line), default=(0, 0))
        return "" if not line else f"cell {cell}, line {line - begins}" if cell else f"line {line}"


def read(path: Path) -> Code:
    """Return the code of a Python file or a notebook. Nothing of it is executed.

    Raises:
        DataError: For a notebook that cannot be read.
        SyntaxError: For an unknown encoding of a Python file.
        UnicodeDecodeError: When the text of a Python file is in another encoding.
    """
    if path.suffix.lower() != ".ipynb":
        with tokenize.open(path) as file:
            return Code(file.read())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sources = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path.name} must be a notebook of version 4, but it cannot be read "
                        f"({type(error).__name__}: {shown(str(error), '')}): save it again in Jupyter") from error
    lines: list[str] = []
    cells = []
    for number, source in enumerate(sources, start=1):
        cells.append((len(lines), number))
        lines += _python(source).split("\n")
    return Code("\n".join(lines), tuple(cells))


def _python(cell: str) -> str:
    """Return a cell without the lines that only a notebook can run, or nothing of one that is no Python. Lines keep
    their numbers."""
    for text in (cell, _MAGIC.sub("", cell)):
        with suppress(*UNREADABLE):
            ast.parse(text)
            return text
    return "\n" * cell.count("\n")
