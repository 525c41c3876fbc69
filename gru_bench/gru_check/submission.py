"""The code of a submission: of a Python file all of it, of a notebook the statements that define something.

What trains, plots, reads or prints in a notebook is left out, and said. Each line keeps its number within its cell.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import json
import re
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gru_bench.errors import DataError, shown

ENDINGS = (".py", ".ipynb")
_MAGIC = re.compile(r"^\s*[%!?].*$|^.*\?$", re.MULTILINE)
"""Lines that only a notebook can run."""
_OTHER_LANGUAGE = re.compile(r"\s*%%(?!time|capture)\w+")
_CALLED = {"range", "len", "int", "float", "str", "bool", "list", "dict", "set", "tuple", "min", "max", "sum", "abs",
           "round", "zip", "enumerate", "sorted", "reversed"}
"""Functions of Python that a simple assignment may call."""
_LIBRARIES = {"torch", "numpy", "math", "typing", "collections", "dataclasses", "functools"}
"""Libraries whose functions a simple assignment may call, but for those that read and write."""
_READING = re.compile(r"load|save|open|read|from_file|memmap|hub")
_WORDS = 40
"""Most characters that are shown of a statement that is left out."""


@dataclass(frozen=True)
class Code:
    """The code of a submission."""

    text: str
    left_out: tuple[str, ...] = ()
    """First words of each statement that was left out of a notebook."""
    cells: tuple[tuple[int, int], ...] = ()
    """For each cell of a notebook the line of the text before its first one, and its number."""

    def place(self, line: int) -> str:
        """Return where a line of the text is, such as `line 22`, or `cell 3, line 5`; empty for line 0."""
        begins, cell = max((one for one in self.cells if one[0] < line), default=(0, 0))
        return "" if not line else f"cell {cell}, line {line - begins}" if cell else f"line {line}"

    @property
    def note(self) -> str:
        """Return a sentence on the statements that were left out; empty where there are none."""
        if not self.left_out:
            return ""
        first = ", ".join(self.left_out[:3])
        more = f" and {len(self.left_out) - 3} more" if len(self.left_out) > 3 else ""
        return f"Left out of the notebook, because they define nothing that the check needs: {first}{more}."


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
    notebook = _Notebook(path.parent)
    lines: list[str] = []
    cells = []
    for number, source in enumerate(sources, start=1):
        cells.append((len(lines), number))
        lines += notebook.defining(source).split("\n")
    return Code("\n".join(lines), tuple(notebook.left_out), tuple(cells))


def names(text: str) -> list[str]:
    """Return the names of the classes, functions and objects that a text defines at its top level."""
    body = ast.parse(text).body
    return sorted({node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
                  | {target.id for node in body if isinstance(node, ast.Assign)
                     for target in node.targets if isinstance(target, ast.Name)})


def candidates(text: str) -> list[str]:
    """Return the names in a text that may stand for a GRU, likely ones first.

    A class that another one uses comes after it, because who checks the whole layer checks its cell too.
    """
    found = {node.name: node for node in ast.parse(text).body
             if (isinstance(node, ast.ClassDef) and _is_called(node)) or (
                 isinstance(node, ast.FunctionDef) and "gru" in node.name.lower())}
    used = {name: _names_in(node) & found.keys() - {name} for name, node in found.items()}
    parts = set().union(*used.values()) if used else set()

    def order(name: str) -> tuple[bool, bool, bool]:
        return isinstance(found[name], ast.FunctionDef), name in parts, "gru" not in name.lower()

    return sorted(found, key=order)


def uses(text: str, name: str) -> set[str]:
    """Return all names that a class or function of a text mentions, and those that these mention."""
    names = {node.name: _names_in(node) for node in ast.parse(text).body
             if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    found, waiting = set[str](), [name]
    while waiting:
        new = names.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _is_called(node: ast.ClassDef) -> bool:
    """Return whether objects of a class are called: it has such a method, or may inherit one."""
    methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return bool(methods & {"forward", "__call__", "step"}) or bool(bases - {"object", "Dataset", "Exception"} and not
                                                                  methods & {"__getitem__", "__iter__"})


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


@dataclass
class _Notebook:
    """What the cells so far have defined."""

    folder: Path
    known: set[str] = field(default_factory=lambda: {*_CALLED, "__name__"})
    libraries: set[str] = field(default_factory=set)
    """Names of `_LIBRARIES` and of their parts, as they are imported."""
    left_out: list[str] = field(default_factory=list)

    def defining(self, source: str) -> str:
        """Return a cell in which each statement that defines nothing is `0`. Lines keep their numbers."""
        tree = None
        for text in (source, _MAGIC.sub("", source)):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                tree = ast.parse(text)
                break
        if tree is None or _OTHER_LANGUAGE.match(source):
            self._leave_out(source.strip())
            return "\n" * source.count("\n")
        lines = [line.encode() for line in text.split("\n")]
        for node in tree.body:
            if self._defines(node):
                continue
            first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ()))) - 1
            last = (node.end_lineno or node.lineno) - 1
            begin, end = node.col_offset, node.end_col_offset or 0
            self._leave_out(lines[first][begin:].decode())
            after = lines[last][end:]
            for number in range(first + 1, last + 1):
                lines[number] = b""
            lines[first] = lines[first][:begin] + b"0" + after
        return b"\n".join(lines).decode()

    def _leave_out(self, words: str) -> None:
        line = words.splitlines()[0] if words else ""
        self.left_out.append(line if len(line) <= _WORDS else f"{line[:_WORDS]}...")

    def _defines(self, node: ast.stmt) -> bool:
        """Return whether a statement defines something without work, and remember what."""
        new: set[str] = set()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if not all(map(self._is_found, _imported(node))):
                return False
            new = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            if all(name.partition(".")[0] in _LIBRARIES for name in _imported(node)):
                self.libraries |= new
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            head = (*node.bases, *node.keywords) if isinstance(node, ast.ClassDef) else (
                node.args, *filter(None, [node.returns]))
            # What may be the GRU stays: the error about an unknown name says how to define it.
            if "gru" not in node.name.lower() and not all(map(self._is_known, (*node.decorator_list, *head))):
                return False
            new = {node.name}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in (
                target.elts if isinstance(target, ast.Tuple) else [target])]
            if not all(isinstance(part, ast.Name) for part in parts) or not self._is_simple(node.value):
                return False
            new = _names_in(ast.Tuple(parts))
        elif isinstance(node, ast.Try):
            return all(map(self._defines, [*node.body, *(part for one in node.handlers for part in one.body)]))
        else:
            return isinstance(node, ast.Pass)
        self.known |= new
        return True

    def _is_found(self, module: str) -> bool:
        root = module.partition(".")[0]
        if (self.folder / f"{root}.py").is_file() or (self.folder / root).is_dir():
            return True
        try:
            spec = importlib.util.find_spec(root)
            return spec is not None and (spec.origin is not None or importlib.util.find_spec(module) is not None)
        except (ImportError, ValueError):
            return False

    def _is_known(self, part: ast.AST) -> bool:
        """Return whether all names that a part of a definition uses are defined, as far as that is known."""
        own = {one.arg for function in ast.walk(part) if isinstance(function, ast.Lambda)
               for one in ast.walk(function.args) if isinstance(one, ast.arg)}
        return "*" in self.known or _names_in(part) <= {*self.known, *own, *vars(builtins)}

    def _is_simple(self, value: ast.expr) -> bool:
        """Return whether a value is made of known names, numbers and texts, by calls that compute alone."""
        own = {name for part in ast.walk(value) if isinstance(part, ast.comprehension)
               for name in _names_in(part.target)}
        return all(
            (not isinstance(part, ast.Name) or part.id in self.known | own)
            and (not isinstance(part, ast.Call) or self._only_computes(part.func))
            and not isinstance(part, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Lambda))
            for part in ast.walk(value))

    def _only_computes(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Name):
            return function.id in _CALLED | self.libraries
        root: Any = function
        while isinstance(root, ast.Attribute):
            if _READING.search(root.attr):
                return False
            root = root.value
        # A method of what such a call returns, as in torch.zeros(3).requires_grad_(), is looked at on its own.
        return isinstance(root, ast.Call) or (isinstance(root, ast.Name) and root.id in self.libraries)


def unreadable(error: BaseException, lines: Sequence[str]) -> str:
    """Return why a text is not Python: its line, what is wrong, and a remedy for a line that only a notebook runs."""
    line = getattr(error, "lineno", None)
    magic = line is not None and 0 < line <= len(lines) and lines[line - 1].lstrip()[:1] in ("%", "!")
    return (f"it cannot be read{f' at line {line}' if line else ''}: "
            f"{getattr(error, 'msg', None) or str(error) or type(error).__name__}"
            + (": remove this line, which only a notebook can run" if magic else ""))
