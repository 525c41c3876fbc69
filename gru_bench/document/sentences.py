"""A sentence: text with numbers, asides and links to runs in it, which each renderer writes in its way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter

from gru_bench.document.numbers import NBSP, Number
from gru_bench.stats.text import MINUS

_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")
_BETWEEN_NAMES = re.compile(f"( [→{MINUS}] )")


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


Sentence = tuple["str | Number | Ends | Aside | KnownRun | Anchor", ...]
"""Each renderer escapes the text, marks the numbers and links the runs."""
Field = str | Number | Sentence
"""The value of a slot of a template."""


@dataclass(frozen=True)
class Warning:
    """What may be wrong, with the code of the check that found it (`gru_bench.checks`)."""

    code: str
    sentence: Sentence

    @property
    def coded(self) -> Sentence:
        """Return the sentence with the code behind it."""
        return (*self.sentence, " ", Aside((f"({self.code})",)))

    @property
    def text(self) -> str:
        """Return the sentence as plain text."""
        return in_text(self.sentence)


def say(template: str, **fields: Field) -> Sentence:
    """Return a sentence from a template and the values of its slots.

    Whatever a value holds, it is shown as it is: only the template has slots.

    Args:
        template: `{name}` is the slot of a value. `{name:seed is|seeds are}` gives the first words where the value is
            the number 1, else the second. A line is not broken before a percent sign.
        fields: The values.
    """
    parts: Sentence = ()
    for words, name, choice, _ in Formatter().parse(template):
        field = "" if name is None else fields[name]
        if choice:
            assert isinstance(field, Number), f"{name} must be a number to choose between {choice}"
            field = choice.split("|")[field.value != 1]
        parts = (*parts, words.replace(" %", f"{NBSP}%"), *(field if isinstance(field, tuple) else (field,)))
    return _merged(parts)


def _merged(parts: Sentence) -> Sentence:
    """Return a sentence with neighboring texts as one, so that every format breaks its lines as those of one text."""
    merged: Sentence = ()
    for part in parts:
        if part == "":
            continue
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged = (*merged[:-1], merged[-1] + part)
        else:
            merged = (*merged, part)
    return merged


def in_text(sentence: Sentence) -> str:
    """Return a sentence as plain text, without no-break spaces."""
    return "".join(
        part if isinstance(part, str) else in_text(part.parts) if isinstance(part, Aside | Ends | Anchor) else part.text
        for part in sentence).replace(NBSP, " ")


def by_direction(text: str) -> list[tuple[str, bool]]:
    """Return a text in pieces, and of each whether it has letters that are written from right to left.

    A format isolates these pieces, because such letters swap places with the numbers and names next to them. The names
    on the two sides of an arrow or a minus are pieces of their own.
    """
    if not _RIGHT_TO_LEFT.search(text):
        return [(text, False)]
    return [(piece, bool(_RIGHT_TO_LEFT.search(piece))) for piece in _BETWEEN_NAMES.split(text)]


def p_is(p: Number) -> Sentence:
    """Return what a sentence says of p: `p = 0.012`, `p < 0.001`."""
    return ("p " if p.text.startswith("<") else "p = ", p)


def joined(parts: Sequence[Sentence], separator: str = " ") -> Sentence:
    """Return several sentences as one, leaving out the empty ones."""
    between: Sentence = (separator,)
    return tuple(piece for part in parts if part for piece in between + part)[1:]
