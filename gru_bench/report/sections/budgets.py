"""The caution about searches of unequal budgets."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.report.document.numbers import Number, plain, slug
from gru_bench.report.document.sentences import Sentence, joined
from gru_bench.report.evidence.groups import free_name, model_name
from gru_bench.results.runs import StudySummary
from gru_bench.tracking import LoggedStudy


def unequal_budgets(studies: Sequence[LoggedStudy]) -> Sentence:
    """Return a caution if studies on the same data were searched with unequal budgets; else empty."""
    by_data: dict[str, list[tuple[LoggedStudy, StudySummary]]] = {}
    for study in studies:
        if study.summary is not None:
            by_data.setdefault(study.run.fingerprint, []).append((study, study.summary))
    uneven = [one for alike in by_data.values() if _uneven([summary for _, summary in alike]) for one in alike]
    if not uneven:
        return ()
    parts: list[Sentence] = []
    taken: set[str] = set()
    for study, summary in uneven:
        name, key, own = plain(summary.name), free_name(f"budget-{slug(summary.name)}", taken), (study.run.run_id,)
        if not summary.best:
            parts.append((f"{name} had no search",))
            continue
        parts.append((
            f"{name} had ", *_trials_each(summary, key, own), " of up to ",
            Number(f"{key}.epochs", summary.epochs, "count", own), " epochs over ",
            Number(f"{key}.settings", len(summary.space), "count", own), " settings",
        ))
    return ("The searches had unequal budgets, and a difference may come from that: ", *joined(parts, "; "), ".")


def _uneven(summaries: Sequence[StudySummary]) -> bool:
    """Return whether searches differ in their budget, or some studies have one and others none."""
    searched = [s for s in summaries if s.best]
    budgets = {(trials, s.epochs, len(s.space)) for s in searched for trials in _finished(s).values()}
    return len(budgets) > 1 or 0 < len(searched) < len(summaries)


def _finished(summary: StudySummary) -> dict[str, int]:
    """Return model -> number of its completed or pruned trials; the number asked for may have changed later."""
    return {model: sum(trial.model == model and trial.state in ("complete", "pruned") for trial in summary.trials)
            for model in summary.models}


def _trials_each(summary: StudySummary, key: str, runs: tuple[str, ...]) -> Sentence:
    """Return how many trials of each model finished."""
    finished = _finished(summary)
    trials = "trial" if set(finished.values()) == {1} else "trials"
    if len(set(finished.values())) == 1:
        count = Number(f"{key}.trials", next(iter(finished.values())), "count", runs)
        return (count, f" finished {trials}{' for each model' if len(finished) > 1 else ''}")
    counts: list[Sentence] = [
        (Number(f"{key}.trials-{slug(model)}", count, "count", runs), f" ({model_name(model)})")
        for model, count in finished.items()
    ]
    return (*joined(counts, " and "), " finished trials")
