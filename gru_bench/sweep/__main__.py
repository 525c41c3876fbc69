"""The command `gru-bench sweep`, which is also `python sweeps/run.py` and `python -m gru_bench.sweep`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.config import parsed_settings
from gru_bench.errors import DifferenceError, ExitCode, IncompleteError, RunError, UsageError, without_passwords

if TYPE_CHECKING:
    from rich.table import Table

    from gru_bench.results.runs import StudySummary
    from gru_bench.sweep.end import StudyEnd
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.summary import Conclusion
    from gru_bench.tracking import LoggedRun

MLFLOW_UI = "http://127.0.0.1:5000"
"""Address at which mlflow ui shows a store that is a file."""
OPTIONS = {"name": "--study-name", "trials": "--trials", "confirm": "--confirm", "seed": "--seed"}
"""Key of a study file -> the option that sets it."""

app = cli.app()


@app.command()
@cli.continued()
def sweep(
    context: typer.Context,
    study: Annotated[str | None, typer.Option(
        help="Built-in study (bidirectional, torch, scratch, compare, own, amazon, homework or smoke), or a TOML file. "
        "A file can inherit from a built-in study: base = \"bidirectional\".",
        show_default=False, rich_help_panel="Study")] = None,
    again: Annotated[str | None, typer.Option(
        help="Instead of --study: repeat a study from MLflow under a new --study-name, with its confirmed settings and "
        "data on fresh seeds.",
        show_default=False, rich_help_panel="Study")] = None,
    study_name: Annotated[str | None, typer.Option(help="Name under which the study is stored.",
                                                   show_default="the study's name", rich_help_panel="Study")] = None,
    model: Annotated[list[str] | None, typer.Option(
        help="Begin the study with this one of its models; repeatable. FILE.py:CLASS is a model of your own. A study "
        "keeps the models with which it began.",
        show_default="all of them",
        rich_help_panel="Study")] = None,
    trials: Annotated[int | None, typer.Option(help="Number of search trials per model, in total over all starts.",
                                               show_default="the study's", rich_help_panel="Study")] = None,
    confirm: Annotated[int | None, typer.Option(help="Number of confirmation runs per model, each on a fresh seed.",
                                                show_default="the study's", rich_help_panel="Study")] = None,
    timeout: Annotated[str | None, typer.Option(help="Start no new trial after this time: 90s, 10m, 1.5h.",
                                                show_default="none", rich_help_panel="Study")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the search, from which the confirmation seeds are "
        "derived.",
                                             show_default="the study's", rich_help_panel="Study")] = None,
    workers: Annotated[int | None, typer.Option(
        help="Number of training processes. They share the cores and the GPUs.", min=1, max=1_024,
        show_default="one per GPU; without GPUs one per core, at most 4 in a search",
        rich_help_panel="Training")] = None,
    cluster: Annotated[str | None, typer.Option(
        help="Train on a Ray cluster: auto (a running one), local, HOST:PORT or ray://HOST:PORT.",
        show_default="this machine", rich_help_panel="Training")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(
        help="GPUs per trial on the cluster. With 0.25, four trials share one.",
        show_default="1 if the cluster has any", rich_help_panel="Training")] = None,
    epochs: cli.Epochs = None,
    device: cli.Device = None,
    metric: cli.Metric = None,
    data: cli.Data = None,
    test_data: cli.TestData = None,
    text_column: cli.TextColumn = None,
    label_column: cli.LabelColumn = None,
    category_column: cli.CategoryColumn = None,
    split_column: cli.SplitColumn = None,
    group_column: cli.GroupColumn = None,
    id_column: cli.IdColumn = None,
    encoding: cli.Encoding = None,
    embedding: cli.Embedding = None,
    limit: cli.Limit = None,
    settings: cli.Settings = None,
    storage: cli.Storage = None,
    tracking_uri: cli.TrackingUri = None,
    no_texts: cli.NoTexts = False,
    report: Annotated[bool, typer.Option(
        "--report", help="Write the report on the study at the end, like gru-bench report.",
        rich_help_panel="Stores")] = False,
    check: Annotated[bool, typer.Option(
        "--check", help="Only check that everything requested is done and that Optuna and MLflow agree. Exit code 0: "
        "yes, 3: the same command has work left, 4: the stores disagree and cannot be repaired.",
        rich_help_panel="Stores")] = False,
) -> None:
    """Search for the best settings of a recurrent classifier, then confirm them on fresh seeds.

    A study says which models are tuned, over which search space and with what budget. Search trials see only the
    training and validation texts. The best settings are then trained again on seeds that the search never used, and
    no other runs of the models are scored on the test texts. The same command continues where it was left. When all is
    done, it shows the result again.
    """
    from gru_bench.sweep.console.interrupt import Interrupt
    from gru_bench.sweep.spec import load_study, parsed_duration
    from gru_bench.sweep.start import Start, completed

    options = cli.given(context, cli.SETTING_OPTIONS)
    assigned = parsed_settings(settings or [])
    changes = cli.given(context, OPTIONS)
    console, seconds = cli.out(), parsed_duration(timeout)
    if (study is None) == (again is None):
        raise UsageError("give either --study or --again, but got "
                         f"{'neither: try --study smoke' if study is None else 'both'}")
    if study is not None:
        spec = load_study(study, **changes, models=model or None, settings={**options, **assigned})
    else:
        spec, has_texts = _again(again or "", changes, model or None, {**options, **assigned}, tracking_uri, console)
        no_texts |= not has_texts
    if check:
        raise typer.Exit(_check(spec, console, storage, tracking_uri))
    if gpus_per_trial is not None and cluster is None:
        raise UsageError("--gpus-per-trial needs --cluster: add --cluster local to share the GPUs of this machine")
    start = Start(
        command=cli.command_line(), storage=storage, tracking_uri=tracking_uri, workers=workers, cluster=cluster,
        gpus_per_trial=gpus_per_trial, timeout=seconds, texts=not no_texts)
    with Interrupt() as interrupt, completed(spec, start, console, interrupt) as end:
        _show(console, end)
    written = report and _write_report(end.summary, tracking_uri)
    _show_next(console, end, tracking_uri, has_report=written)
    if end.left:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _again(
    name: str, changes: Mapping[str, Any], models: Sequence[str] | None, settings: Mapping[str, Any],
    tracking_uri: str | None, console: Any,
) -> tuple[StudySpec, bool]:
    """Return the study that trains a logged one again, and whether that one stored its texts."""
    from gru_bench.data.corpus import load_corpus
    from gru_bench.sweep.again import study_again
    from gru_bench.tracking import open_reader

    if "trials" in changes:
        raise UsageError("--again does not search, so it does not take --trials: leave it out, or use --study")
    store = open_reader(tracking_uri)
    logged = store.study(name)
    known = [study for experiment in store.experiments() for study in store.studies(experiment)]
    spec = study_again(logged, known, models=models, settings=settings, **{"name": None, **changes})
    with cli.reading_texts(console) as progress:
        data = load_corpus(spec.base.data, on_progress=progress)
    if data.fingerprint != logged.run.fingerprint and not any(key.startswith("data.") for key in settings):
        raise UsageError(f"{data.name} has changed since the study {name} was logged: restore it, or give the right "
                         "data with --data")
    return spec, logged.run.params.get("texts") != "False"


def _check(spec: StudySpec, console: Any, storage: str | None, tracking_uri: str | None) -> ExitCode:
    """Print what both stores hold of a study, and return the exit code that answers `--check`."""
    from gru_bench.data.corpus import load_corpus
    from gru_bench.sweep.consistency import compare_stores, deleted_runs, runs_of
    from gru_bench.sweep.run_log import StoresError
    from gru_bench.sweep.sharing.storage import open_storage, wrapped_errors
    from gru_bench.sweep.study import stored_study
    from gru_bench.tracking import Reader

    with cli.reading_texts(console) as progress:
        corpus = load_corpus(spec.base.data, on_progress=progress)
    opened, store = open_storage(storage, create=False), Reader(tracking_uri)
    with wrapped_errors(storage):
        state = stored_study(spec, corpus, opened)
    try:
        _, runs = runs_of(state, corpus, store)
    except StoresError as error:
        raise DifferenceError(str(error)) from error
    found = compare_stores(state, runs, deleted_runs(state, runs, store))
    for count in found.counts:
        console.print(count, markup=False)
    unreadable = list(_unreadable(store, runs))
    faults = [*found.faults, *unreadable]
    for remark in store.odd.values():
        console.print(f"note: {remark}", markup=False)
    for fault in faults:
        console.print(f"but {fault}", markup=False)
    if not faults:
        console.print("everything is done, and Optuna and MLflow agree")
        return ExitCode.DONE
    if len(found.permanent) < len(found.faults):
        console.print("work is left, or Optuna and MLflow disagree: run the same command without --check to continue "
                      "the study")
    if unreadable:
        console.print("artifacts of these runs are missing, which continuing does not repair: restore them, or delete "
                      "the runs in MLflow and run the command again to retrain them")
    if len(found.deleted) < len(found.permanent):
        console.print("the two stores do not match, perhaps because one was lost or replaced, which continuing does "
                      "not repair: restore the matching store, or start the study again under another name "
                      "(--study-name NAME)")
    return ExitCode.NO if found.permanent or unreadable else ExitCode.INCOMPLETE


def _unreadable(store: Any, runs: Sequence[LoggedRun]) -> Iterator[str]:
    """Yield an error for each run whose test predictions cannot be read. The report and exports need them."""
    for run in runs:
        if run.role in ("confirm", "baseline") and run.complete:
            try:
                store.predictions(run.run_id, "test")
            except RunError as error:
                yield str(error)


def _show(console: Any, end: StudyEnd) -> None:
    """Print what a study concludes, its scores, its notes, and what the checks find that did not warn at its start."""
    from gru_bench.checks import Subject, of_logged, outcomes
    from gru_bench.sweep.start import start_warnings
    from gru_bench.sweep.summary import Conclusion, conclusion

    subject = Subject() if end.logged is None else of_logged([end.logged], end.store)
    concluded = Conclusion() if subject.evidence is None else conclusion(subject.evidence)
    if concluded.decision:
        console.print(concluded.decision, markup=False, soft_wrap=True)
    if concluded.scores or end.summary.best_value:
        console.print(_results(end.summary, concluded))
    for note in end.summary.notes:
        if note not in end.shown_notes:
            console.print(f"note: {note}", markup=False)
    warned = [outcome.check.code for outcome in start_warnings(end.state.spec, end.summary.data) if outcome.warnings]
    for outcome in outcomes(subject, ignored=warned):
        outcome.show(console)


def _write_report(summary: StudySummary, tracking_uri: str | None) -> bool:
    """Write the report on a study, and return whether there is one: without a complete run there is none."""
    from gru_bench.report.__main__ import report

    try:
        report(study=[summary.name], tracking_uri=tracking_uri)
    except IncompleteError as error:
        cli.out().print(f"note: no report yet: {error}", markup=False)
        return False
    return True


def _show_next(console: Any, end: StudyEnd, tracking_uri: str | None, *, has_report: bool) -> None:
    """Print how long the study took, and the commands that are useful next."""
    from gru_bench.sweep.console.description import next_commands
    from gru_bench.sweep.plan import how_far
    from gru_bench.tracking.view import MISSING
    from gru_bench.wording import duration

    summary, where = end.summary, without_passwords(tracking_uri or "")
    # The summary's seconds were taken before those of the start: rounded, they may be one fewer.
    here, whole = duration(end.seconds), duration(max(end.seconds, summary.seconds))
    took = f"took {here}" if here == whole else f"took {here}, over all starts {whole}"
    if summary.trials and summary.search_seconds is not None:
        took += f", {duration(summary.search_seconds)} of it for the search"
    state = how_far(end.state, "the same command")
    console.print(f"the study {summary.name} is {state}; {took}; next:", markup=False)
    for command in next_commands(summary.name, where, report=not has_report, predict=end.is_confirmed,
                                 serve=not where.startswith("http")):
        console.print(f"  {command}", markup=False)
    if page := end.page(MLFLOW_UI):
        console.print(f"the study's page in MLflow: {page}", markup=False)
    if view := end.view_url(MLFLOW_UI):
        console.print(f"all its runs in one table: {view}", markup=False)
    elif view is not None:
        console.print(f"note: {MISSING}", markup=False)


def _results(summary: StudySummary, concluded: Conclusion) -> Table:
    """Return the table of the scores of a study."""
    from rich.markup import escape
    from rich.table import Column, Table

    from gru_bench.sweep.console.description import results

    headings, *rows = results(summary.metric, summary.models, summary.best_value, concluded)
    first = Column(headings[0], min_width=max(map(len, summary.models)))  # a name is never cut
    title = "confirmed on fresh seeds" if concluded.scores else "best trials, not confirmed"
    table = Table(first, *headings[1:], title=title)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
