"""The pages of README and docs, their code blocks, and the commands that they show."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.commands import ROOT

PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md",
         ROOT / "reports" / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "benchmarks" / "NOTES.md",
         *sorted((ROOT / "docs").rglob("*.md")))
_PROGRAM = re.compile(
    r"(?:gru-bench|python3?|py|pip|pytest|ruff|mypy|mlflow|ray|optuna-dashboard|sphinx-build|latexmk|pdflatex|sbatch"
    r"|sudo|curl|cat|type|source|exec|export|wsl|\w+=\S+;|\.ci/\w+)(?= |$)|\.ci/\w+$")
"""What a command begins with."""
_NAMES = re.compile(
    r"gru-bench(?: (?!report)[a-z][a-z-]*)*|python sweeps/run\.py|python -m gru_bench|\w+")
"""Names of commands, which need more words to be commands. Those of one word that do not are in `_WHOLE`."""
_WHOLE = ("pytest", "mypy")
_SAME = {"python sweeps/run.py": "gru-bench sweep", "python -m gru_bench.report": "gru-bench report"}


def text(page: Path) -> str:
    """What a page holds."""
    return page.read_text(encoding="utf-8")


def blocks(page: str, language: str = "") -> list[str]:
    """What stands in the code blocks of a language, without the fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The commands of a page, each on one line: those in its text, those of blocks of commands, and those after a `$`
    in blocks that show output. What is between the marks of a code span counts if it begins with a program, and so does
    a block with a line that does. The two names of a command count as one, `gru-bench ...`.
    """
    found = [line for language, block in re.findall(r"^```(\S*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
             if language in ("", "bash", "sh") for line in _lines(block)]
    found += [line for cell in re.findall(r"^```\{code-cell\}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
              if "%%sh\n" in cell for line in _lines(cell.partition("%%sh\n")[2])]
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    found += [" ".join(span.replace("\\|", "|").split()) for span in re.findall(r"`([^`]+)`", prose)]
    found = [one for one in found if _PROGRAM.match(one) and (one in _WHOLE or not _NAMES.fullmatch(one))]
    return [re.sub(rf"^({'|'.join(map(re.escape, _SAME))})(?= |$)", lambda same: _SAME[same[1]], one) for one in found]


def _lines(block: str) -> list[str]:
    """The commands of a block."""
    lines = [" ".join(line.split()) for line in block.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    shown = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return shown or (lines if any(map(_PROGRAM.match, lines)) else [])
