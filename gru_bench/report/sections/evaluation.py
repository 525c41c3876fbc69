"""The section on results: the test scores and the cost of all models, the baselines among them.

Shapes: `R` runs (seeds) of a model, `N` test examples, `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gru_bench.document.blocks import Cell, Column, Details, Paragraph, Table, with_range
from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import KINDS, MISSING, NBSP, Number, slug
from gru_bench.document.report import Section
from gru_bench.document.sentences import Aside, Sentence, joined
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import ModelRuns, in_order
from gru_bench.evidence.settings import setting, setting_name
from gru_bench.report.figures.accuracy import BASELINE, MEAN, accuracy_figure
from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import PARAMETERS, PEAK_MEMORY, TOKENS_PER_SECOND
from gru_bench.stats.classes import RARE
from gru_bench.stats.intervals import f1_interval, interval
from gru_bench.stats.scores import SCORES, Score, score, scores
from gru_bench.stats.text import shown_as
from gru_bench.wording import first_few

HEADLINE_SETTINGS = ("training.lr", "model.hidden_size", "model.layers", "model.pooling")
"""Settings that are shown of a model that was not tuned."""
IN_RESULTS = ("accuracy", "f1", "macro_f1")
"""Scores that the table of results has. The table of further scores has all others but the counts."""
RESULTS = ("Test scores, the best model first: means over seeds, with 95 % intervals in brackets. Below the number of "
           "seeds: the lowest to the highest score.")
OF_CLASSES = " With more than two classes, F1 is macro F1."
FURTHER = ("Further test scores: means over seeds, and below them the lowest to the highest. With more than two "
           "classes, ROC AUC and average precision are one-vs-rest means over classes. The calibration error is the "
           "mean distance between confidence and accuracy.")
COST = ("Cost of a run: the median time, and mean speed and memory (the peak of the process), with the lowest to the "
        "highest run. Times from different backends, processors or busy machines are not comparable.")


def evaluation(evidence: Evidence) -> Section:
    """Return the section."""
    groups = evidence.groups
    classified = [group for group in groups if group.has_classes]
    logged = [group for group in (*groups, *evidence.baselines) if group.is_logged]
    details = [Details(table.title, (table,)) for table in (
        _further(classified), _cost(logged)) if table.rows]
    rare = groups[0].rare_classes if groups[0].has_classes else ()
    few = [Paragraph((f"Fewer than {RARE} test texts: {first_few(rare)}.",), lead="Rare classes.")] if rare else []
    return Section("results", "Results", (_results(evidence), *few, _accuracies(evidence), *details))


def _accuracies(evidence: Evidence) -> Figure:
    """Return the figure of the scores of each model and of the baselines."""
    return accuracy_figure(Values(("model", "what", "accuracy"), (
        *(row for group in in_order(evidence.groups) for row in (
            (group.label, MEAN, group.score),
            *((group.label, f"seed {run.seed}", score)
              for run, score in zip(group.runs, group.scores_by_run(group.metric), strict=True)))),
        *((baseline.label, BASELINE, baseline.score) for baseline in in_order(evidence.baselines)),
    ), intervals=("accuracy",), heads=(("accuracy", evidence.groups[0].scale.score),)), evidence.groups[0].scale)


def _results(evidence: Evidence) -> Table:
    scale, metric = evidence.groups[0].scale, evidence.groups[0].metric
    classified = any(group.has_classes for group in evidence.groups)
    shown: list[tuple[Column, Callable[[ModelRuns], Cell]]] = [
        (Column(scale.score[0].upper() + scale.score[1:], unit=scale.unit), lambda group: group.score)]
    if metric != "accuracy":
        shown.append((Column("Accuracy", unit="%"), lambda group: group.accuracy))
    if metric != "macro_f1" and classified:
        shown.append((Column("F1", unit="%"), _f1))
    return Table.of(
        "results", "Test results", (f"{RESULTS}{OF_CLASSES if classified else ''}",),
        in_order([*evidence.groups, *evidence.baselines]),
        (Column("Model", align="left", width=4.6), _named),
        (Column("Seeds"), _seeds),
        *shown)


def _named(group: ModelRuns) -> Cell:
    """Return the label of a model, and below it what it is, or its settings."""
    below: Sentence = ()
    if group.is_fitted_once:
        what = baseline_label(group.model, group.runs[0].params)
        below = (f"baseline: {what}" if what != group.label else "baseline",)
    elif group.is_logged:
        settings: list[Sentence] = [(f"{setting_name(name).replace(' ', NBSP)}{NBSP}", setting(
            group.of_runs, f"setting.{slug(name)}", group.settings.get(name, group.tuned.get(name))))
            for name in (group.tuned or HEADLINE_SETTINGS)]
        below = joined([*settings, (f"backend{NBSP}{group.backend}",)], " · ")
    return (group.label, Aside(below, below=True)) if below else group.label


def _seeds(group: ModelRuns) -> Cell:
    """Return the number of seeds, and below it the lowest and the highest."""
    if group.is_fitted_once:
        return MISSING
    values = [one.value for one in group.scores_by_run(group.metric) if one.value is not None]
    if len(values) < 2:
        return group.seeds
    low, high = (group.on_examples.add(f"{name}-seed", value, group.scale.kind, f"{name} of {len(values)} seeds")
                 for name, value in (("lowest", min(values)), ("highest", max(values))))
    return (group.seeds, Aside((low, " to ", high), below=True))


def _f1(group: ModelRuns) -> Cell:
    if not group.has_classes:
        return MISSING
    if group.is_binary:
        return group.estimated("f1", f1_interval(group))
    return group.estimated("macro-f1", interval("macro_f1", group))


def _further(groups: Sequence[ModelRuns]) -> Table:
    """Return the further scores that some model has."""
    found = [(group, _scores_by_run(group)) for group in groups]
    shown = [one for name, one in SCORES.items() if name not in IN_RESULTS and one.unit != "count"
             and any(name in scores for _, scores_R in found for scores in scores_R)]
    return Table(
        "scores", "Further scores", (FURTHER,),
        (Column("Model", align="left", width=3.6), *map(_column, shown)),
        tuple((group.label, *(_further_score(group, one.name, scores_R) for one in shown))
              for group, scores_R in found if shown))


def _column(one: Score) -> Column:
    label = one.label[0].upper() + one.label[1:]
    return Column(one.heading or label, unit=shown_as(one).unit, short=one.short)


def _scores_by_run(group: ModelRuns) -> list[dict[str, float]]:
    """Return the further scores of each run, as far as they are known."""
    if not group.has_probabilities:
        return [scores(group.label_N, probability_NC, predicted_N)
                for probability_NC, predicted_N in zip(group.probability_RNC, group.predicted_RN, strict=True)]
    found = [scores(group.label_N, probability_NC, whole=group.whole) for probability_NC in group.probability_RNC]
    if group.whole:
        return found
    # What needs all probabilities, the runs logged.
    keys = {name: score(name, "test").key for name, one in SCORES.items() if one.needs == "all probabilities"}
    return [{**known, **{name: run.metrics[key] for name, key in keys.items() if key in run.metrics}}
            for known, run in zip(found, group.runs, strict=True)]


def _further_score(group: ModelRuns, name: str, scores_R: Sequence[dict[str, float]]) -> Cell:
    values = [scores[name] for scores in scores_R if name in scores]
    return MISSING if not values else with_range(group.on_examples.over_runs(
        slug(name).removesuffix("-error"), values, KINDS[SCORES[name].unit]))


def _cost(groups: Sequence[ModelRuns]) -> Table:
    return Table.of(
        "cost", "Training time, speed and memory", (COST,), groups,
        (Column("Model", align="left", width=3.2), lambda group: group.label),
        (Column("Parameters", short="Params"), lambda group: _known(group.logged(PARAMETERS))),
        (Column("Training", unit="s", short="Train"), lambda group: with_range(group.seconds)),
        (Column("Tokens/s"), lambda group: _known(group.logged(TOKENS_PER_SECOND))),
        (Column("Memory", unit="MB"), lambda group: _known(group.logged(PEAK_MEMORY))),
        (Column("Backend", align="left", width=1.4), lambda group: MISSING if group.is_fitted_once else group.backend),
        (Column("Processor", align="left", width=3.4), lambda group: group.processor))


def _known(number: Number) -> Cell:
    return MISSING if number.value is None else with_range(number)
