"""What a start of a study says before it trains: the study, its data, its settings, and what is new since it began."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gru_bench.config import Scalar, assignment
from gru_bench.errors import shown
from gru_bench.sweep.defaults import BY_SIZE

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.study import StudyRecord


def show_data(console: Any, corpus: Corpus, *, texts: bool) -> None:
    """Print how many reviews there are, the notes on them, and some near-duplicates if texts may be shown."""
    for line in corpus.lines:
        console.print(line, markup=False)
    for scored, train in corpus.near_examples if texts else ():
        console.print(f"near-duplicate: {shown(scored, most=100)} in test or validation, {shown(train, most=100)} in "
                      "training", markup=False)


def show_settings(console: Any, spec: StudySpec, begun: Mapping[str, Scalar], examples: int) -> None:
    """Print the settings that nobody gave, and a faster backend if there is one.

    Args:
        console: Where to print.
        spec: The study.
        begun: The settings that it began with, if it is continued.
        examples: Number of training reviews.
    """
    if spec.defaults:
        console.print(defaults_line(spec, begun, examples), markup=False)
    if note := backend_note(spec):
        console.print(f"note: {note}", markup=False)


def show_record(console: Any, record: StudyRecord) -> None:
    """Print what the record of a study says to this start: models of other starts, and more trials than asked for."""
    spec, searches = record.spec, record.state().searches
    if spec.only != spec.models:
        console.print(f"this start works on {' and '.join(spec.active_models)}, of the models {', '.join(spec.models)} "
                      "of the study", markup=False)
    if any(search.counted > spec.trials for search in searches.values()):
        had = " and ".join(f"{search.counted} of {model}" for model, search in searches.items())
        console.print(f"note: the study already has more trials ({had}) than the {spec.trials} asked for: none is "
                      "added", markup=False)


def defaults_line(spec: StudySpec, begun: Mapping[str, Scalar], examples: int) -> str:
    """Return a line of the settings that nobody gave: those that follow the data, then those of the recipe.

    Args:
        spec: The study.
        begun: The settings that it began with, if it is continued.
        examples: Number of training reviews.
    """
    followed, others = (
        ", ".join(assignment(key, value) for key, value in spec.defaults.items() if (key in BY_SIZE) == follows)
        for follows in (True, False))
    why = "as it began" if begun else f"for {examples:,} training texts"
    return "settings by default: " + "; ".join(filter(None, (followed and f"{followed} ({why})", others)))


def backend_note(spec: StudySpec) -> str:
    """Return how to train faster where a GRU is set to the backend torch and may run on a CPU; empty elsewhere."""
    configs = [spec.config(model, {}, 0) for model in spec.active_models if model != "rnn"]
    if not any(config.model.backend == "torch" and config.training.device in ("auto", "cpu") for config in configs):
        return ""
    return ("on a CPU the backend torch takes several times as long as the backend fused; for the same study on the "
            "fastest backend, add model.backend=auto and a study name of its own")
