"""The reproducibility checklist: questions that reviewers ask, and the answers as far as they were logged.

The questions are our own words for what the public checklists of NeurIPS, ACL and ARR ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from gru_bench.report.document.blocks import Column, Table
from gru_bench.report.document.numbers import NBSP, Numbers, file_name, plain
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, joined, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.progress import data_sets, study_name
from gru_bench.report.evidence.settings import range_text, setting_name
from gru_bench.report.evidence.trials import SearchSoFar
from gru_bench.results.logged_metrics import PARAMETERS, TRAIN_SECONDS, compared
from gru_bench.results.runs import DataSummary
from gru_bench.tracking import LoggedRun

AUTHOR: Sentence = ("[author]",)
"""The answer to what only the author of a paper knows."""
NOT_LOGGED: Sentence = ("not logged",)
SEARCH, SO_FAR = "Search", "Search so far"
HOUR = 3600


def checklist(evidence: Evidence) -> Section:
    """Return the section."""
    unknown = NOT_LOGGED if evidence.studies else AUTHOR
    search = SEARCH if evidence.searches else SO_FAR if evidence.so_far else ""
    rows = tuple((question, answer(evidence) or unknown, search if where == SEARCH else where)
                 for question, answer, where in QUESTIONS)
    return Section("checklist", "Checklist", (Table(
        "checklist", "Reproducibility checklist",
        ("What a reviewer asks of an experiment, answered from what was logged; [author] marks what only the author "
         "knows.",),
        (Column("Question", align="left", width=5.2), Column("Answer", align="left", width=7.6),
         Column("See", align="left", width=2.2)), rows),), appendix=True)


def _models(evidence: Evidence) -> Sentence:
    return joined([(f"{group.label}: ", group.logged(PARAMETERS), " parameters") for group in evidence.groups
                   if group.is_logged], "; ")


def _versions(evidence: Evidence) -> Sentence:
    runs = _runs(evidence)
    packages: dict[str, set[str]] = {"Python": _tags(runs, "gru_bench.python")}
    for text in _tags(runs, "gru_bench.versions"):
        for package, version in json.loads(text).items():
            packages.setdefault(package, set()).add(version)
    commits = [f"commit {commit[:12]}" for commit in sorted(_tags(runs, "mlflow.source.git.commit"))]
    changed = ["with changes that were not committed"] if "true" in _tags(runs, "gru_bench.git_dirty") else []
    named = [f"{package} {' and '.join(sorted(found))}" for package, found in packages.items() if found]
    parts = [*named, *commits, *changed]
    return (plain(", ".join(parts)),) if parts else ()


def _machine(evidence: Evidence) -> Sentence:
    runs = _runs(evidence)
    cores = _tags(runs, "gru_bench.cores")
    parts = [*sorted(_tags(runs, "gru_bench.machine")), *(f"{count} cores" for count in sorted(cores)),
             *sorted(_tags(runs, "gru_bench.platform")),
             *(f"trained on {device}" for device in sorted(_tags(runs, "gru_bench.device")))]
    return (plain(", ".join(parts)),) if parts else ()


def _data(evidence: Evidence) -> Sentence:
    def one(found: DataSummary, numbers: Numbers) -> Sentence:
        sizes: list[Sentence] = [
            (numbers.add(name, size), f" {name}") for name, size in (
                ("training", found.train), ("validation", found.validation), ("test", found.test))]
        return (f"{plain(found.name)}: ", *joined(sizes, ", "), " texts, ", numbers.add("classes", len(found.classes)),
                f" classes, fingerprint {plain(found.fingerprint)[:12]}")

    return joined([one(found, numbers) for found, numbers in _data_sets(evidence)], "; ")


def _data_sets(evidence: Evidence) -> list[tuple[DataSummary, Numbers]]:
    """Return each data set, and what makes its numbers."""
    found = enumerate(data_sets(evidence.studies, evidence.store), start=1)
    return [(summary, evidence.numbers.of(f"checklist.data-{place}").on([study.run.run_id for study in studies]))
            for place, (summary, studies) in found]


def _splits(evidence: Evidence) -> Sentence:
    parts = []
    for group in {study_name(group.study): group for group in evidence.groups if group.is_logged}.values():
        config, of = group.config.data, "the other texts"
        if config.split_column:
            test = f"the column {plain(config.split_column)} of the file"
        elif config.test_name:
            test = f"a file of its own, {file_name(config.test_name)}"
        else:
            test, of = f"{100 * config.test_share:g}{NBSP}% of all texts", "all texts"
        validation = f"{100 * config.validation_share:g}{NBSP}% of {of}" if config.validation_share else "none"
        how = "whole groups" if group.data is not None and group.data.groups else "texts"
        drawn = f"; drawn by the hash of {how} with the seed {config.split_seed}" if (
            of == "all texts" or config.validation_share) else ""
        parts.append(f"test: {test}; validation: {validation}{drawn}")
    return ("; ".join(dict.fromkeys(parts)),) if parts else ()


def _left_out(evidence: Evidence) -> Sentence:
    parts: list[Sentence] = []
    for found, numbers in _data_sets(evidence):
        parts.append((
            numbers.add("repeats", found.repeats_removed), " repeated texts and ",
            numbers.add("test-repeats", found.test_repeats_removed), " training texts that are also test texts; ",
            numbers.add("dropped", found.dropped_share, "percent", "as the study logged it"),
            f"{NBSP}% of the tokens, which have no vector"))
    return joined(parts, "; ")


def _bounds(evidence: Evidence) -> Sentence:
    spaces = [(one.group, one.summary.space) for one in evidence.searches]
    spaces += [(group, one.plan.space) for group, one in _so_far(evidence)]
    parts = []
    for group, space in spaces:
        ranges = ", ".join(f"{setting_name(name)} {range_text(found)}" for name, found in space.items())
        parts.append(f"{group.label}: {ranges or 'not logged'}")
    if not parts and not evidence.studies:
        return ()
    return ("; ".join(parts),) if parts else ("no setting was searched",)


def _selection(evidence: Evidence) -> Sentence:
    parts: list[Sentence] = []
    for one in evidence.searches:
        parts.append((f"{one.group.label}: the best of ", one.group.of_study.add("checklist.trials", len(one.trials)),
                      f" trials ({one.how}) by {plain(one.summary.objective)}"))
    for group, search in _so_far(evidence):
        parts.append((f"{group.label}: the best of ", group.of_study.add(
            "checklist.trials", len(search.of(group.model))), f" trials by validation {search.scale.score}"))
    return joined(parts, "; ") or (("settings were fixed in advance",) if evidence.studies else ())


def _so_far(evidence: Evidence) -> list[tuple[Group, SearchSoFar]]:
    """Return the models whose search has no summary yet, each with this search."""
    return [(group, one) for group in evidence.groups for one in evidence.so_far
            if one.study is group.study and one.of(group.model)]


def _teachers(evidence: Evidence) -> Sentence:
    taught = [say("{model}: {teachers} {teachers:teacher|teachers} of each confirmation run", model=group.label,
                  teachers=group.of_runs.add("search.teachers", teachers, "setting", "a setting"))
              for group in evidence.groups if group.is_logged and (teachers := group.config.training.teachers)]
    return joined(taught, "; ") or (("no",) if evidence.studies else ())


def _seeds(evidence: Evidence) -> Sentence:
    return joined([(f"{group.label}: ", group.seeds) for group in evidence.groups], "; ")


def _validation_beside_test(evidence: Evidence) -> Sentence:
    parts: list[Sentence] = []
    for group in evidence.groups:
        if group.metric == "score":
            continue
        key = compared(group.metric, "val").key
        values = [run.metrics[key] for run in group.runs if key in run.metrics]
        if values:
            mean = group.on_validation.over_runs("checklist.validation", values, group.scale.kind)
            parts.append((f"{group.label}: ", mean, f"{group.scale.suffix} and ", group.score, group.scale.suffix))
    return joined(parts, "; ") or (("there are no validation texts",) if evidence.studies else ())


def _run_time(evidence: Evidence) -> Sentence:
    return joined([(f"{group.label}: ", group.logged(TRAIN_SECONDS), f"{NBSP}s on {group.backend}")
                   for group in evidence.groups if group.is_logged], "; ")


def _compute(evidence: Evidence) -> Sentence:
    runs = [run for run in _runs(evidence) if run.role not in ("study", "baseline")]
    seconds = [max(0.0, run.ended - run.started) for run in runs if run.ended is not None]
    if not seconds:
        return ()
    hours = sum(seconds) / HOUR
    complete = sum(run.complete for run in runs)
    numbers = evidence.numbers.of("checklist").on([run.run_id for run in runs])
    return (numbers.add("hours", hours, "amount", "from the start to the end of each run, added"), " hours in ",
            numbers.add("runs", len(runs)), " runs, of which ", numbers.add("incomplete", len(runs) - complete),
            " were pruned, failed or interrupted, or have not ended")


def _runs(evidence: Evidence) -> list[LoggedRun]:
    return [run for study in evidence.studies for run in study.runs]


def _tags(runs: Iterable[LoggedRun], tag: str) -> set[str]:
    return {run.tags[tag] for run in runs if run.tags.get(tag)}


def _author(_: Evidence) -> Sentence:
    return AUTHOR


QUESTIONS: Sequence[tuple[str, Callable[[Evidence], Sentence], str]] = (
    ("Which claims does the paper make, and where does it support them?", _author, "Summary"),
    ("Which models are compared, and how many parameters do they have?", _models, "Results"),
    ("Which data were used, and how large is each split?", _data, "Data and runs"),
    ("How were the splits made?", _splits, "Data and runs"),
    ("What was left out of the data?", _left_out, "Data and runs"),
    ("May the data be used and shared, and do they contain personal data?", _author, ""),
    ("Which settings were searched, within which bounds?", _bounds, SEARCH),
    ("How were the final settings chosen?", _selection, SEARCH),
    ("Were other models trained to teach the final ones (distillation)?", _teachers, SEARCH),
    ("How many runs with different seeds is each test score based on?", _seeds, "Results"),
    ("Which validation score belongs to each test score?", _validation_beside_test, "Results"),
    ("How are intervals and tests computed, and what do they cover?", lambda _: ("see the section",), "How computed"),
    ("How long does one run take?", _run_time, "Results"),
    ("How much computing did all runs take, failed and pruned ones included?", _compute, "Data and runs"),
    ("Which machine was used?", _machine, ""),
    ("Which code and which versions were used?", _versions, ""),
    ("Where can readers get code, data and results?", _author, ""),
    ("What are the limitations and risks of the work?", _author, ""),
)
"""Question, answer, and the section that has more."""
