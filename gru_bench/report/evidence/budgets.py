"""The caution about searches of unequal budgets."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.checks.conditions import Budget, are_unequal
from gru_bench.report.document.numbers import Number, plain, slug
from gru_bench.report.document.sentences import Sentence, joined
from gru_bench.report.evidence.groups import free_name, model_name
from gru_bench.results.runs import StudySummary
from gru_bench.tracking import LoggedStudy


def unequal_budgets(studies: Sequence[LoggedStudy]) -> Sentence:
    """Return a caution if studies on the same data were searched with unequal budgets; else empty."""
    by_data: dict[str, dict[str, StudySummary]] = {}
    for study in studies:
        if study.summary is not None:
            by_data.setdefault(study.run.fingerprint, {})[study.run.run_id] = study.summary
    taken: set[str] = set()
    parts = [_budget(summary, free_name(f"budget-{slug(summary.name)}", taken), run_id)
             for alike in by_data.values() if are_unequal(list(map(_budgets, alike.values())))
             for run_id, summary in alike.items()]
    if not parts:
        return ()
    return ("The searches had unequal budgets, and a difference may come from that: ", *joined(parts, "; "), ".")


def _budgets(summary: StudySummary) -> set[Budget]:
    """Return the budgets of the searches of a study; none for a study without a search."""
    return {(trials, summary.epochs, len(summary.space)) for trials in _finished(summary).values()
            } if summary.best else set()


def _finished(summary: StudySummary) -> dict[str, int]:
    """Return model -> number of its completed or pruned trials; the number asked for may have changed later."""
    return {model: sum(trial.model == model and trial.state in ("complete", "pruned") for trial in summary.trials)
            for model in summary.models}


def _budget(summary: StudySummary, key: str, run_id: str) -> Sentence:
    """Return the budget of the search of a study."""

    def number(name: str, value: int) -> Number:
        return Number(f"{key}.{name}", value, "count", (run_id,))

    if not summary.best:
        return (f"{plain(summary.name)} had no search",)
    finished = _finished(summary)
    each: Sentence = (*joined([(number(f"trials-{slug(model)}", count), f" ({model_name(model)})")
                               for model, count in finished.items()], " and "), " finished trials")
    if len(set(finished.values())) == 1:
        count = finished[summary.models[0]]
        whose = " for each model" if len(finished) > 1 else ""
        each = (number("trials", count), f" finished trial{'s' * (count != 1)}{whose}")
    return (f"{plain(summary.name)} had ", *each, " of up to ", number("epochs", summary.epochs), " epochs over ",
            number("settings", len(summary.space)), " settings")
