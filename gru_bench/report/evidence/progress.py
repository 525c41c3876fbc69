"""Unfinished studies: what they have logged so far, what is still missing, and the command that continues them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TypeVar

from gru_bench.cli import line
from gru_bench.errors import IncompleteError, without_passwords
from gru_bench.report.document.numbers import plain
from gru_bench.report.document.sentences import Sentence, say
from gru_bench.report.evidence.store import Store
from gru_bench.results.baselines import BASELINES
from gru_bench.results.runs import DATA, SEARCH, DataSummary, SearchPlan, parsed
from gru_bench.tracking import LoggedRun, LoggedStudy
from gru_bench.tracking.reader import damaged

T = TypeVar("T")

PROGRAMS = {
    ("run.py",): "python sweeps/run.py", ("gru-bench", "sweep"): "gru-bench sweep",
    ("__main__.py", "sweep"): "python -m gru_bench sweep", ("__main__.py",): "python -m gru_bench.sweep",
}
"""First words of a recorded command (`gru_bench.cli.command_line`) -> what is typed for them."""


def study_name(study: LoggedStudy) -> str:
    """Return the name of a study."""
    return plain(study.name)


def study_data(study: LoggedStudy, store: Store) -> DataSummary | None:
    """Return the data of a study; None as long as its run does not hold it."""
    if study.summary is not None:
        return study.summary.data
    return artifact(study, store, DATA, DataSummary)


def data_sets(studies: Sequence[LoggedStudy], store: Store) -> list[tuple[DataSummary, list[LoggedStudy]]]:
    """Return each data set, with the studies that read it."""
    found: dict[str, tuple[DataSummary, list[LoggedStudy]]] = {}
    for study in studies:
        if (summary := study_data(study, store)) is not None:
            found.setdefault(summary.fingerprint, (summary, []))[1].append(study)
    return list(found.values())


def baseline_runs(study: LoggedStudy) -> tuple[LoggedRun, ...]:
    """Return the complete runs of a study's baselines, in the order of `BASELINES`."""
    complete = {run.model: run for run in study.baselines if run.complete}
    return tuple(complete[name] for name in BASELINES if name in complete)


def study_search(study: LoggedStudy, store: Store) -> SearchPlan:
    """Return what the search of a study is to do; without settings where its run does not hold it."""
    return artifact(study, store, SEARCH, SearchPlan) or SearchPlan(study.plan().trials or 0, {})


def artifact(study: LoggedStudy, store: Store, path: str, kind: type[T]) -> T | None:
    """Return what a study's own run holds under a path; None where it was not logged.

    Raises:
        RunError: It cannot be parsed.
    """
    text = store.text(study.run.run_id, path)
    try:
        return None if text is None else parsed(kind, text)
    except ValueError as error:
        raise damaged(study.run.run_id, path, error) from error


def is_confirmed(study: LoggedStudy) -> bool:
    """Return whether a study has a complete confirmation run."""
    return any(run.complete for run in study.confirms)


def is_searched(study: LoggedStudy) -> bool:
    """Return whether a study has a complete trial and no complete confirmation run, and thus only its search."""
    return any(run.complete for run in study.trials) and not is_confirmed(study) and not study.damaged


def nothing_to_report(state: str) -> IncompleteError:
    """Return the error for a store in this state, of which no report can be made."""
    return IncompleteError(f"a report needs a complete confirmation run or a complete trial, but {state}: run a study "
                           "first (gru-bench sweep --study smoke)")


def unfinished(study: LoggedStudy) -> bool:
    """Return whether the study's own command has something left to do."""
    if study.summary is None:
        return True
    return any(
        set(study.summary.confirm_seeds) - {run.seed for run in study.confirms if run.model == model}
        for model in study.summary.models
    )


def what_is_missing(studies: Sequence[LoggedStudy], store: Store) -> list[Sentence]:
    """Return, for each unfinished study, the command that continues it and the parts that are missing."""
    said: list[Sentence] = []
    for study in filter(unfinished, studies):
        name = study_name(study)
        state = "" if study.summary is not None else (
            "The study {study} is not finished, so this report is preliminary. ")
        said.append(say(f"{state}First finish {{study}} by running its command again: {{command}}", study=name,
                        command=once_more(study)))
        if study.summary is None and (parts := _absent(study, store)):
            said.append(say("Still missing from {study}: {parts}.", study=name, parts=", ".join(parts)))
    return said


def to_confirm(study: LoggedStudy) -> tuple[str, ...]:
    """Return the options that the command of a study needs to confirm its best trials; none where it confirms them."""
    return ("--confirm", "5") if study.plan().confirm == 0 else ()


def once_more(study: LoggedStudy, *options: str) -> str:
    """Return the command of a study, with further options, as the end of a sentence on running it again."""
    words = typed(study.run.command)
    return f"{words[0]} {line([*words[1:], *options])}" if words else "it resumes where it stopped."


def typed(command: str) -> list[str]:
    """Return the words to type for a recorded command that started a study, the program first; none if not known.

    Passwords are left out.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    for first, program in PROGRAMS.items():
        if tuple(words[:len(first)]) == first:
            shown = [program, *(re.sub("://[^/]*@", "://", without_passwords(word)) for word in words[len(first):])]
            # What could not be shown as it must be typed is not named.
            return shown if all(plain(word) == word for word in shown) else []
    return []


def _absent(study: LoggedStudy, store: Store) -> list[str]:
    """Return the parts that an unfinished study will have and does not have yet."""
    plan = study.plan()
    absent = [] if baseline_runs(study) else ["the baselines"]
    if study_data(study, store) is None:
        absent.append("the summary of its data")
    if plan.trials is None:  # its start died before it had described the study
        return [*absent, "the result of its search, if any, and everything else that is logged at its end"]
    # The search of a model has ended once it has a confirmation run, which the report tells of.
    confirmed = {*plan.models} <= {run.model for run in study.confirms}
    return [*absent, "the result of the search"] if plan.trials and not confirmed else absent
