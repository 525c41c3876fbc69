"""A work folder is removed, even after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gru_bench.archive.work_folder import work_folder

KILLED = """import os, sys
from pathlib import Path
from gru_bench.archive.work_folder import work_folder
place = work_folder(Path(sys.argv[1]), ".gru-bench-export-")
(place.__enter__() / "review").write_text("private")
os._exit(0)
"""


def test_what_a_killed_export_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    with work_folder(tmp_path, ".gru-bench-export-") as busy:
        (busy / "review").write_text("mine", encoding="utf-8")
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True)
        (tmp_path / ".gru-bench-export-mine").mkdir()
        (left,) = set(tmp_path.glob(".gru-bench-export-????????")) - {busy.parent}
        with work_folder(tmp_path, ".gru-bench-export-"):
            assert not left.exists()
            assert (busy / "review").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [".gru-bench-export-mine"]
