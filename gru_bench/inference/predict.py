"""The command `gru-bench predict`, which is also `python -m gru_bench.inference.predict`: ask a trained model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.errors import UsageError, visible

if TYPE_CHECKING:
    from gru_bench.inference.files import TextFile
    from gru_bench.inference.predictor import Predictor

SHOWN_CLASSES = 5
"""Largest number of classes that are counted for a file."""

app = cli.app()
HELP = """Classify texts with the model that a study takes, or with a saved model.

Two ways to pass texts:

  [bold]gru-bench predict "A wonderful film."[/bold]
  [bold]gru-bench predict --study smoke --file reviews.csv --to predictions.csv[/bold]

A study takes the best on validation of its trained models with all their seeds, its linear models, and the average of
the best two, which the report compares with the others.
A file can be CSV, TSV, JSON Lines, Parquet, or .txt with one text per line. It can be larger than the memory."""


@app.command(help=HELP)
def predict(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to classify.", show_default=False)] = None,
    study: Annotated[str | None, typer.Option(
        help="Study whose model predicts.", show_default="the newest finished one", rich_help_panel="Model")] = None,
    model: Annotated[str | None, typer.Option(
        help="With --study: another model of the study, such as ngrams or average. Without --study: a folder written "
        "by gru-bench save-model.", show_default=False, rich_help_panel="Model")] = None,
    file: Annotated[Path | None, typer.Option(
        help="File of texts.", show_default=False, rich_help_panel="Files")] = None,
    to: Annotated[Path | None, typer.Option(
        help="File to write predictions to: .csv or .parquet.", show_default=False, rich_help_panel="Files")] = None,
    text_column: Annotated[str | None, typer.Option(
        help="Column of the texts.", show_default="text, or another usual name",
        rich_help_panel="Files")] = None,
    id_column: Annotated[str | None, typer.Option(
        help="Column to copy next to the predictions.", show_default="id, or else the row number",
        rich_help_panel="Files")] = None,
    encoding: Annotated[str, typer.Option(
        help="Encoding of a text file, such as cp1252.", rich_help_panel="Files")] = "utf-8",
    force: Annotated[bool, typer.Option(
        "--force", help="Overwrite an existing file of predictions.", rich_help_panel="Files")] = False,
    why: Annotated[bool, typer.Option(
        "--why", help="Show influential words: the change of the prediction when each is left out. For a linear model: "
        "the weight of each n-gram.",
        rich_help_panel="Answer")] = False,
    run_code: cli.RunCode = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Ask a trained model."""
    if texts and file is not None:
        raise UsageError("give texts either in the command or with --file, but not both")
    if (file is None) != (to is None):
        raise UsageError(f"--file and --to must be given together, but got only {'--to' if file is None else '--file'}")
    if file is None:
        of_files = {"--text-column": text_column, "--id-column": id_column, "--encoding": encoding != "utf-8",
                    "--force": force}
        for option in (option for option, value in of_files.items() if value):
            raise UsageError(f"{option} is for a file of texts: give one with --file, or leave {option} out")
    if why and not texts:
        raise UsageError("--why needs a text in the command: write one in quotes")
    if not texts and file is None:
        raise UsageError("texts are needed: write them in quotes, or give a file with --file")
    from gru_bench.inference.files import TextFile, check_output

    source = None if file is None else TextFile(file, text_column, id_column, encoding)
    if to is not None:
        check_output(to, force=force, inputs=[] if file is None else [file])
    console = cli.out()
    asked = _predictor(study, model, run_code=run_code, tracking_uri=tracking_uri)
    if source is not None and to is not None:
        _file(console, asked, replace(source, trained_on=asked.model.data), to)
    else:
        _texts(console, asked, texts or [], why=why)


def _predictor(study: str | None, model: str | None, *, run_code: bool, tracking_uri: str | None) -> Predictor:
    """Return the model that was asked for, and say which it is."""
    from gru_bench.inference.predictor import Predictor

    said = cli.out(stderr=True)  # standard output is for the answers
    if study is None and model is not None:
        from gru_bench.models.saved import load

        trained, scores = load(Path(model))
        said.print(f"{model}: {trained.name}, test {scores['metric']} {scores['text']}" if scores else
                   f"{model}: {trained.name}", markup=False)
    else:
        from gru_bench.inference import taken
        from gru_bench.inference.card import scores_of
        from gru_bench.tracking import open_reader

        store = open_reader(tracking_uri)
        with said.status("reading the model"):
            logged = taken.study_of(store, study)
            found = taken.candidates(store, logged)
            chosen = taken.asked(found, logged.name, model)
            trained = taken.read(store, chosen)
            scores = scores_of(chosen)
        best = ", the best on validation" if model is None and found.others else ""
        said.print(f"study {logged.name}: {chosen.label}{best}, test {scores['metric']} {scores['text']}", markup=False)
    if run_code:
        trained.allow_code()
    return Predictor(trained)


def _texts(console: Any, asked: Predictor, texts: Sequence[str], *, why: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from gru_bench.inference.shown import SHOWN_WORDS, notes, predictions_table, short

    found = asked.predict(texts)
    shown = predictions_table(texts, found)
    table = Table(*(escape(visible(str(name))) for name in shown))
    for row in shown.itertuples(index=False):
        table.add_row(*(escape(visible(value)) for value in row))
    console.print(table)
    for note in notes(found):
        console.print(f"note: {note}", markup=False)
    meaning = ""
    for text in texts if why else ():
        explained = asked.explain(text)
        if not explained.words_T:
            continue
        meaning = explained.meaning
        words = ", ".join(f"{word} {weight:+.2f}" for word, weight in explained.strongest(SHOWN_WORDS))
        console.print(f"{short(text)}: words for {explained.label} (above 0) or against it: {words}",
                      markup=False)
        if explained.left_out:
            console.print(f"  only its first {len(explained.words_T):,} words were left out in turn, "
                          f"{explained.left_out:,} more were not", markup=False)
    if meaning:
        console.print(f"a word's number: {meaning}", markup=False)


def _file(console: Any, asked: Predictor, source: TextFile, out: Path) -> None:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from gru_bench.inference.files import writing

    labels: Counter[str] = Counter(dict.fromkeys(asked.model.classes, 0))
    unknown = 0
    started = time.perf_counter()
    bar = Progress(TextColumn("predicting"), BarColumn(bar_width=32), TaskProgressColumn(),
                   TextColumn("{task.fields[rows]:,} texts"), TimeRemainingColumn(), console=console, transient=True,
                   disable=not console.is_terminal)
    task = bar.add_task("", total=None, rows=0)
    with bar, writing(out, asked.model.classes) as write:
        for part in source.parts():
            found = asked.predict(part.texts)
            write(part.ids, found)
            labels.update(found.label_N)
            unknown += int((found.known_N == 0).sum())
            bar.update(task, completed=part.fraction, total=None if part.fraction is None else 1,
                       rows=labels.total())
    seconds = time.perf_counter() - started
    console.print(f"wrote {out}: {labels.total():,} texts in {seconds:.1f} s, {labels.total() / seconds:,.0f} a second",
                  markup=False)
    most, others = labels.most_common(SHOWN_CLASSES), labels.most_common()[SHOWN_CLASSES:]
    counts = [f"{label} {count:,}" for label, count in most]
    counts += [f"{len(others):,} other classes {sum(count for _, count in others):,}"] if others else []
    console.print("  " + ", ".join(counts), markup=False)
    if unknown:
        have, their = ("has", "its") if unknown == 1 else ("have", "their")
        console.print(f"note: {unknown:,} of them {have} no known word, so {their} prediction is that for an empty "
                      "text (column known_words is 0)", markup=False)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
