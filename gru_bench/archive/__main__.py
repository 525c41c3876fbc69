"""The command `gru-bench archive`, which is also `python -m gru_bench.archive`: export and import studies."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gru_bench import cli
from gru_bench.errors import UsageError, without_passwords

app = cli.app(help="""Move a study to another machine in one file.

The file contains the search (trials with states, settings and values) and all runs (params, metrics with histories,
tags, artifacts, but no linear models and no attached reports). It contains no pickles, and its checksums detect any
change. After the import, the report has the same numbers, and the sweep command continues the study.""")


@app.command(name="export")
def export_study(
    file: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    study: Annotated[str, typer.Option(help="Name of the study.", show_default=False)],
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment of the study, named after the data.",
                                                   show_default="all")] = None,
    storage: cli.Storage = None,
    tracking_uri: cli.TrackingUri = None,
    no_texts: Annotated[bool, typer.Option(
        "--no-texts", help="Leave out all logged texts.")] = False,
    no_weights: Annotated[bool, typer.Option(
        "--no-weights", help="Leave out model weights, which take most of the space. gru-bench predict and diagnose "
        "need them; the report does not.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing archive.")] = False,
) -> None:
    """Write a study to one file."""
    from gru_bench.archive.container import is_archive
    from gru_bench.archive.study import export_study
    from gru_bench.data.files import check_writable
    from gru_bench.sweep.sharing.storage import open_storage, wrapped_errors
    from gru_bench.tracking import open_reader

    if file.is_dir() or not file.parent.is_dir():
        raise UsageError(f"the archive must be a file in an existing folder, but got {str(file)!r}")
    if file.exists() and not force:
        raise UsageError(f"{str(file)!r} already exists: choose another file, or overwrite it with --force")
    check_writable(file, "the file", "an archive", is_archive)
    store = open_reader(tracking_uri)
    console = cli.out()
    with console.status("reading the runs"), wrapped_errors(storage):
        transfer = export_study(store, open_storage(storage, create=False), study, file, experiment=experiment,
                                texts=not no_texts, weights=not no_weights)
    for remark in (*transfer.remarks, *store.odd.values()):
        console.print(f"note: {remark}", markup=False)
    console.print(f"{file}: study {transfer.study} of {transfer.experiment}, {transfer.trials:,} trials, "
                  f"{transfer.runs:,} runs, {transfer.values:,} values of metrics, {file.stat().st_size:,} bytes",
                  markup=False)
    if transfer.weights:
        console.print(f"  {transfer.weights:,} bytes of these are model weights, which --no-weights leaves out",
                      markup=False)


@app.command(name="import")
def import_study(
    file: Annotated[Path, typer.Argument(help="File written by `export`.", show_default=False)],
    study_name: Annotated[str | None, typer.Option(help="Name under which the study is stored.",
                                                   show_default="its original name")] = None,
    storage: cli.Storage = None,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Import a study from a file: all of it, or nothing.

    The runs keep their ids, so that a report from the other machine can be verified: gru-bench report --verify FOLDER.
    Under another name they get new ids and remember the old ones.
    """
    from gru_bench.archive.study import import_study
    from gru_bench.sweep.sharing.storage import open_storage, wrapped_errors
    from gru_bench.tracking import Store

    console = cli.out()
    with console.status("checking the file and writing the runs"), wrapped_errors(storage), Store(
            tracking_uri, say=lambda text: console.print(text, markup=False)) as store:
        transfer = import_study(file, store, partial(open_storage, storage), study_name)
    what = f"study {transfer.study} of {transfer.experiment}"
    for remark in transfer.remarks:
        console.print(f"note: {remark}", markup=False)
    if transfer.already:
        console.print(f"{what} was already imported from this archive: nothing to do", markup=False)
        return
    uri = ["--tracking-uri", without_passwords(tracking_uri)] if tracking_uri else []
    console.print(f"{what}: {transfer.trials:,} trials, {transfer.runs:,} runs, {transfer.values:,} values of metrics; "
                  "next:", markup=False)
    console.print("  " + cli.line(["gru-bench", "report", "--study", transfer.study, *uri]),
                  markup=False, soft_wrap=True)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
