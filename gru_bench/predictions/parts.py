"""The command `gru-bench data`: write the exact training, validation and test texts, for other tools to train on."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli
from gru_bench.config import RunConfig, parsed_settings, with_settings
from gru_bench.errors import IncompleteError, RunError, UsageError
from gru_bench.platforms import replacing

if TYPE_CHECKING:
    from gru_bench.config import DataConfig
    from gru_bench.data.corpus import Corpus

OPTIONS = {setting: option for setting, option in cli.SETTING_OPTIONS.items() if setting.startswith("data.")}
"""Setting -> the option that sets it."""

app = cli.app()


@app.command()
def data(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for train.csv, validation.csv and test.csv.")],
    study: Annotated[str | None, typer.Option(
        help="Study whose data to write, as its runs read them. By default, those of --data.",
        show_default=False)] = None,
    no_labels: Annotated[bool, typer.Option(
        "--no-labels", help="Write only id and text of the test texts, to hand them out.")] = False,
    data: cli.Data = None,
    test_data: cli.TestData = None,
    text_column: cli.TextColumn = None,
    label_column: cli.LabelColumn = None,
    category_column: cli.CategoryColumn = None,
    split_column: cli.SplitColumn = None,
    group_column: cli.GroupColumn = None,
    id_column: cli.IdColumn = None,
    encoding: cli.Encoding = None,
    limit: cli.Limit = None,
    settings: cli.Settings = None,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Write the exact training, validation and test texts of a study, or of some data, as CSV files.

    Train any model on train.csv, add its predictions to test.csv as a column, and gru-bench compare compares it.
    """
    cli.check_folder("--out", out)
    named, assigned = cli.given(context, OPTIONS), parsed_settings(settings or [])
    if study is not None and (named or assigned):
        typed = next(iter([*(OPTIONS[setting] for setting in named), *(f"--set {setting}" for setting in assigned)]))
        raise UsageError(f"give either --study or {typed}, but not both")
    config = with_settings(RunConfig(), {**named, **assigned, "data.max_length": None}).data
    for setting in assigned:
        if not setting.startswith("data.") or setting == "data.max_length":
            raise UsageError(f"--set must name a setting that selects or splits texts (data.*), but {setting} does "
                             "neither: leave it out")
    console = cli.out()
    fingerprint = ""
    if study is not None:
        config, fingerprint = _of_study(study, tracking_uri)
    from gru_bench.data.corpus import SPLITS, load_corpus
    from gru_bench.data.files import check_writable

    with cli.reading_texts(console) as progress:
        corpus = load_corpus(config, on_progress=progress)
    if fingerprint and corpus.fingerprint != fingerprint:
        raise RunError(f"{corpus.name} is not what the study {study} read (fingerprint {corpus.fingerprint}, then "
                       f"{fingerprint}): its files have changed, or another version of gru-bench wrote the study. "
                       "Restore the files, or install that version")
    files = {out / f"{split}.csv": _table(corpus, split, has_labels=split != "test" or not no_labels)
             for split in SPLITS}
    for path, content in files.items():
        check_writable(path, "--out", f"a folder with the {path.stem} texts of the same data",
                       partial(_contains, content))
    for line in corpus.lines:
        console.print(line, markup=False, soft_wrap=True)
    for split, (path, content) in zip(SPLITS, files.items(), strict=True):
        _write(path, content)
        console.print(f"wrote {path} ({len(corpus.split(split)):,} rows)", markup=False, soft_wrap=True)


def _of_study(study: str, tracking_uri: str | None) -> tuple[DataConfig, str]:
    """Return the settings of a study's data, and their fingerprint."""
    from gru_bench.report.choice import choose
    from gru_bench.tracking import open_reader

    store = open_reader(tracking_uri)
    chosen = choose(store, None, [study]).studies[0]
    run = next((run for run in (*chosen.confirms, *chosen.trials) if run.complete), None)
    if run is None:
        raise IncompleteError(f"the study {study} must have a complete run, but has none: finish the study")
    return run.config().data, run.fingerprint


def _table(corpus: Corpus, name: str, *, has_labels: bool) -> bytes:
    """Return one split as CSV, without labels only ids and texts. Texts are as in the data, and not changed for
    spreadsheets."""
    split = corpus.split(name)
    columns = {"id": split.example_id_N.tolist(), "text": corpus.texts(name),
               "label": [corpus.classes[label] for label in split.label_N.tolist()],
               "category": split.category_N.tolist(),
               "group": [] if split.group_N is None else split.group_N.tolist(), "row": split.name_N.tolist()}
    shown = ("id", "text", "label") if has_labels else ("id", "text")
    columns = {heading: values for heading, values in columns.items()
               if heading in shown or (has_labels and any(values))}
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return table.getvalue().encode()


def _contains(content: bytes, path: Path) -> bool:
    return path.read_bytes() == content


def _write(path: Path, content: bytes) -> None:
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        if error.errno not in cli.UNWRITABLE:
            raise
        raise RunError(f"{path.parent} cannot be written ({error.strerror}): choose another with --out"
                       ) from error


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
