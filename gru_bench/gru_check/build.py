"""The object that a student's file names, built with small sizes where its constructor takes sizes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gru_bench.errors import RunError, UsageError, unknown
from gru_bench.gru_check.forms import is_required, parameters_of, weights_of
from gru_bench.gru_check.load import defined, failure
from gru_bench.gru_check.subject import Subject
from gru_bench.gru_check.watch import Watch, settings_kept

SIZES: Mapping[str, int] = {"E": 5, "H": 4, "C": 3, "V": 61, "L": 1, "B": 1, "T": 6}
"""Names for --make: input width, hidden width, classes, vocabulary, layers, batch, steps."""
_BY_NAME = (
    ("L", r"^(num_|n_)?layers?(_num)?$|^n_?layers?$|^depth$|^num_?l$"),
    ("V", r"vocab|chars|n_?words|num_?emb|n_?tokens|dict"),
    ("C", r"(?<!drop)out|class|label|target|tag|categor|^c$|^k$|^o$|_y$|^y_?"),
    ("H", r"hid|^h$|^nh$|_h$|units|state|^h_?dim|^n_?h$|rnn_?size|^d_?h$"),
    ("E", r"inp|emb|^e$|^in$|^in_|feat|^n_?in|^x_?|_x$|_in$|^d_?x$|^d_?in|^i$|^d$|word|vec|d_?model"),
    ("B", r"batch_?size|^bs$|^b$"),
    ("T", r"len|steps|^t$"),
)
_A_SIZE = re.compile(
    r"[a-z]\d?|\w*(size|sz|dim|dims|width|units|features|channels)|(n|nb|num|d|dim|size)_?\w{1,3}|\w+_(n|d)|d_\w+")


def build(module: ModuleType, path: Path, name: str, make: str | None = None) -> Subject:
    """Build what NAME stands for.

    Args:
        module: The module.
        path: Its file.
        name: The class, the function or the object.
        make: An expression that builds it.

    Raises:
        GruBenchError: When there is no such name, or it cannot be built, or is nothing to check.
    """
    path = path.resolve()
    torch.manual_seed(0)
    written, made, sizes = _expression(module, path, name) if make is None else _made(module, make)
    with settings_kept(), Watch(path, random=True):
        try:
            built = made()
        except Exception as error:
            raise failure(error, path, written, f"--make \"{name}(E, H, ...)\" builds it with other arguments, where E "
                          "is the input size and H the hidden size") from error
    if not weights_of(built):
        raise RunError(f"{path.name}: {written} must compute with weights that are tensors of torch, but it has none: "
                       "make each array of NumPy a tensor, and use torch.tanh in place of np.tanh")
    return Subject(path, written, built, sizes)


def _made(module: ModuleType, make: str) -> tuple[str, Callable[[], Any], dict[str, int]]:
    """Return an expression, what evaluates it, and the sizes that it uses."""
    try:
        code = compile(make, "--make", "eval")
    except SyntaxError as error:
        raise UsageError(f"--make must be a Python expression, but got {make!r}: {error.msg}") from error
    used = {key: size for key, size in SIZES.items() if key in code.co_names and key not in vars(module)}
    return make, lambda: eval(code, {**SIZES, "torch": torch, "nn": nn, **vars(module)}), used


def _expression(module: ModuleType, path: Path, name: str) -> tuple[str, Callable[[], Any], dict[str, int]]:
    """Return the expression that builds what a name stands for, what evaluates it, and the sizes that it uses."""
    target = getattr(module, name, None)
    if target is None:
        raise unknown(f"name in {path.name}", name, defined(module), "Write FILE:NAME.")
    if isinstance(target, nn.Module) or not callable(target):
        return name, lambda: target, {}
    parameters = _parameters(target)
    arguments, sizes = _arguments(parameters, module)
    missing = [one.name for one in parameters if is_required(one) and one.name not in arguments]
    if missing:
        call = ", ".join(_size_of(one.name) or "..." for one in parameters)
        raise RunError(f"{name}({', '.join(one.name for one in parameters)}) has arguments that cannot be guessed, "
                       f"{', '.join(missing)}: add --make \"{name}({call})\", where E is the input size and H the "
                       "hidden size")
    return f"{name}({', '.join(map(str, arguments.values()))})", lambda: target(**arguments), sizes


# ---------------------------------------------------------------- arguments of a constructor


def _parameters(target: Any) -> list[inspect.Parameter]:
    """Return the parameters of a constructor or function. What hands all of its own on to torch.nn.GRU, LSTM or RNN has
    those of a cell."""
    named = parameters_of(target)
    is_torchs = isinstance(target, type) and issubclass(target, nn.RNNBase)
    return _parameters(nn.GRUCell) if is_torchs and not named else named


def _arguments(parameters: Sequence[inspect.Parameter], module: ModuleType) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the arguments of a constructor that can be guessed, and the sizes among them.

    Where names say nothing the order does: input, hidden, classes. Defaults are replaced by E and H alone.
    """
    required = [p.name for p in parameters if is_required(p)]
    letters = {p.name: letter for p in parameters if (letter := _size_of(p.name)) is not None and (
        p.name in required or (type(p.default) is int and letter in ("E", "H")))}
    for name in required:
        left = [letter for letter in "EHC" if letter not in letters.values()]
        if name not in letters and left and _A_SIZE.fullmatch(name.lower()):
            letters[name] = left[0]
    if len(required) == 2 and not letters:
        letters = dict(zip(required, "EH", strict=True))
    arguments: dict[str, Any] = {name: SIZES[letter] for name, letter in letters.items()}
    config, of_config = _config(module) if len(letters) < len(required) else (None, {})
    return ({name: config for name in required if config is not None} | arguments,
            of_config | {letter: SIZES[letter] for letter in letters.values()})


def _size_of(name: str) -> str | None:
    """Return the letter of the size that a parameter of this name takes, or None."""
    return next((letter for letter, pattern in _BY_NAME if re.search(pattern, name.lower())), None)


def _config(module: ModuleType) -> tuple[Any, dict[str, int]]:
    """Return an object of the one dataclass of a module whose fields all have defaults, with small sizes, and these."""
    found = [value for value in vars(module).values() if isinstance(value, type) and is_dataclass(value)
             and value.__module__ == module.__name__
             and all(one.default is not MISSING or one.default_factory is not MISSING for one in fields(value))]
    if len(found) != 1:
        return None, {}
    letters = {one.name: letter for one in fields(found[0])
               if type(one.default) is int and (letter := _size_of(one.name)) in ("E", "H", "V")}
    return (found[0](**{name: SIZES[letter] for name, letter in letters.items()}),
            {letter: SIZES[letter] for letter in letters.values()})
