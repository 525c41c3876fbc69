"""Renders a `Report` as Markdown, for example for a pull request: all but the figures."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gru_bench.document.blocks import has_interval
from gru_bench.document.numbers import Number
from gru_bench.document.report import Report
from gru_bench.document.sentences import Anchor, Aside, Ends, KnownRun, by_direction
from gru_bench.resources import resource

ISOLATE, END = "\u2066", "\u2069"
"""Controls around text with letters from right to left, so that it does not swap places with what is next to it."""


def markdown(report: Report) -> str:
    """Return the report as Markdown with tables."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=shown,
    )
    environment.tests["interval"] = has_interval
    text = environment.get_template("report.md.j2").render(report=report)
    return re.sub("\n{3,}", "\n\n", text)


def escaped(text: str) -> Markup:
    """Return text as Markdown that shows it: no markup, no mention of a user or an issue, no table cell's end."""
    shown = re.sub(r"([\\`*_\[\]|~#>$])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    shown = shown.replace("@", "&#64;").replace("://", "&#58;//")
    # What would begin a list, a rule or a heading at the start of a line.
    return Markup(re.sub(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=]))", r"\1\\", shown))


def shown(value: Any) -> Any:
    """Return what a template prints for a value."""
    match value:
        case Markup():
            return value
        case Number():
            return Markup(value.text.replace("<", "&lt;"))
        case KnownRun():
            code = "`" + re.sub("[^A-Za-z0-9_-]", "", value.run_id) + "`"
            address = re.sub(r"[<>\s]", "", value.url or "")
            return Markup(f"[{code}](<{address}>)" if address else code)
        case Aside():
            return Markup(" ({})" if value.below else "{}").format(shown(value.parts))
        case Ends() | Anchor():
            return shown(value.parts)
        case tuple():
            return Markup("").join(shown(part) for part in value)
        case _:
            return Markup("").join(
                Markup(f"{ISOLATE}{escaped(piece)}{END}") if to_left
                else escaped(piece)
                for piece, to_left in by_direction(str(value)))
