"""Tables that runs keep: what was written is read back, and nothing else swells or passes."""

from __future__ import annotations

import io
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gru_bench.results.runs import Predictions
from gru_bench.tracking.artifacts import predictions_of, texts_of
from gru_bench.tracking.writer import _parquet, _prediction_table, _text_table
from tests.support.fake_store import TestSet


def packed(columns: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def columns() -> dict[str, object]:
    drawn = TestSet.draw(50).predictions(np.random.default_rng(1), np.zeros(50), 0.0)
    return dict(_prediction_table(drawn))


def test_predictions_and_texts_are_read_as_they_were_written() -> None:
    drawn = TestSet.draw(300).predictions(np.random.default_rng(1), np.zeros(300), 0.0)
    found = predictions_of(_parquet(_prediction_table(drawn)))
    for one in fields(Predictions):
        was, now = getattr(drawn, one.name), getattr(found, one.name)
        assert np.array_equal(was, now)
        assert was.dtype.kind == now.dtype.kind
    texts = {name: f"review {name}\n" for name in drawn.example_id_N}
    assert texts_of(_parquet(_text_table(list(texts), list(texts.values())))) == texts


@pytest.mark.parametrize(("change", "text"), [
    ({"label": [2] * 50}, "labels must be 0 or 1"),
    ({"label": ["1"] * 50}, "its column 'label' holds string"),
    ({"probability": [float("nan")] * 50}, "probabilities must lie between 0 and 1"),
    ({"probability": [1.5] * 50}, "probabilities must lie between 0 and 1"),
    ({"probability": [None, *[0.5] * 49]}, "its column 'probability' has missing values"),
    ({"example_id": [None, *["x"] * 49]}, "its column 'example_id' has missing values"),
    ({"example_id": [1] * 50}, "its column 'example_id' holds int64"),
    ({"tokens": [-1] * 50}, "its counts of tokens"),
    ({"dropped": [2**40] * 50}, "its counts of tokens"),
    ({"tokens": None}, "it has no column 'tokens'"),
])
def test_predictions_of_another_form_are_refused(change: dict[str, object], text: str) -> None:
    whole = {name: values for name, values in (columns() | change).items() if values is not None}
    with pytest.raises(ValueError, match=text):
        predictions_of(packed(whole))


def test_a_table_without_a_row_or_of_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="it holds no example"):
        predictions_of(packed({name: pa.array(values)[:0] for name, values in columns().items()}))
    for content in (b"", b"PAR1", b"PAR1" * 100, packed(columns())[:-20]):
        with pytest.raises(ValueError, match=r"."):
            predictions_of(content)


@pytest.mark.parametrize("longest", [20_000, 300])
def test_a_small_file_does_not_swell(longest: int) -> None:
    rows = 1_000_000
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * longest]))
    zeros = np.zeros(rows, np.int32)
    content = packed({"example_id": ids, "label": zeros, "probability": zeros.astype(np.float32), "category": ids,
                      "tokens": zeros, "dropped": zeros})
    assert len(content) < 100_000
    with pytest.raises(ValueError, match="takes more than 64 times its own size to read, and more than 256 MB"):
        predictions_of(content)
    if longest > 300:
        with pytest.raises(ValueError, match="takes more than 64 times its own size"):
            texts_of(packed({"example_id": ids, "text": ids}))
