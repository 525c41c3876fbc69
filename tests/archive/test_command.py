"""The archive command says what a file holds and replaces none unless it is told to."""

from __future__ import annotations

from pathlib import Path

from gru_bench.archive.__main__ import app as archive_app
from tests.support.commands import completed, mentions


def test_an_export_and_an_import_say_what_they_do_and_replace_nothing_unasked(far: Path, near: Path) -> None:
    file = near / "q.study"
    file.write_text("mine", encoding="utf-8")
    words = ["export", "--study", "quick", str(file)]
    refused = completed(archive_app, *words, cwd=far)
    assert (refused.returncode, file.read_text(encoding="utf-8")) == (2, "mine")
    mentions(refused.stderr, "q.study'", "--force")
    for content in ("mine", "", "PK\x03\x04"):
        file.write_text(content, encoding="utf-8")
        refused = completed(archive_app, *words, "--force", cwd=far)
        assert (refused.returncode, file.read_text(encoding="utf-8")) == (2, content)
    mentions(refused.stderr, "q.study'", "an archive written by gru-bench")
    file.unlink()
    for force in ((), ("--force",)):
        out = completed(archive_app, *words, *force, cwd=far)
        assert out.returncode == 0, out.stderr
    mentions(out.stdout, "study quick of easy, 6 trials, 8 runs", "still running", "--no-weights")
    assert not list(near.glob(".*export*"))

    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    (near / "damaged.zip").write_bytes(changed)
    damaged = completed(archive_app, "import", "damaged.zip", cwd=near)
    assert damaged.returncode == 1
    mentions(damaged.stderr, "damaged.zip", "export the study again")
    assert "Traceback" not in damaged.stderr
    assert not (near / "optuna.journal").exists()
    name = completed(archive_app, "import", "q.study", "--study-name", "a\x1b[2J", cwd=near)
    assert name.returncode == 2
    mentions(name.stderr, "--study-name", "250")
    come = completed(archive_app, "import", "q.study", "--study-name", "x; touch pwned #", cwd=near)
    assert come.returncode == 0, come.stderr
    assert 'gru-bench report --study "x; touch pwned #"' in come.stdout


def test_an_export_creates_no_journal_where_there_is_none(far: Path, near: Path) -> None:
    done = completed(archive_app, "export", "--study", "quick", "q.study", "--tracking-uri",
                     f"sqlite:///{far / 'mlflow.db'}", cwd=near)
    assert done.returncode == 1
    mentions(done.stderr, "optuna.journal", "another storage")
    assert not list(near.glob("optuna.journal*"))
