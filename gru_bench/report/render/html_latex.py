"""Renders a `Report` as one HTML page, and as a LaTeX document with its tables and figures.

Text reaches a page only through Jinja's escaping, and a document only through `latex`: both are applied automatically
to whatever a template prints. Numbers are printed with their keys, so that the formats can be compared.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup

from gru_bench.report.document.numbers import Math, Number, plain, slug
from gru_bench.report.document.provenance import RunSet, run_sets
from gru_bench.report.document.report import Report
from gru_bench.report.figures.accuracy import pictures
from gru_bench.report.figures.figure import Picture
from gru_bench.resources import resource


class Tex(Markup):
    """Text that is LaTeX already."""


def write(report: Report, folder: Path) -> list[Path]:
    """Write `report.html`, `report.tex`, `tables/*.tex`, and `figures/*.pdf` with the values of each as `.csv`.

    Each file is replaced as a whole: a reader sees the old one or the new one.
    """
    drawn = pictures(report)
    files = {"report.html": html(report, drawn).encode()}
    files |= {name: text.encode() for name, text in tex(report, drawn).items()}
    for picture in drawn:
        files[f"figures/{picture.name}.pdf"] = picture.pdf()
        if picture.table:
            files[f"figures/{picture.name}.csv"] = picture.csv().encode()
    return [replace_file(folder / name, content) for name, content in files.items()]


def html(report: Report, drawn: Sequence[Picture] | None = None) -> str:
    """Return the page, which contains its style, script and figures and loads nothing else."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True, finalize=partial(_html, sets=(sets := run_sets(report))),
    )
    environment.filters["batch_columns"] = _batches
    environment.filters["slug"] = slug
    environment.filters["unlinked"] = partial(_html, sets={})
    environment.filters["math"] = mathml
    shown = pictures(report) if drawn is None else drawn
    script = (resource("templates") / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(
        w=report,
        sources=[some for some in dict.fromkeys(sets.values()) if not some.has_table],
        figures={picture.name: _on_page(picture) for picture in shown},
        script=Markup(script),
        # Names come from users, so the page allows this script only.
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _on_page(picture: Picture) -> dict[str, str]:
    svg, live = picture.for_page()
    return {
        "svg": Markup(svg), "live": live if picture.series or picture.panels else "", "caption": picture.caption,
        "alternative": picture.alternative, "csv": quote(picture.csv(), safe=",:;/()") if picture.table else "",
    }


def tex(report: Report, drawn: Sequence[Picture] | None = None) -> dict[str, str]:
    """Return the document and its tables, by file name."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, finalize=_tex,
    )
    environment.filters["batch_columns"] = _batches
    environment.filters["key"] = _tex_key
    environment.filters["math"] = Tex
    environment.filters["aligned"] = _tex_aligned
    environment.filters["url"] = _tex_url
    environment.filters["ascii"] = lambda text: Tex(re.sub(r"[^A-Za-z0-9 .,;:()+/-]", " ", plain(text)))
    shown = {picture.name: picture for picture in (pictures(report) if drawn is None else drawn)}
    files = {
        f"tables/{name}.tex": environment.get_template(f"tables/{name}.tex.j2").render(w=report, section=section)
        for section in report.sections for name in section.tables
    }
    files["report.tex"] = environment.get_template("report.tex.j2").render(w=report, figures=shown)
    return files


def mathml(tex: str, display: bool = False) -> Markup:
    """Return a formula as MathML, which browsers render themselves."""
    return Markup(convert(tex, display="block" if display else "inline"))


def latex(text: str) -> Tex:
    r"""Return text as LaTeX that prints it: the one way for a string into a document.

    Letters of Latin scripts stay; other characters become the macro that prints them, or their code point
    in a box. A line may be broken after punctuation, and inside words too long for a line.
    """
    parts: list[str] = []
    run = 0
    for character in unicodedata.normalize("NFC", text):
        parts.append(_TEX.get(character) or _tex_character(character))
        run = 0 if character.isspace() else run + 1
        if (run > 3 and character in "_-/.,:;=+") or (run > 18 and run % 6 == 0):
            parts.append(r"\allowbreak{}")
    return Tex("".join(parts))


def _html(value: Any, sets: Mapping[tuple[str, ...], RunSet]) -> Any:
    """Return a number with its key, leading to its runs where these have a place; the ends of intervals do not."""
    if isinstance(value, Number):
        shown = "" if value.value is None else repr(float(value.value))
        number = Markup('<data value="{}" data-key="{}"{}>{}</data>').format(
            shown, value.key, Markup(' title="{}"').format(value.source) if value.source else "", value.text
        )
        if value.runs not in sets or value.key.endswith((".low", ".high")):
            return number
        return Markup('<a class="n" href="#{}">{}</a>').format(sets[value.runs].key, number)
    if isinstance(value, Math):
        return mathml(value.text)
    if isinstance(value, tuple):
        return Markup("").join(_html(part, sets) for part in value)
    return value


def _tex(value: Any) -> Tex:
    if isinstance(value, Markup):
        return Tex(value)
    if isinstance(value, Number):
        return Tex(rf"\val{{{_tex_key(value.key)}}}{{{latex(value.text)}}}")
    if isinstance(value, Math):
        return Tex(rf"\({value.text}\)")
    if isinstance(value, tuple):
        return Tex("".join(_tex(part) for part in value))
    return latex(str(value))


def _tex_aligned(number: Number) -> Tex:
    r"""Return a number that is not negative for an S column of siunitx, which parses it; a dash is kept from that."""
    key = _tex_key(number.key)
    if not re.fullmatch(r"(?:< )?[\d,]+(?:\.\d+)?", number.text):
        return Tex(rf"{{\val{{{key}}}{{{latex(number.text)}}}}}")
    return Tex(rf"\val{{{key}}}{{{number.text}}}")


def _tex_key(key: str) -> Tex:
    """Return a key unchanged, after a check of its characters."""
    if not re.fullmatch(r"[a-z0-9.-]+", key):
        raise ValueError(f"a key must hold a-z, 0-9, dots and hyphens only, but got {key!r}")
    return Tex(key)


def _tex_url(url: str) -> Tex:
    """Return an address as the first argument of a link, with all but plain characters percent-encoded."""
    encoded = quote(url, safe=":/?=.-@,;+!%#&")
    return Tex(re.sub(r"([%#&])", r"\\\1", encoded))


def _batches(values: Sequence[Any], size: int) -> list[list[tuple[int, Any]]]:
    """Cut a sequence into parts of `size`, each entry with its place in the whole."""
    placed = list(enumerate(values))
    return [placed[start : start + size] for start in range(0, len(placed), size)]


_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\textasciicircum{}",
    "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%", "<": r"\ensuremath{<}", ">": r"\ensuremath{>}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "-": "{-}", ",": "{,}", "?": "{?}", "!": "{!}",  # not joined to dashes, quotes or upended marks
    "[": "{[}", "]": "{]}", "*": "{*}",  # not read as an option of the line end before them
    "−": r"\ensuremath{-}", "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}", "–": r"\textendash{}",
    "—": r"\textemdash{}", "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}", "…": r"\dots{}", "·": r"\textperiodcentered{}", "°": r"\textdegree{}",
    "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}", "→": r"\ensuremath{\to}", "€": r"\texteuro{}",
    "«": r"\guillemotleft{}", "»": r"\guillemotright{}", "\xa0": "~",
} | {
    letter: rf"\ensuremath{{\{name}}}" for letter, name in zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
         "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
         "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"], strict=True)
}
# What T1-encoded fonts print: the letters of Latin-1, and of Latin Extended-A those that TeX builds or has.
_LATIN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
                   "ĂăĄąĆćČčĎďĐđĘęĚěĞğİıĹĺĽľŁłŃńŇňŐőŒœŔŕŘřŚśŞşŠšŢţŤťŮůŰűŸŹźŻżŽž")


def _tex_character(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if character in _LATIN:
        return character
    if character.isspace():
        return " "
    return rf"\codepoint{{{ord(character):04X}}}"


def replace_file(path: Path, content: bytes) -> Path:
    """Replace a file as a whole: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
