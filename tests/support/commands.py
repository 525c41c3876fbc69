"""Runs one of our modules or scripts in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def command(*arguments: str, timeout: float = 240, cwd: Path | None = None,
            env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The finished process of `python ARGUMENTS`, with what it printed."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, check=False,
                          cwd=cwd, env=env)
