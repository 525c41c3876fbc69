"""The tables that runs log as Parquet artifacts, and their readers, which check the values.

Shapes: `N` examples of a split, `C` classes, `L` likeliest classes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MOST_CLASSES
from gru_bench.errors import first_line
from gru_bench.results.runs import MOST_WHOLE, Predictions
from gru_bench.stats.metrics import average_precision, by_class, class_scores, counts, of_two, predicted, roc_auc

if TYPE_CHECKING:
    import pyarrow as pa

LIKELIEST = 5
"""Number of classes that are kept of more, beside the true one."""
_LISTS = {"wholes": "whole", "numbers": "number"}
"""Kind of a column of lists of one length -> kind of their values."""


def prediction_table(predictions: Predictions) -> pa.Table:
    """Return the predictions of a run for a split, as `predictions_of` reads them.

    Two classes have one column `probability`. Up to `MOST_WHOLE` classes have all their probabilities in
    `probabilities`. More have those of the likeliest classes in `likeliest` and `probabilities`, and that of the true
    class in `true_probability`.
    """
    import pyarrow as pa

    probability_NC = predictions.probability_NC
    columns: dict[str, Any] = {
        "example_id": [str(example) for example in predictions.example_id_N], "label": predictions.label_N}
    metadata = None
    if probability_NC.shape[1] == 2:
        columns["probability"] = probability_NC[:, 1]
    elif probability_NC.shape[1] <= MOST_WHOLE:
        columns["probabilities"] = _lists(probability_NC)
    else:
        place_NL = np.argsort(-probability_NC, axis=1, kind="stable")[:, :LIKELIEST]
        columns |= {
            "likeliest": _lists(place_NL.astype(np.int16)),
            "probabilities": _lists(np.take_along_axis(probability_NC, place_NL, axis=1)),
            "true_probability": probability_NC[np.arange(len(predictions)), predictions.label_N]}
        metadata = {"classes": str(probability_NC.shape[1])}
    columns |= {"category": [str(category) for category in predictions.category_N],
                "tokens": predictions.tokens_N, "dropped": predictions.dropped_N,
                **{name: values.astype(object) for name, values in (
                    ("row", predictions.name_N), ("group", predictions.group_N)) if values is not None}}
    return pa.table(columns, metadata=metadata)


def _lists(values_NL: NDArray[Any]) -> pa.FixedSizeListArray:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(values_NL.reshape(-1)), values_NL.shape[1])


def class_table(predictions: Predictions, classes: Sequence[str]) -> bytes:
    """Return the scores of each class as a table. They are no metrics, because there may be a thousand classes."""
    label_N, probability_NC = predictions.label_N, predictions.probability_NC
    table = class_scores(counts(label_N, predicted(probability_NC), len(classes)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "examples", "predicted", "precision", "recall", "f1", "roc_auc", "average_precision"])
    for name, one, *areas in zip(classes, table, *(by_class(score, label_N, probability_NC)
                                                   for score in (roc_auc, average_precision)), strict=True):
        writer.writerow([name, *astuple(one), *("" if area is None else area for area in areas)])
    return text.getvalue().encode()


def predictions_of(content: bytes) -> Predictions:
    """Return the predictions of a run for a split, from the bytes of their Parquet file.

    Raises:
        ValueError: The table is damaged or has other columns.
    """
    names, classes, more = _form(content)
    kinds = {"probability": "number", "probabilities": "numbers", "likeliest": "wholes", "true_probability": "number"}
    column = _columns(content, {"example_id": "text", "label": "whole", **{name: kinds[name] for name in names},
                                "category": "text", "tokens": "whole", "dropped": "whole",
                                **dict.fromkeys(more, "text")})
    label_N, probabilities = column["label"], column[names[0]]
    if names == ("probabilities",):
        classes = probabilities.shape[1]
    for wrong, what in (
        (not len(label_N), "it contains no example"),
        (not 2 <= classes <= MOST_CLASSES, f"it must be about 2 to {MOST_CLASSES} classes, but is about {classes}"),
        (not ((label_N >= 0) & (label_N < classes)).all(),
         f"its labels must be {'0 or 1' if classes == 2 else f'0 to {classes - 1}'}, but some are not"),
        (not all(((column[name] >= 0) & (column[name] <= 1)).all() for name in names if name != "likeliest"),
         "its probabilities must lie between 0 and 1, but some do not"),
        ("likeliest" in names and not ((column["likeliest"] >= 0) & (column["likeliest"] < classes)).all(),
         f"its most likely classes must be 0 to {classes - 1}, but some are not"),
        (not all(((column[name] >= 0) & (column[name] < 1 << 31)).all() for name in ("tokens", "dropped")),
         "its counts of tokens must lie between 0 and 2,147,483,647, but some do not"),
    ):
        if wrong:
            raise ValueError(what)
    whole = "likeliest" not in names
    probability_NC = probabilities if probabilities.dtype == np.float64 else probabilities.astype(np.float32)
    if names == ("probability",):
        probability_NC = of_two(probability_NC)
    elif not whole:
        probability_NC = np.zeros((len(label_N), classes), probability_NC.dtype)
        np.put_along_axis(probability_NC, column["likeliest"].astype(np.int64), probabilities, axis=1)
        probability_NC[np.arange(len(label_N)), label_N] = column["true_probability"]
    return Predictions(
        example_id_N=column["example_id"], label_N=label_N.astype(np.int8 if classes <= 128 else np.int16),
        probability_NC=probability_NC, category_N=column["category"],
        tokens_N=column["tokens"].astype(np.int32), dropped_N=column["dropped"].astype(np.int32), whole=whole,
        name_N=column.get("row"), group_N=column.get("group"))


def _form(content: bytes) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """Return the names of the columns of probabilities, the number of classes where a table says it, or else 2, and
    which columns it has of those that not every table has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(first_line(error)) from error
    more = tuple(name for name in ("row", "group") if name in schema.names)
    if "likeliest" in schema.names:
        said = (schema.metadata or {}).get(b"classes", b"")
        classes = int(said) if said.isdigit() and len(said) < 9 else 0
        return ("probabilities", "likeliest", "true_probability"), classes, more
    return ("probabilities",) if "probabilities" in schema.names else ("probability",), 2, more


def texts_of(content: bytes) -> dict[str, str]:
    """Return example id -> text, from the bytes of their Parquet file.

    Raises:
        ValueError: The table is damaged or has other columns.
    """
    column = _columns(content, {"example_id": "text", "text": "object"})
    return dict(zip(column["example_id"].tolist(), column["text"].tolist(), strict=True))


def _columns(content: bytes, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Return columns of a table by name. Kind `text` gives a fixed-width array, `object` an array of Python strings."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            held = {field.name: field.type for field in file.schema_arrow}
            if missing := [name for name in kinds if name not in held]:
                raise ValueError(f"it has no column {missing[0]!r}")
            if wrong := [name for name, kind in kinds.items() if not _is(held[name], kind)]:
                raise ValueError(f"its column {wrong[0]!r} contains {held[wrong[0]]}")
            table = file.read(columns=list(kinds), use_threads=False)
        if empty := [name for name in kinds if table.column(name).null_count]:
            raise ValueError(f"its column {empty[0]!r} has missing values")
        found: dict[str, NDArray[Any]] = {}
        for name, kind in kinds.items():
            column = table.column(name)
            if kind in _LISTS:
                flat = pc.list_flatten(column)
                if flat.null_count or len(flat) != len(column) * held[name].list_size:
                    raise ValueError(f"its column {name!r} has missing values")
                found[name] = flat.to_numpy().reshape(len(column), held[name].list_size)
                continue
            values = column.to_numpy()
            found[name] = values.astype(np.str_) if kind == "text" else values
    except (pa.ArrowException, OSError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError(first_line(error)) from error
    return found


def _is(kind: pa.DataType, asked: str) -> bool:
    import pyarrow as pa

    tests: dict[str, Callable[[pa.DataType], bool]] = {"whole": pa.types.is_integer, "number": pa.types.is_floating}
    if asked in tests:
        return tests[asked](kind)
    if asked in _LISTS:
        return bool(pa.types.is_fixed_size_list(kind) and 0 < kind.list_size <= MOST_CLASSES
                    and tests[_LISTS[asked]](kind.value_type))
    return bool(pa.types.is_string(kind))
