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
import sys
import threading
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
"""Longest time that ending all descendants of a process may take."""
_PDEATHSIG, _DUMPABLE, _CHILD_SUBREAPER = 1, 4, 36
"""What prctl sets (Linux)."""
_NEW_FILES, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000
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


def memory() -> tuple[int, int]:
    """Return the memory of this machine in bytes: all of it, and what a new program can have now."""
    import psutil

    found = psutil.virtual_memory()
    return int(found.total), int(found.available)


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


def adopt_orphans(wanted: bool = True) -> None:
    """Become the parent of every descendant whose own parent ends (Linux). Other systems have no such thing."""
    _prctl(_CHILD_SUBREAPER, int(wanted))


def protect_memory() -> None:
    """Keep other processes of the same user from this one's memory and open files (Linux, where they are not root)."""
    _prctl(_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """Let this process end when its parent does, by force.

    Args:
        parent: Process id of the parent, as it was when this process started.
    """
    _prctl(_PDEATHSIG, _SIGKILL)
    if LINUX and os.getppid() != parent:  # it has ended already
        os._exit(1)
    if not LINUX:
        start = process_start(parent)

        def watch() -> None:
            while is_alive(parent, start):
                time.sleep(0.5)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def limit_processor_time(seconds: float) -> None:
    """Let this process, and each that it starts, end after so many seconds of work on all cores (not on Windows)."""
    if not WINDOWS:
        import resource

        most = int(seconds * cores()) + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        with suppress(OSError, ValueError):
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(resource.RLIMIT_CPU, (most, most))


def limit_processes(most: int) -> None:
    """Let this process, and each that it starts, start no others when the user has `most` more than now.

    Root has no such limit, and Windows has none at all.
    """
    if not WINDOWS:
        import resource

        import psutil

        running = 0
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                running += process.num_threads() if process.uids().real == os.getuid() else 0
        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        with suppress(OSError, ValueError):
            limit = running + most if hard == resource.RLIM_INFINITY else min(running + most, hard)
            resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))


def limit_file_size(most: int) -> None:
    """Let this process, and each that it starts, write no file of more than `most` bytes (not on Windows)."""
    if not WINDOWS:
        import resource

        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def isolate(folder: Path | None) -> list[str]:
    """Cut this process, and each that it starts, from the network, and let it write in one folder alone.

    It takes a Linux that lets a user make name spaces. It must be called before this process starts a thread.

    Args:
        folder: The folder, which becomes the working directory. None: files are left as they are.

    Returns:
        What is not cut off: the network, and files.
    """
    left = ["network", *([] if folder is None else ["files"])]
    if not LINUX:
        return left
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(_NEW_USER | _NEW_NETWORK | _NEW_FILES):
        return left
    with suppress(OSError):  # under an unknown user, files stay readable
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(line, encoding="ascii")
    if folder is None:
        return []

    def set_mount(path: bytes, to_set: int, to_clear: int, kind: int, flags: int) -> bool:
        attributes = (ctypes.c_uint64 * 4)(to_set, to_clear, kind, 0)
        return not libc.syscall(_MOUNT_SETATTR, -100, path, flags, attributes, ctypes.sizeof(attributes))

    path = os.fsencode(folder.resolve())
    done = (set_mount(b"/", 0, 0, _PRIVATE, _BELOW) and not libc.mount(path, path, None, _BIND, None)
            and set_mount(b"/", _READ_ONLY, 0, 0, _BELOW) and set_mount(path, 0, _READ_ONLY, 0, 0)
            and not libc.unshare(_NEW_USER | _NEW_FILES))  # where nobody can take the mark of read-only away again
    os.chdir(path)  # until now it is the folder below the new mount, which cannot be written
    return [] if done else ["files"]


def give_way() -> None:
    """Let other processes have the processor before this one and each that it starts."""
    import psutil

    with suppress(OSError, psutil.Error):
        psutil.Process().nice(getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", 10))


def memory_beyond(pids: Iterable[int], most: int) -> bool:
    """Return whether processes take more than `most` bytes together. On Linux, what they share counts once."""
    pids = list(pids)
    if sum(map(_resident, pids)) <= most:
        return False
    return not LINUX or sum(map(_proportional, pids)) > most


def taken_memory(pids: Iterable[int]) -> int:
    """Return the memory that processes take together, in bytes. One that has ended takes none."""
    return sum(map(_resident, pids))


class Descendants:
    """The processes below this one, except those that existed before.

    With `adopt_orphans` they include those whose parents have ended. Elsewhere they are the ones that were seen by
    `running` while all processes between them and this one existed.
    """

    def __init__(self) -> None:
        """Leave out the children that exist already."""
        self._others = {pid for pid, (parent, _) in _processes().items() if parent == os.getpid()}
        self._seen: dict[int, str] = {}
        self._groups: set[int] = set()
        self._uncollected: list[int] = []
        """Children that have ended, but for a last thread of theirs."""

    def leave(self, pid: int) -> None:
        """Leave out a child, and what is below it."""
        self._others.add(pid)

    def take(self, pid: int) -> None:
        """Leave a child out no longer."""
        self._others.discard(pid)

    def running(self, child: int = 0) -> list[int]:
        """Return the process ids of all descendants that run, and forget the orphans that have ended.

        Args:
            child: Process id of a child whose exit code the caller will still ask for.
        """
        processes = _processes()
        children: dict[int, list[int]] = {}
        for pid, (parent, _) in processes.items():
            children.setdefault(parent, []).append(pid)
        found, waiting = [], [pid for pid in children.get(os.getpid(), ()) if pid not in self._others]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, ())
        if not LINUX:
            self._seen = {pid: start for pid, start in self._seen.items() if is_alive(pid, start)}
            self._seen.update((pid, process_start(pid)) for pid in found if pid not in self._seen)
            found = list(self._seen)
        ended = {pid for pid in found if process_start(pid) in (ENDED, UNKNOWN)}
        self._uncollected = [pid for pid in ended - {child} if not _collect(pid)]
        own = processes.get(os.getpid(), (0, 0))[1]
        self._groups = {processes[pid][1] for pid in found if pid in processes} - {0, own}
        return [pid for pid in found if pid not in ended]

    def end(self) -> int:
        """End all descendants by force, until none is left, and collect those that are children of this process. Return
        how many are left after `END_SECONDS`."""
        deadline = time.monotonic() + END_SECONDS
        if not WINDOWS:
            self._signal((), signal.SIGKILL)  # those groups that were seen already, before there are more
        while ((left := self.running()) or self._uncollected) and time.monotonic() < deadline:
            stopped: set[int] = set()
            while not WINDOWS and not set(left) <= stopped and time.monotonic() < deadline:
                self._signal(left, signal.SIGSTOP)  # what is stopped starts no others
                stopped |= set(left)
                left = self.running()
            self._signal(left, signal.SIGTERM if WINDOWS else signal.SIGKILL)
            time.sleep(0.002)
        return len(left)

    def _signal(self, pids: Iterable[int], number: int) -> None:
        for group in self._groups:  # a group of processes that start each other and end gets it at one instant
            with suppress(OSError):
                os.killpg(group, number)
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _processes() -> dict[int, tuple[int, int]]:
    """Return process id -> process ids of its parent and, on Linux, of its group. 0: not known."""
    found = {}
    if LINUX:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with suppress(OSError, IndexError):
                    stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
                    _, parent, group = stat.rpartition(")")[2].split()[:3]
                    found[int(folder.name)] = int(parent), int(group)
        return found
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found[process.pid] = process.ppid(), 0
    return found


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


def _collect(pid: int) -> bool:
    """Collect a child that has ended, so that its process id is free again. Return False where the system says to wait:
    a process may look ended before its last thread has."""
    if WINDOWS:
        return True
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except OSError:  # not a child of this process, or already collected
        return True


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
