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
        metavar="FILE...", help="Files of predictions: CSV, TSV, JSON Lines or Parquet, also samples_*.jsonl of "
        "lm-eval. Each has one run of one model, or columns 'model' and 'seed'. A row has an id, the true label, and a "
        "prediction, probabilities or a score.")],
    out: Annotated[Path | None, typer.Option(
        help="Folder to write the report to.", show_default="reports/ and the names of the models")] = None,
    truth: Annotated[str | None, typer.Option(
        metavar="FILE", help="File of ids and true labels, where the files have none.", show_default=False)] = None,
    metric: Annotated[str | None, typer.Option(
        help="What is compared: accuracy, macro_f1, log_loss, roc_auc, or score for any other number per example, of "
        "which higher is better.", show_default="accuracy")] = None,
    margin: Annotated[float | None, typer.Option(
        help="The equivalence margin, the largest difference that does not matter in practice: in points, with "
        "--metric score in its unit.",
        show_default="1")] = None,
    common: Annotated[bool, typer.Option(
        "--common", help="Compare the examples that all files have. Otherwise all must have the same.")] = False,
    by_order: Annotated[bool, typer.Option(
        "--by-order", help="Align the rows of files without ids by their order.")] = False,
    refusals: Annotated[str | None, typer.Option(
        metavar="wrong", help="wrong: count a prediction that is no class, such as the refusal of a language model, as "
        "wrong.", show_default="refuse such files")] = None,
    id_column: Annotated[str | None, typer.Option(
        help="Column of the ids. A column may be a key inside one, such as doc.id of lm-eval.",
        show_default="found by its name", rich_help_panel="Columns")] = None,
    label_column: Annotated[str | None, typer.Option(
        help="Column of the true labels.", show_default="found by its name", rich_help_panel="Columns")] = None,
    prediction_column: Annotated[str | None, typer.Option(
        help="Column of the predicted classes. Probabilities are in columns such as probability_positive.",
        show_default="found by its name", rich_help_panel="Columns")] = None,
    score_column: Annotated[str | None, typer.Option(
        help="Column of scores, such as exact match, a BLEU of each sentence, or a judge's grade. Scores of 0 and 1 "
        "are compared as accuracies.", show_default="found by its name, without predictions",
        rich_help_panel="Columns")] = None,
    group_column: Annotated[str | None, typer.Option(
        help="Column of groups: examples that belong together, such as those of one document or author. none turns "
        "groups off.", show_default="the one of a usual name", rich_help_panel="Columns")] = None,
    study: Annotated[str | None, typer.Option(
        help="A study whose confirmation runs are compared with the files, on its own test examples: gru-bench data "
        "writes these.", show_default=False)] = None,
    claim: Annotated[str | None, typer.Option(
        help="Write nothing. Say whether a claim on two models is proven, such as 'bert > tfidf': exit code 0 if so, 4 "
        "if it is refuted or the models are equivalent, 3 if it is not settled.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Write nothing. Print scores and verdicts as JSON.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="Compile report.tex to a PDF too. This needs TeX.")] = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Compare any classifiers by files of their predictions.

    The report is that of a study: results with intervals, a verdict on each pair, where they disagree.
    """
    from gru_bench.predictions.compare import compared
    from gru_bench.report.document.numbers import folder_name
    from gru_bench.report.document.sentences import in_text
    from gru_bench.report.findings import answered, needs_of
    from gru_bench.report.render import files as render

    asked = {role: name for role, name in (
        ("id", id_column), ("label", label_column), ("prediction", prediction_column), ("score", score_column),
        ("group", group_column)) if name is not None}
    if study is not None and (truth is not None or by_order or group_column is not None):
        raise UsageError("--study gives the true labels, the ids and the groups of its test examples: leave out "
                         "--truth, --by-order and --group-column")
    cli.check_folder("--out", out)
    console = cli.out(stderr=as_json or claim is not None)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    report = compared(files, truth=truth, metric=metric, margin=margin, columns=asked, common=common,
                      by_order=by_order, refusals=refusals,
                      own_study=None if study is None else _runs_of(study, tracking_uri), say=say)
    if as_json or claim is not None:
        raise typer.Exit(answered(report.findings, claim, as_json=as_json))
    folder = out or Path("reports") / folder_name(
        "-".join(model.label for model in report.findings.models), "comparison")
    page, *_ = render.write(report, folder, inputs=map(Path, [*files, *([truth] if truth else [])]))
    for sentence in (*map(in_text, report.in_short), *needs_of(report.findings)):
        say(sentence)
    say(f"wrote {page}: {page.resolve().as_uri()}")
    if pdf:
        from gru_bench.report.render import pdf as typeset

        say(f"wrote {typeset.pdf(folder)}")


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
