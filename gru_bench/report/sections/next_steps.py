"""Commands that may settle open comparisons: new confirm sets of one size, or studies on all reviews.

Where a study is unfinished, its comparisons have no next step but to continue it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from gru_bench.report.document.numbers import plain
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, free_name
from gru_bench.report.evidence.pairs import Pair
from gru_bench.report.evidence.progress import typed
from gru_bench.report.sections.verdicts import Limit

REPLACED = ("--study-name", "--seed", "--confirm", "--trials", "--timeout", "--sampler", "--model")
"""Options of the first study that are replaced in the command of its new confirm set."""
LIMIT = "data.limit"


def fresh_for_all(evidence: Evidence) -> int | None:
    """Return the fresh seeds for each model that would settle every comparison that seeds can settle.

    One size serves all, so that no confirm set is extended for the sake of another comparison; None where seeds
    would settle nothing.
    """
    return max((fresh for one in _done(evidence) if (fresh := one.fresh_seeds) is not None), default=None)


def next_step_commands(evidence: Evidence) -> tuple[str, ...]:
    """Return the commands that make the new confirm sets for the open comparisons, and a report on them.

    A comparison is left out if the command of one of its models is not known.
    """
    fresh = fresh_for_all(evidence)
    if fresh is None:
        return ()
    wanted = {
        (group.parent.run_id, group.model): group
        for one in _done(evidence) if one.fresh_seeds is not None and _typed_by(one.a) and _typed_by(one.b)
        for group in (one.a, one.b)
    }
    sets: dict[str, str] = {}
    for together in _alike(list(wanted.values())):
        name, command = _confirm_command(together, fresh, {*evidence.known_studies, *sets})
        sets[name] = command
    return _with_report(sets, list(wanted.values()))


def held_back(group: Group) -> Limit | None:
    """Return how many reviews data.limit let into a group's study; None where it holds nothing back."""
    limit = group.config.data.limit
    if limit is None:
        return None
    data = group.data
    whole = None if data is None else data.available
    taken = limit if data is None else data.train + data.validation + data.test
    # A limit above the number of reviews takes them all.
    return None if taken < limit or (whole is not None and whole <= taken) else Limit(taken, whole)


def remove_limit_commands(evidence: Evidence) -> tuple[str, ...]:
    """Return the commands that repeat studies without data.limit, where a comparison needs more test reviews.

    Each is the study's own command with another name and at least as many seeds as are needed.
    """
    seeds: dict[str, int] = {}
    wanted: dict[str, Group] = {}
    for one in _done(evidence):
        both = (one.a, one.b)
        if not one.wants_examples or not all(held_back(group) and _typed_by(group) for group in both):
            continue
        for group in both:
            study = group.parent.run_id
            wanted.setdefault(study, group)
            seeds[study] = max(seeds.get(study, 0), one.needed[1] if one.needed else 0)
    begun: dict[str, str] = {}
    for study, group in wanted.items():
        name, command = _remove_limit_command(group, seeds[study], {*evidence.known_studies, *begun})
        begun[name] = command
    return _with_report(begun, list(wanted.values()))


def _done(evidence: Evidence) -> list[Pair]:
    """Return the comparisons of studies that have ended: others are continued first."""
    return [one for one in evidence.compared if one.done]


def _remove_limit_command(group: Group, seeds: int, taken: Collection[str]) -> tuple[str, str]:
    """Return the name of a study on all reviews, and the command that begins it."""
    assert group.summary is not None
    more = seeds > len(group.summary.confirm_seeds)
    words = _typed_by(group, ("--study-name", "--limit", *(["--confirm"] if more else [])))
    assert words is not None
    name = free_name(f"{group.summary.name}-whole", set(taken))
    # What the file of the study says of a limit gives way to what is typed.
    new = ["--study-name", name, "--set", f"{LIMIT}=none", *(["--confirm", str(seeds)] if more else [])]
    return name, f"{words[0]} {shlex.join([*words[1:], *new])}"


def _with_report(commands: Mapping[str, str], groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the commands of new studies, and the command that makes a report on them; nothing for no study."""
    if not commands:
        return ()
    words = [word for name in commands for word in ("--study", name)]
    where = _tracked_at(_typed_by(groups[0]) or [])
    return (*commands.values(), f"gru-bench report {shlex.join([*words, *where])}")


def _typed_by(group: Group, replaced: Collection[str] = REPLACED) -> list[str] | None:
    """Return the words of the command that started a group's study, without `replaced` options; None if unknown.

    Passwords are left out.
    """
    words = typed(group.parent)
    if group.summary is None or words is None or plain(group.summary.name) != group.summary.name:
        return None
    kept, skip = words[:1], False
    for word in words[1:]:
        option = word.partition("=")[0]
        if not skip and option not in replaced:
            kept.append(word)
        skip = not skip and option in replaced and "=" not in word
    return kept


def _tracked_at(words: Sequence[str]) -> list[str]:
    """Return the option among a command's words that says where runs are logged, if there is one."""
    for word, after in pairwise([*words, ""]):
        if word == "--tracking-uri":
            return [word, after]
        if word.startswith("--tracking-uri="):
            return [word]
    return []


def _alike(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the models together that one command can train: of one study, with the same settings."""
    found: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        found.setdefault((group.parent.run_id, repr(sorted(group.tuned.items()))), []).append(group)
    return list(found.values())


def _confirm_command(groups: Sequence[Group], fresh: int, taken: Collection[str]) -> tuple[str, str]:
    """Return the name of a new confirm set of models of one study, and the command that makes it."""
    summary, typed = groups[0].summary, _typed_by(groups[0])
    assert summary is not None
    assert typed is not None
    models = [model for model in summary.models if any(group.model == model for group in groups)]
    base = re.sub(r"-confirm-\d+$", "", summary.name)
    chosen: list[str] = []
    if len(models) < len(summary.models):
        base = "-".join([base, *models])
        chosen = [word for model in models for word in ("--model", model)]
    number = next(n for n in range(2, len(taken) + 3) if f"{base}-confirm-{n}" not in taken)
    name = f"{base}-confirm-{number}"
    # Each seed of a study has ten thousand confirm seeds of its own, so that the next one has fresh ones.
    new = [*chosen, "--study-name", name, "--seed", str(summary.search_seed + number - 1), "--confirm", str(fresh),
           "--trials", "0"]
    fixed = [word for key, value in groups[0].tuned.items() for word in ("--set", f"{key}={_written(value)}")]
    return name, f"{typed[0]} {shlex.join([*typed[1:], *new, *fixed])}"


def _written(value: object) -> str:
    """Return a value as `--set` reads it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
