"""The command `gru-bench report`, which is also `python -m gru_bench.report`: write a report on studies."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli
from gru_bench.errors import DifferenceError, RunError

if TYPE_CHECKING:
    from gru_bench.document.report import Report
    from gru_bench.report.choice import Choice
    from gru_bench.tracking import Reader

app = cli.app()

PARTS = ("report.html", "report.md")
"""Files of a report that are attached to its studies in MLflow, with its figures and its numbers."""
MOST_DIFFERENCES = 20
"""Most differences that --verify prints."""


@app.command()
def report(
    study: Annotated[list[str] | None, typer.Option(
        help="A study to report on; repeatable.",
        show_default="the newest finished one, and those with its test texts and metric")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Folder to write to.", show_default="reports/NAME, after the experiment or study")] = None,
    experiment: Annotated[str | None, typer.Option(
        help="MLflow experiment of the studies; each data set has one.", show_default="the most recent one")] = None,
    verify: Annotated[Path | None, typer.Option(
        help="Only verify the report in this folder: recompute its numbers from the runs, and list differences and "
        "changed files. Exit code 0: none, 4: some.", show_default=False)] = None,
    tables: Annotated[Path | None, typer.Option(
        help="Folder for runs.csv (every run with its settings and scores), trials.csv (every trial of each search), "
        "predictions.csv (every test text of each confirmation run), candidates.csv (of each classifier that can be "
        "taken) and disagreements.csv (every test text that only one model of a pair gets right).",
        show_default=False)] = None,
    no_attach: Annotated[bool, typer.Option(
        "--no-attach", help="Do not attach the report (page, Markdown, numbers, figures) to the run of each study in "
        "MLflow, where it replaces an earlier one.")] = False,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Only print scores and verdicts, as JSON.")] = False,
    claim: Annotated[str | None, typer.Option(
        help="Only test a claim about two models, such as 'bidirectional > torch' or 'torch > ngrams'. Exit code 0: "
        "proven, 4: refuted or equivalent, 3: undecided, with what could decide it.", show_default=False)] = None,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Write a report on what sweeps have logged.

    The folder gets report.html, report.tex, report.md, numbers.json, numbers.tex, tables and figures.
    """
    if verify is not None:
        _verify(verify, tracking_uri)
        return
    cli.check_folder("--out", out)
    cli.check_folder("--tables", tables)
    from gru_bench.document.numbers import folder_name
    from gru_bench.evidence.collect import collect
    from gru_bench.report.build import chosen_report
    from gru_bench.report.choice import choose
    from gru_bench.report.findings import answered
    from gru_bench.report.render import files, spreadsheets
    from gru_bench.tracking import open_reader

    if tables is not None:
        spreadsheets.check(tables)
    store = open_reader(tracking_uri)
    answers = as_json or claim is not None
    console = cli.out(stderr=answers)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    try:
        choice = choose(store, experiment, study or [])
    finally:
        for remark in store.odd.values():
            say(remark)
    for remark in choice.remarks:
        say(remark)
    evidence = collect(choice.studies, store)
    whole = chosen_report(choice, store, evidence)
    if answers:
        raise typer.Exit(answered(whole.findings, claim, as_json=as_json))
    folder = out or Path("reports") / folder_name("-".join(study) if study else choice.experiment, "report")
    with _writable("--out", folder):
        page, *others = files.write(whole, folder)
    if tables is not None:
        with _writable("--tables", tables):
            written = spreadsheets.write(evidence, tables)
    for line in in_short(whole):
        say(line)
    say(f"wrote {page}: {page.resolve().as_uri()}")
    say(f"next to it: {', '.join(path.name for path in others if path.parent == page.parent)}, tables and figures")
    if not no_attach:
        say(_attached(store, choice, whole, page.parent))
    if tables is not None:
        say(f"wrote {', '.join(f'{path} ({rows:,} rows)' for path, rows in written.items())}")


def _attached(store: Reader, choice: Choice, whole: Report, folder: Path) -> str:
    """Attach a report to the run of each of its studies in MLflow, and return a line that says so, or why not."""
    from gru_bench.report.render.record import NAME, recorded
    from gru_bench.tracking import attach

    figures = (f"figures/{figure.name}.{kind}" for figure in whole.figures for kind in ("pdf", "csv"))
    files = {name: (folder / name).read_bytes() for name in (*PARTS, *figures)}
    files[NAME] = recorded(whole, files)  # it has the digests of these files alone
    with tempfile.TemporaryDirectory(prefix="gru-bench-report-") as temporary:
        for name, content in files.items():
            path = Path(temporary) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        for study in choice.studies:
            if reason := attach(store, study.run.run_id, Path(temporary)):
                return f"note: not attached to the study {study.run.study} in MLflow: {reason}"
    return (f"attached to the {'studies' if len(choice.studies) > 1 else 'study'} in MLflow, in the artifact folder "
            "report (--no-attach skips this)")


def in_short(whole: Report) -> list[str]:
    """Return what a report finds as lines for a terminal."""
    from gru_bench.document.sentences import in_text
    from gru_bench.report.findings import needs_of

    lists = {"what could settle a pair:": needs_of(whole.findings), "warnings:": list(map(in_text, whole.warnings))}
    return [*(f"- {in_text(sentence)}" for sentence in whole.in_short),
            *(line for heading, items in lists.items() if items
              for line in (heading, *(f"- {one}" for one in items)))]


def _verify(folder: Path, tracking_uri: str | None) -> None:
    """Print how a report differs from what MLflow holds.

    Raises:
        DifferenceError: When it differs.
    """
    from gru_bench.report import verify
    from gru_bench.report.render import record
    from gru_bench.tracking import open_reader
    from gru_bench.tracking.client import DEFAULT_DATABASE, sqlite_path

    found = record.read(folder)
    console = cli.out()
    uri = tracking_uri or found.tracking_uri or None
    file = sqlite_path(uri or "")
    if tracking_uri is None and file is not None and not file.exists() and Path(DEFAULT_DATABASE).exists():
        console.print(f"{folder} was made from {file}, which is not on this machine; {DEFAULT_DATABASE} in this "
                      "directory is used instead", markup=False, soft_wrap=True)
        uri = None
    store = open_reader(uri)
    differences = verify.differences(folder, found, store)
    for line in differences[:MOST_DIFFERENCES]:
        console.print(line, markup=False, soft_wrap=True)
    if len(differences) > MOST_DIFFERENCES:
        console.print(f"and {len(differences) - MOST_DIFFERENCES:,} more")
    if differences:
        raise DifferenceError(
            f"a report must match MLflow, but {folder} differs in {len(differences)} "
            f"place{'s' * (len(differences) > 1)}: write it again (gru-bench report --out {cli.line([str(folder)])}), "
            "or find out what has changed")
    console.print(f"{folder}: all {len(found.numbers):,} numbers are what {len(found.runs):,} runs in {store.uri} "
                  f"give, and no file was changed", markup=False, soft_wrap=True)


@contextmanager
def _writable(option: str, folder: Path) -> Iterator[None]:
    """Turn the errors of a folder that must not be written into one that names the option."""
    try:
        yield
    except OSError as error:
        if error.errno not in cli.UNWRITABLE:
            raise
        raise RunError(
            f"{folder} cannot be written ({error.strerror}): choose another with {option}") from error


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
