"""Makes the numbers of a report: each has a key, by which all formats find it, and says where it comes from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Literal

import numpy as np

from gru_bench.platforms import is_reserved
from gru_bench.results.logged_metrics import Unit
from gru_bench.stats.text import FORMATS as FORMATS
from gru_bench.stats.text import MISSING as MISSING
from gru_bench.stats.text import NBSP as NBSP
from gru_bench.stats.text import Kind as Kind
from gru_bench.stats.text import Number as Number
from gru_bench.stats.text import Scale as Scale
from gru_bench.stats.text import decimals_for as decimals_for
from gru_bench.stats.text import scale_of as scale_of
from gru_bench.stats.text import written as written

if TYPE_CHECKING:
    from gru_bench.stats.estimate import Estimate

KINDS: Mapping[Unit, Kind] = {
    "share": "percent", "nats per text": "score", "": "score", "count": "count", "bytes": "amount",
    "seconds": "amount", "tokens per second": "amount", "epoch": "tenth"}
"""How the values of a logged metric are shown, by its unit."""


@dataclass(frozen=True)
class Numbers:
    """Makes the numbers of a report, or those of one thing in it, such as a model.

    It holds what the numbers of a thing have in common: the first part of their keys and, once `on` has said it, what
    they are computed from.
    """

    key: str = ""
    runs: tuple[str, ...] | None = None
    """The ids of the runs that its numbers are computed from. As long as it is None, no number can be made."""
    examples: int | None = None
    split: str = ""
    made: dict[str, Number] = field(default_factory=dict, repr=False, compare=False)
    """Every number of the report by its key, whether it is shown or not."""
    parts: dict[str, dict[Hashable, str]] = field(default_factory=dict, repr=False, compare=False)
    """Key -> the parts that follow it, by the things that they stand for."""

    def add(
        self, name: str, value: float | None, kind: Kind = "count", method: str = "",
        *, low: float | None = None, high: float | None = None, decimals: int | None = None, is_range: bool = False,
    ) -> Number:
        """Return a number, computed from what `on` said.

        Args:
            name: Last part of its key.
            value: Its value; None where it is unknown.
            kind: How it is shown.
            method: How it was computed.
            low: Low end of its interval, or its lowest run.
            high: High end, or its highest run.
            decimals: Decimals to show. None: those of its kind.
            is_range: Whether these are runs.

        Raises:
            AssertionError: If another number has this key, or `on` has not said what it is computed from.
        """
        assert self.runs is not None, f"{self._key(name)} must be computed from something: say what by Numbers.on"
        number = Number(self._key(name), value, kind, method, low, high, decimals, self.runs, self.examples, self.split,
                        is_range)
        known = self.made.setdefault(number.key, number)
        if known.text != number.text or (known.text != MISSING and known.value != number.value):
            raise AssertionError(f"two numbers must have two keys, but got {known} and {number}")
        return known

    def estimate(self, name: str, found: Estimate, kind: Kind = "percent") -> Number:
        """Return an estimate over seeds, without an interval where there are too few for one."""
        if not found.has_interval:
            return self.add(name, found.estimate, kind, "mean of two seeds: an estimate only")
        return self.add(name, found.estimate, kind, f"95 % interval: {found.method}", low=found.low, high=found.high)

    def over_runs(
        self, name: str, values: Sequence[float], kind: Kind, of: Literal["mean", "median"] = "mean"
    ) -> Number:
        """Return the mean or the median of a value over runs, with its lowest and highest."""
        if len(values) < 2:
            return self.add(name, values[0] if values else None, kind, "one run" if values else "not logged")
        middle = np.mean(values) if of == "mean" else np.median(values)
        return self.add(name, float(middle), kind, f"{of} over runs; lowest to highest", low=min(values),
                        high=max(values), is_range=True)

    def on(self, runs: Sequence[str], examples: int | None = None, split: str = "test") -> Numbers:
        """Return what makes the numbers that are computed from these runs and so many examples.

        Args:
            runs: Ids of the runs. Empty for numbers that are given, such as a margin.
            examples: Number of examples. None: no examples enter.
            split: Their split; empty for those of several splits or of none.
        """
        known = "" if examples is None else split
        return replace(self, runs=tuple(dict.fromkeys(runs)), examples=examples, split=known)

    def of(self, name: str) -> Numbers:
        """Return what makes the numbers of a part of the thing, from the same runs and examples."""
        return replace(self, key=self._key(name))

    def named(self, *names: str, same: Hashable = None) -> Numbers:
        """Return the same of a part with a name that a user gave: other names never give the same key.

        Args:
            names: The name, or several.
            same: What else tells the part from others of the same name.
        """
        found = self.parts.setdefault(self.key, {})
        if (*names, same) not in found:
            first = "-".join(map(slug, names))
            numbered = (first if place == 1 else f"{first}-{place}" for place in count(1))
            found[*names, same] = next(part for part in numbered if part not in found.values())
        return self.of(found[*names, same])

    def _key(self, name: str) -> str:
        return ".".join(filter(None, (self.key, name)))


def is_zero(text: str) -> bool:
    """Return whether a value that is written so is shown as 0."""
    return not text.strip("0.")


def file_name(name: str) -> str:
    """Return the last part of a path, as the name to show."""
    return plain(name.replace("\\", "/").rstrip("/").rpartition("/")[2])


def plain(text: str) -> str:
    """Return a user's text on one line, without control characters.

    Controls, unpaired surrogates and changes of writing direction become the replacement character;
    white space becomes a space.
    """
    return "".join(
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") or character in _DIRECTIONS
        else character
        for character in " ".join(text.split()))


_LONGEST = 60


def slug(text: str, fallback: str = "unnamed") -> str:
    """Return lower-case ASCII words joined by hyphens, fit for a key, an id or a folder."""
    return _hyphenated(text)[:_LONGEST].strip("-") or fallback


def _hyphenated(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", ascii_text).strip("-")


def folder_name(text: str, fallback: str) -> str:
    """Return the name of a folder for what is called `text`, such as a data set.

    It ends in a digest of the text where letters are lost, so that texts in another script get folders of their own,
    and where Windows reserves the name.
    """
    name = slug(text, "")
    if name and text.isascii() and name == _hyphenated(text) and not is_reserved(name):
        return name
    return f"{name or fallback}-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
