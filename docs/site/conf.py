"""Settings of the documentation site. Sphinx reads all pages in place, and runs those that are notebooks:

    sphinx-build -W -b html -c docs/site . build/site
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ |= {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    "PYTHONPATH": str(ROOT), "COLUMNS": "110", "NO_COLOR": "1", "TERM": "dumb"}

from gru_bench import __version__  # noqa: E402 - found by the path above

project, author, release = "gru-bench", "The gru-bench authors", __version__
copyright = f"2026, {author}"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "reports/README.md", "benchmarks/*.md", "docs/*.md",
    "docs/*/*.md", "docs/notebook.ipynb"]

html_theme, html_title = "furo", "gru-bench"
html_theme_options = {"navigation_with_keys": True}
html_static_path, html_css_files = ["site.css"], ["site.css"]
html_show_sourcelink = html_copy_source = False

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "force"
nb_execution_timeout = 600
nb_execution_raise_on_error = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False


def add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    """Put the pages that docs/index.md lists below a heading into the navigation, and those that only the site has."""
    if page == root_doc:
        parts = [(part.partition("\n")[0], re.findall(r"\]\(([^)#]+)\.(?:md|ipynb)\)", re.sub(r"(?m)^\|.*", "", part)))
                 for part in source[0].split("\n## ")[1:]]
        parts.append(("Reference", ["site/commands", "site/reference", "site/api", "site/findings"]))
        for heading, pages in parts:
            if pages:
                source[0] += "\n".join(("\n```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```", ""))


def setup(app: Sphinx) -> None:
    """Let Sphinx call `add_navigation` for each page that it reads."""
    app.connect("source-read", add_navigation)
