"""A journal that a kill has cut off goes on, a damaged one is refused, and other storages than two are refused."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from gru_bench import platforms
from gru_bench.errors import RunError, UsageError
from gru_bench.sweep.sharing.storage import lock_for, open_storage, wrapped_errors
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.study import StudyRecord, read_study
from tests.support.commands import mentions
from tests.support.searches import asked, search_in

STUDY = """
models = ["torch"]
trials = 9
[space]
training.lr = { low = 1e-4, high = 1e-1, log = true }
"""


@pytest.fixture
def spec() -> StudySpec:
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    return load_study("study.toml")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of three trials, two of them complete."""
    with chdir(tmp_path_factory.mktemp("journal")):
        Path("study.toml").write_text(STUDY, encoding="utf-8")
        search = StudyRecord(load_study("study.toml"), open_storage(None), "data", "mine").searches["torch"]
        for value in (0.5, 0.75):
            number, _ = asked(search)
            search.report(number, 1, value)
            search.complete(number, value)
        search.ask()
        return Path("optuna.journal").read_bytes()


@pytest.fixture
def journal(lines: bytes) -> Path:
    Path("optuna.journal").write_bytes(lines)
    return Path("optuna.journal")


def values(spec: StudySpec) -> list[tuple[str, dict[str, object]]]:
    searches = read_study(spec, open_storage(None)).searches
    return [(trial.state, dict(trial.settings)) for search in searches.values() for trial in search.trials]


def append(spec: StudySpec) -> None:
    """Open the search as a sweep does, which writes to it."""
    StudyRecord(spec, open_storage(None), "data", "mine")


@pytest.mark.parametrize("line", [
    b"garbage", b'{"op_code": 4, "wor', b'{"op_code":2}', bytes(300), b'{"op_code": 2, "' + b"x" * 99_999])
def test_the_next_write_removes_what_a_kill_has_left_of_a_line(spec: StudySpec, journal: Path, line: bytes) -> None:
    whole, before = journal.read_bytes(), values(spec)
    journal.write_bytes(whole + line)
    assert values(spec) == before
    append(spec)
    assert values(spec) == before
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


@pytest.mark.parametrize("line", [b"garbage", b"[1]", b"{}", b'{"op_code":77,"worker_id":"x"}'])
def test_refuses_a_damaged_journal_and_leaves_it_as_it_is(spec: StudySpec, journal: Path, line: bytes) -> None:
    journal.write_bytes(damaged := line + b"\n" + journal.read_bytes())
    with pytest.raises(RunError, match=r"'optuna\.journal'.*restore a copy.*another name"):
        append(spec)
    assert journal.read_bytes() == damaged


def test_refuses_a_journal_that_is_a_folder_or_in_a_folder_that_does_not_exist() -> None:
    Path("optuna.journal").mkdir()
    with pytest.raises(RunError, match=r"'optuna\.journal' is not"):
        open_storage(None)
    with pytest.raises(UsageError, match=r"storage.*'no/x\.journal'"):
        open_storage("no/x.journal")


def test_a_check_begins_no_search(spec: StudySpec) -> None:
    assert read_study(spec, open_storage(None, create=False)).run_id == ""
    assert not list(Path.cwd().glob("optuna*"))


def test_reads_a_search_in_a_folder_that_cannot_be_written(
    spec: StudySpec, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = values(spec)
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    monkeypatch.setattr("gru_bench.sweep.sharing.storage.FileLock.acquire", lambda *_: pytest.fail("locked"))
    opened = open_storage(None, create=False)
    found = read_study(spec, opened).searches["torch"]
    assert [(trial.state, dict(trial.settings)) for trial in found.trials] == before


def test_an_incomplete_line_is_removed_by_whoever_appends_next(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    search.ask()
    with (tmp_path / "optuna.journal").open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    search.complete(0, 0.5)
    assert [trial.value for trial in search_in(tmp_path).trials()] == [0.5]


def test_an_error_of_a_database_is_shown_without_its_password() -> None:
    down = OperationalError("SELECT 1", {}, ConnectionError("connection refused"))
    with (pytest.raises(RunError, match=r"'postgresql://me@host/studies'.*refused.*run this again") as raised,
          wrapped_errors("postgresql://me:secret@host/studies")):
        raise down
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("url", "shown"), [
    ("somewhere", "somewhere"), ("mysql+pymysql://me:secret@host/db", "mysql+pymysql://me@host/db"),
    ("sqlite:///optuna.db", "sqlite:///optuna.db")])
def test_refuses_a_storage_that_is_no_journal_and_not_on_postgresql(url: str, shown: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_storage(url)
    mentions(str(refused.value), "storage", "PostgreSQL", ".journal", repr(shown))
    assert not list(Path.cwd().iterdir())


def test_a_lock_is_of_a_journal_or_of_a_database() -> None:
    with pytest.raises(UsageError, match=r"storage.*InMemoryStorage"):
        lock_for(optuna.storages.InMemoryStorage(), "study")


@pytest.mark.service
def test_a_lock_that_the_database_has_taken_back_is_noticed_before_the_next_write(postgres_url: str) -> None:
    """PostgreSQL ends the session of a holder that was idle for too long."""
    storage, written = open_storage(postgres_url), list[str]()
    lock, other = lock_for(storage, "study"), lock_for(storage, "study")

    def write_twice() -> None:
        with wrapped_errors(postgres_url), lock:
            with storage.engine.connect() as connection:  # type: ignore[attr-defined]  # a database
                connection.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            with other:
                written.append("by another process")
            with lock:  # as each write does
                written.append("too late")

    with pytest.raises(RunError, match="storage"):
        write_twice()
    assert written == ["by another process"]
    with lock:
        written.append("in turn")


def test_on_windows_a_write_waits_while_another_program_has_the_journal_open(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals, real = 3, open

    def refuse(path: str, mode: str) -> Any:
        nonlocal refusals
        if mode == "ab" and (refusals := refusals - 1) >= 0:
            raise PermissionError(13, "used by another process")
        return real(path, mode)

    monkeypatch.setattr(platforms, "WINDOWS", True)
    study = optuna.load_study(study_name="study/torch", storage=open_storage(None))
    monkeypatch.setattr("optuna.storages.journal._file.open", refuse, raising=False)
    study.set_user_attr("noted", "once")
    assert refusals < 0
    assert journal.read_bytes().count(b"once") == 1
