"""Command line of a single run: `python -m gru_bench.train --model scratch`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.config import RunConfig, flat, parsed_settings, with_settings
from gru_bench.errors import RunError
from gru_bench.evaluation.accuracy import percent
from gru_bench.results.logged_metrics import LOSS_TRAIN

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.data.embeddings import Vectors
    from gru_bench.results.runs import EpochRecord, RunResult, StepReport
    from gru_bench.tracking import LoggedRun, RunWriter, Store

SHOWN_DIGITS = 8
"""Of a run's id: enough to name it."""
STUDIES = ("bidirectional", "torch", "scratch")
"""Those that search for the settings of one model, and have its name."""
DATA_OPTIONS = {"data.name": "--data", "data.test_name": "--test-data", "data.text_column": "--text-column",
                "data.label_column": "--label-column", "data.category_column": "--category-column",
                "embedding.name": "--embedding"}
"""Setting -> option that says the same to a sweep."""

app = cli.app()


@app.command()
def train(
    model: Annotated[str | None, typer.Option(help="scratch, torch, bidirectional or rnn (without gates).",
                                              show_default="bidirectional", rich_help_panel="Model")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Width of the state.", show_default="100",
                                                    rich_help_panel="Model")] = None,
    layers: Annotated[int | None, typer.Option(help="Recurrent layers.", show_default="1",
                                               rich_help_panel="Model")] = None,
    pooling: Annotated[str | None, typer.Option(
        help="What the head reads of the states: last (at the last word), final (the one that each direction ends in), "
        "mean or max over all words, meanmax (both).", show_default="final", rich_help_panel="Model")] = None,
    epochs: cli.Epochs = None,
    batch_size: Annotated[int | None, typer.Option(help="Reviews of a step.", show_default="64",
                                                   rich_help_panel="Training")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's step size.", show_default="0.001",
                                             rich_help_panel="Training")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, batches and dropout.", show_default="0",
                                             rich_help_panel="Training")] = None,
    score_test: Annotated[bool, typer.Option("--score-test", help="Score the test reviews too: once, when all "
                                             "choices are made.", rich_help_panel="Training")] = False,
    device: cli.Device = None,
    data: cli.Data = None,
    test_data: cli.TestData = None,
    text_column: cli.TextColumn = None,
    label_column: cli.LabelColumn = None,
    category_column: cli.CategoryColumn = None,
    embedding: cli.Embedding = None,
    limit: cli.Limit = None,
    settings: cli.Settings = None,
    tracking_uri: cli.TrackingUri = None,
    no_texts: cli.NoTexts = False,
) -> None:
    """Train one recurrent classifier and log it to MLflow.

    Without options: the bidirectional GRU on 25,000 IMDb and 8,530 Rotten Tomatoes reviews that come with the
    installation. Interrupted, the same command goes on from where it was last kept on disk, a minute back at most.
    """
    named = cli.named_settings({
        "model.name": model, "model.hidden_size": hidden_size, "model.layers": layers,
        "model.pooling": pooling, "seed": seed, "training.batch_size": batch_size, "training.lr": lr})
    named |= cli.data_settings(data, test_data, text_column, label_column, category_column, embedding, limit, device,
                               epochs)
    assigned = parsed_settings(settings or [])
    config = with_settings(RunConfig(), {**named, **assigned}, cli.typed(named, assigned))
    _run(config, cli.out(), score_test, tracking_uri, not no_texts)


def _run(config: RunConfig, console: Any, score_test: bool, tracking_uri: str | None, with_texts: bool) -> None:
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.embeddings import load_vectors
    from gru_bench.models.classifier import choose_backend, fallback
    from gru_bench.tracking import Store
    from gru_bench.train.loop import choose_device

    # What this machine has not is told before anything is read.
    device = choose_device(config.training.device)
    choose_backend(config.model, device)
    with console.status("reading the reviews"):
        corpus = load_corpus(config.data)
    console.print(f"{corpus.name}: {len(corpus.train):,} training, {len(corpus.validation):,} validation and "
                  f"{len(corpus.test):,} test reviews", markup=False)
    with console.status("preparing the word vectors"):
        vectors = load_vectors(config.embedding, corpus, on_progress=lambda text: console.print(text, markup=False))
    if (slower := fallback(config.model, device)) is not None:
        console.print(f"note: {slower}", markup=False)
    with console.status("opening the tracking store"):
        store = Store(tracking_uri, say=lambda text: console.print(text, markup=False))
    with store:
        if (before := _trained_before(config, corpus, store)) is not None:
            console.print(f"note: these settings were trained on these reviews before (run {before.run_id}): this "
                          "trains them again, as a run of its own", markup=False)
        result, writer = _logged(config, console, corpus, vectors, store, score_test, with_texts)
    _show(console, result, len(corpus.train))
    console.print(f"logged as run {writer.run_id} in {store.uri}; next:", markup=False)
    for command, what in _next_steps(config, writer.run_id, score_test, tracking_uri):
        console.print(f"  {command}  ({what})", markup=False)


def _trained_before(config: RunConfig, corpus: Corpus, store: Store) -> LoggedRun | None:
    """Return the newest run of these settings on these reviews; None where the store is no file that can be read."""
    from gru_bench.tracking import Reader

    if store.database is None or not store.database.exists():
        return None
    reader = Reader(store.uri)
    params = {key: str(value) for key, value in flat(config).items()}
    with suppress(RunError):
        for run in reader.runs(corpus.name) if corpus.name in reader.experiments() else ():
            if (run.role == "single" and run.complete and params.items() <= run.params.items()
                    and run.tags.get("gru_bench.data_fingerprint") == corpus.fingerprint):
                return run
    return None


def _logged(
    config: RunConfig, console: Any, corpus: Corpus, vectors: Vectors, store: Store, score_test: bool, with_texts: bool
) -> tuple[RunResult, RunWriter]:
    from gru_bench.data.cache import default_cache
    from gru_bench.train.loop import checkpoint_name, train

    writer = store.start(
        corpus.name, f"{config.model.name} seed {config.seed}", role="single", model=config.model.name,
        command=cli.command_line(), config=config, fingerprint=corpus.fingerprint)
    writer.dataset(corpus.name, corpus.fingerprint)
    checkpoint = default_cache() / "checkpoints" / checkpoint_name(config, corpus)
    try:
        with cli.interruptible(), _Progress(console, config.training.epochs) as progress:
            def on_epoch(record: EpochRecord) -> None:
                writer.epoch(record)
                progress.epoch(record)

            def on_step(report: StepReport) -> None:
                store.check()
                progress.step(report)

            result = train(config, corpus, vectors, on_epoch, score_test=score_test, checkpoint=checkpoint,
                           on_step=on_step, on_resume=progress.resume)
        texts = {split: corpus.texts(split) for split in result.predictions} if with_texts else {}
        writer.finish(result, with_model=True, texts=texts)
    except KeyboardInterrupt:
        writer.kill("interrupted")
        raise
    except BaseException as error:
        with suppress(RunError):  # where the store itself has failed, that is what is told
            writer.fail(str(error) or type(error).__name__)
        raise
    return result, writer


class _Progress:
    """A bar with loss, accuracy, reviews per second and time left; on no terminal a line for each epoch."""

    def __init__(self, console: Any, epochs: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console, self.epochs = console, epochs
        self.accuracy = ""
        self.first = 1
        """Epoch that this start begins with; those before it are an earlier one's."""
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(), TextColumn("left"), console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("training", total=1, state="")

    def __enter__(self) -> _Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def step(self, report: StepReport) -> None:
        """Move the bar."""
        rate = report.reviews / report.seconds if report.seconds else 0.0
        self.bar.update(
            self.task, completed=report.reviews, total=report.reviews_total,
            description=f"epoch {report.epoch}/{report.epochs}",
            state=f"loss {report.loss:.4f}{self.accuracy}  {rate:,.0f} reviews/s")

    def resume(self, epoch: int | None) -> None:
        """Say with which epoch a run goes on, or that none is left."""
        self.first = epoch or self.epochs + 1
        on = "all epochs are trained" if epoch is None else f"going on from epoch {epoch}/{self.epochs}"
        self.console.print(f"{on}{'; an earlier start trained:' if self.first > 1 else ''}", markup=False)

    def epoch(self, record: EpochRecord) -> None:
        """Print the epoch's line."""
        line = "  " if record.epoch < self.first else ""
        line += f"epoch {record.epoch}/{self.epochs}  {LOSS_TRAIN.label} {LOSS_TRAIN.written(record.train_loss)}"
        if record.validation_accuracy is not None:
            self.accuracy = f"  accuracy {percent(record.validation_accuracy)}"
            line += f"  validation loss {record.validation_loss:.4f}{self.accuracy}"
        self.console.print(f"{line}  {record.seconds:.1f} s  {record.tokens_per_second:,.0f} tokens/s", markup=False)


def _show(console: Any, result: RunResult, train_size: int) -> None:
    from gru_bench.evaluation.accuracy import Accuracy

    training, limit = result.config.training, result.config.data.limit
    console.print(f"{result.config.model.name}: {result.parameters:,} parameters in {result.parameter_tensors} "
                  f"tensors, backend {result.backend} on {result.device}; kept epoch {result.best_epoch}", markup=False)
    found = {split: Accuracy.of([predictions]) for split, predictions in result.predictions.items()}
    for split, accuracy in found.items():
        console.print(f"{split} accuracy {accuracy}", markup=False)
    if guessing := [split for split, accuracy in found.items() if accuracy.is_guessing]:
        more = f" (--limit, now {limit:,}, leaves the others out)" if limit is not None else ""
        console.print(f"note: the {' and '.join(guessing)} accuracy means nothing, for guessing may reach it too: "
                      f"train on more than {train_size:,} reviews{more}, or for more epochs than {training.epochs}",
                      markup=False)
    elif limit is not None:
        console.print(f"note: --limit {limit:,} makes this a quick look; with all reviews models are usually far more "
                      "accurate", markup=False)


def _next_steps(
    config: RunConfig, run_id: str, score_test: bool, tracking_uri: str | None
) -> Iterator[tuple[str, str]]:
    """Yield what may be typed next, and what it shows."""
    store = ["--tracking-uri", tracking_uri] if tracking_uri else []
    if not score_test:
        yield "the same command with --score-test", "how good it is on the test reviews, once all choices are made"
    look = shlex.join(["--run", run_id[:SHOWN_DIGITS], *store])
    yield f"python -m gru_bench.diagnose {look}", "which words decide"
    usual, own = flat(RunConfig()), flat(config)
    data = [word for key, option in DATA_OPTIONS.items() if own[key] != usual[key] for word in (option, str(own[key]))]
    study = config.model.name if config.model.name in STUDIES else STUDIES[0]
    yield f"python sweeps/run.py {shlex.join(['--study', study, *data, *store])}", "the best settings, on several seeds"
    if not (tracking_uri or "").startswith("http"):
        backend = ["--backend-store-uri", tracking_uri] if tracking_uri else []
        yield shlex.join(["mlflow", "ui", *backend]), "curves of all runs"


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
