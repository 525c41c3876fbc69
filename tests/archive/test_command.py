"""The archive command says what a file holds and replaces none unless it is told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.archive.__main__ import app as archive_app
from tests.support.commands import completed, mentions, typed


def test_an_export_says_what_the_file_holds_and_a_damaged_one_is_refused(far: Path, near: Path) -> None:
    out = completed(archive_app, "export", "--study", "quick", str(near / "q.zip"), cwd=far)
    assert out.returncode == 0, out.stderr
    mentions(out.stdout, "study quick of easy, 5 trials, 8 runs", "still running", "--no-weights")
    content = bytearray((near / "q.zip").read_bytes())
    content[content.index(b'"runs"')] ^= 1
    (near / "damaged.zip").write_bytes(content)
    bad = completed(archive_app, "import", "damaged.zip", cwd=near)
    assert bad.returncode == 1
    mentions(bad.stderr, "damaged.zip", "'runs.json' is damaged")
    assert "Traceback" not in bad.stderr
    assert not (near / "optuna.journal").exists()
    assert not list(near.glob(".*export*"))


def test_an_export_replaces_a_file_only_with_force(
    far: Path, near: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(far)
    words = ["export", "--study", "quick", str(near / "q.study")]
    (near / "q.study").write_text("mine", encoding="utf-8")
    assert typed(archive_app, *words) == 2
    mentions(capsys.readouterr().err, "q.study'", "--force")
    assert (near / "q.study").read_text(encoding="utf-8") == "mine"
    assert typed(archive_app, *words, "--force", "--no-weights") == 0
    assert "weights" not in capsys.readouterr().out
    monkeypatch.chdir(near)
    assert typed(archive_app, "import", "q.study", "--study-name", "x; touch pwned #") == 0
    assert 'gru-bench report --study "x; touch pwned #"' in capsys.readouterr().out
    assert typed(archive_app, "import", "q.study", "--study-name", "a\x1b[2J") == 2
    mentions(capsys.readouterr().err, "--study-name", "250")
