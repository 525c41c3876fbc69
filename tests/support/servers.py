"""Real servers on 127.0.0.1, for tests marked `service`: MLflow's tracking server, and PostgreSQL.

Both are given a free port and a folder of their own. MLflow's can be stopped and started again at its port, with the
runs it holds; it is shut down as an administrator would, or killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gru_bench.tracking import Store
from tests.support.commands import ROOT

READY_SECONDS = 120
STOP_SECONDS = 30
POSTGRES_USER = "postgres"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true"}


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """`mlflow server` over a database file, whose artifacts it takes and hands out itself."""

    def __init__(self, folder: Path, database: Path | None = None) -> None:
        """Name the place, and the database where it is not a new one; nothing is started."""
        self.folder, self.port = folder, free_port()
        self.database = database or folder / "server.db"
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """What `--tracking-uri` is given."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
                 "--backend-store-uri", f"sqlite:///{self.database}", "--artifacts-destination",
                 str(self.folder / "artifacts"), "--workers", "1"],
                cwd=self.folder, env={**os.environ, **QUIET}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        _wait(self._process, self._answers, self.log)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and all it has started, by `how`, and wait until it is gone."""
        if self._process is not None:
            _end(self._process, how)
            self._process = None

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
            return bool(answer.status == 200)
        return False


class Gate:
    """MLflow's client, behind a wire that can be cut."""

    def __init__(self, client: object) -> None:
        self.client, self.cut = client, False

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.cut:
                raise ConnectionError("the wire is cut")
            return getattr(self.client, name)(*arguments, **named)

        return call


@contextmanager
def mlflow_server(folder: Path, database: Path | None = None) -> Iterator[MlflowServer]:
    """Run a server in `folder`, over the file `database` where one is given."""
    server = MlflowServer(folder, database)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def serving(store: Store, folder: Path, name: str = "mine") -> Iterator[int]:
    """Yield the port of `mlflow models serve` for the best version of a registered name."""
    port = free_port()
    environment = {**os.environ, **QUIET, "MLFLOW_TRACKING_URI": store.uri, "PYTHONPATH": str(ROOT),
                   "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}@best", "--env-manager",
             "local", "-h", "127.0.0.1", "-p", str(port)],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (folder / "serve.log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def ask(port: int, request: object) -> tuple[int, Any]:
    """Return the status and the answer to a request, in CSV if it is a text."""
    kind, body = ("text/csv", request) if isinstance(request, str) else ("application/json", json.dumps(request))
    posted = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": kind})
    try:
        with urllib.request.urlopen(posted, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def postgres_program(name: str) -> str | None:
    """Return where a program of PostgreSQL's server is, which Debian keeps off the PATH; None where it is not."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name)


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server with an empty database; its URL, such as `postgresql://postgres@127.0.0.1:5432/postgres`.

    PostgreSQL refuses to run as root: then it runs as the user its package has made.
    """
    import pwd

    initdb, server = postgres_program("initdb"), postgres_program("postgres")
    assert initdb
    assert server
    # Its own folder must be open to that user, which those of pytest are not.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as temporary:
        folder, log, port = Path(temporary), Path(temporary) / "server.log", free_port()
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(POSTGRES_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
            other = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        subprocess.run(
            [initdb, "-D", str(folder / "data"), "-U", POSTGRES_USER, "--auth=trust", "--encoding=UTF8", "--no-sync"],
            check=True, capture_output=True, cwd=folder, **other)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [server, "-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(port), "-k", "", "-c", "fsync=off"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **other)
        try:
            _wait(process, lambda: b"ready to accept connections" in log.read_bytes(), log)
            yield f"postgresql://{POSTGRES_USER}@127.0.0.1:{port}/postgres"
        finally:
            _end(process, signal.SIGINT)  # its fast shutdown: open connections are ended


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            _end(process, signal.SIGKILL)
            raise AssertionError(f"the server did not come up:\n{log.read_text(encoding='utf-8')[-4000:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Signal a process, end what it leaves of its session, and wait for it."""
    process.send_signal(how)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
