"""What a start of a study finds out about models that are classes of the user's own, before anything is stored."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.config import RunConfig, is_own
from gru_bench.data.batches import iterations_of_epoch
from gru_bench.data.code import kept
from gru_bench.errors import UsageError
from gru_bench.results.own import OwnModel, own_artifact
from gru_bench.sweep.console.progress import duration, several
from gru_bench.sweep.plan import to_begin

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.sweep.plan import StudyState
    from gru_bench.sweep.spec import StudySpec

MOST_SECONDS = 3600.0
"""Longest training of the user's own classes that begins without being allowed."""
CHECK_SECONDS, CHECK_GIGABYTES = 600.0, 4.0
"""Most seconds and gigabytes that gru-check may take."""


def checked_models(
    spec: StudySpec, corpus: Corpus, console: Any, *, stored: StudyState, workers: int, threads: int,
    allow_slow: bool,
) -> dict[str, str]:
    """Try the classes of the user's own that this start works on, and print how each is called and how long its runs
    that are left take.

    Args:
        spec: The study.
        corpus: Its texts.
        console: Where to print.
        stored: The study as earlier starts have left it. Of the models that they searched, they have logged what is
            returned.
        workers: Number of runs at the same time.
        threads: CPU threads of each.
        allow_slow: Whether training may take more than an hour.

    Returns:
        Artifact of the study's parent run -> its text, for the models that are not known.

    Raises:
        UsageError: for a class that cannot be used, and for training that takes too long.
        RunError: where gru-check cannot run the file.
    """
    models = [model for model in spec.active_models if is_own(model)]
    found = {own_artifact(model): _described(spec.config(model, {}, 0), console).to_json()
             for model in models if not stored.searches[model].identity}
    left = {model: runs for model in models if (runs := _runs_left(stored, model))}
    seconds = {model: runs * _seconds(spec, model, corpus, threads) / workers for model, runs in left.items()}
    for model, expected in seconds.items():
        again = " still to train" if stored.searches[model].identity else ""
        console.print(f"{model}: about {duration(expected)} for {several(left[model], 'run')}{again}, from the time of "
                      "one batch", markup=False)
    if sum(seconds.values()) > MOST_SECONDS and not allow_slow:
        raise UsageError(f"models of your own must train within {duration(MOST_SECONDS)}, but "
                         f"{' and '.join(seconds)} would take about {duration(sum(seconds.values()))}: add "
                         f"allow_slow, or take fewer {corpus.noun} (limit=3000), "
                         "epochs or seeds")
    return found


def _described(config: RunConfig, console: Any) -> OwnModel:
    """Return what is known of the class of a config: how it is called, and what gru-check says of it."""
    from gru_bench.gru_check.codes import FITTING
    from gru_bench.gru_check.sandbox import Options, run
    from gru_bench.models.own import CALLED, kind_of

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
    findings = tuple(finding.said for finding in verdict.findings)
    console.print(f"{model}: {use}. gru-check: {verdict.words}. {' '.join(findings)}", markup=False)
    return OwnModel(model, source, code, use, verdict.words, findings)


def _runs_left(state: StudyState, model: str) -> int:
    """Return the most runs of a model that the next start of a study may have to train."""
    spec, counts = state.spec, to_begin(replace(state, start=state.start + 1), [model])
    later = 0 if state.looks_ended else len(spec.confirm_seeds) - len(state.seeds(model))
    return sum(counts.values()) + counts["trial"] * (spec.seeds_per_trial - 1) + later


def _seconds(spec: StudySpec, model: str, corpus: Corpus, threads: int) -> float:
    """Return the seconds that a run of a model takes, from the time of one batch of texts of mean length."""
    from gru_bench.models.own import seconds_of_batch

    config = spec.config(model, {}, 0)
    texts = len(corpus.train)
    tokens = max(1, int(corpus.train.offsets_N1[-1]) // texts)
    tokens = min(tokens, config.data.max_length or tokens)
    batches = iterations_of_epoch(texts, config.training) * config.training.epochs
    return batches * seconds_of_batch(
        config.model, config.embedding.dimension, config.training.batch_size, tokens, threads=threads,
        trainable=config.embedding.trainable)
