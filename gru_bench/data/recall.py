"""The recall task: made-up sequences whose label is given by one token, k steps before the end.

A sequence has up to `extra` distractors, then the deciding token `yes` (label 1) or `no` (label 0), then k more
distractors. So a model must remember one token over k steps (tasks of this kind: Hochreiter and Schmidhuber 1997). The
number of distractors at the front varies, so that counting from the front does not help.

The name of the data set holds all options: `recall:k=50`, or `recall:k=50,n=2000,vocabulary=20,extra=5,seed=1`.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from gru_bench.config import Section, Seed, validated
from gru_bench.data.tables import Rows

KIND = "recall"
MOST_TOKENS = 100_000_000
"""Largest number of tokens in all sequences together. They take a few gigabytes of memory."""
DECIDING = ("no", "yes")
"""The deciding token of each label, which is the name of its class."""


class RecallTask(Section):
    """The options of a recall task."""

    k: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Number of steps between the deciding token and the end."""
    n: Annotated[int, Field(ge=100, le=10_000_000)] = 5000
    """Number of sequences over all splits. No two are equal."""
    vocabulary: Annotated[int, Field(ge=2, le=1_000_000)] = 10
    """Number of distinct distractors."""
    extra: Annotated[int, Field(ge=0, le=100_000)] = 10
    """Largest number of distractors before the deciding token. The number is drawn for each sequence."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.n * self.longest > MOST_TOKENS:
            raise ValueError(f"must have at most {MOST_TOKENS:,} tokens, but {self.n:,} sequences of up to "
                             f"{self.longest:,} may have {self.n * self.longest:,}: lower n, k or extra")
        # As a logarithm, because 200 distractors over 400 steps give a number that is too large for a float.
        possible = math.log10(2) + (self.k + self.extra) * math.log10(self.vocabulary)
        if possible < math.log10(2 * self.n):
            raise ValueError(f"must have twice as many possible sequences as are wanted, but k={self.k}, "
                             f"extra={self.extra} and vocabulary={self.vocabulary} give about {10 ** possible:,.0f} "
                             f"for n={self.n}: raise vocabulary or extra, or lower n")
        return self

    @property
    def name(self) -> str:
        """Return the name of the data set: k, and the options that differ from their defaults."""
        standard = RecallTask()
        own = [f"{key}={value}" for key, value in self if key == "k" or value != getattr(standard, key)]
        return f"{KIND}:{','.join(own)}"

    @property
    def longest(self) -> int:
        """Return the number of tokens of the longest sequences."""
        return self.extra + 1 + self.k

    def rows(self) -> Rows:
        """Return the sequences. Both labels are equally likely."""
        generator = np.random.default_rng([self.seed, self.k, self.vocabulary, self.extra])
        distractors = np.array([f"w{place}" for place in range(self.vocabulary)])
        made: dict[str, tuple[int, list[str]]] = {}
        while len(made) < self.n:
            label = int(generator.integers(2))
            before = distractors[generator.integers(self.vocabulary, size=generator.integers(self.extra + 1))]
            after = distractors[generator.integers(self.vocabulary, size=self.k)]
            tokens = [*before.tolist(), DECIDING[label], *after.tolist()]
            made.setdefault(" ".join(tokens), (label, tokens))
        return Rows(
            text_N=list(made), label_N=np.array([label for label, _ in made.values()], np.int8), classes=DECIDING,
            category_N=[""] * len(made), name_N=[str(number) for number in range(1, len(made) + 1)],
            tokens_N=[tokens for _, tokens in made.values()])


def is_recall(name: str) -> bool:
    """Return whether the name of a data set is that of a recall task."""
    return name.partition(":")[0].lower() == KIND


def parsed_task(name: str) -> RecallTask:
    """Return the options in a name such as `recall:k=50,n=2000`. `recall` alone has the defaults.

    Raises:
        UsageError: for an unknown option, a value out of range, or fewer than twice as many possible sequences as n.
    """
    options = (option.partition("=") for option in filter(None, name.partition(":")[2].split(",")))
    return validated(RecallTask, {key.strip(): value.strip() for key, _, value in options}, under=KIND)
