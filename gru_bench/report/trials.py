"""What a report says of a search that nothing has confirmed yet: its first sentences, and the section on the trials."""

from __future__ import annotations

from gru_bench.report.document.blocks import Block, Cell, Column, Details, Paragraph, Table
from gru_bench.report.document.numbers import MISSING, Number, plain, slug, written
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Anchor, Sentence, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, model_name
from gru_bench.report.evidence.progress import once_more, study_baselines, study_name, study_search
from gru_bench.report.evidence.settings import as_number, range_text, setting, setting_name
from gru_bench.report.evidence.store import known_run
from gru_bench.report.evidence.trials import ENDED, Trial, best_trial
from gru_bench.report.sections.search import history
from gru_bench.results.logged_metrics import score_name
from gru_bench.results.runs import SearchPlan

_OPTIMISTIC: Sentence = (
    "The validation score of the best of several trials is optimistic: the trial was chosen for it, on the same "
    "texts. Fresh seeds of the same settings usually score lower, on validation and on test. The baselines were not "
    "chosen so.",)
FEW = 20
"""Most trials whose table a page does not fold."""


def trials(evidence: Evidence) -> Section:
    """Return the section of a report on trials."""
    plan = study_search(evidence.studies[0], evidence.store)
    return Section("search", "Search so far", (
        _best(evidence, plan), Paragraph(_OPTIMISTIC), *_settings(evidence, plan), *_history(evidence),
        _trials(evidence)))


def so_far(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the first sentences of a report on trials: how far the study is, its best trials, and how it goes on."""
    (study,), group = evidence.studies, evidence.groups[0]
    plan, name, planned = study_search(study, evidence.store), study_name(study), study.plan()
    count = sum(trial.summary.state in ENDED for trial in evidence.trials)
    models = {*planned.models, *(trial.summary.model for trial in evidence.trials)}
    asked = max(plan.trials * len(models), count)
    unit = group.scale.suffix
    scores: list[Sentence] = [(f"{one.label}: ", _value(one, trial), unit) for one, trial in _tops(evidence)]
    scores += [(f"baseline {label}: ", value, unit) for label, value in _baselines(evidence) if value.value is not None]
    state, how = "is not finished", "Continue it by running its command again"
    if study.summary is not None and planned.confirm == 0:
        state, how = "has no confirmation stage", "To confirm the best settings, run its command again with --confirm 5"
    elif study.summary is not None:
        state = "has no complete confirmation run"
    return (
        say("The study {study} {state}: its search has {ended} of {asked} {asked:trial|trials}. No run was "
            "scored on the test texts, so there is no verdict.", study=name, state=state,
            ended=group.of_study.add("search.ended", count), asked=group.of_study.add("search.asked", asked)),
        (f"{how}: {once_more(study)}",),
        say("Best validation {score} so far (optimistic, because the best trial is chosen by it): {scores}.",
            score=group.scale.score, scores=joined(scores, "; ")),
    )


def _tops(evidence: Evidence) -> list[tuple[Group, Trial]]:
    """Return the best trial of each model, as a group of runs and as a trial."""
    return [(group, top) for group in evidence.groups
            if (top := best_trial(evidence.trials, group.model, group.study.plan().metric)) is not None]


def _value(group: Group, trial: Trial) -> Number:
    """Return the score of the best trial of a model, without an interval: it was chosen for this score."""
    return group.numbers.add("search.best", trial.summary.value, group.scale.kind,
                        "best trial so far, best epoch, on validation")


def _baselines(evidence: Evidence) -> list[tuple[str, Number]]:
    """Return the name and the validation score of each baseline."""
    (study,), group = evidence.studies, evidence.groups[0]
    return [(plain(baseline.name), group.of_study.named("baseline", baseline.name).add(
        "", baseline.score("validation", score_name(group.metric)), group.scale.kind,
        "one deterministic fit, on validation", group.example_N.size))
        for baseline in study_baselines(study, evidence.store)]


def _best(evidence: Evidence, plan: SearchPlan) -> Table:
    def ended_of(group: Group) -> Cell:
        count = sum(trial.summary.model == group.model and trial.summary.state in ENDED for trial in evidence.trials)
        return (group.of_study.add("search.trials", count, "count"), " of ",
                group.of_study.add("search.planned", max(plan.trials, count), "count"))

    scale = evidence.groups[0].scale
    baselines = _baselines(evidence)
    return Table.of(
        "search", "Best trials so far, and the baselines",
        (f"Validation {scale.score} of the best trial of each model so far, and of the baselines on the same texts"
         f"{'' if baselines else ', which are not logged yet'}.",),
        _tops(evidence),
        (Column("Model", align="left", width=5), lambda one: one[0].label),
        (Column("Trials", note="“{}” are those that have ended, of those asked for."), lambda one: ended_of(one[0])),
        (Column("Epochs"), lambda one: one[0].of_study.add("search.epochs", one[1].summary.epochs, "setting")),
        (Column(f"Validation {scale.score}", scale.unit), lambda one: _value(*one)),
        context=tuple((label, MISSING, MISSING, value) for label, value in baselines),
    )


def _settings(evidence: Evidence, plan: SearchPlan) -> list[Block]:
    """Return the table of the best settings; nothing where it is not known what was searched."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (group.label, setting_name(name), range_text(range_),
         setting(group, f"search.{slug(name)}.best-trial", top.summary.settings[name]))
        for group, top in _tops(evidence) for name, range_ in plan.space.items() if name in top.summary.settings)
    return [Table(
        "settings", "Best settings so far", ("The settings searched, and those of the best trial so far.",),
        (Column("Model", align="left", width=4.4), Column("Setting", align="left", width=2.8),
         Column("Range", align="left", width=4.6), Column("Best so far", width=2)), rows, grouped=True)] if rows else []


def _history(evidence: Evidence) -> list[Block]:
    """Return the figure of the trials by number; nothing for scores without per cent."""
    scale, models = evidence.groups[0].scale, dict.fromkeys(group.model for group in evidence.groups)
    searches = [(model_name(model), [trial.summary for trial in evidence.trials if trial.summary.model == model])
                for model in models]
    return [history(searches, scale)] if scale.kind == "percent" else []


def _trials(evidence: Evidence) -> Details:
    """Return the table of all trials, at which numbers that rest on one find its runs."""
    scale = evidence.groups[0].scale
    rows: list[tuple[Cell, ...]] = []
    for place, trial in enumerate(evidence.trials, start=1):
        one, ids = trial.summary, tuple(run.run_id for run in trial.runs)
        numbers = evidence.numbers.of(f"trial-{place}", ids)
        names = joined([(known_run(run, evidence.store),) for run in trial.runs], ", ")
        tried = (f"{setting_name(name)} {plain(str(value)) if number is None else written(number, 'setting')}"
                 for name, value in one.settings.items() for number in [as_number(value)])
        rows.append((
            f"{model_name(one.model)}, trial {one.number}", (Anchor(f"trial-{place}", ids, names),), one.state,
            numbers.add("epochs", one.epochs, "setting"),
            numbers.add("score", one.value, scale.kind, "best epoch, on validation"),
            ", ".join(tried)))
    table = Table(
        "trials", "Trials", ("All trials so far, with the validation score of their best epoch.",),
        (Column("Trial", align="left", width=2.6), Column("Run", align="left", width=3.6),
         Column("State", align="left", note="“Other” ones were interrupted, or have not ended."), Column("Epochs"),
         Column(f"Validation {scale.score}", scale.unit, short="Validation"),
         Column("Settings", align="left", width=3.2)),
        tuple(rows))
    return Details("All trials", (table,), opened=len(rows) <= FEW)
