"""Keeps a report up to date while its studies run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gru_bench.errors import IncompleteError
from gru_bench.report.choice import Choice
from gru_bench.report.evidence.progress import study_name, unfinished
from gru_bench.report.render.files import replace_file
from gru_bench.report.render.html import without_reload

SECONDS = 30
"""Time between two looks at the studies, and after which the page loads itself again."""


def watch(
    look: Callable[[str | None], Choice], write: Callable[[Choice], Path], say: Callable[[str], None],
    experiment: str | None = None,
) -> str | None:
    """Write a report whenever a run has begun or ended until all studies are finished, and return their experiment.

    The report of the finished studies is left to the caller. After Ctrl-C the page no longer reloads itself.

    Args:
        look: Returns the studies of an experiment as the store holds them now.
        write: Writes the report of these studies and returns its page, which reloads itself.
        say: Prints a line.
        experiment: Name of the experiment. None means the one written last when something can be reported.
    """
    page, before, waiting = None, None, ""
    try:
        while True:
            try:
                choice = look(experiment)
            except IncompleteError as error:
                reason = str(error).partition(":")[0]
                if reason != waiting:
                    say(f"waiting: {reason}")
                waiting = reason
            else:
                open_ones = [*choice.early, *(study_name(study) for study in choice.studies if unfinished(study))]
                if not open_ones:
                    return choice.experiment
                experiment, now = choice.experiment, _state(choice)
                if now != before:
                    page, before = write(choice), now
                    say(f"wrote {page}: {_confirmed(choice)} confirmation runs so far, not finished: "
                        f"{', '.join(open_ones)}")
            time.sleep(SECONDS)
    finally:
        if page is not None:
            replace_file(page, without_reload(page.read_text(encoding="utf-8")).encode())


def _state(choice: Choice) -> object:
    """Return what changes when a run begins or ends, but not while it goes on."""
    return choice.early, [(run.run_id, run.complete, run.state, run.status)
                          for study in choice.studies for run in study.runs]


def _confirmed(choice: Choice) -> int:
    return sum(run.complete for study in choice.studies for run in study.confirms)
