"""The command `python -m tests.support.windows`."""

from __future__ import annotations

import importlib
import os
import runpy
import sys

from tests.support.windows import environment, simulate


def main() -> None:
    """Run the command that was typed, as if on Windows."""
    if not sys.flags.warn_default_encoding:  # it must be set before Python starts
        os.execve(sys.executable, [sys.executable, "-m", "tests.support.windows", *sys.argv[1:]], environment())
    simulate()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "gru-bench":
        importlib.import_module("gru_bench.__main__").main()
    else:
        if sys.argv[0] == "pytest":
            sys.argv += ["-W", "ignore::EncodingWarning"]  # other libraries open files as they like
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


main()
