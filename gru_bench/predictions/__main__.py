"""The command `gru-bench compare`: compare any classifiers by files of their predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gru_bench import cli
from gru_bench.errors import UsageError

if TYPE_CHECKING:
    from gru_bench.predictions.evidence import StudyRuns

app = cli.app()


@app.command()
def compare(
    files: Annotated[list[str], typer.Argument(
        metavar="FILE...", help="Files of predictions: CSV, TSV, JSON Lines, Parquet, or samples_*.jsonl of lm-eval. "
        "Each holds one run of one model, or has columns 'model' and 'seed'. Each row has an id, the true label, and a "
        "prediction or probabilities.")],
    out: Annotated[Path | None, typer.Option(
        help="Folder to write the report to.", show_default="reports/NAME, after the models")] = None,
    truth: Annotated[str | None, typer.Option(
        metavar="FILE", help="File of ids and true labels, if the files have no labels.", show_default=False)] = None,
    metric: Annotated[str | None, typer.Option(
        help="Metric to compare: accuracy, macro_f1 or log_loss.",
        show_default="accuracy; with --study, the study's")] = None,
    margin: Annotated[float | None, typer.Option(
        help="Equivalence margin: the largest difference that does not matter in practice, in points, or in nats of "
        "log_loss.", show_default="1, or 0.01; with --study, the study's")] = None,
    common: Annotated[bool, typer.Option(
        "--common", help="Compare only the examples that all files have. By default, all must have the same.")] = False,
    refusals: Annotated[str | None, typer.Option(
        metavar="wrong", help="wrong: count predictions that are not a class, such as refusals of a language model, as "
        "wrong.", show_default="raise an error")] = None,
    id_column: Annotated[str | None, typer.Option(
        help="Column of the ids; of lm-eval it can be a key of its documents, such as doc.id.",
        show_default="found by name", rich_help_panel="Columns")] = None,
    label_column: Annotated[str | None, typer.Option(
        help="Column of the true labels.", show_default="found by name", rich_help_panel="Columns")] = None,
    prediction_column: Annotated[str | None, typer.Option(
        help="Column of the predicted classes. Probabilities are read from columns such as probability_positive.",
        show_default="found by name", rich_help_panel="Columns")] = None,
    group_column: Annotated[str | None, typer.Option(
        help="Column of groups of related examples, such as those from one document or author. none turns groups "
        "off.", show_default="a column with a usual name, if any", rich_help_panel="Columns")] = None,
    study: Annotated[str | None, typer.Option(
        help="Study whose confirmation runs are compared with the files, on the study's test examples (see gru-bench "
        "data).", show_default=False)] = None,
    claim: Annotated[str | None, typer.Option(
        help="Only test a claim about two models, such as 'bert > tfidf'. Exit code 0: proven, 4: refuted or "
        "equivalent, 3: undecided.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Only print scores and verdicts, as JSON.")] = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Compare any classifiers by files of their predictions.

    The report is that of a study: results with intervals, a verdict on each pair, where they disagree.
    """
    from gru_bench.document.numbers import folder_name
    from gru_bench.document.sentences import in_text
    from gru_bench.predictions.compare import compared
    from gru_bench.report.findings import answered, needs_of
    from gru_bench.report.render import files as render

    asked = {role: name for role, name in (
        ("id", id_column), ("label", label_column), ("prediction", prediction_column),
        ("group", group_column)) if name is not None}
    if study is not None and (truth is not None or group_column is not None):
        raise UsageError("--study already provides true labels and groups: leave out --truth and --group-column")
    cli.check_folder("--out", out)
    console = cli.out(stderr=as_json or claim is not None)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    report = compared(files, truth=truth, metric=metric, margin=margin, columns=asked, common=common,
                      refusals=refusals,
                      own_study=None if study is None else _runs_of(study, tracking_uri), say=say)
    if as_json or claim is not None:
        raise typer.Exit(answered(report.findings, claim, as_json=as_json))
    folder = out or Path("reports") / folder_name(
        "-".join(model.label for model in report.findings.models), "comparison")
    page, *_ = render.write(report, folder, inputs=map(Path, [*files, *([truth] if truth else [])]))
    for sentence in (*map(in_text, report.in_short), *needs_of(report.findings)):
        say(sentence)
    say(f"wrote {page}: {page.resolve().as_uri()}")


def _runs_of(study: str, tracking_uri: str | None) -> StudyRuns:
    """Return the confirmation runs of a study."""
    from gru_bench.predictions.evidence import StudyRuns
    from gru_bench.report.choice import choose
    from gru_bench.tracking import open_reader

    store = open_reader(tracking_uri)
    return StudyRuns.of(choose(store, None, [study]).studies, store)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
