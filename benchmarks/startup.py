"""Startup time: from the command to the first trained batch, and to the end of `--help`.

    python benchmarks/startup.py              two or three minutes on the default corpus
    python benchmarks/startup.py --limit 1000

`train` and `sweep` are started as a user starts them, in an empty folder, and ended once their first optimizer step is
done. Cold: the cache of reviews and word vectors is empty, and so is numba's of compiled kernels (the operating system
may still hold the files themselves). Warm: the same command again, in the same folder, and in a new one, where the
sweep's tracking database is still to be made. A `sitecustomize` module, which Python imports at its start (in
workers too), detects the step: it wraps the optimizer's step once that module is loaded, and imports nothing itself.

Goals: a warm start's first batch within 3 s of the command, imports included; `--help` of every command in 0.4 s.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from contenders import environment

GOAL_BATCH, GOAL_HELP = 3.0, 0.4
LONGEST = 600.0
ROOT = Path(__file__).resolve().parent.parent
HELP = {
    "python -m gru_bench.train": ["-m", "gru_bench.train"],
    "python -m gru_bench.sweep": ["-m", "gru_bench.sweep"],
    "python -m gru_bench.report": ["-m", "gru_bench.report"],
    "python sweeps/run.py": [str(ROOT / "sweeps" / "run.py")],
}
WATCH = '''
import importlib.machinery
import os
import sys
import time

NAME = "gru_bench.train.optimizer"


class Watch:
    """Finds one module as everybody would, and wraps a method of it once it is loaded."""

    def find_spec(self, name, path=None, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def loaded(module):
            load(module)
            step = module.Optimizer.step

            def first(self, *arguments):
                step(self, *arguments)
                module.Optimizer.step = step
                note = os.environ["FIRST_BATCH"]
                with open(f"{note}.{os.getpid()}", "w") as file:
                    file.write(str(time.time()))
                try:
                    os.link(f"{note}.{os.getpid()}", note)
                except FileExistsError:
                    pass

            module.Optimizer.step = first

        spec.loader.exec_module = loaded
        return spec


sys.meta_path.insert(0, Watch())
'''


def first_batch(command: list[str], folder: Path, caches: Path, watch: Path) -> float:
    """Return the seconds from starting a command in `folder` until its first step is done, and end it."""
    note = folder / f"first-batch-{time.time_ns()}"
    paths = os.pathsep.join([str(watch), *filter(None, [os.environ.get("PYTHONPATH")])])
    log = folder / "log"
    with log.open("wb") as output:
        begin = time.time()
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=output, stderr=output, start_new_session=True,
            env=environment(None, GRU_BENCH_CACHE=str(caches / "data"), NUMBA_CACHE_DIR=str(caches / "numba"),
                            FIRST_BATCH=str(note), PYTHONPATH=paths))
        try:
            while not note.exists():
                if process.poll() is not None or time.time() - begin > LONGEST:
                    raise SystemExit(f"{' '.join(command)} has trained no batch:\n{log.read_text()[-3000:]}")
                time.sleep(0.005)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # as Ctrl-C: it leaves its stores in order
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
    return float(note.read_text()) - begin


def help_seconds(command: list[str]) -> float:
    """Return the seconds that `--help` takes."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command, "--help"], check=True, env=environment(), stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def verdict(seconds: float, goal: float) -> str:
    """Return whether a goal is met, and otherwise by how much it is missed."""
    return "met" if seconds <= goal else f"missed by {seconds - goal:.2f} s"


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended as well
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="reviews, before they are split (default all)")
    parser.add_argument("--study", default="bidirectional", help="study that the sweep begins (default bidirectional)")
    parser.add_argument("--rounds", type=int, default=5, help="warm starts and --help calls of "
                        "each command (default 5); there is one cold start")
    parser.add_argument("--only", choices=["help", "batch"], help="measure only this")
    asked = parser.parse_args()
    console = Console(width=120, highlight=False)
    if asked.only != "help":
        limit = ["--limit", str(asked.limit)] if asked.limit else []
        commands = {"train": ["-m", "gru_bench.train", *limit],
                    "sweep": ["-m", "gru_bench.sweep", "--study", asked.study, *limit]}
        table = Table(title=f"seconds from the command to its first batch ({asked.limit or 'all'} reviews)")
        for column in ("command", "cold", "warm", "fastest", "slowest", "in a new folder", "goal (warm)", ""):
            table.add_column(column, justify="left" if column in ("command", "") else "right")
        with console.status("starting") as status, tempfile.TemporaryDirectory() as temporary:
            watch = Path(temporary) / "watch"
            watch.mkdir()
            (watch / "sitecustomize.py").write_text(WATCH)
            for name, command in commands.items():
                folder, caches = Path(temporary) / name, Path(temporary) / f"{name} caches"
                elsewhere = [Path(temporary) / f"{name} {turn}" for turn in range(asked.rounds)]
                for one in (folder, *elsewhere):
                    one.mkdir()
                status.update(f"{name}, cold")
                cold = first_batch(command, folder, caches, watch)
                warm, new = [], []
                for turn, another in enumerate(elsewhere):
                    status.update(f"{name}, warm, {turn + 1} of {asked.rounds}")
                    warm.append(first_batch(command, folder, caches, watch))
                    new.append(first_batch(command, another, caches, watch))
                table.add_row(
                    " ".join(["python", *command]), f"{cold:.2f}", f"{median(warm):.2f}", f"{min(warm):.2f}",
                    f"{max(warm):.2f}", f"{median(new):.2f}", f"{GOAL_BATCH:.1f}", verdict(median(warm), GOAL_BATCH))
        console.print(table)
    if asked.only != "batch":
        table = Table(title="seconds until --help is printed and the command has ended")
        for column in ("command", "median", "fastest", "slowest", "goal", ""):
            table.add_column(column, justify="left" if column in ("command", "") else "right")
        for name, command in HELP.items():
            times = [help_seconds(command) for _ in range(asked.rounds)]
            table.add_row(name, f"{median(times):.2f}", f"{min(times):.2f}", f"{max(times):.2f}", f"{GOAL_HELP:.1f}",
                          verdict(median(times), GOAL_HELP))
        console.print(table)


if __name__ == "__main__":
    main()
