"""The reproducibility checklist: what was logged of what reviewers ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from gru_bench.document.blocks import Column, Table
from gru_bench.document.numbers import NBSP, file_name, plain
from gru_bench.document.report import Section
from gru_bench.document.sentences import Sentence, joined, say
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.settings import range_text, setting_name
from gru_bench.tracking import LoggedRun

HOUR = 3600
CAPTION = ("What reviewers ask and the runs have logged. Only the author can add the claims and limits of the work, "
           "the license of the data, and where to get them.")


def checklist(evidence: Evidence) -> Section | None:
    """Return the section; None of files of predictions, of which nothing was logged."""
    if not evidence.studies:
        return None
    rows = tuple((name, answer(evidence) or ("not logged",)) for name, answer in FACTS.items())
    return Section("checklist", "Checklist", (Table(
        "checklist", "Reproducibility checklist", (CAPTION,),
        (Column("Fact", align="left", width=3.2), Column("As logged", align="left", width=11.8)), rows),),
        appendix=True)


def _splits(evidence: Evidence) -> Sentence:
    parts = []
    for group in evidence.groups:
        if not group.is_logged:
            continue
        config, of = group.config.data, "the other texts"
        if config.split_column:
            test = f"the column {plain(config.split_column)} of the file"
        elif config.test_name:
            test = f"a file of its own, {file_name(config.test_name)}"
        else:
            test, of = f"{100 * config.test_share:g}{NBSP}% of all texts", "all texts"
        validation = f"{100 * config.validation_share:g}{NBSP}% of {of}" if config.validation_share else "none"
        how = "whole groups" if group.data is not None and group.data.groups else "texts"
        drawn = f"; chosen by a hash of {how} with the seed {config.split_seed}" if (
            of == "all texts" or config.validation_share) else ""
        parts.append(f"test: {test}; validation: {validation}{drawn}")
    return joined([(part,) for part in dict.fromkeys(parts)], "; ")


def _space(evidence: Evidence) -> Sentence:
    if not evidence.searches:
        return ("none: settings fixed beforehand",)
    return joined([(f"{one.group.label}: " + ", ".join(
        f"{setting_name(name)} {range_text(found)}" for name, found in one.summary.space.items()),)
        for one in evidence.searches], "; ")


def _seeds(evidence: Evidence) -> Sentence:
    return joined([(f"{group.label}: ", group.seeds) for group in evidence.groups], "; ")


def _compute(evidence: Evidence) -> Sentence:
    runs = [run for run in _runs(evidence) if run.role not in ("study", "baseline")]
    seconds = [max(0.0, run.ended - run.started) for run in runs if run.ended is not None]
    if not seconds:
        return ()
    numbers = evidence.numbers.of("checklist").on([run.run_id for run in runs])
    return say(
        "{hours} hours in {runs} runs, {incomplete} of which were pruned, failed, were interrupted or are unfinished",
        hours=numbers.add("hours", sum(seconds) / HOUR, "amount", "from the start to the end of each run, added"),
        runs=numbers.add("runs", len(runs)),
        incomplete=numbers.add("incomplete", len(runs) - sum(run.complete for run in runs)))


def _machine(evidence: Evidence) -> Sentence:
    words = {"gru_bench.machine": "{}", "gru_bench.cores": "{} cores", "gru_bench.platform": "{}",
             "gru_bench.device": "trained on {}"}
    return _listed([form.format(value) for tag, form in words.items() for value in _tags(evidence, tag)])


def _versions(evidence: Evidence) -> Sentence:
    packages = {"Python": dict.fromkeys(_tags(evidence, "gru_bench.python"))}
    for text in _tags(evidence, "gru_bench.versions"):
        for package, version in json.loads(text).items():
            packages.setdefault(package, {})[version] = None
    changed = ["with uncommitted changes"] * ("true" in _tags(evidence, "gru_bench.git_dirty"))
    return _listed([
        *(f"{package} {' and '.join(sorted(found))}" for package, found in packages.items() if found),
        *(f"commit {commit[:12]}" for commit in _tags(evidence, "mlflow.source.git.commit")), *changed])


def _runs(evidence: Evidence) -> list[LoggedRun]:
    return [run for study in evidence.studies for run in study.runs]


def _tags(evidence: Evidence, tag: str) -> list[str]:
    return sorted({run.tags[tag] for run in _runs(evidence) if run.tags.get(tag)})


def _listed(parts: list[str]) -> Sentence:
    return (plain(", ".join(parts)),) if parts else ()


FACTS: Mapping[str, Callable[[Evidence], Sentence]] = {
    "Splits": _splits, "Search space": _space, "Seeds": _seeds, "Computing, failed runs included": _compute,
    "Machine": _machine, "Code and versions": _versions}
"""What is told -> what was logged of it."""
