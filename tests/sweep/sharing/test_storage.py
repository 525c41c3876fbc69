"""A journal that was damaged is mended or refused in a sentence, and what is appended to it never makes it worse."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console
from sqlalchemy.exc import OperationalError

from gru_bench import platforms
from gru_bench.errors import RunError, UsageError
from gru_bench.sweep.__main__ import _check
from gru_bench.sweep.search import Search, read_trials
from gru_bench.sweep.sharing import storage as storage_module
from gru_bench.sweep.sharing.storage import lock_for, open_storage, wrapped_errors
from gru_bench.sweep.spec import StudySpec, load_study
from tests.support.searches import search_in

STUDY = """
models = ["torch"]
trials = 9
[space]
training.lr = { low = 1e-4, high = 1e-1, log = true }
"""


NO_ENTRIES = [b"garbage", b"[1]", b"{}", b"null", b"\xff\xfe\x00", b'{"op_code":"x","worker_id":"y"}', b"[" * 5000]


@pytest.fixture
def spec() -> StudySpec:
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    return load_study("study.toml")


@pytest.fixture
def journal(spec: StudySpec) -> Path:
    """Three trials, two of them complete."""
    search = Search(spec, "torch", open_storage(None), "data")
    for value in (0.5, 0.75):
        asked = search.ask()
        assert asked is not None
        search.report(asked[0], 1, value)
        search.complete(asked[0], value)
    search.ask()
    return Path("optuna.journal")


def values(spec: StudySpec) -> list[tuple[str, dict[str, object]]]:
    found = read_trials(spec, "torch", open_storage(None))
    return [] if found is None else [(trial.state, dict(trial.settings)) for trial in found.trials]


def append(spec: StudySpec) -> None:
    """Open the search as a sweep does, which writes to it."""
    Search(spec, "torch", open_storage(None), "data")


@pytest.mark.parametrize("line", [*(line + b"\n" for line in NO_ENTRIES), b'{"op_code": 4, "wor', bytes(300)])
def test_a_last_line_that_is_no_entry_is_cut_kept_and_told(spec: StudySpec, journal: Path, line: bytes) -> None:
    whole, before, said = journal.read_bytes(), values(spec), list[str]()
    journal.write_bytes(whole + line)
    open_storage(None, say=said.append)
    assert said == [f"the last line of optuna.journal ({whole.count(bytes([10])) + 1}) was incomplete, as after a "
                    "kill or a power cut: it is removed, and saved in optuna.journal.cut"]
    assert journal.read_bytes() == whole
    assert Path("optuna.journal.cut").read_bytes() == line.rstrip(b"\n") + b"\n"
    append(spec)
    assert values(spec) == before


def test_a_whole_last_line_that_has_lost_its_end_is_kept(spec: StudySpec, journal: Path) -> None:
    before = values(spec)
    journal.write_bytes(journal.read_bytes()[:-1])
    append(spec)
    assert values(spec) == before
    assert not Path("optuna.journal.cut").exists()


def test_a_long_last_line_is_found(journal: Path) -> None:
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 2, "worker_id": "' + b"x" * 200_000)
    open_storage(None)
    assert journal.read_bytes() == whole


@pytest.mark.parametrize("line", [*NO_ENTRIES, b'{"op_code":77,"worker_id":"x"}', b'{"op_code":4,"worker_id":"x"}',
                                  b'{"op_code":6,"worker_id":"x","trial_id":99,"state":1,"values":[0.1]}',
                                  b'{"op_code":2,"worker_id":"x","study_id":3,"user_attr":{"a":1}}'])
def test_damage_before_the_last_line_is_refused_and_left_as_it_is(
    spec: StudySpec, journal: Path, line: bytes
) -> None:
    lines = journal.read_bytes().split(b"\n")
    lines.insert(6, line)
    journal.write_bytes(b"\n".join(lines))
    damaged = journal.read_bytes()
    for _ in range(2):
        with pytest.raises(RunError, match=r"each line of 'optuna\.journal' must be an entry of a .*, but line 7 is"):
            append(spec)
    assert journal.read_bytes() == damaged


def test_no_line_is_cut_where_there_is_damage_before_it(journal: Path) -> None:
    lines = journal.read_bytes().split(b"\n")
    lines[3] = b"garbage"
    journal.write_bytes(b"\n".join([*lines[:-1], b"more garbage"]))
    damaged = journal.read_bytes()
    with pytest.raises(RunError, match=r"line 4 is damaged \(it is not JSON\)"):
        open_storage(None)
    assert journal.read_bytes() == damaged


def test_the_remedy_works_as_it_is_printed(spec: StudySpec, journal: Path) -> None:
    lines = journal.read_bytes().split(b"\n")
    lines[8] = b"garbage"
    Path("a b.journal").write_bytes(b"\n".join(lines))
    with pytest.raises(RunError) as told:
        open_storage("a b.journal")
    assert "line 9 is damaged" in str(told.value)
    assert "remove this line and all after it in an editor, so that 8 are left" in str(told.value)
    Path("a b.journal").write_bytes(b"\n".join(lines[:8]) + b"\n")
    Search(spec, "torch", open_storage("a b.journal"), "data")


def test_damage_found_by_a_search_under_way_ends_its_writing(spec: StudySpec, journal: Path) -> None:
    search = Search(spec, "torch", open_storage(None), "data")
    with journal.open("ab") as file:
        file.write(b'{"op_code":77,"worker_id":"x"}\n')
    damaged = journal.read_bytes()
    for _ in range(2):
        with pytest.raises(RunError, match="must be an entry of a search"):
            search.ask()
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("put", [None, b"", b'{"op_code":77,"worker_id":"x"}\n' * 900], ids=["gone", "cut", "another"])
def test_a_journal_that_is_taken_away_under_a_search_is_told(
    spec: StudySpec, journal: Path, put: bytes | None
) -> None:
    search = Search(spec, "torch", open_storage(None), "data")
    journal.unlink()
    if put is not None:
        journal.with_name("new").write_bytes(put)
        journal.with_name("new").rename(journal)
    for ask in (search.ask, search.trials):
        with pytest.raises(RunError, match=r"must stay in 'optuna\.journal' while a command works on it, but the"):
            ask()
    assert journal.exists() == (put is not None)
    assert put is None or journal.read_bytes() == put


def test_what_is_no_file_is_told() -> None:
    Path("optuna.journal").mkdir()
    with pytest.raises(RunError, match=r"must be in a file, but 'optuna.journal' is not a file: move it away"):
        open_storage(None)
    with pytest.raises(UsageError, match=r"--storage must name a file in a folder that exists, but got 'no/x.journal'"):
        open_storage("no/x.journal")


def test_a_check_begins_no_search(spec: StudySpec) -> None:
    with pytest.raises(RunError, match=r"must be in 'optuna.journal', but there is no such file: .* new search"):
        _check(spec, Console(quiet=True), None, None)
    assert not list(Path.cwd().glob("optuna*"))


def test_a_search_is_read_where_nothing_can_be_written(
    spec: StudySpec, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, said = values(spec), list[str]()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("gru_bench.sweep.sharing.storage.FileLock.acquire", lambda *_: pytest.fail("locked"))
    opened = open_storage(None, create=False, say=said.append)
    found = read_trials(spec, "torch", opened)
    assert found is not None
    assert [(trial.state, dict(trial.settings)) for trial in found.trials] == before
    assert said == ["the last line of optuna.journal is incomplete, as after a kill: it is ignored"]


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Return a journal with one thing wrong."""
    lines, place = whole.split(b"\n")[:-1], rng.randrange(len(whole))
    line = rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            return whole[:place]
        case 1:
            return whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1:]
        case 2:
            return whole[:place] + rng.randbytes(rng.randrange(1, 9)) + whole[place:]
        case 3:
            return whole[:place] + bytes(len(whole) - place)
        case 4:
            lines.insert(line, lines[line])
        case 5:
            lines[line] = rng.randbytes(rng.randrange(200))
        case 6:
            lines.insert(rng.choice([line, len(lines)]), rng.choice(NO_ENTRIES))
    return b"\n".join(lines) + b"\n"


def test_whatever_is_damaged_is_mended_or_refused_and_never_made_worse(spec: StudySpec, journal: Path) -> None:
    whole, rng, counts = journal.read_bytes(), random.Random(77), {"read": 0, "refused": 0}
    for _ in range(80):
        journal.write_bytes(before := damaged(whole, rng))
        try:
            values(spec)
        except RunError:
            counts["refused"] += 1
            with pytest.raises(RunError):
                append(spec)
            assert journal.read_bytes() == before
            continue
        counts["read"] += 1
        with suppress(UsageError):  # a name or value of the study has become another
            append(spec)
        values(spec)
    assert min(counts.values()) > 20


def test_a_torn_line_is_mended_by_whoever_appends_next(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    search.ask()
    with (tmp_path / "optuna.journal").open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    search.complete(0, 0.5)
    assert [trial.value for trial in search_in(tmp_path).trials()] == [0.5]


def test_a_storage_that_goes_away_is_told_without_its_password() -> None:
    down = OperationalError("SELECT 1", {}, ConnectionError("connection refused"))
    with (pytest.raises(RunError, match=r"'postgresql://me@host/studies' no longer does: .*refused") as told_as,
          wrapped_errors("postgresql://me:secret@host/studies")):
        raise down
    assert "run the same command again" in str(told_as.value)
    assert "secret" not in str(told_as.value)


def test_a_storage_that_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"must be a database URL such as .*, but got 'somewhere'"):
        open_storage("somewhere")
    with pytest.raises(UsageError, match="must be a database URL"):
        lock_for(optuna.storages.InMemoryStorage(), "study")


class TestWindows:
    """Symbolic links are refused, and a virus scanner may hold any file open for a moment."""

    @pytest.fixture(autouse=True)
    def _windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(22, "A required privilege is not held by the client")

        monkeypatch.setattr("os.symlink", refuse)
        monkeypatch.setattr(platforms, "WINDOWS", True)
        monkeypatch.setattr(storage_module, "WINDOWS", True)
        monkeypatch.setattr(platforms, "HELD_SECONDS", 0.1)

    def test_a_search_needs_no_symbolic_link(self, spec: StudySpec, journal: Path) -> None:
        assert [state for state, _ in values(spec)] == ["complete", "complete", "running"]

    @pytest.mark.parametrize(("refusals", "left"), [(2, False), (1_000, True)])
    def test_a_lock_that_is_held_open_ends_no_sweep(
        self, refusals: int, left: bool, spec: StudySpec, journal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, lock = os.rename, Path("optuna.journal.lock")

        def refuse(source: str, target: str) -> None:
            nonlocal refusals
            if Path(source).name == lock.name and (refusals := refusals - 1) >= 0:
                raise PermissionError(13, "used by another process")
            real(source, target)

        storage = open_storage(None)
        study = optuna.load_study(study_name="study/torch", storage=storage)
        monkeypatch.setattr("os.rename", refuse)
        study.set_user_attr("noted", "once")
        assert lock.exists() is left
        assert journal.read_bytes().count(b"once") == 1

    def test_a_journal_that_is_held_open_is_appended_to_later(
        self, journal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refusals, real = 3, open

        def refuse(path: str, mode: str) -> Any:
            nonlocal refusals
            if mode == "ab" and (refusals := refusals - 1) >= 0:
                raise PermissionError(13, "used by another process")
            return real(path, mode)

        study = optuna.load_study(study_name="study/torch", storage=open_storage(None))
        monkeypatch.setattr("optuna.storages.journal._file.open", refuse, raising=False)
        study.set_user_attr("noted", "once")
        assert refusals < 0
        assert journal.read_bytes().count(b"once") == 1
