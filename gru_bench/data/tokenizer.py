"""The tokenizer: raw text -> tokens.

HTML tags become spaces, and entities become their characters. Curly quotes and backticks become apostrophes. Unicode
is normalized to NFKC and lower case. A token is a run of letters and digits, a `!` or a `?`; other punctuation is
left out. Contractions are split as in the Penn Treebank, in GloVe and in the homework's data: `don't` -> `do n't`,
`it's` -> `it 's`.

Whoever changes a rule raises `_FORMAT` in `corpus.py`, which renews the cache, and the version in `SETTINGS`, by which
saved models of other rules are refused.
"""

from __future__ import annotations

import html
import re
import unicodedata

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_TOKEN = re.compile(r"n't\b|'(?:s|m|d|re|ve|ll)\b|[^\W_]+|[!?]")
SETTINGS = {"version": 1, "unicode": "NFKC", "lower_case": True, "token": _TOKEN.pattern}
"""What a saved model says of the tokenizer that its texts need."""
_HUGE_NUMBER = re.compile(r"&#[0-9]{1000,};?")
"""An entity with a number that is too long for Python to read. No character has such a number."""
_MOST_MARKS = 100
"""Number of marks, such as accents, that are kept on one letter. The time to sort marks grows with their square."""
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"))


def tokenize(text: str) -> list[str]:
    """Return the tokens of a raw text. The rules stand at the top of this file."""
    if "<" in text:
        text = _TAG.sub(" ", text)
    if "&" in text:
        text = html.unescape(_HUGE_NUMBER.sub("\ufffd", text))
    if not text.isascii():
        # Apostrophes come first, because NFKC turns an acute accent that stands alone into a space and an accent.
        text = unicodedata.normalize("NFKC", _shortened_runs(text.translate(_APOSTROPHES)))
    text = text.replace("`", "'")
    return _TOKEN.findall(text.lower().replace("n't", " n't"))


def _shortened_runs(text: str) -> str:
    """Return a text with at most `_MOST_MARKS` marks, such as accents, on each letter."""
    if len(text) <= _MOST_MARKS or not any(map(unicodedata.combining, text[_MOST_MARKS // 2::_MOST_MARKS // 2])):
        return text
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)
