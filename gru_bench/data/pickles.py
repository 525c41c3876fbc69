"""The bytes of a pickle -> lists, dicts, texts and numbers; nothing is run, and its size explains what it takes.

A pickle is a list of instructions for a small stack machine. It may run any code, take any amount of memory and compute
for years, in a few bytes. Therefore its instructions are walked before any is followed (`_walked`), and `Unpickler`
refuses every name but `set` and `frozenset` before it is looked up. Refused are:

- a place in the memo that no earlier instruction can have filled, since the memo grows to the highest place;
- a tuple, but for one that hands `set` its list: the hash of tuples of tuples takes time without end, or overflows the
  C stack;
- a number of more than 8 bytes, whose hash is computed anew each time;
- more instructions than the file's budget allows (64 bytes each);
- `BUILD` and what stands outside of the pickle.
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
"""Bytes that an instruction counts: what the commonest make, with a place on the stack."""
_SET = 256
"""Bytes that a set counts."""


class Unpickler(pickle.Unpickler):
    """Reads containers, strings and numbers; whatever else a pickle names is refused by that name."""

    def __init__(self, file: BinaryIO, budget: Budget | None = None) -> None:
        """Read from `file`; the sets that are built are taken from `budget`."""
        # Python 2 wrote bytes as text: latin1 maps each byte to a character and cannot fail.
        super().__init__(file, fix_imports=False, encoding="latin1")
        self._budget = budget

    def _set(self, values: list[Any] | None = None) -> set[Any]:
        # Of a list alone: then the tuple that holds it, which may be named again, has no hash.
        if not isinstance(values, list | None):
            raise DataError(f"{_PLAIN}, but it makes a set of a {type(values).__name__}: do not trust this file")
        if self._budget is not None:
            self._budget.spend(_SET + _INSTRUCTION * len(values or ()))
        return set(values or ())

    def _frozenset(self, values: list[Any] | None = None) -> frozenset[Any]:
        return frozenset(self._set(values))

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return what builds a `set` or a `frozenset`.

        Raises:
            DataError: for any other name, which is not imported.
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
    """Return what a pickle holds.

    Raises:
        DataError: where it holds something else than containers, strings and numbers, or takes more than `budget`.
        Exception: nearly any, where it is damaged.
    """
    end, refusal = _walked(content, budget)
    try:
        # What comes before an instruction that is refused is followed: a name in it tells more.
        followed = content[:end].ljust(len(content), b"\0") if refusal else content[:end]
        # Buffered, since the unpickler reads by large blocks only what it can peek into.
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
    """Return for each byte the size of the instruction it begins, or how that is found."""
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
    """Return how many bytes may be followed, and which instruction after them is refused, if one is.

    Where the pickle is cut off, or is none, they end there; following them tells so.
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
    # The last instruction may go on beyond the end, and would make room for it.
    return begins, ""


def _rarer(content: bytes, at: int, size: int) -> tuple[int, str]:
    """Return where the instruction after this one begins, which is none of the commonest, and why it is refused.

    Raises:
        IndexError: where the pickle is cut off, as ValueError is.
    """
    code = content[at:at + 1]
    if size == _SHORT:
        length = content[at + 1]
        return at + 2 + length, _number(length - 1) if code == pickle.LONG1 else ""
    if size == _LONG_COUNTED:
        return at + 9 + int.from_bytes(content[at + 1:at + 9], "little"), ""
    if size == _FRAME:
        # The unpickler makes room for all of a frame when it begins.
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
