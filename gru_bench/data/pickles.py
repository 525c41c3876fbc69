"""The homework's pickles -> texts as tokens. Reading one runs no code.

Unpickling can call any function that a pickle names. `Unpickler` refuses every name but `set` and `frozenset` without
looking it up, so a pickle can only build containers, strings and numbers. A hostile one may still take all memory or
overflow the stack, which ends the process.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from gru_bench.data.files import opened
from gru_bench.errors import DataError, shown

_PLAIN = {"set": set, "frozenset": frozenset}
"""The only names that a pickle may use: those of containers that pickle has no instruction for."""


class Unpickler(pickle.Unpickler):
    """An unpickler of containers, strings and numbers. It refuses every other name in a pickle."""

    def __init__(self, file: BinaryIO) -> None:
        """Read from `file`."""
        # Python 2 wrote bytes as text: latin1 maps each byte to a character and cannot fail.
        super().__init__(file, fix_imports=False, encoding="latin1")

    def find_class(self, module: str, name: str) -> type:
        """Return `set` or `frozenset`.

        Raises:
            DataError: for any other name. It is not imported.
        """
        if module in ("builtins", "__builtin__") and name in _PLAIN:
            return _PLAIN[name]
        raise DataError("a pickle of reviews must contain only lists, dicts, texts and numbers, but it names "
                        f"{shown(f'{module}.{name}', '')}, which reading it would import or call: do not trust this "
                        "file")


def reviews(path: Path) -> Iterator[tuple[list[str], str, str]]:
    """Yield the tokens, the label and the category of each text of a pickle: `[positive, negative, vocabulary]`.

    The first two map a category to its texts, as tokens.

    Raises:
        DataError: for anything but containers, strings and numbers, for a damaged pickle, and for another structure.
    """
    with opened(path) as file:
        encoded = file.read()
    if encoded[257:262] == b"ustar":
        raise DataError(f"{path} must be a gzipped pickle, but it is a tar archive: unpack it, and use the file inside")
    try:
        content = Unpickler(io.BytesIO(encoded)).load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:
        # A damaged pickle makes the unpickler raise errors of nearly any kind, from IndexError to MemoryError.
        raise DataError(f"{path} must be a pickle of reviews, but it cannot be read as one "
                        f"({type(error).__name__}: {shown(str(error), '', 200)}): fetch or copy it again") from error
    if not isinstance(content, list | tuple) or len(content) != 3:
        size = f" of {len(content)}" if isinstance(content, list | tuple) else ""
        raise _wrong_structure(path, f"it contains one {type(content).__name__}{size}")
    for name, half in (("positive", content[0]), ("negative", content[1])):
        if not isinstance(half, dict):
            raise _wrong_structure(path, f"its {name} half is a {type(half).__name__}")
        for category, its_reviews in half.items():
            if not isinstance(category, str) or not isinstance(its_reviews, list | tuple):
                raise _wrong_structure(path, f"{name} category {shown(category)} maps to a "
                                             f"{type(its_reviews).__name__}")
            for number, review in enumerate(its_reviews, start=1):
                if not _is_list_of_texts(review):
                    raise _wrong_structure(path, f"review {number} of {name} category {shown(category)} is not a list "
                                                 "of texts")
                yield list(review), name, category


def _is_list_of_texts(review: Any) -> bool:
    return isinstance(review, list | tuple) and all(type(token) is str for token in review)


def _wrong_structure(path: Path, found: str) -> DataError:
    return DataError(f"{path} must contain [positive, negative, vocabulary], the first two mapping a category "
                     f"to a list of reviews, each a list of tokens, but {found}")
