"""Commands that may settle open comparisons: studies on all texts, or second confirmation sets of one size.

Where a study is unfinished, its comparisons have no next step but to continue it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count

from gru_bench.cli import line
from gru_bench.config import is_own
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.progress import typed
from gru_bench.report.evidence.verdicts import Limit

REPLACED = ("--study-name", "--seed", "--confirm", "--looks", "--trials", "--timeout", "--sampler", "--model")
"""Options of the first study that are replaced in the command of its new confirmation set."""


def fresh_for_all(evidence: Evidence) -> int | None:
    """Return the fresh seeds for each model that would settle every comparison that seeds can settle.

    One size serves all, so that no confirmation set is extended for the sake of another comparison; None where seeds
    would settle nothing.
    """
    return max((pair.fresh_seeds for pair in evidence.pairs if pair.done and pair.fresh_seeds is not None),
               default=None)


def next_step_commands(evidence: Evidence) -> tuple[str, ...]:
    """Return the commands that make the new confirmation sets for the open comparisons, and a report on them.

    `NAME-1` and so on stand for the names that the user gives to the new studies. A comparison is left out if the
    command of one of its models is not known.
    """
    wanted = {
        (group.study.run.run_id, group.model): group
        for pair in evidence.pairs
        if pair.done and pair.fresh_seeds is not None and _is_known(pair.a) and _is_known(pair.b)
        for group in (pair.a, pair.b) if not group.is_fitted_once
    }
    # One command can train the models of one study with the same settings.
    alike: dict[tuple[str, str], list[Group]] = {}
    for group in wanted.values():
        alike.setdefault((group.study.run.run_id, repr(sorted(group.tuned.items()))), []).append(group)
    first = 1 + len(_held_back_studies(evidence))
    begun = {name: _confirm_command(groups, name, fresh_for_all(evidence), len(evidence.known_studies))
             for name, groups in zip(_names(first), alike.values(), strict=False)}
    return _with_report(begun, list(wanted.values()))


def held_back(group: Group) -> Limit | None:
    """Return how many texts data.limit let into a group's study; None where it holds nothing back."""
    limit, data = group.config.data.limit, group.data
    if limit is None or data is None:
        return None
    # A limit above the number of texts takes them all.
    return None if data.taken < limit or data.available <= data.taken else Limit(data.taken, data.available)


def remove_limit_commands(evidence: Evidence) -> tuple[str, ...]:
    """Return the commands that repeat studies without data.limit, where a comparison needs more test texts.

    Each is the study's own command with another name, `NAME-1` and so on, and at least as many seeds as are needed.
    """
    studies = _held_back_studies(evidence)
    begun: dict[str, str] = {}
    for name, (group, seeds) in zip(_names(1), studies, strict=False):
        assert group.study.summary is not None
        enough = seeds <= len(group.study.summary.confirm_seeds)
        more = [] if enough else ["--confirm", str(seeds)]
        # What the file of the study says of a limit gives way to what is typed.
        begun[name] = _command(group, ("--study-name", "--limit", *([] if enough else ["--confirm", "--looks"])),
                               ["--study-name", name, "--set", "data.limit=none", *more])
    return _with_report(begun, [group for group, _ in studies])


def _held_back_studies(evidence: Evidence) -> list[tuple[Group, int]]:
    """Return a group of each study that data.limit holds back in an open comparison, and the seeds that it needs."""
    found: dict[str, tuple[Group, int]] = {}
    for pair in evidence.pairs:
        both = [group for group in (pair.a, pair.b) if not group.is_fitted_once]
        if pair.done and pair.is_open and all(held_back(group) and _is_known(group) for group in both):
            for group in both:
                study = group.study.run.run_id
                _, seeds = found.get(study, (group, 0))
                found[study] = group, max(seeds, pair.needed[1] if pair.needed else 0)
    return list(found.values())


def _names(first: int) -> Iterator[str]:
    """Yield what stands for the names of new studies in commands: the user chooses them."""
    return (f"NAME-{number}" for number in count(first))


def _is_known(group: Group) -> bool:
    """Return whether the command that started a group's study can be typed again."""
    return group.study.summary is not None and bool(typed(group.study.run.command))


def _confirm_command(groups: Sequence[Group], name: str, fresh: int | None, studies: int) -> str:
    """Return the command that makes a new confirmation set of models of one study.

    Args:
        groups: The models, with the same settings.
        name: Name of the new study.
        fresh: Number of its seeds.
        studies: Number of studies that there are.
    """
    summary, tuned = groups[0].study.summary, groups[0].tuned
    assert summary is not None
    models = [model for model in summary.models if any(group.model == model for group in groups)]
    chosen = [word for model in models for word in ("--model", model)] if len(models) < len(summary.models) else []
    # Each seed of a study has ten thousand confirmation seeds of its own. Earlier sets took the next ones, one for each
    # study that was added.
    new = ["--study-name", name, "--seed", str(summary.search_seed + studies), "--confirm", str(fresh),
           "--trials", "0"]
    fixed = [word for key, value in tuned.items() for word in ("--set", f"{key}={_written(value)}")]
    return _command(groups[0], REPLACED, [*chosen, *new, *fixed])


def _written(value: object) -> str:
    """Return a value as `--set` reads it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _command(group: Group, replaced: Collection[str], new: Sequence[str]) -> str:
    """Return the command that started a group's study, with new options in the place of others.

    A study with a class of the user's own may then take more than the hour that begins without being allowed.
    """
    program, *words = typed(group.study.run.command)
    assert group.study.summary is not None
    slow = ["--allow-slow"] if any(map(is_own, group.study.summary.models)) and "--allow-slow" not in words else []
    return f"{program} {line([*_apart(words, replaced)[0], *new, *slow])}"


def _with_report(begun: Mapping[str, str], groups: Sequence[Group]) -> tuple[str, ...]:
    """Return the commands of new studies, and the command that makes a report on them; nothing for no study."""
    if not begun:
        return ()
    names = [word for name in begun for word in ("--study", name)]
    where = _apart(typed(groups[0].study.run.command), ["--tracking-uri"])[1]
    return (*begun.values(), f"gru-bench report {line([*names, *where])}")


def _apart(words: Sequence[str], options: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command without some options, and these options with their values."""
    others: list[str] = []
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, _ = word.partition("=")
        if option not in options:
            others.append(word)
        else:
            found += [word] if equals else [word, next(rest, "")]
    return others, found
