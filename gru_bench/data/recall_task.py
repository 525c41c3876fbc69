"""Made-up sequences whose label is one token, k steps before the end: what can a model remember?

Each is drawn as `extra` or fewer distractors, `yes` (label 1) or `no` (label 0), and k distractors more. So the
label is known from one token alone, and a model must carry it over k steps (Hochreiter and Schmidhuber 1997 pose
tasks of this kind). Where the deciding token stands from the front varies, which leaves nothing to count.

A data set's name says it all: `recall:k=50`, or `recall:k=50,n=2000,vocabulary=20,extra=5,seed=1`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np

from gru_bench.config import LARGEST_SEED
from gru_bench.data.readers import Rows
from gru_bench.errors import UsageError, shown

KIND = "recall"
LIMITS = {"k": (1, 100_000), "n": (100, 10_000_000), "vocabulary": (2, 1_000_000), "extra": (0, 100_000),
          "seed": (0, LARGEST_SEED)}
"""The least and the most of each option."""
MOST_TOKENS = 100_000_000
"""Of all sequences together: a few gigabytes of memory."""
DECIDING = ("no", "yes")
"""By label."""


@dataclass(frozen=True)
class RecallTask:
    """Which sequences are made."""

    k: int = 50
    """Steps between the deciding token and the end, where it is asked for."""
    n: int = 5000
    """Sequences over all splits, no two alike."""
    vocabulary: int = 10
    """Distinct distractors."""
    extra: int = 10
    """Distractors before the deciding token: so many at most, drawn for each sequence."""
    seed: int = 0

    @property
    def name(self) -> str:
        """Return the name of the data set, with what differs from the defaults (k always)."""
        standard = asdict(RecallTask())
        own = [f"{key}={value}" for key, value in asdict(self).items() if key == "k" or value != standard[key]]
        return f"{KIND}:{','.join(own)}"

    @property
    def longest(self) -> int:
        """Return the tokens of the longest sequences."""
        return self.extra + 1 + self.k

    def rows(self) -> Rows:
        """Make the sequences, of both labels alike."""
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
            text_N=list(made), label_N=np.array([label for label, _ in made.values()], np.int8),
            category_N=[""] * len(made), tokens_N=[tokens for _, tokens in made.values()])


def is_recall(name: str) -> bool:
    """Tell whether a data set's name is that of made-up sequences."""
    return name.partition(":")[0].lower() == KIND


def parsed_task(name: str) -> RecallTask:
    """Read the name of a data set such as `recall:k=50,n=2000`; `recall` alone has the defaults.

    Raises:
        UsageError: for an unknown option, a value out of its range, or fewer possible sequences than are wanted.
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
    # In units of log 10: 200 distractors over 400 steps have no float.
    possible = np.log10(2) + (task.k + task.extra) * np.log10(task.vocabulary)
    if possible < np.log10(2 * task.n):
        raise UsageError(
            f"{KIND} data must have twice as many possible sequences as are wanted, but k={task.k}, extra={task.extra} "
            f"and vocabulary={task.vocabulary} give about {10 ** possible:,.0f} for n={task.n}: raise vocabulary or "
            "extra, or lower n")
    return task
