"""What the Python API returns: verdicts and explanations that show themselves, as text or in a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench.document.numbers import Scale, scale_of, written
from gru_bench.document.report import Findings, ModelScore, Report
from gru_bench.document.sentences import in_text
from gru_bench.errors import visible
from gru_bench.stats.text import percent

if TYPE_CHECKING:
    import pandas as pd

    from gru_bench.inference.prediction import Explanation, Prediction

SHOWN_CLASSES = 5
"""Most classes whose probabilities are columns. Of more, the likeliest ones are shown."""
LIKELIEST = 3
SHOWN_WORDS = 8
_TEXT = 60
"""Most characters of a text in a table of predictions."""


class Verdict:
    """What a study says: the score of each model beside the baselines, verdicts on pairs, and warnings."""

    def __init__(self, report: Report) -> None:
        """Take the report that states it."""
        self._report = report

    @property
    def findings(self) -> Findings:
        """Return the scores and the answers on pairs as data, as `gru-bench report --json` prints them. Of an open
        pair, `texts_needed` is the number of new test texts that could settle it."""
        return self._report.findings

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return the decision, then a verdict on each pair of models."""
        return tuple(map(in_text, self._report.in_short))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what is to be considered."""
        return tuple(map(in_text, self._report.warnings))

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for each pair of models: what was found, the difference of `a` minus
        `b` in the unit of the score with its interval, p, and the number of new test texts that could settle it."""
        import pandas as pd

        names = ("a", "b", "finding", "better", "difference", "low", "high", "p", "texts_needed")
        frame = pd.DataFrame([[getattr(pair, name) for name in names] for pair in self.findings.pairs], columns=names)
        return frame.astype({"low": float, "high": float, "p": float, "texts_needed": "Int64"})

    def __repr__(self) -> str:
        """Return it as text: a table, then sentences."""
        lists = [line for heading, items in self._lists()
                 for line in ("", f"{heading}:", *(f"- {one}" for one in items))]
        return visible("\n".join([_text_table(self._table()), "", *(f"- {one}" for one in self.sentences), *lists]))

    def _repr_html_(self) -> str:
        lists = "".join(f"<p>{heading}:</p>{_html_list(items)}" for heading, items in self._lists())
        return f"{_html_table(self._table())}{_html_list(self.sentences)}{lists}"

    def _lists(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield the heading and the sentences of each list that is not empty."""
        from gru_bench.report.findings import needs_of

        yield from ((heading, items) for heading, items in (
            ("What could settle a pair", needs_of(self.findings)), ("Warnings", self.warnings)) if items)

    def _table(self) -> pd.DataFrame:
        import pandas as pd

        found = self.findings
        rows = [(one.label if one.seeds else f"{one.label} (baseline)", _scored(one, scale_of(found.metric)),
                 str(one.seeds or "")) for one in found.models]
        return pd.DataFrame(rows, columns=["Model", found.score[0].upper() + found.score[1:], "Seeds"])


@dataclass(frozen=True, repr=False)
class Effects:
    """What each word of a text adds to the predicted class: what the log-odds of the class lose without the word."""

    text: str
    label: Any
    """The predicted class, as the data has it."""
    found: Explanation

    @property
    def words(self) -> list[tuple[str, float]]:
        """Return each word that was read with its effect, in the order of the text. Above 0 it speaks for the class."""
        return list(zip(self.found.words_T, self.found.weight_T.tolist(), strict=True))

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas data frame with a row for each word: word, effect."""
        import pandas as pd

        return pd.DataFrame(self.words, columns=["word", "effect"])

    def __repr__(self) -> str:
        """Return the words of largest effect."""
        strongest = ", ".join(f"{word} {effect:+.2f}" for word, effect in self.found.strongest(SHOWN_WORDS))
        said = strongest or "no known word"
        return visible(f"{self.label}: {said}\n(above 0: for {self.label}; below 0: against it){self._left_out()}")

    def _repr_html_(self) -> str:
        table = self.to_frame().assign(effect=[f"{effect:+.2f}" for _, effect in self.words])
        return f"<p>{escape(f'{self.label}{self._left_out()}')}</p>{_html_table(table)}"

    def _left_out(self) -> str:
        more = self.found.left_out
        return f"; {more:,} more words were read" if more else ""


def escape(text: str) -> str:
    """Return a text as HTML that shows it."""
    return html.escape(visible(text))


def _scored(one: ModelScore, scale: Scale) -> str:
    """Return a score with its unit, and its 95 % interval where there is one."""
    text = f"{written(one.score, scale.kind)} {scale.unit}"
    if one.low is not None:
        text += f" [{written(one.low, scale.kind)}, {written(one.high, scale.kind)}]"
    return text


def predictions_table(texts: Sequence[str], found: Prediction) -> pd.DataFrame:
    """Return the predictions of the first texts as they are shown: each value is a text."""
    import pandas as pd

    few = len(found.classes) <= SHOWN_CLASSES
    rows = []
    for text, label, probability_C, known, tokens in zip(
            texts, found.label_N, found.probability_NC, found.known_N, found.tokens_N, strict=False):
        likeliest = ", ".join(f"{found.classes[place]} {percent(probability_C[place])}"
                              for place in np.argsort(-probability_C, kind="stable")[:LIKELIEST])
        rows.append([short(text), label, *(map(percent, probability_C) if few else [likeliest]),
                     f"{known:,} of {tokens:,}"])
    return pd.DataFrame(rows, columns=["text", "label", *(found.classes if few else ["likeliest"]), "words known"])


def notes(found: Prediction) -> Iterator[str]:
    """Yield a sentence for texts without a known word, and one for texts that were cut."""
    if nothing := int((found.known_N == 0).sum()):
        have = "1 text has" if nothing == 1 else f"{nothing:,} texts have"
        yield f"{have} no known word, so the prediction is that for an empty text"
    if cut := int((found.read_N < found.known_N).sum()):
        yield (f"of {cut:,} text{'s' * (cut > 1)}, only the first known words were read, as in training "
               "(data.max_length)")


def short(text: str) -> str:
    """Return a text as one line, cut where it is too long for a table."""
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= _TEXT else f"{flat[:_TEXT - 3]}..."


def _text_table(table: pd.DataFrame) -> str:
    return table.to_string(index=False) if len(table) else "  ".join(table.columns)


def _html_table(table: pd.DataFrame) -> str:
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):
        return visible(table.to_html(index=False, border=0, justify="left"))


def _html_list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"
