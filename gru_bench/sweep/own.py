"""What a start of a study finds out about models that are classes of the user's own, before anything is stored."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
FAR = 1.1
"""Factor between the standard deviations of two models' initial weights from which they are said to differ."""
LIMIT_STEP, LEAST_LIMIT = 100, 500
"""Steps in which fewer texts are proposed, and the fewest."""
CHECK_SECONDS, CHECK_GIGABYTES = 600.0, 4.0
"""Most seconds and gigabytes that gru-check may take."""


@dataclass(frozen=True)
class OwnModels:
    """What a start knows of the classes of the user's own that it works on."""

    artifacts: Mapping[str, str]
    """Artifact of the study's parent run -> its text, for the models of which no start has logged it."""
    seconds: Mapping[str, float]
    """Model -> seconds that a run takes, for the models with runs that are left."""


def checked_models(
    spec: StudySpec, corpus: Corpus, console: Any, *, stored: StudyState, workers: int, threads: int,
    allow_slow: bool, with_limit: Callable[[int], str],
) -> OwnModels:
    """Try the classes of the user's own that this start works on, and print how each is called and how long its runs
    that are left take.

    Args:
        spec: The study.
        corpus: Its texts.
        console: Where to print.
        stored: The study as earlier starts have left it.
        workers: Number of runs at the same time.
        threads: CPU threads of each.
        allow_slow: Whether training may take more than an hour.
        with_limit: Returns what to type for fewer texts.

    Raises:
        UsageError: for a class that cannot be used, and for training that takes too long.
        RunError: where gru-check cannot run the file.
    """
    models = [model for model in spec.active_models if is_own(model)]
    found = {own_artifact(model): _described(spec.config(model, {}, 0), console).to_json()
             for model in models if not stored.searches[model].identity}
    left = {model: runs for model in models if (runs := _runs_left(stored, model))}
    batch = {model: _seconds_of_batch(spec, model, corpus, threads) for model in left}
    examples = len(corpus.train)

    def expected(model: str, study: StudySpec, examples: int) -> float:
        return batch[model] * _iterations(study, model, examples)

    seconds = {model: expected(model, spec, examples) for model in left}
    for model, runs in left.items():
        again = " still to train" if stored.searches[model].identity else ""
        console.print(f"{model}: about {duration(runs * seconds[model] / workers)} for {several(runs, 'run')}{again}, "
                      "from the time of one batch", markup=False)

    def whole(study: StudySpec, examples: int) -> float:
        return sum(runs * expected(model, study, examples) for model, runs in left.items()) / workers

    if whole(spec, examples) > MOST_SECONDS and not allow_slow:
        texts = examples + len(corpus.validation) + len(corpus.test)
        fitting = next((limit for limit in range(texts // LIMIT_STEP * LIMIT_STEP, LEAST_LIMIT - 1, -LIMIT_STEP)
                        if whole(spec.fitted(limit * examples // texts), limit * examples // texts) <= MOST_SECONDS),
                       None)
        remedy = ("use shorter texts (data.max_length), fewer epochs or fewer seeds" if fitting is None else
                  f"use fewer texts, {with_limit(fitting)}")
        raise UsageError(f"models of your own must train within {duration(MOST_SECONDS)}, but {' and '.join(seconds)} "
                         f"would take about {duration(whole(spec, examples))}: {remedy}, or set allow_slow")
    return OwnModels(found, seconds)


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
    spec, counts = state.spec, to_begin(replace(state, start=state.start + 1), [model])
    later = 0 if state.interim_ended else len(spec.confirm_seeds) - len(state.seeds(model))
    return sum(counts.values()) + later


def _iterations(spec: StudySpec, model: str, examples: int) -> int:
    """Return the training steps of a run of a model on so many texts."""
    training = spec.config(model, {}, 0).training
    return iterations_of_epoch(examples, training) * training.epochs


def _seconds_of_batch(spec: StudySpec, model: str, corpus: Corpus, threads: int) -> float:
    """Return the seconds that a model takes for one batch of texts of mean length."""
    from gru_bench.models.own import seconds_of_batch

    config = spec.config(model, {}, 0)
    tokens = max(1, int(corpus.train.offsets_N1[-1]) // len(corpus.train))
    return seconds_of_batch(
        config.model, config.embedding.dimension, config.training.batch_size,
        min(tokens, config.data.max_length or tokens), threads=threads, trainable=config.embedding.trainable)
