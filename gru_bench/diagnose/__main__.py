"""The command `gru-bench diagnose`, which is also `python -m gru_bench.diagnose`: look inside a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.stats.text import percent

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.report.document.figure import Figure
    from gru_bench.results.diagnostics import Attribution, GateMap, GradientFlow
    from gru_bench.tracking import LoggedRun, Reader

SHOWN_RUNS = 8

app = cli.app()
HELP = """Inspect the model of a run: how far its gradients reach back, what the gates do over a text, and which words
influence the prediction. For a text of your own, use gru-bench predict --why.

The default is the newest run with weights: a confirmation run of a sweep, or a run of gru-bench train. Figures are
written as .png and .svg files, and their values as .csv files."""


@app.command(help=HELP)
def diagnose(
    run: Annotated[str | None, typer.Option(
        help="Run id, or its first characters.", show_default="the newest with weights")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Folder for the figures.", show_default="diagnostics/RUN_ID")] = None,
    run_code: cli.RunCode = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Look inside a model."""
    from gru_bench.tracking import open_reader

    console = cli.out()
    store = open_reader(tracking_uri)
    found = choose(store, run)
    console.print(f"run {found.run_id}: {found.name} on {found.params.get('data.name', 'unknown data')}", markup=False)
    with console.status("reading weights, texts and word vectors"):
        from gru_bench.data.corpus import load_corpus
        from gru_bench.data.vectors import load_vectors
        from gru_bench.diagnose import compute as diagnostics
        from gru_bench.report.document.numbers import Numbers
        from gru_bench.report.figures.diagnostics import gate_figure, gradient_figure, word_figure

        (trained,) = store.models([found.run_id], found.parent_id)
        if run_code:
            trained.allow_code()
        corpus = load_corpus(trained.config.data)
        _same_data(found, corpus)
        vectors = load_vectors(trained.config.embedding, corpus)
        if vectors.words_V != trained.words_V:
            raise DataError(f"the word vectors {trained.config.embedding.name} have changed since the run "
                            f"{found.run_id}: restore them")
        subject = diagnostics.Subject.trained(trained)
        sentence = diagnostics.shown_sentence(trained, diagnostics.legible_text(corpus, vectors))
    figures: list[Figure] = []
    if sentence.tokens:
        gates, words = diagnostics.gate_maps(subject, sentence), diagnostics.occluded(subject, sentence)
        _show_words(console, words, gates)
        figures += [*([gate_figure(gates, "gates")] if gates else []), word_figure(
            [words], Numbers("diagnostics"), {words.model: found.run_id})]
    else:
        console.print("words: skipped, because no short text has known words", markup=False)
    flows: list[GradientFlow] = []
    why = "the states of a class of your own are not known"
    try:
        with console.status("following gradients"):
            flows = diagnostics.flows_by_training(subject, corpus, vectors)
    except DataError as error:
        why = str(error)
    if flows:
        _show_flows(console, flows)
        figures.append(gradient_figure(flows))
    else:
        console.print(f"gradients: skipped, because {why}", markup=False)
    _write(console, figures, out or Path("diagnostics") / found.run_id[:8])


def choose(store: Reader, run_id: str | None) -> LoggedRun:
    """Return the run whose id begins with `run_id`, or the newest run that has weights.

    Raises:
        RunError: When no run has weights, or the named one has none. The error lists runs that have.
        UsageError: For an unknown or ambiguous id. The error lists runs that exist.
    """
    runs = [run for experiment in store.experiments() for run in store.runs(experiment)]
    usable = [run for run in sorted(runs, key=lambda run: -run.started)
              if run.complete and run.role in ("confirm", "single")]
    listed = "\n".join(f"  {run.run_id}  {run.name}" for run in usable[:SHOWN_RUNS])
    if not usable:
        raise RunError(f"no run in {store.uri} has weights ({len(runs)} runs): train a model (gru-bench train), or let "
                       "a sweep reach its confirmation stage")
    if run_id is None:
        return usable[0]
    found = [run for run in runs if run.is_called(run_id)]
    if not found:
        raise UsageError(f"--run must be the id of a run in {store.uri}, but got {run_id!r}; the newest with weights "
                         f"are:\n{listed}")
    if len(found) > 1:
        raise UsageError(f"--run is ambiguous: {len(found)} run ids start with {run_id!r}; give more characters")
    if found[0] not in usable:
        raise RunError(f"the run {found[0].run_id} ({found[0].name}) has no weights, like trials, studies "
                       f"and unfinished runs; these have:\n{listed}")
    return found[0]


def _same_data(run: LoggedRun, corpus: Corpus) -> None:
    fingerprint = run.fingerprint
    if fingerprint and fingerprint != corpus.fingerprint:
        raise DataError(f"the data {run.params.get('data.name')} have changed since the run {run.run_id} was trained "
                        f"(fingerprint {corpus.fingerprint}, then {fingerprint}): restore them")


# ---------------------------------------------------------------- what is shown


def _show_words(console: Any, words: Attribution, gates: Sequence[GateMap]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"the model gives the class {words.label} a probability of {percent(words.probability)}",
                  markup=False)
    table = Table("word", "log-odds", *(f"{gate}{f', {found.direction}' if len(gates) > 1 else ''}"
                                          for found in gates for gate in ("update gate", "reset gate")),
                  title=escape(f"what each word adds to the log-odds of the class {words.label}"))
    for place, token in enumerate(words.tokens):
        opened = [sum(gate[place]) / len(gate[place]) for found in gates for gate in (found.update, found.reset)]
        table.add_row(escape(token), f"{words.weight[place]:+.3f}", *(f"{value:.2f}" for value in opened))
    console.print(table)
    console.print(f"A word's number is the drop in log-odds without it (occlusion): above 0 it supports {words.label}, "
                  f"below 0 {words.other}.", markup=False)
    if gates:
        console.print("Gates, mean over units. Update gate: 1 keeps the state, 0 replaces it. Reset gate: 1 lets the "
                      "old state into the new one, 0 leaves it out.", markup=False)


def _show_flows(console: Any, flows: Sequence[GradientFlow]) -> None:
    from rich.table import Table

    from gru_bench.report.figures.diagnostics import with_direction
    from gru_bench.results.diagnostics import STATES

    rates = [flow for flow in flows if flow.decay is not None]
    table = Table("model", "weights", "norm at the end", "steps back", "norm there",
                  *(["factor per step"] if rates else []),
                  title=f"gradient of the loss by the state, mean over {flows[0].reviews} texts")
    for flow in flows:
        rate = [f"{flow.decay:.3f}" if flow.decay is not None else "none"] if rates else []
        table.add_row(with_direction(flow, flows), STATES[flow.state], f"{flow.norm[0]:.3g}",
                      str(flow.steps_back[-1]), f"{flow.norm[-1]:.3g}", *rate)
    console.print(table)
    console.print("norm: how much the loss depends on a state, at the last word and some words before it; if it falls "
                  "to almost 0, the model hardly learns from early words", markup=False)
    if rates:
        first, last = rates[0].fitted
        console.print("factor per step: the norm at a word, divided by the norm at the word after it; fitted over the "
                      f"steps {first} to {last} back", markup=False)
    elif max(flow.steps_back[-1] for flow in flows):
        console.print(f"no factor per step is given: with model.pooling {flows[0].pooling}, the loss depends on every "
                      "state directly, not only through the states after it", markup=False)


def _write(console: Any, figures: Sequence[Figure], out: Path) -> Path:
    from gru_bench.data.files import check_writable
    from gru_bench.report.render.files import replace_file

    for figure in figures:
        heading = figure.values.csv().partition("\r\n")[0].split(",")
        for kind in ("csv", "png", "svg"):
            check_writable(out / f"{figure.name}.{kind}", "--out", "a folder of figures", partial(_is_figure, heading))
    try:
        for figure in figures:
            for kind, content in (("png", figure.alone("png")), ("svg", figure.alone("svg")),
                                  ("csv", figure.values.csv().encode())):
                replace_file(out / f"{figure.name}.{kind}", content)
            console.print(f"wrote {out / figure.name}.png, .svg and .csv", markup=False)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise RunError(f"--out must be a writable folder, but got {out} ({error.strerror})") from error
    return out


def _is_figure(heading: Sequence[str], path: Path) -> bool:
    """Return whether a file is of a figure, beside whose drawings is the table of its values."""
    from gru_bench.data.files import has_columns

    table = path.with_suffix(".csv")
    return table.is_file() and has_columns(heading, table)


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
