"""What a study has logged, whether it is finished, and the command that finishes it."""

from __future__ import annotations

import re
import shlex
from typing import TypeVar

from gru_bench.cli import line
from gru_bench.document.numbers import plain
from gru_bench.errors import IncompleteError, without_passwords
from gru_bench.evidence.store import Store
from gru_bench.results.baselines import baseline_names
from gru_bench.results.runs import DATA, DataSummary, parsed
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


def baseline_runs(study: LoggedStudy) -> tuple[LoggedRun, ...]:
    """Return the complete runs of a study's baselines, in the order in which they are shown."""
    complete = {run.model: run for run in study.baselines if run.complete}
    return tuple(complete[name] for name in baseline_names() if name in complete)


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


def is_finished(study: LoggedStudy) -> bool:
    """Return whether a study has a complete confirmation run, and its own command has nothing left to do."""
    return not study.damaged and any(run.complete for run in study.confirms) and not _unfinished(study)


def nothing_to_report(state: str) -> IncompleteError:
    """Return the error for a store in this state, of which no report can be made."""
    return IncompleteError(f"a report needs a finished study, but {state}: run a study first "
                           "(gru-bench sweep --study smoke)")


def not_finished(study: LoggedStudy) -> IncompleteError:
    """Return the error for a study that is not finished, with the command that finishes it."""
    if study.confirms and not _unfinished(study):
        return IncompleteError(f"a report needs a complete confirmation run, but all of the study {study_name(study)} "
                               "failed: see why (mlflow ui), and run it under another name")
    trials, confirmed = (sum(run.complete for run in runs) for runs in (study.trials, study.confirms))
    command = typed(study.run.command)
    options = ("--confirm", "5") if study.plan().confirm == 0 else ()
    return IncompleteError(
        f"a report needs a finished study, but {study_name(study)} is not (complete trials: {trials}, complete "
        f"confirmation runs: {confirmed}): "
        f"{f'{command[0]} {line([*command[1:], *options])}' if command else 'run its command again'}")


def _unfinished(study: LoggedStudy) -> bool:
    if study.summary is None:
        return True
    return any(
        set(study.summary.confirm_seeds) - {run.seed for run in study.confirms if run.model == model}
        for model in study.summary.models
    )


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


def as_typed(command: str) -> str:
    """Return a recorded command as it can be typed, where that is known."""
    words = typed(command)
    return f"{words[0]} {line(words[1:])}" if words else command
