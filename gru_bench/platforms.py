"""What Linux, macOS and Windows do differently: processes, signals, memory, open files, names.

No other module asks which system it runs on, or uses what only some systems have.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
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
END_SECONDS = 10.0
"""Longest time that a process may take to end after those below it were ended."""
_TORCH_BYTES = 8 * 2 ** 30
"""Address space that torch may have reserved, where the system does not tell."""
_PDEATHSIG = 1
"""What prctl sets (Linux)."""
_NEW_FILES, _NEW_USER, _NEW_PROCESSES, _NEW_NETWORK = 0x00020000, 0x10000000, 0x20000000, 0x40000000
"""What unshare makes anew for a process (Linux)."""
_BIND, _READ_ONLY, _PRIVATE, _BELOW, _MOUNT_SETATTR = 4096, 1, 1 << 18, 0x8000, 442
"""Flags of mounts, and the number of a system call that the C library may lack (Linux 5.12)."""

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


def go_below(parent: int, folder: Path) -> list[str]:
    """Go on in a new process, with which all ends that it starts, without a network, and with one folder to write in.

    That takes a Linux that lets a user make name spaces. This process ends with the new one, with its exit code, or
    128 and the number of the signal that ended it. When the parent ends, it removes the folder above and ends both. It
    must be called before this process starts a thread. Windows has no such thing, and goes on in this process.

    Args:
        parent: Process id of the parent, as it was when this process started.
        folder: The folder, which becomes the working directory.

    Returns:
        What is not cut off: the network, and files.
    """
    if WINDOWS:
        return ["network", "files"]
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    is_apart = LINUX and not libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_PROCESSES)
    if is_apart:
        with suppress(OSError):  # under an unknown user, files stay readable
            for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"),
                               ("gid_map", f"{group} {group} 1")):
                Path("/proc/self", name).write_text(line, encoding="ascii")
    if below := os.fork():  # the first process of a name space: all others in it end with it
        while True:
            found, status = os.waitpid(below, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                os._exit(128 - code if code < 0 else code)
            if os.getppid() != parent:
                os.kill(below, signal.SIGKILL)
                os.waitpid(below, 0)
                _end_all_in(folder)
                shutil.rmtree(folder.parent, ignore_errors=True)
                os.killpg(0, signal.SIGKILL)
            time.sleep(0.05)
    if not LINUX:
        return ["network", "files"]
    libc.prctl(_PDEATHSIG, _SIGKILL, 0, 0, 0)
    return [] if is_apart and _writes_only_in(folder, libc) else ["files"] if is_apart else ["network", "files"]


def _writes_only_in(folder: Path, libc: ctypes.CDLL) -> bool:
    def set_mount(path: bytes, to_set: int, to_clear: int, kind: int, flags: int) -> bool:
        attributes = (ctypes.c_uint64 * 4)(to_set, to_clear, kind, 0)
        return not libc.syscall(_MOUNT_SETATTR, -100, path, flags, attributes, ctypes.sizeof(attributes))

    path = os.fsencode(folder.resolve())
    done = (not libc.unshare(_NEW_FILES) and set_mount(b"/", 0, 0, _PRIVATE, _BELOW)
            and not libc.mount(path, path, None, _BIND, None) and set_mount(b"/", _READ_ONLY, 0, 0, _BELOW)
            and set_mount(path, 0, _READ_ONLY, 0, 0)
            and not libc.unshare(_NEW_USER | _NEW_FILES))  # where nobody can take the mark of read-only away again
    os.chdir(path)  # until now it is the folder below the new mount, which cannot be written
    return done


def processes_below(pid: int) -> list[int]:
    """Return the process ids of the descendants of a process; none of one that has ended."""
    import psutil

    try:
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def end_below(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End a process that leads a group, its descendants, its group, and all processes that work in its folder by force.

    Args:
        process: The process. It may have ended, and others that it started may not.
        folder: Folder that it, and nothing else, began in.
    """
    import psutil

    for pid in processes_below(process.pid):
        with suppress(psutil.Error):
            psutil.Process(pid).kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS if not WINDOWS else 0)  # it collects what it began
    if not WINDOWS:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    _end_all_in(folder)


def _end_all_in(folder: Path) -> None:
    """End the processes whose working directory is a folder or below it, and wait until there are none."""
    import psutil

    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        working = [process for process in psutil.process_iter(["cwd", "status"])
                   if process.info["cwd"] and folder in (here := Path(process.info["cwd"]), *here.parents)
                   and process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE]
        if not working:
            return
        for process in working:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.01)


def limit_processor_time(seconds: float) -> None:
    """Let this process, and each that it starts, end after so many seconds of work on all cores (not on Windows)."""
    _limit("RLIMIT_CPU", int(seconds * cores()) + 1)


def limit_processes(most: int) -> None:
    """Let this process, and each that it starts, start no others when the user has `most` more than now.

    Root has no such limit, and Windows has none at all.
    """
    if not WINDOWS:
        import psutil

        running = 0
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                running += process.num_threads() if process.uids().real == os.getuid() else 0
        _limit("RLIMIT_NPROC", running + most)


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


def give_way() -> None:
    """Let other processes have the processor before this one and each that it starts (not on Windows)."""
    if not WINDOWS:
        os.nice(10)


def memory_beyond(pids: Iterable[int], most: int) -> bool:
    """Return whether processes take more than `most` bytes together. On Linux, what they share counts once."""
    pids = list(pids)
    if sum(map(_resident, pids)) <= most:
        return False
    return not LINUX or sum(map(_proportional, pids)) > most


def _resident(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss:", "SwapPss:")))


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
