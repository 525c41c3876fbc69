"""The search section: best trials, their accuracy on fresh seeds, importance of settings, and search budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gru_bench.config import is_valid_setting
from gru_bench.evaluation.statistics import BEST_METHOD
from gru_bench.evaluation.statistics import expected_best as best_of
from gru_bench.report.document.numbers import NBSP, Number, Sentence, listed, plain, slug
from gru_bench.report.document.report import BestOfTrials, Dimension, ExpectedBest, Row, Search
from gru_bench.report.evidence.groups import MODEL_NAMES, Evidence, Group, Histories, fingerprint, free_name
from gru_bench.report.sections.verdicts import joined
from gru_bench.results.logged_metrics import ACCURACY_VAL, BEST_EPOCH, score
from gru_bench.results.runs import StudySummary, TrialSummary
from gru_bench.tracking import LoggedRun, LoggedStudy

SETTING_NAMES = {
    "training.lr": "learning rate",
    "training.batch_size": "batch size",
    "training.epochs": "epochs",
    "model.hidden_size": "hidden size",
    "model.layers": "layers",
    "model.pooling": "pooling",
    "model.dropout": "dropout",
    "embedding.name": "word vectors",
    "embedding.trainable": "trained vectors",
}
SHOWN = (1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Numbers of trials at which the expected best is shown, besides that of the whole search."""
STABLE_TRIALS = 20
"""Completed trials below which the best tenth has one or two trials, and importance is unstable."""
BEST_SHARE = 0.1
"""Share of the completed trials that PED-ANOVA counts as good, in Optuna's default."""
SAMPLERS = {"tpe": "TPE", "random": "random trials"}
PRUNERS = {"median": "median pruner", "wilcoxon": "Wilcoxon pruner", "none": "none pruned"}


def searches_of(evidence: Evidence, rows: Sequence[Row]) -> tuple[Search, ...]:
    """Return the search of each model, with the accuracy of fresh seeds of its best configuration."""
    return tuple(_search(group, row, evidence.histories) for group, row in zip(evidence.groups, rows, strict=True)
                 if group.summary is not None and group.summary.best.get(group.model))


def _search(group: Group, row: Row, histories: Histories) -> Search:
    summary = group.summary
    assert summary is not None
    best = summary.best[group.model]
    importance = summary.importance.get(group.model, {})
    trials = [trial for trial in summary.trials if trial.model == group.model]
    space = []
    for name, range_ in summary.space.items():
        if name not in best:
            continue
        part = f"search.{slug(name)}"
        space.append(Dimension(
            setting_name(name), _range_text(range_), setting(group, f"{part}.best", best[name]),
            group.number(f"{part}.importance", importance.get(name), "percent", plain(summary.importance_method),
                         decimals=0),
            _edge(name, range_, best[name]),
        ))
    at_best = [value for run in group.runs if (value := _best_accuracy(run, histories)) is not None]
    best_value, own = summary.best_value.get(group.model), (group.parent.run_id,)
    best_number = Number(f"{group.key}.search.best", best_value, "percent", own, method="best trial, on validation")
    confirmed = group.over_runs("search.confirmed", at_best, "percent")
    gap: Sentence = ()
    if best_value is not None and confirmed.value is not None:
        fall = group.number("search.fall", confirmed.value - best_value, "points", "confirmed less best trial")
        gap = (f"{group.label}: the best trial reached ", best_number, f"{NBSP}% on validation; fresh seeds of the "
               "same configuration reach ", confirmed, f"{NBSP}% there (", fall, " points) and ", row.accuracy,
               f"{NBSP}% on test.")
    edges = [d.name for d in space if d.edge]
    edge: Sentence = ()
    if edges:
        one = len(edges) == 1
        edge = (f"The best value{'s' * (not one)} of {listed(edges)} lie{'s' * one} at an end of the "
                f"range{'s' * (not one)} searched; a wider range may hold a better one.",)
    return Search(
        key=group.key,
        label=group.label,
        sampler=SAMPLERS.get(summary.sampler.lower(), plain(summary.sampler)),
        pruner=PRUNERS.get(summary.pruner, plain(summary.pruner)),
        objective=plain(summary.objective),
        trials=Number(f"{group.key}.search.trials", len(trials), "count", own),
        epochs=Number(f"{group.key}.search.epochs", summary.epochs, "count", own),
        space=tuple(space),
        importance_method=plain(summary.importance_method) if importance else "",
        importance_caution=_unstable(group, trials) if importance else (),
        best=best_number,
        confirmed=confirmed,
        test=row.accuracy,
        gap=gap,
        edges=edge,
    )


def _unstable(group: Group, trials: Sequence[TrialSummary]) -> Sentence:
    """Return a caution if the importance is based on few completed trials; else empty."""
    complete = sum(trial.state == "complete" for trial in trials)
    if complete >= STABLE_TRIALS:
        return ()
    own = (group.parent.run_id,)
    return (f"{group.label}: importance compares the best tenth of ",
            Number(f"{group.key}.search.complete", complete, "count", own), " completed trials, which is ",
            Number(f"{group.key}.search.best-tenth", math.ceil(BEST_SHARE * complete), "count", own,
                   method="a tenth of the completed trials, rounded up"),
            ", with all of them; below about 20 completed trials such shares are unstable.")


def _best_accuracy(run: LoggedRun, histories: Histories) -> float | None:
    """Return the validation accuracy of a run's best checkpoint."""
    if (key := score("accuracy", "val").key) in run.metrics:
        return run.metrics[key]
    by_epoch = {float(epoch): value for epoch, value in histories.get(run.run_id, {}).get(ACCURACY_VAL.key, ())}
    return by_epoch.get(run.metrics.get(BEST_EPOCH.key, 0.0))


def _range_text(range_: Mapping[str, Any]) -> str:
    if "choices" in range_:
        return ", ".join(plain(str(choice)) for choice in range_["choices"])
    low, high = (Number("range", float(range_[end]), "setting").text for end in ("low", "high"))
    return f"{low} to {high}{', log scale' if range_.get('log') else ''}"


def _edge(name: str, range_: Mapping[str, Any], value: object) -> str:
    """Return `low` or `high` where a value lies in the outer twentieth of its range, and the setting can go beyond."""
    number = as_number(value)
    if number is None or "low" not in range_ or range_["low"] == range_["high"]:
        return ""
    low, high = float(range_["low"]), float(range_["high"])
    beyond = {"low": (low - 1, math.nextafter(low, -math.inf)), "high": (high + 1, math.nextafter(high, math.inf))}
    if range_.get("log"):
        low, high, number = float(np.log(low)), float(np.log(high)), float(np.log(number))
    share = (number - low) / (high - low)
    edge = "low" if share < 0.05 else "high" if share > 0.95 else ""
    # Of the two values beyond, whole numbers can have the first, others the second.
    return edge if edge and any(is_valid_setting(name, one) for one in beyond[edge]) else ""


def unequal_budgets(studies: Sequence[LoggedStudy]) -> Sentence:
    """Return a caution if studies on the same data were searched with unequal budgets; else empty."""
    by_data: dict[str, list[tuple[LoggedStudy, StudySummary]]] = {}
    for study in studies:
        if study.summary is not None:
            by_data.setdefault(fingerprint(study.run), []).append((study, study.summary))
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
    return ("The searches had unequal budgets, and a difference may come from that: ",
            *joined(parts, "; "), ".")


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
        (Number(f"{key}.trials-{slug(model)}", count, "count", runs), f" ({MODEL_NAMES.get(model, plain(model))})")
        for model, count in finished.items()
    ]
    return (*joined(counts, " and "), " finished trials")


def expected_best(group: Group) -> ExpectedBest | None:
    """Return the expected best of n trials on validation; None if trials were dependent or did not all complete."""
    if group.summary is None or _refusal(group) or len(scores := _scores(group)) < 2:
        return None
    points = []
    for found in best_of(scores):
        if found.trials in SHOWN or found.trials == len(scores):
            part = f"{group.key}.best-of-{found.trials}"
            points.append(BestOfTrials(
                Number(f"{part}.trials", found.trials, "count", (group.parent.run_id,)),
                Number(part, found.mean, "percent", (group.parent.run_id,), len(scores), BEST_METHOD,
                       found.low, found.high),
            ))
    return ExpectedBest(group.key, group.label, tuple(points))


def no_expected_best(groups: Sequence[Group]) -> tuple[Sentence, ...]:
    """Return for which searches the expected best of n trials cannot be computed, and why."""
    by_reason: dict[str, list[str]] = {}
    for group in groups:
        if group.summary is not None and len(_scores(group)) > 1 and (reason := _refusal(group)):
            by_reason.setdefault(reason, []).append(group.label)
    return tuple(
        (f"{', '.join(labels)}: the expected best of fewer trials is not shown. It can be computed only for random "
         f"trials that all completed, but {reason}. A search with --sampler random provides it.",)
        for reason, labels in by_reason.items()
    )


def _scores(group: Group) -> list[float]:
    assert group.summary is not None
    return [trial.value for trial in group.summary.trials
            if trial.model == group.model and trial.state == "complete" and trial.value is not None]


def _refusal(group: Group) -> str:
    """Return why the trials of a search are not independent and complete; empty where they are."""
    assert group.summary is not None
    if group.summary.sampler.lower() != "random":
        return f"{plain(group.summary.sampler).upper()} chose each trial by the earlier ones"
    states = {trial.state for trial in group.summary.trials if trial.model == group.model}
    if "pruned" in states:
        return "some trials were pruned"
    return "some trials failed" if "failed" in states else ""


def setting(group: Group, key: str, value: object) -> Number | str:
    """Return a setting's value as it is shown: a number where it is one."""
    number = as_number(value)
    return plain(str(value)) if number is None else group.number(key, number, "setting", "a setting")


def setting_name(name: str) -> str:
    """Return the name to show for a dotted setting."""
    return SETTING_NAMES.get(name, plain(name.rpartition(".")[2].replace("_", " ")))


def as_number(value: Any) -> float | None:
    """Return a setting as a finite number, or None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if np.isfinite(number) else None
