"""Readers of the tables that runs log as Parquet artifacts; they check the values and limit the memory.

The limit is needed because a file of a kilobyte may claim millions of rows, or repeat one long text in each of them.

Shapes: `N` examples of a split.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.data.limits import MORE, factor
from gru_bench.results.runs import Predictions

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SWELL = 64
"""Most memory of a table, as a multiple of its file size. Predictions take about ten times their file size."""
FREE_BYTES = 256 << 20
"""Bytes that any table may take in memory, however small its file is."""
_CELL = 8
"""Most bytes of a number in memory."""


def predictions_of(content: bytes) -> Predictions:
    """Return the predictions of a run for a split, from the bytes of their Parquet file.

    Raises:
        ValueError: The table is damaged, has other columns, or takes too much memory.
    """
    column = _columns(content, {"example_id": "text", "label": "whole", "probability": "number", "category": "text",
                                "tokens": "whole", "dropped": "whole"})
    label_N, probability_N = column["label"], column["probability"]
    for wrong, what in (
        (not len(label_N), "it holds no example"),
        (not np.isin(label_N, (0, 1)).all(), "its labels must be 0 or 1, but some are not"),
        (not ((probability_N >= 0) & (probability_N <= 1)).all(), "its probabilities must lie between 0 and 1, but "
                                                                  "some do not"),
        (not all(((column[name] >= 0) & (column[name] < 1 << 31)).all() for name in ("tokens", "dropped")),
         "its counts of tokens must lie between 0 and 2,147,483,647, but some do not"),
    ):
        if wrong:
            raise ValueError(what)
    return Predictions(
        example_id_N=column["example_id"], label_N=label_N.astype(np.int8),
        probability_N=probability_N.astype(np.float32), category_N=column["category"],
        tokens_N=column["tokens"].astype(np.int32), dropped_N=column["dropped"].astype(np.int32))


def texts_of(content: bytes) -> dict[str, str]:
    """Return example id -> review, from the bytes of their Parquet file.

    Raises:
        ValueError: The table is damaged, has other columns, or takes too much memory.
    """
    column = _columns(content, {"example_id": "text", "text": "object"})
    return dict(zip(column["example_id"].tolist(), column["text"].tolist(), strict=True))


def _columns(content: bytes, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return columns of a table by name. Kind `text` gives a fixed-width array, `object` an array of Python strings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    most = int(max(FREE_BYTES, MOST_SWELL * len(content)) * factor())
    words = [name for name, kind in kinds.items() if kind in ("text", "object")]
    try:
        # Repeated texts are stored once until the memory of the whole column is known.
        with pq.ParquetFile(io.BytesIO(content), read_dictionary=words) as file:
            held = {field.name: field.type for field in file.schema_arrow}
            if missing := [name for name in kinds if name not in held]:
                raise ValueError(f"it has no column {missing[0]!r}")
            groups = [file.metadata.row_group(place) for place in range(file.metadata.num_row_groups)]
            _bound(file.metadata.num_rows * _CELL * len(kinds) + sum(group.total_byte_size for group in groups), most)
            wrong = [name for name, kind in kinds.items() if not _is(held[name], kind)]
            if wrong:
                raise ValueError(f"its column {wrong[0]!r} holds {held[wrong[0]]}")
            table = file.read(columns=list(kinds), use_threads=False)
        if empty := [name for name in kinds if table.column(name).null_count]:
            raise ValueError(f"its column {empty[0]!r} has missing values")
        found: dict[str, NDArray[Any]] = {}
        for name, kind in kinds.items():
            column = table.column(name)
            if name in words:
                most -= _room(column, fixed=kind == "text")
                _bound(-most, 0)
                column = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], pa.string())
            values = column.to_numpy()
            found[name] = values.astype(np.str_) if kind == "text" else values
    except (pa.ArrowException, OSError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError((str(error).strip().splitlines() or [type(error).__name__])[0][:200]) from error
    return found


def _is(kind: pa.DataType, asked: str) -> bool:
    import pyarrow as pa

    tests: dict[str, Callable[[pa.DataType], bool]] = {"whole": pa.types.is_integer, "number": pa.types.is_floating}
    if asked in tests:
        return tests[asked](kind)
    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _room(column: pa.ChunkedArray, *, fixed: bool) -> int:
    """Return the bytes that a column of texts takes. In a fixed-width array each text takes as many as the longest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    room = longest = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary)
        longest = max(longest, pc.max(lengths).as_py() or 0)
        room += pc.sum(pc.cast(pc.take(lengths, chunk.indices), pa.int64())).as_py() or 0
    return 4 * longest * len(column) if fixed else room


def _bound(bytes_needed: int, most: int) -> None:
    if bytes_needed > most:
        raise ValueError(f"it takes more than {MOST_SWELL} times its own size to read, and more than "
                         f"{FREE_BYTES >> 20:,} MB; {MORE}")
