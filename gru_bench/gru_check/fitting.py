"""The lines that make a class a model of a study, where it is called in another way: found by trying.

Shapes: `B` sequences, `T` steps, `H` hidden width.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from gru_bench.errors import UsageError
from gru_bench.gru_check.forms import arguments_of, constructor, letters_of
from gru_bench.gru_check.load import settings_kept
from gru_bench.models.own import BATCH, HIDDEN, STEPS, WIDTH, build, kind_by_trying

NAME = "Fitting"
"""Name of the class that the lines define."""
SIZES: Mapping[str, int] = {"E": WIDTH, "H": HIDDEN, "C": 1, "L": 1, "V": 60, "B": BATCH, "T": STEPS}
"""What a constructor gets for arguments without a default, by the letters of `forms.size_of`."""
_ZEROS = ("x.new_zeros(1, len(x), self.hidden_size)", "x.new_zeros(len(x), self.hidden_size)")
"""A first state for a batch, 1 x B x H and B x H."""
FORWARDS = (
    "",
    "def forward(self, x): return super().forward(x.transpose(0, 1)).transpose(0, 1)",
    "def forward(self, x): return super().forward(x.transpose(0, 1))[0].transpose(0, 1)",
    "def forward(self, x): return super().forward(x)[1]",
    "def forward(self, x, h): return super().forward(h, x)",
    "def forward(self, x, h): return super().forward(x, h)[0]",
    *(line for zeros in _ZEROS for line in (
        f"def forward(self, x): return super().forward(x, {zeros})",
        f"def forward(self, x): return super().forward(x.transpose(0, 1), {zeros}).transpose(0, 1)",
        f"def forward(self, x): return super().forward(x.transpose(0, 1), {zeros})[0].transpose(0, 1)")))
"""Methods that call a class in another way. The empty one leaves its own."""


def fitting(module: ModuleType, name: str) -> str:
    """Return the lines of Python that make a class of a module a model of a study.

    Empty for one that is such a model already, where no such lines are found, and for what is no class.
    """
    target = getattr(module, name, None)
    if not isinstance(target, type):
        return ""
    constructed = _constructor(target)
    for forward in FORWARDS:
        methods = [method for method in (constructed, forward) if method]
        lines = "\n    ".join([f"class {NAME}({name}):", *methods]) if methods else ""
        space = dict(vars(module))
        try:
            with settings_kept():
                exec(lines, space)
                kind_by_trying(space[NAME if lines else name], f":{name}")
        except (UsageError, SyntaxError):
            continue
        return lines
    return ""


def _constructor(target: type) -> str:
    """Return the line of a constructor that takes the two widths of a study. Empty where the class has such a one."""
    try:
        build(target, f":{target.__name__}", WIDTH, HIDDEN)
    except UsageError:
        said = {name: {"E": "input_size", "H": "hidden_size"}.get(letter, "") for name, letter in
                letters_of(constructor(target)).items()}
        _, named, *_ = arguments_of(target, SIZES, {})
        given = ", ".join(f"{name}={said.get(name) or repr(value)}" for name, value in named.items())
        return f"def __init__(self, input_size, hidden_size): super().__init__({given})"
    return ""
