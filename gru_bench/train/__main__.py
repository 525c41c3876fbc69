"""The command `gru-bench train`, which is also `python -m gru_bench.train`: train one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.config import SOURCE, MetricName, RunConfig, parsed_settings, with_settings
from gru_bench.data.code import own_model
from gru_bench.errors import MachineError, RunError, without_passwords
from gru_bench.results.logged_metrics import LOSS_TRAIN, LOSS_VAL
from gru_bench.stats.scores import curve
from gru_bench.stats.text import percent
from gru_bench.train.listener import Listener

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.data.vectors import Vectors
    from gru_bench.results.runs import EpochRecord, Predictions, RunResult, StepReport
    from gru_bench.tracking import RunWriter, Store
    from gru_bench.train.placement import Placement

OPTIONS = {
    **cli.SETTING_OPTIONS, "model.name": "--model", "model.hidden_size": "--hidden-size", "model.layers": "--layers",
    "model.pooling": "--pooling", "training.batch_size": "--batch-size", "training.lr": "--lr", "seed": "--seed",
}
"""Setting -> the option that sets it."""

app = cli.app()


@app.command()
@cli.continued()
def train(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(
        help="scratch, torch, bidirectional, or a class of your own as FILE.py:CLASS. scratch and torch are the same "
        "GRU and use the same kernel, unless you choose --set model.backend=reference (the plain equations) or --set "
        "model.backend=torch (torch.nn.GRU).",
        show_default="bidirectional", rich_help_panel="Model")] = None,
    hidden_size: Annotated[int | None, typer.Option(help="Size of the hidden state.", show_default="100",
                                                    rich_help_panel="Model")] = None,
    layers: Annotated[int | None, typer.Option(help="Number of recurrent layers.", show_default="1",
                                               rich_help_panel="Model")] = None,
    pooling: Annotated[str | None, typer.Option(
        help="How the hidden states are pooled for the classifier: last (the state at the last word), final (the final "
        "state of each direction), mean or max over all words, or meanmax (both).", show_default="final",
        rich_help_panel="Model")] = None,
    epochs: cli.Epochs = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts per training step.", show_default="64",
                                                   rich_help_panel="Training")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate of Adam.", show_default="0.001",
                                             rich_help_panel="Training")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed for initial weights, batches and dropout.",
                                             show_default="0", rich_help_panel="Training")] = None,
    score_test: Annotated[bool, typer.Option("--score-test", help="Score the test texts too. Do this once, after all "
                                             "choices are made.", rich_help_panel="Training")] = False,
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
    tracking_uri: cli.TrackingUri = None,
    no_texts: cli.NoTexts = False,
) -> None:
    """Train one recurrent classifier and log it to MLflow.

    Without options, it trains the bidirectional GRU on the 33,434 movie reviews that are installed with gru-bench.
    After an interruption, the same command continues from its last checkpoint, at most a minute back.
    """
    named = cli.given(context, OPTIONS)
    assigned = parsed_settings(settings or [])
    if model is not None and (own := own_model(model)) is not None:
        named |= {"model.name": own[0], SOURCE: own[1]}
    config = with_settings(RunConfig(), {**named, **assigned})
    _run(config, cli.out(), score_test, tracking_uri, not no_texts)


def _run(
    config: RunConfig, console: Any, score_test: bool, tracking_uri: str | None, with_texts: bool
) -> None:
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.tracking import Store
    from gru_bench.train.placement import place

    placement = place(config)  # an error about this machine comes before anything is read
    with cli.reading_texts(console) as progress:
        corpus = load_corpus(config.data, on_progress=progress)
    for line in corpus.lines:
        console.print(line, markup=False)
    with console.status("preparing the word vectors"):
        vectors = load_vectors(config.embedding, corpus, on_progress=lambda text: console.print(text, markup=False))
    with console.status("opening the tracking store"):
        store = Store(tracking_uri, say=lambda text: console.print(text, markup=False))
    result, writer = _logged(config, placement, console, corpus, vectors, store, score_test, with_texts)
    _show(console, result, corpus)
    console.print(f"logged as run {writer.run_id} in {without_passwords(store.uri)}", markup=False)


def _logged(
    config: RunConfig, placement: Placement, console: Any, corpus: Corpus, vectors: Vectors, store: Store,
    score_test: bool, with_texts: bool,
) -> tuple[RunResult, RunWriter]:
    from gru_bench.models.saved import with_model
    from gru_bench.train.loop import train_resumably

    writer = store.start(
        corpus.name, f"{config.model.name} seed {config.seed}", role="single", model=config.model.name,
        command=cli.command_line(), config=config, fingerprint=corpus.fingerprint, rows=corpus.rows,
        tags={} if vectors.passes is None else {"gru_bench.vector_passes": str(vectors.passes)})
    try:
        with _Progress(console, config.training.epochs, config.training.metric) as progress:
            @_without_fault()
            def on_epoch(record: EpochRecord) -> None:
                writer.epoch(record, config.training.metric)
                progress.epoch(record)

            @_without_fault()
            def on_step(report: StepReport) -> None:
                progress.step(report)

            @_without_fault()
            def on_done(result: RunResult) -> None:
                texts = {split: corpus.texts(split) for split in result.predictions} if with_texts else {}
                writer.finish(with_model(result, vectors), texts=texts)

            @_without_fault()
            def on_restart(reason: str) -> None:
                writer.tags({"gru_bench.done_again": reason})
                note(reason)

            def note(text: str) -> None:
                console.print(f"note: {text}", markup=False)

            listener = Listener(
                step=on_step, epoch=on_epoch, resumed=progress.resume, done=on_done, restarted=on_restart, note=note)
            result = train_resumably(config, corpus, vectors, listener, placement=placement, score_test=score_test)
    except KeyboardInterrupt:
        writer.kill("interrupted")
        raise
    except BaseException as error:
        with suppress(RunError):  # when the store itself has failed, the user sees that error
            writer.fail(str(error) or type(error).__name__)
        raise
    return result, writer


@contextmanager
def _without_fault() -> Iterator[None]:
    """Turn an error of the tracking store into one that is not the run's own fault, so that its checkpoint stays."""
    try:
        yield
    except RunError as error:
        raise MachineError(str(error)) from error


class _Progress:
    """A progress bar with loss, accuracy, texts per second and time left, and a line for each epoch."""

    def __init__(self, console: Any, epochs: int, metric: MetricName) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console, self.epochs, self.metric = console, epochs, metric
        self.accuracy = ""
        self.first = 1
        """First epoch that this start trains. An earlier start trained those before it."""
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
        """Show how far the training is."""
        rate = report.texts / report.seconds if report.seconds else 0.0
        self.bar.update(
            self.task, completed=report.texts, total=report.texts_total,
            description=f"epoch {report.epoch}/{report.epochs}",
            state=f"loss {report.loss:.4f}{self.accuracy}  {rate:,.0f} texts/s")

    def resume(self, epoch: int | None) -> None:
        """Print the epoch from which a run continues, or that all epochs are trained already."""
        self.first = epoch or self.epochs + 1
        on = "all epochs are trained" if epoch is None else f"continuing from epoch {epoch}/{self.epochs}"
        self.console.print(f"{on}{'; an earlier start trained:' if self.first > 1 else ''}", markup=False)

    def epoch(self, record: EpochRecord) -> None:
        """Print the line of one epoch."""
        line = "  " if record.epoch < self.first else ""
        line += f"epoch {record.epoch}/{self.epochs}  {LOSS_TRAIN.label} {LOSS_TRAIN.written(record.train_loss)}"
        if record.validation_accuracy is not None and record.validation_loss is not None:
            self.accuracy = f"  accuracy {percent(record.validation_accuracy)}"
            if (more := curve(self.metric)) is not None and (value := record.score(self.metric)) is not None:
                self.accuracy += f"  {more.label.removeprefix('validation ')} {more.written(value)}"
            line += f"  {LOSS_VAL.label} {LOSS_VAL.written(record.validation_loss)}{self.accuracy}"
        self.console.print(f"{line}  {record.seconds:.1f} s  {record.tokens_per_second:,.0f} tokens/s", markup=False)


def _show(console: Any, result: RunResult, corpus: Corpus) -> None:
    training, limit = result.config.training, result.config.data.limit if corpus.held_back else None
    console.print(f"{result.config.model.name}: {result.parameters:,} parameters in {result.parameter_tensors} "
                  f"tensors, backend {result.backend} on {result.device}; best epoch {result.best_epoch}", markup=False)
    found = {split: accuracy_of(predictions) for split, predictions in result.predictions.items()}
    for split, (text, _) in found.items():
        console.print(f"{split} accuracy {text}", markup=False)
    if guessing := [split for split, (_, may_be_guessing) in found.items() if may_be_guessing]:
        more = f" (--limit {limit:,} leaves the others out)" if limit is not None else ""
        console.print(f"note: the {' and '.join(guessing)} accuracy may be no better than guessing: train on more than "
                      f"{len(corpus.train):,} texts{more}, or for more epochs than {training.epochs}", markup=False)
    elif limit is not None:
        console.print(f"note: this is a quick test with --limit {limit:,}; models are usually far more accurate with "
                      "all texts", markup=False)


def accuracy_of(predictions: Predictions) -> tuple[str, bool]:
    """Return the accuracy of a run with its interval over texts and the accuracy of guessing as text, and whether the
    run may be guessing: whether the interval does not lie above."""
    from gru_bench.stats.estimate import wilson_interval
    from gru_bench.stats.metrics import correct
    from gru_bench.stats.scores import guessing

    right_N = correct(predictions.label_N, predictions.probability_NC)
    low, high = wilson_interval(int(right_N.sum()), len(right_N))
    guess = guessing("accuracy", predictions.label_N, predictions.probability_NC.shape[1])
    return (f"{percent(float(right_N.mean()))} (95 % interval {100 * low:.1f} to {percent(high)}) on {len(right_N):,} "
            f"texts; always predicting the most frequent class reaches {percent(guess)}", low <= guess)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
