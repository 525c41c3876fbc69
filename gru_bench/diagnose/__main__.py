"""The command `gru-bench diagnose`, which is also `python -m gru_bench.diagnose`: look inside a trained model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gru_bench import cli
from gru_bench.errors import DataError, RunError, UsageError, unknown
from gru_bench.stats.text import percent

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.diagnose.compute import Sentence
    from gru_bench.report.document.figure import Figure
    from gru_bench.results.diagnostics import Attribution, GateMap, GradientFlow
    from gru_bench.tracking import LoggedRun, Reader

SHOWN_RUNS = 8
REVIEW_WORDS = 40
"""Words of a review that figures show. More cannot be read."""

app = cli.app()
HELP = """Look inside the model of a run: how far a gradient reaches back through its states, what its gates do over a
sentence, which words move its decision, and which words are close to each other.

Without --run, it takes the newest run that has weights: a confirmation run of a sweep, or a run of gru-bench train.
The figures are .png and .svg files, and their values are .csv files."""


@app.command(help=HELP)
def diagnose(
    run: Annotated[str | None, typer.Option(
        help="Id of a run, or its first characters.", show_default="the newest that has weights",
        rich_help_panel="What to look at")] = None,
    text: Annotated[str | None, typer.Option(
        help="A text of your own: the effect of each of its words and the gates over it are shown.",
        show_default="a sentence that turns from bad to good", rich_help_panel="What to look at")] = None,
    review: Annotated[int | None, typer.Option(
        help=f"Number of a test text to use instead. Figures show its first {REVIEW_WORDS} known words.", min=1,
        show_default=False, rich_help_panel="What to look at")] = None,
    neighbours: Annotated[list[str] | None, typer.Option(
        help="A word whose nearest words are shown. May be repeated.", show_default="good, bad, not, ...",
        rich_help_panel="What to look at")] = None,
    label: Annotated[str | None, typer.Option(
        "--class", metavar="NAME", help="Name of the class whose log-odds are explained.",
        show_default="the predicted class; of two classes, the second", rich_help_panel="What to look at")] = None,
    out: Annotated[Path | None, typer.Option(
        help="Folder for the figures.", show_default="diagnostics/ and the run's id",
        rich_help_panel="Stores")] = None,
    run_code: cli.RunCode = False,
    tracking_uri: cli.TrackingUri = None,
) -> None:
    """Look inside a model."""
    if text is not None and review is not None:
        raise UsageError(f"--text and --review must not be given together, but got {text!r} and {review}: leave one "
                         "out")
    if text is not None and not text.strip():
        raise UsageError(f"--text must contain words, but got {text!r}: write a sentence, or leave --text out")
    _run(cli.out(), run, text, review, neighbours, label, out, run_code, tracking_uri)


def _run(
    console: Any, run_id: str | None, text: str | None, review: int | None, words: Sequence[str] | None,
    label: str | None, out: Path | None, run_code: bool, tracking_uri: str | None,
) -> None:
    from gru_bench.tracking import Store

    store = Store(tracking_uri, create=False)
    found = choose(store, run_id)
    console.print(f"run {found.run_id}: {found.name} on {found.params.get('data.name', 'unknown data')}", markup=False)
    with console.status("reading weights, texts and word vectors"):
        from gru_bench.data.corpus import load_corpus
        from gru_bench.data.tokenizer import tokenize
        from gru_bench.data.vectors import load_vectors
        from gru_bench.diagnose import compute as diagnostics
        from gru_bench.report.document.numbers import folder_name
        from gru_bench.report.figures.diagnostics import gate_figure, gradient_figure, word_figure

        (trained,) = store.models([found.run_id], found.parent_id)
        if run_code:
            trained.allow_code()
        corpus = load_corpus(trained.config.data)
        _same_data(found, corpus)
        explained = None if label is None else _place(label, corpus.classes)
        vectors = load_vectors(trained.config.embedding, corpus)
        if vectors.words_V != trained.words_V:
            raise DataError("the word vectors must have the words of the training, but "
                            f"{trained.config.embedding.name} has changed since the run {found.run_id}: put it back")
        subject = diagnostics.Subject.trained(trained)
        asked = [diagnostics.neighbours(word, vectors) for word in words or ()]
        read = _text(corpus, text, review)
        length = trained.config.data.max_length
        whole = shown = diagnostics.Sentence.of(tokenize(read.text), trained)
        if review is not None:
            shown = diagnostics.Sentence.of(tokenize(read.text), trained, min(length or REVIEW_WORDS, REVIEW_WORDS))
        if text is not None or review is not None:
            whole.need_words()
    figures: list[Figure] = []
    if shown.tokens:
        gates = diagnostics.gate_maps(subject, shown)
        # Of a review that is cut, the class is that of the whole.
        explained = diagnostics.explained_class(subject, whole) if explained is None else explained
        attributions = [diagnostics.occluded(subject, shown, explained),
                        diagnostics.gradient_times_input(subject, shown, explained)]
        _show_verdict(console, read, whole, diagnostics.probabilities(subject, whole), corpus.classes, explained)
        _show_words(console, whole, attributions, gates)
        if gates:
            figures.append(gate_figure(gates, f"gates{read.suffix}"))
        of_class = "" if label is None else f"-{folder_name(label, 'class')}"
        figures.append(word_figure(attributions, f"words{read.suffix}{of_class}"))
    else:
        console.print("words: skipped, because no word of the built-in sentence has a vector; give a sentence with "
                      "--text", markup=False)
    flows: list[GradientFlow] = []
    with console.status("following gradients"), suppress(DataError):  # of texts that are too short for this
        flows = diagnostics.flows_by_training(subject, corpus, vectors)
    if flows:
        _show_flows(console, flows)
        figures.append(gradient_figure(flows))
    else:
        console.print("gradients: skipped, because too few texts have four known words", markup=False)
    known = set(vectors.words_V)
    near = asked or [diagnostics.neighbours(word, vectors) for word in diagnostics.WORDS if word in known]
    for one in near:
        console.print(f"nearest to {one.word}, with the cosine of their vectors: "
                      + ", ".join(f"{word} {cosine:.2f}" for word, cosine in one.nearest), markup=False)
    _write(console, figures, out or Path("diagnostics") / found.run_id[:8])


@dataclass(frozen=True)
class _Text:
    """A text that a model reads."""

    name: str
    text: str
    label: int | None
    """The true label, for a review."""
    suffix: str
    """End of the names of its figures, so that they do not replace the figures of another text."""


def _text(corpus: Corpus, text: str | None, review: int | None) -> _Text:
    """Return the text that was asked for. Test reviews are counted from 1."""
    from gru_bench.diagnose.compute import SENTENCE

    if review is not None:
        if review > len(corpus.test):
            raise UsageError(f"--review must be at most {len(corpus.test):,}, the test texts of {corpus.name}, but "
                             f"got {review:,}")
        return _Text(f"test text {review:,} of {len(corpus.test):,}", corpus.texts("test")[review - 1],
                     int(corpus.test.label_N[review - 1]), f"-review-{review}")
    if text is None:
        return _Text("a sentence that turns from bad to good", SENTENCE, None, "")
    return _Text("your text", text, None, f"-text-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}")


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
        raise RunError(f"a run with weights is needed, but none of the {len(runs)} runs in {store.uri} has any: train "
                       "one (gru-bench train), or let a sweep come to its confirmation stage")
    if run_id is None:
        return usable[0]
    found = [run for run in runs if run.is_called(run_id)]
    if not found:
        raise UsageError(f"--run must name a run that is in {store.uri}, but got {run_id!r}; these are the newest with "
                         f"weights:\n{listed}")
    if len(found) > 1:
        raise UsageError(f"--run must name one run, but {run_id!r} begins the ids of {len(found)}: give more of it")
    if found[0] not in usable:
        raise RunError(f"the run {found[0].run_id} ({found[0].name}) must have weights, but trials, studies "
                       f"and runs that broke off have none; these have:\n{listed}")
    return found[0]


def _place(name: str, classes: Sequence[str]) -> int:
    """Return the position of a class.

    Raises:
        UsageError: For an unknown class. The error lists the known ones.
    """
    if name not in classes:
        raise unknown("class", name, classes, "These are the classes of the data.")
    return list(classes).index(name)


def _same_data(run: LoggedRun, corpus: Corpus) -> None:
    fingerprint = run.fingerprint
    if fingerprint and fingerprint != corpus.fingerprint:
        raise DataError(f"the data must be what the run {run.run_id} was trained on, but {run.params.get('data.name')} "
                        f"has changed since (fingerprint {corpus.fingerprint}, then {fingerprint}): put it back")


# ---------------------------------------------------------------- what is shown


def _show_verdict(
    console: Any, read: _Text, whole: Sentence, probability_C: Sequence[float], classes: Sequence[str], explained: int
) -> None:
    """Print the class that the model predicts for a text, and for a review whether it is right."""
    import numpy as np

    from gru_bench.stats.metrics import predicted

    answer = int(predicted(np.array([probability_C]))[0])
    right = ""
    if read.label is not None:
        right = f", which is {'right' if answer == read.label else 'wrong'}: the true label is {classes[read.label]}"
    console.print(f"{read.name}: the model says {classes[answer]}{right}", markup=False)
    shown = (explained,) if len(classes) == 2 else dict.fromkeys(
        (answer, explained, *((read.label,) if read.label is not None else ())))
    for place in shown:
        console.print(f"the class {classes[place]} has a probability of {percent(probability_C[place])}, from all "
                      f"{len(whole.tokens):,} words that the model reads", markup=False)


def _show_words(
    console: Any, whole: Sentence, attributions: Sequence[Attribution], gates: Sequence[GateMap]
) -> None:
    from rich.markup import escape
    from rich.table import Table

    first = attributions[0]
    cut = len(first.tokens) < len(whole.tokens)
    table = Table("word", *(found.method for found in attributions),
                  *(f"{gate}{f', {found.direction}' if len(gates) > 1 else ''}"
                    for found in gates for gate in ("update gate", "reset gate")),
                  title=escape(f"what each word adds to the log-odds of the class {first.label}") + (
                      f": the first {len(first.tokens)} of {len(whole.tokens):,} words" if cut else ""))
    for place, token in enumerate(first.tokens):
        opened = [sum(gate[place]) / len(gate[place]) for found in gates for gate in (found.update, found.reset)]
        table.add_row(escape(token), *(f"{found.weight[place]:+.3f}" for found in attributions),
                      *(f"{value:.2f}" for value in opened))
    console.print(table)
    if cut:
        console.print(f"on these {len(first.tokens)} words alone, the class {first.label} has a probability of "
                      f"{percent(first.probability)}", markup=False)
    console.print(f"A word above 0 speaks for {first.label}, below 0 for {first.other}. Occlusion: what the log-odds "
                  "lose without the word. Gradient times input: the same, estimated from the slope.", markup=False)
    if gates:
        console.print("Gates, mean over units. Update gate: 1 keeps the state, 0 replaces it. Reset gate: 1 lets the "
                      "old state into the new one, 0 leaves it out.", markup=False)
    if whole.unknown:
        console.print(f"not read, because they have no vector: {' '.join(whole.unknown)}", markup=False)
    if whole.beyond:
        console.print(f"not read, because only the first {len(whole.tokens):,} words count (data.max_length): "
                      f"{len(whole.beyond):,} more", markup=False)


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
    console.print("norm: how much the loss depends on a state, at the last word and a number of words before it; if it "
                  "falls to almost 0, early words hardly teach the model", markup=False)
    if rates:
        first, last = rates[0].fitted
        console.print("factor per step: the norm at a word, divided by the norm at the word after it; fitted over the "
                      f"steps {first} to {last} back", markup=False)
    elif max(flow.steps_back[-1] for flow in flows):
        console.print(f"no factor per step is given: with model.pooling {flows[0].pooling}, the loss depends on every "
                      "state directly, not only through the states after it", markup=False)


def _write(console: Any, figures: Sequence[Figure], out: Path) -> Path:
    from gru_bench.report.render.files import replace_file

    try:
        for figure in figures:
            for kind, content in (("png", figure.alone("png")), ("svg", figure.alone("svg")),
                                  ("csv", figure.values.csv().encode())):
                replace_file(out / f"{figure.name}.{kind}", content)
            console.print(f"wrote {out / figure.name}.png, .svg and .csv", markup=False)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise RunError(f"--out must be a folder that can be written to, but {out} is not ({error.strerror}): name "
                       "another") from error
    return out


def main() -> None:
    """Run the command and exit."""
    cli.run(app)


if __name__ == "__main__":
    main()
