"""Records wait on disk in an outbox: they survive a kill, a full disk and a move, and hold no password."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from gru_bench.errors import RunError
from gru_bench.tracking import outbox, waiting
from gru_bench.tracking.outbox import Outbox, abandoned
from gru_bench.tracking.record import DIED, RunRecord
from tests.support.commands import mentions
from tests.support.values import present
from tests.support.writes import NOBODY, STUDY, TRIAL, left, records, release, root


class TestOnDisk:
    def test_a_record_is_read_back_as_it_was(self) -> None:
        for record in records():
            assert repr(RunRecord.from_json(record.to_json())) == repr(record)

    def test_the_outbox_of_a_dead_process_is_read_by_another(self) -> None:
        own = Outbox.begin(root(), NOBODY)
        own.put(records()[0], {"texts/a.txt": b"one", "b.txt": b"two"})
        own.put(records()[1])
        assert abandoned(root()) == []  # its owner lives
        (line,) = map(str, waiting(Path.cwd()))
        mentions(line, "2 runs wait", ".gru-bench/outbox", NOBODY)
        release(own)
        (found,) = abandoned(root())
        first, second = found.entries("waiting")
        assert (first.record(), second.run_id) == (records()[0], TRIAL)
        assert {path: file.read_bytes() for path, file in first.files().items()} == {
            "texts/a.txt": b"one", "b.txt": b"two"}
        assert found.file(STUDY, "texts/a.txt") == first.files()["texts/a.txt"]
        assert found.file(TRIAL, "texts/a.txt") is None
        assert abandoned(root()) == []  # now it is ours

    def test_a_run_that_a_dead_process_left_open_is_closed_unless_its_end_is_there(self) -> None:
        own = Outbox.begin(root(), NOBODY)
        for number in (0, 1):
            own.put(records()[number], state="open")
        own.put(records()[1], state="held")
        release(own)
        assert waiting(Path.cwd())[0].held == 1
        (found,) = abandoned(root())
        assert [(entry.run_id, entry.state) for entry in found.entries()] == [(TRIAL, "held"), (STUDY, "waiting")]
        closed = found.entries("waiting")[0].record()
        assert (closed.status, closed.tags["gru_bench.state"], closed.tags["gru_bench.reason"]) == (
            "KILLED", "killed", DIED)

    def test_a_held_record_is_released_or_superseded(self) -> None:
        own = Outbox.begin(root(), NOBODY)
        first, second = (own.put(records()[1], {"a.txt": b"one"}, "held") for _ in range(2))
        assert own.is_empty
        own.release(first)
        own.supersede(second, "why")
        kept, killed = own.entries()
        assert (kept.state, killed.state) == ("waiting", "waiting")
        assert repr(kept.record()) == repr(records()[1])
        record = killed.record()
        assert (record.status, record.tags["gru_bench.complete"], record.tags["gru_bench.reason"]) == (
            "KILLED", "false", "why")
        assert killed.files()["a.txt"].read_bytes() == b"one"

    def test_a_record_that_was_not_written_whole_is_removed(self) -> None:
        own = Outbox.begin(root(), NOBODY)
        own.put(records()[0])
        half = own.put(records()[1])
        half.folder.rename(half.folder.with_name(f"{half.folder.name}.new"))
        release(own)
        (found,) = abandoned(root())
        assert [entry.run_id for entry in found.entries()] == [STUDY]

    def test_a_full_disk_leaves_the_outbox_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own = Outbox.begin(root(), NOBODY)
        own.put(records()[0], {"a.txt": b"one"})
        write = outbox._write

        def full(path: Path, content: bytes) -> None:
            write(path, content[:len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for files in ({}, {"b.txt": b"more", "c.txt": b"still more"}):
            with monkeypatch.context() as patch:
                patch.setattr(outbox, "_write", full)
                with pytest.raises(RunError, match=r"no space left"):
                    own.put(records()[1], files)
        own.put(records()[2])
        assert [entry.record().time for entry in own.entries()] == [1, 6]
        assert [path.read_bytes() for path in own.folder.rglob("*.txt")] == [b"one"]

    def test_refuses_a_folder_that_may_not_be_written(self) -> None:
        (Path.cwd() / ".gru-bench").write_text("a file", encoding="utf-8")
        with pytest.raises(RunError, match=r"outbox .*/\.gru-bench/outbox/.* cannot be written"):
            Outbox.begin(root(), NOBODY)

    def test_a_database_beside_it_is_found_when_both_have_moved(self, tmp_path: Path) -> None:
        (tmp_path / "before").mkdir()
        before = tmp_path / "before" / outbox.FOLDER
        for uri in (f"sqlite:///{tmp_path}/before/mlflow.db", f"sqlite:///{tmp_path}/elsewhere.db"):
            one = Outbox.begin(before, uri)
            one.put(records()[0])
            release(one)
        (tmp_path / "before").rename(tmp_path / "after")
        assert {found.uri for found in abandoned(tmp_path / "after" / outbox.FOLDER)} == {
            f"sqlite:///{tmp_path}/after/mlflow.db", f"sqlite:///{tmp_path}/elsewhere.db"}

    def test_no_password_is_kept(self) -> None:
        own = Outbox.begin(root(), "postgresql://me:secret@host/runs")
        assert own.uri == "postgresql://me@host/runs"
        assert not any(b"secret" in path.read_bytes() for path in own.folder.iterdir() if path.is_file())

    def test_what_was_sent_to_a_server_is_kept_apart_from_what_waits(self) -> None:
        own = Outbox.begin(root(), NOBODY)
        for _ in range(3):
            own.mark_sent(own.put(records()[0], {"a.txt": b"one"}))
        last = own.put(records()[1])
        assert [entry.state for entry in own.entries()] == ["sent", "sent", "sent", "waiting"]
        assert own.entries("waiting") == [last]
        assert sum(path.is_dir() for path in own.folder.iterdir()) == 2
        assert present(own.file(STUDY, "a.txt")).read_bytes() == b"one"
        release(own)
        (found,) = abandoned(root())
        assert found.put(records()[2]).number == last.number + 1

    def test_an_outbox_that_is_not_wanted_is_left_alone(self) -> None:
        left(NOBODY)
        assert abandoned(root(), lambda _: False) == []
        assert len(abandoned(root())) == 1


def test_an_outbox_that_is_removed_is_named() -> None:
    one = Outbox.begin(root(), NOBODY)
    shutil.rmtree(root())
    with pytest.raises(RunError, match=r"\.gru-bench/outbox.*removed"):
        one.put(records()[0])


def test_a_process_that_keeps_the_lock_of_the_outboxes_is_named_and_waited_for_no_longer_than_a_minute(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "MOST_LOCKED_SECONDS", 0.01)
    left("sqlite:///a.db")
    other, said = FileLock(root() / ".lock"), list[str]()
    with other.acquire(), pytest.raises(RunError, match=r"Ctrl-Z.*fg"):
        abandoned(root(), say=said.append)
    mentions(*said, str(root() / ".lock"), "Ctrl-Z", "fg")
    monkeypatch.setattr(outbox, "MOST_LOCKED_SECONDS", 5.0)
    other.acquire()
    (found,) = abandoned(root(), say=lambda _: other.release())
    assert len(found.entries("waiting")) == 3
    found.close()
