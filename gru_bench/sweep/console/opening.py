"""What a start of a study says before it trains: the study, its data, its settings, and what is new since it began."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gru_bench.config import assignment, flat
from gru_bench.errors import argument, shown

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.sweep.plan import StudyState
    from gru_bench.sweep.spec import StudySpec


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
