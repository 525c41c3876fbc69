"""Runs a command of ours, in a process of its own or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import typer

from gru_bench.cli import ended

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW = frozenset({"numpy", "torch", "numba", "pandas", "matplotlib", "seaborn", "mlflow", "optuna", "pydantic"})
"""Packages that a help page does not wait for."""


def command(*arguments: str, timeout: float = 240, cwd: Path | None = None,
            env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The finished process of `python ARGUMENTS`, with what it printed."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, check=False,
                          cwd=cwd, env=env)


def printed(program: str, root: Path = ROOT, **environment: str) -> str:
    """What a program prints that imports the package from `root`, in a process where warnings are errors."""
    done = command("-W", "error", "-c", textwrap.dedent(program), timeout=600,
                   env={**os.environ, "PYTHONPATH": str(root), **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def completed(app: typer.Typer, *words: str, cwd: Path | None = None, program: str = "gru-bench"
              ) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, whose libraries are loaded; return what `command` returns of a process."""
    out, err = StringIO(), StringIO()
    with (chdir(cwd or Path.cwd()), redirect_stdout(out), redirect_stderr(err),
          pytest.MonkeyPatch.context() as patch):
        patch.setattr(sys, "argv", [program, *words])
        code = ended(app)
    return subprocess.CompletedProcess([program, *words], code, out.getvalue(), err.getvalue())


def mentions(text: str, *parts: str) -> None:
    """Assert that a message holds all of these parts, in any order and with any white space between words."""
    folded = " ".join(text.split())
    missing = [part for part in parts if part not in folded]
    assert not missing, f"{missing} not in: {folded}"
