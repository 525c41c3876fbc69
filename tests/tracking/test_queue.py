"""Writes wait on disk in a queue: they survive a kill, a full disk and a move, and hold no password."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from gru_bench.errors import RunError
from gru_bench.tracking import queue, waiting
from gru_bench.tracking.queue import Operation, WriteQueue, abandoned_queues
from tests.support.commands import mentions
from tests.support.values import present
from tests.support.writes import NOBODY, operations, root


class TestOnDisk:
    def test_an_operation_is_read_back_as_it_was(self) -> None:
        for operation in operations():
            assert repr(Operation.from_json(operation.to_json())) == repr(operation)

    def test_the_queue_of_a_dead_process_is_read_by_another(self) -> None:
        own = WriteQueue.begin(root(), NOBODY)
        own.append(operations()[0], {"texts/a.txt": b"one", "b.txt": b"two"})
        own.append(operations()[1])
        assert abandoned_queues(root()) == []  # its owner lives
        (line,) = map(str, waiting(Path.cwd()))
        mentions(line, "2 writes of 2 runs", ".gru-bench/queue", NOBODY)
        present(own._lock).release()
        (found,) = abandoned_queues(root())
        read = [Operation.from_json(line) for _, line in found.pending()]
        assert [(operation.run, operation.status) for operation in read] == [
            ("local-1", None), ("local-2", None), ("local-2", "KILLED")]
        assert {path: found.path(place).read_bytes() for path, place in read[0].artifacts.items()} == {
            "texts/a.txt": b"one", "b.txt": b"two"}
        assert abandoned_queues(root()) == []  # now it is ours

    def test_an_incomplete_last_line_is_removed(self) -> None:
        own = WriteQueue.begin(root(), NOBODY)
        for operation in operations()[:3]:
            own.append(operation)
        log = own.folder / "operations.jsonl"
        whole = log.read_bytes()
        log.write_bytes(whole + operations()[3].to_json().encode()[:-7])
        present(own._lock).release()
        (found,) = abandoned_queues(root())
        assert log.read_bytes().startswith(whole)
        found.append(operations()[4])
        assert [(read.time, read.status) for _, line in found.pending() for read in [Operation.from_json(line)]] == [
            (1, None), (2, None), (3, None), (4, "KILLED"), (5, "FINISHED")]

    def test_a_full_disk_leaves_the_queue_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own = WriteQueue.begin(root(), NOBODY)
        own.append(operations()[0], {"a.txt": b"one"})
        write = queue._write

        def full(path: Path, content: bytes, lasting: bool) -> None:
            write(path, content[:len(content) // 2], False)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        for files in ({}, {"b.txt": b"more", "c.txt": b"still more"}):
            with monkeypatch.context() as patch:
                patch.setattr(queue, "_write", full)
                with pytest.raises(RunError, match=r"free space on the disk"):
                    own.append(operations()[1], files)
        own.append(operations()[2])
        assert [Operation.from_json(line).time for _, line in own.pending()] == [1, 3]
        assert [path.read_bytes() for path in (own.folder / "files").rglob("*.txt")] == [b"one"]

    def test_refuses_a_folder_that_may_not_be_written(self) -> None:
        (Path.cwd() / ".gru-bench").write_text("a file", encoding="utf-8")
        with pytest.raises(RunError, match=r"write queue .*/\.gru-bench/queue/.* must be writable"):
            WriteQueue.begin(root(), NOBODY)

    def test_a_database_beside_it_is_found_when_both_have_moved(self, tmp_path: Path) -> None:
        (tmp_path / "before").mkdir()
        before = tmp_path / "before" / queue.FOLDER
        own = WriteQueue.begin(before, f"sqlite:///{tmp_path}/before/mlflow.db")
        other = WriteQueue.begin(before, f"sqlite:///{tmp_path}/elsewhere.db")
        for one in (own, other):
            one.append(operations()[0])
            present(one._lock).release()
        (tmp_path / "before").rename(tmp_path / "after")
        assert {found.uri for found in abandoned_queues(tmp_path / "after" / queue.FOLDER)} == {
            f"sqlite:///{tmp_path}/after/mlflow.db", f"sqlite:///{tmp_path}/elsewhere.db"}

    def test_the_queue_of_another_machine_is_left_alone_until_it_is_silent(self) -> None:
        """Its lock may not be visible here."""
        own = WriteQueue.begin(root(), NOBODY)
        own.append(operations()[0])
        present(own._lock).release()
        owner = own.folder / "owner.json"
        owner.write_text(json.dumps(json.loads(owner.read_text()) | {"host": "elsewhere"}))
        assert abandoned_queues(root()) == []
        for path in own.folder.iterdir():
            os.utime(path, (0, 0))
        own._touched = -100.0
        own.touch()
        assert abandoned_queues(root()) == []
        os.utime(own.folder / "lock", (0, 0))
        assert [found.folder for found in abandoned_queues(root())] == [own.folder]

    def test_no_password_is_kept(self) -> None:
        own = WriteQueue.begin(root(), "postgresql://me:secret@host/runs")
        assert own.uri == "postgresql://me@host/runs"
        assert not any(b"secret" in path.read_bytes() for path in own.folder.iterdir() if path.is_file())


def test_a_queue_that_is_removed_is_named() -> None:
    one = WriteQueue.begin(root(), NOBODY)
    one.append(operations()[0])
    shutil.rmtree(root())
    with pytest.raises(RunError, match=r"\.gru-bench/queue.*removed"):
        one.waiting()
