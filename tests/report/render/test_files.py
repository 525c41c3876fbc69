"""All files of a report are written, each replaced as a whole."""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from gru_bench import platforms
from gru_bench.platforms import replacing
from gru_bench.report.render.files import replace_file, write
from tests.support.renderings import Written


def test_write_replaces_whole_files(original: Written, tmp_path: Path) -> None:
    report = original.report
    (tmp_path / "report.html").write_text("old", encoding="utf-8")
    shutil.copy(original.folder / "numbers.json", tmp_path)  # so it is a report, which may be replaced
    written = write(report, tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in written}
    assert {"report.html", "report.tex", "report.md", "numbers.json", "tables/results.tex", "figures/accuracy.pdf",
            "figures/accuracy.csv"} <= names
    assert names == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    for name in names:
        assert (tmp_path / name).read_bytes() == (original.folder / name).read_bytes()
    document = (tmp_path / "report.tex").read_text(encoding="utf-8")
    included = re.findall(r"\\input\{([^}]*)\}", document)
    assert all((tmp_path / f"{name}.tex").is_file() for name in included)
    drawn = re.findall(r"\\drawn\{([a-z0-9-]+)\}", document)
    assert all((tmp_path / "figures" / f"{name}.pdf").is_file() for name in drawn)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    with replacing(path) as file:
        file.write(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:  # noqa: PT012
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(platforms.WINDOWS, reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "permissions"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_user_gives_to_new_ones(
    umask: int, permissions: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        path = replace_file(tmp_path / "report.html", b"page")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == permissions
