"""What a search settled on, what its budget was worth, and the command that settles what it left open."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from gru_bench.report.confirmed import Group
from gru_bench.report.contents import Beside, BestOfTrials, ExpectedBest
from gru_bench.report.numbers import Number, Sentence, plain, slug
from gru_bench.report.sentences import Pair, fresh_seeds
from gru_bench.statistics import expected_best as best_of

SETTING_NAMES = {
    "training.lr": "learning rate",
    "training.batch_size": "batch size",
    "training.epochs": "epochs",
    "model.hidden_size": "hidden size",
    "model.layers": "layers",
    "model.readout": "readout",
    "model.dropout": "dropout",
    "embedding.name": "word vectors",
    "embedding.trainable": "trained vectors",
}
HOMEWORK: Mapping[str, float] = {
    "model.hidden_size": 100, "model.layers": 1, "training.lr": 1e-4, "training.batch_size": 1, "training.epochs": 5,
}  # fmt: skip
"""The settings of the homework from which the comparison of these models started."""
SHOWN = (1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Numbers of trials at which the expected best is shown, and the whole search besides."""
PROGRAMS = {"run.py": "python sweeps/run.py", "gru-bench-sweep": "gru-bench-sweep",
            "__main__.py": "python -m gru_bench.sweep"}  # fmt: skip
REPLACED = ("--study-name", "--seed", "--confirm", "--trials", "--timeout", "--sampler")


def expected_best(group: Group) -> ExpectedBest | None:
    """Return what the best of n trials reaches on validation; None where trials were not independent and whole."""
    if group.summary is None or _refusal(group) or len(scores := _scores(group)) < 2:
        return None
    points = []
    for found in best_of(scores):
        if found.trials in SHOWN or found.trials == len(scores):
            part = f"{group.key}.best-of-{found.trials}"
            points.append(BestOfTrials(
                Number(f"{part}.trials", found.trials, "count"),
                Number(part, found.mean, "percent", (group.parent.run_id,), len(scores),
                       "mean of the best of so many random trials; range that holds it with a chance of 80 %",
                       found.low, found.high),
            ))  # fmt: skip
    return ExpectedBest(group.key, group.label, tuple(points))


def no_expected_best(groups: Sequence[Group]) -> tuple[Sentence, ...]:
    """Say for which searches the best of n trials cannot be given, and why."""
    by_reason: dict[str, list[str]] = {}
    for group in groups:
        if group.summary is not None and len(_scores(group)) > 1 and (reason := _refusal(group)):
            by_reason.setdefault(reason, []).append(group.label)
    return tuple(
        (f"{', '.join(labels)}: what fewer trials would have reached is not shown. It can be computed for random "
         f"trials that all ran to their end, but {reason}; a search with --sampler random and pruner = \"none\" "
         "gives it.",)
        for reason, labels in by_reason.items()
    )  # fmt: skip


def _scores(group: Group) -> list[float]:
    assert group.summary is not None
    return [trial.value for trial in group.summary.trials
            if trial.model == group.model and trial.state == "complete" and trial.value is not None]  # fmt: skip


def _refusal(group: Group) -> str:
    """Return why the trials of a search are no independent draws; empty where they are."""
    assert group.summary is not None
    if group.summary.sampler.lower() != "random":
        return f"{plain(group.summary.sampler).upper()} chose each trial by those before it"
    states = {trial.state for trial in group.summary.trials if trial.model == group.model}
    if "pruned" in states:
        return "some trials were pruned"
    return "some trials failed" if "failed" in states else ""


def beside_homework(groups: Sequence[Group]) -> tuple[Beside, ...]:
    """Return the settings of tuned models beside the homework's, where both have one."""
    rows = []
    for group in groups:
        if group.summary is None or not group.summary.best.get(group.model):
            continue
        for name, theirs in HOMEWORK.items():
            if (ours := group.runs[0].params.get(name)) is not None:
                part = f"beside.{slug(name)}"
                rows.append(Beside(
                    group.label, setting_name(name), setting(group, f"{part}.ours", ours),
                    group.number(f"{part}.homework", theirs, "setting", "the homework's setting"),
                ))  # fmt: skip
    return tuple(rows)


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


def setting(group: Group, key: str, value: object) -> Number | str:
    """Return a setting's value as it is shown: a number where it is one."""
    number = as_number(value)
    return plain(str(value)) if number is None else group.number(key, number, "setting", "a setting")


def setting_name(name: str) -> str:
    """Return what people call a dotted setting."""
    return SETTING_NAMES.get(name, plain(name.rpartition(".")[2].replace("_", " ")))


def as_number(value: Any) -> float | None:
    """Return a setting as a finite number, or None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if np.isfinite(number) else None
