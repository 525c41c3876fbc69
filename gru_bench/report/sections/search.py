"""The search: its best trials, their accuracy on fresh seeds, and the settings searched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gru_bench.checks import end_of_range
from gru_bench.report.document.blocks import Block, Cell, Column, Paragraph, Table, has_interval
from gru_bench.report.document.figure import Values
from gru_bench.report.document.numbers import Scale, plain, scale_of, slug
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Aside, Sentence, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.settings import as_number, range_text, setting, setting_name
from gru_bench.report.evidence.trials import ENDED, Search
from gru_bench.report.figures.search import history_figure, settings_figure
from gru_bench.results.runs import TrialSummary

STABLE_TRIALS = 20
"""Completed trials below which the best tenth has one or two trials, and importance is unstable."""
BEST_SHARE = 0.1
"""Fraction of the completed trials that PED-ANOVA counts as good, in Optuna's default."""
DRAWN = ("training.lr", "model.hidden_size")
"""Settings that the accuracy of the trials is drawn against, where they were searched."""


def search(evidence: Evidence) -> Section | None:
    """Return the section; None without a search."""
    searches = evidence.searches
    if not searches:
        return None
    return Section("search", "Search", (
        *(Paragraph(text) for one in searches if (text := _in_words(one))),
        _table(searches),
        _settings_table(searches),
        *_figures(searches),
    ))


def _in_words(one: Search) -> Sentence:
    """Return what fresh seeds of the best trial reach, and whether its importance is unstable."""
    group, best, confirmed, scale = one.group, one.best, one.confirmed, one.scale
    gap: Sentence = ()
    if best.value is not None and confirmed.value is not None:
        test = " and {score}{unit} on test" if one.summary.metric == group.metric else ""
        gap = say(
            "{model}: the best trial reached {best}{unit} on validation; {seeds:a fresh seed|fresh seeds} of the same "
            f"configuration {{seeds:reaches|reach}} {{confirmed}}{{unit}} ({{fall}}{{after}}){test}.{{expected}}",
            model=group.label, best=best, seeds=group.seeds, confirmed=confirmed,
            fall=one.fall, score=group.score, unit=scale.suffix, after=scale.after, expected=_expected(one))
    teachers = group.config.training.teachers
    taught: Sentence = say(
        "The confirmation runs were also trained on the answers of {teachers} teacher {teachers:model|models} each; "
        "trials have none.",
        teachers=group.of_runs.add("search.teachers", teachers, "setting", "a setting")) if gap and teachers else ()
    complete = one.complete
    unstable: Sentence = ()
    if complete < STABLE_TRIALS and one.importance:
        unstable = say(
            "Importance is unstable below about 20 completed trials: it compares the best {tenth} of {complete} with "
            "all of them.", complete=group.of_study.add("search.complete", complete),
            tenth=group.of_study.add("search.best-tenth", math.ceil(BEST_SHARE * complete), "count",
                                     "a tenth of the completed trials, rounded up"))
    return joined((gap, taught, unstable))


def _expected(one: Search) -> Sentence:
    """Return that the best trial is above its fresh seeds, as the best of so many is; empty where it is a surprise."""
    if one.expected is None or one.is_surprising:
        return ()
    return say(" By chance, the best of {trials} {trials:trial is|trials is} expected to be up to {expected}{after} "
               "better.", trials=one.group.of_study.add("search.complete", one.complete), expected=one.expected,
               after=one.scale.after)


def _table(searches: Sequence[Search]) -> Table:
    scale = _common_scale(searches)
    what, unit = ("score", "") if scale is None else (scale.score, scale.unit)
    seeds = "fresh seeds" if any(len(one.group.runs) > 1 for one in searches) else "a fresh seed"
    return Table.of(
        "search", "Best trial, confirmed, and test",
        (f"The best trial of each search and {seeds} of its configuration: validation {what} of both, and test "
         f"{what} of the {seeds.removeprefix('a ')}.",),
        searches,
        (Column("Model", align="left", width=3), lambda one: one.group.label),
        (Column("Search", align="left", width=3.6),
         lambda one: (one.how, Aside((f"by {plain(one.summary.objective)}",), below=True))),
        (Column("Trials"), lambda one: one.group.of_study.add("search.trials", len(one.trials), "count")),
        (Column("Epochs"), lambda one: one.group.of_study.add("search.epochs", one.summary.epochs, "count")),
        (Column("Best trial", unit), lambda one: one.best),
        (Column("Confirmed", unit, note=(
            "{} shows the lowest and the highest seed in brackets."
            if any(has_interval(one.confirmed) for one in searches) else "")), lambda one: one.confirmed),
        (Column("Test", unit, note=(
            "{} shows the 95 % interval in brackets."
            if any(has_interval(one.group.score) for one in searches) else "")), lambda one: one.group.score),
    )


def _settings_table(searches: Sequence[Search]) -> Table:
    def row(one: Search, name: str, range_: Mapping[str, Any]) -> tuple[Cell, ...]:
        group, part, best = one.group, f"search.{slug(name)}", one.group.tuned[name]
        return (
            group.label, setting_name(name), range_text(range_), setting(group.of_study, f"{part}.best", best),
            group.on_trials.add(f"{part}.importance", one.importance.get(name), "percent",
                                plain(one.summary.importance_method), decimals=0),
            end_of_range(name, range_, best),
        )

    methods = dict.fromkeys(plain(one.summary.importance_method) for one in searches if one.importance)
    named = ", ".join(filter(None, methods))
    measured = (f"{{}} ({named}): how far the best tenth of the completed trials differ from all of them in this "
                "setting, as a percentage of the sum over all settings.") if named else ""
    return Table(
        "settings", "Settings searched", ("The settings searched.",),
        (Column("Model", align="left", width=3.4), Column("Setting", align="left", width=2.4),
         Column("Range", align="left", width=4.2), Column("Best", width=1.8), Column("Importance", "%", note=measured),
         Column("At an end", align="left")),
        tuple(row(one, name, range_) for one in searches for name, range_ in one.summary.space.items()
              if name in one.group.tuned),
        grouped=True,
    )


def _common_scale(searches: Sequence[Search]) -> Scale | None:
    """Return how the score of the searches is shown; None where they are about different scores."""
    found = {one.summary.metric for one in searches}
    return scale_of(found.pop()) if len(found) == 1 else None


def _figures(searches: Sequence[Search]) -> list[Block]:
    """Return the accuracy of the trials by their number, and against their settings; nothing for scores without per
    cent."""
    scale = _common_scale(searches)
    if scale is None or scale.kind != "percent":
        return []
    heads = (("validation accuracy", f"validation {scale.score}"),)
    settings = Values(
        ("setting", "scale", "value", "model", "trial", "state", "validation accuracy"),
        tuple((setting_name(name), "log" if one.summary.space[name].get("log") else "linear", chosen, one.group.label,
               trial.number, trial.state, value)
              for name in DRAWN for one in searches if name in one.summary.space
              for trial, value, _ in ended(one.trials)
              if (chosen := as_number(trial.settings.get(name))) is not None), heads=heads)
    history = Values(
        ("model", "trial", "state", "validation accuracy", "best so far"),
        tuple((one.group.label, trial.number, trial.state, value, best)
              for one in searches for trial, value, best in ended(one.trials)), heads=heads)
    figures = history_figure(history, scale.score), settings_figure(settings, scale.score)
    return [one for one in figures if any(value is not None for value in one.values.column("validation accuracy"))]


def ended(trials: Sequence[TrialSummary]) -> Iterator[tuple[TrialSummary, float | None, float | None]]:
    """Yield the trials that have ended, each with its accuracy and that of the best complete trial so far."""
    best = None
    for trial in trials:
        if trial.state not in ENDED:
            continue
        value = as_number(trial.value)
        if trial.state == "complete" and value is not None:
            best = value if best is None else max(best, value)
        yield trial, value, best
