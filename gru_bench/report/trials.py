"""Searches that no summary tells of yet: the best trial of each model so far, and a report on nothing else."""

from __future__ import annotations

from gru_bench.cli import line
from gru_bench.report.document.blocks import Cell, Column, Table
from gru_bench.report.document.numbers import MISSING, Numbers
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import model_name
from gru_bench.report.evidence.progress import baseline_runs, once_more, study_data, study_name, to_confirm
from gru_bench.report.evidence.trials import ENDED, SearchSoFar, best_trial
from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import compared


def trials(evidence: Evidence) -> Section | None:
    """Return the section on the searches that are shown by their trials; None without one."""
    tables = tuple(best_trials(evidence, place) for place in range(len(evidence.so_far)))
    return Section("search-so-far", "Search so far", tables) if tables else None


def search_alone(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return what a report on a study without confirmation runs says: how far its search is, and what confirms it."""
    (search,) = evidence.so_far
    numbers = _numbers(evidence, search)
    options = to_confirm(search.study)
    ended = sum(trial.summary.state in ENDED for trial in search.trials)
    return (
        say("The study {study} has no complete confirmation run, so there is no verdict: its search has {ended} of "
            "{asked} {asked:trial|trials}.", study=study_name(search.study), ended=numbers.add("ended", ended),
            asked=numbers.add("asked", max(ended, search.plan.trials * len(search.models)))),
        (f"To confirm the best trials, run the command again{f' with {line(options)}' if options else ''}: "
         f"{once_more(search.study, *options)}",),
    )


def best_trials(evidence: Evidence, place: int) -> Table:
    """Return the table of the best trial of each model, and of the baselines.

    Args:
        evidence: The evidence.
        place: Place of the search in `Evidence.so_far`.
    """
    search = evidence.so_far[place]
    study, scale, numbers = search.study, search.scale, _numbers(evidence, search)
    score, data = compared(study.plan().metric, "val").key, study_data(study, evidence.store)
    size = data.validation if data else None
    rows: list[tuple[Cell, ...]] = []
    for model in search.models:
        found, own = search.of(model), numbers.named("model", model)
        best = best_trial(search.trials, model, study.plan().metric)
        ended = sum(trial.state in ENDED for trial in found)
        rows.append((
            model_name(model),
            (own.add("ended", ended), " of ", own.add("planned", max(search.plan.trials, ended))),
            MISSING if best is None else own.add("number", best.summary.number, "setting"),
            MISSING if best is None else own.on([best.run.run_id], size, "validation").add(
                "best", best.summary.value, scale.kind, "best epoch, on validation")))
    rows += (
        (name, MISSING, MISSING, numbers.on([run.run_id], size, "validation").named("baseline", name).add(
            "", run.metrics.get(score), scale.kind, "one deterministic fit, on validation"))
        for run in baseline_runs(study) for name in [baseline_label(run.model, run.params)])
    return Table(
        "search-so-far" if place == 0 else f"search-so-far-{place + 1}", f"Best trials of {study_name(study)} so far",
        (f"Validation {scale.score} of the best trial of each model so far, and of baselines. The score of the best "
         "trial is optimistic, because it was selected by it. Trials: finished, of those requested.",),
        (Column("Model", align="left", width=5),
         Column("Trials"), Column("Best trial"),
         Column(f"Validation {scale.score}", scale.unit)),
        tuple(rows))


def _numbers(evidence: Evidence, search: SearchSoFar) -> Numbers:
    """Return what makes the numbers of a search, from its study's own run."""
    run = search.study.run.run_id
    return evidence.numbers.of("so-far").named(study_name(search.study), same=run).on([run])
