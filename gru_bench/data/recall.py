"""The recall task: made-up sequences whose label is given by one token, k steps before the end.

A sequence has up to `extra` distractors, then the deciding token `yes` (label 1) or `no` (label 0), then k more
distractors. So a model must remember one token over k steps (tasks of this kind: Hochreiter and Schmidhuber 1997). The
number of distractors at the front varies, so that counting from the front does not help.

The name of the data set holds all options: `recall:k=50`, or `recall:k=50,n=2000,vocabulary=20,extra=5,seed=1`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np

from gru_bench.config import LARGEST_SEED
from gru_bench.data.tables import Rows
from gru_bench.errors import UsageError, shown

KIND = "recall"
LIMITS = {"k": (1, 100_000), "n": (100, 10_000_000), "vocabulary": (2, 1_000_000), "extra": (0, 100_000),
          "seed": (0, LARGEST_SEED)}
"""Smallest and largest value of each option."""
MOST_TOKENS = 100_000_000
"""Largest number of tokens in all sequences together. They take a few gigabytes of memory."""
DECIDING = ("no", "yes")
"""The deciding token of each label, which is the name of its class."""


@dataclass(frozen=True)
class RecallTask:
    """The options of a recall task."""

    k: int = 50
    """Number of steps between the deciding token and the end."""
    n: int = 5000
    """Number of sequences over all splits. No two are equal."""
    vocabulary: int = 10
    """Number of distinct distractors."""
    extra: int = 10
    """Largest number of distractors before the deciding token. The number is drawn for each sequence."""
    seed: int = 0

    @property
    def name(self) -> str:
        """Return the name of the data set: k, and the options that differ from their defaults."""
        standard = asdict(RecallTask())
        own = [f"{key}={value}" for key, value in asdict(self).items() if key == "k" or value != standard[key]]
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
    standard = asdict(RecallTask())
    found: dict[str, int] = {}
    for option in filter(None, name.partition(":")[2].split(",")):
        key, equals, text = (part.strip() for part in option.partition("="))
        if key not in standard or not equals:
            known = ", ".join(f"{field.name} ({standard[field.name]})" for field in fields(RecallTask))
            raise UsageError(f"the options of {KIND} data must look like {KIND}:k=50,n=2000 and be among {known}, but "
                             f"got {shown(option)}")
        if key in found:
            raise UsageError(f"each option of {KIND} data must be given once, but {key} is given twice in "
                             f"{shown(name)}")
        low, high = LIMITS[key]
        if not text.isdecimal() or len(text) > len(str(high)) or not low <= int(text) <= high:
            raise UsageError(f"{key} of {KIND} data must be a whole number of at least {low:,} and at most "
                             f"{high:,}, but got {shown(text)} in {shown(name)}")
        found[key] = int(text)
    task = RecallTask(**found)
    if task.n * task.longest > MOST_TOKENS:
        raise UsageError(f"{KIND} data must have at most {MOST_TOKENS:,} tokens, but {task.n:,} sequences of up to "
                         f"{task.longest:,} may have {task.n * task.longest:,}: lower n, k or extra")
    # As logarithms to base 10, because 200 distractors over 400 steps give a number that is too large for a float.
    possible = np.log10(2) + (task.k + task.extra) * np.log10(task.vocabulary)
    if possible < np.log10(2 * task.n):
        raise UsageError(
            f"{KIND} data must have twice as many possible sequences as are wanted, but k={task.k}, extra={task.extra} "
            f"and vocabulary={task.vocabulary} give about {10 ** possible:,.0f} for n={task.n}: raise vocabulary or "
            "extra, or lower n")
    return task
