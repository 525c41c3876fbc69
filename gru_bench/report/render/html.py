"""Renders a `Report` as one HTML page, which contains its style, script and figures and loads nothing else.

Text reaches the page only through Jinja's escaping, which is applied to whatever a template prints. Where an element
cannot stand, in attributes and in the title, the templates escape text themselves. Numbers are printed
with their keys, so that the formats can be compared.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gru_bench.document.blocks import has_interval
from gru_bench.document.numbers import Number
from gru_bench.document.report import Report, RunSet
from gru_bench.document.sentences import Anchor, Aside, Ends, KnownRun, by_direction
from gru_bench.resources import resource

MOST_NAMED = 5
"""Most columns of models in a table: no wider than a sheet of paper."""


def html(report: Report) -> str:
    """Return the page, for which the figures are drawn."""
    sets = report.run_sets
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, finalize=partial(shown, sets=sets),
    )
    environment.filters["csv_link"] = lambda text: quote(text, safe=",:;/()")
    environment.tests["interval"] = has_interval
    script = (resource("templates") / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        report=report,
        sources=[some for some in sets.values() if not some.anchored],
        most_named=MOST_NAMED,
        script=Markup(script),
        # Names come from users, so the page allows this script only.
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def shown(value: Any, sets: Mapping[frozenset[str], RunSet]) -> Any:
    """Return what a template prints for a value.

    A number and the ends of its interval carry their keys, and lead to their runs where there are some.
    """
    match value:
        case Number():
            exact = "" if value.value is None else repr(float(value.value))
            number = Markup('<data value="{}" data-key="{}"{}>{}</data>').format(
                exact, value.key, Markup(' title="{}"').format(value.source) if value.source else "", value.text
            )
            if (runs := frozenset(value.runs)) not in sets:
                return number
            return Markup('<a class="n" href="#{}">{}</a>').format(sets[runs].key, number)
        case Ends():
            return shown(value.parts, sets)
        case KnownRun():
            code = Markup("<code>{}</code>").format(value.run_id)
            return Markup('<a href="{}">{}</a>').format(value.url, code) if value.url else code
        case Aside():
            return Markup('<span class="{}">{}</span>').format(
                "settings" if value.below else "interval", shown(value.parts, sets))
        case Anchor():
            return Markup('<span id="{}">{}</span>').format(value.key, shown(value.parts, sets))
        case tuple():
            return Markup("").join(shown(part, sets) for part in value)
        case str() if not isinstance(value, Markup):
            return Markup("").join(Markup('<bdi dir="ltr">{}</bdi>').format(piece) if to_left else piece
                                   for piece, to_left in by_direction(value))
        case _:
            return value
