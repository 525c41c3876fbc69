"""A safe reader of pickles: it returns lists, dicts, texts and numbers, runs no code, and bounds time and memory.

A pickle is a list of instructions for a small stack machine. A few bytes of it can run any code, take any amount of
memory, or compute for years. Therefore `_walked` checks all instructions before any is executed, and `Unpickler`
refuses every name except `set` and `frozenset` without looking it up. Refused are:

- a memo index that no earlier instruction can have filled, because the memo grows to the highest index;
- a tuple, except the one that passes a list to `set`: hashing nested tuples can take unbounded time or overflow the C
  stack;
- a number of more than 8 bytes, because its hash is computed again each time;
- more instructions than the limit of the file allows (64 bytes each);
- `BUILD`, and references to objects outside the pickle.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from operator import length_hint
from struct import Struct
from struct import error as StructError
from typing import Any, BinaryIO

from gru_bench.data.limits import Budget
from gru_bench.errors import DataError, shown

_PLAIN = "a pickle of reviews must hold only lists, dicts, texts and numbers"
_INSTRUCTION = 64
"""Number of bytes that an instruction counts: the size of a typical object and its slot on the stack."""
_SET = 256
"""Number of bytes that a set counts."""


class Unpickler(pickle.Unpickler):
    """An unpickler of containers, strings and numbers. It refuses every other name in a pickle."""

    def __init__(self, file: BinaryIO, budget: Budget | None = None) -> None:
        """Read from `file`, and count the sets that are built in `budget`."""
        # Python 2 wrote bytes as text: latin1 maps each byte to a character and cannot fail.
        super().__init__(file, fix_imports=False, encoding="latin1")
        self._budget = budget

    def _set(self, values: list[Any] | None = None) -> set[Any]:
        # Only a list is allowed: then the tuple around it, which later instructions may use again, cannot be hashed.
        if not isinstance(values, list | None):
            raise DataError(f"{_PLAIN}, but it makes a set of a {type(values).__name__}: do not trust this file")
        if self._budget is not None:
            self._budget.spend(_SET + _INSTRUCTION * len(values or ()))
        return set(values or ())

    def _frozenset(self, values: list[Any] | None = None) -> frozenset[Any]:
        return frozenset(self._set(values))

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return the function that builds a `set` or a `frozenset`.

        Raises:
            DataError: for any other name. It is not imported.
        """
        if module in ("builtins", "__builtin__") and name in ("set", "frozenset"):
            return self._set if name == "set" else self._frozenset
        raise DataError(f"{_PLAIN}, but it names {shown(f'{module}.{name}', '')}, which reading it would import or "
                        "call: do not trust this file")

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects outside the pickle.

        Raises:
            DataError: always.
        """
        raise DataError(f"{_PLAIN}, but it refers to an outside object: do not trust this file")


def unpickled(content: bytes, budget: Budget) -> Any:
    """Return the content of a pickle.

    Raises:
        DataError: where it holds anything but containers, strings and numbers, or exceeds `budget`.
        Exception: of nearly any kind, where the pickle is damaged.
    """
    end, refusal = _walked(content, budget)
    try:
        # The instructions before a refused one are executed, because a name among them makes a better message.
        followed = content[:end].ljust(len(content), b"\0") if refusal else content[:end]
        # A buffered reader, because the unpickler reads large blocks only from files that have `peek`.
        return Unpickler(io.BufferedReader(io.BytesIO(followed), 1 << 16), budget).load()
    except DataError:
        raise
    except Exception:
        if refusal:
            raise DataError(f"{_PLAIN}, but it holds {refusal}: do not trust this file") from None
        raise


# ---------------------------------------------------------------- the walk

(_PLACE, _SHORT, _COUNTED, _LONG_COUNTED, _LINE, _TWO_LINES, _NUMBER, _PLACE_LINE, _TUPLE, _FRAME, _NEW_SET, _REFUSED,
 _STOP) = range(-13, 0)
_UNKNOWN = 0


def _sizes() -> list[int]:
    """Return, for each first byte of an instruction, its size, or a code (below 1) for how to find the size."""
    kinds = {pickletools.UP_TO_NEWLINE: _LINE, pickletools.TAKEN_FROM_ARGUMENT1: _SHORT,
             pickletools.TAKEN_FROM_ARGUMENT4: _COUNTED, pickletools.TAKEN_FROM_ARGUMENT4U: _COUNTED,
             pickletools.TAKEN_FROM_ARGUMENT8U: _LONG_COUNTED}
    special: Mapping[str, int] = {
        "LONG_BINPUT": _PLACE, "PUT": _PLACE_LINE, "GLOBAL": _TWO_LINES, "INST": _TWO_LINES, "STOP": _STOP,
        "INT": _NUMBER, "LONG": _NUMBER, "FLOAT": _NUMBER, "EMPTY_SET": _NEW_SET, "FRAME": _FRAME,
        "TUPLE": _TUPLE, "TUPLE1": _TUPLE, "TUPLE2": _TUPLE, "TUPLE3": _TUPLE, "LONG4": _REFUSED, "BUILD": _REFUSED}
    sizes = [_UNKNOWN] * 256
    for instruction in pickletools.opcodes:
        argument = 0 if instruction.arg is None else instruction.arg.n
        sizes[ord(instruction.code)] = special.get(instruction.name) or kinds.get(argument) or 1 + argument
    return sizes


_SIZES = _sizes()
_PUTS = {ord(pickle.BINPUT): 2, ord(pickle.LONG_BINPUT): 5, ord(pickle.MEMOIZE): 1}
_MEMO = "a memo that is not filled in order"


def _walked(content: bytes, budget: Budget) -> tuple[int, str]:
    """Return how many bytes may be executed, and what the instruction after them is refused for, or "".

    Where the bytes are cut off or are not a pickle, the count ends there; executing them then raises an error.
    """
    sizes, counted = _SIZES, _COUNTED
    uint32 = Struct("<I").unpack_from
    at = begins = 0
    most = budget.left // _INSTRUCTION + 1
    walked = iter(range(most))
    try:
        for _ in walked:
            size = sizes[content[at]]
            begins = at
            if size == counted:
                at += 5 + uint32(content, at + 1)[0]
            elif size > 0:
                at += size
            elif size == _PLACE:
                if uint32(content, at + 1)[0] >= at:
                    return at, _MEMO
                at += 5
            elif size == _STOP:
                return len(content), ""
            elif size == _UNKNOWN:
                return at + 1, ""
            else:
                after, refusal = _rarer(content, at, size)
                if refusal:
                    return at, refusal
                at = after
                if size == _NEW_SET:
                    budget.spend(_SET)
    except (IndexError, ValueError, StructError):
        pass  # it is cut off
    finally:
        budget.spend(_INSTRUCTION * (most - length_hint(walked)))
    # The last instruction may claim bytes beyond the end, and would allocate memory for them.
    return begins, ""


def _rarer(content: bytes, at: int, size: int) -> tuple[int, str]:
    """Return where the next instruction begins, after one of the rarer kinds, and why this one is refused, or "".

    Raises:
        IndexError: where the pickle is cut off; ValueError likewise.
    """
    code = content[at:at + 1]
    if size == _SHORT:
        length = content[at + 1]
        return at + 2 + length, _number(length - 1) if code == pickle.LONG1 else ""
    if size == _LONG_COUNTED:
        return at + 9 + int.from_bytes(content[at + 1:at + 9], "little"), ""
    if size == _FRAME:
        # The unpickler allocates memory for a whole frame at its start.
        if int.from_bytes(content[at + 1:at + 9], "little") > len(content):
            raise IndexError("a frame is cut off")
        return at + 9, ""
    if size == _TUPLE:
        after = at + 1
        while content[after] in _PUTS:
            after += _PUTS[content[after]]
        if content[after:after + 1] == pickle.PUT:
            after = content.index(b"\n", after) + 1
        return at + 1, "" if content[after:after + 1] == pickle.REDUCE else "a tuple"
    if size in (_NEW_SET, _REFUSED):
        return at + 1, {pickle.LONG4: _number(9), pickle.BUILD: "the state of an object"}.get(code, "")
    after = content.index(b"\n", at) + 1
    if size == _TWO_LINES:
        after = content.index(b"\n", after) + 1
    line = content[at + 1:after - 1]
    if size == _NUMBER:
        return after, _number(len(line) // 4)  # 0.12345678901234567e-300 and 18446744073709551615L are 8 bytes
    if size == _PLACE_LINE and not (line.isdigit() and len(line) < 20 and int(line) < at):
        return after, _MEMO
    return after, ""


def _number(size: int) -> str:
    return "a number of more than 8 bytes" if size > 8 else ""
