"""The commands that settle what a comparison left open: new confirm sets, of a size fixed in advance."""

from __future__ import annotations

import re
import shlex
from collections.abc import Set

from gru_bench.report.confirmed import Group
from gru_bench.report.numbers import plain
from gru_bench.report.sentences import Pair, fresh_seeds

PROGRAMS = {"run.py": "python sweeps/run.py", "gru-bench-sweep": "gru-bench-sweep",
            "__main__.py": "python -m gru_bench.sweep"}  # fmt: skip
REPLACED = ("--study-name", "--seed", "--confirm", "--trials", "--timeout", "--sampler")


def settling_commands(pair: Pair, a: Group, b: Group, known: Set[str]) -> tuple[str, ...]:
    """Return the commands that make the new confirm sets that an inconclusive comparison calls for.

    Args:
        pair: the comparison; nothing comes of it unless fresh seeds would settle it.
        a: its first model's runs.
        b: its second model's.
        known: names of studies that are taken.
    """
    fresh = fresh_seeds(pair)
    if fresh is None:
        return ()
    made = [_confirm_command(group, fresh, known) for group in (a, b)]
    commands = [command for command in made if command is not None]
    if len(commands) < len(made):
        return ()
    sets = dict(commands)
    studies = " ".join(f"--study {shlex.quote(name)}" for name in sets)
    return (*sets.values(), f"python -m gru_bench.report {studies}")


def _confirm_command(group: Group, fresh: int, known: Set[str]) -> tuple[str, str] | None:
    """Return the name of a new confirm set and the command for it; None where none is known to do it."""
    summary = group.summary
    try:
        words = shlex.split(group.parent.tags.get("mlflow.source.name", ""))
    except ValueError:
        return None
    settings = [summary.best.get(model, {}) for model in summary.models] if summary else []
    # One command sets the same for all models of a study.
    if summary is None or not words or words[0] not in PROGRAMS or any(some != settings[0] for some in settings):
        return None
    kept, skip = [], False
    for word in words[1:]:
        option = word.partition("=")[0]
        if not skip and option not in REPLACED:
            kept.append(re.sub("://[^/]*@", "://", word))
        skip = not skip and option in REPLACED and "=" not in word
    base = re.sub(r"-confirm-\d+$", "", summary.name)
    number = next(n for n in range(2, len(known) + 3) if f"{base}-confirm-{n}" not in known)
    name = f"{base}-confirm-{number}"
    # Each seed of a study has ten thousand confirm seeds of its own, so that the next one has fresh ones.
    fixed = [word for key, value in settings[0].items() for word in ("--set", f"{key}={_typed(value)}")]
    new = ["--study-name", name, "--seed", str(summary.search_seed + number - 1), "--confirm", str(fresh),
           "--trials", "0", *fixed]  # fmt: skip
    if any(plain(word) != word for word in (*kept, *new)):
        return None  # it could not be shown as it must be typed
    return name, f"{PROGRAMS[words[0]]} {shlex.join([*kept, *new])}"


def _typed(value: object) -> str:
    """Return a value as `--set` reads it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
