"""Data frames as data sets: a frame is kept in the cache as a Parquet file, so that its study can go on without it.

The same texts and labels under the same name are the same file. A frame may be one of pandas, polars or pyarrow, or
a dictionary of columns.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.data.cache import cached_folder, default_cache
from gru_bench.data.columns import Columns
from gru_bench.errors import DataError, UsageError, first_line, shown
from gru_bench.platforms import is_reserved

if TYPE_CHECKING:
    import pandas as pd

_FRAMES = "frames"
"""Folder below the root of the caches that holds the frames, each in a folder of its own."""
_INDEX = "index"
"""Name of the column with the index of a frame."""
WHERE = Path("the frame")
"""Stands for the file in messages about the columns of a frame."""
_LONGEST_NAME = 80


def is_frame(data: object) -> bool:
    """Return whether data is a data frame."""
    return isinstance(data, Mapping) or (
        hasattr(data, "columns") and (hasattr(data, "iloc") or hasattr(data, "to_pandas")))


def as_pandas(frame: Any) -> pd.DataFrame:
    """Return a data frame as one of pandas, whose columns have texts as names.

    Raises:
        DataError: for a dictionary that is none of columns of the same length.
    """
    import pandas as pd

    try:
        found = frame.to_pandas() if hasattr(frame, "to_pandas") else pd.DataFrame(frame)
    except (TypeError, ValueError) as error:
        raise DataError("the columns of the frame must be equally long lists of values, but pandas cannot read them "
                        f"({first_line(error)}): write one value for each text") from error
    return found.set_axis(list(map(str, found.columns)), axis="columns")


def keep(frame: Any, columns: Columns, name: str) -> tuple[Path, Columns]:
    """Write the columns of a frame that are read to the cache, unless they are there.

    Args:
        frame: The data frame.
        columns: Its columns. Usual names stand in for default ones that it lacks.
        name: Name of the data.

    Returns:
        The file, whose name without its ending is the name of the data, and the columns to read of it. The index of a
        pandas frame that names each row once is its column of ids where none is named.

    Raises:
        UsageError: for a column that the frame lacks. The error lists its columns.
        DataError: for a frame without rows, for columns of different lengths, and for a column that holds something
            else than values.
        RunError: where the cache cannot be written.
    """
    import pyarrow.parquet as pq

    values = as_pandas(frame)
    found = columns.found_in(list(values.columns), WHERE)
    table = _table(values, dict.fromkeys(found.names.values()), str(WHERE))
    if found.id is None and _INDEX not in table.column_names and (index := _index(frame)) is not None:
        table, found = table.append_column(_INDEX, [index]), replace(found, id=_INDEX)
    if not table.num_rows:
        raise DataError("the frame has no rows: check how it was created")
    content = [name, *([column, table.column(column).to_pylist()] for column in table.column_names)]
    key = hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()
    file = f"{_file_name(name)}.parquet"
    folder = cached_folder(default_cache(), _FRAMES, key, lambda begun: pq.write_table(table, begun / file))
    return folder / file, found


def is_kept(name: object) -> bool:
    """Return whether a name of data is that of the file of a frame that was kept."""
    return isinstance(name, str) and name.endswith(".parquet") and Path(name).parent.parent.name == _FRAMES


def _index(frame: Any) -> Any:
    """Return the index of a pandas frame as an Arrow array of texts; None where it does not name each row once."""
    import pyarrow as pa

    if not hasattr(frame, "iloc") or frame.index.nlevels > 1 or frame.index.hasnans or not frame.index.is_unique:
        return None
    return pa.array(map(str, frame.index), pa.large_string())


def written(frame: Any, model: str, folder: Path) -> Path:
    """Write a frame of predictions to a Parquet file in a new folder.

    A name of the model is that of the file and of its one model, and stands before the names of several.

    Raises:
        DataError: for a column that holds something else than values, and for several columns of one name.
    """
    import pyarrow.parquet as pq

    frame = as_pandas(frame)
    if model:
        names = list(frame.get("model", []))
        frame = frame.assign(model=[f"{model} {name}" for name in names] if len(set(names)) > 1 else model)
    table = _table(frame, frame.columns, f"{WHERE} of {model}" if model else str(WHERE))
    folder.mkdir()
    path = folder / f"{_file_name(model)}.parquet"
    pq.write_table(table, path)
    return path


def of_arrays(predictions: Any, truth: Any) -> dict[str, dict[str, list[Any]]]:
    """Return the frame of each model from its predicted classes in the order of the true ones.

    Args:
        predictions: Model -> N predicted classes, or several such arrays, one for each seed.
        truth: N true classes.

    Raises:
        UsageError: for predictions of another form or length, and for series of pandas in different orders.
    """
    if not isinstance(predictions, Mapping) or not _is_array(truth):
        raise UsageError("with an array of true classes, predictions must be a dictionary of arrays by the names of "
                         f"their models, but got {shown(predictions)} of type {type(predictions).__name__}: give "
                         "{'bert': [...], 'tfidf': [...]}")
    label_N = list(truth)
    indexes = [list(truth.index)] if hasattr(truth, "iloc") else []
    frames: dict[str, dict[str, list[Any]]] = {}
    for model, given in predictions.items():
        if is_frame(given) or not _is_array(given):
            raise UsageError(f"with an array of true classes, the predictions of {shown(model)} must be an array of "
                             f"classes or a list of such arrays, but got {shown(given)} of type "
                             f"{type(given).__name__}: give a column, such as frame['prediction']")
        several = list(given)
        are_seeds = bool(several) and all(map(_is_array, several))
        arrays = several if are_seeds else [given]
        for array in arrays:
            if len(array) != len(label_N):
                raise UsageError(f"there must be a prediction for each of the {len(label_N):,} true classes, but "
                                 f"{shown(model)} has {len(array):,}: give an array for each seed")
            indexes += [list(array.index)] if hasattr(array, "iloc") else []
            if indexes and indexes[-1] != indexes[0]:
                raise UsageError("series must be of the same examples in the same order, but that of "
                                 f"{shown(model)} has another index than those before it: reorder them with .loc, or "
                                 "pass .to_numpy() if the order is right")
        frames[str(model)] = {"id": [*range(len(label_N))] * len(arrays), "label": label_N * len(arrays),
                              "prediction": list(chain.from_iterable(arrays))}
        if are_seeds:
            frames[str(model)]["seed"] = [seed for seed in range(1, len(several) + 1) for _ in label_N]
    return frames


def _is_array(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)


def _table(frame: pd.DataFrame, names: Iterable[str], where: str) -> Any:
    """Return columns of a frame as an Arrow table of single values."""
    import pyarrow as pa

    columns = {}
    for name in names:
        try:
            columns[name] = pa.Table.from_pandas(frame[[name]], preserve_index=False).column(0)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"column {shown(name)} of {where} must contain values of one kind, texts or numbers, but "
                            f"it cannot be read as such ({first_line(error)}): rename or convert it, for example by "
                            f"frame[{name!r}].astype(str)") from error
    return pa.table(columns)


def _file_name(name: str) -> str:
    """Return a name without what file systems refuse, or take for a pattern of files."""
    plain = re.sub(r"[^\w .-]+", "-", name).strip(" .-")[:_LONGEST_NAME] or "frame"
    return f"{plain}-data" if is_reserved(plain) else plain
