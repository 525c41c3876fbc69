"""A sentence: text with numbers, formulas, asides and links to runs in it, which each renderer writes in its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gru_bench.report.document.numbers import Number


@dataclass(frozen=True)
class Math:
    """A formula inside a sentence."""

    text: str
    """TeX, as it stands between dollar signs."""


@dataclass(frozen=True)
class Aside:
    """Less important words, set fainter."""

    parts: Sentence
    below: bool = False
    """In a cell of a table: whether they stand below the rest, in small letters."""


@dataclass(frozen=True)
class Ends:
    """The ends of a number's interval, without the number itself."""

    number: Number
    between: str = " to "

    @property
    def parts(self) -> Sentence:
        """Return the ends as numbers of their own, with the words between them."""
        low, high = self.number.ends
        return (low, self.between, high)


@dataclass(frozen=True)
class KnownRun:
    """A run by its name, and its page where there is one."""

    run_id: str
    name: str
    study: str
    url: str | None

    @property
    def text(self) -> str:
        """Return the id of the run, which stands for it in a sentence and leads to its page."""
        return self.run_id


@dataclass(frozen=True)
class Anchor:
    """Words that stand for a set of runs: the numbers that rest on exactly these runs link to them."""

    key: str
    """The id on a page."""
    runs: tuple[str, ...]
    """The ids of the runs."""
    parts: Sentence


Sentence = tuple["str | Number | Ends | Math | Aside | KnownRun | Anchor", ...]
"""Each renderer escapes the text, marks the numbers, sets the formulas and links the runs."""


def coded(code: str, sentence: Sentence) -> Sentence:
    """Return a sentence with the code of its check (`gru_bench.checks.codes`) behind it; empty where it is empty."""
    return (*sentence, Aside((f" ({code})",))) if sentence else ()


def in_text(sentence: Sentence) -> str:
    """Return a sentence as plain text."""
    return "".join(
        part if isinstance(part, str) else in_text(part.parts) if isinstance(part, Aside | Ends | Anchor) else part.text
        for part in sentence)


def p_is(p: Number) -> Sentence:
    """Return what a sentence says of p: `p = 0.012`, `p < 0.001`."""
    return ("p " if p.text.startswith("<") else "p = ", p)


def prose(text: str) -> Sentence:
    """Return running text as a sentence: lines joined, text between dollar signs as formulas."""
    parts = " ".join(text.split()).split("$")
    return tuple(Math(part) if place % 2 else part for place, part in enumerate(parts) if part)


def joined(parts: Sequence[Sentence], separator: str = " ") -> Sentence:
    """Return several sentences as one, leaving out the empty ones."""
    between: Sentence = (separator,)
    return tuple(piece for part in parts if part for piece in between + part)[1:]


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + list(names[-1:]))
