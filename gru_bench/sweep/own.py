"""What a start of a study finds out about models that are classes of the user's own, before anything is stored."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.config import RunConfig, is_own
from gru_bench.data.batches import iterations_of_epoch
from gru_bench.data.code import kept
from gru_bench.errors import UsageError, argument
from gru_bench.results.own import OwnModel, own_artifact
from gru_bench.sweep.console.progress import duration, several
from gru_bench.sweep.plan import to_begin

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.sweep.plan import StudyState

MOST_SECONDS = 3600.0
"""Longest training of the user's own classes that begins without being allowed."""
FAR = 1.1
"""Factor between the standard deviations of two models' initial weights from which they are said to differ."""
CHECK_SECONDS, CHECK_GIGABYTES = 600.0, 4.0
"""Most seconds and gigabytes that gru-check may take."""


def checked_models(
    stored: StudyState, corpus: Corpus, console: Any, *, workers: int, threads: int, allow_slow: bool
) -> dict[str, str]:
    """Try the classes of the user's own, and print how each is called and how long its runs that are left take.

    Args:
        stored: The study as earlier starts have left it.
        corpus: Its texts.
        console: Where to print.
        workers: Number of runs at the same time.
        threads: CPU threads of each.
        allow_slow: Whether training may take more than an hour.

    Returns:
        Artifact of the study's parent run -> its text, for the models of which no start has logged it.

    Raises:
        UsageError: for a class that cannot be used, and for training that takes too long.
        RunError: where gru-check cannot run the file.
    """
    models = [model for model in stored.spec.models if is_own(model)]
    found = {own_artifact(model): _described(stored.spec.config(model, {}, 0), console).to_json()
             for model in models if not stored.searches[model].identity}
    whole = 0.0
    for model in models:
        if runs := _runs_left(stored, model):
            seconds = runs * _seconds_of_run(stored.spec.config(model, {}, 0), corpus, threads) / workers
            whole += seconds
            console.print(f"{model}: about {duration(seconds)} for {several(runs, 'run')}, from the time of one batch",
                          markup=False)
    if whole > MOST_SECONDS and not allow_slow:
        raise UsageError(f"models of your own must train within {duration(MOST_SECONDS)}, but would take about "
                         f"{duration(whole)}: use fewer texts ({argument('limit')}), fewer epochs or fewer "
                         f"seeds, or allow it ({argument('allow_slow')})")
    return found


def _described(config: RunConfig, console: Any) -> OwnModel:
    """Return what is known of the class of a config: how it is called, and what gru-check says of it."""
    from gru_bench.gru_check.codes import FITTING
    from gru_bench.gru_check.sandbox import Options, run
    from gru_bench.models.own import CALLED, initial_deviations, kind_of

    model, source = config.model.name, config.model.source or ""
    file, _, name = model.partition(":")
    code = kept(model, source)
    with console.status(f"checking {model}"), tempfile.TemporaryDirectory(prefix="gru-bench-own-") as folder:
        path = Path(folder) / file
        path.write_text(code, encoding="utf-8")
        verdict = run(path, Options(name, None, {}, CHECK_GIGABYTES, CHECK_SECONDS))
    try:
        use = f"{CALLED[kind_of(model, source)]}, batch first"
    except UsageError as error:
        lines = f". {FITTING} {file}:\n{verdict.fitting}" if verdict.fitting else ""
        raise UsageError(f"{error}{lines}") from error
    low, high = initial_deviations(config.model, config.embedding.dimension)
    usual = 1 / math.sqrt(3 * config.model.hidden_size)
    initial = "" if usual / FAR <= low and high <= usual * FAR else (
        f"The initial standard deviations of its weight matrices are {low:.3f} to {high:.3f}; torch's GRU has "
        f"{usual:.3f}.")
    findings = tuple(finding.said for finding in verdict.findings)
    said = " ".join(filter(None, (*findings, initial)))
    console.print(f"{model}: {use}. gru-check: {verdict.words}. {said}", markup=False)
    return OwnModel(model, source, code, use, verdict.words, findings, initial)


def _runs_left(state: StudyState, model: str) -> int:
    """Return the most runs of a model that the next start of a study may have to train."""
    left = to_begin(replace(state, start=state.start + 1))
    return sum(count for (of_model, _), count in left.items() if of_model == model)


def _seconds_of_run(config: RunConfig, corpus: Corpus, threads: int) -> float:
    """Return the seconds that a run takes, from the time of one batch of texts of mean length."""
    from gru_bench.models.own import seconds_of_batch

    tokens = max(1, int(corpus.train.offsets_N1[-1]) // len(corpus.train))
    return config.training.epochs * iterations_of_epoch(len(corpus.train), config.training) * seconds_of_batch(
        config.model, config.embedding.dimension, config.training.batch_size,
        min(tokens, config.data.max_length or tokens), threads=threads, trainable=config.embedding.trainable)
