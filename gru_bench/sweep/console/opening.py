"""What a start of a study says before it trains: the study, its data, its settings, and what is new since it began."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.config import assignment, flat
from gru_bench.data.batches import fills_window
from gru_bench.errors import argument, shown

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.results.runs import DataSummary
    from gru_bench.sweep.plan import StudyState
    from gru_bench.sweep.spec import StudySpec

LEAST_NORM, MOST_NORM = 0.1, 20.0
"""Usual range of the mean norm of word vectors."""
PARALLEL = 0.5
"""Mean cosine of two word vectors, above which they hardly tell words apart. Usual vectors have one of about 0.1."""
NOT_ALIKE = ("seed", "model.name", "model.source", "model.bidirectional", "model.backend", "training.device",
             "training.threads", "training.log_every")
"""Settings in which compared models may differ: what a model is, and what does not change its weights."""

def data_lines(corpus: Corpus, *, texts: bool) -> Iterator[str]:
    """Yield how many texts there are, the notes on them, and some near-duplicates if texts may be shown."""
    yield from corpus.lines
    for scored, train in corpus.near_examples if texts else ():
        yield (f"near-duplicate: {shown(scored, most=100)} in test or validation, {shown(train, most=100)} in "
               "training")


def settings_lines(spec: StudySpec, examples: int) -> Iterator[str]:
    """Yield the settings that follow the number of training texts, and a faster backend if there is one."""
    if followed := [assignment(key, value) for key, value in flat(spec.base).items() if key in spec.sized and any(
            key not in spec.own.get(model, {}) for model in spec.models)]:
        yield f"default settings: {', '.join(followed)} (for {examples:,} training texts)"
    if note := backend_note(spec):
        yield f"note: {note}"


def warning_lines(spec: StudySpec, data: DataSummary) -> Iterator[str]:
    """Yield what about the word vectors and the settings of a study may weaken its models or their comparison."""
    vectors = Path(data.embedding).name
    if data.vector_norm is not None and not LEAST_NORM <= data.vector_norm <= MOST_NORM:
        yield (f"warning: the mean norm of the word vectors {vectors} is {data.vector_norm:.2g}, while {LEAST_NORM:g} "
               f"to {MOST_NORM:g} is usual: set embedding.scale")
    if data.vector_cosine is not None and data.vector_cosine > PARALLEL:
        yield (f"warning: the mean cosine of the word vectors {vectors} is {data.vector_cosine:.2f}, while about 0.1 "
               "is usual: train random ones (embedding.name=random and embedding.trainable=true)")
    configs = {str(model): spec.config(model, {}, 0) for model in spec.models}
    if not all(fills_window(config.training, data.train) for config in configs.values()):
        yield ("warning: training.log_every is larger than the iterations of an epoch, so the training loss has no "
               "curve: lower it")
    settings = {model: flat(config) for model, config in configs.items()}
    for key in dict.fromkeys(key for values in settings.values() for key in values):
        values = [(model, some.get(key)) for model, some in settings.items()]
        if key not in spec.space and not key.startswith(NOT_ALIKE) and len({value for _, value in values}) > 1:
            yield (f"warning: the models differ in {key} ({', '.join(f'{model} {value}' for model, value in values)}), "
                   "which is not searched and may explain differences")


def record_lines(state: StudyState) -> Iterator[str]:
    """Yield a note if a study has more trials than a start asks for."""
    spec, searches = state.spec, state.searches
    if had := " and ".join(f"{search.counted} of {model}" for model, search in searches.items()
                           if search.counted > spec.trials):
        yield f"note: the study already has more than {spec.trials} trials ({had}), so none is added"


def backend_note(spec: StudySpec) -> str:
    """Return how to train faster where a GRU is set to the backend torch and may run on a CPU; empty elsewhere."""
    configs = [spec.config(model, {}, 0) for model in spec.models]
    if not any(config.model.backend == "torch" and config.training.device in ("auto", "cpu") for config in configs):
        return ""
    return ("on a CPU, the backend torch takes several times as long as the backend fused; to run the study on the "
            f"fastest backend, set model.backend=auto and another study name ({argument('name')})")
