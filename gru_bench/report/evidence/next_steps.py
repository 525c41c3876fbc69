"""Commands that may settle open comparisons: studies on all texts, or second confirmation sets of one size.

Where a study is unfinished, its comparisons have no next step but to continue it.
"""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.cli import line
from gru_bench.config import is_own
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns
from gru_bench.report.evidence.progress import study_name, typed
from gru_bench.report.evidence.verdicts import Limit
from gru_bench.tracking import LoggedStudy

STORES = ("--storage", "--tracking-uri")
"""Options by which a command names its stores."""


def fresh_for_all(evidence: Evidence) -> int | None:
    """Return the fresh seeds for each model that would settle every comparison that seeds can settle.

    One size serves all, so that no confirmation set is extended for the sake of another comparison; None where seeds
    would settle nothing.
    """
    return max((pair.fresh_seeds for pair in evidence.pairs if pair.done and pair.fresh_seeds is not None),
               default=None)


def next_step_commands(evidence: Evidence) -> tuple[str, ...]:
    """Return the commands that make the new confirmation sets for the open comparisons, and a report on them.

    `NAME-1` and so on stand for the names that the user gives to the new studies.
    """
    models: dict[str, tuple[LoggedStudy, list[str]]] = {}
    for pair in evidence.pairs:
        if pair.done and pair.fresh_seeds is not None:
            for group in _trained(pair.a, pair.b):
                _, found = models.setdefault(group.study.run.run_id, (group.study, []))
                found += [group.model] if group.model not in found else []
    options = []
    for study, found in models.values():
        every = study.summary is not None and set(study.summary.models) == set(found)
        options.append((study, [*(word for model in found if not every for word in ("--model", model)),
                                "--confirm", str(fresh_for_all(evidence))]))
    return _with_report(options, 1 + len(_held_back_studies(evidence)))


def held_back(group: ModelRuns) -> Limit | None:
    """Return how many texts data.limit let into a group's study; None where it holds nothing back."""
    limit, data = group.config.data.limit, group.data
    if limit is None or data is None:
        return None
    # A limit above the number of texts takes them all.
    return None if data.taken < limit or data.available <= data.taken else Limit(data.taken, data.available)


def remove_limit_commands(evidence: Evidence) -> tuple[str, ...]:
    """Return the commands that train studies again without data.limit, where a comparison needs more test texts.

    Each has another name, `NAME-1` and so on, and at least as many seeds as are needed.
    """
    return _with_report([(study, ["--confirm", str(seeds), "--set", "data.limit=none"])
                         for study, seeds in _held_back_studies(evidence)], 1)


def _held_back_studies(evidence: Evidence) -> list[tuple[LoggedStudy, int]]:
    """Return each study that data.limit holds back in an open comparison, and the seeds that it takes."""
    found: dict[str, tuple[LoggedStudy, int]] = {}
    for pair in evidence.pairs:
        both = _trained(pair.a, pair.b)
        if pair.done and pair.is_open and all(map(held_back, both)):
            for group in both:
                known = len(group.study.summary.confirm_seeds) if group.study.summary is not None else 0
                _, seeds = found.get(group.study.run.run_id, (group.study, known))
                found[group.study.run.run_id] = group.study, max(seeds, pair.needed[1] if pair.needed else 0)
    return list(found.values())


def _trained(*groups: ModelRuns) -> list[ModelRuns]:
    return [group for group in groups if not group.is_fitted_once]


def _with_report(studies: Sequence[tuple[LoggedStudy, Sequence[str]]], first: int) -> tuple[str, ...]:
    """Return the commands of new studies, and the command that makes a report on them; nothing for no study.

    Args:
        studies: The studies that are trained again, with options of the new ones.
        first: Number in the name of the first new one.
    """
    commands, names = [], []
    for number, (study, options) in enumerate(studies, start=first):
        names += ["--study", f"NAME-{number}"]
        slow = ["--allow-slow"] if study.summary is not None and any(map(is_own, study.summary.models)) else []
        words = ["--again", study_name(study), "--study-name", f"NAME-{number}", *options, *_given(study, *STORES)]
        commands.append(f"gru-bench sweep {line([*words, *slow])}")
    report = [f"gru-bench report {line([*names, *_given(studies[0][0], '--tracking-uri')])}"] if studies else []
    return (*commands, *report)


def _given(study: LoggedStudy, *options: str) -> list[str]:
    """Return those of some options that the command of a study has, with their values."""
    words = typed(study.run.command)
    found: list[str] = []
    for word, after in zip(words, [*words[1:], ""], strict=False):
        option, equals, _ = word.partition("=")
        if option in options:
            found += [word] if equals else [word, after]
    return found
