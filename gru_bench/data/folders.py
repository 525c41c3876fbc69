"""The files of a data set that is a file, a pattern of files, or a folder.

A folder is read as one of these, by what is in it:

- texts: a folder for each class, with one .txt file for each review;
- tables: CSV, TSV, JSON Lines or Parquet files of the same columns, together one data set;
- splits: folders named train, validation and test, which hold texts or tables.

Tables whose names begin with train, validation or test, such as train-00000-of-00002.parquet, belong to that split.
Reviews without a class, in a folder or file called `unsup` or `unsupervised`, are left out.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gru_bench.data.files import TABLES, kind_of, reading
from gru_bench.data.readers import PARTS, DataFile
from gru_bench.errors import UsageError, shown

_ENDINGS = (*TABLES, *(f"{ending}.gz" for ending in TABLES if ending != ".parquet"))
_TEXT = ".txt"
_WILD = re.compile(r"[*?\[]")
_UNLABELED = ("unsup", "unsupervised")
"""First words of the names of what holds reviews without a class."""


@dataclass(frozen=True)
class Found:
    """The files of a data set, in the order of their rows."""

    files: tuple[DataFile, ...]
    left_out: tuple[str, ...] = ()
    """Names of folders and files that are left out."""


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern of files, such as `part-*.csv`."""
    return _WILD.search(str(path)) is not None and not path.exists()


def files_of(path: Path) -> Found:
    """Return the files of a data set.

    Raises:
        UsageError: for a pattern without files, and for a folder that is none of those described above.
    """
    if path.is_dir():
        with reading(path):
            return _folder(path)
    if not is_pattern(path):
        return Found((DataFile(path),))
    matching = [Path(name) for name in sorted(glob.glob(str(path))) if Path(name).is_file()]  # noqa: PTH207
    if not matching:
        raise UsageError(f"the data must be existing files, but no file is like {shown(str(path))}: check the pattern")
    for file in matching:
        kind_of(file)
    return Found(tuple(map(DataFile, matching)))


def _folder(path: Path) -> Found:
    folders, tables = _entries(path)
    splits = [folder for folder in folders if folder.name.lower() in PARTS]
    if not splits:
        return _classes_or_tables(path, folders, tables)
    if tables:
        raise _both(path, splits[0], tables[0])
    files: list[DataFile] = []
    left_out = [folder.name for folder in folders if folder not in splits]
    for split in splits:
        found = _classes_or_tables(split, *_entries(split), part=PARTS[split.name.lower()])
        files += [replace(file, split=PARTS[split.name.lower()]) for file in found.files]
        left_out += [f"{split.name}/{name}" for name in found.left_out]
    if len({file.split for file in files}) == 1:
        files = [replace(file, split=None) for file in files]  # one split alone is to be split
    return Found(tuple(files), tuple(left_out))


def _entries(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the tables in a folder, by name, without hidden ones."""
    paths = sorted((entry for entry in path.iterdir() if not entry.name.startswith((".", "__MACOSX"))), key=str)
    return ([one for one in paths if one.is_dir()],
            [one for one in paths if one.name.lower().endswith(_ENDINGS) and one.is_file()])


def _classes_or_tables(path: Path, folders: Sequence[Path], tables: Sequence[Path], part: str | None = None) -> Found:
    """Return the files of a folder that holds a folder for each class, or tables.

    Args:
        path: The folder.
        folders: The folders in it.
        tables: The tables in it.
        part: The split that it is, if it is one.
    """
    texts = {folder: sorted((file for file in folder.iterdir()
                             if file.name.lower().endswith(_TEXT) and not file.name.startswith(".")), key=str)
             for folder in folders}
    classes = [folder for folder in folders if texts[folder]]
    if classes and tables:
        raise _both(path, classes[0], tables[0])
    unlabeled = [one for one in (*classes, *tables) if _first_word(one) in _UNLABELED]
    left_out = tuple(one.name for one in (*unlabeled, *(folder for folder in folders if not texts[folder])))
    labeled = [folder for folder in classes if folder not in unlabeled]
    if labeled:
        return Found(tuple(DataFile(file, label=folder.name) for folder in labeled for file in texts[folder]),
                     left_out)
    tables = [table for table in tables if table not in unlabeled]
    if not tables:
        raise UsageError(f"a folder of data must hold tables ({', '.join(TABLES)}), or a folder for each class with "
                         f"{_TEXT} files in it, but {path} holds neither: name a file, or another folder")
    parts = [part or PARTS.get(_first_word(table)) for table in tables]
    if len(set(parts)) > 1 and None in parts:
        named, other = (tables[parts.index(one)].name for one in (next(filter(None, parts)), None))
        raise UsageError(f"either all files of {path} must be named after a split, or none, but {named} is and {other} "
                         "is not: name a pattern of the files to read, such as 'train*.csv', and the test files by "
                         "--test-data")
    several = len(set(parts)) > 1
    return Found(tuple(DataFile(table, split=one if several else None)
                       for table, one in zip(tables, parts, strict=True)), left_out)


def _first_word(path: Path) -> str:
    return re.split(r"[-_.]", path.name.lower())[0]


def _both(path: Path, folder: Path, table: Path) -> UsageError:
    return UsageError(f"a folder of data must hold either folders of texts or tables, but {path} holds both, such as "
                      f"{folder.name} and {table.name}: move one of them, or name the files by a pattern")
