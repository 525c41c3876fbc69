"""Pages, tables, help pages, templates and messages use the words of the glossary: one word for one concept."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest

from gru_bench import cli
from gru_bench.__main__ import SUBCOMMANDS, app
from tests.support.commands import ROOT, completed
from tests.support.pages import PAGES, text

INSTEAD: Mapping[str, str] = {
    r"(?:first|last|next|each|planned|several|several planned|second|a) looks?(?! at)|looks? (?:is|are|was|were) taken":
        "interim analysis",
    r"confirm (?:runs?|seeds?|sets?|stages?)": "confirmation run, confirmation seeds",
    r"remarks?|cautions?|weak spots?": "warning",
    r"(?<!minimum )detectable differences?": "minimum detectable difference",
    r"seed deviations?": "between-seed standard deviation",
    r"seeds together|these very seeds|very seeds": "ensemble of the seeds, these seeds",
    r"(?:ROC|PR) areas?": "ROC AUC, average precision",
    r"shares? of|(?:a|the|this|its|their|small|large|larger) shares?|as shares?": "fraction, percentage",
    r"(?<!model )(?:graphics )?cards?": "GPU",
    r"evidence levels?": "sample-size tier",
    r"broken off|given up|put out|taken over": "interrupted, abandoned, superseded, recovered",
    r"mends?|mended": "fix",
    r"anew": "again",
    r"besides?": "next to, with",
    r"goes on|go on|went on": "continue, resume",
    r"stands?|stood": "be, be printed",
    r"holds?|held": "contain, be true",
    r"as far as|all the same|where there (?:is|are) (?:one|none)|be so kind": "state the condition",
}
"""Pattern of words -> what is written instead."""
NOT_OURS = re.compile(
    r"^```.*?^```$|^ {4,}\S.*?$|`[^`]*`|\]\([^)]*\)|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<[^>]+>|<script.*?</script>"
    r"|stands? for|Card et al|[\w.-]+\.(?:md|py|svg|png)", re.MULTILINE | re.DOTALL)
"""Code, names of files, targets of links, tags, and statements of a template."""


def words(written: str) -> list[str]:
    """Return the words of a text that have another word in the glossary, each with what is written instead."""
    ours = NOT_OURS.sub(" ", written)
    return [f"{found[0]!r} -> {instead}" for pattern, instead in INSTEAD.items()
            for found in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", ours, re.IGNORECASE)]


def help_page(*command: str) -> str:
    """Return what `gru-bench COMMAND --help` prints."""
    return " ".join(re.sub(r"[─│╭╮╰╯]", " ", completed(app, *command, "--help").stdout).split())


def sentences(folder: Path) -> str:
    """Return the texts of more than a word in the code of a folder, a paragraph each, without docstrings."""
    found = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        inside |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "`-`"
                                     for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                found.append(node.value)
    return "\n\n".join(text for text in found if " " in text)


def commands() -> list[tuple[str, ...]]:
    """Return all commands with their own subcommands, as words."""
    found: list[tuple[str, ...]] = [()]
    for name, subcommand in SUBCOMMANDS.items():
        inner = getattr(cli.command_of(import_module(f"gru_bench.{subcommand.module}").app), "commands", None)
        found += [(name, each) for each in inner] if inner else [(name,)]
    return found


def texts() -> Mapping[str, Callable[[], str]]:
    """Return the name of each text that users read -> the text."""
    tables = run_path(str(ROOT / "docs" / "site" / "tables.py"))
    files = [*PAGES, *sorted((ROOT / "templates").glob("*.j2")), ROOT / "tests" / "messages.txt"]
    return {
        **{str(path.relative_to(ROOT).as_posix()): (lambda path=path: text(path)) for path in files},
        **{f"sentences of {folder.relative_to(ROOT).as_posix()}": (lambda folder=folder: sentences(folder))
           for folder in sorted({path.parent for path in (ROOT / "gru_bench").rglob("*.py")})},
        **{f"table of {name}": tables[name] for name in ("settings", "keys", "exit_codes", "warnings", "metrics")},
        **{" ".join(("gru-bench", *each, "--help")): (lambda each=each: help_page(*each)) for each in commands()}}


@pytest.mark.parametrize("name", TEXTS := texts())
def test_users_read_the_words_of_the_glossary(name: str) -> None:
    assert not words(TEXTS[name]())


def test_a_word_is_found_in_prose_alone() -> None:
    assert words("Each confirm run\nholds a share of it.")
    assert not words("The confirmation run has a fraction of it, as `--looks` and [this](share.md) say.")
    assert not words("The command:\n```\nhold\n```")
