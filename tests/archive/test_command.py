"""The archive command says what it carries and replaces nothing unasked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gru_bench.archive.__main__ import app as archive_app
from tests.support.commands import completed, typed


def test_the_command_says_what_it_carries(far: Path, near: Path) -> None:
    out = completed(archive_app, "export", "--study", "quick", str(near / "q.zip"), cwd=far)
    assert out.returncode == 0, out.stderr
    assert "study quick of easy, 5 trials, 8 runs" in out.stdout
    assert "note: the study is still running: what it has logged so far is exported" in out.stdout
    content = bytearray((near / "q.zip").read_bytes())
    content[content.index(b'"runs"')] ^= 1
    (near / "damaged.zip").write_bytes(content)
    bad = completed(archive_app, "import", "damaged.zip", cwd=near)
    assert bad.returncode == 1
    assert "an archive must be whole, but damaged.zip is not: its member 'runs.json' is damaged" in bad.stderr
    assert "Traceback" not in bad.stderr
    assert not (near / "optuna.journal").exists()
    assert not list(near.glob(".*export*"))


def test_an_export_replaces_nothing_unasked_and_says_what_weights_take(
    far: Path, near: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(far)
    words = ["export", "--study", "quick", str(near / "q.study")]
    assert typed(archive_app, *words) == 0
    assert re.search(r"  \d+ bytes of these are the models' weights: --no-weights leaves them out",
                     capsys.readouterr().out)
    (near / "q.study").write_text("mine", encoding="utf-8")
    assert typed(archive_app, *words) == 2
    assert re.search(r"replaces a file only with --force, but .*q\.study' exists: name another, or add --force",
                     capsys.readouterr().err)
    assert (near / "q.study").read_text(encoding="utf-8") == "mine"
    assert typed(archive_app, *words, "--force", "--no-weights") == 0
    assert "weights" not in capsys.readouterr().out
    monkeypatch.chdir(near)
    assert typed(archive_app, "import", "q.study", "--study-name", "x; touch pwned #") == 0
    assert 'gru-bench report --study "x; touch pwned #"' in capsys.readouterr().out
    assert typed(archive_app, "import", "q.study", "--study-name", "a\x1b[2J") == 2
    assert "--study-name must have 1 to 250 characters, none of them a control character" in capsys.readouterr().err
