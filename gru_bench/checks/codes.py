"""Every check of a study: its code, what it is about, and what to do. docs/checks.md has a section for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gru_bench.errors import unknown

PAGE = "docs/checks.md"


@dataclass(frozen=True)
class Check:
    """One check."""

    title: str
    remedy: str


CODES: Mapping[str, Check] = {
    "GRU001": Check("best value at an end of its range", "Search a wider range."),
    "GRU002": Check("searches of unequal budgets", "Give all of them the same trials, epochs and search space."),
    "GRU003": Check("too few seeds for a verdict",
                    "Confirm on 5 fresh seeds for a verdict (--confirm 5), on 10 to publish a claim."),
    "GRU004": Check("test reviews in training", "Look where the test reviews come from, and for near copies of them."),
    "GRU005": Check("fewer than 60 % of the words have a vector",
                    "Take other vectors (--embedding corpus), or draw the missing ones (embedding.unknown=draw)."),
    "GRU006": Check("uneven classes judged by accuracy",
                    "Judge by macro F1 (metric = \"macro_f1\"), or read accuracy beside the scores of each class."),
    "GRU007": Check("most trials did not reach their end",
                    "Narrow the ranges to where trials succeed, such as lower learning rates, or prune later."),
    "GRU008": Check("the search promised more than it kept",
                    "Trust the confirm runs; average each trial over several seeds (--seeds-per-trial 3)."),
    "GRU009": Check("margin chosen afterwards",
                    "Set the margin in the study files, the same in all, before the first run."),
    "GRU010": Check("a baseline above the model",
                    "Tune the model further, or name the baseline as the better choice."),
    "GRU011": Check("a loss window that no epoch fills",
                    "Lower training.log_every, below the iterations of an epoch."),
    "GRU012": Check("word vectors of another language or scale",
                    "Look at the language and the spelling of the vectors' words; set embedding.scale."),
    "GRU013": Check("a plan of looks not followed",
                    "Say so beside the verdict, or run a study of another name that follows its plan."),
    "GRU014": Check("the baseline's regularization lies at the end of its grid",
                    "Take its score for a lower limit of what a linear model reaches."),
    "GRU015": Check("a model that may be guessing",
                    "Train on more reviews, or for more epochs; until then its scores mean nothing."),
    "GRU016": Check("word vectors that are nearly parallel",
                    "Train random vectors instead: --embedding random --set embedding.trainable=true."),
}
"""Code -> its check. A code keeps its meaning for ever."""


@dataclass(frozen=True)
class Remark:
    """What a check has found in a study."""

    code: str
    sentence: str
    """What is wrong, with the numbers."""

    @property
    def remedy(self) -> str:
        """Return what to do about it."""
        return CODES[self.code].remedy

    @property
    def line(self) -> str:
        """Return the remark as a line for a terminal."""
        return f"{self.code} {self.sentence} {self.remedy}"


def codes_of(typed: Sequence[str]) -> frozenset[str]:
    """Return the codes of options such as `GRU003,GRU010`.

    Raises:
        UsageError: There is no such code. The message lists those that there are.
    """
    found = [code.strip().upper() for text in typed for code in text.split(",") if code.strip()]
    for code in found:
        if code not in CODES:
            raise unknown("code", code, CODES, f"{PAGE} says what each means.")
    return frozenset(found)


def without(remarks: Iterable[Remark], ignored: Collection[str]) -> list[Remark]:
    """Return the remarks whose codes are not ignored, each once, by code."""
    return sorted({one for one in remarks if one.code not in ignored}, key=lambda one: (one.code, one.sentence))
