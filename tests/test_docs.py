"""README and docs tell the truth about the tree, the commands, the studies and the settings."""

from __future__ import annotations

import re
import runpy
import tomllib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from gru_bench import __version__
from gru_bench.config import SECTIONS, RunConfig, flat
from gru_bench.errors import ExitCode
from gru_bench.sweep.spec import KEYS, known_studies, load_study
from tests.support.commands import ROOT, completed
from tests.support.pages import PAGES, blocks, text

README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SET_UP = ("pip install -e '.[test]' && python sweeps/run.py --study bidirectional",
          "pip install -e '.[test]' && pytest")
WORDS = 12_000
"""Most words that docs/*.md may have together."""
PROGRAMS = {
    "gru_bench.sweep": r"(?:python sweeps/run\.py|python -m gru_bench\.sweep|gru-bench sweep)",
    "gru_bench.train": r"(?:python -m gru_bench\.train|gru-bench train)",
    "gru_bench.report": r"(?:python -m gru_bench\.report|gru-bench report)",
    "gru_bench.gru_check": r"(?:python -m gru_bench\.gru_check|gru-bench gru-check)",
    "gru_bench.predictions": r"gru-bench compare",
    "gru_bench.predictions.parts": r"gru-bench data",
    "gru_bench.inference.predict": r"(?:python -m gru_bench\.inference\.predict|gru-bench predict)",
    "gru_bench.inference.save_model": r"(?:python -m gru_bench\.inference\.save_model|gru-bench save-model)",
    "gru_bench": r"(?:python -m gru_bench|gru-bench)(?= --)",
}
"""Module, and its subcommand -> how pages type it."""


@cache
def options(program: str) -> frozenset[str]:
    """The options that a help page shows."""
    module, *inner = program.split()
    spec = find_spec(module)
    assert spec is not None
    entry = import_module(f"{module}.__main__" if spec.submodule_search_locations else module)
    page = completed(entry.app, *inner, "--help", program=f"python -m {module}").stdout
    shown = frozenset(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", page))
    assert "--help" in shown
    return shown


def listed() -> dict[str, str]:
    """The folders of the tree, built from its indentation, and what it says of each."""
    (block,) = (block for block in blocks(ARCHITECTURE) if "    kernels/ " in block)
    paths: dict[str, str] = {}
    parents: list[str] = []
    for line in filter(str.strip, block.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 4
        name, _, said = line.strip().partition(" ")
        parents = [*parents[:depth], name]
        assert "".join(parents) not in paths, "each path stands once"
        paths["".join(parents)] = said.strip()
    return paths


# ---------------------------------------------------------------- README


def test_the_first_screen_holds_the_picture_and_both_commands_in_one_block() -> None:
    first = "\n".join(README.splitlines()[:40])
    assert "".join(f"{line}\n" for line in SET_UP) in blocks(first)
    assert re.search(r"^!\[.+\]\(.+\.png\)$", first, re.MULTILINE)


def test_readme_and_docs_are_short() -> None:
    assert len(README.splitlines()) <= 100
    assert sum(len(text(page).split()) for page in (ROOT / "docs").glob("*.md")) <= WORDS


def test_readme_shows_the_folders() -> None:
    (block,) = (block for block in blocks(README) if "gru_bench/ " in block)
    shown = {line.split()[0].rstrip("/"): line for line in block.splitlines()}
    folders = {path.rstrip("/") for path in listed() if path.count("/") == 1 and path.endswith("/")}
    assert shown.keys() == folders - {".ci"}
    assert all((ROOT / folder).is_dir() for folder in shown)
    assert set(re.findall(r"[\w-]+", shown["sweeps"].partition(":")[2])) == set(known_studies())


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    citation = text(ROOT / "CITATION.cff")
    assert project["dynamic"] == ["version"]
    assert f"version: {__version__}\n" in citation
    assert f"\n## {__version__}\n" in text(ROOT / "CHANGELOG.md")
    assert f"license: {project['license']}\n" in citation
    (entry,) = blocks(text(ROOT / "docs" / "faq.md"), "bibtex")
    assert f"version = {{{__version__}}}" in entry
    assert f"license = {{{project['license']}}}" in entry


# ---------------------------------------------------------------- the tree and its parts


def test_every_package_has_a_line_in_the_tree() -> None:
    packages = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in (ROOT / "gru_bench").rglob("__init__.py")}
    assert packages == {path for path in listed() if path.startswith("gru_bench/")}
    for path, said in listed().items():
        assert (ROOT / path).is_dir(), path
        assert said, path


def test_every_study_is_named() -> None:
    table = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", text(ROOT / "docs" / "studies.md").partition("```")[0],
                       re.MULTILINE)
    assert set(table) == set(known_studies())


def test_what_is_said_to_decide_exists() -> None:
    named = re.findall(r"`([\w./*-]+\.(?:py|toml|css|j2))`: `([\w-]+)`", ARCHITECTURE)
    assert len(named) > 15
    for path, name in named:
        place = ROOT / path if (ROOT / path).exists() else ROOT / "gru_bench" / path
        assert re.search(rf"(?<!\w){re.escape(name)}\b", text(place)), f"{path}: {name}"
    for path in re.findall(r"`([\w/]+\.py)`", ARCHITECTURE):
        assert (ROOT / path).is_file() or (ROOT / "gru_bench" / path).is_file(), path


def test_the_picture_of_a_run_names_places_that_exist() -> None:
    places = re.findall(r'class="file"[^>]*>([\w/.*]+/[\w.*]*)<', text(ROOT / "docs" / "run.svg"))
    assert len(places) > 20
    for place in places:
        assert list(ROOT.glob(place)) or list((ROOT / "gru_bench").glob(place)), place


# ---------------------------------------------------------------- commands, options, settings


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_in_the_pages_exists(program: str) -> None:
    found = 0
    for page in PAGES:
        for line in re.findall(rf"{PROGRAMS[program]}((?:\\\n|[^`\n|#;])*)", text(page)):
            found += 1
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", line):
                assert option in options(program), f"{page.name}: {program} {option}"
    assert found


def test_every_option_by_itself_exists() -> None:
    shown = frozenset().union(*map(options, PROGRAMS))
    foreign = {"--signal", "--requeue"}  # of Slurm
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for option in re.findall(r"`(--[a-z][a-z-]*)[ `]", text(page)):
            assert option in shown | foreign, f"{page.name}: {option}"


def test_commands_can_be_typed_in_every_shell() -> None:
    """cmd keeps single quotes and has no comments, the older PowerShell has no &&, and both go on otherwise than sh."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        lines = [line.removeprefix("$ ") for block in blocks(text(page)) for line in block.splitlines()
                 if "#SBATCH" not in block and line not in SET_UP]
        for line in (*lines, *re.findall(r"`([^`]+)`", text(page))):
            if re.match(r"(gru-bench|python|pip|pytest|mlflow|ray|optuna-dashboard) ", line):
                assert not re.search(r"'|&&|\\$| # ", line), f"{page.name}: {line}"


def test_every_benchmark_in_the_pages_exists() -> None:
    for page in PAGES:
        for script in re.findall(r"benchmarks/(\w+\.py)", text(page)):
            assert (ROOT / "benchmarks" / script).is_file(), f"{page.name}: {script}"


def test_the_tables_of_the_site_have_every_setting_key_exit_code_and_metric() -> None:
    tables = runpy.run_path(str(ROOT / "docs" / "site" / "tables.py"))
    rows = {name: [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                   for line in tables[name]().splitlines()[2:]]
            for name in ("settings", "keys", "exit_codes", "metrics")}
    defaults = flat(RunConfig())
    assert [name for name, _, _ in rows["settings"]] == list(defaults)
    assert dict(row[:2] for row in rows["settings"])["training.lr"] == "0.001"
    assert {name for name, _, _ in rows["keys"]} >= set(KEYS) - {"base", "metric", *SECTIONS}
    assert [int(code) for code, _ in rows["exit_codes"]] == [code.value for code in ExitCode]
    assert {"accuracy/val", "score/test_macro_f1"} < {row[0] for row in rows["metrics"]}
    assert all(row[-1] for name in rows if name != "metrics" for row in rows[name]), "each has a docstring"


def test_the_studies_in_the_pages_can_be_read(tmp_path: Path) -> None:
    found = blocks(text(ROOT / "docs" / "studies.md"), "toml")
    assert len(found) == 2
    whole = tmp_path / "mine.toml"
    for block in found:
        is_whole = re.search("^(models|base) = ", block, re.MULTILINE)
        whole.write_text(block if is_whole else f'models = ["bidirectional"]\n{block}', encoding="utf-8")
        load_study(str(whole))


def test_the_example_of_own_data_works_beside_the_quick_start() -> None:
    for page in (README, text(ROOT / "docs" / "your-data.md")):
        (line,) = re.findall(r"--study bidirectional [^\n`]*--data mine\.csv", page)
        assert re.search(r"--study-name (?!bidirectional\b)\w+ --data mine\.csv", line)


# ---------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pictures_and_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if "://" in target:
            continue
        path, _, part = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if part:
            headings = re.findall(r"^#+ (.+)$", text(there), re.MULTILINE)
            assert part in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


def test_every_page_of_the_docs_is_listed() -> None:
    index = text(ROOT / "docs" / "index.md")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name
