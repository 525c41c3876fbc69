"""The command gru-bench doctor: what it finds, how it says to mend it, and that it changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from packaging.requirements import Requirement

from gru_bench import doctor, platforms
from gru_bench.data import cache, vectors
from gru_bench.doctor import Finding, Mark
from gru_bench.errors import ExitCode, RunError, UsageError
from gru_bench.report.render import pdf
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.tracking.outbox import FOLDER, Outbox
from gru_bench.train import card
from tests.support.commands import completed, mentions
from tests.support.servers import MlflowServer, free_port
from tests.support.writes import records

KEY = "0123456789abcdef" * 2
PIP_CHECK = doctor.pip_check
SECTIONS = ("versions", "this machine", "fused kernel", "caches", "word vectors", "TeX", "stores")


@pytest.fixture(autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of the test's own; the code that other tests have compiled is not seen."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GRU_BENCH_CACHE", str(folder))
    monkeypatch.setattr(doctor, "_compiled_code", list)
    monkeypatch.setattr(doctor, "pip_check", list)  # takes seconds
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "PGCONNECT_TIMEOUT"):
        monkeypatch.setenv(name, "9")  # so that what the command sets here does not stay
    return folder


def ended(*words: str) -> tuple[int, str]:
    """The exit code of the command, and what it printed."""
    done = completed(doctor.app, *words)
    return done.returncode, done.stdout + done.stderr


def only(findings: Iterable[Finding], mark: Mark) -> Finding:
    (found,) = [finding for finding in findings if finding.mark == mark]
    return found


def tree(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


# ---------------------------------------------------------------- the whole


def test_an_empty_directory_stays_empty(tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRU_BENCH_CACHE", str(caches / "not made yet"))
    code, said = ended()
    assert code == ExitCode.DONE, said
    assert [line for line in said.splitlines() if line.startswith(SECTIONS)] == [
        line for line in said.splitlines() if line and not line.startswith((" ", "all that"))]
    assert said.endswith("\nall that training and reports need is here\n")
    mentions(said, "mlflow.db does not exist yet", "optuna.journal has no searches yet")
    assert (tree(tmp_path), tree(caches)) == ({}, {})


def test_a_problem_decides_the_exit_code_and_an_optional_gap_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("versions", "machine", "kernel", "caches", "vectors"):
        monkeypatch.setattr(doctor, name, list)
    monkeypatch.setattr(doctor, "tex", lambda: [Finding("missing", "no TeX", "install one")])
    assert ended()[0] == ExitCode.DONE
    monkeypatch.setattr(doctor, "kernel", lambda: [Finding("problem", "broken [red]x[/red]", "mend it [now]")])
    code, said = ended()
    assert code == ExitCode.FAILED
    assert "  problem broken [red]x[/red]\n          mend it [now]\n" in said
    mentions(said, "1 problem")


def test_what_breaks_one_section_is_told_and_the_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Finding]:
        raise ImportError("numpy._core.multiarray failed to import")

    monkeypatch.setattr(doctor, "vectors", broken)
    code, said = ended()
    assert code == ExitCode.FAILED
    mentions(said, "problem", "ImportError: numpy._core.multiarray failed to import")
    assert "\nstores\n" in said


# ---------------------------------------------------------------- versions


def versions_where(monkeypatch: pytest.MonkeyPatch, *missing: str) -> list[Finding]:
    """The findings where some packages are not installed, and the extras' others are."""
    monkeypatch.setattr(doctor, "_is_installed", lambda name: name not in missing)
    return list(doctor.versions())


def test_what_pip_finds_wrong_with_gru_bench_is_a_problem_and_anything_else_a_note(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "gru-bench 0.1.0 has requirement numba<0.70,>=0.62, but you have numba 0.61.2."
    other = "some-tool 2.0 requires attrs, which is not installed."
    monkeypatch.setattr(doctor, "pip_check", lambda: [ours, other])
    findings = versions_where(monkeypatch)
    assert only(findings, "problem").text == ours
    assert only(findings, "note").text == other


@pytest.mark.parametrize(("code", "output", "error", "found"), [
    (0, "No broken requirements found.", "", []), (1, "a 1 requires b\nc 2 requires d", "", ["a 1", "c 2"]),
    (1, "", "python: No module named pip", ["No module named pip"])])
def test_each_line_of_pip_is_a_finding_unless_nothing_is_wrong(
    code: int, output: str, error: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, output, error))
    lines = PIP_CHECK()
    assert len(lines) == len(found)
    assert all(part in line for part, line in zip(found, lines, strict=True))


def test_an_extra_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = only(versions_where(monkeypatch, "ray"), "missing")
    mentions(missing.text, "ray is not installed", "--cluster")
    assert missing.remedy == 'pip install "ray[client]"'


def test_what_is_declared_is_what_is_read() -> None:
    """What the command tells to install is what an extra of the installed metadata asks for."""
    optional = [Requirement(text) for text in metadata.requires(doctor.DISTRIBUTION) or () if "extra ==" in text]
    for text in doctor.EXTRAS:
        shown = Requirement(text)
        assert any(one.name == shown.name and one.extras == shown.extras for one in optional), text


def test_a_package_that_is_not_installed_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DISTRIBUTION", "gru-bench-not-installed")
    problem = only(doctor.versions(), "problem")
    assert "gru-bench is not installed" in problem.text
    assert problem.remedy.endswith("pip install -e .")


# ---------------------------------------------------------------- this machine


def test_little_memory_and_disk_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "memory", lambda: (8_000_000_000, 900_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50_000_000))
    notes = [finding for finding in doctor.machine() if finding.mark == "note"]
    mentions(notes[0].text, "8.0 GB", "900.0 MB", "1.2 GB")
    assert "--workers 1" in notes[0].remedy
    assert "only 50.0 MB are free" in notes[1].text


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    (problem,) = [finding for finding in doctor.machine() if finding.mark == "problem"]
    mentions(problem.text, "this directory", "0 bytes are free")
    assert "another disk" in problem.remedy


def test_a_cache_that_cannot_be_made_is_a_problem(caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (caches / "file").touch()
    monkeypatch.setenv("GRU_BENCH_CACHE", str(caches / "file" / "below"))
    problem = only(doctor.caches(), "problem")
    mentions(problem.text, "cache", str(caches / "file"))
    mentions(problem.remedy, "GRU_BENCH_CACHE")


@pytest.mark.parametrize(("found", "reason", "mark", "words"), [
    ([], None, "ok", "models train on the CPU"),
    (["NVIDIA H100"], None, "ok", "GPUs: NVIDIA H100"),
    ([], "there is an NVIDIA driver, but torch 2.9 is built for CPUs only", "note", "only: models train on the CPU"),
])
def test_graphics_cards(
    found: list[str], reason: str | None, mark: Mark, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "names", lambda: found)
    monkeypatch.setattr(card, "unused", lambda: reason)
    finding = doctor._cards()
    assert finding.mark == mark
    assert words in finding.text


def test_a_driver_without_a_torch_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert card.unused() is None
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(torch.version, "cuda", None)
    mentions(str(card.unused()), "NVIDIA driver", f"torch {torch.__version__}", "CPUs only")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(card, "_driver", lambda: "470.1")
    assert str(card.unused()).endswith("finds no GPU that it can use")


def test_a_torch_that_cannot_be_loaded_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> list[str]:
        raise OSError("[WinError 126] c10.dll was not found\nmore")

    monkeypatch.setattr(card, "names", names)
    finding = doctor._cards()
    assert finding.mark == "problem"
    mentions(finding.text, "torch", "[WinError 126] c10.dll was not found")
    assert "more" not in finding.text


# ---------------------------------------------------------------- kernel


class TestKernel:
    @pytest.fixture(autouse=True)
    def _code(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from gru_bench.kernels import compiler

        monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
        monkeypatch.setattr(compiler, "__file__", str(tmp_path / "kernels" / "compiler.py"))
        monkeypatch.setattr(compiler, "user_cache_dir", lambda *_, **__: str(tmp_path / "user"))

    def test_it_is_not_compiled_yet(self, tmp_path: Path) -> None:
        (finding,) = doctor.kernel()
        assert finding.mark == "note"
        assert re.search(r"not compiled yet for this processor \(\d+-bit registers\): the first training takes ",
                         finding.text)
        assert tree(tmp_path) == {}

    def test_it_is_compiled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from gru_bench.kernels import compiler, fused

        code = tmp_path / "kernels_0a" / f"gru_bench-{compiler._DIGEST}"
        code.mkdir(parents=True)
        python = f"py{sys.version_info.major}{sys.version_info.minor}"
        (code / f"forward.recur-9.{python}.nbi").touch()
        monkeypatch.setattr(fused, "unavailable", lambda: None)
        assert [finding.mark for finding in doctor.kernel()] == ["ok"]
        monkeypatch.setattr(fused, "unavailable", lambda: "it cannot be compiled here.")
        (finding,) = doctor.kernel()
        assert finding.text.startswith("it cannot be compiled here; models train on torch's GRU instead")
        assert finding.mark == "note"

    def test_folders_are_those_of_the_kernel(self, tmp_path: Path) -> None:
        from gru_bench.kernels.compiler import folders

        wanted = [tmp_path / parent / f"gru_bench-{KEY[:16]}"
                  for parent in ("kernels/__pycache__", "kernels_0a", "user/kernels_0b")]
        others = tmp_path / "kernels_0a" / "gru_bench-mine", tmp_path / "other_0a" / f"gru_bench-{KEY[:16]}"
        for path in (*wanted, *others):
            path.mkdir(parents=True)
        if not platforms.WINDOWS:
            (tmp_path / "kernels_0a" / f"gru_bench-{KEY[16:-1]}0").symlink_to(tmp_path / "other_0a")
        assert folders() == sorted(wanted)


# ---------------------------------------------------------------- caches


def filled(root: Path) -> dict[str, Path]:
    """A cache with one entry of each kind, of 10 bytes each."""
    places = {"corpus": f"corpus/{KEY}/ids.npy", "vectors": f"vectors/{KEY}/table.npy",
              "baselines": f"baselines/2-{KEY}/scores.json", "digests": f"digests/{KEY}/sha256",
              "checkpoint": "checkpoints/abc.pt", "mine": "corpus/my reviews/one.txt"}
    for place in places.values():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(b"0123456789")
    return {kind: root / place for kind, place in places.items()}


def test_caches_are_shown_with_their_sizes(caches: Path) -> None:
    filled(caches)
    texts = "\n".join(finding.text for finding in doctor.caches())
    mentions(texts, *(f"{kind} 10 bytes" for kind in ("corpus", "vectors", "baselines", "digests", "checkpoints")))


def test_cleaning_removes_what_is_built_again_and_nothing_else(
    caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = filled(caches)
    code = tmp_path / f"gru_bench-{KEY[:16]}"
    code.mkdir()
    (code / "a.nbc").write_bytes(bytes(2_000))
    monkeypatch.setattr(doctor, "_compiled_code", lambda: [code])
    assert ended("--clean-cache") == (0, f"freed 40 bytes in {caches}\nfreed 2.0 kB in {code}\n")
    assert {kind for kind, place in places.items() if place.exists()} == {"checkpoint", "mine"}
    assert not code.exists()


@pytest.mark.skipif(platforms.WINDOWS, reason="a symbolic link takes a privilege there")
def test_cleaning_follows_no_link(caches: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / KEY).mkdir(parents=True)
    (mine / KEY / "thesis.tex").write_text("years of work", encoding="utf-8")
    (caches / "vectors").symlink_to(mine)
    (caches / "corpus" / KEY).mkdir(parents=True)
    (caches / "corpus" / KEY / "link").symlink_to(mine / KEY)
    (caches / "corpus" / KEY[::-1]).symlink_to(mine / KEY)
    assert cache.sizes(caches)["vectors"] == 0
    freed = cache.clean(caches)
    assert freed == len(os.fsencode(mine / KEY))  # the link itself
    assert not (caches / "corpus" / KEY).exists()
    assert (mine / KEY / "thesis.tex").read_text(encoding="utf-8") == "years of work"
    assert (caches / "vectors").is_symlink()
    assert (caches / "corpus" / KEY[::-1]).is_symlink()


def test_cleaning_leaves_a_folder_that_is_being_built(caches: Path) -> None:
    young, old = (caches / "corpus" / f".{KEY}.{letter}.begun" for letter in "ab")
    for folder in (young, old):
        folder.mkdir(parents=True)
        (folder / "ids.npy").write_bytes(bytes(7))
    yesterday = time.time() - 2 * 24 * 3600
    os.utime(old, (yesterday, yesterday))
    assert cache.clean(caches) == 7
    assert young.exists()
    assert not old.exists()


@pytest.mark.skipif(platforms.WINDOWS, reason="files in use cannot be removed there")
def test_cleaning_is_refused_while_a_process_reads_the_cache(caches: Path) -> None:
    import numpy as np

    places = filled(caches)
    np.save(places["corpus"], np.zeros(4096))
    program = "import sys, numpy; held = numpy.load(sys.argv[1], mmap_mode='r'); print('there', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program, places["corpus"]], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "there\n"
        code, said = ended("--clean-cache")
        reader.communicate("\n")
    assert code == ExitCode.FAILED
    mentions(said, str(caches), "in use", str(reader.pid))
    assert all(place.exists() for place in places.values())
    assert ended("--clean-cache")[0] == ExitCode.DONE


# ---------------------------------------------------------------- word vectors, TeX


def test_word_vectors_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path))
    (tmp_path / "glove-twitter-25").mkdir()
    (tmp_path / "glove-twitter-25" / "glove-twitter-25.gz").touch()

    def no_glove() -> Path:
        raise UsageError("the word vectors 'glove-6b-50d' must be installed")

    monkeypatch.setattr(vectors, "_glove_files", no_glove)
    findings = list(doctor.vectors())
    assert findings[0] == Finding("ok", "ready: random, corpus, glove-twitter-25")
    assert only(findings, "missing").text == "the word vectors 'glove-6b-50d' must be installed"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert any(finding.text.startswith("the word vectors 'corpus' need gensim") for finding in doctor.vectors())


def test_no_tex_is_missing_and_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (finding,) = doctor.tex()
    assert finding.mark == "missing"
    assert finding.text.startswith("no pdflatex: ")
    for words in ("texlive-latex-extra", "mactex", "miktex"):
        assert words in finding.remedy


def test_a_tex_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    asked: list[str] = []

    def answer(command: list[str], folder: Path) -> Any:
        asked.extend(command[1:])
        return subprocess.CompletedProcess(
            command, 1, stdout="".join(f"/tex/{name}\n" for name in command[1:] if name != "titlesec.sty"))

    monkeypatch.setattr(pdf, "_run", answer)
    (finding,) = doctor.tex()
    assert finding.mark == "missing"
    mentions(finding.text, "pdflatex", "titlesec.sty")
    assert {"booktabs.sty", "helvet.sty", "caption.sty", "hyperref.sty", "titlesec.sty"} <= set(asked)


# ---------------------------------------------------------------- stores


@pytest.mark.usefixtures("database")
def test_stores_are_counted_and_stay_as_they_are(tmp_path: Path) -> None:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("optuna.journal"))
    for name in ("smoke/torch", "smoke/torch runs", "smoke/scratch", "mine/torch"):
        optuna.create_study(storage=storage, study_name=name)
    with Path("optuna.journal").open("ab") as file:
        file.write(b'{"op_code": 0, "wor')  # as after a kill
    before = tree(tmp_path)
    texts = [finding.text for finding in doctor.stores(None, None)]
    assert texts == [f"MLflow: {tmp_path / 'mlflow.db'} contains 0 runs and 0 studies",
                     f"Optuna: {tmp_path / 'optuna.journal'} contains the searches of 2 studies"]
    assert {place: when for place, when in tree(tmp_path).items()
            if not place.endswith(("-wal", "-shm"))} == before  # two files of SQLite's own


@pytest.mark.service
def test_a_database_of_searches_is_only_read(postgres_url: str) -> None:
    for _ in range(2):  # nothing is created
        (finding,) = doctor._searches(postgres_url)
        assert finding.text.endswith("has no searches yet; the first sweep makes it")
    storage = open_storage(postgres_url)
    optuna.create_study(storage=storage, study_name="smoke/torch")
    (finding,) = doctor._searches(postgres_url)
    assert finding.text.endswith("contains the searches of 1 study")


@pytest.mark.parametrize(("name", "words"), [
    ("mlflow.db", "the tracking store must be an MLflow database, but "),
    ("optuna.journal", "must be an entry of a search, but line 1 is damaged"),
])
def test_a_damaged_store_is_a_problem(name: str, words: str) -> None:
    Path(name).write_bytes(b"no store at all\n" * 100)
    code, said = ended()
    assert code == ExitCode.FAILED
    (line,) = [line for line in said.splitlines() if line.startswith("  problem")]
    assert words in line


def test_servers_that_do_not_answer_are_told_at_once_and_without_their_passwords() -> None:
    pytest.importorskip("psycopg")
    port = free_port()
    database = f"postgresql+psycopg://me:secret@127.0.0.1:{port}/x"
    told = ("tracking store", "--tracking-uri"), ("search's storage", "--storage")
    for uri in (f"http://me:secret@127.0.0.1:{port}", database):
        code, said = ended("--tracking-uri", uri, "--storage", database)
        assert code == ExitCode.FAILED
        problems = [line for line in said.splitlines() if line.startswith("  problem")]
        for line, (what, remedy) in zip(problems, told, strict=True):
            assert f"the {what} must answer, but " in line
            assert "refused" in line
            assert f"Start its server, or leave {remedy} out" in line
        assert "secret" not in said
        assert "//me@127.0.0.1" in said


def test_a_server_that_is_silent_does_not_keep_anyone_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    from gru_bench.tracking import client

    monkeypatch.setattr(client, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, \
            pytest.raises(RunError, match=r"must answer, but .* does not"):
        client.require_answer(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(("options", "message"), [
    (["--tracking-uri", "here"], "--tracking-uri must be a file such as"),
    (["--tracking-uri", "sqlite:////nowhere/x.db"], "--tracking-uri must name a file in a folder that exists"),
    (["--storage", "here"], "--storage must be a PostgreSQL URL such as"),
])
def test_an_address_that_is_wrongly_typed(options: list[str], message: str) -> None:
    code, said = ended(*options)
    assert (code, message in said) == (ExitCode.MISTYPED, True), said


def test_waiting_runs_are_noted(tmp_path: Path) -> None:
    own = Outbox.begin(tmp_path / FOLDER, f"sqlite:///{tmp_path}/mlflow.db")
    own.put(records()[0])
    note = only(doctor.stores(None, None), "note")
    assert note.text.startswith(f"1 run waits in {FOLDER}")
    assert note.remedy == "gru-bench sync"
    own.close()


@pytest.mark.service
def test_a_server_that_answers(tracking_server: MlflowServer, tmp_path: Path) -> None:
    findings = list(doctor.stores(tracking_server.uri, None))
    assert findings[0] == Finding("ok", f"MLflow: {tracking_server.uri} answers")
    assert tree(tmp_path) == {}
