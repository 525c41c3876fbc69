"""What a report says of a search before its summary is logged: the section on its trials, and in a report on nothing
else the first sentences."""

from __future__ import annotations

from dataclasses import replace

from gru_bench.report.document.blocks import Block, Cell, Column, Details, Heading, Paragraph, Table
from gru_bench.report.document.numbers import MISSING, Number, Numbers, plain, slug, written
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Anchor, Sentence, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, model_name
from gru_bench.report.evidence.progress import once_more, study_baselines, study_name
from gru_bench.report.evidence.settings import as_number, range_text, setting, setting_name
from gru_bench.report.evidence.store import Store, known_run
from gru_bench.report.evidence.trials import ENDED, SearchSoFar, Trial, best_trial
from gru_bench.report.sections.search import history
from gru_bench.results.logged_metrics import score_name

_OPTIMISTIC: Sentence = (
    "The validation score of the best of several trials is optimistic: the trial was chosen for it, on the same "
    "texts. Fresh seeds of the same settings usually score lower, on validation and on test. The baselines were not "
    "chosen so.",)
FEW = 20
"""Most trials whose table a page does not fold."""


def trials(evidence: Evidence) -> Section | None:
    """Return the section on the searches that are shown by their trials; None without one."""
    blocks: list[Block] = []
    shown = [one for one in evidence.so_far if one.groups]
    for place, one in enumerate(shown, start=1):
        end = "so-far" if place == 1 else f"so-far-{place}"
        if len(shown) > 1:
            blocks.append(Heading(study_name(one.study), f"search-{end}-of"))
        blocks += [_best(one, evidence.store, end), Paragraph(_OPTIMISTIC), *_settings(one, end), *_history(one, end),
                   _trials(one, evidence.numbers, evidence.store, end)]
    return Section("search-so-far", "Search so far", tuple(blocks)) if blocks else None


def so_far(evidence: Evidence) -> tuple[Sentence, ...]:
    """Return the first sentences of a report on trials: how far the study is, its best trials, and how it goes on."""
    (search,), group = evidence.so_far, evidence.groups[0]
    study, name, planned = search.study, study_name(search.study), search.study.plan()
    count = sum(trial.summary.state in ENDED for trial in search.trials)
    models = {*planned.models, *(trial.summary.model for trial in search.trials)}
    asked = max(search.plan.trials * len(models), count)
    unit = group.scale.suffix
    scores: list[Sentence] = [(f"{one.label}: ", _value(one, trial), unit) for one, trial in _tops(search)]
    scores += [(f"baseline {label}: ", value, unit)
               for label, value in _baselines(search, evidence.store) if value.value is not None]
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


def _tops(search: SearchSoFar) -> list[tuple[Group, Trial]]:
    """Return the best trial of each model, as a group of runs and as a trial."""
    return [(group, top) for group in search.groups
            if (top := best_trial(search.trials, group.model, group.study.plan().metric)) is not None]


def _value(group: Group, trial: Trial) -> Number:
    """Return the score of the best trial of a model, without an interval: it was chosen for this score."""
    return group.numbers.add("search.best", trial.summary.value, group.scale.kind,
                        "best trial so far, best epoch, on validation")


def _baselines(search: SearchSoFar, store: Store) -> list[tuple[str, Number]]:
    """Return the name and the validation score of each baseline."""
    group = search.groups[0]
    return [(plain(baseline.name), group.of_study.named("baseline", baseline.name).add(
        "", baseline.score("validation", score_name(group.metric)), group.scale.kind,
        "one deterministic fit, on validation", group.example_N.size))
        for baseline in study_baselines(search.study, store)]


def _best(search: SearchSoFar, store: Store, end: str) -> Table:
    def ended_of(group: Group) -> Cell:
        count = sum(trial.state in ENDED for trial in search.of(group.model))
        return (group.of_study.add("search.trials", count, "count"), " of ",
                group.of_study.add("search.planned", max(search.plan.trials, count), "count"))

    scale, baselines = search.scale, _baselines(search, store)
    return Table.of(
        f"search-{end}", "Best trials so far, and the baselines",
        (f"Validation {scale.score} of the best trial of each model so far, and of the baselines on the same texts"
         f"{'' if baselines else ', which are not logged yet'}.",),
        _tops(search),
        (Column("Model", align="left", width=5), lambda one: one[0].label),
        (Column("Trials", note="“{}” are those that have ended, of those asked for."), lambda one: ended_of(one[0])),
        (Column("Epochs"), lambda one: one[0].of_study.add("search.epochs", one[1].summary.epochs, "setting")),
        (Column(f"Validation {scale.score}", scale.unit), lambda one: _value(*one)),
        context=tuple((label, MISSING, MISSING, value) for label, value in baselines),
    )


def _settings(search: SearchSoFar, end: str) -> list[Block]:
    """Return the table of the best settings; nothing where it is not known what was searched."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (group.label, setting_name(name), range_text(range_),
         setting(group, f"search.{slug(name)}.best-trial", top.summary.settings[name]))
        for group, top in _tops(search) for name, range_ in search.plan.space.items() if name in top.summary.settings)
    return [Table(
        f"settings-{end}", "Best settings so far", ("The settings searched, and those of the best trial so far.",),
        (Column("Model", align="left", width=4.4), Column("Setting", align="left", width=2.8),
         Column("Range", align="left", width=4.6), Column("Best so far", width=2)), rows, grouped=True)] if rows else []


def _history(search: SearchSoFar, end: str) -> list[Block]:
    """Return the figure of the trials by number; nothing for scores without per cent."""
    scale, models = search.scale, dict.fromkeys(group.model for group in search.groups)
    drawn = history([(model_name(model), search.of(model)) for model in models], scale)
    return [replace(drawn, name=f"{drawn.name}-{end}")] if scale.kind == "percent" else []


def _trials(search: SearchSoFar, numbers: Numbers, store: Store, end: str) -> Details:
    """Return the table of all trials, at which numbers that rest on one find its runs."""
    scale = search.scale
    rows: list[tuple[Cell, ...]] = []
    for place, trial in enumerate(search.trials, start=1):
        one, ids = trial.summary, tuple(run.run_id for run in trial.runs)
        key = f"trial-{end}-{place}"
        own = numbers.of(key, ids)
        names = joined([(known_run(run, store),) for run in trial.runs], ", ")
        tried = (f"{setting_name(name)} {plain(str(value)) if number is None else written(number, 'setting')}"
                 for name, value in one.settings.items() for number in [as_number(value)])
        rows.append((
            f"{model_name(one.model)}, trial {one.number}", (Anchor(key, ids, names),), one.state,
            own.add("epochs", one.epochs, "setting"),
            own.add("score", one.value, scale.kind, "best epoch, on validation"),
            ", ".join(tried)))
    table = Table(
        f"trials-{end}", "Trials", ("All trials so far, with the validation score of their best epoch.",),
        (Column("Trial", align="left", width=2.6), Column("Run", align="left", width=3.6),
         Column("State", align="left", note="“Other” ones were interrupted, or have not ended."), Column("Epochs"),
         Column(f"Validation {scale.score}", scale.unit, short="Validation"),
         Column("Settings", align="left", width=3.2)),
        tuple(rows))
    return Details("All trials", (table,), opened=len(rows) <= FEW)
