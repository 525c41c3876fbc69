"""In a browser the page stays inside its window, logs nothing and asks for nothing, in both colour schemes.

Chromium is driven by its command line alone: a page around the write-up holds it in frames of the widths in
question, measures them by script, and leaves what it found in its own text.
"""

from __future__ import annotations

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from gru_bench.report import render
from gru_bench.report.writeup import build
from tests.report_fakes import HOSTILE_NAMES, hostile_studies, three_models

CHROMIUM = next((p for p in ("chromium", "chromium-browser", "google-chrome") if shutil.which(p)), None)
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
WIDTHS = (320, 768, 1280)

PROBE = """<!DOCTYPE html><meta charset="utf-8"><title>probe</title><pre id="found"></pre>
%s
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement, style = getComputedStyle(page.body);
    const escapes = [...page.body.querySelectorAll("*")].filter(element => {
      const box = element.getBoundingClientRect();
      return box.width > 0 && box.right > root.clientWidth + 1 && !element.closest(".scroll, .skip");
    }).map(element => element.tagName + " " + element.className);
    const small = [...page.querySelectorAll("nav a")].filter(a => a.getBoundingClientRect().height < 24).length;
    return {width: frame.clientWidth, overflow: root.scrollWidth - root.clientWidth, escapes, small,
            ink: style.color, paper: style.backgroundColor,
            figures: [...page.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect().width),
            loaded: frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name)};
  });
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and keeps the paths asked for."""

    asked: list[str]

    def log_message(self, *arguments: object) -> None:
        self.asked.append(self.path)


def browse(folder: Path, page: str, *options: str) -> tuple[str, str, list[str]]:
    """Return a page's document after its scripts ran, what Chromium logged, and the paths asked for."""
    asked: list[str] = []
    handler = functools.partial(type("Handler", (Quiet,), {"asked": asked}), directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--window-size=1400,1000",
                *options, "--dump-dom", f"http://127.0.0.1:{server.server_address[1]}/{page}",
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        server.shutdown()
    return done.stdout, done.stderr, asked


def measured(folder: Path, *options: str) -> tuple[list[dict], str, list[str]]:
    frames = "\n".join(f'<iframe src="report.html" style="width:{w}px;height:800px;border:0"></iframe>' for w in WIDTHS)
    (folder / "probe.html").write_text(PROBE % frames)
    document, log, asked = browse(folder, "probe.html", *options)
    found = re.search(r'<pre id="found">(.*?)</pre>', document, re.DOTALL)
    assert found is not None, log
    assert found[1], log
    return json.loads(html.unescape(found[1])), log, asked


def brightness(colour: str) -> float:
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.fixture(scope="module", params=["three", "hostile"])
def folder(request, tmp_path_factory):
    store, studies = three_models() if request.param == "three" else hostile_studies()
    place = tmp_path_factory.mktemp("page")
    writeup = build(studies, store, experiment=HOSTILE_NAMES[0])
    (place / "report.html").write_text(render.html(writeup), encoding="utf-8")
    return place


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_keeps_inside_its_window_and_to_itself(folder, scheme):
    # Chromium's setting: 0 is dark, 1 is light.
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    found, log, asked = measured(folder, setting)
    assert [frame["width"] for frame in found] == list(WIDTHS)
    for frame in found:
        assert frame["overflow"] <= 0, frame
        assert frame["escapes"] == []
        assert frame["small"] == 0
        assert frame["loaded"] == []
        assert min(frame["figures"]) > 250
        ink, paper = brightness(frame["ink"]), brightness(frame["paper"])
        assert ink < 60 < 200 < paper if scheme == "light" else paper < 60 < 200 < ink
    assert "CONSOLE" not in log
    assert set(asked) <= {"/probe.html", "/report.html", "/favicon.ico"}


def test_it_prints(folder):
    subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer",
            f"--print-to-pdf={folder / 'page.pdf'}", (folder / "report.html").as_uri(),
        ],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert (folder / "page.pdf").read_bytes().startswith(b"%PDF")
