"""What all tests share: a cache of their own, a working directory of their own, and small data that can be learnt."""

from __future__ import annotations

import csv
import functools
import gc
import os
import shutil
import signal
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import hypothesis
import numpy as np
import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from gru_bench.platforms import cores
from tests.support.ray_cluster import ray_cluster
from tests.support.servers import MlflowServer, mlflow_server, postgres

# Threads of torch that wait for work sleep. Usually they spin, which takes the processor from the tests beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The garbage collector walks all objects, a tenth of the time of the tests: let it do so less often.
gc.set_threshold(20_000)

# The same examples in each run: a test that fails once fails again. A busy machine fails none. With CI in the
# environment there are more of them.
hypothesis.settings.register_profile("local", derandomize=True, database=None, deadline=None, max_examples=15)
hypothesis.settings.register_profile("ci", derandomize=True, database=None, deadline=None, max_examples=200)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

GROUPS = {
    **dict.fromkeys(("end_to_end/test_chaos.py", "sweep/workers/test_ray.py"), "chaos"),
    "tracking/test_faults.py": "faults",
    **dict.fromkeys(("kernels", "models", "train", "diagnose"), "training"),
    **dict.fromkeys(("inference", "tracking"), "stores"),
    "sweep": "sweep", "report": "report", "gru_check": "gru_check", "report/figures": "figures"}
"""File or folder below tests/ -> its group, in the order of their start. The longest name that a test is below counts.
All tests of a group run in one process: what they share, such as a report or a server, is made once. While one group
compiles the kernel, others do without. There is one Ray cluster at a time. The other files share little: each is a
group, the longest first, so that all processes end at about the same time."""
LONGEST = ("report/test_command.py", "end_to_end/test_sweep.py", "report/test_verify.py", "test_imports.py",
           "data/test_vectors.py", "end_to_end/test_commands.py")
MOST_PROCESSES = 8
"""Processes beyond which the longest group decides how long the tests take."""


def group_of(nodeid: str) -> str:
    """Return the group of a test, by its file or one of its folders; its file if there is no such group."""
    file = PurePosixPath(nodeid.partition("::")[0].removeprefix("tests/"))
    if str(file) in LONGEST:
        return str(file)
    return next((GROUPS[str(part)] for part in (file, *file.parents) if str(part) in GROUPS), str(file))


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out tests group by group."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    return GroupScheduling(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as cores, but none for a single file or test, which would only wait for them to start."""
    return 0 if all("::" in name or name.endswith(".py") for name in config.args) else min(cores(), MOST_PROCESSES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = [*dict.fromkeys(GROUPS.values()), *LONGEST]

    def place(item: pytest.Item) -> int:
        group = group_of(item.nodeid)
        return order.index(group) if group in order else len(order)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, which from then on leaves out what is there already, such as libraries."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Compute on the CPU, whose numbers are known. Let Ctrl-C reach the commands that tests start: a shell's background
    jobs would hand on that it is ignored.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["HIP_VISIBLE_DEVICES"] = ""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-messages", action="store_true", help="write tests/messages.txt as the commands print now")
    parser.addoption("--kills", type=int, help="least kills of the chaos test")
    parser.addoption("--chaos-seed", type=int, default=1, help="random seed of the chaos test")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One cache for the session, so that what a test builds the next finds; never the user's."""
    os.environ["GRU_BENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _few_passes() -> Iterator[None]:
    """Train the word vectors of made-up data in 100 passes at most: 500 take a second for each of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_bench.data.vectors.MOST_PASSES", 100)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_flush() -> Iterator[None]:
    """Do not wait until the disk has what is written: no test cuts the power, and each wait takes milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores default to the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def easy_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 made-up reviews in two categories, whose label shows in a third of their words."""
    generator = np.random.default_rng(7)
    words = {0: [f"bad{i}" for i in range(12)], 1: [f"good{i}" for i in range(12)]}
    neutral = [f"word{i}" for i in range(40)]
    path = tmp_path_factory.mktemp("data") / "easy.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "kind"])
        for n in range(400):
            label = n % 2
            length = int(generator.integers(4, 20))
            text = [str(generator.choice(words[label] if generator.random() < 0.35 else neutral))
                    for _ in range(length)] + [str(generator.choice(words[label])), f"id{n}"]
            writer.writerow([" ".join(text), label, "books" if n % 3 else "music"])
    return path


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A tracking database without runs: MLflow takes seconds to make one, so tests copy this one.

    MLflow also reads all of its migrations whenever it opens a database, which takes longer than many tests: once here.
    From here on, SQLite does not wait for the disk, as in `_no_flush`.
    """
    from mlflow.store.db import utils
    from sqlalchemy import Engine, event

    from gru_bench.tracking.client import open_client

    @event.listens_for(Engine, "connect")
    def opened(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF")

    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent  # of all workers
    path = shared / "empty" / "mlflow.db"
    with FileLock(shared / "empty.lock"):
        if not path.exists():
            path.parent.mkdir()
            open_client(f"sqlite:///{path}", path)
    return path


@pytest.fixture
def database(empty_database: Path) -> Path:
    """An empty store in the working directory."""
    return Path(shutil.copy(empty_database, Path.cwd()))


@pytest.fixture(scope="session")
def tracking_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[MlflowServer]:
    """MLflow's tracking server, for tests marked `service`. They share it, so each has experiments of its own."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder)  # to make one takes seconds
    with mlflow_server(folder, folder / empty_database.name) as server:
        yield server


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty database on a PostgreSQL server; for tests marked `service`."""
    with postgres() as url:
        yield url


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    """A Ray cluster of two nodes; for tests marked `service`."""
    with ray_cluster() as nodes:
        yield nodes
