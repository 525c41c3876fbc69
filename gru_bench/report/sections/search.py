"""The search: its best trials, their accuracy on fresh seeds, the settings searched, and what fewer trials would reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gru_bench.config import Scalar, is_valid_setting
from gru_bench.evaluation.statistics import BEST_METHOD
from gru_bench.evaluation.statistics import expected_best as best_of
from gru_bench.report.document.blocks import Block, Cell, Column, Details, Heading, Paragraph, Table, sentences
from gru_bench.report.document.figure import Values
from gru_bench.report.document.numbers import NBSP, Number, plain, slug
from gru_bench.report.document.section import Section
from gru_bench.report.document.sentences import Aside, Sentence, joined, listed
from gru_bench.report.evidence.collect import Evidence, Histories
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.settings import as_number, setting, setting_name
from gru_bench.report.figures.search import STATES, expected_best_figure, history_figure, settings_figure
from gru_bench.results.logged_metrics import ACCURACY_VAL, BEST_EPOCH, score
from gru_bench.results.runs import StudySummary, TrialSummary
from gru_bench.tracking import LoggedRun

SHOWN = (1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Numbers of trials at which the expected best is shown, besides that of the whole search."""
STABLE_TRIALS = 20
"""Completed trials below which the best tenth has one or two trials, and importance is unstable."""
BEST_SHARE = 0.1
"""Share of the completed trials that PED-ANOVA counts as good, in Optuna's default."""
DRAWN = ("training.lr", "model.hidden_size")
"""Settings that the accuracy of the trials is drawn against, where they were searched."""
SAMPLERS = {"tpe": "TPE", "random": "random trials"}
PRUNERS = {"median": "median pruner", "wilcoxon": "Wilcoxon pruner", "none": "none pruned"}

Searches = Sequence[tuple[Group, StudySummary]]
"""The models whose settings were searched, with the summaries of their studies."""


def search(evidence: Evidence) -> Section | None:
    """Return the section; None without a search."""
    searches = [(group, group.summary) for group in evidence.groups if group.summary is not None and group.tuned]
    if not searches:
        return None
    confirmed = {group.key: _confirmed(group, evidence.histories) for group, _ in searches}
    return Section("search", "Search", (
        *(Paragraph(text) for group, summary in searches
          if (text := _in_words(group, summary, confirmed[group.key]))),
        _table(searches, confirmed),
        _settings_table(searches),
        *_figures(searches),
        *_expected_best(searches),
    ))


def _in_words(group: Group, summary: StudySummary, confirmed: Number) -> Sentence:
    """Return what became of the best trial on fresh seeds, and what may be wrong with the search."""
    gap: Sentence = ()
    best = _best_trial(group, summary)
    if best.value is not None and confirmed.value is not None:
        fall = group.number("search.fall", confirmed.value - best.value, "points", "confirmed less best trial")
        gap = (f"{group.label}: the best trial reached ", best, f"{NBSP}% on validation; fresh seeds of the "
               "same configuration reach ", confirmed, f"{NBSP}% there (", fall, " points) and ", group.accuracy,
               f"{NBSP}% on test.")
    at_end = [setting_name(name) for name, range_ in summary.space.items()
              if name in group.tuned and _edge(name, range_, group.tuned[name])]
    one = len(at_end) == 1
    ends: Sentence = (
        f"The best value{'s' * (not one)} of {listed(at_end)} lie{'s' * one} at an end of the range{'s' * (not one)} "
        "searched; a wider range may hold a better one.",) if at_end else ()
    return joined((gap, ends, _unstable(group, summary)))


def _best_trial(group: Group, summary: StudySummary) -> Number:
    return Number(f"{group.key}.search.best", summary.best_value.get(group.model), "percent", (group.parent.run_id,),
                  method="best trial, on validation")


def _confirmed(group: Group, histories: Histories) -> Number:
    """Return the validation accuracy of fresh seeds of the best configuration."""
    return group.over_runs(
        "search.confirmed",
        [value for run in group.runs if (value := _best_accuracy(run, histories)) is not None], "percent")


def _best_accuracy(run: LoggedRun, histories: Histories) -> float | None:
    """Return the validation accuracy of a run's best checkpoint."""
    if (key := score("accuracy", "val").key) in run.metrics:
        return run.metrics[key]
    by_epoch = {float(epoch): value for epoch, value in histories.get(run.run_id, {}).get(ACCURACY_VAL.key, ())}
    return by_epoch.get(run.metrics.get(BEST_EPOCH.key, 0.0))


def _unstable(group: Group, summary: StudySummary) -> Sentence:
    """Return a caution if the importance is based on few completed trials; else empty."""
    complete = sum(trial.state == "complete" for trial in _trials(group, summary))
    if complete >= STABLE_TRIALS or not summary.importance.get(group.model):
        return ()
    own = (group.parent.run_id,)
    return (f"{group.label}: importance compares the best tenth of ",
            Number(f"{group.key}.search.complete", complete, "count", own), " completed trials, which is ",
            Number(f"{group.key}.search.best-tenth", math.ceil(BEST_SHARE * complete), "count", own,
                   method="a tenth of the completed trials, rounded up"),
            ", with all of them; below about 20 completed trials such shares are unstable.")


def _trials(group: Group, summary: StudySummary) -> list[TrialSummary]:
    return [trial for trial in summary.trials if trial.model == group.model]


def _table(searches: Searches, confirmed: Mapping[str, Number]) -> Table:
    def row(group: Group, summary: StudySummary) -> tuple[Cell, ...]:
        own = (group.parent.run_id,)
        sampler = SAMPLERS.get(summary.sampler.lower(), plain(summary.sampler))
        pruner = PRUNERS.get(summary.pruner, plain(summary.pruner))
        return (
            group.label,
            (f"{sampler}, {pruner}", Aside((f"by {plain(summary.objective)}",), below=True)),
            Number(f"{group.key}.search.trials", len(_trials(group, summary)), "count", own),
            Number(f"{group.key}.search.epochs", summary.epochs, "count", own),
            _best_trial(group, summary), confirmed[group.key], group.accuracy,
        )

    return Table(
        "search", "Best trial, confirmed, and test",
        ("The best trial of each search and fresh seeds of its configuration: validation accuracy of both, and test "
         "accuracy of the fresh seeds.",),
        (Column("Model", align="left", width=3), Column("Search", align="left", width=3.6), Column("Trials"),
         Column("Epochs"), Column("Best trial", "%"), Column("Confirmed", "%"), Column("Test", "%")),
        tuple(row(group, summary) for group, summary in searches),
    )


def _settings_table(searches: Searches) -> Table:
    def row(group: Group, summary: StudySummary, name: str) -> tuple[Cell, ...]:
        part, range_, best = f"search.{slug(name)}", summary.space[name], group.tuned[name]
        share = summary.importance.get(group.model, {}).get(name)
        return (
            group.label, setting_name(name), _range_text(range_), setting(group, f"{part}.best", best),
            group.number(f"{part}.importance", share, "percent", plain(summary.importance_method), decimals=0),
            _edge(name, range_, best),
        )

    methods = dict.fromkeys(plain(summary.importance_method) for group, summary in searches
                            if summary.importance.get(group.model))
    named = ", ".join(filter(None, methods))
    measured = ("{} measures how much the best tenth of the completed trials differ from all completed trials in a "
                f"setting, as a share of that over all settings ({named}).") if named else ""
    return Table(
        "settings", "Settings searched", ("The settings searched.",),
        (Column("Model", align="left", width=3.4), Column("Setting", align="left", width=2.4),
         Column("Range", align="left", width=4.2), Column("Best", width=1.8), Column("Importance", "%", note=measured),
         Column("At an end", align="left")),
        tuple(row(group, summary, name) for group, summary in searches for name in summary.space
              if name in group.tuned),
        grouped=True,
    )


def _range_text(range_: Mapping[str, Any]) -> str:
    if "choices" in range_:
        return ", ".join(plain(str(choice)) for choice in range_["choices"])
    low, high = (Number("range", float(range_[end]), "setting").text for end in ("low", "high"))
    return f"{low} to {high}{', log scale' if range_.get('log') else ''}"


def _edge(name: str, range_: Mapping[str, Any], value: Scalar) -> str:
    """Return `low` or `high` where a value lies in the outer twentieth of its range, and the setting can go beyond."""
    number = as_number(value)
    if number is None or "low" not in range_ or range_["low"] == range_["high"]:
        return ""
    low, high = float(range_["low"]), float(range_["high"])
    beyond = {"low": (low - 1, math.nextafter(low, -math.inf)), "high": (high + 1, math.nextafter(high, math.inf))}
    if range_.get("log"):
        low, high, number = math.log(low), math.log(high), math.log(number)
    share = (number - low) / (high - low)
    edge = "low" if share < 0.05 else "high" if share > 0.95 else ""
    # Of the two values beyond, whole numbers can have the first, others the second.
    return edge if edge and any(is_valid_setting(name, one) for one in beyond[edge]) else ""


def _figures(searches: Searches) -> list[Block]:
    """Return the accuracy of the trials by their number, and against their settings."""
    history = Values(
        ("model", "trial", "state", "validation accuracy", "best so far"),
        tuple((group.label, trial.number, trial.state, value, best)
              for group, summary in searches for trial, value, best in _ended(group, summary)))
    settings = Values(
        ("setting", "scale", "value", "model", "trial", "state", "validation accuracy"),
        tuple((setting_name(name), "log" if summary.space[name].get("log") else "linear", chosen, group.label,
               trial.number, trial.state, value)
              for name in DRAWN for group, summary in searches if name in summary.space
              for trial, value, _ in _ended(group, summary)
              if (chosen := as_number(trial.settings.get(name))) is not None))
    found: list[Block] = []
    if _has_scores(history):
        found.append(history_figure(history))
    if _has_scores(settings):
        found.append(settings_figure(settings))
    return found


def _has_scores(values: Values) -> bool:
    return any(record["validation accuracy"] is not None for record in values.records())


def _ended(group: Group, summary: StudySummary) -> Iterator[tuple[TrialSummary, float | None, float | None]]:
    """Yield the trials that have ended, each with its accuracy and that of the best complete trial so far."""
    best = None
    for trial in sorted(_trials(group, summary), key=lambda trial: trial.number):
        if trial.state not in STATES:
            continue
        value = as_number(trial.value)
        if trial.state == "complete" and value is not None:
            best = value if best is None else max(best, value)
        yield trial, value, best


def _expected_best(searches: Searches) -> list[Block]:
    """Return the expected best of fewer trials, and why it cannot be computed for some searches."""
    rows: list[tuple[str, Number, Number]] = []
    refused: dict[str, list[str]] = {}
    for group, summary in searches:
        scores = [trial.value for trial in _trials(group, summary)
                  if trial.state == "complete" and trial.value is not None]
        if len(scores) < 2:
            continue
        if reason := _dependent(group, summary):
            refused.setdefault(reason, []).append(group.label)
        else:
            rows += _best_of_trials(group, scores)
    found: list[Block] = []
    if rows:
        found = [
            Heading("Expected best by number of trials", "expected-best"),
            expected_best_figure(Values(("model", "trials", "expected best"), tuple(rows), ("expected best",))),
            Details("Values by number of trials", (_expected_best_table(rows),)),
        ]
    return [*found, *sentences([
        (f"{', '.join(labels)}: the expected best of fewer trials is not shown. It can be computed only for random "
         f"trials that all completed, but {reason}. A search with --sampler random provides it.",)
        for reason, labels in refused.items()])]


def _best_of_trials(group: Group, scores: Sequence[float]) -> list[tuple[str, Number, Number]]:
    """Return rows of a model, a number of fresh random trials, and the expected best of so many."""
    own = (group.parent.run_id,)
    return [
        (group.label, Number(f"{group.key}.best-of-{found.trials}.trials", found.trials, "count", own),
         Number(f"{group.key}.best-of-{found.trials}", found.mean, "percent", own, len(scores), BEST_METHOD, found.low,
                found.high))
        for found in best_of(scores) if found.trials in SHOWN or found.trials == len(scores)
    ]


def _expected_best_table(rows: Sequence[tuple[str, Number, Number]]) -> Table:
    return Table(
        "expected-best", "Expected best by number of trials",
        ("Expected best validation accuracy, %, by number of fresh random trials, with a conservative 80 % interval of "
         "that expectation in brackets (in simulations it held in 88 % or more).",),
        (Column("Model", align="left", width=5), Column("Trials"), Column("Best of them", "%")),
        tuple(rows), grouped=True,
    )


def _dependent(group: Group, summary: StudySummary) -> str:
    """Return why the trials of a search are not independent and complete; empty where they are."""
    if summary.sampler.lower() != "random":
        return f"{plain(summary.sampler).upper()} chose each trial by the earlier ones"
    states = {trial.state for trial in _trials(group, summary)}
    if "pruned" in states:
        return "some trials were pruned"
    return "some trials failed" if "failed" in states else ""
