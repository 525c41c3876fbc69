"""Renders a `Report` as Markdown, for example for a pull request: all but the figures."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gru_bench.report.document.numbers import Math, Number
from gru_bench.report.document.report import Report
from gru_bench.resources import resource


def markdown(report: Report) -> str:
    """Return the report as Markdown with tables."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=_shown,
    )
    environment.filters["interval"] = _interval
    environment.filters["run"] = _run
    environment.filters["math"] = Markup
    environment.filters["code"] = Markup  # in a block that is indented, where nothing is markup
    return environment.get_template("report.md.j2").render(w=report)


def escaped(text: str) -> Markup:
    """Return text as Markdown that shows it: no markup, no mention of a user or an issue, no table cell's end."""
    shown = re.sub(r"([\\`*_\[\]|~#>$])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    shown = shown.replace("@", "&#64;").replace("://", "&#58;//")
    # What would begin a list, a rule or a heading at the start of a line.
    return Markup(re.sub(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=]))", r"\1\\", shown))


def _shown(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Number):
        return Markup(value.text.replace("<", "&lt;"))
    if isinstance(value, Math):
        return Markup(f"${value.text}$")
    if isinstance(value, tuple):
        return Markup("").join(_shown(part) for part in value)
    return escaped(str(value))


def _interval(number: Number) -> Markup:
    if number.low is None:
        return Markup(_shown(number))
    low, high = number.ends
    return Markup("{} [{}, {}]").format(_shown(number), _shown(low), _shown(high))


def _run(run_id: str, url: str | None) -> Markup:
    code = "`" + re.sub("[^A-Za-z0-9_-]", "", run_id) + "`"
    address = re.sub(r"[<>\s]", "", url or "")
    return Markup(f"[{code}](<{address}>)" if address else code)
