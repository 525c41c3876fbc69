"""The cache of prepared data is complete or absent, and is built once."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gru_bench.data.cache as cache_module
import gru_bench.data.corpus as corpus_module
from gru_bench import platforms
from gru_bench.config import DataConfig, EmbeddingConfig
from gru_bench.data.cache import cached_folder, content_digest, default_cache
from gru_bench.data.corpus import load_corpus
from gru_bench.data.vectors import load_vectors
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.platforms import cache_folder
from tests.support.commands import mentions
from tests.support.reviews import load, reviews, write


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "corpus").iterdir())


def test_a_second_start_reads_nothing_but_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(tmp_path / "a.csv", reviews(60))
    first = load(name, tmp_path / "cache")
    monkeypatch.setattr(corpus_module, "read_files", lambda *_: pytest.fail("read again"))
    second = load(name, tmp_path / "cache")
    assert (second.fingerprint, second.words, second.folder) == (first.fingerprint, first.words, first.folder)
    assert isinstance(second.train.ids, np.memmap)
    assert folders(tmp_path / "cache") == [first.folder.name]


def test_changed_content_and_settings_are_built_again(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(60))
    first = load(name, tmp_path / "cache")
    write(tmp_path / "a.csv", reviews(61))
    assert load(name, tmp_path / "cache").fingerprint != first.fingerprint
    assert load(name, tmp_path / "cache", split_seed=7).folder != first.folder
    assert len(folders(tmp_path / "cache")) == 3


@pytest.mark.parametrize("name", ["about.json", "examples.npz", "ids.npy", "table.npy"])
def test_a_folder_that_something_has_damaged_is_named_and_built_again_once_it_is_deleted(
    tmp_path: Path, name: str
) -> None:
    def texts() -> list[str]:
        corpus = load(write(tmp_path / "a.csv", reviews(60)), tmp_path / "cache")
        load_vectors(EmbeddingConfig(name="random", dimension=2), corpus, tmp_path / "cache")
        return corpus.texts("test")

    whole = texts()
    (file,) = (tmp_path / "cache").rglob(name)
    for content in (b"", file.read_bytes()[:40], b"garbled " * 100):
        file.write_bytes(content)
        with pytest.raises(RunError) as refusal:
            texts()
        mentions(str(refusal.value), str(file.parent), "delete it")
        assert "pickle" not in str(refusal.value)  # numpy's advice
    shutil.rmtree(file.parent)
    assert texts() == whole


@pytest.mark.slow
def test_processes_that_build_at_once_agree(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(1000))
    program = ("import sys; from pathlib import Path; from gru_bench.config import DataConfig;"
               "from gru_bench.data.corpus import load_corpus;"
               "c = load_corpus(DataConfig(name=sys.argv[1]), Path(sys.argv[2]));"
               "print(c.fingerprint, int(c.train.ids.sum()))")
    processes = [subprocess.Popen([sys.executable, "-c", program, name, str(tmp_path / "cache")],
                                  stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(said)) == 1
    assert len(folders(tmp_path / "cache")) == 1


def test_of_two_builds_of_a_folder_the_first_to_finish_wins(tmp_path: Path) -> None:
    def build_at_once(begun: Path) -> None:
        (begun / "x").write_text("first", encoding="utf-8")

    def build_slowly(begun: Path) -> None:
        # Meanwhile another process finishes the same folder.
        cached_folder(tmp_path, "kind", "key", build_at_once)
        (begun / "x").write_text("second", encoding="utf-8")

    folder = cached_folder(tmp_path, "kind", "key", build_slowly)
    assert (folder / "x").read_text(encoding="utf-8") == "first"
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["key"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(begun: Path) -> None:
        (begun / "x").write_text("half", encoding="utf-8")
        raise DataError("no")

    with pytest.raises(DataError, match=r"^no$"):
        cached_folder(tmp_path, "kind", "key", fail)
    assert list((tmp_path / "kind").iterdir()) == []


def test_leftovers_of_a_killed_process_are_removed_after_a_day(tmp_path: Path) -> None:
    for name, age in ((".old.1.begun", 90_000), (".new.1.begun", 60)):
        (tmp_path / "kind" / name).mkdir(parents=True)
        os.utime(tmp_path / "kind" / name, (time.time() - age,) * 2)

    def build(begun: Path) -> None:
        (begun / "x").write_text("x", encoding="utf-8")

    cached_folder(tmp_path, "kind", "key", build)
    assert sorted(path.name for path in (tmp_path / "kind").iterdir()) == [".new.1.begun", "key"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   OSError("262144 requested and 4096 written")])
def test_a_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    name = write(tmp_path / "a.csv", reviews(60))

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(RunError, match=rf"cache .*corpus.*{error.strerror or error}.*GRU_BENCH_CACHE"):
        load(name, tmp_path / "cache")
    assert folders(tmp_path / "cache") == []


@pytest.mark.slow
@pytest.mark.skipif(platforms.WINDOWS, reason="Windows limits no files")
def test_a_write_that_really_fails_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(3000))
    program = ("import resource, sys; from pathlib import Path; from gru_bench.config import DataConfig;"
               "from gru_bench.data.corpus import load_corpus; from gru_bench.errors import RunError\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
               "try: load_corpus(DataConfig(name=sys.argv[1]), Path(sys.argv[2]))\n"
               "except RunError as error: print(error)")
    done = subprocess.run([sys.executable, "-c", program, name, str(tmp_path / "cache")], capture_output=True,
                          text=True, check=True)
    assert "GRU_BENCH_CACHE" in done.stdout
    assert folders(tmp_path / "cache") == []


def test_a_cache_that_is_no_folder_is_reported(tmp_path: Path) -> None:
    name = write(tmp_path / "a.csv", reviews(60))
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    with pytest.raises(RunError, match=r"cache.*GRU_BENCH_CACHE"):
        load(name, tmp_path / "cache")


def test_the_digest_of_a_large_file_is_remembered_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"one")
    plain = content_digest(path, tmp_path / "cache")
    assert plain == hashlib.sha256(b"one").hexdigest()
    assert not (tmp_path / "cache").exists()

    monkeypatch.setattr(cache_module, "_LARGE", 1)
    # Just written: it might be written again within the resolution of the clock.
    assert content_digest(path, tmp_path / "cache") == plain
    assert not (tmp_path / "cache").exists()
    os.utime(path, (time.time() - 60,) * 2)
    assert content_digest(path, tmp_path / "cache") == plain
    with monkeypatch.context() as patched:
        patched.setattr(cache_module, "digest", lambda _: pytest.fail("read again"))
        assert content_digest(path, tmp_path / "cache") == plain
    path.write_bytes(b"two")
    os.utime(path, (time.time() - 30,) * 2)
    assert content_digest(path, tmp_path / "cache") == hashlib.sha256(b"two").hexdigest()


def test_environment_variables_choose_the_folder_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
    assert load_corpus(DataConfig(name=write(tmp_path / "a.csv", reviews(60)))).folder.is_relative_to(
        tmp_path / "mine" / "corpus")
    monkeypatch.delenv("GRU_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "gru-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == cache_folder()


@pytest.mark.skipif(not platforms.LINUX, reason="Linux's folder")
def test_the_folder_of_the_cache_on_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRU_BENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "gru-bench"


def test_a_cache_of_an_unknown_user_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GRU_BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv("GRU_BENCH_CACHE", raising=False)
        monkeypatch.setenv(variable, "~no-such-user/x")
        with pytest.raises(UsageError, match=rf"cache.*{variable}.*'~no-such-user/x'"):
            default_cache()


class TestWindows:
    """It refuses to rename a folder onto one that is there, and while a virus scanner reads a file of it."""

    @pytest.fixture(autouse=True)
    def _windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(platforms, "WINDOWS", True)
        self.refusals, real = 0, Path.rename

        def rename(path: Path, target: Path) -> Path:
            self.refusals -= 1
            if Path(target).exists() or self.refusals >= 0:
                raise PermissionError(13, "Access is denied")
            return real(path, target)

        monkeypatch.setattr(Path, "rename", rename)

    def test_a_build_waits_for_a_virus_scanner(self, tmp_path: Path) -> None:
        self.refusals = 3
        folder = cached_folder(tmp_path, "corpus", "key", lambda begun: (begun / "file").touch())
        assert (folder / "file").is_file()

    def test_the_first_of_two_builds_wins_without_waiting(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits"))

        def build(begun: Path) -> None:
            cached_folder(tmp_path, "corpus", "key", lambda other: (other / "of the first").touch())

        folder = cached_folder(tmp_path, "corpus", "key", build)
        assert (folder / "of the first").is_file()
        assert list(folder.parent.iterdir()) == [folder]
