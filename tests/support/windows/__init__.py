"""Windows, simulated on another system: `python -m tests.support.windows COMMAND`, such as gru-bench or pytest.

What Windows lacks is removed from what our modules and our tests see. Other libraries are left the real system, which
they need. Worker processes are simulated as well. The simulation cannot show how Windows schedules, locks and kills.

    modules     no resource, fcntl, pwd, resource_tracker
    os          no users, forks, groups, affinity; symbolic links are refused; kill(pid, 0) fails
    signal      no masks, SIGKILL, SIGALRM
    files       each file that is replaced is held open by a "virus scanner" at the first attempt
    streams     cp1252, in which a character that it lacks is an error
    open()      must name an encoding in our modules, because the usual one is cp1252
"""

from __future__ import annotations

import builtins
import getpass
import importlib
import multiprocessing.spawn
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent.parent
OURS = ("gru_bench", "tests", "optuna.storages.journal", "getpass")
"""Packages that see Windows: ours, and those of others that must be shown to do without what it lacks."""
MODULES = ("resource", "fcntl", "pwd", "grp", "termios")
LACKING: Mapping[str, frozenset[str]] = {
    "os": frozenset({"fork", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "chown", "uname", "mkfifo",
                     "sched_getaffinity", "sched_setaffinity", "nice", "getloadavg", "set_blocking", "WNOHANG"}),
    "signal": frozenset({"pthread_sigmask", "SIG_BLOCK", "SIG_SETMASK", "SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1",
                         "SIGUSR2", "SIGCHLD", "SIGSTOP", "SIGCONT", "alarm", "setitimer", "pthread_kill"}),
    "multiprocessing": frozenset({"resource_tracker"}),
}
PRELUDE = "from tests.support.windows import simulate; simulate(); "


class Seen(ModuleType):
    """A module as Windows has it. What is set in it is set in the real one."""

    def __init__(self, real: ModuleType, **changed: Any) -> None:
        """Show `real`, with other values of the names in `changed`."""
        super().__init__(real.__name__)
        for name, value in {**changed, "_real": real, "_changed": set(changed)}.items():
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        """Return what the real module has, unless Windows lacks it."""
        if name in LACKING.get(self.__name__, ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value in the real module, unless it is one of those that differ."""
        if name in self._changed:
            object.__setattr__(self, name, value)
        else:
            setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete a value of the real module."""
        delattr(self._real, name)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # pytest looks here before it patches
        """Return all values, as a copy."""
        return {**vars(self._real), **{name: getattr(self, name) for name in self._changed}}


def environment() -> dict[str, str]:
    """Return the environment in which `python -m tests.support.windows` runs from any directory."""
    unknown_user = {"LOGNAME", "USER", "LNAME", "USERNAME"}
    return {key: value for key, value in os.environ.items() if key not in unknown_user} | {
        "PYTHONPATH": str(ROOT), "PYTHONWARNDEFAULTENCODING": "1"}


def simulate() -> None:
    """Let this process and its workers see Windows from now on. It cannot be undone."""
    seen = {"os": _os(), "sys": Seen(sys, platform="win32"), "signal": Seen(importlib.import_module("signal")),
            "multiprocessing": Seen(multiprocessing), "ctypes": _ctypes()}
    real_import: Callable[..., Any] = builtins.__import__

    def windows_import(name: str, globals: Mapping[str, Any] | None = None, locals: Mapping[str, Any] | None = None,
                       fromlist: Sequence[str] | None = (), level: int = 0) -> Any:
        caller = (globals or {}).get("__name__") or ""
        if level or caller == __name__ or not caller.startswith(OURS):
            return real_import(name, globals, locals, fromlist, level)
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
        found = real_import(name, globals, locals, fromlist, level)
        for lacking in LACKING.get(name, frozenset()) & set(fromlist or ()):
            raise ImportError(f"cannot import name {lacking!r} from {name!r} on Windows")
        return seen.get(found.__name__, found)

    builtins.__import__ = windows_import
    getpass.os = seen["os"]  # type: ignore[attr-defined]  # it is loaded before
    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"gru_bench\b")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="cp1252", errors="strict" if stream is sys.stdout else "backslashreplace")
    real_line = multiprocessing.spawn.get_command_line

    def line_of_a_worker(**arguments: Any) -> list[str]:
        words = real_line(**arguments)
        place = words.index("-c") + 1
        return [*words[:place], PRELUDE + words[place], *words[place + 1:]]

    multiprocessing.spawn.get_command_line = line_of_a_worker


def _os() -> Seen:
    held: set[str] = set()

    def kill(pid: int, kind: int) -> None:
        if kind == 0:  # the number of Ctrl-C there
            raise OSError(22, "The parameter is incorrect")
        os.kill(pid, kind)

    def symlink(source: Any, target: Any, target_is_directory: bool = False, **options: Any) -> None:
        raise OSError(22, "A required privilege is not held by the client", str(source), 1314, str(target))

    def replace(source: Any, target: Any) -> None:
        if Path(target).exists() and str(target) not in held:
            held.add(str(target))
            raise PermissionError(13, "The process cannot access the file because it is being used by another process",
                                  str(source), 32, str(target))
        held.discard(str(target))
        Path(source).replace(target)

    return Seen(os, kill=kill, symlink=symlink, replace=replace)


def _ctypes() -> Seen:
    kernel = SimpleNamespace(SetConsoleCtrlHandler=_hold_back)
    return Seen(importlib.import_module("ctypes"), windll=SimpleNamespace(kernel32=kernel))


def _hold_back(handler: None, ignored: bool) -> int:
    """Ignore Ctrl-C, or end that; new processes inherit it here as there."""
    import signal
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # at its start it unblocks the signals
    signal.pthread_sigmask(signal.SIG_BLOCK if ignored else signal.SIG_UNBLOCK, {signal.SIGINT})
    return 1
