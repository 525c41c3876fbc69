"""Plant small faults in a copy of the working tree, one after another, and see which tests notice them.

    python tests/mutants.py                    the fast tier, which is what `pytest` runs
    python tests/mutants.py --tier all         what the fast tier misses, by the slow and the service tier too
    python tests/mutants.py --only Holm        only the faults whose file, line or reason contains this text

tests/mutants.toml lists the faults. A fault is killed if a test fails, if its file cannot be imported, or if the tests
do not end in time. The test files that should notice it run first, then the whole tier. A fault that survives needs a
test.

Exit codes: 0 if every fault is killed, 4 if one survives, 1 if tests fail without any fault, 2 if the line of a fault
is not found exactly once.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILED = Path("gru_bench", "kernels", "__pycache__")
TIERS = {"fast": "not slow and not service", "slow": "slow", "service": "service"}
"""Tier -> the tests that belong to it, as pytest's option -m selects them."""
LONGEST_SECONDS = 3600.0
"""Time after which tests count as hanging, also on a slow machine. pytest ends most tests that hang after minutes."""
PASSED, FAILED, INTERRUPTED, NO_TESTS = 0, 1, 2, 5
"""Exit codes of pytest. A file that cannot be imported interrupts it."""


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    file: str
    line: str
    """The line that is replaced, without the white space around it."""
    becomes: str
    """What it is replaced by. Further lines are indented relative to the first one."""
    reason: str
    """What is wrong then, in plain words."""
    tests: tuple[str, ...]
    """The test files that should notice it."""

    def occurrences(self, root: Path) -> int:
        """Return how often its line occurs in its file."""
        path = root / self.file
        return sum(line.strip() == self.line for line in path.read_text("utf-8").split("\n")) if path.is_file() else 0

    def planted(self, text: str) -> str:
        """Return the text of its file with the fault."""
        lines = text.split("\n")
        place = next(place for place, line in enumerate(lines) if line.strip() == self.line)
        indentation = lines[place][:lines[place].index(self.line)]
        return "\n".join([*lines[:place], *(indentation + part for part in self.becomes.split("\n")),
                          *lines[place + 1:]])


@dataclass(frozen=True)
class Outcome:
    """How the tests of a tier ended."""

    code: int | None
    """pytest's exit code. None: the tests did not end in time."""
    output: str

    def kills(self, file: str) -> bool:
        """Return whether the tests noticed a fault in a file."""
        return self.code in (None, FAILED) or (self.code == INTERRUPTED and Path(file).name in self.output)

    @property
    def first(self) -> str:
        """Return the first test that failed."""
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", self.output, re.MULTILINE)
        return found[1] if found else "hangs" if self.code is None else ""


def mutants() -> list[Mutant]:
    """Return the faults of tests/mutants.toml."""
    entries = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text("utf-8"))["mutant"]
    return [Mutant(one["file"], one["line"].strip(), one["becomes"], one["reason"], tuple(one["tests"]))
            for one in entries]


class TreeCopy:
    """A copy of the working tree, whose tests run with its own package."""

    def __init__(self, folder: Path) -> None:
        """Copy what git does not ignore, and the compiled kernel, whose folder is named by a digest of its sources."""
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                                capture_output=True, text=True, check=True).stdout.split("\0")
        for name in listed:
            if (ROOT / name).is_file():  # a file that was deleted is listed until that is committed
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for compiled in (ROOT / COMPILED).glob("gru_bench-*"):
            shutil.copytree(compiled, folder / COMPILED / compiled.name)
        path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
        # Python takes bytecode as valid for a source of the same second and size: no fault may leave any.
        self._environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        imported = subprocess.run([sys.executable, "-c", "import gru_bench; print(gru_bench.__file__)"],
                                  cwd=folder.parent, env=self._environment, capture_output=True, text=True,
                                  check=True).stdout.strip()
        if not Path(imported).is_relative_to(folder):
            sys.exit(f"the tests must import gru_bench from {folder}, but would import {imported}")

    def tested(self, tier: str, tests: Sequence[str], workers: int) -> Outcome:
        """Run some test files in a tier until one test fails, or the whole tier if none are given."""
        words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", TIERS[tier],
                 "--ignore=tests/test_mutants.py", "-n", str(workers), *tests]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = subprocess.Popen(words, cwd=self.folder, env=self._environment, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            code = None
            try:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(LONGEST_SECONDS)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # with all processes that the tests have started
                process.wait()
            output.seek(0)
            return Outcome(code, output.read())

    def killer(self, mutant: Mutant, tiers: Sequence[str]) -> tuple[str, str]:
        """Plant a fault; return the first tier that kills it, or `survives`, and the first test that failed."""
        path = self.folder / mutant.file
        content, state = path.read_bytes(), path.stat()
        path.write_bytes(mutant.planted(content.decode()).encode())
        try:
            for tier in tiers:
                for tests, workers in ((mutant.tests, 0), ((), 2)):
                    if (outcome := self.tested(tier, tests, workers)).kills(mutant.file):
                        return tier, outcome.first
            return "survives", ""
        finally:
            path.write_bytes(content)
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=("fast", "all"), default="fast", help="the tests that run (default: fast)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only faults whose file, line or reason contains it")
    given = parser.parse_args()
    every = mutants()
    if lost := [one for one in every if one.occurrences(ROOT) != 1]:
        for one in lost:
            print(f"{one.file} must contain this line once, but contains it {one.occurrences(ROOT)} times: {one.line}")
        return 2
    chosen = [one for one in every if given.only in f"{one.file}\n{one.line}\n{one.reason}"]
    tiers = ["fast"] if given.tier == "fast" else list(TIERS)
    with tempfile.TemporaryDirectory(prefix="gru-bench-mutants-") as folder:
        return _checked(TreeCopy(Path(folder).resolve() / "copy"), chosen, tiers)


def _checked(copy: TreeCopy, chosen: Sequence[Mutant], tiers: Sequence[str]) -> int:
    """Print which tier kills each fault, and return the exit code."""
    expected = sorted({test for one in chosen for test in one.tests})
    for tier in tiers if expected else ():
        if (outcome := copy.tested(tier, expected, workers=2)).code not in (PASSED, NO_TESTS):
            print(outcome.output, f"The {tier} tests must pass before a fault is planted, but one fails.", sep="\n")
            return 1
    found: dict[Mutant, str] = {}
    for one in chosen:
        started = time.monotonic()
        found[one], test = copy.killer(one, tiers)
        print(f"{found[one]:8} {time.monotonic() - started:5.0f} s  {one.file}: {one.reason}", test and f"({test})",
              flush=True)
    killed = {tier: [one for one in chosen if found[one] == tier] for tier in tiers}
    print(f"{len(killed['fast'])} of {len(chosen)} faults are killed by the fast tier, "
          f"{sum(map(len, killed.values()))} by all tiers that ran")
    for tier in tiers[1:]:
        for one in killed[tier]:
            print(f"only the {tier} tier kills {one.file}: {one.reason}")
    return 4 if "survives" in found.values() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
