"""What Linux, macOS and Windows do differently: processes, signals, memory, open files, names.

No other module asks which system it runs on, or uses what only some systems have.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import platform
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import platformdirs

T = TypeVar("T")

LINUX, MACOS, WINDOWS = (sys.platform == name for name in ("linux", "darwin", "win32"))
HELD_SECONDS = 10.0
"""Seconds to wait until another program, such as a virus scanner, closes a file (Windows)."""
MOST_WORKERS = 60
"""Most worker processes on Windows, where a process can wait for 63 others at most."""
ENDED, UNKNOWN = "ended", "?"
APART_SECONDS = 5.0
"""Difference of two times from which they are starts of two processes."""
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_SIGKILL = 9
_TORCH_BYTES = 8 * 2 ** 30
"""Address space that torch may have reserved, where the system does not tell."""

# ---------------------------------------------------------------- this machine


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def most_workers() -> int | None:
    """Return the largest number of worker processes that this system allows; None for no limit."""
    return MOST_WORKERS if WINDOWS else None


def worker_per_core() -> int:
    """Return the number of worker processes if each core has one, as far as this system allows."""
    return min(cores(), most_workers() or cores())


def processor() -> str:
    """Return the name of the processor."""
    if LINUX:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()


def machine() -> str:
    """Return a name of this machine. On Linux it is unique since the last boot, and a container counts as a machine."""
    parts = [platform.node()]
    if LINUX:
        for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
            try:
                parts.append(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="utf-8").strip())
            except OSError:
                continue
    return "/".join(parts)


def user() -> str:
    """Return the name of the current user; `unknown` if the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # ImportError: Windows has no list of users to look in
        return "unknown"


def cache_folder() -> Path:
    """Return the user's folder for caches of gru-bench, such as ~/.cache/gru-bench on Linux."""
    return Path(platformdirs.user_cache_dir("gru-bench", appauthor=False))


# ---------------------------------------------------------------- processes


def peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    if WINDOWS:
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if MACOS else peak * 1024


def process_start(pid: int) -> str:
    """Return when a process began: clock ticks since boot on Linux, elsewhere seconds since 1970.

    It is `ENDED` for a process that has ended, even if its parent has not noticed, and `UNKNOWN` if the system does
    not tell. The time distinguishes two processes that have had the same process id.
    """
    if LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return UNKNOWN
        state, *fields = stat.rpartition(")")[2].split()
        return ENDED if state in "ZX" else fields[18]
    import psutil

    try:
        process = psutil.Process(pid)
        return ENDED if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ENDED
    except psutil.Error:
        return UNKNOWN


def is_alive(pid: int, start: str) -> bool:
    """Return whether the process is alive that had the id `pid` and the start that `process_start` returned."""
    import psutil

    if not psutil.pid_exists(pid):
        return False
    now = process_start(pid)
    if ENDED in (now, start) or UNKNOWN in (now, start):
        return now != ENDED
    # Outside Linux the start is a time of the system's clock, which may have been set since.
    return now == start if LINUX else abs(float(now) - float(start)) < APART_SECONDS


def was_killed(exit_code: int | None) -> bool:
    """Return whether a process was killed by force: by a person, or by a Linux that ran out of memory."""
    return exit_code == -_SIGKILL


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Start processes inside this context to keep Ctrl-C from them, from their first instruction on.

    Ctrl-C reaches all processes of a terminal. On Windows, an interrupt during this context is lost.
    """
    if sys.platform == "win32":
        handle = ctypes.windll.kernel32.SetConsoleCtrlHandler
        handle(None, True)  # to ignore Ctrl-C; new processes inherit this
        try:
            yield
        finally:
            handle(None, False)
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # at its start it unblocks the signals
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# ---------------------------------------------------------------- processes that run other people's code


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group by force, if it has not ended. On Windows only the process ends."""
    if not WINDOWS:
        with suppress(OSError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def limit_processor_time(seconds: float) -> None:
    """Let this process, and each that it starts, end after so many seconds of work on all cores (not on Windows)."""
    _limit("RLIMIT_CPU", int(seconds * cores()) + 1)


def limit_file_size(most: int) -> None:
    """Let this process, and each that it starts, write no file of more than `most` bytes (not on Windows)."""
    _limit("RLIMIT_FSIZE", most)


def limit_memory(more: int) -> str | None:
    """Limit the memory that this process may take in addition, in bytes. Return why the system cannot, or None."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        taken = pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        taken = _TORCH_BYTES
    return _limit("RLIMIT_AS", taken + more)


def _limit(name: str, most: int) -> str | None:
    """Set a limit, but not above that of the system. Return why the system cannot, or None."""
    try:
        import resource

        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, hard if name == "RLIMIT_AS" else most))
    except (ImportError, OSError, ValueError) as error:
        return f"this system does not limit it: {error}"
    return None


# ---------------------------------------------------------------- files


def patiently(action: Callable[[], T]) -> T:
    """Return the result of an action on a file. On Windows it is repeated while another program holds the file open.

    Raises:
        PermissionError: The file must not be used, or is still held open after `HELD_SECONDS`.
    """
    deadline, pause = time.monotonic() + HELD_SECONDS, 0.01
    while True:
        try:
            return action()
        except PermissionError:
            if not WINDOWS or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def replace(source: Path, target: Path) -> None:
    """Move a file or folder in one step; a file that is at `target` is replaced.

    Raises:
        PermissionError: The target must not be replaced, or another program holds one of the two open (Windows).
    """
    patiently(lambda: os.replace(source, target))  # noqa: PTH105


def replace_if_free(source: Path, target: Path) -> None:
    """Move a file in one step to `target`. On Windows, a target that another program keeps open stays as it is.

    Raises:
        PermissionError: The target must not be replaced (Linux, macOS).
    """
    try:
        replace(source, target)
    except PermissionError:
        if not WINDOWS:
            raise
        remove(source)


def remove(path: Path) -> None:
    """Remove a file, if it exists. On Windows, a file that another program keeps open stays."""
    try:
        patiently(lambda: path.unlink(missing_ok=True))
    except PermissionError:
        if not WINDOWS:
            raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of another once it is written: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with begun.open("xb") as file:
            yield file
        replace(begun, path)
    except BaseException:
        remove(begun)
        raise


def is_reserved(name: str) -> bool:
    """Return whether Windows reserves a file name for a device, such as `con` and `nul.txt`."""
    return _RESERVED.fullmatch(name) is not None
