"""What belongs to the caller of `assert_is_gru`: put back after a check, whatever its object did meanwhile."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from typing import Any

from torch import Tensor, nn

_DICTS = (dict, OrderedDict, defaultdict)


@contextmanager
def kept(built: Any, space: dict[str, Any], module: str) -> Iterator[None]:
    """Put back at the end the tensors, lists, sets, dictionaries and attributes that an object and its module hold.

    Args:
        built: The object.
        space: Names of its module -> values.
        module: Name of its module. Objects of the classes in it are looked into, those of other classes are not.
    """
    put_back = [action for value in _within(built, space, module) if (action := _restoring(value)) is not None]
    try:
        yield
    finally:
        for action in put_back:
            action()


def _within(built: Any, space: dict[str, Any], module: str) -> Iterable[Any]:
    """Return all values in reach, each once."""
    found: dict[int, Any] = {}
    waiting = [space, built, *([built.__globals__] if isfunction(built) else [])]
    while waiting:
        value = waiting.pop()
        if id(value) in found:
            continue
        found[id(value)] = value
        if type(value) in _DICTS:
            waiting += value.values()
        elif type(value) in (list, tuple, set):
            waiting += value
        elif isinstance(value, Tensor):
            waiting += [] if not value.is_leaf or value.grad is None else [value.grad]
        elif isfunction(value) and value.__module__ == module:
            waiting += [*(value.__defaults__ or ()), *(cell.cell_contents for cell in value.__closure__ or ()
                                                       if _is_filled(cell))]
        elif isinstance(value, type) and value.__module__ == module:
            waiting += vars(value).values()
        elif isinstance(value, nn.Module) or (type(value).__module__ == module and hasattr(value, "__dict__")):
            waiting.append(vars(value))
    return found.values()


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _restoring(value: Any) -> Callable[[], None] | None:
    """Return what gives a value its present content again; None where it has none that changes."""
    if isinstance(value, Tensor):
        return _restoring_tensor(value)
    if type(value) in _DICTS:
        names = dict(value)

        def put_back() -> None:
            for name in [name for name in value if name not in names]:
                del value[name]
            for name, one in names.items():
                if name not in value or value[name] is not one:
                    value[name] = one

        return put_back
    if type(value) is list:
        items = list(value)
        return lambda: value.__setitem__(slice(None), items)
    if type(value) is set:
        members = set(value)

        def refill() -> None:
            value.clear()
            value.update(members)

        return refill
    return None


def _restoring_tensor(value: Tensor) -> Callable[[], None]:
    memory, content = value.data, value.detach().clone()
    wants_gradient, gradient = value.requires_grad, value.grad if value.is_leaf else None

    def put_back() -> None:
        value.data = memory
        memory.copy_(content)
        if value.is_leaf:
            value.requires_grad_(wants_gradient)
            value.grad = gradient

    return put_back
