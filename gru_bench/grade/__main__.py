"""The command `gru-bench grade`, which is also `python -m gru_bench.grade`: are claimed accuracies true, and right?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.errors import IncompleteError, RunError, UsageError, shown

if TYPE_CHECKING:
    from gru_bench.grade.judge import Alike, Judged, Result
    from gru_bench.predictions.align import KnownExamples
    from gru_bench.stats.claims import Disagreement, Reference

app = cli.app()
COLUMNS = ("student", "claimed", "measured", "agrees", "difference", "p", "p_adjusted", "verdict", "passes", "alike",
           "note")
FRACTION_DIGITS = 6
"""Decimals of a fraction in the table."""
HELP = """Check claimed accuracies against a reference, allowing for the noise of seeds and test texts.

  [bold]gru-bench grade claims.csv --study homework --csv graded.csv[/bold]
  [bold]gru-bench grade claims.csv --accuracy 84.2 --seed-deviation 0.4 --texts 2664[/bold]
  [bold]gru-bench grade --study homework --hand-out test.csv[/bold]

CLAIMS.csv has a column student and a column accuracy (84.2 or 0.842), a column predictions, or both. predictions names
a file with a class (prediction or label) for each test text (id), as read by compare. The result says for each student
whether the claim matches the predictions, whether it differs from the reference by more than noise, and who has nearly
the same predictions; and for all, the pass mark, which fewer than 1 of 100 further runs of the reference miss. Exit
code 0: no problems; 3: a student misses the pass mark, claims an accuracy that the predictions do not have, or has
nearly the same predictions as another; 4: a student could not be judged. student matches the table of gru-check."""


@app.command(help=HELP)
def grade(
    claims: Annotated[Path | None, typer.Argument(
        metavar="CLAIMS.csv", help="Table with a row per student.", show_default=False)] = None,
    study: Annotated[str | None, typer.Option(
        help="Study whose confirmation runs are the reference. Predictions must be of its test texts.",
        show_default=False, rich_help_panel="Reference")] = None,
    model: Annotated[str | None, typer.Option(
        help="Model of the study.", show_default="the winner", rich_help_panel="Reference")] = None,
    accuracy: Annotated[str | None, typer.Option(
        help="Instead of a study: the accuracy of the reference, such as 84.2.", show_default=False,
        rich_help_panel="Reference")] = None,
    seed_deviation: Annotated[float | None, typer.Option(
        help="Between-seed standard deviation, in points of accuracy.", min=0, max=50, show_default=False,
        rich_help_panel="Reference")] = None,
    runs: Annotated[int | None, typer.Option(
        help="Number of runs.", min=2, show_default="5", rich_help_panel="Reference")] = None,
    texts: Annotated[int | None, typer.Option(
        help="Number of test texts.", min=10, show_default="those of --truth", rich_help_panel="Reference")] = None,
    truth: Annotated[Path | None, typer.Option(
        help="With --accuracy: file of true classes (id, label) of the test texts.", show_default=False,
        rich_help_panel="Reference")] = None,
    by_order: Annotated[bool, typer.Option(
        "--by-order", help="Align rows by their order, for files without ids.")] = False,
    refusals: Annotated[str | None, typer.Option(
        metavar="wrong", help="wrong: count predictions that are not a class as wrong.",
        show_default="raise an error")] = None,
    csv: Annotated[Path | None, typer.Option(help="Table of results to write.", show_default=False)] = None,
    hand_out: Annotated[Path | None, typer.Option(
        help="Write the study's test texts with ids, but without classes, to this file.", show_default=False)] = None,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Judge claims."""
    if (study is None) == (accuracy is None):
        raise UsageError("give either --study, or --accuracy with --seed-deviation, but got "
                         f"{'neither' if study is None else 'both'}")
    if claims is None and hand_out is None:
        raise UsageError("CLAIMS.csv is needed: give a table with a row per student, or use --hand-out to write the "
                         "texts for them")
    if refusals not in (None, "wrong"):
        raise UsageError(f"--refusals must be wrong, or left out, but got {shown(refusals)}")
    for option, is_given, needed, is_there in (
            ("--model", model, "--study", study), ("--tracking-uri", tracking_uri, "--study", study),
            ("--by-order", by_order, "--study or --truth", study or truth),
            ("--refusals", refusals, "--study or --truth", study or truth)):
        if is_given and not is_there:
            raise UsageError(f"{option} needs {needed}: leave it out")
    console = cli.out()
    known: KnownExamples | None
    disagreement = None
    if study is not None:
        if any(value is not None for value in (truth, seed_deviation, texts, runs)):
            raise UsageError("--truth, --seed-deviation, --texts and --runs are for --accuracy, but got --study: leave "
                             "them out")
        reference, known, disagreement = _of_study(console, study, model, tracking_uri, hand_out)
    else:
        if hand_out is not None:
            raise UsageError("--hand-out needs --study, but got --accuracy")
        assert accuracy is not None
        reference, known = _of_numbers(console, accuracy, seed_deviation, runs or 5, texts, truth, by_order=by_order)
    if claims is None:
        return
    from gru_bench.data.files import check_table
    from gru_bench.grade.claims import Truth, read_claims
    from gru_bench.grade.judge import judge

    if csv is not None:
        check_table(csv, COLUMNS)
    texts_of = None if known is None else Truth(known, study is not None, by_order, refusals == "wrong")
    result = judge(read_claims(claims), reference, texts_of, disagreement)
    _show(console, result, reference, "other students" if disagreement is None else "reference runs")
    if csv is not None:
        _write(csv, result)
        console.print(f"wrote {csv}", markup=False)
    raise typer.Exit(result.exit_code)


# ---------------------------------------------------------------- the reference


def _of_study(
    console: Any, name: str, model: str | None, tracking_uri: str | None, hand_out: Path | None
) -> tuple[Reference, KnownExamples, Disagreement]:
    from gru_bench.grade.claims import write_texts
    from gru_bench.inference import winner
    from gru_bench.predictions.align import KnownExamples
    from gru_bench.predictions.read import class_of
    from gru_bench.stats.claims import FEWEST_RUNS, Disagreement, Reference
    from gru_bench.tracking import open_reader

    store = open_reader(tracking_uri)
    group = winner.choose(store, store.study(name), model).group
    ids = tuple(map(str, group.example_N))
    if len(group.runs) < FEWEST_RUNS:
        raise IncompleteError(f"a reference must have at least {FEWEST_RUNS} confirmation runs, but {group.model} of "
                              f"the study {shown(name)} has {len(group.runs)}: run its sweep again with --confirm 5")
    if hand_out is not None:
        found = store.texts(group.study.run.run_id, "test")
        if found is None or not set(ids) <= found.keys():
            raise RunError(f"the study {shown(name)} has no texts, because it was run with --no-texts: hand out your "
                           "own file, with the ids in the column row of gru-bench report --tables")
        write_texts(hand_out, found, ids)
        console.print(f"wrote {len(ids):,} texts to {hand_out}", markup=False)
    reference = Reference.of_runs(group.correct_RN)
    console.print(f"reference: {group.model} of the study {name}: {_percent(reference.accuracy)} on {len(ids):,} test "
                  f"texts, {len(group.runs)} runs, standard deviation between these runs "
                  f"{100 * reference.spread**0.5:.2f} points", markup=False)
    name_N = store.predictions(group.ids[0], "test").by_id().name_N
    known = KnownExamples(f"the study {name}", ids, group.label_N.astype(int), tuple(map(class_of, group.classes)),
                          () if name_N is None else name_N.tolist())
    return reference, known, Disagreement.of_runs(group.predicted_RN)


def _of_numbers(
    console: Any, accuracy: str, deviation: float | None, runs: int, texts: int | None, path: Path | None, *,
    by_order: bool,
) -> tuple[Reference, KnownExamples | None]:
    from gru_bench.grade.claims import parsed_accuracy, read_truth
    from gru_bench.stats.claims import Reference

    truth = None if path is None else read_truth(path, by_order=by_order)
    if truth and texts not in (None, len(truth.id_N)):
        raise UsageError(f"--texts must be the number of texts of --truth, {len(truth.id_N):,}, but got {texts:,}: "
                         "leave it out")
    size = texts or (len(truth.id_N) if truth else 0)
    if deviation is None or not size:
        raise UsageError(f"--accuracy needs {'--seed-deviation' if deviation is None else '--texts or --truth'}")
    reference = Reference.of_numbers(parsed_accuracy(accuracy).value, deviation / 100, runs, size)
    console.print(f"reference: {_percent(reference.accuracy)} on {size:,} test texts, {runs} runs, between-seed "
                  f"standard deviation {deviation:.2f} points", markup=False)
    return reference, truth


# ---------------------------------------------------------------- words and table


def _show(console: Any, result: Result, reference: Reference, whose: str) -> None:
    from gru_bench.sweep.console.progress import several

    same = reference.pass_mark_on_same_texts()
    console.print(f"pass mark: {_percent(reference.pass_mark())}. Fewer than 1 of 100 further runs of the reference "
                  "miss it." + (" Of those scored on the reference's own texts, 1 of 100 misses "
                              f"{_percent(same)}." if same is not None else ""), markup=False, style="bold")
    for one in result.judged:
        console.print(f"{one.student}: {_sentence(one, result.family)}", markup=False)
    for pair in result.alike:
        console.print(_alike(pair, result.pairs, whose), markup=False)
    passes = [one.passes for one in result.judged]
    console.print(f"{several(len(passes), 'student')}: pass mark reached by {passes.count(True)}, missed by "
                  f"{passes.count(False)}, not judged {passes.count(None)}; claims that disagree with the predictions: "
                  f"{sum(one.agrees is False for one in result.judged)}", style="bold", markup=False)


def _sentence(one: Judged, family: int) -> str:
    """Return what is true of a student. p is adjusted for a `family` of students, and the pass mark is not."""
    from gru_bench.stats.text import p_text, written

    def p_of(p: float) -> str:
        return f"p {text if (text := p_text(p)).startswith('<') else f'= {text}'}"

    parts = []
    if one.claimed is not None and one.measured is not None:
        parts.append(f"claims {_percent(one.claimed)}, and the predictions have {_percent(one.measured)}"
                     + ("" if one.agrees else ": they disagree"))
    elif one.claimed is not None:
        parts.append(f"claims {_percent(one.claimed)}")
    elif one.measured is not None:
        parts.append(f"the predictions have {_percent(one.measured)}")
    if one.difference is None or one.p is None or one.p_adjusted is None:
        parts.append(one.verdict)
    else:
        adjusted, alone = (f", adjusted for {family} students", f" (not adjusted: {p_of(one.p)})"
                           ) if family > 1 else ("", "")
        parts.append(f"{one.verdict} ({written(one.difference, 'points')} points, {p_of(one.p_adjusted)}{adjusted})")
        parts.append(f"{'reaches' if one.passes else 'does not reach'} the pass mark{alone}")
    return "; ".join([*parts, *([one.note] if one.note else [])])


def _alike(pair: Alike, pairs: int, whose: str) -> str:
    """Return a fact about two students, with how likely it is where that is known.

    Args:
        pair: The students.
        pairs: Number of all pairs.
        whose: Those with whom they are compared.
    """
    a, b = pair.students
    fact = f"{a} and {b} " + (f"predict different classes for {pair.apart:,} texts" if pair.apart else
                              "have equal predictions for all texts")
    if pair.usual is None or pair.probability is None:
        return f"{fact}; how likely that is by chance is not known without --study or more students"
    return (f"{fact}; two {whose} differ on {pair.usual.mean:,.0f} texts ({pair.usual.least:,} to "
            f"{pair.usual.most:,}). Between independent ones, so few have a probability of about "
            f"{pair.probability:.1g} for one pair, and {min(1.0, pair.probability * pairs):.1g} for any of {pairs:,}")


def _write(path: Path, result: Result) -> None:
    import codecs
    import csv

    from gru_bench.platforms import replacing
    from gru_bench.report.document.figure import csv_cell

    answer = {True: "yes", False: "no", None: ""}
    with replacing(path) as file:
        table = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
        table.writerow(COLUMNS)
        for one in result.judged:
            alike = [f"{other} ({pair.apart} texts differ)" for pair in result.alike
                     for other in pair.students if one.student in pair.students and other != one.student]
            table.writerow([csv_cell(value) for value in (
                one.student, *map(_rounded, (one.claimed, one.measured)), answer[one.agrees], _rounded(one.difference),
                one.p, one.p_adjusted, one.verdict, answer[one.passes], "; ".join(alike), one.note)])


def _rounded(fraction: float | None) -> float | None:
    """Return a fraction without the errors of its last binary digits. Zero has no sign."""
    return None if fraction is None else round(fraction, FRACTION_DIGITS) + 0.0


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


if __name__ == "__main__":
    cli.run(app)
