"""Made-up reviews, a table of them, and the corpus that is loaded from it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gru_bench.config import DataConfig
from gru_bench.data.corpus import Corpus, load_corpus


def reviews(count: int, first: int = 0) -> list[tuple[str, int]]:
    """Return distinct texts of 4 to 13 words, with labels that alternate."""
    return [(f"Review {n} is " + " ".join(f"word{(n * k) % 17}" for k in range(1, 2 + n % 10)), n % 2)
            for n in range(first, first + count)]


def write(path: Path, rows: Iterable[Iterable[object]], header: Iterable[str] = ("text", "label")) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return str(path)


def load(name: str, cache: Path, **settings: Any) -> Corpus:
    return load_corpus(DataConfig(name=name, **settings), cache)
