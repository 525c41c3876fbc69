"""The search: its best trials, their accuracy on fresh seeds, and the settings searched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gru_bench.document.blocks import Block, Cell, Column, Table, with_range
from gru_bench.document.figure import Values
from gru_bench.document.numbers import MISSING, Scale, plain, scale_of, slug
from gru_bench.document.report import Section
from gru_bench.document.sentences import Aside
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.settings import as_number, end_of_range, range_text, setting, setting_name
from gru_bench.evidence.trials import ENDED, Search
from gru_bench.report.figures.search import history_figure, settings_figure
from gru_bench.results.runs import TrialSummary

TRIALS = ("Validation {} of the best trial of each search, and of the confirmation runs, which use its settings on "
          "fresh seeds: mean, and the lowest to the highest seed. “By chance”: how much higher the best of the "
          "complete and pruned trials may score by luck alone.")
SETTINGS = ("Importance ({}): how much the best tenth of the completed trials differ from all of them in this setting, "
            "as a percentage of the sum over all settings. It is unstable below about twenty completed trials. “At an "
            "end”: the best value is at an end of its range, if the range has at least four values.")
DRAWN = ("training.lr", "model.hidden_size")
"""Settings that the accuracy of the trials is drawn against, where they were searched."""


def search(evidence: Evidence) -> Section | None:
    """Return the section; None without a search."""
    searches = evidence.searches
    if not searches:
        return None
    return Section("search", "Search", (
        _table(searches),
        _settings_table(searches),
        *_figures(searches),
    ))


def _table(searches: Sequence[Search]) -> Table:
    scale = _common_scale(searches)
    what, unit = ("score", "") if scale is None else (scale.score, scale.unit)
    return Table.of(
        "search", "Best trial and confirmation runs", (TRIALS.format(what),), searches,
        (Column("Model", align="left", width=3), lambda one: one.group.label),
        (Column("Search", align="left", width=3.6),
         lambda one: (one.how, Aside((f"by {plain(one.summary.objective)}",), below=True))),
        (Column("Trials"), lambda one: one.group.of_study.add("search.trials", len(one.trials), "count")),
        (Column("Complete"), lambda one: one.group.of_study.add("search.complete", one.complete)),
        (Column("Epochs"), lambda one: one.group.of_study.add("search.epochs", one.summary.epochs, "count")),
        (Column("Best trial", unit), lambda one: one.best),
        (Column("Confirmed", unit), lambda one: with_range(one.confirmed)),
        (Column("By chance"), lambda one: MISSING if one.expected is None else one.expected))


def _settings_table(searches: Sequence[Search]) -> Table:
    def row(one: Search, name: str, range_: Mapping[str, Any]) -> tuple[Cell, ...]:
        group, part, best = one.group, f"search.{slug(name)}", one.group.tuned[name]
        return (
            group.label, setting_name(name), range_text(range_), setting(group.of_study, f"{part}.best", best),
            group.on_trials.add(f"{part}.importance", one.importance.get(name), "percent",
                                plain(one.summary.importance_method), decimals=0),
            end_of_range(name, range_, best) or MISSING)

    methods = dict.fromkeys(plain(one.summary.importance_method) for one in searches if one.importance)
    return Table(
        "settings", "Settings searched", (SETTINGS.format(", ".join(methods) or "not computed"),),
        (Column("Model", align="left", width=3.4), Column("Setting", align="left", width=2.4),
         Column("Range", align="left", width=4.2), Column("Best", width=1.8), Column("Importance", "%"),
         Column("At an end", align="left")),
        tuple(row(one, name, range_) for one in searches for name, range_ in one.summary.space.items()
              if name in one.group.tuned),
        grouped=True)


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
