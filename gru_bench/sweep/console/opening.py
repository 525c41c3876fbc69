"""What a start of a study says before it trains: the study, its data, its settings, and what is new since it began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gru_bench.config import Scalar, assignment
from gru_bench.errors import argument, shown
from gru_bench.sweep.defaults import BY_SIZE

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


def settings_lines(spec: StudySpec, begun: Mapping[str, Scalar], examples: int) -> Iterator[str]:
    """Yield the settings that nobody gave, and a faster backend if there is one.

    Args:
        spec: The study.
        begun: The settings that it began with, if it is continued.
        examples: Number of training texts.
    """
    if spec.defaults:
        yield defaults_line(spec, begun, examples)
    if note := backend_note(spec):
        yield f"note: {note}"


def record_lines(state: StudyState) -> Iterator[str]:
    """Yield a note if a study has more trials than a start asks for."""
    spec, searches = state.spec, state.searches
    if had := " and ".join(f"{search.counted} of {model}" for model, search in searches.items()
                           if search.counted > spec.trials):
        yield f"note: the study already has more than {spec.trials} trials ({had}), so none is added"


def defaults_line(spec: StudySpec, begun: Mapping[str, Scalar], examples: int) -> str:
    """Return a line of the settings that nobody gave: those that follow the data, then those of the recipe.

    Args:
        spec: The study.
        begun: The settings that it began with, if it is continued.
        examples: Number of training texts.
    """
    followed, others = (
        ", ".join(assignment(key, value) for key, value in spec.defaults.items() if (key in BY_SIZE) == follows)
        for follows in (True, False))
    why = "as it began" if begun else f"for {examples:,} training texts"
    return "default settings: " + "; ".join(filter(None, (followed and f"{followed} ({why})", others)))


def backend_note(spec: StudySpec) -> str:
    """Return how to train faster where a GRU is set to the backend torch and may run on a CPU; empty elsewhere."""
    configs = [spec.config(model, {}, 0) for model in spec.models]
    if not any(config.model.backend == "torch" and config.training.device in ("auto", "cpu") for config in configs):
        return ""
    return ("on a CPU, the backend torch takes several times as long as the backend fused; to run the study on the "
            f"fastest backend, set model.backend=auto and another study name ({argument('name')})")
